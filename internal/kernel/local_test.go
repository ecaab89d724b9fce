package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// localCase is a layer with random sizes, most of them small, a table with
// padding in it, and a batch.
func localCase(rng *rand.Rand) (Local, int) {
	size := func(small, large int) int {
		if rng.IntN(6) == 0 {
			return rng.IntN(large)
		}
		return rng.IntN(small)
	}
	l := Local{
		Groups: 1 + rng.IntN(3), Block: 1 + rng.IntN(300),
		Positions: size(12, 150), Out: 1 + size(6, 22), Slots: size(12, 50),
	}
	l.Table = make([]int32, l.Positions*l.Slots)
	// In parts, as the channels of an image, or anyhow.
	parts := 1
	if rng.IntN(2) == 0 {
		parts = 1 + rng.IntN(max(1, min(l.Slots, l.Block)))
	}
	for i := range l.Table {
		part := i % l.Slots * parts / l.Slots
		from, to := l.Block*part/parts, l.Block*(part+1)/parts
		if l.Table[i] = int32(from + rng.IntN(to-from)); rng.IntN(8) == 0 {
			l.Table[i] = int32(l.Block)
		}
	}
	return l, 1 + size(20, 60)
}

// checkLocal compares a layer with its definition, in plain code and in what
// this processor has besides.
func checkLocal[T Float](t *testing.T, seed uint64, tolerance float64) {
	for name, code := range localCodes[T]() {
		t.Run(fmt.Sprintf("%T %s", T(0), name), func(t *testing.T) {
			l, n := localCase(rand.New(rand.NewPCG(seed, 77)))
			checkLocalCode(t, seed, l, n, code, tolerance)
		})
	}
}

func checkLocalCode[T Float](t *testing.T, seed uint64, l Local, n int, code *localCode[T], tolerance float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 78))
	layer, err := newLocalLayer(l, n, code)
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
	bias := random[T](rng, l.Groups*l.Out*l.Positions)
	layer.Forward(x, w, bias, gotY)
	for i := range gotY {
		y.add(i, float64(bias[i%len(bias)]))
	}
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
	for seed := range uint64(60) {
		SetThreads(1 + int(seed)%3)
		checkLocal[float32](t, seed, 1e-3)
		checkLocal[float64](t, seed, 1e-11)
	}
	SetThreads(0)
}

// Sizes on, below and above the edges of tiles and lines, and of what is done at
// a time.
func TestLocalEdges(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	cases := 0
	run := func(n, out, slots, positions, block int) {
		l := Local{Groups: 1, Block: block, Positions: positions, Out: out, Slots: slots}
		l.Table = make([]int32, positions*slots)
		for i := range l.Table {
			l.Table[i] = int32(rng.IntN(block + 1))
		}
		for _, code := range localCodes[float32]() {
			checkLocalCode(t, 0, l, n, code, 1e-3)
			cases++
		}
		for _, code := range localCodes[float64]() {
			checkLocalCode(t, 0, l, n, code, 1e-11)
			cases++
		}
	}
	for _, n := range []int{1, 3, 7, 8, 9, 15, 16, 17, 33, 250} {
		run(n, 3, 5, 3, 20)
	}
	for out := 1; out <= 18; out++ {
		run(2, out, 3, 2, 9)
	}
	for slots := 1; slots <= 26; slots++ {
		run(17, 2, slots, 2, 40)
	}
	for _, positions := range []int{1, 8, 15, 16, 17, 63, 64, 65, 200} {
		run(5, 2, 2, positions, 4)
	}
	for _, block := range []int{1, 63, 64, 65, 128, 200} {
		run(4, 2, 7, 3, block)
	}
	if want := 69 * 2 * len(localCodes[float32]()); cases != want {
		t.Errorf("ran %d cases, want %d", cases, want)
	}
}

// A sample that is not finite spoils no other.
func TestLocalNonFinite(t *testing.T) {
	l := convolutionTable(2, 3, 5)
	const n = 19
	x, w := make([]float32, n*l.Block), make([]float32, l.Positions*l.Out*l.Slots)
	for i := range x {
		x[i] = 1
	}
	for i := range w {
		w[i] = 1
	}
	bad := 7
	for i := range l.Block {
		x[bad*l.Block+i] = float32(math.Inf(1 - 2*(i%2)))
	}
	size := l.Out * l.Positions
	for name, code := range localCodes[float32]() {
		layer, err := newLocalLayer(l, n, code)
		if err != nil {
			t.Fatal(err)
		}
		y, dx := make([]float32, n*size), make([]float32, n*l.Block)
		layer.Forward(x, w, nil, y)
		for i, v := range y {
			if finite := v-v == 0; finite == (i/size == bad) {
				t.Fatalf("%s: y[%d] = %v of sample %d", name, i, v, i/size)
			}
		}
		layer.LoadGradient(y)
		layer.BackwardInput(w, dx)
		for i, v := range dx {
			if finite := v-v == 0; finite == (i/l.Block == bad) {
				t.Fatalf("%s: dx[%d] = %v of sample %d", name, i, v, i/l.Block)
			}
		}
	}
}

// convolutionTable is the layer of a 3×3 convolution with padding 1.
func convolutionTable(in, out, size int) Local {
	l := Local{Groups: 1, Block: in * size * size, Positions: size * size, Out: out, Slots: 9 * in}
	for p := range l.Positions {
		for s := range l.Slots {
			y, x := p/size+s%9/3-1, p%size+s%3-1
			at := l.Block
			if y >= 0 && y < size && x >= 0 && x < size {
				at = s/9*size*size + y*size + x
			}
			l.Table = append(l.Table, int32(at))
		}
	}
	return l
}

// An array that is too short panics before anything is written.
func TestLocalShort(t *testing.T) {
	l := convolutionTable(2, 3, 5)
	const n = 3
	in, w, out := n*l.Block, l.Positions*l.Out*l.Slots, l.Out*l.Positions
	layer, err := NewLocalLayer[float32](l, n)
	if err != nil {
		t.Fatal(err)
	}
	zeros := func(n int) []float32 { return make([]float32, n) }
	layer.LoadGradient(zeros(n * out))
	for want, run := range map[string]func(got []float32){
		"x has 149":    func(y []float32) { layer.Forward(zeros(in-1), zeros(w), nil, y) },
		"w has 1349":   func(y []float32) { layer.Forward(zeros(in), zeros(w-1), nil, y) },
		"bias has 74":  func(y []float32) { layer.Forward(zeros(in), zeros(w), zeros(out-1), y) },
		"y has 224":    func(y []float32) { layer.Forward(zeros(in), zeros(w), nil, y[:n*out-1]) },
		"dy has 224":   func([]float32) { layer.LoadGradient(zeros(n*out - 1)) },
		"dw has 1349":  func(y []float32) { layer.BackwardWeights(1, 0, y[:w-1]) },
		"dx has 149":   func(y []float32) { layer.BackwardInput(zeros(w), y[:in-1]) },
		"w has 1349; ": func(y []float32) { layer.BackwardInput(zeros(w-1), y) },
	} {
		y := nans[float32](2000)
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, strings.TrimSuffix(want, "; ")) {
					t.Errorf("%v, want %s", got, want)
				}
			}()
			run(y)
		}()
		for i, v := range y {
			if v == v {
				t.Errorf("%s: element %d was written", want, i)
				break
			}
		}
	}
}

// The input's gradient of a convolution is shared out by channels.
func TestLocalParts(t *testing.T) {
	for want, l := range map[string]Local{
		"[0 9 18]": convolutionTable(3, 1, 4),
		"[0]":      {Block: 3, Positions: 2, Slots: 2, Table: []int32{0, 1, 1, 2}},
		"[0 1]":    {Block: 3, Positions: 2, Slots: 2, Table: []int32{0, 2, 1, 3}},
		"[0 1 2]":  {Block: 3, Positions: 1, Slots: 3, Table: []int32{3, 0, 3}},
	} {
		if got := fmt.Sprint(l.parts()); got != want {
			t.Errorf("%+v: parts at %s, want %s", l, got, want)
		}
	}
}

// A step of a warm layer allocates nothing of an array's size.
func TestLocalAllocations(t *testing.T) {
	l := convolutionTable(4, 8, 8)
	const n = 40
	for name, code := range localCodes[float32]() {
		if code == nil {
			continue // OpenBLAS is called with arguments on the heap
		}
		layer, err := newLocalLayer(l, n, code)
		if err != nil {
			t.Fatal(err)
		}
		x, w := make([]float32, n*l.Block), make([]float32, l.Positions*l.Out*l.Slots)
		y := make([]float32, n*l.Out*l.Positions)
		step := func() {
			layer.Forward(x, w, nil, y)
			layer.LoadGradient(y)
			layer.BackwardInput(w, x)
			layer.BackwardWeights(-0.1, 1, w)
		}
		step()
		const steps = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range steps {
			step()
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / steps; got > 8<<10 && !raceEnabled {
			t.Errorf("%s: %d bytes a step", name, got)
		}
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
		_, err := NewLocalLayer[float32](l, 3)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%+v: %v, want %s", l, err, want)
		}
	}
}
