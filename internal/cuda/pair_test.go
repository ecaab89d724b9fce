package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/internal/kernel"
)

// lying is how an operand lies over a result of 36 rows: 3 channels of 12 positions.
type lying struct {
	name  string
	rows  int
	at    func(r int) int // nil for its own row
	moves bool
}

var (
	byItself  = lying{"by itself", 36, nil, true}
	fixed     = lying{"for all samples", 36, nil, false}
	channel   = lying{"a channel", 3, func(r int) int { return r / 12 }, false}
	gated     = lying{"a channel of a sample", 3, func(r int) int { return r / 12 }, true}
	position  = lying{"a position of a sample", 12, func(r int) int { return r % 12 }, true}
	everybody = lying{"one number", 1, func(int) int { return 0 }, false}
	sample    = lying{"one number of a sample", 1, func(int) int { return 0 }, true}
)

// pairTable has each function as the ONNX pages define it, and the least that operands may be.
var pairTable = []struct {
	f        Pair
	of       func(a, b float64) float64
	a, b     float64
	positive bool
}{
	{f: PairAdd, of: func(a, b float64) float64 { return a + b }},
	{f: PairSub, of: func(a, b float64) float64 { return a - b }},
	{f: PairMul, of: func(a, b float64) float64 { return a * b }},
	{f: PairDiv, of: func(a, b float64) float64 { return a / b }, positive: true},
	{f: PairPow, of: math.Pow, positive: true},
	{f: PairMax, of: math.Max},
	{f: PairMin, of: math.Min},
	{f: PairLeak, of: func(a, b float64) float64 { return max(a, 0) + b*min(a, 0) }},
}

func testPairs(t *testing.T, r *rig) {
	cases := 0
	for i := range pairTable {
		for _, l := range [][2]lying{
			{byItself, byItself},
			{byItself, channel},
			{fixed, byItself},
			{gated, byItself},
			{gated, position},
			{byItself, everybody},
			{sample, fixed},
		} {
			for _, n := range []int{3, 40} {
				pairCase[float32](t, r, i, l, n)
				pairCase[float64](t, r, i, l, n)
				cases += 2
			}
		}
	}
	if cases != 224 {
		t.Errorf("%d cases, want 224", cases)
	}
	pairKinks(t, r)
}

// table lists the rows that a result meets, nil where each meets its own.
func (l lying) table() []int32 {
	if l.at == nil {
		return nil
	}
	from := make([]int32, 36)
	for r := range from {
		from[r] = int32(l.at(r))
	}
	return from
}

// operand draws the elements of an operand, none close to 0.
func operand[T kernel.Float](rng *rand.Rand, l lying, n int, positive bool) []T {
	if !l.moves {
		n = 1
	}
	v := random[T](rng, l.rows*n)
	for i, x := range v {
		v[i] += T(math.Copysign(0.3, float64(x)))
		if positive {
			v[i] = T(math.Abs(float64(v[i])))
		}
	}
	return v
}

func pairCase[T kernel.Float](t *testing.T, r *rig, number int, l [2]lying, n int) {
	t.Helper()
	const rows = 36
	c := pairTable[number]
	rng := rand.New(rand.NewPCG(20, uint64(number)))
	values := [2][]T{operand[T](rng, l[0], n, c.positive), operand[T](rng, l[1], n, c.positive)}
	dy, ab := random[T](rng, rows*n), [2][]float64{double(values[0]), double(values[1])}
	compute := func() []float64 {
		y := make([]float64, rows*n)
		for i := range y {
			var met [2]float64
			for k, o := range l {
				row := i / n
				if o.at != nil {
					row = o.at(row)
				}
				if o.moves {
					row = row*n + i%n
				}
				met[k] = ab[k][row]
			}
			y[i] = c.of(met[0], met[1])
		}
		return y
	}
	what := fmt.Sprintf("pair %d of %s and %s, %d samples", c.f, l[0].name, l[1].name, n)
	r.run(t, func(a *arena) {
		p := Pairing{F: c.f, Rows: rows, N: n, Moves: [2]bool{l[0].moves, l[1].moves}}
		var on, d [2]Buffer[T]
		for k := range on {
			p.Over[k] = a.arrangement(l[k].rows, l[k].table())
			on[k], d[k] = put(a, values[k]), room[T](a, len(values[k]))
		}
		y, g := room[T](a, rows*n), put(a, dy)
		a.do(Combine(a.Stream, p, on[0], on[1], y))
		agrees(t, what, get(a, y), compute())
		for k := range d {
			needed := on
			if c.f <= PairMul {
				needed[k] = Buffer[T]{}
			}
			if c.f <= PairSub {
				needed[1-k] = Buffer[T]{}
			}
			a.do(CombineBackward(a.Stream, p, k, needed[0], needed[1], g, d[k]))
			slopes(t, fmt.Sprintf("%s: operand %d", what, k), get(a, d[k]), ab[k], func() float64 {
				return dot(double(dy), compute())
			})
		}
	})
}

// pairKinks: what PyTorch has where there is no derivative, and NaN.
func pairKinks(t *testing.T, r *rig) {
	t.Helper()
	nan := math.NaN()
	for _, c := range []struct {
		f             Pair
		a, b, y, p, q float64
	}{
		{PairMax, 2, 2, 2, 0.5, 0.5},
		{PairMin, 2, 2, 2, 0.5, 0.5},
		{PairMax, nan, 1, nan, 0, 0},
		{PairMax, 1, nan, nan, 0, 0},
		{PairMin, nan, 1, nan, 0, 0},
		{PairMin, 1, nan, nan, 0, 0},
		{PairLeak, 0, 0.25, 0, 0.25, 0},
		{PairLeak, nan, 0.25, nan, 0.25, nan},
		{PairPow, 0, 0, 1, 0, 0},
		{PairPow, 0, 2, 0, 0, 0},
		{PairPow, 0, 1, 0, 1, 0},
		{PairPow, -2, 3, -8, 12, nan},
	} {
		r.run(t, func(a *arena) {
			p := Pairing{F: c.f, Rows: 1, N: 1, Moves: [2]bool{true, true}}
			u, v, y, dy := put(a, []float64{c.a}), put(a, []float64{c.b}), room[float64](a, 1), put(a, []float64{1})
			got := make([]float64, 3)
			a.do(Combine(a.Stream, p, u, v, y))
			got[0] = get(a, y)[0]
			for by := range 2 {
				a.do(CombineBackward(a.Stream, p, by, u, v, dy, y))
				got[1+by] = get(a, y)[0]
			}
			want := []float64{c.y, c.p, c.q}
			if !slices.EqualFunc(got, want, func(x, y float64) bool { return x == y || x != x && y != y }) {
				t.Errorf("pair %d of %v and %v: %v, want %v", c.f, c.a, c.b, got, want)
			}
		})
	}
	r.run(t, func(a *arena) {
		short := put(a, []float64{1})
		p := Pairing{Rows: 1, N: 2, Moves: [2]bool{true, true}}
		if Combine(a.Stream, p, short, short, short) == nil {
			t.Error("operands that are too short are taken")
		}
		p.Over[0] = a.arrangement(1, []int32{-1})
		both := put(a, []float64{1, 2})
		if Combine(a.Stream, p, both, both, both) == nil {
			t.Error("a row that meets nothing is taken")
		}
	})
}
