package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"efcn/convert/record"
	"efcn/onnxio"
)

// batchFirst returns a model that takes the inputs of which axes gives a batch axis
// with that axis in front, and moves it back before any node reads it. Samples are
// then cut from every input alike. The model itself, and what it declares of other
// values, is as it was.
func batchFirst(m *onnxio.Model, axes map[string]int) (*onnxio.Model, error) {
	moved := make(map[string]string)
	c := m.Clone()
	for i, v := range c.Graph.Inputs {
		axis := axes[v.Name]
		if axis <= 0 {
			continue
		}
		if !v.Type.HasShape || axis >= len(v.Type.Shape) {
			return nil, fmt.Errorf("input %q: it has no axis %d for the batch, but %d axes", v.Name, axis,
				len(v.Type.Shape))
		}
		front := *v
		front.Type.Shape = reordered(v.Type.Shape, axisFirst(len(v.Type.Shape), axis))
		c.Graph.Inputs[i] = &front
		moved[v.Name] = v.Name + "/as declared"
	}
	if len(moved) == 0 {
		return m, nil
	}
	for i, n := range c.Graph.Nodes {
		if slices.ContainsFunc(n.Attributes, func(a *onnxio.Attribute) bool { return a.G != nil || a.Graphs != nil }) {
			return nil, n.Errorf("a batch axis cannot be moved in a model with control flow")
		}
		node := *n
		node.Inputs = slices.Clone(n.Inputs)
		for k, name := range node.Inputs {
			if to, ok := moved[name]; ok {
				node.Inputs[k] = to
			}
		}
		c.Graph.Nodes[i] = &node
	}
	var back []*onnxio.Node
	for _, v := range c.Graph.Inputs {
		if to, ok := moved[v.Name]; ok {
			back = append(back, &onnxio.Node{
				Name: v.Name + "/batch axis", OpType: "Transpose", Inputs: []string{v.Name}, Outputs: []string{to},
				Attributes: []*onnxio.Attribute{onnxio.IntsAttr("perm", batchAt(len(v.Type.Shape), axes[v.Name])...)},
			})
		}
	}
	for _, v := range c.Graph.Outputs {
		if moved[v.Name] != "" {
			return nil, fmt.Errorf("output %q is an input whose batch axis is not the first", v.Name)
		}
	}
	c.Graph.Nodes = append(back, c.Graph.Nodes...)
	return c, nil
}

// axisFirst returns the permutation that puts an axis in front.
func axisFirst(rank, axis int) []int {
	perm := []int{axis}
	for k := range rank {
		if k != axis {
			perm = append(perm, k)
		}
	}
	return perm
}

// batchAt returns the permutation that puts the first axis where axis says.
func batchAt(rank, axis int) []int64 {
	perm := make([]int64, rank)
	for k, from := range axisFirst(rank, axis) {
		perm[from] = int64(k)
	}
	return perm
}

func reordered[S ~[]E, E any](list S, perm []int) S {
	out := make(S, len(list))
	for k, from := range perm {
		out[k] = list[from]
	}
	return out
}

// transposed returns an array with its axes in the order of perm.
func transposed(a *array, perm []int) *array {
	t := &array{Type: a.Type, Shape: reordered(a.Shape, perm)}
	strides := make([]int, len(a.Shape))
	size := 1
	for k := len(a.Shape) - 1; k >= 0; k-- {
		strides[k] = size
		size *= a.Shape[k]
	}
	strides = reordered(strides, perm)
	for i := range size {
		from := 0
		for k, at := range unravel(i, t.Shape) {
			from += at * strides[k]
		}
		if a.Type.IsFloat() {
			t.F = append(t.F, a.F[from])
		} else {
			t.I = append(t.I, a.I[from])
		}
	}
	return t
}

// withBatchFirst returns the models and options with the batch of every input in
// front, and a function that returns inputs of these models as the files take them.
func (o Options) withBatchFirst(cnn, efcn *onnxio.Model) (
	a, b *onnxio.Model, _ Options, asDeclared func(map[string]*array) map[string]*array, err error,
) {
	asDeclared = func(x map[string]*array) map[string]*array { return x }
	if !slices.ContainsFunc(slices.Collect(maps.Values(o.BatchAxes)), func(axis int) bool { return axis > 0 }) {
		return cnn, efcn, o, asDeclared, nil
	}
	if len(o.Engines) > 0 {
		return nil, nil, o, nil, errors.New(
			"engines: they take the files as they are, and the batch of an input is not its first axis; " +
				"compare in the embedded engine")
	}
	if a, err = batchFirst(cnn, o.BatchAxes); err != nil {
		return nil, nil, o, nil, named(cnn, err)
	}
	if b, err = batchFirst(efcn, o.BatchAxes); err != nil {
		return nil, nil, o, nil, named(efcn, err)
	}
	shapes, inputs, axes := maps.Clone(o.InputShapes), maps.Clone(o.given), maps.Clone(o.BatchAxes)
	for name, axis := range o.BatchAxes {
		if axis <= 0 {
			continue
		}
		axes[name] = 0
		if dims := shapes[name]; axis < len(dims) {
			shapes[name] = reordered(dims, axisFirst(len(dims), axis))
		}
		if x := inputs[name]; x != nil && axis < len(x.Shape) {
			inputs[name] = transposed(x, axisFirst(len(x.Shape), axis))
		}
	}
	given := o.BatchAxes
	asDeclared = func(x map[string]*array) map[string]*array {
		if x == nil {
			return nil
		}
		out := maps.Clone(x)
		for name, axis := range given {
			if v := out[name]; v != nil && axis > 0 {
				perm := make([]int, len(v.Shape))
				for k, p := range batchAt(len(v.Shape), axis) {
					perm[k] = int(p)
				}
				out[name] = transposed(v, perm)
			}
		}
		return out
	}
	o.InputShapes, o.given, o.BatchAxes = shapes, inputs, axes
	return a, b, o, asDeclared, nil
}

// batchAxes returns those that are given or else those that the record of the eFCN
// names: they only say how samples are cut.
func (o *Options) batchAxes(efcn *onnxio.Model) map[string]int {
	if o.BatchAxes == nil {
		if rec, err := record.Read(efcn); err == nil && rec != nil {
			return rec.BatchAxes
		}
	}
	return o.BatchAxes
}
