package onnxio

import (
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"efcn/onnxio/internal/onnxpb"
)

// FuzzRead reads what it is given and, where that is a model, checks, clones,
// decodes and writes it.
func FuzzRead(f *testing.F) {
	f.Add(marshal(f, tinyModel()))
	full := &filler{t: f, n: 5, kinds: make(map[onnxpb.AttributeProto_AttributeType]int)}
	p := new(onnxpb.ModelProto)
	full.fill(p.ProtoReflect(), 4)
	f.Add(marshal(f, p))
	f.Add(marshal(f, &onnxpb.ModelProto{
		Graph:       &onnxpb.GraphProto{},
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}},
	}))
	b, err := os.ReadFile("../testdata/models/resnet-torchscript/model.onnx")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) { exercise(b) })
}
