package shape

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

func init() {
	register("Resize", op{rule: resize})
	register("Upsample", op{rule: upsample})
}

// upsample infers Upsample-7, whose scales are an attribute, and Upsample-9, whose
// scales are an input. It takes no scale below 1, by its page, and ONNX Runtime none
// either.
func upsample(c *call) ([]*value, error) {
	scales, known, err := c.scaleList()
	if err != nil {
		return nil, err
	}
	for axis, scale := range scales {
		if scale > 0 && scale < 1 {
			return nil, fmt.Errorf("scale %v of axis %d is below 1; Resize makes smaller, from opset 10 on",
				float32(scale), axis)
		}
	}
	return c.scaled(c.in[0], scales, known, nil)
}

// resize infers Resize-10, with scales, and Resize-11/13/18/19, with roi, and
// scales or sizes, whichever is not empty.
func resize(c *call) ([]*value, error) {
	x := c.in[0]
	if c.opset < 11 {
		scales, known, err := c.scaleList()
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
		list, known, err := c.scaleList()
		if err != nil {
			return nil, err
		}
		return c.scaled(x, list, known, places)
	default:
		return c.resized(x, sizes, places)
	}
}

// Resize is what a Resize or Upsample node does. Upsample, and Resize before opset 11,
// have no attribute but the mode; what stands for the others follows from their pages,
// the test data of ONNX 1.5 (resize_downsample_nearest) and ONNX Runtime.
type Resize struct {
	Mode        string // nearest, linear or cubic
	Coordinates string // coordinate_transformation_mode; asymmetric before opset 11
	// Nearest is the nearest_mode; "" before opset 11: floor, or ceil on an axis that
	// becomes shorter.
	Nearest                   string
	Antialias, ExcludeOutside bool
	AspectRatio               string    // keep_aspect_ratio_policy: stretch, not_larger or not_smaller
	Scales                    []float64 // by axis of the input; nil where the node gives sizes
}

// Resize returns what a Resize or Upsample node of the graph does. It is a
// [NotConstantError] if its scales are not known before the model runs, and an error if
// the rank of the input is not.
func (i *Info) Resize(n *onnxio.Node) (Resize, error) {
	c, err := i.call(n)
	if err != nil {
		return Resize{}, err
	}
	r, err := c.resizeModes()
	if err != nil {
		return r, err
	}
	list, known, err := c.scaleList()
	if err != nil {
		return r, err
	}
	if !known {
		return r, &NotConstantError{"scales", c.Input(c.scalesInput())}
	}
	if len(list) == 0 {
		return r, nil
	}
	at, err := c.resizeAxes()
	if err != nil {
		return r, err
	}
	r.Scales, err = c.scalesByAxis(list, at)
	return r, err
}

// resizeModes reads the attributes of a Resize or Upsample but its axes.
func (c *call) resizeModes() (Resize, error) {
	r := Resize{Coordinates: "asymmetric", AspectRatio: "stretch"}
	var err error
	if r.Mode, err = c.String("mode", "nearest"); err != nil || c.scalesInput() == 1 {
		return r, err
	}
	if r.Coordinates, err = c.String("coordinate_transformation_mode", "half_pixel"); err != nil {
		return r, err
	}
	if r.Nearest, err = c.String("nearest_mode", "round_prefer_floor"); err != nil {
		return r, err
	}
	if !slices.Contains([]string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}, r.Nearest) {
		return r, fmt.Errorf("nearest_mode %q: want round_prefer_floor, round_prefer_ceil, floor or ceil", r.Nearest)
	}
	if r.Antialias, err = c.bool("antialias", false); err != nil {
		return r, err
	}
	if r.ExcludeOutside, err = c.bool("exclude_outside", false); err != nil {
		return r, err
	}
	r.AspectRatio, err = c.String("keep_aspect_ratio_policy", "stretch")
	return r, err
}

// scalesInput returns which input the scales of a Resize or Upsample are, where they
// are one.
func (c *call) scalesInput() int {
	if c.OpType == "Upsample" || c.opset < 11 {
		return 1
	}
	return 2
}

// scaleList returns the scales as the node lists them, none if it gives sizes, and
// false if they are not known.
func (c *call) scaleList() (scales []float64, known bool, err error) {
	if c.OpType == "Upsample" && c.opset < 9 {
		list, err := c.Floats("scales")
		if err != nil {
			return nil, false, err
		}
		if list == nil {
			return nil, false, errors.New("attribute scales is missing")
		}
		for _, v := range list {
			scales = append(scales, float64(v))
		}
		return scales, true, nil
	}
	if v := c.in[c.scalesInput()]; !empty(v) {
		return v.numbers()
	}
	return nil, true, nil
}

// scalesByAxis returns the scale of every axis of the input, whose rank is known, from
// those of the axes at, of all for nil. One that is not listed stays as it is.
func (c *call) scalesByAxis(list []float64, at []int) ([]float64, error) {
	rank := c.in[0].rank()
	at = places(at, rank)
	if len(list) != len(at) {
		return nil, fmt.Errorf("scales %v: want %d values, got %d", list, len(at), len(list))
	}
	scales := slices.Repeat([]float64{1}, rank)
	for i, k := range at {
		if !(list[i] > 0) || math.IsInf(list[i], 0) {
			return nil, fmt.Errorf("scale %v of axis %d is not above 0", list[i], k)
		}
		scales[k] = list[i]
	}
	return scales, nil
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
func (c *call) scaled(x *value, list []float64, known bool, at []int) ([]*value, error) {
	if !x.ranked || !known {
		return []*value{c.unknownLike(x)}, nil
	}
	scales, err := c.scalesByAxis(list, at)
	if err != nil {
		return nil, err
	}
	dims := append([]num(nil), x.dims...)
	for k, scale := range scales {
		d := dims[k]
		switch {
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
