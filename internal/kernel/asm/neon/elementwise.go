package main

import "fmt"

// elementwise writes the loops of one pass over stretches of float32, and their sums
// in float64: the code of vector_code.go, where each is declared. Every operation
// rounds as in the plain code, which gives the same bits.
func elementwise() {
	p := single
	pass("sscale", []string{"factor", "offset"}, []string{"src"}, []result{{"dst", 0}}, func(i int, v vectors) {
		p.mul(v.source(0, i), v.constant(0), v.source(0, i))
		p.add(v.source(0, i), v.constant(1), v.source(0, i))
	})
	pass("sclip", []string{"lo", "hi"}, []string{"src"}, []result{{"dst", 0}}, func(i int, v vectors) {
		x, mask := v.source(0, i), v.scratch(0, i)
		greater(v.constant(0), x, mask)
		insert(mask, v.constant(0), x)
		greater(x, v.constant(1), mask)
		insert(mask, v.constant(1), x)
	})
	pass("sadd", nil, []string{"a", "b"}, []result{{"dst", 0}}, func(i int, v vectors) {
		p.add(v.source(0, i), v.source(1, i), v.source(0, i))
	})
	// b where it is above a, or NaN, which equals nothing.
	pass("smaximum", nil, []string{"a", "b"}, []result{{"dst", 0}}, func(i int, v vectors) {
		a, b, mask := v.source(0, i), v.source(1, i), v.scratch(0, i)
		greater(b, a, mask)
		insert(mask, b, a)
		equal(b, b, mask)
		op("VBIF", bits(mask), bits(b), bits(a))
	})
	pass("sgate", nil, []string{"out", "grad"}, []result{{"dst", 0}}, func(i int, v vectors) {
		out, grad := v.source(0, i), v.source(1, i)
		word("FCMLE", 0x6ea0d800, out, 0, out, fmt.Sprintf("%s, %s, #0.0", p.arm(out), p.arm(out)))
		without(grad, out, out)
	})
	sources := []string{"a", "ai", "b", "bi"}
	pass("sgreatest", nil, sources, []result{{"dst", 2}, {"index", 3}}, pick)
	pass("snormalise8", []string{"mean", "factor", "offset"}, []string{"src"}, []result{{"dst", 0}},
		func(i int, v vectors) {
			x := v.source(0, i)
			p.sub(x, v.constant(0), x)
			p.mul(x, v.constant(1), x)
			p.add(x, v.constant(2), x)
		})
	pass("sgradient8", []string{"mean", "slope", "shift", "factor"}, []string{"x", "dy"}, []result{{"dst", 0}},
		func(i int, v vectors) {
			x, dy := v.source(0, i), v.source(1, i)
			p.sub(x, v.constant(0), x)
			p.mul(x, v.constant(1), x)
			p.sub(dy, v.constant(2), dy)
			p.sub(dy, x, x)
			p.mul(x, v.constant(3), x)
		})

	implement("severysecond")
	everySecond()
	implement("staps")
	taps()
	for _, lines := range []int{4, 1} {
		implement(fmt.Sprintf("sterms%d", 16*lines))
		terms(lines)
	}
	implement("ssum8")
	strands(nil, []string{"src", "sums"}, func(i int) {
		double.add(i, 16+i, i)
	})
	implement("ssquares8")
	strands([]string{"mean"}, []string{"src", "sums"}, func(i int) {
		double.sub(16+i, 31, 16+i)
		double.mul(16+i, 16+i, 16+i)
		double.add(i, 16+i, i)
	})
	implement("sproducts8")
	strands([]string{"mean"}, []string{"x", "dy", "total", "along"}, func(i int) {
		double.add(i, 20+i, i)
		double.sub(16+i, 31, 16+i)
		double.mul(20+i, 16+i, 16+i)
		double.add(4+i, 16+i, 4+i)
	})
}

// vectors names the registers of a pass: four for each source, four for each scratch
// value, and one for each constant, from the last one down.
type vectors struct{ sources int }

func (vectors) source(s, i int) int    { return 4*s + i }
func (v vectors) scratch(s, i int) int { return 4*(v.sources+s) + i }
func (vectors) constant(c int) int     { return 31 - c }

// result is what of a source's registers is written to a stretch.
type result struct {
	name   string
	source int
}

// pass writes a loop over n elements: 16, then 4, then 1 at a time. body computes
// vector i; where a single element is left, that is in the first lane.
func pass(name string, constants, sources []string, results []result, body func(i int, v vectors)) {
	implement(name)
	op("MOVD", argument("n"), "R0")
	v := vectors{len(sources)}
	for i, c := range constants {
		single.loadOne(argument(c), v.constant(i))
		single.spread(v.constant(i))
	}
	for i, s := range sources {
		op("MOVD", argument(s), r(1+i))
	}
	for i, s := range results {
		op("MOVD", argument(s.name), r(8+i))
	}
	for _, n := range []int{16, 4, 1} {
		next := fmt.Sprintf("below%d", n)
		op("SUBS", imm(n), "R0")
		op("BLT", next)
		op("PCALIGN", "$16")
		label(fmt.Sprintf("by%d", n))
		count := max(1, n/4)
		for i := range sources {
			if n == 1 {
				single.loadOneNext(r(1+i), v.source(i, 0))
			} else {
				single.loadNext(r(1+i), v.source(i, 0), count)
			}
		}
		for i := range count {
			body(i, v)
		}
		for i, s := range results {
			if n == 1 {
				single.storeOneNext(v.source(s.source, 0), r(8+i))
			} else {
				single.storeNext(v.source(s.source, 0), count, r(8+i))
			}
		}
		op("SUBS", imm(n), "R0")
		op("BGE", fmt.Sprintf("by%d", n))
		label(next)
		if n > 1 {
			advance(imm(n), "R0")
		}
	}
	ret()
}

// pick puts the greater of two values, and its index, into the registers of b and
// bi: NaN is greater than anything else, and of equals the lower index goes first.
func pick(i int, v vectors) {
	a, ai, b, bi := v.source(0, i), v.source(1, i), v.source(2, i), v.source(3, i)
	first, second, lower, scratch := v.scratch(0, i), v.scratch(1, i), v.scratch(2, i), v.scratch(3, i)
	above(a, b, first, scratch)
	above(b, a, second, scratch)
	single.three("CMGT", 0x4ea03400, bi, ai, lower)
	without(lower, second, lower)
	op("VORR", bits(lower), bits(first), bits(first))
	insert(first, a, b)
	insert(first, ai, bi)
}

// above sets the bits of d where n > m or n alone is NaN.
func above(n, m, d, scratch int) {
	equal(m, m, d)
	single.three("FCMGE", 0x6e20e400, m, n, scratch)
	without(d, scratch, d)
}

// greater and equal set the bits of d, lane by lane, where n > m and n = m, and clear
// the others.
func greater(n, m, d int) { single.three("FCMGT", 0x6ea0e400, n, m, d) }
func equal(n, m, d int)   { single.three("FCMEQ", 0x4e20e400, n, m, d) }

// insert puts the bits of n into d where those of the mask are set.
func insert(mask, n, d int) { op("VBIT", bits(mask), bits(n), bits(d)) }

// without is the bits of n that are not in m.
func without(n, m, d int) {
	word("BIC", 0x4e601c00, n, m, d, fmt.Sprintf("V%d.16B, V%d.16B, V%d.16B", d, n, m))
}

func bits(i int) string { return fmt.Sprintf("V%d.B16", i) }

// everySecond reads pairs, and keeps the first of each. Four results take eight
// elements of which the last is not needed, so it may lie past the end: that loop
// runs while a fifth result follows.
func everySecond() {
	arrange("n", "src", "dst")
	op("SUBS", "$5", "R0")
	op("BLT", "few")
	label("several")
	op("VLD2.P", "32(R1)", single.list(0, 2))
	single.storeNext(0, 1, "R2")
	op("SUBS", "$4", "R0")
	op("BGE", "several")
	label("few")
	advance("$5", "R0")
	loop("one", "R0", func() {
		op("FMOVS.P", "8(R1)", "F0")
		op("FMOVS.P", "F0", "4(R2)")
	})
	ret()
}

// taps keeps the sums of 32 neighbours in V0 to V7 while the taps go by.
//
//	R0      elements left       R4      src, of these elements
//	R1      taps                R5      dst, moves on
//	R2, R3  offsets, factors    R6-R8   offsets and factors, move on; taps left
func taps() {
	arrange("n", "taps", "offsets", "factors", "src", "dst")
	const bias, factor = 31, 30
	single.loadOne(argument("bias"), bias)
	single.spread(bias)
	label("stretch")
	for i := range 8 {
		op("VMOV", bits(bias), bits(i))
	}
	move("R2", "R6")
	move("R3", "R7")
	move("R1", "R8")
	loop("tap", "R8", func() {
		op("MOVD.P", "8(R6)", "R9")
		op("ADD", "R9<<2", "R4", "R9")
		single.loadOneNext("R7", factor)
		for i := range 2 {
			single.loadNext("R9", 16+4*i, 4)
			for j := range 4 {
				single.fmaLane(16+4*i+j, factor, 0, 4*i+j)
			}
		}
	})
	single.storeNext(0, 4, "R5")
	single.storeNext(4, 4, "R5")
	advance("$128", "R4")
	op("SUBS", "$32", "R0")
	op("BGT", "stretch")
	ret()
}

// terms computes sums of rows of b, each times its factor, over so many lines of 16
// columns, which stay in V0 to V15. An entry is a term32.
//
//	R0  entries left      R2  b
//	R1  entries, move on  R3  c
func terms(lines int) {
	arrange("count", "terms", "b", "c")
	const factor, row = 30, 16
	columns := func(address string, factor int) {
		for i := range lines {
			single.loadNext(address, row, 4)
			for j := range 4 {
				single.fmaLane(row+j, factor, 0, 4*i+j)
			}
		}
	}
	zero(0, 4*lines)
	op("CBZ", "R0", "summed")
	loop("term", "R0", func() {
		op("MOVWU", "term32_offset(R1)", "R4")
		single.loadOne("term32_factor(R1)", factor)
		advance("$term32__size", "R1")
		op("ADD", "R4<<2", "R2", "R4")
		columns("R4", factor)
	})
	label("summed")
	single.loadOne(argument("beta"), beta)
	single.jumpIfZero(beta, "set")
	move("R3", "R4")
	columns("R4", beta)
	label("set")
	for i := range lines {
		single.storeNext(4*i, 4, "R3")
	}
	ret()
}

// strands adds to sums of eight strands in float64, which are V0 to V3, and, if there
// are two stretches, V4 to V7. body adds vector i, of two strands; it finds the
// elements from V16 on, those of the second stretch from V20 on, and the constant
// in V31.
func strands(constants, pointers []string, body func(i int)) {
	op("MOVD", argument("n"), "R0")
	for _, c := range constants {
		double.loadOne(argument(c), 31)
		double.spread(31)
	}
	for i, name := range pointers {
		op("MOVD", argument(name), r(1+i))
	}
	stretches := len(pointers) / 2
	for s := range stretches {
		double.load(r(1+stretches+s), 4*s, 4)
	}
	label("eight")
	for s := range stretches {
		single.loadNext(r(1+s), 24, 2)
		for i := range 2 {
			d := 16 + 4*s + 2*i
			word("FCVTL", 0x0e617800, 24+i, 0, d, fmt.Sprintf("V%d.2D, V%d.2S", d, 24+i))
			word("FCVTL2", 0x4e617800, 24+i, 0, d+1, fmt.Sprintf("V%d.2D, V%d.4S", d+1, 24+i))
		}
	}
	for i := range 4 {
		body(i)
	}
	op("SUBS", "$8", "R0")
	op("BGT", "eight")
	for s := range stretches {
		double.store(4*s, 4, r(1+stretches+s))
	}
	ret()
}
