package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// panels writes, with AVX-512, what a convolution needs beside the product of packed
// panels: a stretch of columns, gathered into a panel of a vector pair's width, and
// the products of gradients with columns that are read where the images lie.
func panels() {
	for _, p := range precisions {
		k := panelCode{p}
		implement(p.prefix + "gather")
		k.gather()
		for _, vectors := range []int{2, 1} {
			Implement(fmt.Sprintf("%souter12x%d", p.prefix, vectors*64/p.size))
			Attributes(attr.NOSPLIT)
			k.outer(vectors)
		}
		implement(p.prefix + "along9")
		k.along()
	}
}

type panelCode struct{ precision }

// gather copies, for each of CX steps, a vector as far as a mask goes:
//
//	SI  source; R8 has where in it each step begins
//	DI  target, moves on by two vectors a step
func (k panelCode) gather() {
	MOVQ(address(Param("k")), RCX)
	MOVQ(address(Param("offsets")), R8)
	MOVQ(address(Param("src")), RSI)
	MOVQ(address(Param("dst")), RDI)
	MOVL(address(Param("mask")), EAX)
	KMOVW(EAX, K1)
	XORQ(RDX, RDX)
	loop("gather")
	MOVQ(at(0, R8, RDX, 8), RAX)
	k.moveMasked(at(0, RSI, RAX, k.size), K1, Z0)
	k.moveMasked(Z0, K1, Mem{Base: RDI})
	ADDQ(Imm(128), RDI)
	INCQ(RDX)
	CMPQ(RDX, RCX)
	JL(LabelRef("gather"))
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
//	Z24, Z25 vectors
func (k panelCode) outer(vectors int) {
	const rows = 12
	left, end, next := AllocLocal(8), AllocLocal(8), AllocLocal(8)
	k.pointers(rows)
	MOVQ(address(Param("sums")), R15)
	for i := range rows * vectors {
		VMOVUPS(Mem{Base: R15, Disp: 64 * i}, z(i))
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
		VMOVUPS(Mem{Base: R15, Disp: 64 * v}, z(24+v))
	}
	for r := range rows {
		value := at(0, rowPointers[r], R14, k.size)
		if vectors == 1 {
			k.fmaBroadcast(value, z(24), z(r))
			continue
		}
		k.broadcast(value, z(26+r%2))
		for v := range vectors {
			k.fma(z(24+v), z(26+r%2), z(vectors*r+v))
		}
	}
	ADDQ(Imm(128), R15)
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
		VMOVUPS(z(i), Mem{Base: R15, Disp: 64 * i})
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
		VMOVUPS(Mem{Base: R15, Disp: 64 * r}, z(r))
	}
	MOVQ(address(Param("dy")), R15)
	MOVQ(address(Param("n")), R12)
	XORQ(R14, R14)
	loop("lanes")
	VMOVUPS(at(0, R15, R14, k.size), z(24))
	for r := range rows {
		k.fma(at(0, rowPointers[r], R14, k.size), z(24), z(r))
	}
	ADDQ(Imm(uint64(64/k.size)), R14)
	CMPQ(R14, R12)
	JL(LabelRef("lanes"))
	MOVQ(address(Param("sums")), R15)
	for r := range rows {
		VMOVUPS(z(r), Mem{Base: R15, Disp: 64 * r})
	}
	VZEROUPPER()
	RET()
}
