package engine

import (
	"math"

	"efcn/internal/kernel"
)

// Functions of one floating-point element without attributes.
func init() {
	unary("Relu", relu[float32], relu[float64])
	register(operator{name: "Sigmoid", inputs: "f"}, sigmoids[float32], sigmoids[float64])
	unary("Tanh", each(tanh[float32]), each(tanh[float64]))
	unary("Softplus", each(softplus[float32]), each(softplus[float64]))
	unary("Softsign", each(softsign[float32]), each(softsign[float64]))
	unary("Mish", each(mish[float32]), each(mish[float64]))
	unary("HardSwish", kernel.HardSwish[float32], kernel.HardSwish[float64])
	for _, f := range []struct {
		name string
		f    func(float64) float64
	}{
		{"Exp", math.Exp},
		{"Log", math.Log},
		{"Sqrt", math.Sqrt},
		{"Reciprocal", func(x float64) float64 { return 1 / x }},
		{"Erf", math.Erf},
		{"Ceil", math.Ceil},
		{"Floor", math.Floor},
		{"Round", math.RoundToEven},
		{"Sin", math.Sin},
		{"Cos", math.Cos},
		{"Tan", math.Tan},
		{"Asin", math.Asin},
		{"Acos", math.Acos},
		{"Atan", math.Atan},
		{"Sinh", math.Sinh},
		{"Cosh", math.Cosh},
		{"Asinh", math.Asinh},
		{"Acosh", math.Acosh},
		{"Atanh", math.Atanh},
	} {
		unary(f.name,
			each(func(v float32) float32 { return float32(f.f(float64(v))) }), each(f.f))
	}
}

// unary registers an operator that maps a floating-point value element by
// element, from functions that map a stretch of it.
func unary(name string, row32 func(dst, src []float32), row64 func(dst, src []float64)) {
	inputs := "f"
	if name == "Relu" { // integers since version 14
		inputs = "n"
	}
	register(operator{name: name, inputs: inputs}, mapped(row32), mapped(row64))
}

// each maps a stretch with a function of one element.
func each[T kernel.Float](f func(T) T) func(dst, src []T) {
	return func(dst, src []T) {
		for i, v := range src {
			dst[i] = f(v)
		}
	}
}

func mapped[T kernel.Float](row func(dst, src []T)) builder[T] {
	return func(n *node) (compute[T], error) {
		n.follow = mapFollower(row)
		n.eitherLayout = true
		if n.OpType == "Relu" {
			n.bounds = bounds[T](func([]*Tensor[T]) (lo, hi T, ok bool) { return 0, T(math.Inf(1)), true })
		}
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) { return one(x.apply(in[0], row)) }, nil
	}
}

// mapFollower is what a mapped operator does as a follower. row must do with dst
// and src the same.
func mapFollower[T kernel.Float](row func(dst, src []T)) follower[T] {
	return func(*Tensor[T], []*Tensor[T]) kernel.Then[T] {
		return func(_ int, part []T) { row(part, part) }
	}
}

// apply maps a floating-point value stretch by stretch, in parallel; row may be
// given the same for dst and src.
func (x *exec[T]) apply(v *Tensor[T], row func(dst, src []T)) (*Tensor[T], error) {
	y, err := x.over(v)
	if err != nil {
		return nil, err
	}
	y.last = v.last
	kernel.Parallel(len(v.F), rowGrain/4, func(lo, hi int) { row(y.F[lo:hi], v.F[lo:hi]) })
	for i, e := range v.I { // only Relu takes integers
		y.I[i] = max(e, 0)
	}
	return y, nil
}

// relu keeps NaN, as the comparison is false for it.
func relu[T kernel.Float](dst, src []T) {
	kernel.Clip(dst, src, 0, T(math.Inf(1)))
}

// sigmoids is Sigmoid, in a packed run by vector code.
func sigmoids[T kernel.Float](n *node) (compute[T], error) {
	plain, err := mapped(each(sigmoid[T]))(n)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		if x.packed {
			return one(x.apply(in[0], kernel.Sigmoid[T]))
		}
		return plain(x, in)
	}, err
}

// sigmoid takes exp of a number that isn't positive, which can't overflow.
func sigmoid[T kernel.Float](v T) T {
	x := float64(v)
	if x >= 0 {
		return T(1 / (1 + math.Exp(-x)))
	}
	e := math.Exp(x)
	return T(e / (1 + e))
}

func tanh[T kernel.Float](v T) T { return T(math.Tanh(float64(v))) }

// softplus is log(1+exp(x)) without overflow for large x.
func softplus[T kernel.Float](v T) T {
	x := float64(v)
	return T(max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))))
}

func softsign[T kernel.Float](v T) T {
	return T(float64(v) / (1 + math.Abs(float64(v))))
}

func mish[T kernel.Float](v T) T {
	x := float64(v)
	return T(x * math.Tanh(max(x, 0)+math.Log1p(math.Exp(-math.Abs(x)))))
}
