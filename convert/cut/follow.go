package cut

import (
	"slices"

	"efcn/convert/internal/elementwise"
	"efcn/onnxio"
)

// followers is the table of the operators that can work on what is cut: what a node of
// one becomes some of whose inputs are cut, nil where it needs them whole.
var followers = map[string]func(p *planner, n *onnxio.Node) *step{}

func init() {
	one, several := elementwise.Operators()
	for _, op := range slices.Concat(one, several, []string{"Identity", "Dropout"}) {
		followers[op] = (*planner).elementwise
	}
	for _, op := range []string{"Reshape", "Flatten", "Squeeze", "Unsqueeze"} {
		followers[op] = (*planner).view
	}
	for _, op := range []string{
		"MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool",
	} {
		followers[op] = (*planner).pool
	}
	// InstanceNormalization is not here: whether training takes its scale and bias depends
	// on all their values and on the nodes behind, which a rank alone does not see.
	followers["BatchNormalization"] = (*planner).batchNormalization
	followers["Transpose"] = (*planner).transpose
}

// follows notes that the output of a node is cut as its input 0 is.
func (p *planner) follows(n *onnxio.Node, bounds []int, reads ...read) *step {
	p.cuts[n.Output(0)] = bounds
	return &step{reads: reads}
}

// elementwise: all that is computed is cut alike, and constants lie along axis 1 or do
// not reach it. One that every rank would read whole must be no weight, as each rank had
// a part of its gradient then: training takes vectors for weights, and slopes.
func (p *planner) elementwise(n *onnxio.Node) *step {
	out, ok := p.dims(n.Output(0))
	if t, _ := p.info.Type(n.Output(0)); !ok || !t.Elem.IsFloat() { // what a Cast makes, which no rank sends
		return nil
	}
	var bounds []int
	var wants []want
	reads := make([]read, len(n.Inputs))
	for i, name := range n.Inputs {
		b := p.cuts[name]
		if b == nil {
			continue
		}
		dims, ok := p.dims(name)
		if !ok || len(dims) != len(out) || dims[0] != out[0] || bounds != nil && !slices.Equal(b, bounds) {
			return nil
		}
		bounds, reads[i] = b, readOwn
	}
	for i, name := range n.Inputs {
		if name == "" || reads[i] == readOwn {
			continue
		}
		t := p.constants[name]
		if t == nil || len(t.Dims) > len(out)+1 {
			return nil
		}
		at := len(t.Dims) - len(out) // of axis 1 among the axes of t
		switch {
		case at < 0 || t.Dims[at] == 1:
			if product(t.Dims) > 1 || n.OpType == "PRelu" {
				return nil
			}
		case int(t.Dims[at]) == out[0] && (fewest(bounds) > 1 || p.isBias(name)): // one value would be no weight
			wants, reads[i] = append(wants, p.along(t, at, bounds)), readOwn
		default:
			return nil
		}
	}
	if !p.take(wants...) {
		return nil
	}
	return p.follows(n, bounds, reads...)
}

// isBias reports whether a constant is the bias of a layer of the record, which is a
// weight also where a rank has one value of it.
func (p *planner) isBias(name string) bool {
	return slices.ContainsFunc(p.layers, func(l *layer) bool { return l.record != nil && l.record.Bias == name })
}

// fewest is the least that a rank has.
func fewest(bounds []int) int {
	least := bounds[len(bounds)-1]
	for r := range len(bounds) - 1 {
		least = min(least, bounds[r+1]-bounds[r])
	}
	return least
}

// view is another shape of the same elements. The batch stays in front, and the bounds
// have to be some along the new axis 1.
func (p *planner) view(n *onnxio.Node) *step {
	bounds := p.cuts[n.Input(0)]
	in, ok := p.dims(n.Input(0))
	out, ok2 := p.dims(n.Output(0))
	if bounds == nil || !ok || !ok2 || product(in) != product(out) {
		return nil
	}
	from, to := product(in[1:]), product(out[1:])
	if to == 0 {
		return nil
	}
	moved := make([]int, len(bounds))
	for r, b := range bounds {
		if b*from%to != 0 {
			return nil
		}
		moved[r] = b * from / to
	}
	s := &step{reads: []read{readOwn}}
	switch n.OpType {
	case "Reshape":
		shape, ok := p.reshapes(n)
		if !ok || len(shape) < 2 {
			return nil
		}
		if shape[1] > 0 {
			s.size = moved[p.Rank+1] - moved[p.Rank]
		}
	case "Flatten":
		axis, err := n.Int("axis", 1)
		if err != nil || axis != 1 && axis != -int64(len(in)) {
			return nil
		}
	}
	p.cuts[n.Output(0)] = moved
	return s
}

// pool works on each channel by itself.
func (p *planner) pool(n *onnxio.Node) *step {
	in, ok := p.dims(n.Input(0))
	out, ok2 := p.dims(n.Output(0))
	if !ok || !ok2 || len(in) < 2 || in[0] != out[0] {
		return nil
	}
	return p.follows(n, p.cuts[n.Input(0)], readOwn)
}

// batchNormalization has vectors with a value for each channel.
func (p *planner) batchNormalization(n *onnxio.Node) *step {
	bounds := p.cuts[n.Input(0)]
	reads := []read{readOwn}
	var wants []want
	for _, name := range n.Inputs[1:] {
		t := p.constants[name]
		if bounds == nil || t == nil || len(t.Dims) != 1 || int(t.Dims[0]) != bounds[p.Ranks] {
			return nil
		}
		wants, reads = append(wants, p.along(t, 0, bounds)), append(reads, readOwn)
	}
	if !p.take(wants...) {
		return nil
	}
	return p.follows(n, bounds, reads...)
}

// transpose leaves batch and channels where they are.
func (p *planner) transpose(n *onnxio.Node) *step {
	perm, err := n.Ints("perm")
	if err != nil || len(perm) < 2 || perm[0] != 0 || perm[1] != 1 {
		return nil
	}
	return p.follows(n, p.cuts[n.Input(0)], readOwn)
}
