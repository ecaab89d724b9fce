#include "textflag.h"
#include "sums_amd64.h"

// The gradient at the weights of a locally connected layer, for one position:
// c = alpha·(a·bᵀ) + beta·c, where a row of a or b is as many lines (64 bytes)
// as there are blocks of samples. The lines of a block lie side by side, blocks
// lda and ldb apart, so every dot product is summed in a register of its own
// and the register added up at the end: up to four rows by four columns at a
// time, with AVX2 two rows.
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

#define DOTARGS(SHIFT) \
	MOVQ lda+32(FP), R8; \
	MOVQ ldb+48(FP), R9; \
	MOVQ ldc+64(FP), R10; \
	SHLQ $SHIFT, R8; \
	SHLQ $SHIFT, R9; \
	SHLQ $SHIFT, R10; \
	MOVQ b+40(FP), R11; \
	MOVQ c+56(FP), R12

#define DOTTILE \
	MOVQ a+24(FP), SI; \
	MOVQ R11, DI; \
	MOVQ blocks+16(FP), CX

#define NEXTBLOCK \
	ADDQ R8, SI; \
	ADDQ R9, DI; \
	DECQ CX

#define NEXTTILE(S) \
	ADDQ $256, R11; \
	ADDQ $(4*S), R12; \
	SUBQ $4, cols+8(FP); \
	JGT  tile; \
	VZEROUPPER; \
	RET

// The first row that is not there ends the tile. alpha and beta are in registers
// that the sums have left.
#define ADDDOTS(MUL, FMA, sum, alpha, beta) \
	MUL     alpha, sum, sum; \
	FMA     (AX), beta, sum; \
	VMOVUPS sum, (AX); \
	ADDQ    R10, AX; \
	DECQ    BX; \
	JEQ     next

#define SETDOTS(MUL, sum, alpha) \
	MUL     alpha, sum, sum; \
	VMOVUPS sum, (AX); \
	ADDQ    R10, AX; \
	DECQ    BX; \
	JEQ     next

#define DOTBLOCK512(FMA) \
	VMOVUPS (SI), Z16; \
	VMOVUPS (DI), Z20; \
	VMOVUPS 64(DI), Z21; \
	VMOVUPS 128(DI), Z22; \
	VMOVUPS 192(DI), Z23; \
	VMOVUPS 64(SI), Z17; \
	VMOVUPS 128(SI), Z18; \
	VMOVUPS 192(SI), Z19; \
	FMA     Z20, Z16, Z0; \
	FMA     Z21, Z16, Z1; \
	FMA     Z22, Z16, Z2; \
	FMA     Z23, Z16, Z3; \
	FMA     Z20, Z17, Z4; \
	FMA     Z21, Z17, Z5; \
	FMA     Z22, Z17, Z6; \
	FMA     Z23, Z17, Z7; \
	FMA     Z20, Z18, Z8; \
	FMA     Z21, Z18, Z9; \
	FMA     Z22, Z18, Z10; \
	FMA     Z23, Z18, Z11; \
	FMA     Z20, Z19, Z12; \
	FMA     Z21, Z19, Z13; \
	FMA     Z22, Z19, Z14; \
	FMA     Z23, Z19, Z15

// func sdots512(rows, cols, blocks int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, alpha, beta float32)
TEXT ·sdots512(SB), NOSPLIT, $0-80
	DOTARGS(2)

tile:
	DOTTILE
	ZERO16
	PCALIGN $32

block:
	DOTBLOCK512(VFMADD231PS)
	NEXTBLOCK
	JNE block
	SSUM512(Z0, Z1, Z2, Z3, Y0, Y1, X0, X1)
	SSUM512(Z4, Z5, Z6, Z7, Y4, Y5, X4, X5)
	SSUM512(Z8, Z9, Z10, Z11, Y8, Y9, X8, X9)
	SSUM512(Z12, Z13, Z14, Z15, Y12, Y13, X12, X13)
	VBROADCASTSS alpha+72(FP), X1
	MOVQ         R12, AX
	MOVQ         rows+0(FP), BX
	MOVL         beta+76(FP), CX
	SHLL         $1, CX              // without its sign: is beta ±0?
	JEQ          set
	VBROADCASTSS beta+76(FP), X2
	ADDDOTS(VMULPS, VFMADD231PS, X0, X1, X2)
	ADDDOTS(VMULPS, VFMADD231PS, X4, X1, X2)
	ADDDOTS(VMULPS, VFMADD231PS, X8, X1, X2)
	ADDDOTS(VMULPS, VFMADD231PS, X12, X1, X2)

set:
	SETDOTS(VMULPS, X0, X1)
	SETDOTS(VMULPS, X4, X1)
	SETDOTS(VMULPS, X8, X1)
	SETDOTS(VMULPS, X12, X1)

next:
	NEXTTILE(4)

// func ddots512(rows, cols, blocks int, a *float64, lda int, b *float64, ldb int, c *float64, ldc int, alpha, beta float64)
TEXT ·ddots512(SB), NOSPLIT, $0-88
	DOTARGS(3)

tile:
	DOTTILE
	ZERO16
	PCALIGN $32

block:
	DOTBLOCK512(VFMADD231PD)
	NEXTBLOCK
	JNE block
	DSUM512(Z0, Z1, Z2, Z3, Y0, Y1, Y2, Y3)
	DSUM512(Z4, Z5, Z6, Z7, Y4, Y5, Y6, Y7)
	DSUM512(Z8, Z9, Z10, Z11, Y8, Y9, Y10, Y11)
	DSUM512(Z12, Z13, Z14, Z15, Y12, Y13, Y14, Y15)
	VBROADCASTSD alpha+72(FP), Y1
	MOVQ         R12, AX
	MOVQ         rows+0(FP), BX
	MOVQ         beta+80(FP), CX
	SHLQ         $1, CX
	JEQ          set
	VBROADCASTSD beta+80(FP), Y2
	ADDDOTS(VMULPD, VFMADD231PD, Y0, Y1, Y2)
	ADDDOTS(VMULPD, VFMADD231PD, Y4, Y1, Y2)
	ADDDOTS(VMULPD, VFMADD231PD, Y8, Y1, Y2)
	ADDDOTS(VMULPD, VFMADD231PD, Y12, Y1, Y2)

set:
	SETDOTS(VMULPD, Y0, Y1)
	SETDOTS(VMULPD, Y4, Y1)
	SETDOTS(VMULPD, Y8, Y1)
	SETDOTS(VMULPD, Y12, Y1)

next:
	NEXTTILE(8)

#define HALFBLOCK256(FMA, at) \
	VMOVUPS at(SI), Y8; \
	VMOVUPS (at+64)(SI), Y9; \
	VMOVUPS at(DI), Y10; \
	VMOVUPS (at+64)(DI), Y11; \
	VMOVUPS (at+128)(DI), Y12; \
	VMOVUPS (at+192)(DI), Y13; \
	FMA     Y10, Y8, Y0; \
	FMA     Y11, Y8, Y1; \
	FMA     Y12, Y8, Y2; \
	FMA     Y13, Y8, Y3; \
	FMA     Y10, Y9, Y4; \
	FMA     Y11, Y9, Y5; \
	FMA     Y12, Y9, Y6; \
	FMA     Y13, Y9, Y7

#define ZERODOTS256 \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; \
	VXORPS Y5, Y5, Y5; \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y7, Y7, Y7

// func sdots256(rows, cols, blocks int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, alpha, beta float32)
TEXT ·sdots256(SB), NOSPLIT, $0-80
	DOTARGS(2)

tile:
	DOTTILE
	ZERODOTS256
	PCALIGN $32

block:
	HALFBLOCK256(VFMADD231PS, 0)
	HALFBLOCK256(VFMADD231PS, 32)
	NEXTBLOCK
	JNE block
	SSUM256(Y0, Y1, Y2, Y3, X0, X1)
	SSUM256(Y4, Y5, Y6, Y7, X4, X5)
	VBROADCASTSS alpha+72(FP), X1
	MOVQ         R12, AX
	MOVQ         rows+0(FP), BX
	MOVL         beta+76(FP), CX
	SHLL         $1, CX
	JEQ          set
	VBROADCASTSS beta+76(FP), X2
	ADDDOTS(VMULPS, VFMADD231PS, X0, X1, X2)
	ADDDOTS(VMULPS, VFMADD231PS, X4, X1, X2)

set:
	SETDOTS(VMULPS, X0, X1)
	SETDOTS(VMULPS, X4, X1)

next:
	NEXTTILE(4)

// func ddots256(rows, cols, blocks int, a *float64, lda int, b *float64, ldb int, c *float64, ldc int, alpha, beta float64)
TEXT ·ddots256(SB), NOSPLIT, $0-88
	DOTARGS(3)

tile:
	DOTTILE
	ZERODOTS256
	PCALIGN $32

block:
	HALFBLOCK256(VFMADD231PD, 0)
	HALFBLOCK256(VFMADD231PD, 32)
	NEXTBLOCK
	JNE block
	DSUM256(Y0, Y1, Y2, Y3)
	DSUM256(Y4, Y5, Y6, Y7)
	VBROADCASTSD alpha+72(FP), Y1
	MOVQ         R12, AX
	MOVQ         rows+0(FP), BX
	MOVQ         beta+80(FP), CX
	SHLQ         $1, CX
	JEQ          set
	VBROADCASTSD beta+80(FP), Y2
	ADDDOTS(VMULPD, VFMADD231PD, Y0, Y1, Y2)
	ADDDOTS(VMULPD, VFMADD231PD, Y4, Y1, Y2)

set:
	SETDOTS(VMULPD, Y0, Y1)
	SETDOTS(VMULPD, Y4, Y1)

next:
	NEXTTILE(8)
