// Sums of registers: what ends a dot product, four at a time. Z16 to Z19 are
// made use of.

#define ZERO16 \
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
	VPXORD Z15, Z15, Z15

// SSUM512 adds up the four registers z0 to z3 into the four elements of x0.
#define SSUM512(z0, z1, z2, z3, y0, y1, x0, x1) \
	VUNPCKLPS     z1, z0, Z16; \
	VUNPCKHPS     z1, z0, Z17; \
	VUNPCKLPS     z3, z2, Z18; \
	VUNPCKHPS     z3, z2, Z19; \
	VADDPS        Z17, Z16, Z16; \
	VADDPS        Z19, Z18, Z18; \
	VUNPCKLPD     Z18, Z16, Z17; \
	VUNPCKHPD     Z18, Z16, Z19; \
	VADDPS        Z19, Z17, z0; \
	VEXTRACTF64X4 $1, z0, y1; \
	VADDPS        y1, y0, y0; \
	VEXTRACTF128  $1, y0, x1; \
	VADDPS        x1, x0, x0

// DSUM512 adds up the four registers z0 to z3 into the four elements of y0.
#define DSUM512(z0, z1, z2, z3, y0, y1, y2, y3) \
	VUNPCKLPD     z1, z0, Z16; \
	VUNPCKHPD     z1, z0, Z17; \
	VUNPCKLPD     z3, z2, Z18; \
	VUNPCKHPD     z3, z2, Z19; \
	VADDPD        Z17, Z16, z0; \
	VADDPD        Z19, Z18, z2; \
	VEXTRACTF64X4 $1, z0, y1; \
	VEXTRACTF64X4 $1, z2, y3; \
	VADDPD        y1, y0, y0; \
	VADDPD        y3, y2, y2; \
	VPERM2F128    $0x20, y2, y0, y1; \
	VPERM2F128    $0x31, y2, y0, y3; \
	VADDPD        y3, y1, y0

#define SSUM256(y0, y1, y2, y3, x0, x1) \
	VHADDPS      y1, y0, y0; \
	VHADDPS      y3, y2, y2; \
	VHADDPS      y2, y0, y0; \
	VEXTRACTF128 $1, y0, x1; \
	VADDPS       x1, x0, x0

#define DSUM256(y0, y1, y2, y3) \
	VHADDPD    y1, y0, y0; \
	VHADDPD    y3, y2, y2; \
	VPERM2F128 $0x20, y2, y0, y1; \
	VPERM2F128 $0x31, y2, y0, y3; \
	VADDPD     y3, y1, y0
