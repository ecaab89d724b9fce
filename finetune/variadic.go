package finetune

import (
	"math"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// Sum, Mean, Max and Min of any number of operands, broadcast; constants among them
// are not trained. https://onnx.ai/onnx/operators/onnx__Max.html and others.
func init() {
	register("Sum", emitSum[float32], emitSum[float64])
	register("Mean", emitMean[float32], emitMean[float64])
	register("Max", emitMax[float32], emitMax[float64])
	register("Min", emitMin[float32], emitMin[float64])
}

// The greater and the lesser of two, NaN if either is. Equal ones share the
// derivative, as in PyTorch.
var (
	greater = pairwise{math.Max, [2]func(a, b float64) float64{
		func(a, b float64) float64 { return share(a, b) },
		func(a, b float64) float64 { return share(b, a) },
	}, cuda.PairMax}
	lesser = pairwise{math.Min, [2]func(a, b float64) float64{
		func(a, b float64) float64 { return share(b, a) },
		func(a, b float64) float64 { return share(a, b) },
	}, cuda.PairMin}
)

// share is 1 where a is above b, half where they are equal, else 0.
func share(a, b float64) float64 {
	switch {
	case a > b:
		return 1
	case a == b:
		return 0.5
	default:
		return 0
	}
}

func emitSum[T kernel.Float](n *node[T]) error { return n.emitVariadic(sumOf, 1) }

func emitMean[T kernel.Float](n *node[T]) error {
	return n.emitVariadic(sumOf, 1/float64(len(n.Inputs)))
}

func emitMax[T kernel.Float](n *node[T]) error { return n.emitVariadic(greater, 1) }

func emitMin[T kernel.Float](n *node[T]) error { return n.emitVariadic(lesser, 1) }

// emitVariadic applies f to the operands one after the other, computed ones first,
// and multiplies what it comes to by factor.
func (n *node[T]) emitVariadic(f pairwise, factor float64) error {
	var operands, constants []operand[T]
	for i := range n.Inputs {
		a, err := n.operand(i)
		if err != nil {
			return err
		}
		if a.value != nil {
			operands = append(operands, a)
		} else {
			constants = append(constants, a)
		}
	}
	operands = append(operands, constants...)
	if len(operands) == 1 {
		return emitReshape(n) // itself
	}
	last := len(operands) - 1
	if factor != 1 {
		last++
	}
	result := operands[0]
	for _, a := range operands[1:last] {
		v, err := n.between(f, [2]operand[T]{result, a})
		if err != nil {
			return err
		}
		result = n.computed(v)
	}
	if factor != 1 {
		x := *result.value
		s, _ := n.spread(x, nil)
		return n.emit(&scale[T]{s, []T{T(factor)}}, x.shape, []value{x})
	}
	return n.emitZip(f, [2]operand[T]{result, operands[last]})
}
