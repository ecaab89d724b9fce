package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// nhwc writes the two products of a convolution over arrays whose last axis is the
// channels, in float32 for AVX-512: the tile of a dense one, and a stretch of a
// depthwise one. Both read the input where it lies.
func nhwc() {
	implement("snhwc12x32")
	nhwcTile()
	implement("sdepthwise")
	depthwise()
}

// nhwcField is a field of the call, whose address is in R15.
func nhwcField(call, name string) Mem {
	return Mem{Symbol: Symbol{Name: call + "_" + name}, Base: R15}
}

// pixels are the registers in which the rows of a tile, output positions, have the
// addresses of what they read.
var pixels = []Register{RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12}

// nhwcTile computes up to 12 output positions of up to 32 channels. For each tap the
// positions find their input through a table of offsets, which points those in the
// padding to zeros; the channels there are multiplied with packed weights, one or two
// vectors a step.
//
//	AX-R12   positions, at the end of the channels that they read
//	R13      weights, moves on
//	R14      bytes of channels left, negative
//	R15      the call
//	Z0-Z23   sums, two vectors a position
//	Z24, Z25 weights
//	Z26-Z29  values of the input in turn
func nhwcTile() {
	table, taps := AllocLocal(8), AllocLocal(8)
	field := func(name string) Mem { return nhwcField("nhwcCall", name) }
	MOVQ(address(Param("call")), R15)
	MOVQ(field("weights"), R13)
	MOVQ(field("offsets"), RAX)
	MOVQ(RAX, table)
	MOVQ(field("taps"), RAX)
	MOVQ(RAX, taps)
	MOVQ(field("bias"), RAX)
	load(Mem{Base: RAX}, zs(0, 2)...)
	for r := 1; r < len(pixels); r++ {
		VMOVAPS(z(0), z(2*r))
		VMOVAPS(z(1), z(2*r+1))
	}
	shapes := []int{12, 8, 4}
	name := func(kind string, vectors, rows int) string { return fmt.Sprintf("%s%dx%d", kind, rows, 16*vectors) }
	CMPQ(field("vectors"), Imm(1))
	JEQ(LabelRef("narrow"))
	choose := func(vectors int) {
		for _, rows := range []int{4, 8} {
			CMPQ(field("rows"), Imm(uint64(rows)))
			JLE(LabelRef(name("tap", vectors, rows)))
		}
		JMP(LabelRef(name("tap", vectors, 12)))
	}
	choose(2)
	Label("narrow")
	choose(1)
	for _, vectors := range []int{2, 1} {
		for _, rows := range shapes {
			Label(name("tap", vectors, rows))
			MOVQ(table, R14)
			for r, pixel := range pixels[:rows] {
				MOVQ(Mem{Base: R14, Disp: 8 * r}, pixel)
			}
			ADDQ(Imm(uint64(8*len(pixels))), table)
			MOVQ(field("x"), R14)
			ADDQ(field("depth"), R14)
			for _, pixel := range pixels[:rows] {
				ADDQ(R14, pixel)
			}
			MOVQ(field("depth"), R14)
			NEGQ(R14)
			loop(name("channel", vectors, rows))
			load(Mem{Base: R13}, zs(24, vectors)...)
			for r, pixel := range pixels[:rows] {
				value := z(26 + r%4)
				VBROADCASTSS(at(0, pixel, R14, 1), value)
				for v := range vectors {
					VFMADD231PS(z(24+v), value, z(2*r+v))
				}
			}
			ADDQ(U32(64*vectors), R13)
			ADDQ(Imm(4), R14)
			JNE(LabelRef(name("channel", vectors, rows)))
			DECQ(taps)
			JNE(LabelRef(name("tap", vectors, rows)))
			JMP(LabelRef("finish"))
		}
	}
	Label("finish")
	nhwcFinish(field)
}

// nhwcFinish adds what lies at add, laid out as y, if anything, clips, and writes y. K1
// and K2 are the columns in use.
func nhwcFinish(field func(name string) Mem) {
	MOVQ(field("y"), RAX)
	MOVQ(field("ldy"), RCX)
	MOVQ(field("rows"), RDX)
	MOVQ(field("add"), RBX)
	KMOVW(field("mask"), K1)
	KMOVW(field("mask").Offset(2), K2)
	VBROADCASTSS(field("lo"), z(30))
	VBROADCASTSS(field("hi"), z(31))
	masks := []Register{K1, K2}
	TESTQ(RBX, RBX)
	JEQ(LabelRef("clip"))
	MOVQ(RDX, RSI)
	for r := range pixels {
		for v, mask := range masks {
			VADDPS(Mem{Base: RBX, Disp: 64 * v}, z(2*r+v), mask, z(2*r+v))
		}
		DECQ(RSI)
		JEQ(LabelRef("clip"))
		ADDQ(RCX, RBX)
	}
	Label("clip")
	Comment("The sum is the second operand, so that NaN stays, and -0 at a bound of 0.")
	for r := range pixels {
		for v, mask := range masks {
			VMAXPS(z(2*r+v), z(30), z(2*r+v))
			VMINPS(z(2*r+v), z(31), z(2*r+v))
			VMOVUPS(z(2*r+v), mask, Mem{Base: RAX, Disp: 64 * v})
		}
		DECQ(RDX)
		JEQ(LabelRef("done"))
		ADDQ(RCX, RAX)
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// depthwise computes a stretch of output positions of a depthwise convolution, of all
// channels: positions whose taps lie step bytes apart from one to the next. The table has
// for each tap its offset from x, for the first position, and from weights.
//
//	SI      x of the first position of this turn, and the channels done
//	DI      y, likewise
//	BX      bytes of channels done
//	AX      bytes of channels left
//	R8-R11  1, 3, 5 and 7 steps
//	R12     table     R13  taps left
//	R14     positions left
//	Z0-Z7   sums      Z16  weights
//	K1      channels in use
func depthwise() {
	fromX, toY := AllocLocal(8), AllocLocal(8)
	field := func(name string) Mem { return nhwcField("depthwiseCall", name) }
	MOVQ(address(Param("call")), R15)
	MOVQ(field("x"), RSI)
	MOVQ(RSI, fromX)
	MOVQ(field("y"), RDI)
	MOVQ(RDI, toY)
	MOVQ(field("step"), R8)
	LEAQ(at(0, R8, R8, 2), R9)
	LEAQ(at(0, R8, R8, 4), R10)
	LEAQ(at(0, R9, R8, 4), R11)
	MOVQ(field("positions"), R14)
	VBROADCASTSS(field("lo"), z(30))
	VBROADCASTSS(field("hi"), z(31))
	counts := []int{8, 4, 1}
	for i, n := range counts {
		name := func(kind string) string { return fmt.Sprint(kind, n) }
		Label(name("positions"))
		next := "done"
		if i+1 < len(counts) {
			next = fmt.Sprint("positions", counts[i+1])
		}
		CMPQ(R14, Imm(uint64(n)))
		JLT(LabelRef(next))
		MOVQ(fromX, RSI)
		MOVQ(toY, RDI)
		XORQ(RBX, RBX)
		MOVQ(field("channels"), RAX)
		Label(name("block"))
		MOVL(U32(0xffff), ECX)
		CMPQ(RAX, Imm(64))
		JGE(LabelRef(name("whole")))
		MOVL(field("mask"), ECX)
		Label(name("whole"))
		KMOVW(ECX, K1)
		MOVQ(field("bias"), RCX)
		VMOVUPS(at(0, RCX, RBX, 1), z(0))
		for p := 1; p < n; p++ {
			VMOVAPS(z(0), z(p))
		}
		MOVQ(field("table"), R12)
		MOVQ(field("taps"), R13)
		loop(name("tap"))
		MOVQ(Mem{Base: R12}, RDX)
		MOVQ(Mem{Base: R12, Disp: 8}, RCX)
		ADDQ(field("weights"), RCX)
		VMOVUPS(at(0, RCX, RBX, 1), z(16))
		ADDQ(RSI, RDX)
		for p, m := range []Mem{
			{Base: RDX},
			at(0, RDX, R8, 1), at(0, RDX, R8, 2), at(0, RDX, R9, 1),
			at(0, RDX, R8, 4), at(0, RDX, R10, 1), at(0, RDX, R9, 2), at(0, RDX, R11, 1),
		}[:n] {
			VFMADD231PS(m, z(16), K1, z(p))
		}
		ADDQ(Imm(16), R12)
		DECQ(R13)
		JNE(LabelRef(name("tap")))
		MOVQ(RDI, RDX)
		for p := range n {
			VMAXPS(z(p), z(30), z(p))
			VMINPS(z(p), z(31), z(p))
			VMOVUPS(z(p), K1, Mem{Base: RDX})
			if p+1 < n {
				ADDQ(field("ldy"), RDX)
			}
		}
		ADDQ(Imm(64), RSI)
		ADDQ(Imm(64), RDI)
		ADDQ(Imm(64), RBX)
		SUBQ(Imm(64), RAX)
		JG(LabelRef(name("block")))
		Comment("On to the next positions.")
		MOVQ(field("ldy"), RDX)
		SHLQ(U8(bits.Len(uint(n))-1), RDX)
		ADDQ(RDX, toY)
		MOVQ(R8, RDX)
		SHLQ(U8(bits.Len(uint(n))-1), RDX)
		ADDQ(RDX, fromX)
		SUBQ(Imm(uint64(n)), R14)
		JMP(LabelRef(name("positions")))
	}
	Label("done")
	VZEROUPPER()
	RET()
}
