package convert

import (
	"fmt"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("Pad", operator{
		becomes: "padding of the Conv, AveragePool or MaxPool behind it where that is the same function" +
			"; else Gather on the vector, which a constant pads by one element first",
		plan: planPad, notNegative: padsNotNegative,
	})
}

// padsNotNegative reports whether neither the input of a Pad nor what it pads with can
// be negative.
func padsNotNegative(pl *planner, n *onnxio.Node) bool {
	p, err := pl.plan.info.Pad(n)
	return err == nil && p.Fill >= 0 && pl.notNegative(n.Input(0))
}

// planPad plans padding along axes other than the batch, by a constant, by
// reflection, by the edge or by wrapping around; negative pads cut.
// https://onnx.ai/onnx/operators/onnx__Pad.html, versions 2 (attributes) to 25.
func planPad(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	p, err := pl.plan.info.Pad(n)
	if err != nil {
		return nil, orKeep(err)
	}
	sel := affine.Everything(in.dims)
	for axis, begin := range p.Begin {
		end := p.End[axis]
		if begin == 0 && end == 0 {
			continue
		}
		inner, err := innerAxis(int64(axis), in.dims)
		if err != nil {
			return nil, err
		}
		index, err := padIndex(p.Mode, in.dims[inner], begin, end)
		if err != nil {
			return nil, err
		}
		sel = sel.Along(inner, index)
	}
	return pl.selectFrom(n, n.Output(0), sel, float32(p.Fill))
}

// padIndex lists what an axis of that length reads when begin indices are put
// in front of it and end behind it.
func padIndex(mode string, length int, begin, end int64) ([]int, error) {
	const bound = 1 << 30
	if begin < -bound || begin > bound || end < -bound || end > bound || int64(length)+begin+end < 0 {
		return nil, fmt.Errorf("pads %d and %d of an axis of %d leave nothing", begin, end, length)
	}
	if mode != "constant" && length == 0 && begin+end > 0 {
		return nil, fmt.Errorf("mode %s: an empty axis has nothing to repeat", mode)
	}
	if mode == "reflect" && (begin >= int64(length) || end >= int64(length)) && (begin > 0 || end > 0) {
		return nil, fmt.Errorf("mode reflect: pads %d and %d are not smaller than the axis, %d", begin, end, length)
	}
	if mode == "wrap" && min(begin, end) < 0 && max(begin, end) > 0 {
		// What is cut off at one side is what the other one would wrap around to.
		return nil, keep("mode wrap with pads %d and %d means different things to different runtimes", begin, end)
	}
	index := make([]int, 0, length+int(begin+end))
	for i := -int(begin); i < length+int(end); i++ {
		at := i
		if i < 0 || i >= length {
			switch mode {
			case "constant":
				at = affine.Outside
			case "edge":
				at = min(max(i, 0), length-1)
			case "reflect":
				if at < 0 {
					at = -at
				} else {
					at = 2*(length-1) - at
				}
			case "wrap":
				at = ((i % length) + length) % length
			default:
				return nil, fmt.Errorf("mode %q: want constant, edge, reflect or wrap", mode)
			}
		}
		index = append(index, at)
	}
	return index, nil
}
