package cuda

import "efcn/internal/kernel"

// Function is a function of one element, by the name that ONNX has for it. Some have
// parameters A and B.
type Function int

// The functions, in the order of kernels/function.cu.
const (
	Abs Function = iota
	Acos
	Acosh
	Asin
	Asinh
	Atan
	Atanh
	Ceil
	Celu     // A: alpha
	ClipBoth // Clip from A to B
	Cos
	Cosh
	Elu // A: alpha; B: gamma of Selu, 1 for Elu
	Erf
	Exp
	Floor
	Gelu
	GeluTanh    // Gelu with approximate = "tanh"
	HardSigmoid // A: alpha; B: beta
	HardSwish
	LeakyRelu // A: alpha
	Log
	Mish
	Pow // A: the exponent
	Reciprocal
	Round
	Shrink // A: lambd; B: bias
	Sigmoid
	Sign
	Sin
	Sinh
	Softplus
	Softsign
	Sqrt
	Swish // A: alpha
	Tan
	Tanh
	ThresholdedRelu // A: alpha
	functionCount
)

// Apply computes y = f(x) in float64, rounded once to T; y may be x.
func Apply[T kernel.Float](s *Stream, f Function, a, b float64, x, y Buffer[T]) error {
	if err := check("function", need{"y", y.n, x.n}); err != nil {
		return err
	}
	return launch[T](s, "function", over(x.n), x.n, word(f), a, b, x, y)
}

// ApplyBackward computes dx = dy·f′(x) in float64, rounded once to T; y is f(x). dx may be
// dy. At a kink f′ is what PyTorch has there.
func ApplyBackward[T kernel.Float](s *Stream, f Function, a, b float64, x, y, dy, dx Buffer[T]) error {
	err := check("function_backward", need{"y", y.n, x.n}, need{"dy", dy.n, x.n}, need{"dx", dx.n, x.n})
	if err != nil {
		return err
	}
	return launch[T](s, "function_backward", over(x.n), x.n, word(f), a, b, x, y, dy, dx)
}
