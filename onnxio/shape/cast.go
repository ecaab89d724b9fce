package shape

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

func init() {
	register("Cast", op{min: 1, max: 1, rule: cast})
	register("CastLike", op{min: 2, max: 2, since: 15, rule: castLike})
}

// cast infers Cast-6/9/13 and later.
func cast(c *call) ([]*value, error) {
	to, err := c.Int("to", 0)
	if err != nil {
		return nil, err
	}
	if to <= 0 || to > math.MaxInt32 {
		return nil, fmt.Errorf("attribute to is %d, which is no element type", to)
	}
	return c.casted(onnxio.DataType(to))
}

// castLike infers CastLike-15 and later: the type of input 1.
func castLike(c *call) ([]*value, error) { return c.casted(c.in[1].elem) }

// casted returns input 0 as another type. Small integers stay what they are in
// int32, int64, float and back; narrower types are not followed.
func (c *call) casted(to onnxio.DataType) ([]*value, error) {
	x := c.in[0]
	y := x.like(to)
	reals, known, err := x.reals()
	if err != nil {
		return nil, err
	}
	switch {
	case to == x.elem:
		y.ints, y.floats, y.tensor = x.ints, x.floats, x.tensor
	case x.ints != nil && (to == onnxio.Int64 || to == onnxio.Int32):
		if y.ints = x.ints; !y.fitsElem() {
			y.ints = nil
		}
	case x.ints != nil && to == onnxio.Bool:
		y.ints = c.toBool(x.ints)
	case x.ints != nil && (to == onnxio.Float32 || to == onnxio.Float64):
		if list, ok := x.constants(); ok {
			y.floats = make([]float64, len(list))
			for i, v := range list {
				y.floats[i] = round(float64(v), to)
			}
		}
	case known && (to == onnxio.Float32 || to == onnxio.Float64):
		y.floats = make([]float64, len(reals))
		for i, v := range reals {
			y.floats[i] = round(v, to)
		}
	case known && to == onnxio.Int64:
		y.ints = make([]num, len(reals))
		for i, v := range reals {
			if v = math.Trunc(v); math.Abs(v) < 1<<62 {
				y.ints[i] = fixed(int64(v))
			} else { // also NaN: no version says what it becomes
				y.ints[i] = c.s.unknownInt()
			}
		}
	}
	return []*value{y}, nil
}

// fitsElem says whether every known element of v's content is a value of its
// type. Symbols are taken to fit.
func (v *value) fitsElem() bool {
	for _, n := range v.ints {
		if v.elem == onnxio.Int32 && n.known() && int64(int32(n.coef)) != n.coef {
			return false
		}
	}
	return true
}

func (c *call) toBool(list []num) []num {
	out := make([]num, len(list))
	for i, n := range list {
		switch {
		case n.known():
			out[i] = fixed(truth(n.coef != 0))
		default:
			out[i] = c.s.unknownInt()
		}
	}
	return out
}
