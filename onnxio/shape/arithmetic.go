package shape

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

func init() {
	for _, name := range []string{"Add", "Sub", "Mul", "Div"} {
		register(name, op{rule: binary})
	}
	register("Mod", op{rule: binary})
	register("Pow", op{rule: pow})
	for _, name := range []string{"Sum", "Min", "Max", "Mean"} {
		register(name, op{rule: variadic})
	}
	for _, name := range []string{"And", "Or", "Xor"} {
		register(name, op{rule: logical})
	}
	for _, name := range []string{"BitwiseAnd", "BitwiseOr", "BitwiseXor"} {
		register(name, op{rule: binary})
	}
	register("BitShift", op{rule: binary})
	for _, name := range []string{"Equal", "Less", "Greater"} {
		register(name, op{rule: compare})
	}
	for _, name := range []string{"LessOrEqual", "GreaterOrEqual"} {
		register(name, op{rule: compare})
	}
}

// intFunction computes one element of a followed integer result; it returns
// false where that is not known.
type intFunction func(a, b num) (num, bool)

var binaryInts = map[string]intFunction{
	"Add": add,
	"Sub": sub,
	"Mul": mul,
	"Div": func(a, b num) (num, bool) {
		if a.known() && b.known() && b.coef != 0 && !(a.coef == math.MinInt64 && b.coef == -1) {
			return fixed(a.coef / b.coef), true // C's division: towards zero
		}
		return quotient(a, b)
	},
	"Mod": func(a, b num) (num, bool) {
		if !a.known() || !b.known() || b.coef == 0 || b.coef == -1 {
			_, divides := quotient(a, b)
			return num{}, divides
		}
		m := a.coef % b.coef
		if m != 0 && (m < 0) != (b.coef < 0) {
			m += b.coef
		}
		return fixed(m), true
	},
	"Max": func(a, b num) (num, bool) {
		switch {
		case a.known() && b.known():
			return fixed(max(a.coef, b.coef)), true
		case a.equal(b), a.isSize() && b.known() && b.coef <= 1:
			return a, true // a size is taken to be 1 or more
		case b.isSize() && a.known() && a.coef <= 1:
			return b, true
		default:
			return num{}, false
		}
	},
	"Min": func(a, b num) (num, bool) {
		if a.known() && b.known() {
			return fixed(min(a.coef, b.coef)), true
		}
		return a, a.equal(b)
	},
	"Sum": add,
	"And": known2(func(a, b int64) int64 { return a & b }),
	"Or":  known2(func(a, b int64) int64 { return a | b }),
	"Xor": known2(func(a, b int64) int64 { return a ^ b }),
	"Equal": func(a, b num) (num, bool) {
		switch {
		case a.equal(b):
			return fixed(1), true
		case a.known() && b.known(), a.isSize() && b.known() && b.coef < 0, b.isSize() && a.known() && a.coef < 0:
			return fixed(0), true
		default:
			return num{}, false
		}
	},
	"Less":           known2(func(a, b int64) int64 { return truth(a < b) }),
	"Greater":        known2(func(a, b int64) int64 { return truth(a > b) }),
	"LessOrEqual":    known2(func(a, b int64) int64 { return truth(a <= b) }),
	"GreaterOrEqual": known2(func(a, b int64) int64 { return truth(a >= b) }),
}

// known2 lifts a function of numbers to nums.
func known2(f func(a, b int64) int64) intFunction {
	return func(a, b num) (num, bool) {
		if !a.known() || !b.known() {
			return num{}, false
		}
		return fixed(f(a.coef, b.coef)), true
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

var binaryReals = map[string]func(a, b float64) float64{
	"Add": func(a, b float64) float64 { return a + b },
	"Sub": func(a, b float64) float64 { return a - b },
	"Mul": func(a, b float64) float64 { return a * b },
	"Div": func(a, b float64) float64 { return a / b },
	"Sum": func(a, b float64) float64 { return a + b },
	"Min": math.Min,
	"Max": math.Max,
}

// binary infers arithmetic with broadcasting on two inputs of one type.
func binary(c *call) ([]*value, error) {
	elem, err := c.sameElem(0, 1)
	if err != nil {
		return nil, err
	}
	return c.broadcastRule(elem, 0, 1)
}

// variadic infers Sum, Min, Max and Mean.
func variadic(c *call) ([]*value, error) {
	elem, all, err := c.elemOfAll()
	if err != nil {
		return nil, err
	}
	return c.broadcastRule(elem, all...)
}

// pow infers Pow-7, with one type, and Pow-12 on, with the base's.
func pow(c *call) ([]*value, error) {
	if c.opset < 12 {
		if _, err := c.sameElem(0, 1); err != nil {
			return nil, err
		}
	}
	return c.broadcastRule(c.in[0].elem, 0, 1)
}

func logical(c *call) ([]*value, error) {
	for i := range 2 {
		if e := c.in[i].elem; e != onnxio.Undefined && e != onnxio.Bool {
			return nil, fmt.Errorf("input %q is %s; want bool", c.Input(i), e)
		}
	}
	return c.broadcastRule(onnxio.Bool, 0, 1)
}

func compare(c *call) ([]*value, error) {
	if _, err := c.sameElem(0, 1); err != nil {
		return nil, err
	}
	return c.broadcastRule(onnxio.Bool, 0, 1)
}

// broadcastRule returns a value of the joined shape of the listed inputs, and
// its content where that is followed.
func (c *call) broadcastRule(elem onnxio.DataType, inputs ...int) ([]*value, error) {
	dims, ok, err := c.broadcastInputs(inputs...)
	if err != nil {
		return nil, err
	}
	if !ok {
		return []*value{unshaped(elem)}, nil
	}
	y := shaped(elem, dims)
	if !small(dims) {
		return []*value{y}, nil
	}
	if f, ok := binaryInts[c.OpType]; ok {
		if y.ints = c.foldInts(dims, f, inputs); !y.fitsElem() {
			y.ints = nil
		}
	}
	if f, ok := binaryReals[c.OpType]; ok {
		if y.reals, err = c.foldReals(y, f, inputs); err != nil {
			return nil, err
		}
	}
	return []*value{y}, nil
}

// foldInts applies f from the left over the inputs. It returns nil if one is
// not followed.
func (c *call) foldInts(dims []num, f intFunction, inputs []int) []num {
	n := 1
	for _, d := range dims {
		n *= int(d.coef)
	}
	for _, i := range inputs {
		if c.in[i].ints == nil {
			return nil
		}
	}
	out := make([]num, n)
	for e := range out {
		first := c.in[inputs[0]]
		acc, ok := first.ints[first.at(e, dims)], true
		for _, i := range inputs[1:] {
			if acc, ok = f(acc, c.in[i].ints[c.in[i].at(e, dims)]); !ok {
				break
			}
		}
		if !ok {
			acc = c.s.unknownInt()
		}
		out[e] = acc
	}
	return out
}

// foldReals is foldInts for floating-point inputs.
func (c *call) foldReals(y *value, f func(a, b float64) float64, inputs []int) ([]real, error) {
	contents := make([][]real, len(inputs))
	for k, i := range inputs {
		list, err := c.in[i].followedReals()
		if err != nil || list == nil {
			return nil, err
		}
		contents[k] = list
	}
	n, _ := y.count()
	out := make([]real, n)
	for e := range out {
		acc := contents[0][c.in[inputs[0]].at(e, y.dims)]
		for k, i := range inputs[1:] {
			acc = binaryReal(c.OpType, f, acc, contents[k+1][c.in[i].at(e, y.dims)], y.elem)
		}
		out[e] = acc
	}
	return out, nil
}
