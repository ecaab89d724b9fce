package shape

import (
	"fmt"

	"efcn/onnxio"
)

func init() { register("If", op{rule: ifRule}) }

// maxDepth bounds the nesting of subgraphs.
const maxDepth = 16

// ifRule infers If where its condition is known: the outputs of that branch.
// Where it depends on data the outputs are unknown and the node is listed as
// such.
func ifRule(c *call) ([]*value, error) {
	list, known := c.in[0].constants()
	if !known || len(list) != 1 {
		c.s.unknown = append(c.s.unknown, c.Node)
		return nil, nil
	}
	name := "else_branch"
	if list[0] != 0 {
		name = "then_branch"
	}
	a := c.Attr(name)
	if a == nil || a.Type != onnxio.AttrGraph || a.G == nil {
		return nil, fmt.Errorf("attribute %s is missing or no graph", name)
	}
	if len(a.G.Outputs) != len(c.Outputs) {
		return nil, fmt.Errorf("%s has %d outputs; the node has %d", name, len(a.G.Outputs), len(c.Outputs))
	}
	if c.s.depth++; c.s.depth > maxDepth {
		return nil, fmt.Errorf("subgraphs nest deeper than %d", maxDepth)
	}
	defer func() { c.s.depth-- }()
	branch, err := c.s.graph(a.G, nil, c.scope)
	if err != nil {
		return nil, err
	}
	out := make([]*value, len(a.G.Outputs))
	for i, o := range a.G.Outputs {
		v, ok := branch.find(o.Name)
		if !ok {
			return nil, fmt.Errorf("%s: output %q is computed by no node", name, o.Name)
		}
		out[i] = v
	}
	return out, nil
}
