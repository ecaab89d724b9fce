package onnxio

import (
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"efcn/onnxio/internal/onnxpb"
)

// place is where a tensor's content lies in the file of external data.
type place struct{ offset, length int64 }

// encoder turns a Model into the rope of its ModelProto. What holds no tensor
// goes through protobuf; messages on the way to a tensor are put together from
// their parts.
type encoder struct {
	location string            // of the external data, relative to the model
	external map[*Tensor]place // the tensors that are there
}

// part is a nested message, and the field it is in.
type part struct {
	num protowire.Number
	*rope
}

// compose is the message p with the parts appended to its fields.
func compose(p proto.Message, parts []part) (*rope, error) {
	r := new(rope)
	if err := r.message(p); err != nil {
		return nil, err
	}
	for _, sub := range parts {
		r.nested(sub.num, sub.rope)
	}
	return r, nil
}

// each appends to parts what encode makes of every item.
func each[T any](parts *[]part, num protowire.Number, list []T, encode func(T) (*rope, error)) error {
	for _, item := range list {
		r, err := encode(item)
		if err != nil {
			return err
		}
		*parts = append(*parts, part{num, r})
	}
	return nil
}

func (e *encoder) model(m *Model) (*rope, error) {
	p := restore(m.rest, &onnxpb.ModelProto{})
	p.IrVersion = put(m.IRVersion, p.IrVersion)
	p.OpsetImport = opsetProtos(m.Opsets)
	p.ProducerName, p.ProducerVersion = put(m.ProducerName, p.ProducerName), put(m.ProducerVersion, p.ProducerVersion)
	p.Domain, p.ModelVersion, p.DocString = put(m.Domain, p.Domain), put(m.ModelVersion, p.ModelVersion), put(m.Doc,
		p.DocString)
	p.MetadataProps = entries(m.Metadata)
	var parts []part
	if err := each(&parts, 25, m.Functions, e.function); err != nil {
		return nil, err
	}
	// The graph comes last: of a file that is cut short, its length then tells.
	if m.Graph == nil {
		return nil, fmt.Errorf("the model has no graph")
	}
	if err := each(&parts, 7, []*Graph{m.Graph}, e.graph); err != nil {
		return nil, err
	}
	return compose(p, parts)
}

func (e *encoder) graph(g *Graph) (*rope, error) {
	p := restore(g.rest, &onnxpb.GraphProto{})
	p.Name, p.DocString = put(g.Name, p.Name), put(g.Doc, p.DocString)
	p.Input, p.Output, p.ValueInfo = values(g.Inputs), values(g.Outputs), values(g.ValueInfos)
	p.MetadataProps = entries(g.Metadata)
	var parts []part
	if err := each(&parts, 1, g.Nodes, e.node); err != nil {
		return nil, err
	}
	if err := each(&parts, 5, g.Initializers, e.tensor); err != nil {
		return nil, err
	}
	if err := each(&parts, 15, g.SparseInitializers, e.sparse); err != nil {
		return nil, err
	}
	return compose(p, parts)
}

func (e *encoder) function(f *Function) (*rope, error) {
	p := restore(f.rest, &onnxpb.FunctionProto{})
	p.Name, p.Domain, p.Overload, p.DocString = put(f.Name, p.Name), put(f.Domain, p.Domain), put(f.Overload,
		p.Overload), put(f.Doc, p.DocString)
	p.Input, p.Output, p.Attribute = f.Inputs, f.Outputs, f.Attributes
	p.OpsetImport, p.ValueInfo, p.MetadataProps = opsetProtos(f.Opsets), values(f.ValueInfos), entries(f.Metadata)
	var parts []part
	if err := each(&parts, 7, f.Nodes, e.node); err != nil {
		return nil, err
	}
	if err := each(&parts, 11, f.Defaults, e.attribute); err != nil {
		return nil, err
	}
	return compose(p, parts)
}

func (e *encoder) node(n *Node) (*rope, error) {
	p := restore(n.rest, &onnxpb.NodeProto{})
	p.Name, p.OpType, p.Domain, p.Overload = put(n.Name, p.Name), put(n.OpType, p.OpType), put(n.Domain,
		p.Domain), put(n.Overload, p.Overload)
	p.Input, p.Output = n.Inputs, n.Outputs
	p.DocString, p.MetadataProps = put(n.Doc, p.DocString), entries(n.Metadata)
	var parts []part
	if err := each(&parts, 5, n.Attributes, e.attribute); err != nil {
		return nil, n.Wrap(err)
	}
	return compose(p, parts)
}

func (e *encoder) attribute(a *Attribute) (*rope, error) {
	p := restore(a.rest, &onnxpb.AttributeProto{})
	p.Name, p.RefAttrName, p.DocString = put(a.Name, p.Name), put(a.RefName, p.RefAttrName), put(a.Doc, p.DocString)
	if a.Type != AttrUndefined {
		p.Type = onnxpb.AttributeProto_AttributeType(a.Type).Enum()
	}
	var parts []part
	var err error
	if a.RefName != "" { // the value is the function's to supply
		return compose(p, nil)
	}
	switch a.Type {
	case AttrFloat:
		p.F = proto.Float32(a.F)
	case AttrInt:
		p.I = proto.Int64(a.I)
	case AttrString:
		p.S = append([]byte{}, a.S...)
	case AttrFloats:
		p.Floats = a.Floats
	case AttrInts:
		p.Ints = a.Ints
	case AttrStrings:
		p.Strings = a.Strings
	case AttrTensor:
		err = each(&parts, 5, some(a.T), e.tensor)
	case AttrGraph:
		err = each(&parts, 6, some(a.G), e.graph)
	case AttrSparseTensor:
		err = each(&parts, 22, some(a.Sparse), e.sparse)
	case AttrTensors:
		err = each(&parts, 10, a.Tensors, e.tensor)
	case AttrGraphs:
		err = each(&parts, 11, a.Graphs, e.graph)
	case AttrSparseTensors:
		err = each(&parts, 23, a.Sparses, e.sparse)
	}
	if err != nil {
		return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
	}
	return compose(p, parts)
}

// some is the list of p, without it if it is nil.
func some[T any](p *T) []*T {
	if p == nil {
		return nil
	}
	return []*T{p}
}

func (e *encoder) sparse(s *SparseTensor) (*rope, error) {
	p := restore(s.rest, &onnxpb.SparseTensorProto{})
	p.Dims = s.Dims
	var parts []part
	if err := each(&parts, 1, some(s.Values), e.tensor); err != nil {
		return nil, err
	}
	if err := each(&parts, 2, some(s.Indices), e.tensor); err != nil {
		return nil, err
	}
	return compose(p, parts)
}

func (e *encoder) tensor(t *Tensor) (*rope, error) {
	if err := t.checkSize(); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	p := restore(t.rest, &onnxpb.TensorProto{})
	p.Name, p.DocString, p.Dims = put(t.Name, p.Name), put(t.Doc, p.DocString), t.Dims
	p.DataType = proto.Int32(int32(t.Type))
	p.MetadataProps = entries(t.Metadata)
	if t.Data != nil {
		clearData(p)
	}
	at, external := e.external[t]
	if external {
		p.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
		p.ExternalData = entries([]Prop{
			{"location", e.location},
			{"offset", strconv.FormatInt(at.offset, 10)},
			{"length", strconv.FormatInt(at.length, 10)},
		})
	}
	r, err := compose(p, nil)
	if err == nil && t.Data != nil && !external {
		r.data(tensorRawData, t.Name, t.Data)
	}
	return r, err
}

func opsetProtos(list []Opset) []*onnxpb.OperatorSetIdProto {
	var out []*onnxpb.OperatorSetIdProto
	for _, o := range list {
		// The default domain is written out: some readers want the field.
		out = append(out, &onnxpb.OperatorSetIdProto{Domain: &o.Domain, Version: &o.Version})
	}
	return out
}

func entries(list []Prop) []*onnxpb.StringStringEntryProto {
	var out []*onnxpb.StringStringEntryProto
	for _, e := range list {
		out = append(out, &onnxpb.StringStringEntryProto{Key: &e.Key, Value: &e.Value})
	}
	return out
}

func values(list []*ValueInfo) []*onnxpb.ValueInfoProto {
	var out []*onnxpb.ValueInfoProto
	for _, v := range list {
		p := restore(v.rest, &onnxpb.ValueInfoProto{})
		p.Name, p.DocString, p.MetadataProps = put(v.Name, p.Name), put(v.Doc, p.DocString), entries(v.Metadata)
		if was := tensorType(p.Type); !was.equal(v.Type) {
			p.Type = v.Type.proto()
		}
		out = append(out, p)
	}
	return out
}

func (t TensorType) equal(u TensorType) bool {
	return t.Elem == u.Elem && t.HasShape == u.HasShape && slices.Equal(t.Shape, u.Shape)
}

func (t TensorType) proto() *onnxpb.TypeProto {
	p := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(t.Elem))}
	if t.HasShape {
		p.Shape = &onnxpb.TensorShapeProto{}
		for _, d := range t.Shape {
			dim := &onnxpb.TensorShapeProto_Dimension{}
			switch {
			case d.Known():
				dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d.Value}
			case d.Param != "":
				dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d.Param}
			}
			p.Shape.Dim = append(p.Shape.Dim, dim)
		}
	}
	return &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: p}}
}
