//go:build amd64 || arm64

package kernel

// operand is op(a) or op(b) as the product sees it: lines, which are rows of
// op(a) or columns of op(b), and steps along k. Element p of line i is
// data[i·line + p·step], and one of line and step is 1.
type operand[T Float] struct {
	data       []T
	line, step int
}

// at is the operand from line i and step p on.
func (x operand[T]) at(i, p int) operand[T] {
	x.data = x.data[i*x.line+p*x.step:]
	return x
}

// gemmCall is one call of gemm: c = alpha·a·b + beta·c. Element i, j of c is
// data[i·row + j·col]; where a and b have changed places, row is 1 and col is
// the leading dimension.
type gemmCall[T Float] struct {
	*routines[T]
	threads     int
	m, n, k     int
	alpha, beta T
	a, b        operand[T]
	c           []T
	row, col    int

	// The part of the product that is being computed.
	// One operand, the one with fewer lines, is packed by all threads together;
	// of the other, each thread packs a block at a time for itself.
	shareA bool
	depth  int // steps of k packed at a time
	block  int // lines of the other operand packed at a time
	lo, hi int // lines of the shared operand that are packed
	from   int // steps of k that are packed
	to     int
	shared []T
}

// thinRows: for an operand of so few rows, the other one is not worth packing.
const thinRows = 8

func (r *routines[T]) gemm(
	threads int, transA, transB bool, m, n, k int,
	alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int,
) {
	p, ok := r.calls.Get().(*gemmCall[T])
	if !ok {
		p = new(gemmCall[T])
	}
	*p = gemmCall[T]{
		routines: r, threads: threads, m: m, n: n, k: k, alpha: alpha, beta: beta,
		a: operand[T]{a, lda, 1}, b: operand[T]{b, 1, ldb}, c: c, row: ldc, col: 1,
	}
	if transA {
		p.a.line, p.a.step = 1, lda
	}
	if transB {
		p.b.line, p.b.step = ldb, 1
	}
	// Waking a goroutine takes as long as some 100,000 multiplications.
	if m*n*k < 1<<18 {
		p.threads = 1
	}
	switch {
	case m*n*k <= 128:
		p.plain()
	case m <= thinRows && m <= n:
		p.thin()
	case n <= thinRows:
		p.turn()
		p.thin()
	default:
		if p.worthTurning() {
			p.turn()
		}
		p.packed()
	}
	*p = gemmCall[T]{} // keep no caller's array alive
	r.calls.Put(p)
}

// turn makes it the transposed product, cᵀ = bᵀ·aᵀ.
func (p *gemmCall[T]) turn() {
	p.m, p.n = p.n, p.m
	p.a, p.b = p.b, p.a
	p.row, p.col = p.col, p.row
}

// worthTurning reports whether the tiles, which are wider than high, cover the
// transpose of c so much better that copying every tile pays: a copy takes about as
// long as 40 steps of k.
func (p *gemmCall[T]) worthTurning() bool {
	area := func(m, n int) int { return roundUp(m, p.rowUnit) * roundUp(n, p.cols) }
	return area(p.m, p.n)*p.k > area(p.n, p.m)*(p.k+40)
}

// packed works through k in slabs of equal depth, so that each element of c is
// summed in an order that depends on k alone, however c is cut into tiles and
// shared among threads.
//
// A block of b stays in the second-level cache, a panel of a in the first-level
// one, and a tile of c in registers.
func (p *gemmCall[T]) packed() {
	p.depth = ceilDiv(p.k, ceilDiv(p.k, p.routines.depth))
	p.shareA = p.m <= p.n
	lines, width, others := p.m, p.rows, p.n
	blockMax, blockUnit := p.across, p.cols
	if !p.shareA {
		lines, width, others = p.n, p.cols, p.m
		blockMax, blockUnit = p.down, p.rows
	}
	p.block = min(blockMax, roundUp(others, blockUnit))
	if p.threads > 1 {
		// Enough blocks that a thread that is held up does not hold up the others.
		p.block = min(p.block, roundUp(ceilDiv(others, 3*p.threads), blockUnit))
	}
	blocks := ceilDiv(others, p.block)

	most := max(p.sharedLimit/p.depth/width, 1) * width
	for p.lo = 0; p.lo < lines; p.lo = p.hi {
		p.hi = min(p.lo+most, lines)
		padded := roundUp(p.hi-p.lo, width)
		steps := max(p.sharedLimit/(p.depth*padded), 1) * p.depth
		for p.from = 0; p.from < p.k; p.from = p.to {
			p.to = min(p.from+steps, p.k)
			shared := borrow[T](padded * (p.to - p.from))
			p.shared = *shared
			if p.threads > 1 {
				Parallel(padded/width, 1, p.packShared)
				Parallel(blocks, 1, p.blocks)
			} else {
				p.packShared(0, padded/width)
				p.blocks(0, blocks)
			}
			giveBack(shared)
		}
	}
}

// packShared packs panels lo to hi of the shared operand, slab by slab.
func (p *gemmCall[T]) packShared(lo, hi int) {
	x, width := p.a, p.rows
	if !p.shareA {
		x, width = p.b, p.cols
	}
	padded := roundUp(p.hi-p.lo, width)
	first, lines := p.lo+lo*width, min((hi-lo)*width, p.hi-p.lo-lo*width)
	for s := p.from; s < p.to; s += p.depth {
		depth := min(p.depth, p.to-s)
		p.pack(p.shared[padded*(s-p.from)+lo*width*depth:], width, x.at(first, s), lines, depth)
	}
}

// blocks multiplies blocks lo to hi of the operand that is not shared with what
// is packed of the other.
func (p *gemmCall[T]) blocks(lo, hi int) {
	x, width, others, sharedWidth := p.b, p.cols, p.n, p.rows
	if !p.shareA {
		x, width, others, sharedWidth = p.a, p.rows, p.m, p.cols
	}
	padded := roundUp(p.hi-p.lo, sharedWidth)
	own := borrow[T](p.block*p.depth + p.rows*p.cols)
	panels, edge := (*own)[:p.block*p.depth], (*own)[p.block*p.depth:]
	for i := lo; i < hi; i++ {
		first, last := i*p.block, min((i+1)*p.block, others)
		for s := p.from; s < p.to; s += p.depth {
			depth := min(p.depth, p.to-s)
			p.pack(panels, width, x.at(first, s), last-first, depth)
			beta := p.beta
			if s > 0 {
				beta = 1
			}
			shared := p.shared[padded*(s-p.from):]
			if p.shareA {
				p.tiles(shared, panels, p.lo, p.hi, first, last, depth, beta, edge)
			} else {
				p.tiles(panels, shared, first, last, p.lo, p.hi, depth, beta, edge)
			}
		}
	}
	giveBack(own)
}

// tiles adds to rows i0 to i1, columns j0 to j1 of c the product of packed
// panels a and b.
func (p *gemmCall[T]) tiles(a, b []T, i0, i1, j0, j1, depth int, beta T, edge []T) {
	for j := j0; j < j1; j += p.across {
		end := min(j+p.across, j1)
		for i := i0; i < i1; i += p.rows {
			panelA := &a[(i-i0)*depth]
			for jj := j; jj < end; jj += p.cols {
				panelB := &b[(jj-j0)*depth]
				if p.col == 1 && i+p.rows <= i1 && jj+p.cols <= j1 {
					p.tile(p.rows, depth, panelA, panelB, &p.c[i*p.row+jj], p.row, p.alpha, beta)
					continue
				}
				p.edge(edge, panelA, panelB, i, min(i+p.rows, i1), jj, min(jj+p.cols, j1), depth, beta)
			}
		}
	}
}

// edge computes a tile beside c: one of which c has rows i0 to i1 and columns j0 to
// j1 only, or whose rows are not contiguous. It rounds as a whole tile does.
func (p *gemmCall[T]) edge(tile []T, panelA, panelB *T, i0, i1, j0, j1, depth int, beta T) {
	if beta != 0 {
		for i := i0; i < i1; i++ {
			row := tile[(i-i0)*p.cols:]
			if p.col == 1 {
				copy(row, p.c[i*p.row+j0:i*p.row+j1])
				continue
			}
			for j := j0; j < j1; j++ {
				row[j-j0] = p.c[i*p.row+j*p.col]
			}
		}
	}
	p.tile(i1-i0, depth, panelA, panelB, &tile[0], p.cols, p.alpha, beta)
	for i := i0; i < i1; i++ {
		row := tile[(i-i0)*p.cols:][:j1-j0]
		if p.col == 1 {
			copy(p.c[i*p.row+j0:], row)
			continue
		}
		for j, v := range row {
			p.c[i*p.row+(j0+j)*p.col] = v
		}
	}
}
