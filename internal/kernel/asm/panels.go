package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// panels writes, with AVX-512 and AVX2, what a convolution needs beside the product of
// packed panels: a stretch of columns, gathered into a panel of a vector pair's width, and
// the products of gradients with columns that are read where the images lie.
func panels() {
	for _, p := range precisions {
		for _, k := range []panelCode{{p, 12, 64, z}, {p, 6, 32, y}} {
			bits := fmt.Sprint(8 * k.width)
			implement(p.prefix + "gather" + bits)
			if k.width == 64 {
				k.gather512()
			} else {
				k.gather256()
			}
			for _, vectors := range []int{2, 1} {
				implement(fmt.Sprintf("%souter%dx%d", p.prefix, k.rows, vectors*k.width/p.size))
				k.outer(vectors)
			}
			implement(p.prefix + "along9x" + fmt.Sprint(k.width/p.size))
			k.along()
		}
	}
}

// panelCode is the code for tiles of so many rows.
type panelCode struct {
	precision
	rows, width int // width: bytes of a vector
	register    func(i int) Register
}

// gather copies, for each of k steps, the first n elements of a vector:
//
//	SI  source; R8 has where in it each step begins
//	DI  target, moves on by two vectors a step
//	BX  steps
//	CX  n
func (k panelCode) gather() {
	MOVQ(address(Param("k")), RBX)
	MOVQ(address(Param("offsets")), R8)
	MOVQ(address(Param("src")), RSI)
	MOVQ(address(Param("dst")), RDI)
	MOVQ(address(Param("n")), RCX)
	XORQ(RDX, RDX)
}

// gather512 is gather by a mask.
func (k panelCode) gather512() {
	k.gather()
	MOVL(U32(1), EAX)
	SHLL(CL, EAX)
	DECL(EAX)
	KMOVW(EAX, K1)
	k.gatherSteps("gather", func(from, to Mem) {
		k.moveMasked(from, K1, Z0)
		k.moveMasked(Z0, K1, to)
	})
}

// gather256 is gather by pieces: the first of n elements and the last, which overlap.
// Masked stores take long on some processors.
func (k panelCode) gather256() {
	k.gather()
	SHLQ(Imm(uint64(k.shift)), RCX)
	CMPQ(RCX, Imm(32))
	JEQ(LabelRef("whole"))
	CMPQ(RCX, Imm(16))
	JGE(LabelRef("halves"))
	CMPQ(RCX, Imm(8))
	JGE(LabelRef("quarters"))
	pieces := func(label string, size int, move func(...Op)) {
		k.gatherSteps(label, func(from, to Mem) {
			LEAQ(from, RAX)
			move(Mem{Base: RAX}, x(0))
			move(at(-size, RAX, RCX, 1), x(1))
			move(x(0), to)
			move(x(1), at(-size, RDI, RCX, 1))
		})
	}
	if k.size == 4 {
		k.gatherSteps("one", func(from, to Mem) {
			VMOVSS(from, x(0))
			VMOVSS(x(0), to)
		})
	}
	pieces("quarters", 8, VMOVSD)
	pieces("halves", 16, VMOVUPS)
	k.gatherSteps("whole", func(from, to Mem) {
		VMOVUPS(from, y(0))
		VMOVUPS(y(0), to)
	})
}

// gatherSteps runs body for every step, and returns.
func (k panelCode) gatherSteps(label string, body func(from, to Mem)) {
	Label(label)
	MOVQ(at(0, R8, RDX, 8), RAX)
	body(at(0, RSI, RAX, k.size), Mem{Base: RDI})
	ADDQ(U32(2*k.width), RDI)
	INCQ(RDX)
	CMPQ(RDX, RBX)
	JL(LabelRef(label))
	VZEROUPPER()
	RET()
}

// rowPointers are the registers of as many pointers into the images as a product has
// rows.
var rowPointers = []Register{RAX, RBX, RCX, RDX, RSI, RDI, R8, R9, R10, R11, R12, R13}

// pointers loads the pointers to what so many rows read, from a table of offsets.
func (k panelCode) pointers(rows int) {
	MOVQ(address(Param("offsets")), R15)
	MOVQ(address(Param("src")), R14)
	for r := range rows {
		MOVQ(Mem{Base: R15, Disp: 8 * r}, rowPointers[r])
		LEAQ(at(0, R14, rowPointers[r], k.size), rowPointers[r])
	}
}

// outer adds to a tile of sums, for each position of so many lines of an image, the
// product of a value for each row, read from the image, and of a vector, or two.
//
//	R14 position, as an element of the image; a line ends at end
//	R15 vectors, a pair of them a position whether both are in use or not
//
//	          AVX-512    AVX2
//	sums      Z0-Z23     Y0-Y11
//	vectors   Z24, Z25   Y12, Y13
//	values    Z26, Z27   Y14, Y15    in turn
func (k panelCode) outer(vectors int) {
	left, end, next := AllocLocal(8), AllocLocal(8), AllocLocal(8)
	rows := k.rows
	k.pointers(rows)
	MOVQ(address(Param("sums")), R15)
	for i := range rows * vectors {
		VMOVUPS(Mem{Base: R15, Disp: k.width * i}, k.register(i))
	}
	MOVQ(address(Param("lines")), R14)
	MOVQ(R14, left)
	MOVQ(address(Param("width")), R14)
	MOVQ(R14, end)
	MOVQ(address(Param("pitch")), R15)
	SUBQ(R14, R15)
	MOVQ(R15, next) // from the end of a line to the next
	XORQ(R14, R14)
	MOVQ(address(Param("dy")), R15)
	loop("position")
	for v := range vectors {
		VMOVUPS(Mem{Base: R15, Disp: k.width * v}, k.register(2*rows+v))
	}
	for r := range rows {
		from, value := at(0, rowPointers[r], R14, k.size), k.register(2*rows+2+r%2)
		if vectors == 1 && k.width == 64 {
			k.fmaBroadcast(from, k.register(2*rows), k.register(r))
			continue
		}
		k.broadcast(from, value)
		for v := range vectors {
			k.fma(k.register(2*rows+v), value, k.register(vectors*r+v))
		}
	}
	ADDQ(U32(2*k.width), R15)
	INCQ(R14)
	CMPQ(R14, end)
	JL(LabelRef("position"))
	ADDQ(next, R14)
	SUBQ(Imm(1), left)
	JLE(LabelRef("done"))
	ADDQ(address(Param("width")), R14)
	MOVQ(R14, end)
	SUBQ(address(Param("width")), R14)
	JMP(LabelRef("position"))
	Label("done")
	MOVQ(address(Param("sums")), R15)
	for i := range rows * vectors {
		VMOVUPS(k.register(i), Mem{Base: R15, Disp: k.width * i})
	}
	VZEROUPPER()
	RET()
}

// along adds to nine vectors of sums the products of neighbours in src, from nine
// places on, and in dy. Lane i has the sum over elements i, i + lanes, and so on.
func (k panelCode) along() {
	const rows = 9
	k.pointers(rows)
	MOVQ(address(Param("sums")), R15)
	for r := range rows {
		VMOVUPS(Mem{Base: R15, Disp: k.width * r}, k.register(r))
	}
	MOVQ(address(Param("dy")), R15)
	MOVQ(address(Param("n")), R12)
	XORQ(R14, R14)
	loop("lanes")
	VMOVUPS(at(0, R15, R14, k.size), k.register(15))
	for r := range rows {
		k.fma(at(0, rowPointers[r], R14, k.size), k.register(15), k.register(r))
	}
	ADDQ(Imm(uint64(k.width/k.size)), R14)
	CMPQ(R14, R12)
	JL(LabelRef("lanes"))
	MOVQ(address(Param("sums")), R15)
	for r := range rows {
		VMOVUPS(k.register(r), Mem{Base: R15, Disp: k.width * r})
	}
	VZEROUPPER()
	RET()
}
