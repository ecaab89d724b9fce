package verify

import (
	"slices"

	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// withKnown returns m with the integers that follow from its declared shapes,
// whatever the batch, as initializers in place of the nodes that compute them:
// the bounds of a Slice that an exporter took from the shape of a tensor, say.
// The batch itself stays computed. Where shapes cannot be inferred, m is
// returned as it is.
func withKnown(m *onnxio.Model, inputs map[string][]int64) *onnxio.Model {
	info, err := shape.Infer(m, inputs)
	if err != nil {
		return m
	}
	out := m.Clone()
	g := out.Graph
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnxio.Node) bool {
		if len(n.Outputs) != 1 || slices.ContainsFunc(g.Outputs, func(v *onnxio.ValueInfo) bool { return v.Name == n.Outputs[0] }) {
			return false
		}
		t := known(info, n.Outputs[0])
		if t != nil {
			g.Initializers = append(g.Initializers, t)
		}
		return t != nil
	})
	return out
}

// known returns the contents of a value of int64 that shape inference has
// found, or nil.
func known(info *shape.Info, name string) *onnxio.Tensor {
	t, ok := info.Type(name)
	if !ok || t.Elem != onnxio.Int64 || !t.HasShape {
		return nil
	}
	contents, ok := info.Ints(name)
	if !ok {
		return nil
	}
	values := make([]int64, len(contents))
	for i, d := range contents {
		if d.Param != "" {
			return nil
		}
		values[i] = d.Value
	}
	dims := make([]int64, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = d.Value
	}
	if n, err := onnxio.NumElements(dims); err != nil || n != int64(len(values)) {
		return nil
	}
	return onnxio.NewTensor(name, dims, values)
}
