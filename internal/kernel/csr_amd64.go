package kernel

import "golang.org/x/sys/cpu"

var (
	scsr512 = &csrCode[float32]{
		forwardRow: sforwardRow512, forwardRows: sforwardRows512,
		inputRow: sinputRow512, inputRows: sinputRows512,
		dotsRow: sdotsRow512, dotsRows: sdotsRows512,
	}
	dcsr512 = &csrCode[float64]{
		forwardRow: dforwardRow512, forwardRows: dforwardRows512,
		inputRow: dinputRow512, inputRows: dinputRows512,
		dotsRow: ddotsRow512, dotsRows: ddotsRows512,
	}
	scsr256 = &csrCode[float32]{
		forwardRow: sforwardRow256, forwardRows: sforwardRows256,
		inputRow: sinputRow256, inputRows: sinputRows256,
		dotsRow: sdotsRow256,
	}
	dcsr256 = &csrCode[float64]{
		forwardRow: dforwardRow256, forwardRows: dforwardRows256,
		inputRow: dinputRow256, inputRows: dinputRows256,
		dotsRow: ddotsRow256,
	}
)

// csrCodeHere returns the code for this processor, nil if it has none.
func csrCodeHere[T Float]() *csrCode[T] {
	s, d := (*csrCode[float32])(nil), (*csrCode[float64])(nil)
	switch {
	case !vectorCode:
	case cpu.X86.HasAVX512F:
		s, d = scsr512, dcsr512
	default:
		s, d = scsr256, dcsr256
	}
	if code, ok := any(s).(*csrCode[T]); ok {
		return code
	}
	return any(d).(*csrCode[T])
}

// The functions of csrCode, which asm/csr.go writes. Numbers of entries and of
// lines are at least 1, those of entries multiples of 4 for dots.

//go:noescape
func sforwardRow512(call *csrCall[float32])

//go:noescape
func dforwardRow512(call *csrCall[float64])

//go:noescape
func sforwardRows512(call *csrCall[float32])

//go:noescape
func dforwardRows512(call *csrCall[float64])

//go:noescape
func sinputRow512(call *csrCall[float32])

//go:noescape
func dinputRow512(call *csrCall[float64])

//go:noescape
func sinputRows512(call *csrCall[float32])

//go:noescape
func dinputRows512(call *csrCall[float64])

//go:noescape
func sdotsRow512(call *csrCall[float32])

//go:noescape
func ddotsRow512(call *csrCall[float64])

//go:noescape
func sdotsRows512(call *csrCall[float32])

//go:noescape
func ddotsRows512(call *csrCall[float64])

//go:noescape
func sforwardRow256(call *csrCall[float32])

//go:noescape
func dforwardRow256(call *csrCall[float64])

//go:noescape
func sforwardRows256(call *csrCall[float32])

//go:noescape
func dforwardRows256(call *csrCall[float64])

//go:noescape
func sinputRow256(call *csrCall[float32])

//go:noescape
func dinputRow256(call *csrCall[float64])

//go:noescape
func sinputRows256(call *csrCall[float32])

//go:noescape
func dinputRows256(call *csrCall[float64])

//go:noescape
func sdotsRow256(call *csrCall[float32])

//go:noescape
func ddotsRow256(call *csrCall[float64])
