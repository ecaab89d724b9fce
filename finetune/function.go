package finetune

import (
	"math"

	"efcn/internal/cuda"
)

// Functions of one element without attributes, with their derivatives, which may
// use the function's value. Where there is no derivative it is what PyTorch has
// there: that of Abs is 0 at 0, and Ceil, Floor, Round and Sign have 0 at their
// steps, as everywhere.
func init() {
	flat := func(float64, float64) float64 { return 0 }
	for name, f := range map[string]struct {
		f  func(v float64) float64
		df func(v, fv float64) float64
		on cuda.Function
	}{
		"Abs":   {math.Abs, func(v, _ float64) float64 { return signOf(v) }, cuda.Abs},
		"Acos":  {math.Acos, func(v, _ float64) float64 { return -1 / math.Sqrt((1-v)*(1+v)) }, cuda.Acos},
		"Acosh": {math.Acosh, func(v, _ float64) float64 { return 1 / math.Sqrt((v-1)*(v+1)) }, cuda.Acosh},
		"Asin":  {math.Asin, func(v, _ float64) float64 { return 1 / math.Sqrt((1-v)*(1+v)) }, cuda.Asin},
		"Asinh": {math.Asinh, func(v, _ float64) float64 { return 1 / math.Hypot(v, 1) }, cuda.Asinh},
		"Atan":  {math.Atan, func(v, _ float64) float64 { return 1 / (1 + v*v) }, cuda.Atan},
		"Atanh": {math.Atanh, func(v, _ float64) float64 { return 1 / ((1 - v) * (1 + v)) }, cuda.Atanh},
		"Ceil":  {math.Ceil, flat, cuda.Ceil},
		"Cos":   {math.Cos, func(v, _ float64) float64 { return -math.Sin(v) }, cuda.Cos},
		"Cosh":  {math.Cosh, func(v, _ float64) float64 { return math.Sinh(v) }, cuda.Cosh},
		"Erf":   {math.Erf, func(v, _ float64) float64 { return 2 / math.SqrtPi * math.Exp(-v*v) }, cuda.Erf},
		"Exp":   {math.Exp, func(_, fv float64) float64 { return fv }, cuda.Exp},
		"Floor": {math.Floor, flat, cuda.Floor},
		"Log":   {math.Log, func(v, _ float64) float64 { return 1 / v }, cuda.Log},
		"Mish":  {mish, mishSlope, cuda.Mish},
		"Reciprocal": {
			func(v float64) float64 { return 1 / v }, func(_, fv float64) float64 { return -fv * fv }, cuda.Reciprocal,
		},
		"Round":    {math.RoundToEven, flat, cuda.Round},
		"Sigmoid":  {sigmoid, func(_, fv float64) float64 { return fv * (1 - fv) }, cuda.Sigmoid},
		"Sign":     {signOf, flat, cuda.Sign},
		"Sin":      {math.Sin, func(v, _ float64) float64 { return math.Cos(v) }, cuda.Sin},
		"Sinh":     {math.Sinh, func(v, _ float64) float64 { return math.Cosh(v) }, cuda.Sinh},
		"Softplus": {softplus, func(v, _ float64) float64 { return sigmoid(v) }, cuda.Softplus},
		"Softsign": {func(v float64) float64 { return v / (1 + math.Abs(v)) }, func(v, _ float64) float64 {
			d := 1 + math.Abs(v)
			return 1 / (d * d)
		}, cuda.Softsign},
		"Sqrt": {math.Sqrt, func(_, fv float64) float64 { return 0.5 / fv }, cuda.Sqrt},
		"Tan":  {math.Tan, func(_, fv float64) float64 { return 1 + fv*fv }, cuda.Tan},
		"Tanh": {math.Tanh, func(_, fv float64) float64 { return 1 - fv*fv }, cuda.Tanh},
	} {
		register(name,
			func(n *node[float32]) error { return n.emitElementwise(scalar[float32](f.f, f.df).on(f.on, 0, 0)) },
			func(n *node[float64]) error { return n.emitElementwise(scalar[float64](f.f, f.df).on(f.on, 0, 0)) })
	}
}

func signOf(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	default:
		return v
	}
}

func sigmoid(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

func softplus(v float64) float64 { return max(v, 0) + math.Log1p(math.Exp(-math.Abs(v))) }

func mish(v float64) float64 { return v * math.Tanh(softplus(v)) }

func mishSlope(v, _ float64) float64 {
	t := math.Tanh(softplus(v))
	return t + v*(1-t*t)*sigmoid(v)
}
