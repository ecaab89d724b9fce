package kernel

var (
	scsr128 = &csrCode[float32]{
		forwardRow: sforwardRow128, forwardRows: sforwardRows128,
		inputRow: sinputRow128, inputRows: sinputRows128,
		dotsRow: sdotsRow128,
	}
	dcsr128 = &csrCode[float64]{
		forwardRow: dforwardRow128, forwardRows: dforwardRows128,
		inputRow: dinputRow128, inputRows: dinputRows128,
		dotsRow: ddotsRow128,
	}
)

// csrCodeHere returns the code for vectors of 128 bits, which all processors for
// arm64 have.
func csrCodeHere[T Float]() *csrCode[T] {
	if !vectorCode {
		return nil
	}
	if code, ok := any(scsr128).(*csrCode[T]); ok {
		return code
	}
	return any(dcsr128).(*csrCode[T])
}

// The functions of csrCode, which asm/neon/csr.go writes. Numbers of entries and of
// lines are at least 1, those of entries multiples of 4 for dots.

//go:noescape
func sforwardRow128(call *csrCall[float32])

//go:noescape
func dforwardRow128(call *csrCall[float64])

//go:noescape
func sforwardRows128(call *csrCall[float32])

//go:noescape
func dforwardRows128(call *csrCall[float64])

//go:noescape
func sinputRow128(call *csrCall[float32])

//go:noescape
func dinputRow128(call *csrCall[float64])

//go:noescape
func sinputRows128(call *csrCall[float32])

//go:noescape
func dinputRows128(call *csrCall[float64])

//go:noescape
func sdotsRow128(call *csrCall[float32])

//go:noescape
func ddotsRow128(call *csrCall[float64])
