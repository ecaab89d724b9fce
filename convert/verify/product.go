package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/convert/record"
	"efcn/onnxio"
)

// multiplied returns the product of affine maps, the first applied first.
//
// An entry is a sum of products over all ways from the column to the row. In
// whatever order those are multiplied and added up in float64, the result is
// within γ_m·Σ|…| of the exact one, m the operations that a term sees (Higham,
// §3.5): one product and at most so many sums a factor as it has terms there, and
// the few operations that made its entry. Two computations of it differ by at most
// twice that, besides what the entries of an interpolation may be off. That is the
// slack of an entry; so every float32 between the roundings of the two ends is
// accepted: one, or two where the sum is that close to the middle between them.
// Sums of whole numbers are exact and have no slack.
//
// The support is what can be reached, whatever the numbers are.
func multiplied(factors []*matrix) (*matrix, error) {
	last := factors[len(factors)-1]
	p := &productRow{factors: factors}
	m := &matrix{
		rows: last.rows, cols: factors[0].cols, outShape: last.outShape, inShape: factors[0].inShape,
		entries: p.entries, union: true, whole: true,
	}
	for i, f := range factors {
		if i > 0 && f.cols != factors[i-1].rows {
			return nil, fmt.Errorf("factor %d takes %d elements; the one before makes %d", i+1, f.cols,
				factors[i-1].rows)
		}
		m.hasBias = m.hasBias || f.hasBias
		m.whole = m.whole && f.whole
		p.scratch = append(p.scratch, newAccumulator(f.cols))
	}
	p.exact = m.whole
	if m.hasBias {
		value, slack := biasOfProduct(factors)
		m.bias = func(r int) (float64, float64) { return value[r], slack[r] }
	}
	m.fuzz = fuzzOfProduct(factors)
	return m, nil
}

// roundings are the operations that made one entry of a factor, at most: of a
// BatchNormalization's shift.
const roundings = 8

// productRow multiplies out a row at a time.
type productRow struct {
	factors []*matrix
	scratch []*accumulator // by factor
	exact   bool
}

// partial is an entry of a row while it is multiplied out: its value, the sum of
// the magnitudes, and what the entries of interpolations may have moved it.
type partial struct {
	col                     int
	value, magnitude, moved float64
}

// accumulator adds up a row.
type accumulator struct {
	at    []int32 // by column: index in row, plus 1
	row   []partial
	terms []int
}

func newAccumulator(cols int) *accumulator { return &accumulator{at: make([]int32, cols)} }

func (a *accumulator) reset() {
	for _, e := range a.row {
		a.at[e.col] = 0
	}
	a.row, a.terms = a.row[:0], a.terms[:0]
}

func (a *accumulator) add(col int, value, magnitude, moved float64) {
	i := a.at[col]
	if i == 0 {
		a.row, a.terms = append(a.row, partial{col: col}), append(a.terms, 0)
		i = int32(len(a.row))
		a.at[col] = i
	}
	e := &a.row[i-1]
	e.value += value
	e.magnitude += magnitude
	e.moved += moved
	a.terms[i-1]++
}

func (p *productRow) entries(r int, entry func(int, float64, float64)) {
	row := []partial{{col: r, value: 1, magnitude: 1}}
	operations := 0
	for k := len(p.factors) - 1; k >= 0; k-- {
		sum := p.scratch[k]
		sum.reset()
		for _, e := range row {
			p.factors[k].entries(e.col, func(c int, v, slack float64) {
				v, size := e.value*v, math.Abs(v)
				sum.add(c, v, e.magnitude*size, e.moved*(size+slack)+e.magnitude*slack)
			})
		}
		if len(sum.terms) > 0 {
			operations += slices.Max(sum.terms) + 1 + roundings
		}
		row = sum.row
	}
	// The order of the columns is that of the last factor to be multiplied in.
	sorted := slices.Clone(row)
	slices.SortFunc(sorted, func(a, b partial) int { return a.col - b.col })
	gamma := arithmetic{unit: 0x1p-53}.gamma(operations)
	for _, e := range sorted {
		slack := 0.0
		if !p.exact {
			slack = own * (2*gamma*e.magnitude + e.moved)
		}
		entry(e.col, e.value, slack)
	}
}

// biasOfProduct returns b₁ multiplied by the later factors, with their biases, and
// how far it may be off.
func biasOfProduct(factors []*matrix) (value, slack []float64) {
	var size, moved []float64
	operations := 0
	for k, f := range factors {
		next, nextSize, nextMoved := make([]float64, f.rows), make([]float64, f.rows), make([]float64, f.rows)
		most := 0
		for r := range f.rows {
			terms := 0
			if k > 0 {
				f.entries(r, func(c int, v, off float64) {
					terms++
					next[r] += v * value[c]
					nextSize[r] += math.Abs(v) * size[c]
					nextMoved[r] += (math.Abs(v)+off)*moved[c] + off*size[c]
				})
			}
			if f.hasBias {
				b, off := f.bias(r)
				next[r] += b
				nextSize[r] += math.Abs(b)
				nextMoved[r] += off
			}
			most = max(most, terms)
		}
		operations += most + 2 + roundings
		value, size, moved = next, nextSize, nextMoved
	}
	gamma := arithmetic{unit: 0x1p-53}.gamma(operations)
	for r := range value {
		moved[r] = own * (2*gamma*size[r] + moved[r])
	}
	return value, moved
}

// fuzzOfProduct is the fuzz of an interpolation, multiplied by what the other
// factors can make of it: the largest sums of magnitudes in a row.
func fuzzOfProduct(factors []*matrix) float64 {
	total := 0.0
	for i, f := range factors {
		if f.fuzz == 0 {
			continue
		}
		fuzz := f.fuzz
		for k, g := range factors {
			if k != i {
				fuzz *= g.norm()
			}
		}
		total += fuzz
	}
	return own * total
}

// norm is the largest sum of magnitudes in a row.
func (m *matrix) norm() float64 {
	most := 0.0
	for r := range m.rows {
		sum := 0.0
		m.entries(r, func(_ int, v, slack float64) { sum += math.Abs(v) + slack })
		most = math.Max(most, sum)
	}
	return most
}

// factorOf works out the affine map of one factor: of a linear operator, a
// diagonal, a selection or a level of a maximum. It returns the input of its node
// that the map is applied to.
func (s *structure) factorOf(f *record.Factor) (m *matrix, node *onnxio.Node, data int, err error) {
	if node = s.cnn.Producer(f.Output); node == nil || node.Label() != f.Node || node.QualifiedOp() != f.Op {
		return nil, node, 0, fmt.Errorf("the record names node %q (%s) as a factor; the CNN has no such node for %q",
			f.Node, f.Op, f.Output)
	}
	out := s.shapes[f.Output]
	op := operatorOf(node)
	data, isDiagonal := s.cnn.diagonalData(node)
	switch {
	case f.Levels > 0:
		levels, err := s.levels(node)
		if err != nil {
			return nil, node, 0, err
		}
		if f.Levels != len(levels) || f.Level < 1 || f.Level > len(levels) {
			return nil, node, 0, fmt.Errorf("the record names level %d of %d of it; it takes %d", f.Level, f.Levels,
				len(levels))
		}
		return levels[f.Level-1], node, 0, nil
	case isDiagonal:
		m, err = s.diagonalMatrix(node, data, out)
	case op.windows != nil: // over single cells
		m, err = s.selectionMatrix(node, 0)
	case op.selection != nil && !op.joins && !op.interpolating(node):
		m, err = s.selectionMatrix(node, slices.Index(node.Outputs, f.Output))
	default:
		data = s.cnn.dataOf(node)
		if m, err = s.cnn.matrixOf(node, s.shapes[node.Input(data)], out); err == nil && op.scaled != nil {
			m, err = op.scaled(m, node)
		}
	}
	return m, node, data, err
}

// selectionMatrix is the map of output k of an operator that selects: a one in
// each row, or none where a Pad puts in its constant.
func (s *structure) selectionMatrix(node *onnxio.Node, k int) (*matrix, error) {
	from, err := s.selection(node, k)
	if err != nil {
		return nil, err
	}
	fill := float32(0)
	if op := operatorOf(node); op.fill != nil {
		if fill, err = op.fill(s.cnn, node); err != nil {
			return nil, err
		}
	}
	in, out := s.shapes[node.Input(0)], s.shapes[node.Output(k)]
	return &matrix{
		rows: len(from), cols: product(in[1:]), inShape: in[1:], outShape: out[1:], whole: true,
		hasBias: fill != 0 && slices.Contains(from, outside),
		bias: func(r int) (float64, float64) {
			if from[r] == outside {
				return float64(fill), 0
			}
			return 0, 0
		},
		entries: func(r int, entry func(int, float64, float64)) {
			if from[r] != outside {
				entry(from[r], 1, 0)
			}
		},
	}, nil
}

// product checks a layer that is a product, a level of a maximum, or both.
func (s *structure) product(rec *record.Layer) {
	before := len(s.report.Findings)
	row := Layer{Node: rec.Node, Op: rec.Op, Output: rec.Output, Structure: OK}
	s.factors(rec, &row)
	if len(s.report.Findings) > before {
		row.Structure = Failed
	}
	s.report.Layers = append(s.report.Layers, row)
}

// factors checks the factors of a layer and its entries.
func (s *structure) factors(rec *record.Layer, row *Layer) {
	var list []*matrix
	var first *onnxio.Node
	var in layerInput
	for i := range rec.Factors {
		f := &rec.Factors[i]
		m, node, data, err := s.factorOf(f)
		if node == nil || err != nil {
			s.fault("record", node, rec.Output, "factor %d: %v", i+1, err)
			return
		}
		if i == 0 {
			first = node
			in = layerInput{size: m.cols, wire: func(end *onnxio.Node) { s.wire(node, end, data, 0) }}
			if f.Level > 1 {
				in.wire = func(end *onnxio.Node) { s.afterLevel(node, f.Level-1, end, rec.Output) }
			}
		} else if got, want := s.cnnOrigin(node.Input(data)), s.cnnOrigin(rec.Factors[i-1].Output); got != want ||
			f.Level > 1 {
			s.fault("record", node, rec.Output, "factor %d takes %q, which is not what the one before computes (%q)",
				i+1, got, want)
			return
		}
		if f.Levels == 0 {
			s.seen[node] = true
		} else if s.part(node, f.Level, f.Levels); f.Level < f.Levels && i < len(rec.Factors)-1 {
			s.fault("record", node, rec.Output, "factor %d is a level with a Relu behind it, not the next factor", i+1)
			return
		}
		op := node.OpType
		if f.Levels > 0 {
			op = fmt.Sprintf("%s %d/%d", op, f.Level, f.Levels)
		}
		row.Factors = append(row.Factors, op)
		list = append(list, m)
	}
	m, err := multiplied(list)
	if err != nil {
		s.fault("record", first, rec.Output, "%v", err)
		return
	}
	if last := rec.Factors[len(list)-1]; last.Level == last.Levels && last.Output != rec.Output {
		s.fault("record", first, rec.Output, "its last factor computes %q", last.Output)
		return
	}
	row.Rows, row.Cols = m.rows, m.cols
	if end := s.endOf(rec.Output); end == nil {
		s.fault("node", first, rec.Output, "the eFCN has no value %q", rec.Output)
	} else {
		s.form(first, end, rec, m, in, row)
	}
}

// part notes that a layer stands for a level of a maximum.
func (s *structure) part(node *onnxio.Node, level, levels int) {
	if s.parts[node] == nil {
		s.parts[node] = make([]bool, levels)
	}
	if s.parts[node][level-1] {
		s.fault("record", node, node.Output(0), "two layers stand for level %d of it", level)
	}
	s.parts[node][level-1] = true
}

// wholeMaxima checks that all levels of a maximum are there.
func (s *structure) wholeMaxima() {
	for node, levels := range s.parts {
		s.seen[node] = true
		if i := slices.Index(levels, false); i >= 0 {
			s.fault("record", node, node.Output(0), "no layer stands for level %d of it", i+1)
		}
	}
}

// afterLevel checks that a node takes the Relu of what the layer of a level computes.
func (s *structure) afterLevel(node *onnxio.Node, level int, end *onnxio.Node, output string) {
	relu := s.efcn.Producer(s.efcn.origin(end.Input(0)))
	if !isOp(relu, "Relu") {
		s.fault("node", end, output, "it takes %q, which no Relu computes", end.Input(0))
		return
	}
	s.expected[relu] = true
	taken := s.efcn.origin(relu.Input(0))
	for i := range s.record.Layers {
		rec := &s.record.Layers[i]
		if n := len(rec.Factors); n > 0 && rec.Factors[n-1].Output == node.Output(0) &&
			rec.Factors[n-1].Level == level {
			if want := s.efcn.origin(rec.Output); taken != want {
				s.fault("node", relu, output, "it takes %q; level %d computes %q", taken, level, want)
			}
			return
		}
	}
	s.fault("record", node, output, "no layer ends with level %d of it", level)
}
