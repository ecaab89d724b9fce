package finetune

import (
	"math"
	"slices"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/onnxio"
)

// entriesOf lists where the entries in the support of a layer's matrix are, by
// row and column, in dense or local form. Slots in padding are left out.
func entriesOf(t *testing.T, m *onnxio.Model, l record.Layer) map[[2]int]float32 {
	t.Helper()
	a, err := record.Open(m, l.Node)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := a.CSR(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	ints := func(x *onnxio.Tensor) []int64 {
		v, err := onnxio.Ints(x)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	ptr, cols := ints(csr.Indptr), ints(csr.Indices)
	values, err := onnxio.Floats[float32](csr.Data)
	if err != nil {
		t.Fatal(err)
	}
	entries := map[[2]int]float32{}
	for r := range len(ptr) - 1 {
		for k := ptr[r]; k < ptr[r+1]; k++ {
			entries[[2]int{r, int(cols[k])}] = values[k]
		}
	}
	return entries
}

// An eFCN in local form trains to what the dense one trains to when its support
// alone is trained, and tied to what that trains to.
func TestLocalTrainsAsDense(t *testing.T) {
	compared := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		for _, o := range []Options{
			{Train: TrainLocal},
			{Train: TrainTied},
			{Train: TrainLocal, Optimizer: Optimizer{Momentum: 0.9, WeightDecay: 0.01}},
			{Train: TrainLocal, Optimizer: Optimizer{WeightDecay: 0.1}},
			{Train: TrainTied, Optimizer: Optimizer{Method: AdamW, WeightDecay: 0.01}},
		} {
			o.Epochs, o.Batch, o.Rate = 3, 20, 0.01
			dense, local := embedAs(t, cnn, record.Dense), embedAs(t, cnn, record.Local)
			a, err := Train(t.Context(), dense, toySet(50, 3), nil, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Train(t.Context(), local, toySet(50, 3), nil, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			rec, err := record.Read(local)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range rec.Layers {
				if l.Layout != record.Local {
					continue
				}
				want, got, start := entriesOf(t, a, l), entriesOf(t, b, l), entriesOf(t, local, l)
				if len(want) != len(got) {
					t.Fatalf("%s: %d entries, dense %d", l.Node, len(got), len(want))
				}
				moved := 0
				for at, v := range want {
					if d := math.Abs(float64(v - got[at])); !(d < 1e-5) {
						t.Fatalf("%s, %+v: entry %v is %g, dense %g", name, o, at, got[at], v)
					}
					if v != start[at] {
						moved++
					}
					compared++
				}
				if moved < len(want)/4 {
					t.Errorf("%s: %d of %d entries moved", l.Node, moved, len(want))
				}
				// What lies in padding held 0, and holds it.
				zeros := 0
				for _, v := range bits(t, b, l.Weight) {
					if v == 0 {
						zeros++
					}
				}
				if want := len(bits(t, b, l.Weight)) - len(start); zeros != want {
					t.Errorf("%s: %d zeros, want those %d in padding", l.Node, zeros, want)
				}
			}
		}
	}
	if want := 5 * (300 + 300 + 6*5*4); compared != want {
		t.Errorf("compared %d entries, want %d", compared, want)
	}
}

func TestLocalGradients(t *testing.T) {
	total := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		t.Run(name, func(t *testing.T) {
			tr, n := mustTraineeOf[float64](t, embedAs(t, cnn, record.Local), TrainLocal)
			if len(n.reads) != len(tr.params) {
				t.Errorf("%d gradients of %d parameters", len(n.reads), len(tr.params))
			}
			fill(n, 4)
			// A derivative at a slot in padding is no gradient: it reads a zero.
			total += checkGradients(t, n)
		})
	}
	if want := 176; total != want {
		t.Errorf("checked %d derivatives, want %d", total, want)
	}
}

// A local layer in the form that convert writes for old opsets, with Pad's
// attributes, trains too.
func TestLocalOldOpset(t *testing.T) {
	cnn := toyModel()
	cnn.Opsets[0].Version = 9
	if _, err := Train(t.Context(), embedAs(t, cnn, record.Local), toySet(20, 1), nil,
		Options{Train: TrainLocal, Epochs: 1}, nil); err != nil {
		t.Error(err)
	}
}

func TestLocalRefuses(t *testing.T) {
	find := func(m *onnxio.Model, op string) *onnxio.Node {
		return m.Graph.Nodes[slices.IndexFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n.OpType == op })]
	}
	for name, c := range map[string]struct {
		layout record.Layout
		train  string
		edit   func(m *onnxio.Model)
		want   string
	}{
		"table": {record.Local, TrainLocal, func(m *onnxio.Model) {
			table := m.Graph.Initializer(find(m, "Gather").Input(1))
			v, err := onnxio.Ints(table)
			if err != nil {
				t.Fatal(err)
			}
			v = slices.Clone(v)
			v[0]++
			table.Data = onnxio.NewTensor("", table.Dims, v).Data
		}, "is not that of the geometry in the record"},
		"perm": {record.Local, TrainLocal, func(m *onnxio.Model) {
			find(m, "Transpose").Attributes = []*onnxio.Attribute{onnxio.IntsAttr("perm", 2, 1, 0)}
		}, "the record has it local, but its Transposes have the perms [[2 1 0] [3 0 2 1]]"},
		"padding": {record.Local, TrainLocal, func(m *onnxio.Model) {
			w := m.Graph.Initializer(find(m, "MatMul").Input(0))
			v, err := onnxio.Floats[float32](w)
			if err != nil {
				t.Fatal(err)
			}
			v = slices.Clone(v)
			v[8] = 1
			w.Data = onnxio.NewTensor("", w.Dims, v).Data
		}, "weight 8 lies in padding and is 1; want 0"},
	} {
		t.Run(name, func(t *testing.T) {
			m := embedAs(t, toyModel(), c.layout)
			if c.edit != nil {
				c.edit(m)
			}
			_, err := Train(t.Context(), m, toySet(10, 1), nil, Options{Train: c.train}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}
