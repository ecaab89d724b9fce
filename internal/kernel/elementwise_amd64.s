#include "textflag.h"

// One pass over n elements: 32, then 8, then 1 at a time. CX counts what is
// left, SI is the source, DI the result.

// func sscale(n int, factor, offset float32, src, dst *float32)
TEXT ·sscale(SB), NOSPLIT, $0-32
	MOVQ         n+0(FP), CX
	VBROADCASTSS factor+8(FP), Y8
	VBROADCASTSS offset+12(FP), Y9
	MOVQ         src+16(FP), SI
	MOVQ         dst+24(FP), DI

scale32:
	CMPQ    CX, $32
	JL      scale8
	VMULPS  (SI), Y8, Y0
	VMULPS  32(SI), Y8, Y1
	VMULPS  64(SI), Y8, Y2
	VMULPS  96(SI), Y8, Y3
	VADDPS  Y9, Y0, Y0
	VADDPS  Y9, Y1, Y1
	VADDPS  Y9, Y2, Y2
	VADDPS  Y9, Y3, Y3
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ    $128, SI
	ADDQ    $128, DI
	SUBQ    $32, CX
	JMP     scale32

scale8:
	CMPQ    CX, $8
	JL      scale1
	VMULPS  (SI), Y8, Y0
	VADDPS  Y9, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	SUBQ    $8, CX
	JMP     scale8

scale1:
	TESTQ  CX, CX
	JEQ    scaled
	VMULSS (SI), X8, X0
	VADDSS X9, X0, X0
	VMOVSS X0, (DI)
	ADDQ   $4, SI
	ADDQ   $4, DI
	DECQ   CX
	JMP    scale1

scaled:
	VZEROUPPER
	RET

// The processor's maximum and minimum give their second operand, here the value,
// where one is NaN and where both are zero.

// func sclip(n int, lo, hi float32, src, dst *float32)
TEXT ·sclip(SB), NOSPLIT, $0-32
	MOVQ         n+0(FP), CX
	VBROADCASTSS lo+8(FP), Y8
	VBROADCASTSS hi+12(FP), Y9
	MOVQ         src+16(FP), SI
	MOVQ         dst+24(FP), DI

clip32:
	CMPQ    CX, $32
	JL      clip8
	VMAXPS  (SI), Y8, Y0
	VMAXPS  32(SI), Y8, Y1
	VMAXPS  64(SI), Y8, Y2
	VMAXPS  96(SI), Y8, Y3
	VMINPS  Y0, Y9, Y0
	VMINPS  Y1, Y9, Y1
	VMINPS  Y2, Y9, Y2
	VMINPS  Y3, Y9, Y3
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ    $128, SI
	ADDQ    $128, DI
	SUBQ    $32, CX
	JMP     clip32

clip8:
	CMPQ    CX, $8
	JL      clip1
	VMAXPS  (SI), Y8, Y0
	VMINPS  Y0, Y9, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	SUBQ    $8, CX
	JMP     clip8

clip1:
	TESTQ  CX, CX
	JEQ    clipped
	VMAXSS (SI), X8, X0
	VMINSS X0, X9, X0
	VMOVSS X0, (DI)
	ADDQ   $4, SI
	ADDQ   $4, DI
	DECQ   CX
	JMP    clip1

clipped:
	VZEROUPPER
	RET

// func sadd(n int, a, b, dst *float32)
TEXT ·sadd(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ dst+24(FP), DI

add32:
	CMPQ    CX, $32
	JL      add8
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVUPS 64(SI), Y2
	VMOVUPS 96(SI), Y3
	VADDPS  (DX), Y0, Y0
	VADDPS  32(DX), Y1, Y1
	VADDPS  64(DX), Y2, Y2
	VADDPS  96(DX), Y3, Y3
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ    $128, SI
	ADDQ    $128, DX
	ADDQ    $128, DI
	SUBQ    $32, CX
	JMP     add32

add8:
	CMPQ    CX, $8
	JL      add1
	VMOVUPS (SI), Y0
	VADDPS  (DX), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DX
	ADDQ    $32, DI
	SUBQ    $8, CX
	JMP     add8

add1:
	TESTQ  CX, CX
	JEQ    added
	VMOVSS (SI), X0
	VADDSS (DX), X0, X0
	VMOVSS X0, (DI)
	ADDQ   $4, SI
	ADDQ   $4, DX
	ADDQ   $4, DI
	DECQ   CX
	JMP    add1

added:
	VZEROUPPER
	RET

// The processor's maximum gives its second operand if either is NaN or both are
// zero: that is a, unless b is NaN, which is put in after.

// func smaximum(n int, a, b, dst *float32)
TEXT ·smaximum(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ dst+24(FP), DI

max16:
	CMPQ      CX, $16
	JL        max8
	VMOVUPS   (DX), Y0
	VMOVUPS   32(DX), Y1
	VMAXPS    (SI), Y0, Y2
	VMAXPS    32(SI), Y1, Y3
	VCMPPS    $3, Y0, Y0, Y4
	VCMPPS    $3, Y1, Y1, Y5
	VBLENDVPS Y4, Y0, Y2, Y2
	VBLENDVPS Y5, Y1, Y3, Y3
	VMOVUPS   Y2, (DI)
	VMOVUPS   Y3, 32(DI)
	ADDQ      $64, SI
	ADDQ      $64, DX
	ADDQ      $64, DI
	SUBQ      $16, CX
	JMP       max16

max8:
	CMPQ      CX, $8
	JL        max1
	VMOVUPS   (DX), Y0
	VMAXPS    (SI), Y0, Y2
	VCMPPS    $3, Y0, Y0, Y4
	VBLENDVPS Y4, Y0, Y2, Y2
	VMOVUPS   Y2, (DI)
	ADDQ      $32, SI
	ADDQ      $32, DX
	ADDQ      $32, DI
	SUBQ      $8, CX
	JMP       max8

max1:
	TESTQ     CX, CX
	JEQ       maxed
	VMOVSS    (DX), X0
	VMAXSS    (SI), X0, X2
	VCMPPS    $3, X0, X0, X4
	VBLENDVPS X4, X0, X2, X2
	VMOVSS    X2, (DI)
	ADDQ      $4, SI
	ADDQ      $4, DX
	ADDQ      $4, DI
	DECQ      CX
	JMP       max1

maxed:
	VZEROUPPER
	RET

// Eight results take sixteen elements of which the last is not needed, so it
// may lie past the end: the vector loop runs while a ninth result follows.

// func severysecond(n int, src, dst *float32)
TEXT ·severysecond(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ src+8(FP), SI
	MOVQ dst+16(FP), DI

second8:
	CMPQ    CX, $9
	JL      second1
	VMOVUPS (SI), Y0
	VSHUFPS $0x88, 32(SI), Y0, Y0
	VPERMPD $0xD8, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $64, SI
	ADDQ    $32, DI
	SUBQ    $8, CX
	JMP     second8

second1:
	TESTQ  CX, CX
	JEQ    seconds
	VMOVSS (SI), X0
	VMOVSS X0, (DI)
	ADDQ   $8, SI
	ADDQ   $4, DI
	DECQ   CX
	JMP    second1

seconds:
	VZEROUPPER
	RET

// The sums of 32 neighbours stay in Y0-Y3 while the taps go by.
//
//	R8, R9  offsets and factors of the taps, AX counts them, DX number of them
//	R10     where the tap's source begins

// func staps(n, taps int, offsets *int, factors, src, dst *float32, bias float32)
TEXT ·staps(SB), NOSPLIT, $0-52
	MOVQ         n+0(FP), CX
	MOVQ         taps+8(FP), DX
	MOVQ         offsets+16(FP), R8
	MOVQ         factors+24(FP), R9
	MOVQ         src+32(FP), SI
	MOVQ         dst+40(FP), DI
	VBROADCASTSS bias+48(FP), Y9

taps32:
	VMOVAPS Y9, Y0
	VMOVAPS Y9, Y1
	VMOVAPS Y9, Y2
	VMOVAPS Y9, Y3
	XORQ    AX, AX

tap:
	MOVQ         (R8)(AX*8), R10
	VBROADCASTSS (R9)(AX*4), Y8
	LEAQ         (SI)(R10*4), R10
	VFMADD231PS  (R10), Y8, Y0
	VFMADD231PS  32(R10), Y8, Y1
	VFMADD231PS  64(R10), Y8, Y2
	VFMADD231PS  96(R10), Y8, Y3
	INCQ         AX
	CMPQ         AX, DX
	JL           tap
	VMOVUPS      Y0, (DI)
	VMOVUPS      Y1, 32(DI)
	VMOVUPS      Y2, 64(DI)
	VMOVUPS      Y3, 96(DI)
	ADDQ         $128, SI
	ADDQ         $128, DI
	SUBQ         $32, CX
	JNE          taps32
	VZEROUPPER
	RET

// func sgate(n int, out, grad, dst *float32)
TEXT ·sgate(SB), NOSPLIT, $0-32
	MOVQ   n+0(FP), CX
	MOVQ   out+8(FP), SI
	MOVQ   grad+16(FP), BX
	MOVQ   dst+24(FP), DI
	VXORPS Y8, Y8, Y8

gate32:
	CMPQ    CX, $32
	JL      gate8
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVUPS 64(SI), Y2
	VMOVUPS 96(SI), Y3
	VCMPPS  $2, Y8, Y0, Y0     // out <= 0, ordered
	VCMPPS  $2, Y8, Y1, Y1
	VCMPPS  $2, Y8, Y2, Y2
	VCMPPS  $2, Y8, Y3, Y3
	VANDNPS (BX), Y0, Y0
	VANDNPS 32(BX), Y1, Y1
	VANDNPS 64(BX), Y2, Y2
	VANDNPS 96(BX), Y3, Y3
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ    $128, SI
	ADDQ    $128, BX
	ADDQ    $128, DI
	SUBQ    $32, CX
	JMP     gate32

gate8:
	CMPQ    CX, $8
	JL      gate1
	VMOVUPS (SI), Y0
	VCMPPS  $2, Y8, Y0, Y0
	VANDNPS (BX), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, BX
	ADDQ    $32, DI
	SUBQ    $8, CX
	JMP     gate8

gate1:
	TESTQ   CX, CX
	JEQ     gated
	VMOVSS  (SI), X0
	VMOVSS  (BX), X1
	VCMPSS  $2, X8, X0, X0
	VANDNPS X1, X0, X0
	VMOVSS  X0, (DI)
	ADDQ    $4, SI
	ADDQ    $4, BX
	ADDQ    $4, DI
	DECQ    CX
	JMP     gate1

gated:
	VZEROUPPER
	RET

// PICK puts into Y2 and Y3 the greater of the values Y0 and Y2 with its index, of
// Y1 and Y3: NaN is greater than anything else, and of equals the lower index
// goes first. Y4 to Y7 are spoilt.
#define PICK \
	VCMPPS    $3, Y0, Y0, Y4   \ // NaN
	VCMPPS    $3, Y2, Y2, Y5   \
	VCMPPS    $6, Y2, Y0, Y6   \ // not Y0 <= Y2: greater, or one of them is NaN
	VANDNPS   Y6, Y5, Y6       \
	VANDPS    Y5, Y4, Y4       \
	VCMPPS    $0, Y2, Y0, Y7   \
	VORPS     Y7, Y4, Y4       \ // equal, or both NaN
	VPCMPGTD  Y1, Y3, Y7       \
	VANDPS    Y7, Y4, Y4       \
	VORPS     Y4, Y6, Y6       \
	VBLENDVPS Y6, Y0, Y2, Y2   \
	VBLENDVPS Y6, Y1, Y3, Y3

// func sgreatest(n int, a *float32, ai *int32, b *float32, bi *int32, dst *float32, index *int32)
TEXT ·sgreatest(SB), NOSPLIT, $0-56
	MOVQ n+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ ai+16(FP), R8
	MOVQ b+24(FP), BX
	MOVQ bi+32(FP), R9
	MOVQ dst+40(FP), DI
	MOVQ index+48(FP), R10

greatest8:
	CMPQ    CX, $8
	JL      greatest1
	VMOVUPS (SI), Y0
	VMOVUPS (R8), Y1
	VMOVUPS (BX), Y2
	VMOVUPS (R9), Y3
	PICK
	VMOVUPS Y2, (DI)
	VMOVUPS Y3, (R10)
	ADDQ    $32, SI
	ADDQ    $32, R8
	ADDQ    $32, BX
	ADDQ    $32, R9
	ADDQ    $32, DI
	ADDQ    $32, R10
	SUBQ    $8, CX
	JMP     greatest8

greatest1:
	TESTQ  CX, CX
	JEQ    chosen
	VMOVSS (SI), X0
	VMOVSS (R8), X1
	VMOVSS (BX), X2
	VMOVSS (R9), X3
	PICK
	VMOVSS X2, (DI)
	VMOVSS X3, (R10)
	ADDQ   $4, SI
	ADDQ   $4, R8
	ADDQ   $4, BX
	ADDQ   $4, R9
	ADDQ   $4, DI
	ADDQ   $4, R10
	DECQ   CX
	JMP    greatest1

chosen:
	VZEROUPPER
	RET
