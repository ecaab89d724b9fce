#include "textflag.h"

// Products with few rows use each value of b a few times only: packing b would
// cost more than it saves, so these read it where it lies. AVX2 on all
// machines, as memory sets the pace.
//
// The macros take the instructions of the precision and S, the bytes of an
// element; a tail goes element by element.

// Dot: the products of four lines x with y. The x are read at SI, SI+R8,
// SI+2·R8 and SI+R9, y at DI, all of which move on together.
//
//	Y0-Y3   sums of lines 0-3, first vector of each pair
//	Y4-Y7   the same, second vector
//	Y8, Y9  y
#define DOT4(FMA) \
	VMOVUPS (DI), Y8; \
	VMOVUPS 32(DI), Y9; \
	FMA     (SI), Y8, Y0; \
	FMA     (SI)(R8*1), Y8, Y1; \
	FMA     (SI)(R8*2), Y8, Y2; \
	FMA     (SI)(R9*1), Y8, Y3; \
	FMA     32(SI), Y9, Y4; \
	FMA     32(SI)(R8*1), Y9, Y5; \
	FMA     32(SI)(R8*2), Y9, Y6; \
	FMA     32(SI)(R9*1), Y9, Y7; \
	ADDQ    $64, SI; \
	ADDQ    $64, DI

// DOTFOLD leaves the sums in X0-X3. The scalar FMA of the tail adds to their
// first element and keeps the others.
#define DOTFOLD(ADD) \
	ADD          Y4, Y0, Y0; \
	ADD          Y5, Y1, Y1; \
	ADD          Y6, Y2, Y2; \
	ADD          Y7, Y3, Y3; \
	VEXTRACTF128 $1, Y0, X4; \
	VEXTRACTF128 $1, Y1, X5; \
	VEXTRACTF128 $1, Y2, X6; \
	VEXTRACTF128 $1, Y3, X7; \
	ADD          X4, X0, X0; \
	ADD          X5, X1, X1; \
	ADD          X6, X2, X2; \
	ADD          X7, X3, X3

#define DOTTAIL(MOV, FMA, S) \
	MOV  (DI), X8; \
	FMA  (SI), X8, X0; \
	FMA  (SI)(R8*1), X8, X1; \
	FMA  (SI)(R8*2), X8, X2; \
	FMA  (SI)(R9*1), X8, X3; \
	ADDQ $S, SI; \
	ADDQ $S, DI

#define DOTZERO \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; \
	VXORPS Y5, Y5, Y5; \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y7, Y7, Y7

// func sdot4(k int, x *float32, ldx int, y, sums *float32)
TEXT ·sdot4(SB), NOSPLIT, $0-40
	MOVQ k+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ ldx+16(FP), R8
	MOVQ y+24(FP), DI
	MOVQ sums+32(FP), DX
	SHLQ $2, R8
	LEAQ (R8)(R8*2), R9
	DOTZERO
	SUBQ $16, CX
	JLT  fold

loop:
	DOT4(VFMADD231PS)
	SUBQ $16, CX
	JGE  loop

fold:
	DOTFOLD(VADDPS)
	ADDQ $16, CX
	JEQ  store

tail:
	DOTTAIL(VMOVSS, VFMADD231SS, 4)
	DECQ CX
	JNE  tail

store:
	VHADDPS X1, X0, X0
	VHADDPS X3, X2, X2
	VHADDPS X2, X0, X0
	VMOVUPS X0, (DX)
	VZEROUPPER
	RET

// func ddot4(k int, x *float64, ldx int, y, sums *float64)
TEXT ·ddot4(SB), NOSPLIT, $0-40
	MOVQ k+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ ldx+16(FP), R8
	MOVQ y+24(FP), DI
	MOVQ sums+32(FP), DX
	SHLQ $3, R8
	LEAQ (R8)(R8*2), R9
	DOTZERO
	SUBQ $8, CX
	JLT  fold

loop:
	DOT4(VFMADD231PD)
	SUBQ $8, CX
	JGE  loop

fold:
	DOTFOLD(VADDPD)
	ADDQ $8, CX
	JEQ  store

tail:
	DOTTAIL(VMOVSD, VFMADD231SD, 8)
	DECQ CX
	JNE  tail

store:
	VHADDPD X1, X0, X0
	VHADDPD X3, X2, X2
	VMOVUPD X0, (DX)
	VMOVUPD X2, 16(DX)
	VZEROUPPER
	RET

// DOT1 is the product of a single line x with y, four vectors at a time, with
// their sums in Y0-Y3.
#define DOT1(FMA) \
	VMOVUPS (DI), Y8; \
	VMOVUPS 32(DI), Y9; \
	VMOVUPS 64(DI), Y10; \
	VMOVUPS 96(DI), Y11; \
	FMA     (SI), Y8, Y0; \
	FMA     32(SI), Y9, Y1; \
	FMA     64(SI), Y10, Y2; \
	FMA     96(SI), Y11, Y3; \
	ADDQ    $128, SI; \
	ADDQ    $128, DI

// func sdot(k int, x, y, sum *float32)
TEXT ·sdot(SB), NOSPLIT, $0-32
	MOVQ k+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DI
	MOVQ sum+24(FP), DX
	DOTZERO
	SUBQ $32, CX
	JLT  fold

loop:
	DOT1(VFMADD231PS)
	SUBQ $32, CX
	JGE  loop

fold:
	VADDPS       Y1, Y0, Y0
	VADDPS       Y3, Y2, Y2
	VADDPS       Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS       X1, X0, X0
	ADDQ         $32, CX
	JEQ          store

tail:
	VMOVSS      (DI), X8
	VFMADD231SS (SI), X8, X0
	ADDQ        $4, SI
	ADDQ        $4, DI
	DECQ        CX
	JNE         tail

store:
	VHADDPS X0, X0, X0
	VHADDPS X0, X0, X0
	VMOVSS  X0, (DX)
	VZEROUPPER
	RET

// func ddot(k int, x, y, sum *float64)
TEXT ·ddot(SB), NOSPLIT, $0-32
	MOVQ k+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DI
	MOVQ sum+24(FP), DX
	DOTZERO
	SUBQ $16, CX
	JLT  fold

loop:
	DOT1(VFMADD231PD)
	SUBQ $16, CX
	JGE  loop

fold:
	VADDPD       Y1, Y0, Y0
	VADDPD       Y3, Y2, Y2
	VADDPD       Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPD       X1, X0, X0
	ADDQ         $16, CX
	JEQ          store

tail:
	VMOVSD      (DI), X8
	VFMADD231SD (SI), X8, X0
	ADDQ        $8, SI
	ADDQ        $8, DI
	DECQ        CX
	JNE         tail

store:
	VHADDPD X0, X0, X0
	VMOVSD  X0, (DX)
	VZEROUPPER
	RET

// Axpy: y += Σ f[q]·x[q] over four lines x, read at SI, SI+R8, SI+2·R8 and
// SI+R9; y at DI.
//
//	Y0, Y1   y
//	Y12-Y15  the factors, in every element
#define AXPY4(FMA) \
	VMOVUPS (DI), Y0; \
	VMOVUPS 32(DI), Y1; \
	FMA     (SI), Y12, Y0; \
	FMA     32(SI), Y12, Y1; \
	FMA     (SI)(R8*1), Y13, Y0; \
	FMA     32(SI)(R8*1), Y13, Y1; \
	FMA     (SI)(R8*2), Y14, Y0; \
	FMA     32(SI)(R8*2), Y14, Y1; \
	FMA     (SI)(R9*1), Y15, Y0; \
	FMA     32(SI)(R9*1), Y15, Y1; \
	VMOVUPS Y0, (DI); \
	VMOVUPS Y1, 32(DI); \
	ADDQ    $64, SI; \
	ADDQ    $64, DI

#define AXPYTAIL(MOV, FMA, S) \
	MOV  (DI), X0; \
	FMA  (SI), X12, X0; \
	FMA  (SI)(R8*1), X13, X0; \
	FMA  (SI)(R8*2), X14, X0; \
	FMA  (SI)(R9*1), X15, X0; \
	MOV  X0, (DI); \
	ADDQ $S, SI; \
	ADDQ $S, DI

// func saxpy4(n int, factors, x *float32, ldx int, y *float32)
TEXT ·saxpy4(SB), NOSPLIT, $0-40
	MOVQ         n+0(FP), CX
	MOVQ         factors+8(FP), DX
	MOVQ         x+16(FP), SI
	MOVQ         ldx+24(FP), R8
	MOVQ         y+32(FP), DI
	SHLQ         $2, R8
	LEAQ         (R8)(R8*2), R9
	VBROADCASTSS (DX), Y12
	VBROADCASTSS 4(DX), Y13
	VBROADCASTSS 8(DX), Y14
	VBROADCASTSS 12(DX), Y15
	SUBQ         $16, CX
	JLT          rest

loop:
	AXPY4(VFMADD231PS)
	SUBQ $16, CX
	JGE  loop

rest:
	ADDQ $16, CX
	JEQ  done

tail:
	AXPYTAIL(VMOVSS, VFMADD231SS, 4)
	DECQ CX
	JNE  tail

done:
	VZEROUPPER
	RET

// func daxpy4(n int, factors, x *float64, ldx int, y *float64)
TEXT ·daxpy4(SB), NOSPLIT, $0-40
	MOVQ         n+0(FP), CX
	MOVQ         factors+8(FP), DX
	MOVQ         x+16(FP), SI
	MOVQ         ldx+24(FP), R8
	MOVQ         y+32(FP), DI
	SHLQ         $3, R8
	LEAQ         (R8)(R8*2), R9
	VBROADCASTSD (DX), Y12
	VBROADCASTSD 8(DX), Y13
	VBROADCASTSD 16(DX), Y14
	VBROADCASTSD 24(DX), Y15
	SUBQ         $8, CX
	JLT          rest

loop:
	AXPY4(VFMADD231PD)
	SUBQ $8, CX
	JGE  loop

rest:
	ADDQ $8, CX
	JEQ  done

tail:
	AXPYTAIL(VMOVSD, VFMADD231SD, 8)
	DECQ CX
	JNE  tail

done:
	VZEROUPPER
	RET
