package kernel

// Then processes results while they are in cache: it is called with stretches that
// together cover y, each y[at:at+len(part)] and of a single plane, from several
// goroutines at once. nil does nothing.
type Then[T Float] func(at int, part []T)

func (t Then[T]) do(at int, part []T) {
	if t != nil {
		t(at, part)
	}
}

// Forward computes y from n images x; bias may be nil. y must not overlap x.
func (c Conv[T]) Forward(n int, x, w, bias, y []T) { c.ForwardThen(n, x, w, bias, y, nil) }

// ForwardThen is Forward, followed by then on y.
func (c Conv[T]) ForwardThen(n int, x, w, bias, y []T, then Then[T]) {
	l := c.layer()
	f := forward[T]{layer: &l, n: n, x: x, w: w, bias: bias, y: y, then: then}
	switch {
	case n*l.outSize == 0:
	case l.direct() && l.phased():
		f.byPhases()
	case l.direct():
		forwardDirect(&l, n, x, w, bias, y, then)
	case forwardImages(&f):
	case n*l.groups < Threads() && l.out > l.outSize:
		f.byChannels()
	case n > 1 && l.outSize < fewPositions && l.out > l.outSize:
		f.byImages()
	default:
		f.byPositions()
	}
}

// forward is one call of ForwardThen that goes through matrix products: for each
// image and group, out×rows weights times rows×outSize columns. Which of the two is
// larger decides how the product is cut for cache and threads.
type forward[T Float] struct {
	*layer
	n             int
	x, w, bias, y []T
	then          Then[T]
}

// fewPositions is how many columns a product needs to be worth packing its weights.
const fewPositions = 128

// source, weights and target are the input of image (of one group), the weights
// that multiply it, and the result.
func (f *forward[T]) source(image int) []T {
	return f.x[image*f.in*f.inSize : (image+1)*f.in*f.inSize]
}

func (f *forward[T]) weights(image int) []T {
	size := f.out * f.rows
	return f.w[image%f.groups*size:][:size]
}

func (f *forward[T]) target(image int) []T {
	return f.y[image*f.out*f.outSize : (image+1)*f.out*f.outSize]
}

// start writes the bias of channel o of image to part, and returns the factor
// that adds a product to it.
func (f *forward[T]) start(image, o int, part []T) {
	if f.bias != nil {
		fill(part, f.bias[image%f.groups*f.out+o])
	}
}

// beta is the factor of what start has written.
func (f *forward[T]) beta() T {
	if f.bias != nil {
		return 1
	}
	return 0
}

// product computes channels [o0, o1) at positions [p0, p1) of image from
// columns, whose rows begin ld apart.
func (f *forward[T]) product(image, o0, o1, p0, p1 int, columns []T, ld int) {
	y := f.target(image)
	for o := o0; o < o1; o++ {
		f.start(image, o, y[o*f.outSize+p0:o*f.outSize+p1])
	}
	gemmSerial(
		false, false, o1-o0, p1-p0, f.rows, 1, f.weights(image)[o0*f.rows:], f.rows, columns,
		ld, f.beta(), y[o0*f.outSize+p0:], f.outSize,
	)
	if f.then == nil {
		return
	}
	for o := o0; o < o1; o++ {
		f.then((image*f.out+o)*f.outSize+p0, y[o*f.outSize+p0:o*f.outSize+p1])
	}
}

// byPositions gives each task a block of output positions of one image, whose
// columns stay in cache.
func (f *forward[T]) byPositions() {
	blocks := (f.outSize + f.block() - 1) / f.block()
	if t := Threads(); f.n*f.groups < 4*t {
		blocks = roundUp(blocks, t) // as many for each thread
	}
	width := roundUp((f.outSize+blocks-1)/blocks, 16)
	blocks = (f.outSize + width - 1) / width
	Parallel(f.n*f.groups*blocks, 1, func(lo, hi int) {
		var col *[]T
		if !f.pointwise() {
			col = borrow[T](f.rows * width)
			defer giveBack(col)
		}
		for i := lo; i < hi; i++ {
			image, p0 := i/blocks, i%blocks*width
			p1 := min(p0+width, f.outSize)
			if col == nil {
				f.product(image, 0, f.out, p0, p1, f.source(image)[p0:], f.inSize)
				continue
			}
			gather(&f.volume, f.in, f.source(image), *col, p1-p0, p0, p1)
			f.product(image, 0, f.out, p0, p1, *col, p1-p0)
		}
	})
}

// byChannels gives each task some output channels of one image: for a single
// image whose columns are fewer than the weights, or too few to share out.
func (f *forward[T]) byChannels() {
	share := roundUp((f.out+Threads()-1)/Threads(), 8)
	var col *[]T
	if !f.pointwise() {
		col = borrow[T](f.rows * f.outSize)
		defer giveBack(col)
	}
	for image := range f.n * f.groups {
		columns := f.source(image)
		if col != nil {
			columns = *col
			taps := f.taps()
			Parallel(f.in, 1+1<<12/(taps*f.outSize), func(lo, hi int) {
				gather(
					&f.volume, hi-lo, f.source(image)[lo*f.inSize:],
					columns[lo*taps*f.outSize:], f.outSize, 0, f.outSize,
				)
			})
		}
		Parallel((f.out+share-1)/share, 1, func(lo, hi int) {
			f.product(image, lo*share, min(hi*share, f.out), 0, f.outSize, columns, f.outSize)
		})
	}
}

// byImages gives each task the columns of several small images at once, so that
// the weights are packed once for all of them.
func (f *forward[T]) byImages() {
	together := min((2*fewPositions+f.outSize-1)/f.outSize, (f.n+Threads()-1)/Threads())
	sets := (f.n + together - 1) / together
	Parallel(sets*f.groups, 1, func(lo, hi int) {
		width := together * f.outSize
		col, sum := borrow[T](f.rows*width), borrow[T](f.out*width)
		defer giveBack(col)
		defer giveBack(sum)
		for i := lo; i < hi; i++ {
			first, group := i/f.groups*together, i%f.groups
			count := min(together, f.n-first)
			width := count * f.outSize
			for k := range count {
				gather(&f.volume, f.in, f.source((first+k)*f.groups+group), (*col)[k*f.outSize:], width, 0, f.outSize)
			}
			for o := range f.out {
				f.start(group, o, (*sum)[o*width:(o+1)*width])
			}
			gemmSerial(
				false, false, f.out, width, f.rows, 1, f.weights(group), f.rows, *col,
				width, f.beta(), *sum, width,
			)
			for k := range count {
				image := (first+k)*f.groups + group
				y := f.target(image)
				for o := range f.out {
					part := y[o*f.outSize : (o+1)*f.outSize]
					copy(part, (*sum)[o*width+k*f.outSize:])
					f.then.do((image*f.out+o)*f.outSize, part)
				}
			}
		}
	})
}
