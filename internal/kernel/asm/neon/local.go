package main

import "fmt"

// local writes the three products of a locally connected layer, for one position.
// A line of samples (64 bytes) is four vectors. A line of the input is found
// through the table, so nothing is gathered; weights are read where they lie.
func local() {
	for _, p := range precisions {
		implement(p.prefix + "forward128")
		p.forward()
		implement(p.prefix + "input128")
		p.input()
		implement(p.prefix + "dots128")
		p.dots()
	}
}

const (
	lineVectors = 4
	lineBytes   = 16 * lineVectors

	// The sums of a tile of four rows, or slots, are V0 to V15; a line is in
	// theLine and those after it, and weights in theWeights.
	theLine    = 16
	theWeights = 20
)

// tiles runs body for four at a time of what a register counts, then for one at a
// time, and returns. The sums are zero in the beginning.
func tiles(left string, body func(n int)) {
	for _, t := range []struct {
		n          int
		name, next string
	}{{4, "fours", "ones"}, {1, "ones", "done"}} {
		label(t.name)
		op("CMP", imm(t.n), left)
		op("BLT", t.next)
		zero(0, lineVectors*t.n)
		body(t.n)
		op("SUB", imm(t.n), left)
		jump(t.name)
	}
	label("done")
	ret()
}

// inner names the loop within a tile.
func inner(n int) string { return map[int]string{4: "four", 1: "one"}[n] }

// tableLine puts into a register where the line is that the table names, and moves
// on in the table.
func tableLine(table, lines, to string) {
	op("MOVW.P", "4("+table+")", to)
	op("ADD", to+"<<6", lines, to)
}

// multiply adds to each of n sums the line times its weight, a lane of a vector.
func (p precision) multiply(n int, weight func(i int) (vector, lane int)) {
	for i := range n {
		vector, lane := weight(i)
		for j := range lineVectors {
			p.fmaLane(theLine+j, vector, lane, lineVectors*i+j)
		}
	}
}

// forward computes y = w·x + bias, in tiles of rows of y.
//
//	R0      rows left            R1       slots
//	R2, R3  table, x             R4       w, the first row of the tile
//	R5, R6  y, a row in bytes    R7, R8   bias, a row in bytes
//	R9      a row of w in bytes  R10-R13  w row by row, move on
//	R14     table, moves on      R15      slots left
func (p precision) forward() {
	arrange("rows", "slots", "table", "x", "w", "y", "ldy", "bias", "ldb")
	shift("R6", p.shift)
	shift("R8", p.shift)
	op("LSL", imm(p.shift), "R1", "R9")
	tiles("R0", func(n int) {
		lines("R4", "R9", n)
		move("R2", "R14")
		move("R1", "R15")
		loop(inner(n), "R15", func() {
			tableLine("R14", "R3", "R19")
			p.load("R19", theLine, lineVectors)
			for i := range n {
				p.loadOneNext(line(i), theWeights+i)
			}
			p.multiply(n, func(i int) (vector, lane int) { return theWeights + i, 0 })
		})
		move(line(n-1), "R4") // behind the last row
		for i := range n {
			p.broadcastStep("R7", "R8", theWeights)
			for j := range lineVectors {
				p.add(lineVectors*i+j, theWeights, lineVectors*i+j)
			}
			p.storeStep(lineVectors*i, lineVectors, "R5", "R6")
		}
	})
}

// input adds wᵀ·dy to dx, in tiles of slots. Slots of a tile may name the same
// line: their sums are added one after the other.
//
//	R0      slots left            R1       rows
//	R2, R6  table, moves on; dx   R3       w, the first row of the tile's slots
//	R4      a row of w in bytes   R5       dy
//	R9      w, moves down         R10      dy, moves on
//	R11     rows left
func (p precision) input() {
	arrange("slots", "outs", "table", "w", "ldw", "dy", "dx")
	shift("R4", p.shift)
	tiles("R0", func(n int) {
		move("R3", "R9")
		move("R5", "R10")
		move("R1", "R11")
		loop(inner(n), "R11", func() {
			p.loadNext("R10", theLine, lineVectors)
			if n == 1 {
				p.loadOne("(R9)", theWeights)
				advance("R4", "R9")
			} else {
				p.loadStep("R9", "R4", theWeights, p.four())
			}
			p.multiply(n, func(i int) (vector, lane int) { return theWeights + i/p.lanes(), i % p.lanes() })
		})
		for i := range n {
			tableLine("R2", "R6", "R12")
			p.load("R12", theLine, lineVectors)
			for j := range lineVectors {
				p.add(lineVectors*i+j, theLine+j, theLine+j)
			}
			p.store(theLine, lineVectors, "R12")
		}
		advance(imm(n*p.size), "R3")
	})
}

// dots computes the gradient at the weights: c = alpha·(a·bᵀ) + beta·c, where a
// row of a or b is as many lines as there are blocks of samples. The lines of a
// block lie side by side, so every dot product is summed in a vector of its own and
// that added up at the end, four rows by four columns at a time.
//
// What lies behind the last row of a in a block is read, up to three lines of it,
// and does not matter.
//
//	R0      rows                R1       columns left
//	R2      blocks              R3, R4   a, and from block to block in bytes
//	R5, R6  b, likewise         R7, R8   c, a row in bytes
//	R9, R10 a and b, move on    R11      blocks left
//	V0-V15  sums, row by row    V16-V31  half a line of each row and column
func (p precision) dots() {
	arrange("rows", "cols", "blocks", "a", "lda", "b", "ldb", "c", "ldc")
	for _, step := range []string{"R4", "R6", "R8"} {
		shift(step, p.shift)
	}
	label("tile")
	zero(0, 16)
	move("R3", "R9")
	move("R5", "R10")
	move("R2", "R11")
	loop("block", "R11", func() {
		for half := range 2 {
			for i := range 4 {
				op("FLDPQ", fmt.Sprintf("%d(R9)", lineBytes*i+32*half), fmt.Sprintf("(F%d, F%d)", 16+2*i, 17+2*i))
				op("FLDPQ", fmt.Sprintf("%d(R10)", lineBytes*i+32*half), fmt.Sprintf("(F%d, F%d)", 24+2*i, 25+2*i))
			}
			for v := range 2 {
				for row := range 4 {
					for column := range 4 {
						p.fma(24+2*column+v, 16+2*row+v, 4*row+column)
					}
				}
			}
		}
		advance("R4", "R9")
		advance("R6", "R10")
	})
	for row := range 4 {
		p.sums4([4]int{4 * row, 4*row + 1, 4*row + 2, 4*row + 3}, 4*row)
	}
	p.loadOne(argument("alpha"), alpha)
	p.loadOne(argument("beta"), beta)
	move("R7", "R9")
	move("R0", "R10")
	for row := range 4 {
		p.finish(4*row, "R9", inner(4)+fmt.Sprint(row))
		advance("R8", "R9")
		if row < 3 {
			op("SUB", "$1", "R10")
			op("CBZ", "R10", "next")
		}
	}
	label("next")
	advance(imm(4*lineBytes), "R5")
	advance(imm(4*p.size), "R7")
	op("SUBS", "$4", "R1")
	op("BGT", "tile")
	ret()
}

// alpha and beta are where finish has its factors.
const alpha, beta = 30, 31

// finish writes alpha·sums + beta·c to four elements of c, the sums being vector i,
// and with float64 the one after it. With beta ±0, c is not read. It overwrites V28
// and V29.
func (p precision) finish(i int, c, set string) {
	for v := range p.four() {
		p.mulLane(i+v, alpha, 0, i+v)
	}
	p.jumpIfZero(beta, set)
	p.load(c, 28, p.four())
	for v := range p.four() {
		p.fmaLane(28+v, beta, 0, i+v)
	}
	label(set)
	p.store(i, p.four(), c)
}
