package finetune

import (
	"efcn/internal/kernel"
	"efcn/onnxio"
)

func init() { register("Cast", emitCast[float32], emitCast[float64]) }

// emitCast lets a value be: training computes in one precision.
// https://onnx.ai/onnx/operators/onnx__Cast.html
func emitCast[T kernel.Float](n *node[T]) error {
	to, err := n.Int("to", 0)
	if err != nil {
		return n.Wrap(err)
	}
	if t := onnxio.DataType(to); t != onnxio.Float32 && t != onnxio.Float64 {
		return n.Errorf("casts a computed value to %s, which rounds it and has no gradient; training takes casts to "+
			"float32 and float64", t)
	}
	return emitReshape(n)
}
