package finetune

import (
	"io"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// export returns a copy of m with the trained weights and statistics in place
// of its own. Where m does not hold all of them as initializers, the copy is of
// the folded model.
//
// The weights are not copied: those whose type is T are the arrays under
// training themselves, the others are converted as they are read. The copy
// changes as training goes on. Of a model that is cut over ranks m is the whole one, and
// the copy is read as [AtRoot] says.
func (t *trainee[T]) export(m *onnxio.Model) (*onnxio.Model, error) {
	return t.replace(m, func(p *parameter[T]) bool { return !p.frozen }, t.gather.content)
}

// running is export for a model that is to be run, on each rank what that one computes:
// what is frozen is not read a second time either.
func (t *trainee[T]) running(m *onnxio.Model) (*onnxio.Model, error) {
	return t.replace(m, func(p *parameter[T]) bool { return !p.frozen || isType[T](t.initializers[p.name]) }, content)
}

func (t *trainee[T]) replace(m *onnxio.Model, what func(p *parameter[T]) bool,
	content func(init *onnxio.Tensor, name string, values []T) onnxio.Data,
) (*onnxio.Model, error) {
	trained := map[string]contentOf{}
	put := func(name string, values []T) {
		trained[name] = func(init *onnxio.Tensor) onnxio.Data { return content(init, name, values) }
	}
	for _, p := range t.params {
		if what(p) {
			put(p.name, p.values)
		}
	}
	for _, s := range t.stats {
		put(s.name, s.values)
	}
	return t.withContents(m, trained), nil
}

// contentOf returns other elements for a tensor.
type contentOf func(init *onnxio.Tensor) onnxio.Data

// withContents returns a copy of m with other elements in some of its initializers
// and sparse constants; of the folded model where m does not have all of them.
func (t *trainee[T]) withContents(m *onnxio.Model, contents map[string]contentOf) *onnxio.Model {
	out, all := t.replaced(m, contents)
	if !all {
		folded := t.folded
		if t.gather != nil {
			folded = t.gather.whole
		}
		out, _ = t.replaced(folded, contents)
	}
	return out
}

// replaced reports whether m has them all. The copy keeps everything of a tensor but
// its elements.
func (t *trainee[T]) replaced(m *onnxio.Model, contents map[string]contentOf) (*onnxio.Model, bool) {
	out, found := m.Clone(), 0
	for i, init := range out.Graph.Initializers {
		if of := contents[init.Name]; of != nil {
			replaced := *init
			replaced.Data = of(init)
			out.Graph.Initializers[i] = &replaced
			found++
		}
	}
	constants := out.Graph.SparseConstants()
	for name := range t.sparse {
		if of, s := contents[name], constants[name]; of != nil && s != nil {
			out.Graph.SetSparseValues(name, of(s.Values))
			found++
		}
	}
	return out, found == len(contents)
}

// live reports whether an exported model reads all that is trained where training
// leaves it, without a conversion.
func (t *trainee[T]) live() bool {
	for _, p := range t.params {
		if !p.frozen && !isType[T](t.initializers[p.name]) {
			return false
		}
	}
	for _, s := range t.stats {
		if !isType[T](t.initializers[s.name]) {
			return false
		}
	}
	return true
}

func isType[T kernel.Float](init *onnxio.Tensor) bool {
	return init.Type == onnxio.Float32 && dtypeSize[T]() == 4 || init.Type == onnxio.Float64 && dtypeSize[T]() == 8
}

// content returns values in the element type of init, float32 or float64.
func content[T kernel.Float](init *onnxio.Tensor, _ string, values []T) onnxio.Data {
	if isType[T](init) {
		return onnxio.NewTensor(init.Name, init.Dims, values).Data
	}
	return onnxio.Generate(init.Type.Size()*int64(len(values)), func(w io.Writer) error {
		return writeFloats(w, int(init.Type.Size()), values)
	})
}
