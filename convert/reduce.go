package convert

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	const becomes = "a matrix (Gemm); itself, on tensors, where it reduces the batch"
	register("ReduceMean", operator{becomes: becomes, plan: planReduce, layer: onReals, notNegative: sameSign})
	register("ReduceSum", operator{becomes: becomes, plan: planReduce, layer: onReals})
	for _, name := range []string{"LpPool", "GlobalLpPool", "ReduceL1", "ReduceL2", "ReduceSumSquare"} {
		register(name, operator{
			becomes: "itself, on tensors: a norm is not linear",
			plan: func(*planner, *onnxio.Node) ([]*piece, error) {
				return nil, keep("a norm is not linear")
			},
		})
	}
}

// planReduce plans a mean or sum over any axes but the batch. A mean over the
// spatial axes is how PyTorch's newer exporter writes a global average pooling.
// https://onnx.ai/onnx/operators/onnx__ReduceMean.html, versions 1 to 18;
// https://onnx.ai/onnx/operators/onnx__ReduceSum.html, versions 1 to 13.
func planReduce(pl *planner, n *onnxio.Node) ([]*piece, error) {
	axes, err := pl.plan.info.ReduceAxes(n)
	if err != nil {
		return nil, orKeep(err)
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
		inner, err := innerAxis(int64(a), in.dims)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(rec.Axes, int64(inner)) {
			rec.Axes = append(rec.Axes, int64(inner))
		}
	}
	slices.Sort(rec.Axes)
	m, cells := affine.Reduction(in.dims, rec.Axes)
	if cells == 0 {
		return nil, keep("an axis that it reduces is empty")
	}
	if m.Rows() != out.size() {
		return nil, fmt.Errorf("axes %v of N×%v leave %d elements; shape inference says N×%v", axes, in.dims, m.Rows(),
			out.dims)
	}
	coefficient, size := 1.0, m.OutChannels*m.InChannels/m.Groups
	if n.OpType == "ReduceMean" {
		coefficient = 1 / float64(cells)
		m.Exact = slices.Repeat([]float64{coefficient}, size)
	}
	m.Kernel = slices.Repeat([]float32{float32(coefficient)}, size)
	return pl.embed(n, m, rec, 0, false)
}
