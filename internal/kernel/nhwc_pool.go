package kernel

import "math"

// ToLast moves the channels of n images x, n×channels×size, to the last axis of y,
// n×size×channels.
func ToLast[T Float](n, channels, size int, x, y []T) {
	eachBlock(n, size, channels, func(image, lo, hi int) {
		at := image * channels * size
		transpose(channels, hi-lo, x[at+lo:], size, y[at+lo*channels:], channels)
	})
}

// ToPlanes is the reverse of ToLast: from x, n×size×channels, to y, n×channels×size.
func ToPlanes[T Float](n, channels, size int, x, y []T) {
	eachBlock(n, size, channels, func(image, lo, hi int) {
		at := image * channels * size
		transpose(hi-lo, channels, x[at+lo*channels:], channels, y[at+lo:], size)
	})
}

// eachBlock calls body for positions [lo, hi) of every image, so many at a time that they
// stay in a first-level cache.
func eachBlock(n, size, channels int, body func(image, lo, hi int)) {
	width := min(size, max(16, 1<<13/max(1, channels)/16*16))
	if width == 0 {
		return
	}
	blocks := ceilDiv(size, width)
	Parallel(n*blocks, max(1, 1<<14/max(1, width*channels)), func(first, last int) {
		for i := first; i < last; i++ {
			lo := i % blocks * width
			body(i/blocks, lo, min(lo+width, size))
		}
	})
}

// MaxPoolLast is MaxPool of two axes for n images x, n×In×channels, to y, n×Out×channels:
// each output line is the maximum of the input lines that it sees, and then of that line's
// taps.
func MaxPoolLast[T Float](w Window, n, channels int, x, y []T) {
	v := w.volume()
	width, c := v.in[2]*channels, channels
	Parallel(n*v.out[1], max(1, 1<<12/max(1, v.taps()*v.out[2]*c)), func(first, last int) {
		column := borrow[T](width)
		defer giveBack(column)
		for i := first; i < last; i++ {
			line := y[i*v.out[2]*c:][:v.out[2]*c]
			highest := highestLine(&v, x[i/v.out[1]*v.in[1]*width:][:v.in[1]*width], *column, i%v.out[1], width)
			for p := range v.out[2] {
				to := line[p*c : (p+1)*c]
				lo, hi := v.inside(2, p)
				if highest == nil || lo >= hi {
					fill(to, T(math.Inf(-1)))
					continue
				}
				from := highest[lo*c : (lo+1)*c]
				if lo += v.dilation[2]; lo >= hi {
					copy(to, from)
				}
				for ; lo < hi; lo += v.dilation[2] {
					maximum(to, from, highest[lo*c:(lo+1)*c])
					from = to
				}
			}
		}
	})
}

// highestLine returns the maximum of the lines of an image, of so many elements, that
// output line h sees, nil if it sees none: one of them, or what it writes to column.
func highestLine[T Float](v *volume, image, column []T, h, width int) []T {
	top, bottom := v.inside(1, h)
	var highest []T
	for ; top < bottom; top += v.dilation[1] {
		line := image[top*width:][:width]
		if highest == nil {
			highest = line
			continue
		}
		maximum(column, highest, line)
		highest = column
	}
	return highest
}

// AveragePoolLast is AveragePool of two axes for n images x, n×In×channels, to y,
// n×Out×channels.
func AveragePoolLast[T Float](w Window, countIncludePad bool, n, channels int, x, y []T) {
	v := w.volume()
	width, c := v.in[2]*channels, channels
	counts := v.counts(countIncludePad)
	Parallel(n*v.out[1], max(1, 1<<12/max(1, v.taps()*v.out[2]*c)), func(first, last int) {
		for i := first; i < last; i++ {
			image := x[i/v.out[1]*v.in[1]*width:][:v.in[1]*width]
			top, bottom := v.inside(1, i%v.out[1])
			for p := range v.out[2] {
				to := y[(i*v.out[2]+p)*c:][:c]
				lo, hi := v.inside(2, p)
				clear(to)
				for h := top; h < bottom; h += v.dilation[1] {
					for k := lo; k < hi; k += v.dilation[2] {
						add(to, image[h*width+k*c:][:c])
					}
				}
				count := T(max(1, counts[i%v.out[1]*v.out[2]+p]))
				for j := range to {
					to[j] /= count
				}
			}
		}
	})
}

// GlobalAverageLast computes y, n×channels, the means of n images x, n×size×channels. It
// sums up stretches of positions and then their sums, which keeps the rounding small.
func GlobalAverageLast[T Float](n, channels, size int, x, y []T) {
	const together, stretch = 64, 32 // channels, positions
	blocks := ceilDiv(channels, together)
	Parallel(n*blocks, max(1, 1<<14/max(1, size*together)), func(first, last int) {
		var part [together]T
		for i := first; i < last; i++ {
			lo := i % blocks * together
			hi := min(lo+together, channels)
			image, sums, some := x[i/blocks*size*channels:], y[i/blocks*channels+lo:][:hi-lo], part[:hi-lo]
			clear(sums)
			for p := 0; p < size; p += stretch {
				clear(some)
				for q := p; q < min(p+stretch, size); q++ {
					add(some, image[q*channels+lo:q*channels+hi])
				}
				add(sums, some)
			}
			for j := range sums {
				sums[j] /= T(size)
			}
		}
	})
}
