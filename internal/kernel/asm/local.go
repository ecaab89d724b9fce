package main

import (
	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// local writes the three products of a locally connected layer, for one position.
// Forward and input have one line of samples for their columns (64 bytes: a Z
// register, or two Y registers). A line of the input is found through the table,
// so nothing is gathered, and weights are read where they lie, each as a
// broadcast.
func local() {
	for _, p := range precisions {
		for _, k := range []localCode{{p, "512", []int{8, 4, 1}}, {p, "256", []int{4, 1}}} {
			implement(p.prefix + "forward" + k.instructions)
			k.forward()
			implement(p.prefix + "input" + k.instructions)
			k.input()
			implement(p.prefix + "dots" + k.instructions)
			k.dots()
		}
	}
}

// localCode is the code of an instruction set. It takes rows, or slots, in tiles
// of so many, each of which has an accumulator for a line.
type localCode struct {
	precision
	instructions string
	tiles        []int
}

var labels = map[int]string{8: "eight", 4: "four", 1: "one"}

// sum is accumulator i.
func (k localCode) sum(i int) []Register {
	if k.instructions == "512" {
		return zs(i, 1)
	}
	return ys(2*i, 2)
}

// line is a register for a line that the accumulators leave free.
func (k localCode) line() []Register {
	if k.instructions == "512" {
		return zs(16, 1)
	}
	return ys(8, 2)
}

// multiply adds weight times the line to an accumulator.
func (k localCode) multiply(weight Mem, sum int) {
	if k.instructions == "512" {
		k.fmaBroadcast(weight, k.line()[0], k.sum(sum)[0])
		return
	}
	k.broadcast(weight, y(10))
	for i, half := range k.line() {
		k.fma(half, y(10), k.sum(sum)[i])
	}
}

// eachTile runs body for each tile of what left counts, the largest first, and
// returns. Accumulators are zero in the beginning, and body begins their loop.
func (k localCode) eachTile(left string, body func(n int)) {
	count := address(Param(left))
	for i, n := range k.tiles {
		next := "done"
		if i+1 < len(k.tiles) {
			next = labels[k.tiles[i+1]] + "s"
		}
		Label(labels[n] + "s")
		CMPQ(count, Imm(uint64(n)))
		JLT(LabelRef(next))
		body(n)
		SUBQ(Imm(uint64(n)), count)
		JMP(LabelRef(labels[n] + "s"))
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// loop clears the accumulators of a tile and begins its loop.
func (k localCode) loop(n int) {
	for i := range n {
		zero(k.sum(i)...)
	}
	if n == k.tiles[0] {
		loop(labels[n])
	} else {
		Label(labels[n])
	}
}

// tableLine puts into AX where the line is that the table has at a place.
func tableLine(table Register) {
	MOVLQSX(Mem{Base: table}, RAX)
	SHLQ(Imm(6), RAX)
}

// forward computes y = w·x + bias, in tiles of rows of y.
//
//	SI       x             R12  table
//	DX       w, moves along the first row of the tile
//	R8-R11   1, 3, 5 and 7 rows of w in bytes
//	R13      table, moves along
//	CX       slots left
//	BX       the weights after this tile, to be prefetched
//	DI       y
func (k localCode) forward() {
	MOVQ(address(Param("slots")), R8)
	SHLQ(Imm(uint64(k.shift)), R8)
	LEAQ(at(0, R8, R8, 2), R9)
	LEAQ(at(0, R8, R8, 4), R10)
	LEAQ(at(0, R9, R8, 4), R11)
	MOVQ(address(Param("table")), R12)
	MOVQ(address(Param("x")), RSI)
	MOVQ(address(Param("w")), RDX)
	MOVQ(address(Param("y")), RDI)
	SHLQ(Imm(uint64(k.shift)), address(Param("ldy")))
	SHLQ(Imm(uint64(k.shift)), address(Param("ldb")))
	weights := []Mem{
		{Base: RDX},
		at(0, RDX, R8, 1), at(0, RDX, R8, 2), at(0, RDX, R9, 1),
		at(0, RDX, R8, 4), at(0, RDX, R10, 1), at(0, RDX, R9, 2), at(0, RDX, R11, 1),
	}
	largest := k.tiles[0]
	k.eachTile("rows", func(n int) {
		MOVQ(R12, R13)
		MOVQ(address(Param("slots")), RCX)
		if n == largest {
			LEAQ(at(0, RDX, R8, n), RBX)
		}
		k.loop(n)
		tableLine(R13)
		load(at(0, RSI, RAX, 1), k.line()...)
		if n == largest {
			PREFETCHT0(Mem{Base: RBX})
		}
		for r := range n {
			k.multiply(weights[r], r)
		}
		if n == largest {
			ADDQ(Imm(uint64(n*k.size)), RBX)
		}
		ADDQ(Imm(uint64(k.size)), RDX)
		ADDQ(Imm(4), R13)
		DECQ(RCX)
		JNE(LabelRef(labels[n]))

		MOVQ(address(Param("bias")), RAX)
		MOVQ(address(Param("ldb")), RCX)
		MOVQ(address(Param("ldy")), R13)
		for r := range n {
			k.addBias(k.sum(r))
			store(Mem{Base: RDI}, k.sum(r)...)
			ADDQ(RCX, RAX)
			ADDQ(R13, RDI)
		}
		MOVQ(RAX, address(Param("bias")))
		switch n { // DX is past the first row of the tile
		case 8:
			ADDQ(R11, RDX)
		case 4:
			ADDQ(R9, RDX)
		}
	})
}

func (k localCode) addBias(sum []Register) {
	bias := Mem{Base: RAX}
	if k.instructions == "512" {
		k.addBroadcast(bias, sum[0], sum[0])
		return
	}
	k.broadcast(bias, y(10))
	for _, half := range sum {
		k.add(y(10), half, half)
	}
}

// input adds wᵀ·dy to dx, in tiles of slots. Slots of a tile may name the same
// line: their sums are added one after the other.
//
//	DI   dx                R12  table, moves along
//	BX   w, the first row of the tile's slots
//	DX   the same, moves down row by row
//	R8   a row of w in bytes
//	R9   from these weights to the next position's, to be prefetched
//	SI   dy, moves along   CX   rows left
func (k localCode) input() {
	MOVQ(address(Param("table")), R12)
	MOVQ(address(Param("w")), RBX)
	MOVQ(address(Param("ldw")), R8)
	SHLQ(Imm(uint64(k.shift)), R8)
	MOVQ(R8, R9)
	IMULQ(address(Param("outs")), R9)
	MOVQ(address(Param("dx")), RDI)
	k.eachTile("slots", func(n int) {
		MOVQ(RBX, RDX)
		MOVQ(address(Param("dy")), RSI)
		MOVQ(address(Param("outs")), RCX)
		k.loop(n)
		load(Mem{Base: RSI}, k.line()...)
		if n == k.tiles[0] {
			PREFETCHT1(at(0, RDX, R9, 1))
		}
		for q := range n {
			k.multiply(Mem{Base: RDX, Disp: q * k.size}, q)
		}
		ADDQ(R8, RDX)
		ADDQ(Imm(64), RSI)
		DECQ(RCX)
		JNE(LabelRef(labels[n]))

		for q := range n {
			tableLine(R12)
			to := at(0, RDI, RAX, 1)
			for i, s := range k.sum(q) {
				k.add(to.Offset(32*i), s, s)
			}
			store(to, k.sum(q)...)
			ADDQ(Imm(4), R12)
		}
		ADDQ(Imm(uint64(n*k.size)), RBX)
	})
}

// dots computes the gradient at the weights: c = alpha·(a·bᵀ) + beta·c, where a
// row of a or b is as many lines as there are blocks of samples. The lines of a
// block lie side by side, blocks lda and ldb apart, so every dot product is summed
// in a register of its own and the register added up at the end: up to four rows
// by four columns at a time, with AVX2 two rows.
//
// What lies behind the last row of a in a block is read, up to three lines of it,
// and does not matter.
//
//	SI  a, moves from block to block   R8   from block to block in bytes
//	DI  b, likewise                    R9   likewise
//	CX  blocks left
//	R11 b, the tile's columns          R12  c, the tile
//	R10 a row of c in bytes            AX   moves down row by row
//	BX  rows left
func (k localCode) dots() {
	MOVQ(address(Param("lda")), R8)
	MOVQ(address(Param("ldb")), R9)
	MOVQ(address(Param("ldc")), R10)
	SHLQ(Imm(uint64(k.shift)), R8)
	SHLQ(Imm(uint64(k.shift)), R9)
	SHLQ(Imm(uint64(k.shift)), R10)
	MOVQ(address(Param("b")), R11)
	MOVQ(address(Param("c")), R12)

	Label("tile")
	MOVQ(address(Param("a")), RSI)
	MOVQ(R11, RDI)
	MOVQ(address(Param("blocks")), RCX)
	rows := 4
	if k.instructions == "256" {
		rows = 2
	}
	if k.instructions == "512" {
		zero(zs(0, 16)...)
	} else {
		zero(ys(0, 8)...)
	}
	loop("block")
	if k.instructions == "512" {
		k.block512()
	} else {
		k.halfBlock256(0)
		k.halfBlock256(32)
	}
	ADDQ(R8, RSI)
	ADDQ(R9, RDI)
	DECQ(RCX)
	JNE(LabelRef("block"))
	for r := range rows {
		if k.instructions == "512" {
			k.sums512(4 * r)
		} else {
			k.sums256(4 * r)
		}
	}

	MOVQ(R12, RAX)
	MOVQ(address(Param("rows")), RBX)
	k.finish(rows, address(Param("alpha")), address(Param("beta")), func(int) Mem {
		return Mem{Base: RAX}
	}, func() {
		ADDQ(R10, RAX)
		DECQ(RBX)
		JEQ(LabelRef("next"))
	})
	ADDQ(U32(256), R11)
	ADDQ(Imm(uint64(4*k.size)), R12)
	SUBQ(Imm(4), address(Param("cols")))
	JGT(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

func (k localCode) block512() {
	load(Mem{Base: RSI}, z(16))
	load(Mem{Base: RDI}, zs(20, 4)...)
	load(Mem{Base: RSI, Disp: 64}, zs(17, 3)...)
	for r := range 4 {
		for c := range 4 {
			k.fma(z(20+c), z(16+r), z(4*r+c))
		}
	}
}

// halfBlock256 takes a half of each line.
func (k localCode) halfBlock256(half int) {
	for r := range 2 {
		load(Mem{Base: RSI, Disp: half + 64*r}, y(8+r))
	}
	for c := range 4 {
		load(Mem{Base: RDI, Disp: half + 64*c}, y(10+c))
	}
	for r := range 2 {
		for c := range 4 {
			k.fma(y(10+c), y(8+r), y(4*r+c))
		}
	}
}
