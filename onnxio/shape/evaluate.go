package shape

import (
	"io"
	"slices"

	"efcn/onnxio"
)

// Evaluator computes the outputs of a node of operator-set version opset from its
// inputs, nil where one is left out: one for each output of the node, nil for those
// without a name. An output of more than most elements is an error.
type Evaluator func(n *onnxio.Node, opset int64, inputs []*onnxio.Tensor, most int) ([]*onnxio.Tensor, error)

// moves reports whether input i of the node is moved by it.
func (c *call) moves(i int) bool {
	moves := operators[c.OpType].moves
	return moves != nil && moves(c, i)
}

// elements are the contents of an integer (ints) or floating-point tensor (reals)
// that is followed.
type elements struct {
	ints  []num
	reals []real
}

// content returns the elements of v, and false if they are not followed.
func (v *value) content() (elements, bool, error) {
	if v.ints != nil {
		return elements{ints: v.ints}, true, nil
	}
	reals, err := v.followedReals()
	return elements{reals: reals}, reals != nil, err
}

// evaluate computes the content of outputs that no rule has followed, where all
// that the node reads is known, or moved.
func (c *call) evaluate(out []*value) ([]*value, error) {
	if c.s.evaluator == nil || len(c.Inputs) == 0 || c.OpType == "Shape" || c.OpType == "Size" {
		return out, nil
	}
	if slices.ContainsFunc(c.Attributes,
		func(a *onnxio.Attribute) bool { return a.Type == onnxio.AttrGraph || a.Type == onnxio.AttrGraphs }) {
		return out, nil
	}
	if len(out) > 0 && !slices.ContainsFunc(out, func(v *value) bool { return !v.followed() }) {
		return out, nil
	}
	var table elements // of what is moved, by tag
	tensors, data, ok, err := c.operands(&table)
	if err != nil || !ok {
		return out, err
	}
	results, err := c.s.evaluator(c.Node, c.opset, tensors, maxContents)
	if err != nil {
		return out, nil // whoever runs the model says why; here it is only not known
	}
	for i, t := range results {
		if t == nil {
			continue
		}
		for len(out) <= i {
			out = append(out, nil)
		}
		v, err := constant(t)
		if err != nil {
			return nil, err
		}
		if data != onnxio.Undefined {
			v, err = untagged(t, v, data, table)
		}
		if err != nil {
			return nil, err
		}
		if !out[i].followed() {
			out[i] = v
		}
	}
	return out, nil
}

// followed reports whether the content of v is there, so far as it can be known.
func (v *value) followed() bool {
	return v != nil && (v.ints != nil || v.reals != nil || v.tensor != nil)
}

// operands returns the inputs as tensors. Where one that is moved is not known,
// those that are moved hold tags, and data is the type of what they stand for. ok
// is false if an input is not known.
func (c *call) operands(table *elements) (tensors []*onnxio.Tensor, data onnxio.DataType, ok bool, err error) {
	tensors = make([]*onnxio.Tensor, len(c.in))
	tagged := false
	for i, v := range c.in {
		if v == nil {
			continue
		}
		if tensors[i], ok, err = v.constant(c.Input(i)); err != nil {
			return nil, data, false, err
		}
		if !ok {
			if !c.moves(i) {
				return nil, data, false, nil
			}
			tagged = true
		}
	}
	if !tagged {
		return tensors, data, true, nil
	}
	// Tag 0 is the element 0, which a Pad without a value and a Trilu put in.
	table.ints, table.reals = []num{fixed(0)}, []real{knownAs(0)}
	for i, v := range c.in {
		if v == nil || !c.moves(i) {
			continue
		}
		if data = v.elem; data == onnxio.Undefined {
			return nil, data, false, nil
		}
		if tensors[i], ok, err = v.tags(c, table); err != nil || !ok {
			return nil, data, false, err
		}
	}
	return tensors, data, true, nil
}

// tags returns a tensor of v's shape of numbers of elements of the table, to which
// it adds those of v.
func (v *value) tags(c *call, table *elements) (*onnxio.Tensor, bool, error) {
	own, ok, err := v.content()
	if err != nil {
		return nil, false, err
	}
	dims, sized := v.sizes()
	n, fits := v.count()
	if !sized || !fits || n > maxContents || !v.elem.IsFloat() && !followed(v.elem) {
		return nil, false, nil
	}
	list := make([]int64, n)
	for k := range list {
		switch {
		case v.elem.IsFloat() && ok:
			table.reals = append(table.reals, own.reals[k])
		case v.elem.IsFloat():
			table.reals = append(table.reals, real{})
		case ok:
			table.ints = append(table.ints, own.ints[k])
		default:
			table.ints = append(table.ints, c.s.unknownInt())
		}
		list[k] = int64(max(len(table.ints), len(table.reals)) - 1)
	}
	return onnxio.NewTensor("", dims, list), true, nil
}

// untagged returns what a tensor of tags, of which v has the shape, stands for.
func untagged(t *onnxio.Tensor, v *value, data onnxio.DataType, table elements) (*value, error) {
	list, err := onnxio.Ints(t)
	if err != nil {
		return nil, err
	}
	y := shaped(data, v.dims)
	if data.IsFloat() {
		y.reals = make([]real, len(list))
		for k, tag := range list {
			y.reals[k] = table.reals[tag]
		}
		return y, nil
	}
	y.ints = make([]num, len(list))
	for k, tag := range list {
		y.ints[k] = table.ints[tag]
	}
	return y, nil
}

// constant returns v as a tensor of that name if all of its content is known.
func (v *value) constant(name string) (*onnxio.Tensor, bool, error) {
	dims, sized := v.sizes()
	if !sized || !small(v.dims) {
		return nil, false, nil
	}
	if v.tensor != nil && v.tensor.Type == v.elem {
		t := *v.tensor
		t.Name, t.Dims = name, dims
		return &t, true, nil
	}
	if list, ok := v.constants(); ok {
		return encoded(name, v.elem, dims, list), true, nil
	}
	list, ok, err := v.numbers()
	if err != nil || !ok {
		return nil, false, err
	}
	switch v.elem {
	case onnxio.Float64:
		return onnxio.NewTensor(name, dims, list), true, nil
	case onnxio.Float32:
		single := make([]float32, len(list))
		for i, v := range list {
			single[i] = float32(v)
		}
		return onnxio.NewTensor(name, dims, single), true, nil
	default: // shapes are not computed in half precision
		return nil, false, nil
	}
}

// encoded returns a tensor of integers of that type.
func encoded(name string, elem onnxio.DataType, dims, list []int64) *onnxio.Tensor {
	if elem == onnxio.Int64 {
		return onnxio.NewTensor(name, dims, list)
	}
	size := int(elem.Size())
	raw := make([]byte, 0, size*len(list))
	for _, v := range list {
		for k := range size {
			raw = append(raw, byte(v>>(8*k)))
		}
	}
	return &onnxio.Tensor{
		Name: name, Type: elem, Dims: dims,
		Data: onnxio.Generate(int64(len(raw)), func(w io.Writer) error {
			_, err := w.Write(raw)
			return err
		}),
	}
}

// Constant returns the value called name as a tensor, if all of its content
// follows from the constants and the known dimensions of the model. It has up to
// 1024 elements, and is of an integer type, bool, float32 or float64.
func (i *Info) Constant(name string) (*onnxio.Tensor, bool) {
	v, ok := i.values[name]
	if !ok {
		return nil, false
	}
	t, ok, err := v.constant(name)
	return t, ok && err == nil
}
