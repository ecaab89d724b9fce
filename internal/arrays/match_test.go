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

func graphOf(inputs ...*onnxio.ValueInfo) *onnxio.Graph { return &onnxio.Graph{Inputs: inputs} }

func input(name string, elem onnxio.DataType, dims ...onnxio.Dim) *onnxio.ValueInfo {
	return &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: elem, HasShape: dims != nil, Shape: dims}}
}

// TestMatch: by name, by order without names, and what is refused.
func TestMatch(t *testing.T) {
	g := graphOf(
		input("x", onnxio.Float32, onnxio.Symbol("batch"), onnxio.Fixed(2)),
		input("n", onnxio.Int64),
	)
	array := func(name string, dims ...int64) *onnxio.Tensor {
		return onnxio.NewTensor(name, dims, make([]float64, 4))
	}
	whole := func(name string) *onnxio.Tensor { return onnxio.NewTensor(name, []int64{1}, []int64{3}) }
	for _, c := range []struct {
		name  string
		given []*onnxio.Tensor
		want  string // the message, or ""
	}{
		{"by name", []*onnxio.Tensor{whole("n"), array("x", 2, 2)}, ""},
		{"in order", []*onnxio.Tensor{array("", 2, 2), whole("")}, ""},
		{"missing", []*onnxio.Tensor{array("x", 2, 2)}, `no array "n" for that input; the file has "x"`},
		{"none", nil, `no array "x" for that input; the file has none`},
		{"too many", []*onnxio.Tensor{array(
			"x", 2, 2,
		), whole("n"), whole("m")}, `array "m" is no input of the model; its inputs are "x", "n"`},
		{"shape", []*onnxio.Tensor{array(
			"x", 1, 4,
		), whole("n")}, `input "x": the array is float64 [1 4]; the model wants float32 batchx2`},
		{"axes", []*onnxio.Tensor{array(
			"x", 4,
		), whole("n")}, `input "x": the array is float64 [4]; the model wants float32 batchx2`},
		{"type", []*onnxio.Tensor{array(
			"x", 2, 2,
		), array("n", 4)}, `input "n": the array is float64 [4]; the model wants int64 of any shape`},
	} {
		got, err := Match(g, c.given)
		if c.want != "" {
			if err == nil || err.Error() != c.want {
				t.Errorf("%s: error %v, want %s", c.name, err, c.want)
			}
			continue
		}
		if err != nil || len(got) != 2 || got[0].Name != "x" || got[1].Name != "n" || got[0].Type != onnxio.Float64 {
			t.Errorf("%s: got %v (%v)", c.name, got, err)
		}
	}
}

// TestCompare: the tolerance from both sides, values that are not finite, shapes.
func TestCompare(t *testing.T) {
	array := func(values ...float64) *onnxio.Tensor {
		return onnxio.NewTensor("y", []int64{int64(len(values))}, values)
	}
	for _, c := range []struct {
		name      string
		got, want *onnxio.Tensor
		equal     bool
		text      string
	}{
		{"inside", array(1000.9, 0.9e-7), array(1000, 0), true, "at most 0.9 from the expected one, 0 of 2 elements"},
		{"outside", array(1001.1, 1.1e-7), array(1000, 0), false, "at most 1.1 from the expected one, 2 of 2 elements"},
		{"not finite", array(
			math.NaN(), math.Inf(1),
		), array(math.NaN(), math.Inf(1)), true, "at most 0 from the expected one, 0 of 2 elements"},
		{"NaN", array(math.NaN()), array(1), false, "1 of 1 elements past the tolerance"},
		{
			"infinity", array(math.Inf(1)), array(math.Inf(-1)), false,
			"at most +Inf from the expected one, 1 of 1 elements",
		},
		{"shape", array(1, 2), array(1), false, `output "y": shape [2], expected [1]`},
	} {
		all, err := Compare([]*onnxio.Tensor{c.got}, []*onnxio.Tensor{c.want})
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %v (%v)", c.name, all, err)
		}
		if d := all[0]; d.Equal() != c.equal || !strings.Contains(d.String(), c.text) {
			t.Errorf("%s: equal %t, %s; want %t, %s", c.name, d.Equal(), d, c.equal, c.text)
		}
	}
	if all, err := Compare(
		[]*onnxio.Tensor{array(1), array(2)}, []*onnxio.Tensor{array(1)},
	); err != nil || len(all) != 1 {
		t.Errorf("fewer expected outputs: %v (%v)", all, err)
	}
	if _, err := Compare(nil, []*onnxio.Tensor{array(1)}); err == nil {
		t.Error("more expected outputs than outputs pass")
	}
}

// TestWriteBFloat16: NumPy has no such type, and float32 holds its values.
func TestWriteBFloat16(t *testing.T) {
	a := fromBytes("y", onnxio.BFloat16, []int64{2}, []byte{0x80, 0x3f, 0x00, 0xc0}) // 1, -2
	path := filepath.Join(t.TempDir(), "y.npz")
	var b bytes.Buffer
	if err := WriteNPZ(&b, []*onnxio.Tensor{a}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := ReadNPZ(path)
	if err != nil || len(all) != 1 || all[0].Type != onnxio.Float32 {
		t.Fatalf("read %v (%v)", all, err)
	}
	if got, err := Numbers(all[0]); err != nil || !slices.Equal(got, []float64{1, -2}) {
		t.Errorf("values %v (%v)", got, err)
	}
}
