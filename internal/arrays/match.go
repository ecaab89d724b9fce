package arrays

import (
	"fmt"
	"slices"
	"strings"

	"efcn/onnxio"
)

// Match returns the arrays that a graph is fed with: one for each of its feed
// inputs, in their order and under their names. Arrays are taken by name; as many
// arrays without a name as there are inputs are taken in order. The elements are
// shared with given. An array that does not fit its input, an input without an
// array and an array without an input are errors.
func Match(g *onnxio.Graph, given []*onnxio.Tensor) ([]*onnxio.Tensor, error) {
	inputs := g.FeedInputs()
	all := make([]*onnxio.Tensor, len(inputs))
	used := make(map[int]bool, len(inputs))
	for i, v := range inputs {
		at := slices.IndexFunc(given, func(a *onnxio.Tensor) bool { return a.Name == v.Name })
		if at < 0 && i < len(given) && len(given) == len(inputs) && given[i].Name == "" {
			at = i
		}
		if at < 0 {
			return nil, fmt.Errorf("no array %q for that input; the file has %s", v.Name, names(given, arrayName))
		}
		used[at] = true
		if !fitsInput(v.Type, given[at]) {
			return nil, fmt.Errorf("input %q: the array is %s; the model wants %s",
				v.Name, Describe(given[at]), DescribeType(v.Type))
		}
		a := *given[at]
		a.Name = v.Name
		all[i] = &a
	}
	for i, a := range given {
		if !used[i] {
			return nil, fmt.Errorf(
				"array %q is no input of the model; its inputs are %s", a.Name, names(inputs, inputName),
			)
		}
	}
	return all, nil
}

// fitsInput reports whether an array can be fed to a declared input. Any type of
// floating point can be converted to the declared one.
func fitsInput(want onnxio.TensorType, a *onnxio.Tensor) bool {
	if want.Elem != onnxio.Undefined && want.Elem != a.Type && !(want.Elem.IsFloat() && a.Type.IsFloat()) {
		return false
	}
	if !want.HasShape {
		return true
	}
	return slices.EqualFunc(want.Shape, a.Dims, func(d onnxio.Dim, n int64) bool { return !d.Known() || d.Value == n })
}

func arrayName(a *onnxio.Tensor) string    { return a.Name }
func inputName(v *onnxio.ValueInfo) string { return v.Name }

// names lists the names of a list's items.
func names[T any](all []T, name func(T) string) string {
	if len(all) == 0 {
		return "none"
	}
	quoted := make([]string, len(all))
	for i, item := range all {
		quoted[i] = fmt.Sprintf("%q", name(item))
	}
	return strings.Join(quoted, ", ")
}
