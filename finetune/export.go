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
// changes as training goes on.
func (t *trainee[T]) export(m *onnxio.Model) (*onnxio.Model, error) {
	return t.replace(m, func(p *parameter[T]) bool { return !p.frozen })
}

// running is export for a model that is to be run: what is frozen is not read a
// second time either.
func (t *trainee[T]) running(m *onnxio.Model) (*onnxio.Model, error) {
	return t.replace(m, func(p *parameter[T]) bool { return !p.frozen || isType[T](t.initializers[p.name]) })
}

func (t *trainee[T]) replace(m *onnxio.Model, what func(p *parameter[T]) bool) (*onnxio.Model, error) {
	trained := map[string][]T{}
	for _, p := range t.params {
		if what(p) {
			trained[p.name] = p.values
		}
	}
	for _, s := range t.stats {
		trained[s.name] = s.values
	}
	found := 0
	for _, init := range m.Graph.Initializers {
		if _, ok := trained[init.Name]; ok {
			found++
		}
	}
	if found != len(trained) {
		m = t.model
	}
	out := m.Clone()
	for i, init := range out.Graph.Initializers {
		values, ok := trained[init.Name]
		if !ok {
			continue
		}
		// The copy keeps everything of the tensor but its elements.
		replaced := *init
		replaced.Data = content(init, values)
		out.Graph.Initializers[i] = &replaced
	}
	return out, nil
}

// live says whether an exported model reads all that is trained where training
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
func content[T kernel.Float](init *onnxio.Tensor, values []T) onnxio.Data {
	if isType[T](init) {
		return onnxio.NewTensor(init.Name, init.Dims, values).Data
	}
	return onnxio.Generate(init.Type.Size()*int64(len(values)), func(w io.Writer) error {
		return writeFloats(w, int(init.Type.Size()), values)
	})
}
