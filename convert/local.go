package convert

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"

	"efcn/onnxio"
)

// localForm is the shape of a layer in local form: a batched matrix product in
// which each group g and output position p has a matrix of its own, from the
// inputs that p sees to the output channels of g.
type localForm struct {
	*Map
	outPerGroup int
	taps        int // most taps of any output position
	slots       int // inputs that a position sees: channels of a group × taps
	padded      bool
}

// local returns the shape of m in local form.
func (m *Map) local() localForm {
	f := localForm{Map: m, outPerGroup: m.OutChannels / m.Groups}
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

// dims are those of the weights: [group, position, output channel, slot].
func (f localForm) dims() []int64 {
	return int64s([]int{f.Groups, f.Taps.Out, f.outPerGroup, f.slots})
}

// bytes is the size of the weights. A slot whose tap lies in padding is stored,
// as a zero.
func (f localForm) bytes() int64 {
	return 4 * int64(f.OutChannels) * int64(f.Taps.Out) * int64(f.slots)
}

// tableBytes is the size of the table of inputs that each position sees.
func (f localForm) tableBytes() int64 { return 8 * int64(f.Taps.Out) * int64(f.slots) }

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
		for c := range channels {
			k := f.Kernel[((g*f.outPerGroup+o)*channels+c)*coefs:][:coefs]
			slots := block[4*((o*channels+c)*f.taps):]
			for j, t := range taps {
				binary.LittleEndian.PutUint32(slots[4*j:], math.Float32bits(k[t.Coef]))
			}
		}
	}
}

// table returns which inputs of its group each position sees, [position, slot]:
// numbers of elements of the group's block of the vector, and for a slot
// without a tap the number of the zero behind that block.
func (f localForm) table() []int64 {
	channels, in := f.InChannels/f.Groups, f.Taps.In
	table := make([]int64, 0, f.Taps.Out*f.slots)
	var taps []Tap
	for p := range f.Taps.Out {
		taps = f.Taps.At(p, taps)
		for c := range channels {
			for j := range f.taps {
				at := channels * in
				if j < len(taps) {
					at = c*in + int(taps[j].In)
				}
				table = append(table, int64(at))
			}
		}
	}
	return table
}

// local puts a linear layer into the eFCN in local form, with the batch as the
// last axis while it works so that a gathered element is a run of memory:
// reshape [N, G, block] → transpose [G, block, N] → a zero behind each block →
// gather [G, P, slots, N] → product with the weights [G, P, out, N] → transpose
// [N, G, out, P] → flatten → bias.
func (b *builder) local(n *onnxio.Node, l *Layer) {
	f := l.affine.local()
	rec := l.LayerRecord
	elem, batch := onnxio.Float32, b.plan.batch
	group, out, positions := onnxio.Fixed(int64(f.Groups)), onnxio.Fixed(int64(f.outPerGroup)), onnxio.Fixed(int64(f.Taps.Out))
	block, slots := int64(f.InChannels/f.Groups*f.Taps.In), onnxio.Fixed(int64(f.slots))

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
	rec.Index = b.sharedTable(f.table(), int64(f.Taps.Out), int64(f.slots), l.Node+".index")
	y = add("Gather", value("seen", group, positions, slots, batch), []string{y, rec.Index}, onnxio.IntAttr("axis", 1))
	rec.Weight = b.tensor(&onnxio.Tensor{
		Name: l.Node + ".weight", Type: onnxio.Float32, Dims: f.dims(),
		Data: onnxio.Generate(f.bytes(), f.writeWeights),
	})
	product := value("product", group, positions, out, batch)
	b.node(&onnxio.Node{Name: b.nodeName(n), OpType: "MatMul", Inputs: []string{rec.Weight, y}, Outputs: []string{product}, Metadata: n.Metadata})
	y = add("Transpose", value("channels", batch, group, out, positions), []string{product}, onnxio.IntsAttr("perm", 3, 0, 2, 1))
	if bias := f.BiasVector(); bias != nil {
		rec.Bias = b.tensor(onnxio.NewTensor(l.Node+".bias", []int64{l.Rows}, bias))
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

// sharedTable returns the name of an index table, one for all layers that have
// the same.
func (b *builder) sharedTable(table []int64, rows, cols int64, name string) string {
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, rows) // a hash takes everything
	_ = binary.Write(h, binary.LittleEndian, table)
	key := [sha256.Size]byte(h.Sum(nil))
	if b.tables[key] == "" {
		b.tables[key] = b.tensor(onnxio.NewTensor(name, []int64{rows, cols}, table))
	}
	return b.tables[key]
}
