package verify

import (
	"fmt"
	"math/big"

	"efcn/onnxio"
)

// resampled lists the indices that a nearest Resize or Upsample picks of every
// axis. Coordinates are exact fractions: where runtimes round otherwise, and take
// another index, no converter may have decided for one.
// https://onnx.ai/onnx/operators/onnx__Resize.html, versions 10 to 19;
// https://onnx.ai/onnx/operators/onnx__Upsample.html, versions 7 and 9.
func resampled(s *structure, node *onnxio.Node, _ int, in []int) ([][]int, error) {
	r, err := resizeOf(s.cnn, node)
	if err != nil {
		return nil, err
	}
	if r.mode != "nearest" {
		return nil, fmt.Errorf("mode %s gives elements that are none of its input", r.mode)
	}
	out := s.shapes[node.Output(0)]
	if len(out) != len(in) {
		return nil, fmt.Errorf("shape %v of the output for an input %v", out, in)
	}
	if !r.old {
		for _, name := range []string{"antialias", "exclude_outside"} {
			if v, err := node.Int(name, 0); err != nil {
				return nil, err
			} else if v != 0 {
				return nil, fmt.Errorf("%s %d has no meaning for mode nearest", name, v)
			}
		}
	}
	scales, err := r.ratios(s.cnn, node, in, out)
	if err != nil {
		return nil, err
	}
	lists := everything(in)
	for axis, scale := range scales {
		one := scale.Cmp(big.NewRat(1, 1))
		if one == 0 && in[axis] == out[axis] {
			continue // ONNX Runtime has it so for tf_half_pixel_for_nn too, which the page leaves open
		}
		nearest := r.nearest
		if r.old {
			// Where there is no nearest_mode, ONNX 1.5's test data and ONNX Runtime take the
			// element above on an axis that becomes shorter, the one below on any other.
			if nearest = "floor"; one < 0 {
				nearest = "ceil"
			}
		}
		lists[axis] = make([]int, out[axis])
		for p := range lists[axis] {
			x, err := original(r.coordinate, int64(p), int64(in[axis]), int64(out[axis]), scale)
			if err != nil {
				return nil, err
			}
			at, err := rounded(nearest, x)
			if err != nil {
				return nil, err
			}
			lists[axis][p] = int(max(0, min(at, int64(in[axis])-1)))
		}
	}
	return lists, nil
}

// ratios returns the scale of every axis: the float32 given or, where sizes are
// given, the quotient of the lengths, with a policy one for all axes that are
// named. The lengths of the output have to follow from them.
func (r *resize) ratios(n *net, node *onnxio.Node, in, out []int) ([]*big.Rat, error) {
	given, err := r.scales(n, node)
	if err != nil {
		return nil, err
	}
	var sizes []int64
	if !r.old && len(given) == 0 {
		if sizes, err = n.list(node, "", 3); err != nil {
			return nil, err
		}
	}
	axes := r.allAxes(len(in))
	if len(given)+len(sizes) != len(axes) {
		return nil, fmt.Errorf("%d scales and %d sizes for %d axes", len(given), len(sizes), len(axes))
	}
	scales := make([]*big.Rat, len(in))
	for axis := range scales {
		scales[axis] = big.NewRat(1, 1)
	}
	var scaled []int // axes
	for i, number := range axes {
		axis, err := axisOf(number, len(in))
		if err != nil {
			return nil, err
		}
		scale := new(big.Rat)
		switch {
		case sizes == nil && scale.SetFloat64(float64(given[i])) == nil, in[axis] == 0:
			return nil, fmt.Errorf("scales %v, sizes %v of shape %v", given, sizes, in)
		case axis == 0 && r.policy != "stretch":
			return nil, fmt.Errorf("keep_aspect_ratio_policy %s scales the batch", r.policy)
		case axis == 0 && sizes != nil: // a batch, of which one sample is looked at
			continue
		case sizes != nil:
			scale.SetFrac64(sizes[i], int64(in[axis]))
		}
		if scale.Sign() <= 0 {
			return nil, fmt.Errorf("scale %v of axis %d", scale, axis)
		}
		scales[axis] = scale
		scaled = append(scaled, axis)
	}
	if sizes != nil {
		if err := r.keepAspect(scales, scaled); err != nil {
			return nil, err
		}
	}
	return scales, fitLengths(scales, in, out, sizes != nil)
}

// keepAspect gives the axes that are scaled one scale, the least or the greatest, as
// the policy says.
func (r *resize) keepAspect(scales []*big.Rat, axes []int) error {
	if r.policy == "stretch" {
		return nil
	}
	if r.policy != "not_larger" && r.policy != "not_smaller" {
		return fmt.Errorf("keep_aspect_ratio_policy %q is unknown", r.policy)
	}
	var all *big.Rat
	for _, axis := range axes {
		if all == nil || (scales[axis].Cmp(all) < 0) == (r.policy == "not_larger") {
			all = scales[axis]
		}
	}
	for _, axis := range axes {
		scales[axis] = all
	}
	return nil
}

// fitLengths returns an error if a length of the output does not follow from that of
// the input. It is the floor of in·scale in float32, with a policy rounded, and of
// sizes exact: less than one away, but for that rounding.
func fitLengths(scales []*big.Rat, in, out []int, bySizes bool) error {
	for axis, scale := range scales {
		length := new(big.Rat).Mul(scale, big.NewRat(int64(in[axis]), 1))
		off, _ := new(big.Rat).Sub(length, big.NewRat(int64(out[axis]), 1)).Float64()
		if (axis > 0 || !bySizes) && (off >= 1 || off < -0.5-0x1p-23*float64(out[axis])) {
			return fmt.Errorf("scale %v of an axis of %d does not give %d", scale, in[axis], out[axis])
		}
	}
	return nil
}

// original is where output index p of an axis lies in the input.
func original(mode string, p, in, out int64, scale *big.Rat) (*big.Rat, error) {
	whole, half := func(v int64) *big.Rat { return big.NewRat(v, 1) }, big.NewRat(1, 2)
	x := whole(p)
	switch mode {
	case "asymmetric":
		return x.Quo(x, scale), nil
	case "tf_half_pixel_for_nn":
		return x.Quo(x.Add(x, half), scale), nil
	case "align_corners":
		if out == 1 {
			return whole(0), nil
		}
		return x.Mul(x, big.NewRat(in-1, out-1)), nil
	case "pytorch_half_pixel":
		if out == 1 {
			return whole(0), nil
		}
	case "half_pixel":
	case "half_pixel_symmetric":
		filled := new(big.Rat).Quo(whole(out), new(big.Rat).Mul(whole(in), scale))
		offset := new(big.Rat).Mul(big.NewRat(in, 2), filled.Sub(whole(1), filled))
		x.Quo(x.Add(x, half), scale)
		return x.Sub(x.Add(x, offset), half), nil
	default:
		return nil, fmt.Errorf("coordinate_transformation_mode %q: what it selects is not worked out here", mode)
	}
	x.Quo(x.Add(x, half), scale)
	return x.Sub(x, half), nil
}

// rounded is the index nearest to x.
func rounded(mode string, x *big.Rat) (int64, error) {
	half := big.NewRat(1, 2)
	floor := func(x *big.Rat) int64 { return new(big.Int).Div(x.Num(), x.Denom()).Int64() }
	ceil := func(x *big.Rat) int64 { return -floor(new(big.Rat).Neg(x)) }
	switch mode {
	case "floor":
		return floor(x), nil
	case "ceil":
		return ceil(x), nil
	case "round_prefer_floor":
		return ceil(new(big.Rat).Sub(x, half)), nil
	case "round_prefer_ceil":
		return floor(new(big.Rat).Add(x, half)), nil
	default:
		return 0, fmt.Errorf("nearest_mode %q is unknown", mode)
	}
}
