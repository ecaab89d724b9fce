package onnxio

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"efcn/onnxio/internal/onnxpb"
)

func TestReadRefuses(t *testing.T) {
	valid, err := os.ReadFile("../testdata/models/lenet-torchscript/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 4096)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	graph := func(depth int) []byte {
		g := &onnxpb.GraphProto{}
		for range depth {
			g = &onnxpb.GraphProto{Node: []*onnxpb.NodeProto{{Attribute: []*onnxpb.AttributeProto{{G: g}}}}}
		}
		return marshal(t, &onnxpb.ModelProto{OpsetImport: []*onnxpb.OperatorSetIdProto{{}}, Graph: g})
	}
	two := &onnxpb.ModelProto{OpsetImport: []*onnxpb.OperatorSetIdProto{{}}, Graph: &onnxpb.GraphProto{
		Initializer: []*onnxpb.TensorProto{
			{Name: proto.String("a"), DataType: proto.Int32(1), Dims: []int64{2}},
			{Name: proto.String("b"), DataType: proto.Int32(1), Dims: []int64{3}},
		},
	}}
	value := &onnxpb.ModelProto{OpsetImport: []*onnxpb.OperatorSetIdProto{{}}, Graph: &onnxpb.GraphProto{
		Node: []*onnxpb.NodeProto{{Attribute: []*onnxpb.AttributeProto{{
			Name: proto.String("k"), Type: onnxpb.AttributeProto_INT.Enum(), T: &onnxpb.TensorProto{RawData: []byte("x")},
		}}}},
	}}
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "not an ONNX model: the file is empty"},
		{"text", []byte("hello, this is a text file\n"), "not an ONNX model: a text file"},
		{"text with accents", []byte(strings.Repeat("é", 400)), "not an ONNX model: a text file"},
		{"lfs", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "a Git LFS pointer"},
		{"zip", []byte("PK\x03\x04\x14\x00\x00\x00"), "a ZIP archive"},
		{"tflite", []byte("\x1c\x00\x00\x00TFL3\x14\x00\x20"), "a TensorFlow Lite model"},
		{"hdf5", []byte("\x89HDF\r\n\x1a\n"), "an HDF5 file"},
		{"gzip", []byte("\x1f\x8b\x08\x00"), "gzip-compressed"},
		{"noise", noise, "not an ONNX model: "},
		{"zeros", make([]byte, 100), "not an ONNX model: "},
		{
			"cut short", valid[:len(valid)/2],
			"not an ONNX model: the data ends inside a field; it may have been cut short",
		},
		{"no graph", marshal(t, &onnxpb.ModelProto{
			IrVersion:   proto.Int64(8),
			OpsetImport: []*onnxpb.OperatorSetIdProto{{}},
		}), "not an ONNX model: it has no graph"},
		{
			"no opset", marshal(t, &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: &onnxpb.GraphProto{}}),
			"not an ONNX model: it imports no operator set",
		},
		{"nested too deep", graph(2000), "messages nest deeper than 100"},
		{
			"bad tensors", marshal(t, two),
			`tensor "a": dimensions [2] of float32 need 8 bytes, got 0 (and 1 more errors like it)`,
		},
		{"two values", marshal(t, value), `attribute "k": a value of another type than int`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(path, c.file, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := Read(path)
			if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("got error %q, want one line with %q", err, c.want)
			}
			if _, err := ReadFrom(bytes.NewReader(c.file)); err == nil {
				t.Error("ReadFrom accepted it")
			}
		})
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "a folder; want a file") {
		t.Errorf("a folder: got error %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.onnx")); err == nil ||
		!strings.Contains(err.Error(), "none.onnx: no such file") {
		t.Errorf("no file: got error %v", err)
	}
	if _, err := ReadFrom(bytes.NewReader(graph(20))); err != nil {
		t.Errorf("graphs nested 20 deep: %v", err)
	}
}

// A model that is cut short is refused wherever the cut is, but between two
// fields of the model itself after the last one that it needs.
func TestReadOfEveryPrefix(t *testing.T) {
	whole := marshal(t, tinyModel())
	ends := make(map[int]bool)
	err := fields(inMemory(whole), span{0, len(whole)}, func(_ protowire.Number, _ *span, to int) error {
		ends[to] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for n := range len(whole) {
		m, err := ReadFrom(bytes.NewReader(whole[:n]))
		// What is read piece by piece, from a file, is judged alike.
		file := &onDisk{file: bytes.NewReader(whole[:n]), size: n}
		_, fileErr := decode(file, n, nil, func(s span) (Data, error) {
			b, err := file.part(s)
			return rawData(b), err
		})
		if fmt.Sprint(err) != fmt.Sprint(fileErr) {
			t.Errorf("the first %d bytes: %v in memory, %v from a file", n, err, fileErr)
		}
		switch {
		case err == nil && !ends[n]:
			t.Errorf("the first %d of %d bytes were accepted", n, len(whole))
		case err == nil:
			accepted++
			_ = m.Check()
		}
	}
	if accepted != 3 { // one import missing, both there, and the metadata; the function last
		t.Errorf("%d prefixes were accepted, want 3", accepted)
	}
}

// Every byte of a small model is damaged in several ways; whatever comes out, no
// panic does.
func TestReadOfDamage(t *testing.T) {
	whole := marshal(t, tinyModel())
	for i := range whole {
		for _, x := range []byte{0x00, 0x01, 0x7f, 0x80, 0xff, whole[i] ^ 1, whole[i] + 8} {
			b := bytes.Clone(whole)
			b[i] = x
			exercise(b)
		}
	}
}

// exercise reads b and, if that works, does with the model all this package can.
func exercise(b []byte) {
	m, err := ReadFrom(bytes.NewReader(b))
	if err != nil {
		return
	}
	_ = m.Clone().Check()
	m.tensors(func(t *Tensor) {
		_, _ = Floats[float32](t)
		_, _ = Ints(t)
	})
	_, _ = WriteTo(new(bytes.Buffer), m)
}

// tinyModel is a convolution with its weights, an If, a sparse initializer, and
// a function.
func tinyModel() *onnxpb.ModelProto {
	s := proto.String
	tensor := func(name string) *onnxpb.ValueInfoProto {
		return &onnxpb.ValueInfoProto{
			Name: &name,
			Type: TensorType{Float32, true, Shape{Symbol("N"), Fixed(1), Fixed(4), Fixed(4)}}.proto(),
		}
	}
	branch := func(name, op string) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_GRAPH.Enum(), G: &onnxpb.GraphProto{
			Name:   s(name),
			Node:   []*onnxpb.NodeProto{{OpType: &op, Input: []string{"c"}, Output: []string{name + "_y"}}},
			Output: []*onnxpb.ValueInfoProto{{Name: s(name + "_y")}},
		}}
	}
	return &onnxpb.ModelProto{
		IrVersion:    proto.Int64(10),
		ProducerName: s("efcn test"),
		OpsetImport: []*onnxpb.OperatorSetIdProto{
			{Domain: s(""), Version: proto.Int64(17)},
			{Domain: s("local"), Version: proto.Int64(1)},
		},
		Graph: &onnxpb.GraphProto{
			Name:   s("tiny"),
			Input:  []*onnxpb.ValueInfoProto{tensor("x")},
			Output: []*onnxpb.ValueInfoProto{tensor("y")},
			Initializer: []*onnxpb.TensorProto{
				{Name: s("w"), DataType: proto.Int32(1), Dims: []int64{1, 1, 1, 1}, RawData: []byte{0, 0, 0, 64}},
				{Name: s("on"), DataType: proto.Int32(9), Int32Data: []int32{1}},
			},
			SparseInitializer: []*onnxpb.SparseTensorProto{{
				Dims: []int64{1},
				Values: &onnxpb.TensorProto{
					Name: s("b"), DataType: proto.Int32(1), Dims: []int64{1},
					FloatData: []float32{3},
				},
				Indices: &onnxpb.TensorProto{DataType: proto.Int32(7), Dims: []int64{1}, Int64Data: []int64{0}},
			}},
			Node: []*onnxpb.NodeProto{
				{
					Name: s("conv"), OpType: s("Conv"), Input: []string{"x", "w", "b"}, Output: []string{"c"},
					Attribute: []*onnxpb.AttributeProto{
						{Name: s("kernel_shape"), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: []int64{1, 1}},
					},
				},
				{
					Name: s("if"), OpType: s("If"), Input: []string{"on"}, Output: []string{"d"},
					Attribute: []*onnxpb.AttributeProto{
						branch("then_branch", "Relu"), branch("else_branch", "Abs"),
					},
				},
				{Name: s("call"), OpType: s("Twice"), Domain: s("local"), Input: []string{"d"}, Output: []string{"y"}},
			},
		},
		MetadataProps: []*onnxpb.StringStringEntryProto{{Key: s("k"), Value: s("v")}},
		Functions: []*onnxpb.FunctionProto{{
			Name: s("Twice"), Domain: s("local"), Input: []string{"a"}, Output: []string{"b"},
			OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: s(""), Version: proto.Int64(17)}},
			Node:        []*onnxpb.NodeProto{{OpType: s("Add"), Input: []string{"a", "a"}, Output: []string{"b"}}},
		}},
	}
}

// Reading must not copy the weights.
func TestReadTakesTheMemoryOfTheFile(t *testing.T) {
	const size = 32 << 20
	path := filepath.Join(t.TempDir(), "model.onnx")
	m := &Model{IRVersion: 10, Opsets: []Opset{{"", 17}}, Graph: &Graph{Name: "g"}}
	half := &Tensor{Name: "w", Type: Float32, Dims: []int64{size / 8}, Data: zeros(size / 2)}
	m.Graph.Initializers = []*Tensor{half}
	m.Graph.Nodes = []*Node{{
		OpType: "Constant", Outputs: []string{"c"},
		Attributes: []*Attribute{{Name: "value", Type: AttrTensor, T: half}},
	}}
	if _, err := Write(path, m, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Read(path); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > size+size/10 {
		t.Errorf("reading %d bytes allocated %d", size, got)
	}
}

// Raw data of 1 MiB and more stays in the file of the model until it is asked
// for, and is refused once that file has changed.
func TestReadLeavesLargeDataInTheFile(t *testing.T) {
	values := make([]float32, 1<<18)
	for i := range values {
		values[i] = float32(i)
	}
	small := NewTensor("small", []int64{2}, []float32{1, 2})
	large := NewTensor("large", []int64{1 << 18}, values)
	m := &Model{
		IRVersion: 8, Opsets: []Opset{{Version: 17}},
		Graph: &Graph{Name: "g", Initializers: []*Tensor{small, large}},
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if _, err := Write(path, m, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	read, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := read.Graph.Initializers[0].Data.(rawData); !ok {
		t.Errorf("8 bytes are a %T", read.Graph.Initializers[0].Data)
	}
	d, ok := read.Graph.Initializers[1].Data.(inFile)
	if !ok {
		t.Fatalf("1 MiB is a %T", read.Graph.Initializers[1].Data)
	}
	got, err := Floats[float32](read.Graph.Initializers[1])
	if err != nil || !slices.Equal(got, values) {
		t.Errorf("%d elements, %v; want those that were written", len(got), err)
	}
	// Written over the file that it lies in, it is copied first.
	if _, err := Write(path, read, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if again, err := Read(path); err != nil {
		t.Error(err)
	} else if got, err := Floats[float32](again.Graph.Initializers[1]); err != nil || !slices.Equal(got, values) {
		t.Errorf("after a write over itself: %d elements, %v", len(got), err)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteTo(io.Discard); err == nil ||
		!strings.HasSuffix(err.Error(), "m.onnx: the file has changed since the model was read") {
		t.Errorf("of a file that changed: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("of a file that is gone: %v", err)
	}
}

// View gives out the slice itself where there is one of the type, a copy
// elsewhere.
func TestView(t *testing.T) {
	values := []float32{1, 2, 3}
	tensor := NewTensor("t", []int64{3}, values)
	view, err := View[float32](tensor)
	if err != nil || &view[0] != &values[0] {
		t.Errorf("float32 of float32: %v, %v; want the slice itself", view, err)
	}
	if wide, err := View[float64](tensor); err != nil || !slices.Equal(wide, []float64{1, 2, 3}) {
		t.Errorf("float64 of float32: %v, %v", wide, err)
	}
	tensor.Dims = []int64{4}
	if _, err := View[float32](tensor); err == nil || !strings.Contains(err.Error(), "need 16 bytes, got 12") {
		t.Errorf("dimensions that do not fit: %v", err)
	}
}
