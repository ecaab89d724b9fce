package main

import (
	"fmt"
	"math/bits"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// nhwc writes the two products of a convolution over arrays whose last axis is the
// channels, in float32 for AVX-512 and AVX2: the tile of a dense one, and a stretch of a
// depthwise one. Both read the input where it lies.
func nhwc() {
	for _, c := range []nhwcCode{{12, 64, 26, 4, z, nhwcFinish}, {6, 32, 14, 2, y, nhwcFinish256}} {
		implement(fmt.Sprintf("snhwc%dx%d", c.rows, c.width/2))
		c.tile()
	}
	implement("sdepthwise512")
	depthwise()
	implement("sdepthwise256")
	depthwise256()
	GLOBL(toSign, attr.RODATA|attr.NOPTR)
	for lane := range 8 {
		DATA(4*lane, U32(31-lane))
	}
}

// nhwcCode is the code of a tile of so many positions, two vectors wide.
type nhwcCode struct {
	rows, width   int // positions; bytes of a vector
	value, values int // registers for values of the input, from which on and how many
	register      func(i int) Register
	finish        func(field func(name string) Mem)
}

// vectors are n registers from i on.
func (c nhwcCode) vectors(i, n int) []Register {
	return []Register{c.register(i), c.register(i + 1)}[:n]
}

// nhwcField is a field of the call, whose address is in R15.
func nhwcField(call, name string) Mem {
	return Mem{Symbol: Symbol{Name: call + "_" + name}, Base: R15}
}

// pixels are the registers in which the rows of a tile, output positions, have the
// addresses of what they read.
var pixels = []Register{RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12}

// tile computes up to as many output positions as it has rows, of up to two vectors of
// channels. For each tap the positions find their input through a table of offsets, which
// points those in the padding to zeros; the channels there are multiplied with packed
// weights, one or two vectors a step. Of the positions a third or two thirds are computed
// where no more are in use.
//
//	AX-R12   positions, at the end of the channels that they read
//	R13      weights, moves on
//	R14      bytes of channels left, negative
//	R15      the call
//
//	          AVX-512    AVX2
//	sums      Z0-Z23     Y0-Y11      two vectors a position
//	weights   Z24, Z25   Y12, Y13
//	values    Z26-Z29    Y14, Y15    of the input, in turn
func (c nhwcCode) tile() {
	table, taps := AllocLocal(8), AllocLocal(8)
	field := func(name string) Mem { return nhwcField("nhwcCall", name) }
	pixels := pixels[:c.rows]
	MOVQ(address(Param("call")), R15)
	MOVQ(field("weights"), R13)
	MOVQ(field("offsets"), RAX)
	MOVQ(RAX, table)
	MOVQ(field("taps"), RAX)
	MOVQ(RAX, taps)
	MOVQ(field("bias"), RAX)
	load(Mem{Base: RAX}, c.vectors(0, 2)...)
	for r := 1; r < c.rows; r++ {
		VMOVAPS(c.register(0), c.register(2*r))
		VMOVAPS(c.register(1), c.register(2*r+1))
	}
	third := c.rows / 3
	name := func(kind string, vectors, rows int) string {
		return fmt.Sprintf("%s%dx%d", kind, rows, vectors*c.width/4)
	}
	CMPQ(field("vectors"), Imm(1))
	JEQ(LabelRef("narrow"))
	choose := func(vectors int) {
		for _, rows := range []int{third, 2 * third} {
			CMPQ(field("rows"), Imm(uint64(rows)))
			JLE(LabelRef(name("tap", vectors, rows)))
		}
		JMP(LabelRef(name("tap", vectors, c.rows)))
	}
	choose(2)
	Label("narrow")
	choose(1)
	for _, vectors := range []int{2, 1} {
		for _, rows := range []int{c.rows, 2 * third, third} {
			Label(name("tap", vectors, rows))
			MOVQ(table, R14)
			for r, pixel := range pixels[:rows] {
				MOVQ(Mem{Base: R14, Disp: 8 * r}, pixel)
			}
			ADDQ(Imm(uint64(8*c.rows)), table)
			MOVQ(field("x"), R14)
			ADDQ(field("depth"), R14)
			for _, pixel := range pixels[:rows] {
				ADDQ(R14, pixel)
			}
			MOVQ(field("depth"), R14)
			NEGQ(R14)
			loop(name("channel", vectors, rows))
			weights := c.vectors(2*c.rows, vectors)
			load(Mem{Base: R13}, weights...)
			for r, pixel := range pixels[:rows] {
				value := c.register(c.value + r%c.values)
				VBROADCASTSS(at(0, pixel, R14, 1), value)
				for v, weight := range weights {
					VFMADD231PS(weight, value, c.register(2*r+v))
				}
			}
			ADDQ(U32(c.width*vectors), R13)
			ADDQ(Imm(4), R14)
			JNE(LabelRef(name("channel", vectors, rows)))
			DECQ(taps)
			JNE(LabelRef(name("tap", vectors, rows)))
			JMP(LabelRef("finish"))
		}
	}
	Label("finish")
	c.finish(field)
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

// nhwcFinish256 is nhwcFinish for AVX2, whose masked stores take long on some processors:
// tiles of whole vectors have no masks.
//
//	Y12, Y13  what is added, then the bounds
//	Y14, Y15  masks of the columns in use
func nhwcFinish256(field func(name string) Mem) {
	const rows = 6
	MOVQ(field("y"), RAX)
	MOVQ(field("ldy"), RCX)
	MOVQ(field("rows"), RDX)
	MOVQ(field("add"), RBX)
	MOVL(field("mask"), ESI)
	CMPL(ESI, U32(0xffff))
	JEQ(LabelRef("both"))
	CMPL(ESI, U32(0xff))
	JEQ(LabelRef("first"))
	masks256()
	for _, kind := range []struct {
		name    string
		vectors int
		masked  bool
	}{{"masked", 2, true}, {"both", 2, false}, {"first", 1, false}} {
		name := func(what string) string { return what + "_" + kind.name }
		Label(kind.name)
		TESTQ(RBX, RBX)
		JEQ(LabelRef(name("clip")))
		MOVQ(RDX, RSI)
		for r := range rows {
			for v, value := range ys(12, kind.vectors) {
				m := Mem{Base: RBX, Disp: 32 * v}
				if kind.masked {
					VMASKMOVPS(m, y(14+v), value)
				} else {
					VMOVUPS(m, value)
				}
				VADDPS(value, y(2*r+v), y(2*r+v))
			}
			DECQ(RSI)
			JEQ(LabelRef(name("clip")))
			ADDQ(RCX, RBX)
		}
		Label(name("clip"))
		VBROADCASTSS(field("lo"), y(12))
		VBROADCASTSS(field("hi"), y(13))
		Comment("The sum is the second operand, so that NaN stays, and -0 at a bound of 0.")
		for r := range rows {
			for v := range kind.vectors {
				clipAndStore256(y(2*r+v), Mem{Base: RAX, Disp: 32 * v}, kind.masked, y(14+v))
			}
			DECQ(RDX)
			JEQ(LabelRef("done"))
			ADDQ(RCX, RAX)
		}
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// clipAndStore256 clips a vector to the bounds in Y12 and Y13, and writes what a mask has
// of it, or all.
func clipAndStore256(sum Register, to Mem, masked bool, mask Register) {
	VMAXPS(sum, y(12), sum)
	VMINPS(sum, y(13), sum)
	if masked {
		VMASKMOVPS(sum, mask, to)
		return
	}
	VMOVUPS(sum, to)
}

// toSign are the shifts that bring bit i of lane i to that lane's sign.
const toSign = "toSign"

// masks256 makes the masks of two vectors, Y14 and Y15, from the bits of SI. Of a mask, the
// sign of each element counts.
func masks256() {
	shifts := NewDataAddr(Symbol{Name: toSign, Static: true}, 0)
	VMOVD(ESI, x(15))
	VPBROADCASTD(x(15), y(15))
	VPSLLVD(shifts, y(15), y(14))
	VPSRLD(Imm(8), y(15), y(15))
	VPSLLVD(shifts, y(15), y(15))
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

// depthwise256 is depthwise for AVX2, of six positions and two vectors of channels at a
// time.
//
//	SI      x of the first position of this turn, and the channels done
//	DI      y, likewise
//	BX      bytes of channels done
//	AX      bytes of channels left
//	R8-R10  1, 3 and 5 steps
//	R12     table     R13  taps left
//	R14     positions left
//	Y0-Y11  sums      Y12, Y13  weights, or what is read by a mask; then the bounds
//	Y14, Y15  masks of the channels after the last full 16
func depthwise256() {
	fromX, toY := AllocLocal(8), AllocLocal(8)
	field := func(name string) Mem { return nhwcField("depthwiseCall", name) }
	MOVQ(address(Param("call")), R15)
	MOVQ(field("x"), RSI)
	MOVQ(RSI, fromX)
	MOVQ(field("y"), RDI)
	MOVQ(RDI, toY)
	MOVL(field("mask"), ESI)
	masks256()
	MOVQ(field("step"), R8)
	LEAQ(at(0, R8, R8, 2), R9)
	LEAQ(at(0, R8, R8, 4), R10)
	MOVQ(field("positions"), R14)
	counts := []int{6, 2, 1}
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
		MOVQ(field("table"), R12)
		MOVQ(field("taps"), R13)
		MOVQ(field("bias"), RCX)
		for v := range 2 {
			VMOVUPS(at(32*v, RCX, RBX, 1), y(v))
			for p := 1; p < n; p++ {
				VMOVAPS(y(v), y(2*p+v))
			}
		}
		CMPQ(RAX, Imm(64))
		JGE(LabelRef(name("both")))
		CMPQ(RAX, Imm(32))
		JEQ(LabelRef(name("first")))
		depthwiseBlock256(n, 2, true, name("masked_tap"), field)
		JMP(LabelRef(name("next")))
		Label(name("first"))
		depthwiseBlock256(n, 1, false, name("first_tap"), field)
		JMP(LabelRef(name("next")))
		Label(name("both"))
		depthwiseBlock256(n, 2, false, name("both_tap"), field)
		ADDQ(Imm(64), RSI)
		ADDQ(Imm(64), RDI)
		ADDQ(Imm(64), RBX)
		SUBQ(Imm(64), RAX)
		JG(LabelRef(name("block")))
		Label(name("next"))
		IMUL3Q(Imm(uint64(n)), field("ldy"), RDX)
		ADDQ(RDX, toY)
		IMUL3Q(Imm(uint64(n)), R8, RDX)
		ADDQ(RDX, fromX)
		SUBQ(Imm(uint64(n)), R14)
		JMP(LabelRef(name("positions")))
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// depthwiseBlock256 sums the taps of n positions of one or two vectors of channels, and
// writes them. Its loop is not aligned: Go's assembler does not come to an end then.
func depthwiseBlock256(n, vectors int, masked bool, label string, field func(name string) Mem) {
	Label(label)
	MOVQ(Mem{Base: R12}, RDX)
	MOVQ(Mem{Base: R12, Disp: 8}, RCX)
	ADDQ(field("weights"), RCX)
	for v := 0; v < vectors && !masked; v++ {
		VMOVUPS(at(32*v, RCX, RBX, 1), y(12+v))
	}
	ADDQ(RSI, RDX)
	for p, m := range []Mem{
		{Base: RDX},
		at(0, RDX, R8, 1), at(0, RDX, R8, 2), at(0, RDX, R9, 1), at(0, RDX, R8, 4), at(0, RDX, R10, 1),
	}[:n] {
		for v := range vectors {
			if masked {
				VMASKMOVPS(m.Offset(32*v), y(14+v), y(12+v))
				VFMADD231PS(at(32*v, RCX, RBX, 1), y(12+v), y(2*p+v))
				continue
			}
			VFMADD231PS(m.Offset(32*v), y(12+v), y(2*p+v))
		}
	}
	ADDQ(Imm(16), R12)
	DECQ(R13)
	JNE(LabelRef(label))
	VBROADCASTSS(field("lo"), y(12))
	VBROADCASTSS(field("hi"), y(13))
	MOVQ(RDI, RDX)
	for p := range n {
		for v := range vectors {
			clipAndStore256(y(2*p+v), Mem{Base: RDX, Disp: 32 * v}, masked, y(14+v))
		}
		if p+1 < n {
			ADDQ(field("ldy"), RDX)
		}
	}
}
