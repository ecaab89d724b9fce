package main

import "fmt"

// packed writes what the dense product takes. How packed.go declares the functions
// says what each computes.
func packed() {
	for _, p := range precisions {
		implement(fmt.Sprintf("%sgemm%dx%d", p.prefix, tileRows, tileVectors*p.lanes()))
		p.gemm()
	}
	for _, p := range precisions {
		implement(p.prefix + "transpose4")
		p.transpose4()
		implement(p.prefix + "dot4")
		p.dot4()
		implement(p.prefix + "dot")
		p.dot()
		implement(p.prefix + "axpy4")
		p.axpy4()
	}
}

const (
	tileRows    = 8
	tileVectors = 3
)

// gemm computes a tile of c, which stays in registers for the whole loop over k. A
// step multiplies the vectors of b with each of eight values of a, or with the
// first four where c has no more rows; what is written to the others means nothing.
//
//	R0  rows in use           V0-V23   tile, three vectors a row
//	R1  steps left            V24-V26  b
//	R2  a, R3  b, move on     V27-V30  a: with float32 two of them
//	R4  c, moves down         V30, V31 alpha and beta, after the loop
//	R5  a row of c in bytes   V26-V28  a row of c, after the loop
func (p precision) gemm() {
	arrange("rows", "k", "a", "b", "c", "ldc")
	shift("R5", p.shift)
	zero(0, tileRows*tileVectors)
	const b, a = 24, 27
	step := func(rows int) {
		p.loadNext("R3", b, tileVectors)
		p.loadNext("R2", a, tileRows/p.lanes())
		for i := range rows {
			for j := range tileVectors {
				p.fmaLane(b+j, a+i/p.lanes(), i%p.lanes(), tileVectors*i+j)
			}
		}
	}
	op("CMP", "$4", "R0")
	op("BLE", "four")
	loop("eight", "R1", func() { step(8) })
	jump("finish")
	loop("four", "R1", func() { step(4) })
	label("finish")
	const row = 26
	p.loadOne(argument("alpha"), alpha)
	p.loadOne(argument("beta"), beta)
	p.jumpIfZero(beta, "set")
	for i := range tileRows {
		p.load("R4", row, tileVectors)
		for j := range tileVectors {
			p.mulLane(row+j, beta, 0, row+j)
			p.fmaLane(tileVectors*i+j, alpha, 0, row+j)
		}
		p.storeStep(row, tileVectors, "R4", "R5")
	}
	ret()
	label("set")
	for i := range tileRows {
		for j := range tileVectors {
			p.mulLane(tileVectors*i+j, alpha, 0, tileVectors*i+j)
		}
		p.storeStep(tileVectors*i, tileVectors, "R4", "R5")
	}
	ret()
}

// lines puts into R10 and the registers after it where n lines begin, step bytes
// apart.
func lines(first, step string, n int) {
	move(first, line(0))
	for i := range n - 1 {
		op("ADD", step, line(i), line(i+1))
	}
}

func line(i int) string { return r(10 + i) }

// transpose4 takes as many columns at a time as a vector has elements.
//
//	R0      columns left
//	R3, R4  where a column goes, and from there to the next in bytes
func (p precision) transpose4() {
	arrange("k", "src", "ld", "dst", "step")
	shift("R2", p.shift)
	shift("R4", p.shift)
	lines("R1", "R2", 4)
	counted("R0", p.lanes(), func() {
		for i := range 4 {
			p.loadNext(line(i), i, 1)
		}
		if p.size == 8 {
			p.zip(0, 1, 4, 6)
			p.zip(2, 3, 5, 7)
			p.storeStep(4, 2, "R3", "R4")
			p.storeStep(6, 2, "R3", "R4")
			return
		}
		p.zip(0, 2, 4, 6) // lines 0 and 2 of columns 0, 1 and of columns 2, 3
		p.zip(1, 3, 5, 7) // lines 1 and 3
		p.zip(4, 5, 0, 1)
		p.zip(6, 7, 2, 3)
		for i := range 4 {
			p.storeStep(i, 1, "R3", "R4")
		}
	}, func() {
		for i := range 4 {
			p.loadOneNext(line(i), i)
			p.storeOne(i, fmt.Sprintf("%d(R3)", i*p.size))
		}
		advance("R4", "R3")
	})
	ret()
}

// zip puts the elements of n and m in turn: of the lower halves into low, of the
// upper halves into high.
func (p precision) zip(n, m, low, high int) {
	op("VZIP1", p.v(m), p.v(n), p.v(low))
	op("VZIP2", p.v(m), p.v(n), p.v(high))
}

// dot4 takes two vectors of each line at a time, which have sums of their own.
//
//	R0  elements left   V0-V7    sums, two a line
//	R3  y, moves on     V8, V9   y
//	R4  sums            V10-V17  the lines
func (p precision) dot4() {
	arrange("k", "x", "ldx", "y", "sums")
	shift("R2", p.shift)
	lines("R1", "R2", 4)
	zero(0, 8)
	counted("R0", 2*p.lanes(), func() {
		p.loadNext("R3", 8, 2)
		for i := range 4 {
			p.loadNext(line(i), 10+2*i, 2)
		}
		for i := range 8 {
			p.fma(10+i, 8+i%2, i)
		}
	}, func() {
		p.loadOneNext("R3", 8)
		for i := range 4 {
			p.loadOneNext(line(i), 10)
			p.fma(10, 8, 2*i)
		}
	})
	for i := range 4 {
		p.add(2*i+1, 2*i, 2*i)
	}
	p.sums4([4]int{0, 2, 4, 6}, 0)
	p.store(0, p.four(), "R4")
	ret()
}

// dot has four sums, in V0 to V3, which vectors go to by turns.
func (p precision) dot() {
	arrange("k", "x", "y", "sum")
	zero(0, 4)
	counted("R0", 4*p.lanes(), func() {
		p.loadNext("R1", 4, 4)
		p.loadNext("R2", 8, 4)
		for i := range 4 {
			p.fma(4+i, 8+i, i)
		}
	}, func() {
		p.loadOneNext("R1", 4)
		p.loadOneNext("R2", 8)
		p.fma(4, 8, 0)
	})
	p.add(1, 0, 0)
	p.add(3, 2, 2)
	p.add(2, 0, 0)
	for n := p.lanes(); n > 1; n /= 2 {
		p.pairs(0, 0, 0)
	}
	p.storeOne(0, "(R3)")
	ret()
}

// axpy4 adds to four vectors at a time.
//
//	R0  elements left   V0-V3   y
//	R4  y, moves on     V4-V7   a line
//	                    V8, V9  factors
func (p precision) axpy4() {
	arrange("n", "factors", "x", "ldx", "y")
	shift("R3", p.shift)
	lines("R2", "R3", 4)
	p.load("R1", 8, p.four())
	counted("R0", 4*p.lanes(), func() {
		p.load("R4", 0, 4)
		for i := range 4 {
			p.loadNext(line(i), 4, 4)
			for j := range 4 {
				p.fmaLane(4+j, 8+i/p.lanes(), i%p.lanes(), j)
			}
		}
		p.storeNext(0, 4, "R4")
	}, func() {
		p.loadOne("(R4)", 0)
		for i := range 4 {
			p.loadOneNext(line(i), 4)
			p.fmaLane(4, 8+i/p.lanes(), i%p.lanes(), 0)
		}
		p.storeOneNext(0, "R4")
	})
	ret()
}
