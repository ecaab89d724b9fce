package verify

import (
	"errors"
	"fmt"
	"slices"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Pad.html
func init() {
	register(operator{
		name: "Pad", lists: map[string]int{"pads": 1}, defaults: always(spelling{"mode": `"constant"`}),
		moves: &movement{fill: 2}, integers: passedOnInShape, selection: picks(padded), fill: (*net).fill,
		notNegative: padNotNegative,
	})
}

// padAttributes is what the attributes of a Pad say, of which some are inputs since opset 11.
type padAttributes struct {
	mode string
	pads []int64
	axes []int64 // nil for all
}

func padOf(n *net, node *onnxio.Node) (*padAttributes, error) {
	mode, errMode := node.String("mode", "constant")
	pads, errPads := n.list(node, "pads", 1)
	p := &padAttributes{mode: mode, pads: pads}
	if err := errors.Join(errMode, errPads); err != nil || node.Input(3) == "" {
		return p, err
	}
	var err error
	p.axes, err = n.list(node, "", 3)
	return p, err
}

// padded: what lies before 0 and behind the end of an axis is a constant, the
// nearest element (edge), the mirror image without the element at the mirror
// (reflect), or that of the other end (wrap). Negative pads take away.
// https://onnx.ai/onnx/operators/onnx__Pad.html
func padded(s *structure, node *onnxio.Node, _ int, in []int) ([][]int, error) {
	p, err := padOf(s.cnn, node)
	if err != nil {
		return nil, err
	}
	mode, pads, axes := p.mode, p.pads, p.axes
	for i := range in {
		if p.axes == nil {
			axes = append(axes, int64(i))
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("pads %v for %d axes", pads, len(axes))
	}
	out := everything(in)
	for i, number := range axes {
		axis, err := axisOf(number, len(in))
		if err != nil {
			return nil, err
		}
		n := in[axis]
		out[axis] = nil
		for at := -int(pads[i]); at < n+int(pads[len(axes)+i]); at++ {
			from := at
			if at < 0 || at >= n {
				switch mode {
				case "constant":
					from = outside
				case "edge":
					from = max(0, min(at, n-1))
				case "reflect":
					from = 2*(n-1) - at
					if at < 0 {
						from = -at
					}
				case "wrap":
					from = (at%n + n) % n
				default:
					return nil, fmt.Errorf("mode %q is unknown", mode)
				}
				if mode != "constant" && (from < 0 || from >= n) {
					return nil, fmt.Errorf("pads %v reach beyond an axis of %d", pads, n)
				}
			}
			out[axis] = append(out[axis], from)
		}
	}
	return out, nil
}

// fill returns what a Pad puts in: its third input or, before opset 11, an
// attribute; 0 by default.
func (n *net) fill(pad *onnxio.Node) (float32, error) {
	v, _, ok, err := n.floats(pad, 2)
	switch {
	case err != nil:
		return 0, err
	case ok && len(v) == 1:
		return v[0], nil
	case ok:
		return 0, fmt.Errorf("constant_value: want one number, got %d", len(v))
	default:
		return pad.Float("value", 0)
	}
}

func padNotNegative(s *structure, node *onnxio.Node) bool {
	fill, err := s.cnn.fill(node)
	return err == nil && fill >= 0 && asInput(s, node)
}

// puts reports whether the pads of all axes are those.
func (p *padAttributes) puts(pads []int64) bool { return p.axes == nil && slices.Equal(p.pads, pads) }
