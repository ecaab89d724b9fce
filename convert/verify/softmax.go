package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Softmax.html
// https://onnx.ai/onnx/operators/onnx__LogSoftmax.html
func init() {
	register(
		operator{name: "Softmax", axis: softmaxAxis, bound: oneOutput(softmaxBound)},
		operator{name: "LogSoftmax", axis: softmaxAxis, bound: oneOutput(softmaxBound)},
	)
}

// softmaxAxis: before opset 13 all axes from that one on are one.
func softmaxAxis(opset int64) int64 {
	if opset >= 13 {
		return -1
	}
	return 1
}

// softmaxBound bounds Softmax and LogSoftmax over n elements that are at most δ
// apart, δ the largest bound of a sample: y changes by a factor of at most
// exp(2δ), as does 1 − y, the sum of the others, and each evaluation rounds like a sum of
// n with a few functions more. One that underflows may be as large as the least normal number, and
// the other needs not be as small.
func softmaxBound(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, error) {
	d, y := ds[0], b.values.value(node.Output(0))
	out := make([]float64, len(y.F))
	if len(out) == 0 {
		return out, nil
	}
	each := len(out) / y.Shape[0]
	g := b.gamma(each + 16)
	for s := range y.Shape[0] {
		delta := 0.0
		if d != nil {
			for _, v := range d[s*each : (s+1)*each] {
				delta = math.Max(delta, v)
			}
		}
		for k := s * each; k < (s+1)*each; k++ {
			v := math.Abs(y.F[k])
			if node.OpType == "LogSoftmax" {
				out[k] = own * (2*delta + 2*g*(v+1))
				continue
			}
			v += b.tiny / b.unit // the least normal number
			out[k] = own*math.Min(v, math.Max(0, 1-v)+2*g)*math.Expm1(2*delta)*(1+2*g) + own*2*g*v + 2*b.tiny
			out[k] = math.Min(out[k], 1+2*g)
		}
	}
	return out, nil
}
