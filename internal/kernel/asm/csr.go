package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"   // as assembly reads
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads
)

// csr writes the three products of a sparse matrix with a batch of samples, for
// the rows of one tile: a row alone, or four that have their entries in the same
// columns. A column of x, or a row of y, is as many lines (64 bytes: a Z register,
// or two Y registers) as the batch takes, side by side; columns are found through
// the list of the tile, so nothing is gathered.
func csr() {
	for _, p := range precisions {
		for _, k := range []csrTile{{p, 1, "Row"}, {p, 4, "Rows"}} {
			implement(k.name("forward", "512"))
			k.forward512()
			implement(k.name("input", "512"))
			k.input512()
			implement(k.name("forward", "256"))
			k.forward256()
			implement(k.name("input", "256"))
			k.input256()
			implement(k.name("dots", "512"))
			k.dots(k.dots512)
		}
		row := csrTile{p, 1, "Row"}
		implement(row.name("dots", "256"))
		row.dots(row.dots256)
	}
}

// csrTile is the code for a tile of so many rows. In forward and input:
//
//	AX      the call            R8-R11  w, row by row
//	SI      x, this line        R12     columns
//	DI      bytes from a column of x to the next
//	BX, CX  entry, entries      R13     lines left
//	R14     bytes of y done     DX      where the entry's column is
type csrTile struct {
	precision
	rows int
	what string
}

func (k csrTile) name(product, instructions string) string {
	return k.prefix + product + k.what + instructions
}

// field is a field of the call. Its offset is in go_asm.h, which the compiler writes.
func (k csrTile) field(name string) Mem {
	return Mem{Symbol: Symbol{Name: fmt.Sprintf("csrCall%d_%s", 8*k.size, name)}, Base: RAX}
}

// pointer loads the pointer of a row.
func (k csrTile) pointer(name string, row int, to Register) {
	MOVQ(k.field(name).Offset(8*row), to)
}

// weight is the entry of a row.
func (k csrTile) weight(row int) Mem {
	return at(0, []Register{R8, R9, R10, R11}[row], RBX, k.size)
}

// line is where the lines of the entry's column begin, plus offset.
func line(offset int) Mem { return at(offset, RSI, RDX, 1) }

func (k csrTile) begin() {
	MOVQ(address(Param("call")), RAX)
	MOVQ(k.field("n"), RCX)
	MOVQ(k.field("columns"), R12)
	MOVQ(k.field("step"), RDI)
	MOVQ(k.field("x"), RSI)
	MOVQ(k.field("lines"), R13)
	for r := range k.rows {
		k.pointer("w", r, k.weight(r).Base)
	}
	Comment("Prefetch the weights that come after these.")
	MOVQ(k.field("ahead"), RDX)
	LEAQ(at(0, RDX, RCX, k.size), R14)
	Label("ahead")
	for r := range k.rows {
		PREFETCHT0(at(0, k.weight(r).Base, RDX, 1))
	}
	ADDQ(Imm(64), RDX)
	CMPQ(RDX, R14)
	JLT(LabelRef("ahead"))
	XORQ(R14, R14)
}

// four runs body for four lines at a time, and goes on to ones with what is left.
func (k csrTile) four(body func()) {
	Label("fours")
	CMPQ(R13, Imm(4))
	JLT(LabelRef("ones"))
	body()
	k.nextLines(4)
	JMP(LabelRef("fours"))
}

// ones runs body line by line, and returns.
func (k csrTile) ones(body func()) {
	Label("ones")
	TESTQ(R13, R13)
	JEQ(LabelRef("done"))
	body()
	k.nextLines(1)
	JMP(LabelRef("ones"))
	Label("done")
	VZEROUPPER()
	RET()
}

func (k csrTile) nextLines(n int) {
	ADDQ(U32(n*64), RSI)
	ADDQ(U32(n*64), R14)
	SUBQ(Imm(uint64(n)), R13)
}

// entries runs body for each entry.
func (k csrTile) entries(label string, body func()) {
	XORQ(RBX, RBX)
	loop(label)
	k.column()
	body()
	k.nextEntry()
	JLT(LabelRef(label))
}

func (k csrTile) column() {
	MOVLQSX(at(0, R12, RBX, 4), RDX)
	IMULQ(RDI, RDX)
}

func (k csrTile) nextEntry() {
	INCQ(RBX)
	CMPQ(RBX, RCX)
}

// bias starts the sums of a row.
func (k csrTile) bias(row int, sums ...Register) {
	k.pointer("bias", row, RDX)
	k.broadcast(Mem{Base: RDX}, sums[0])
	for _, s := range sums[1:] {
		VMOVUPS(sums[0], s)
	}
}

func (k csrTile) store(row int, sums ...Register) {
	k.pointer("y", row, RDX)
	store(at(0, RDX, R14, 1), sums...)
}

func (k csrTile) load(row int, values ...Register) {
	k.pointer("y", row, RDX)
	load(at(0, RDX, R14, 1), values...)
}

// forward512 computes y = w·x + bias.
func (k csrTile) forward512() {
	k.begin()
	k.four(func() {
		for r := range k.rows {
			k.bias(r, zs(4*r, 4)...)
		}
		k.entries("four", func() {
			if k.rows == 1 {
				k.broadcast(k.weight(0), z(20))
				for i := range 4 {
					k.fma(line(64*i), z(20), z(i))
				}
				return
			}
			load(line(0), zs(16, 4)...)
			for r := range k.rows {
				k.broadcast(k.weight(r), z(20+r))
			}
			for r := range k.rows {
				for i := range 4 {
					k.fma(z(16+i), z(20+r), z(4*r+i))
				}
			}
		})
		for r := range k.rows {
			k.store(r, zs(4*r, 4)...)
		}
	})
	k.ones(k.forwardLine512)
}

// forwardLine512 has several sums for each row, which entries take by turns: one
// alone would wait for itself.
func (k csrTile) forwardLine512() {
	sums := 4
	if k.rows == 4 {
		sums = 2
	}
	add := func(sum int) { // an entry
		k.column()
		load(line(0), z(16+sum))
		for r := range k.rows {
			k.fmaBroadcast(k.weight(r), z(16+sum), z(k.rows*sum+r))
		}
	}
	for r := range k.rows {
		k.bias(r, z(r))
	}
	zero(zs(k.rows, k.rows*(sums-1))...)
	XORQ(RBX, RBX)
	SUBQ(Imm(uint64(sums-1)), RCX)
	JLE(LabelRef("rest"))
	loop("turns")
	for i := range sums {
		if i > 0 {
			INCQ(RBX)
		}
		add(i)
	}
	k.nextEntry()
	JLT(LabelRef("turns"))
	Label("rest")
	ADDQ(Imm(uint64(sums-1)), RCX)
	CMPQ(RBX, RCX)
	JGE(LabelRef("sum"))
	Label("entry")
	add(0)
	k.nextEntry()
	JLT(LabelRef("entry"))
	Label("sum")
	for step := 1; step < sums; step *= 2 {
		for i := 0; i < sums; i += 2 * step {
			for r := range k.rows {
				k.add(z(k.rows*(i+step)+r), z(k.rows*i+r), z(k.rows*i+r))
			}
		}
	}
	for r := range k.rows {
		k.store(r, z(r))
	}
}

// input512 adds wᵀ·y to x.
func (k csrTile) input512() {
	k.begin()
	k.four(func() {
		for r := range k.rows {
			k.load(r, zs(4*r, 4)...)
		}
		k.entries("four", func() {
			load(line(0), zs(16, 4)...)
			for r := range k.rows {
				k.broadcast(k.weight(r), z(20+r))
			}
			for r := range k.rows {
				for i := range 4 {
					k.fma(z(4*r+i), z(20+r), z(16+i))
				}
			}
			store(line(0), zs(16, 4)...)
		})
	})
	k.ones(func() {
		for r := range k.rows {
			k.load(r, z(r))
		}
		k.entries("one", func() {
			load(line(0), z(16))
			for r := range k.rows {
				k.fmaBroadcast(k.weight(r), z(r), z(16))
			}
			store(line(0), z(16))
		})
	})
}

// forward256 is forward512 for AVX2: four rows take one line at a time, a row
// alone four or one.
func (k csrTile) forward256() {
	k.begin()
	if k.rows == 1 {
		row := func(label string, halves int) {
			k.bias(0, ys(0, halves)...)
			k.entries(label, func() {
				k.broadcast(k.weight(0), y(10))
				for i := range halves {
					k.fma(line(32*i), y(10), y(i))
				}
			})
			k.store(0, ys(0, halves)...)
		}
		k.four(func() { row("four", 8) })
		k.ones(func() { row("one", 2) })
		return
	}
	k.ones(func() {
		for r := range k.rows {
			k.bias(r, ys(2*r, 2)...)
		}
		k.entries("one", func() {
			load(line(0), ys(8, 2)...)
			for r := range k.rows {
				k.broadcast(k.weight(r), y(10))
				k.fma(y(8), y(10), y(2*r))
				k.fma(y(9), y(10), y(2*r+1))
			}
		})
		for r := range k.rows {
			k.store(r, ys(2*r, 2)...)
		}
	})
}

// input256 is input512 for AVX2, with lines as in forward256.
func (k csrTile) input256() {
	k.begin()
	if k.rows == 1 {
		row := func(label string, halves int) {
			k.load(0, ys(0, halves)...)
			k.entries(label, func() {
				k.broadcast(k.weight(0), y(10))
				for i := range halves {
					load(line(32*i), y(8))
					k.fma(y(i), y(10), y(8))
					store(line(32*i), y(8))
				}
			})
		}
		k.four(func() { row("four", 8) })
		k.ones(func() { row("one", 2) })
		return
	}
	k.ones(func() {
		for r := range k.rows {
			k.load(r, ys(2*r, 2)...)
		}
		k.entries("one", func() {
			load(line(0), ys(8, 2)...)
			for r := range k.rows {
				k.broadcast(k.weight(r), y(10+r))
			}
			for r := range k.rows {
				k.fma(y(2*r), y(10+r), y(8))
				k.fma(y(2*r+1), y(10+r), y(9))
			}
			store(line(0), ys(8, 2)...)
		})
	})
}

// The registers of dots:
//
//	AX              the call           R10-R13  y, row by row
//	SI, DI, R8, R9  columns of x       BX, CX   line, lines in bytes
//	R14             entry              DX       w
var (
	dotColumns = []Register{RSI, RDI, R8, R9}
	dotRows    = []Register{R10, R11, R12, R13}
)

// dots computes w = alpha·(y·xᵀ) + beta·w, four entries of a row at a time; the
// number of entries is a multiple of four. tile adds up the products of the rows
// with four columns, into four(0), four(4) and so on.
func (k csrTile) dots(tile func()) {
	MOVQ(address(Param("call")), RAX)
	for r := range k.rows {
		k.pointer("y", r, dotRows[r])
	}
	XORQ(R14, R14)
	Label("tile")
	MOVQ(k.field("columns"), RDX)
	MOVQ(k.field("step"), RCX)
	for i, column := range dotColumns {
		MOVLQSX(at(4*i, RDX, R14, 4), column)
		IMULQ(RCX, column)
		ADDQ(k.field("x"), column)
	}
	MOVQ(k.field("lines"), RCX)
	SHLQ(Imm(6), RCX)
	XORQ(RBX, RBX)
	tile()
	k.finish(k.rows, k.field("alpha"), k.field("beta"), func(r int) Mem {
		k.pointer("w", r, RDX)
		return at(0, RDX, R14, k.size)
	}, func() {})
	ADDQ(Imm(4), R14)
	CMPQ(R14, k.field("n"))
	JLT(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

func (k csrTile) eachLine(body func()) {
	loop("line")
	body()
	ADDQ(Imm(64), RBX)
	CMPQ(RBX, RCX)
	JLT(LabelRef("line"))
}

func (k csrTile) dots512() {
	zero(zs(0, 4*k.rows)...)
	k.eachLine(func() {
		if k.rows == 1 {
			load(at(0, dotRows[0], RBX, 1), z(20))
			for i, column := range dotColumns {
				k.fma(at(0, column, RBX, 1), z(20), z(i))
			}
			return
		}
		load(at(0, dotRows[0], RBX, 1), z(16))
		for i, column := range dotColumns {
			load(at(0, column, RBX, 1), z(20+i))
		}
		for r, row := range dotRows[1:] {
			load(at(0, row, RBX, 1), z(17+r))
		}
		for r := range dotRows {
			for i := range dotColumns {
				k.fma(z(20+i), z(16+r), z(4*r+i))
			}
		}
	})
	for r := range k.rows {
		k.sums512(4 * r)
	}
}

func (k csrTile) dots256() {
	zero(ys(0, 8)...)
	k.eachLine(func() {
		load(at(0, dotRows[0], RBX, 1), ys(8, 2)...)
		for half := range 2 {
			for i, column := range dotColumns {
				k.fma(at(32*half, column, RBX, 1), y(8+half), y(4*half+i))
			}
		}
	})
	for i := range dotColumns {
		k.add(y(4+i), y(i), y(i))
	}
	k.sums256(0)
}
