package verify

import (
	"encoding/binary"
	"fmt"
	"math"

	"efcn/onnxio"
)

// localChecker compares the weights of a layer in local form with the matrix that
// they have to be. It holds the weights of one group at one position.
type localChecker struct {
	*localTable
	*matrix
	done int // blocks of weights

	slotOf []int32 // by input of the group: the slot that reads it, or −1
	hit    []int32 // by slot: the last row whose support has it, plus 1
	reads  int     // slots that read an input, at this position

	// used says of a slot of a table whether the support of any output has it, where
	// a position sees what any of its outputs reads.
	used []bool

	compared, support, wrong           int64
	differs, padding, missing, surplus string // the first fault of each kind
}

func newLocalChecker(t *localTable, m *matrix) *localChecker {
	c := &localChecker{
		localTable: t, matrix: m, slotOf: make([]int32, t.block), hit: make([]int32, t.slots),
	}
	for i := range c.slotOf {
		c.slotOf[i] = -1
	}
	if m.union {
		c.used = make([]bool, len(t.index))
	}
	return c
}

// check compares a float32 constant.
func (c *localChecker) check(t *onnxio.Tensor) error {
	blocks, size := c.groups*c.positions, 4*c.out*c.slots
	if size == 0 {
		return nil
	}
	for weights, err := range onnxio.Blocks(t.Data, size) {
		switch {
		case err != nil:
			return err
		case c.done == blocks || len(weights) < size:
			return fmt.Errorf("the elements are not those of %d blocks", blocks)
		}
		c.one(weights)
	}
	if c.done != blocks {
		return fmt.Errorf("%d of %d blocks are there", c.done, blocks)
	}
	return nil
}

// one compares the weights of group g at position p, [out channel, slot].
func (c *localChecker) one(weights []byte) {
	g, p := c.done/c.positions, c.done%c.positions
	c.done++
	index := c.index[p*c.slots : (p+1)*c.slots]
	first := g * c.block // column of the group's first input
	c.reads = 0
	for slot, q := range index {
		if int(q) < c.block {
			c.slotOf[q] = int32(slot)
			c.reads++
		}
	}
	for o := range c.out {
		row := (g*c.out+o)*c.positions + p
		c.compareRow(weights[4*o*c.slots:4*(o+1)*c.slots], index, first, row, g, p, o)
	}
	for _, q := range index {
		if int(q) < c.block {
			c.slotOf[q] = -1
		}
	}
}

// compareRow compares the weights of one output.
func (c *localChecker) compareRow(weights []byte, index []int32, first, row, g, p, o int) {
	at := func(slot int) uint32 { return binary.LittleEndian.Uint32(weights[4*slot:]) }
	where := func(slot int) string {
		return fmt.Sprintf("group %d, position %v, slot %d, out channel %d", g, c.position(p, c.matrix), slot, o)
	}
	hits := 0
	c.entries(row, func(col int, v, slack float64) {
		c.support++
		want := math.Float32bits(float32(v))
		slot := int32(-1)
		if q := col - first; q >= 0 && q < c.block {
			slot = c.slotOf[q]
		}
		if slot < 0 {
			if c.fuzzy(want) {
				return
			}
			c.wrong++
			if c.missing == "" {
				c.missing = fmt.Sprintf(
					"group %d, position %v, out channel %d: no slot reads the input of entry %s: want %s", g,
					c.position(p, c.matrix), o, c.place(row, col), hex(want))
			}
			return
		}
		hits++
		c.hit[slot] = int32(row) + 1
		if c.used != nil {
			c.used[p*c.slots+int(slot)] = true
		}
		if got := at(int(slot)); !accepts(math.Float32frombits(got), v, slack) {
			c.wrong++
			if c.differs == "" {
				c.differs = fmt.Sprintf("weight of %s, entry of %s: want %s, got %s", where(int(slot)),
					c.place(row, col), hex(want), hex(got))
			}
		}
	})
	c.compared += int64(c.slots)
	if hits < c.slots {
		c.compareRest(at, where, index, first, row)
	}
}

// compareRest compares the weights of an output that its support does not have.
func (c *localChecker) compareRest(
	at func(slot int) uint32, where func(slot int) string, index []int32, first, row int,
) {
	for slot, q := range index {
		got := at(slot)
		switch {
		case int(q) == c.block:
			if got == 0 {
				continue
			}
			c.wrong++
			if c.padding == "" {
				c.padding = fmt.Sprintf("weight of %s, which reads the padding's zero: want %s, got %s", where(slot),
					hex(0), hex(got))
			}
		case c.hit[slot] != int32(row)+1:
			if c.fuzzy(got) || c.union && got == 0 {
				continue
			}
			c.wrong++
			if c.surplus == "" {
				c.surplus = fmt.Sprintf(
					"weight of %s reads the input of entry %s, which is outside the support: got %s", where(slot),
					c.place(row, first+int(q)), hex(got))
			}
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
