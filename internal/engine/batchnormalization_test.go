package engine

import (
	"math"
	"testing"

	"efcn/onnxio"
)

// TestBatchNormalizationTraining: what ONNX Runtime 1.32 gives, opsets 9 and 14,
// for x = 0…23 of shape [2,3,4], scale 1 2 3, B 0 1 2, mean 1, var 2, momentum 0.8.
// (Its saved variance of old opsets is one over a root; the page says variance.)
func TestBatchNormalizationTraining(t *testing.T) {
	x := &Tensor[float32]{Type: onnxio.Float32, Shape: []int{2, 3, 4}, F: make([]float32, 24)}
	for i := range x.F {
		x.F[i] = float32(i)
	}
	per := func(v ...float32) *Tensor[float32] {
		return &Tensor[float32]{Type: onnxio.Float32, Shape: []int{3}, F: v}
	}
	in := []*Tensor[float32]{x, per(1, 2, 3), per(0, 1, 2), per(1, 1, 1), per(2, 2, 2)}
	want := [][]float32{
		{-1.2288477, -1.0650014, -0.901155, -0.7373087},
		{2.3, 3.1, 3.9},
		{9.05, 9.05, 9.05},
		{7.5, 11.5, 15.5},
		{37.25, 37.25, 37.25},
	}
	for opset, outputs := range map[int64][]string{
		9: {"y", "m", "v", "sm", "sv"}, 14: {"y", "m", "v"},
		15: {"y", "", "v"},
	} {
		n := &onnxio.Node{
			OpType: "BatchNormalization", Inputs: []string{"x", "s", "b", "mean", "var"},
			Outputs: outputs, Attributes: []*onnxio.Attribute{onnxio.FloatAttr("momentum", 0.8)},
		}
		if opset >= 14 {
			n.Attributes = append(n.Attributes, onnxio.IntAttr("training_mode", 1))
		}
		out, err := RunNode(n, opset, in)
		if err != nil {
			t.Fatal(err)
		}
		for k, name := range outputs {
			for i, w := range want[k] {
				if name != "" && math.Abs(float64(out[k].F[i]-w)) > 2e-6*math.Abs(float64(w)) {
					t.Errorf("opset %d, %s[%d] = %g, want %g", opset, name, i, out[k].F[i], w)
				}
			}
		}
	}
}
