package convert_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/onnxio"
)

// TestGemmBetaZero: C is not read where beta is 0, so that NaN in it does not show,
// whatever is multiplied together. ONNX Runtime 1.32 gives what is without C.
func TestGemmBetaZero(t *testing.T) {
	model := func(c float32) *onnxio.Model {
		rng := rand.New(rand.NewPCG(3, 3)) // the same weights each time
		return small(17, []int64{2, 5, 5}, []*onnxio.Tensor{
			floats("w", rng, 3, 2, 3, 3), floats("g", rng, 4, 27), onnxio.NewTensor("c", []int64{1}, []float32{c}),
		}, node("Conv", "x w", "h"), node("Flatten", "h", "f"),
			node("Gemm", "f g c", "y", onnxio.IntAttr("transB", 1), onnxio.FloatAttr("alpha", 0.5), onnxio.FloatAttr("beta", 0)))
	}
	x := randomInput(rand.New(rand.NewPCG(4, 4)), 2, []int64{2, 5, 5})
	want := run(t, model(7), x)["y"]
	for _, fold := range convert.Folds() {
		for _, layout := range []record.Layout{record.Dense, record.Sparse, record.Local} {
			efcn := written(t, model(float32(math.NaN())), convert.Options{Fold: fold, Layout: layout})
			checkSame(t, run(t, efcn, x)["y"], want)
		}
	}
}
