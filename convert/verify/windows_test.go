package verify

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// windowsCase is a convolution on two axes whose matrix the test makes for itself.
type windowsCase struct {
	name                     string
	axes                     []axis
	channels, filters, group int
	scaled                   bool
}

var windowsCases = []windowsCase{
	{"padding on all sides", []axis{
		{in: 6, out: 6, kernel: 3, stride: 1, dilation: 1, padBegin: 1, padEnd: 1},
		{in: 5, out: 5, kernel: 3, stride: 1, dilation: 1, padBegin: 1, padEnd: 1},
	}, 2, 3, 1, false},
	{"strides, dilations and a BatchNormalization", []axis{
		{in: 9, out: 5, kernel: 3, stride: 2, dilation: 1, padBegin: 1, padEnd: 1},
		{in: 8, out: 6, kernel: 2, stride: 1, dilation: 3, padBegin: 1},
	}, 2, 2, 1, true},
	{"groups", []axis{
		{in: 5, out: 5, kernel: 3, stride: 1, dilation: 1, padBegin: 1, padEnd: 1},
		{in: 4, out: 4, kernel: 1, stride: 1, dilation: 1},
	}, 4, 6, 2, false},
	{"transposed", []axis{
		{in: 4, out: 8, kernel: 3, stride: 2, dilation: 1, padBegin: 1, transposed: true},
		{in: 3, out: 3, kernel: 3, stride: 1, dilation: 1, padBegin: 1, padEnd: 1, transposed: true},
	}, 2, 2, 1, true},
	{"a kernel larger than the input", []axis{
		{in: 2, out: 4, kernel: 7, stride: 1, dilation: 1, padBegin: 4, padEnd: 4},
		{in: 3, out: 3, kernel: 5, stride: 1, dilation: 1, padBegin: 2, padEnd: 2},
	}, 1, 2, 1, false},
}

// matrix returns the matrix as the check knows it, and its elements, each from the taps of
// its own output and input.
func (w windowsCase) matrix() (m *matrix, dense [][]uint32) {
	s := newSupport(w.axes)
	groupIn, groupOut := w.channels/w.group, w.filters/w.group
	rng := rand.New(rand.NewPCG(1, 2))
	kernel := make([]float32, w.filters*groupIn*s.kernel)
	for i := range kernel {
		kernel[i] = float32(rng.NormFloat64())
	}
	taps := func(o, c int) []float32 { return kernel[(o*groupIn+c%groupIn)*s.kernel:][:s.kernel] }
	ws := &windows{support: s, groupIn: groupIn, groupOut: groupOut, taps: taps}
	m = &matrix{
		rows: w.filters * s.out, cols: w.channels * s.in, entries: ws.entries, windows: ws,
		outShape: []int{w.filters, w.axes[0].out, w.axes[1].out}, inShape: []int{w.channels, w.axes[0].in, w.axes[1].in},
	}
	scale := slices.Repeat([]float64{1}, w.filters)
	if w.scaled {
		for o := range scale {
			scale[o] = 1 + rng.Float64()
		}
		m = m.scaled(&batchNorm{scale: scale})
	}
	for r := range m.rows {
		row, o, p := make([]uint32, m.cols), r/s.out, unravel(r%s.out, m.outShape[1:])
		for c := range m.cols {
			ch, q := c/s.in, unravel(c%s.in, m.inShape[1:])
			a, b := w.axes[0].tap(p[0], q[0]), w.axes[1].tap(p[1], q[1])
			if a >= 0 && b >= 0 && ch/groupIn == o/groupOut {
				row[c] = math.Float32bits(float32(float64(taps(o, ch)[a*w.axes[1].kernel+b]) * scale[o]))
			}
		}
		dense = append(dense, row)
	}
	return m, dense
}

// inFile returns the numbers as a tensor whose content is in a file, so that several
// goroutines compare it.
func inFile(t *testing.T, bits []uint32) (tensor *onnxio.Tensor, change func(i int, bits uint32)) {
	t.Helper()
	const least = 1 << 20 / 4 // elements that stay in the file; what is behind ours is not read
	path := filepath.Join(t.TempDir(), "m.onnx")
	v := make([]float32, max(least, len(bits)))
	for i, b := range bits {
		v[i] = math.Float32frombits(b)
	}
	m := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
		Name: "g", Initializers: []*onnxio.Tensor{onnxio.NewTensor("w", []int64{int64(len(v))}, v)},
	}}
	if _, err := onnxio.Write(path, m, onnxio.WriteOptions{External: onnxio.ExternalAlways, NoSync: true}); err != nil {
		t.Fatal(err)
	}
	read, err := onnxio.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	file := path + ".data"
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	data := onnxio.Section(read.Graph.Initializers[0].Data, 0, 4*int64(len(bits)))
	return &onnxio.Tensor{Name: "w", Type: onnxio.Float32, Dims: []int64{int64(len(bits))}, Data: data},
		func(i int, b uint32) {
			if _, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, b), 4*int64(i)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil { // it is still the file that was read
				t.Fatal(err)
			}
		}
}

// TestWindowsDense: of the matrix of windows, which is compared for the most part with rows that
// were found right, each element that is wrong by one bit is found, and is the only one.
func TestWindowsDense(t *testing.T) {
	checked := 0
	for _, w := range windowsCases {
		m, dense := w.matrix()
		all := slices.Concat(dense...)
		tensor, change := inFile(t, all)
		nonzero := int64(0)
		for _, b := range all {
			if b != 0 {
				nonzero++
			}
		}
		for i := -1; i < len(all); i++ {
			if i >= 0 {
				change(i, all[i]^1)
			}
			c := newRowChecker(m)
			if err := c.check(tensor); err != nil {
				t.Fatal(err)
			}
			if c.done.Load() != int64(m.rows) || c.nonzero.Load() != nonzero {
				t.Fatalf("%s: %d rows, %d entries; want %d, %d", w.name, c.done.Load(), c.nonzero.Load(), m.rows, nonzero)
			}
			if i < 0 {
				if c.wrong != 0 {
					t.Fatalf("%s: %d are wrong, the first at %+v", w.name, c.wrong, c.first)
				}
				continue
			}
			want := difference{i / m.cols, i % m.cols, all[i], all[i] ^ 1}
			if c.wrong != 1 || c.first != want {
				t.Fatalf("%s: %d are wrong, the first at %+v; want %+v", w.name, c.wrong, c.first, want)
			}
			change(i, all[i])
			checked++
		}
		out := newSupport(w.axes).out
		for name, others := range map[string][]uint32{
			"the next filter":  rotated(all, out*m.cols),
			"the first filter": slices.Repeat(all[:out*m.cols], w.filters),
		} {
			c := newRowChecker(m)
			err := c.check(onnxio.NewTensor("w", nil, floatsOf(others)))
			if want := differing(all, others); err != nil || c.wrong != want {
				t.Errorf("%s, rows of %s: %d are wrong (%v); want %d", w.name, name, c.wrong, err, want)
			}
		}
	}
	if checked != 24936 {
		t.Errorf("%d elements were changed", checked)
	}
}

// localOf returns the local form of a matrix of windows: the slots of a position in an order
// that turns takes from position to position, and behind them one that reads the padding.
func (w windowsCase) localOf(dense [][]uint32, turn func(p int) int) (t *localTable, bits []uint32) {
	s := newSupport(w.axes)
	groupIn := w.channels / w.group
	t = &localTable{
		groups: w.group, positions: s.out, out: w.filters / w.group, slots: groupIn*s.kernel + 1, block: groupIn * s.in,
		padded: true,
	}
	for p := range s.out {
		s.move(p)
		index := slices.Repeat([]int32{int32(t.block)}, t.slots)
		for i := range groupIn * len(s.hits) {
			at := (i + turn(p)) % (groupIn * len(s.hits))
			index[at] = int32(i/len(s.hits)*s.in + s.hits[i%len(s.hits)].in)
		}
		t.index = append(t.index, index...)
	}
	for i := range w.group * s.out * t.out {
		g, p, o := i/t.out/s.out, i/t.out%s.out, i%t.out
		for _, q := range t.slotsAt(p) {
			if int(q) == t.block {
				bits = append(bits, 0)
			} else {
				bits = append(bits, dense[(g*t.out+o)*s.out+p][g*t.block+int(q)])
			}
		}
	}
	return t, bits
}

// TestWindowsLocal is TestWindowsDense for the local form, with the slots of all positions in
// one order and in several.
func TestWindowsLocal(t *testing.T) {
	checked := 0
	for _, w := range windowsCases {
		for _, turns := range []int{1, 3, 7} {
			m, dense := w.matrix()
			table, all := w.localOf(dense, func(p int) int { return p % turns })
			tensor, change := inFile(t, all)
			for i := -1; i < len(all); i++ {
				if i >= 0 {
					change(i, all[i]^1)
				}
				c := newLocalChecker(table, m)
				if err := c.check(tensor); err != nil {
					t.Fatal(err)
				}
				if c.compared != int64(len(all)) {
					t.Fatalf("%s: %d of %d weights are compared", w.name, c.compared, len(all))
				}
				text := c.differs.text + c.padding.text
				if i < 0 {
					if c.wrong != 0 {
						t.Fatalf("%s: %d are wrong: %s %s %s", w.name, c.wrong, text, c.missing.text, c.surplus.text)
					}
					continue
				}
				block, o, slot := i/table.slots/table.out, i/table.slots%table.out, i%table.slots
				want := fmt.Sprintf("weight of group %d, position %v, slot %d, out channel %d", block/table.positions,
					table.position(block%table.positions, m), slot, o)
				if c.wrong != 1 || len(text) < len(want) || text[:len(want)] != want {
					t.Fatalf("%s: %d are wrong: %q; want %s", w.name, c.wrong, text, want)
				}
				change(i, all[i])
				checked++
			}
			_, straight := w.localOf(dense, func(int) int { return 0 })
			for name, others := range map[string][]uint32{
				"the next position": rotated(all, table.out*table.slots),
				"the next output":   rotated(all, table.slots),
				"the next group":    rotated(all, len(all)/w.group),
				"the first group":   slices.Repeat(all[:len(all)/w.group], w.group),
				"other slots":       straight,
			} {
				c := newLocalChecker(table, m)
				err := c.check(onnxio.NewTensor("w", nil, floatsOf(others)))
				if want := differing(all, others); err != nil || c.wrong != want {
					t.Errorf("%s, weights of %s: %d are wrong (%v); want %d", w.name, name, c.wrong, err, want)
				}
			}
		}
	}
	if checked != 15318 {
		t.Errorf("%d weights were changed", checked)
	}
}

// rotated returns v with what is by elements further in each place.
func rotated(v []uint32, by int) []uint32 {
	by %= len(v)
	return slices.Concat(v[by:], v[:by])
}

// differing counts the elements that differ.
func differing(a, b []uint32) (n int64) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// TestWindowsRepeat: most rows are not made by their entries.
func TestWindowsRepeat(t *testing.T) {
	w := windowsCase{"", []axis{
		{in: 20, out: 20, kernel: 3, stride: 1, dilation: 1, padBegin: 1, padEnd: 1},
		{in: 20, out: 20, kernel: 3, stride: 1, dilation: 1, padBegin: 1, padEnd: 1},
	}, 2, 2, 1, true}
	m, dense := w.matrix()
	made, taps := 0, m.windows.taps
	m.windows.taps = func(o, c int) []float32 { made++; return taps(o, c) }
	all := onnxio.NewTensor("w", []int64{int64(m.rows), int64(m.cols)}, floatsOf(slices.Concat(dense...)))
	if c := newRowChecker(m); c.check(all) != nil || c.wrong != 0 || made != 2*9*2 {
		t.Errorf("dense: %d wrong, %d channels of rows made; want 9 rows of each filter", c.wrong, made)
	}
	made = 0
	table, bits := w.localOf(dense, func(int) int { return 0 })
	all = onnxio.NewTensor("w", []int64{int64(len(bits))}, floatsOf(bits))
	if c := newLocalChecker(table, m); c.check(all) != nil || c.wrong != 0 || made != 2*9*2 {
		t.Errorf("local: %d wrong, %d channels of rows made; want 9 rows of each filter", c.wrong, made)
	}
}

// TestWindowsOfManyParts: in a file of many parts, which several goroutines compare, all that is
// wrong is found, and the first of it named.
func TestWindowsOfManyParts(t *testing.T) {
	defer kernel.SetThreads(0)
	kernel.SetThreads(4)
	side := axis{in: 20, out: 20, kernel: 3, stride: 1, dilation: 1, padBegin: 1, padEnd: 1}
	w := windowsCase{"", []axis{side, side}, 2, 12, 1, true}
	m, dense := w.matrix()
	table, weights := w.localOf(dense, func(int) int { return 0 })
	for name, all := range map[string][]uint32{"dense": slices.Concat(dense...), "local": weights} {
		tensor, change := inFile(t, all)
		rng := rand.New(rand.NewPCG(3, 4))
		for turn := range 10 {
			wrong := map[int]bool{}
			for range 40 * (turn % 2) { // none, and 40
				wrong[rng.IntN(len(all))] = true
			}
			first := len(all)
			for i := range wrong {
				change(i, all[i]^1)
				first = min(first, i)
			}
			found, at := int64(0), len(all)
			if name == "dense" {
				c := newRowChecker(m)
				if err := c.check(tensor); err != nil {
					t.Fatal(err)
				}
				if found = c.wrong; found > 0 {
					at = c.first.row*m.cols + c.first.col
				}
			} else {
				c := newLocalChecker(table, m)
				if err := c.check(tensor); err != nil {
					t.Fatal(err)
				}
				found, first = c.wrong, first/table.slots
				at = len(all) / table.slots
				for _, f := range []firstFault{c.differs, c.padding} {
					if f.place > 0 {
						at = min(at, int(f.place)-1)
					}
				}
			}
			if found != int64(len(wrong)) || at != first {
				t.Errorf("%s: %d are wrong, the first at %d; want %d, %d", name, found, at, len(wrong), first)
			}
			for i := range wrong {
				change(i, all[i])
			}
		}
	}
}

func floatsOf(bits []uint32) []float32 {
	v := make([]float32, len(bits))
	for i, b := range bits {
		v[i] = math.Float32frombits(b)
	}
	return v
}
