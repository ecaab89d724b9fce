package convert

import (
	"math"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func init() {
	const becomes = "Gather on the vector (nearest) or a matrix (linear); cubic stays on tensors"
	for _, name := range []string{"Resize", "Upsample"} {
		register(name, operator{
			becomes: becomes, plan: planResize, layer: interpolates, notNegative: picksNotNegative,
		})
	}
}

// interpolates reports whether the result is more than a selection.
func interpolates(_ *planner, n *onnxio.Node) bool {
	mode, err := n.String("mode", "nearest")
	return err == nil && mode != "nearest"
}

// picksNotNegative reports whether the result is a selection from what is not negative.
func picksNotNegative(pl *planner, n *onnxio.Node) bool {
	mode, err := n.String("mode", "nearest")
	coord, e := n.String("coordinate_transformation_mode", "")
	return err == nil && e == nil && mode == "nearest" && coord != "tf_crop_and_resize" && pl.notNegative(n.Input(0))
}

// sampling is how a Resize finds the input positions of an output position.
type sampling struct {
	shape.Resize
	scales []float64 // by axis of one sample
}

// planResize plans a change of the spatial resolution, nearest or linear.
// https://onnx.ai/onnx/operators/onnx__Resize.html, versions 10 to 19, and
// https://onnx.ai/onnx/operators/onnx__Upsample.html, versions 7 and 9.
func planResize(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	r, err := pl.plan.info.Resize(n)
	switch {
	case err != nil:
		return nil, orKeep(err)
	case r.Antialias:
		return nil, keep("antialias 1 has no vector form")
	case r.ExcludeOutside:
		return nil, keep("exclude_outside 1 has no vector form")
	case r.AspectRatio != "stretch":
		return nil, keep("keep_aspect_ratio_policy %s has no vector form", r.AspectRatio)
	}
	s := sampling{Resize: r}
	if r.Scales == nil {
		s.scales = quotients(in.dims, out.dims)
	} else if s.scales = r.Scales[1:]; r.Scales[0] != 1 {
		return nil, keep("it works along the batch axis")
	}
	return pl.resample(n, in, out, s)
}

// quotients returns the factors that follow from sizes, by axis.
func quotients(in, out []int) []float64 {
	scales := make([]float64, len(in))
	for i := range scales {
		if scales[i] = 1; in[i] > 0 {
			scales[i] = float64(out[i]) / float64(in[i])
		}
	}
	return scales
}

// resample plans a Resize or Upsample, once its attributes are read.
func (pl *planner) resample(n *onnxio.Node, in, out value, s sampling) ([]*piece, error) {
	if slices.Equal(in.dims, out.dims) && slices.ContainsFunc(s.scales, func(v float64) bool { return v != 1 }) {
		return nil, keep("factors %v that leave the lengths as they are mean different things to different runtimes",
			s.scales)
	}
	if s.Mode == "nearest" {
		sel := affine.Everything(in.dims)
		for axis := range in.dims {
			// With scale 1 an axis is what it was, in ONNX Runtime too, even where the
			// formula of tf_half_pixel_for_nn would move it by half a pixel.
			if s.scales[axis] == 1 && in.dims[axis] == out.dims[axis] {
				continue
			}
			index := make([]int, out.dims[axis])
			for p := range index {
				at, err := s.nearestTo(p, in.dims[axis], out.dims[axis], s.scales[axis])
				if err != nil {
					return nil, err
				}
				index[p] = at
			}
			sel = sel.Along(axis, index)
		}
		return pl.selectFrom(n, n.Output(0), sel, 0)
	}
	if s.Mode != "linear" {
		return nil, keep("mode %s has no vector form", s.Mode)
	}
	if len(in.dims) < 2 || in.dims[0] != out.dims[0] || s.scales[0] != 1 {
		return nil, keep("it interpolates between channels")
	}
	axes := make([]affine.Axis, len(in.dims)-1)
	weights := []float64{1}
	for i := range axes {
		along, w, err := s.linearAxis(in.dims[i+1], out.dims[i+1], s.scales[i+1])
		if err != nil {
			return nil, err
		}
		axes[i], weights = along, products(weights, w)
	}
	m := &affine.Map{Groups: in.dims[0], InChannels: in.dims[0], OutChannels: in.dims[0], Taps: affine.NewTaps(axes)}
	for range in.dims[0] {
		for _, w := range weights {
			m.Kernel = append(m.Kernel, float32(w))
			m.Exact = append(m.Exact, w)
		}
	}
	return pl.embed(n, m, vectorRecord(in, out), 0, false)
}

// products returns the products of a's with b's elements, b's varying first.
func products(a, b []float64) []float64 {
	var all []float64
	for _, outer := range a {
		for _, inner := range b {
			all = append(all, outer*inner)
		}
	}
	return all
}

// linearAxis returns the taps of linear interpolation along an axis, and their
// coefficients: each distinct weight once.
func (s sampling) linearAxis(in, out int, scale float64) (affine.Axis, []float64, error) {
	a := affine.Axis{In: in, Taps: make([][]affine.Tap, out)}
	if scale == 1 && in == out { // as for mode nearest
		for p := range out {
			a.Taps[p] = []affine.Tap{{In: int32(p)}}
		}
		a.Coefs = 1
		return a, []float64{1}, nil
	}
	var weights []float64
	number := make(map[float64]int)
	tap := func(p, q int, w float64) {
		if w == 0 {
			return
		}
		if _, ok := number[w]; !ok {
			number[w] = len(weights)
			weights = append(weights, w)
		}
		a.Taps[p] = append(a.Taps[p], affine.Tap{In: int32(q), Coef: int32(number[w])})
	}
	for p := range out {
		x, err := coordinate[float64](s, p, in, out, scale)
		if err != nil {
			return a, nil, err
		}
		x = min(max(x, 0), float64(in-1))
		q := int(x)
		share := x - float64(q)
		tap(p, q, 1-share)
		tap(p, q+1, share)
	}
	a.Coefs = len(weights)
	return a, weights, nil
}

// coordinate returns the position in the input that output position p of an
// axis comes from, by the formulas of the operator's page, which are evaluated
// in the precision of T.
func coordinate[T float32 | float64](s sampling, p, in, out int, factor float64) (T, error) {
	x, length, scale := T(p), T(in), T(factor)
	whole := math.Abs(float64(in)*factor-float64(out)) < 1e-3
	if (s.Coordinates == "align_corners" || s.Coordinates == "pytorch_half_pixel" && out <= 1) && !whole {
		// The reference implementation takes in·scale for the output's length
		// here, ONNX Runtime the whole number below it.
		return 0, keep("%s by a factor of %g of %d pixels means different things to different runtimes", s.Coordinates,
			factor, in)
	}
	switch s.Coordinates {
	case "half_pixel":
		return T((x+0.5)/scale) - 0.5, nil
	case "half_pixel_symmetric":
		// The output may be smaller than in·scale by a fraction of a pixel, which
		// is shared out on both sides.
		return T(length/2*T(1-T(out)/T(scale*length))) + T((x+0.5)/scale) - 0.5, nil
	case "pytorch_half_pixel":
		if out <= 1 {
			return 0, nil
		}
		return T((x+0.5)/scale) - 0.5, nil
	case "align_corners":
		if out <= 1 {
			return 0, nil
		}
		return T(x*(length-1)) / T(out-1), nil
	case "asymmetric":
		return x / scale, nil
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / scale, nil
	default:
		return 0, keep("coordinate_transformation_mode %s has no vector form", s.Coordinates)
	}
}

// nearestTo returns the index that output position p of an axis takes. What lies
// near the middle of two pixels, or near one of them for floor and ceil, is decided
// by rounding, which runtimes do in float32 and the reference implementation in
// float64: where that could make a difference, the node is kept.
func (s sampling) nearestTo(p, in, out int, scale float64) (int, error) {
	x, err := coordinate[float64](s, p, in, out, scale)
	if err != nil {
		return 0, err
	}
	single, err := coordinate[float32](s, p, in, out, scale)
	if err != nil {
		return 0, err
	}
	var at [3]int
	slack := 8 * 0x1p-24 * float64(max(in, out)) // of a few operations in float32
	for i, x := range []float64{x - slack, x, x + slack} {
		at[i] = min(max(s.round(x, scale), 0), in-1)
	}
	// Equal in both precisions, x is exact, unless in·scale took part in it, which
	// some round otherwise.
	rounded := false
	switch inexact := scale*float64(in) != float64(out); s.Coordinates {
	case "align_corners":
		rounded = inexact
	case "half_pixel_symmetric":
		rounded = inexact || float64(float32(scale)) != scale
	}
	if at[0] != at[2] && (float64(single) != x || rounded) {
		return 0, keep("rounding decides which pixel is the nearest to pixel %d of %d, for which runtimes differ", p,
			out)
	}
	return at[1], nil
}

// round returns the index of the nearest position.
func (s sampling) round(x, scale float64) int {
	mode := s.Nearest
	if mode == "" {
		if mode = "floor"; scale < 1 {
			mode = "ceil"
		}
	}
	switch mode {
	case "round_prefer_floor":
		return int(math.Ceil(x - 0.5))
	case "round_prefer_ceil":
		return int(math.Floor(x + 0.5))
	case "floor":
		return int(math.Floor(x))
	default: // ceil
		return int(math.Ceil(x))
	}
}
