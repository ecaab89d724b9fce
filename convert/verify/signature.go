package verify

import (
	"fmt"
	"slices"
	"strings"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// signature pairs the inputs and the outputs of two models.
type signature struct {
	inputs, outputs map[string]string // name in the first model -> name in the second
	named           []string          // what was matched by order, in words
	// types are those of inputs, by name in the second model, where they differ.
	types map[string]onnxio.DataType
}

// matchSignatures pairs the inputs and outputs of two models: those of one name, and
// the others in their order, if element types and shapes fit.
func matchSignatures(a, b *net, o *Options) (*signature, error) {
	f := &signature{types: make(map[string]onnxio.DataType)}
	var err error
	if f.inputs, err = f.match("inputs", a.graph.FeedInputs(), b.graph.FeedInputs(), o); err != nil {
		return nil, err
	}
	f.outputs, err = f.match("outputs", a.graph.Outputs, b.graph.Outputs, o)
	return f, err
}

func (f *signature) match(what string, a, b []*onnxio.ValueInfo, o *Options) (map[string]string, error) {
	refuse := func(why string) (map[string]string, error) {
		return nil, fmt.Errorf("the models have different %s: %s and %s; %s", what, describe(a), describe(b), why)
	}
	if len(a) != len(b) {
		return refuse("want as many")
	}
	pairs := make(map[string]string)
	without := func(list, other []*onnxio.ValueInfo) []*onnxio.ValueInfo {
		return slices.DeleteFunc(slices.Clone(list), func(v *onnxio.ValueInfo) bool {
			return slices.ContainsFunc(other, func(w *onnxio.ValueInfo) bool { return w.Name == v.Name })
		})
	}
	mine, others := without(a, b), without(b, a)
	for _, v := range a {
		w := v
		if i := slices.Index(mine, v); i >= 0 {
			w = others[i]
		} else if i := slices.IndexFunc(b, func(w *onnxio.ValueInfo) bool { return w.Name == v.Name }); i >= 0 {
			w = b[i]
		}
		if v.Type.Elem != w.Type.Elem && o.holdsAs(v.Type.Elem, w.Type.Elem) {
			f.types[w.Name] = w.Type.Elem
		}
		e := &PrecisionError{v.Name, v.Type.Elem, w.Type.Elem}
		if o.As == onnxio.Undefined && e.Narrow() != onnxio.Undefined {
			return nil, e
		}
		pairs[v.Name] = v.Name
	}
	for i, v := range mine {
		if !o.fits(v.Type, others[i].Type) {
			return refuse(fmt.Sprintf("%q and %q are of one place and do not fit", v.Name, others[i].Name))
		}
		pairs[v.Name] = others[i].Name
		f.named = append(f.named, fmt.Sprintf("%q and %q", v.Name, others[i].Name))
	}
	return pairs, nil
}

// fits reports whether two declarations may be of the same value.
func (o *Options) fits(a, b onnxio.TensorType) bool {
	if !o.holdsAs(a.Elem, b.Elem) && a.Elem != onnxio.Undefined && b.Elem != onnxio.Undefined {
		return false
	}
	if !a.HasShape || !b.HasShape {
		return true
	}
	return slices.EqualFunc(a.Shape, b.Shape, func(x, y onnxio.Dim) bool {
		return !x.Known() || !y.Known() || x.Value == y.Value
	})
}

// describe lists declarations with what they say.
func describe(infos []*onnxio.ValueInfo) string {
	list := make([]string, len(infos))
	for i, v := range infos {
		list[i] = fmt.Sprintf("%q %s", v.Name, v.Type.Elem)
		if v.Type.HasShape {
			list[i] += " " + v.Type.Shape.String()
		}
	}
	return strings.Join(list, ", ")
}

// feedsOf returns inputs by their names, and in their types, in the second model.
func feedsOf[T kernel.Float](f *signature, x map[string]*engine.Tensor[T]) map[string]*engine.Tensor[T] {
	feeds := make(map[string]*engine.Tensor[T], len(x))
	for name, v := range x {
		feeds[f.inputs[name]] = v
		if t := f.types[f.inputs[name]]; t != onnxio.Undefined && v.Type.IsFloat() {
			feeds[f.inputs[name]] = standIn(v, &engine.Tensor[T]{Type: t, Shape: v.Shape})
		}
	}
	return feeds
}
