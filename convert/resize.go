package convert

import (
	"fmt"
	"math"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	const becomes = "Gather on the vector (nearest) or a matrix (linear); cubic stays on tensors"
	register("Resize", operator{becomes: becomes, plan: planResize, layer: interpolates, notNegative: picksNotNegative})
	register("Upsample", operator{
		becomes: becomes, plan: planUpsample, layer: interpolates,
		notNegative: picksNotNegative,
	})
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
	mode    string // "nearest" or "linear"
	coord   string // coordinate_transformation_mode
	nearest string // nearest_mode, or beforeOpset11
	scales  []float64
}

// beforeOpset11 stands for a nearest_mode where the operator has none: floor, or
// ceil on an axis that becomes shorter. The page does not say so, the test data of
// ONNX 1.5 (resize_downsample_nearest) and ONNX Runtime do.
const beforeOpset11 = "before opset 11"

// planResize plans a change of the spatial resolution, nearest or linear.
// https://onnx.ai/onnx/operators/onnx__Resize.html, versions 10 to 19.
func planResize(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	s := sampling{coord: "half_pixel", nearest: "round_prefer_floor"}
	if s.mode, err = n.String("mode", "nearest"); err != nil {
		return nil, err
	}
	scales := 1
	if !pl.plan.has("Resize", "coordinate_transformation_mode") {
		s.coord, s.nearest = "asymmetric", beforeOpset11
	} else {
		scales = 2
		if s.coord, err = n.String("coordinate_transformation_mode", s.coord); err != nil {
			return nil, err
		}
		if s.nearest, err = n.String("nearest_mode", s.nearest); err != nil {
			return nil, err
		}
		for name, plain := range map[string]int64{"antialias": 0, "exclude_outside": 0} {
			if v, err := n.Int(name, plain); err != nil {
				return nil, err
			} else if v != plain {
				return nil, keep("%s %d has no vector form", name, v)
			}
		}
		if policy, err := n.String("keep_aspect_ratio_policy", "stretch"); err != nil {
			return nil, err
		} else if policy != "stretch" {
			return nil, keep("keep_aspect_ratio_policy %s has no vector form", policy)
		}
	}
	axes, err := n.Ints("axes")
	if err != nil {
		return nil, err
	}
	given, _, _, err := pl.floats(n, scales, "scales")
	if err != nil {
		return nil, err
	}
	if s.scales, err = resizeScales(given, axes, in.dims, out.dims); err != nil {
		return nil, err
	}
	return pl.resample(n, in, out, s)
}

// planUpsample plans the operator that Resize replaced.
// https://onnx.ai/onnx/operators/onnx__Upsample.html, versions 7 and 9.
func planUpsample(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	s := sampling{coord: "asymmetric", nearest: beforeOpset11}
	if s.mode, err = n.String("mode", "nearest"); err != nil {
		return nil, err
	}
	given, err := n.Floats("scales")
	if err != nil {
		return nil, err
	}
	if given == nil {
		if given, _, _, err = pl.floats(n, 1, "scales"); err != nil {
			return nil, err
		}
	}
	if s.scales, err = resizeScales(given, nil, in.dims, out.dims); err != nil {
		return nil, err
	}
	return pl.resample(n, in, out, s)
}

// resizeScales returns the factor of every axis but the batch: the one given,
// or the quotient of the sizes.
func resizeScales(given []float32, axes []int64, in, out []int) ([]float64, error) {
	scales := make([]float64, len(in))
	for i := range scales {
		if scales[i] = 1; in[i] > 0 {
			scales[i] = float64(out[i]) / float64(in[i])
		}
	}
	if len(given) == 0 {
		return scales, nil
	}
	if axes == nil {
		for i := range len(in) + 1 {
			axes = append(axes, int64(i))
		}
	}
	if len(given) != len(axes) {
		return nil, fmt.Errorf("scales: want %d values, got %d", len(axes), len(given))
	}
	for i, a := range axes {
		inner, err := innerAxis(a, in)
		if err != nil {
			if given[i] == 1 {
				continue
			}
			return nil, err
		}
		if !(given[i] > 0) {
			return nil, fmt.Errorf("scales %v: want positive values", given)
		}
		scales[inner] = float64(given[i])
	}
	return scales, nil
}

// resample plans a Resize or Upsample, once its attributes are read.
func (pl *planner) resample(n *onnxio.Node, in, out value, s sampling) ([]*piece, error) {
	if slices.Equal(in.dims, out.dims) && slices.ContainsFunc(s.scales, func(v float64) bool { return v != 1 }) {
		return nil, keep("factors %v that leave the lengths as they are mean different things to different runtimes",
			s.scales)
	}
	if s.mode == "nearest" {
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
	if s.mode != "linear" {
		return nil, keep("mode %s has no vector form", s.mode)
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
		axes[i] = along
		var next []float64
		for _, outer := range weights {
			for _, inner := range w {
				next = append(next, outer*inner)
			}
		}
		weights = next
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
	if (s.coord == "align_corners" || s.coord == "pytorch_half_pixel" && out <= 1) && !whole {
		// The reference implementation takes in·scale for the output's length
		// here, ONNX Runtime the whole number below it.
		return 0, keep("%s by a factor of %g of %d pixels means different things to different runtimes", s.coord,
			factor, in)
	}
	switch s.coord {
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
		return 0, keep("coordinate_transformation_mode %s has no vector form", s.coord)
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
		if at[i], err = s.round(x, scale); err != nil {
			return 0, err
		}
		at[i] = min(max(at[i], 0), in-1)
	}
	// Equal in both precisions, x is exact, unless in·scale took part in it, which
	// some round otherwise.
	rounded := false
	switch inexact := scale*float64(in) != float64(out); s.coord {
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
func (s sampling) round(x, scale float64) (int, error) {
	mode := s.nearest
	if mode == beforeOpset11 {
		if mode = "floor"; scale < 1 {
			mode = "ceil"
		}
	}
	switch mode {
	case "round_prefer_floor":
		return int(math.Ceil(x - 0.5)), nil
	case "round_prefer_ceil":
		return int(math.Floor(x + 0.5)), nil
	case "floor":
		return int(math.Floor(x)), nil
	case "ceil":
		return int(math.Ceil(x)), nil
	default:
		return 0, fmt.Errorf("nearest_mode %q: want round_prefer_floor, round_prefer_ceil, floor or ceil", mode)
	}
}
