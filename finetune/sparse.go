package finetune

import (
	"errors"
	"fmt"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// sparseMatrix is a weight matrix that is stored, and trained, as its entries. In
// a trainee it stands among the initializers as the list of their values.
type sparseMatrix struct {
	kernel.CSR // Columns only until the trainee is made
	plan       *kernel.CSRPlan
	most       [2]int   // entries of a column, and of a row, at most
	inside     *pattern // nil where all entries are in the support, or there is none
}

// pattern says which stored entries of a sparse matrix are in the support, where others
// are stored too.
type pattern struct {
	rows    []int // where each row begins among the stored entries, and the end
	first   []int // the same in entries
	entries []int // in the support, ascending
}

// sparseMatrices finds the sparse constants of a graph that can be trained, and
// puts their values among the initializers.
func sparseMatrices(g *onnxio.Graph, initializers map[string]*onnxio.Tensor) (map[string]*sparseMatrix, error) {
	found := map[string]*sparseMatrix{}
	for name, s := range engine.SparseFactors(g) {
		plan, err := kernel.NewCSRPlan(s.CSR)
		if err != nil {
			return nil, fmt.Errorf("weights %q: %w", name, err)
		}
		found[name] = &sparseMatrix{CSR: s.CSR, plan: plan, most: mostEntries(s.CSR)}
		values := *s.Values
		values.Name = name
		initializers[name] = &values
	}
	return found, nil
}

// fanIn is the most entries that an output has where the matrix multiplies from the
// right, transposed or not.
func (s *sparseMatrix) fanIn(transposed bool) int {
	if transposed {
		return s.most[1]
	}
	return s.most[0]
}

// mostEntries counts those of the column and of the row that have the most.
func mostEntries(c kernel.CSR) (most [2]int) {
	counts := make([]int, c.Cols)
	for _, q := range c.Columns {
		counts[q]++
		most[0] = max(most[0], counts[q])
	}
	for r := range c.Rows {
		most[1] = max(most[1], c.Starts[r+1]-c.Starts[r])
	}
	return most
}

// checkSparse makes sure that the sparse layers of a record store what it says:
// all entries of the support, where it has a geometry. Others may be stored beside them:
// those that compress left.
func (t *trainee[T]) checkSparse(rec *record.Record) error {
	if rec == nil {
		return nil
	}
	var errs []error
	for i := range rec.Layers {
		l := &rec.Layers[i]
		if l.Layout != record.Sparse || t.links.Uses(l.Weight) == 0 {
			continue
		}
		if err := t.checkPattern(l); err != nil {
			errs = append(errs, fmt.Errorf("layer %q: the record has it sparse, but %w; convert the CNN again", l.Node, err))
		}
	}
	return errors.Join(errs...)
}

func (t *trainee[T]) checkPattern(l *record.Layer) error {
	s := t.sparse[l.Weight]
	if s == nil {
		return fmt.Errorf("its weights %q are not a sparse matrix that products alone read", l.Weight)
	}
	m, err := l.Support()
	if err != nil || m == nil {
		return err
	}
	if s.Rows != m.Rows() || s.Cols != m.Cols() {
		return fmt.Errorf("its weights %q are a %d×%d matrix, the geometry in the record is of %d×%d", l.Weight, s.Rows,
			s.Cols, m.Rows(), m.Cols())
	}
	p := &pattern{rows: s.Starts, first: make([]int, 1, s.Rows+1)}
	channels := m.InChannels / m.Groups
	var taps []affine.Tap
	for r := range s.Rows {
		taps = m.Taps.At(r%m.Taps.Out, taps)
		first, _ := m.Channels(r)
		at, end := s.Starts[r], s.Starts[r+1]
		for c := first; c < first+channels; c++ {
			for _, tap := range taps {
				column := int32(c*m.Taps.In) + tap.In
				for at < end && s.Columns[at] < column {
					at++
				}
				if at == end || s.Columns[at] != column {
					return fmt.Errorf("the entries of row %d are not those of the geometry", r)
				}
				p.entries = append(p.entries, at)
			}
		}
		p.first = append(p.first, len(p.entries))
	}
	if len(p.entries) < len(s.Columns) {
		s.inside = p
	}
	return nil
}

// tieSparse ties stored entries.
func tieSparse(m *affine.Map, s *sparseMatrix) *tie {
	rows, entry := s.Starts, func(i int) int { return i }
	if s.inside != nil {
		rows, entry = s.inside.first, func(i int) int { return s.inside.entries[i] }
	}
	return &tie{Map: m, walk: func(o int, mean func(p int, at func(c, tap int) int)) {
		channels := m.InChannels / m.Groups
		for p := range m.Taps.Out {
			row := rows[o*m.Taps.Out+p]
			taps := (rows[o*m.Taps.Out+p+1] - row) / max(1, channels)
			mean(p, func(c, j int) int { return entry(row + c*taps + j) })
		}
	}}
}

// sparseLinear is y = alpha·x·op(w) + beta·b over rows of x, as linear is, with the
// stored entries of w for weights: w is out×in if transposed and in×out otherwise.
type sparseLinear[T kernel.Float] struct {
	*kernel.CSRLayer[T]
	rows, in, out int
	transposed    bool
	alpha, beta   T
	many          bool // there are more rows than samples
}

func (l *sparseLinear[T]) forward(in [][]T, y []T) {
	var bias []T
	if len(in) > 2 && l.beta != 0 { // with 0 it is not read: it may be NaN
		bias = in[2]
	}
	if l.transposed && l.alpha == 1 && l.beta == 1 {
		l.Forward(in[0], in[1], bias, y)
		return
	}
	if l.transposed {
		l.Forward(in[0], in[1], nil, y)
	} else {
		l.LoadGradient(in[0])
		l.BackwardInput(in[1], y)
	}
	kernel.Parallel(l.rows, 1+elementGrain/max(1, l.out), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row := y[i*l.out : (i+1)*l.out]
			multiply(l.alpha, row)
			for k, b := range bias {
				row[k] += l.beta * b
			}
		}
	})
}

func multiply[T kernel.Float](by T, v []T) {
	if by == 1 {
		return
	}
	for i := range v {
		v[i] *= by
	}
}

func (l *sparseLinear[T]) backward(p pass[T]) {
	if l.transposed {
		l.LoadGradient(p.dout)
		if p.din[0] != nil {
			l.BackwardInput(p.in[1], p.din[0])
		}
	} else {
		// The other way round: the rows of w are inputs.
		if p.din[0] != nil {
			l.Forward(p.dout, p.in[1], nil, p.din[0])
		} else {
			l.Load(p.dout)
		}
		l.LoadGradient(p.in[0])
	}
	multiply(l.alpha, p.din[0])
	p.ready()
	if p.din[1] != nil {
		l.BackwardWeights(l.alpha, 0, p.din[1])
	}
	if len(p.din) > 2 && p.din[2] != nil {
		kernel.SumRows(l.rows, p.dout, p.din[2])
		multiply(l.beta, p.din[2])
	}
}

// needs: where w is transposed the kernel has a copy of the input in an order of its own.
func (l *sparseLinear[T]) needs() needs { return needs{inputs: !l.transposed} }

func (l *sparseLinear[T]) fuses(i int) (fuses, inParts bool) { return i == 1, false }

func (l *sparseLinear[T]) update(p pass[T], _ int, rate, keep T) {
	l.BackwardWeights(-rate*l.alpha, keep, p.in[1])
}

// gradient makes all of it: stored entries are few.
func (l *sparseLinear[T]) gradient(p pass[T], _ int, visit func(at int, part []T)) {
	g := make([]T, len(p.in[1]))
	l.BackwardWeights(l.alpha, 0, g)
	visit(0, g)
}
