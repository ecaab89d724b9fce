package finetune

import (
	"errors"
	"math"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// Activations that have attributes, and Relu. At a kink the derivative is PyTorch's:
// Relu, ThresholdedRelu and Shrink have 0 there, LeakyRelu, Elu, Selu and Celu what
// they have below 0, Clip, HardSigmoid and HardSwish what they have outside their
// bounds.
func init() {
	register("Relu", emitRelu[float32], emitRelu[float64])
	register("LeakyRelu", emitLeakyRelu[float32], emitLeakyRelu[float64])
	register("Elu", emitElu[float32], emitElu[float64])
	register("Selu", emitSelu[float32], emitSelu[float64])
	register("Clip", emitClip[float32], emitClip[float64])
	register("HardSigmoid", emitHardSigmoid[float32], emitHardSigmoid[float64])
	register("HardSwish", emitHardSwish[float32], emitHardSwish[float64])
	register("Celu", emitCelu[float32], emitCelu[float64])
	register("ThresholdedRelu", emitThresholdedRelu[float32], emitThresholdedRelu[float64])
	register("Swish", emitSwish[float32], emitSwish[float64])
	register("Shrink", emitShrink[float32], emitShrink[float64])
	register("Gelu", emitGelu[float32], emitGelu[float64])
}

// elementGrain is the least number of elements worth a goroutine of their own.
const elementGrain = 1 << 13

// elementwise applies a function of one element. value computes dst from src;
// slope computes dsrc from what value had and gave, and the gradient at dst.
type elementwise[T kernel.Float] struct {
	value func(dst, src []T)
	slope func(dsrc, src, dst, ddst []T)
	need  needs // slope is given nil for what it does not need
	// device is the same on a device; nil for none.
	device *deviceFunction
}

func (e elementwise[T]) needs() needs { return e.need }

func (e elementwise[T]) forward(in [][]T, out []T) {
	kernel.Parallel(len(out), elementGrain, func(lo, hi int) { e.value(out[lo:hi], in[0][lo:hi]) })
}

func (e elementwise[T]) backward(p pass[T]) {
	kernel.Parallel(len(p.dout), elementGrain, func(lo, hi int) {
		var src, dst []T
		if e.need.inputs {
			src = p.in[0][lo:hi]
		}
		if e.need.output {
			dst = p.out[lo:hi]
		}
		e.slope(p.din[0][lo:hi], src, dst, p.dout[lo:hi])
	})
}

// scalar makes an elementwise layer of a function f and its derivative df, in
// float64, where df may use the function's value.
func scalar[T kernel.Float](f func(v float64) float64, df func(v, fv float64) float64) elementwise[T] {
	return elementwise[T]{
		value: func(dst, src []T) {
			for i, v := range src {
				dst[i] = T(f(float64(v)))
			}
		},
		slope: func(dsrc, src, dst, ddst []T) {
			for i, g := range ddst {
				dsrc[i] = T(float64(g) * df(float64(src[i]), float64(dst[i])))
			}
		},
		need: needs{inputs: true, output: true},
	}
}

func (n *node[T]) emitElementwise(e elementwise[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	return n.emit(e, x.shape, []value{x})
}

func emitRelu[T kernel.Float](n *node[T]) error {
	if n.pooledAlone() {
		x, err := n.activation(0)
		if err != nil {
			return err
		}
		x.rectify = true
		n.b.values[n.Output(0)] = x
		return nil
	}
	return n.emitElementwise(elementwise[T]{
		value: func(dst, src []T) { kernel.Clip(dst, src, 0, T(math.Inf(1))) },
		slope: func(dsrc, _, dst, ddst []T) { kernel.Gate(dsrc, dst, ddst) },
		need:  needs{output: true, inPlace: true},

		device: &deviceFunction{rectifier: true},
	})
}

func emitLeakyRelu[T kernel.Float](n *node[T]) error {
	alpha, err := n.Float("alpha", 0.01)
	if err != nil {
		return n.Wrap(err)
	}
	return n.emitElementwise(piecewise(func(v T) (T, T) {
		if v <= 0 {
			return v * T(alpha), T(alpha)
		}
		return v, 1
	}).on(cuda.LeakyRelu, float64(alpha), 0))
}

// piecewise makes an elementwise layer of a function that returns its value
// and its slope.
func piecewise[T kernel.Float](f func(v T) (value, slope T)) elementwise[T] {
	return elementwise[T]{
		value: func(dst, src []T) {
			for i, v := range src {
				dst[i], _ = f(v)
			}
		},
		slope: func(dsrc, src, _, ddst []T) {
			for i, g := range ddst {
				_, s := f(src[i])
				dsrc[i] = g * s
			}
		},
		need: needs{inputs: true},
	}
}

func emitElu[T kernel.Float](n *node[T]) error {
	alpha, err := n.Float("alpha", 1)
	if err != nil {
		return n.Wrap(err)
	}
	return n.emitElementwise(exponential[T](float64(alpha), 1).on(cuda.Elu, float64(alpha), 1))
}

func emitSelu[T kernel.Float](n *node[T]) error {
	alpha, err := n.Float("alpha", 1.67326319217681884765625)
	if err != nil {
		return n.Wrap(err)
	}
	gamma, err := n.Float("gamma", 1.05070102214813232421875)
	if err != nil {
		return n.Wrap(err)
	}
	return n.emitElementwise(exponential[T](float64(alpha), float64(gamma)).on(cuda.Elu, float64(alpha), float64(gamma)))
}

// emitCelu is v above 0 and alpha·(e^(v/alpha) − 1) below.
func emitCelu[T kernel.Float](n *node[T]) error {
	alpha, err := n.Float("alpha", 1)
	if err != nil {
		return n.Wrap(err)
	}
	if alpha == 0 {
		return n.Errorf("attribute alpha: 0 divides by zero")
	}
	a := float64(alpha)
	return n.emitElementwise(scalar[T](
		func(v float64) float64 {
			if v > 0 {
				return v
			}
			return a * math.Expm1(v/a)
		},
		func(v, _ float64) float64 {
			if v > 0 {
				return 1
			}
			return math.Exp(v / a)
		}).on(cuda.Celu, a, 0))
}

func emitThresholdedRelu[T kernel.Float](n *node[T]) error {
	alpha, err := n.Float("alpha", 1)
	if err != nil {
		return n.Wrap(err)
	}
	return n.emitElementwise(piecewise(func(v T) (T, T) {
		if v <= T(alpha) {
			return 0, 0
		}
		return v, 1
	}).on(cuda.ThresholdedRelu, float64(alpha), 0))
}

// emitShrink brings v nearer to 0 by bias, and to 0 where it is within lambd of it.
func emitShrink[T kernel.Float](n *node[T]) error {
	bias, errBias := n.Float("bias", 0)
	lambd, errLambd := n.Float("lambd", 0.5)
	if err := errors.Join(errBias, errLambd); err != nil {
		return n.Wrap(err)
	}
	return n.emitElementwise(piecewise(func(v T) (T, T) {
		switch {
		case v < -T(lambd):
			return v + T(bias), 1
		case v > T(lambd):
			return v - T(bias), 1
		default:
			return 0, 0
		}
	}).on(cuda.Shrink, float64(lambd), float64(bias)))
}

func emitSwish[T kernel.Float](n *node[T]) error {
	alpha, err := n.Float("alpha", 1)
	if err != nil {
		return n.Wrap(err)
	}
	a := float64(alpha)
	return n.emitElementwise(scalar[T](
		func(v float64) float64 { return v * sigmoid(a*v) },
		func(v, _ float64) float64 {
			s := sigmoid(a * v)
			return s + a*v*s*(1-s)
		}).on(cuda.Swish, a, 0))
}

// exponential is gamma·v above 0 and gamma·alpha·(eᵛ − 1) below.
func exponential[T kernel.Float](alpha, gamma float64) elementwise[T] {
	return scalar[T](
		func(v float64) float64 {
			if v > 0 {
				return gamma * v
			}
			return gamma * alpha * math.Expm1(v)
		},
		func(v, fv float64) float64 {
			if v > 0 {
				return gamma
			}
			return fv + gamma*alpha
		})
}

// emitClip reads the bounds from attributes up to opset 10, from inputs after.
func emitClip[T kernel.Float](n *node[T]) error {
	low, high := T(math.Inf(-1)), T(math.Inf(1))
	for i, bound := range []*T{&low, &high} {
		if n.opset < 11 {
			v, err := n.Float([]string{"min", "max"}[i], float32(*bound))
			if err != nil {
				return n.Wrap(err)
			}
			*bound = T(v)
			continue
		}
		v, err := n.floats(1 + i)
		if err != nil {
			return err
		}
		if len(v) == 1 {
			*bound = v[0]
		} else if v != nil {
			return n.Errorf("input %d: want one bound, got %d", 1+i, len(v))
		}
	}
	// Where the bounds cross, the upper one wins, here and there.
	return n.emitElementwise(elementwise[T]{
		value: func(dst, src []T) { kernel.Clip(dst, src, low, high) },
		slope: func(dsrc, _, dst, ddst []T) { kernel.GateBetween(dsrc, dst, ddst, low, high) },
		need:  needs{output: true, inPlace: true},
	}.on(cuda.ClipBoth, float64(low), float64(high)))
}

func emitHardSigmoid[T kernel.Float](n *node[T]) error {
	alpha, err := n.Float("alpha", 0.2)
	if err != nil {
		return n.Wrap(err)
	}
	beta, err := n.Float("beta", 0.5)
	if err != nil {
		return n.Wrap(err)
	}
	return n.emitElementwise(hardSigmoid(T(alpha), T(beta)).on(cuda.HardSigmoid, float64(alpha), float64(beta)))
}

func hardSigmoid[T kernel.Float](alpha, beta T) elementwise[T] {
	return piecewise(func(v T) (T, T) {
		switch h := alpha*v + beta; {
		case h <= 0:
			return 0, 0
		case h >= 1:
			return 1, 0
		default:
			return h, alpha
		}
	})
}

func emitHardSwish[T kernel.Float](n *node[T]) error {
	return n.emitElementwise(piecewise(func(v T) (T, T) {
		switch {
		case v <= -3:
			return 0, 0
		case v >= 3:
			return v, 1
		default:
			return v * (v + 3) / 6, (2*v + 3) / 6
		}
	}).on(cuda.HardSwish, 0, 0))
}

func emitGelu[T kernel.Float](n *node[T]) error {
	form, err := n.String("approximate", "none")
	if err != nil {
		return n.Wrap(err)
	}
	switch form {
	case "none":
		return n.emitElementwise(scalar[T](
			func(v float64) float64 { return 0.5 * v * (1 + math.Erf(v/math.Sqrt2)) },
			func(v, _ float64) float64 {
				return 0.5*(1+math.Erf(v/math.Sqrt2)) + v*math.Exp(-v*v/2)/math.Sqrt(2*math.Pi)
			}).on(cuda.Gelu, 0, 0))
	case "tanh":
		c := math.Sqrt(2 / math.Pi)
		return n.emitElementwise(scalar[T](
			func(v float64) float64 { return 0.5 * v * (1 + math.Tanh(c*(v+0.044715*v*v*v))) },
			func(v, _ float64) float64 {
				t := math.Tanh(c * (v + 0.044715*v*v*v))
				return 0.5*(1+t) + 0.5*v*(1-t*t)*c*(1+3*0.044715*v*v)
			}).on(cuda.GeluTanh, 0, 0))
	default:
		return n.Errorf("attribute approximate: %q is not one of none, tanh", form)
	}
}
