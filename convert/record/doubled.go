package record

import "math"

// doubled is a sum in about twice the precision of float64: high is the sum rounded,
// low what that leaves out (Dekker, "A floating-point technique for extending the
// available precision", 1971). What is added is exact to about 2⁻¹⁰⁴ of the largest
// sum on the way.
type doubled struct{ high, low float64 }

// add adds x.
func (d *doubled) add(x float64) {
	sum, rest := twoSum(d.high, x)
	d.high, d.low = twoSum(sum, d.low+rest)
}

// addProduct adds x·y.
func (d *doubled) addProduct(x, y doubled) {
	p := x.high * y.high
	d.add(p)
	d.add(math.FMA(x.high, y.high, -p) + (x.high*y.low + x.low*y.high))
}

// minus returns d − e, rounded.
func (d doubled) minus(e doubled) float64 {
	d.add(-e.high)
	d.add(-e.low)
	return d.high + d.low
}

// twoSum returns a + b rounded, and exactly what the rounding left out (Knuth).
func twoSum(a, b float64) (sum, rest float64) {
	sum = a + b
	of := sum - a
	return sum, (a - (sum - of)) + (b - of)
}
