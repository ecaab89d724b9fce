//go:build amd64 || arm64

package kernel

// plain is for products so small that anything cleverer takes longer.
func (p *gemmCall[T]) plain() {
	for i := range p.m {
		for j := range p.n {
			a, b := i*p.a.line, j*p.b.line
			var sum T
			for range p.k {
				sum += p.a.data[a] * p.b.data[b]
				a += p.a.step
				b += p.b.step
			}
			p.put(i, j, sum)
		}
	}
}

// put finishes an element of c from its sum of products.
func (p *gemmCall[T]) put(i, j int, sum T) {
	c := &p.c[i*p.row+j*p.col]
	sum *= p.alpha
	if p.beta != 0 {
		sum += p.beta * *c
	}
	*c = sum
}

// thin multiplies at most thinRows rows of a with b where b lies.
func (p *gemmCall[T]) thin() {
	if p.threads > 1 {
		Parallel(ceilDiv(p.n, 4), 64, p.fours)
		return
	}
	p.fours(0, ceilDiv(p.n, 4))
}

// fours computes columns 4·lo to 4·hi of c. Threads part them at multiples of
// four, so that how a column is summed does not depend on their number.
func (p *gemmCall[T]) fours(lo, hi int) {
	if p.b.step == 1 {
		p.dots(4*lo, min(4*hi, p.n))
	} else {
		p.axpys(4*lo, min(4*hi, p.n))
	}
}

// dots computes columns lo to hi of c where the columns of b are contiguous.
func (p *gemmCall[T]) dots(lo, hi int) {
	work := borrow[T](p.m*p.k + 4)
	rows, sums := (*work)[:p.m*p.k], (*work)[p.m*p.k:]
	for i := range p.m {
		for s := range p.k {
			rows[i*p.k+s] = p.a.data[i*p.a.line+s*p.a.step]
		}
	}
	j := lo
	if p.m > 1 { // several rows read the columns again, four of them from cache
		for ; j+4 <= hi; j += 4 {
			for i := range p.m {
				p.dot4(p.k, &p.b.data[j*p.b.line], p.b.line, &rows[i*p.k], &sums[0])
				for q, sum := range sums {
					p.put(i, j+q, sum)
				}
			}
		}
	}
	for ; j < hi; j++ {
		for i := range p.m {
			p.dot(p.k, &p.b.data[j*p.b.line], &rows[i*p.k], &sums[0])
			p.put(i, j, sums[0])
		}
	}
	giveBack(work)
}

// axpys computes columns lo to hi of c where the rows of b are contiguous: a
// stretch of c at a time, which stays in the first-level cache, from four rows
// of b at a time.
func (p *gemmCall[T]) axpys(lo, hi int) {
	stretch := 4096 / p.m
	work := borrow[T](4 + 4*stretch + p.m*stretch)
	factors, rest, beside := (*work)[:4], (*work)[4:4+4*stretch], (*work)[4+4*stretch:]
	for j := lo; j < hi; j += stretch {
		n := min(stretch, hi-j)
		for i := range p.m {
			p.begin(beside[i*stretch:][:n], i, j)
		}
		for s := 0; s < p.k; s += 4 {
			count := min(4, p.k-s)
			x, line := &p.b.data[s*p.b.step+j], p.b.step
			if count < 4 {
				clear(rest)
				for q := range count {
					copy(rest[q*stretch:][:n], p.b.data[(s+q)*p.b.step+j:])
				}
				x, line = &rest[0], stretch
			}
			for i := range p.m {
				clear(factors)
				for q := range count {
					factors[q] = p.alpha * p.a.data[i*p.a.line+(s+q)*p.a.step]
				}
				y := &beside[i*stretch]
				if p.col == 1 {
					y = &p.c[i*p.row+j]
				}
				p.axpy4(n, &factors[0], x, line, y)
			}
		}
		if p.col != 1 {
			for i := range p.m {
				for q, v := range beside[i*stretch:][:n] {
					p.c[i*p.row+(j+q)*p.col] = v
				}
			}
		}
	}
	giveBack(work)
}

// begin writes beta·c to where the sums of row i from column j on are collected: c
// itself if its row is contiguous, else beside it.
func (p *gemmCall[T]) begin(beside []T, i, j int) {
	if p.col == 1 {
		if p.beta == 1 {
			return
		}
		scaleRows(1, len(beside), p.beta, p.c[i*p.row+j:], p.row)
		return
	}
	if p.beta == 0 {
		clear(beside)
		return
	}
	for q := range beside {
		beside[q] = p.beta * p.c[i*p.row+(j+q)*p.col]
	}
}
