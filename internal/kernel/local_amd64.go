package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

var (
	slocal512 = &localCode[float32]{forward: sforward512, input: sinput512, dots: sdots512, dotRows: 4}
	dlocal512 = &localCode[float64]{forward: dforward512, input: dinput512, dots: ddots512, dotRows: 4}
	slocal256 = &localCode[float32]{forward: sforward256, input: sinput256, dots: sdots256, dotRows: 2}
	dlocal256 = &localCode[float64]{forward: dforward256, input: dinput256, dots: ddots256, dotRows: 2}
)

// localCodeHere returns the code for this processor, nil if it has none.
func localCodeHere[T Float]() *localCode[T] {
	s, d := (*localCode[float32])(nil), (*localCode[float64])(nil)
	switch {
	case !vectorCode:
	case cpu.X86.HasAVX512F:
		s, d = slocal512, dlocal512
	default:
		s, d = slocal256, dlocal256
	}
	if code, ok := any(s).(*localCode[T]); ok {
		return code
	}
	return any(d).(*localCode[T])
}

// transposeRows does as many rows of transpose as there is vector code for, and
// returns their number.
func transposeRows[T Float](rows, cols int, src []T, lds int, dst []T, ldd int) int {
	if !vectorCode {
		return 0
	}
	done := 0
	switch dst := any(dst).(type) {
	case []float32:
		src := any(src).([]float32)
		for ; done+8 <= rows; done += 8 {
			stranspose8(cols, &src[done*lds], lds, &dst[done], ldd)
		}
		for ; done+4 <= rows; done += 4 {
			stranspose4(cols, &src[done*lds], lds, &dst[done], ldd)
		}
	case []float64:
		src := any(src).([]float64)
		for ; done+4 <= rows; done += 4 {
			dtranspose4(cols, &src[done*lds], lds, &dst[done], ldd)
		}
	}
	return done
}

// The functions of localCode, which asm/local.go writes. Sizes are at least 1.

//go:noescape
func sforward512(rows, slots int, table *int32, x, w, y *float32, ldy int, bias *float32, ldb int)

//go:noescape
func dforward512(rows, slots int, table *int32, x, w, y *float64, ldy int, bias *float64, ldb int)

//go:noescape
func sforward256(rows, slots int, table *int32, x, w, y *float32, ldy int, bias *float32, ldb int)

//go:noescape
func dforward256(rows, slots int, table *int32, x, w, y *float64, ldy int, bias *float64, ldb int)

//go:noescape
func sinput512(slots, outs int, table *int32, w *float32, ldw int, dy, dx *float32)

//go:noescape
func dinput512(slots, outs int, table *int32, w *float64, ldw int, dy, dx *float64)

//go:noescape
func sinput256(slots, outs int, table *int32, w *float32, ldw int, dy, dx *float32)

//go:noescape
func dinput256(slots, outs int, table *int32, w *float64, ldw int, dy, dx *float64)

//go:noescape
func sdots512(
	rows, cols, blocks int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, alpha, beta float32,
)

//go:noescape
func ddots512(
	rows, cols, blocks int, a *float64, lda int, b *float64, ldb int, c *float64, ldc int, alpha, beta float64,
)

//go:noescape
func sdots256(
	rows, cols, blocks int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, alpha, beta float32,
)

//go:noescape
func ddots256(
	rows, cols, blocks int, a *float64, lda int, b *float64, ldb int, c *float64, ldc int, alpha, beta float64,
)

// gatherLines copies, in each of blocks, the n lines that the table names.
// Blocks begin srcStep and dstStep bytes apart.
//
//go:noescape
func gatherLines(n int, table *int32, blocks int, src unsafe.Pointer, srcStep int, dst unsafe.Pointer, dstStep int)

// stranspose8 copies eight lines of k elements, k at least 1 and the lines ld
// apart, to columns: element p of line i goes to dst[p·step+i].
//
//go:noescape
func stranspose8(k int, src *float32, ld int, dst *float32, step int)
