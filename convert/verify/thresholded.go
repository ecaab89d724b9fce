package verify

import (
	"math"

	"efcn/onnxio"
)

// Activations that are 0 up to a threshold, and jump there.
// https://onnx.ai/onnx/operators/onnx__ThresholdedRelu.html
// https://onnx.ai/onnx/operators/onnx__Shrink.html
func init() {
	register(
		operator{
			name: "ThresholdedRelu", elementwise: true, steps: step(thresholdedBound),
			defaults: always(spelling{"alpha": "1"}),
		},
		operator{name: "Shrink", elementwise: true, steps: step(shrinkBound)},
	)
}

// jumping bounds a function of one number that jumps at some places. bound is called for every
// element that may differ, with its bound and at how many of the places it may jump.
func (b *bounds) jumping(node *onnxio.Node, d []float64, places []float64,
	bound func(x, e float64, jumps int) float64,
) ([]float64, []int, error) {
	v, err := b.value(node.Input(0))
	if err != nil {
		return nil, nil, err
	}
	near := []int{}
	out := make([]float64, len(d))
	for i, x := range numbers(v) {
		if d[i] == 0 {
			continue
		}
		jumps := 0
		for _, at := range places {
			if !(math.Abs(x-at) > d[i]) {
				jumps++
			}
		}
		if jumps > 0 {
			near = append(near, i)
		}
		out[i] = bound(x, d[i], jumps)
	}
	return out, near, nil
}

// thresholdedBound bounds ThresholdedRelu: x where x > alpha, else 0.
func thresholdedBound(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, []int, error) {
	alpha, err := node.Float("alpha", 1)
	if err != nil {
		return nil, nil, err
	}
	a := float64(alpha)
	return b.jumping(node, ds[0], []float64{a}, func(x, e float64, jumps int) float64 {
		switch {
		case jumps > 0:
			return own * (math.Abs(x) + e)
		case x > a:
			return e
		default:
			return 0
		}
	})
}

// shrinkBound bounds Shrink: x + bias below −lambd, x − bias above lambd, else 0.
func shrinkBound(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, []int, error) {
	lambd, err := node.Float("lambd", 0.5)
	if err != nil {
		return nil, nil, err
	}
	bias, err := node.Float("bias", 0)
	if err != nil {
		return nil, nil, err
	}
	l, s := float64(lambd), float64(bias)
	return b.jumping(node, ds[0], []float64{-l, l}, func(x, e float64, jumps int) float64 {
		if jumps == 0 && !(math.Abs(x) > l) {
			return 0
		}
		return own * (e + float64(jumps)*math.Abs(l-s) + 4*b.unit*(math.Abs(x)+e+math.Abs(s)))
	})
}
