package main

import (
	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// thin writes the products with few rows, which use each value of b a few times only:
// packing b would cost more than it saves, so these read it where it lies. AVX2 on all
// machines, as memory sets the pace. A tail goes element by element.
func thin() {
	for _, p := range precisions {
		implement(p.prefix + "dot4")
		p.dot4()
		implement(p.prefix + "dot")
		p.dot()
		implement(p.prefix + "axpy4")
		p.axpy4()
	}
}

// lines4 are four lines, read at SI, SI+R8, SI+2·R8 and SI+R9; y is at DI. All move on
// together.
func lines4(offset int) []Mem {
	return []Mem{
		{Base: RSI, Disp: offset}, at(offset, RSI, R8, 1), at(offset, RSI, R8, 2), at(offset, RSI, R9, 1),
	}
}

func moveOn(bytes int) {
	ADDQ(U32(bytes), RSI)
	ADDQ(U32(bytes), RDI)
}

// counted runs body for so many elements at a time, rest once between, and then tail
// for each of those that are left, before it goes on at the label after.
func counted(elements int, between string, body, rest func(), after string, tail func()) {
	SUBQ(Imm(uint64(elements)), RCX)
	JLT(LabelRef(between))
	Label("loop")
	body()
	SUBQ(Imm(uint64(elements)), RCX)
	JGE(LabelRef("loop"))
	Label(between)
	rest()
	ADDQ(Imm(uint64(elements)), RCX)
	JEQ(LabelRef(after))
	Label("tail")
	tail()
	DECQ(RCX)
	JNE(LabelRef("tail"))
	Label(after)
}

// dot4 computes the products of four lines x with y.
//
//	Y0-Y3   sums of lines 0-3, first vector of each pair
//	Y4-Y7   the same, second vector
//	Y8, Y9  y
func (p precision) dot4() {
	MOVQ(address(Param("k")), RCX)
	MOVQ(address(Param("x")), RSI)
	MOVQ(address(Param("ldx")), R8)
	MOVQ(address(Param("y")), RDI)
	MOVQ(address(Param("sums")), RDX)
	SHLQ(Imm(uint64(p.shift)), R8)
	LEAQ(at(0, R8, R8, 2), R9)
	zero(ys(0, 8)...)
	counted(64/p.size, "fold", func() {
		load(Mem{Base: RDI}, ys(8, 2)...)
		for half := range 2 {
			for i, line := range lines4(32 * half) {
				p.fma(line, y(8+half), y(4*half+i))
			}
		}
		moveOn(64)
	}, func() {
		for i := range 4 {
			p.add(y(4+i), y(i), y(i))
		}
		for i := range 4 {
			VEXTRACTF128(Imm(1), y(i), x(4+i))
		}
		for i := range 4 {
			p.add(x(4+i), x(i), x(i))
		}
	}, "store", func() {
		Comment("The scalar FMA adds to the first element and keeps the others.")
		p.moveScalar(Mem{Base: RDI}, x(8))
		for i, line := range lines4(0) {
			p.fmaScalar(line, x(8), x(i))
		}
		moveOn(p.size)
	})
	sums := Mem{Base: RDX}
	if p.size == 4 {
		VHADDPS(x(1), x(0), x(0))
		VHADDPS(x(3), x(2), x(2))
		VHADDPS(x(2), x(0), x(0))
		VMOVUPS(x(0), sums)
	} else {
		VHADDPD(x(1), x(0), x(0))
		VHADDPD(x(3), x(2), x(2))
		VMOVUPD(x(0), sums)
		VMOVUPD(x(2), sums.Offset(16))
	}
	VZEROUPPER()
	RET()
}

// dot computes the product of a single line x with y, four vectors at a time, with
// their sums in Y0-Y3.
func (p precision) dot() {
	MOVQ(address(Param("k")), RCX)
	MOVQ(address(Param("x")), RSI)
	MOVQ(address(Param("y")), RDI)
	MOVQ(address(Param("sum")), RDX)
	zero(ys(0, 4)...)
	counted(128/p.size, "fold", func() {
		load(Mem{Base: RDI}, ys(8, 4)...)
		for i := range 4 {
			p.fma(Mem{Base: RSI, Disp: 32 * i}, y(8+i), y(i))
		}
		moveOn(128)
	}, func() {
		p.add(y(1), y(0), y(0))
		p.add(y(3), y(2), y(2))
		p.add(y(2), y(0), y(0))
		VEXTRACTF128(Imm(1), y(0), x(1))
		p.add(x(1), x(0), x(0))
	}, "store", func() {
		p.moveScalar(Mem{Base: RDI}, x(8))
		p.fmaScalar(Mem{Base: RSI}, x(8), x(0))
		moveOn(p.size)
	})
	if p.size == 4 {
		VHADDPS(x(0), x(0), x(0))
		VHADDPS(x(0), x(0), x(0))
	} else {
		VHADDPD(x(0), x(0), x(0))
	}
	p.moveScalar(x(0), Mem{Base: RDX})
	VZEROUPPER()
	RET()
}

// axpy4 computes y += Σ f[q]·x[q] over four lines x.
//
//	Y0, Y1   y
//	Y12-Y15  the factors, in every element
func (p precision) axpy4() {
	MOVQ(address(Param("n")), RCX)
	MOVQ(address(Param("factors")), RDX)
	MOVQ(address(Param("x")), RSI)
	MOVQ(address(Param("ldx")), R8)
	MOVQ(address(Param("y")), RDI)
	SHLQ(Imm(uint64(p.shift)), R8)
	LEAQ(at(0, R8, R8, 2), R9)
	for i := range 4 {
		p.broadcast(Mem{Base: RDX, Disp: i * p.size}, y(12+i))
	}
	counted(64/p.size, "rest", func() {
		load(Mem{Base: RDI}, ys(0, 2)...)
		for i := range 4 {
			for half := range 2 {
				p.fma(lines4(32 * half)[i], y(12+i), y(half))
			}
		}
		store(Mem{Base: RDI}, ys(0, 2)...)
		moveOn(64)
	}, func() {}, "done", func() {
		p.moveScalar(Mem{Base: RDI}, x(0))
		for i, line := range lines4(0) {
			p.fmaScalar(line, x(12+i), x(0))
		}
		p.moveScalar(x(0), Mem{Base: RDI})
		moveOn(p.size)
	})
	VZEROUPPER()
	RET()
}
