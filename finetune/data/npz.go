package data

import (
	"fmt"

	"efcn/internal/arrays"
	"efcn/onnxio"
)

// openNPZ reads the arrays x [N, ...], floats or bytes, and y [N] or [N, 1],
// integers, of a NumPy archive. Bytes are divided by 255.
func openNPZ(path string, o options) (*Set, error) {
	place, err := placeNPZ(path, o)
	if err != nil {
		return nil, err
	}
	var only []string
	if place != nil {
		only = []string{"y"}
	}
	all, err := arrays.ReadNPZ(path, only...)
	if err != nil {
		return nil, err
	}
	if place != nil {
		all = append(all, &onnxio.Tensor{Name: "x", Type: place.Type, Dims: place.Dims}) // which stays where it is
	}
	named := make(map[string]*onnxio.Tensor, len(all))
	for _, a := range all {
		named[a.Name] = a
	}
	x, y := named["x"], named["y"]
	if x == nil || y == nil {
		return nil, fmt.Errorf("%s: holds %v; want the arrays x and y", path, names(all))
	}
	if err := checkNPZ(x, y); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	labels, err := onnxio.Ints(y)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	n := len(labels)
	if o.limit > 0 {
		n = min(n, o.limit)
	}
	s := &Set{Labels: make([]int, n), ChannelsLast: o.nhwc}
	for _, d := range x.Dims[1:] {
		s.Shape = append(s.Shape, int(d))
	}
	for i := range s.Labels {
		s.Labels[i] = int(labels[i])
	}
	if place != nil {
		rec := &records{frame: frame{1, 1, s.Size(), false}, last: o.nhwc, floats: x.Type == onnxio.Float32}
		if f, err := s.frame(); err == nil {
			rec.frame = f
		}
		s.stored = rec
		return s, rec.add(path, place.Offset, int64(s.Size())*x.Type.Size(), n)
	}
	if s.X, err = pixels(x); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.X = s.X[:n*s.Size()]
	return s, nil
}

// checkNPZ checks that two arrays are samples and their labels.
func checkNPZ(x, y *onnxio.Tensor) error {
	if len(x.Dims) < 2 || (!x.Type.IsFloat() && x.Type != onnxio.Uint8) {
		return fmt.Errorf("x is %v; want floats or uint8 of shape [N, ...]", arrays.Describe(x))
	}
	if !y.Type.IsInteger() || len(y.Dims) == 0 || len(y.Dims) > 2 || (len(y.Dims) == 2 && y.Dims[1] != 1) {
		return fmt.Errorf("y is %v; want integers of shape [N]", arrays.Describe(y))
	}
	if x.Dims[0] != y.Dims[0] {
		return fmt.Errorf("x has %d samples, y %d; want as many", x.Dims[0], y.Dims[0])
	}
	return nil
}

// placeNPZ returns where the array x lies if it is more than memory may hold, and nil if
// not, also where something is wrong, which reading it will name.
func placeNPZ(path string, o options) (*arrays.Place, error) {
	place, err := arrays.FindNPZ(path, "x")
	if err != nil || place == nil || len(place.Dims) < 2 {
		return nil, nil
	}
	size, err := onnxio.NumElements(place.Dims[1:])
	if err != nil || !o.exceeds(int(place.Dims[0]), int(size)) {
		return nil, nil
	}
	why := place.Why
	if why == "" && place.Type != onnxio.Float32 && place.Type != onnxio.Uint8 {
		why = fmt.Sprintf("its elements are %v, neither float32 nor uint8", place.Type)
	}
	if why != "" {
		return nil, o.inPlace(path, why)
	}
	return place, nil
}

// pixels returns floats as they are, and bytes divided by 255.
func pixels(x *onnxio.Tensor) ([]float32, error) {
	if x.Type.IsFloat() {
		return onnxio.Floats[float32](x)
	}
	ints, err := onnxio.Ints(x)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(ints))
	for i, v := range ints {
		out[i] = float32(v) / 255
	}
	return out, nil
}

func names(all []*onnxio.Tensor) []string {
	list := make([]string, len(all))
	for i, a := range all {
		list[i] = a.Name
	}
	return list
}
