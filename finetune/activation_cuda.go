package finetune

import (
	"math"

	"efcn/internal/cuda"
)

// deviceFunction is a function of one element on a device; rectifier is ReLU, which has
// kernels of its own.
type deviceFunction struct {
	function  cuda.Function
	a, b      float64
	rectifier bool
}

// on returns e with its form on a device.
func (e elementwise[T]) on(f cuda.Function, a, b float64) elementwise[T] {
	e.device = &deviceFunction{function: f, a: a, b: b}
	return e
}

// deviceNeeds: the kernels of functions are given both.
func (e elementwise[T]) deviceNeeds() needs {
	if e.device != nil && !e.device.rectifier {
		return needs{inputs: true, output: true}
	}
	return e.need
}

func (e elementwise[T]) onDevice(*formMaker[T]) (deviceForm[T], error) {
	f := e.device
	switch {
	case f == nil:
		return deviceForm[T]{}, errNoForm
	case f.rectifier:
		return deviceForm[T]{
			forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
				return cuda.Clip(s, y, in[0], 0, T(math.Inf(1)))
			},
			backward: func(s *cuda.Stream, p devicePass[T]) error { return cuda.Gate(s, p.din[0], p.out, p.dout) },
		}, nil
	}
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.Apply(s, f.function, f.a, f.b, in[0], y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return cuda.ApplyBackward(s, f.function, f.a, f.b, p.in[0], p.out, p.dout, p.din[0])
		},
	}, nil
}
