package verify

import "efcn/onnxio"

// https://onnx.ai/onnx/operators/onnx__Clip.html
func init() {
	register(operator{name: "Clip", elementwise: true, lipschitz: slope(1), exact: true, anyEngine: true, defaults: clipDefaults})
}

// clipDefaults: since opset 11 the limits are inputs.
func clipDefaults(opset int64) map[string]string {
	if opset >= 11 {
		return nil
	}
	return spelling{
		"min": attributeText(onnxio.FloatAttr("min", -3.4028234663852886e+38)),
		"max": attributeText(onnxio.FloatAttr("max", 3.4028234663852886e+38)),
	}
}
