package verify

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMultiplied: a product is the exact one within its slack, which is small; its
// support is what can be reached, and what is whole is exact.
func TestMultiplied(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	entries, biases := 0, 0
	for round := range 300 {
		sizes := []int{1 + random.IntN(6), 1 + random.IntN(6), 1 + random.IntN(6), 1 + random.IntN(6)}[:2+random.IntN(3)]
		whole := round%3 == 0
		var factors []*matrix
		exact, reach := unit(sizes[0]), unit(sizes[0])
		bias := make([]*big.Float, sizes[0])
		for i := range bias {
			bias[i] = wide(0)
		}
		for i := 1; i < len(sizes); i++ {
			v, b := make([][]float64, sizes[i]), make([]float64, sizes[i])
			stored := make([][]bool, sizes[i])
			for r := range v {
				v[r], stored[r] = make([]float64, sizes[i-1]), make([]bool, sizes[i-1])
				for c := range v[r] {
					stored[r][c] = random.IntN(3) > 0
					if v[r][c] = random.NormFloat64() * 1e3; whole {
						v[r][c] = float64(random.IntN(5) - 2)
					}
				}
				b[r] = random.NormFloat64()
			}
			factors = append(factors, &matrix{
				rows: sizes[i], cols: sizes[i-1], whole: whole, hasBias: i > 1 || round%2 == 0,
				bias: func(r int) (float64, float64) { return b[r], 0 },
				entries: func(r int, entry func(int, float64, float64)) {
					for c, k := range v[r] {
						if stored[r][c] {
							entry(c, k, 0)
						}
					}
				},
			})
			hasBias := i > 1 || round%2 == 0
			next, reached := make([][]*big.Float, sizes[i]), make([][]*big.Float, sizes[i])
			shifted := make([]*big.Float, sizes[i])
			for r := range next {
				shifted[r] = wide(0)
				if hasBias {
					shifted[r] = wide(b[r])
				}
				for c := range exact[0] {
					sum, ways := wide(0), wide(0)
					for j := range v[r] {
						if stored[r][j] {
							sum.Add(sum, new(big.Float).SetPrec(500).Mul(wide(v[r][j]), exact[j][c]))
							ways.Add(ways, reach[j][c])
						}
					}
					next[r], reached[r] = append(next[r], sum), append(reached[r], ways)
				}
				for j := range v[r] {
					if stored[r][j] {
						shifted[r].Add(shifted[r], new(big.Float).SetPrec(500).Mul(wide(v[r][j]), bias[j]))
					}
				}
			}
			exact, reach, bias = next, reached, shifted
		}
		m, err := multiplied(factors)
		if err != nil {
			t.Fatal(err)
		}
		off := func(v float64, want *big.Float) float64 {
			d, _ := new(big.Float).Sub(wide(v), want).Float64()
			return math.Abs(d)
		}
		for r := range m.rows {
			last := -1
			m.entries(r, func(c int, v, slack float64) {
				entries++
				if c <= last || reach[r][c].Sign() == 0 {
					t.Fatalf("round %d: column %d after %d; it can be reached in %v ways", round, c, last, reach[r][c])
				}
				last = c
				if d := off(v, exact[r][c]); d > slack || slack > 1e-3 || whole && slack != 0 {
					t.Fatalf("round %d: %v is %v off, its slack is %v", round, v, d, slack)
				}
				reach[r][c] = wide(0)
			})
			if i := slices.IndexFunc(reach[r], func(n *big.Float) bool { return n.Sign() != 0 }); i >= 0 {
				t.Fatalf("round %d: column %d of row %d is not in the support", round, i, r)
			}
			if m.hasBias {
				biases++
				if b, slack := m.bias(r); off(b, bias[r]) > slack || slack > 1e-3 {
					t.Fatalf("round %d: bias %v is %v off, its slack is %v", round, b, off(b, bias[r]), slack)
				}
			}
		}
	}
	if entries < 1000 || biases < 500 {
		t.Errorf("%d entries, %d biases", entries, biases)
	}
}

func wide(v float64) *big.Float { return new(big.Float).SetPrec(500).SetFloat64(v) }

func unit(n int) [][]*big.Float {
	m := make([][]*big.Float, n)
	for i := range m {
		for k := range n {
			m[i] = append(m[i], wide(map[bool]float64{true: 1}[i == k]))
		}
	}
	return m
}

// TestMaximum: levels compute maxima, and the proof of it holds; of levels in which
// an entry was changed it does not, unless they compute them all the same.
func TestMaximum(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	changed, survived := 0, 0
	for round := range 400 {
		negative := round%2 == 0
		var shape []int
		var windows [][][]int
		for range 1 + random.IntN(3) {
			n := 1 + random.IntN(5)
			shape = append(shape, n)
			lists := make([][]int, 1+random.IntN(3))
			for p := range lists {
				for q := range n {
					if random.IntN(3) > 0 {
						lists[p] = append(lists[p], q)
					}
				}
				if len(lists[p]) == 0 {
					lists[p] = []int{random.IntN(n)}
				}
			}
			windows = append(windows, lists)
		}
		levels, err := maximum(shape, windows, negative)
		if err != nil {
			t.Fatal(err)
		}
		if !computes(random, levels, shape, windows, negative) {
			t.Fatalf("round %d: %v over %v is no maximum", round, windows, shape)
		}
		for axis, w := range windows {
			line, err := maximum(shape[axis:axis+1], windows[axis:axis+1], negative)
			if err != nil {
				t.Fatal(err)
			}
			if err := provesMaximum(line, w, negative); err != nil {
				t.Fatalf("round %d: %v: %v", round, w, err)
			}
			k := random.IntN(len(line))
			line[k] = changedEntry(random, line[k])
			if err := provesMaximum(line, w, negative); err == nil {
				survived++
				if !computes(random, line, shape[axis:axis+1], windows[axis:axis+1], negative) {
					t.Fatalf("round %d: %v: the proof holds of levels that compute something else", round, w)
				}
			}
			changed++
		}
	}
	if survived > changed/10 {
		t.Errorf("%d of %d changes are harmless", survived, changed)
	}
	t.Logf("%d changes, %d of them harmless", changed, survived)
}

// changedEntry adds 1 or −1 to an entry.
func changedEntry(random *rand.Rand, m *matrix) *matrix {
	row, col, by := random.IntN(m.rows), random.IntN(m.cols), float64(2*random.IntN(2)-1)
	n := *m
	n.entries = func(r int, entry func(int, float64, float64)) {
		done := r != row
		m.entries(r, func(c int, v, slack float64) {
			if r == row && c == col {
				v, done = v+by, true
			}
			entry(c, v, slack)
		})
		if !done {
			entry(col, by, 0)
		}
	}
	return &n
}

// computes runs levels with a Relu between them on random whole numbers.
func computes(random *rand.Rand, levels []*matrix, shape []int, windows [][][]int, negative bool) bool {
	for range 30 {
		x := make([]float64, product(shape))
		for i := range x {
			if x[i] = float64(random.IntN(9)); negative {
				x[i] -= 4
			}
		}
		y := x
		for k, m := range levels {
			next := make([]float64, m.rows)
			for r := range next {
				m.entries(r, func(c int, v, _ float64) { next[r] += v * y[c] })
				if k < len(levels)-1 {
					next[r] = math.Max(0, next[r])
				}
			}
			y = next
		}
		out := make([]int, len(windows))
		for i, w := range windows {
			out[i] = len(w)
		}
		for r := range product(out) {
			want := math.Inf(-1)
			at := unravel(r, out)
			for i := range x {
				inside := true
				for axis, q := range unravel(i, shape) {
					inside = inside && slices.Contains(windows[axis][at[axis]], q)
				}
				if inside {
					want = math.Max(want, x[i])
				}
			}
			if y[r] != want {
				return false
			}
		}
	}
	return true
}
