package verify

import "efcn/onnxio"

// https://onnx.ai/onnx/operators/onnx__Hardmax.html
func init() {
	register(operator{name: "Hardmax", axis: softmaxAxis, steps: step(hardmaxBound)})
}

// hardmaxBound bounds Hardmax: 1 for every element that may be the largest.
func hardmaxBound(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, []int, error) {
	x, axis, err := b.ranked(node)
	if err != nil {
		return nil, nil, err
	}
	l := linesOf(x.Shape, axis)
	if b.net.opset < 13 { // all axes from that one on are one
		a := int(axis)
		if a < 0 {
			a += len(x.Shape)
		}
		l = lines{count: product(x.Shape[:a]), length: product(x.Shape[a:]), inner: 1}
	}
	out := make([]float64, len(ds[0]))
	rankings(numbers(x), ds[0], l, true, func(line int, r ranking) {
		if list := r.candidates(0); len(list) > 1 {
			for _, j := range list {
				out[l.at(line, j, l.length)] = 1
			}
		}
	})
	return out, nil, nil
}
