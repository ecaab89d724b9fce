#include "textflag.h"

// The micro-kernels: c = alpha·a·b + beta·c for one full tile of c.
//
// a is a packed panel of R rows: step p of k holds the R values of column p.
// b is a packed panel two vectors wide: step p holds 2·V values of row p.
// The tile stays in registers for the whole loop over k; a step loads the two
// vectors of b once and multiplies them with each value of a, broadcast.
//
//	SI  a, moves on by R elements a step
//	DI  b, moves on by two vectors a step
//	CX  steps left
//	R10 rows in use, with AVX-512: the loop leaves out the last four or eight if
//	    it may, and what is written to their rows means nothing
//	DX  c, moves down row by row
//	R8  row of c to the next, in bytes
//
//	          AVX-512, 12 rows    AVX2, 6 rows
//	tile      Z0-Z23, two a row   Y0-Y11, two a row
//	b         Z24, Z25            Y12, Y13
//	a value   Z26, Z27 in turn    Y14, Y15 in turn
//	alpha     Z30                 Y14   (after the loop)
//	beta      Z31                 Y15   (after the loop)
//
// The macros take the instructions of the precision and S, the bytes of an
// element. Operands are in Go's order: the last is the destination.

// PREFETCH asks for one row of c; by the end of the loop it is there.
#define PREFETCH(last) \
	PREFETCHT0 (R9); \
	PREFETCHT0 last(R9); \
	ADDQ       R8, R9

#define ROW512(BCAST, FMA, at, value, left, right) \
	BCAST at(SI), value; \
	FMA   Z24, value, left; \
	FMA   Z25, value, right

// A step of k, in parts: a panel with few rows in use leaves out what is not.
#define LOADB512 \
	VMOVUPS (DI), Z24; \
	VMOVUPS 64(DI), Z25

#define ROWS0TO3(BCAST, FMA, S) \
	ROW512(BCAST, FMA, (0*S), Z26, Z0, Z1); \
	ROW512(BCAST, FMA, (1*S), Z27, Z2, Z3); \
	ROW512(BCAST, FMA, (2*S), Z26, Z4, Z5); \
	ROW512(BCAST, FMA, (3*S), Z27, Z6, Z7)

#define ROWS4TO7(BCAST, FMA, S) \
	ROW512(BCAST, FMA, (4*S), Z26, Z8, Z9); \
	ROW512(BCAST, FMA, (5*S), Z27, Z10, Z11); \
	ROW512(BCAST, FMA, (6*S), Z26, Z12, Z13); \
	ROW512(BCAST, FMA, (7*S), Z27, Z14, Z15)

#define ROWS8TO11(BCAST, FMA, S) \
	ROW512(BCAST, FMA, (8*S), Z26, Z16, Z17); \
	ROW512(BCAST, FMA, (9*S), Z27, Z18, Z19); \
	ROW512(BCAST, FMA, (10*S), Z26, Z20, Z21); \
	ROW512(BCAST, FMA, (11*S), Z27, Z22, Z23)

#define NEXT512(S) \
	ADDQ $(12*S), SI; \
	ADDQ $128, DI; \
	DECQ CX

#define ZERO512 \
	VPXORD Z0, Z0, Z0; \
	VPXORD Z1, Z1, Z1; \
	VPXORD Z2, Z2, Z2; \
	VPXORD Z3, Z3, Z3; \
	VPXORD Z4, Z4, Z4; \
	VPXORD Z5, Z5, Z5; \
	VPXORD Z6, Z6, Z6; \
	VPXORD Z7, Z7, Z7; \
	VPXORD Z8, Z8, Z8; \
	VPXORD Z9, Z9, Z9; \
	VPXORD Z10, Z10, Z10; \
	VPXORD Z11, Z11, Z11; \
	VPXORD Z12, Z12, Z12; \
	VPXORD Z13, Z13, Z13; \
	VPXORD Z14, Z14, Z14; \
	VPXORD Z15, Z15, Z15; \
	VPXORD Z16, Z16, Z16; \
	VPXORD Z17, Z17, Z17; \
	VPXORD Z18, Z18, Z18; \
	VPXORD Z19, Z19, Z19; \
	VPXORD Z20, Z20, Z20; \
	VPXORD Z21, Z21, Z21; \
	VPXORD Z22, Z22, Z22; \
	VPXORD Z23, Z23, Z23

#define PREFETCH512 \
	MOVQ DX, R9; \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64) \
	PREFETCH(64)

// ADDROW512 is c = alpha·tile + beta·c for a row, SETROW512 is c = alpha·tile.
#define ADDROW512(MUL, FMA, left, right) \
	MUL     (DX), Z31, Z24; \
	MUL     64(DX), Z31, Z25; \
	FMA     left, Z30, Z24; \
	FMA     right, Z30, Z25; \
	VMOVUPS Z24, (DX); \
	VMOVUPS Z25, 64(DX); \
	ADDQ    R8, DX

#define SETROW512(MUL, left, right) \
	MUL     left, Z30, left; \
	MUL     right, Z30, right; \
	VMOVUPS left, (DX); \
	VMOVUPS right, 64(DX); \
	ADDQ    R8, DX

#define ADD512(MUL, FMA) \
	ADDROW512(MUL, FMA, Z0, Z1); \
	ADDROW512(MUL, FMA, Z2, Z3); \
	ADDROW512(MUL, FMA, Z4, Z5); \
	ADDROW512(MUL, FMA, Z6, Z7); \
	ADDROW512(MUL, FMA, Z8, Z9); \
	ADDROW512(MUL, FMA, Z10, Z11); \
	ADDROW512(MUL, FMA, Z12, Z13); \
	ADDROW512(MUL, FMA, Z14, Z15); \
	ADDROW512(MUL, FMA, Z16, Z17); \
	ADDROW512(MUL, FMA, Z18, Z19); \
	ADDROW512(MUL, FMA, Z20, Z21); \
	ADDROW512(MUL, FMA, Z22, Z23)

#define SET512(MUL) \
	SETROW512(MUL, Z0, Z1); \
	SETROW512(MUL, Z2, Z3); \
	SETROW512(MUL, Z4, Z5); \
	SETROW512(MUL, Z6, Z7); \
	SETROW512(MUL, Z8, Z9); \
	SETROW512(MUL, Z10, Z11); \
	SETROW512(MUL, Z12, Z13); \
	SETROW512(MUL, Z14, Z15); \
	SETROW512(MUL, Z16, Z17); \
	SETROW512(MUL, Z18, Z19); \
	SETROW512(MUL, Z20, Z21); \
	SETROW512(MUL, Z22, Z23)

// func sgemm12x32(rows, k int, a, b, c *float32, ldc int, alpha, beta float32)
TEXT ·sgemm12x32(SB), NOSPLIT, $0-56
	MOVQ rows+0(FP), R10
	MOVQ k+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), DI
	MOVQ c+32(FP), DX
	MOVQ ldc+40(FP), R8
	SHLQ $2, R8
	PREFETCH512
	ZERO512
	CMPQ R10, $4
	JLE  loop4
	CMPQ R10, $8
	JLE  loop8
	PCALIGN $32

loop12:
	LOADB512
	ROWS0TO3(VBROADCASTSS, VFMADD231PS, 4)
	ROWS4TO7(VBROADCASTSS, VFMADD231PS, 4)
	ROWS8TO11(VBROADCASTSS, VFMADD231PS, 4)
	NEXT512(4)
	JNE loop12
	JMP finish

loop8:
	LOADB512
	ROWS0TO3(VBROADCASTSS, VFMADD231PS, 4)
	ROWS4TO7(VBROADCASTSS, VFMADD231PS, 4)
	NEXT512(4)
	JNE loop8
	JMP finish

loop4:
	LOADB512
	ROWS0TO3(VBROADCASTSS, VFMADD231PS, 4)
	NEXT512(4)
	JNE loop4

finish:
	VBROADCASTSS alpha+48(FP), Z30
	MOVL         beta+52(FP), AX
	SHLL         $1, AX            // without its sign: is beta ±0?
	JEQ          set
	VBROADCASTSS beta+52(FP), Z31
	ADD512(VMULPS, VFMADD231PS)
	VZEROUPPER
	RET

set:
	SET512(VMULPS)
	VZEROUPPER
	RET

// func dgemm12x16(rows, k int, a, b, c *float64, ldc int, alpha, beta float64)
TEXT ·dgemm12x16(SB), NOSPLIT, $0-64
	MOVQ rows+0(FP), R10
	MOVQ k+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), DI
	MOVQ c+32(FP), DX
	MOVQ ldc+40(FP), R8
	SHLQ $3, R8
	PREFETCH512
	ZERO512
	CMPQ R10, $4
	JLE  loop4
	CMPQ R10, $8
	JLE  loop8
	PCALIGN $32

loop12:
	LOADB512
	ROWS0TO3(VBROADCASTSD, VFMADD231PD, 8)
	ROWS4TO7(VBROADCASTSD, VFMADD231PD, 8)
	ROWS8TO11(VBROADCASTSD, VFMADD231PD, 8)
	NEXT512(8)
	JNE loop12
	JMP finish

loop8:
	LOADB512
	ROWS0TO3(VBROADCASTSD, VFMADD231PD, 8)
	ROWS4TO7(VBROADCASTSD, VFMADD231PD, 8)
	NEXT512(8)
	JNE loop8
	JMP finish

loop4:
	LOADB512
	ROWS0TO3(VBROADCASTSD, VFMADD231PD, 8)
	NEXT512(8)
	JNE loop4

finish:
	VBROADCASTSD alpha+48(FP), Z30
	MOVQ         beta+56(FP), AX
	SHLQ         $1, AX
	JEQ          set
	VBROADCASTSD beta+56(FP), Z31
	ADD512(VMULPD, VFMADD231PD)
	VZEROUPPER
	RET

set:
	SET512(VMULPD)
	VZEROUPPER
	RET

#define ROW256(BCAST, FMA, at, value, left, right) \
	BCAST at(SI), value; \
	FMA   Y12, value, left; \
	FMA   Y13, value, right

#define STEP256(BCAST, FMA, S) \
	VMOVUPS (DI), Y12; \
	VMOVUPS 32(DI), Y13; \
	ROW256(BCAST, FMA, (0*S), Y14, Y0, Y1); \
	ROW256(BCAST, FMA, (1*S), Y15, Y2, Y3); \
	ROW256(BCAST, FMA, (2*S), Y14, Y4, Y5); \
	ROW256(BCAST, FMA, (3*S), Y15, Y6, Y7); \
	ROW256(BCAST, FMA, (4*S), Y14, Y8, Y9); \
	ROW256(BCAST, FMA, (5*S), Y15, Y10, Y11); \
	ADDQ    $(6*S), SI; \
	ADDQ    $64, DI

#define ZERO256 \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; \
	VXORPS Y5, Y5, Y5; \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y7, Y7, Y7; \
	VXORPS Y8, Y8, Y8; \
	VXORPS Y9, Y9, Y9; \
	VXORPS Y10, Y10, Y10; \
	VXORPS Y11, Y11, Y11

#define PREFETCH256 \
	MOVQ DX, R9; \
	PREFETCH(60) \
	PREFETCH(60) \
	PREFETCH(60) \
	PREFETCH(60) \
	PREFETCH(60) \
	PREFETCH(60)

#define ADDROW256(MUL, FMA, left, right) \
	MUL     (DX), Y15, Y12; \
	MUL     32(DX), Y15, Y13; \
	FMA     left, Y14, Y12; \
	FMA     right, Y14, Y13; \
	VMOVUPS Y12, (DX); \
	VMOVUPS Y13, 32(DX); \
	ADDQ    R8, DX

#define SETROW256(MUL, left, right) \
	MUL     left, Y14, left; \
	MUL     right, Y14, right; \
	VMOVUPS left, (DX); \
	VMOVUPS right, 32(DX); \
	ADDQ    R8, DX

#define ADD256(MUL, FMA) \
	ADDROW256(MUL, FMA, Y0, Y1); \
	ADDROW256(MUL, FMA, Y2, Y3); \
	ADDROW256(MUL, FMA, Y4, Y5); \
	ADDROW256(MUL, FMA, Y6, Y7); \
	ADDROW256(MUL, FMA, Y8, Y9); \
	ADDROW256(MUL, FMA, Y10, Y11)

#define SET256(MUL) \
	SETROW256(MUL, Y0, Y1); \
	SETROW256(MUL, Y2, Y3); \
	SETROW256(MUL, Y4, Y5); \
	SETROW256(MUL, Y6, Y7); \
	SETROW256(MUL, Y8, Y9); \
	SETROW256(MUL, Y10, Y11)

// func sgemm6x16(rows, k int, a, b, c *float32, ldc int, alpha, beta float32)
TEXT ·sgemm6x16(SB), NOSPLIT, $0-56
	MOVQ k+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), DI
	MOVQ c+32(FP), DX
	MOVQ ldc+40(FP), R8
	SHLQ $2, R8
	PREFETCH256
	ZERO256
	PCALIGN $32

loop:
	STEP256(VBROADCASTSS, VFMADD231PS, 4)
	DECQ CX
	JNE  loop

	VBROADCASTSS alpha+48(FP), Y14
	MOVL         beta+52(FP), AX
	SHLL         $1, AX
	JEQ          set
	VBROADCASTSS beta+52(FP), Y15
	ADD256(VMULPS, VFMADD231PS)
	VZEROUPPER
	RET

set:
	SET256(VMULPS)
	VZEROUPPER
	RET

// func dgemm6x8(rows, k int, a, b, c *float64, ldc int, alpha, beta float64)
TEXT ·dgemm6x8(SB), NOSPLIT, $0-64
	MOVQ k+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), DI
	MOVQ c+32(FP), DX
	MOVQ ldc+40(FP), R8
	SHLQ $3, R8
	PREFETCH256
	ZERO256
	PCALIGN $32

loop:
	STEP256(VBROADCASTSD, VFMADD231PD, 8)
	DECQ CX
	JNE  loop

	VBROADCASTSD alpha+48(FP), Y14
	MOVQ         beta+56(FP), AX
	SHLQ         $1, AX
	JEQ          set
	VBROADCASTSD beta+56(FP), Y15
	ADD256(VMULPD, VFMADD231PD)
	VZEROUPPER
	RET

set:
	SET256(VMULPD)
	VZEROUPPER
	RET
