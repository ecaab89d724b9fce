package kernel

// Products of weights with the columns of many images. They are products
// of packed panels, as those of Gemm are, whose columns are gathered into panels at
// once: from frames, in which an image has its padding around it, so that a tap reads
// at the same offset for all positions. Weights are packed once for all images.

// columnBLAS has the routines of these products; nil on processors without them. Tests
// replace it.
var columnBLAS = func() *packedBLAS {
	b, _ := packed()
	p, _ := b.(*packedBLAS)
	return p
}()

// columnsHere returns the routines of one precision, nil where there are none.
func columnsHere[T Float]() *routines[T] {
	if columnBLAS == nil {
		return nil
	}
	if r, ok := any(columnBLAS.single).(*routines[T]); ok {
		return r
	}
	return any(columnBLAS.double).(*routines[T])
}

// reading is how columns are read from the frame of an image: step s of them, at output
// position i, j, is element offsets[s] + i·pitch + j.
type reading struct {
	lines, width int // of output positions
	pitch        int
	offsets      []int
}

func (r *reading) positions() int { return r.lines * r.width }

// columnProduct is c = a·columns + bias, where a is m×k and columns are those of
// several images.
type columnProduct[T Float] struct {
	*routines[T]
	reading
	m, k, slab int  // slab: steps of k packed at a time
	bias       bool // the last step of k is the bias
	packed     []T  // a, in panels, slab by slab
}

// packedSize is how many elements an m×k matrix and a bias take, packed.
func packedSize[T Float](r *routines[T], m, k int) int { return roundUp(m, r.rows) * (k + 1) }

// newColumnProduct returns a product with a matrix that is to be packed.
func newColumnProduct[T Float](r *routines[T], read reading, m int, bias bool) columnProduct[T] {
	p := columnProduct[T]{routines: r, reading: read, m: m, k: len(read.offsets), bias: bias}
	if bias {
		p.k++
	}
	p.slab = ceilDiv(p.k, ceilDiv(p.k, r.depth))
	return p
}

// use packs a and, if the product has one, the bias, into a buffer of packedSize.
func (p *columnProduct[T]) use(a, bias, packed []T) {
	p.packed = packed
	if p.bias {
		whole := borrow[T](p.m * p.k)
		defer giveBack(whole)
		for i, b := range bias {
			copy((*whole)[i*p.k:], a[i*(p.k-1):(i+1)*(p.k-1)])
			(*whole)[(i+1)*p.k-1] = b
		}
		a = *whole
	}
	for s := 0; s < p.k; s += p.slab {
		p.pack(packed[roundUp(p.m, p.rows)*s:], p.rows, operand[T]{a, p.k, 1}.at(0, s), p.m, min(p.slab, p.k-s))
	}
}

// images is where a columnProduct reads and writes: the frame of image i begins at
// src[i·step], and row r of its result at c[i·cStep + r·ld].
type images[T Float] struct {
	count, step int
	src         []T
	cStep, ld   int
	c           []T
}

// stretch is some lanes of a panel that are side by side where they are read or written.
type stretch struct{ lane, at, n int }

// multiply computes all columns of the images, and calls then with stretches of c and
// where they begin.
func (p *columnProduct[T]) multiply(im images[T], then Then[T]) {
	total := im.count * p.positions()
	block := min(p.across, roundUp(total, p.cols))
	own := borrow[T](block*p.slab + p.rows*p.cols)
	defer giveBack(own)
	columns, edge := (*own)[:block*p.slab], (*own)[block*p.slab:]
	var list [256]stretch // as many positions as are computed at a time
	for q0 := 0; q0 < total; q0 += block {
		q1 := min(q0+block, total)
		for s := 0; s < p.k; s += p.slab {
			depth := min(p.slab, p.k-s)
			for q := q0; q < q1; q += p.cols {
				p.fill(columns[(q-q0)*depth:], im, p.reads(list[:0], im, q, min(q+p.cols, q1)), s, depth)
			}
			for q := q0; q < q1; q += p.cols {
				p.column(im, p.writes(list[:0], im, q, min(q+p.cols, q1)), s, depth, &columns[(q-q0)*depth], edge)
			}
		}
		if then == nil {
			continue
		}
		for _, w := range p.writes(list[:0], im, q0, q1) {
			for i := range p.m {
				then(w.at+i*im.ld, im.c[w.at+i*im.ld:][:w.n])
			}
		}
	}
}

// reads appends what positions q0 to q1, counted through all images, read: vectors or
// less, each of neighbours.
func (p *columnProduct[T]) reads(list []stretch, im images[T], q0, q1 int) []stretch {
	for q := q0; q < q1; {
		image, at := q/p.positions(), q%p.positions()
		line, from := at/p.width, at%p.width
		n := min(p.columns.lanes, q1-q)
		if p.pitch == p.width {
			n = min(n, p.positions()-at) // lines follow one another
		} else {
			n = min(n, p.width-from)
		}
		list = append(list, stretch{q - q0, image*im.step + line*p.pitch + from, n})
		q += n
	}
	return list
}

// writes appends where the results of positions q0 to q1 go.
func (p *columnProduct[T]) writes(list []stretch, im images[T], q0, q1 int) []stretch {
	for q := q0; q < q1; {
		image, at := q/p.positions(), q%p.positions()
		n := min(q1-q, p.positions()-at)
		list = append(list, stretch{q - q0, image*im.cStep + at, n})
		q += n
	}
	return list
}

// fill gathers a panel of columns, steps s to s + depth.
func (p *columnProduct[T]) fill(panel []T, im images[T], reads []stretch, s, depth int) {
	steps := depth
	if p.bias && s+depth == p.k {
		steps--
		fill(panel[steps*p.cols:depth*p.cols], 1)
	}
	if steps == 0 {
		return
	}
	for _, r := range reads {
		p.columns.gather(steps, &p.offsets[s], &im.src[r.at], &panel[r.lane], r.n)
	}
}

// column computes a panel of c, from steps s to s + depth.
func (p *columnProduct[T]) column(im images[T], writes []stretch, s, depth int, panel *T, edge []T) {
	beta := T(1)
	if s == 0 {
		beta = 0
	}
	for i := 0; i < p.m; i += p.rows {
		a := &p.packed[roundUp(p.m, p.rows)*s+i*depth]
		rows := min(p.rows, p.m-i)
		if writes[0].n == p.cols && rows%p.rowUnit == 0 {
			p.tile(rows, depth, a, panel, &im.c[writes[0].at+i*im.ld], im.ld, 1, beta)
			continue
		}
		for _, w := range writes {
			for r := 0; r < rows && s > 0; r++ {
				copy(edge[r*p.cols+w.lane:], im.c[w.at+(i+r)*im.ld:][:w.n])
			}
		}
		p.tile(rows, depth, a, panel, &edge[0], p.cols, 1, beta)
		for _, w := range writes {
			for r := range rows {
				copy(im.c[w.at+(i+r)*im.ld:][:w.n], edge[r*p.cols+w.lane:])
			}
		}
	}
}
