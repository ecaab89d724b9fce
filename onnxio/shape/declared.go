package shape

import (
	"fmt"
	"maps"
	"slices"

	"efcn/onnxio"
)

// overrideInputs returns the values of the graph's inputs: as declared, with
// the dimensions in overrides replaced, and notes what the overrides say of
// symbols.
func (s *session) overrideInputs(g *onnxio.Graph, overrides map[string][]int64) (map[string]*value, error) {
	types := make(map[string]onnxio.TensorType, len(g.Inputs))
	for _, v := range g.Inputs {
		types[v.Name] = v.Type
	}
	feedable := make(map[string]bool, len(g.Inputs))
	for _, v := range g.FeedInputs() {
		feedable[v.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if !feedable[name] {
			return nil, fmt.Errorf("the model has no input %q", name)
		}
		t, err := s.override(types[name], overrides[name])
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
		types[name] = t
	}
	values := make(map[string]*value, len(types))
	for name, t := range types {
		v := s.declared(t)
		if t.HasShape && len(t.Shape) > 0 && !t.Shape[0].Known() && t.Shape[0].Param != "" {
			v.dims[0] = s.symbol(t.Shape[0])
		}
		if sizes, ok := v.sizes(); ok {
			if _, err := onnxio.NumElements(sizes); err != nil {
				return nil, fmt.Errorf("input %q of shape %v: %w", name, v, err)
			}
		}
		values[name] = v
	}
	return values, nil
}

// override returns t with the dimensions in dims that are not -1.
func (s *session) override(t onnxio.TensorType, dims []int64) (onnxio.TensorType, error) {
	if !t.HasShape {
		t.Shape = make(onnxio.Shape, len(dims))
		for i := range t.Shape {
			t.Shape[i] = onnxio.Symbol("")
		}
	}
	if len(dims) != len(t.Shape) {
		return t, fmt.Errorf("given shape %v has rank %d; the model declares %v", dims, len(dims), s.declared(t))
	}
	shape := slices.Clone(t.Shape)
	for i, v := range dims {
		d := shape[i]
		switch {
		case v == -1:
			continue
		case v < 0:
			return t, fmt.Errorf("given shape %v: dimension %d is negative; -1 keeps what the model declares", dims, v)
		case d.Known() && d.Value != v:
			s.stale = true
		case d.Param != "":
			if nameless(d.Param) && i > 0 {
				break
			}
			if old, ok := s.bound[d.Param]; ok && old != v {
				if nameless(d.Param) {
					break
				}
				return t, fmt.Errorf("given shape %v makes %s %d; another dimension of that name is %d", dims,
					d.Param, v, old)
			}
			s.bound[d.Param] = v
		}
		shape[i] = onnxio.Fixed(v)
	}
	return onnxio.TensorType{Elem: t.Elem, HasShape: true, Shape: shape}, nil
}

// shapeError says that a declared shape contradicts the inferred one.
type shapeError struct{ text string }

func (e *shapeError) Error() string { return e.text }

// merge joins what is inferred of a value with what the model declares of it.
func (s *session) merge(name string, v *value, t onnxio.TensorType) (*value, error) {
	out := *v
	switch {
	case v.elem == onnxio.Undefined:
		out.elem = t.Elem
	case t.Elem != onnxio.Undefined && t.Elem != v.elem:
		return nil, fmt.Errorf("output %q is %s, but the model declares %s", name, v.elem, t.Elem)
	}
	if !t.HasShape || s.stale {
		return &out, nil
	}
	declared := s.declared(t)
	if !v.ranked {
		out.ranked, out.dims = true, declared.dims
		return &out, nil
	}
	conflict := &shapeError{fmt.Sprintf("output %q has shape %v, but the model declares %v", name, v, declared)}
	if v.rank() != declared.rank() {
		return nil, conflict
	}
	out.dims = slices.Clone(v.dims)
	for i, d := range declared.dims {
		a := v.dims[i]
		switch {
		case a.known() && d.known() && a.coef != d.coef:
			return nil, conflict
		// A number declared for a first axis that is the batch of an input is that of one
		// example.
		case !a.known() && d.known() && (i > 0 || !a.named()), !a.named() && d.named():
			out.dims[i] = d
		}
	}
	return &out, nil
}
