package kernel

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
// two axes, of images enough for all threads, with frames that stay in cache. If so,
// what it holds is to be given back.
func (l *layer) framing(n int) (framing, bool) {
	switch {
	case n*l.groups < 2*Threads() || l.outSize == 0 || l.inSize == 0:
		return framing{}, false
	case l.pointwise():
		p := phases{height: l.volume.out[1], width: l.volume.out[2], held: borrow[int](1)}
		p.offsets = *p.held
		p.offsets[0] = 0
		return framing{phases: p, whole: true, plane: l.inSize}, true
	case !l.phased():
		return framing{}, false
	}
	f := framing{phases: l.phases()}
	f.plane = len(f.rows) * len(f.cols) * f.height * f.width
	if f.plane*l.in > mostFrame {
		giveBack(f.held)
		return framing{}, false
	}
	return f, true
}

// reading is how the columns of a group are read, with offsets in a list that has room.
func (f *framing) reading(l *layer, list []int) reading {
	r := reading{lines: l.volume.out[1], width: l.volume.out[2], pitch: f.width, offsets: list[:0]}
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

// together is how many images are computed at once: enough to fill panels, as long as
// all threads have some, and their frames stay in cache.
func (l *layer) together(n, positions, frame int) int {
	return max(1, min(ceilDiv(512, positions), n*l.groups/(4*Threads()), mostFrame/max(1, frame)))
}

// byColumns computes images in sets.
func (f *forward[T]) byColumns(r *routines[T], fr framing) {
	size := packedSize(r, f.out, f.rows)
	packed, offsets := borrow[T](f.groups*size), borrow[int](f.rows)
	defer giveBack(packed)
	defer giveBack(offsets)
	product := newColumnProduct(r, fr.reading(f.layer, *offsets), f.out, f.bias != nil)
	for g := range f.groups {
		var bias []T
		if f.bias != nil {
			bias = f.bias[g*f.out : (g+1)*f.out]
		}
		product.use(f.weights(g), bias, (*packed)[g*size:(g+1)*size])
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
					lay(f.layer, &fr.phases, f.source((first+k)*f.groups+group), im.src[k*frame:(k+1)*frame])
				}
			}
			at := (first*f.groups + group) * f.out * f.outSize
			im.c = f.y[at:]
			p := product
			p.packed = (*packed)[group*size:]
			if f.then == nil {
				p.multiply(im, nil)
				continue
			}
			p.multiply(im, func(from int, part []T) { f.then(at+from, part) })
		}
	})
}

// inputGradient is the gradient at the input of a layer of n images, as products of
// the weights, transposed, with columns of the gradient dy.
type inputGradient[T Float] struct {
	*layer
	inputFrame
	n         int
	dy, w, dx []T
	whole     bool  // dy is read where it lies
	offsets   []int // of the columns of all parts
	packed    []T   // weights of all parts, group by group
	size      int   // of those of a group
}

// newInputGradient returns nil where the layer is not one for products of columns.
func newInputGradient[T Float](r *routines[T], l *layer, n int, dy, w, dx []T) *inputGradient[T] {
	f, ok := l.framing(n)
	if !ok {
		return nil
	}
	giveBack(f.held)
	if l.stride[1]*l.stride[2] > mostStride {
		return nil
	}
	g, ok := r.columns.inputs.Get().(*inputGradient[T])
	if !ok {
		g = new(inputGradient[T])
	}
	parts := g.parts[:0]
	*g = inputGradient[T]{layer: l, n: n, dy: dy, w: w, dx: dx, whole: l.pointwise()}
	if g.whole {
		one := class{n: 1, taps: 1}
		all := one
		all.n = l.inSize
		g.inputFrame = inputFrame{height: 1, width: l.inSize, parts: append(parts, inputPart{one, all})}
	} else if g.inputFrame = l.inputFrame(parts); l.out*g.plane() > mostFrame {
		g.done(r)
		return nil
	}
	return g
}

// done keeps g for another layer.
func (g *inputGradient[T]) done(r *routines[T]) {
	*g = inputGradient[T]{inputFrame: inputFrame{parts: g.parts}} // keep no caller's array alive
	r.columns.inputs.Put(g)
}

// matrix writes the weights of a group as a part multiplies by them: a row for each
// input channel.
func (g *inputGradient[T]) matrix(group int, p *inputPart, a []T) {
	a = a[:0]
	for c := range g.in {
		for o := range g.out {
			a = weights(g.layer, p, g.w[(group*g.out+o)*g.rows+c*g.taps():], a)
		}
	}
}

// product returns that of a part, with the weights of a group.
func (g *inputGradient[T]) product(r *routines[T], part, group int) columnProduct[T] {
	from, packed := 0, group*g.size
	for _, p := range g.parts[:part] {
		k := g.out * p.down.taps * p.across.taps
		from, packed = from+k, packed+packedSize(r, g.in, k)
	}
	p := &g.parts[part]
	read := reading{lines: p.down.n, width: p.across.n, pitch: g.width}
	read.offsets = g.offsets[from:][:g.out*p.down.taps*p.across.taps]
	product := newColumnProduct(r, read, g.in, false)
	product.packed = g.packed[packed:]
	return product
}

func (g *inputGradient[T]) compute(r *routines[T]) {
	for _, p := range g.parts {
		g.size += packedSize(r, g.in, g.out*p.down.taps*p.across.taps)
	}
	packed, matrix, offsets := borrow[T](g.groups*g.size), borrow[T](g.out*g.rows), borrow[int](g.out*g.taps())
	defer giveBack(packed)
	defer giveBack(matrix)
	defer giveBack(offsets)
	g.packed, g.offsets = *packed, (*offsets)[:0]
	for i := range g.parts {
		g.offsets = g.inputFrame.offsets(g.layer, g.out, &g.parts[i], g.offsets)
	}
	for i := range len(g.parts) * g.groups {
		part, group := i/g.groups, i%g.groups
		g.matrix(group, &g.parts[part], *matrix)
		product := g.product(r, part, group)
		product.use(*matrix, nil, product.packed)
	}
	g.multiply(r)
}

// multiply computes images in sets.
func (g *inputGradient[T]) multiply(r *routines[T]) {
	frame, image := g.out*g.plane(), g.in*g.inSize
	together, apart := g.together(g.n, g.inSize, frame), g.stride[1]*g.stride[2] > 1
	Parallel(ceilDiv(g.n, together)*g.groups, 1, func(lo, hi int) {
		im := images[T]{step: g.groups * frame, cStep: g.groups * image, ld: g.inSize}
		if !g.whole {
			frames := borrow[T](together * frame)
			defer giveBack(frames)
			clear(*frames)
			im.src, im.step = *frames, frame
		}
		if apart {
			beside := borrow[T](together * image)
			defer giveBack(beside)
			im.c = *beside
		}
		for i := lo; i < hi; i++ {
			group, set := i%g.groups, i/g.groups*together
			first := set*g.groups + group
			im.count = min(together, g.n-set)
			if g.whole {
				im.src = g.dy[first*frame:]
			}
			for k := range im.count {
				at := first + k*g.groups
				if !g.whole {
					layOutput(g.layer, &g.inputFrame, g.dy[at*g.out*g.outSize:(at+1)*g.out*g.outSize], im.src[k*frame:])
				}
				if g.untouched {
					clear(g.dx[at*image : (at+1)*image])
				}
			}
			for j := range g.parts {
				product := g.product(r, j, group)
				if !apart {
					im.c = g.dx[first*image:]
					product.multiply(im, nil)
					continue
				}
				im.ld = product.positions()
				im.cStep = g.in * im.ld
				product.multiply(im, nil)
				for k := range im.count * g.in {
					dx := g.dx[(first+k/g.in*g.groups)*image+k%g.in*g.inSize:]
					interleave(g.layer, &g.parts[j], im.c[k*im.ld:], product.width, dx)
				}
			}
		}
	})
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
		giveBack(fr.held)
	}
	return ok
}

func inputOfImages[T Float](l *layer, n int, dy, w, dx []T) bool {
	r := columnsHere[T]()
	if r == nil {
		return false
	}
	g := newInputGradient(r, l, n, dy, w, dx)
	if g == nil {
		return false
	}
	g.compute(r)
	g.done(r)
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
	g.done()
	return true
}
