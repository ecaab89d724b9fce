#include "textflag.h"
#include "go_asm.h"
#include "sums_amd64.h"

// The three products of a sparse matrix with a batch of samples, for the rows of
// one tile: a row alone, or four that have their entries in the same columns. A
// column of x, or a row of y, is as many lines (64 bytes: a Z register, or two Y
// registers) as the batch takes, side by side; columns are found through the
// list of the tile, so nothing is gathered.
//
// All take a csrCall. Its fields before alpha lie alike for both precisions. The
// macros take the instructions of the precision and S, the bytes of an element.
// Operands are in Go's order: the last is the destination.

// Forward: y = w·x + bias, and input: x += wᵀ·y, four lines at a time, then one.
//
//	AX      the call            R8-R11  w, row by row
//	SI      x, this line        R12     columns
//	DI      bytes from a column of x to the next
//	BX, CX  entry, entries      R13     lines left
//	R14     bytes of y done     DX      where the entry's column is

#define CALLARGS \
	MOVQ call+0(FP), AX; \
	MOVQ csrCall64_n(AX), CX; \
	MOVQ csrCall64_columns(AX), R12; \
	MOVQ csrCall64_step(AX), DI; \
	MOVQ csrCall64_x(AX), SI; \
	MOVQ csrCall64_lines(AX), R13; \
	MOVQ csrCall64_w(AX), R8

#define CALLROWS \
	MOVQ (csrCall64_w+8)(AX), R9; \
	MOVQ (csrCall64_w+16)(AX), R10; \
	MOVQ (csrCall64_w+24)(AX), R11

// AHEAD and AHEADROWS prefetch the weights that come after these, and then
// begin with the first line.
#define AHEADARGS(S) \
	MOVQ csrCall64_ahead(AX), DX; \
	LEAQ (DX)(CX*S), R14

#define NEXTAHEAD \
	ADDQ $64, DX; \
	CMPQ DX, R14; \
	JLT  ahead; \
	XORQ R14, R14

#define AHEAD(S) \
	AHEADARGS(S); \
ahead: \
	PREFETCHT0 (R8)(DX*1); \
	NEXTAHEAD

#define AHEADROWS(S) \
	AHEADARGS(S); \
ahead: \
	PREFETCHT0 (R8)(DX*1); \
	PREFETCHT0 (R9)(DX*1); \
	PREFETCHT0 (R10)(DX*1); \
	PREFETCHT0 (R11)(DX*1); \
	NEXTAHEAD

#define COLUMN \
	MOVLQSX (R12)(BX*4), DX; \
	IMULQ   DI, DX

#define NEXTENTRY \
	INCQ BX; \
	CMPQ BX, CX

#define NEXTLINES(n) \
	ADDQ $(n*64), SI; \
	ADDQ $(n*64), R14; \
	SUBQ $n, R13

#define BIAS512(BCAST, row, z0, z1, z2, z3) \
	MOVQ    (csrCall64_bias+8*row)(AX), DX; \
	BCAST   (DX), z0; \
	VMOVUPS z0, z1; \
	VMOVUPS z0, z2; \
	VMOVUPS z0, z3

#define STORE512(row, z0, z1, z2, z3) \
	MOVQ    (csrCall64_y+8*row)(AX), DX; \
	VMOVUPS z0, (DX)(R14*1); \
	VMOVUPS z1, 64(DX)(R14*1); \
	VMOVUPS z2, 128(DX)(R14*1); \
	VMOVUPS z3, 192(DX)(R14*1)

#define LOAD512(row, z0, z1, z2, z3) \
	MOVQ    (csrCall64_y+8*row)(AX), DX; \
	VMOVUPS (DX)(R14*1), z0; \
	VMOVUPS 64(DX)(R14*1), z1; \
	VMOVUPS 128(DX)(R14*1), z2; \
	VMOVUPS 192(DX)(R14*1), z3

#define LINES512 \
	VMOVUPS (SI)(DX*1), Z16; \
	VMOVUPS 64(SI)(DX*1), Z17; \
	VMOVUPS 128(SI)(DX*1), Z18; \
	VMOVUPS 192(SI)(DX*1), Z19

#define ROW512(FMA, z0, z1, z2, z3, w) \
	FMA Z16, w, z0; \
	FMA Z17, w, z1; \
	FMA Z18, w, z2; \
	FMA Z19, w, z3

#define STORELINE512(row, z) \
	MOVQ    (csrCall64_y+8*row)(AX), DX; \
	VMOVUPS z, (DX)(R14*1)

#define LOADLINE512(row, z) \
	MOVQ    (csrCall64_y+8*row)(AX), DX; \
	VMOVUPS (DX)(R14*1), z

#define FORWARD4(BCAST, FMA, FMAB, ADD, S) \
	CALLARGS; \
	CALLROWS; \
	AHEADROWS(S); \
fours: \
	CMPQ R13, $4; \
	JLT  ones; \
	BIAS512(BCAST, 0, Z0, Z1, Z2, Z3); \
	BIAS512(BCAST, 1, Z4, Z5, Z6, Z7); \
	BIAS512(BCAST, 2, Z8, Z9, Z10, Z11); \
	BIAS512(BCAST, 3, Z12, Z13, Z14, Z15); \
	XORQ BX, BX; \
	PCALIGN $32; \
four: \
	COLUMN; \
	LINES512; \
	BCAST (R8)(BX*S), Z20; \
	BCAST (R9)(BX*S), Z21; \
	BCAST (R10)(BX*S), Z22; \
	BCAST (R11)(BX*S), Z23; \
	ROW512(FMA, Z0, Z1, Z2, Z3, Z20); \
	ROW512(FMA, Z4, Z5, Z6, Z7, Z21); \
	ROW512(FMA, Z8, Z9, Z10, Z11, Z22); \
	ROW512(FMA, Z12, Z13, Z14, Z15, Z23); \
	NEXTENTRY; \
	JLT  four; \
	STORE512(0, Z0, Z1, Z2, Z3); \
	STORE512(1, Z4, Z5, Z6, Z7); \
	STORE512(2, Z8, Z9, Z10, Z11); \
	STORE512(3, Z12, Z13, Z14, Z15); \
	NEXTLINES(4); \
	JMP  fours; \
ones: \
	TESTQ R13, R13; \
	JEQ  done; \
	MOVQ csrCall64_bias(AX), DX; \
	BCAST (DX), Z0; \
	MOVQ (csrCall64_bias+8)(AX), DX; \
	BCAST (DX), Z1; \
	MOVQ (csrCall64_bias+16)(AX), DX; \
	BCAST (DX), Z2; \
	MOVQ (csrCall64_bias+24)(AX), DX; \
	BCAST (DX), Z3; \
	VPXORD Z4, Z4, Z4; \
	VPXORD Z5, Z5, Z5; \
	VPXORD Z6, Z6, Z6; \
	VPXORD Z7, Z7, Z7; \
	XORQ BX, BX; \
	DECQ CX; \
	JEQ  last; \
	PCALIGN $32; \
two: \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z16; \
	FMAB (R8)(BX*S), Z16, Z0; \
	FMAB (R9)(BX*S), Z16, Z1; \
	FMAB (R10)(BX*S), Z16, Z2; \
	FMAB (R11)(BX*S), Z16, Z3; \
	INCQ BX; \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z17; \
	FMAB (R8)(BX*S), Z17, Z4; \
	FMAB (R9)(BX*S), Z17, Z5; \
	FMAB (R10)(BX*S), Z17, Z6; \
	FMAB (R11)(BX*S), Z17, Z7; \
	NEXTENTRY; \
	JLT  two; \
	JGT  sum; \
last: \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z16; \
	FMAB (R8)(BX*S), Z16, Z0; \
	FMAB (R9)(BX*S), Z16, Z1; \
	FMAB (R10)(BX*S), Z16, Z2; \
	FMAB (R11)(BX*S), Z16, Z3; \
sum: \
	INCQ CX; \
	ADD  Z4, Z0, Z0; \
	ADD  Z5, Z1, Z1; \
	ADD  Z6, Z2, Z2; \
	ADD  Z7, Z3, Z3; \
	STORELINE512(0, Z0); \
	STORELINE512(1, Z1); \
	STORELINE512(2, Z2); \
	STORELINE512(3, Z3); \
	NEXTLINES(1); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

#define FORWARD1(BCAST, FMA, FMAB, ADD, S) \
	CALLARGS; \
	AHEAD(S); \
fours: \
	CMPQ R13, $4; \
	JLT  ones; \
	BIAS512(BCAST, 0, Z0, Z1, Z2, Z3); \
	XORQ BX, BX; \
	PCALIGN $32; \
four: \
	COLUMN; \
	BCAST (R8)(BX*S), Z20; \
	FMA  (SI)(DX*1), Z20, Z0; \
	FMA  64(SI)(DX*1), Z20, Z1; \
	FMA  128(SI)(DX*1), Z20, Z2; \
	FMA  192(SI)(DX*1), Z20, Z3; \
	NEXTENTRY; \
	JLT  four; \
	STORE512(0, Z0, Z1, Z2, Z3); \
	NEXTLINES(4); \
	JMP  fours; \
ones: \
	TESTQ R13, R13; \
	JEQ  done; \
	MOVQ csrCall64_bias(AX), DX; \
	BCAST (DX), Z0; \
	VPXORD Z1, Z1, Z1; \
	VPXORD Z2, Z2, Z2; \
	VPXORD Z3, Z3, Z3; \
	XORQ BX, BX; \
	SUBQ $3, CX; \
	JLE  rest; \
	PCALIGN $32; \
entries: \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z16; \
	FMAB (R8)(BX*S), Z16, Z0; \
	INCQ BX; \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z17; \
	FMAB (R8)(BX*S), Z17, Z1; \
	INCQ BX; \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z18; \
	FMAB (R8)(BX*S), Z18, Z2; \
	INCQ BX; \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z19; \
	FMAB (R8)(BX*S), Z19, Z3; \
	NEXTENTRY; \
	JLT  entries; \
rest: \
	ADDQ $3, CX; \
	CMPQ BX, CX; \
	JGE  sum; \
entry: \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z16; \
	FMAB (R8)(BX*S), Z16, Z0; \
	NEXTENTRY; \
	JLT  entry; \
sum: \
	ADD  Z1, Z0, Z0; \
	ADD  Z3, Z2, Z2; \
	ADD  Z2, Z0, Z0; \
	STORELINE512(0, Z0); \
	NEXTLINES(1); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

#define INPUT4(BCAST, FMA, FMAB, S) \
	CALLARGS; \
	CALLROWS; \
	AHEADROWS(S); \
fours: \
	CMPQ R13, $4; \
	JLT  ones; \
	LOAD512(0, Z0, Z1, Z2, Z3); \
	LOAD512(1, Z4, Z5, Z6, Z7); \
	LOAD512(2, Z8, Z9, Z10, Z11); \
	LOAD512(3, Z12, Z13, Z14, Z15); \
	XORQ BX, BX; \
	PCALIGN $32; \
four: \
	COLUMN; \
	LINES512; \
	BCAST (R8)(BX*S), Z20; \
	BCAST (R9)(BX*S), Z21; \
	BCAST (R10)(BX*S), Z22; \
	BCAST (R11)(BX*S), Z23; \
	FMA  Z0, Z20, Z16; \
	FMA  Z1, Z20, Z17; \
	FMA  Z2, Z20, Z18; \
	FMA  Z3, Z20, Z19; \
	FMA  Z4, Z21, Z16; \
	FMA  Z5, Z21, Z17; \
	FMA  Z6, Z21, Z18; \
	FMA  Z7, Z21, Z19; \
	FMA  Z8, Z22, Z16; \
	FMA  Z9, Z22, Z17; \
	FMA  Z10, Z22, Z18; \
	FMA  Z11, Z22, Z19; \
	FMA  Z12, Z23, Z16; \
	FMA  Z13, Z23, Z17; \
	FMA  Z14, Z23, Z18; \
	FMA  Z15, Z23, Z19; \
	VMOVUPS Z16, (SI)(DX*1); \
	VMOVUPS Z17, 64(SI)(DX*1); \
	VMOVUPS Z18, 128(SI)(DX*1); \
	VMOVUPS Z19, 192(SI)(DX*1); \
	NEXTENTRY; \
	JLT  four; \
	NEXTLINES(4); \
	JMP  fours; \
ones: \
	TESTQ R13, R13; \
	JEQ  done; \
	LOADLINE512(0, Z0); \
	LOADLINE512(1, Z1); \
	LOADLINE512(2, Z2); \
	LOADLINE512(3, Z3); \
	XORQ BX, BX; \
	PCALIGN $32; \
one: \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z16; \
	FMAB (R8)(BX*S), Z0, Z16; \
	FMAB (R9)(BX*S), Z1, Z16; \
	FMAB (R10)(BX*S), Z2, Z16; \
	FMAB (R11)(BX*S), Z3, Z16; \
	VMOVUPS Z16, (SI)(DX*1); \
	NEXTENTRY; \
	JLT  one; \
	NEXTLINES(1); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

#define INPUT1(BCAST, FMA, FMAB, S) \
	CALLARGS; \
	AHEAD(S); \
fours: \
	CMPQ R13, $4; \
	JLT  ones; \
	LOAD512(0, Z0, Z1, Z2, Z3); \
	XORQ BX, BX; \
	PCALIGN $32; \
four: \
	COLUMN; \
	LINES512; \
	BCAST (R8)(BX*S), Z20; \
	FMA  Z0, Z20, Z16; \
	FMA  Z1, Z20, Z17; \
	FMA  Z2, Z20, Z18; \
	FMA  Z3, Z20, Z19; \
	VMOVUPS Z16, (SI)(DX*1); \
	VMOVUPS Z17, 64(SI)(DX*1); \
	VMOVUPS Z18, 128(SI)(DX*1); \
	VMOVUPS Z19, 192(SI)(DX*1); \
	NEXTENTRY; \
	JLT  four; \
	NEXTLINES(4); \
	JMP  fours; \
ones: \
	TESTQ R13, R13; \
	JEQ  done; \
	LOADLINE512(0, Z0); \
	XORQ BX, BX; \
	PCALIGN $32; \
one: \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Z16; \
	FMAB (R8)(BX*S), Z0, Z16; \
	VMOVUPS Z16, (SI)(DX*1); \
	NEXTENTRY; \
	JLT  one; \
	NEXTLINES(1); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

// func sforwardRow512(call *csrCall[float32])
TEXT ·sforwardRow512(SB), NOSPLIT, $0-8
	FORWARD1(VBROADCASTSS, VFMADD231PS, VFMADD231PS.BCST, VADDPS, 4)

// func dforwardRow512(call *csrCall[float64])
TEXT ·dforwardRow512(SB), NOSPLIT, $0-8
	FORWARD1(VBROADCASTSD, VFMADD231PD, VFMADD231PD.BCST, VADDPD, 8)

// func sforwardRows512(call *csrCall[float32])
TEXT ·sforwardRows512(SB), NOSPLIT, $0-8
	FORWARD4(VBROADCASTSS, VFMADD231PS, VFMADD231PS.BCST, VADDPS, 4)

// func dforwardRows512(call *csrCall[float64])
TEXT ·dforwardRows512(SB), NOSPLIT, $0-8
	FORWARD4(VBROADCASTSD, VFMADD231PD, VFMADD231PD.BCST, VADDPD, 8)

// func sinputRow512(call *csrCall[float32])
TEXT ·sinputRow512(SB), NOSPLIT, $0-8
	INPUT1(VBROADCASTSS, VFMADD231PS, VFMADD231PS.BCST, 4)

// func dinputRow512(call *csrCall[float64])
TEXT ·dinputRow512(SB), NOSPLIT, $0-8
	INPUT1(VBROADCASTSD, VFMADD231PD, VFMADD231PD.BCST, 8)

// func sinputRows512(call *csrCall[float32])
TEXT ·sinputRows512(SB), NOSPLIT, $0-8
	INPUT4(VBROADCASTSS, VFMADD231PS, VFMADD231PS.BCST, 4)

// func dinputRows512(call *csrCall[float64])
TEXT ·dinputRows512(SB), NOSPLIT, $0-8
	INPUT4(VBROADCASTSD, VFMADD231PD, VFMADD231PD.BCST, 8)

// With AVX2 four rows take one line at a time, a row alone four or one.

#define BIAS256(BCAST, row, y0, y1) \
	MOVQ    (csrCall64_bias+8*row)(AX), DX; \
	BCAST   (DX), y0; \
	VMOVUPS y0, y1

#define STORELINE256(row, at, y0, y1) \
	MOVQ    (csrCall64_y+8*row)(AX), DX; \
	VMOVUPS y0, at(DX)(R14*1); \
	VMOVUPS y1, (at+32)(DX)(R14*1)

#define LOADLINE256(row, at, y0, y1) \
	MOVQ    (csrCall64_y+8*row)(AX), DX; \
	VMOVUPS at(DX)(R14*1), y0; \
	VMOVUPS (at+32)(DX)(R14*1), y1

#define ENTRY256(BCAST, FMA, w, y0, y1) \
	BCAST w, Y10; \
	FMA   Y8, Y10, y0; \
	FMA   Y9, Y10, y1

#define FORWARD4256(BCAST, FMA, S) \
	CALLARGS; \
	CALLROWS; \
	AHEADROWS(S); \
ones: \
	TESTQ R13, R13; \
	JEQ  done; \
	BIAS256(BCAST, 0, Y0, Y1); \
	BIAS256(BCAST, 1, Y2, Y3); \
	BIAS256(BCAST, 2, Y4, Y5); \
	BIAS256(BCAST, 3, Y6, Y7); \
	XORQ BX, BX; \
	PCALIGN $32; \
one: \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Y8; \
	VMOVUPS 32(SI)(DX*1), Y9; \
	ENTRY256(BCAST, FMA, (R8)(BX*S), Y0, Y1); \
	ENTRY256(BCAST, FMA, (R9)(BX*S), Y2, Y3); \
	ENTRY256(BCAST, FMA, (R10)(BX*S), Y4, Y5); \
	ENTRY256(BCAST, FMA, (R11)(BX*S), Y6, Y7); \
	NEXTENTRY; \
	JLT  one; \
	STORELINE256(0, 0, Y0, Y1); \
	STORELINE256(1, 0, Y2, Y3); \
	STORELINE256(2, 0, Y4, Y5); \
	STORELINE256(3, 0, Y6, Y7); \
	NEXTLINES(1); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

#define FORWARD1256(BCAST, FMA, S) \
	CALLARGS; \
	AHEAD(S); \
fours: \
	CMPQ R13, $4; \
	JLT  ones; \
	BIAS256(BCAST, 0, Y0, Y1); \
	VMOVUPS Y0, Y2; \
	VMOVUPS Y0, Y3; \
	VMOVUPS Y0, Y4; \
	VMOVUPS Y0, Y5; \
	VMOVUPS Y0, Y6; \
	VMOVUPS Y0, Y7; \
	XORQ BX, BX; \
	PCALIGN $32; \
four: \
	COLUMN; \
	BCAST (R8)(BX*S), Y10; \
	FMA  (SI)(DX*1), Y10, Y0; \
	FMA  32(SI)(DX*1), Y10, Y1; \
	FMA  64(SI)(DX*1), Y10, Y2; \
	FMA  96(SI)(DX*1), Y10, Y3; \
	FMA  128(SI)(DX*1), Y10, Y4; \
	FMA  160(SI)(DX*1), Y10, Y5; \
	FMA  192(SI)(DX*1), Y10, Y6; \
	FMA  224(SI)(DX*1), Y10, Y7; \
	NEXTENTRY; \
	JLT  four; \
	STORELINE256(0, 0, Y0, Y1); \
	STORELINE256(0, 64, Y2, Y3); \
	STORELINE256(0, 128, Y4, Y5); \
	STORELINE256(0, 192, Y6, Y7); \
	NEXTLINES(4); \
	JMP  fours; \
ones: \
	TESTQ R13, R13; \
	JEQ  done; \
	BIAS256(BCAST, 0, Y0, Y1); \
	XORQ BX, BX; \
	PCALIGN $32; \
one: \
	COLUMN; \
	BCAST (R8)(BX*S), Y10; \
	FMA  (SI)(DX*1), Y10, Y0; \
	FMA  32(SI)(DX*1), Y10, Y1; \
	NEXTENTRY; \
	JLT  one; \
	STORELINE256(0, 0, Y0, Y1); \
	NEXTLINES(1); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

#define INPUT4256(BCAST, FMA, S) \
	CALLARGS; \
	CALLROWS; \
	AHEADROWS(S); \
ones: \
	TESTQ R13, R13; \
	JEQ  done; \
	LOADLINE256(0, 0, Y0, Y1); \
	LOADLINE256(1, 0, Y2, Y3); \
	LOADLINE256(2, 0, Y4, Y5); \
	LOADLINE256(3, 0, Y6, Y7); \
	XORQ BX, BX; \
	PCALIGN $32; \
one: \
	COLUMN; \
	VMOVUPS (SI)(DX*1), Y8; \
	VMOVUPS 32(SI)(DX*1), Y9; \
	BCAST (R8)(BX*S), Y10; \
	BCAST (R9)(BX*S), Y11; \
	BCAST (R10)(BX*S), Y12; \
	BCAST (R11)(BX*S), Y13; \
	FMA  Y0, Y10, Y8; \
	FMA  Y1, Y10, Y9; \
	FMA  Y2, Y11, Y8; \
	FMA  Y3, Y11, Y9; \
	FMA  Y4, Y12, Y8; \
	FMA  Y5, Y12, Y9; \
	FMA  Y6, Y13, Y8; \
	FMA  Y7, Y13, Y9; \
	VMOVUPS Y8, (SI)(DX*1); \
	VMOVUPS Y9, 32(SI)(DX*1); \
	NEXTENTRY; \
	JLT  one; \
	NEXTLINES(1); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

#define ADDHALF256(FMA, at, y) \
	VMOVUPS at(SI)(DX*1), Y8; \
	FMA     y, Y10, Y8; \
	VMOVUPS Y8, at(SI)(DX*1)

#define INPUT1256(BCAST, FMA, S) \
	CALLARGS; \
	AHEAD(S); \
fours: \
	CMPQ R13, $4; \
	JLT  ones; \
	LOADLINE256(0, 0, Y0, Y1); \
	LOADLINE256(0, 64, Y2, Y3); \
	LOADLINE256(0, 128, Y4, Y5); \
	LOADLINE256(0, 192, Y6, Y7); \
	XORQ BX, BX; \
	PCALIGN $32; \
four: \
	COLUMN; \
	BCAST (R8)(BX*S), Y10; \
	ADDHALF256(FMA, 0, Y0); \
	ADDHALF256(FMA, 32, Y1); \
	ADDHALF256(FMA, 64, Y2); \
	ADDHALF256(FMA, 96, Y3); \
	ADDHALF256(FMA, 128, Y4); \
	ADDHALF256(FMA, 160, Y5); \
	ADDHALF256(FMA, 192, Y6); \
	ADDHALF256(FMA, 224, Y7); \
	NEXTENTRY; \
	JLT  four; \
	NEXTLINES(4); \
	JMP  fours; \
ones: \
	TESTQ R13, R13; \
	JEQ  done; \
	LOADLINE256(0, 0, Y0, Y1); \
	XORQ BX, BX; \
	PCALIGN $32; \
one: \
	COLUMN; \
	BCAST (R8)(BX*S), Y10; \
	ADDHALF256(FMA, 0, Y0); \
	ADDHALF256(FMA, 32, Y1); \
	NEXTENTRY; \
	JLT  one; \
	NEXTLINES(1); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

// func sforwardRow256(call *csrCall[float32])
TEXT ·sforwardRow256(SB), NOSPLIT, $0-8
	FORWARD1256(VBROADCASTSS, VFMADD231PS, 4)

// func dforwardRow256(call *csrCall[float64])
TEXT ·dforwardRow256(SB), NOSPLIT, $0-8
	FORWARD1256(VBROADCASTSD, VFMADD231PD, 8)

// func sforwardRows256(call *csrCall[float32])
TEXT ·sforwardRows256(SB), NOSPLIT, $0-8
	FORWARD4256(VBROADCASTSS, VFMADD231PS, 4)

// func dforwardRows256(call *csrCall[float64])
TEXT ·dforwardRows256(SB), NOSPLIT, $0-8
	FORWARD4256(VBROADCASTSD, VFMADD231PD, 8)

// func sinputRow256(call *csrCall[float32])
TEXT ·sinputRow256(SB), NOSPLIT, $0-8
	INPUT1256(VBROADCASTSS, VFMADD231PS, 4)

// func dinputRow256(call *csrCall[float64])
TEXT ·dinputRow256(SB), NOSPLIT, $0-8
	INPUT1256(VBROADCASTSD, VFMADD231PD, 8)

// func sinputRows256(call *csrCall[float32])
TEXT ·sinputRows256(SB), NOSPLIT, $0-8
	INPUT4256(VBROADCASTSS, VFMADD231PS, 4)

// func dinputRows256(call *csrCall[float64])
TEXT ·dinputRows256(SB), NOSPLIT, $0-8
	INPUT4256(VBROADCASTSD, VFMADD231PD, 8)

// Dots: w = alpha·(y·xᵀ) + beta·w, four entries of a row at a time; the number
// of entries is a multiple of four. The sum of a dot product lies in a register
// that is added up at the end.
//
//	AX              the call           R10-R13  y, row by row
//	SI, DI, R8, R9  columns of x       BX, CX   line, lines in bytes
//	R14             entry              DX       w

#define DOTCOLUMN(at, R) \
	MOVLQSX at(DX)(R14*4), R; \
	IMULQ   CX, R; \
	ADDQ    csrCall64_x(AX), R

#define DOTCOLUMNS \
	MOVQ csrCall64_columns(AX), DX; \
	MOVQ csrCall64_step(AX), CX; \
	DOTCOLUMN(0, SI); \
	DOTCOLUMN(4, DI); \
	DOTCOLUMN(8, R8); \
	DOTCOLUMN(12, R9); \
	MOVQ csrCall64_lines(AX), CX; \
	SHLQ $6, CX; \
	XORQ BX, BX

#define NEXTLINE \
	ADDQ $64, BX; \
	CMPQ BX, CX

#define SETSUMS(MUL, row, S, sum, alpha) \
	MOVQ    (csrCall64_w+8*row)(AX), DX; \
	MUL     alpha, sum, sum; \
	VMOVUPS sum, (DX)(R14*S)

#define ADDSUMS(MUL, FMA, row, S, sum, alpha, beta) \
	MOVQ    (csrCall64_w+8*row)(AX), DX; \
	MUL     alpha, sum, sum; \
	FMA     (DX)(R14*S), beta, sum; \
	VMOVUPS sum, (DX)(R14*S)

#define NEXTDOTS \
	ADDQ $4, R14; \
	CMPQ R14, csrCall64_n(AX); \
	JLT  tile; \
	VZEROUPPER; \
	RET

#define DOTROWS(FMA) \
	MOVQ call+0(FP), AX; \
	MOVQ csrCall64_y(AX), R10; \
	XORQ R14, R14; \
	MOVQ (csrCall64_y+8)(AX), R11; \
	MOVQ (csrCall64_y+16)(AX), R12; \
	MOVQ (csrCall64_y+24)(AX), R13; \
tile: \
	DOTCOLUMNS; \
	ZERO16; \
	PCALIGN $32; \
line: \
	VMOVUPS (R10)(BX*1), Z16; \
	VMOVUPS (SI)(BX*1), Z20; \
	VMOVUPS (DI)(BX*1), Z21; \
	VMOVUPS (R8)(BX*1), Z22; \
	VMOVUPS (R9)(BX*1), Z23; \
	VMOVUPS (R11)(BX*1), Z17; \
	VMOVUPS (R12)(BX*1), Z18; \
	VMOVUPS (R13)(BX*1), Z19; \
	FMA  Z20, Z16, Z0; \
	FMA  Z21, Z16, Z1; \
	FMA  Z22, Z16, Z2; \
	FMA  Z23, Z16, Z3; \
	FMA  Z20, Z17, Z4; \
	FMA  Z21, Z17, Z5; \
	FMA  Z22, Z17, Z6; \
	FMA  Z23, Z17, Z7; \
	FMA  Z20, Z18, Z8; \
	FMA  Z21, Z18, Z9; \
	FMA  Z22, Z18, Z10; \
	FMA  Z23, Z18, Z11; \
	FMA  Z20, Z19, Z12; \
	FMA  Z21, Z19, Z13; \
	FMA  Z22, Z19, Z14; \
	FMA  Z23, Z19, Z15; \
	NEXTLINE; \
	JLT  line

#define DOTROW512(FMA) \
	MOVQ call+0(FP), AX; \
	MOVQ csrCall64_y(AX), R10; \
	XORQ R14, R14; \
tile: \
	DOTCOLUMNS; \
	VPXORD Z0, Z0, Z0; \
	VPXORD Z1, Z1, Z1; \
	VPXORD Z2, Z2, Z2; \
	VPXORD Z3, Z3, Z3; \
	PCALIGN $32; \
line: \
	VMOVUPS (R10)(BX*1), Z20; \
	FMA  (SI)(BX*1), Z20, Z0; \
	FMA  (DI)(BX*1), Z20, Z1; \
	FMA  (R8)(BX*1), Z20, Z2; \
	FMA  (R9)(BX*1), Z20, Z3; \
	NEXTLINE; \
	JLT  line

#define DOTROW256(FMA, ADD) \
	MOVQ call+0(FP), AX; \
	MOVQ csrCall64_y(AX), R10; \
	XORQ R14, R14; \
tile: \
	DOTCOLUMNS; \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; \
	VXORPS Y5, Y5, Y5; \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y7, Y7, Y7; \
	PCALIGN $32; \
line: \
	VMOVUPS (R10)(BX*1), Y8; \
	VMOVUPS 32(R10)(BX*1), Y9; \
	FMA  (SI)(BX*1), Y8, Y0; \
	FMA  (DI)(BX*1), Y8, Y1; \
	FMA  (R8)(BX*1), Y8, Y2; \
	FMA  (R9)(BX*1), Y8, Y3; \
	FMA  32(SI)(BX*1), Y9, Y4; \
	FMA  32(DI)(BX*1), Y9, Y5; \
	FMA  32(R8)(BX*1), Y9, Y6; \
	FMA  32(R9)(BX*1), Y9, Y7; \
	NEXTLINE; \
	JLT  line; \
	ADD  Y4, Y0, Y0; \
	ADD  Y5, Y1, Y1; \
	ADD  Y6, Y2, Y2; \
	ADD  Y7, Y3, Y3

// SFACTORS and DFACTORS load alpha and beta, and jump to set where beta is ±0.

#define SFACTORS \
	VBROADCASTSS csrCall32_alpha(AX), X1; \
	VBROADCASTSS csrCall32_beta(AX), X2; \
	MOVL         csrCall32_beta(AX), CX; \
	SHLL         $1, CX; \
	JEQ          set

#define DFACTORS \
	VBROADCASTSD csrCall64_alpha(AX), Y1; \
	VBROADCASTSD csrCall64_beta(AX), Y2; \
	MOVQ         csrCall64_beta(AX), CX; \
	SHLQ         $1, CX; \
	JEQ          set

// func sdotsRows512(call *csrCall[float32])
TEXT ·sdotsRows512(SB), NOSPLIT, $0-8
	DOTROWS(VFMADD231PS)
	SSUM512(Z0, Z1, Z2, Z3, Y0, Y1, X0, X1)
	SSUM512(Z4, Z5, Z6, Z7, Y4, Y5, X4, X5)
	SSUM512(Z8, Z9, Z10, Z11, Y8, Y9, X8, X9)
	SSUM512(Z12, Z13, Z14, Z15, Y12, Y13, X12, X13)
	SFACTORS
	ADDSUMS(VMULPS, VFMADD231PS, 0, 4, X0, X1, X2)
	ADDSUMS(VMULPS, VFMADD231PS, 1, 4, X4, X1, X2)
	ADDSUMS(VMULPS, VFMADD231PS, 2, 4, X8, X1, X2)
	ADDSUMS(VMULPS, VFMADD231PS, 3, 4, X12, X1, X2)
	JMP next

set:
	SETSUMS(VMULPS, 0, 4, X0, X1)
	SETSUMS(VMULPS, 1, 4, X4, X1)
	SETSUMS(VMULPS, 2, 4, X8, X1)
	SETSUMS(VMULPS, 3, 4, X12, X1)

next:
	NEXTDOTS

// func ddotsRows512(call *csrCall[float64])
TEXT ·ddotsRows512(SB), NOSPLIT, $0-8
	DOTROWS(VFMADD231PD)
	DSUM512(Z0, Z1, Z2, Z3, Y0, Y1, Y2, Y3)
	DSUM512(Z4, Z5, Z6, Z7, Y4, Y5, Y6, Y7)
	DSUM512(Z8, Z9, Z10, Z11, Y8, Y9, Y10, Y11)
	DSUM512(Z12, Z13, Z14, Z15, Y12, Y13, Y14, Y15)
	DFACTORS
	ADDSUMS(VMULPD, VFMADD231PD, 0, 8, Y0, Y1, Y2)
	ADDSUMS(VMULPD, VFMADD231PD, 1, 8, Y4, Y1, Y2)
	ADDSUMS(VMULPD, VFMADD231PD, 2, 8, Y8, Y1, Y2)
	ADDSUMS(VMULPD, VFMADD231PD, 3, 8, Y12, Y1, Y2)
	JMP next

set:
	SETSUMS(VMULPD, 0, 8, Y0, Y1)
	SETSUMS(VMULPD, 1, 8, Y4, Y1)
	SETSUMS(VMULPD, 2, 8, Y8, Y1)
	SETSUMS(VMULPD, 3, 8, Y12, Y1)

next:
	NEXTDOTS

// func sdotsRow512(call *csrCall[float32])
TEXT ·sdotsRow512(SB), NOSPLIT, $0-8
	DOTROW512(VFMADD231PS)
	SSUM512(Z0, Z1, Z2, Z3, Y0, Y1, X0, X1)
	SFACTORS
	ADDSUMS(VMULPS, VFMADD231PS, 0, 4, X0, X1, X2)
	JMP next

set:
	SETSUMS(VMULPS, 0, 4, X0, X1)

next:
	NEXTDOTS

// func ddotsRow512(call *csrCall[float64])
TEXT ·ddotsRow512(SB), NOSPLIT, $0-8
	DOTROW512(VFMADD231PD)
	DSUM512(Z0, Z1, Z2, Z3, Y0, Y1, Y2, Y3)
	DFACTORS
	ADDSUMS(VMULPD, VFMADD231PD, 0, 8, Y0, Y1, Y2)
	JMP next

set:
	SETSUMS(VMULPD, 0, 8, Y0, Y1)

next:
	NEXTDOTS

// func sdotsRow256(call *csrCall[float32])
TEXT ·sdotsRow256(SB), NOSPLIT, $0-8
	DOTROW256(VFMADD231PS, VADDPS)
	SSUM256(Y0, Y1, Y2, Y3, X0, X1)
	SFACTORS
	ADDSUMS(VMULPS, VFMADD231PS, 0, 4, X0, X1, X2)
	JMP next

set:
	SETSUMS(VMULPS, 0, 4, X0, X1)

next:
	NEXTDOTS

// func ddotsRow256(call *csrCall[float64])
TEXT ·ddotsRow256(SB), NOSPLIT, $0-8
	DOTROW256(VFMADD231PD, VADDPD)
	DSUM256(Y0, Y1, Y2, Y3)
	DFACTORS
	ADDSUMS(VMULPD, VFMADD231PD, 0, 8, Y0, Y1, Y2)
	JMP next

set:
	SETSUMS(VMULPD, 0, 8, Y0, Y1)

next:
	NEXTDOTS
