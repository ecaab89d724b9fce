#include "textflag.h"

// Packing: the two ways an operand gets into panels. All is AVX2, on machines
// with AVX-512 as well: memory sets the pace here.

// func copyRows(rows int, src unsafe.Pointer, srcStep int, dst unsafe.Pointer, dstStep, size int)
//
//	SI  row of src      R8  bytes to the next
//	DI  row of dst      R9  bytes to the next
//	CX  rows left
//	DX  bytes of a row  R10 bytes left in this one, AX offset in it
TEXT ·copyRows(SB), NOSPLIT, $0-48
	MOVQ rows+0(FP), CX
	MOVQ src+8(FP), SI
	MOVQ srcStep+16(FP), R8
	MOVQ dst+24(FP), DI
	MOVQ dstStep+32(FP), R9
	MOVQ size+40(FP), DX
	CMPQ DX, $128
	JEQ  wide

row:
	XORQ AX, AX
	MOVQ DX, R10

ymm:
	SUBQ    $32, R10
	JLT     xmm
	VMOVUPS (SI)(AX*1), Y0
	VMOVUPS Y0, (DI)(AX*1)
	ADDQ    $32, AX
	JMP     ymm

xmm:
	TESTQ   $16, R10
	JEQ     quad
	VMOVUPS (SI)(AX*1), X0
	VMOVUPS X0, (DI)(AX*1)
	ADDQ    $16, AX

quad:
	TESTQ $8, R10
	JEQ   long
	MOVQ  (SI)(AX*1), R11
	MOVQ  R11, (DI)(AX*1)
	ADDQ  $8, AX

long:
	TESTQ $4, R10
	JEQ   next
	MOVL  (SI)(AX*1), R11
	MOVL  R11, (DI)(AX*1)

next:
	ADDQ R8, SI
	ADDQ R9, DI
	DECQ CX
	JNE  row
	VZEROUPPER
	RET

	// 128 bytes, the row of a panel of b for AVX-512.
wide:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVUPS 64(SI), Y2
	VMOVUPS 96(SI), Y3
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ    R8, SI
	ADDQ    R9, DI
	DECQ    CX
	JNE     wide
	VZEROUPPER
	RET

// Both transpositions read four lines a few columns at a time and write each
// column, four values, to its step of the panel.
//
//	SI  line 0; R8 is a line to the next in bytes, R9 three of that
//	DI  step 0; R10 is a step to the next in bytes, R11 three of that
//	CX  columns left

// func stranspose4(k int, src *float32, ld int, dst *float32, step int)
TEXT ·stranspose4(SB), NOSPLIT, $0-40
	MOVQ k+0(FP), CX
	MOVQ src+8(FP), SI
	MOVQ ld+16(FP), R8
	MOVQ dst+24(FP), DI
	MOVQ step+32(FP), R10
	SHLQ $2, R8
	SHLQ $2, R10
	LEAQ (R8)(R8*2), R9
	LEAQ (R10)(R10*2), R11
	SUBQ $8, CX
	JLT  tail

loop:
	VMOVUPS      (SI), Y0
	VMOVUPS      (SI)(R8*1), Y1
	VMOVUPS      (SI)(R8*2), Y2
	VMOVUPS      (SI)(R9*1), Y3
	VUNPCKLPS    Y1, Y0, Y4        // lines 0, 1 of columns 0, 1 and 4, 5
	VUNPCKHPS    Y1, Y0, Y5        // lines 0, 1 of columns 2, 3 and 6, 7
	VUNPCKLPS    Y3, Y2, Y6        // lines 2, 3 likewise
	VUNPCKHPS    Y3, Y2, Y7
	VUNPCKLPD    Y6, Y4, Y0        // columns 0 and 4
	VUNPCKHPD    Y6, Y4, Y1        // columns 1 and 5
	VUNPCKLPD    Y7, Y5, Y2        // columns 2 and 6
	VUNPCKHPD    Y7, Y5, Y3        // columns 3 and 7
	VMOVUPS      X0, (DI)
	VMOVUPS      X1, (DI)(R10*1)
	VMOVUPS      X2, (DI)(R10*2)
	VMOVUPS      X3, (DI)(R11*1)
	LEAQ         (DI)(R10*4), DI
	VEXTRACTF128 $1, Y0, (DI)
	VEXTRACTF128 $1, Y1, (DI)(R10*1)
	VEXTRACTF128 $1, Y2, (DI)(R10*2)
	VEXTRACTF128 $1, Y3, (DI)(R11*1)
	LEAQ         (DI)(R10*4), DI
	ADDQ         $32, SI
	SUBQ         $8, CX
	JGE          loop

tail:
	ADDQ $8, CX
	JEQ  done

column:
	MOVL (SI), AX
	MOVL (SI)(R8*1), BX
	MOVL (SI)(R8*2), DX
	MOVL (SI)(R9*1), R12
	MOVL AX, (DI)
	MOVL BX, 4(DI)
	MOVL DX, 8(DI)
	MOVL R12, 12(DI)
	ADDQ $4, SI
	ADDQ R10, DI
	DECQ CX
	JNE  column

done:
	VZEROUPPER
	RET

// func dtranspose4(k int, src *float64, ld int, dst *float64, step int)
TEXT ·dtranspose4(SB), NOSPLIT, $0-40
	MOVQ k+0(FP), CX
	MOVQ src+8(FP), SI
	MOVQ ld+16(FP), R8
	MOVQ dst+24(FP), DI
	MOVQ step+32(FP), R10
	SHLQ $3, R8
	SHLQ $3, R10
	LEAQ (R8)(R8*2), R9
	LEAQ (R10)(R10*2), R11
	SUBQ $4, CX
	JLT  tail

loop:
	VMOVUPD    (SI), Y0
	VMOVUPD    (SI)(R8*1), Y1
	VMOVUPD    (SI)(R8*2), Y2
	VMOVUPD    (SI)(R9*1), Y3
	VUNPCKLPD  Y1, Y0, Y4          // lines 0, 1 of columns 0 and 2
	VUNPCKHPD  Y1, Y0, Y5          // lines 0, 1 of columns 1 and 3
	VUNPCKLPD  Y3, Y2, Y6          // lines 2, 3 likewise
	VUNPCKHPD  Y3, Y2, Y7
	VPERM2F128 $0x20, Y6, Y4, Y0   // column 0
	VPERM2F128 $0x20, Y7, Y5, Y1   // column 1
	VPERM2F128 $0x31, Y6, Y4, Y2   // column 2
	VPERM2F128 $0x31, Y7, Y5, Y3   // column 3
	VMOVUPD    Y0, (DI)
	VMOVUPD    Y1, (DI)(R10*1)
	VMOVUPD    Y2, (DI)(R10*2)
	VMOVUPD    Y3, (DI)(R11*1)
	LEAQ       (DI)(R10*4), DI
	ADDQ       $32, SI
	SUBQ       $4, CX
	JGE        loop

tail:
	ADDQ $4, CX
	JEQ  done

column:
	MOVQ (SI), AX
	MOVQ (SI)(R8*1), BX
	MOVQ (SI)(R8*2), DX
	MOVQ (SI)(R9*1), R12
	MOVQ AX, (DI)
	MOVQ BX, 8(DI)
	MOVQ DX, 16(DI)
	MOVQ R12, 24(DI)
	ADDQ $8, SI
	ADDQ R10, DI
	DECQ CX
	JNE  column

done:
	VZEROUPPER
	RET
