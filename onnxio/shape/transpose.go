package shape

import "fmt"

func init() { register("Transpose", op{rule: transpose, moves: first}) }

// transpose infers Transpose-1/13 and later; without perm the axes are
// reversed.
func transpose(c *call) ([]*value, error) {
	x := c.in[0]
	perm, err := c.Ints("perm")
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		if perm == nil {
			return []*value{unshaped(x.elem)}, nil
		}
		return []*value{shaped(x.elem, c.s.unknownDims(len(perm)))}, nil
	}
	dims := make([]num, x.rank())
	if perm == nil {
		for i, d := range x.dims {
			dims[len(dims)-1-i] = d
		}
		return []*value{shaped(x.elem, dims)}, nil
	}
	if len(perm) != x.rank() {
		return nil, fmt.Errorf("perm %v has %d values; input %q has shape %v", perm, len(perm), c.Input(0), x)
	}
	seen := make([]bool, len(perm))
	for i, p := range perm {
		if p < 0 || p >= int64(len(perm)) || seen[p] {
			return nil, fmt.Errorf("perm %v is no permutation of %d axes", perm, len(perm))
		}
		seen[p] = true
		dims[i] = x.dims[p]
	}
	y := shaped(x.elem, dims)
	if x.rank() < 2 {
		y.ints = x.ints
	}
	return []*value{y}, nil
}
