package verify_test

import (
	"context"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// TestExporterChains verifies conversions of what exporters write around the
// layers: bounds that are computed from shapes, and joined batches.
func TestExporterChains(t *testing.T) {
	list := func(name string, v ...int64) *onnxio.Tensor {
		return onnxio.NewTensor(name, []int64{int64(len(v))}, v)
	}
	value := func(name string, dims ...onnxio.Dim) *onnxio.ValueInfo {
		return &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: dims}}
	}
	op := func(opType string, in []string, out string, attrs ...*onnxio.Attribute) *onnxio.Node {
		return &onnxio.Node{Name: out + "_node", OpType: opType, Inputs: in, Outputs: []string{out}, Attributes: attrs}
	}
	batch, channels := onnxio.Symbol("N"), onnxio.Fixed(4)
	tests := map[string]*onnxio.Graph{
		// x.chunk(2, 1)[1]: the bounds are half and all of the channels.
		"chunk": {
			Initializers: []*onnxio.Tensor{list("one", 1), list("two", 2)},
			Inputs:       []*onnxio.ValueInfo{value("x", batch, channels, onnxio.Fixed(3))},
			Outputs:      []*onnxio.ValueInfo{value("y", batch, onnxio.Fixed(2), onnxio.Fixed(3))},
			Nodes: []*onnxio.Node{
				op("Shape", []string{"x"}, "shape"), op("Gather", []string{"shape", "one"}, "all", onnxio.IntAttr("axis", 0)),
				op("Div", []string{"all", "two"}, "half"), op("Slice", []string{"x", "half", "all", "one"}, "y"),
			},
		},
		"joined batches": {
			Inputs:  []*onnxio.ValueInfo{value("x", batch, channels)},
			Outputs: []*onnxio.ValueInfo{value("y", onnxio.Symbol("M"), channels)},
			Nodes:   []*onnxio.Node{op("Relu", []string{"x"}, "r"), op("Concat", []string{"x", "r"}, "y", onnxio.IntAttr("axis", 0))},
		},
	}
	for name, g := range tests {
		t.Run(name, func(t *testing.T) {
			g.Name = "test"
			cnn := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: g}
			if err := cnn.Check(); err != nil {
				t.Fatal(err)
			}
			r, err := verify.Verify(context.Background(), cnn, converted(t, cnn, convert.Options{}), verify.Options{Samples: 4})
			if err != nil || !r.Equal() {
				t.Errorf("%v, %+v", err, r.Findings)
			}
		})
	}
}
