package main

import (
	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// What ends dot products: each lies in a register that is added up, four at a
// time, and c = alpha·sums + beta·c.

// four is register i as four elements.
func (p precision) four(i int) Register {
	if p.size == 4 {
		return x(i)
	}
	return y(i)
}

// sums512 adds up each of z(i) to z(i+3), into the elements of four(i). It
// writes z16 to z19 as well.
func (p precision) sums512(i int) {
	if p.size == 4 {
		VUNPCKLPS(z(i+1), z(i), z(16))
		VUNPCKHPS(z(i+1), z(i), z(17))
		VUNPCKLPS(z(i+3), z(i+2), z(18))
		VUNPCKHPS(z(i+3), z(i+2), z(19))
		VADDPS(z(17), z(16), z(16))
		VADDPS(z(19), z(18), z(18))
		VUNPCKLPD(z(18), z(16), z(17))
		VUNPCKHPD(z(18), z(16), z(19))
		VADDPS(z(19), z(17), z(i))
		VEXTRACTF64X4(Imm(1), z(i), y(i+1))
		VADDPS(y(i+1), y(i), y(i))
		VEXTRACTF128(Imm(1), y(i), x(i+1))
		VADDPS(x(i+1), x(i), x(i))
		return
	}
	VUNPCKLPD(z(i+1), z(i), z(16))
	VUNPCKHPD(z(i+1), z(i), z(17))
	VUNPCKLPD(z(i+3), z(i+2), z(18))
	VUNPCKHPD(z(i+3), z(i+2), z(19))
	VADDPD(z(17), z(16), z(i))
	VADDPD(z(19), z(18), z(i+2))
	VEXTRACTF64X4(Imm(1), z(i), y(i+1))
	VEXTRACTF64X4(Imm(1), z(i+2), y(i+3))
	VADDPD(y(i+1), y(i), y(i))
	VADDPD(y(i+3), y(i+2), y(i+2))
	addHalves(i)
}

// sums256 adds up each of y(i) to y(i+3), into the elements of four(i).
func (p precision) sums256(i int) {
	if p.size == 4 {
		VHADDPS(y(i+1), y(i), y(i))
		VHADDPS(y(i+3), y(i+2), y(i+2))
		VHADDPS(y(i+2), y(i), y(i))
		VEXTRACTF128(Imm(1), y(i), x(i+1))
		VADDPS(x(i+1), x(i), x(i))
		return
	}
	VHADDPD(y(i+1), y(i), y(i))
	VHADDPD(y(i+3), y(i+2), y(i+2))
	addHalves(i)
}

func addHalves(i int) {
	VPERM2F128(Imm(0x20), y(i+2), y(i), y(i+1))
	VPERM2F128(Imm(0x31), y(i+2), y(i), y(i+3))
	VADDPD(y(i+3), y(i+1), y(i))
}

// finish writes alpha·sums + beta·c, the sums of row r being those of
// four(4·r). row puts the address of a row's four elements of c into RDX, and
// leaves for the label next after the last row. With beta ±0, c is not read.
func (p precision) finish(rows int, alpha, beta Mem, row func(r int) Mem, after func()) {
	p.broadcast(alpha, p.four(1))
	p.jumpIfZero(beta, RCX, "set")
	p.broadcast(beta, p.four(2))
	for r := range rows {
		c := row(r)
		p.mul(p.four(1), p.four(4*r), p.four(4*r))
		p.fma(c, p.four(2), p.four(4*r))
		store(c, p.four(4*r))
		after()
	}
	JMP(LabelRef("next"))
	Label("set")
	for r := range rows {
		c := row(r)
		p.mul(p.four(1), p.four(4*r), p.four(4*r))
		store(c, p.four(4*r))
		after()
	}
	Label("next")
}

// jumpIfZero jumps to the label where a number is ±0. It overwrites scratch.
func (p precision) jumpIfZero(number Mem, scratch GPPhysical, label string) {
	if p.size == 4 {
		MOVL(number, scratch.As32())
		SHLL(Imm(1), scratch.As32()) // without its sign
	} else {
		MOVQ(number, scratch)
		SHLQ(Imm(1), scratch)
	}
	JEQ(LabelRef(label))
}
