package onnxio

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"efcn/onnxio/internal/onnxpb"
)

// filler sets every field of every message that ONNX defines, and adds an unknown
// field to each message: what a file of a newer IR version looks like.
type filler struct {
	t testing.TB
	n int64 // distinguishes the values

	kinds map[onnxpb.AttributeProto_AttributeType]int // of attributes made
}

func (f *filler) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Message() != nil && depth > 8 {
			continue
		}
		if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() && m.WhichOneof(o) != nil && f.n%3 != 0 {
			continue
		}
		switch {
		case fd.Message() != nil && fd.IsList():
			f.fill(m.Mutable(fd).List().AppendMutable().Message(), depth+1)
		case fd.Message() != nil:
			f.fill(m.Mutable(fd).Message(), depth+1)
		case fd.IsList():
			m.Mutable(fd).List().Append(f.scalar(fd))
		default:
			m.Set(fd, f.scalar(fd))
		}
	}
	f.consistent(m.Interface())
	// Operator set imports and properties are two scalars, and decoded whole.
	switch m.Interface().(type) {
	case *onnxpb.OperatorSetIdProto, *onnxpb.StringStringEntryProto:
	default:
		unknown := protowire.AppendTag(nil, 1000, protowire.BytesType)
		m.SetUnknown(protowire.AppendString(unknown, "of a later version"))
	}
}

func (f *filler) scalar(fd protoreflect.FieldDescriptor) protoreflect.Value {
	f.n++
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("s" + string(rune('a'+f.n%26)))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{byte(f.n), 0xff})
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(f.n)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(f.n))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(f.n))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(f.n) / 2)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(f.n) / 4)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(0)
	default:
		f.t.Fatalf("field %s: kind %s", fd.FullName(), fd.Kind())
		return protoreflect.Value{}
	}
}

// consistent makes of a message with all fields set one that a reader accepts:
// a tensor has one source of data, an attribute one value.
func (f *filler) consistent(m proto.Message) {
	switch p := m.(type) {
	case *onnxpb.TensorProto:
		raw := p.RawData
		clearData(p)
		p.RawData, p.DataType, p.Dims = raw, proto.Int32(int32(Int16)), []int64{1}
	case *onnxpb.AttributeProto:
		p.RefAttrName = nil
		f.oneValue(p)
	}
}

// oneValue keeps one of the values of p, each kind in its turn.
func (f *filler) oneValue(p *onnxpb.AttributeProto) {
	f.n++
	kind := onnxpb.AttributeProto_AttributeType(1 + f.n%14)
	if p.G == nil && (kind == onnxpb.AttributeProto_GRAPH || kind == onnxpb.AttributeProto_GRAPHS) {
		kind = onnxpb.AttributeProto_INT
	}
	keepOnly(p, kind)
	f.kinds[kind]++
}

// keepOnly clears every value of p but the one of the given kind.
func keepOnly(p *onnxpb.AttributeProto, kind onnxpb.AttributeProto_AttributeType) {
	field := map[onnxpb.AttributeProto_AttributeType]protoreflect.Name{
		onnxpb.AttributeProto_FLOAT: "f", onnxpb.AttributeProto_INT: "i", onnxpb.AttributeProto_STRING: "s",
		onnxpb.AttributeProto_TENSOR: "t", onnxpb.AttributeProto_GRAPH: "g", onnxpb.AttributeProto_SPARSE_TENSOR: "sparse_tensor",
		onnxpb.AttributeProto_TYPE_PROTO: "tp", onnxpb.AttributeProto_FLOATS: "floats", onnxpb.AttributeProto_INTS: "ints",
		onnxpb.AttributeProto_STRINGS: "strings", onnxpb.AttributeProto_TENSORS: "tensors", onnxpb.AttributeProto_GRAPHS: "graphs",
		onnxpb.AttributeProto_SPARSE_TENSORS: "sparse_tensors", onnxpb.AttributeProto_TYPE_PROTOS: "type_protos",
	}
	m := p.ProtoReflect()
	for k, name := range field {
		if k != kind {
			m.Clear(m.Descriptor().Fields().ByName(name))
		}
	}
	p.Type = kind.Enum()
}

// An attribute that refers to a parameter of its function may come with a value,
// which no reader looks at.
func TestRoundTripOfReferences(t *testing.T) {
	p := tinyModel()
	p.Functions[0].Attribute = []string{"k"}
	p.Functions[0].Node[0].Attribute = []*onnxpb.AttributeProto{
		{Name: proto.String("a"), Type: onnxpb.AttributeProto_FLOAT.Enum(), RefAttrName: proto.String("k")},
		{
			Name: proto.String("b"), Type: onnxpb.AttributeProto_INTS.Enum(), RefAttrName: proto.String("k"),
			Ints: []int64{1},
		},
		{
			Name: proto.String("c"), Type: onnxpb.AttributeProto_INT.Enum(), RefAttrName: proto.String("k"),
			I: proto.Int64(0),
		},
	}
	p.Graph.Initializer[1] = &onnxpb.TensorProto{Name: proto.String("on"), DataType: proto.Int32(9), RawData: []byte{1}}
	sparse := p.Graph.SparseInitializer[0]
	sparse.Values = &onnxpb.TensorProto{
		Name: proto.String("b"), DataType: proto.Int32(1), Dims: []int64{1},
		RawData: make([]byte, 4),
	}
	sparse.Indices = &onnxpb.TensorProto{DataType: proto.Int32(7), Dims: []int64{1}, RawData: make([]byte, 8)}
	roundTrip(t, p, proto.CloneOf(p))
}

// What is carried without being decoded: strings and packed values.
func TestRoundTripOfUndecodedTensors(t *testing.T) {
	p := &onnxpb.ModelProto{OpsetImport: []*onnxpb.OperatorSetIdProto{{
		Domain:  proto.String(""),
		Version: proto.Int64(17),
	}}, Graph: &onnxpb.GraphProto{
		Initializer: []*onnxpb.TensorProto{
			{
				Name: proto.String("s"), DataType: proto.Int32(int32(String)), Dims: []int64{2},
				StringData: [][]byte{[]byte("a"), []byte("\xff")},
			},
			{
				Name: proto.String("i4"), DataType: proto.Int32(int32(Int4)), Dims: []int64{3},
				Int32Data: []int32{0x21, 0x03},
			},
			{
				Name: proto.String("f6"), DataType: proto.Int32(int32(Float6E2M3)), Dims: []int64{3},
				Int32Data: []int32{1, 2, 3},
			},
			{Name: proto.String("later"), DataType: proto.Int32(99), Dims: []int64{3}, RawData: []byte("whatever")},
		},
	}}
	roundTrip(t, p, proto.CloneOf(p))
}

func marshal(t testing.TB, p proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// roundTrip reads and writes p and compares the two.
func roundTrip(t *testing.T, p, want *onnxpb.ModelProto) {
	t.Helper()
	m, err := ReadFrom(bytes.NewReader(marshal(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	// A clone that is edited must not show in the original.
	c := m.Clone()
	scribble(c)
	var out bytes.Buffer
	if _, err := WriteTo(&out, m); err != nil {
		t.Fatal(err)
	}
	same(t, want, parse(t, out.Bytes()))
}

func same(t *testing.T, want, got proto.Message) {
	t.Helper()
	if !proto.Equal(want, got) { // cmp is slow, but says where
		t.Errorf("the model differs after a round trip (-before +after):\n%s",
			cmp.Diff(want, got, protocmp.Transform()))
	}
}

// scribble changes what a clone may change, everywhere.
func scribble(m *Model) {
	m.Opsets[0].Version++
	m.SetMeta("new", "value")
	m.Graph.Initializers = append(m.Graph.Initializers[:0], NewTensor("other", nil, []float32{1}))
	w := walker{
		graph: func(g *Graph) {
			g.Name += "!"
			for _, v := range append(g.Inputs, g.Outputs...) {
				v.Name += "!"
				for i := range v.Type.Shape {
					v.Type.Shape[i] = Fixed(77)
				}
			}
		},
		node: func(n *Node) {
			n.Name += "!"
			for i := range n.Inputs {
				n.Inputs[i] += "!"
			}
			for _, a := range n.Attributes {
				a.Name += "!"
				for i := range a.Ints {
					a.Ints[i]++
				}
				for i := range a.Strings {
					a.Strings[i][0]++
				}
			}
		},
	}
	w.visit(m.Graph)
	for _, f := range m.Functions {
		f.Inputs[0] += "!"
		w.nodes(f.Nodes)
	}
}

func TestRoundTripOfEveryField(t *testing.T) {
	kinds := make(map[onnxpb.AttributeProto_AttributeType]int)
	for turn := range int64(14) { // of the kinds of attributes
		f := &filler{t: t, n: turn, kinds: kinds}
		p := new(onnxpb.ModelProto)
		f.fill(p.ProtoReflect(), 0)
		roundTrip(t, p, proto.CloneOf(p))
	}
	if len(kinds) != 14 {
		t.Errorf("the models had attributes of %d kinds, want all 14: %v", len(kinds), kinds)
	}
}
