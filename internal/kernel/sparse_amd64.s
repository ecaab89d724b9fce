#include "textflag.h"
#include "go_asm.h"

// Sums of rows of b, each times its factor: c = Σ factor·b[offset:] + beta·c over
// 64 or 16 columns, which stay in registers. An entry is a term32.
//
//	CX  entries left
//	SI  entries
//	BX  b
//	DI  c, of which nothing is read where beta is 0

// func sterms64(count int, terms *term32, b, c *float32, beta float32)
TEXT ·sterms64(SB), NOSPLIT, $0-36
	MOVQ count+0(FP), CX
	MOVQ terms+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ c+24(FP), DI

	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7

	PREFETCHT0 (DI)
	PREFETCHT0 64(DI)
	PREFETCHT0 128(DI)
	PREFETCHT0 192(DI)

	TESTQ CX, CX
	JEQ   finish64

next64:
	MOVL         term32_offset(SI), AX
	VBROADCASTSS term32_factor(SI), Y8
	LEAQ         (BX)(AX*4), DX
	VFMADD231PS  (DX), Y8, Y0
	VFMADD231PS  32(DX), Y8, Y1
	VFMADD231PS  64(DX), Y8, Y2
	VFMADD231PS  96(DX), Y8, Y3
	VFMADD231PS  128(DX), Y8, Y4
	VFMADD231PS  160(DX), Y8, Y5
	VFMADD231PS  192(DX), Y8, Y6
	VFMADD231PS  224(DX), Y8, Y7
	ADDQ         $term32__size, SI
	DECQ         CX
	JNZ          next64

finish64:
	VMOVSS   beta+32(FP), X8
	VXORPS   X9, X9, X9
	VUCOMISS X9, X8
	JNE      add64
	JPS      add64
	JMP      store64

add64:
	VBROADCASTSS X8, Y8
	VFMADD231PS  (DI), Y8, Y0
	VFMADD231PS  32(DI), Y8, Y1
	VFMADD231PS  64(DI), Y8, Y2
	VFMADD231PS  96(DI), Y8, Y3
	VFMADD231PS  128(DI), Y8, Y4
	VFMADD231PS  160(DI), Y8, Y5
	VFMADD231PS  192(DI), Y8, Y6
	VFMADD231PS  224(DI), Y8, Y7

store64:
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VMOVUPS Y4, 128(DI)
	VMOVUPS Y5, 160(DI)
	VMOVUPS Y6, 192(DI)
	VMOVUPS Y7, 224(DI)
	VZEROUPPER
	RET

// Four entries go side by side, into sums of their own.

// func sterms16(count int, terms *term32, b, c *float32, beta float32)
TEXT ·sterms16(SB), NOSPLIT, $0-36
	MOVQ count+0(FP), CX
	MOVQ terms+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ c+24(FP), DI

	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7

fours16:
	SUBQ         $4, CX
	JLT          rest16
	MOVL         term32_offset(SI), AX
	MOVL         (1*term32__size+term32_offset)(SI), DX
	MOVL         (2*term32__size+term32_offset)(SI), R8
	MOVL         (3*term32__size+term32_offset)(SI), R9
	VBROADCASTSS term32_factor(SI), Y8
	VBROADCASTSS (1*term32__size+term32_factor)(SI), Y9
	VBROADCASTSS (2*term32__size+term32_factor)(SI), Y10
	VBROADCASTSS (3*term32__size+term32_factor)(SI), Y11
	VFMADD231PS  (BX)(AX*4), Y8, Y0
	VFMADD231PS  32(BX)(AX*4), Y8, Y1
	VFMADD231PS  (BX)(DX*4), Y9, Y2
	VFMADD231PS  32(BX)(DX*4), Y9, Y3
	VFMADD231PS  (BX)(R8*4), Y10, Y4
	VFMADD231PS  32(BX)(R8*4), Y10, Y5
	VFMADD231PS  (BX)(R9*4), Y11, Y6
	VFMADD231PS  32(BX)(R9*4), Y11, Y7
	ADDQ         $(4*term32__size), SI
	JMP          fours16

rest16:
	ADDQ $4, CX
	JEQ  finish16

next16:
	MOVL         term32_offset(SI), AX
	VBROADCASTSS term32_factor(SI), Y8
	VFMADD231PS  (BX)(AX*4), Y8, Y0
	VFMADD231PS  32(BX)(AX*4), Y8, Y1
	ADDQ         $term32__size, SI
	DECQ         CX
	JNZ          next16

finish16:
	VADDPS   Y2, Y0, Y0
	VADDPS   Y3, Y1, Y1
	VADDPS   Y6, Y4, Y4
	VADDPS   Y7, Y5, Y5
	VADDPS   Y4, Y0, Y0
	VADDPS   Y5, Y1, Y1
	VMOVSS   beta+32(FP), X8
	VXORPS   X9, X9, X9
	VUCOMISS X9, X8
	JNE      add16
	JPS      add16
	JMP      store16

add16:
	VBROADCASTSS X8, Y8
	VFMADD231PS  (DI), Y8, Y0
	VFMADD231PS  32(DI), Y8, Y1

store16:
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VZEROUPPER
	RET
