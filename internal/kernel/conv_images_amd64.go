package kernel

import "unsafe"

// The forward pass and the gradient at the input of a convolution of many images, as
// products of column_product_amd64.go.

// mostFrame bounds the elements of frames that lie in cache together: 1 MiB of float32.
const mostFrame = 1 << 18

// framing is how the planes of an image are laid out for the taps of a layer.
type framing struct {
	phases
	whole bool // an image is read where it lies: one tap, at the position itself
	plane int  // elements
}

// framing returns it, and whether the layer is one for products of columns: over
// two axes, of images enough for all threads, with frames that stay in cache.
func (l *layer) framing(n int) (framing, bool) {
	switch {
	case n*l.groups < 2*Threads() || l.outSize == 0 || l.inSize == 0:
		return framing{}, false
	case l.pointwise():
		p := phases{height: l.volume.out[1], width: l.volume.out[2], offsets: []int{0}}
		return framing{phases: p, whole: true, plane: l.inSize}, true
	case !l.phased():
		return framing{}, false
	}
	f := framing{phases: l.phases()}
	f.plane = len(f.rows) * len(f.cols) * f.height * f.width
	return f, f.plane*l.in <= mostFrame
}

// reading is how the columns of a group are read.
func (f *framing) reading(l *layer) reading {
	r := reading{lines: l.volume.out[1], width: l.volume.out[2], pitch: f.width}
	if f.whole {
		r.lines = l.outSize / r.width // of any number of axes
	}
	for c := range l.in {
		for _, o := range f.offsets {
			r.offsets = append(r.offsets, c*f.plane+o)
		}
	}
	return r
}

// within returns the positions [lo, hi) of n whose element, step apart from offset on,
// lies in [0, size).
func within(n, offset, step, size int) (lo, hi int) {
	lo = min(max(0, ceilDiv(-offset, step)), n)
	return lo, max(lo, min(n, floorDiv(size-1-offset, step)+1))
}

// lay writes planes of x into their frames, but for the padding, which is zero already.
func lay[T Float](l *layer, f *framing, x, frames []T) {
	size, width := int(unsafe.Sizeof(x[0])), l.volume.in[2]
	for ; len(x) > 0; x = x[l.inSize:] {
		for _, r := range f.rows {
			for _, c := range f.cols {
				top, left := r-l.pad[1], c-l.pad[2]
				i0, i1 := within(f.height, top, l.stride[1], l.volume.in[1])
				j0, j1 := within(f.width, left, l.stride[2], width)
				dst := frames[:f.height*f.width]
				frames = frames[f.height*f.width:]
				if i0 == i1 || j0 == j1 {
					continue
				}
				from, to := (i0*l.stride[1]+top)*width+j0*l.stride[2]+left, i0*f.width+j0
				if l.stride[2] == 1 {
					copyRows(
						i1-i0, unsafe.Pointer(&x[from]), l.stride[1]*width*size,
						unsafe.Pointer(&dst[to]), f.width*size, (j1-j0)*size,
					)
					continue
				}
				for i := range i1 - i0 {
					copyStrided(dst[to+i*f.width:][:j1-j0], x[from+i*l.stride[1]*width:], l.stride[2])
				}
			}
		}
	}
}

// together is how many images are computed at once: enough to fill panels, as long as
// all threads have some, and their frames stay in cache.
func (l *layer) together(n, positions, frame int) int {
	return max(1, min(ceilDiv(512, positions), n*l.groups/(4*Threads()), mostFrame/max(1, frame)))
}

// byColumns computes images in sets.
func (f *forward[T]) byColumns(r *routines[T], fr framing) {
	size := packedSize(r, f.out, f.rows)
	packed := borrow[T](f.groups * size)
	defer giveBack(packed)
	products := make([]*columnProduct[T], f.groups)
	read := fr.reading(f.layer)
	for g := range products {
		var bias []T
		if f.bias != nil {
			bias = f.bias[g*f.out : (g+1)*f.out]
		}
		products[g] = newColumnProduct(r, read, f.out, f.weights(g), bias, (*packed)[g*size:(g+1)*size])
	}
	frame := f.in * fr.plane
	together := f.together(f.n, f.outSize, frame)
	Parallel(ceilDiv(f.n, together)*f.groups, 1, func(lo, hi int) {
		im := images[T]{step: f.groups * frame, cStep: f.groups * f.out * f.outSize, ld: f.outSize}
		if !fr.whole {
			frames := borrow[T](together * frame)
			defer giveBack(frames)
			clear(*frames)
			im.src, im.step = *frames, frame
		}
		for i := lo; i < hi; i++ {
			group, first := i%f.groups, i/f.groups*together
			im.count = min(together, f.n-first)
			if fr.whole {
				im.src = f.x[(first*f.groups+group)*frame:]
			} else {
				for k := range im.count {
					lay(f.layer, &fr, f.source((first+k)*f.groups+group), im.src[k*frame:(k+1)*frame])
				}
			}
			at := (first*f.groups + group) * f.out * f.outSize
			im.c = f.y[at:]
			if f.then == nil {
				products[group].multiply(im, nil)
				continue
			}
			products[group].multiply(im, func(from int, part []T) { f.then(at+from, part) })
		}
	})
}

// class is the positions along an axis of the input that the same taps reach: stride
// apart, n of them from first on. Position first + i·stride is read from output
// position at + i − back[t] at taps[t].
type class struct {
	first, n, at int
	taps, back   []int
}

// classes returns those of an axis, and how the output has to be framed for them: zeros
// in front, and the length of all.
func (l *layer) classes(a int) (list []class, lead, length int) {
	stride := l.stride[a]
	for r := range stride {
		c := class{at: max(0, ceilDiv(l.pad[a]-r, stride))}
		c.first = c.at*stride + r - l.pad[a]
		c.n = max(0, ceilDiv(l.volume.in[a]-c.first, stride))
		for t := range l.kernel[a] {
			if c.n > 0 && t*l.dilation[a]%stride == r {
				c.taps, c.back = append(c.taps, t), append(c.back, t*l.dilation[a]/stride)
				lead = max(lead, c.back[len(c.back)-1]-c.at)
			}
		}
		list = append(list, c)
	}
	length = lead + l.volume.out[a]
	for _, c := range list {
		if len(c.taps) > 0 {
			length = max(length, lead+c.at+c.n-c.back[0])
		}
	}
	return list, lead, length
}

// inputGradient is the gradient at the input of a layer of n images, as products of
// the weights, transposed, with columns of the gradient dy.
type inputGradient[T Float] struct {
	*layer
	n           int
	dy, w, dx   []T
	lead        [2]int
	height      int // of a frame
	width       int
	whole       bool // dy is read where it lies
	parts       []inputPart[T]
	interleaved bool // parts have a place of their own, and go from there to dx
	untouched   bool // there are positions that no tap reaches
}

// inputPart is what belongs to a class along each axis.
type inputPart[T Float] struct {
	down, across class
	product      *columnProduct[T] // of the group in work
}

// newInputGradient returns nil where the layer is not one for products of columns.
func newInputGradient[T Float](l *layer, n int, dy, w, dx []T) *inputGradient[T] {
	if _, ok := l.framing(n); !ok || l.stride[1]*l.stride[2] > 16 {
		return nil
	}
	g := &inputGradient[T]{layer: l, n: n, dy: dy, w: w, dx: dx, whole: l.pointwise()}
	if g.whole {
		at := class{n: l.inSize, taps: []int{0}, back: []int{0}}
		g.height, g.width = 1, l.inSize
		g.parts = []inputPart[T]{{down: class{n: 1, taps: []int{0}, back: []int{0}}, across: at}}
		return g
	}
	var down, across []class
	down, g.lead[0], g.height = l.classes(1)
	across, g.lead[1], g.width = l.classes(2)
	if g.height*g.width*l.out > mostFrame {
		return nil
	}
	for _, d := range down {
		for _, a := range across {
			switch {
			case d.n*a.n == 0:
			case len(d.taps)*len(a.taps) == 0:
				g.untouched = true
			default:
				g.parts = append(g.parts, inputPart[T]{down: d, across: a})
			}
		}
	}
	g.interleaved = l.stride[1]*l.stride[2] > 1
	return g
}

// reading is how the columns of a part are read.
func (g *inputGradient[T]) reading(p *inputPart[T]) reading {
	r := reading{lines: p.down.n, width: p.across.n, pitch: g.width}
	for o := range g.out {
		for _, t := range p.down.back {
			for _, u := range p.across.back {
				at := (g.lead[0]+p.down.at-t)*g.width + g.lead[1] + p.across.at - u
				r.offsets = append(r.offsets, o*g.height*g.width+at)
			}
		}
	}
	return r
}

// matrix writes the weights of a group as a part multiplies by them: a row for each
// input channel.
func (g *inputGradient[T]) matrix(group int, p *inputPart[T], a []T) {
	taps := g.taps()
	for c := range g.in {
		for o := range g.out {
			w := g.w[(group*g.out+o)*g.rows+c*taps:][:taps]
			for _, t := range p.down.taps {
				for _, u := range p.across.taps {
					a[0], a = w[t*g.kernel[2]+u], a[1:]
				}
			}
		}
	}
}

func (g *inputGradient[T]) compute(r *routines[T]) {
	for group := range g.groups {
		size := 0
		for _, p := range g.parts {
			size += packedSize(r, g.in, g.out*len(p.down.taps)*len(p.across.taps))
		}
		packed, matrix := borrow[T](size), borrow[T](g.out*g.rows)
		rest := *packed
		for i := range g.parts {
			p := &g.parts[i]
			read := g.reading(p)
			size := packedSize(r, g.in, len(read.offsets))
			g.matrix(group, p, *matrix)
			p.product = newColumnProduct(r, read, g.in, *matrix, nil, rest[:size])
			rest = rest[size:]
		}
		giveBack(matrix)
		g.group(group)
		giveBack(packed)
	}
}

// group computes what belongs to a group.
func (g *inputGradient[T]) group(group int) {
	plane := g.height * g.width
	frame := g.out * plane
	together := g.together(g.n, g.inSize, frame)
	Parallel(ceilDiv(g.n, together), 1, func(lo, hi int) {
		im := images[T]{step: g.groups * frame, cStep: g.groups * g.in * g.inSize, ld: g.inSize}
		if !g.whole {
			frames := borrow[T](together * frame)
			defer giveBack(frames)
			clear(*frames)
			im.src, im.step = *frames, frame
		}
		if g.interleaved {
			beside := borrow[T](together * g.in * g.inSize)
			defer giveBack(beside)
			im.c = *beside
		}
		for i := lo; i < hi; i++ {
			first := i*together*g.groups + group
			im.count = min(together, g.n-i*together)
			if g.whole {
				im.src = g.dy[first*frame:]
			}
			for k := range im.count {
				image := first + k*g.groups
				if !g.whole {
					g.lay(g.dy[image*g.out*g.outSize:(image+1)*g.out*g.outSize], im.src[k*frame:])
				}
				if g.untouched {
					clear(g.dx[image*g.in*g.inSize : (image+1)*g.in*g.inSize])
				}
			}
			for j := range g.parts {
				p := &g.parts[j]
				if !g.interleaved {
					im.c = g.dx[first*g.in*g.inSize:]
					p.product.multiply(im, nil)
					continue
				}
				im.ld = p.down.n * p.across.n
				im.cStep = g.in * im.ld
				p.product.multiply(im, nil)
				for k := range im.count {
					g.interleave(p, im.c[k*im.cStep:], g.dx[(first+k*g.groups)*g.in*g.inSize:])
				}
			}
		}
	})
}

// lay writes the planes of dy into their frames, but for the padding.
func (g *inputGradient[T]) lay(dy, frames []T) {
	size := int(unsafe.Sizeof(dy[0]))
	width := g.volume.out[2] * size
	for o := range g.out {
		dst := frames[o*g.height*g.width+g.lead[0]*g.width+g.lead[1]:]
		copyRows(
			g.volume.out[1], unsafe.Pointer(&dy[o*g.outSize]), width, unsafe.Pointer(&dst[0]), g.width*size, width,
		)
	}
}

// interleave writes a part of an image to where it belongs.
func (g *inputGradient[T]) interleave(p *inputPart[T], src, dx []T) {
	stride := g.stride[2]
	for c := range g.in {
		for i := range p.down.n {
			line := src[(c*p.down.n+i)*p.across.n:][:p.across.n]
			dst := dx[c*g.inSize+(p.down.first+i*g.stride[1])*g.volume.in[2]+p.across.first:]
			if stride == 1 {
				copy(dst, line)
				continue
			}
			for j, v := range line {
				dst[j*stride] = v
			}
		}
	}
}

// forwardImages, inputOfImages and weightsOfImages compute the three directions of a
// layer, and report whether it is one for products of columns.
func forwardImages[T Float](f *forward[T]) bool {
	r := columnsHere[T]()
	if r == nil || f.direct() {
		return false
	}
	fr, ok := f.framing(f.n)
	if ok {
		f.byColumns(r, fr)
	}
	return ok
}

func inputOfImages[T Float](l *layer, n int, dy, w, dx []T) bool {
	r := columnsHere[T]()
	if r == nil {
		return false
	}
	g := newInputGradient(l, n, dy, w, dx)
	if g == nil {
		return false
	}
	g.compute(r)
	return true
}

func weightsOfImages[T Float](l *layer, n int, x, dy, dw []T) bool {
	r := columnsHere[T]()
	if r == nil {
		return false
	}
	g := newWeightGradient(r, l, n, x, dy)
	if g == nil {
		return false
	}
	g.compute(dw)
	return true
}
