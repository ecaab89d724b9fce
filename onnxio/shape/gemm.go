package shape

import "fmt"

func init() { register("Gemm", op{rule: gemm, weighted: true}) }

// gemm infers Gemm-7/9/11/13: A [M, K], B [K, N], either transposed, and C
// that broadcasts to [M, N].
func gemm(c *call) ([]*value, error) {
	elem, err := c.sameElem(0, 1, 2)
	if err != nil {
		return nil, err
	}
	m, k, err := c.gemmOperand(0, "transA")
	if err != nil {
		return nil, err
	}
	n, k2, err := c.gemmOperand(1, "transB")
	if err != nil {
		return nil, err
	}
	n, k2 = k2, n // B is [K, N]
	if k.known() && k2.known() && k.coef != k2.coef {
		return nil, fmt.Errorf("input A %q of shape %v and input B %q of shape %v share no inner size: %v and %v",
			c.Input(0), c.in[0], c.Input(1), c.in[1], k, k2)
	}
	dims := []num{m, n}
	if b := c.in[2]; b != nil && b.ranked {
		if !broadcastsTo(b.dims, dims) {
			return nil, fmt.Errorf("input C %q of shape %v does not broadcast to %v", c.Input(2), b, formatDims(dims))
		}
	}
	return []*value{shaped(elem, dims)}, nil
}

// gemmOperand returns the rows and columns of a matrix input after the
// transposition that the attribute asks for.
func (c *call) gemmOperand(i int, attribute string) (rows, cols num, err error) {
	transposed, err := c.Int(attribute, 0)
	if err != nil {
		return rows, cols, err
	}
	if err := c.wantRank(i, 2); err != nil {
		return rows, cols, err
	}
	dims := c.in[i].dims
	if !c.in[i].ranked {
		dims = c.s.unknownDims(2)
	}
	if transposed != 0 {
		return dims[1], dims[0], nil
	}
	return dims[0], dims[1], nil
}

// broadcastsTo reports whether a tensor of that shape may broadcast to another
// without changing it.
func broadcastsTo(dims, to []num) bool {
	if len(dims) > len(to) {
		return false
	}
	to = to[len(to)-len(dims):]
	for i, d := range dims {
		if d.known() && d.coef != 1 && to[i].known() && to[i].coef != d.coef {
			return false
		}
	}
	return true
}
