package kernel

import "unsafe"

// A line is 64 bytes: a value of as many samples as fit, next to each other. The
// lines of a group lie in blocks, one for each so many samples of the batch; in
// the last block, lanes without a sample hold zeros. Of x, a block has a line
// for every input, and after each strip of them a line that is not used:
// without it the channels of an image, whose sizes tend to be powers of two,
// would meet in few sets of the caches.

const (
	lineBytes = 64
	strip     = 64
	// dotSpare is how many lines behind the last of a block may be read, without an
	// effect.
	dotSpare = 3
)

// lanes is how many elements a line has.
func lanes[T Float]() int { return lineBytes / int(unsafe.Sizeof(T(0))) }

// lineOf is the line of an input in its block.
func lineOf(q int) int { return q + q/strip }

// block returns the lines of a group for a block of samples.
func (l *LocalLayer[T]) block(g, b int) []T {
	size := l.lines * lanes[T]()
	at := (g*l.blocks + b) * size
	return l.x[at : at+size]
}

// gradient returns the lines of dy of a position, and those behind it.
func (l *LocalLayer[T]) gradient(g, b, p int) []T {
	return l.dy[((g*l.blocks+b)*l.stride+p*l.Out)*lanes[T]():]
}

// load copies x into lines, for Forward and BackwardWeights.
func (l *LocalLayer[T]) load(x []T) {
	line, size, strips := lanes[T](), l.Groups*l.Block, ceilDiv(l.Block, strip)
	Parallel(l.Groups*l.blocks*strips, 1+1<<14/(strip*line), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, b, q := i/strips/l.blocks, i/strips%l.blocks, i%strips*strip
			first := b * line
			transpose(
				min(line, l.n-first), min(strip, l.Block-q), x[first*size+g*l.Block+q:], size,
				l.block(g, b)[lineOf(q)*line:], line,
			)
		}
	})
}

// gather copies the lines that a table names into column, block by block, step
// lines apart.
func (l *LocalLayer[T]) gather(g int, table []int32, column []T, step int) {
	line := lanes[T]()
	if l.code != nil {
		x := l.x[g*l.blocks*l.lines*line:]
		gatherLines(
			len(table), &table[0], l.blocks, unsafe.Pointer(&x[0]), l.lines*lineBytes,
			unsafe.Pointer(&column[0]), step*lineBytes,
		)
		return
	}
	for b := range l.blocks {
		gatherPlain(table, l.block(g, b), column[b*step*line:])
	}
}

// storeLines writes count lines of n samples to rows of dst, one for each
// sample, ldd apart: line i to element i. Rows may lie a power of two apart, and
// then in one set of a cache, so they are written a few at a time, in whole
// lines.
func storeLines[T Float](count, n int, src, dst []T, ldd int) {
	const together = 8
	line := lanes[T]()
	for r := 0; r < n; r += together {
		for i := 0; i < count; i += line {
			transpose(min(line, count-i), min(together, n-r), src[i*line+r:], line, dst[r*ldd+i:], ldd)
		}
	}
}

// transpose writes the transpose of src, rows×cols with rows lds apart, to dst,
// whose rows are ldd apart.
func transpose[T Float](rows, cols int, src []T, lds int, dst []T, ldd int) {
	if rows == 0 || cols == 0 {
		return
	}
	done := transposeRows(rows, cols, src[:(rows-1)*lds+cols], lds, dst[:(cols-1)*ldd+rows], ldd)
	for r := done; r < rows; r++ {
		for c, v := range src[r*lds : r*lds+cols] {
			dst[c*ldd+r] = v
		}
	}
}
