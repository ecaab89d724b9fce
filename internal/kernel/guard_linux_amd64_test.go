package kernel

import (
	"math/rand/v2"
	"testing"
)

// No packed convolution, and no pooling of such arrays, reads or writes behind what it is given.
func TestGuardedLast(t *testing.T) {
	eachNHWC(t, func(t *testing.T, code *nhwcCode) {
		for seed := range uint64(100) {
			t.Run("", func(t *testing.T) {
				rng := rand.New(rand.NewPCG(46, seed))
				c := randomConv[float32](rng)
				switch rng.IntN(3) {
				case 0:
					c.Groups, c.InChannels, c.OutChannels = 1, 1+rng.IntN(70), 1+rng.IntN(70)
				case 1: // depthwise
					c.Groups = 1 + rng.IntN(40)
					c.InChannels, c.OutChannels = c.Groups, c.Groups*(1+rng.IntN(3))
				}
				guardLast(t, rng, c, 1+rng.IntN(12), code)
			})
		}
	})
}

// guardLast runs what there is for arrays whose last axis is the channels.
func guardLast(t *testing.T, rng *rand.Rand, c Conv[float32], n int, code *nhwcCode) {
	if len(c.In) != 2 {
		return
	}
	x := guardedRandom[float32](t, rng, n*c.InChannels*c.InSize())
	w := guardedRandom[float32](t, rng, c.OutChannels*c.InChannels/c.Groups*c.Taps())
	bias := guardedRandom[float32](t, rng, c.OutChannels)
	y := guarded(t, make([]float32, n*c.OutChannels*c.OutSize()))
	finish := Finish{Add: guardedRandom[float32](t, rng, len(y)), Lo: 0, Hi: 1}
	p := packConv(code, c.Groups, c.InChannels, c.OutChannels, c.Kernel[0], c.Kernel[1], w, nil, bias)
	p.Forward(c.Window, n, x, y, NoFinish)
	p.Forward(c.Window, n, x, y, finish)
	if p.Planar(c.Window) {
		p.ForwardPlanes(c.Window, n, x, y, finish)
	}
	pooled := guarded(t, make([]float32, n*c.InChannels*c.OutSize()))
	MaxPoolLast(c.Window, n, c.InChannels, x, pooled)
	AveragePoolLast(c.Window, false, n, c.InChannels, x, pooled)
	if c.InSize() > 0 {
		GlobalAverageLast(n, c.InChannels, c.InSize(), x, guarded(t, make([]float32, n*c.InChannels)))
	}
}
