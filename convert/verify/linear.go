package verify

import (
	"errors"
	"fmt"

	"efcn/onnxio"
)

// errNoMatrix says that the matrix of an operator is not worked out here.
var errNoMatrix = errors.New("no matrix is known for this operator")

// matrixOf works out the matrix of a linear node of the CNN. in and out are the
// shapes that its data input and its output had when the CNN ran, with the
// batch axis.
func (n *net) matrixOf(node *onnxio.Node, in, out []int) (*matrix, error) {
	if len(in) < 2 || len(out) < 1 {
		return nil, fmt.Errorf("shapes %v and %v have no batch and channel axes", in, out)
	}
	var m *matrix
	var err error
	switch node.OpType {
	case "Conv":
		m, err = n.convMatrix(node, in)
	case "ConvTranspose":
		m, err = n.convTransposeMatrix(node, in)
	case "Gemm":
		m, err = n.gemmMatrix(node)
	case "MatMul":
		m, err = n.matmulMatrix(node, in, out)
	case "AveragePool":
		m, err = averagePoolMatrix(node, in)
	case "GlobalAveragePool":
		m = blockMean(in[1], product(in[2:]))
	case "ReduceMean", "ReduceSum":
		m, err = n.reduceMatrix(node, in)
	case "Resize", "Upsample":
		m, err = n.resizeMatrix(node, in, out)
	default:
		return nil, errNoMatrix
	}
	if err != nil {
		return nil, err
	}
	m.inShape, m.outShape = in[1:], out[1:]
	if m.cols != product(in[1:]) || m.rows != product(out[1:]) {
		return nil, fmt.Errorf("the attributes say %d×%d, the values that the CNN computed say %d×%d", m.rows, m.cols, product(out[1:]), product(in[1:]))
	}
	return m, nil
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// convMatrix: the entry of output (o,p) and input (c,q) is K[o, c−g·C/G, t]
// where a tap t leads from p to q and c is in the group g of o; else +0.
// https://onnx.ai/onnx/operators/onnx__Conv.html
func (n *net) convMatrix(node *onnxio.Node, in []int) (*matrix, error) {
	kernel, dims, ok, err := n.floats(node, 1)
	if err != nil {
		return nil, err
	}
	if !ok || len(dims) != len(in) {
		return nil, fmt.Errorf("W: want %d axes, got %v", len(in), dims)
	}
	group, err := node.Int("group", 1)
	if err != nil {
		return nil, err
	}
	channels, filters := in[1], int(dims[0])
	if group < 1 || dims[1]*group != int64(channels) || int64(filters)%group != 0 {
		return nil, fmt.Errorf("group %d: W %v does not fit %d input channels", group, dims, channels)
	}
	axes, err := axesOf(node, in[2:], dims[2:])
	if err != nil {
		return nil, err
	}
	bias, _, hasBias, err := n.floats(node, 2)
	if err != nil {
		return nil, err
	}
	if hasBias && len(bias) != filters {
		return nil, fmt.Errorf("B: want %d values, got %d", filters, len(bias))
	}
	s := newSupport(axes)
	groupIn, groupOut := channels/int(group), filters/int(group)
	return &matrix{
		rows: filters * s.out, cols: channels * s.in, hasBias: hasBias,
		bias: func(r int) (float64, float64) { return float64(bias[r/s.out]), 0 },
		entries: func(r int, entry func(int, float64, float64)) {
			o := r / s.out
			s.move(r % s.out)
			for c := o / groupOut * groupIn; c < (o/groupOut+1)*groupIn; c++ {
				taps := kernel[(o*groupIn+c%groupIn)*s.kernel:][:s.kernel]
				for _, h := range s.hits {
					entry(c*s.in+h.in, float64(taps[h.tap]), 0)
				}
			}
		},
	}, nil
}

// convTransposeMatrix: the entry of output (o,p) and input (c,q) is
// W[c, o−g·M/G, t] where a tap t leads from q to p and c is in the group g of o.
// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
func (n *net) convTransposeMatrix(node *onnxio.Node, in []int) (*matrix, error) {
	kernel, dims, ok, err := n.floats(node, 1)
	if err != nil {
		return nil, err
	}
	if !ok || len(dims) != len(in) {
		return nil, fmt.Errorf("W: want %d axes, got %v", len(in), dims)
	}
	group, err := node.Int("group", 1)
	if err != nil {
		return nil, err
	}
	channels, groupOut := in[1], int(dims[1])
	if group < 1 || dims[0] != int64(channels) || int64(channels)%group != 0 {
		return nil, fmt.Errorf("group %d: W %v does not fit %d input channels", group, dims, channels)
	}
	axes, err := transposedAxesOf(node, in[2:], dims[2:])
	if err != nil {
		return nil, err
	}
	filters := groupOut * int(group)
	bias, _, hasBias, err := n.floats(node, 2)
	if err != nil {
		return nil, err
	}
	if hasBias && len(bias) != filters {
		return nil, fmt.Errorf("B: want %d values, got %d", filters, len(bias))
	}
	s := newSupport(axes)
	groupIn := channels / int(group)
	return &matrix{
		rows: filters * s.out, cols: channels * s.in, hasBias: hasBias,
		bias: func(r int) (float64, float64) { return float64(bias[r/s.out]), 0 },
		entries: func(r int, entry func(int, float64, float64)) {
			o := r / s.out
			s.move(r % s.out)
			for c := o / groupOut * groupIn; c < (o/groupOut+1)*groupIn; c++ {
				taps := kernel[(c*groupOut+o%groupOut)*s.kernel:][:s.kernel]
				for _, h := range s.hits {
					entry(c*s.in+h.in, float64(taps[h.tap]), 0)
				}
			}
		},
	}, nil
}

// averagePoolMatrix: the entry of output (c,p) and input (c,q) is 1/n where a
// tap leads from p to q, n the number of taps of p that count: those on the
// input, with count_include_pad those on the padding too, never those beyond
// it (a last window of ceil_mode can reach there).
// https://onnx.ai/onnx/operators/onnx__AveragePool.html
func averagePoolMatrix(node *onnxio.Node, in []int) (*matrix, error) {
	axes, err := axesOf(node, in[2:], nil)
	if err != nil {
		return nil, err
	}
	include, err := node.Int("count_include_pad", 0)
	if err != nil {
		return nil, err
	}
	s := newSupport(axes)
	return &matrix{
		rows: in[1] * s.out, cols: in[1] * s.in,
		entries: func(r int, entry func(int, float64, float64)) {
			c := r / s.out
			s.move(r % s.out)
			mean := 1 / float64(s.counted(include != 0))
			for _, h := range s.hits {
				entry(c*s.in+h.in, mean, 0)
			}
		},
	}, nil
}

// counted returns what an average over the current window divides by.
func (s *support) counted(includePad bool) int {
	if !includePad {
		return len(s.hits)
	}
	n := 1
	for i, a := range s.axes {
		n *= a.inside(s.where[i], -a.padBegin, a.in+a.padEnd)
	}
	return n
}

// blockMean averages each of rows blocks of size inputs.
func blockMean(rows, size int) *matrix {
	mean := 1 / float64(size)
	return &matrix{
		rows: rows, cols: rows * size,
		entries: func(r int, entry func(int, float64, float64)) {
			for i := range size {
				entry(r*size+i, mean, 0)
			}
		},
	}
}

// reduceMatrix: an input counts for the output whose index on the axes that are
// not reduced is its own; in a sum with 1, in a mean of n inputs with 1/n.
// https://onnx.ai/onnx/operators/onnx__ReduceMean.html
// https://onnx.ai/onnx/operators/onnx__ReduceSum.html
func (n *net) reduceMatrix(node *onnxio.Node, in []int) (*matrix, error) {
	reduced, err := n.reducedAxes(node, len(in))
	if err != nil {
		return nil, err
	}
	if reduced[0] {
		return nil, fmt.Errorf("the batch axis is reduced")
	}
	rows, count := 1, 1
	for i, d := range in[1:] {
		if reduced[i+1] {
			count *= d
		} else {
			rows *= d
		}
	}
	// counted[r] are the inputs that count for output r.
	counted := make([][]int, rows)
	cols := product(in[1:])
	for c := range cols {
		row, scale, rest := 0, 1, c
		for i := len(in) - 1; i >= 1; i-- {
			at := rest % in[i]
			rest /= in[i]
			if !reduced[i] {
				row += at * scale
				scale *= in[i]
			}
		}
		counted[row] = append(counted[row], c)
	}
	share := 1.0
	if node.OpType == "ReduceMean" {
		share = 1 / float64(count)
	}
	return &matrix{
		rows: rows, cols: cols,
		entries: func(r int, entry func(int, float64, float64)) {
			for _, c := range counted[r] {
				entry(c, share, 0)
			}
		},
	}, nil
}

// reducedAxes reads the axes of a reduction: an attribute, an input since
// opset 18 (of a sum since 13); none means all.
func (n *net) reducedAxes(node *onnxio.Node, rank int) ([]bool, error) {
	axes, err := node.Ints("axes")
	if err != nil {
		return nil, err
	}
	if name := node.Input(1); name != "" {
		t := n.constants[name]
		if t == nil {
			return nil, fmt.Errorf("axes %q are computed at run time", name)
		}
		if axes, err = onnxio.Ints(t); err != nil {
			return nil, err
		}
	}
	reduced := make([]bool, rank)
	for _, a := range axes {
		if a < 0 {
			a += int64(rank)
		}
		if a < 0 || a >= int64(rank) {
			return nil, fmt.Errorf("axes %v: out of range for %d axes", axes, rank)
		}
		reduced[a] = true
	}
	if len(axes) == 0 {
		noop, err := node.Int("noop_with_empty_axes", 0)
		if err != nil {
			return nil, err
		}
		for i := range reduced {
			reduced[i] = noop == 0
		}
	}
	return reduced, nil
}

// gemmMatrix: the entry of output r and input c is B[c,r], with transB B[r,c].
// alpha and beta stay attributes of the node and are compared there.
// https://onnx.ai/onnx/operators/onnx__Gemm.html
func (n *net) gemmMatrix(node *onnxio.Node) (*matrix, error) {
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
