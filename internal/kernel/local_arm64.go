package kernel

import "unsafe"

var (
	slocal128 = &localCode[float32]{forward: sforward128, input: sinput128, dots: sdots128, dotRows: 4}
	dlocal128 = &localCode[float64]{forward: dforward128, input: dinput128, dots: ddots128, dotRows: 4}
)

// localCodeHere returns the code for vectors of 128 bits, which all processors for
// arm64 have.
func localCodeHere[T Float]() *localCode[T] {
	if !vectorCode {
		return nil
	}
	if code, ok := any(slocal128).(*localCode[T]); ok {
		return code
	}
	return any(dlocal128).(*localCode[T])
}

// transposeRows does as many rows of transpose as there is vector code for, and
// returns their number.
func transposeRows[T Float](rows, cols int, src []T, lds int, dst []T, ldd int) int {
	if !vectorCode {
		return 0
	}
	done := 0
	for ; done+4 <= rows; done += 4 {
		switch dst := any(dst).(type) {
		case []float32:
			stranspose4(cols, &any(src).([]float32)[done*lds], lds, &dst[done], ldd)
		case []float64:
			dtranspose4(cols, &any(src).([]float64)[done*lds], lds, &dst[done], ldd)
		}
	}
	return done
}

// gatherLines copies, in each of blocks, the n lines that the table names.
// Blocks begin srcStep and dstStep bytes apart.
func gatherLines(n int, table *int32, blocks int, src unsafe.Pointer, srcStep int, dst unsafe.Pointer, dstStep int) {
	for b := range blocks {
		from, to := unsafe.Add(src, b*srcStep), unsafe.Add(dst, b*dstStep)
		for i, at := range unsafe.Slice(table, n) {
			*(*[lineBytes]byte)(unsafe.Add(to, i*lineBytes)) = *(*[lineBytes]byte)(unsafe.Add(from, int(at)*lineBytes))
		}
	}
}

// The functions of localCode, which asm/neon/local.go writes. Sizes are at least 1.

//go:noescape
func sforward128(rows, slots int, table *int32, x, w, y *float32, ldy int, bias *float32, ldb int)

//go:noescape
func dforward128(rows, slots int, table *int32, x, w, y *float64, ldy int, bias *float64, ldb int)

//go:noescape
func sinput128(slots, outs int, table *int32, w *float32, ldw int, dy, dx *float32)

//go:noescape
func dinput128(slots, outs int, table *int32, w *float64, ldw int, dy, dx *float64)

//go:noescape
func sdots128(
	rows, cols, blocks int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, alpha, beta float32,
)

//go:noescape
func ddots128(
	rows, cols, blocks int, a *float64, lda int, b *float64, ldb int, c *float64, ldc int, alpha, beta float64,
)
