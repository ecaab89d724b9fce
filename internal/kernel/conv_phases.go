package kernel

import (
	"slices"
	"unsafe"
)

// A plane of a depthwise convolution is summed in one go. The padded input is
// cut into phases, one for each remainder of the positions by the stride: in
// these, what a tap reads for neighbouring outputs lies side by side, whatever
// the stride. With all phases and the output at the same line length, a tap
// reads a stretch as long as the whole output plane at a fixed offset, and the
// elements between the lines are computed along and left out at the end.

// phases is that geometry.
type phases struct {
	height, width int    // of one phase
	rows, cols    []int  // remainders that some tap has
	offsets       []int  // where in the phases each tap reads
	flat, scratch int    // elements computed, and held
	held          *[]int // the lists, borrowed: giveBack it
}

// maxPhases bounds the elements that phases hold, in multiples of those of input and
// output: far more would be mostly padding.
const maxPhases = 4

// phased reports whether the layer's planes are summed by phases: those of two
// axes, unless padding or dilation are out of proportion.
func (l *layer) phased() bool {
	if l.volume.in[0] != 1 || l.kernel[0] != 1 || l.volume.out[0] != 1 || l.pad[0] != 0 {
		return false
	}
	budget := maxPhases*(l.inSize+l.outSize) + 1<<12
	for a := 1; a < 3; a++ {
		if l.volume.out[a] > budget || l.kernel[a] > budget || l.dilation[a] > budget ||
			(l.kernel[a]-1)*l.dilation[a] > budget {
			return false
		}
	}
	h, w := l.phaseSize(1), l.phaseSize(2)
	return h <= budget && w <= budget && h*w <= budget &&
		h*w*min(l.stride[1], l.kernel[1])*min(l.stride[2], l.kernel[2]) <= budget
}

// phaseSize is how many positions of a phase along an axis are read.
func (l *layer) phaseSize(a int) int {
	return l.volume.out[a] + (l.kernel[a]-1)*l.dilation[a]/l.stride[a]
}

func (l *layer) phases() phases {
	high, wide := l.kernel[1], l.kernel[2]
	p := phases{height: l.phaseSize(1), width: l.phaseSize(2), held: borrow[int](high + wide + high*wide)}
	lists := *p.held
	p.rows, p.cols, p.offsets = lists[:0:high], lists[high:high:high+wide], lists[high+wide:high+wide]
	p.rows = l.remainders(1, p.rows)
	p.cols = l.remainders(2, p.cols)
	for t := range high {
		row := slices.Index(p.rows, l.remainder(1, t))
		for u := range wide {
			phase := row*len(p.cols) + slices.Index(p.cols, l.remainder(2, u))
			p.offsets = append(p.offsets, (phase*p.height+l.passed(1, t))*p.width+l.passed(2, u))
		}
	}
	p.flat = roundUp(l.volume.out[1]*p.width, tapLanes)
	p.scratch = len(p.rows)*len(p.cols)*p.height*p.width + p.flat - l.volume.out[1]*p.width + p.width
	return p
}

// passed is how many strides a tap lies behind the first along an axis, and remainder
// what is left.
func (l *layer) passed(a, tap int) int    { return tap * l.dilation[a] / l.stride[a] }
func (l *layer) remainder(a, tap int) int { return tap * l.dilation[a] % l.stride[a] }

// remainders appends those that some tap has.
func (l *layer) remainders(a int, list []int) []int {
	for t := range l.kernel[a] {
		if r := l.remainder(a, t); !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	return list
}

// within returns the positions [lo, hi) of n whose element, step apart from offset on,
// lies in [0, size).
func within(n, offset, step, size int) (lo, hi int) {
	lo = min(max(0, ceilDiv(-offset, step)), n)
	return lo, max(lo, min(n, floorDiv(size-1-offset, step)+1))
}

// lay writes the phases of planes, one after the other, but for the padding, which is
// zero already.
func lay[T Float](l *layer, p *phases, x, dst []T) {
	width := l.volume.in[2]
	for ; len(x) > 0; x = x[l.inSize:] {
		for _, r := range p.rows {
			for _, c := range p.cols {
				top, left := r-l.pad[1], c-l.pad[2]
				i0, i1 := within(p.height, top, l.stride[1], l.volume.in[1])
				j0, j1 := within(p.width, left, l.stride[2], width)
				phase := dst[:p.height*p.width]
				dst = dst[p.height*p.width:]
				if i0 == i1 || j0 == j1 {
					continue
				}
				src := x[(i0*l.stride[1]+top)*width+j0*l.stride[2]+left:]
				copyLines(i1-i0, j1-j0, src, l.stride[1]*width, l.stride[2], phase[i0*p.width+j0:], p.width)
			}
		}
	}
}

// copyLines copies lines of n elements: element j of line i is src[i·srcLine + j·step],
// and goes to dst[i·dstLine + j]. There is at least one.
func copyLines[T Float](lines, n int, src []T, srcLine, step int, dst []T, dstLine int) {
	if step == 1 && vectorCode {
		_, _ = src[(lines-1)*srcLine+n-1], dst[(lines-1)*dstLine+n-1]
		size := int(unsafe.Sizeof(src[0]))
		copyRows(lines, unsafe.Pointer(&src[0]), srcLine*size, unsafe.Pointer(&dst[0]), dstLine*size, n*size)
		return
	}
	for i := range lines {
		copyStrided(dst[i*dstLine:][:n], src[i*srcLine:], step)
	}
}

// byPhases computes a convolution of one input channel a group.
func (f *forward[T]) byPhases() {
	p := f.phases()
	defer giveBack(p.held)
	Parallel(f.n*f.groups, 1, func(lo, hi int) {
		in, sums := borrow[T](p.scratch), borrow[T](p.flat)
		defer giveBack(in)
		defer giveBack(sums)
		clear(*in)
		for image := lo; image < hi; image++ {
			lay(f.layer, &p, f.source(image), *in)
			for o := range f.out {
				w := f.weights(image)[o*f.rows : (o+1)*f.rows]
				var bias T
				if f.bias != nil {
					bias = f.bias[image%f.groups*f.out+o]
				}
				sumTaps(*sums, *in, p.offsets, w, bias)
				at := (image*f.out + o) * f.outSize
				y := f.y[at : at+f.outSize]
				copyLines(f.volume.out[1], f.volume.out[2], *sums, p.width, 1, y, f.volume.out[2])
				f.then.do(at, y)
			}
		}
	})
}

// class is the positions along an axis of the input that the same taps reach: stride
// apart, n of them from first on. Position first + i·stride is read from output
// position at + i − passed(tap), by those taps that have the remainder.
type class struct {
	first, n, at, remainder int
	taps                    int // their number
}

// each calls body for the taps of a class along an axis.
func (l *layer) each(a int, c class, body func(tap, passed int)) {
	for t := range l.kernel[a] {
		if l.remainder(a, t) == c.remainder {
			body(t, l.passed(a, t))
		}
	}
}

// class returns that of a remainder.
func (l *layer) class(a, remainder int) class {
	c := class{remainder: remainder, at: max(0, ceilDiv(l.pad[a]-remainder, l.stride[a]))}
	c.first = c.at*l.stride[a] + remainder - l.pad[a]
	c.n = max(0, ceilDiv(l.volume.in[a]-c.first, l.stride[a]))
	l.each(a, c, func(int, int) { c.taps++ })
	return c
}

// around returns how the output has to be framed along an axis: zeros in front, and the
// length of all.
func (l *layer) around(a int) (lead, length int) {
	for r := range l.stride[a] {
		if c := l.class(a, r); c.n > 0 {
			l.each(a, c, func(_, passed int) { lead = max(lead, passed-c.at) })
		}
	}
	length = lead + l.volume.out[a]
	for r := range l.stride[a] {
		if c := l.class(a, r); c.n > 0 {
			l.each(a, c, func(_, passed int) { length = max(length, lead+c.at+c.n-passed) })
		}
	}
	return lead, length
}

// inputFrame is how the gradient at the output is laid out for that at the input: each
// plane of an image with zeros around it.
type inputFrame struct {
	lead          [2]int // lines and elements of zeros in front
	height, width int
	parts         []inputPart
	untouched     bool // there are positions that no tap reaches
}

// inputPart is the positions of a class along each axis.
type inputPart struct{ down, across class }

// inputFrame returns that of a layer, with the parts in a list that may have room.
func (l *layer) inputFrame(parts []inputPart) inputFrame {
	f := inputFrame{parts: slices.Grow(parts[:0], l.stride[1]*l.stride[2])}
	f.lead[0], f.height = l.around(1)
	f.lead[1], f.width = l.around(2)
	for r := range l.stride[1] {
		for s := range l.stride[2] {
			d, a := l.class(1, r), l.class(2, s)
			switch {
			case d.n*a.n == 0:
			case d.taps*a.taps == 0:
				f.untouched = true
			default:
				f.parts = append(f.parts, inputPart{d, a})
			}
		}
	}
	return f
}

// plane is the elements of one.
func (f *inputFrame) plane() int { return f.height * f.width }

// offsets appends where in the planes of out channels the taps of a part read, for its
// first position.
func (f *inputFrame) offsets(l *layer, out int, p *inputPart, list []int) []int {
	for o := range out {
		l.each(1, p.down, func(_, down int) {
			at := o*f.plane() + (f.lead[0]+p.down.at-down)*f.width + f.lead[1] + p.across.at
			l.each(2, p.across, func(_, across int) { list = append(list, at-across) })
		})
	}
	return list
}

// weights appends the elements of a kernel that the taps of a part have.
func weights[T Float](l *layer, p *inputPart, kernel, list []T) []T {
	l.each(1, p.down, func(t, _ int) {
		l.each(2, p.across, func(u, _ int) { list = append(list, kernel[t*l.kernel[2]+u]) })
	})
	return list
}

// layOutput writes planes of dy into their frames, but for the zeros, which are there already.
func layOutput[T Float](l *layer, f *inputFrame, dy, frames []T) {
	for ; len(dy) > 0; dy = dy[l.outSize:] {
		to := frames[f.lead[0]*f.width+f.lead[1]:]
		copyLines(l.volume.out[1], l.volume.out[2], dy, l.volume.out[2], 1, to, f.width)
		frames = frames[f.plane():]
	}
}

// interleave writes the positions of a part of one plane, whose lines are pitch apart in
// src, to where they belong in dx.
func interleave[T Float](l *layer, p *inputPart, src []T, pitch int, dx []T) {
	width, stride := l.volume.in[2], l.stride[2]
	dx = dx[p.down.first*width+p.across.first:]
	if stride == 1 {
		copyLines(p.down.n, p.across.n, src, pitch, 1, dx, l.stride[1]*width)
		return
	}
	for i := range p.down.n {
		dst := dx[i*l.stride[1]*width:]
		for j, v := range src[i*pitch:][:p.across.n] {
			dst[j*stride] = v
		}
	}
}

// mostStride bounds the positions that strides pass over: every remainder is computed by
// itself.
const mostStride = 16

// inputByPhases computes dx, plane by plane, of a layer of one input channel a group,
// and reports whether it is one for this.
func inputByPhases[T Float](l *layer, n int, dy, w, dx []T) bool {
	if !l.phased() || l.stride[1]*l.stride[2] > mostStride || l.outSize == 0 || l.inSize == 0 {
		return false
	}
	f := l.inputFrame(nil)
	if f.plane() > maxPhases*(l.inSize+l.outSize)+1<<12 {
		return false
	}
	offsets, flat := borrow[int](l.out*l.rows), 0
	defer giveBack(offsets)
	list := (*offsets)[:0]
	for i := range f.parts {
		list = f.offsets(l, l.out, &f.parts[i], list)
		flat = max(flat, roundUp(f.parts[i].down.n*f.width, tapLanes))
	}
	Parallel(n*l.groups, 1, func(lo, hi int) {
		frames, sums, factors := borrow[T](l.out*f.plane()+flat), borrow[T](flat), borrow[T](l.out*l.rows)
		defer giveBack(frames)
		defer giveBack(sums)
		defer giveBack(factors)
		clear(*frames)
		for i := lo; i < hi; i++ {
			layOutput(l, &f, dy[i*l.out*l.outSize:(i+1)*l.out*l.outSize], *frames)
			ws, dxs, rest := w[i%l.groups*l.out*l.rows:], dx[i*l.inSize:(i+1)*l.inSize], list
			if f.untouched {
				clear(dxs)
			}
			for j := range f.parts {
				p, taps := &f.parts[j], (*factors)[:0]
				for o := range l.out {
					taps = weights(l, p, ws[o*l.rows:], taps)
				}
				sumTaps((*sums)[:roundUp(p.down.n*f.width, tapLanes)], *frames, rest[:len(taps)], taps, 0)
				interleave(l, p, *sums, f.width, dxs)
				rest = rest[len(taps):]
			}
		}
	})
	return true
}
