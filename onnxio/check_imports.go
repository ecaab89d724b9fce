package onnxio

import "errors"

// CheckImports reports the nodes whose domain is not imported as they spell it:
// "ai.onnx" where only "" is, or that of a model's function. onnx.checker refuses
// both; runtimes run them, so Check does not.
func (m *Model) CheckImports() error {
	var found []error
	in := func(opsets []Opset) walker {
		imported := make(map[string]bool)
		for _, o := range opsets {
			imported[o.Domain] = true
		}
		return walker{node: func(n *Node) {
			if !imported[n.Domain] && (n.Domain != "" || !imported["ai.onnx"]) {
				found = append(found, n.Errorf("the operator set of domain %q is not imported under that name",
					n.Domain))
			}
		}}
	}
	if m.Graph != nil {
		in(m.Opsets).visit(m.Graph)
	}
	for _, f := range m.Functions {
		in(f.Opsets).nodes(f.Nodes)
	}
	return errors.Join(found...)
}
