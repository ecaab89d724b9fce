package layout

import (
	"crypto/sha256"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// Layer is a linear layer that is to be put into a graph.
type Layer struct {
	Record   record.Layer  // of it, without the names of its constants
	Name     string        // of the node that multiplies
	Metadata []onnxio.Prop // of that node
	Input    string        // the vector that it sees, [batch, in]
	// Output names the vector that it computes, [batch, out].
	Output func() string
	// Bias puts its bias [out] into the graph and returns the name; nil for none.
	Bias    func() string
	Form    affine.Local // which inputs each position sees
	Weights onnxio.Data  // of the local form: [group, position, out channel, slot], float32

	// Of a factored layer: U [out, rank] and V [rank, in], float32.
	Left, Right onnxio.Data
}

// Local puts a layer into the graph in local form and returns its record. The batch is
// the last axis while its nodes work so that a gathered element is a run of memory:
// reshape [N, G, block] → transpose [G, block, N] → a zero behind each block →
// gather [G, P, slots, N] → product with the weights [G, P, out, N] → transpose
// [N, G, out, P] → flatten → bias.
func (b *Builder) Local(l Layer) record.Layer {
	f := l.Form.Shape()
	rec, batch := l.Record, b.Batch
	group, out, positions := onnxio.Fixed(int64(f.Groups)), onnxio.Fixed(int64(f.OutPerGroup)),
		onnxio.Fixed(int64(f.Positions))
	block, slots := int64(f.Block), onnxio.Fixed(int64(f.Slots))

	value := func(what string, shape ...onnxio.Dim) string {
		name := b.Names.Free(rec.Output + "/" + what)
		b.Declare(name, onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: shape})
		return name
	}
	add := func(op, output string, inputs []string, attrs ...*onnxio.Attribute) string {
		b.Node(&onnxio.Node{
			Name: b.Names.Free(output + "/" + op), OpType: op, Inputs: inputs,
			Outputs: []string{output}, Attributes: attrs,
		})
		return output
	}

	grouped := value("grouped", batch, group, onnxio.Fixed(block))
	b.Reshape(l.Input, grouped, onnxio.Shape{batch, group, onnxio.Fixed(block)})
	y := add("Transpose", value("columns", group, onnxio.Fixed(block), batch), []string{grouped},
		onnxio.IntsAttr("perm", 1, 2, 0))
	if f.Padded {
		y = b.zeroBehind(y, value("padded", group, onnxio.Fixed(block+1), batch))
	}
	rec.Index = b.indexTable(l.Form, rec.Node+".index")
	y = add("Gather", value("seen", group, positions, slots, batch), []string{y, rec.Index}, onnxio.IntAttr("axis", 1))
	rec.Weight = b.Tensor(&onnxio.Tensor{
		Name: rec.Node + ".weight", Type: onnxio.Float32, Dims: f.Dims(), Data: l.Weights,
	})
	product := value("product", group, positions, out, batch)
	b.Node(&onnxio.Node{
		Name: l.Name, OpType: "MatMul", Inputs: []string{rec.Weight, y},
		Outputs: []string{product}, Metadata: l.Metadata,
	})
	y = add("Transpose", value("channels", batch, group, out, positions), []string{product},
		onnxio.IntsAttr("perm", 3, 0, 2, 1))
	if l.Bias != nil {
		rec.Bias = l.Bias()
		y = add("Flatten", value("linear", batch, onnxio.Fixed(l.outputs())), []string{y}, onnxio.IntAttr("axis", 1))
		add("Add", l.Output(), []string{y, rec.Bias})
	} else {
		add("Flatten", l.Output(), []string{y}, onnxio.IntAttr("axis", 1))
	}
	return rec
}

// outputs is the length of the vector that the layer computes.
func (l *Layer) outputs() int64 { return affine.Size(l.Record.OutputShape) }

// zeroBehind appends a zero along axis 1 of a tensor of three axes.
func (b *Builder) zeroBehind(x, output string) string {
	return b.Pad(x, output, []int64{0, 0, 0, 0, 1, 0}, 0)
}

// indexTable returns the name of the index table of a layer, one for all layers
// that have the same.
func (b *Builder) indexTable(form affine.Local, name string) string {
	key, shared := form.TableKey()
	if shared && b.tables[key] != "" {
		return b.tables[key]
	}
	s := form.Shape()
	name = b.Tensor(&onnxio.Tensor{
		Name: name, Type: onnxio.Int64, Dims: []int64{int64(s.Positions), int64(s.Slots)},
		Data: onnxio.Generate(s.TableBytes(), form.WriteTable),
	})
	if shared {
		if b.tables == nil {
			b.tables = make(map[[sha256.Size]byte]string)
		}
		b.tables[key] = name
	}
	return name
}

// Factored puts a layer into the graph in local form with U·(V·x) added to it, and
// returns its record. Its Rank is that of Record.
func (b *Builder) Factored(l Layer) record.Layer {
	declare := func(name string, length int64) string {
		b.Declare(name, onnxio.TensorType{
			Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{b.Batch, onnxio.Fixed(length)},
		})
		return name
	}
	rows, cols, rank := l.outputs(), affine.Size(l.Record.InputShape), l.Record.Rank
	local, output := b.Names.Free(l.Record.Output+"/local"), l.Output
	l.Output = func() string { return declare(local, rows) }
	rec := b.Local(l)
	factor := func(name string, data onnxio.Data, dims ...int64) string {
		return b.Tensor(&onnxio.Tensor{Name: rec.Node + name, Type: onnxio.Float32, Dims: dims, Data: data})
	}
	rec.Left = factor(".U", l.Left, rows, rank)
	rec.Right = factor(".V", l.Right, rank, cols)
	product := func(what, x, factor string, length int64) string {
		y := declare(b.Names.Free(rec.Output+"/"+what), length)
		b.Node(&onnxio.Node{
			Name: b.Names.Free(y + "/Gemm"), OpType: "Gemm", Inputs: []string{x, factor}, Outputs: []string{y},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)},
		})
		return y
	}
	v := product("v", l.Input, rec.Right, rank)
	uv := product("uv", v, rec.Left, rows)
	b.Node(&onnxio.Node{
		Name: b.Names.Free(rec.Output + "/Add"), OpType: "Add", Inputs: []string{local, uv}, Outputs: []string{output()},
	})
	return rec
}
