package kernel

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// localCase is a layer with random sizes, a table with padding in it, and data.
func localCase(rng *rand.Rand) (Local, int) {
	l := Local{Groups: 1 + rng.IntN(3), Block: 1 + rng.IntN(300), Positions: rng.IntN(30), Out: 1 + rng.IntN(5), Slots: rng.IntN(12)}
	l.Table = make([]int32, l.Positions*l.Slots)
	for i := range l.Table {
		l.Table[i] = int32(rng.IntN(l.Block + 1))
	}
	return l, 1 + rng.IntN(40)
}

// checkLocal compares a layer with its definition.
func checkLocal[T Float](t *testing.T, seed uint64, tolerance float64) {
	rng := rand.New(rand.NewPCG(seed, 77))
	l, n := localCase(rng)
	layer, err := NewLocalLayer[T](l, n)
	if err != nil {
		t.Fatal(err)
	}
	in, out := l.Groups*l.Block, l.Groups*l.Out*l.Positions
	x, w, dy := random[T](rng, n*in), random[T](rng, out*l.Slots), random[T](rng, n*out)
	y, dw, dx := newSums(n*out), newSums(len(w)), newSums(n*in)
	for i := range n {
		for g := range l.Groups {
			for p := range l.Positions {
				for o := range l.Out {
					at := (i*l.Groups*l.Out+g*l.Out+o)*l.Positions + p
					for s := range l.Slots {
						q := int(l.Table[p*l.Slots+s])
						if q == l.Block {
							continue
						}
						k, from := ((g*l.Positions+p)*l.Out+o)*l.Slots+s, i*in+g*l.Block+q
						y.add(at, float64(w[k])*float64(x[from]))
						dw.add(k, float64(dy[at])*float64(x[from]))
						dx.add(from, float64(dy[at])*float64(w[k]))
					}
				}
			}
		}
	}
	gotY, gotW, gotX := nans[T](n*out), nans[T](len(w)), nans[T](n*in)
	layer.Forward(x, w, gotY)
	layer.LoadGradient(dy)
	layer.BackwardWeights(1, 0, gotW)
	moved := append([]T(nil), w...)
	layer.BackwardWeights(-0.5, 0.25, moved)
	layer.BackwardInput(w, gotX)
	for _, c := range []struct {
		what string
		want sums
		got  []T
	}{{"y", y, gotY}, {"∂w", dw, gotW}, {"∂x", dx, gotX}} {
		if i := worst(c.want, c.got); i >= 0 {
			t.Fatalf("%d: %+v, batch %d: %s[%d] = %g, want %g", seed, l, n, c.what, i, c.got[i], c.want.value[i])
		}
	}
	for i, v := range moved {
		want := 0.25*float64(w[i]) - 0.5*float64(gotW[i])
		if d := float64(v) - want; !(d < tolerance && -d < tolerance) {
			t.Fatalf("%d: w[%d] moved to %g, want %g", seed, i, v, want)
		}
	}
}

func TestLocal(t *testing.T) {
	for seed := range uint64(40) {
		checkLocal[float32](t, seed, 1e-3)
		checkLocal[float64](t, seed, 1e-11)
	}
}

func FuzzLocal(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		checkLocal[float32](t, seed, 1e-3)
		checkLocal[float64](t, seed, 1e-11)
	})
}

func TestLocalRefuses(t *testing.T) {
	for want, l := range map[string]Local{
		"a negative size":                 {Groups: -1},
		"table: want 6 entries, got 1":    {Groups: 1, Block: 2, Positions: 2, Out: 1, Slots: 3, Table: []int32{1}},
		"table: an entry names no input":  {Groups: 1, Block: 2, Positions: 1, Out: 1, Slots: 1, Table: []int32{3}},
		"table: an entry names no input ": {Groups: 1, Block: 2, Positions: 1, Out: 1, Slots: 1, Table: []int32{-1}},
	} {
		if _, err := NewLocalLayer[float32](l, 3); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%+v: %v, want %s", l, err, want)
		}
	}
}

// BenchmarkLocal is a 3×3 layer of 16 to 32 channels on 32×32, batch 16.
func BenchmarkLocal(b *testing.B) {
	l := Local{Groups: 1, Block: 16 * 32 * 32, Positions: 32 * 32, Out: 32, Slots: 16 * 9}
	for p := range l.Positions {
		for s := range l.Slots {
			c, dy, dx := s/9, s%9/3-1, s%3-1
			y, x := p/32+dy, p%32+dx
			at := l.Block
			if y >= 0 && y < 32 && x >= 0 && x < 32 {
				at = c*1024 + y*32 + x
			}
			l.Table = append(l.Table, int32(at))
		}
	}
	for _, n := range []int{16, 250} {
		layer, err := NewLocalLayer[float32](l, n)
		if err != nil {
			b.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		x, w := random[float32](rng, n*l.Block), random[float32](rng, l.Positions*l.Out*l.Slots)
		y := make([]float32, n*l.Positions*l.Out)
		b.Run(fmt.Sprintf("forward/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				layer.Forward(x, w, y)
			}
		})
		b.Run(fmt.Sprintf("backward/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				layer.LoadGradient(y)
				layer.BackwardWeights(-1e-9, 1, w)
				layer.BackwardInput(w, x)
			}
		})
	}
}
