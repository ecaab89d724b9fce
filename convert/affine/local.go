package affine

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"slices"
)

// LocalShape is the shape of a layer in local form: a batched matrix product in
// which each group g and output position p has a matrix of its own, from the
// inputs that p sees to the output channels of g. Row (g·outPerGroup + o)·positions
// + p of the layer's matrix belongs to channel o of group g, which reads elements
// g·block to (g+1)·block of the vector.
type LocalShape struct {
	Groups, Positions, OutPerGroup int
	Block                          int  // elements of the vector that a group reads
	Slots                          int  // inputs that a position sees
	Padded                         bool // some position sees fewer
}

// Dims are those of the weights: [group, position, output channel, slot].
func (s LocalShape) Dims() []int64 {
	return []int64{int64(s.Groups), int64(s.Positions), int64(s.OutPerGroup), int64(s.Slots)}
}

// Bytes is the size of the weights. A slot without a tap is stored, as a zero.
func (s LocalShape) Bytes() int64 {
	return 4 * int64(s.Groups) * int64(s.Positions) * int64(s.OutPerGroup) * int64(s.Slots)
}

// TableBytes is the size of the table of inputs that each position sees.
func (s LocalShape) TableBytes() int64 { return 8 * int64(s.Positions) * int64(s.Slots) }

// Local is a layer in local form.
type Local interface {
	Shape() LocalShape
	// WriteTable writes, as little-endian int64, which inputs of its group each
	// position sees, [position, slot]: numbers of elements of the group's block of
	// the vector, and for a slot without a tap the number of the zero behind that
	// block.
	WriteTable(w io.Writer) error
	// TableKey is equal for layers that have one table, which they share. ok is
	// false where the table is as large as the weights and is not compared.
	TableKey() (key [sha256.Size]byte, ok bool)
	// WriteWeights writes the weights as little-endian float32.
	WriteWeights(w io.Writer) error
	// HeldBytes is what its table takes in memory.
	HeldBytes() int64
}

// localForm is a Map in local form. Its slots are channels of a group × taps.
type localForm struct {
	*Map
	LocalShape
	taps int // most taps of any output position
}

// Local returns m in local form.
func (m *Map) Local() Local { return m.local() }

// local returns m in local form.
func (m *Map) local() localForm {
	f := localForm{Map: m, LocalShape: LocalShape{
		Groups: m.Groups, Positions: m.Taps.Out, OutPerGroup: m.OutChannels / m.Groups,
		Block: m.InChannels / m.Groups * m.Taps.In,
	}}
	fewest := m.Taps.In
	for _, n := range m.Taps.perPosition() {
		f.taps, fewest = max(f.taps, n), min(fewest, n)
	}
	f.Slots = m.InChannels / m.Groups * f.taps
	f.Padded = fewest < f.taps
	return f
}

func (f localForm) Shape() LocalShape { return f.LocalShape }

// HeldBytes is 0: the table follows from the geometry.
func (f localForm) HeldBytes() int64 { return 0 }

// WriteWeights writes the weights [group, position, output channel, slot] as
// little-endian float32. Slot c·taps + j holds the weight of the j-th tap of
// the position in channel c of the group.
func (f localForm) WriteWeights(w io.Writer) error {
	blocks, blockBytes := f.LocalShape.Groups*f.Taps.Out, 4*f.OutPerGroup*f.Slots
	if blocks == 0 || blockBytes == 0 {
		return nil
	}
	perChunk := min(blocks, max(1, ChunkBytes/blockBytes))
	return writeChunks(w, (blocks+perChunk-1)/perChunk, func() filler {
		buf := make([]byte, perChunk*blockBytes)
		var held []blockOf // what buf has, block by block, where it is worth knowing
		if blockBytes > 64*f.taps {
			held = make([]blockOf, perChunk)
		}
		var taps []Tap
		return func(c int) []byte {
			lo, hi := c*perChunk, min((c+1)*perChunk, blocks)
			for i := lo; i < hi; i++ {
				g, at := i/f.Taps.Out, i-lo
				taps = f.Taps.At(i%f.Taps.Out, taps)
				block := buf[at*blockBytes:][:blockBytes]
				switch {
				case held != nil && held[at].is(g, taps):
					continue
				case held != nil && at > 0 && held[at-1].is(g, taps):
					copy(block, buf[(at-1)*blockBytes:])
				default:
					f.putBlock(block, g, taps)
				}
				if held != nil {
					held[at].set(g, taps)
				}
			}
			return buf[:(hi-lo)*blockBytes]
		}
	})
}

// blockOf says of which group, and of which coefficients by slot, a block of weights is.
// Positions that see the same have the same block.
type blockOf struct {
	group int
	coefs []int32 // nil of no block
}

func (b *blockOf) is(g int, taps []Tap) bool {
	if b.coefs == nil || b.group != g || len(b.coefs) != len(taps) {
		return false
	}
	for j, t := range taps {
		if b.coefs[j] != t.Coef {
			return false
		}
	}
	return true
}

func (b *blockOf) set(g int, taps []Tap) {
	b.group = g
	b.coefs = slices.Grow(b.coefs[:0], len(taps)+1) // it is no longer nil
	for _, t := range taps {
		b.coefs = append(b.coefs, t.Coef)
	}
}

// putBlock stores the weights of one group at a position with those taps.
func (f localForm) putBlock(block []byte, g int, taps []Tap) {
	clear(block)
	channels, coefs := f.InChannels/f.LocalShape.Groups, f.Taps.Coefs
	for o := range f.OutPerGroup {
		row := f.KernelRow(g*f.OutPerGroup + o)
		for c := range channels {
			k := f.Kernel[(row*channels+c)*coefs:][:coefs]
			slots := block[4*((o*channels+c)*f.taps):][:4*len(taps)]
			for _, t := range taps {
				binary.LittleEndian.PutUint32(slots, math.Float32bits(k[t.Coef]))
				slots = slots[4:]
			}
		}
	}
}

// inputs calls visit with the inputs that a position with those taps sees, slot by
// slot.
func (f localForm) inputs(taps []Tap, visit func(at int)) {
	channels, in := f.InChannels/f.LocalShape.Groups, f.Taps.In
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
	table := make([]int64, 0, f.Taps.Out*f.Slots)
	var taps []Tap
	for p := range f.Taps.Out {
		taps = f.Taps.At(p, taps)
		f.inputs(taps, func(at int) { table = append(table, int64(at)) })
	}
	return table
}

func (f localForm) WriteTable(w io.Writer) error {
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
func (s LocalShape) writePositions(w io.Writer, newPut func() func(b []byte, p int) []byte) error {
	perChunk := max(1, ChunkBytes/max(8*s.Slots, 1))
	return writeChunks(w, (s.Positions+perChunk-1)/perChunk, func() filler {
		put := newPut()
		buf := make([]byte, 0, min(perChunk, s.Positions)*8*s.Slots)
		return func(c int) []byte {
			buf = buf[:0]
			for p := c * perChunk; p < min((c+1)*perChunk, s.Positions); p++ {
				buf = put(buf, p)
			}
			return buf
		}
	})
}

// The kinds of table that a key is of; each key begins with one.
const (
	wholeTable   = iota // the only position sees everything
	axesTable           // the taps along each axis
	productTable        // what every position of a product sees
)

// TableKey: the table follows from the geometry along each axis, which is far
// smaller. An axis of length 1 says nothing, nor do any if the only position there
// is sees everything.
func (f localForm) TableKey() ([sha256.Size]byte, bool) {
	h := sha256.New()
	put := func(v ...int) {
		for _, v := range v {
			_ = binary.Write(h, binary.LittleEndian, int64(v)) // a hash takes everything
		}
	}
	if f.Positions == 1 && f.taps == f.Taps.In {
		put(wholeTable, f.Slots)
		return [sha256.Size]byte(h.Sum(nil)), true
	}
	put(axesTable, f.InChannels/f.LocalShape.Groups, f.taps)
	for _, a := range f.Taps.axes {
		if a.In == 1 && len(a.Taps) == 1 && len(a.Taps[0]) == 1 {
			continue
		}
		put(a.In, len(a.Taps))
		for _, along := range a.Taps {
			put(len(along))
			for _, t := range along {
				put(int(t.In))
			}
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), true
}

// LocalDims returns the shape that the weights of the map have in local form,
// [group, position, output channel, slot], and the number of slots that one
// input channel has. Slot c·taps + j of position p is the j-th tap of p in
// channel c of the group; a slot behind the last tap of p lies in padding.
func (m *Map) LocalDims() (dims []int64, taps int) {
	f := m.local()
	return f.Dims(), f.taps
}

// LocalTable returns which inputs of its group each position sees in local
// form, [position, slot]: numbers of elements of the group's part of the
// vector and, for a slot in padding, the length of that part.
func (m *Map) LocalTable() []int64 { return m.local().table() }
