package convert

import (
	"errors"
	"fmt"
	"slices"

	"efcn/onnxio"
)

func init() {
	register("MatMul", operator{becomes: "a matrix (Gemm); itself, where it multiplies a vector with a constant matrix", plan: planMatMul})
}

// planMatMul plans a product with a constant: y = x·B or y = A·x, with a matrix
// for all of the batch or one for each of the leading axes, as numpy.matmul
// broadcasts them. A batch of vectors times a matrix stays as it is.
// https://onnx.ai/onnx/operators/onnx__MatMul.html, versions 1 to 13.
func planMatMul(pl *planner, n *onnxio.Node) (step, error) {
	first := pl.consts[n.Input(0)] != nil
	if first == (pl.consts[n.Input(1)] != nil) {
		if first {
			return nil, keep("both factors are constants")
		}
		return nil, keep("both factors are computed at run time")
	}
	if first { // plan it as of its data
		n = on(n, []string{n.Inputs[1], n.Inputs[0]}, n.Outputs)
	}
	w := pl.consts[n.Input(1)]
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	if !first && len(in.dims) == 1 && len(w.Dims) == 2 {
		return pl.vectorProduct(n, in, out, w)
	}
	m, err := productMap(in.dims, w.Dims, first)
	var no *noMapError
	if errors.As(err, &no) {
		return nil, keep("%s", no.Why)
	}
	if err != nil {
		return nil, err
	}
	if m.Rows() != out.size() {
		return nil, fmt.Errorf("N×%v and a constant of shape %v have a product of %d elements; shape inference says N×%v", in.dims, w.Dims, m.Rows(), out.dims)
	}
	v, _, _, err := pl.floats(n, 1, "the constant factor")
	if err != nil {
		return nil, err
	}
	m.Kernel = v
	if !first {
		m.Kernel = transposed(v, m.InChannels/m.Groups, m.OutChannels/m.Groups)
	}
	rec := vectorRecord(in, out)
	rec.FactorShape, rec.FactorFirst = slices.Clone(w.Dims), first
	return pl.embed(n, m, rec, len(v), false)
}

// vectorProduct plans y = x·B with a matrix B and x a batch of vectors, which is
// a fully-connected layer already.
func (pl *planner) vectorProduct(n *onnxio.Node, in, out value, w *onnxio.Tensor) (step, error) {
	if w.Dims[0] != int64(in.size()) || w.Dims[1] != int64(out.size()) {
		return nil, fmt.Errorf("second factor: shape %v does not take %d inputs to %d outputs", w.Dims, in.size(), out.size())
	}
	var v []float32
	var err error
	if pl.opts.folds() {
		if v, err = onnxio.Floats[float32](w); err != nil {
			return nil, fmt.Errorf("second factor: %w", err)
		}
	}
	return pl.matrixAsIs(n, in, out, w.Name, "", in.size()*out.size(), 0, func() []factor {
		m := fullyConnected(in.size(), out.size())
		m.Kernel = transposed(v, in.size(), out.size())
		return []factor{m.factor()}
	})
}

// noMapError says why an operator that is linear is no Map.
type noMapError struct{ Why string }

func (e *noMapError) Error() string { return e.Why }

// productMap returns the map, without Kernel, of the product of a batch of
// tensors, x without the batch axis, and a constant of shape w that is the first
// factor or the second. Each place on the leading axes of x is a group, and those
// that w does not tell apart share a matrix. In x·B a group has one position, in
// A·x those of the last axis of x.
func productMap(x []int, w []int64, first bool) (*Map, error) {
	inner := 1 // axes of x that a matrix works on
	if first {
		inner = 2
	}
	if len(x) < inner {
		return nil, &noMapError{"it mixes the images of a batch"}
	}
	if len(w) == 0 {
		return nil, fmt.Errorf("a scalar is no factor of a matrix product")
	}
	lead, matrix := x[:len(x)-inner], w[max(0, len(w)-2):]
	if len(w) == 1 { // a vector: a matrix of one row, or of one column
		matrix = []int64{w[0], 1}
		if first {
			matrix = []int64{1, w[0]}
		}
	}
	channels, outputs := matrix[0], matrix[1]
	if first {
		channels, outputs = outputs, channels
	}
	if channels != int64(x[len(lead)]) {
		return nil, fmt.Errorf("a constant of shape %v does not take N×%v: %d is not %d", w, x, channels, x[len(lead)])
	}
	own := slices.Clone(w[:max(0, len(w)-2)]) // the places on lead that w tells apart
	if !first {
		own = append(own, 1) // the rows of x
	}
	if len(own) > len(lead) && own[0] == 1 {
		own = own[1:]
	}
	if len(own) > len(lead) {
		return nil, &noMapError{fmt.Sprintf("the constant, of shape %v, has more leading axes than N×%v", w, x)}
	}
	own = append(slices.Repeat([]int64{1}, len(lead)-len(own)), own...)
	groups := 1
	for i, d := range lead {
		switch {
		case own[i] != 1 && d == 1:
			return nil, &noMapError{fmt.Sprintf("N×%v is multiplied with several matrices each, of the constant of shape %v", x, w)}
		case own[i] != 1 && own[i] != int64(d):
			return nil, fmt.Errorf("a constant of shape %v does not take N×%v: %d is not %d", w, x, own[i], d)
		}
		if groups *= d; groups > maxAxis {
			return nil, fmt.Errorf("N×%v: more than %d matrices", x, maxAxis)
		}
	}
	if groups == 0 || channels == 0 || outputs == 0 {
		return nil, &noMapError{"a factor has no elements"}
	}
	m := &Map{Groups: groups, InChannels: groups * int(channels), OutChannels: groups * int(outputs), Taps: onePoint}
	if first {
		m.Taps = product([]axis{window{in: x[len(x)-1], out: x[len(x)-1], kernel: 1, stride: 1, dilation: 1}.axis(1, firstCoef)})
	}
	if size(own) < int64(groups) {
		m.Shared = make([]int32, groups)
		for g := range m.Shared {
			m.Shared[g] = place(g, lead, own)
		}
	}
	return m, nil
}

// place numbers the place of g, a place on axes of lengths lead, on the axes own:
// those of length 1 have it at 0.
func place(g int, lead []int, own []int64) int32 {
	at, scale := 0, 1
	for i := len(lead) - 1; i >= 0; i-- {
		if own[i] != 1 {
			at += g % lead[i] * scale
			scale *= lead[i]
		}
		g /= lead[i]
	}
	return int32(at)
}
