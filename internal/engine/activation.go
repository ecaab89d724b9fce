package engine

import (
	"math"

	"efcn/internal/kernel"
)

// Functions of one floating-point element with attributes.
func init() {
	register(operator{name: "LeakyRelu", inputs: "f"}, leakyRelu[float32], leakyRelu[float64])
	register(operator{name: "Elu", inputs: "f"}, elu[float32], elu[float64])
	register(operator{name: "Selu", inputs: "f"}, selu[float32], selu[float64])
	register(operator{name: "Celu", inputs: "f"}, celu[float32], celu[float64])
	register(operator{name: "ThresholdedRelu", inputs: "f"}, thresholdedRelu[float32], thresholdedRelu[float64])
	register(operator{name: "HardSigmoid", inputs: "f"}, hardSigmoid[float32], hardSigmoid[float64])
	register(operator{name: "Gelu", inputs: "f"}, gelu[float32], gelu[float64])
	register(operator{name: "Swish", inputs: "f"}, swish[float32], swish[float64])
	register(operator{name: "Shrink", inputs: "f"}, shrink[float32], shrink[float64])
}

func leakyRelu[T kernel.Float](n *node) (compute[T], error) {
	alpha := T(n.float("alpha", 0.01))
	return mapped(func(dst, src []T) {
		for i, v := range src {
			if v < 0 {
				v *= alpha
			}
			dst[i] = v
		}
	})(n)
}

func elu[T kernel.Float](n *node) (compute[T], error) {
	alpha := n.float("alpha", 1)
	return mapped(each(func(v T) T {
		if v < 0 {
			return T(alpha * math.Expm1(float64(v)))
		}
		return v
	}))(n)
}

func selu[T kernel.Float](n *node) (compute[T], error) {
	alpha := n.float("alpha", 1.67326319217681884765625)
	gamma := n.float("gamma", 1.05070102214813232421875)
	return mapped(each(func(v T) T {
		if v < 0 {
			return T(gamma * alpha * math.Expm1(float64(v)))
		}
		return T(gamma * float64(v))
	}))(n)
}

func celu[T kernel.Float](n *node) (compute[T], error) {
	alpha := n.float("alpha", 1)
	if alpha == 0 {
		n.refuse("attribute alpha: 0 divides by zero")
	}
	return mapped(each(func(v T) T {
		if v < 0 {
			return T(alpha * math.Expm1(float64(v)/alpha))
		}
		return v
	}))(n)
}

func thresholdedRelu[T kernel.Float](n *node) (compute[T], error) {
	alpha := T(n.float("alpha", 1))
	return mapped(each(func(v T) T {
		if v > alpha || v != v {
			return v
		}
		return 0
	}))(n)
}

func hardSigmoid[T kernel.Float](n *node) (compute[T], error) {
	alpha, beta := T(n.float("alpha", 0.2)), T(n.float("beta", 0.5))
	return mapped(each(func(v T) T { return max(0, min(1, alpha*v+beta)) }))(n)
}

func gelu[T kernel.Float](n *node) (compute[T], error) {
	if n.string("approximate", "none", "tanh") == "none" {
		return mapped(each(func(v T) T {
			x := float64(v)
			return T(0.5 * x * (1 + math.Erf(x/math.Sqrt2)))
		}))(n)
	}
	c := math.Sqrt(2 / math.Pi)
	return mapped(each(func(v T) T {
		x := float64(v)
		return T(0.5 * x * (1 + math.Tanh(c*(x+0.044715*x*x*x))))
	}))(n)
}

func swish[T kernel.Float](n *node) (compute[T], error) {
	alpha := T(n.float("alpha", 1))
	return mapped(each(func(v T) T { return v * sigmoid(alpha*v) }))(n)
}

func shrink[T kernel.Float](n *node) (compute[T], error) {
	bias, lambd := T(n.float("bias", 0)), T(n.float("lambd", 0.5))
	return mapped(each(func(v T) T {
		switch {
		case v < -lambd:
			return v + bias
		case v > lambd:
			return v - bias
		default:
			return 0
		}
	}))(n)
}
