package verify

import (
	"fmt"
	"maps"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// array is an input or output of a model in the embedded engine: row-major, with the
// batch axis.
type array = engine.Tensor[float32]

// givenInputs returns the inputs that a caller gives, by name, in the types that the
// model declares.
func givenInputs(g *onnxio.Graph, inputs []*onnxio.Tensor) (map[string]*array, error) {
	all := make(map[string]*array, len(inputs))
	for _, t := range inputs {
		if all[t.Name] != nil {
			return nil, fmt.Errorf("input %q is given twice", t.Name)
		}
		a, err := engine.FromONNX[float32](t)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", t.Name, err)
		}
		for _, v := range g.FeedInputs() {
			if v.Name == t.Name && v.Type.Elem != onnxio.Undefined {
				a.Type = v.Type.Elem
			}
		}
		all[t.Name] = a
	}
	return all, nil
}

// tensors returns arrays as a caller gets them, sorted by name.
func tensors(arrays map[string]*array) []*onnxio.Tensor {
	var all []*onnxio.Tensor
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		all = append(all, engine.ToONNX(name, arrays[name]))
	}
	return all
}

// asShape returns the dims of a tensor in a file as the shape of one in memory.
func asShape(dims []int64) []int {
	shape := make([]int, len(dims))
	for i, d := range dims {
		shape[i] = int(d)
	}
	return shape
}
