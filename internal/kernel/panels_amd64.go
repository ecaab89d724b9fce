package kernel

// These take AVX-512. asm/panels.go writes them.

// sgather copies, for each of k steps, k at least 1, elements of src from
// offsets[step] on, those that mask has, to dst[32·step] and what follows.
//
//go:noescape
func sgather(k int, offsets *int, src, dst *float32, mask uint32)

// dgather is sgather for float64, with 16 elements in place of 32.
//
//go:noescape
func dgather(k int, offsets *int, src, dst *float64, mask uint32)

// souter12x32 adds to sums, 12×32, the products of what 12 rows read in an image and
// of vectors of dy, 32 a position, summed over positions: lines of them, each of width
// neighbours, that begin pitch apart. Row r reads src from offsets[r] on.
//
//go:noescape
func souter12x32(lines, width, pitch int, offsets *int, src, dy, sums *float32)

// souter12x16 is souter12x32 for the first 16 elements of each vector; sums are 12×16.
//
//go:noescape
func souter12x16(lines, width, pitch int, offsets *int, src, dy, sums *float32)

// douter12x16 is souter12x32 for float64 and half as many elements.
//
//go:noescape
func douter12x16(lines, width, pitch int, offsets *int, src, dy, sums *float64)

// douter12x8 is souter12x16 for float64 and half as many elements.
//
//go:noescape
func douter12x8(lines, width, pitch int, offsets *int, src, dy, sums *float64)

// salong9 adds to sums, 9×16, the products of n elements of dy with those of src from
// offsets[r] on, for nine rows r: lane i sums elements i, i+16 and so on. n is a
// multiple of 16, and at least 16.
//
//go:noescape
func salong9(n int, offsets *int, src, dy, sums *float32)

// dalong9 is salong9 for float64 and lanes of 8.
//
//go:noescape
func dalong9(n int, offsets *int, src, dy, sums *float64)

var (
	singleColumns = &columnRoutines[float32]{
		lanes: 16, gather: sgather, outer: souter12x32, outerHalf: souter12x16, along: salong9,
	}
	doubleColumns = &columnRoutines[float64]{
		lanes: 8, gather: dgather, outer: douter12x16, outerHalf: douter12x8, along: dalong9,
	}
)
