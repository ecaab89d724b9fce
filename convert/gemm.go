package convert

import (
	"fmt"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

func init() {
	register("Gemm", operator{becomes: "itself: its matrix is the CNN's", plan: planGemm, layer: multiplies})
}

// multiplies reports whether a factor of a Gemm is a constant; C is added.
func multiplies(pl *planner, n *onnxio.Node) bool {
	return onReals(pl, n) && pl.hasFactor(n.Inputs[:min(2, len(n.Inputs))])
}

// planGemm plans y = alpha·x·B + beta·C with a constant matrix B. It stays as
// it is, unless a BatchNormalization follows that is multiplied in. Where beta is 0
// nothing is added, whatever C holds; an alpha of 0 still multiplies, so that NaN
// stays NaN. ONNX Runtime does both.
// https://onnx.ai/onnx/operators/onnx__Gemm.html, versions 7 to 13.
func planGemm(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	g, err := pl.gemm(n, in.size(), out.size())
	if err != nil {
		return nil, err
	}
	bn := pl.links.SoleReader(n.Output(0))
	if bn != nil && bn.OpType == "BatchNormalization" && !pl.opts.NoFoldBN && g.alpha == 1 && g.beta == 1 {
		m := g.matrix()
		if g.bias != nil {
			m.Bias = make([]float32, g.rows)
			for r := range m.Bias {
				m.Bias[r] = g.bias[r%len(g.bias)]
			}
		}
		return pl.embed(n, m, vectorRecord(in, out), len(g.b)+len(g.bias), true)
	}
	return pl.matrixAsIs(n, in, out, n.Input(1), n.Input(2), len(g.b), len(g.bias), g.factors)
}

// gemm is what a Gemm node is made of.
type gemm struct {
	rows, cols  int
	alpha, beta float32
	b           []float32 // [rows, cols], or [cols, rows] where it is not transposed
	transposed  bool
	bias        []float32 // of one value or one for each row; nil for none
}

// gemm reads a Gemm of vectors of cols elements, which makes vectors of rows of them.
func (pl *planner) gemm(n *onnxio.Node, cols, rows int) (*gemm, error) {
	g := &gemm{rows: rows, cols: cols}
	transA, err := n.Int("transA", 0)
	if err != nil {
		return nil, err
	}
	if transA != 0 {
		return nil, keep("transA mixes the images of a batch")
	}
	transB, err := n.Int("transB", 0)
	if err != nil {
		return nil, err
	}
	g.transposed = transB != 0
	if g.alpha, err = n.Float("alpha", 1); err != nil {
		return nil, err
	}
	if g.beta, err = n.Float("beta", 1); err != nil {
		return nil, err
	}
	var dims []int64
	var ok bool
	if g.b, dims, ok, err = pl.floats(n, 1, "B"); err != nil {
		return nil, err
	}
	if !ok || len(dims) != 2 {
		return nil, fmt.Errorf("B: want a matrix, got shape %v", dims)
	}
	want := [2]int64{int64(cols), int64(rows)}
	if g.transposed {
		want[0], want[1] = want[1], want[0]
	}
	if [2]int64(dims) != want {
		return nil, fmt.Errorf("B: shape %v does not take %d inputs to %d outputs", dims, cols, rows)
	}
	if g.bias, dims, ok, err = pl.floats(n, 2, "C"); err != nil {
		return nil, err
	}
	if len(dims) == 2 && dims[0] > 1 {
		return nil, keep("C has a row for every image of a batch")
	}
	if ok && len(g.bias) != rows && len(g.bias) != 1 {
		return nil, fmt.Errorf("C: want %d values, got %d", rows, len(g.bias))
	}
	return g, nil
}

// matrix returns the map of B.
func (g *gemm) matrix() *affine.Map {
	m := affine.FullyConnected(g.cols, g.rows)
	m.Kernel = g.b
	if !g.transposed {
		m.Kernel = affine.Transposed(g.b, g.cols, g.rows)
	}
	return m
}

// factors returns alpha·B, and beta·C as a diagonal of its own.
func (g *gemm) factors() []affine.Factor {
	m := g.matrix()
	if g.alpha != 1 {
		m.Exact = make([]float64, len(m.Kernel))
		for i, k := range m.Kernel {
			m.Exact[i] = float64(g.alpha) * float64(k)
		}
	}
	if g.bias == nil || g.beta == 0 { // C is not looked at: 0 times NaN would be NaN
		return []affine.Factor{m.Factor()}
	}
	shift := func(r int) float64 { return float64(g.beta) * float64(g.bias[r%len(g.bias)]) }
	return []affine.Factor{m.Factor(), &affine.Diagonal{Size: g.rows, Shift: shift}}
}

// matrixAsIs plans a node that is a fully-connected layer in the CNN already.
// factors returns what it is made of, for folding.
func (pl *planner) matrixAsIs(n *onnxio.Node, in, out value, weight, bias string, weights, biases int,
	factors func() []affine.Factor,
) ([]*piece, error) {
	rec := vectorRecord(in, out)
	rec.Op, rec.Node, rec.Source, rec.Output, rec.Layout = n.OpType, n.Label(), n.Output(0), n.Output(0), record.Dense
	var refuse error
	if asked, ok := pl.opts.Layers[n.Label()]; ok && asked != record.Dense && asked != record.Auto &&
		asked != record.Keep {
		refuse = fmt.Errorf("layout %s: its matrix is the CNN's own and stays dense", asked)
		if !pl.opts.folds() {
			return nil, refuse
		}
	}
	rec.Weight, rec.Bias = weight, bias
	layer := &Layer{
		Layer: rec,
		Rows:  int64(out.size()), Cols: int64(in.size()),
		CNNParameters: int64(weights + biases), NonZeros: int64(weights), MACs: int64(weights),
	}
	p := onVectors(n, nil)
	p.reads, p.form, p.layer = n.Inputs[:1], ownMatrix{}, layer
	if pl.opts.folds() && pl.opts.layoutOf(n.Label()) != record.Keep {
		p.linear = linearOf(n, n.Output(0), weights+biases, factors()...)
		if refuse != nil {
			p.linear.refuse = n.Wrap(refuse)
		}
	}
	return []*piece{p}, nil
}

// ownMatrix is a layer that is fully connected in the CNN, with its own node.
type ownMatrix struct{}

func (ownMatrix) build(b *builder, p *piece) {
	vectors{}.build(b, p)
	b.record.Layers = append(b.record.Layers, p.layer.Layer)
}

func (ownMatrix) weigh(s *sizes, p *piece) { vectors{}.weigh(s, p) }

// vectorRecord starts the record of a layer with its shapes.
func vectorRecord(in, out value) record.Layer {
	return record.Layer{InputShape: int64s(in.dims), OutputShape: int64s(out.dims)}
}

func int64s(dims []int) []int64 {
	v := make([]int64, len(dims))
	for i, d := range dims {
		v[i] = int64(d)
	}
	return v
}
