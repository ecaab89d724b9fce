package convert

import (
	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// local puts a linear layer into the eFCN in local form.
func (b *builder) local(n *onnxio.Node, l *Layer) {
	rec := b.localForm(n, l, func() string { return b.newVec(l.Output) })
	b.record.Layers = append(b.record.Layers, rec)
}

// localForm puts the nodes of the local form into the eFCN and returns what the record
// says of the layer. output names what the last of them computes. The batch is the
// last axis while they work so that a gathered element is a run of memory:
// reshape [N, G, block] → transpose [G, block, N] → a zero behind each block →
// gather [G, P, slots, N] → product with the weights [G, P, out, N] → transpose
// [N, G, out, P] → flatten → bias.
func (b *builder) localForm(n *onnxio.Node, l *Layer, output func() string) record.Layer {
	form := l.weights.Local()
	f := form.Shape()
	rec := l.Layer
	elem, batch := onnxio.Float32, b.plan.batch
	group, out, positions := onnxio.Fixed(int64(f.Groups)), onnxio.Fixed(int64(f.OutPerGroup)),
		onnxio.Fixed(int64(f.Positions))
	block, slots := int64(f.Block), onnxio.Fixed(int64(f.Slots))

	value := func(what string, shape ...onnxio.Dim) string {
		name := b.names.Free(l.Output + "/" + what)
		b.declare(name, onnxio.TensorType{Elem: elem, HasShape: true, Shape: shape})
		return name
	}
	add := func(op, output string, inputs []string, attrs ...*onnxio.Attribute) string {
		b.node(&onnxio.Node{
			Name: b.names.Free(output + "/" + op), OpType: op, Inputs: inputs,
			Outputs: []string{output}, Attributes: attrs,
		})
		return output
	}

	x := b.vec(n.Input(0))
	grouped := value("grouped", batch, group, onnxio.Fixed(block))
	b.reshape(x, grouped, onnxio.Shape{batch, group, onnxio.Fixed(block)})
	y := add("Transpose", value("columns", group, onnxio.Fixed(block), batch), []string{grouped},
		onnxio.IntsAttr("perm", 1, 2, 0))
	if f.Padded {
		y = b.zeroBehind(y, value("padded", group, onnxio.Fixed(block+1), batch))
	}
	rec.Index = b.indexTable(form, l.Node+".index")
	y = add("Gather", value("seen", group, positions, slots, batch), []string{y, rec.Index}, onnxio.IntAttr("axis", 1))
	rec.Weight = b.tensor(&onnxio.Tensor{
		Name: l.Node + ".weight", Type: onnxio.Float32, Dims: f.Dims(),
		Data: onnxio.Generate(f.Bytes(), form.WriteWeights),
	})
	product := value("product", group, positions, out, batch)
	b.node(&onnxio.Node{
		Name: b.nodeName(n), OpType: "MatMul", Inputs: []string{rec.Weight, y},
		Outputs: []string{product}, Metadata: n.Metadata,
	})
	y = add("Transpose", value("channels", batch, group, out, positions), []string{product},
		onnxio.IntsAttr("perm", 3, 0, 2, 1))
	if l.weights.HasBias() {
		rec.Bias = b.tensor(l.bias())
		y = add("Flatten", value("linear", batch, onnxio.Fixed(l.Rows)), []string{y}, onnxio.IntAttr("axis", 1))
		add("Add", output(), []string{y, rec.Bias})
	} else {
		add("Flatten", output(), []string{y}, onnxio.IntAttr("axis", 1))
	}
	return rec
}

// zeroBehind appends a zero along axis 1 of a tensor of three axes.
func (b *builder) zeroBehind(x, output string) string {
	return b.pad(x, output, []int64{0, 0, 0, 0, 1, 0}, 0)
}

// indexTable returns the name of the index table of a layer, one for all layers
// that have the same.
func (b *builder) indexTable(form affine.Local, name string) string {
	key, shared := form.TableKey()
	if shared && b.tables[key] != "" {
		return b.tables[key]
	}
	s := form.Shape()
	name = b.tensor(&onnxio.Tensor{
		Name: name, Type: onnxio.Int64, Dims: int64s([]int{s.Positions, s.Slots}),
		Data: onnxio.Generate(s.TableBytes(), form.WriteTable),
	})
	if shared {
		b.tables[key] = name
	}
	return name
}
