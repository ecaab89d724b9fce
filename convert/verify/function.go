package verify

// Functions of one number.
func init() {
	for _, op := range []operator{
		{name: "Abs"},
		{name: "Exp"},
		{name: "Log"},
		{name: "Sqrt"},
		{name: "Reciprocal"},
		{name: "Erf"},
		{name: "Pow"},
		{name: "Sin"},
		{name: "Cos"},
		{name: "Tan"},
		{name: "Asin"},
		{name: "Acos"},
		{name: "Atan"},
		{name: "Sinh"},
		{name: "Cosh"},
		{name: "Tanh"},
		{name: "Asinh"},
		{name: "Acosh"},
		{name: "Atanh"},
		{name: "BitwiseNot"},
	} {
		op.elementwise = true
		register(op)
	}
}
