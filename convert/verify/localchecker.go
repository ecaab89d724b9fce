package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// localChecker compares the weights of a layer in local form with the matrix that
// they have to be, several rows of slots at a time. A row is compared by the entries of the
// matrix, unless the position is one whose like was found right before (repeats): its
// weights are then the same bytes.
type localChecker struct {
	*localTable
	*matrix
	repeats  *repeats      // of positions with their slots; nil where none are known
	right    []rightBlock  // by class
	repeated localCounters // without the rows that were compared by entries

	entering sync.Mutex // guards what follows, and matrix.entries
	at       int        // the position that slotOf is of; −1 for none
	slotOf   []int32    // by input of the group: the slot that reads it, or −1
	reads    int64      // slots of that position that read an input
	want     []byte     // by slot
	hit      []int32    // by slot: the last row compared by slots whose support has it, plus 1

	// used says of a slot of a table whether the support of any output has it, where
	// a position sees what any of its outputs reads.
	used []bool

	compared, support, wrong           int64
	differs, padding, missing, surplus firstFault
}

// localCounters count what several goroutines compare.
type localCounters struct{ compared, support atomic.Int64 }

// firstFault is the first fault of a kind, in the order of the file.
type firstFault struct {
	place int64 // of its weights, plus 1; 0 before there is one
	text  string
}

// rightBlock is the weights of one group at one position, [out channel, slot], which were
// compared by their entries and are right, as far as they are known.
type rightBlock struct {
	kept bool
	sync.RWMutex
	group   int
	support int64 // of each row
	bytes   []byte
}

func newLocalChecker(t *localTable, m *matrix) *localChecker {
	c := &localChecker{
		localTable: t, matrix: m, at: -1,
		slotOf: make([]int32, t.block), want: make([]byte, 4*t.slots), hit: make([]int32, t.slots),
	}
	for i := range c.slotOf {
		c.slotOf[i] = -1
	}
	if m.union {
		c.used = make([]bool, len(t.index))
	} else if m.windows != nil && m.fuzz == 0 && m.windows.out == t.positions {
		c.repeats = t.repeats(m.windows.repeats())
		c.right = make([]rightBlock, c.repeats.classes)
		for k, keep := range c.repeats.keeps(4 * c.out * c.slots) {
			c.right[k].kept = keep
		}
	}
	return c
}

// repeats divides the classes of positions by how their slots lie to what they see.
func (t *localTable) repeats(windows *repeats) *repeats {
	type like struct{ class, position int32 }
	r := &repeats{class: make([]int32, t.positions), base: windows.base}
	found := make([][]like, windows.classes) // classes of r by that of windows, with their first position
	for p := range t.positions {
		r.class[p] = -1
		of := windows.class[p]
		for _, l := range found[of] {
			if t.alike(p, int(l.position), windows.base) {
				r.class[p] = l.class
				break
			}
		}
		if r.class[p] < 0 && len(found[of]) < maxAlike {
			r.class[p] = int32(r.classes)
			found[of] = append(found[of], like{int32(r.classes), int32(p)})
			r.classes++
		}
	}
	return r
}

// maxAlike is how many arrangements of slots are told apart where the same is seen. A conversion
// makes one.
const maxAlike = 4

// alike reports whether the slots of two positions read inputs that lie in the same way to
// the first that the position sees.
func (t *localTable) alike(p, other int, base []int) bool {
	by := int32(base[p] - base[other])
	slots := t.index[other*t.slots : (other+1)*t.slots]
	for slot, q := range t.index[p*t.slots : (p+1)*t.slots] {
		of := slots[slot]
		if int(of) != t.block {
			of += by
		}
		if q != of || int(q) == t.block != (int(slots[slot]) == t.block) {
			return false
		}
	}
	return true
}

// check compares a float32 constant.
func (c *localChecker) check(t *onnxio.Tensor) error {
	blocks, size := c.groups*c.positions, 4*c.out*c.slots
	if size == 0 {
		return nil
	}
	if there := t.Data.Len() / int64(size); there < int64(blocks) {
		return fmt.Errorf("%d of %d blocks are there", there, blocks)
	}
	if t.Data.Len() != int64(blocks)*int64(size) {
		return fmt.Errorf("the elements are not those of %d blocks", blocks)
	}
	unit := 4 * c.slots
	err := onnxio.Parts(t.Data, unit, kernel.Threads(), func(at int64, rows []byte) error {
		for row := int(at / int64(unit)); len(rows) > 0; {
			block, o := row/c.out, row%c.out
			n := min(c.out-o, len(rows)/unit)
			c.some(block, o, rows[:n*unit])
			row, rows = row+n, rows[n*unit:]
		}
		return nil
	})
	c.compared += c.repeated.compared.Load()
	c.support += c.repeated.support.Load()
	return err
}

// some compares rows of one block, those of output o and after it.
func (c *localChecker) some(block, o int, rows []byte) {
	g, p := block/c.positions, block%c.positions
	var right *rightBlock
	if c.repeats != nil && c.repeats.class[p] >= 0 {
		right = &c.right[c.repeats.class[p]]
	}
	if right != nil && right.kept && c.same(right, g, o, rows) {
		return
	}
	c.entering.Lock()
	defer c.entering.Unlock()
	c.enter(p)
	unit, wrong, support := 4*c.slots, c.wrong, c.support
	for i := range len(rows) / unit {
		c.compareRow(rows[i*unit:(i+1)*unit], g, p, o+i)
	}
	if right != nil && right.kept && c.wrong == wrong {
		right.add(g, o*unit, c.out*unit, rows, (c.support-support)/int64(len(rows)/unit))
	}
}

// same reports whether rows are those that are known to be right.
func (c *localChecker) same(right *rightBlock, g, o int, rows []byte) bool {
	unit := 4 * c.slots
	right.RLock()
	defer right.RUnlock()
	if right.group != g || len(right.bytes) < o*unit+len(rows) ||
		!bytes.Equal(rows, right.bytes[o*unit:][:len(rows)]) {
		return false
	}
	c.repeated.compared.Add(int64(len(rows) / 4))
	c.repeated.support.Add(right.support * int64(len(rows)/unit))
	return true
}

// add notes that rows, which begin at that byte of a block of group g, of so many, are right.
func (r *rightBlock) add(g, at, size int, rows []byte, support int64) {
	r.Lock()
	defer r.Unlock()
	if r.group < g || r.bytes == nil {
		r.group, r.bytes = g, slices.Grow(r.bytes[:0], size)
	}
	if r.group == g && at <= len(r.bytes) && at+len(rows) > len(r.bytes) {
		r.support = support
		r.bytes = append(r.bytes[:at], rows...)
	}
}

// enter makes slotOf that of position p.
func (c *localChecker) enter(p int) {
	if c.at == p {
		return
	}
	if c.at >= 0 {
		for _, q := range c.slotsAt(c.at) {
			if int(q) < c.block {
				c.slotOf[q] = -1
			}
		}
	}
	c.at, c.reads = p, 0
	for slot, q := range c.slotsAt(p) {
		if int(q) < c.block {
			c.slotOf[q] = int32(slot)
			c.reads++
		}
	}
}

// slotsAt returns the inputs that the slots of a position read.
func (t *localTable) slotsAt(p int) []int32 { return t.index[p*t.slots : (p+1)*t.slots] }

// note notes a fault of the weights of group g, position p and output o.
func (c *localChecker) note(f *firstFault, g, p, o int, text func() string) {
	c.wrong++
	if place := int64((g*c.positions+p)*c.out+o) + 1; f.place == 0 || place < f.place {
		f.place, f.text = place, text()
	}
}

// compareRow compares the weights of one output.
func (c *localChecker) compareRow(weights []byte, g, p, o int) {
	row, first := (g*c.out+o)*c.positions+p, g*c.block // first: column of the group's first input
	support, ok := c.make(row, first)
	c.support += support
	c.compared += int64(c.slots)
	if !ok || support < c.reads || c.used != nil || !bytes.Equal(weights, c.want) {
		c.compareSlots(weights, g, p, o)
	}
}

// make makes the weights of a row what they have to be, by slot, and returns how many entries its
// support has; false where no slot reads the input of one.
func (c *localChecker) make(row, first int) (support int64, ok bool) {
	clear(c.want)
	if c.windows != nil {
		if support, ok := c.windows.write(c.want, row, c.slotOf, first); ok {
			return support, true
		}
	}
	ok = true
	c.entries(row, func(col int, v, _ float64) {
		support++
		if q := col - first; q < 0 || q >= c.block || c.slotOf[q] < 0 {
			ok = false
		} else {
			binary.LittleEndian.PutUint32(c.want[4*c.slotOf[q]:], math.Float32bits(float32(v)))
		}
	})
	return support, ok
}

// compareSlots compares the weights of one output slot by slot.
func (c *localChecker) compareSlots(weights []byte, g, p, o int) {
	at := func(slot int) uint32 { return binary.LittleEndian.Uint32(weights[4*slot:]) }
	row, first := (g*c.out+o)*c.positions+p, g*c.block
	hits := 0
	c.entries(row, func(col int, v, slack float64) {
		want := math.Float32bits(float32(v))
		slot := int32(-1)
		if q := col - first; q >= 0 && q < c.block {
			slot = c.slotOf[q]
		}
		if slot < 0 {
			if c.fuzzy(want) {
				return
			}
			c.note(&c.missing, g, p, o, func() string {
				return fmt.Sprintf("group %d, position %v, out channel %d: no slot reads the input of entry %s: want %s",
					g, c.position(p, c.matrix), o, c.place(row, col), hex(want))
			})
			return
		}
		hits++
		c.hit[slot] = int32(row) + 1
		if c.used != nil {
			c.used[p*c.slots+int(slot)] = true
		}
		if got := at(int(slot)); !accepts(math.Float32frombits(got), v, slack) {
			c.note(&c.differs, g, p, o, func() string {
				return fmt.Sprintf("weight of %s, entry of %s: want %s, got %s", c.where(g, p, int(slot), o),
					c.place(row, col), hex(want), hex(got))
			})
		}
	})
	if hits < c.slots {
		c.compareRest(at, g, p, o)
	}
}

// where names a weight.
func (c *localChecker) where(g, p, slot, o int) string {
	return fmt.Sprintf("group %d, position %v, slot %d, out channel %d", g, c.position(p, c.matrix), slot, o)
}

// compareRest compares the weights of an output that its support does not have.
func (c *localChecker) compareRest(at func(slot int) uint32, g, p, o int) {
	row := (g*c.out+o)*c.positions + p
	for slot, q := range c.slotsAt(p) {
		got := at(slot)
		switch {
		case int(q) == c.block:
			if got != 0 {
				c.note(&c.padding, g, p, o, func() string {
					return fmt.Sprintf("weight of %s, which reads the padding's zero: want %s, got %s",
						c.where(g, p, slot, o), hex(0), hex(got))
				})
			}
		case c.hit[slot] != int32(row)+1:
			if c.fuzzy(got) || c.union && got == 0 {
				continue
			}
			c.note(&c.surplus, g, p, o, func() string {
				return fmt.Sprintf("weight of %s reads the input of entry %s, which is outside the support: got %s",
					c.where(g, p, slot, o), c.place(row, g*c.block+int(q)), hex(got))
			})
		}
	}
}

// unused says which slot reads an input that no output of its position needs; ""
// if there is none.
func (c *localChecker) unused() string {
	for i, used := range c.used {
		if q := int(c.index[i]); !used && q < c.block && c.fuzz == 0 {
			return fmt.Sprintf(
				"position %v, slot %d reads element %d of a block, which no output of the position needs",
				c.position(i/c.slots, c.matrix), i%c.slots, q)
		}
	}
	return ""
}
