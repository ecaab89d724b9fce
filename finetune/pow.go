package finetune

import (
	"math"
	"slices"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

func init() { register("Pow", emitPow[float32], emitPow[float64]) }

// power is a to the b. The derivatives at a = 0 are PyTorch's: that by a is 0 where b
// is 0, that by b is 0 where b is not negative.
var power = pairwise{math.Pow, [2]func(a, b float64) float64{
	func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return b * math.Pow(a, b-1)
	},
	func(a, b float64) float64 {
		if a == 0 && b >= 0 {
			return 0
		}
		return math.Pow(a, b) * math.Log(a)
	},
}, cuda.PairPow}

// emitPow takes a constant base or exponent, neither of which is trained, or none.
// https://onnx.ai/onnx/operators/onnx__Pow.html
func emitPow[T kernel.Float](n *node[T]) error {
	var operands [2]operand[T]
	var err error
	for i := range operands {
		if operands[i], err = n.operand(i); err != nil {
			return err
		}
	}
	out, err := n.broadcastShape(operands)
	if err != nil {
		return err
	}
	if len(operands[1].fixed) != 1 || !slices.Equal(out, operands[0].dims) {
		return n.emitZip(power, operands)
	}
	switch b := float64(operands[1].fixed[0]); b {
	case 2:
		return n.emitElementwise(piecewise(func(v T) (T, T) { return v * v, 2 * v }).on(cuda.Pow, 2, 0))
	case 0.5:
		return n.emitElementwise(scalar[T](math.Sqrt, func(_, fv float64) float64 { return 0.5 / fv }).on(cuda.Sqrt, 0, 0))
	default:
		return n.emitElementwise(scalar[T](
			func(v float64) float64 { return power.value(v, b) },
			func(v, _ float64) float64 { return power.slopes[0](v, b) }).on(cuda.Pow, b, 0))
	}
}
