package data

import (
	"fmt"

	"efcn/internal/arrays"
	"efcn/onnxio"
)

// openNPZ reads the arrays x [N, ...], floats or bytes, and y [N] or [N, 1],
// integers, of a NumPy archive. Bytes are divided by 255.
func openNPZ(path string, o options) (*Set, error) {
	all, err := arrays.ReadNPZ(path)
	if err != nil {
		return nil, err
	}
	named := make(map[string]*arrays.Array, len(all))
	for _, a := range all {
		named[a.Name] = a
	}
	x, y := named["x"], named["y"]
	if x == nil || y == nil {
		return nil, fmt.Errorf("%s: holds %v; want the arrays x and y", path, names(all))
	}
	if len(x.Shape) < 2 || (!x.Type.IsFloat() && x.Type != onnxio.Uint8) {
		return nil, fmt.Errorf("%s: x is %v; want floats or uint8 of shape [N, ...]", path, x)
	}
	if !y.Type.IsInteger() || len(y.Shape) == 0 || len(y.Shape) > 2 || (len(y.Shape) == 2 && y.Shape[1] != 1) {
		return nil, fmt.Errorf("%s: y is %v; want integers of shape [N]", path, y)
	}
	if x.Shape[0] != y.Shape[0] {
		return nil, fmt.Errorf("%s: x has %d samples, y %d; want as many", path, x.Shape[0], y.Shape[0])
	}
	labels, err := y.Ints()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	n := len(labels)
	if o.limit > 0 {
		n = min(n, o.limit)
	}
	s := &Set{Shape: x.Shape[1:], Labels: make([]int, n)}
	for i := range s.Labels {
		s.Labels[i] = int(labels[i])
	}
	values, err := arrays.Floats[float32](x)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.X = values[:n*s.Size()]
	if x.Type == onnxio.Uint8 {
		for i := range s.X {
			s.X[i] /= 255
		}
	}
	return s, nil
}

func names(all []*arrays.Array) []string {
	list := make([]string, len(all))
	for i, a := range all {
		list[i] = a.Name
	}
	return list
}
