package shape

import (
	"fmt"

	"efcn/onnxio"
)

// NotConstantError says that an argument of a node is not known before the model
// runs.
type NotConstantError struct {
	Argument string // as the operator's page calls it
	Value    string // name of the input
}

func (e *NotConstantError) Error() string {
	return fmt.Sprintf("%s %q is computed at run time", e.Argument, e.Value)
}

// call returns a node of the graph with what is known of its inputs.
func (i *Info) call(n *onnxio.Node) (*call, error) {
	schema, err := onnxio.SupportedOp(n, i.opset)
	if err != nil {
		return nil, err
	}
	c := &call{Node: n, opset: i.opset, s: &session{}}
	for _, name := range n.Inputs {
		v := i.values[name]
		if v == nil && name != "" {
			v = unshaped(onnxio.Undefined)
		}
		c.in = append(c.in, v)
	}
	for len(c.in) < schema.MostInputs {
		c.in = append(c.in, nil)
	}
	if !c.in[0].ranked {
		return nil, fmt.Errorf("input %q: its shape is not known", n.Input(0))
	}
	return c, nil
}

// wantConstant returns an error if input k, an argument of that name, is there and
// not known.
func (c *call) wantConstant(k int, argument string) error {
	if v := c.in[k]; v != nil {
		if _, known := v.constants(); !known {
			return &NotConstantError{argument, c.Input(k)}
		}
	}
	return nil
}
