package verify

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// affineRow is an element of a value as a sum over another value, both without
// the batch axis: Σ weights[k]·input[columns[k]] + bias.
type affineRow struct {
	input   string
	columns []int // ascending
	weights []float64
	bias    float64
}

// affineRow follows element r of a value back to the first value that stop says
// to stop at, through nodes that are affine in it; nil where there is one that is
// not. shapes are those of n's values, with the batch axis.
func (n *net) affineRow(value string, r int, shapes map[string][]int, stop func(string) bool) (*affineRow, error) {
	scale, bias := 1.0, 0.0
	finish := func(row *affineRow, err error) (*affineRow, error) {
		if row != nil {
			for i := range row.weights {
				row.weights[i] *= scale
			}
			row.bias = bias + scale*row.bias
		}
		return row, err
	}
	for first := true; ; first = false {
		node := n.Producer(value)
		if !first && (node == nil || stop(value)) {
			return finish(&affineRow{input: value, columns: []int{r}, weights: []float64{1}}, nil)
		}
		if node == nil {
			return nil, nil
		}
		if f := n.factoredForm(node); f != nil {
			return finish(n.factoredRow(f, r))
		}
		if f := n.localForm(node); f != nil {
			return finish(n.localRow(f, r))
		}
		data, isDiagonal := n.diagonalData(node)
		switch {
		case n.passes(node):
			value = node.Input(0)
		case isDiagonal:
			d, err := operatorOf(node).diagonal(n, node, data, shapes[value])
			if errors.Is(err, errNotLinear) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			if d.shift != nil {
				bias += scale * d.shift(r)
			}
			if d.scale != nil {
				scale = d.scale(r, scale)
			}
			value = node.Input(data)
		case n.multipliesVectors(node, shapes[node.Input(0)]) && n.constants[node.Input(1)] != nil:
			return finish(n.gemmRow(node, r))
		default:
			return finish(n.matrixRow(node, r, value, shapes))
		}
	}
}

// matrixRow is row r of the matrix of a linear node, which computes value; nil for a
// node that has none.
func (n *net) matrixRow(node *onnxio.Node, r int, value string, shapes map[string][]int) (*affineRow, error) {
	name := node.Input(n.dataOf(node))
	m, err := n.matrixOf(node, shapes[name], shapes[value])
	if errors.Is(err, errNoMatrix) || err != nil && !n.isLinear(node) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	row := &affineRow{input: name}
	m.entries(r, func(c int, k, _ float64) {
		row.columns, row.weights = append(row.columns, c), append(row.weights, k)
	})
	if m.hasBias {
		row.bias, _ = m.bias(r)
	}
	return row, nil
}

// elementOf returns one element of a constant.
func (n *net) elementOf(name string, i int) (float64, error) {
	t := n.constants[name]
	v, err := engine.FromONNX[float64](t)
	if err != nil {
		return 0, err
	}
	if i >= len(v.F) {
		return 0, fmt.Errorf("constant %q has no element %d", name, i)
	}
	return v.F[i], nil
}

// localRow is row r of a layer in local form (see localNodes); nil where one of
// its nodes is not what that form has.
func (n *net) localRow(f *localNodes, r int) (*affineRow, error) {
	w, index := n.constants[f.product.Input(0)], n.constants[f.gatherIndex()]
	if index == nil || len(w.Dims) != 4 || w.Type != onnxio.Float32 || w.Data == nil {
		return nil, nil
	}
	has := func(node *onnxio.Node, name string, want ...int64) bool {
		got, err := node.Ints(name)
		return err == nil && slices.Equal(got, want)
	}
	if f.pad != nil {
		if p, err := padOf(n, f.pad); err != nil || !p.puts(zeroBehind) {
			return nil, nil
		}
	}
	if f.reshape == nil || !has(f.blocks, "perm", 1, 2, 0) || !has(f.channels, "perm", 3, 0, 2, 1) {
		return nil, nil
	}
	shape, err := n.reshapeTo(f.reshape)
	if err != nil || len(shape) != 3 || shape[0] > 0 || shape[1] != w.Dims[0] || shape[2] < 1 {
		return nil, err
	}
	positions, out, slots, block := int(w.Dims[1]), int(w.Dims[2]), int(w.Dims[3]), int(shape[2])
	p := r % positions
	g, o := r/positions/out, r/positions%out
	weights, err := (&picker{first: ((g*positions+p)*out + o) * slots, step: 1, count: slots}).pick(w)
	if err != nil {
		return nil, err
	}
	table, err := onnxio.Ints(index)
	if err != nil || len(table) < (p+1)*slots {
		return nil, err
	}
	at := make(map[int]float64)
	row := &affineRow{input: f.reshape.Input(0)}
	for s, k := range weights {
		if q := int(table[p*slots+s]); q >= 0 && q < block {
			at[g*block+q] += k
		}
	}
	for c := range at {
		row.columns = append(row.columns, c)
	}
	slices.Sort(row.columns)
	for _, c := range row.columns {
		row.weights = append(row.weights, at[c])
	}
	if f.add != nil {
		row.bias, err = n.elementOf(f.add.Input(1), r)
	}
	return row, err
}

// picker is a Writer that keeps count of the float32 written to it, every
// step-th from first on.
type picker struct {
	first, step, count int
	at                 int
	partial            []byte
	kept               []float64
}

// errPicked ends the writing when all are there.
var errPicked = errors.New("all that was asked for has been read")

func (p *picker) pick(t *onnxio.Tensor) ([]float64, error) {
	if _, err := t.Data.WriteTo(p); err != nil && !errors.Is(err, errPicked) {
		return nil, err
	}
	if len(p.kept) != p.count {
		return nil, fmt.Errorf("constant %q: %d of %d elements are there", t.Name, len(p.kept), p.count)
	}
	return p.kept, nil
}

func (p *picker) Write(b []byte) (int, error) {
	written := len(b)
	b = append(p.partial, b...)
	for len(p.kept) < p.count {
		next := p.first + len(p.kept)*p.step
		skip := min(next-p.at, len(b)/4)
		if p.at, b = p.at+skip, b[4*skip:]; len(b) < 4 {
			break
		}
		p.kept = append(p.kept, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		p.at, b = p.at+1, b[4:]
	}
	if len(p.kept) == p.count {
		return 0, errPicked
	}
	p.partial = slices.Clone(b)
	return written, nil
}

// maxTerms is how many terms of a row a report lists.
const maxTerms = 8

// Row is the sum that makes one element of a linear layer, in both models on the
// same inputs.
type Row struct {
	// Input is the value of the CNN that the weights are multiplied with.
	Input string `json:"input"`
	// Terms are those whose products are furthest apart, then the largest.
	Terms []Term `json:"terms"`
	// Of is how many terms either model has, and Differ how many of them have not
	// the same weight in both.
	Of       int    `json:"of"`
	Differ   int    `json:"differ"`
	CNNBias  Figure `json:"cnn_bias"`
	EFCNBias Figure `json:"efcn_bias"`
	// CNNSum and EFCNSum are the sums with their biases, in float64.
	CNNSum  Figure `json:"cnn_sum"`
	EFCNSum Figure `json:"efcn_sum"`
}

// Term is one product of a Row.
type Term struct {
	At          []int  `json:"at"` // of the input, without the batch axis
	Input       Figure `json:"input"`
	CNNWeight   Figure `json:"cnn_weight"` // 0 where the CNN has no such term
	EFCNWeight  Figure `json:"efcn_weight"`
	CNNProduct  Figure `json:"cnn_product"`
	EFCNProduct Figure `json:"efcn_product"`
}

// rowOf puts the two sums over one input side by side. x is one sample of it, of
// that shape without the batch axis.
func rowOf(a, b *affineRow, x []float64, shape []int) *Row {
	weights := make(map[int][2]float64)
	for i, c := range a.columns {
		weights[c] = [2]float64{a.weights[i], 0}
	}
	for i, c := range b.columns {
		weights[c] = [2]float64{weights[c][0], b.weights[i]}
	}
	row := &Row{
		Input: a.input, Of: len(weights), CNNBias: Figure(a.bias), EFCNBias: Figure(b.bias),
		CNNSum: Figure(a.bias), EFCNSum: Figure(b.bias),
	}
	for _, c := range slices.Sorted(maps.Keys(weights)) {
		if c < 0 || c >= len(x) {
			return nil
		}
		w := weights[c]
		t := Term{
			At: unravel(c, shape), Input: Figure(x[c]), CNNWeight: Figure(w[0]), EFCNWeight: Figure(w[1]),
			CNNProduct: Figure(w[0] * x[c]), EFCNProduct: Figure(w[1] * x[c]),
		}
		if w[0] != w[1] {
			row.Differ++
		}
		row.CNNSum += t.CNNProduct
		row.EFCNSum += t.EFCNProduct
		row.Terms = append(row.Terms, t)
	}
	slices.SortStableFunc(row.Terms, func(s, t Term) int {
		return cmp.Or(
			cmp.Compare(math.Abs(float64(t.CNNProduct-t.EFCNProduct)), math.Abs(float64(s.CNNProduct-s.EFCNProduct))),
			cmp.Compare(math.Abs(float64(t.CNNWeight-t.EFCNWeight)), math.Abs(float64(s.CNNWeight-s.EFCNWeight))),
			cmp.Compare(math.Abs(float64(t.CNNProduct)), math.Abs(float64(s.CNNProduct))))
	})
	row.Terms = row.Terms[:min(maxTerms, len(row.Terms))]
	return row
}
