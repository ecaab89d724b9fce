// Package layout writes the nodes of a linear layer in local and in factored form.
//
// Start with a [Builder] of the graph, and call [Builder.Local] or [Builder.Factored]
// where the layer's nodes belong: at the end of the nodes that are there. convert calls
// it for the layers of a CNN, convert/compress for those of an eFCN whose layout changes.
package layout

import (
	"crypto/sha256"

	"efcn/onnxio"
)

// Builder puts nodes and constants at the end of a graph.
type Builder struct {
	Graph *onnxio.Graph
	Names *onnxio.Names // those of Graph are taken
	Batch onnxio.Dim    // the first axis of every vector
	Opset int64         // version of ONNX's own operators

	tables map[[sha256.Size]byte]string // index tables by their key
}

// Node appends a node.
func (b *Builder) Node(n *onnxio.Node) { b.Graph.Nodes = append(b.Graph.Nodes, n) }

// Tensor appends an initializer, under a name that nothing else has, and returns that.
func (b *Builder) Tensor(t *onnxio.Tensor) string {
	t.Name = b.Names.Free(t.Name)
	b.Graph.Initializers = append(b.Graph.Initializers, t)
	return t.Name
}

// Declare notes the type of a value that nodes compute, if it is known. An output of the
// graph has its own.
func (b *Builder) Declare(name string, t onnxio.TensorType) {
	if t.Elem == onnxio.Undefined {
		return
	}
	for _, v := range b.Graph.Outputs {
		if v.Name == name {
			return
		}
	}
	b.Graph.ValueInfos = append(b.Graph.ValueInfos, &onnxio.ValueInfo{Name: name, Type: t})
}

// Reshape appends a Reshape to a shape whose first axis is the batch. The
// batch is copied (0), so that a symbolic or empty one stays what it is.
func (b *Builder) Reshape(from, to string, s onnxio.Shape) {
	dims := make([]int64, len(s))
	for i := 1; i < len(s); i++ {
		dims[i] = s[i].Value
	}
	shape := b.Tensor(onnxio.NewTensor(to+"/shape", []int64{int64(len(dims))}, dims))
	b.Node(&onnxio.Node{
		Name: b.Names.Free(to + "/reshape"), OpType: "Reshape",
		Inputs: []string{from, shape}, Outputs: []string{to},
	})
}

// Pad appends a Pad with a constant, and returns its output.
func (b *Builder) Pad(x, output string, pads []int64, fill float32) string {
	node := &onnxio.Node{
		Name: b.Names.Free(output + "/pad"), OpType: "Pad", Inputs: []string{x},
		Outputs: []string{output},
	}
	if b.padsAreAttributes() {
		node.Attributes = []*onnxio.Attribute{onnxio.IntsAttr("pads", pads...), onnxio.FloatAttr("value", fill)}
	} else {
		node.Inputs = append(node.Inputs,
			b.Tensor(onnxio.NewTensor(output+"/pads", []int64{int64(len(pads))}, pads)),
			b.Tensor(onnxio.NewTensor(output+"/value", nil, []float32{fill})))
	}
	b.Node(node)
	return output
}

// padsAreAttributes: they are inputs in newer versions.
func (b *Builder) padsAreAttributes() bool {
	schema, ok := onnxio.LookupOp("", "Pad", b.Opset)
	if ok {
		_, ok = schema.Attribute("pads")
	}
	return ok
}
