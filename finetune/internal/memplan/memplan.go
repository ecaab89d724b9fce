// Package memplan decides which values of a program may lie in the same memory.
//
// Start with [Program.Plan]. A program is data: the operations in the order in
// which they are executed, and for each the values that it reads and writes. The
// plan gives every value a place in a buffer, so that no two values that are live
// at once overlap. Nothing is executed here, and what the operations compute does
// not matter.
//
// # How it is done
//
// A value is live from the operation that writes it to the last that reads it
// (liveness analysis). Where an operation can compute a result in place and the
// operand dies there, the two become aliases: one value with one live range. What
// is left is an interval packing problem, which is NP-hard; the values are placed
// greedily, the largest first, each in the tightest gap that is free during its
// live range, and else in a new buffer. This is "greedy by size" of Pisarchyk and
// Lee, Efficient Memory Management for Deep Neural Net Inference (arXiv
// 2001.03288, §5), with buffers that do not grow.
package memplan

import (
	"cmp"
	"slices"
)

// Alignment is what the place of a value in its buffer is a multiple of, in
// elements: vectors of 4-byte elements then do not cross cache lines of 64 bytes.
const Alignment = 16

// Value is the number of a value of a program.
type Value int

// Program is a list of operations, in the order in which they are executed.
type Program struct {
	Sizes      []int // elements of each value
	Operations []Operation
	// Outputs are read after the last operation.
	Outputs []Value
}

// Operation reads values and writes others. What nobody writes is there before
// the first operation.
type Operation struct {
	Reads, Writes []Value
	// InPlace lists results that can be computed over an operand. It is done where
	// no later operation reads the operand, and both have one size.
	InPlace []Pair
}

// Pair is a result of an operation and an operand of the same.
type Pair struct{ Result, Operand Value }

// Range is a live range: the operations from First to Last need the value. First
// is -1 for a value that is there before all of them, Last is the number of
// operations for an output.
type Range struct{ First, Last int }

func (r Range) overlaps(other Range) bool { return r.First <= other.Last && other.First <= r.Last }

// Plan says where values lie.
type Plan struct {
	Buffers []int   // elements of each buffer
	Places  []Place // of each value
}

// Place is a stretch of a buffer, as long as its value. A value without elements
// has Buffer -1.
type Place struct{ Buffer, Offset int }

// Elements is how many elements all buffers have.
func (p *Plan) Elements() int {
	total := 0
	for _, size := range p.Buffers {
		total += size
	}
	return total
}

// NewValue adds a value of so many elements.
func (p *Program) NewValue(size int) Value {
	p.Sizes = append(p.Sizes, size)
	return Value(len(p.Sizes) - 1)
}

// Liveness returns the live range of each value. A value that nobody reads is
// live while it is written.
func (p *Program) Liveness() []Range {
	ranges := make([]Range, len(p.Sizes))
	for v := range ranges {
		ranges[v] = Range{-1, -1}
	}
	for i, o := range p.Operations {
		for _, v := range o.Writes {
			if ranges[v].First < 0 {
				ranges[v].First = i
			}
			ranges[v].Last = i
		}
		for _, v := range o.Reads {
			ranges[v].Last = i
		}
	}
	for _, v := range p.Outputs {
		ranges[v].Last = len(p.Operations)
	}
	return ranges
}

// Plan places all values. It is the same for the same program.
func (p *Program) Plan() *Plan {
	ranges := p.Liveness()
	alias := p.aliases(ranges)
	var order []Value // of those that are no alias of another
	for v, of := range alias {
		if of == Value(v) && p.Sizes[v] > 0 {
			order = append(order, of)
		}
	}
	slices.SortStableFunc(order, func(a, b Value) int { return cmp.Compare(p.Sizes[b], p.Sizes[a]) })
	plan := &Plan{Places: make([]Place, len(p.Sizes))}
	placed := [][]Value(nil) // by buffer, in the order of their offsets
	for _, v := range order {
		at := p.tightest(plan, placed, ranges, v)
		if at.Buffer < 0 {
			at = Place{Buffer: len(plan.Buffers)}
			plan.Buffers, placed = append(plan.Buffers, p.Sizes[v]), append(placed, nil)
		}
		plan.Places[v] = at
		in := placed[at.Buffer]
		i := slices.IndexFunc(in, func(w Value) bool { return plan.Places[w].Offset > at.Offset })
		if i < 0 {
			i = len(in)
		}
		placed[at.Buffer] = slices.Insert(in, i, v)
	}
	for v, of := range alias {
		plan.Places[v] = plan.Places[of]
		if p.Sizes[v] == 0 {
			plan.Places[v] = Place{Buffer: -1}
		}
	}
	return plan
}

// aliases takes every operation in place that can be, and returns for each value
// the one whose memory it lies in. The live ranges of those become the ranges of
// all that lies there.
func (p *Program) aliases(ranges []Range) []Value {
	alias := make([]Value, len(p.Sizes))
	for v := range alias {
		alias[v] = Value(v)
	}
	for i, o := range p.Operations {
		for _, pair := range o.InPlace {
			root, result := alias[pair.Operand], pair.Result
			switch {
			case ranges[root].Last != i: // something reads the operand again
			case slices.ContainsFunc(o.Writes, func(v Value) bool { return v != root && alias[v] == root }):
				// another result lies over it
			case ranges[result].First != i: // there is memory for the result already
			case alias[result] != result || root == result:
			case p.Sizes[result] != p.Sizes[root]:
			default:
				alias[result] = root
				ranges[root].Last = ranges[result].Last
			}
		}
	}
	return alias
}

// tightest returns the smallest gap of a buffer that value v fits in while it is
// live, with Buffer -1 where there is none.
func (p *Program) tightest(plan *Plan, placed [][]Value, ranges []Range, v Value) Place {
	best, least := Place{Buffer: -1}, 0
	for b, size := range plan.Buffers {
		gap := func(from, to int) {
			if left := to - from - p.Sizes[v]; left >= 0 && (best.Buffer < 0 || left < least) {
				best, least = Place{b, from}, left
			}
		}
		from := 0
		for _, w := range placed[b] {
			if !ranges[w].overlaps(ranges[v]) {
				continue
			}
			gap(from, plan.Places[w].Offset)
			from = max(from, aligned(plan.Places[w].Offset+p.Sizes[w]))
		}
		gap(from, size)
	}
	return best
}

func aligned(n int) int { return (n + Alignment - 1) / Alignment * Alignment }
