#include "textflag.h"

// Loops over n elements, eight at a time. CX counts what is left.

// func ssum8(n int, src *float32, sums *strands)
TEXT ·ssum8(SB), NOSPLIT, $0-24
	MOVQ    n+0(FP), CX
	MOVQ    src+8(FP), SI
	MOVQ    sums+16(FP), DI
	VMOVUPD (DI), Y0
	VMOVUPD 32(DI), Y1

sum8:
	VCVTPS2PD (SI), Y2
	VCVTPS2PD 16(SI), Y3
	VADDPD    Y2, Y0, Y0
	VADDPD    Y3, Y1, Y1
	ADDQ      $32, SI
	SUBQ      $8, CX
	JNZ       sum8

	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VZEROUPPER
	RET

// func ssquares8(n int, mean float64, src *float32, sums *strands)
TEXT ·ssquares8(SB), NOSPLIT, $0-32
	MOVQ         n+0(FP), CX
	VBROADCASTSD mean+8(FP), Y8
	MOVQ         src+16(FP), SI
	MOVQ         sums+24(FP), DI
	VMOVUPD      (DI), Y0
	VMOVUPD      32(DI), Y1

squares8:
	VCVTPS2PD (SI), Y2
	VCVTPS2PD 16(SI), Y3
	VSUBPD    Y8, Y2, Y2
	VSUBPD    Y8, Y3, Y3
	VMULPD    Y2, Y2, Y2
	VMULPD    Y3, Y3, Y3
	VADDPD    Y2, Y0, Y0
	VADDPD    Y3, Y1, Y1
	ADDQ      $32, SI
	SUBQ      $8, CX
	JNZ       squares8

	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VZEROUPPER
	RET

// func sproducts8(n int, mean float64, x, dy *float32, total, along *strands)
TEXT ·sproducts8(SB), NOSPLIT, $0-48
	MOVQ         n+0(FP), CX
	VBROADCASTSD mean+8(FP), Y8
	MOVQ         x+16(FP), SI
	MOVQ         dy+24(FP), DX
	MOVQ         total+32(FP), DI
	MOVQ         along+40(FP), BX
	VMOVUPD      (DI), Y0
	VMOVUPD      32(DI), Y1
	VMOVUPD      (BX), Y2
	VMOVUPD      32(BX), Y3

products8:
	VCVTPS2PD (SI), Y4
	VCVTPS2PD 16(SI), Y5
	VCVTPS2PD (DX), Y6
	VCVTPS2PD 16(DX), Y7
	VSUBPD    Y8, Y4, Y4
	VSUBPD    Y8, Y5, Y5
	VADDPD    Y6, Y0, Y0
	VADDPD    Y7, Y1, Y1
	VMULPD    Y6, Y4, Y4
	VMULPD    Y7, Y5, Y5
	VADDPD    Y4, Y2, Y2
	VADDPD    Y5, Y3, Y3
	ADDQ      $32, SI
	ADDQ      $32, DX
	SUBQ      $8, CX
	JNZ       products8

	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VMOVUPD Y2, (BX)
	VMOVUPD Y3, 32(BX)
	VZEROUPPER
	RET

// func snormalise8(n int, mean, factor, offset float32, src, dst *float32)
TEXT ·snormalise8(SB), NOSPLIT, $0-40
	MOVQ         n+0(FP), CX
	VBROADCASTSS mean+8(FP), Y8
	VBROADCASTSS factor+12(FP), Y9
	VBROADCASTSS offset+16(FP), Y10
	MOVQ         src+24(FP), SI
	MOVQ         dst+32(FP), DI

normalise8:
	VMOVUPS (SI), Y0
	VSUBPS  Y8, Y0, Y0
	VMULPS  Y9, Y0, Y0
	VADDPS  Y10, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	SUBQ    $8, CX
	JNZ     normalise8

	VZEROUPPER
	RET

// func sgradient8(n int, mean, slope, shift, factor float32, x, dy, dst *float32)
TEXT ·sgradient8(SB), NOSPLIT, $0-48
	MOVQ         n+0(FP), CX
	VBROADCASTSS mean+8(FP), Y8
	VBROADCASTSS slope+12(FP), Y9
	VBROADCASTSS shift+16(FP), Y10
	VBROADCASTSS factor+20(FP), Y11
	MOVQ         x+24(FP), SI
	MOVQ         dy+32(FP), DX
	MOVQ         dst+40(FP), DI

gradient8:
	VMOVUPS (DX), Y0
	VMOVUPS (SI), Y1
	VSUBPS  Y10, Y0, Y0
	VSUBPS  Y8, Y1, Y1
	VMULPS  Y9, Y1, Y1
	VSUBPS  Y1, Y0, Y0
	VMULPS  Y11, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DX
	ADDQ    $32, DI
	SUBQ    $8, CX
	JNZ     gradient8

	VZEROUPPER
	RET
