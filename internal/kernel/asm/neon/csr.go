package main

import "fmt"

// csr writes the three products of a sparse matrix with a batch of samples, for
// the rows of one tile: a row alone, or four that have their entries in the same
// columns. A column of x, or a row of y, is as many lines (64 bytes: four vectors)
// as the batch takes, side by side; columns are found through the list of the tile,
// so nothing is gathered.
func csr() {
	for _, p := range precisions {
		for _, k := range []csrTile{{p, 1, "Row"}, {p, 4, "Rows"}} {
			implement(p.prefix + "forward" + k.what + "128")
			k.forward()
			implement(p.prefix + "input" + k.what + "128")
			k.input()
		}
		row := csrTile{p, 1, "Row"}
		implement(p.prefix + "dotsRow128")
		row.dots()
	}
}

// csrTile is the code for a tile of so many rows. In forward and input:
//
//	R0  the call                   R7       bytes of y done
//	R1  entries   R2  columns      R8       entries left
//	R3  bytes from a column of x   R9       columns, moves on
//	    to the next                R10-R13  w, row by row, move on
//	R4  x, this line               R14      where the entry's column is
//	R5  lines left                 R15      scratch
type csrTile struct {
	precision
	rows int
	what string
}

// field is a field of the call, of the row if there is one for each. Its offset is in
// go_asm.h, which the compiler writes.
func (k csrTile) field(name string, row int) string {
	name = fmt.Sprintf("csrCall%d_%s", 8*k.size, name)
	if row > 0 {
		name = fmt.Sprintf("(%s+%d)", name, 8*row)
	}
	return name + "(R0)"
}

func (k csrTile) begin() {
	op("MOVD", argument("call"), "R0")
	for i, name := range []string{"n", "columns", "step", "x", "lines"} {
		op("MOVD", k.field(name, 0), r(1+i))
	}
	move("ZR", "R7")
}

// lines runs body for n lines at a time while there are as many, and then goes on
// with what follows.
func (k csrTile) lines(n int, body func()) {
	name, next := map[int]string{4: "fours", 1: "ones"}[n], map[int]string{4: "ones", 1: "done"}[n]
	label(name)
	op("CMP", imm(n), "R5")
	op("BLT", next)
	body()
	advance(imm(n*lineBytes), "R4")
	advance(imm(n*lineBytes), "R7")
	op("SUB", imm(n), "R5")
	jump(name)
}

// each runs body for each entry of the tile, with its weights in theWeights and the
// vectors after it.
func (k csrTile) each(n int, body func()) {
	for row := range k.rows {
		op("MOVD", k.field("w", row), line(row))
	}
	move("R2", "R9")
	move("R1", "R8")
	loop(inner(n), "R8", func() {
		k.column("R9", "R14")
		for row := range k.rows {
			k.loadOneNext(line(row), theWeights+row)
		}
		body()
	})
}

// column puts into a register where the next column's lines begin.
func (k csrTile) column(columns, to string) {
	op("MOVW.P", "4("+columns+")", to)
	op("MADD", "R3", "R4", to, to)
}

// y puts into R15 where this line of a row is.
func (k csrTile) y(row int) {
	op("MOVD", k.field("y", row), "R15")
	advance("R7", "R15")
}

// forward computes y = w·x + bias: four rows take one line at a time, a row alone
// four or one. The sums are V0 to V15.
func (k csrTile) forward() {
	k.begin()
	each := func(n int) { // lines
		for row := range k.rows {
			op("MOVD", k.field("bias", row), "R15")
			k.broadcast("R15", lineVectors*row)
			for i := 1; i < lineVectors*n; i++ {
				op("VMOV", fmt.Sprintf("V%d.B16", lineVectors*row), fmt.Sprintf("V%d.B16", lineVectors*row+i))
			}
		}
		k.each(n, func() {
			for i := range n {
				k.loadNext("R14", theLine, lineVectors)
				for j := range lineVectors {
					for row := range k.rows {
						k.fmaLane(theLine+j, theWeights+row, 0, lineVectors*(row+i)+j)
					}
				}
			}
		})
		for row := range k.rows {
			k.y(row)
			for i := range n {
				k.storeNext(lineVectors*(row+i), lineVectors, "R15")
			}
		}
	}
	k.eachLines(each)
}

// eachLines runs body for four lines at a time, if the tile is one row, and for one
// at a time, and returns.
func (k csrTile) eachLines(body func(n int)) {
	if k.rows == 1 {
		k.lines(4, func() { body(4) })
	}
	k.lines(1, func() { body(1) })
	label("done")
	ret()
}

// input adds wᵀ·y to x, with lines as in forward. The lines of y are V0 to V15.
func (k csrTile) input() {
	k.begin()
	k.eachLines(func(n int) {
		for row := range k.rows {
			k.y(row)
			for i := range n {
				k.loadNext("R15", lineVectors*(row+i), lineVectors)
			}
		}
		k.each(n, func() {
			for i := range n {
				k.load("R14", theLine, lineVectors)
				for row := range k.rows {
					for j := range lineVectors {
						k.fmaLane(lineVectors*(row+i)+j, theWeights+row, 0, theLine+j)
					}
				}
				k.storeNext(theLine, lineVectors, "R14")
			}
		})
	})
}

// dots computes w = alpha·(y·xᵀ) + beta·w, four entries of a row at a time; the
// number of entries is a multiple of four.
//
//	R0      the call              R6, R7   w, y
//	R1      entries left          R8       lines left
//	R2      columns, moves on     R9       y, moves on
//	R3-R5   as above              R10-R13  columns of x, move on
//	V0-V15  sums, four a column   V16-V23  a line of y, and one of a column
func (k csrTile) dots() {
	k.begin()
	op("MOVD", k.field("w", 0), "R6")
	op("MOVD", k.field("y", 0), "R7")
	label("tile")
	zero(0, 16)
	for i := range 4 {
		k.column("R2", line(i))
	}
	move("R7", "R9")
	move("R5", "R8")
	loop("line", "R8", func() {
		k.loadNext("R9", theLine, lineVectors)
		for i := range 4 {
			k.loadNext(line(i), theLine+lineVectors, lineVectors)
			for j := range lineVectors {
				k.fma(theLine+j, theLine+lineVectors+j, lineVectors*i+j)
			}
		}
	})
	for i := range 4 {
		k.add(4*i+1, 4*i, 4*i)
		k.add(4*i+3, 4*i+2, 4*i+2)
		k.add(4*i+2, 4*i, 4*i)
	}
	k.sums4([4]int{0, 4, 8, 12}, 0)
	k.loadOne(k.field("alpha", 0), alpha)
	k.loadOne(k.field("beta", 0), beta)
	k.finish(0, "R6", "set")
	advance(imm(4*k.size), "R6")
	op("SUBS", "$4", "R1")
	op("BGT", "tile")
	ret()
}
