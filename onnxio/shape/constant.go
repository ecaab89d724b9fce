package shape

import (
	"errors"
	"fmt"

	"efcn/onnxio"
)

func init() {
	register("Constant", op{rule: constantNode})
	register("ConstantOfShape", op{rule: constantOfShape})
}

// constantNode infers Constant-1/9/11/12/13 and later: exactly one of the value
// attributes.
func constantNode(c *call) ([]*value, error) {
	if len(c.Attributes) != 1 {
		return nil, fmt.Errorf("want one attribute, got %d", len(c.Attributes))
	}
	a := c.Attributes[0]
	bad := fmt.Errorf("attribute %s of type %s is no constant", a.Name, a.Type)
	switch a.Name {
	case "value":
		if a.Type != onnxio.AttrTensor || a.T == nil {
			return nil, bad
		}
		v, err := constant(a.T)
		return []*value{v}, err
	case "sparse_value":
		if a.Type != onnxio.AttrSparseTensor || a.Sparse == nil || a.Sparse.Values == nil {
			return nil, bad
		}
		v, err := constantShape(a.Sparse.Values.Type, a.Sparse.Dims)
		return []*value{v}, err
	}
	return c.constantList(a, bad)
}

// constantList returns the constant of one of the attributes for scalars and
// lists, which came with version 12.
func (c *call) constantList(a *onnxio.Attribute, bad error) ([]*value, error) {
	wants := map[string]onnxio.AttributeType{
		"value_int": onnxio.AttrInt, "value_ints": onnxio.AttrInts, "value_float": onnxio.AttrFloat,
		"value_floats": onnxio.AttrFloats, "value_string": onnxio.AttrString, "value_strings": onnxio.AttrStrings,
	}
	if want, ok := wants[a.Name]; !ok || want != a.Type {
		return nil, bad
	}
	var v *value
	switch a.Name {
	case "value_int":
		v = scalar(fixed(a.I))
	case "value_ints":
		if v = vector(nums(a.Ints)); len(a.Ints) > maxContents {
			v.ints = nil
		}
	case "value_float":
		v = shaped(onnxio.Float32, []num{})
		v.reals = []real{knownAs(float64(a.F))}
	case "value_floats":
		v = shaped(onnxio.Float32, []num{fixed(int64(len(a.Floats)))})
		if len(a.Floats) <= maxContents {
			v.reals = make([]real, len(a.Floats))
			for i, f := range a.Floats {
				v.reals[i] = knownAs(float64(f))
			}
		}
	case "value_string":
		v = shaped(onnxio.String, []num{})
	default:
		v = shaped(onnxio.String, []num{fixed(int64(len(a.Strings)))})
	}
	return []*value{v}, nil
}

// constantOfShape infers ConstantOfShape-9 and later: input 0 is the shape.
func constantOfShape(c *call) ([]*value, error) {
	if err := errors.Join(c.wantInteger(0), c.wantRank(0, 1)); err != nil {
		return nil, err
	}
	fill := shaped(onnxio.Float32, []num{})
	fill.reals = []real{knownAs(0)}
	t, err := c.Tensor("value")
	if err != nil {
		return nil, err
	}
	if t != nil {
		if fill, err = constant(t); err != nil {
			return nil, err
		}
		if n, _ := fill.count(); n != 1 {
			return nil, fmt.Errorf("attribute value has shape %v; want one element", fill)
		}
	}
	dims, ok, err := c.shapeArg(0)
	if err != nil {
		return nil, err
	}
	if !ok {
		return []*value{unshaped(fill.elem)}, nil
	}
	y := shaped(fill.elem, dims)
	if !small(dims) {
		return []*value{y}, nil
	}
	n, _ := y.count()
	if fill.ints != nil {
		y.ints = make([]num, n)
		for i := range y.ints {
			y.ints[i] = fill.ints[0]
		}
	}
	list, err := fill.followedReals()
	if len(list) == 1 {
		y.reals = make([]real, n)
		for i := range y.reals {
			y.reals[i] = list[0]
		}
	}
	return []*value{y}, err
}

// shapeArg reads input i as a shape: its content, or as many unknown dimensions
// as it has elements. It returns false if not even that is known.
func (c *call) shapeArg(i int) ([]num, bool, error) {
	v := c.in[i]
	if v.ints == nil {
		n, ok := v.count()
		if !ok || n > maxContents {
			return nil, false, nil
		}
		return c.s.unknownDims(int(n)), true, nil
	}
	dims := make([]num, len(v.ints))
	for k, n := range v.ints {
		switch {
		case n.known() && n.coef < 0:
			return nil, false, fmt.Errorf("shape %v has the negative size %v", formatDims(v.ints), n)
		case n.isSize():
			dims[k] = n
		default:
			dims[k] = c.s.unknownDim()
		}
	}
	return dims, true, nil
}
