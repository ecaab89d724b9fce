package main

import (
	"fmt"
	"strings"
)

// precision is a type of elements, and how vectors of them are written.
type precision struct {
	prefix string // of functions
	size   int    // bytes of an element
	shift  int    // its logarithm
	letter string // of an element, and of scalar instructions
	wide   uint32 // the bit of an instruction that tells the two apart
}

var (
	single     = precision{"s", 4, 2, "S", 0}
	double     = precision{"d", 8, 3, "D", 1 << 22}
	precisions = []precision{single, double}
)

// lanes is how many elements a vector has.
func (p precision) lanes() int { return 16 / p.size }

// v is a vector in Go's syntax, arm in Arm's.
func (p precision) v(i int) string   { return fmt.Sprintf("V%d.%s%d", i, p.letter, p.lanes()) }
func (p precision) arm(i int) string { return fmt.Sprintf("V%d.%d%s", i, p.lanes(), p.letter) }

// list is a list of neighbours.
func (p precision) list(from, n int) string {
	var all []string
	for i := range n {
		all = append(all, p.v(from+i))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// load reads n vectors at base into register to and those after it, n at most 4.
// loadNext moves base to what lies behind them, and loadStep by as much as the
// register step has.
func (p precision) load(base string, to, n int) { op("VLD1", at(base), p.list(to, n)) }

func (p precision) loadNext(base string, to, n int) {
	op("VLD1.P", fmt.Sprintf("%d(%s)", 16*n, base), p.list(to, n))
}

func (p precision) loadStep(base, step string, to, n int) {
	op("VLD1.P", at(base)+at(step), p.list(to, n))
}

// store, storeNext and storeStep write in the same ways.
func (p precision) store(from, n int, base string) { op("VST1", p.list(from, n), at(base)) }

func (p precision) storeNext(from, n int, base string) {
	op("VST1.P", p.list(from, n), fmt.Sprintf("%d(%s)", 16*n, base))
}

func (p precision) storeStep(from, n int, base, step string) {
	op("VST1.P", p.list(from, n), at(base)+at(step))
}

// loadOne reads one element into the first lane of a vector and clears the others.
// The address is an argument or a register in parentheses.
func (p precision) loadOne(address string, to int) { op("FMOV"+p.letter, address, f(to)) }

// loadOneNext moves base to the next element.
func (p precision) loadOneNext(base string, to int) {
	op("FMOV"+p.letter+".P", fmt.Sprintf("%d(%s)", p.size, base), f(to))
}

func (p precision) storeOne(from int, address string) { op("FMOV"+p.letter, f(from), address) }
func (p precision) storeOneNext(from int, base string) {
	op("FMOV"+p.letter+".P", f(from), fmt.Sprintf("%d(%s)", p.size, base))
}

// spread copies the first lane of a vector to the others.
func (p precision) spread(i int) {
	op("VDUP", fmt.Sprintf("V%d.%s[0]", i, p.letter), p.v(i))
}

// broadcast reads one element into all lanes. broadcastStep moves base on as well.
func (p precision) broadcast(base string, to int) { op("VLD1R", at(base), p.list(to, 1)) }

func (p precision) broadcastStep(base, step string, to int) {
	op("VLD1R.P", at(base)+at(step), p.list(to, 1))
}

func zero(from, n int) {
	for i := from; i < from+n; i++ {
		v := fmt.Sprintf("V%d.B16", i)
		op("VEOR", v, v, v)
	}
}

// jumpIfZero jumps where the first lane of a vector is ±0.
func (p precision) jumpIfZero(i int, to string) {
	op("FCMP"+p.letter, "$(0.0)", f(i))
	op("BEQ", to)
}

// word writes an instruction on vectors n and m with the result d.
func word(name string, code uint32, n, m, d int, operands string) {
	code |= uint32(m)<<16 | uint32(n)<<5 | uint32(d)
	fmt.Fprintf(&text, "\tWORD    $0x%08x // %s %s\n", code, name, operands)
}

// three writes an instruction on whole vectors.
func (p precision) three(name string, code uint32, n, m, d int) {
	word(name, code|p.wide, n, m, d, strings.Join([]string{p.arm(d), p.arm(n), p.arm(m)}, ", "))
}

func (p precision) add(n, m, d int) { p.three("FADD", 0x4e20d400, n, m, d) }
func (p precision) sub(n, m, d int) { p.three("FSUB", 0x4ea0d400, n, m, d) }
func (p precision) mul(n, m, d int) { p.three("FMUL", 0x6e20dc00, n, m, d) }

// pairs adds neighbours: of n into the lower half of d, of m into the upper half.
func (p precision) pairs(n, m, d int) { p.three("FADDP", 0x6e20d400, n, m, d) }

// fma adds n·m to d.
func (p precision) fma(n, m, d int) { op("VFMLA", p.v(m), p.v(n), p.v(d)) }

// fmaLane adds to d the product of n and one lane of m; mulLane sets d to it.
func (p precision) fmaLane(n, m, lane, d int) { p.lane("FMLA", 0x4f801000, n, m, lane, d) }
func (p precision) mulLane(n, m, lane, d int) { p.lane("FMUL", 0x4f809000, n, m, lane, d) }

func (p precision) lane(name string, code uint32, n, m, lane, d int) {
	at := uint32(lane) << 11
	if p.size == 4 {
		at = uint32(lane&1)<<21 | uint32(lane>>1)<<11
	}
	word(name, code|p.wide|at, n, m, d, fmt.Sprintf("%s, %s, V%d.%s[%d]", p.arm(d), p.arm(n), m, p.letter, lane))
}

// four is how many vectors hold four elements.
func (p precision) four() int { return 4 / p.lanes() }

// sums4 adds up each of four vectors, into the elements of d, or of d and the
// vector after it.
func (p precision) sums4(v [4]int, d int) {
	if p.size == 8 {
		p.pairs(v[0], v[1], d)
		p.pairs(v[2], v[3], d+1)
		return
	}
	p.pairs(v[0], v[1], v[0])
	p.pairs(v[2], v[3], v[2])
	p.pairs(v[0], v[2], d)
}
