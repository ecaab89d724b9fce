package shape

import (
	"fmt"
	"strings"

	"efcn/onnxio"
)

// maxContents is the largest number of elements of a value whose content is
// followed.
const maxContents = 1024

// value is what is known of one value. It is not modified once a node can see
// it.
type value struct {
	elem   onnxio.DataType // Undefined where not known
	ranked bool            // dims is meant
	dims   []num

	// ints is the content of an integer or bool tensor in row-major order,
	// nil where it is not followed. An empty tensor has an empty slice, not nil.
	// Where it is there, every dimension is known.
	ints []num
	// reals is the same of a floating-point tensor that was computed; tensor is
	// where a constant's content can be read.
	reals  []real
	tensor *onnxio.Tensor
}

func shaped(elem onnxio.DataType, dims []num) *value {
	return &value{elem: elem, ranked: true, dims: dims}
}

func unshaped(elem onnxio.DataType) *value { return &value{elem: elem} }

// like returns a value of v's shape and another element type.
func (v *value) like(elem onnxio.DataType) *value {
	return &value{elem: elem, ranked: v.ranked, dims: v.dims}
}

// vector returns an int64 value [len(ints)] of that content.
func vector(ints []num) *value {
	return &value{elem: onnxio.Int64, ranked: true, dims: []num{fixed(int64(len(ints)))}, ints: ints}
}

// scalar returns an int64 value [] of that content.
func scalar(n num) *value {
	return &value{elem: onnxio.Int64, ranked: true, dims: []num{}, ints: []num{n}}
}

func (v *value) rank() int { return len(v.dims) }

// sizes returns the dimensions if all of them are numbers.
func (v *value) sizes() ([]int64, bool) {
	if !v.ranked {
		return nil, false
	}
	return numbers(v.dims)
}

// count returns the number of elements if it is known and fits.
func (v *value) count() (int64, bool) {
	sizes, ok := v.sizes()
	if !ok {
		return 0, false
	}
	n, err := onnxio.NumElements(sizes)
	return n, err == nil
}

// constants returns the content if all of it is known.
func (v *value) constants() ([]int64, bool) {
	if v == nil || v.ints == nil {
		return nil, false
	}
	return numbers(v.ints)
}

// followedReals returns the content of a small floating-point tensor, nil where it
// is not followed.
func (v *value) followedReals() ([]real, error) {
	if v == nil {
		return nil, nil
	}
	if v.reals == nil && v.tensor != nil && v.tensor.Type.IsFloat() && small(v.dims) {
		list, err := onnxio.Floats[float64](v.tensor)
		if err != nil {
			return nil, err
		}
		return knownReals(list), nil
	}
	return v.reals, nil
}

// numbers returns the content of a small floating-point tensor if all of it is
// known.
func (v *value) numbers() ([]float64, bool, error) {
	reals, err := v.followedReals()
	if err != nil || reals == nil {
		return nil, false, err
	}
	list, ok := numbersOf(reals)
	return list, ok, nil
}

// numbers returns the values of list if all are known.
func numbers(list []num) ([]int64, bool) {
	out := make([]int64, len(list))
	for i, n := range list {
		if !n.known() {
			return nil, false
		}
		out[i] = n.coef
	}
	return out, true
}

func nums(list []int64) []num {
	out := make([]num, len(list))
	for i, v := range list {
		out[i] = fixed(v)
	}
	return out
}

func (v *value) String() string {
	if !v.ranked {
		return "[...]"
	}
	return formatDims(v.dims)
}

func formatDims[E fmt.Stringer](dims []E) string {
	parts := make([]string, len(dims))
	for i, d := range dims {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// small reports whether a tensor of that shape is small enough for its content to
// be followed.
func small(dims []num) bool {
	sizes, ok := numbers(dims)
	if !ok {
		return false
	}
	n, err := onnxio.NumElements(sizes)
	return err == nil && n <= maxContents
}
