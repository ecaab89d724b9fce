package kernel

import "golang.org/x/sys/cpu"

var (
	nhwc512 = &nhwcCode{rows: 12, lanes: 16, tile: snhwc12x32, depthwise: sdepthwise512}
	nhwc256 = &nhwcCode{rows: 6, lanes: 8, tile: snhwc6x16, depthwise: sdepthwise256}
)

// nhwcHere is the code of this processor for arrays whose last axis is the channels, nil
// where there is none.
var nhwcHere = func() *nhwcCode {
	switch {
	case vectorCode && cpu.X86.HasAVX512F:
		return nhwc512
	case vectorCode:
		return nhwc256
	}
	return nil
}()

// A tile lets call escape, and so what it points to, for that to stay where it is: its
// offsets lead from one array to another.

func snhwc12x32(call *nhwcCall)

func snhwc6x16(call *nhwcCall)

//go:noescape
func sdepthwise512(call *depthwiseCall)

//go:noescape
func sdepthwise256(call *depthwiseCall)
