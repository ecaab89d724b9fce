package shape

import (
	"errors"
	"fmt"
	"math"

	"efcn/onnxio"
)

func init() {
	register("Resize", op{rule: resize})
	register("Upsample", op{rule: upsample})
}

// upsample infers Upsample-7, whose scales are an attribute, and Upsample-9,
// whose scales are an input.
func upsample(c *call) ([]*value, error) {
	x := c.in[0]
	if c.opset < 9 {
		list, err := c.Floats("scales")
		if err != nil {
			return nil, err
		}
		if list == nil {
			return nil, errors.New("attribute scales is missing")
		}
		scales := make([]float64, len(list))
		for i, v := range list {
			scales[i] = float64(v)
		}
		return c.upsampled(x, scales, true)
	}
	scales, known, err := c.in[1].numbers()
	if err != nil {
		return nil, err
	}
	return c.upsampled(x, scales, known)
}

// upsampled returns x with sizes floor(size·scale). Upsample takes no scale below
// 1, by its page, and ONNX Runtime none either.
func (c *call) upsampled(x *value, scales []float64, known bool) ([]*value, error) {
	for axis, scale := range scales {
		if scale > 0 && scale < 1 {
			return nil, fmt.Errorf("scale %v of axis %d is below 1; Resize makes smaller, from opset 10 on",
				float32(scale), axis)
		}
	}
	return c.scaled(x, scales, known, nil)
}

// resize infers Resize-10, with scales, and Resize-11/13/18/19, with roi, and
// scales or sizes, whichever is not empty.
func resize(c *call) ([]*value, error) {
	x := c.in[0]
	if c.opset < 11 {
		scales, known, err := c.in[1].numbers()
		if err != nil {
			return nil, err
		}
		return c.scaled(x, scales, known, nil)
	}
	for i, want := range []func(onnxio.DataType) bool{
		2: func(t onnxio.DataType) bool { return t == onnxio.Float32 },
		3: onnxio.DataType.IsInteger,
	} {
		if v := c.in[i]; want != nil && v != nil && v.elem != onnxio.Undefined && !want(v.elem) {
			return nil, fmt.Errorf("input %q is %s; want float32 scales and int64 sizes", c.Input(i), v.elem)
		}
	}
	places, err := c.resizeAxes()
	if err != nil {
		return nil, err
	}
	scales, sizes := c.in[2], c.in[3]
	if empty(scales) {
		scales = nil
	}
	if empty(sizes) {
		sizes = nil
	}
	switch {
	case scales == nil && sizes == nil:
		return nil, errors.New("scales and sizes are both left out; want one of them")
	case scales != nil && sizes != nil:
		// Which of the two is empty may only show at run time.
		if _, ok := scales.count(); ok {
			if _, ok := sizes.count(); ok {
				return nil, errors.New("scales and sizes are both given; want one of them")
			}
		}
		return []*value{c.unknownLike(x)}, nil
	case scales != nil:
		mode, err := c.String("coordinate_transformation_mode", "half_pixel")
		if err != nil {
			return nil, err
		}
		if mode == "tf_crop_and_resize" { // the size depends on the region as well
			return []*value{c.unknownLike(x)}, nil
		}
		list, known, err := scales.numbers()
		if err != nil {
			return nil, err
		}
		return c.scaled(x, list, known, places)
	default:
		return c.resized(x, sizes, places)
	}
}

func empty(v *value) bool { return v == nil || v.ranked && v.rank() == 1 && v.dims[0].is(0) }

func (c *call) unknownLike(x *value) *value {
	if !x.ranked {
		return unshaped(x.elem)
	}
	return shaped(x.elem, c.s.unknownDims(x.rank()))
}

// resizeAxes returns the axes that scales and sizes are about, nil for all.
func (c *call) resizeAxes() ([]int, error) {
	list, err := c.Ints("axes")
	if err != nil || list == nil || !c.in[0].ranked {
		return nil, err
	}
	return axes(list, c.in[0].rank())
}

func places(of []int, rank int) []int {
	if of != nil {
		return of
	}
	all := make([]int, rank)
	for i := range all {
		all[i] = i
	}
	return all
}

// scaled returns x with sizes floor(size·scale), computed in float32 as ONNX
// Runtime does.
func (c *call) scaled(x *value, scales []float64, known bool, at []int) ([]*value, error) {
	if !x.ranked || !known {
		return []*value{c.unknownLike(x)}, nil
	}
	at = places(at, x.rank())
	if len(scales) != len(at) {
		return nil, fmt.Errorf("scales %v: want %d values, got %d", scales, len(at), len(scales))
	}
	dims := append([]num(nil), x.dims...)
	for i, k := range at {
		scale, d := scales[i], dims[k]
		switch {
		case !(scale > 0) || math.IsInf(scale, 0):
			return nil, fmt.Errorf("scale %v of axis %d is not above 0", scale, k)
		case scale == 1:
		case !d.known():
			dims[k] = c.s.unknownDim()
			if scale == math.Trunc(scale) && scale < 1<<31 {
				if out, ok := mul(d, fixed(int64(scale))); ok {
					dims[k] = out
				}
			}
		default:
			out := math.Floor(float64(float32(d.coef) * float32(scale)))
			if out >= 1<<62 {
				return nil, fmt.Errorf("size %v times scale %v: %w", d, scale, onnxio.ErrTooLarge)
			}
			dims[k] = fixed(int64(out))
		}
	}
	return []*value{shaped(x.elem, dims)}, nil
}

// resized returns x with the sizes given, made to fit the aspect ratio where
// the node asks for that.
func (c *call) resized(x, sizes *value, at []int) ([]*value, error) {
	policy, err := c.String("keep_aspect_ratio_policy", "stretch")
	if err != nil {
		return nil, err
	}
	want, known, err := c.shapeArg(3)
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		if known && c.Attr("axes") == nil && policy == "stretch" {
			return []*value{shaped(x.elem, want)}, nil
		}
		return []*value{unshaped(x.elem)}, nil
	}
	if !known {
		return []*value{c.unknownLike(x)}, nil
	}
	at = places(at, x.rank())
	if len(want) != len(at) {
		return nil, fmt.Errorf("sizes %v: want %d values, got %d", sizes, len(at), len(want))
	}
	dims := append([]num(nil), x.dims...)
	switch policy {
	case "stretch":
		for i, k := range at {
			dims[k] = want[i]
		}
	case "not_larger", "not_smaller":
		c.keepAspect(dims, want, at, policy == "not_smaller")
	default:
		return nil, fmt.Errorf("keep_aspect_ratio_policy %q is not one of stretch, not_larger, not_smaller", policy)
	}
	return []*value{shaped(x.elem, dims)}, nil
}

// keepAspect sets the resized axes of dims to one scale, the smallest or
// largest that sizes ask for.
func (c *call) keepAspect(dims, want []num, at []int, largest bool) {
	scale := math.Inf(1)
	if largest {
		scale = 0
	}
	known := true
	for i, k := range at {
		if !dims[k].known() || !want[i].known() || dims[k].coef == 0 {
			known = false
			break
		}
		s := float64(float32(want[i].coef) / float32(dims[k].coef))
		if largest {
			scale = max(scale, s)
		} else {
			scale = min(scale, s)
		}
	}
	for _, k := range at {
		if !known {
			dims[k] = c.s.unknownDim()
			continue
		}
		out := math.Floor(float64(float32(scale)*float32(dims[k].coef)) + 0.5)
		dims[k] = fixed(int64(min(out, 1<<62)))
	}
}
