package affine

import (
	"slices"
)

// ConvTaps is the geometry of a convolution: each tap has its own coefficient.
func ConvTaps(ws []Window) *Taps {
	axes := make([]Axis, len(ws))
	for i, w := range ws {
		axes[i] = w.Axis(w.Kernel, func(_, t int) int { return t })
	}
	return NewTaps(axes)
}

// ConvTransposeTaps is the geometry of a transposed convolution.
func ConvTransposeTaps(ws []Window) *Taps {
	axes := make([]Axis, len(ws))
	for i, w := range ws {
		axes[i] = w.transposedAxis()
	}
	return NewTaps(axes)
}

// onePoint is the geometry of a layer that is fully connected already: one
// position, one coefficient for a pair of channels.
var onePoint = NewTaps(nil)

// FullyConnected returns the map of a fully-connected layer, without coefficients.
func FullyConnected(in, out int) *Map {
	return &Map{Groups: 1, InChannels: in, OutChannels: out, Taps: onePoint}
}

// AverageTaps returns the geometry of a pooling by averages, and for each of
// its coefficients the number of cells that it divides by. That is a product
// over the axes, of the cells that a window has along each: the coefficients
// are numbered by those counts.
func AverageTaps(ws []Window, padding bool) (*Taps, []int) {
	axes := make([]Axis, len(ws))
	divisors := []int{1}
	for i, w := range ws {
		axes[i] = w.Axis(w.Kernel, func(p, _ int) int { return w.Cells(p, padding) - 1 })
		var next []int
		for _, d := range divisors {
			for cells := range w.Kernel {
				next = append(next, d*(cells+1))
			}
		}
		divisors = next
	}
	return NewTaps(axes), divisors
}

// GlobalTaps is the geometry of one output that reads all positions with one
// coefficient.
func GlobalTaps(positions int) *Taps {
	all := Axis{In: positions, Coefs: 1, Taps: make([][]Tap, 1)}
	for q := range positions {
		all.Taps[0] = append(all.Taps[0], Tap{In: int32(q)})
	}
	return NewTaps([]Axis{all})
}

// Averages returns the map that averages every channel by itself, with the
// inverses of divisors for coefficients.
func Averages(channels int, taps *Taps, divisors []int) *Map {
	m := &Map{Groups: max(channels, 1), InChannels: channels, OutChannels: channels, Taps: taps}
	for range channels {
		for _, d := range divisors {
			m.Kernel = append(m.Kernel, float32(1/float64(d)))
			m.Exact = append(m.Exact, 1/float64(d))
		}
	}
	return m
}

// Reduction returns the map that adds the elements of a tensor of shape dims
// along axes, the first of which is that of the channels; it is a Map without
// Kernel. cells is how many elements are added.
func Reduction(dims []int, axes []int64) (m *Map, cells int) {
	m = &Map{Groups: max(dims[0], 1), InChannels: dims[0], OutChannels: dims[0]}
	cells = 1
	if slices.Contains(axes, 0) {
		m.Groups, m.OutChannels, cells = 1, 1, dims[0]
	}
	along := make([]Axis, len(dims)-1)
	for i, d := range dims[1:] {
		if !slices.Contains(axes, int64(i+1)) {
			along[i] = Window{In: d, Out: d, Kernel: 1, Stride: 1, Dilation: 1}.Axis(1, firstCoef)
			continue
		}
		along[i] = Window{In: d, Out: 1, Kernel: d, Stride: 1, Dilation: 1}.Axis(1, firstCoef)
		cells *= d
	}
	m.Taps = NewTaps(along)
	return m, cells
}
