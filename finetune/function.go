package finetune

import "math"

// Functions of one element without attributes, with their derivatives, which may
// use the function's value. Where there is no derivative it is what PyTorch has
// there: that of Abs is 0 at 0, and Ceil, Floor, Round and Sign have 0 at their
// steps, as everywhere.
func init() {
	flat := func(float64, float64) float64 { return 0 }
	for name, f := range map[string]struct {
		f  func(v float64) float64
		df func(v, fv float64) float64
	}{
		"Abs":        {math.Abs, func(v, _ float64) float64 { return signOf(v) }},
		"Acos":       {math.Acos, func(v, _ float64) float64 { return -1 / math.Sqrt((1-v)*(1+v)) }},
		"Acosh":      {math.Acosh, func(v, _ float64) float64 { return 1 / math.Sqrt((v-1)*(v+1)) }},
		"Asin":       {math.Asin, func(v, _ float64) float64 { return 1 / math.Sqrt((1-v)*(1+v)) }},
		"Asinh":      {math.Asinh, func(v, _ float64) float64 { return 1 / math.Hypot(v, 1) }},
		"Atan":       {math.Atan, func(v, _ float64) float64 { return 1 / (1 + v*v) }},
		"Atanh":      {math.Atanh, func(v, _ float64) float64 { return 1 / ((1 - v) * (1 + v)) }},
		"Ceil":       {math.Ceil, flat},
		"Cos":        {math.Cos, func(v, _ float64) float64 { return -math.Sin(v) }},
		"Cosh":       {math.Cosh, func(v, _ float64) float64 { return math.Sinh(v) }},
		"Erf":        {math.Erf, func(v, _ float64) float64 { return 2 / math.SqrtPi * math.Exp(-v*v) }},
		"Exp":        {math.Exp, func(_, fv float64) float64 { return fv }},
		"Floor":      {math.Floor, flat},
		"Log":        {math.Log, func(v, _ float64) float64 { return 1 / v }},
		"Mish":       {mish, mishSlope},
		"Reciprocal": {func(v float64) float64 { return 1 / v }, func(_, fv float64) float64 { return -fv * fv }},
		"Round":      {math.RoundToEven, flat},
		"Sigmoid":    {sigmoid, func(_, fv float64) float64 { return fv * (1 - fv) }},
		"Sign":       {signOf, flat},
		"Sin":        {math.Sin, func(v, _ float64) float64 { return math.Cos(v) }},
		"Sinh":       {math.Sinh, func(v, _ float64) float64 { return math.Cosh(v) }},
		"Softplus":   {softplus, func(v, _ float64) float64 { return sigmoid(v) }},
		"Softsign": {func(v float64) float64 { return v / (1 + math.Abs(v)) }, func(v, _ float64) float64 {
			d := 1 + math.Abs(v)
			return 1 / (d * d)
		}},
		"Sqrt": {math.Sqrt, func(_, fv float64) float64 { return 0.5 / fv }},
		"Tan":  {math.Tan, func(_, fv float64) float64 { return 1 + fv*fv }},
		"Tanh": {math.Tanh, func(_, fv float64) float64 { return 1 - fv*fv }},
	} {
		register(name,
			func(n *node[float32]) error { return n.emitElementwise(scalar[float32](f.f, f.df)) },
			func(n *node[float64]) error { return n.emitElementwise(scalar[float64](f.f, f.df)) })
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
