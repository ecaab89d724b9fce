package kernel

import (
	"errors"
	"fmt"
)

// Conv is the geometry of a convolution in the sense of ONNX (a correlation:
// the kernel is not flipped), over 1 to 3 spatial axes. Arrays are
// x: N×InChannels×In, w: OutChannels×(InChannels/Groups)×Kernel, bias:
// OutChannels, y: N×OutChannels×Out. Of a padding's end only Out matters.
//
// Convolutions become matrix products on columns gathered from the input, a
// block of output positions at a time so that scratch memory stays below
// columnBudget elements a thread; pointwise ones need no columns, and those of
// one input channel a group are summed directly. The gradients of those whose
// output gradient is mostly zero skip the zeros.
type Conv[T Float] struct {
	Groups, InChannels, OutChannels int
	Window
}

// columnBudget bounds the elements of gathered columns, except in layers where a
// single output position has more. 1 MiB of float32 leaves room in a second-level
// cache for the rest.
const columnBudget = 1 << 18

// Validate reports what is wrong with the window, the groups and the channels.
func (c Conv[T]) Validate() error {
	var errs []error
	if c.Groups < 1 || c.InChannels < 1 || c.OutChannels < 1 {
		errs = append(errs, fmt.Errorf("%d groups of %d to %d channels", c.Groups, c.InChannels, c.OutChannels))
	} else if c.InChannels%c.Groups != 0 || c.OutChannels%c.Groups != 0 {
		errs = append(errs, fmt.Errorf(
			"%d groups do not divide %d input and %d output channels", c.Groups, c.InChannels, c.OutChannels,
		))
	}
	return errors.Join(append(errs, c.Window.Validate())...)
}

// layer is a Conv worked out.
type layer struct {
	volume
	groups, in, out int // in and out: channels of one group
	inSize, outSize int // positions of one channel
	rows            int // of the columns of one group: in·taps
}

func (c Conv[T]) layer() layer {
	if err := c.Validate(); err != nil {
		panic("kernel: " + err.Error())
	}
	v := c.volume()
	in, out := c.InChannels/c.Groups, c.OutChannels/c.Groups
	return layer{v, c.Groups, in, out, v.inSize(), v.outSize(), in * v.taps()}
}

// block returns how many output positions have their columns gathered at once.
func (l *layer) block() int {
	width := max(1, columnBudget/max(l.rows, 1))
	if width < l.outSize && width > l.volume.out[2] {
		width -= width % l.volume.out[2] // whole lines
	}
	return min(width, max(l.outSize, 1))
}

// direct reports whether the layer is summed tap by tap: with one input channel a
// group, columns would be as thin as the kernel.
func (l *layer) direct() bool { return l.in == 1 && l.groups > 1 }

// BackwardInput computes dx, the gradient at the input, from dy, that at the
// output of n images. dx is overwritten.
func (c Conv[T]) BackwardInput(n int, dy, w, dx []T) {
	l := c.layer()
	if l.direct() {
		if !inputByPhases(&l, n, dy, w, dx) {
			backwardInputDirect(&l, n, dy, w, dx)
		}
		return
	}
	if MostlyZero(dy) {
		if s, ok := l.stretches(); ok {
			defer s.giveBack()
			backwardInputSparse(s, n, dy, w, dx)
			return
		}
	}
	if inputOfImages(&l, n, dy, w, dx) {
		return
	}
	Parallel(n*l.groups, 1, func(lo, hi int) {
		var col *[]T
		if !l.pointwise() {
			col = borrow[T](l.rows * l.block())
			defer giveBack(col)
		}
		for image := lo; image < hi; image++ {
			group := image % l.groups
			dxs := dx[image*l.in*l.inSize : (image+1)*l.in*l.inSize]
			dys := dy[image*l.out*l.outSize : (image+1)*l.out*l.outSize]
			ws := w[group*l.out*l.rows : (group+1)*l.out*l.rows]
			if col == nil {
				gemmSerial(true, false, l.rows, l.outSize, l.out, 1, ws, l.rows, dys, l.outSize, 0, dxs, l.inSize)
				continue
			}
			clear(dxs)
			for p0 := 0; p0 < l.outSize; p0 += l.block() {
				p1 := min(p0+l.block(), l.outSize)
				gemmSerial(true, false, l.rows, p1-p0, l.out, 1, ws, l.rows, dys[p0:], l.outSize, 0, *col, p1-p0)
				scatter(&l.volume, l.in, *col, dxs, p0, p1)
			}
		}
	})
}

// BackwardWeights computes dw, the gradient at the kernel, and, unless db is
// nil, db, that at the bias, summed over n images. Both are overwritten.
func (c Conv[T]) BackwardWeights(n int, x, dy, dw, db []T) {
	l := c.layer()
	if db != nil {
		sumPlanes(n, c.OutChannels, l.outSize, dy, db)
	}
	if l.direct() {
		if !weightsByPhases(&l, n, x, dy, dw) {
			backwardWeightsDirect(&l, n, x, dy, dw)
		}
		return
	}
	if MostlyZero(dy) {
		if s, ok := l.stretches(); ok {
			defer s.giveBack()
			backwardWeightsSparse(s, n, x, dy, dw)
			return
		}
	}
	if weightsOfImages(&l, n, x, dy, dw) {
		return
	}
	// Each share of the images has a sum of its own; the shares are fixed by n
	// and Threads(), and added in order.
	shares := max(1, min(Threads(), n))
	sums := borrow[T]((shares - 1) * len(dw))
	defer giveBack(sums)
	Parallel(shares*l.groups, 1, func(lo, hi int) {
		var col *[]T
		if !l.pointwise() {
			col = borrow[T](l.rows * l.block())
			defer giveBack(col)
		}
		for i := lo; i < hi; i++ {
			share, group := i/l.groups, i%l.groups
			sum := dw
			if share > 0 {
				sum = (*sums)[(share-1)*len(dw) : share*len(dw)]
			}
			sum = sum[group*l.out*l.rows : (group+1)*l.out*l.rows]
			clear(sum)
			for image := n * share / shares; image < n*(share+1)/shares; image++ {
				at := image*l.groups + group
				xs := x[at*l.in*l.inSize : (at+1)*l.in*l.inSize]
				dys := dy[at*l.out*l.outSize : (at+1)*l.out*l.outSize]
				if col == nil {
					gemmSerial(false, true, l.out, l.rows, l.outSize, 1, dys, l.outSize, xs, l.inSize, 1, sum, l.rows)
					continue
				}
				for p0 := 0; p0 < l.outSize; p0 += l.block() {
					p1 := min(p0+l.block(), l.outSize)
					gather(&l.volume, l.in, xs, *col, p1-p0, p0, p1)
					gemmSerial(false, true, l.out, l.rows, p1-p0, 1, dys[p0:], l.outSize, *col, p1-p0, 1, sum, l.rows)
				}
			}
		}
	})
	for share := 1; share < shares; share++ {
		add(dw, (*sums)[(share-1)*len(dw):share*len(dw)])
	}
}

func fill[T Float](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}

// sumPlanes sums the positions of each channel over n images of x,
// n×channels×size, in float64.
func sumPlanes[T Float](n, channels, size int, x, sums []T) {
	Parallel(channels, 1+1<<14/max(1, n*size), func(lo, hi int) {
		for c := lo; c < hi; c++ {
			var total strands
			for image := range n {
				addValues(&total, x[(image*channels+c)*size:][:size])
			}
			sums[c] = T(total.sum())
		}
	})
}

// sum adds v up in four strands, which a processor can work on side by side.
func sum[T Float](v []T) T {
	var a, b, c, d T
	for ; len(v) >= 4; v = v[4:] {
		a += v[0]
		b += v[1]
		c += v[2]
		d += v[3]
	}
	for _, x := range v {
		a += x
	}
	return (a + b) + (c + d)
}
