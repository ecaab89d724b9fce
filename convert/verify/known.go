package verify

import (
	"slices"

	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// withKnown returns m with the values that follow from its declared shapes,
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
		t, ok := info.Constant(n.Outputs[0])
		if ok {
			g.Initializers = append(g.Initializers, t)
		}
		return ok
	})
	return out
}
