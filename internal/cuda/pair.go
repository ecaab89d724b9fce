package cuda

import (
	"errors"

	"efcn/internal/kernel"
)

// Pair is a function of two elements, a and b.
type Pair int

// The functions, in the order of kernels/pair.cu.
const (
	PairAdd Pair = iota
	PairSub
	PairMul
	PairDiv
	PairPow
	PairMax // equal ones share the derivative
	PairMin
	PairLeak // a above 0 and a·b below
)

// Pairing says how two operands are broadcast over a result of so many rows, each of N
// samples.
type Pairing struct {
	F       Pair
	Rows, N int
	// Over has for each operand which of its rows a row of the result meets; nil where
	// that is its own.
	Over [2]*Arrangement
	// Moves means that an operand has N samples in a row, not one element for all.
	Moves [2]bool
}

// rowsOf is how many rows an operand has.
func (p *Pairing) rowsOf(operand int) int {
	if over := p.Over[operand]; over != nil {
		return over.in
	}
	return p.Rows
}

// tables returns what kernels are given about an operand, and what it has elements.
func (p *Pairing) tables(operand int) (at Buffer[int32], moves word, elements int) {
	if over := p.Over[operand]; over != nil {
		at = over.from
	}
	if p.Moves[operand] {
		return at, 1, p.rowsOf(operand) * p.N
	}
	return at, 0, p.rowsOf(operand)
}

func (p *Pairing) check(call string) error {
	errs := []error{checkInts(call, p.Rows, p.N)}
	for _, over := range p.Over {
		if over != nil {
			errs = append(errs, over.whole(call, p.Rows))
		}
	}
	return errors.Join(errs...)
}

// Combine computes y = f(a, b) in float64, rounded once to T. y may be an operand that is
// not broadcast.
func Combine[T kernel.Float](s *Stream, p Pairing, a, b, y Buffer[T]) error {
	aAt, aMoves, na := p.tables(0)
	bAt, bMoves, nb := p.tables(1)
	err := errors.Join(p.check("pair"),
		check("pair", need{"a", a.n, na}, need{"b", b.n, nb}, need{"y", y.n, p.Rows * p.N}))
	if err != nil {
		return err
	}
	return launch[T](s, "pair", over(p.Rows*p.N), p.Rows, word(p.N), word(p.F), aAt, aMoves, bAt, bMoves, a, b, y)
}

// CombineBackward computes d, the gradient at operand number by, from dy: the sum over
// what it is broadcast to. a and b may be empty for PairAdd and PairSub, and for PairMul
// the one that the gradient is for.
func CombineBackward[T kernel.Float](s *Stream, p Pairing, by int, a, b, dy, d Buffer[T]) error {
	aAt, aMoves, na := p.tables(0)
	bAt, bMoves, nb := p.tables(1)
	wanted := [2]int{na, nb}
	needs := []need{{"dy", dy.n, p.Rows * p.N}, {"d", d.n, wanted[by]}}
	for i, operand := range [2]Buffer[T]{a, b} {
		if p.F > PairMul || p.F == PairMul && i != by {
			needs = append(needs, need{"operand", operand.n, wanted[i]})
		}
	}
	if err := errors.Join(p.check("pair_backward"), check("pair_backward", needs...)); err != nil {
		return err
	}
	var lists readers
	columns := team
	if over := p.Over[by]; over != nil {
		lists, columns = over.readers, over.columns()
	}
	if !p.Moves[by] {
		columns = 1
	}
	rows := p.rowsOf(by)
	return launch[T](s, "pair_backward", blocks{(wanted[by] + columns - 1) / columns, 1}, rows, word(p.N), word(columns),
		word(p.F), word(by), lists.starts, lists.at, aAt, aMoves, bAt, bMoves, a, b, dy, d)
}
