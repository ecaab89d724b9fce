package verify

import "efcn/onnxio"

// https://onnx.ai/onnx/operators/onnx__Clip.html
func init() {
	register(operator{
		name: "Clip", elementwise: true, lipschitz: slope(1), exact: true, limits: true, anyEngine: true,
		defaults: clipDefaults, integers: passedOn, notNegative: clipNotNegative,
	})
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

// clipNotNegative: the least that a Clip leaves is not below 0.
func clipNotNegative(s *structure, node *onnxio.Node) bool {
	least, err := node.Float("min", -1)
	if v, _, ok, e := s.cnn.floats(node, 1); e == nil && ok && len(v) == 1 {
		least = v[0]
	}
	return err == nil && least >= 0
}
