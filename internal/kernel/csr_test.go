package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// pattern is a CSR from the columns of its rows.
func pattern(cols int, rows ...[]int32) CSR {
	c := CSR{Rows: len(rows), Cols: cols, Starts: []int{0}}
	for _, r := range rows {
		c.Columns = append(c.Columns, r...)
		c.Starts = append(c.Starts, len(c.Columns))
	}
	return c
}

// csrCase is a pattern with random sizes, most of them small: rows of which many
// have the columns of an earlier one, some have none and some have all.
func csrCase(rng *rand.Rand) (CSR, int) {
	size := func(small, large int) int {
		if rng.IntN(6) == 0 {
			return rng.IntN(large)
		}
		return rng.IntN(small)
	}
	cols := size(30, 400)
	rows := make([][]int32, size(20, 200))
	share := rng.Float64()
	for r := range rows {
		switch {
		case r > 0 && rng.IntN(2) == 0:
			rows[r] = rows[rng.IntN(r)]
		case rng.IntN(12) == 0:
		default:
			for q := range int32(cols) {
				if rng.Float64() < share {
					rows[r] = append(rows[r], q)
				}
			}
		}
	}
	return pattern(cols, rows...), 1 + size(20, 150)
}

func checkCSR[T Float](t *testing.T, seed uint64) {
	for name, code := range csrCodes[T]() {
		t.Run(fmt.Sprintf("%T %s", T(0), name), func(t *testing.T) {
			c, n := csrCase(rand.New(rand.NewPCG(seed, 177)))
			checkCSRCode(t, seed, c, n, code)
		})
	}
}

// checkCSRCode compares the products with their definition, a loop over the
// entries of the whole matrix in float64.
func checkCSRCode[T Float](t *testing.T, seed uint64, c CSR, n int, code *csrCode[T]) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 178))
	plan, err := NewCSRPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := newCSRLayer(plan, n, code)
	if err != nil {
		t.Fatal(err)
	}
	x, w, dy := random[T](rng, n*c.Cols), random[T](rng, len(c.Columns)), random[T](rng, n*c.Rows)
	bias := random[T](rng, c.Rows)
	y, dw, dx := newSums(n*c.Rows), newSums(len(w)), newSums(n*c.Cols)
	for i := range n {
		k := 0
		for r := range c.Rows {
			y.add(i*c.Rows+r, float64(bias[r]))
			for ; k < c.Starts[r+1]; k++ {
				q := i*c.Cols + int(c.Columns[k])
				y.add(i*c.Rows+r, float64(w[k])*float64(x[q]))
				dw.add(k, float64(dy[i*c.Rows+r])*float64(x[q]))
				dx.add(q, float64(dy[i*c.Rows+r])*float64(w[k]))
			}
		}
	}
	moved := newSums(len(w))
	for k, v := range dw.value {
		moved.value[k] = 0.25*float64(w[k]) - 0.5*v
		moved.mass[k] = math.Abs(0.25*float64(w[k])) + 0.5*dw.mass[k]
		moved.terms[k] = dw.terms[k] + 2
	}
	plain := newSums(len(y.value))
	for i := range plain.value {
		b := float64(bias[i%c.Rows])
		plain.value[i], plain.mass[i], plain.terms[i] = y.value[i]-b, y.mass[i], y.terms[i]
	}
	for range 2 { // warm as well as fresh
		gotPlain, gotY, gotW, gotX := nans[T](n*c.Rows), nans[T](n*c.Rows), nans[T](len(w)), nans[T](n*c.Cols)
		layer.Forward(x, w, nil, gotPlain)
		layer.Forward(x, w, bias, gotY)
		layer.LoadGradient(dy)
		layer.BackwardWeights(1, 0, gotW)
		gotMoved := slices.Clone(w)
		layer.BackwardWeights(-0.5, 0.25, gotMoved)
		layer.BackwardInput(w, gotX)
		for _, g := range []struct {
			what string
			want sums
			got  []T
		}{
			{"y without bias", plain, gotPlain},
			{"y", y, gotY},
			{"∂w", dw, gotW},
			{"w", moved, gotMoved},
			{"∂x", dx, gotX},
		} {
			if i := worst(g.want, g.got); i >= 0 {
				t.Fatalf(
					"%d: %d×%d, %d entries, batch %d: %s[%d] = %g, want %g", seed, c.Rows, c.Cols,
					len(w), n, g.what, i, g.got[i], g.want.value[i],
				)
			}
		}
	}
}

func TestCSR(t *testing.T) {
	defer SetThreads(0)
	for seed := range uint64(80) {
		SetThreads(1 + int(seed)%3)
		checkCSR[float32](t, seed)
		checkCSR[float64](t, seed)
	}
}

// Sizes on, below and above the edges of tiles and lines, and of what is done at
// a time.
func TestCSREdges(t *testing.T) {
	cases := 0
	run := func(n, entries, same, cols int) {
		row := make([]int32, entries)
		for k := range row {
			row[k] = int32(k * cols / max(1, entries))
		}
		c := pattern(cols, slices.Repeat([][]int32{row}, same)...)
		for _, code := range csrCodes[float32]() {
			checkCSRCode(t, 0, c, n, code)
			cases++
		}
		for _, code := range csrCodes[float64]() {
			checkCSRCode(t, 0, c, n, code)
			cases++
		}
	}
	for _, n := range []int{1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 96, 250} {
		run(n, 7, 5, 20)
	}
	for entries := range 14 {
		for same := 1; same <= 9; same++ {
			run(17, entries, same, 15)
		}
	}
	for _, cols := range []int{63, 64, 65, 200} {
		run(5, 33, 1, cols)
	}
	run(3, 40000, 2, 40000) // more than a chunk in a row
	if want := 2 * len(csrCodes[float32]()) * (16 + 14*9 + 4 + 1); cases != want {
		t.Errorf("%d cases, want %d", cases, want)
	}
}

// The number of threads does not show in a bit, nor does the part of the columns
// that it makes.
func TestCSRThreads(t *testing.T) {
	defer SetThreads(0)
	rng := rand.New(rand.NewPCG(3, 4))
	c := csrOf(convolutionTable(4, 6, 12))
	for name, code := range csrCodes[float32]() {
		for _, n := range []int{16, 100} {
			x, w := random[float32](rng, n*c.Cols), random[float32](rng, len(c.Columns))
			dy := random[float32](rng, n*c.Rows)
			var want []float32
			for threads := 1; threads <= 5; threads++ {
				SetThreads(threads)
				plan, err := NewCSRPlan(c)
				if err != nil {
					t.Fatal(err)
				}
				layer, err := newCSRLayer(plan, n, code)
				if err != nil {
					t.Fatal(err)
				}
				y, dw, dx := make([]float32, n*c.Rows), make([]float32, len(w)), make([]float32, n*c.Cols)
				layer.Forward(x, w, nil, y)
				layer.LoadGradient(dy)
				layer.BackwardWeights(1, 0, dw)
				layer.BackwardInput(w, dx)
				got := slices.Concat(y, dw, dx)
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s, batch %d: %d threads have another result than one", name, n, threads)
				}
			}
		}
	}
}

// csrOf is a layer in local form as a matrix, rows by channel and position as
// those of a convolution, columns ascending.
func csrOf(l Local) CSR {
	c := CSR{Rows: l.Out * l.Positions, Cols: l.Block, Starts: []int{0}}
	for r := range c.Rows {
		p := r % l.Positions
		for _, q := range l.Table[p*l.Slots : (p+1)*l.Slots] {
			if int(q) < l.Block {
				c.Columns = append(c.Columns, q)
			}
		}
		c.Starts = append(c.Starts, len(c.Columns))
	}
	return c
}

// Rows that have the same columns are worked on together, and their columns kept
// once.
func TestCSRTiles(t *testing.T) {
	a, b := []int32{0, 2, 5}, []int32{1, 2, 5}
	p, err := NewCSRPlan(pattern(6, a, b, a, nil, a, a, b, a))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.columns); got != "[0 2 5 1 2 5]" {
		t.Errorf("columns %v", got)
	}
	var got []string
	for _, tile := range p.tiles {
		got = append(got, fmt.Sprint(tile.at, tile.n, tile.rows[:tile.count]))
	}
	if want := []string{"0 3 [0 2 4 5]", "0 3 [7]", "3 3 [1]", "3 3 [6]", "6 0 [3]"}; !slices.Equal(got, want) {
		t.Errorf("tiles %q, want %q", got, want)
	}
}

// A sample that is not finite spoils no other.
func TestCSRNonFinite(t *testing.T) {
	c := csrOf(convolutionTable(2, 3, 5))
	const n, bad = 19, 7
	plan, err := NewCSRPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	x, w := slices.Repeat([]float32{1}, n*c.Cols), slices.Repeat([]float32{1}, len(c.Columns))
	for i := range c.Cols {
		x[bad*c.Cols+i] = float32(math.Inf(1 - 2*(i%2)))
	}
	for name, code := range csrCodes[float32]() {
		layer, err := newCSRLayer(plan, n, code)
		if err != nil {
			t.Fatal(err)
		}
		y, dx := make([]float32, n*c.Rows), make([]float32, n*c.Cols)
		layer.Forward(x, w, nil, y)
		layer.LoadGradient(y)
		layer.BackwardInput(w, dx)
		for what, v := range map[string][]float32{"y": y, "dx": dx} {
			for i, e := range v {
				if finite := e-e == 0; finite == (i*n/len(v) == bad) {
					t.Fatalf("%s: %s[%d] = %v of sample %d", name, what, i, e, i*n/len(v))
				}
			}
		}
	}
}

// What Forward leaves where there is no sample does not reach the gradient.
func TestCSRNonFiniteBias(t *testing.T) {
	c := pattern(4, []int32{0, 1, 2, 3}, []int32{0, 1, 2, 3})
	plan, err := NewCSRPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, code := range csrCodes[float32]() {
		layer, err := newCSRLayer(plan, 3, code)
		if err != nil {
			t.Fatal(err)
		}
		w, dw := make([]float32, 8), make([]float32, 8)
		layer.Forward(make([]float32, 12), w, []float32{float32(math.Inf(1)), float32(math.NaN())}, make([]float32, 6))
		layer.LoadGradient(make([]float32, 6))
		layer.BackwardWeights(1, 0, dw)
		if !slices.Equal(dw, make([]float32, 8)) {
			t.Errorf("%s: the gradient is %v", name, dw)
		}
	}
}

func TestCSRShort(t *testing.T) {
	c := csrOf(convolutionTable(2, 3, 5))
	const n = 3
	in, w, out := n*c.Cols, len(c.Columns), n*c.Rows
	plan, err := NewCSRPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := NewCSRLayer[float32](plan, n)
	if err != nil {
		t.Fatal(err)
	}
	zeros := func(n int) []float32 { return make([]float32, n) }
	layer.LoadGradient(zeros(out))
	for want, run := range map[string]func(got []float32){
		"x has 149; ":   func(y []float32) { layer.Forward(zeros(in-1), zeros(w), nil, y) },
		"w has 1013; ":  func(y []float32) { layer.Forward(zeros(in), zeros(w-1), nil, y) },
		"bias has 74; ": func(y []float32) { layer.Forward(zeros(in), zeros(w), zeros(c.Rows-1), y) },
		"y has 224; ":   func(y []float32) { layer.Forward(zeros(in), zeros(w), nil, y[:out-1]) },
		"dy has 224; ":  func([]float32) { layer.LoadGradient(zeros(out - 1)) },
		"dw has 1013; ": func(y []float32) { layer.BackwardWeights(1, 0, y[:w-1]) },
		"dx has 149; ":  func(y []float32) { layer.BackwardInput(zeros(w), y[:in-1]) },
		"w has 1013;":   func(y []float32) { layer.BackwardInput(zeros(w-1), y) },
	} {
		y := nans[float32](2000)
		func() {
			defer func() {
				want := strings.TrimRight(strings.Replace(want, ";", " elements", 1), " ")
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
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

func TestCSRRefuses(t *testing.T) {
	for want, c := range map[string]CSR{
		"-1×2: want sizes from 0":             {Rows: -1, Cols: 2},
		"starts: want 3 from 0 to 1":          {Rows: 2, Cols: 2, Starts: []int{0, 1}, Columns: []int32{0}},
		"starts: want 2 from 0 to 2":          {Rows: 1, Cols: 2, Starts: []int{0, 1}, Columns: []int32{0, 1}},
		"starts: row 1 ends before it begins": {Rows: 2, Cols: 2, Starts: []int{0, 2, 1}, Columns: []int32{0}},
		"row 0: column 2 after -1":            pattern(2, []int32{2}),
		"row 0: column -1 after -1":           pattern(2, []int32{-1}),
		"row 1: column 1 after 1":             pattern(2, []int32{0}, []int32{1, 1}),
	} {
		if _, err := NewCSRPlan(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
	plan, err := NewCSRPlan(pattern(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewCSRLayer[float32](plan, -1); err == nil {
		t.Error("a negative batch is taken")
	}
}

// A step of a warm layer allocates nothing of an array's size.
func TestCSRAllocations(t *testing.T) {
	c := csrOf(convolutionTable(3, 10, 8)) // rows in fours and alone, entries that are no multiple of four
	const n, steps = 40, 20
	defer SetThreads(0)
	SetThreads(2) // what threads share out grows with their number
	plan, err := NewCSRPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, code := range csrCodes[float32]() {
		layer, err := newCSRLayer(plan, n, code)
		if err != nil {
			t.Fatal(err)
		}
		x, w, y := make([]float32, n*c.Cols), make([]float32, len(c.Columns)), make([]float32, n*c.Rows)
		step := func() {
			layer.Forward(x, w, nil, y)
			layer.LoadGradient(y)
			layer.BackwardInput(w, x)
			layer.BackwardWeights(-0.1, 1, w)
		}
		step()
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

func FuzzCSR(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		checkCSR[float32](t, seed)
		checkCSR[float64](t, seed)
	})
}
