package affine

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"sync/atomic"
)

// productLocal is a product in local form. All channels of a group share what an
// output position sees: the union over them of the columns in the support.
//
// How the rows of a product fall into groups, channels and positions is not given
// by its factors: a selection between them can move everything anywhere. Of the
// ways that shape of its output and the factors suggest, the one that takes the
// fewest bytes is chosen; that every row is a position of its own is always one.
type productLocal struct {
	LocalShape
	m    *Product
	seen []int32 // [position, slot], the columns that each position sees; nil if own
	own  bool    // every row is a position, and its table is generated
}

// Local returns the product in local form, which is chosen when it is first asked for.
func (m *Product) Local() Local { return m.inLocal() }

func (m *Product) chooseLocal() *productLocal {
	groups := 0
	positions := []int{m.Rows(), m.positions}
	for _, f := range m.factors {
		groups = gcd(groups, f.parts())
		if f, ok := f.(matrixFactor); ok {
			positions = append(positions, f.Taps.Out)
		}
	}
	slices.Sort(positions)
	positions = slices.Compact(positions)
	var best *productLocal
	least := int64(math.MaxInt64)
	for _, g := range slices.Compact([]int{max(groups, 1), 1}) {
		for _, p := range positions {
			own := p == m.Rows()
			if own && 12*m.NonZeros() >= least { // the least that a table for every row takes
				continue
			}
			if p == 0 || m.Rows()%(g*p) != 0 || m.Cols()%g != 0 || own && g > 1 {
				continue
			}
			f := &productLocal{m: m, own: own, LocalShape: LocalShape{
				Groups: g, Positions: p, OutPerGroup: m.Rows() / g / p, Block: m.Cols() / g,
			}}
			if f.measure(least) {
				best, least = f, f.Bytes()+f.TableBytes()
			}
		}
	}
	if best == nil { // without rows
		best = &productLocal{m: m, own: true, LocalShape: LocalShape{
			Groups: 1, Positions: m.Rows(), OutPerGroup: 1, Block: m.Cols(), Slots: 1,
		}}
	}
	if !best.own {
		best.fill()
	}
	return best
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// measure finds out how many inputs a position sees, and reports whether each group
// reads its own block only and the form takes less than that many bytes.
func (f *productLocal) measure(limit int64) bool {
	perSlot := 4*int64(f.m.Rows()) + 8*int64(f.Positions)
	var most, fewest atomic.Int64
	fewest.Store(math.MaxInt64)
	var worse atomic.Bool
	f.eachPosition(func(_ int, seen []int32, ok bool) bool {
		n := int64(len(seen))
		if !ok || n*perSlot >= limit {
			worse.Store(true)
		}
		for v := most.Load(); v < n && !most.CompareAndSwap(v, n); v = most.Load() {
		}
		for v := fewest.Load(); v > n && !fewest.CompareAndSwap(v, n); v = fewest.Load() {
		}
		return !worse.Load()
	})
	f.Slots = int(max(1, most.Load()))
	f.Padded = fewest.Load() < int64(f.Slots)
	return !worse.Load() && int64(f.Slots)*perSlot < limit
}

// fill makes the table.
func (f *productLocal) fill() {
	f.seen = make([]int32, f.Positions*f.Slots)
	f.eachPosition(func(p int, seen []int32, _ bool) bool {
		row := f.seen[p*f.Slots:][:f.Slots]
		for i := copy(row, seen); i < f.Slots; i++ {
			row[i] = int32(f.Block)
		}
		return true
	})
}

// eachPosition calls visit, in parallel, with every output position and the
// columns that it sees, counted from the start of its group's block and ascending.
// ok is false if one is outside of that. It stops where visit returns false.
func (f *productLocal) eachPosition(visit func(p int, seen []int32, ok bool) bool) {
	parallel(f.Positions, func(lo, hi int) {
		s := newRowMaker(f.m)
		union := newAccumulator(f.Block)
		var cols []int32
		for p := lo; p < hi; p++ {
			last, ok := -1, true
			for o := range f.Groups * f.OutPerGroup {
				if o%f.OutPerGroup == 0 {
					last = -1 // the same columns are others from the start of another block
				}
				r := o*f.Positions + p
				if c := f.m.class(r); c == last {
					continue
				} else {
					last = c
				}
				start := o / f.OutPerGroup * f.Block
				cols = s.columns(r, cols)
				for _, c := range cols {
					at := int(c) - start
					if at < 0 || at >= f.Block {
						ok = false
						break
					}
					union.add(at, 0)
				}
			}
			seen := cols[:0]
			union.drain(func(c int, _ float64) { seen = append(seen, int32(c)) })
			cols = seen
			if !visit(p, seen, ok) {
				return
			}
		}
	})
}

func (f *productLocal) Shape() LocalShape { return f.LocalShape }

// HeldBytes is what the table takes in memory.
func (f *productLocal) HeldBytes() int64 { return 4 * int64(len(f.seen)) }

func (f *productLocal) TableKey() (key [sha256.Size]byte, ok bool) {
	if f.own {
		return key, false
	}
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, []int64{productTable, int64(f.Positions)}) // a hash takes everything
	_ = binary.Write(h, binary.LittleEndian, f.seen)
	return [sha256.Size]byte(h.Sum(nil)), true
}

func (f *productLocal) WriteTable(w io.Writer) error {
	if !f.own {
		return f.writePositions(w, func() func([]byte, int) []byte {
			return func(b []byte, p int) []byte {
				for _, c := range f.seen[p*f.Slots:][:f.Slots] {
					b = binary.LittleEndian.AppendUint64(b, uint64(c))
				}
				return b
			}
		})
	}
	return f.m.writeRows(w, max(1, ChunkBytes/(8*f.Slots)), func(b []byte, _ int, row *accumulator) []byte {
		start := len(b)
		row.drain(func(c int, _ float64) { b = binary.LittleEndian.AppendUint64(b, uint64(c)) })
		for len(b) < start+8*f.Slots {
			b = binary.LittleEndian.AppendUint64(b, uint64(f.Block))
		}
		return b
	})
}

func (f *productLocal) WriteWeights(w io.Writer) error {
	blocks, blockBytes := f.Groups*f.Positions, 4*f.OutPerGroup*f.Slots
	perChunk := min(max(blocks, 1), max(1, ChunkBytes/max(blockBytes, 1)))
	return writeChunks(w, (blocks+perChunk-1)/perChunk, func() filler {
		buf := make([]byte, perChunk*blockBytes)
		return func(c int) []byte {
			s := f.m.scratch.Get().(*rowMaker)
			defer f.m.scratch.Put(s)
			lo, hi := c*perChunk, min((c+1)*perChunk, blocks)
			clear(buf)
			for i := lo; i < hi; i++ {
				for o := range f.OutPerGroup {
					f.putRow(buf[(i-lo)*blockBytes+4*o*f.Slots:], s, i/f.Positions*f.OutPerGroup+o, i%f.Positions)
				}
			}
			return buf[:(hi-lo)*blockBytes]
		}
	})
}

// putRow stores the row of an output channel at a position in the slots of its
// inputs.
func (f *productLocal) putRow(slots []byte, s *rowMaker, o, p int) {
	start, at := o/f.OutPerGroup*f.Block, 0
	s.row(o*f.Positions + p).drain(func(c int, v float64) {
		if !f.own {
			for seen := f.seen[p*f.Slots:]; int(seen[at]) != c-start; at++ {
			}
		}
		binary.LittleEndian.PutUint32(slots[4*at:], math.Float32bits(float32(v)))
		at++
	})
}
