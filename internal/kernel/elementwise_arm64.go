package kernel

// vectorCode: the functions of vector_code.go run here, as on all processors for
// arm64.
var vectorCode = true
