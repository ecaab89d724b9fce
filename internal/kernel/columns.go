package kernel

import "unsafe"

// gather writes the columns of output positions [p0, p1) (flat, row-major): row
// (c, t) of col holds what tap t of channel c of x reads, 0 in the padding; rows
// begin ld apart. x is channels×input.
func gather[T Float](v *volume, channels int, x, col []T, ld, p0, p1 int) {
	inSize := v.inSize()
	if v.pointwise() {
		for c := range channels {
			copy(col[c*ld:c*ld+p1-p0], x[c*inSize+p0:])
		}
		return
	}
	if vectorCode && v.framed(p0, p1) {
		gatherFramed(v, channels, x, col, ld, p0, p1)
		return
	}
	if v.shifted() {
		v.rows(channels, func(c, row, _, t1, t2 int) {
			gatherShifted(v, x[c*inSize:(c+1)*inSize], col[row*ld:row*ld+p1-p0], p0, t1, t2)
		})
		return
	}
	v.rows(channels, func(c, row, t0, t1, t2 int) {
		plane, line := x[c*inSize:(c+1)*inSize], col[row*ld:row*ld+p1-p0]
		lo, hi := v.reach(2, t2)
		d, h, from := p0/(v.out[1]*v.out[2]), p0/v.out[2]%v.out[1], p0%v.out[2]
		for len(line) > 0 {
			to := min(v.out[2], from+len(line))
			gatherLine(v, plane, line[:to-from], d, h, from, lo, hi, t0, t1, t2)
			line, from = line[to-from:], 0
			if h++; h == v.out[1] {
				h, d = 0, d+1
			}
		}
	})
}

// framed reports whether [p0, p1) are whole lines of two axes whose input, with
// its padding, is at most half as large as the columns.
func (v *volume) framed(p0, p1 int) bool {
	width := v.out[2]
	if v.in[0] != 1 || v.kernel[0] != 1 || v.out[0] != 1 || v.pad[0] != 0 || p0%width != 0 || p1%width != 0 {
		return false
	}
	most := v.taps() * (p1 - p0) / 2
	lines, length := v.frame(p0, p1)
	return lines <= most && length <= most && lines*length <= most
}

// frame returns how many input lines the output lines [p0, p1) read, and how
// many elements of them, padding included.
func (v *volume) frame(p0, p1 int) (lines, length int) {
	lines = ((p1-p0)/v.out[2]-1)*v.stride[1] + (v.kernel[1]-1)*v.dilation[1] + 1
	length = (v.out[2]-1)*v.stride[2] + (v.kernel[2]-1)*v.dilation[2] + 1
	return lines, length
}

// gatherFramed is gather from a copy of the input lines with their padding around
// them: a tap then reads at the same offset for all positions.
func gatherFramed[T Float](v *volume, channels int, x, col []T, ld, p0, p1 int) {
	width := v.out[2]
	lines, length := v.frame(p0, p1)
	frame := borrow[T](channels * lines * length)
	defer giveBack(frame)
	first, left := v.source(1, p0/width, 0), min(v.pad[2], length)
	right := min(length, left+v.in[2])
	for c := range channels {
		for i := range lines {
			line, s := (*frame)[(c*lines+i)*length:][:length], first+i
			if s < 0 || s >= v.in[1] {
				clear(line)
				continue
			}
			clear(line[:left])
			copy(line[left:right], x[(c*v.in[1]+s)*v.in[2]:])
			clear(line[right:])
		}
	}
	size := int(unsafe.Sizeof(x[0]))
	v.rows(channels, func(c, row, _, t1, t2 int) {
		src := (*frame)[(c*lines+t1*v.dilation[1])*length+t2*v.dilation[2]:]
		dst := col[row*ld : row*ld+p1-p0]
		if v.stride[2] == 1 {
			copyRows(
				len(dst)/width, unsafe.Pointer(&src[0]), v.stride[1]*length*size,
				unsafe.Pointer(&dst[0]), width*size, width*size,
			)
			return
		}
		for h := 0; len(dst) > 0; h++ {
			copyStrided(dst[:width], src[h*v.stride[1]*length:], v.stride[2])
			dst = dst[width:]
		}
	})
}

// shifted reports whether lines are as long in the output as in the input and next
// to each other, so that a tap reads the whole plane, shifted.
func (v *volume) shifted() bool {
	return v.kernel[0] == 1 && v.pad[0] == 0 && v.in[0] == 1 && v.out[0] == 1 &&
		v.stride[1] == 1 && v.stride[2] == 1 && v.in[2] == v.out[2]
}

// gatherShifted writes what the positions from p0 on read at a tap: one copy,
// and then zeros where a line's end would have read from the next line.
func gatherShifted[T Float](v *volume, plane, line []T, p0, t1, t2 int) {
	from, to, shift := v.shift(len(line), p0, t1, t2)
	clear(line[:from])
	clear(line[to:])
	if first, last := max(from, -shift), min(to, len(plane)-shift); first < last {
		copy(line[first:last], plane[first+shift:])
	}
	clearEnds(v, line, p0, from, to, t2)
}

// shift returns what of a line of n positions, from p0 on, a tap reads in the lines of a
// plane: position i in [from, to) reads element i + shift.
func (v *volume) shift(n, p0, t1, t2 int) (from, to, shift int) {
	width := v.out[2]
	top, bottom := v.reach(1, t1)
	from = min(max(top*width-p0, 0), n)
	to = max(from, min(bottom*width-p0, n))
	return from, to, p0 + v.source(1, 0, t1)*width + v.source(2, 0, t2)
}

// clearEnds sets to zero what of [from, to) a tap would read from the next line or the
// one before.
func clearEnds[T Float](v *volume, line []T, p0, from, to, t2 int) {
	width := v.out[2]
	lo, hi := v.reach(2, t2)
	if lo == 0 && hi == width {
		return
	}
	for start := from - (p0+from)%width; start < to; start += width {
		clear(line[max(start, from):max(min(start+lo, to), from)])
		clear(line[min(max(start+hi, from), to):min(start+width, to)])
	}
}

// gatherLine writes what output positions from, from+1, … of line (d, h) read
// at a tap, of which those in [lo, hi) lie inside the input.
func gatherLine[T Float](v *volume, plane, part []T, d, h, from, lo, hi, t0, t1, t2 int) {
	sd, sh := v.source(0, d, t0), v.source(1, h, t1)
	lo, hi = max(lo-from, 0), min(hi-from, len(part))
	if sd < 0 || sd >= v.in[0] || sh < 0 || sh >= v.in[1] || lo >= hi {
		clear(part)
		return
	}
	clear(part[:lo])
	clear(part[hi:])
	src := plane[(sd*v.in[1]+sh)*v.in[2]+v.source(2, from+lo, t2):]
	copyStrided(part[lo:hi], src, v.stride[2])
}

// copyStrided computes dst[i] = src[i·stride].
func copyStrided[T Float](dst, src []T, stride int) {
	switch stride {
	case 1:
		copy(dst, src)
	case 2:
		everySecond(dst, src)
	default:
		for i := range dst {
			dst[i] = src[i*stride]
		}
	}
}

// copyIndices is copyStrided for positions.
func copyIndices(dst, src []int32, stride int) {
	switch {
	case stride == 1:
		copy(dst, src)
	case stride == 2 && vectorCode:
		// Two positions are as wide as two float32, and moved as they are.
		src = src[:2*len(dst)-1]
		severysecond(len(dst), (*float32)(unsafe.Pointer(&src[0])), (*float32)(unsafe.Pointer(&dst[0])))
	default:
		for i := range dst {
			dst[i] = src[i*stride]
		}
	}
}

// scatter is the transpose of gather: it adds col into x. It overwrites col.
func scatter[T Float](v *volume, channels int, col, x []T, p0, p1 int) {
	width := p1 - p0
	if v.shifted() {
		v.rows(channels, func(c, row, _, t1, t2 int) {
			scatterShifted(v, col[row*width:(row+1)*width], x[c*v.inSize():(c+1)*v.inSize()], p0, t1, t2)
		})
		return
	}
	v.rows(channels, func(c, row, t0, t1, t2 int) {
		plane, line := x[c*v.inSize():(c+1)*v.inSize()], col[row*width:(row+1)*width]
		lo, hi := v.reach(2, t2)
		v.lines(p0, p1, func(d, h, from, to, at int) {
			sd, sh := v.source(0, d, t0), v.source(1, h, t1)
			lo, hi := max(lo, from), min(hi, to)
			if sd < 0 || sd >= v.in[0] || sh < 0 || sh >= v.in[1] || lo >= hi {
				return
			}
			dst := plane[(sd*v.in[1]+sh)*v.in[2]:]
			at0, stride := v.source(2, lo, t2), v.stride[2]
			part := line[at+lo-from : at+hi-from]
			if stride == 1 {
				add(dst[at0:at0+len(part)], part)
				return
			}
			for i, g := range part {
				dst[at0+i*stride] += g
			}
		})
	})
}

// scatterShifted is the transpose of gatherShifted: elements that would be added to
// the next line become zero, and then all is one sum.
func scatterShifted[T Float](v *volume, line, plane []T, p0, t1, t2 int) {
	from, to, shift := v.shift(len(line), p0, t1, t2)
	clearEnds(v, line, p0, from, to, t2)
	if first, last := max(from, -shift), min(to, len(plane)-shift); first < last {
		add(plane[first+shift:last+shift], line[first:last])
	}
}

// rows calls body for each row of the columns of so many channels.
func (v *volume) rows(channels int, body func(c, row, t0, t1, t2 int)) {
	row := 0
	for c := range channels {
		for t0 := range v.kernel[0] {
			for t1 := range v.kernel[1] {
				for t2 := range v.kernel[2] {
					body(c, row, t0, t1, t2)
					row++
				}
			}
		}
	}
}

// lines cuts the output positions [p0, p1) into lines along the last axis:
// depth d, height h, width [from, to), the first of them at index at.
func (v *volume) lines(p0, p1 int, body func(d, h, from, to, at int)) {
	for p := p0; p < p1; {
		line, from := p/v.out[2], p%v.out[2]
		to := min(v.out[2], from+p1-p)
		body(line/v.out[1], line%v.out[1], from, to, p-p0)
		p += to - from
	}
}

// add adds src to dst, elementwise.
func add[T Float](dst, src []T) {
	dst = dst[:len(src)]
	Add(dst, dst, src)
}
