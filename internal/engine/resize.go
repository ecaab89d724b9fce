package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/internal/kernel"
)

// Resize and Upsample (https://onnx.ai/onnx/operators/onnx__Resize.html) in every
// mode. Upsample, and Resize in version 10, are the asymmetric mode with the
// nearest element below or, on an axis that becomes shorter, above: the page does
// not say so, the test data of ONNX 1.5 (resize_downsample_nearest) and ONNX
// Runtime do.
func init() {
	register(operator{
		name: "Resize",
		limits: "integers in mode nearest only; align_corners with scales that give no whole length as in the " +
			"reference implementation, not as in ONNX Runtime", inputs: "vvfi",
	}, resize[float32], resize[float64])
	register(operator{name: "Upsample", inputs: "vf"}, upsample[float32], upsample[float64])
}

// sampling holds the attributes of a Resize.
type sampling struct {
	mode, coordinates, nearest, policy string // nearest may be beforeOpset11
	cubicA, extrapolation              float64
	excludeOutside, antialias          bool
	axes                               []int64 // nil for all
}

// beforeOpset11 stands for a nearest_mode where the operator has none: the
// element below, or above on an axis whose scale is less than 1.
const beforeOpset11 = "before opset 11"

func upsample[T kernel.Float](n *node) (compute[T], error) {
	s := sampling{
		mode: n.string("mode", "nearest", "linear", "bilinear"), coordinates: "asymmetric",
		nearest: beforeOpset11,
	}
	if s.mode == "bilinear" {
		s.mode = "linear"
	}
	if n.version < 9 {
		n.need("scales")
		scales := n.floats("scales")
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			return one(x.upsample(s, in[0], scales))
		}, nil
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		return one(x.upsample(s, in[0], single(in[1])))
	}, nil
}

// upsample is resize by scales, none of which may be below 1.
func (x *exec[T]) upsample(s sampling, v *Tensor[T], scales []float32) (*Tensor[T], error) {
	for axis, scale := range scales {
		if scale > 0 && scale < 1 {
			return nil, fmt.Errorf("scale %v of axis %d is below 1; Resize makes smaller, from opset 10 on", scale,
				axis)
		}
	}
	return x.resize(s, v, scales, nil, nil)
}

func resize[T kernel.Float](n *node) (compute[T], error) {
	if n.version < 11 {
		s := sampling{mode: n.string("mode", "nearest", "linear"), coordinates: "asymmetric", nearest: beforeOpset11}
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			return one(x.resize(s, in[0], single(in[1]), nil, nil))
		}, nil
	}
	s := sampling{
		mode: n.string("mode", "nearest", "linear", "cubic"),
		coordinates: n.string("coordinate_transformation_mode", "half_pixel", "pytorch_half_pixel",
			"align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize", "half_pixel_symmetric"),
		nearest:        n.string("nearest_mode", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
		cubicA:         n.float("cubic_coeff_a", -0.75),
		extrapolation:  n.float("extrapolation_value", 0),
		excludeOutside: n.flag("exclude_outside", false),
	}
	if n.version >= 18 {
		s.antialias, s.axes = n.flag("antialias", false), n.ints("axes")
		s.policy = n.string("keep_aspect_ratio_policy", "stretch", "not_larger", "not_smaller")
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		if in[1] != nil && !in[1].Type.IsFloat() {
			return nil, fmt.Errorf("roi is %s; want floating point", in[1].Type)
		}
		scales, roi := single(in[2]), single(in[1])
		var sizes []int64
		if in[3] != nil {
			sizes = in[3].I
		}
		return one(x.resize(s, in[0], scales, sizes, roi))
	}, nil
}

// single returns the elements in float32, the precision in which scales are
// declared and coordinates computed, nil for an input left out.
func single[T kernel.Float](t *Tensor[T]) []float32 {
	if t == nil {
		return nil
	}
	out := make([]float32, len(t.F))
	for i, v := range t.F {
		out[i] = float32(v)
	}
	return out
}

// resample is what one axis of a Resize does.
type resample struct {
	size  int
	scale float32
	roi   [2]float32
}

func (x *exec[T]) resize(s sampling, v *Tensor[T], scales []float32, sizes []int64, roi []float32) (*Tensor[T], error) {
	plan, err := s.plan(v.Shape, scales, sizes, roi)
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(plan))
	for a, p := range plan {
		shape[a] = p.size
	}
	if n, err := count(shape, x.elements); err != nil || n == 0 {
		return x.alloc(v.Type, shape)
	}
	if v.Len() == 0 {
		return nil, fmt.Errorf("input of shape %v is empty", v.Shape)
	}
	tables, outside := s.nearestElements(v.Shape, plan)
	switch {
	case x.resampled != nil:
		return nil, x.resampled(s, v.Shape, plan, outside)
	case s.mode == "nearest":
		return x.taken(v, shape, tables, s.extrapolation)
	case !v.Type.IsFloat():
		return nil, fmt.Errorf("%s needs mode nearest", v.Type)
	}
	y := v
	for a, p := range plan {
		if s.stays(v.Shape[a], p) {
			continue
		}
		if y, err = x.interpolate(s, y, a, p); err != nil {
			return nil, err
		}
	}
	if s.coordinates != "tf_crop_and_resize" {
		return y, nil
	}
	for a, table := range tables {
		for i := range table {
			if table[i] = i; outside[a][i] {
				table[i] = -1
			}
		}
	}
	return x.taken(y, shape, tables, s.extrapolation)
}

// nearestElements returns, by axis of the input, the element that every index of the
// result is nearest to, -1 for one off the input, and which those are.
func (s sampling) nearestElements(in []int, plan []resample) (tables [][]int, outside [][]bool) {
	tables, outside = make([][]int, len(plan)), make([][]bool, len(plan))
	for a, p := range plan {
		tables[a], outside[a] = make([]int, p.size), make([]bool, p.size)
		for i := range p.size {
			if s.stays(in[a], p) {
				tables[a][i] = i
				continue
			}
			at := s.coordinate(i, in[a], p)
			outside[a][i] = s.coordinates == "tf_crop_and_resize" && (at < 0 || at > float32(in[a]-1))
			tables[a][i] = s.nearestTo(at, in[a], p.scale)
			if outside[a][i] {
				tables[a][i] = -1
			}
		}
	}
	return tables, outside
}

// taken returns the elements of v that tables lists by axis, with fill for -1.
func (x *exec[T]) taken(v *Tensor[T], shape []int, tables [][]int, fill float64) (*Tensor[T], error) {
	y, err := x.alloc(v.Type, shape)
	if err != nil {
		return nil, err
	}
	if v.Type.IsFloat() {
		takeGrid(y.F, v.F, v.Shape, tables, T(fill))
	} else {
		takeGrid(y.I, v.I, v.Shape, tables, int64(fill))
	}
	return y, nil
}

// stays reports whether an axis of d elements is as it was. With scale 1 it is, in
// ONNX Runtime too, even where the formula of tf_half_pixel_for_nn would move
// it by half an element.
func (s sampling) stays(d int, p resample) bool {
	return p.size == d && p.scale == 1 && s.coordinates != "tf_crop_and_resize"
}

// plan works out size and scale of every axis.
func (s sampling) plan(shape []int, scales []float32, sizes []int64, roi []float32) ([]resample, error) {
	plan := make([]resample, len(shape))
	for a, d := range shape {
		plan[a] = resample{size: d, scale: 1, roi: [2]float32{0, 1}}
	}
	axes := s.axes
	if axes == nil {
		for a := range shape {
			axes = append(axes, int64(a))
		}
	}
	if _, err := axisSet(axes, len(shape)); err != nil {
		return nil, err
	}
	bySize := len(scales) == 0
	if bySize && len(sizes) != len(axes) || !bySize && len(scales) != len(axes) {
		return nil, fmt.Errorf("%d scales and %d sizes; want one or the other for %d axes", len(scales), len(sizes),
			len(axes))
	}
	if s.coordinates == "tf_crop_and_resize" && len(roi) != 2*len(axes) {
		return nil, fmt.Errorf("roi has %d values; want %d", len(roi), 2*len(axes))
	}
	for k, axis := range axes {
		a, _ := axisIndex(axis, len(shape))
		p, d := &plan[a], shape[a]
		if s.coordinates == "tf_crop_and_resize" {
			p.roi = [2]float32{roi[k], roi[k+len(axes)]}
		}
		if bySize {
			if sizes[k] < 0 || sizes[k] > maxElements || d == 0 {
				return nil, fmt.Errorf("size %d for an axis of %d", sizes[k], d)
			}
			p.size = int(sizes[k])
			p.scale = float32(p.size) / float32(d)
			continue
		}
		p.scale = scales[k]
		size := math.Floor(float64(p.scale * float32(d)))
		if !(p.scale > 0) || size > maxElements {
			return nil, fmt.Errorf("scale %v of an axis of %d is out of range", p.scale, d)
		}
		p.size = int(size)
	}
	if bySize && s.policy != "" && s.policy != "stretch" {
		return plan, s.keepRatio(plan, shape, axes)
	}
	return plan, nil
}

// keepRatio makes all scales the least (not_larger) or the greatest.
func (s sampling) keepRatio(plan []resample, shape []int, axes []int64) error {
	var scale float64
	for k, axis := range axes {
		a, _ := axisIndex(axis, len(shape))
		r := float64(plan[a].size) / float64(shape[a])
		if k == 0 || s.policy == "not_larger" && r < scale || s.policy == "not_smaller" && r > scale {
			scale = r
		}
	}
	for _, axis := range axes {
		a, _ := axisIndex(axis, len(shape))
		size := math.Floor(scale*float64(shape[a]) + 0.5)
		if size > maxElements {
			return fmt.Errorf("scale %v of an axis of %d is out of range", scale, shape[a])
		}
		plan[a].size, plan[a].scale = int(size), float32(scale)
	}
	return nil
}

// coordinate maps index i of a result to where it lies on an axis of d elements.
func (s sampling) coordinate(i, d int, p resample) float32 {
	x, in := float32(i), float32(d)
	out := p.scale * in
	if math.Abs(float64(out)-float64(p.size)) < 1e-3 { // the scale came from a size, and was rounded
		out = float32(p.size)
	}
	switch s.coordinates {
	case "align_corners":
		if out == 1 {
			return 0
		}
		return x * (in - 1) / (out - 1)
	case "asymmetric":
		return x / p.scale
	case "pytorch_half_pixel":
		if out == 1 {
			return -0.5
		}
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / p.scale
	case "half_pixel_symmetric":
		// With the roundings of ONNX Runtime.
		offset := in / 2 * (1 - float32(p.size)/(p.scale*in))
		return float32(float64(offset) + (float64(x)+0.5)/float64(p.scale) - 0.5)
	case "tf_crop_and_resize":
		if out == 1 {
			return (p.roi[0] + p.roi[1]) * (in - 1) / 2
		}
		return p.roi[0]*(in-1) + x*(p.roi[1]-p.roi[0])*(in-1)/(out-1)
	}
	return (x+0.5)/p.scale - 0.5
}

// nearestTo returns the element that mode nearest takes.
func (s sampling) nearestTo(at float32, d int, scale float32) int {
	x := float64(at)
	mode := s.nearest
	if mode == beforeOpset11 {
		if mode = "floor"; scale < 1 {
			mode = "ceil"
		}
	}
	switch mode {
	case "floor":
		x = math.Floor(x)
	case "ceil":
		x = math.Ceil(x)
	case "round_prefer_ceil":
		x = math.Floor(x + 0.5)
	default:
		x = math.Ceil(x - 0.5)
	}
	if math.IsNaN(x) { // of a region that is not a number
		return 0
	}
	return int(max(0, min(x, float64(d-1))))
}

// interpolate resamples one axis by weighted sums of its elements.
func (x *exec[T]) interpolate(s sampling, v *Tensor[T], axis int, p resample) (*Tensor[T], error) {
	shape := slices.Clone(v.Shape)
	shape[axis] = p.size
	y, err := x.alloc(v.Type, shape)
	if err != nil || len(y.F) == 0 {
		return y, err
	}
	outer, d, inner := around(v.Shape, axis)
	from, weights, err := taps[T](s, d, p)
	if err != nil {
		return nil, err
	}
	kernel.Parallel(outer*p.size, max(1, rowGrain/inner), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			o, i := r/p.size, r%p.size
			dst := y.F[r*inner : (r+1)*inner]
			for k, at := range from[i] {
				w := weights[i][k]
				src := v.F[(o*d+at)*inner : (o*d+at+1)*inner]
				for j, e := range src {
					dst[j] += w * e
				}
			}
		}
	})
	return y, nil
}

// taps returns the elements of an axis of d that each result is made of, and their
// weights.
func taps[T kernel.Float](s sampling, d int, p resample) (from [][]int, weights [][]T, err error) {
	from, weights = make([][]int, p.size), make([][]T, p.size)
	for i := range p.size {
		first, w := s.weights(s.coordinate(i, d, p), p.scale)
		if len(w) > maxFootprint {
			return nil, nil, errors.New("the antialiasing filter is too wide")
		}
		total := 0.0
		for k, c := range w {
			if at := first + k; s.excludeOutside && (at < 0 || at >= d) {
				w[k] = 0
			} else {
				total += c
			}
		}
		for k, c := range w {
			if s.excludeOutside {
				c /= total
			}
			if c != 0 {
				from[i] = append(from[i], max(0, min(first+k, d-1)))
				weights[i] = append(weights[i], T(c))
			}
		}
	}
	return from, weights, nil
}

// maxFootprint bounds the elements that one antialiased result takes in.
const maxFootprint = 1 << 20

// weights returns the filter at a coordinate: its first element, which may lie
// off the axis, and the weight of each.
func (s sampling) weights(at, scale float32) (first int, w []float64) {
	floor := math.Floor(float64(at))
	r := float64(at) - floor
	first = int(floor)
	if !s.antialias || scale >= 1 {
		if s.mode == "linear" {
			return first, []float64{1 - r, r}
		}
		return first - 1, []float64{s.cubic(1 + r), s.cubic(r), s.cubic(1 - r), s.cubic(2 - r)}
	}
	radius, filter := 1.0, func(x float64) float64 { return max(0, 1-math.Abs(x)) }
	if s.mode == "cubic" {
		radius, filter = 2, s.cubic
	}
	start := int(math.Floor(-radius/float64(scale))) + 1
	if 2-2*start > maxFootprint {
		return first, make([]float64, maxFootprint+1)
	}
	total := 0.0
	for i := start; i < 2-start; i++ {
		c := filter((float64(i) - r) * float64(scale))
		w = append(w, c)
		total += c
	}
	for i := range w {
		w[i] /= total
	}
	return first + start, w
}

// cubic is the convolution kernel of Keys with parameter cubic_coeff_a.
func (s sampling) cubic(x float64) float64 {
	a := s.cubicA
	x = math.Abs(x)
	switch {
	case x <= 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((a*x-5*a)*x+8*a)*x - 4*a
	default:
		return 0
	}
}
