package arrays

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/onnxio"
)

func counting(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i)
	}
	return v
}

// TestReadNPY reads what NumPy wrote: testdata/make.py.
func TestReadNPY(t *testing.T) {
	for _, c := range []struct {
		file   string
		typ    onnxio.DataType
		shape  []int64
		values []float64
	}{
		{"float32", onnxio.Float32, []int64{3, 4}, counting(12)},
		{"float64-big-endian", onnxio.Float64, []int64{3, 4}, counting(12)},
		{"float16", onnxio.Float16, []int64{6}, []float64{1.5, -2, 65504, 0x1p-24, math.Inf(1), 0x1p-14}},
		{"int32-column-major", onnxio.Int32, []int64{3, 4}, counting(12)},
		{"uint8-column-major-3d", onnxio.Uint8, []int64{2, 3, 4}, counting(24)},
		{"int16", onnxio.Int16, []int64{2}, []float64{-1, 300}},
		{"bool", onnxio.Bool, []int64{2}, []float64{1, 0}},
		{"scalar", onnxio.Float64, []int64{}, []float64{2.5}},
		{"empty", onnxio.Float32, []int64{0, 3}, []float64{}},
	} {
		a, err := ReadNPY(filepath.Join("testdata", c.file+".npy"))
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if a.Type != c.typ || !slices.Equal(a.Dims, c.shape) {
			t.Errorf("%s: got %s, want %v %v", c.file, Describe(a), c.typ, c.shape)
		}
		if got, err := Numbers(a); err != nil || !slices.Equal(got, c.values) {
			t.Errorf("%s: got %v (%v), want %v", c.file, got, err, c.values)
		}
		// What is written again is NumPy's own file, for arrays as this package holds them.
		if !strings.Contains(c.file, "major") && !strings.Contains(c.file, "endian") {
			var b bytes.Buffer
			if err := WriteNPY(&b, a); err != nil {
				t.Errorf("%s: %v", c.file, err)
			}
			want, err := os.ReadFile(filepath.Join("testdata", c.file+".npy"))
			if err != nil || !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%s: wrote %q, NumPy %q (%v)", c.file, b.Bytes(), want, err)
			}
		}
	}
}

func TestReadNPYRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"complex64": `element type "<c8" is not read`,
		"object":    `element type "|O" is not read`,
		"string":    `element type "<U1" is not read`,
		"record":    "structured arrays and objects are not read",
		"missing":   "no such file",
	} {
		_, err := ReadNPY(filepath.Join("testdata", file+".npy"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}

	good, err := os.ReadFile("testdata/float32.npy")
	if err != nil {
		t.Fatal(err)
	}
	replaced := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	for _, c := range []struct {
		content []byte
		want    string
	}{
		{nil, "not in the .npy format"},
		{[]byte("PK\x03\x04 not numpy"), "not in the .npy format"},
		{good[:9], "ends inside the .npy header"},
		{good[:40], "ends inside the .npy header"},
		{good[:len(good)-1], "47 bytes of elements, the header promises 48"},
		{replaced("NUMPY\x01", "NUMPY\x09"), "version 9 of the .npy format is not read"},
		{replaced("'descr'", "'other'"), "not that of a plain array"},
		{replaced("(3, 4)", "(3,-4)"), `"-4" is no dimension`},
		{
			replaced("(3, 4), }                        ", "(4611686018427387904, 8)}       "),
			"dimensions multiply past 2^63",
		},
		{replaced("<f4", "|f4"), `element type "|f4" is not read`},
		{replaced("'<f4'", "'|b1'")[:140], "element 6 is no bool: byte 128"},
	} {
		if _, err := readNPY(bytes.NewReader(c.content), "a"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.content, err, c.want)
		}
	}
}

func content(t *testing.T, a *onnxio.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := a.Data.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNPZ(t *testing.T) {
	all, err := ReadNPZ("testdata/compressed.npz")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Name != "x" || all[1].Name != "y" ||
		Describe(all[0]) != "float32 [3 4]" || Describe(all[1]) != "int64 [3]" {
		t.Fatalf("got %v", all)
	}
	var b bytes.Buffer
	if err := WriteNPZ(&b, all); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "again.npz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := ReadNPZ(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if again[i].Name != all[i].Name || Describe(again[i]) != Describe(all[i]) ||
			!bytes.Equal(content(t, again[i]), content(t, all[i])) {
			t.Errorf("array %d: wrote %v, read %v", i, all[i], again[i])
		}
	}

	// One byte of the elements changed: the archive's checksum finds it.
	damaged := bytes.Clone(b.Bytes())
	damaged[bytes.Index(damaged, content(t, all[0]))+5] ^= 1
	for content, want := range map[string]string{
		string(damaged):               "checksum",
		string(b.Bytes()[:b.Len()/2]): "not a .npz file",
		"no archive":                  "not a .npz file",
		"":                            "not a .npz file",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadNPZ(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestFromInts(t *testing.T) {
	for _, c := range []struct {
		typ      onnxio.DataType
		min, max int64
	}{
		{onnxio.Bool, 0, 1},
		{onnxio.Int8, -128, 127},
		{onnxio.Uint8, 0, 255},
		{onnxio.Int16, -32768, 32767},
		{onnxio.Uint16, 0, 65535},
		{onnxio.Int32, math.MinInt32, math.MaxInt32},
		{onnxio.Uint32, 0, math.MaxUint32},
		{onnxio.Int64, math.MinInt64, math.MaxInt64},
		{onnxio.Uint64, 0, math.MaxInt64},
	} {
		a, err := FromInts("a", c.typ, []int64{2}, []int64{c.min, c.max})
		if err != nil {
			t.Errorf("%v: %v", c.typ, err)
			continue
		}
		if got, err := onnxio.Ints(a); err != nil || !slices.Equal(got, []int64{c.min, c.max}) {
			t.Errorf("%v: got %v (%v)", c.typ, got, err)
		}
		if c.typ.Size() < 8 {
			for _, v := range []int64{c.min - 1, c.max + 1} {
				if _, err := FromInts("a", c.typ, []int64{1}, []int64{v}); err == nil {
					t.Errorf("%v: %d accepted", c.typ, v)
				}
			}
		}
	}
	if _, err := FromInts("a", onnxio.Float32, []int64{1}, []int64{0}); err == nil {
		t.Error("integers of type float32 accepted")
	}
	a, err := ReadNPY("testdata/uint64-past-int64.npy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := onnxio.Ints(a); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("uint64 past int64: %v", err)
	}
}
