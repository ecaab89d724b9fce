package kernel

// Behind a max pooling nine in ten gradients are zero: each window passes its
// gradient to one of its inputs. Products with such a matrix skip the zeros.

// term is one product of a sum of rows: factor times the row that begins at an
// offset, in elements, from some base.
type term[T Float] struct {
	offset uint32
	factor T
}

// term32 gives sparse_amd64.s the offsets of the fields: the compiler writes those
// of structs that are not generic to go_asm.h.
type term32 term[float32]

// Widths in columns at which sums of rows are formed.
const (
	wideStrip   = 64
	narrowStrip = 16
)

// strips calls body for the columns of a row of n, cut into strips of
// wideStrip and then of narrowStrip; the last may reach past n.
func strips(n int, body func(at, width int)) {
	for at := 0; at < n; {
		width := narrowStrip
		if n-at >= wideStrip {
			width = wideStrip
		}
		body(at, width)
		at += width
	}
}

// addTerms computes dst = Σ factor·src[offset:] + beta·dst; dst is wideStrip or
// narrowStrip elements long. With beta = 0, dst is not read.
func addTerms[T Float](dst []T, terms []term[T], src []T, beta T) {
	if d, s, ok := vectors(dst, src); ok {
		var first *term32
		if t := any(terms).([]term[float32]); len(t) > 0 {
			first = (*term32)(&t[0])
		}
		if len(d) == wideStrip {
			sterms64(len(terms), first, &s[0], &d[0], float32(beta))
		} else {
			sterms16(len(terms), first, &s[0], &d[0], float32(beta))
		}
		return
	}
	if beta == 0 {
		clear(dst)
	} else if beta != 1 {
		for i := range dst {
			dst[i] *= beta
		}
	}
	for _, t := range terms {
		for i, v := range src[t.offset:][:len(dst)] {
			dst[i] += t.factor * v
		}
	}
}

// The greatest share of non-zeros up to which skipping the zeros is faster, by
// far, than a dense product: with vector code, and for plain code beside a BLAS
// that has some. Scratch memory is in proportion.
const (
	mostlyZero      = 1. / 4
	mostlyZeroPlain = 1. / 32
)

// MostlyZero reports whether a matrix of such elements has so many zeros that
// skipping them, as GemmSparse does, is faster. It looks at a sample of them, spread
// over all, which follows from their number.
func MostlyZero[T Float](v []T) bool {
	if len(v) == 0 {
		return false
	}
	const sample = 1 << 13
	step := max(1, len(v)/sample) | 1
	others, seen := 0, 0
	for i := 0; i < len(v); i += step {
		others += nonZero(v[i])
		seen++
	}
	share := mostlyZero
	if _, single := any(v).([]float32); single && !vectorCode {
		share = mostlyZeroPlain
	}
	return float64(others) <= share*float64(seen)
}

// nonZero is 0 for zero and 1 for all else, without a branch to mispredict.
func nonZero[T Float](v T) int {
	n := 0
	if v != 0 {
		n = 1
	}
	return n
}

// GemmSparse computes what Gemm(transA, false, …) does, in time proportional
// to the non-zeros of a: a product with a zero of a is left out, even if the
// factor in b is NaN or infinite.
func GemmSparse[T Float](transA bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	checkGemm(transA, false, m, n, k, len(a), lda, len(b), ldb, len(c), ldc)
	if withoutTerms(m, n, k, alpha, beta, c, ldc) {
		return
	}
	// So many rows at a time that their terms take a few MiB at most.
	for rows := max(1, sparseElements/k); m > rows; m -= rows {
		gemmSparse(transA, rows, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		a, c = shiftRows(transA, a, rows, lda), c[rows*ldc:]
	}
	gemmSparse(transA, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func gemmSparse[T Float](transA bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	s := sparseOf(transA, m, k, alpha, a, lda)
	defer s.giveBack()
	wide := (n + wideStrip - 1) / wideStrip
	chunk := min(m, sparseRows)
	chunks := (m + chunk - 1) / chunk
	Parallel(chunks*wide, 1, func(lo, hi int) {
		work := borrow[T](sparseDepth*wideStrip + wideStrip)
		defer giveBack(work)
		packed, beside := (*work)[:sparseDepth*wideStrip], (*work)[sparseDepth*wideStrip:]
		for i := lo; i < hi; i++ {
			i0, j := i/wide*chunk, i%wide*wideStrip
			width := min(wideStrip, n-j)
			for block := range s.blocks {
				p0 := block * sparseDepth
				packRows(packed, b[p0*ldb+j:], ldb, min(sparseDepth, k-p0), width)
				factor := beta
				if block > 0 {
					factor = 1
				}
				for r := i0; r < min(i0+chunk, m); r++ {
					dst := c[r*ldc+j:][:width]
					if width == wideStrip {
						addTerms(dst, s.row(r, block), packed, factor)
						continue
					}
					copy(beside, dst)
					clear(beside[width:])
					addTerms(beside, s.row(r, block), packed, factor)
					copy(dst, beside)
				}
			}
		}
	})
}

const (
	// sparseDepth is how many rows of b are packed at a time, a strip wide: 24 KiB
	// of float32, to stay in a first-level cache.
	sparseDepth = 96
	// sparseRows is how many rows of c meet them, a strip wide: 256 KiB, to stay in
	// a second-level cache.
	sparseRows = 1024
	// sparseElements is how many elements of a are worked on at a time, if a row
	// is not longer.
	sparseElements = 1 << 20
)

// packRows copies rows of width elements, ld apart, into rows of wideStrip,
// filled up with zeros.
func packRows[T Float](dst, src []T, ld, rows, width int) {
	for r := range rows {
		line := dst[r*wideStrip : (r+1)*wideStrip]
		copy(line, src[r*ld:r*ld+width])
		clear(line[width:])
	}
}

// sparse holds the non-zeros of a matrix of m rows as terms for packed rows of
// b, row by row and, within a row, by blocks of sparseDepth columns.
type sparse[T Float] struct {
	blocks int
	starts *[]int // where the terms of each block of each row begin
	terms  *[]term[T]
}

func (s *sparse[T]) row(r, block int) []term[T] {
	i := r*s.blocks + block
	return (*s.terms)[(*s.starts)[i]:(*s.starts)[i+1]]
}

func (s *sparse[T]) giveBack() {
	giveBack(s.starts)
	giveBack(s.terms)
}

// sparseOf collects alpha·op(a), m×k.
func sparseOf[T Float](transA bool, m, k int, alpha T, a []T, lda int) *sparse[T] {
	blocks := (k + sparseDepth - 1) / sparseDepth
	s := &sparse[T]{blocks: blocks, starts: borrow[int](m*blocks + 1)}
	starts := *s.starts
	clear(starts)
	const grain = 64
	Parallel(m, grain, func(lo, hi int) {
		if transA {
			for p := range k {
				at := starts[lo*blocks+p/sparseDepth+1:]
				for i, v := range a[p*lda+lo : p*lda+hi] {
					at[i*blocks] += nonZero(v)
				}
			}
			return
		}
		for i := lo; i < hi; i++ {
			for p, v := range a[i*lda : i*lda+k] {
				starts[i*blocks+p/sparseDepth+1] += nonZero(v)
			}
		}
	})
	for i := range m * blocks {
		starts[i+1] += starts[i]
	}
	s.terms = borrow[term[T]](starts[m*blocks])
	terms := *s.terms
	Parallel(m, grain, func(lo, hi int) {
		ends := borrow[int]((hi - lo) * blocks)
		defer giveBack(ends)
		next := *ends
		copy(next, starts[lo*blocks:hi*blocks])
		put := func(i, p int, v T) {
			if v != 0 {
				at := &next[(i-lo)*blocks+p/sparseDepth]
				terms[*at] = term[T]{uint32(p % sparseDepth * wideStrip), alpha * v}
				*at++
			}
		}
		if transA {
			for p := range k {
				for i, v := range a[p*lda+lo : p*lda+hi] {
					put(lo+i, p, v)
				}
			}
			return
		}
		for i := lo; i < hi; i++ {
			for p, v := range a[i*lda : i*lda+k] {
				put(i, p, v)
			}
		}
	})
	return s
}
