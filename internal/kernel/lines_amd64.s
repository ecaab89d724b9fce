#include "textflag.h"

// Moving samples between rows and lines of 64 bytes. Memory sets the pace, so
// all of it is AVX2.

// func gatherLines(n int, table *int32, blocks int, src unsafe.Pointer, srcStep int, dst unsafe.Pointer, dstStep int)
//
//	SI  block of src      R8  bytes to the next
//	DI  block of dst      R9  bytes to the next
//	DX  blocks left
//	CX  lines left        R12, R13 table and dst, move along
TEXT ·gatherLines(SB), NOSPLIT, $0-56
	MOVQ blocks+16(FP), DX
	MOVQ src+24(FP), SI
	MOVQ srcStep+32(FP), R8
	MOVQ dst+40(FP), DI
	MOVQ dstStep+48(FP), R9

block:
	MOVQ n+0(FP), CX
	MOVQ table+8(FP), R12
	MOVQ DI, R13

line:
	MOVLQSX (R12), AX
	SHLQ    $6, AX
	VMOVUPS (SI)(AX*1), Y0
	VMOVUPS 32(SI)(AX*1), Y1
	VMOVUPS Y0, (R13)
	VMOVUPS Y1, 32(R13)
	ADDQ    $4, R12
	ADDQ    $64, R13
	DECQ    CX
	JNE     line
	ADDQ    R8, SI
	ADDQ    R9, DI
	DECQ    DX
	JNE     block
	VZEROUPPER
	RET

// func stranspose8(k int, src *float32, ld int, dst *float32, step int)
//
//	SI, BX  lines 0 and 4; R8 is a line to the next in bytes, R9 three of that
//	DI, DX  steps 0 and 4; R10 is a step to the next in bytes, R11 three of that
//	CX      columns left
TEXT ·stranspose8(SB), NOSPLIT, $0-40
	MOVQ k+0(FP), CX
	MOVQ src+8(FP), SI
	MOVQ ld+16(FP), R8
	MOVQ dst+24(FP), DI
	MOVQ step+32(FP), R10
	SHLQ $2, R8
	SHLQ $2, R10
	LEAQ (R8)(R8*2), R9
	LEAQ (R10)(R10*2), R11
	LEAQ (SI)(R8*4), BX
	SUBQ $8, CX
	JLT  tail

loop:
	LEAQ       (DI)(R10*4), DX
	VMOVUPS    (SI), Y0
	VMOVUPS    (SI)(R8*1), Y1
	VMOVUPS    (SI)(R8*2), Y2
	VMOVUPS    (SI)(R9*1), Y3
	VMOVUPS    (BX), Y4
	VMOVUPS    (BX)(R8*1), Y5
	VMOVUPS    (BX)(R8*2), Y6
	VMOVUPS    (BX)(R9*1), Y7
	VUNPCKLPS  Y1, Y0, Y8         // lines 0, 1 of columns 0, 1 and 4, 5
	VUNPCKHPS  Y1, Y0, Y9         // lines 0, 1 of columns 2, 3 and 6, 7
	VUNPCKLPS  Y3, Y2, Y10        // the other lines likewise
	VUNPCKHPS  Y3, Y2, Y11
	VUNPCKLPS  Y5, Y4, Y12
	VUNPCKHPS  Y5, Y4, Y13
	VUNPCKLPS  Y7, Y6, Y14
	VUNPCKHPS  Y7, Y6, Y15
	VUNPCKLPD  Y10, Y8, Y0        // lines 0-3 of columns 0 and 4
	VUNPCKHPD  Y10, Y8, Y1        // 1 and 5
	VUNPCKLPD  Y11, Y9, Y2        // 2 and 6
	VUNPCKHPD  Y11, Y9, Y3        // 3 and 7
	VUNPCKLPD  Y14, Y12, Y4       // lines 4-7 likewise
	VUNPCKHPD  Y14, Y12, Y5
	VUNPCKLPD  Y15, Y13, Y6
	VUNPCKHPD  Y15, Y13, Y7
	VPERM2F128 $0x20, Y4, Y0, Y8
	VPERM2F128 $0x20, Y5, Y1, Y9
	VPERM2F128 $0x20, Y6, Y2, Y10
	VPERM2F128 $0x20, Y7, Y3, Y11
	VPERM2F128 $0x31, Y4, Y0, Y12
	VPERM2F128 $0x31, Y5, Y1, Y13
	VPERM2F128 $0x31, Y6, Y2, Y14
	VPERM2F128 $0x31, Y7, Y3, Y15
	VMOVUPS    Y8, (DI)
	VMOVUPS    Y9, (DI)(R10*1)
	VMOVUPS    Y10, (DI)(R10*2)
	VMOVUPS    Y11, (DI)(R11*1)
	VMOVUPS    Y12, (DX)
	VMOVUPS    Y13, (DX)(R10*1)
	VMOVUPS    Y14, (DX)(R10*2)
	VMOVUPS    Y15, (DX)(R11*1)
	ADDQ       $32, SI
	ADDQ       $32, BX
	LEAQ       (DX)(R10*4), DI
	SUBQ       $8, CX
	JGE        loop

tail:
	ADDQ $8, CX
	JEQ  done

column:
	MOVL (SI), AX
	MOVL (SI)(R8*1), DX
	MOVL (SI)(R8*2), R12
	MOVL (SI)(R9*1), R13
	MOVL AX, (DI)
	MOVL DX, 4(DI)
	MOVL R12, 8(DI)
	MOVL R13, 12(DI)
	MOVL (BX), AX
	MOVL (BX)(R8*1), DX
	MOVL (BX)(R8*2), R12
	MOVL (BX)(R9*1), R13
	MOVL AX, 16(DI)
	MOVL DX, 20(DI)
	MOVL R12, 24(DI)
	MOVL R13, 28(DI)
	ADDQ $4, SI
	ADDQ $4, BX
	ADDQ R10, DI
	DECQ CX
	JNE  column

done:
	VZEROUPPER
	RET
