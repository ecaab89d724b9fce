package verify_test

import (
	"context"
	"os"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// TestReduceMax: a maximum over axes that an input names, as opset 18 has it, of
// values that differ by rounding, with its levels recorded and without.
func TestReduceMax(t *testing.T) {
	b := newNetBuilder(5)
	b.m.Opsets[0].Version = 19
	b.shape = []int64{2, 5, 6}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	b.at = "x"
	b.node("Conv", []string{"x", b.random("w", 3, 2, 3, 3), b.random("bias", 3)})
	b.node("ReduceMax", []string{b.at, b.list("axes", 3, 2)}, onnxio.IntAttr("keepdims", 0))
	b.node("Gemm", []string{b.at, b.random("fc", 3, 5)})
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: b.typeOf([]int64{5})}}
	for _, maximum := range convert.MaxPools() {
		efcn := converted(t, b.m, convert.Options{MaxPool: maximum})
		r, err := verify.Verify(context.Background(), b.m, efcn, verify.Options{Samples: 8})
		if err != nil {
			t.Fatalf("%v: %v", maximum, err)
		}
		if !r.Equal() || !r.Recorded {
			t.Errorf("%v: not equal", maximum)
			_ = r.WriteText(os.Stdout)
		}
		unrecorded(t, b.m, efcn, 5)
	}
}
