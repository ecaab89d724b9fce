package kernel

// FillRows writes the row v over each of n rows of dst, n×len(v).
func FillRows[T Float](n int, v, dst []T) {
	Parallel(n, 1+1<<14/max(1, len(v)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(dst[i*len(v):(i+1)*len(v)], v)
		}
	})
}

// SumRows writes the sum of n rows of x, n×len(sums), to sums.
func SumRows[T Float](n int, x, sums []T) {
	width := len(sums)
	Parallel(width, 1+1<<14/max(1, n), func(lo, hi int) {
		dst := sums[lo:hi]
		clear(dst)
		for i := range n {
			add(dst, x[i*width+lo:i*width+hi])
		}
	})
}

// SumPlanes writes to sums the sum over n images and size positions of each of
// len(sums) channels of x, n×len(sums)×size.
func SumPlanes[T Float](n, size int, x, sums []T) { sumPlanes(n, len(sums), size, x, sums) }

// SumSquares returns the sum of the squares of x in float64, added up in an
// order that follows from len(x) alone.
func SumSquares[T Float](x []T) float64 {
	const block = 1 << 14
	n := (len(x) + block - 1) / block
	sums := borrow[float64](n)
	defer giveBack(sums)
	Parallel(n, 1, func(lo, hi int) {
		for b := lo; b < hi; b++ {
			var total float64
			for _, v := range x[b*block : min((b+1)*block, len(x))] {
				total += float64(v) * float64(v)
			}
			(*sums)[b] = total
		}
	})
	var total float64
	for _, s := range (*sums)[:n] {
		total += s
	}
	return total
}
