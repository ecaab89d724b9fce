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
	alpha, err := n.Float("alpha", 1)
	if err != nil {
		return nil, err
	}
	beta, err := n.Float("beta", 1)
	if err != nil {
		return nil, err
	}
	w, dims, ok, err := pl.floats(n, 1, "B")
	if err != nil {
		return nil, err
	}
	if !ok || len(dims) != 2 {
		return nil, fmt.Errorf("B: want a matrix, got shape %v", dims)
	}
	rows, cols := out.size(), in.size()
	want := [2]int64{int64(cols), int64(rows)}
	if transB != 0 {
		want[0], want[1] = want[1], want[0]
	}
	if [2]int64(dims) != want {
		return nil, fmt.Errorf("B: shape %v does not take %d inputs to %d outputs", dims, cols, rows)
	}
	bias, biasDims, hasBias, err := pl.floats(n, 2, "C")
	if err != nil {
		return nil, err
	}
	if len(biasDims) == 2 && biasDims[0] > 1 {
		return nil, keep("C has a row for every image of a batch")
	}
	if hasBias && len(bias) != rows && len(bias) != 1 {
		return nil, fmt.Errorf("C: want %d values, got %d", rows, len(bias))
	}

	if bn := pl.links.SoleReader(n.Output(0)); bn != nil && bn.OpType == "BatchNormalization" && !pl.opts.NoFoldBN &&
		alpha == 1 && beta == 1 {
		m := affine.FullyConnected(cols, rows)
		m.Kernel = w
		if transB == 0 {
			m.Kernel = affine.Transposed(w, cols, rows)
		}
		if hasBias {
			m.Bias = make([]float32, rows)
			for r := range m.Bias {
				m.Bias[r] = bias[r%len(bias)]
			}
		}
		return pl.embed(n, m, vectorRecord(in, out), len(w)+len(bias), true)
	}
	return pl.matrixAsIs(n, in, out, n.Input(1), n.Input(2), len(w), len(bias), func() []affine.Factor {
		m := affine.FullyConnected(cols, rows)
		m.Kernel = w
		if transB == 0 {
			m.Kernel = affine.Transposed(w, cols, rows)
		}
		if alpha != 1 {
			m.Exact = make([]float64, len(m.Kernel))
			for i, k := range m.Kernel {
				m.Exact[i] = float64(alpha) * float64(k)
			}
		}
		if !hasBias || beta == 0 { // C is not looked at: 0 times NaN would be NaN
			return []affine.Factor{m.Factor()}
		}
		shift := func(r int) float64 { return float64(beta) * float64(bias[r%len(bias)]) }
		return []affine.Factor{m.Factor(), &affine.Diagonal{Size: rows, Shift: shift}}
	})
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
