package verify

import "efcn/onnxio"

// Activations.
// https://onnx.ai/onnx/operators, versions up to 24.
func init() {
	for _, op := range []operator{
		{name: "Relu", tie: atZero},
		{name: "LeakyRelu", tie: atZero, defaults: always(spelling{"alpha": "0.01"})},
		{name: "PRelu", tie: atZero},
		{name: "Elu", defaults: always(spelling{"alpha": "1"})},
		{name: "Celu", defaults: always(spelling{"alpha": "1"})},
		{name: "Selu", defaults: always(spelling{
			"alpha": attributeText(onnxio.FloatAttr("alpha", 1.67326319217681884765625)),
			"gamma": attributeText(onnxio.FloatAttr("gamma", 1.05070102214813232421875)),
		})},
		{name: "Swish", defaults: always(spelling{"alpha": "1"})},
		{name: "Gelu", defaults: always(spelling{"approximate": `"none"`})},
		{name: "HardSigmoid", defaults: always(spelling{"alpha": "0.2", "beta": "0.5"})},
		{name: "HardSwish"},
		{name: "Mish"},
		{name: "Sigmoid"},
		{name: "Softplus"},
		{name: "Softsign"},
	} {
		op.elementwise = true
		register(op)
	}
}
