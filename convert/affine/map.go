package affine

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// Size is the product of dims, which are not negative: the number of elements of a
// tensor of that shape. It is math.MaxInt64 where that is too much.
func Size[T int | int64](dims []T) T {
	n := T(1)
	for _, d := range dims {
		if d != 0 && n > math.MaxInt64/d {
			return math.MaxInt64
		}
		n *= d
	}
	return n
}

// Map is an affine map y = A·x + b between the vectors of two tensors, laid
// out channel by channel: x has InChannels blocks of Taps.In positions, y has
// OutChannels blocks of Taps.Out positions. The channels fall into Groups; an
// output channel reads the input channels of its own group.
//
// The entry of row (o, p) and column (c, q) is Kernel[o, c', k] for every tap
// (q, k) of output position p, where c' counts c from the start of o's group.
// A convolution, a pooling by averages, a batch normalisation and a matrix
// product are all of this form. Groups may share their part of the kernel.
type Map struct {
	Groups      int
	InChannels  int
	OutChannels int
	Taps        *Taps
	Kernel      []float32 // [OutChannels, InChannels/Groups, Taps.Coefs], row-major
	// Shared says which part of the kernel each group has, [Groups], where groups
	// share one; nil where each has its own. Kernel then is [parts,
	// OutChannels/Groups, InChannels/Groups, Taps.Coefs].
	Shared []int32
	Bias   []float32 // [OutChannels], or nil for none

	// Exact holds the coefficients in float64 where Kernel has them rounded; nil
	// where Kernel is what they are.
	Exact []float64
}

// Weights is an affine map y = A·x + b that a layer is made from. What is written
// is generated as it is written.
type Weights interface {
	Rows() int
	Cols() int
	NonZeros() int64 // entries of the support
	Row(r int, visit func(col int, v float32))
	HasBias() bool
	BiasVector() []float32
	WriteDense(w io.Writer) error
	WriteValues(w io.Writer) error
	WriteIndices(w io.Writer) error
	Local() Local
}

// Rows and Cols are the dimensions of A.
func (m *Map) Rows() int { return m.OutChannels * m.Taps.Out }

// Cols is the length of x.
func (m *Map) Cols() int { return m.InChannels * m.Taps.In }

// NonZeros returns the number of entries in the support of A: geometry, not
// values, so a kernel weight equal to zero is counted.
func (m *Map) NonZeros() int64 {
	return int64(m.OutChannels) * int64(m.InChannels/m.Groups) * m.Taps.Count()
}

// KernelRow returns which row of the kernel output channel o has.
func (m *Map) KernelRow(o int) int {
	if m.Shared == nil {
		return o
	}
	perGroup := m.OutChannels / m.Groups
	return int(m.Shared[o/perGroup])*perGroup + o%perGroup
}

// KernelRows is how many rows the kernel has: one for every output channel,
// fewer where groups share a part.
func (m *Map) KernelRows() int {
	if m.Shared == nil {
		return m.OutChannels
	}
	return (int(slices.Max(m.Shared)) + 1) * (m.OutChannels / m.Groups)
}

// Tied lists for every row of the kernel the output channels that have it.
func (m *Map) Tied() [][]int {
	tied := make([][]int, m.KernelRows())
	for o := range m.OutChannels {
		k := m.KernelRow(o)
		tied[k] = append(tied[k], o)
	}
	return tied
}

// row returns what one row of A is made of: the columns are
// (first+c)·Taps.In + tap.In for every channel c of the group and every tap,
// and the entries kernel[c·Coefs + tap.Coef]. The taps are put into buf if that
// has room.
func (m *Map) row(r int, buf []Tap) (first int, kernel []float32, taps []Tap) {
	o, p := r/m.Taps.Out, r%m.Taps.Out
	perGroup := m.InChannels / m.Groups
	first = o / (m.OutChannels / m.Groups) * perGroup
	size := perGroup * m.Taps.Coefs
	return first, m.Kernel[m.KernelRow(o)*size:][:size], m.Taps.At(p, buf)
}

// Row calls visit with the column and value of every entry of row r that is in
// the support, in ascending order of columns.
func (m *Map) Row(r int, visit func(col int, v float32)) {
	first, kernel, taps := m.row(r, nil)
	for c := range m.InChannels / m.Groups {
		base := (first + c) * m.Taps.In
		for _, t := range taps {
			visit(base+int(t.In), kernel[c*m.Taps.Coefs+int(t.Coef)])
		}
	}
}

// RowBias returns the bias of row r.
func (m *Map) RowBias(r int) float32 {
	if m.Bias == nil {
		return 0
	}
	return m.Bias[r/m.Taps.Out]
}

// HasBias reports whether the map has a bias.
func (m *Map) HasBias() bool { return m.Bias != nil }

// BiasVector returns b, [Rows], or nil if the map has no bias.
func (m *Map) BiasVector() []float32 {
	if m.Bias == nil {
		return nil
	}
	b := make([]float32, m.Rows())
	for r := range b {
		b[r] = m.RowBias(r)
	}
	return b
}

// ScaleChannels multiplies row (o, p) by scale[o] and adds shift[o] to it:
// y' = scale·(A·x + b) + shift. The products are taken in float64 and rounded
// once, so an entry is float32(kernel·scale). No groups of m share their kernel.
func (m *Map) ScaleChannels(scale, shift []float64) *Map {
	scaled := *m
	scaled.Kernel = make([]float32, len(m.Kernel))
	scaled.Bias = make([]float32, m.OutChannels)
	size := len(m.Kernel) / max(m.OutChannels, 1)
	for o := range m.OutChannels {
		for i := o * size; i < (o+1)*size; i++ {
			scaled.Kernel[i] = float32(float64(m.Kernel[i]) * scale[o])
		}
		b := shift[o]
		if m.Bias != nil {
			b += float64(float64(m.Bias[o]) * scale[o]) // not fused: the same on every machine
		}
		scaled.Bias[o] = float32(b)
	}
	return &scaled
}

// Validate checks that the parts of a map fit each other.
func (m *Map) Validate() error {
	if m.Groups < 1 || m.InChannels%m.Groups != 0 || m.OutChannels%m.Groups != 0 {
		return fmt.Errorf("%d groups do not divide %d input and %d output channels", m.Groups, m.InChannels,
			m.OutChannels)
	}
	if m.Shared != nil && len(m.Shared) != m.Groups {
		return fmt.Errorf("kernel: parts of %d groups, want %d", len(m.Shared), m.Groups)
	}
	if want := m.KernelRows() * (m.InChannels / m.Groups) * m.Taps.Coefs; len(m.Kernel) != want {
		return fmt.Errorf("kernel: want %d coefficients, got %d", want, len(m.Kernel))
	}
	if m.Bias != nil && len(m.Bias) != m.OutChannels {
		return fmt.Errorf("bias: want %d values, got %d", m.OutChannels, len(m.Bias))
	}
	return nil
}

// Channels returns the first input channel that row r reads and how many.
func (m *Map) Channels(r int) (first, n int) {
	n = m.InChannels / m.Groups
	return r / m.Taps.Out / (m.OutChannels / m.Groups) * n, n
}
