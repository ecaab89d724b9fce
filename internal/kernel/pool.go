package kernel

import "math"

// MaxPool computes the greatest value of each window of n planes (images times
// channels): x is n×In, y n×Out. argmax, unless nil, is n×Out as well and
// receives the flat index in its plane of the first greatest value, -1 where a
// window lies wholly in the padding; there y is -Inf. A NaN in a window is its
// greatest value, as PyTorch has it.
func MaxPool[T Float](w Window, n int, x, y []T, argmax []int32) {
	v := w.volume()
	in, out := v.inSize(), v.outSize()
	if v.in[0] == 1 && v.kernel[0] == 1 && v.out[0] == 1 && v.pad[0] == 0 {
		switch _, single := any(x).([]float32); {
		case argmax == nil:
			maxPlanes(&v, n, x, y)
			return
		case single && vectorCode:
			argmaxPlanes(&v, n, x, y, argmax)
			return
		}
	}
	Parallel(n, 1+1<<12/max(1, out*v.taps()), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			xs, ys := x[i*in:(i+1)*in], y[i*out:(i+1)*out]
			o := 0
			v.windows(func(lo, hi [3]int) {
				best, at := T(math.Inf(-1)), -1
				for d := lo[0]; d < hi[0]; d += v.dilation[0] {
					for h := lo[1]; h < hi[1]; h += v.dilation[1] {
						line := (d*v.in[1] + h) * v.in[2]
						for k := line + lo[2]; k < line+hi[2]; k += v.dilation[2] {
							if u := xs[k]; at < 0 || u > best || (u != u && best == best) {
								best, at = u, k
							}
						}
					}
				}
				ys[o] = best
				if argmax != nil {
					argmax[i*out+o] = int32(at)
				}
				o++
			})
		}
	})
}

// maxPlanes is MaxPool over two axes: each output line is the maximum of the
// input lines that it sees, and then of that line's taps.
func maxPlanes[T Float](v *volume, n int, x, y []T) {
	in, out, width := v.inSize(), v.outSize(), v.in[2]
	Parallel(n, 1+1<<12/max(1, out*v.taps()), func(lo, hi int) {
		highest, taps := borrow[T](width), borrow[T](v.out[2])
		defer giveBack(highest)
		defer giveBack(taps)
		for i := lo; i < hi; i++ {
			xs := x[i*in : (i+1)*in]
			for h := range v.out[1] {
				line := y[i*out+h*v.out[2]:][:v.out[2]]
				fill(line, T(math.Inf(-1)))
				top, bottom := v.inside(1, h)
				if top >= bottom {
					continue
				}
				copy(*highest, xs[top*width:(top+1)*width])
				for s := top + v.dilation[1]; s < bottom; s += v.dilation[1] {
					maximum(*highest, *highest, xs[s*width:(s+1)*width])
				}
				for t := range v.kernel[2] {
					lo, hi := v.reach(2, t)
					if lo == hi {
						continue
					}
					read := (*taps)[:hi-lo]
					copyStrided(read, (*highest)[v.source(2, lo, t):], v.stride[2])
					maximum(line[lo:hi], line[lo:hi], read)
				}
			}
		}
	})
}

// lineTap says which outputs [lo, hi) of a line a tap along it has an input for, and
// where in the input's line that of lo is.
type lineTap struct{ lo, hi, source int }

func (v *volume) lineTaps() []lineTap {
	taps := make([]lineTap, v.kernel[2])
	for t := range taps {
		lo, hi := v.reach(2, t)
		taps[t] = lineTap{lo, hi, v.source(2, lo, t)}
	}
	return taps
}

// argmaxPlanes is MaxPool with argmax over two axes, in the way of maxPlanes.
func argmaxPlanes[T Float](v *volume, n int, x, y []T, argmax []int32) {
	in, out, width := v.inSize(), v.outSize(), v.in[2]
	all := borrow[int32](in)
	defer giveBack(all)
	positions := *all
	for i := range positions {
		positions[i] = int32(i)
	}
	taps := v.lineTaps()
	Parallel(n, 1+1<<12/max(1, out*v.taps()), func(lo, hi int) {
		values := borrow[T](width + v.out[2])
		defer giveBack(values)
		indices := borrow[int32](width + v.out[2])
		defer giveBack(indices)
		column, part := (*values)[:width], (*values)[width:]
		columnAt, partAt := (*indices)[:width], (*indices)[width:]
		for i := lo; i < hi; i++ {
			xs := x[i*in : (i+1)*in]
			for h := range v.out[1] {
				at := i*out + h*v.out[2]
				line, lineAt := y[at:at+v.out[2]], argmax[at:at+v.out[2]]
				fill(line, T(math.Inf(-1)))
				for k := range lineAt {
					lineAt[k] = math.MaxInt32
				}
				top, bottom := v.inside(1, h)
				// The greatest of each column, then of the columns that a window sees.
				down, downAt := column, columnAt
				for s := top; s < bottom; s += v.dilation[1] {
					row, rowAt := xs[s*width:(s+1)*width], positions[s*width:(s+1)*width]
					if s == top {
						down, downAt = row, rowAt
						continue
					}
					greatest(column, columnAt, down, downAt, row, rowAt)
					down, downAt = column, columnAt
				}
				for _, t := range taps {
					if t.lo == t.hi || top >= bottom {
						continue
					}
					to, toAt := line[t.lo:t.hi], lineAt[t.lo:t.hi]
					from, fromAt := part[:len(to)], partAt[:len(to)]
					copyStrided(from, down[t.source:], v.stride[2])
					copyIndices(fromAt, downAt[t.source:], v.stride[2])
					greatest(to, toAt, to, toAt, from, fromAt)
				}
				for k, at := range lineAt {
					if at == math.MaxInt32 { // no tap inside the input
						lineAt[k] = -1
					}
				}
			}
		}
	})
}

// MaxPoolBackward computes dx, n×In, from dy, n×Out, and the argmax of MaxPool. dx is
// overwritten.
func MaxPoolBackward[T Float](w Window, n int, dy []T, argmax []int32, dx []T) {
	in, out := w.InSize(), w.OutSize()
	Parallel(n, 1+1<<14/max(1, in), func(lo, hi int) {
		clear(dx[lo*in : hi*in])
		for i := lo; i < hi; i++ {
			dxs := dx[i*in : (i+1)*in]
			at := argmax[i*out : (i+1)*out]
			for o, g := range dy[i*out : (i+1)*out] {
				if at[o] >= 0 {
					dxs[at[o]] += g
				}
			}
		}
	})
}

// AveragePool computes the mean of each window of n planes: x is n×In, y
// n×Out. The mean is over the taps inside the input or, with countIncludePad,
// over those inside the input and its padding; taps that hang over the padded
// end (ceil_mode) never count. A window without a counted tap gives 0.
func AveragePool[T Float](w Window, countIncludePad bool, n int, x, y []T) {
	v := w.volume()
	in, out := v.inSize(), v.outSize()
	counts := v.counts(countIncludePad)
	Parallel(n, 1+1<<12/max(1, out*v.taps()), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			xs, ys := x[i*in:(i+1)*in], y[i*out:(i+1)*out]
			o := 0
			v.windows(func(lo, hi [3]int) {
				var total T
				for d := lo[0]; d < hi[0]; d += v.dilation[0] {
					for h := lo[1]; h < hi[1]; h += v.dilation[1] {
						line := (d*v.in[1] + h) * v.in[2]
						for k := line + lo[2]; k < line+hi[2]; k += v.dilation[2] {
							total += xs[k]
						}
					}
				}
				ys[o] = 0
				if counts[o] > 0 {
					ys[o] = total / T(counts[o])
				}
				o++
			})
		}
	})
}

// AveragePoolBackward computes dx, n×In, from dy, n×Out. dx is overwritten.
func AveragePoolBackward[T Float](w Window, countIncludePad bool, n int, dy, dx []T) {
	v := w.volume()
	in, out := v.inSize(), v.outSize()
	counts := v.counts(countIncludePad)
	Parallel(n, 1+1<<12/max(1, out*v.taps()), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dxs, dys := dx[i*in:(i+1)*in], dy[i*out:(i+1)*out]
			clear(dxs)
			o := 0
			v.windows(func(lo, hi [3]int) {
				if counts[o] > 0 {
					g := dys[o] / T(counts[o])
					for d := lo[0]; d < hi[0]; d += v.dilation[0] {
						for h := lo[1]; h < hi[1]; h += v.dilation[1] {
							line := (d*v.in[1] + h) * v.in[2]
							for k := line + lo[2]; k < line+hi[2]; k += v.dilation[2] {
								dxs[k] += g
							}
						}
					}
				}
				o++
			})
		}
	})
}

// windows calls body for every output position in order, with the input
// positions of its taps that lie inside the input: from lo, dilation apart,
// below hi, along each axis.
func (v *volume) windows(body func(lo, hi [3]int)) {
	var lo, hi [3]int
	for d := range v.out[0] {
		lo[0], hi[0] = v.inside(0, d)
		for h := range v.out[1] {
			lo[1], hi[1] = v.inside(1, h)
			for w := range v.out[2] {
				lo[2], hi[2] = v.inside(2, w)
				body(lo, hi)
			}
		}
	}
}

func (v *volume) inside(a, p int) (lo, hi int) {
	first := v.source(a, p, 0)
	lo = first + max(0, ceilDiv(-first, v.dilation[a]))*v.dilation[a]
	return lo, min(v.in[a], v.source(a, p, v.kernel[a]-1)+1)
}

// counts returns, for each output position, the number of taps that an
// average divides by.
func (v *volume) counts(includePad bool) []int {
	var axis [3][]int
	for a := range axis {
		lo, hi := 0, v.in[a]
		if includePad {
			lo, hi = -v.pad[a], v.in[a]+v.padEnd[a]
		}
		axis[a] = make([]int, v.out[a])
		for p := range axis[a] {
			for t := range v.kernel[a] {
				if s := v.source(a, p, t); s >= lo && s < hi {
					axis[a][p]++
				}
			}
		}
	}
	counts := make([]int, 0, v.outSize())
	for _, d := range axis[0] {
		for _, h := range axis[1] {
			for _, w := range axis[2] {
				counts = append(counts, d*h*w)
			}
		}
	}
	return counts
}
