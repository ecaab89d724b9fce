package shape

import "fmt"

func init() {
	register("DepthToSpace", op{rule: depthToSpace, moves: first})
	register("SpaceToDepth", op{rule: spaceToDepth, moves: first})
}

// depthToSpace infers DepthToSpace-1/11/13 and later: [N, C, H, W] becomes
// [N, C/b², H·b, W·b].
func depthToSpace(c *call) ([]*value, error) {
	return c.blocks(func(d []num, b num) ([]num, bool) {
		square, ok := mul(b, b)
		channels, divides := quotient(d[1], square)
		h, okH := mul(d[2], b)
		w, okW := mul(d[3], b)
		return []num{d[0], channels, h, w}, ok && divides && okH && okW
	})
}

// spaceToDepth infers SpaceToDepth-1/13 and later: [N, C, H, W] becomes
// [N, C·b², H/b, W/b].
func spaceToDepth(c *call) ([]*value, error) {
	return c.blocks(func(d []num, b num) ([]num, bool) {
		square, ok := mul(b, b)
		channels, okC := mul(d[1], square)
		h, divides := quotient(d[2], b)
		w, dividesW := quotient(d[3], b)
		return []num{d[0], channels, h, w}, ok && okC && divides && dividesW
	})
}

func (c *call) blocks(f func(d []num, b num) ([]num, bool)) ([]*value, error) {
	x := c.in[0]
	size, err := c.Int("blocksize", 0)
	if err != nil {
		return nil, err
	}
	if size < 1 {
		return nil, fmt.Errorf("attribute blocksize is %d; want 1 or more", size)
	}
	if err := c.wantRank(0, 4); err != nil {
		return nil, err
	}
	if !x.ranked {
		return []*value{shaped(x.elem, c.s.unknownDims(4))}, nil
	}
	dims, ok := f(x.dims, fixed(size))
	if ok {
		return []*value{shaped(x.elem, dims)}, nil
	}
	if _, known := x.sizes(); known {
		return nil, fmt.Errorf("input %q of shape %v does not divide into blocks of %d", c.Input(0), x, size)
	}
	out := c.s.unknownDims(4)
	out[0] = x.dims[0]
	return []*value{shaped(x.elem, out)}, nil
}
