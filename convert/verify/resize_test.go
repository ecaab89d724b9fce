package verify_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// TestResizes: a Resize in front of a convolution is not flagged, whatever places
// it samples, and multiplied into the convolution or not.
func TestResizes(t *testing.T) {
	layers := make(map[string]int)
	for _, coordinate := range []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"} {
		for _, mode := range []string{"linear", "nearest"} {
			for i, scales := range [][]float32{{2, 1}, {0.6, 1.7}, nil} {
				b := newNetBuilder(9)
				b.m.Opsets[0].Version = 19
				b.shape = []int64{2, 5, 7}
				b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
				inputs := []string{"x", "roi", "", ""}
				b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor("roi", []int64{4}, []float32{0, 0.2, 0.9, 1}))
				if scales != nil {
					b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor("scales", []int64{2}, scales))
					inputs[2] = "scales"
				} else {
					inputs[3] = b.list("sizes", 9, 4)
				}
				b.node("Resize", inputs, onnxio.StringAttr("mode", mode), onnxio.IntsAttr("axes", 2, 3),
					onnxio.StringAttr("coordinate_transformation_mode", coordinate), onnxio.StringAttr("nearest_mode", "round_prefer_ceil"))
				b.node("Conv", []string{b.at, b.random("w", 2, 2, 2, 2)})
				b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: onnxio.TensorType{Elem: onnxio.Float32}}}
				for _, o := range []convert.Options{{}, {Layout: record.Local, Fold: convert.FoldAll}} {
					efcn := converted(t, b.m, o)
					r, err := verify.Verify(context.Background(), b.m, efcn, verify.Options{Samples: 4})
					if err != nil {
						t.Fatal(err)
					}
					if !r.Equal() {
						t.Errorf("%s %s %d %v: flagged", coordinate, mode, i, o.Fold)
						_ = r.WriteText(os.Stdout)
					}
					for _, l := range r.Layers {
						layers[fmt.Sprint(mode, " ", l.Op)]++
					}
				}
			}
		}
	}
	for _, what := range []string{"linear Resize", "linear Product", "linear Conv", "nearest Product", "nearest Conv"} {
		if layers[what] < 10 {
			t.Errorf("%d of %s", layers[what], what)
		}
	}
}
