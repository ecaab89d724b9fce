package shape

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

func init() {
	for _, name := range []string{
		"Abs", "Erf", "Neg", "Relu", "Shrink", "Sign",
	} {
		register(name, op{rule: unary})
	}
	for _, name := range []string{
		"Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Exp", "Floor", "Gelu",
		"HardSigmoid", "HardSwish", "Hardmax", "LeakyRelu", "Log", "LogSoftmax", "LRN", "LpNormalization",
		"MeanVarianceNormalization", "Mish", "Reciprocal", "Round", "Selu", "Sigmoid", "Sin", "Sinh", "Softmax",
		"Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
	} {
		register(name, op{rule: unary, real: true})
	}
	register("Identity", op{rule: unary, moves: first})
	register("BitwiseNot", op{rule: unary})
	register("Not", op{rule: unary})
	register("IsNaN", op{rule: predicate})
	register("IsInf", op{rule: predicate})
	register("PRelu", op{rule: prelu})
	register("Clip", op{rule: clip})
	register("CumSum", op{rule: unary})
	register("CumProd", op{rule: unary})
	register("Trilu", op{rule: unary, moves: first})
}

// integer functions whose results are followed through shape computations.
var unaryInts = map[string]func(n num) (num, bool){
	"Identity": func(n num) (num, bool) { return n, true },
	"Neg":      func(n num) (num, bool) { return sub(num{}, n) },
	"Abs": func(n num) (num, bool) {
		switch {
		case n.isSize():
			return n, true
		case n.known() && n.coef != math.MinInt64:
			return fixed(-n.coef), true
		default:
			return num{}, false
		}
	},
	"Relu": func(n num) (num, bool) {
		if n.isSize() {
			return n, true
		}
		return num{}, n.known()
	},
	"Sign": func(n num) (num, bool) {
		switch {
		case !n.known():
			return num{}, false
		case n.coef < 0:
			return fixed(-1), true
		default:
			return fixed(min(n.coef, 1)), true
		}
	},
	"Not": func(n num) (num, bool) { return fixed(1 - n.coef), n.known() },
}

var unaryReals = map[string]func(x float64) float64{
	"Identity": func(x float64) float64 { return x },
	"Neg":      func(x float64) float64 { return -x },
	"Abs":      math.Abs,
	"Floor":    math.Floor,
	"Ceil":     math.Ceil,
	"Round":    math.RoundToEven,
	"Sqrt":     math.Sqrt,
}

// unary infers operators whose output has the type and shape of input 0.
func unary(c *call) ([]*value, error) {
	x := c.in[0]
	y := x.like(x.elem)
	if c.OpType == "Identity" {
		y.tensor = x.tensor
	}
	if f, ok := unaryInts[c.OpType]; ok && x.ints != nil {
		y.ints = make([]num, len(x.ints))
		for i, n := range x.ints {
			if y.ints[i], ok = f(n); !ok {
				y.ints[i] = c.s.unknownInt()
			}
		}
		if !y.fitsElem() {
			y.ints = nil
		}
	}
	if f, ok := unaryReals[c.OpType]; ok {
		list, err := x.followedReals()
		if err != nil {
			return nil, err
		}
		if list != nil {
			y.reals = make([]real, len(list))
			for i, r := range list {
				y.reals[i] = unaryReal(c.OpType, f, r, x.elem)
			}
		}
	}
	if err := c.checkUnary(); err != nil {
		return nil, err
	}
	return []*value{y}, nil
}

// round returns v as a value of that type holds it. Half-precision types are
// not rounded further: shapes are not computed in them.
func round(v float64, elem onnxio.DataType) float64 {
	if elem == onnxio.Float64 {
		return v
	}
	return float64(float32(v))
}

// checkUnary looks at what some of the operators ask for besides an input.
func (c *call) checkUnary() error {
	x := c.in[0]
	switch c.OpType {
	case "Softmax", "LogSoftmax", "Hardmax":
		// Before version 13 the axis cuts the shape in two, and may be its end.
		def, slack := int64(-1), 0
		if c.opset < 13 {
			def, slack = 1, 1
		}
		a, err := c.Int("axis", def)
		if err != nil || !x.ranked || x.rank() == 0 || slack == 1 && a == int64(x.rank()) {
			return err
		}
		_, err = axis(a, x.rank())
		return err
	case "Not":
		if x.elem != onnxio.Undefined && x.elem != onnxio.Bool {
			return fmt.Errorf("input %q is %s; want bool", c.Input(0), x.elem)
		}
	}
	return nil
}

func predicate(c *call) ([]*value, error) { return []*value{c.in[0].like(onnxio.Bool)}, nil }

// prelu infers PRelu-7/9/16: the slope broadcasts to x, not the reverse.
func prelu(c *call) ([]*value, error) {
	elem, err := c.sameElem(0, 1)
	if err != nil {
		return nil, err
	}
	x, slope := c.in[0], c.in[1]
	if x.ranked && slope.ranked && !broadcastsTo(slope.dims, x.dims) {
		return nil, fmt.Errorf("slope %q of shape %v does not broadcast to input %q of shape %v", c.Input(1), slope,
			c.Input(0), x)
	}
	return []*value{x.like(elem)}, nil
}

// clip infers Clip-6, whose bounds are attributes, and Clip-11/12/13, where
// they are inputs.
func clip(c *call) ([]*value, error) {
	for i := 1; i < 3; i++ {
		v := c.in[i]
		// PyTorch writes bounds of shape [1] where the operator asks for a scalar.
		if v == nil || !v.ranked || v.rank() == 0 || v.rank() == 1 && !(v.dims[0].known() && v.dims[0].coef != 1) {
			continue
		}
		return nil, fmt.Errorf("bound %q has shape %v; want a scalar", c.Input(i), v)
	}
	if _, err := c.sameElem(0, 1, 2); err != nil {
		return nil, err
	}
	y := c.in[0].like(c.in[0].elem)
	y.ints = c.clipInts()
	return []*value{y}, nil
}

// clipInts follows the content of small integer vectors through a Clip.
func (c *call) clipInts() []num {
	x := c.in[0]
	if x.ints == nil {
		return nil
	}
	bounds := [2]int64{math.MinInt64, math.MaxInt64}
	for i := range bounds {
		if c.in[i+1] == nil {
			continue
		}
		list, ok := c.in[i+1].constants()
		if !ok || len(list) != 1 {
			return nil
		}
		bounds[i] = list[0]
	}
	out := make([]num, len(x.ints))
	for i, n := range x.ints {
		switch {
		case n.known():
			out[i] = fixed(min(max(n.coef, bounds[0]), bounds[1]))
		case n.isSize() && bounds[0] <= 1 && bounds[1] == math.MaxInt64:
			out[i] = n
		default:
			out[i] = c.s.unknownInt()
		}
	}
	return out
}
