package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"efcn/internal/kernel"
)

func testOptimizers(t *testing.T, r *rig) {
	optimizerCases[float32](t, r)
	optimizerCases[float64](t, r)
}

// mover is one optimiser: the kernel, and one step for one weight in float64, as PyTorch's
// documentation and the papers have it. s holds what the optimiser keeps.
type mover[T kernel.Float] struct {
	name string
	run  func(s *Stream, m Move[T], state [2]Buffer[T]) error
	want func(w, g float64, s *[2]float64) float64
	// zeroes means that small weights become 0.
	zeroes bool
}

const (
	rate, factor, decay = 0.25, 0.5, 0.125
	stepNumber          = 3
)

func movers[T kernel.Float]() []mover[T] {
	adam := func(apart bool) func(w, g float64, s *[2]float64) float64 {
		return func(w, g float64, s *[2]float64) float64 {
			g *= factor
			if apart {
				w -= rate * decay * w
			} else {
				g += decay * w
			}
			s[0] = 0.9*s[0] + 0.1*g
			s[1] = 0.999*s[1] + 0.001*g*g
			m, v := s[0]/(1-math.Pow(0.9, stepNumber)), s[1]/(1-math.Pow(0.999, stepNumber))
			return w - rate*m/(math.Sqrt(v)+1e-8)
		}
	}
	momentum := func(nesterov bool) func(w, g float64, s *[2]float64) float64 {
		return func(w, g float64, s *[2]float64) float64 {
			g = g*factor + decay*w
			s[0] = 0.75*s[0] + g
			if nesterov {
				return w - rate*(g+0.75*s[0])
			}
			return w - rate*s[0]
		}
	}
	return []mover[T]{
		{name: "sgd", run: func(s *Stream, m Move[T], _ [2]Buffer[T]) error { return SGD(s, m) }, want: func(w, g float64, _ *[2]float64) float64 { return w - rate*(factor*g+decay*w) }},
		{name: "momentum", run: func(s *Stream, m Move[T], b [2]Buffer[T]) error { return Momentum(s, m, 0.75, false, b[0]) }, want: momentum(false)},
		{name: "nesterov", run: func(s *Stream, m Move[T], b [2]Buffer[T]) error { return Momentum(s, m, 0.75, true, b[0]) }, want: momentum(true)},
		{name: "adam", run: func(s *Stream, m Move[T], b [2]Buffer[T]) error { return Adam(s, m, false, b[0], b[1]) }, want: adam(false)},
		{name: "adamw", run: func(s *Stream, m Move[T], b [2]Buffer[T]) error { return Adam(s, m, true, b[0], b[1]) }, want: adam(true)},
		{
			name: "beta-lasso", zeroes: true,
			run: func(s *Stream, m Move[T], _ [2]Buffer[T]) error { return BetaLasso(s, m, 0.0625, 0.5) },
			want: func(w, g float64, _ *[2]float64) float64 {
				sign := 0.0
				if w != 0 {
					sign = math.Copysign(1, w)
				}
				if w -= rate * (factor*g + 0.0625*sign); math.Abs(w) < 0.5 {
					return 0
				}
				return w
			},
		},
	}
}

func optimizerCases[T kernel.Float](t *testing.T, r *rig) {
	t.Helper()
	const n = 1000
	cases := 0
	for _, c := range movers[T]() {
		for _, masked := range []bool{false, true} {
			rng := rand.New(rand.NewPCG(1, 9))
			w, g := random[T](rng, n), random[T](rng, n)
			w[0], w[1] = 0, T(math.Copysign(0, -1))
			state := [2][]T{sizes(random[T](rng, n)), sizes(random[T](rng, n))}
			bits := make([]uint32, (n+31)/32)
			for i := range bits {
				bits[i] = rng.Uint32()
			}
			want, mass := double(w), make([]float64, n)
			states := [2][]float64{double(state[0]), double(state[1])}
			for i := range want {
				mass[i] = 10 // what moves a weight here adds up to less, with the weight
				if masked && bits[i/32]>>(i%32)&1 == 0 {
					continue
				}
				s := [2]float64{states[0][i], states[1][i]}
				want[i] = c.want(want[i], float64(g[i]), &s)
				states[0][i], states[1][i] = s[0], s[1]
			}
			r.run(t, func(a *arena) {
				step := Step[T]{
					Rate: rate, Factor: factor, Keep: 1 - rate*decay, Size: T(rate / (1 - math.Pow(0.9, stepNumber))),
					Root: T(math.Sqrt(1 - math.Pow(0.999, stepNumber))),
				}
				m := Move[T]{W: put(a, w), G: put(a, g), Step: put(a, step.Values()), Decay: decay}
				if masked {
					m.Mask = put(a, bits)
				}
				kept := [2]Buffer[T]{put(a, state[0]), put(a, state[1])}
				a.do(c.run(a.Stream, m, kept))
				what := fmt.Sprintf("%s, masked %v", c.name, masked)
				got := get(a, m.W)
				near(t, what, got, want, mass, 4)
				for i := range kept {
					near(t, fmt.Sprintf("%s: state %d", what, i), get(a, kept[i]), states[i], mass, 4)
				}
				zeros := 0
				for i, v := range got {
					if masked && bits[i/32]>>(i%32)&1 == 0 && v != w[i] {
						t.Errorf("%s: weight %d moves", what, i)
						break
					}
					if v == 0 {
						zeros++
					}
				}
				if c.zeroes != (zeros > 100) {
					t.Errorf("%s: %d weights are 0", what, zeros)
				}
			})
			cases++
		}
	}
	if cases != 12 {
		t.Errorf("%d cases, want 12", cases)
	}
}

func testTies(t *testing.T, r *rig) {
	tieCase[float32](t, r)
	tieCase[float64](t, r)
}

func tieCase[T kernel.Float](t *testing.T, r *rig) {
	t.Helper()
	rng := rand.New(rand.NewPCG(2, 9))
	g := random[T](rng, 2000)
	want, mass := double(g), size(g)
	order := rng.Perm(len(g))
	starts, entries := []int64{0}, []int64{}
	for _, n := range []int{1, 3, 700, 256, 2} {
		sum, weight := 0.0, 0.0
		for _, i := range order[:n] {
			entries = append(entries, int64(i))
			sum, weight = sum+float64(g[i]), weight+math.Abs(float64(g[i]))
		}
		for _, i := range order[:n] {
			want[i], mass[i] = sum/float64(n), weight/float64(n)
		}
		order, starts = order[n:], append(starts, int64(len(entries)))
	}
	r.run(t, func(a *arena) {
		b := put(a, g)
		a.do(Tie(a.Stream, Ties{put(a, starts), put(a, entries)}, b))
		tied := get(a, b)
		near(t, "ties", tied, want, mass, 700)
		for i := range entries[1:4] {
			if tied[entries[1+i]] != tied[entries[1]] {
				t.Error("tied elements differ")
			}
		}

		bits := make([]uint32, (len(g)+31)/32)
		for i := range g {
			if tied[i] = g[i]; i%3 != 0 {
				bits[i/32] |= 1 << (i % 32)
			} else {
				tied[i] = 0
			}
		}
		b = put(a, g)
		a.do(Restrict(a.Stream, put(a, bits), b))
		same(t, "restricted", get(a, b), tied)

		for _, c := range []struct{ clip, squares, want float64 }{
			{0, 100, 1}, {1, 0.25, 1}, {1, 4, 1 / (2 + 1e-6)}, {10, 0, 1},
		} {
			step := put(a, Step[T]{Rate: 1, Factor: 9, Keep: 2, Size: 3, Root: 4}.Values())
			a.do(ClipFactor(a.Stream, c.clip, put(a, []float64{c.squares}), step))
			near(t, "step", get(a, step), []float64{1, c.want, 2, 3, 4}, []float64{0, c.want, 0, 0, 0}, 1)
		}
	})
}
