package kernel

import (
	"math"
	"unsafe"
)

// Convolutions over arrays N×H×W×C, whose last axis is the channels. An output position
// then reads, for each tap, channels that lie side by side, so a product with packed
// weights reads the input where it lies, and no columns are gathered (Dukhan, "The
// Indirect Convolution Algorithm", arXiv:1907.02129).

// nhwcCode is an instruction set's code for such convolutions.
type nhwcCode struct {
	rows, lanes int // positions of a tile; channels of a vector, of which a tile has two
	tile        func(*nhwcCall)
	depthwise   func(*depthwiseCall)
}

// cols is the channels of a tile.
func (c *nhwcCode) cols() int { return 2 * c.lanes }

// mostNHWCRows bounds the positions of a tile.
const mostNHWCRows = 12

// PackedConv is a convolution of two axes in float32 with its weights packed for
// arrays N×H×W×C. PackConv makes one.
type PackedConv struct {
	code            *nhwcCode
	groups, in, out int // channels of all groups
	kernel          [2]int
	depthwise       bool
	panels          []nhwcPanel
	weights, bias   []float32
	zeros           []float32 // the channels of a position in the padding
}

// nhwcPanel is some output channels, [first, first+cols), with the input channels
// [from, from+depth) that they are sums of.
type nhwcPanel struct {
	first, cols, vectors int
	from, depth          int
	weights              int // where its weights begin
}

// CanPackConv reports whether this processor has the code for PackedConv.
func CanPackConv() bool { return nhwcHere != nil }

// PackConv packs the weights w, out×(in/groups)×height×width, of a convolution of two
// axes, and its bias, of out elements or nil. Unless scale is nil, the weights of each output
// channel are multiplied by its number there. Groups of few channels are computed together,
// with zeros for the weights between them: an infinity or NaN in one makes a NaN in its neighbours.
func PackConv(groups, in, out, height, width int, w []float32, scale []float64, bias []float32) *PackedConv {
	return packConv(nhwcHere, groups, in, out, height, width, w, scale, bias)
}

func packConv(
	code *nhwcCode, groups, in, out, height, width int, w []float32, scale []float64, bias []float32,
) *PackedConv {
	p := &PackedConv{
		code: code, groups: groups, in: in, out: out, kernel: [2]int{height, width},
		depthwise: groups == in && in == out && groups > 1,
	}
	p.bias = make([]float32, roundUp(out, code.cols())+code.cols())
	copy(p.bias, bias)
	taps := height * width
	if p.depthwise {
		step := roundUp(out, 16)
		p.weights = make([]float32, taps*step)
		for i, v := range w[:out*taps] {
			p.weights[i%taps*step+i/taps] = scaled(v, scale, i/taps)
		}
		return p
	}
	p.zeros = make([]float32, in)
	each, of := in/groups, out/groups
	wide := code.cols()
	if of <= code.lanes && groups > 1 {
		wide = code.lanes
	}
	size := 0
	for first := 0; first < out; first += wide {
		panel := nhwcPanel{first: first, cols: min(wide, out-first), weights: size}
		panel.vectors = ceilDiv(panel.cols, code.lanes)
		panel.from = first / of * each
		panel.depth = ((first+panel.cols-1)/of+1)*each - panel.from
		p.panels = append(p.panels, panel)
		size += taps * panel.depth * code.lanes * panel.vectors
	}
	p.weights = make([]float32, size)
	Parallel(len(p.panels), 1, func(lo, hi int) {
		for _, panel := range p.panels[lo:hi] {
			p.pack(panel, w, scale, taps, each, of)
		}
	})
	return p
}

// pack writes the weights of a panel, taps×depth×columns.
func (p *PackedConv) pack(panel nhwcPanel, w []float32, scale []float64, taps, each, of int) {
	cols := p.code.lanes * panel.vectors
	dst := p.weights[panel.weights:][:taps*panel.depth*cols]
	for o := panel.first; o < panel.first+panel.cols; o++ {
		group := o / of
		for c := range each {
			at := (group*each+c-panel.from)*cols + o - panel.first
			for t, v := range w[(o*each+c)*taps:][:taps] {
				dst[t*panel.depth*cols+at] = scaled(v, scale, o)
			}
		}
	}
}

// scaled returns v times the number of output channel o, if there is one.
func scaled(v float32, scale []float64, o int) float32 {
	if scale == nil {
		return v
	}
	return float32(float64(v) * scale[o])
}

// Finish is what is done with the elements of a result while they are in registers:
// Add, unless nil, which is laid out as the result, is added; then they are clipped to
// [Lo, Hi], as by Clip.
type Finish struct {
	Add    []float32
	Lo, Hi float32
}

// NoFinish leaves a result as it is.
var NoFinish = Finish{Lo: float32(math.Inf(-1)), Hi: float32(math.Inf(1))}

// Planar reports whether ForwardPlanes is for the convolution: a window of it has few
// channels, and those of neighbouring taps lie side by side.
func (p *PackedConv) Planar(w Window) bool {
	v := w.volume()
	lines, length := v.frame(0, v.outSize())
	most := 4 * (v.inSize() + v.outSize())
	return p.groups == 1 && p.in <= 4 && v.dilation[2] == 1 && lines <= most && length <= most && lines*length <= most
}

// Forward computes y, N×Out×channels, from n images x, N×In×channels, and then does
// finish. y must not overlap x; unless the convolution is depthwise, its elements may be those of
// finish.Add.
func (p *PackedConv) Forward(w Window, n int, x, y []float32, finish Finish) {
	if n*w.OutSize()*p.out == 0 {
		return
	}
	_, _ = x[:n*w.InSize()*p.in], y[:n*w.OutSize()*p.out]
	if p.depthwise {
		p.forwardDepthwise(w, n, x, y, finish)
		return
	}
	v := w.volume()
	f := nhwcForward{PackedConv: p, v: &v, x: x, y: y, finish: finish, taps: p.kernel[0] * p.kernel[1]}
	f.positions = n * w.OutSize()
	tiles := ceilDiv(f.positions, f.code.rows)
	chunks, groups := f.share(tiles)
	each := ceilDiv(tiles, chunks) * f.code.rows
	Parallel(chunks*groups, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			first, g := i/groups*each, i%groups
			last := min(first+each, f.positions)
			if first < last {
				f.chunk(first, last, p.panels[len(p.panels)*g/groups:len(p.panels)*(g+1)/groups])
			}
		}
	})
}

// ForwardPlanes is Forward from images whose channels are planes, N×channels×In.
func (p *PackedConv) ForwardPlanes(w Window, n int, x, y []float32, finish Finish) {
	if n*w.OutSize()*p.out == 0 {
		return
	}
	_, _ = x[:n*w.InSize()*p.in], y[:n*w.OutSize()*p.out]
	v := w.volume()
	// Enough lines that what their windows share is a small part of the copy.
	lines := max(1, min(v.out[1], ceilDiv(n*v.out[1], 4*Threads()), 1+frameBudget/max(1, p.in*v.stride[1]*v.in[2])))
	blocks := ceilDiv(v.out[1], lines)
	Parallel(n*blocks, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			first := i % blocks * lines
			p.framed(&v, i/blocks, first, min(first+lines, v.out[1]), x, y, finish)
		}
	})
}

// frameBudget bounds the elements of a frame, roughly.
const frameBudget = 1 << 15

// framed computes lines [first, last) of an image from a copy of the input lines that
// they read, with their padding around them and channel by channel side by side. The taps
// of a line are one, of all their channels.
func (p *PackedConv) framed(v *volume, image, first, last int, x, y []float32, finish Finish) {
	lines, length := v.frame(first*v.out[2], last*v.out[2])
	frame := borrow[float32](lines * length * p.in)
	defer giveBack(frame)
	top, left := v.source(1, first, 0), min(v.pad[2], length)
	right := min(length, left+v.in[2])
	for i := range lines {
		line, s := (*frame)[i*length*p.in:][:length*p.in], top+i
		if s < 0 || s >= v.in[1] || left == right {
			clear(line)
			continue
		}
		clear(line[:left*p.in])
		clear(line[right*p.in:])
		for c := range p.in {
			from := x[((image*p.in+c)*v.in[1]+s)*v.in[2]:][:right-left]
			to := line[left*p.in+c:]
			for j, e := range from {
				to[j*p.in] = e
			}
		}
	}
	f := nhwcForward{PackedConv: p, v: v, x: *frame, y: y, finish: finish, taps: p.kernel[0]}
	f.line = length
	f.first = (image*v.out[1] + first) * v.out[2]
	f.positions = (last - first) * v.out[2]
	f.chunk(0, f.positions, p.panels)
}

// nhwcForward is one call of Forward. With line other than 0 it is a part of one of
// ForwardPlanes: x is lines of so many positions, which hold all padding, and position 0
// is position first of y.
type nhwcForward struct {
	*PackedConv
	v         *volume
	x, y      []float32
	finish    Finish
	taps      int
	positions int
	line      int
	first     int
}

// share returns into how many chunks of tiles, and groups of panels, the work is cut. The
// input of a chunk is to stay in a second-level cache, and threads need several each.
func (f *nhwcForward) share(tiles int) (chunks, groups int) {
	const chunkBytes = 1 << 17
	// A tile reads no more of an image than there is; strides may be as large as an int32.
	step := min(f.v.stride[1], f.v.in[1]) * min(f.v.stride[2], f.v.in[2])
	chunks = ceilDiv(tiles, max(1, chunkBytes/max(1, 4*f.code.rows*f.in*step)))
	if Threads() == 1 {
		return chunks, 1
	}
	parts := 4 * Threads()
	if chunks >= parts {
		return min(tiles, roundUp(chunks, parts)), 1
	}
	if len(f.weights) < 1<<17 { // they are read again for every chunk
		return min(tiles, parts), 1
	}
	groups = min(len(f.panels), ceilDiv(parts, chunks))
	return min(tiles, ceilDiv(parts, groups)), groups
}

// chunk computes positions [first, last) of the channels of some panels.
func (f *nhwcForward) chunk(first, last int, panels []nhwcPanel) {
	rows := f.code.rows
	tiles := ceilDiv(last-first, rows)
	offsets := borrow[int](tiles * f.taps * rows)
	defer giveBack(offsets)
	x := f.x
	if len(x) == 0 { // images without elements: all is padding
		x = f.zeros
	}
	call := &nhwcCall{x: &x[0], taps: f.taps, ldy: 4 * f.out, lo: f.finish.Lo, hi: f.finish.Hi}
	if f.line != 0 {
		f.lineOffsets(*offsets)
	} else {
		f.offsets(*offsets, first, last, int(uintptr(unsafe.Pointer(&f.zeros[0]))-uintptr(unsafe.Pointer(call.x))))
	}
	for _, panel := range panels {
		call.depth = 4 * panel.depth
		if f.line != 0 {
			call.depth *= f.kernel[1]
		}
		call.x = &x[panel.from]
		call.weights, call.bias = &f.weights[panel.weights], &f.bias[panel.first]
		call.vectors, call.mask = panel.vectors, maskOf(panel.cols)
		for t := range tiles {
			p := first + t*rows
			call.rows = min(rows, last-p)
			call.offsets = &(*offsets)[t*f.taps*rows]
			at := (f.first+p)*f.out + panel.first
			call.y = &f.y[at]
			if f.finish.Add != nil {
				call.add = &f.finish.Add[at]
			}
			f.code.tile(call)
		}
	}
}

// offsets writes, for each tile of positions [first, last), by tap and position, where in
// x the tap reads, in bytes, and zeros where it reads padding. A tile's positions after
// the last are the last again.
func (f *nhwcForward) offsets(dst []int, first, last, zeros int) {
	v, size := f.v, 4*f.in
	if v.pointwise() {
		for i := range last - first {
			dst[i] = (first + i) * size
		}
		f.repeatLast(dst, last-first)
		return
	}
	all := dst
	var top, left, base [mostNHWCRows]int
	w, h, image := first%v.out[2], first/v.out[2]%v.out[1], first/v.outSize()
	for p := first; p < last; p += f.code.rows {
		rows := min(f.code.rows, last-p)
		for r := range rows {
			top[r], left[r] = v.source(1, h, 0), v.source(2, w, 0)
			base[r] = ((image*v.in[1]+top[r])*v.in[2] + left[r]) * size
			if w++; w == v.out[2] {
				w = 0
				if h++; h == v.out[1] {
					h, image = 0, image+1
				}
			}
		}
		for t1 := range v.kernel[1] {
			down := t1 * v.dilation[1]
			for t2 := range v.kernel[2] {
				right := t2 * v.dilation[2]
				at := (down*v.in[2] + right) * size
				for r := range rows {
					offset := zeros
					if uint(top[r]+down) < uint(v.in[1]) && uint(left[r]+right) < uint(v.in[2]) {
						offset = base[r] + at
					}
					dst[r] = offset
				}
				dst = dst[f.code.rows:]
			}
		}
	}
	f.repeatLast(all, last-first)
}

// lineOffsets is offsets where x is lines with their padding, and a tap a line of a window.
func (f *nhwcForward) lineOffsets(dst []int) {
	v, size, rows := f.v, 4*f.in, f.code.rows
	for p := range f.positions {
		at := p / rows * f.taps * rows
		base := p/v.out[2]*v.stride[1]*f.line + p%v.out[2]*v.stride[2]
		for t := range f.taps {
			dst[at+p%rows] = (base + t*v.dilation[1]*f.line) * size
			at += rows
		}
	}
	f.repeatLast(dst, f.positions)
}

// repeatLast fills the last tile of so many positions with the last of them.
func (f *nhwcForward) repeatLast(dst []int, positions int) {
	rows := f.code.rows
	used := positions % rows
	if used == 0 {
		return
	}
	for tap := dst[positions/rows*f.taps*rows:]; len(tap) >= rows; tap = tap[rows:] {
		for r := used; r < rows; r++ {
			tap[r] = tap[used-1]
		}
	}
}

// maskOf has a bit for each of so many columns of a tile.
func maskOf(cols int) uint32 { return uint32(1<<cols - 1) }
