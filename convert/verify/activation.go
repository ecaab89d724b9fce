package verify

import (
	"math"

	"efcn/onnxio"
)

// Activations.
// https://onnx.ai/onnx/operators, versions up to 24.
func init() {
	for _, op := range []operator{
		{
			name: "Relu", notNegative: func(*structure, *onnxio.Node) bool { return true }, tie: atZero,
			lipschitz: slope(1), exact: true, anyEngine: true,
		},
		{
			name: "LeakyRelu", tie: atZero, anyEngine: true, lipschitz: steepest(1, "alpha", 0.01),
			defaults: always(spelling{"alpha": "0.01"}),
		},
		{name: "PRelu", tie: atZero, anyEngine: true, lipschitz: preluSlope},
		{name: "Elu", lipschitz: steepest(1, "alpha", 1), defaults: always(spelling{"alpha": "1"})},
		{name: "Celu", lipschitz: slope(1), defaults: always(spelling{"alpha": "1"})},
		{name: "Selu", lipschitz: seluSlope, defaults: always(spelling{
			"alpha": attributeText(onnxio.FloatAttr("alpha", 1.67326319217681884765625)),
			"gamma": attributeText(onnxio.FloatAttr("gamma", 1.05070102214813232421875)),
		})},
		{name: "Swish", defaults: always(spelling{"alpha": "1"})},
		// steepest near x = √2: 1.1289
		{name: "Gelu", lipschitz: slope(1.13), defaults: always(spelling{"approximate": `"none"`})},
		{
			name: "HardSigmoid", lipschitz: steepest(0, "alpha", 0.2),
			defaults: always(spelling{"alpha": "0.2", "beta": "0.5"}),
		},
		{name: "HardSwish", lipschitz: slope(1.5)}, // steepest at x = 3: (2x+3)/6
		{name: "Mish", lipschitz: slope(1.09)},     // 1.0885
		{name: "Sigmoid", lipschitz: slope(0.25)},
		{name: "Softplus", lipschitz: slope(1)},
		{name: "Softsign", lipschitz: slope(1)},
	} {
		op.elementwise = true
		register(op)
	}
}

// steepest is the larger of a number and the magnitude of an attribute.
func steepest(least float64, attribute string, def float32) func(*net, *onnxio.Node) (float64, bool) {
	return func(_ *net, node *onnxio.Node) (float64, bool) {
		v, err := node.Float(attribute, def)
		return math.Max(least, math.Abs(float64(v))), err == nil
	}
}

func seluSlope(_ *net, node *onnxio.Node) (float64, bool) {
	gamma, errGamma := node.Float("gamma", 1.05070102)
	alpha, errAlpha := node.Float("alpha", 1.67326319)
	return math.Abs(float64(gamma)) * math.Max(1, math.Abs(float64(alpha))), errGamma == nil && errAlpha == nil
}

// preluSlope is the steepest slope of a PRelu, of slopes that are constant.
func preluSlope(n *net, node *onnxio.Node) (float64, bool) {
	slopes := n.constants[node.Input(1)]
	if slopes == nil {
		return 0, false
	}
	v, err := onnxio.Floats[float64](slopes)
	l := 1.0
	for _, s := range v {
		l = math.Max(l, math.Abs(s))
	}
	return l, err == nil
}
