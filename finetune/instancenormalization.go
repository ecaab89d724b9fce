package finetune

import (
	"efcn/internal/kernel"
	"efcn/onnxio"
)

func init() {
	register("InstanceNormalization", emitInstanceNorm[float32], emitInstanceNorm[float64], resets(1, 0))
	register("GroupNormalization", emitGroupNorm[float32], emitGroupNorm[float64], resets(1, 0))
}

// emitInstanceNorm normalises every channel of a sample. Scale and bias are trained,
// but for those of a GroupNorm as PyTorch's exporters write it: groups normalised as
// channels, with scale 1 and bias 0, then scaled and shifted as they should be.
// https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html
func emitInstanceNorm[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	if len(x.shape) < 2 {
		return n.Errorf("the input has shape %v a sample; want channels and spatial axes", x.shape)
	}
	ones, err := n.filled(1, 1)
	if err != nil {
		return err
	}
	zeros, err := n.filled(2, 0)
	if err != nil {
		return err
	}
	return n.emitGroups(x, x.shape[0], x.shape[0], !(ones && zeros && n.scaledAfter()))
}

// emitGroupNorm normalises groups of channels. Scale and bias are trained: one of a
// group in version 18, of a channel since 21.
// https://onnx.ai/onnx/operators/onnx__GroupNormalization.html
func emitGroupNorm[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	groups, err := n.Int("num_groups", 0)
	if err != nil {
		return n.Wrap(err)
	}
	if len(x.shape) < 1 || groups < 1 || int64(x.shape[0])%groups != 0 {
		return n.Errorf("%d groups do not divide the channels of %v a sample", groups, x.shape)
	}
	count := x.shape[0]
	if n.opset < 21 {
		count = int(groups)
	}
	return n.emitGroups(x, int(groups), count, true)
}

// emitGroups normalises so many groups of channels, which meet count scales and as
// many biases.
func (n *node[T]) emitGroups(x value, groups, count int, trained bool) error {
	epsilon, err := n.Float("epsilon", 1e-5)
	if err != nil {
		return n.Wrap(err)
	}
	l := newNormalization[T](n.b.a.net.batch*groups, x.size()/groups, groups, epsilon)
	if !trained {
		return n.emit(l, x.shape, []value{x})
	}
	var index []int32
	if count != x.size() {
		index = make([]int32, x.size())
		for i := range index {
			index[i] = int32(i / (x.size() / count))
		}
	}
	var params []*parameter[T]
	for k := range 2 {
		p, err := n.parameter(1+k, count)
		if err != nil {
			return err
		}
		if p == nil {
			return n.Errorf("input %d is missing", 1+k)
		}
		params = append(params, p)
		l.bind(k, len(params), count, index)
	}
	return n.emit(l, x.shape, []value{x}, params...)
}

// filled reports whether all elements of the constant at input i are v.
func (n *node[T]) filled(i int, v T) (bool, error) {
	values, err := n.floats(i)
	if err != nil {
		return false, err
	}
	for _, e := range values {
		if e != v {
			return false, nil
		}
	}
	return len(values) > 0, nil
}

// scaledAfter reports whether output 0 is read by a Reshape alone, and that by a Mul
// with a vector alone.
func (n *node[T]) scaledAfter() bool { return scaledAfter(n.b.t.nodes, n.b.t.initializers, n.Node) }

func scaledAfter(nodes []*onnxio.Node, constants map[string]*onnxio.Tensor, n *onnxio.Node) bool {
	r := onlyReader(nodes, n.Output(0))
	if r == nil || r.OpType != "Reshape" {
		return false
	}
	m := onlyReader(nodes, r.Output(0))
	if m == nil || m.OpType != "Mul" {
		return false
	}
	for _, in := range m.Inputs {
		if c := constants[in]; c != nil && len(c.Dims) > 0 {
			return true
		}
	}
	return false
}

// onlyReader returns the node that alone reads a value; nil if none or several do.
func onlyReader(nodes []*onnxio.Node, name string) *onnxio.Node {
	var only *onnxio.Node
	for _, n := range nodes {
		for _, in := range n.Inputs {
			if in != name {
				continue
			}
			if only != nil {
				return nil
			}
			only = n
		}
	}
	return only
}
