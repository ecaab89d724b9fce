package onnxio

// rest is what a message held that has no field of its own.
type rest struct{}
