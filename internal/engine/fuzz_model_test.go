package engine

import (
	"bytes"
	"context"
	"math"
	"testing"
	"time"

	"efcn/onnxio"
)

// FuzzModel reads and runs whatever parses as a model, on inputs of ones.
// It starts from small ONNX node tests.
func FuzzModel(f *testing.F) {
	cases := readNodeCases(f)
	for _, name := range []string{
		"test_if", "test_conv_with_autopad_same", "test_averagepool_2d_ceil", "test_gemm_all_attributes", "test_softmax_axis_0_expanded_ver18",
		"test_reshape_zero_dim", "test_slice", "test_resize_upsample_sizes_cubic", "test_scatternd_add", "test_layer_normalization_2d_axis0_expanded",
	} {
		if c := cases[name]; c != nil {
			addModel(f, c.model)
		}
	}
	s := sparseTensor[float32](matrix{2, 3, []float64{1, 2, math.NaN(), 3, 4, 5}}, true)
	addModel(f, sparseModel(s, op("Gemm x s c -> y"), false, 2, onnxio.NewTensor("c", []int64{3}, make([]float32, 3))))
	addModel(f, sparseModel(s, op("MatMul s x -> y"), true, 2))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := onnxio.ReadFrom(bytes.NewReader(content))
		if err != nil || m.Graph == nil {
			return
		}
		e, err := New[float32](m)
		if err != nil {
			return
		}
		e.elements = 1 << 18
		feeds := map[string]*Tensor[float32]{}
		for _, in := range e.Inputs() {
			shape := make([]int, len(in.Type.Shape))
			for i, d := range in.Type.Shape {
				shape[i] = 2
				if d.Known() {
					shape[i] = int(min(d.Value, 1<<16))
				}
			}
			v, err := (&exec[float32]{elements: e.elements}).alloc(in.Type.Elem, shape)
			if err != nil {
				return
			}
			for i := range v.F {
				v.F[i] = 1
			}
			feeds[in.Name] = v
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		out, err := e.Run(ctx, feeds)
		if err != nil {
			return
		}
		for name, v := range out {
			if err := v.Validate(); err != nil {
				t.Errorf("output %s: %v", name, err)
			}
		}
	})
}

func addModel(f *testing.F, m *onnxio.Model) {
	f.Helper()
	var b bytes.Buffer
	if _, err := onnxio.WriteTo(&b, m); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
}
