#include "textflag.h"

// func sbetween8(n int, lo, hi float32, out, grad, dst *float32)
TEXT ·sbetween8(SB), NOSPLIT, $0-40
	MOVQ         n+0(FP), CX
	VBROADCASTSS lo+8(FP), Y8
	VBROADCASTSS hi+12(FP), Y9
	MOVQ         out+16(FP), SI
	MOVQ         grad+24(FP), BX
	MOVQ         dst+32(FP), DI

between8:
	VMOVUPS (SI), Y0
	VCMPPS  $2, Y8, Y0, Y1  // out <= lo, ordered
	VCMPPS  $13, Y9, Y0, Y2 // out >= hi, ordered
	VORPS   Y1, Y2, Y1
	VANDNPS (BX), Y1, Y1
	VMOVUPS Y1, (DI)
	ADDQ    $32, SI
	ADDQ    $32, BX
	ADDQ    $32, DI
	SUBQ    $8, CX
	JNZ     between8

	VZEROUPPER
	RET
