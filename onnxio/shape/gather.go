package shape

import (
	"fmt"
)

func init() {
	register("Gather", op{rule: gather, moves: first})
	register("GatherElements", op{rule: gatherElements, moves: first})
	register("GatherND", op{rule: gatherND, moves: first})
	register("ScatterElements", op{rule: scatter, moves: scatterMoves})
	register("ScatterND", op{rule: scatter, moves: scatterMoves})
}

// scatterMoves: a scatter that combines moves nothing.
func scatterMoves(c *call, i int) bool {
	how, err := c.String("reduction", "none")
	return err == nil && how == "none" && (i == 0 || i == 2)
}

// gather infers Gather-1/11/13: the axis of data is replaced by the shape of
// the indices.
func gather(c *call) ([]*value, error) {
	x, indices := c.in[0], c.in[1]
	a, err := c.indexing("axis")
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	at, err := c.axisOf(0, a)
	if err != nil {
		return nil, err
	}
	if size := x.dims[at]; size.known() {
		for _, n := range indices.ints {
			if n.known() && (n.coef < -size.coef || n.coef >= size.coef) {
				return nil, fmt.Errorf("index %v is out of range for axis %d of input %q of shape %v", n, at,
					c.Input(0), x)
			}
		}
	}
	if !indices.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	dims := append([]num(nil), x.dims[:at]...)
	dims = append(append(dims, indices.dims...), x.dims[at+1:]...)
	y := shaped(x.elem, dims)
	if x.rank() == 1 && indices.ints != nil {
		if err := c.gatherContents(y, indices.ints); err != nil {
			return nil, err
		}
	}
	return []*value{y}, nil
}

// gatherContents follows a Gather from a vector.
func (c *call) gatherContents(y *value, indices []num) error {
	x := c.in[0]
	if x.ints != nil {
		y.ints = picked(x.ints, indices, c.s.unknownInt)
		return nil
	}
	list, err := x.followedReals()
	if err != nil || list == nil {
		return err
	}
	y.reals = picked(list, indices, func() real { return real{} }) // {} is open
	return nil
}

// picked returns the elements at the indices, of which those below 0 count from the
// end, and what unknown returns where an index is not known.
func picked[E any](list []E, indices []num, unknown func() E) []E {
	out := make([]E, len(indices))
	for i, n := range indices {
		switch {
		case !n.known():
			out[i] = unknown()
		case n.coef < 0:
			out[i] = list[len(list)+int(n.coef)]
		default:
			out[i] = list[n.coef]
		}
	}
	return out
}

// indexing returns the number in an attribute of Gather and its kin, 0 by default, and
// an error if the indices are known to be no integers.
func (c *call) indexing(attribute string) (int64, error) {
	if err := c.wantInteger(1); err != nil {
		return 0, err
	}
	return c.Int(attribute, 0)
}

// gatherElements infers GatherElements-11/13: the shape of the indices.
func gatherElements(c *call) ([]*value, error) {
	x, indices := c.in[0], c.in[1]
	a, err := c.indexing("axis")
	if err != nil {
		return nil, err
	}
	if x.ranked {
		if _, err := c.axisOf(0, a); err != nil {
			return nil, err
		}
		if err := c.wantRank(1, x.rank()); err != nil {
			return nil, err
		}
	}
	return []*value{indices.like(x.elem)}, nil
}

// gatherND infers GatherND-11/12/13: indices [..., k] index k axes of data
// after the batch axes.
func gatherND(c *call) ([]*value, error) {
	x, indices := c.in[0], c.in[1]
	batch, err := c.indexing("batch_dims")
	if err != nil {
		return nil, err
	}
	if !x.ranked || !indices.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	if x.rank() == 0 || indices.rank() == 0 || batch < 0 || batch >= int64(min(x.rank(), indices.rank())) {
		return nil, fmt.Errorf("batch_dims %d does not fit data %v and indices %v", batch, x, indices)
	}
	last := indices.dims[indices.rank()-1]
	if !last.known() {
		return []*value{unshaped(x.elem)}, nil
	}
	if last.coef < 1 || last.coef > int64(x.rank())-batch {
		return nil, fmt.Errorf("indices %v index %v axes after %d batch axes; data has shape %v", indices, last,
			batch, x)
	}
	dims := append([]num(nil), indices.dims[:indices.rank()-1]...)
	return []*value{shaped(x.elem, append(dims, x.dims[batch+last.coef:]...))}, nil
}

// scatter infers ScatterElements and ScatterND: the shape of data.
func scatter(c *call) ([]*value, error) {
	if err := c.wantInteger(1); err != nil {
		return nil, err
	}
	elem, err := c.sameElem(0, 2)
	if err != nil {
		return nil, err
	}
	return []*value{c.in[0].like(elem)}, nil
}
