package engine

import "math"

// halfBits rounds to the nearest IEEE 754 binary16, ties to even.
func halfBits(x float64) uint16 {
	bits := math.Float64bits(x)
	sign := uint16(bits>>48) & 0x8000
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return sign | 0x7e00
	case a >= 65520: // halfway between the largest half and the next power of two
		return sign | 0x7c00
	case a < 0x1p-14: // subnormal: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(a*0x1p24))
	default:
		exp := math.Ilogb(a)
		// The significand 1.f as an integer 1024..2048; 2048 carries into the
		// exponent by the addition.
		m := uint16(math.RoundToEven(math.Ldexp(a, 10-exp)))
		return sign | (uint16(exp+15)<<10 + (m - 1024))
	}
}

// halfValue is the number that a binary16 stands for.
func halfValue(h uint16) float64 {
	sign := 1.0
	if h&0x8000 != 0 {
		sign = -1
	}
	exp, frac := int(h>>10)&0x1f, float64(h&0x3ff)
	switch exp {
	case 0:
		return sign * frac * 0x1p-24
	case 0x1f:
		if frac != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	default:
		return sign * math.Ldexp(1024+frac, exp-25)
	}
}

// bfloatBits rounds to the nearest bfloat16, ties to even. The rounding goes
// through float32, as the reference implementation's does.
func bfloatBits(x float64) uint16 {
	bits := math.Float32bits(float32(x))
	if math.IsNaN(x) {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// bfloatValue is the number that a bfloat16 stands for.
func bfloatValue(b uint16) float64 {
	return float64(math.Float32frombits(uint32(b) << 16))
}
