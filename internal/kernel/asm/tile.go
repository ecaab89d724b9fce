package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// tile writes the micro-kernels of the dense product: c = alpha·a·b + beta·c for one
// full tile of c, two vectors wide.
//
// a is a packed panel: step p of k holds the values of column p, one for each row. b
// is a packed panel: step p holds two vectors of row p. The tile stays in registers
// for the whole loop over k; a step loads the two vectors of b once and multiplies
// them with each value of a, broadcast.
//
//	SI  a, moves on by the rows of the tile a step
//	DI  b, moves on by two vectors a step
//	CX  steps left
//	R10 rows in use: the loop leaves out the last third or two thirds of them if it
//	    may, and their rows are not written
//	DX  c, moves down row by row
//	R8  row of c to the next, in bytes
//
//	          AVX-512, 12 rows    AVX2, 6 rows
//	tile      Z0-Z23, two a row   Y0-Y11, two a row
//	b         Z24, Z25            Y12, Y13
//	a value   Z26, Z27 in turn    Y14, Y15 in turn
//	alpha     Z30                 Y14   (after the loop)
//	beta      Z31                 Y15   (after the loop)
func tile() {
	for _, p := range precisions {
		for _, k := range []tileCode{{p, 12, 64, z, 31, 0}, {p, 6, 32, y, 15, 0}} {
			implement(fmt.Sprintf("%sgemm%dx%d", k.prefix, k.rows, 2*k.width/k.size))
			k.gemm()
		}
	}
}

// tileCode is the code for a tile of so many rows.
type tileCode struct {
	precision
	rows     int
	width    int // bytes of a vector
	register func(i int) Register
	last     int // register
	ends     int // of the function, as far as it is written
}

// pair is register i and the one after it.
func (k tileCode) pair(i int) []Register {
	return []Register{k.register(i), k.register(i + 1)}
}

func (k tileCode) alpha() Register { return k.register(k.last - 1) }
func (k tileCode) beta() Register  { return k.register(k.last) }

func (k *tileCode) gemm() {
	third := k.rows / 3
	MOVQ(address(Param("rows")), R10)
	MOVQ(address(Param("k")), RCX)
	MOVQ(address(Param("a")), RSI)
	MOVQ(address(Param("b")), RDI)
	MOVQ(address(Param("c")), RDX)
	MOVQ(address(Param("ldc")), R8)
	SHLQ(Imm(uint64(k.shift)), R8)
	Comment("By the end of the loop the rows of c are in the cache.")
	MOVQ(RDX, R9)
	for range k.rows {
		PREFETCHT0(Mem{Base: R9})
		PREFETCHT0(Mem{Base: R9, Disp: min(64, 2*k.width-4)})
		ADDQ(R8, R9)
	}
	for r := range k.rows {
		zero(k.pair(2 * r)...)
	}
	name := func(rows int) string { return fmt.Sprint("loop", rows) }
	for _, rows := range []int{third, 2 * third} {
		CMPQ(R10, Imm(uint64(rows)))
		JLE(LabelRef(name(rows)))
	}
	loop(name(k.rows))
	k.loop(name(k.rows), k.rows)
	JMP(LabelRef("finish"))
	Label(name(2 * third))
	k.loop(name(2*third), 2*third)
	JMP(LabelRef("finish"))
	Label(name(third))
	k.loop(name(third), third)
	Label("finish")
	k.broadcast(address(Param("alpha")), k.alpha())
	k.jumpIfZero(address(Param("beta")), RAX, "set")
	k.broadcast(address(Param("beta")), k.beta())
	k.eachRow(func(c Mem, sums []Register) {
		b := k.pair(2 * k.rows)
		for i := range b {
			k.mul(c.Offset(i*k.width), k.beta(), b[i])
		}
		for i := range b {
			k.fma(sums[i], k.alpha(), b[i])
		}
		store(c, b...)
	})
	Label("set")
	k.eachRow(func(c Mem, sums []Register) {
		for _, s := range sums {
			k.mul(s, k.alpha(), s)
		}
		store(c, sums...)
	})
}

// loop is the body of a loop over the steps of k that computes the first rows only.
func (k tileCode) loop(label string, rows int) {
	b, values := k.pair(2*k.rows), k.pair(2*k.rows+2)
	load(Mem{Base: RDI}, b...)
	for r := range rows {
		value := values[r%2]
		k.broadcast(Mem{Base: RSI, Disp: r * k.size}, value)
		for i, sum := range k.pair(2 * r) {
			k.fma(b[i], value, sum)
		}
	}
	ADDQ(Imm(uint64(k.rows*k.size)), RSI)
	ADDQ(U32(2*k.width), RDI)
	DECQ(RCX)
	JNE(LabelRef(label))
}

// eachRow runs body for each row of the tile, and returns.
func (k *tileCode) eachRow(body func(c Mem, sums []Register)) {
	done := fmt.Sprintf("done%d", k.ends)
	k.ends++
	for r := range k.rows {
		if r > 0 && r%(k.rows/3) == 0 {
			CMPQ(R10, Imm(uint64(r)))
			JLE(LabelRef(done))
		}
		body(Mem{Base: RDX}, k.pair(2*r))
		ADDQ(R8, RDX)
	}
	Label(done)
	VZEROUPPER()
	RET()
}
