package convert

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"

	"efcn/onnxio"
)

// localShape is the shape of a layer in local form: a batched matrix product in
// which each group g and output position p has a matrix of its own, from the
// inputs that p sees to the output channels of g. Row (g·outPerGroup + o)·positions
// + p of the layer's matrix belongs to channel o of group g, which reads elements
// g·block to (g+1)·block of the vector.
type localShape struct {
	groups, positions, outPerGroup int
	block                          int  // elements of the vector that a group reads
	slots                          int  // inputs that a position sees
	padded                         bool // some position sees fewer
}

// dims are those of the weights: [group, position, output channel, slot].
func (s localShape) dims() []int64 {
	return []int64{int64(s.groups), int64(s.positions), int64(s.outPerGroup), int64(s.slots)}
}

// bytes is the size of the weights. A slot without a tap is stored, as a zero.
func (s localShape) bytes() int64 {
	return 4 * int64(s.groups) * int64(s.positions) * int64(s.outPerGroup) * int64(s.slots)
}

// tableBytes is the size of the table of inputs that each position sees.
func (s localShape) tableBytes() int64 { return 8 * int64(s.positions) * int64(s.slots) }

// localLayer is a layer in local form.
type localLayer interface {
	shape() localShape
	// writeTable writes, as little-endian int64, which inputs of its group each
	// position sees, [position, slot]: numbers of elements of the group's block of
	// the vector, and for a slot without a tap the number of the zero behind that
	// block.
	writeTable(w io.Writer) error
	// tableKey is equal for layers that have one table, which they share. ok is
	// false where the table is as large as the weights and is not compared.
	tableKey() (key [sha256.Size]byte, ok bool)
	// writeWeights writes the weights as little-endian float32.
	writeWeights(w io.Writer) error
	// heldBytes is what its table takes in memory.
	heldBytes() int64
}

// localForm is a Map in local form. Its slots are channels of a group × taps.
type localForm struct {
	*Map
	localShape
	taps int // most taps of any output position
}

func (m *Map) localLayer() localLayer { return m.local() }

// local returns m in local form.
func (m *Map) local() localForm {
	f := localForm{Map: m, localShape: localShape{
		groups: m.Groups, positions: m.Taps.Out, outPerGroup: m.OutChannels / m.Groups, block: m.InChannels / m.Groups * m.Taps.In,
	}}
	fewest := m.Taps.In
	for _, n := range m.Taps.perPosition() {
		f.taps, fewest = max(f.taps, n), min(fewest, n)
	}
	f.slots = m.InChannels / m.Groups * f.taps
	f.padded = fewest < f.taps
	return f
}

// perPosition returns the different numbers of taps that output positions have.
func (t *Taps) perPosition() []int {
	counts := []int{1}
	for _, a := range t.axes {
		along := make(map[int]bool)
		for _, taps := range a.taps {
			along[len(taps)] = true
		}
		var next []int
		for _, c := range counts {
			for n := range along {
				next = append(next, c*n)
			}
		}
		counts = next
	}
	return counts
}

func (f localForm) shape() localShape { return f.localShape }

// heldBytes is 0: the table follows from the geometry.
func (f localForm) heldBytes() int64 { return 0 }

// writeWeights writes the weights [group, position, output channel, slot] as
// little-endian float32. Slot c·taps + j holds the weight of the j-th tap of
// the position in channel c of the group.
func (f localForm) writeWeights(w io.Writer) error {
	blocks, blockBytes := f.Groups*f.Taps.Out, 4*f.outPerGroup*f.slots
	if blocks == 0 || blockBytes == 0 {
		return nil
	}
	perChunk := min(blocks, max(1, chunkBytes/blockBytes))
	return writeChunks(w, (blocks+perChunk-1)/perChunk, func() filler {
		buf := make([]byte, perChunk*blockBytes)
		var taps []Tap
		return func(c int) []byte {
			lo, hi := c*perChunk, min((c+1)*perChunk, blocks)
			for i := lo; i < hi; i++ {
				g, p := i/f.Taps.Out, i%f.Taps.Out
				taps = f.Taps.At(p, taps)
				f.putBlock(buf[(i-lo)*blockBytes:(i-lo+1)*blockBytes], g, taps)
			}
			return buf[:(hi-lo)*blockBytes]
		}
	})
}

// putBlock stores the weights of one group at a position with those taps.
func (f localForm) putBlock(block []byte, g int, taps []Tap) {
	clear(block)
	channels, coefs := f.InChannels/f.Groups, f.Taps.Coefs
	for o := range f.outPerGroup {
		row := f.KernelRow(g*f.outPerGroup + o)
		for c := range channels {
			k := f.Kernel[(row*channels+c)*coefs:][:coefs]
			slots := block[4*((o*channels+c)*f.taps):]
			for j, t := range taps {
				binary.LittleEndian.PutUint32(slots[4*j:], math.Float32bits(k[t.Coef]))
			}
		}
	}
}

// inputs calls visit with the inputs that a position with those taps sees, slot by
// slot.
func (f localForm) inputs(taps []Tap, visit func(at int)) {
	channels, in := f.InChannels/f.Groups, f.Taps.In
	for c := range channels {
		for j := range f.taps {
			at := channels * in
			if j < len(taps) {
				at = c*in + int(taps[j].In)
			}
			visit(at)
		}
	}
}

func (f localForm) table() []int64 {
	table := make([]int64, 0, f.Taps.Out*f.slots)
	var taps []Tap
	for p := range f.Taps.Out {
		taps = f.Taps.At(p, taps)
		f.inputs(taps, func(at int) { table = append(table, int64(at)) })
	}
	return table
}

func (f localForm) writeTable(w io.Writer) error {
	return f.writePositions(w, func() func([]byte, int) []byte {
		var taps []Tap
		return func(b []byte, p int) []byte {
			taps = f.Taps.At(p, taps)
			f.inputs(taps, func(at int) { b = binary.LittleEndian.AppendUint64(b, uint64(at)) })
			return b
		}
	})
}

// writePositions writes a table: what a function that newPut makes appends for
// every position, in their order.
func (s localShape) writePositions(w io.Writer, newPut func() func(b []byte, p int) []byte) error {
	perChunk := max(1, chunkBytes/max(8*s.slots, 1))
	return writeChunks(w, (s.positions+perChunk-1)/perChunk, func() filler {
		put := newPut()
		buf := make([]byte, 0, min(perChunk, s.positions)*8*s.slots)
		return func(c int) []byte {
			buf = buf[:0]
			for p := c * perChunk; p < min((c+1)*perChunk, s.positions); p++ {
				buf = put(buf, p)
			}
			return buf
		}
	})
}

// tableKey: the table follows from the geometry along each axis, which is far
// smaller. An axis of length 1 says nothing, nor do any if the only position there
// is sees everything.
func (f localForm) tableKey() ([sha256.Size]byte, bool) {
	h := sha256.New()
	put := func(v ...int) {
		for _, v := range v {
			_ = binary.Write(h, binary.LittleEndian, int64(v)) // a hash takes everything
		}
	}
	if f.positions == 1 && f.taps == f.Taps.In {
		put(f.slots)
		return [sha256.Size]byte(h.Sum(nil)), true
	}
	put(f.InChannels/f.Groups, f.taps)
	for _, a := range f.Taps.axes {
		if a.in == 1 && len(a.taps) == 1 && len(a.taps[0]) == 1 {
			continue
		}
		put(a.in, len(a.taps))
		for _, along := range a.taps {
			put(len(along))
			for _, t := range along {
				put(int(t.In))
			}
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), true
}

// local puts a linear layer into the eFCN in local form, with the batch as the
// last axis while it works so that a gathered element is a run of memory:
// reshape [N, G, block] → transpose [G, block, N] → a zero behind each block →
// gather [G, P, slots, N] → product with the weights [G, P, out, N] → transpose
// [N, G, out, P] → flatten → bias.
func (b *builder) local(n *onnxio.Node, l *Layer) {
	form := l.affine.localLayer()
	f := form.shape()
	rec := l.LayerRecord
	elem, batch := onnxio.Float32, b.plan.batch
	group, out, positions := onnxio.Fixed(int64(f.groups)), onnxio.Fixed(int64(f.outPerGroup)), onnxio.Fixed(int64(f.positions))
	block, slots := int64(f.block), onnxio.Fixed(int64(f.slots))

	value := func(what string, shape ...onnxio.Dim) string {
		name := b.unique(l.Output + "/" + what)
		b.declare(name, onnxio.TensorType{Elem: elem, HasShape: true, Shape: shape})
		return name
	}
	add := func(op, output string, inputs []string, attrs ...*onnxio.Attribute) string {
		b.node(&onnxio.Node{Name: b.unique(output + "/" + op), OpType: op, Inputs: inputs, Outputs: []string{output}, Attributes: attrs})
		return output
	}

	x := b.vec(n.Input(0))
	grouped := value("grouped", batch, group, onnxio.Fixed(block))
	b.reshape(x, grouped, onnxio.Shape{batch, group, onnxio.Fixed(block)})
	y := add("Transpose", value("columns", group, onnxio.Fixed(block), batch), []string{grouped}, onnxio.IntsAttr("perm", 1, 2, 0))
	if f.padded {
		y = b.zeroBehind(y, value("padded", group, onnxio.Fixed(block+1), batch))
	}
	rec.Index = b.indexTable(form, l.Node+".index")
	y = add("Gather", value("seen", group, positions, slots, batch), []string{y, rec.Index}, onnxio.IntAttr("axis", 1))
	rec.Weight = b.tensor(&onnxio.Tensor{
		Name: l.Node + ".weight", Type: onnxio.Float32, Dims: f.dims(),
		Data: onnxio.Generate(f.bytes(), form.writeWeights),
	})
	product := value("product", group, positions, out, batch)
	b.node(&onnxio.Node{Name: b.nodeName(n), OpType: "MatMul", Inputs: []string{rec.Weight, y}, Outputs: []string{product}, Metadata: n.Metadata})
	y = add("Transpose", value("channels", batch, group, out, positions), []string{product}, onnxio.IntsAttr("perm", 3, 0, 2, 1))
	if l.affine.hasBias() {
		rec.Bias = b.tensor(l.bias())
		y = add("Flatten", value("linear", batch, onnxio.Fixed(l.Rows)), []string{y}, onnxio.IntAttr("axis", 1))
		add("Add", b.newVec(l.Output), []string{y, rec.Bias})
	} else {
		add("Flatten", b.newVec(l.Output), []string{y}, onnxio.IntAttr("axis", 1))
	}
	b.record.Layers = append(b.record.Layers, rec)
}

// zeroBehind appends a zero along axis 1 of a tensor of three axes.
func (b *builder) zeroBehind(x, output string) string {
	return b.pad(x, output, []int64{0, 0, 0, 0, 1, 0}, 0)
}

// indexTable returns the name of the index table of a layer, one for all layers
// that have the same.
func (b *builder) indexTable(form localLayer, name string) string {
	key, shared := form.tableKey()
	if shared && b.tables[key] != "" {
		return b.tables[key]
	}
	s := form.shape()
	name = b.tensor(&onnxio.Tensor{
		Name: name, Type: onnxio.Int64, Dims: int64s([]int{s.positions, s.slots}),
		Data: onnxio.Generate(s.tableBytes(), form.writeTable),
	})
	if shared {
		b.tables[key] = name
	}
	return name
}
