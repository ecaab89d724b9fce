package verify

import (
	"errors"
	"fmt"
	"math"

	"efcn/onnxio"
)

// matrix is what the weights of an embedded layer have to be, worked out from
// the CNN alone. Row r and column c are vec indices of the layer's output and
// input, without the batch axis.
type matrix struct {
	rows, cols int
	// entries calls entry with every column of row r that belongs to the support,
	// ascending, and the number that has to be there before it is rounded to
	// float32, once, and how far that may be off: 0 where it is exact, so that what
	// is stored has to be met bit for bit. What the row has elsewhere is +0 where it
	// is stored, and not stored where it need not be.
	entries func(r int, entry func(c int, v, slack float64))
	// bias returns the bias that row r has to have, and how far rounding in
	// float64 before the one rounding to float32 may have moved it.
	bias func(r int) (value, slack float64)
	// hasBias is false where the CNN adds nothing.
	hasBias bool
	// fuzz is how large an entry may be that is outside of the support, or that is
	// not stored though it is in it: 0 unless rounding decides what an interpolation
	// reaches.
	fuzz float64
	// whole says that all entries are small whole numbers, whose sums are exact.
	whole bool
	// union says of the local form that a position sees what any of its outputs
	// reads.
	union bool
	// windows says the same as entries of a convolution, where its rows can be made faster and
	// many of one channel are the same; nil of any other.
	windows *windows

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
	s.hasBias = true
	if m.windows != nil {
		w := *m.windows
		w.scale = norm.scale
		s.windows = &w
	}
	s.entries = func(r int, entry func(int, float64, float64)) {
		scale := norm.scale[r/perChannel]
		m.entries(r, func(c int, k, _ float64) { entry(c, k*scale, 0) })
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

// accepts reports whether a stored float32 is value rounded once, given the slack.
func accepts(stored float32, value, slack float64) bool {
	if math.Float32bits(stored) == math.Float32bits(float32(value)) {
		return true
	}
	return stored >= float32(value-slack) && stored <= float32(value+slack) && slack > 0
}

// doubles returns the numbers in float64.
func doubles(v []float32) []float64 {
	d := make([]float64, len(v))
	for i, x := range v {
		d[i] = float64(x)
	}
	return d
}

// fuzzy reports whether a stored number is no more than what may be outside of the
// support.
func (m *matrix) fuzzy(got uint32) bool {
	return m.fuzz != 0 && math.Abs(float64(math.Float32frombits(got))) <= m.fuzz
}

// place names an entry of m by its output and input.
func (m *matrix) place(row, col int) string {
	return fmt.Sprintf("output %v and input %v", unravel(row, m.outShape), unravel(col, m.inShape))
}

// errNoMatrix says that the matrix of an operator is not worked out here.
var errNoMatrix = errors.New("no matrix is known for this operator")

// matrixOf works out the matrix of a linear node of the CNN. in and out are the
// shapes that its data input and its output had when the CNN ran, with the
// batch axis.
func (n *net) matrixOf(node *onnxio.Node, in, out []int) (*matrix, error) {
	if len(in) < 2 || len(out) < 1 {
		return nil, fmt.Errorf("shapes %v and %v have no batch and channel axes", in, out)
	}
	op := operatorOf(node)
	if op.matrix == nil {
		return nil, errNoMatrix
	}
	m, err := op.matrix(n, node, in, out)
	if err != nil {
		return nil, err
	}
	m.inShape, m.outShape = in[1:], out[1:]
	if m.cols != product(in[1:]) || m.rows != product(out[1:]) {
		return nil, fmt.Errorf("the attributes say %d×%d, the values that the CNN computed say %d×%d", m.rows, m.cols,
			product(out[1:]), product(in[1:]))
	}
	return m, nil
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// size is the number of elements of a shape.
func size(dims []int64) int {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	return n
}
