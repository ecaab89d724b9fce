package verify

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// TestTaps: which tap leads from an output to an input, by hand.
func TestTaps(t *testing.T) {
	tests := []struct {
		name  string
		node  *onnxio.Node
		in    int
		k     int64
		table [][]int // by output, then input: tap or −1
		err   string
	}{
		{name: "plain", in: 4, k: 2, table: [][]int{{0, 1, -1, -1}, {-1, 0, 1, -1}, {-1, -1, 0, 1}}},
		{
			name: "stride beyond the kernel", in: 5, k: 1, table: [][]int{{0, -1, -1, -1, -1}, {-1, -1, -1, 0, -1}},
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.IntsAttr("strides", 3)}},
		},
		{
			name: "asymmetric pads", in: 2, k: 3, table: [][]int{{2, -1}, {1, 2}, {0, 1}},
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.IntsAttr("pads", 2, 1)}},
		},
		{
			name: "dilation", in: 4, k: 2, table: [][]int{{-1, 1, -1, -1}, {0, -1, 1, -1}, {-1, 0, -1, 1}, {-1, -1, 0, -1}},
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.IntsAttr("dilations", 2), onnxio.IntsAttr("pads", 1, 1)}},
		},
		{
			name: "same upper, even kernel", in: 3, k: 2, table: [][]int{{0, 1, -1}, {-1, 0, 1}, {-1, -1, 0}},
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.StringAttr("auto_pad", "SAME_UPPER")}},
		},
		{
			name: "same lower, even kernel", in: 3, k: 2, table: [][]int{{1, -1, -1}, {0, 1, -1}, {-1, 0, 1}},
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.StringAttr("auto_pad", "SAME_LOWER")}},
		},
		{
			name: "ceil mode", in: 4, k: 3, table: [][]int{{0, 1, 2, -1}, {-1, -1, 0, 1}},
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.IntsAttr("strides", 2), onnxio.IntAttr("ceil_mode", 1)}},
		},
		{
			name: "ceil mode, larger than the input", in: 2, k: 3, table: [][]int{{0, 1}},
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.IntsAttr("strides", 2), onnxio.IntAttr("ceil_mode", 1)}},
		},
		{
			name: "ceil mode, larger by a stride", in: 1, k: 3, err: "a window of 3 does not fit an input of 1",
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.IntsAttr("strides", 2), onnxio.IntAttr("ceil_mode", 1)}},
		},
		{name: "too large", in: 2, k: 3, err: "a window of 3 does not fit an input of 2 with pads 0 and 0"},
		{
			name: "unknown auto_pad", in: 2, k: 1, err: `auto_pad "SAME" is unknown`,
			node: &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.StringAttr("auto_pad", "SAME")}},
		},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			if c.node == nil {
				c.node = &onnxio.Node{}
			}
			axes, err := axesOf(c.node, []int{c.in}, []int64{c.k})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v; want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if axes[0].out != len(c.table) {
				t.Fatalf("%d outputs, want %d", axes[0].out, len(c.table))
			}
			for p, row := range c.table {
				for q, want := range row {
					if got := axes[0].tap(p, q); got != want {
						t.Errorf("tap from output %d to input %d: got %d, want %d", p, q, got, want)
					}
				}
			}
		})
	}
}

// TestReach: no tap is outside of what reach says.
func TestReach(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for range 2000 {
		a := axis{
			in: 1 + random.IntN(9), out: 1 + random.IntN(9), kernel: 1 + random.IntN(4), stride: 1 + random.IntN(3),
			dilation: 1 + random.IntN(3), padBegin: random.IntN(5) - 1, transposed: random.IntN(2) == 0,
		}
		for p := range a.out {
			lo, hi := a.reach(p)
			if lo < 0 || hi > a.in {
				t.Fatalf("%+v: output %d reaches from %d to %d", a, p, lo, hi)
			}
			for q := range a.in {
				if a.tap(p, q) < 0 {
					continue
				}
				if hits++; q < lo || q >= hi {
					t.Fatalf("%+v: output %d sees input %d, outside of %d to %d", a, p, q, lo, hi)
				}
			}
		}
	}
	if hits < 1000 {
		t.Errorf("%d hits", hits)
	}
}

// TestSupport: the taps of two axes together are those of each, the last one
// running fastest.
func TestSupport(t *testing.T) {
	node := &onnxio.Node{Attributes: []*onnxio.Attribute{onnxio.IntsAttr("pads", 1, 0, 0, 1), onnxio.IntsAttr("strides", 1, 2)}}
	axes, err := axesOf(node, []int{3, 4}, []int64{2, 3})
	if err != nil {
		t.Fatal(err)
	}
	s := newSupport(axes)
	for p := range s.out {
		s.move(p)
		var want []hit
		for q := range s.in {
			a := axes[0].tap(p/axes[1].out, q/4)
			b := axes[1].tap(p%axes[1].out, q%4)
			if a >= 0 && b >= 0 {
				want = append(want, hit{q, 3*a + b})
			}
		}
		if !slices.Equal(s.hits, want) {
			t.Errorf("output %d: %v, want %v", p, s.hits, want)
		}
	}
}

// TestSameWindows: ceil_mode and padding at the end that comes out even say the
// same, unless the padding counts or the number of windows differs.
func TestSameWindows(t *testing.T) {
	pool := func(op string, attrs ...*onnxio.Attribute) *onnxio.Node {
		attrs = append(attrs, onnxio.IntsAttr("kernel_shape", 3), onnxio.IntsAttr("strides", 2))
		return &onnxio.Node{OpType: op, Inputs: []string{"x"}, Attributes: attrs}
	}
	ceil, pads := onnxio.IntAttr("ceil_mode", 1), onnxio.IntsAttr
	s := &structure{shapes: map[string][]int{"x": {1, 2, 6}}}
	tests := []struct {
		name string
		a, b *onnxio.Node
		want bool
	}{
		{"ceil_mode and padding", pool("MaxPool", ceil), pool("MaxPool", pads("pads", 0, 1)), true},
		{"averages without padding", pool("AveragePool", ceil), pool("AveragePool", pads("pads", 0, 1)), true},
		{"averages with padding", pool("AveragePool", ceil, onnxio.IntAttr("count_include_pad", 1)), pool("AveragePool", pads("pads", 0, 1), onnxio.IntAttr("count_include_pad", 1)), false},
		{"fewer windows", pool("MaxPool", ceil), pool("MaxPool"), false},
		{"padding in front", pool("MaxPool", ceil), pool("MaxPool", pads("pads", 1, 0)), false},
		{"norms without padding", pool("LpPool", ceil), pool("LpPool", pads("pads", 0, 1)), true},
		{"a stride written out", pool("MaxPool"), pool("MaxPool", pads("dilations", 1), onnxio.StringAttr("auto_pad", "VALID")), true},
		{"another operator", pool("MaxUnpool"), pool("MaxUnpool"), false},
	}
	for _, c := range tests {
		if got := s.sameWindows(c.a, c.b); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// TestRowChecker: whatever the pieces a matrix is written in, the first entry
// that is wrong is found, and a matrix of another size is refused.
func TestRowChecker(t *testing.T) {
	content := make([]byte, 0, 24)
	for i := range 6 {
		content = binary.LittleEndian.AppendUint32(content, math.Float32bits(float32(i)))
	}
	counting := func(rows int) *matrix {
		return &matrix{rows: rows, cols: 3, entries: func(r int, entry func(int, float64, float64)) {
			for c := range 3 {
				entry(c, float64(3*r+c), 0)
			}
		}}
	}
	for piece := 1; piece <= len(content); piece++ {
		for wrong := -1; wrong < 6; wrong++ {
			data := slices.Clone(content)
			if wrong >= 0 {
				data[4*wrong] ^= 1
			}
			c := newRowChecker(counting(2))
			if err := c.check(inPieces(data, piece, 6)); err != nil {
				t.Fatal(err)
			}
			if rows, entries := c.done.Load(), c.nonzero.Load(); rows != 2 || entries != 6 {
				t.Fatalf("pieces of %d: %d rows, %d entries", piece, rows, entries)
			}
			switch {
			case wrong < 0 && c.wrong != 0:
				t.Errorf("pieces of %d: %d wrong, want none", piece, c.wrong)
			case wrong >= 0 && (c.wrong != 1 || c.first.row*3+c.first.col != wrong):
				t.Errorf("pieces of %d: %d wrong, the first at %d,%d; want element %d", piece, c.wrong, c.first.row, c.first.col, wrong)
			}
		}
	}
	if err := newRowChecker(counting(1)).check(inPieces(content, 24, 6)); err == nil {
		t.Error("twice as many elements are accepted")
	}
	short := onnxio.NewTensor("w", []int64{3}, []float32{0, 1, 2})
	if err := newRowChecker(counting(2)).check(short); err == nil || !strings.Contains(err.Error(), "1 of 2 rows") {
		t.Errorf("half of the elements: %v", err)
	}
}

// inPieces is a float32 vector that is written some bytes at a time.
func inPieces(content []byte, piece int, elements int64) *onnxio.Tensor {
	return &onnxio.Tensor{
		Name: "w", Type: onnxio.Float32, Dims: []int64{elements},
		Data: onnxio.Generate(int64(len(content)), func(w io.Writer) error {
			for part := range slices.Chunk(content, piece) {
				if _, err := w.Write(part); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// TestAccepts: a stored bias is one rounding of the sum, or its neighbour where
// float64 cannot tell.
func TestAccepts(t *testing.T) {
	next := math.Nextafter32(1, 2)
	middle := (1 + float64(next)) / 2
	tests := []struct {
		stored       float32
		value, slack float64
		want         bool
	}{
		{1, 1, 1e-15, true},
		{next, 1, 1e-15, false},
		{1, middle, 1e-15, true},
		{next, middle, 1e-15, true},
		{next, middle, 0, false}, // to even
		{1, middle + 1e-9, 1e-15, false},
		{float32(math.Copysign(0, -1)), 0, 0, false},
	}
	for _, c := range tests {
		if got := accepts(c.stored, c.value, c.slack); got != c.want {
			t.Errorf("accepts(%v, %v, %v) = %t", c.stored, c.value, c.slack, got)
		}
	}
}

func TestPermuted(t *testing.T) {
	// A [2,3] tensor transposed: element (i,j) of the result is (j,i).
	if got, want := permuted([]int{2, 3}, []int64{2, 1}), []int{0, 3, 1, 4, 2, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUlps(t *testing.T) {
	tiny := math.Float32frombits(1)
	for _, c := range []struct {
		a, b float32
		want int64
	}{
		{1, 1, 0},
		{1, math.Nextafter32(1, 2), 1},
		{tiny, -tiny, 2},
		{0, float32(math.Copysign(0, -1)), 0},
		{1, 2, 1 << 23},
		{1, float32(math.NaN()), math.MaxInt64},
	} {
		if got := ulpsApart(c.a, c.b, math.Abs(float64(c.a)-float64(c.b))); got != c.want {
			t.Errorf("from %v to %v: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestFigure: what JSON has no number for survives.
func TestFigure(t *testing.T) {
	for _, v := range []float64{0, 1.5e-300, math.Inf(1), math.Inf(-1), math.NaN()} {
		text, err := json.Marshal(Figure(v))
		if err != nil {
			t.Fatal(err)
		}
		var got Figure
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if float64(got) != v && !(math.IsNaN(v) && math.IsNaN(float64(got))) {
			t.Errorf("%v became %s became %v", v, text, got)
		}
	}
}

// TestMeasure: what counts as equal, as beyond a bound, and as without one.
func TestMeasure(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	tensor := func(v ...float32) *engine.Tensor[float32] {
		return &engine.Tensor[float32]{Type: onnxio.Float32, Shape: []int{len(v), 1}, F: v}
	}
	tests := []struct {
		name            string
		a, b            float32
		bound           float64
		over, unbounded int64
		exact           bool
	}{
		{"same", 1, 1, 0, 0, 0, true},
		{"both NaN", nan, nan, 0, 0, 0, true},
		{"both infinite", inf, inf, 0, 0, 0, true},
		{"zeros of both signs", 0, float32(math.Copysign(0, -1)), 0, 0, 0, true},
		{"within", 1, 1.5, 0.5, 0, 0, false},
		{"beyond", 1, 1.5, 0.25, 1, 0, false},
		{"beyond zero", 1, 1.5, 0, 1, 0, false},
		{"one NaN", nan, 1, 10, 1, 0, false},
		{"one infinite", 1, inf, 10, 1, 0, false},
		{"without a bound", 1, 2, math.Inf(1), 0, 1, false},
	}
	for _, c := range tests {
		var d Distance
		measure(&d, tensor(0, c.a), tensor(0, c.b), []float64{0, c.bound}, 5)
		if d.Over != c.over || d.Unbounded != c.unbounded || d.Exact != c.exact || d.Elements != 2 {
			t.Errorf("%s: %+v", c.name, d)
		}
		if c.over > 0 && !slices.Equal(d.At, []int{6, 0}) {
			t.Errorf("%s: at %v, want sample 6", c.name, d.At)
		}
	}
}
