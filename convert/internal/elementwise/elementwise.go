// Package elementwise lists the operators that do the same to every element, so that
// they work on a tensor as they do on its vector.
package elementwise

import "slices"

// unary are the operators that treat every element of their first input alike; other
// inputs, such as the bounds of Clip, are constants or scalars. joins are those of
// several inputs of one shape, or constants that broadcast to it.
var (
	unary = []string{
		"Relu", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Gelu", "Swish",
		"HardSigmoid", "HardSwish", "Mish", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf", "Clip",
		"Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Sign", "Ceil", "Floor", "Round",
		"Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Cast",
	}
	joins = []string{"Add", "Sub", "Mul", "Div", "Pow", "Sum", "Mean", "Max", "Min", "PRelu"}
)

// Operators returns the operators of one input besides constants, and those that join
// several.
func Operators() (one, several []string) { return slices.Clone(unary), slices.Clone(joins) }

// Has reports whether an operator of ai.onnx is one of them.
func Has(op string) bool { return slices.Contains(unary, op) || slices.Contains(joins, op) }
