package kernel

// Moments returns the mean of x and its variance, divided by the count, summed in
// float64 in two passes: the variance must not drown in the rounding of a large
// mean. x is not empty.
func Moments[T Float](x []T) (mean, variance float64) {
	var totals, squares strands
	addValues(&totals, x)
	mean = totals.sum() / float64(len(x))
	addSquares(&squares, x, mean)
	return mean, squares.sum() / float64(len(x))
}

// MeanSquare returns the mean of the squares of x, summed in float64. x is not
// empty.
func MeanSquare[T Float](x []T) float64 {
	var squares strands
	addSquares(&squares, x, 0)
	return squares.sum() / float64(len(x))
}
