package verify

// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
func init() {
	register(operator{name: "com.microsoft.FusedConv"})
}
