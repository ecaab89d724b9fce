package convert

import (
	"slices"

	"efcn/convert/affine"
	"efcn/convert/internal/elementwise"
	"efcn/onnxio"
)

func init() {
	one, several := elementwise.Operators()
	for _, name := range one {
		o := operator{becomes: "itself, on vectors", plan: planUnary}
		switch name {
		case "Relu":
			o.notNegative = func(*planner, *onnxio.Node) bool { return true }
		case "Clip":
			o.notNegative = clipsAtZero
		}
		register(name, o)
	}
	for _, name := range several {
		register(name, operator{becomes: "itself, on vectors; a constant is laid out along the vector", plan: planJoin})
	}
}

// clipsAtZero reports whether the bounds of a Clip are constants of zero or more. Its
// max counts too: where that is less than its min, every element is the max.
func clipsAtZero(pl *planner, n *onnxio.Node) bool {
	bound := func(attribute string, input int, absent float32) bool {
		value, err := n.Float(attribute, absent)
		if name := n.Input(input); name != "" && err == nil {
			value = -1 // unless it is known
			if t := pl.consts[name]; t != nil {
				if v, err := onnxio.Floats[float32](t); err == nil && len(v) == 1 {
					value = v[0]
				}
			}
		}
		return err == nil && value >= 0
	}
	return bound("min", 1, -1) && bound("max", 2, 0)
}

// planUnary plans an operator that treats every element of its first input
// alike; other inputs, such as the bounds of Clip, are constants or scalars.
func planUnary(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	for _, name := range n.Inputs[1:] {
		if name != "" && pl.consts[name] == nil {
			return nil, keep("%q is computed at run time", name)
		}
	}
	p := onVectors(n, nil)
	if n.OpType == "Neg" && in.elem == onnxio.Float32 {
		negated := &affine.Diagonal{Size: in.size(), Scale: func(int) float64 { return -1 }}
		p.along(n.Input(0), linearOf(n, n.Output(0), 0, negated))
	}
	return []*piece{p}, nil
}

// planJoin plans an elementwise operator of several inputs: branches of one
// shape, and constants that broadcast to that shape.
func planJoin(pl *planner, n *onnxio.Node) ([]*piece, error) {
	out, err := pl.vector(n.Output(0))
	if err != nil {
		return nil, err
	}
	constants := make([]*onnxio.Tensor, len(n.Inputs))
	branches := 0
	for i, name := range n.Inputs {
		if constants[i] = pl.consts[name]; constants[i] != nil {
			continue
		}
		in, err := pl.vector(name)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(in.dims, out.dims) {
			return nil, keep("%q is broadcast from N×%v to N×%v", name, in.dims, out.dims)
		}
		branches++
	}
	if branches == 0 {
		return nil, keep("all inputs are constants")
	}
	laidOut := make(map[int]*onnxio.Tensor)
	for i, t := range constants {
		if t == nil {
			continue
		}
		along, err := alongVector(t, out.dims)
		if err != nil {
			return nil, err
		}
		if along != t {
			laidOut[i] = along
		}
	}
	p := onVectors(n, laidOut)
	if out.elem == onnxio.Float32 {
		if err := diagonalOf(p, constants, out); err != nil {
			return nil, err
		}
	}
	return []*piece{p}, nil
}

// diagonalOf makes the piece an affine function where it is a sum, difference, product
// or quotient of one branch and one constant. A quotient by zero is left alone.
func diagonalOf(p *piece, constants []*onnxio.Tensor, out value) error {
	n := p.node
	if !slices.Contains([]string{"Add", "Sub", "Mul", "Div"}, n.OpType) || len(constants) != 2 {
		return nil
	}
	branch, second := 0, true // second says that the constant is the second operand
	if constants[0] != nil {
		branch, second = 1, false
	}
	t := constants[1-branch]
	if t == nil || t.Type != onnxio.Float32 {
		return nil
	}
	v, err := onnxio.Floats[float64](t)
	if err != nil {
		return err
	}
	at, err := broadcastIndex(t, out.dims)
	if err != nil {
		return err
	}
	f := &affine.Diagonal{Size: out.size()}
	switch n.OpType {
	case "Add":
		f.Shift = func(i int) float64 { return v[at[i]] }
	case "Sub":
		f.Shift = func(i int) float64 { return -v[at[i]] }
		if !second {
			f.Scale, f.Shift = func(int) float64 { return -1 }, func(i int) float64 { return v[at[i]] }
		}
	case "Mul":
		f.Scale = func(i int) float64 { return v[at[i]] }
	case "Div":
		if !second || slices.Contains(v, 0) {
			return nil
		}
		f.Scale = func(i int) float64 { return 1 / v[at[i]] }
	}
	p.along(n.Input(branch), linearOf(n, n.Output(0), len(v), f))
	return nil
}

// alongVector returns the constant t, which broadcasts to a batch of tensors of
// shape dims, as a constant that broadcasts to a batch of their vectors: t
// itself if it is one number or laid out so already, else a tensor [L].
func alongVector(t *onnxio.Tensor, dims []int) (*onnxio.Tensor, error) {
	if len(t.Dims) > len(dims)+1 || len(t.Dims) == len(dims)+1 && t.Dims[0] != 1 {
		return nil, keep("constant %q has a batch axis", t.Name)
	}
	if n, err := onnxio.NumElements(t.Dims); err != nil {
		return nil, err
	} else if n == 1 && len(t.Dims) <= 2 || len(dims) == 1 {
		return t, nil
	}
	from, err := broadcastIndex(t, dims)
	if err != nil {
		return nil, err
	}
	name, size := t.Name+".vec", []int64{int64(len(from))}
	switch {
	case t.Type == onnxio.Float32:
		v, err := onnxio.Floats[float32](t)
		if err != nil {
			return nil, err
		}
		return onnxio.NewTensor(name, size, pick(v, from)), nil
	case t.Type == onnxio.Float64:
		v, err := onnxio.Floats[float64](t)
		if err != nil {
			return nil, err
		}
		return onnxio.NewTensor(name, size, pick(v, from)), nil
	default:
		return nil, keep("constant %q is %s", t.Name, t.Type)
	}
}

func pick[T any](v []T, from []int) []T {
	out := make([]T, len(from))
	for i, f := range from {
		out[i] = v[f]
	}
	return out
}

// broadcastIndex returns, for every element of a tensor of shape dims, the
// index of the element of t that broadcasting puts there.
// https://onnx.ai/onnx/repo-docs/Broadcasting.html
func broadcastIndex(t *onnxio.Tensor, dims []int) ([]int, error) {
	own := t.Dims
	if len(own) > len(dims) {
		own = own[len(own)-len(dims):]
	}
	strides := make([]int, len(dims))
	stride := 1
	for i := 1; i <= len(own); i++ {
		axis, d := len(dims)-i, int(own[len(own)-i])
		if d != 1 && d != dims[axis] {
			return nil, keep("constant %q of shape %v is no part of N×%v", t.Name, t.Dims, dims)
		}
		if d != 1 {
			strides[axis] = stride
		}
		stride *= d
	}
	index := []int{0}
	for axis, d := range dims {
		next := make([]int, 0, len(index)*d)
		for _, base := range index {
			for i := range d {
				next = append(next, base+i*strides[axis])
			}
		}
		index = next
	}
	return index, nil
}
