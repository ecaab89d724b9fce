//go:build amd64 || arm64

package kernel

import "unsafe"

// pack copies lines of x, depth steps of them, into panels of width lines each,
// the last filled up with zeros: step s of line i of a panel goes to
// s·width + i.
func (r *routines[T]) pack(dst []T, width int, x operand[T], lines, depth int) {
	whole := lines / width * width
	if x.step == 1 {
		for i := 0; i < whole; i += width {
			r.packLines(dst[i*depth:], width, x.at(i, 0), width, depth)
		}
	} else if whole > 0 {
		packSteps(dst, width, x, whole, depth)
	}
	if lines == whole {
		return
	}
	dst = dst[whole*depth : (whole+width)*depth]
	clear(dst)
	x = x.at(whole, 0)
	lines -= whole
	if x.step == 1 {
		r.packLines(dst, width, x, lines, depth)
		return
	}
	for s := range depth {
		copy(dst[s*width:], x.data[s*x.step:][:lines])
	}
}

// packLines packs one panel of lines that are contiguous along k. Lines go in
// fours; where their number is not divisible by 4, the last four overlap those
// before.
func (r *routines[T]) packLines(dst []T, width int, x operand[T], lines, depth int) {
	if lines < 4 {
		for i := range lines {
			for s, v := range x.data[i*x.line:][:depth] {
				dst[s*width+i] = v
			}
		}
		return
	}
	for i := 0; i < lines; i += 4 {
		i := min(i, lines-4)
		r.transpose4(depth, &x.data[i*x.line], x.line, &dst[i], width)
	}
}

// packSteps packs whole panels of lines that lie side by side at every step. It
// goes through a few steps at a time, across all panels, to read memory in
// longer stretches than a panel is wide.
func packSteps[T Float](dst []T, width int, x operand[T], lines, depth int) {
	const together = 8
	size := int(unsafe.Sizeof(dst[0]))
	for s := 0; s < depth; s += together {
		for i := 0; i < lines; i += width {
			copyRows(
				min(together, depth-s), unsafe.Pointer(&x.data[s*x.step+i]), x.step*size,
				unsafe.Pointer(&dst[i*depth+s*width]), width*size, width*size,
			)
		}
	}
}
