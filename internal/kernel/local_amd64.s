#include "textflag.h"

// The two products of a locally connected layer that have a batch for their
// columns, for one position and one line of samples (64 bytes: a Z register, or
// two Y registers). A line of the input is found through the table, so nothing
// is gathered, and weights are read where they lie, each as a broadcast.
//
// The macros take the instructions of the precision, S, the bytes of an
// element, and SHIFT, its logarithm. Operands are in Go's order: the last is
// the destination.

// LINE puts into AX where the line that the table has at R is.
#define LINE(R) \
	MOVLQSX (R), AX; \
	SHLQ    $6, AX

#define ZERO8 \
	VPXORD Z0, Z0, Z0; \
	VPXORD Z1, Z1, Z1; \
	VPXORD Z2, Z2, Z2; \
	VPXORD Z3, Z3, Z3; \
	VPXORD Z4, Z4, Z4; \
	VPXORD Z5, Z5, Z5; \
	VPXORD Z6, Z6, Z6; \
	VPXORD Z7, Z7, Z7

#define ZERO4 \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; \
	VXORPS Y5, Y5, Y5; \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y7, Y7, Y7

// Forward: y = w·x + bias. A tile is up to eight rows of y, one accumulator
// each; with AVX2 four rows, two accumulators each.
//
//	SI       x             R12  table
//	DX       w, moves along the first row of the tile
//	R8-R11   1, 3, 5 and 7 rows of w in bytes
//	R13      table, moves along
//	CX       slots left
//	BX       the weights after this tile, to be prefetched
//	DI       y

#define FORWARDARGS(SHIFT) \
	MOVQ slots+8(FP), R8; \
	SHLQ $SHIFT, R8; \
	LEAQ (R8)(R8*2), R9; \
	LEAQ (R8)(R8*4), R10; \
	LEAQ (R9)(R8*4), R11; \
	MOVQ table+16(FP), R12; \
	MOVQ x+24(FP), SI; \
	MOVQ w+32(FP), DX; \
	MOVQ y+40(FP), DI; \
	SHLQ $SHIFT, ldy+48(FP); \
	SHLQ $SHIFT, ldb+64(FP)

#define TILEARGS \
	MOVQ R12, R13; \
	MOVQ slots+8(FP), CX

#define NEXTSLOT(S) \
	ADDQ $S, DX; \
	ADDQ $4, R13; \
	DECQ CX

// Rows of the tile are finished with AX at the bias, CX and R13 the steps of
// bias and y.
#define FINISHARGS \
	MOVQ bias+56(FP), AX; \
	MOVQ ldb+64(FP), CX; \
	MOVQ ldy+48(FP), R13

#define FINISH512(ADDB, sum) \
	ADDB    (AX), sum, sum; \
	VMOVUPS sum, (DI); \
	ADDQ    CX, AX; \
	ADDQ    R13, DI

#define FORWARD512(FMAB, ADDB, S, SHIFT) \
	FORWARDARGS(SHIFT); \
eights: \
	CMPQ rows+0(FP), $8; \
	JLT  fours; \
	TILEARGS; \
	LEAQ (DX)(R8*8), BX; \
	ZERO8; \
	PCALIGN $32; \
eight: \
	LINE(R13); \
	VMOVUPS    (SI)(AX*1), Z16; \
	PREFETCHT0 (BX); \
	FMAB       (DX), Z16, Z0; \
	FMAB       (DX)(R8*1), Z16, Z1; \
	FMAB       (DX)(R8*2), Z16, Z2; \
	FMAB       (DX)(R9*1), Z16, Z3; \
	FMAB       (DX)(R8*4), Z16, Z4; \
	FMAB       (DX)(R10*1), Z16, Z5; \
	FMAB       (DX)(R9*2), Z16, Z6; \
	FMAB       (DX)(R11*1), Z16, Z7; \
	ADDQ       $(8*S), BX; \
	NEXTSLOT(S); \
	JNE  eight; \
	FINISHARGS; \
	FINISH512(ADDB, Z0); \
	FINISH512(ADDB, Z1); \
	FINISH512(ADDB, Z2); \
	FINISH512(ADDB, Z3); \
	FINISH512(ADDB, Z4); \
	FINISH512(ADDB, Z5); \
	FINISH512(ADDB, Z6); \
	FINISH512(ADDB, Z7); \
	MOVQ AX, bias+56(FP); \
	ADDQ R11, DX; \
	SUBQ $8, rows+0(FP); \
	JMP  eights; \
fours: \
	CMPQ rows+0(FP), $4; \
	JLT  ones; \
	TILEARGS; \
	ZERO8; \
four: \
	LINE(R13); \
	VMOVUPS (SI)(AX*1), Z16; \
	FMAB    (DX), Z16, Z0; \
	FMAB    (DX)(R8*1), Z16, Z1; \
	FMAB    (DX)(R8*2), Z16, Z2; \
	FMAB    (DX)(R9*1), Z16, Z3; \
	NEXTSLOT(S); \
	JNE  four; \
	FINISHARGS; \
	FINISH512(ADDB, Z0); \
	FINISH512(ADDB, Z1); \
	FINISH512(ADDB, Z2); \
	FINISH512(ADDB, Z3); \
	MOVQ AX, bias+56(FP); \
	ADDQ R9, DX; \
	SUBQ $4, rows+0(FP); \
	JMP  fours; \
ones: \
	CMPQ rows+0(FP), $1; \
	JLT  done; \
	TILEARGS; \
	VPXORD Z0, Z0, Z0; \
one: \
	LINE(R13); \
	VMOVUPS (SI)(AX*1), Z16; \
	FMAB    (DX), Z16, Z0; \
	NEXTSLOT(S); \
	JNE  one; \
	FINISHARGS; \
	FINISH512(ADDB, Z0); \
	MOVQ AX, bias+56(FP); \
	SUBQ $1, rows+0(FP); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

#define ROW256(BCAST, FMA, at, left, right) \
	BCAST at, Y10; \
	FMA   Y8, Y10, left; \
	FMA   Y9, Y10, right

#define FINISH256(BCAST, ADD, left, right) \
	BCAST   (AX), Y10; \
	ADD     Y10, left, left; \
	ADD     Y10, right, right; \
	VMOVUPS left, (DI); \
	VMOVUPS right, 32(DI); \
	ADDQ    CX, AX; \
	ADDQ    R13, DI

#define FORWARD256(BCAST, FMA, ADD, S, SHIFT) \
	FORWARDARGS(SHIFT); \
fours: \
	CMPQ rows+0(FP), $4; \
	JLT  ones; \
	TILEARGS; \
	LEAQ (DX)(R8*4), BX; \
	ZERO4; \
	PCALIGN $32; \
four: \
	LINE(R13); \
	VMOVUPS    (SI)(AX*1), Y8; \
	VMOVUPS    32(SI)(AX*1), Y9; \
	PREFETCHT0 (BX); \
	ROW256(BCAST, FMA, (DX), Y0, Y1); \
	ROW256(BCAST, FMA, (DX)(R8*1), Y2, Y3); \
	ROW256(BCAST, FMA, (DX)(R8*2), Y4, Y5); \
	ROW256(BCAST, FMA, (DX)(R9*1), Y6, Y7); \
	ADDQ       $(4*S), BX; \
	NEXTSLOT(S); \
	JNE  four; \
	FINISHARGS; \
	FINISH256(BCAST, ADD, Y0, Y1); \
	FINISH256(BCAST, ADD, Y2, Y3); \
	FINISH256(BCAST, ADD, Y4, Y5); \
	FINISH256(BCAST, ADD, Y6, Y7); \
	MOVQ AX, bias+56(FP); \
	ADDQ R9, DX; \
	SUBQ $4, rows+0(FP); \
	JMP  fours; \
ones: \
	CMPQ rows+0(FP), $1; \
	JLT  done; \
	TILEARGS; \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
one: \
	LINE(R13); \
	VMOVUPS (SI)(AX*1), Y8; \
	VMOVUPS 32(SI)(AX*1), Y9; \
	ROW256(BCAST, FMA, (DX), Y0, Y1); \
	NEXTSLOT(S); \
	JNE  one; \
	FINISHARGS; \
	FINISH256(BCAST, ADD, Y0, Y1); \
	MOVQ AX, bias+56(FP); \
	SUBQ $1, rows+0(FP); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

// Input: dx += wᵀ·dy. A tile is up to eight slots, one accumulator each; with
// AVX2 four slots, two accumulators each. Slots of a tile may name the same
// line: their sums are added one after the other.
//
//	DI   dx                R12  table, moves along
//	BX   w, the first row of the tile's slots
//	DX   the same, moves down row by row
//	R8   a row of w in bytes
//	R9   from these weights to the next position's, to be prefetched
//	SI   dy, moves along   CX   rows left

#define INPUTARGS(SHIFT) \
	MOVQ table+16(FP), R12; \
	MOVQ w+24(FP), BX; \
	MOVQ ldw+32(FP), R8; \
	SHLQ $SHIFT, R8; \
	MOVQ R8, R9; \
	IMULQ outs+8(FP), R9; \
	MOVQ dx+48(FP), DI

#define SLOTARGS \
	MOVQ BX, DX; \
	MOVQ dy+40(FP), SI; \
	MOVQ outs+8(FP), CX

#define NEXTROW \
	ADDQ R8, DX; \
	ADDQ $64, SI; \
	DECQ CX

#define NEXTSLOTS(n, S) \
	ADDQ $(n*S), BX; \
	SUBQ $n, slots+0(FP)

#define SCATTER512(ADD, sum) \
	LINE(R12); \
	ADD     (DI)(AX*1), sum, sum; \
	VMOVUPS sum, (DI)(AX*1); \
	ADDQ    $4, R12

#define INPUT512(FMAB, ADD, S, SHIFT) \
	INPUTARGS(SHIFT); \
eights: \
	CMPQ slots+0(FP), $8; \
	JLT  fours; \
	SLOTARGS; \
	ZERO8; \
	PCALIGN $32; \
eight: \
	VMOVUPS    (SI), Z16; \
	PREFETCHT1 (DX)(R9*1); \
	FMAB       (DX), Z16, Z0; \
	FMAB       S(DX), Z16, Z1; \
	FMAB       (2*S)(DX), Z16, Z2; \
	FMAB       (3*S)(DX), Z16, Z3; \
	FMAB       (4*S)(DX), Z16, Z4; \
	FMAB       (5*S)(DX), Z16, Z5; \
	FMAB       (6*S)(DX), Z16, Z6; \
	FMAB       (7*S)(DX), Z16, Z7; \
	NEXTROW; \
	JNE  eight; \
	SCATTER512(ADD, Z0); \
	SCATTER512(ADD, Z1); \
	SCATTER512(ADD, Z2); \
	SCATTER512(ADD, Z3); \
	SCATTER512(ADD, Z4); \
	SCATTER512(ADD, Z5); \
	SCATTER512(ADD, Z6); \
	SCATTER512(ADD, Z7); \
	NEXTSLOTS(8, S); \
	JMP  eights; \
fours: \
	CMPQ slots+0(FP), $4; \
	JLT  ones; \
	SLOTARGS; \
	ZERO8; \
four: \
	VMOVUPS (SI), Z16; \
	FMAB    (DX), Z16, Z0; \
	FMAB    S(DX), Z16, Z1; \
	FMAB    (2*S)(DX), Z16, Z2; \
	FMAB    (3*S)(DX), Z16, Z3; \
	NEXTROW; \
	JNE  four; \
	SCATTER512(ADD, Z0); \
	SCATTER512(ADD, Z1); \
	SCATTER512(ADD, Z2); \
	SCATTER512(ADD, Z3); \
	NEXTSLOTS(4, S); \
	JMP  fours; \
ones: \
	CMPQ slots+0(FP), $1; \
	JLT  done; \
	SLOTARGS; \
	VPXORD Z0, Z0, Z0; \
one: \
	VMOVUPS (SI), Z16; \
	FMAB    (DX), Z16, Z0; \
	NEXTROW; \
	JNE  one; \
	SCATTER512(ADD, Z0); \
	NEXTSLOTS(1, S); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

#define SCATTER256(ADD, left, right) \
	LINE(R12); \
	ADD     (DI)(AX*1), left, left; \
	ADD     32(DI)(AX*1), right, right; \
	VMOVUPS left, (DI)(AX*1); \
	VMOVUPS right, 32(DI)(AX*1); \
	ADDQ    $4, R12

#define INPUT256(BCAST, FMA, ADD, S, SHIFT) \
	INPUTARGS(SHIFT); \
fours: \
	CMPQ slots+0(FP), $4; \
	JLT  ones; \
	SLOTARGS; \
	ZERO4; \
	PCALIGN $32; \
four: \
	VMOVUPS    (SI), Y8; \
	VMOVUPS    32(SI), Y9; \
	PREFETCHT1 (DX)(R9*1); \
	ROW256(BCAST, FMA, (DX), Y0, Y1); \
	ROW256(BCAST, FMA, S(DX), Y2, Y3); \
	ROW256(BCAST, FMA, (2*S)(DX), Y4, Y5); \
	ROW256(BCAST, FMA, (3*S)(DX), Y6, Y7); \
	NEXTROW; \
	JNE  four; \
	SCATTER256(ADD, Y0, Y1); \
	SCATTER256(ADD, Y2, Y3); \
	SCATTER256(ADD, Y4, Y5); \
	SCATTER256(ADD, Y6, Y7); \
	NEXTSLOTS(4, S); \
	JMP  fours; \
ones: \
	CMPQ slots+0(FP), $1; \
	JLT  done; \
	SLOTARGS; \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
one: \
	VMOVUPS (SI), Y8; \
	VMOVUPS 32(SI), Y9; \
	ROW256(BCAST, FMA, (DX), Y0, Y1); \
	NEXTROW; \
	JNE  one; \
	SCATTER256(ADD, Y0, Y1); \
	NEXTSLOTS(1, S); \
	JMP  ones; \
done: \
	VZEROUPPER; \
	RET

// func sforward512(rows, slots int, table *int32, x, w, y *float32, ldy int, bias *float32, ldb int)
TEXT ·sforward512(SB), NOSPLIT, $0-72
	FORWARD512(VFMADD231PS.BCST, VADDPS.BCST, 4, 2)

// func dforward512(rows, slots int, table *int32, x, w, y *float64, ldy int, bias *float64, ldb int)
TEXT ·dforward512(SB), NOSPLIT, $0-72
	FORWARD512(VFMADD231PD.BCST, VADDPD.BCST, 8, 3)

// func sforward256(rows, slots int, table *int32, x, w, y *float32, ldy int, bias *float32, ldb int)
TEXT ·sforward256(SB), NOSPLIT, $0-72
	FORWARD256(VBROADCASTSS, VFMADD231PS, VADDPS, 4, 2)

// func dforward256(rows, slots int, table *int32, x, w, y *float64, ldy int, bias *float64, ldb int)
TEXT ·dforward256(SB), NOSPLIT, $0-72
	FORWARD256(VBROADCASTSD, VFMADD231PD, VADDPD, 8, 3)

// func sinput512(slots, outs int, table *int32, w *float32, ldw int, dy, dx *float32)
TEXT ·sinput512(SB), NOSPLIT, $0-56
	INPUT512(VFMADD231PS.BCST, VADDPS, 4, 2)

// func dinput512(slots, outs int, table *int32, w *float64, ldw int, dy, dx *float64)
TEXT ·dinput512(SB), NOSPLIT, $0-56
	INPUT512(VFMADD231PD.BCST, VADDPD, 8, 3)

// func sinput256(slots, outs int, table *int32, w *float32, ldw int, dy, dx *float32)
TEXT ·sinput256(SB), NOSPLIT, $0-56
	INPUT256(VBROADCASTSS, VFMADD231PS, VADDPS, 4, 2)

// func dinput256(slots, outs int, table *int32, w *float64, ldw int, dy, dx *float64)
TEXT ·dinput256(SB), NOSPLIT, $0-56
	INPUT256(VBROADCASTSD, VFMADD231PD, VADDPD, 8, 3)
