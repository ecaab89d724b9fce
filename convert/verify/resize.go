package verify

import (
	"errors"
	"fmt"
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Resize.html
// https://onnx.ai/onnx/operators/onnx__Upsample.html
func init() {
	for _, op := range []operator{
		{name: "Resize", defaults: always(spelling{
			"mode": `"nearest"`, "coordinate_transformation_mode": `"half_pixel"`,
			"nearest_mode":  `"round_prefer_floor"`,
			"cubic_coeff_a": "-0.75", "exclude_outside": "0", "extrapolation_value": "0", "antialias": "0",
			"keep_aspect_ratio_policy": `"stretch"`,
		})},
		{name: "Upsample", defaults: always(spelling{"mode": `"nearest"`})},
	} {
		op.matrix, op.selection, op.interpolates = resizeMatrix, picks(resampled), resizeInterpolates
		op.moves, op.rounds, op.notNegative, op.integers = &movement{}, resizeRounds, resizeNotNegative, shaping
		register(op)
	}
}

// resize is what the attributes of a Resize or an Upsample say.
type resize struct {
	mode string
	// old claims that the positions are those of Upsample, and of Resize before opset 11.
	old                         bool
	coordinate, nearest, policy string
	axes                        []int64 // of scales and sizes; nil for all
}

func resizeOf(n *net, node *onnxio.Node) (*resize, error) {
	r := &resize{old: node.OpType == "Upsample" || n.opset < 11, coordinate: "asymmetric"}
	mode, errMode := node.String("mode", "nearest")
	policy, errPolicy := node.String("keep_aspect_ratio_policy", "stretch")
	axes, errAxes := node.Ints("axes")
	r.mode, r.policy, r.axes = mode, policy, axes
	if err := errors.Join(errMode, errPolicy, errAxes); err != nil || r.old {
		return r, err
	}
	var errCoordinate, errNearest error
	r.coordinate, errCoordinate = node.String("coordinate_transformation_mode", "half_pixel")
	r.nearest, errNearest = node.String("nearest_mode", "round_prefer_floor")
	return r, errors.Join(errCoordinate, errNearest)
}

// allAxes returns the axes of scales and sizes of a value with rank axes.
func (r *resize) allAxes(rank int) []int64 {
	axes := r.axes
	for i := range rank {
		if r.axes == nil {
			axes = append(axes, int64(i))
		}
	}
	return axes
}

// scales returns those that are given, an attribute or an input; none where sizes are.
func (r *resize) scales(n *net, node *onnxio.Node) ([]float32, error) {
	given, err := node.Floats("scales")
	if given != nil || err != nil {
		return given, err
	}
	at := 2
	if r.old {
		at = 1
	}
	given, _, _, err = n.floats(node, at)
	return given, err
}

// resizeSlack is how far rounding in float64 may bring two computations of a
// position on an axis of that length apart, and with it an interpolation weight.
func resizeSlack(length int) float64 { return 8 * 0x1p-53 * float64(max(length, 1)) }

// resizeMatrix: the entry of output (c,p) and input (c,q) is the product over
// the axes of the weights that linear interpolation at the position of p gives
// to q. The weights are computed in float64, by formulas that may be evaluated
// in different ways, so an entry may be off by what resizeSlack says before its
// one rounding.
// https://onnx.ai/onnx/operators/onnx__Resize.html
func resizeMatrix(n *net, node *onnxio.Node, in, out []int) (*matrix, error) {
	r, err := resizeOf(n, node)
	if err != nil {
		return nil, err
	}
	if r.mode != "linear" || len(in) < 3 || len(in) != len(out) || in[1] != out[1] {
		return nil, errNoMatrix
	}
	scales, err := r.scalesOf(n, node, in, out)
	if err != nil {
		return nil, err
	}
	spatialIn, spatialOut := in[2:], out[2:]
	positions, points := product(spatialOut), product(spatialIn)
	slack := 0.0
	type share struct {
		q int
		w float64
	}
	shares := make([][][]share, len(spatialIn)) // by axis and output: the inputs it is between
	for i, length := range spatialIn {
		slack += resizeSlack(max(length, spatialOut[i]))
		for p := range spatialOut[i] {
			x, ok := resizePosition(r.coordinate, float64(p), float64(length), float64(spatialOut[i]), scales[i+2])
			if !ok {
				return nil, errNoMatrix
			}
			x = math.Max(0, math.Min(x, float64(length-1)))
			left := int(x)
			between := []share{{left, 1 - (x - float64(left))}}
			if left+1 < length && x > float64(left) {
				between = append(between, share{left + 1, x - float64(left)})
			}
			shares[i] = append(shares[i], between)
		}
	}
	return &matrix{
		rows: in[1] * positions, cols: in[1] * points, fuzz: slack,
		entries: func(r int, entry func(int, float64, float64)) {
			at := unravel(r%positions, spatialOut)
			row := []share{{r / positions, 1}} // grows axis by axis, the last running fastest
			for i, length := range spatialIn {
				var next []share
				for _, outer := range row {
					for _, inner := range shares[i][at[i]] {
						next = append(next, share{outer.q*length + inner.q, outer.w * inner.w})
					}
				}
				row = next
			}
			for _, e := range row {
				entry(e.q, e.w, slack)
			}
		},
	}, nil
}

// resizePosition is where on the input axis output index p lies.
func resizePosition(coord string, p, in, out, scale float64) (x float64, ok bool) {
	switch coord {
	case "half_pixel":
		return (p+0.5)/scale - 0.5, true
	case "half_pixel_symmetric":
		return in/2*(1-out/(in*scale)) + (p+0.5)/scale - 0.5, true
	case "pytorch_half_pixel":
		if out <= 1 {
			return 0, true
		}
		return (p+0.5)/scale - 0.5, true
	case "align_corners":
		if out <= 1 {
			return 0, true
		}
		return p * (in - 1) / (out - 1), true
	case "asymmetric":
		return p / scale, true
	case "tf_half_pixel_for_nn":
		if scale == 1 && in == out {
			return p, true // ONNX Runtime has it so, which the page leaves open
		}
		return (p + 0.5) / scale, true
	default:
		return 0, false
	}
}

// scalesOf returns the scale of every axis: given, or the quotient of the lengths.
func (r *resize) scalesOf(n *net, node *onnxio.Node, in, out []int) ([]float64, error) {
	scales := make([]float64, len(in))
	for i := range scales {
		scales[i] = float64(out[i]) / float64(max(in[i], 1))
	}
	given, err := r.scales(n, node)
	if err != nil {
		return nil, err
	}
	if len(given) == 0 {
		return scales, nil
	}
	axes := r.allAxes(len(in))
	for i, a := range axes {
		if a < 0 {
			a += int64(len(in))
		}
		if i >= len(given) || a < 0 || int(a) >= len(in) {
			return nil, fmt.Errorf("scales %v of axes %v: want one an axis", given, axes)
		}
		scales[a] = float64(given[i])
	}
	return scales, nil
}

// resizeInterpolates reports whether a Resize or Upsample does more than select.
func resizeInterpolates(node *onnxio.Node) bool {
	mode, err := node.String("mode", "nearest")
	return err != nil || mode != "nearest"
}

// resizeNotNegative: what is selected is not negative where the input is not.
func resizeNotNegative(s *structure, node *onnxio.Node) bool {
	return !resizeInterpolates(node) && asInput(s, node)
}

// resizeRounds bounds a Resize or Upsample that interpolates.
func resizeRounds(b *bounds, node *onnxio.Node, ds [][]float64, _ bool) (out [][]float64, done bool, err error) {
	if !resizeInterpolates(node) {
		return nil, false, nil
	}
	d, err := b.interpolated(node, ds[0])
	return [][]float64{d}, true, err
}

// interpolated is the bound of a linear Resize. Runtimes, and our engine at
// either precision, compute positions in float32: a position on an axis of
// length n is off by at most 8·n·2⁻²⁴ in three operations and their factors, and
// as interpolation is continuous, that moves the result by at most twice as much
// of the largest |x| of the sample, for each axis. An eFCN's weights were computed in float64
// and rounded to float32 once. Of a pair of models, either may have a matrix for
// it.
func (b *bounds) interpolated(node *onnxio.Node, d []float64) ([]float64, error) {
	if r, err := resizeOf(b.net, node); err != nil || r.mode != "linear" ||
		!b.pair() && !b.factor[node] && !b.replaced(node.Output(0)) {
		if d == nil {
			return nil, err
		}
		return b.unknown(node)[0], err
	}
	x, err := b.magnitude(node.Input(0))
	if err != nil {
		return nil, err
	}
	y := b.values.header(node.Output(0))
	moved := 0.0
	for i := range x.Shape[min(2, len(x.Shape)):] {
		moved += 2 * 8 * 0x1p-24 * float64(max(x.Shape[i+2], y.Shape[i+2]))
	}
	terms := 1 << len(x.Shape[min(2, len(x.Shape)):])
	samples := samplesOf(x.Shape)
	out := make([]float64, product(y.Shape))
	for s := range samples {
		most, widest := 0.0, 0.0
		for i := s * len(x.F) / samples; i < (s+1)*len(x.F)/samples; i++ {
			most = math.Max(most, x.F[i])
			if d != nil {
				widest = math.Max(widest, d[i])
			}
		}
		limit := own*(moved+2*b.gamma(terms+2)+2*0x1p-24)*(most+widest) + widest + 2*float64(terms)*b.tiny
		for i := s * len(out) / samples; i < (s+1)*len(out)/samples; i++ {
			out[i] = limit
		}
	}
	return out, nil
}
