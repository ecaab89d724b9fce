package onnxio

import (
	"fmt"

	"efcn/onnxio/internal/onnxpb"
)

// decoder turns the messages of one file into a Model. It takes the messages
// over: what it decodes it removes, and what is left becomes a rest.
type decoder struct {
	folder *folder // nil for a model from a stream
	raw    []Data  // what carve took out of the messages
	errs   []error
}

func (d *decoder) bad(err error) { d.errs = append(d.errs, err) }

func (d *decoder) model(p *onnxpb.ModelProto) *Model {
	m := &Model{
		IRVersion:       take(&p.IrVersion),
		Opsets:          opsets(p.OpsetImport),
		ProducerName:    take(&p.ProducerName),
		ProducerVersion: take(&p.ProducerVersion),
		Domain:          take(&p.Domain),
		ModelVersion:    take(&p.ModelVersion),
		Doc:             take(&p.DocString),
		Metadata:        props(p.MetadataProps),
	}
	m.Graph = d.graph(p.Graph)
	m.Functions = decodeAll(p.Functions, d.function)
	p.OpsetImport = nil
	p.MetadataProps = nil
	p.Graph, p.Functions = nil, nil
	m.rest = keep(p)
	return m
}

// decodeAll decodes every message of a list. What is nil stays nil.
func decodeAll[P, T any](list []P, decode func(P) T) []T {
	var out []T
	for _, p := range list {
		out = append(out, decode(p))
	}
	return out
}

func opsets(list []*onnxpb.OperatorSetIdProto) []Opset {
	return decodeAll(list, func(o *onnxpb.OperatorSetIdProto) Opset { return Opset{o.GetDomain(), o.GetVersion()} })
}

func props(list []*onnxpb.StringStringEntryProto) []Prop {
	return decodeAll(list, func(e *onnxpb.StringStringEntryProto) Prop { return Prop{e.GetKey(), e.GetValue()} })
}

func (d *decoder) graph(p *onnxpb.GraphProto) *Graph {
	g := &Graph{
		Name:       take(&p.Name),
		Doc:        take(&p.DocString),
		Inputs:     decodeAll(p.Input, d.value),
		Outputs:    decodeAll(p.Output, d.value),
		ValueInfos: decodeAll(p.ValueInfo, d.value),
		Metadata:   props(p.MetadataProps),
	}
	g.Nodes = decodeAll(p.Node, d.node)
	g.Initializers = decodeAll(p.Initializer, d.tensor)
	g.SparseInitializers = decodeAll(p.SparseInitializer, d.sparse)
	p.Node, p.Input, p.Output, p.ValueInfo = nil, nil, nil, nil
	p.MetadataProps, p.Initializer, p.SparseInitializer = nil, nil, nil
	g.rest = keep(p)
	return g
}

func (d *decoder) sparse(p *onnxpb.SparseTensorProto) *SparseTensor {
	s := &SparseTensor{Dims: p.Dims}
	values, indices := p.Values, p.Indices
	if values == nil {
		values = &onnxpb.TensorProto{}
	}
	if indices == nil {
		indices = &onnxpb.TensorProto{}
	}
	s.Values, s.Indices = d.tensor(values), d.tensor(indices)
	p.Dims, p.Values, p.Indices = nil, nil, nil
	s.rest = keep(p)
	return s
}

func (d *decoder) function(p *onnxpb.FunctionProto) *Function {
	f := &Function{
		Name:       take(&p.Name),
		Domain:     take(&p.Domain),
		Overload:   take(&p.Overload),
		Doc:        take(&p.DocString),
		Inputs:     p.Input,
		Outputs:    p.Output,
		Attributes: p.Attribute,
		Opsets:     opsets(p.OpsetImport),
		ValueInfos: decodeAll(p.ValueInfo, d.value),
		Metadata:   props(p.MetadataProps),
	}
	f.Defaults = decodeAll(p.AttributeProto, d.attribute)
	f.Nodes = decodeAll(p.Node, d.node)
	p.Input, p.Output, p.Attribute, p.AttributeProto, p.Node = nil, nil, nil, nil, nil
	p.OpsetImport, p.ValueInfo, p.MetadataProps = nil, nil, nil
	f.rest = keep(p)
	return f
}

func (d *decoder) node(p *onnxpb.NodeProto) *Node {
	n := &Node{
		Name:     take(&p.Name),
		OpType:   take(&p.OpType),
		Domain:   take(&p.Domain),
		Overload: take(&p.Overload),
		Inputs:   p.Input,
		Outputs:  p.Output,
		Doc:      take(&p.DocString),
		Metadata: props(p.MetadataProps),
	}
	n.Attributes = decodeAll(p.Attribute, d.attribute)
	p.Input, p.Output, p.Attribute, p.MetadataProps = nil, nil, nil, nil
	n.rest = keep(p)
	return n
}

// attribute decodes the value that the attribute's type names. A tensor or graph
// in any other field, which no valid file has, is an error.
func (d *decoder) attribute(p *onnxpb.AttributeProto) *Attribute {
	a := &Attribute{
		Name:    take(&p.Name),
		RefName: take(&p.RefAttrName),
		Doc:     take(&p.DocString),
		Type:    AttributeType(p.GetType()),
	}
	if a.Type == AttrUndefined {
		a.Type = deduceType(p)
	}
	typ := a.Type
	if a.RefName != "" {
		typ = AttrUndefined // the value is the function's to supply; one in the file stays in the rest
	}
	d.attributeValue(p, a, typ)
	if p.T != nil || p.G != nil || p.SparseTensor != nil || len(p.Tensors)+len(p.Graphs)+len(p.SparseTensors) > 0 {
		d.bad(fmt.Errorf("attribute %q: a value of another type than %s", a.Name, typ))
	}
	p.Type = nil
	a.rest = keep(p)
	return a
}

// attributeValue moves the value of that type from p to a.
func (d *decoder) attributeValue(p *onnxpb.AttributeProto, a *Attribute, typ AttributeType) {
	switch typ {
	case AttrFloat:
		a.F, p.F = p.GetF(), nil
	case AttrInt:
		a.I, p.I = p.GetI(), nil
	case AttrString:
		a.S, p.S = p.S, nil
	case AttrTensor:
		if p.T != nil {
			a.T, p.T = d.tensor(p.T), nil
		}
	case AttrGraph:
		if p.G != nil {
			a.G, p.G = d.graph(p.G), nil
		}
	case AttrSparseTensor:
		if p.SparseTensor != nil {
			a.Sparse, p.SparseTensor = d.sparse(p.SparseTensor), nil
		}
	case AttrFloats:
		a.Floats, p.Floats = p.Floats, nil
	case AttrInts:
		a.Ints, p.Ints = p.Ints, nil
	case AttrStrings:
		a.Strings, p.Strings = p.Strings, nil
	case AttrTensors:
		a.Tensors, p.Tensors = decodeAll(p.Tensors, d.tensor), nil
	case AttrGraphs:
		a.Graphs, p.Graphs = decodeAll(p.Graphs, d.graph), nil
	case AttrSparseTensors:
		a.Sparses, p.SparseTensors = decodeAll(p.SparseTensors, d.sparse), nil
	}
}

// deduceType returns the type of an attribute that does not say it, as files
// before IR version 2 don't: that of the field which holds the value.
func deduceType(p *onnxpb.AttributeProto) AttributeType {
	switch {
	case p.F != nil:
		return AttrFloat
	case p.I != nil:
		return AttrInt
	case p.S != nil:
		return AttrString
	case p.T != nil:
		return AttrTensor
	case p.G != nil:
		return AttrGraph
	case p.SparseTensor != nil:
		return AttrSparseTensor
	case p.Tp != nil:
		return AttrTypeProto
	case len(p.Floats) > 0:
		return AttrFloats
	case len(p.Ints) > 0:
		return AttrInts
	case len(p.Strings) > 0:
		return AttrStrings
	case len(p.Tensors) > 0:
		return AttrTensors
	case len(p.Graphs) > 0:
		return AttrGraphs
	case len(p.SparseTensors) > 0:
		return AttrSparseTensors
	case len(p.TypeProtos) > 0:
		return AttrTypeProtos
	default:
		return AttrUndefined
	}
}

func (d *decoder) value(p *onnxpb.ValueInfoProto) *ValueInfo {
	v := &ValueInfo{
		Name:     take(&p.Name),
		Type:     tensorType(p.Type),
		Doc:      take(&p.DocString),
		Metadata: props(p.MetadataProps),
	}
	// The type stays in the rest as it was: it can hold more than a
	// TensorType, and is written back if the TensorType is unchanged.
	p.MetadataProps = nil
	v.rest = keep(p)
	return v
}

// tensorType decodes the type of a dense tensor, the zero TensorType for any
// other.
func tensorType(p *onnxpb.TypeProto) TensorType {
	t := p.GetTensorType()
	if t == nil {
		return TensorType{}
	}
	typ := TensorType{Elem: DataType(t.GetElemType()), HasShape: t.Shape != nil}
	for _, dim := range t.GetShape().GetDim() {
		switch v := dim.GetValue().(type) {
		case *onnxpb.TensorShapeProto_Dimension_DimValue:
			typ.Shape = append(typ.Shape, Fixed(v.DimValue))
		case *onnxpb.TensorShapeProto_Dimension_DimParam:
			typ.Shape = append(typ.Shape, Symbol(v.DimParam))
		default:
			typ.Shape = append(typ.Shape, Symbol(""))
		}
	}
	return typ
}

// hasOtherType reports whether the value is declared to be something else than a
// dense tensor.
func (v *ValueInfo) hasOtherType() bool {
	p, _ := v.rest.msg.(*onnxpb.ValueInfoProto)
	return v.Type.equal(TensorType{}) && p.GetType().GetValue() != nil && p.Type.GetTensorType() == nil
}
