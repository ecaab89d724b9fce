package finetune

import (
	"slices"

	"efcn/onnxio"
)

// export returns a copy of m with the trained weights and statistics in place
// of its own. Where m does not hold all of them as initializers, the copy is of
// the folded model.
func (t *trainee[T]) export(m *onnxio.Model) (*onnxio.Model, error) {
	trained := map[string][]T{}
	for _, p := range t.params {
		if !p.frozen {
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

// content returns values as they are now, in the element type of init.
func content[T float32 | float64](init *onnxio.Tensor, values []T) onnxio.Data {
	switch v := any(values).(type) {
	case []float32:
		if init.Type == onnxio.Float64 {
			return onnxio.NewTensor(init.Name, init.Dims, cast[float64](v)).Data
		}
		return onnxio.NewTensor(init.Name, init.Dims, slices.Clone(v)).Data
	case []float64:
		if init.Type == onnxio.Float32 {
			return onnxio.NewTensor(init.Name, init.Dims, cast[float32](v)).Data
		}
		return onnxio.NewTensor(init.Name, init.Dims, slices.Clone(v)).Data
	}
	return nil
}

func cast[U, T float32 | float64](values []T) []U {
	out := make([]U, len(values))
	for i, v := range values {
		out[i] = U(v)
	}
	return out
}
