package shape

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

func init() {
	register("Cast", op{rule: cast})
	register("CastLike", op{rule: castLike})
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

// casted returns input 0 as another type. Integers stay what they are in every
// type that has room for them; what wraps around is not followed here.
func (c *call) casted(to onnxio.DataType) ([]*value, error) {
	x := c.in[0]
	y := x.like(to)
	reals, err := x.followedReals()
	if err != nil {
		return nil, err
	}
	switch {
	case to == x.elem:
		y.ints, y.reals, y.tensor = x.ints, x.reals, x.tensor
	case x.ints != nil && to == onnxio.Bool:
		y.ints = c.toBool(x.ints)
	case x.ints != nil && followed(to):
		if y.ints = x.ints; !y.fitsElem() {
			y.ints = nil
		}
	case x.ints != nil && (to == onnxio.Float32 || to == onnxio.Float64):
		y.reals = make([]real, len(x.ints))
		for i, n := range x.ints {
			y.reals[i] = whole(n, to)
		}
	case reals != nil && (to == onnxio.Float32 || to == onnxio.Float64):
		y.reals = make([]real, len(reals))
		for i, r := range reals {
			if y.reals[i] = r; r.kind == knownReal {
				y.reals[i] = knownAs(round(r.v, to))
			}
		}
	case reals != nil && followed(to) && to != onnxio.Bool:
		y.ints = make([]num, len(reals))
		for i, r := range reals {
			n, ok := r.truncated()
			if !ok {
				n = c.s.unknownInt()
			}
			y.ints[i] = n
		}
		if !y.fitsElem() {
			y.ints = nil
		}
	}
	return []*value{y}, nil
}

// fitsElem reports whether every known element of v's content is a value of its
// type. Symbols are taken to fit.
func (v *value) fitsElem() bool {
	if !followed(v.elem) || v.elem == onnxio.Int64 || v.elem == onnxio.Bool {
		return true
	}
	lo, hi := int64(0), int64(1)<<(8*v.elem.Size())-1
	if v.elem == onnxio.Int32 || v.elem == onnxio.Int16 || v.elem == onnxio.Int8 {
		lo, hi = -(hi+1)/2, hi/2
	}
	for _, n := range v.ints {
		if n.known() && (n.coef < lo || n.coef > hi) {
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
