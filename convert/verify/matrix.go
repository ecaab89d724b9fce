package verify

import (
	"encoding/binary"
	"fmt"
	"math"

	"efcn/onnxio"
)

// matrix is what the weights of an embedded layer have to be, worked out from
// the CNN alone. Row r and column c are vec indices of the layer's output and
// input, without the batch axis.
type matrix struct {
	rows, cols int
	// fill writes row r into want, which has cols elements that are all zero, and
	// returns how many of them belong to the support. put gives the bits under
	// which a number of the CNN is stored: see scaled.
	fill func(r int, want []uint32, put func(k float32) uint32) int
	// bias returns the bias that row r has to have, and how far rounding in
	// float64 before the one rounding to float32 may have moved it.
	bias func(r int) (value, slack float64)
	// biasExact says that bias is a float32 of the CNN, to be met bit for bit.
	biasExact bool
	// hasBias is false where the CNN adds nothing.
	hasBias bool
	// slack is how far an entry may be off before it is rounded to float32: 0
	// where it is to be met bit for bit.
	slack float64

	outShape, inShape []int // without the batch axis
}

// scaled returns m with a BatchNormalization multiplied in, of which norm gives
// scale = gamma/√(var+epsilon), mean and beta by channel: an entry is
// float32(float64(K)·scale), the bias float32((b−mean)·scale + beta).
//
// The entry is one product of two float64 numbers, so it is met bit for bit.
// The bias is a sum, of which the order of the operations is free (and a
// processor may fuse two of them): with δ = 8·2⁻⁵³·(|b·scale| + |mean·scale| +
// |beta|), more than the error of any order, every float32 between the
// roundings of value−δ and value+δ is accepted. That is one float32, or two
// where the value is within δ of the middle between them.
func (m *matrix) scaled(norm *batchNorm) *matrix {
	perChannel := m.rows / len(norm.scale)
	s := *m
	s.hasBias, s.biasExact = true, false
	s.fill = func(r int, want []uint32, put func(float32) uint32) int {
		scale := norm.scale[r/perChannel]
		return m.fill(r, want, func(k float32) uint32 { return put(float32(float64(k) * scale)) })
	}
	s.bias = func(r int) (float64, float64) {
		o := r / perChannel
		b := 0.0
		if m.hasBias {
			b, _ = m.bias(r)
		}
		return norm.shift(o, b)
	}
	return &s
}

// batchNorm is a BatchNormalization at inference, by channel, in float64.
type batchNorm struct{ scale, mean, beta []float64 }

// shift returns (b−mean)·scale + beta for a channel and how far it may be off.
func (n *batchNorm) shift(o int, b float64) (value, slack float64) {
	// The conversions keep a compiler from fusing the product and the sum.
	value = float64((b-n.mean[o])*n.scale[o]) + n.beta[o]
	slack = 8 * 0x1p-53 * (math.Abs(b*n.scale[o]) + math.Abs(n.mean[o]*n.scale[o]) + math.Abs(n.beta[o]))
	return value, slack
}

// accepts says whether a stored float32 is value rounded once, given the slack.
func accepts(stored float32, value, slack float64) bool {
	if math.Float32bits(stored) == math.Float32bits(float32(value)) {
		return true
	}
	return stored >= float32(value-slack) && stored <= float32(value+slack) && slack > 0
}

// batchNormOf reads a BatchNormalization node of the CNN that has channels
// channels.
func (n *net) batchNormOf(node *onnxio.Node, channels int) (*batchNorm, error) {
	epsilon, err := node.Float("epsilon", 1e-5)
	if err != nil {
		return nil, err
	}
	var p [4][]float32
	for i := range p {
		v, _, ok, err := n.floats(node, i+1)
		if err != nil {
			return nil, err
		}
		if !ok || len(v) != channels {
			return nil, fmt.Errorf("input %d: want %d values, one a channel, got %d", i+1, channels, len(v))
		}
		p[i] = v
	}
	b := &batchNorm{}
	for c := range channels {
		b.scale = append(b.scale, float64(p[0][c])/math.Sqrt(float64(p[3][c])+float64(epsilon)))
		b.beta = append(b.beta, float64(p[1][c]))
		b.mean = append(b.mean, float64(p[2][c]))
	}
	return b, nil
}

// difference is an element of a constant that is not what it has to be.
type difference struct {
	row, col  int
	want, got uint32
}

// rowChecker is a Writer of a row-major little-endian float32 matrix that
// compares what is written with what has to be there, and holds one row.
type rowChecker struct {
	rows, cols int
	fill       func(r int, want []uint32, put func(float32) uint32) int
	slack      float64

	want    []uint32
	partial []byte // of an element
	row     int
	col     int
	nonzero int64
	wrong   int64
	first   difference
}

func newRowChecker(rows, cols int, fill func(int, []uint32, func(float32) uint32) int) *rowChecker {
	return &rowChecker{rows: rows, cols: cols, fill: fill, want: make([]uint32, cols)}
}

func (c *rowChecker) Write(p []byte) (int, error) {
	written := len(p)
	if len(c.partial) > 0 {
		take := min(4-len(c.partial), len(p))
		c.partial = append(c.partial, p[:take]...)
		p = p[take:]
		if len(c.partial) < 4 {
			return written, nil
		}
		whole := c.partial
		c.partial = nil
		if err := c.elements(whole); err != nil {
			return 0, err
		}
	}
	whole := len(p) / 4 * 4
	if err := c.elements(p[:whole]); err != nil {
		return 0, err
	}
	c.partial = append(c.partial, p[whole:]...)
	return written, nil
}

func (c *rowChecker) elements(p []byte) error {
	for len(p) > 0 {
		if c.row >= c.rows {
			return fmt.Errorf("more elements than %d×%d", c.rows, c.cols)
		}
		if c.col == 0 {
			clear(c.want)
			c.nonzero += int64(c.fill(c.row, c.want, math.Float32bits))
		}
		n := min(c.cols-c.col, len(p)/4)
		for i, want := range c.want[c.col : c.col+n] {
			if got := binary.LittleEndian.Uint32(p[4*i:]); got != want && !c.close(got, want) {
				if c.wrong == 0 {
					c.first = difference{row: c.row, col: c.col + i, want: want, got: got}
				}
				c.wrong++
			}
		}
		p = p[4*n:]
		if c.col += n; c.col == c.cols {
			c.row, c.col = c.row+1, 0
		}
	}
	return nil
}

// close says whether an entry is within the slack of what it has to be.
func (c *rowChecker) close(got, want uint32) bool {
	if c.slack == 0 {
		return false
	}
	a, b := float64(math.Float32frombits(got)), float64(math.Float32frombits(want))
	return math.Abs(a-b) <= c.slack+2*0x1p-24*math.Abs(b)
}

// check streams a float32 constant through the checker.
func (c *rowChecker) check(t *onnxio.Tensor) error {
	if c.rows == 0 || c.cols == 0 {
		return nil
	}
	if _, err := t.Data.WriteTo(c); err != nil {
		return err
	}
	if c.row != c.rows || len(c.partial) > 0 {
		return fmt.Errorf("%d of %d rows are there", c.row, c.rows)
	}
	return nil
}
