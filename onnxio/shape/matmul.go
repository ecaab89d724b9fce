package shape

import "fmt"

func init() { register("MatMul", op{rule: matMul, weighted: true}) }

// matMul infers MatMul-1/9/13, numpy.matmul: [..., M, K] × [..., K, N], where a
// vector counts as a row on the left and as a column on the right.
func matMul(c *call) ([]*value, error) {
	elem, err := c.sameElem(0, 1)
	if err != nil {
		return nil, err
	}
	a, b := c.in[0], c.in[1]
	if !a.ranked || !b.ranked {
		return []*value{unshaped(elem)}, nil
	}
	if a.rank() == 0 || b.rank() == 0 {
		return nil, fmt.Errorf("inputs have shapes %v and %v; want rank 1 or more", a, b)
	}
	left, right := a.dims, b.dims
	if a.rank() == 1 {
		left = []num{fixed(1), a.dims[0]}
	}
	if b.rank() == 1 {
		right = []num{b.dims[0], fixed(1)}
	}
	k, k2 := left[len(left)-1], right[len(right)-2]
	if k.known() && k2.known() && k.coef != k2.coef {
		return nil, fmt.Errorf("%q of shape %v and %q of shape %v share no inner size: %v and %v",
			c.Input(0), a, c.Input(1), b, k, k2)
	}
	dims, err := c.s.broadcast(left[:len(left)-2], right[:len(right)-2])
	if err != nil {
		return nil, fmt.Errorf("batch axes of %v and %v: %w", a, b, err)
	}
	if a.rank() > 1 {
		dims = append(dims, left[len(left)-2])
	}
	if b.rank() > 1 {
		dims = append(dims, right[len(right)-1])
	}
	return []*value{shaped(elem, dims)}, nil
}
