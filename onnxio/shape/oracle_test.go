package shape_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// load reads gzipped JSON that testdata/make_cases.py wrote.
func load(t testing.TB, name string, to any) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(to); err != nil {
		t.Fatal(err)
	}
}

// tensorType is [elem, [dims]]; a dimension is a number, a name, or null.
type tensorType struct {
	elem onnxio.DataType
	dims []any
}

func (w *tensorType) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&w.elem, &w.dims})
}

// differs says how a type falls short of what is wanted, "" if it does not.
func (w *tensorType) differs(got onnxio.TensorType) string {
	if got.Elem != w.elem {
		return "element type"
	}
	if !got.HasShape || len(got.Shape) != len(w.dims) {
		return "rank"
	}
	for i, want := range w.dims {
		d := got.Shape[i]
		switch v := want.(type) {
		case float64:
			if d.Value != int64(v) {
				return "dimension"
			}
		case string:
			if d.Known() || d.Param != v {
				return "symbol"
			}
		}
	}
	return ""
}

// The node tests whose output shapes cannot be inferred, each with the reason.
var excluded = map[string]string{
	"compress_0":             "how many elements are kept depends on data",
	"compress_1":             "how many elements are kept depends on data",
	"compress_bfloat16":      "how many elements are kept depends on data",
	"compress_default_axis":  "how many elements are kept depends on data",
	"compress_negative_axis": "how many elements are kept depends on data",
	"nonzero_example":        "how many elements are not zero depends on data",
	"not_2d":                 "written against operator set 1",
	"not_3d":                 "written against operator set 1",
	"not_4d":                 "written against operator set 1",
}

func TestNodeCases(t *testing.T) {
	var cases []struct {
		Name    string
		Model   []byte
		Outputs map[string]*tensorType
	}
	load(t, "node_cases.json.gz", &cases)
	passed := 0
	for _, c := range cases {
		if _, ok := excluded[c.Name]; ok {
			continue
		}
		m, err := onnxio.ReadFrom(bytes.NewReader(c.Model))
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		ok := true
		for name, want := range c.Outputs {
			got, _ := info.Type(name)
			if diff := want.differs(got); diff != "" {
				t.Errorf("%s: %s of %q: got %v, want %v", c.Name, diff, name, got, *want)
				ok = false
			}
		}
		if ok {
			passed++
		}
	}
	if want := 1372; len(cases) != want || passed != want-len(excluded) {
		t.Errorf("%d of %d cases passed and %d are excluded; want %d in all", passed, len(cases), len(excluded), want)
	}
}

// TestModels compares every value of the models in testdata with what
// onnx.shape_inference says of it.
func TestModels(t *testing.T) {
	var models map[string]map[string]*tensorType
	load(t, "model_shapes.json.gz", &models)
	compared := 0
	for name, values := range models {
		m, err := onnxio.Read(filepath.Join("..", "..", "testdata", "models", name, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		for _, declared := range []string{"kept", "dropped"} {
			if declared == "dropped" {
				m.Graph.ValueInfos = nil
				for _, o := range m.Graph.Outputs {
					o.Type = onnxio.TensorType{}
				}
			}
			info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
			if err != nil {
				t.Errorf("%s, declared types %s: %v", name, declared, err)
				continue
			}
			if u := info.Unknown(); len(u) > 0 {
				t.Errorf("%s: node %q (%s) is unknown", name, u[0].Label(), u[0].OpType)
			}
			for v, want := range values {
				got, _ := info.Type(v)
				if diff := want.differs(got); diff != "" {
					t.Errorf("%s: declared types %s: %s of %q: got %v, want %v", name, declared, diff, v, got, *want)
				}
				compared++
			}
		}
	}
	if want := 442; compared != want {
		t.Errorf("compared %d values, want %d", compared, want)
	}
}
