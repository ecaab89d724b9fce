package engine

import "efcn/onnxio"

// Lacks lists the nodes of m's graph that the engine cannot run: operators that it
// does not have, or not with such attributes. Those of functions and subgraphs are
// not looked at. [New] says of each what is wrong.
func Lacks(m *onnxio.Model) []*onnxio.Node {
	var list []*onnxio.Node
	if m.Graph == nil {
		return nil
	}
	versions := opsets(m.Opsets)
	for _, n := range m.Graph.Nodes {
		if _, err := prepareIn[float32](n, versions, func(string) bool { return true }); err != nil {
			list = append(list, n)
		}
	}
	return list
}
