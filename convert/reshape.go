package convert

import (
	"efcn/onnxio"
)

func init() {
	for _, name := range []string{"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout"} {
		register(name, operator{becomes: "nothing: the vector is the same", plan: planReshape, notNegative: sameSign})
	}
}

// planReshape plans an operator that changes the shape of every image of a
// batch but not the order of its elements: its vector is its input's.
func planReshape(pl *planner, n *onnxio.Node) ([]*piece, error) {
	if pl.consts[n.Input(0)] != nil {
		return nil, keep("input %q is a constant", n.Input(0))
	}
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	if _, err := pl.vector(n.Output(0)); err != nil {
		return nil, err
	}
	if n.Output(1) != "" && pl.links.Uses(n.Output(1)) > 0 {
		return nil, keep("its mask is used")
	}
	if n.OpType == "Dropout" {
		if err := inferenceDropout(pl, n); err != nil {
			return nil, err
		}
	}
	p := &piece{node: n, reads: n.Inputs[:1], writes: n.Outputs[:1], form: view{}}
	if in.elem == onnxio.Float32 {
		p.linear = &linear{}
	}
	return []*piece{p}, nil
}

// inferenceDropout keeps a Dropout that drops something: since version 12 that
// is what its third input says.
func inferenceDropout(pl *planner, n *onnxio.Node) error {
	name := n.Input(2)
	if name == "" {
		return nil
	}
	t := pl.consts[name]
	if t == nil {
		return keep("training_mode %q is computed at run time", name)
	}
	training, err := onnxio.Ints(t)
	if err != nil {
		return err
	}
	if len(training) != 1 || training[0] != 0 {
		return keep("training_mode is on")
	}
	return nil
}
