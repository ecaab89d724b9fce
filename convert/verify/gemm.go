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
		matrix: gemmMatrix, scaled: gemmScaled, onVectors: func(*net, *onnxio.Node, []int) bool { return true },
		channelOf: gemmChannelOf,
		defaults:  always(spelling{"alpha": "1", "beta": "1", "transA": "0", "transB": "0"}),
	})
}

// gemm is what the attributes of a Gemm say, and of a MatMul, which has none.
type gemm struct {
	alpha, beta    float32
	transA, transB int64
}

func gemmOf(node *onnxio.Node) (gemm, error) {
	transA, errA := node.Int("transA", 0)
	transB, errB := node.Int("transB", 0)
	alpha, errAlpha := node.Float("alpha", 1)
	beta, errBeta := node.Float("beta", 1)
	return gemm{alpha, beta, transA, transB}, errors.Join(errA, errB, errAlpha, errBeta)
}

func gemmTerms(node *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
	g, err := gemmOf(node)
	if g.transA != 0 {
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
	g, err := gemmOf(node)
	if err != nil {
		return nil, err
	}
	if g.transA != 0 {
		return nil, fmt.Errorf("transA mixes the images of a batch")
	}
	m := &matrix{rows: int(dims[1]), cols: int(dims[0])}
	rowStep, colStep := 1, m.rows
	if g.transB != 0 {
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
	g, err := gemmOf(node)
	if err != nil {
		return nil, err
	}
	s := *m
	s.entries = func(r int, entry func(int, float64, float64)) {
		m.entries(r, func(c int, v, slack float64) { entry(c, float64(g.alpha)*v, slack) })
	}
	if g.beta == 0 { // C is not read, so that NaN in it does not show
		s.hasBias = false
		return &s, nil
	}
	s.bias = func(r int) (float64, float64) {
		b, slack := m.bias(r)
		return float64(g.beta) * b, slack
	}
	return &s, nil
}

// plainGemm reports why a node does not compute x·Wᵀ + b with W as it is stored; nil if it does.
func plainGemm(node *onnxio.Node) error {
	g, err := gemmOf(node)
	switch {
	case err != nil:
		return err
	case g.transA != 0:
		return fmt.Errorf("attribute transA: want 0, got %d", g.transA)
	case g.transB != 1:
		return fmt.Errorf("attribute transB: want 1, got %d", g.transB)
	case g.alpha != 1:
		return fmt.Errorf("attribute alpha: want 1, got %g", g.alpha)
	case g.beta != 1:
		return fmt.Errorf("attribute beta: want 1, got %g", g.beta)
	default:
		return nil
	}
}

// gemmRow is row r of a Gemm or of a MatMul with a matrix.
func (n *net) gemmRow(node *onnxio.Node, r int) (*affineRow, error) {
	w := n.constants[node.Input(1)]
	g, err := gemmOf(node)
	if err != nil {
		return nil, err
	}
	if len(w.Dims) != 2 || g.transA != 0 || w.Type != onnxio.Float32 || w.Data == nil {
		return nil, nil
	}
	rows, cols := int(w.Dims[1]), int(w.Dims[0])
	p := &picker{first: r, step: rows, count: cols}
	if g.transB != 0 {
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
			row.columns, row.weights = append(row.columns, c), append(row.weights, k*float64(g.alpha))
		}
	}
	if name := node.Input(2); name != "" && g.beta != 0 && n.constants[name] != nil {
		c := n.constants[name]
		i := 0
		if size, err := onnxio.NumElements(c.Dims); err == nil && size > 1 {
			i = r
		}
		b, err := n.elementOf(name, i)
		if err != nil {
			return nil, err
		}
		row.bias = b * float64(g.beta)
	}
	return row, nil
}

func gemmChannelOf(node *onnxio.Node, dims []int64) (channels int, of func(i int) int, err error) {
	g, err := gemmOf(node)
	if err != nil || g.transB != 0 {
		return int(dims[0]), func(i int) int { return i / int(dims[1]) }, err
	}
	return int(dims[1]), func(i int) int { return i % int(dims[1]) }, nil
}
