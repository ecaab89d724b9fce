package affine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// matrix64 is a dense matrix with a bias, for products by the book.
type matrix64 struct {
	rows, cols int
	a          []float64
	in         []bool // support
	b          []float64
}

// denseFactor writes a factor out, entry by entry, from its own definition and not
// by way of its rows.
func denseFactor(f Factor) matrix64 {
	m := matrix64{rows: f.rows(), cols: f.cols()}
	m.a, m.in, m.b = make([]float64, m.rows*m.cols), make([]bool, m.rows*m.cols), make([]float64, m.rows)
	for r := range m.rows {
		switch f := f.(type) {
		case matrixFactor:
			f.Row(r, func(c int, v float32) { m.a[r*m.cols+c], m.in[r*m.cols+c] = float64(v), true })
			m.b[r] = float64(f.RowBias(r))
		case *selectionFactor:
			if c := f.from[r]; c >= 0 {
				m.a[r*m.cols+int(c)], m.in[r*m.cols+int(c)] = 1, true
			} else {
				m.b[r] = float64(f.fill)
			}
		case *Diagonal:
			m.a[r*m.cols+r], m.in[r*m.cols+r] = f.Scale(r), true
			m.b[r] = f.Shift(r)
		}
	}
	return m
}

// after returns the product of m and what is applied before it: the plain triple
// loop, and for the support whether any path leads there.
func (m matrix64) after(g matrix64) matrix64 {
	p := matrix64{rows: m.rows, cols: g.cols, a: make([]float64, m.rows*g.cols), in: make([]bool, m.rows*g.cols), b: slices.Clone(m.b)}
	for r := range m.rows {
		for j := range m.cols {
			p.b[r] += m.a[r*m.cols+j] * g.b[j]
			for c := range g.cols {
				p.a[r*p.cols+c] += m.a[r*m.cols+j] * g.a[j*g.cols+c]
				p.in[r*p.cols+c] = p.in[r*p.cols+c] || m.in[r*m.cols+j] && g.in[j*g.cols+c]
			}
		}
	}
	return p
}

// randomFactor returns a factor that takes a tensor of those dimensions, and the
// dimensions of what it makes of it.
func randomFactor(rng *rand.Rand, dims []int) (Factor, []int) {
	size := Size(dims)
	switch rng.IntN(4) {
	case 0:
		scale, shift := randoms(rng, dims[0]), randoms(rng, size)
		scale[0] = 0 // which is in the support all the same
		per := func(i int) float64 { return float64(scale[i*dims[0]/size]) }
		return &Diagonal{Size: size, Scale: per, Shift: func(i int) float64 { return float64(shift[i]) }}, dims
	case 1:
		axis := rng.IntN(len(dims))
		index := make([]int, 1+rng.IntN(6))
		fill := float32(0)
		for i := range index {
			if index[i] = rng.IntN(dims[axis]+1) - 1; index[i] == Outside {
				fill = 0.5
			}
		}
		s := Everything(dims).Along(axis, index)
		return &selectionFactor{from: s.From, in: size, fill: fill}, s.Dims
	default:
		axes, groups := make([]Axis, len(dims)-1), 1
		for g := range dims[0] {
			if dims[0]%(g+1) == 0 && rng.IntN(2) == 0 {
				groups = g + 1
			}
		}
		out := groups * (1 + rng.IntN(2))
		next := []int{out}
		for i := range axes {
			w := Window{In: dims[i+1], Kernel: 1 + rng.IntN(3), Stride: 1 + rng.IntN(2), Dilation: 1 + rng.IntN(2), PadBegin: rng.IntN(2), PadEnd: rng.IntN(2)}
			w.Out = max(1, (w.In+w.PadBegin+w.PadEnd-(w.Kernel-1)*w.Dilation-1)/w.Stride+1)
			axes[i] = w.Axis(w.Kernel, func(_, t int) int { return t })
			next = append(next, w.Out)
		}
		m := &Map{Groups: groups, InChannels: dims[0], OutChannels: out, Taps: NewTaps(axes)}
		m.Kernel = randoms(rng, out*dims[0]/groups*m.Taps.Coefs)
		m.Kernel[0] = 0
		if rng.IntN(2) == 0 {
			m.Bias = randoms(rng, out)
		}
		return matrixFactor{m}, next
	}
}

// randoms returns n numbers, none of them zero.
func randoms(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// TestProduct compares random products in all that they say of themselves with
// the plain product of the dense matrices.
func TestProduct(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 21))
	local := make(map[string]int)
	for i := range 400 {
		dims := []int{1 + rng.IntN(4)}
		for range 1 + rng.IntN(3) {
			dims = append(dims, 1+rng.IntN(5))
		}
		var factors []Factor
		var want matrix64
		for k := range 1 + rng.IntN(4) {
			f, next := randomFactor(rng, dims)
			factors, dims = append(factors, f), next
			if k == 0 {
				want = denseFactor(f)
			} else {
				want = denseFactor(f).after(want)
			}
		}
		m := NewProduct(factors, Size(dims[1:]))
		checkProduct(t, m, want)
		f := m.inLocal()
		local[fmt.Sprint(f.Groups > 1, f.own)]++
		if t.Failed() {
			t.Fatalf("product %d of %d factors to %v, local %+v", i, len(factors), dims, f.LocalShape)
		}
	}
	// With and without groups; positions that channels share, and rows by themselves.
	for _, kind := range []string{"true false", "false false", "false true"} {
		if local[kind] == 0 {
			t.Errorf("no product has the local form (groups, own) %s: %v", kind, local)
		}
	}
}

// checkProduct compares a product with what it has to be. Entries are off by
// the rounding of the sums in float64 and one rounding to float32.
func checkProduct(t *testing.T, m *Product, want matrix64) {
	t.Helper()
	same := func(got float32, want float64) bool {
		return math.Abs(float64(got)-want) <= 0x1p-23*math.Abs(want)+1e-12
	}
	if m.Rows() != want.rows || m.Cols() != want.cols {
		t.Fatalf("it is %d×%d, want %d×%d", m.Rows(), m.Cols(), want.rows, want.cols)
	}
	var entries int64
	for _, in := range want.in {
		if in {
			entries++
		}
	}
	if m.NonZeros() != entries {
		t.Errorf("%d non-zeros, want %d", m.NonZeros(), entries)
	}
	var values, indices, dense bytes.Buffer
	for _, write := range []error{m.WriteValues(&values), m.WriteIndices(&indices), m.WriteDense(&dense)} {
		if write != nil {
			t.Fatal(write)
		}
	}
	spread := make([]float32, want.rows*want.cols)
	for last := int64(-1); indices.Len() > 0; {
		at := int64(binary.LittleEndian.Uint64(indices.Next(8)))
		if at <= last || at >= int64(len(spread)) || !want.in[at] {
			t.Fatalf("index %d after %d, in the support: %v", at, last, at < int64(len(spread)) && want.in[at])
		}
		last = at
		spread[at] = math.Float32frombits(binary.LittleEndian.Uint32(values.Next(4)))
	}
	if values.Len() > 0 {
		t.Errorf("%d values without an index", values.Len()/4)
	}
	whole := slices.Clone(dense.Bytes())
	for at, v := range want.a {
		got := math.Float32frombits(binary.LittleEndian.Uint32(dense.Next(4)))
		if !same(got, v) || math.Float32bits(got) != math.Float32bits(spread[at]) {
			t.Fatalf("entry (%d, %d) is %v, sparse %v, want %v", at/want.cols, at%want.cols, got, spread[at], v)
		}
	}
	for r := range want.rows {
		m.Row(r, func(c int, v float32) {
			if spread[r*want.cols+c] != v {
				t.Fatalf("entry (%d, %d) is %v in the row, %v in the matrix", r, c, v, spread[r*want.cols+c])
			}
		})
	}
	bias := m.BiasVector()
	for r, b := range want.b {
		if bias == nil && b != 0 || bias != nil && !same(bias[r], b) {
			t.Fatalf("bias of row %d is not %v", r, b)
		}
	}
	if got := fromLocal(t, m); !bytes.Equal(got, whole) {
		t.Error("the local form is another matrix")
	}
}

// fromLocal returns the dense form of what the local form of a product holds.
func fromLocal(t *testing.T, m *Product) []byte {
	t.Helper()
	form := m.Local()
	s := form.Shape()
	var weights, index bytes.Buffer
	if err := form.WriteWeights(&weights); err != nil {
		t.Fatal(err)
	}
	if err := form.WriteTable(&index); err != nil {
		t.Fatal(err)
	}
	var table []int64
	for index.Len() > 0 {
		table = append(table, int64(binary.LittleEndian.Uint64(index.Next(8))))
	}
	if int64(weights.Len()) != s.Bytes() || int64(8*len(table)) != s.TableBytes() {
		t.Fatalf("local %+v: %d bytes of weights and %d numbers", s, weights.Len(), len(table))
	}
	dense := make([]byte, 4*m.Rows()*m.Cols())
	for g := range s.Groups {
		for p := range s.Positions {
			for o := range s.OutPerGroup {
				r := (g*s.OutPerGroup+o)*s.Positions + p
				for _, c := range table[p*s.Slots : (p+1)*s.Slots] {
					v := weights.Next(4)
					if c == int64(s.Block) {
						if !s.Padded || binary.LittleEndian.Uint32(v) != 0 {
							t.Fatalf("local %+v: a slot of position %d sees the zero, and holds %v", s, p, v)
						}
						continue
					}
					copy(dense[4*(r*m.Cols()+g*s.Block+int(c)):], v)
				}
			}
		}
	}
	return dense
}
