package kernel

// asm/panels.go writes these. Numbers in names are bits of vectors, of gather, or elements:
// the first of each is for AVX-512, the second for AVX2.

// sgather512 copies, for each of k steps, k at least 1, n elements of src from
// offsets[step] on to dst[32·step] and what follows. n is from 1 to 16.
//
//go:noescape
func sgather512(k int, offsets *int, src, dst *float32, n int)

// sgather256 is sgather512 with half as many elements.
//
//go:noescape
func sgather256(k int, offsets *int, src, dst *float32, n int)

// dgather512 is sgather512 for float64, with half as many elements.
//
//go:noescape
func dgather512(k int, offsets *int, src, dst *float64, n int)

// dgather256 is dgather512 with half as many elements.
//
//go:noescape
func dgather256(k int, offsets *int, src, dst *float64, n int)

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

// souter6x16 and souter6x8 are souter12x32 and souter12x16 for 6 rows and half as many
// elements.
//
//go:noescape
func souter6x16(lines, width, pitch int, offsets *int, src, dy, sums *float32)

//go:noescape
func souter6x8(lines, width, pitch int, offsets *int, src, dy, sums *float32)

// douter12x16, douter12x8, douter6x8 and douter6x4 are the same for float64 and half as
// many elements.
//
//go:noescape
func douter12x16(lines, width, pitch int, offsets *int, src, dy, sums *float64)

//go:noescape
func douter12x8(lines, width, pitch int, offsets *int, src, dy, sums *float64)

//go:noescape
func douter6x8(lines, width, pitch int, offsets *int, src, dy, sums *float64)

//go:noescape
func douter6x4(lines, width, pitch int, offsets *int, src, dy, sums *float64)

// salong9x16 adds to sums, 9×16, the products of n elements of dy with those of src from
// offsets[r] on, for nine rows r: lane i sums elements i, i+16 and so on. n is a
// multiple of 16, and at least 16.
//
//go:noescape
func salong9x16(n int, offsets *int, src, dy, sums *float32)

// salong9x8 is salong9x16 for lanes of 8, and dalong9x8 and dalong9x4 are those for
// float64.
//
//go:noescape
func salong9x8(n int, offsets *int, src, dy, sums *float32)

//go:noescape
func dalong9x8(n int, offsets *int, src, dy, sums *float64)

//go:noescape
func dalong9x4(n int, offsets *int, src, dy, sums *float64)

var (
	singleColumns512 = &columnRoutines[float32]{
		lanes: 16, rows: 12, gather: sgather512, outer: souter12x32, outerHalf: souter12x16, along: salong9x16,
	}
	doubleColumns512 = &columnRoutines[float64]{
		lanes: 8, rows: 12, gather: dgather512, outer: douter12x16, outerHalf: douter12x8, along: dalong9x8,
	}
	singleColumns256 = &columnRoutines[float32]{
		lanes: 8, rows: 6, gather: sgather256, outer: souter6x16, outerHalf: souter6x8, along: salong9x8,
	}
	doubleColumns256 = &columnRoutines[float64]{
		lanes: 4, rows: 6, gather: dgather256, outer: douter6x8, outerHalf: douter6x4, along: dalong9x4,
	}
)
