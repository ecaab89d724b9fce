package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// functions writes functions of single elements in float32 for AVX-512: of n elements, at
// least one, at src (CX, SI) to dst (DI). Elements after the last whole vector are masked.
func functions() {
	implement("smul512")
	mul()
	implement("shardswish512")
	hardSwish()
	implement("ssigmoid512")
	sigmoid()
}

// eachVector runs body for every 16 elements, those in use in K1, and returns. body moves no
// pointer; pointers are moved on by 64.
func eachVector(body func(), pointers ...Register) {
	MOVQ(address(Param("n")), RCX)
	MOVL(U32(0xffff), EAX)
	KMOVW(EAX, K1)
	SUBQ(Imm(16), RCX)
	JLT(LabelRef("rest"))
	loop("whole")
	body()
	for _, p := range pointers {
		ADDQ(Imm(64), p)
	}
	SUBQ(Imm(16), RCX)
	JGE(LabelRef("whole"))
	Label("rest")
	ADDQ(Imm(16), RCX)
	JEQ(LabelRef("done"))
	MOVL(U32(1), EAX)
	SHLL(CL, EAX)
	DECL(EAX)
	KMOVW(EAX, K1)
	body()
	Label("done")
	VZEROUPPER()
	RET()
}

// constant puts a number into every element of a register.
func constant(v float32, r Register) {
	MOVL(U32(math.Float32bits(v)), EAX)
	VPBROADCASTD(EAX, r)
}

func mul() {
	MOVQ(address(Param("a")), RSI)
	MOVQ(address(Param("b")), RDX)
	MOVQ(address(Param("dst")), RDI)
	eachVector(func() {
		VMOVUPS_Z(Mem{Base: RSI}, K1, z(0))
		VMULPS_Z(Mem{Base: RDX}, z(0), K1, z(0))
		VMOVUPS(z(0), K1, Mem{Base: RDI})
	}, RSI, RDX, RDI)
}

// hardSwish is v·max(0, min(1, v/6 + 0.5)), with the roundings of plain code. Where v is
// NaN so is the first factor.
func hardSwish() {
	MOVQ(address(Param("src")), RSI)
	MOVQ(address(Param("dst")), RDI)
	constant(6, z(28))
	constant(0.5, z(29))
	constant(1, z(30))
	zero(z(31))
	eachVector(func() {
		VMOVUPS_Z(Mem{Base: RSI}, K1, z(0))
		VDIVPS(z(28), z(0), z(1))
		VADDPS(z(29), z(1), z(1))
		VMINPS(z(30), z(1), z(1))
		VMAXPS(z(31), z(1), z(1))
		VMULPS(z(1), z(0), z(1))
		VMOVUPS(z(1), K1, Mem{Base: RDI})
	}, RSI, RDI)
}

// sigmoid is 1/(1+exp(-v)). exp(t) = 2ⁿ·exp(r) with n the integer nearest to t/ln 2, and
// exp(r) = 1 + r + r²·p(r) by the polynomial of the Cephes library's expf (Moshier).
func sigmoid() {
	MOVQ(address(Param("src")), RSI)
	MOVQ(address(Param("dst")), RDI)
	constant(-104, z(20)) // beyond ±104 exp(t) is 0 or infinite all the same
	constant(104, z(21))
	constant(math.Log2E, z(22))
	constant(0.693359375, z(23)) // ln 2 in two parts, the first of few bits
	constant(-2.12194440e-4, z(24))
	for i, c := range []float32{
		1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
	} {
		constant(c, z(25+i))
	}
	constant(1, z(31))
	eachVector(func() {
		VMOVUPS_Z(Mem{Base: RSI}, K1, z(0))
		VPXORD(z(1), z(1), z(1))
		VSUBPS(z(0), z(1), z(0))
		Comment("The element is the second operand, so that NaN stays.")
		VMAXPS(z(0), z(20), z(0))
		VMINPS(z(0), z(21), z(0))
		VMULPS(z(22), z(0), z(1))
		VRNDSCALEPS(Imm(0), z(1), z(1))
		VFNMADD231PS(z(23), z(1), z(0))
		VFNMADD231PS(z(24), z(1), z(0))
		VMOVAPS(z(25), z(2))
		for i := 26; i < 31; i++ {
			VFMADD213PS(z(i), z(0), z(2))
		}
		VMULPS(z(0), z(0), z(3))
		VFMADD213PS(z(0), z(3), z(2))
		VADDPS(z(31), z(2), z(2))
		VSCALEFPS(z(1), z(2), z(2))
		VADDPS(z(31), z(2), z(2))
		VDIVPS(z(2), z(31), z(2))
		VMOVUPS(z(2), K1, Mem{Base: RDI})
	}, RSI, RDI)
}
