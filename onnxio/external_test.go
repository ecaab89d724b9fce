package onnxio

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"efcn/onnxio/internal/onnxpb"
)

// externalModel writes a model whose tensor "w", float32 [4], is external data
// with the given keys and values.
func externalModel(t *testing.T, dir string, keys ...string) string {
	t.Helper()
	var props []Prop
	for i := 0; i < len(keys); i += 2 {
		props = append(props, Prop{keys[i], keys[i+1]})
	}
	p := &onnxpb.ModelProto{
		IrVersion:   proto.Int64(10),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
		Graph: &onnxpb.GraphProto{Name: proto.String("g"), Initializer: []*onnxpb.TensorProto{{
			Name: proto.String("w"), DataType: proto.Int32(1), Dims: []int64{4},
			DataLocation: onnxpb.TensorProto_EXTERNAL.Enum(), ExternalData: entries(props),
		}}},
	}
	path := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(path, marshal(t, p), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExternalData(t *testing.T) {
	content := appendElements(nil, []float32{9, 1, 2, 3, 4, 9})
	for _, c := range []struct {
		name string
		keys []string
		want string // of the error, "" for none
	}{
		{"offset and length", []string{"location", "w.bin", "offset", "4", "length", "16"}, ""},
		{"unknown keys", []string{"location", "w.bin", "offset", "4", "checksum", "0", "later", "x"}, ""},
		{"in a folder below", []string{"location", "sub/w.bin", "offset", "4"}, ""},
		{"link inside", []string{"location", "inside.bin", "offset", "4"}, ""},

		{"no offset", []string{"location", "w.bin"}, "wrong elements"},
		{
			"length of another type",
			[]string{"location", "w.bin", "length", "24"},
			`tensor "w": external data "w.bin": length 24, but the dimensions need 16 bytes`,
		},
		{
			"offset past the end",
			[]string{"location", "w.bin", "offset", "12"},
			`tensor "w": external data "w.bin": offset 12 and length 16 reach past the end of the file, which has 24 bytes`,
		},
		{
			"offset past everything",
			[]string{"location", "w.bin", "offset", "9223372036854775807"},
			`reach past the end of the file`,
		},
		{
			"offset of nonsense",
			[]string{"location", "w.bin", "offset", "0x10"},
			`external data: offset "0x10" is not a number of bytes`,
		},
		{
			"negative offset",
			[]string{"location", "w.bin", "offset", "-4"},
			`external data: offset "-4" is not a number of bytes`,
		},
		{
			"negative length",
			[]string{"location", "w.bin", "length", "-1"},
			`external data: length "-1" is not a number of bytes`,
		},
		{
			"missing",
			[]string{"location", "none.bin"},
			`tensor "w": external data "none.bin": no such file or directory`,
		},
		{"no location", nil, `tensor "w": external data "": the location is empty`},
		{
			"absolute",
			[]string{"location", "/etc/passwd"},
			`external data "/etc/passwd": the location leaves the model's folder`,
		},
		{
			"parent",
			[]string{"location", "../secret.bin"},
			`external data "../secret.bin": the location leaves the model's folder`,
		},
		{"parent inside", []string{"location", "sub/../w.bin"}, `the location leaves the model's folder`},
		{"parent of windows", []string{"location", `..\secret.bin`}, `the location leaves the model's folder`},
		{"link out", []string{"location", "outside.bin"}, `external data "outside.bin": a symbolic link in it leaves`},
		{
			"link out, absolute",
			[]string{"location", "absolute.bin"},
			`external data "absolute.bin": a symbolic link in it leaves`,
		},
		{
			"link to a folder out",
			[]string{"location", "up/secret.bin"},
			`external data "up/secret.bin": a symbolic link in it leaves`,
		},
		{
			"hard link",
			[]string{"location", "hard.bin"},
			`external data "hard.bin": the file has 2 names (hard links); copy it`,
		},
		{"folder", []string{"location", "sub"}, `external data "sub": not a regular file`},
		{"the folder itself", []string{"location", "."}, `external data ".": not a regular file`},
		{"zero byte", []string{"location", "w.bin\x00.txt"}, `external data "w.bin\x00.txt": invalid argument`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(c.name, "link") {
				return // making one takes privileges there
			}
			top := t.TempDir()
			dir := filepath.Join(top, "models")
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(os.MkdirAll(filepath.Join(dir, "sub"), 0o777))
			must(os.WriteFile(filepath.Join(top, "secret.bin"), content, 0o666))
			must(os.WriteFile(filepath.Join(dir, "w.bin"), content, 0o666))
			must(os.WriteFile(filepath.Join(dir, "sub", "w.bin"), content, 0o666))
			if strings.Contains(c.name, "link") {
				must(os.Symlink("w.bin", filepath.Join(dir, "inside.bin")))
				must(os.Symlink("../secret.bin", filepath.Join(dir, "outside.bin")))
				must(os.Symlink(filepath.Join(top, "secret.bin"), filepath.Join(dir, "absolute.bin")))
				must(os.Symlink("..", filepath.Join(dir, "up")))
				must(os.Link(filepath.Join(top, "secret.bin"), filepath.Join(dir, "hard.bin")))
			}
			path := externalModel(t, dir, c.keys...)
			m, err := Read(path)
			if c.want != "" && c.want != "wrong elements" {
				if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Check(); err != nil {
				t.Error(err)
			}
			got, err := Floats[float64](m.Graph.Initializers[0])
			if err != nil {
				t.Fatal(err)
			}
			first := 1.0
			if c.want != "" {
				first = 9 // without an offset the data starts at the front
			}
			if got[0] != first || got[3] != first+3 && first == 1 {
				t.Errorf("got %v", got)
			}
		})
	}
}

// The file that a model was read with has to stay as it is until its data is.
func TestExternalDataThatChanges(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(path string) error
	}{
		{"removed", "no such file", os.Remove},
		{"shorter", "has changed since", func(p string) error { return os.Truncate(p, 8) }},
		{
			"rewritten", "has changed since",
			func(p string) error { return os.Chtimes(p, time.Time{}, time.Now().Add(time.Hour)) },
		},
		{"replaced by a link out", "a symbolic link in it leaves", func(p string) error {
			out := filepath.Join(filepath.Dir(filepath.Dir(p)), "secret")
			return errors.Join(os.Remove(p), os.WriteFile(out, make([]byte, 16), 0o666), os.Symlink(out, p))
		}},
	} {
		if runtime.GOOS == "windows" && strings.Contains(c.name, "link") {
			continue // making one takes privileges there
		}
		dir := filepath.Join(t.TempDir(), "models")
		data := filepath.Join(dir, "w.bin")
		if err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(data, make([]byte, 16), 0o666)); err != nil {
			t.Fatal(err)
		}
		m, err := Read(externalModel(t, dir, "location", "w.bin"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.change(data); err != nil {
			t.Fatal(err)
		}
		if _, err := Floats[float32](m.Graph.Initializers[0]); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Floats: got error %v, want %q", c.name, err, c.want)
		}
		if err := m.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Check: got error %v, want %q", c.name, err, c.want)
		}
		out := filepath.Join(dir, "out.onnx")
		if _, err := Write(out, m, WriteOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Write: got error %v, want %q", c.name, err, c.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: Write left a file", c.name)
		}
	}
}
