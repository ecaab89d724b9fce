package finetune

import (
	"slices"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

func init() {
	register("PRelu", emitPRelu[float32], emitPRelu[float64], func(o *operator) { o.reset = resetPRelu })
}

func resetPRelu(r *reinitializer, n *onnxio.Node) error {
	if r.t.initializers[n.Input(1)] == nil {
		return nil // computed
	}
	return r.resetVectors(n, 0.25)
}

// leak is a above 0 and a·b below. At 0 the derivative by a is b, as in PyTorch.
var leak = pairwise{
	func(a, b float64) float64 {
		if a < 0 {
			return a * b
		}
		return a
	},
	[2]func(a, b float64) float64{
		func(a, b float64) float64 {
			if a > 0 {
				return 1
			}
			return b
		},
		func(a, _ float64) float64 { return min(a, 0) },
	},
	cuda.PairLeak,
}

// emitPRelu trains the slope where it is a constant. The slope is broadcast to x, and
// not the other way. https://onnx.ai/onnx/operators/onnx__PRelu.html
func emitPRelu[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	slope, err := n.operand(1)
	if err != nil {
		return err
	}
	operands := [2]operand[T]{n.computed(x), slope}
	out, err := n.broadcastShape(operands)
	if err != nil {
		return err
	}
	if !slices.Equal(out[1:], x.shape) {
		return n.Errorf("a slope of shape %v is not broadcast to a value of shape %v a sample", slope.dims, x.shape)
	}
	if slope.value == nil {
		t, err := n.constant(1)
		if err != nil {
			return err
		}
		if operands[1].param, err = n.vector(1, x, t); err != nil {
			return err
		}
	}
	return n.emitZip(leak, operands)
}
