package finetune

import (
	"fmt"

	"efcn/internal/constants"
	"efcn/internal/engine"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// fixed are the values of a model that do not depend on what its input holds:
// constants, and what is computed from shapes once the batch is given.
type fixed struct {
	initializers map[string]*onnxio.Tensor
	links        *onnxio.Links
	opset        int64
	info         *shape.Info // at the batch
	values       map[string]*engine.Tensor[float64]
}

// fixedAt returns what is fixed at a batch size.
func (t *trainee[T]) fixedAt(batch int) (*fixed, error) {
	if f := t.fixed[batch]; f != nil {
		return f, nil
	}
	dims := make([]int64, len(t.input.Type.Shape))
	for i, d := range t.input.Type.Shape {
		dims[i] = d.Value
	}
	dims[0] = int64(batch)
	info, err := shape.Infer(t.model,
		shape.Options{Inputs: map[string][]int64{t.input.Name: dims}, Evaluate: constants.Evaluate})
	if err != nil {
		return nil, err
	}
	f := &fixed{t.initializers, t.links, t.model.Opset(""), info, map[string]*engine.Tensor[float64]{}}
	t.fixed[batch] = f
	return f, nil
}

// value returns what a value holds, in float64. It is not modified.
func (f *fixed) value(name string) (*engine.Tensor[float64], error) {
	if v, ok := f.values[name]; ok {
		return v, nil
	}
	v, err := f.compute(name)
	if err != nil {
		return nil, err
	}
	f.values[name] = v
	return v, nil
}

func (f *fixed) compute(name string) (*engine.Tensor[float64], error) {
	if t := f.initializers[name]; t != nil {
		return engine.FromONNX[float64](t)
	}
	if v, ok := f.followed(name); ok {
		return v, nil
	}
	n := f.links.Producer(name)
	if n == nil || operatorOf(n).shape {
		return nil, fmt.Errorf("%q is no constant, nor computed from shapes alone", name)
	}
	in := make([]*engine.Tensor[float64], len(n.Inputs))
	for i, input := range n.Inputs {
		if input == "" {
			continue
		}
		var err error
		if in[i], err = f.value(input); err != nil {
			return nil, err
		}
	}
	out, err := engine.RunNode(n, f.opset, in)
	if err != nil {
		return nil, err
	}
	for i, other := range n.Outputs {
		if other != "" {
			f.values[other] = out[i]
		}
	}
	return f.values[name], nil
}

// followed returns a value that shape inference knows.
func (f *fixed) followed(name string) (*engine.Tensor[float64], bool) {
	t, typed := f.info.Type(name)
	dims, ok := f.info.Ints(name)
	if !ok || !typed || !t.HasShape {
		return nil, false
	}
	v := &engine.Tensor[float64]{Type: t.Elem, Shape: []int{}, I: make([]int64, len(dims))}
	for _, d := range t.Shape {
		if !d.Known() {
			return nil, false
		}
		v.Shape = append(v.Shape, int(d.Value))
	}
	for i, d := range dims {
		if d.Param != "" {
			return nil, false
		}
		v.I[i] = d.Value
	}
	return v, product(v.Shape) == len(v.I)
}
