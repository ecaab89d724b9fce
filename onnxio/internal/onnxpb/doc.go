// Package onnxpb is the Go code that protoc makes of onnx.proto, the wire
// format of ONNX. Nothing outside package onnxio uses it.
//
// protoc runs from the module's root so that the file's registered name is its
// path there: protobuf refuses two files of one name in a program, and every
// other ONNX binding registers "onnx.proto".
package onnxpb

//go:generate protoc --proto_path=../../.. --go_out=../../.. --go_opt=paths=source_relative onnxio/internal/onnxpb/onnx.proto
