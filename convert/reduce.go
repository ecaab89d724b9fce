package convert

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

func init() {
	const becomes = "a matrix (Gemm); itself, on tensors, where it reduces the batch"
	register("ReduceMean", operator{becomes: becomes, plan: planReduce})
	register("ReduceSum", operator{becomes: becomes, plan: planReduce})
	for _, name := range []string{"LpPool", "GlobalLpPool", "ReduceL1", "ReduceL2", "ReduceSumSquare"} {
		register(name, operator{becomes: "itself, on tensors: a norm is not linear", plan: func(*planner, *onnxio.Node) (step, error) {
			return nil, keep("a norm is not linear")
		}})
	}
}

// planReduce plans a mean or sum over any axes but the batch. A mean over the
// spatial axes is how PyTorch's newer exporter writes a global average pooling.
// https://onnx.ai/onnx/operators/onnx__ReduceMean.html, versions 1 to 18;
// https://onnx.ai/onnx/operators/onnx__ReduceSum.html, versions 1 to 13.
func planReduce(pl *planner, n *onnxio.Node) (step, error) {
	axes, err := pl.intsArg(n, "axes", 1)
	if err != nil {
		return nil, err
	}
	if len(axes) == 0 {
		return nil, keep("it reduces all axes or none")
	}
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	if len(in.dims) == 0 {
		return nil, keep("N×%v has no axis but the batch", in.dims)
	}
	rec := vectorRecord(in, out)
	for _, a := range axes {
		inner, err := innerAxis(a, in.dims)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(rec.Axes, int64(inner)) {
			rec.Axes = append(rec.Axes, int64(inner))
		}
	}
	slices.Sort(rec.Axes)
	m, cells := reduction(in.dims, rec.Axes)
	if cells == 0 {
		return nil, keep("an axis that it reduces is empty")
	}
	if m.Rows() != out.size() {
		return nil, fmt.Errorf("axes %v of N×%v leave %d elements; shape inference says N×%v", axes, in.dims, m.Rows(), out.dims)
	}
	coefficient, size := 1.0, m.OutChannels*m.InChannels/m.Groups
	if n.OpType == "ReduceMean" {
		coefficient = 1 / float64(cells)
		m.exact = slices.Repeat([]float64{coefficient}, size)
	}
	m.Kernel = slices.Repeat([]float32{float32(coefficient)}, size)
	return pl.embed(n, m, rec, 0, false)
}

// reduction returns the map that adds the elements of a tensor of shape dims
// along axes, the first of which is that of the channels; it is a Map without
// Kernel. cells is how many elements are added.
func reduction(dims []int, axes []int64) (m *Map, cells int) {
	m = &Map{Groups: max(dims[0], 1), InChannels: dims[0], OutChannels: dims[0]}
	cells = 1
	if slices.Contains(axes, 0) {
		m.Groups, m.OutChannels, cells = 1, 1, dims[0]
	}
	along := make([]axis, len(dims)-1)
	for i, d := range dims[1:] {
		if !slices.Contains(axes, int64(i+1)) {
			along[i] = window{in: d, out: d, kernel: 1, stride: 1, dilation: 1}.axis(1, firstCoef)
			continue
		}
		along[i] = window{in: d, out: 1, kernel: d, stride: 1, dilation: 1}.axis(1, firstCoef)
		cells *= d
	}
	m.Taps = product(along)
	return m, cells
}

func firstCoef(_, _ int) int { return 0 }
