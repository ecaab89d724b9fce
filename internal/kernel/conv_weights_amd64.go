package kernel

// The gradient at the weights of a convolution of many images: at each position of the
// output, the outer product of what the taps read there and of the gradient. What the
// taps read is taken from frames, a value at a time, and the gradient from a copy that
// has its channels last, a vector at a time. Of a pointwise layer the one with more
// channels is read where it lies, and the other copied.

// mostShared bounds the elements of weights for which every thread has a sum of its own,
// over some of the images. Of larger ones each thread sums some, over all images.
const mostShared = 1 << 16

// leastRows is how many rows a block has at least: the vectors are copied for each.
const leastRows = 48

// weightGradient is that sum. What is read in frames are its rows, and what is copied
// its vectors.
type weightGradient[T Float] struct {
	*routines[T]
	layer   *layer
	framing framing
	n       int
	// planes that rows are read from, and vectors: channels and elements of those
	rows, vectors   []T
	channels, taps  int // of rows
	plane           int
	count, elements int // of vectors
	swapped         bool
	reading         reading
	offsets         []int  // of the rows of a block
	last            []int  // of the last tile of the last block
	held            *[]int // the same, borrowed: giveBack it
	panels          int    // of vectors
	shares, blocks  int    // of images, and of channels
	block           int    // channels of a block
	sums            int    // elements of the sums of a block
	together        int    // images in work at a time
	band            int    // lines in work at a time
}

// newWeightGradient returns nil where the layer is not one for this.
func newWeightGradient[T Float](r *routines[T], l *layer, n int, x, dy []T) *weightGradient[T] {
	f, ok := l.framing(n)
	if !ok {
		return nil
	}
	g, ok := r.columns.weights.Get().(*weightGradient[T])
	if !ok {
		g = new(weightGradient[T])
	}
	*g = weightGradient[T]{
		routines: r, layer: l, framing: f, n: n, rows: x, vectors: dy, channels: l.in, taps: l.rows / l.in,
		plane: f.plane, count: l.out, elements: l.outSize, shares: 1, blocks: 1,
		reading: reading{lines: l.volume.out[1], width: l.volume.out[2], pitch: f.width},
	}
	if f.whole {
		g.reading.lines = l.outSize / g.reading.width // of any number of axes
	}
	if g.swapped = f.whole && l.out > l.in; g.swapped {
		g.rows, g.vectors, g.channels, g.count = dy, x, l.out, l.in
	}
	g.block = g.channels
	if g.channels*g.taps*g.count <= mostShared {
		g.shares = min(Threads(), n)
	} else {
		g.block = max(ceilDiv(leastRows, g.taps), ceilDiv(g.channels, 4*Threads()))
		g.blocks = ceilDiv(g.channels, g.block)
	}
	rows := g.block * g.taps
	high := r.columns.rows
	whole := roundUp(rows, high)
	g.held = borrow[int](whole + high)
	g.offsets, g.last = (*g.held)[:whole], (*g.held)[whole:]
	// What pads the last tile of a block is computed and not used. That of the last block has
	// offsets of its own: behind its channels the image may end.
	offset := func(row int) int { return row/g.taps*g.plane + f.offsets[row%g.taps] }
	for i := range g.offsets {
		g.offsets[i] = offset(min(i, rows-1))
	}
	rows = (g.channels - (g.blocks-1)*g.block) * g.taps
	for i := range g.last {
		g.last[i] = offset(min((rows-1)/high*high+i, rows-1))
	}
	g.panels = ceilDiv(g.count, r.cols)
	g.sums = len(g.offsets) * g.panels * r.cols
	g.together = max(1, min(ceilDiv(256, l.outSize), n/g.shares, mostFrame/max(1, g.block*g.plane)))
	g.band = max(1, min(g.reading.lines, 1024/g.reading.width))
	return g
}

// done keeps g for another layer.
func (g *weightGradient[T]) done() {
	giveBack(g.framing.held)
	giveBack(g.held)
	r := g.routines
	*g = weightGradient[T]{} // keep no caller's array alive
	r.columns.weights.Put(g)
}

// compute writes dw.
func (g *weightGradient[T]) compute(dw []T) {
	groups := g.layer.groups
	sums := borrow[T](groups * g.shares * g.blocks * g.sums)
	defer giveBack(sums)
	Parallel(groups*g.shares*g.blocks, 1, func(lo, hi int) {
		frames := borrow[T](g.together * g.block * g.plane)
		copies := borrow[T](g.together * g.panels * g.cols * g.band * g.reading.width)
		clear(*frames)
		for i := lo; i < hi; i++ {
			g.add((*sums)[i*g.sums:(i+1)*g.sums], i/g.blocks/g.shares, i/g.blocks%g.shares, i%g.blocks, *frames, *copies)
		}
		giveBack(copies)
		giveBack(frames)
	})
	Parallel(groups*g.blocks, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			group, block := i/g.blocks, i%g.blocks
			first := (group*g.shares*g.blocks + block) * g.sums
			for share := 1; share < g.shares; share++ {
				add((*sums)[first:first+g.sums], (*sums)[first+share*g.blocks*g.sums:][:g.sums])
			}
			g.store((*sums)[first:first+g.sums], group, block, dw)
		}
	})
}

// half reports whether only the first vector of each pair of a panel is in use.
func (g *weightGradient[T]) half(panel int) bool { return g.count-panel*g.cols <= g.columns.lanes }

// add computes the sums of a block of rows over a share of the images.
func (g *weightGradient[T]) add(sums []T, group, share, block int, frames, copies []T) {
	clear(sums)
	l, read := g.layer, g.reading
	first, channels := block*g.block, min(g.block, g.channels-block*g.block)
	step, end := g.block*g.plane, g.n*(share+1)/g.shares
	source := frames
	if g.framing.whole {
		step = l.groups * g.channels * g.plane
	}
	for image := g.n * share / g.shares; image < end; image += g.together {
		count := min(g.together, end-image)
		at := image*l.groups + group
		if g.framing.whole {
			source = g.rows[(at*g.channels+first)*g.plane:]
		}
		for k := 0; k < count && !g.framing.whole; k++ {
			from := (at+k*l.groups)*g.channels + first
			lay(l, &g.framing.phases, g.rows[from*l.inSize:(from+channels)*l.inSize], frames[k*step:])
		}
		for line := 0; line < read.lines; line += g.band {
			lines := min(g.band, read.lines-line)
			depth := lines * read.width
			for k := range count {
				v := g.vectors[(at+k*l.groups)*g.count*g.elements:][:g.count*g.elements]
				g.pack(
					copies[k*depth*g.panels*g.cols:], g.cols, operand[T]{v, g.elements, 1}.at(0, line*read.width), g.count, depth,
				)
			}
			g.products(sums, channels*g.taps, block == g.blocks-1, count, lines, source[line*read.pitch:], step, copies)
		}
	}
}

// products adds to the sums what lines of some images contribute.
func (g *weightGradient[T]) products(
	sums []T, rows int, lastBlock bool, count, lines int, source []T, step int, copies []T,
) {
	width, pitch, high := g.reading.width, g.reading.pitch, g.columns.rows
	depth := lines * width
	if pitch == width {
		lines, width = 1, depth
	}
	for r := 0; r < rows; r += high {
		offsets := &g.offsets[r]
		if lastBlock && r+high >= rows {
			offsets = &g.last[0]
		}
		for panel := range g.panels {
			outer, sum := g.columns.outer, &sums[(r*g.panels+panel*high)*g.cols]
			if g.half(panel) {
				outer = g.columns.outerHalf
			}
			for k := range count {
				vectors := &copies[(k*g.panels+panel)*g.cols*depth]
				outer(lines, width, pitch, offsets, &source[k*step], vectors, sum)
			}
		}
	}
}

// store writes the sums of a block to where they belong.
func (g *weightGradient[T]) store(sums []T, group, block int, dw []T) {
	l := g.layer
	dw = dw[group*l.out*l.rows:]
	first, high := block*g.block*g.taps, g.columns.rows
	for r := range min(g.block*g.taps, g.channels*g.taps-first) {
		for panel := range g.panels {
			tile := sums[(r/high*high*g.panels+panel*high)*g.cols:]
			width := g.cols
			if g.half(panel) {
				width = g.columns.lanes
			}
			for i, v := range tile[r%high*width:][:min(width, g.count-panel*g.cols)] {
				if v0 := panel*g.cols + i; g.swapped {
					dw[(first+r)*l.rows+v0] = v
				} else {
					dw[v0*l.rows+first+r] = v
				}
			}
		}
	}
}

// alongRows is how many taps are summed at once: those of a kernel of 3×3.
const alongRows = 9

// weightsByPhases computes dw of a layer of one input channel a group, and reports
// whether it is one for this.
func weightsByPhases[T Float](l *layer, n int, x, dy, dw []T) bool {
	r := columnsHere[T]()
	if r == nil || !l.phased() || l.outSize == 0 || l.inSize == 0 {
		return false
	}
	p, lanes, blocks := l.phases(), r.columns.lanes, ceilDiv(l.rows, alongRows)
	held := borrow[int](blocks * alongRows)
	defer giveBack(p.held)
	defer giveBack(held)
	offsets := *held
	clear(offsets[copy(offsets, p.offsets):]) // what is not used reads something, too
	Parallel(l.groups, 1, func(lo, hi int) {
		frame, lines, sums := borrow[T](p.scratch), borrow[T](p.flat), borrow[T](l.out*blocks*alongRows*lanes)
		defer giveBack(frame)
		defer giveBack(lines)
		defer giveBack(sums)
		clear(*frame)
		clear(*lines) // what is between them stays zero
		for group := lo; group < hi; group++ {
			clear(*sums)
			for image := range n {
				at := image*l.groups + group
				lay(l, &p, x[at*l.inSize:(at+1)*l.inSize], *frame)
				for o := range l.out {
					copyLines(
						l.volume.out[1], l.volume.out[2], dy[(at*l.out+o)*l.outSize:], l.volume.out[2], 1, *lines, p.width,
					)
					for b := range blocks {
						r.columns.along(
							p.flat, &offsets[b*alongRows], &(*frame)[0], &(*lines)[0], &(*sums)[(o*blocks+b)*alongRows*lanes],
						)
					}
				}
			}
			for i := range l.out * l.rows {
				at := (i/l.rows*blocks*alongRows + i%l.rows) * lanes
				dw[group*l.out*l.rows+i] = sum((*sums)[at : at+lanes])
			}
		}
	})
	return true
}
