package verify

import (
	"errors"
	"fmt"
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Gemm.html
func init() {
	register(operator{
		name: "Gemm", bias: 2, weighted: true, factors: []string{"alpha", "beta"}, terms: gemmTerms,
		matrix: gemmMatrix, scaled: gemmScaled, channelOf: gemmChannelOf,
		defaults: always(spelling{"alpha": "1", "beta": "1", "transA": "0", "transB": "0"}),
	})
}

func gemmTerms(node *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
	transA, err := node.Int("transA", 0)
	if transA != 0 {
		return in[0].Shape[0], err
	}
	return in[0].Shape[1], err
}

// gemmMatrix: the entry of output r and input c is B[c,r], with transB B[r,c].
// alpha and beta stay attributes of the node and are compared there.
// https://onnx.ai/onnx/operators/onnx__Gemm.html
func gemmMatrix(n *net, node *onnxio.Node, _, _ []int) (*matrix, error) {
	w, dims, ok, err := n.floats(node, 1)
	if err != nil {
		return nil, err
	}
	if !ok || len(dims) != 2 {
		return nil, fmt.Errorf("B: want a matrix, got %v", dims)
	}
	transA, err := node.Int("transA", 0)
	if err != nil {
		return nil, err
	}
	if transA != 0 {
		return nil, fmt.Errorf("transA mixes the images of a batch")
	}
	transB, err := node.Int("transB", 0)
	if err != nil {
		return nil, err
	}
	m := &matrix{rows: int(dims[1]), cols: int(dims[0])}
	rowStep, colStep := 1, m.rows
	if transB != 0 {
		m.rows, m.cols = m.cols, m.rows
		rowStep, colStep = m.cols, 1
	}
	m.entries = func(r int, entry func(int, float64, float64)) {
		for c := range m.cols {
			entry(c, float64(w[r*rowStep+c*colStep]), 0)
		}
	}
	bias, _, hasBias, err := n.floats(node, 2)
	if err != nil {
		return nil, err
	}
	if hasBias && len(bias) != 1 && len(bias) != m.rows {
		return nil, fmt.Errorf("C: want %d values, got %d", m.rows, len(bias))
	}
	m.hasBias = hasBias
	m.bias = func(r int) (float64, float64) { return float64(bias[r%len(bias)]), 0 }
	return m, nil
}

// gemmScaled multiplies alpha and beta into the matrix and bias of a Gemm.
func gemmScaled(m *matrix, node *onnxio.Node) (*matrix, error) {
	alpha, err := node.Float("alpha", 1)
	if err != nil {
		return nil, err
	}
	beta, err := node.Float("beta", 1)
	if err != nil {
		return nil, err
	}
	s := *m
	s.entries = func(r int, entry func(int, float64, float64)) {
		m.entries(r, func(c int, v, slack float64) { entry(c, float64(alpha)*v, slack) })
	}
	if beta == 0 { // C is not read, so that NaN in it does not show
		s.hasBias = false
		return &s, nil
	}
	s.bias = func(r int) (float64, float64) {
		b, slack := m.bias(r)
		return float64(beta) * b, slack
	}
	return &s, nil
}

// plainGemm says whether a node computes x·Wᵀ + b with W as it is stored.
func plainGemm(node *onnxio.Node) error {
	for _, a := range []struct {
		name      string
		def, want int64
	}{{"transA", 0, 0}, {"transB", 0, 1}} {
		v, err := node.Int(a.name, a.def)
		if err != nil {
			return err
		}
		if v != a.want {
			return fmt.Errorf("attribute %s: want %d, got %d", a.name, a.want, v)
		}
	}
	for _, name := range []string{"alpha", "beta"} {
		v, err := node.Float(name, 1)
		if err != nil {
			return err
		}
		if v != 1 {
			return fmt.Errorf("attribute %s: want 1, got %g", name, v)
		}
	}
	return nil
}

// gemmRow is row r of a Gemm or of a MatMul with a matrix.
func (n *net) gemmRow(node *onnxio.Node, r int) (*affineRow, error) {
	w := n.constants[node.Input(1)]
	transA, errA := node.Int("transA", 0)
	transB, errB := node.Int("transB", 0)
	alpha, errAlpha := node.Float("alpha", 1)
	beta, errBeta := node.Float("beta", 1)
	if err := errors.Join(errA, errB, errAlpha, errBeta); err != nil {
		return nil, err
	}
	if len(w.Dims) != 2 || transA != 0 || w.Type != onnxio.Float32 || w.Data == nil {
		return nil, nil
	}
	rows, cols := int(w.Dims[1]), int(w.Dims[0])
	p := &picker{first: r, step: rows, count: cols}
	if transB != 0 {
		rows, cols = cols, rows
		p = &picker{first: r * cols, step: 1, count: cols}
	}
	if r >= rows {
		return nil, nil
	}
	weights, err := p.pick(w)
	if err != nil {
		return nil, err
	}
	row := &affineRow{input: node.Input(0)}
	for c, k := range weights {
		if k != 0 || math.Signbit(k) {
			row.columns, row.weights = append(row.columns, c), append(row.weights, k*float64(alpha))
		}
	}
	if name := node.Input(2); name != "" && beta != 0 && n.constants[name] != nil {
		c := n.constants[name]
		i := 0
		if size, err := onnxio.NumElements(c.Dims); err == nil && size > 1 {
			i = r
		}
		b, err := n.elementOf(name, i)
		if err != nil {
			return nil, err
		}
		row.bias = b * float64(beta)
	}
	return row, nil
}

func gemmChannelOf(node *onnxio.Node, dims []int64) (channels int, of func(i int) int, err error) {
	transB, err := node.Int("transB", 0)
	if err != nil || transB != 0 {
		return int(dims[0]), func(i int) int { return i / int(dims[1]) }, err
	}
	return int(dims[1]), func(i int) int { return i % int(dims[1]) }, nil
}
