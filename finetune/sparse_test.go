package finetune

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert/compress"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/onnxio"
)

// sparseToy is toyModel, no eFCN, whose matrix is a sparse initializer with the
// places of its entries in pairs.
func sparseToy() *onnxio.Model {
	m := toyModel()
	m.Metadata = nil
	rng := rand.New(rand.NewPCG(7, 7))
	var values []float32
	var index []int64
	for r := range int64(48) {
		for c := range int64(4) {
			if rng.IntN(2) == 0 && r+c > 0 {
				values, index = append(values, float32(rng.NormFloat64()/5)), append(index, r, c)
			}
		}
	}
	n := int64(len(values))
	m.Graph.Initializers = slices.DeleteFunc(m.Graph.Initializers, func(t *onnxio.Tensor) bool { return t.Name == "w" })
	m.Graph.SparseInitializers = []*onnxio.SparseTensor{{
		Dims: []int64{48, 4}, Values: onnxio.NewTensor("w", []int64{n}, values), Indices: onnxio.NewTensor("", []int64{n, 2},
			index),
	}}
	return m
}

// deepModel is groupedModel with all channels in one group.
func deepModel() *onnxio.Model {
	m := groupedModel()
	for i, t := range m.Graph.Initializers {
		if t.Name == "k2" {
			m.Graph.Initializers[i] = noise32(rand.New(rand.NewPCG(9, 2)), "k2", 0.3, 6, 3, 3, 2)
		}
	}
	m.Graph.Nodes[4].Attributes[0] = onnxio.IntAttr("group", 1)
	return m
}

// An eFCN in sparse form trains to what the local one trains to, and to what the
// support of the dense one does, whatever moves the weights.
func TestSparseTrainsAsOthers(t *testing.T) {
	compared, layers := 0, 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel(), "deep": deepModel()} {
		for optimiser, o := range optimisers() {
			for _, mode := range []string{TrainLocal, TrainTied} {
				o.Train, o.Epochs, o.Batch, o.Rate = mode, 3, 20, 0.01
				trained := map[record.Layout]*onnxio.Model{}
				for _, layout := range []record.Layout{record.Dense, record.Local, record.Sparse} {
					var err error
					if trained[layout], err = Train(t.Context(), embedAs(t, cnn, layout), toySet(50, 3), nil, o, nil); err != nil {
						t.Fatal(err)
					}
				}
				sparse := embedAs(t, cnn, record.Sparse)
				rec, err := record.Read(sparse)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range rec.Layers {
					if l.Layout != record.Sparse {
						continue
					}
					layers++
					start, end := sparse.Graph.SparseConstants()[l.Weight], trained[record.Sparse].Graph.SparseConstants()[l.Weight]
					if end == nil || !bytes.Equal(bytesOf(t, start.Indices), bytesOf(t, end.Indices)) {
						t.Fatalf("%s: the entries are others", l.Node)
					}
					before, got, moved := entriesOf(t, sparse, l), entriesOf(t, trained[record.Sparse], l), 0
					for _, layout := range []record.Layout{record.Dense, record.Local} {
						want := entriesOf(t, trained[layout], l)
						for at, v := range before { // which may be 0 by now, and is not listed then
							if d := math.Abs(float64(got[at] - want[at])); !(d < 1e-5) {
								t.Fatalf("%s, %s %s: %s: entry %v is %g, %s %g", name, optimiser, mode, l.Node, at, got[at], layout, want[at])
							}
							if got[at] != v {
								moved++
							}
							compared++
						}
						if len(got) > len(before) {
							t.Fatalf("%s, %s %s: %s: %d entries, before %d", name, optimiser, mode, l.Node, len(got), len(before))
						}
					}
					if moved < len(before)/2 {
						t.Errorf("%s, %s %s: %s: a quarter of %d entries has not moved", name, optimiser, mode, l.Node, len(before))
					}
				}
			}
		}
	}
	if layers != 8*2*5 || compared != 8*2*2*(300+300+6*5*4+300+6*3*5*4) {
		t.Errorf("compared %d entries of %d layers", compared, layers)
	}
}

// A sparse layer with entries outside the support as well, as compress makes it of a
// relaxed one: they stay as they are, and the support trains as that of the dense layer
// with the same matrix does.
func TestSparseOutsideSupport(t *testing.T) {
	compared, outside := 0, 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		relaxed, err := Train(t.Context(), embedAs(t, cnn, record.Dense), toySet(50, 3), nil, Options{Epochs: 2, Batch: 20, Rate: 0.05}, nil)
		if err != nil {
			t.Fatal(err)
		}
		as := func(m *onnxio.Model, target compress.Target) *onnxio.Model {
			m, _, err := compress.Compress(t.Context(), m, compress.Options{Target: target})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		sparse := as(relaxed, compress.Target{Layout: record.Sparse, Keep: 0.3})
		dense := as(sparse, compress.Target{Layout: record.Dense})
		_, err = Train(t.Context(), sparse, toySet(50, 4), nil, Options{Train: TrainLocal, Reinit: true, Epochs: 1}, nil)
		if layout, ok := errors.AsType[*LayoutError](err); !ok || !layout.Reinit || layout.Layout != record.Sparse {
			t.Errorf("%s: new weights that stay outside the support: %v", name, err)
		}
		_, err = newTrainee[float32](sparse, TrainAll)
		rec, errRecord := record.Read(sparse)
		if errRecord != nil {
			t.Fatal(errRecord)
		}
		stored := 12 * sparse.Graph.SparseConstants()[rec.Layers[0].Weight].Values.Dims[0]
		if layout, ok := errors.AsType[*LayoutError](err); !ok || layout.Bytes != stored {
			t.Errorf("%s: %v, want %d bytes in sparse form", name, err, stored)
		}
		for optimiser, o := range optimisers() {
			for _, mode := range []string{TrainLocal, TrainTied} {
				o.Train, o.Epochs, o.Batch, o.Rate = mode, 3, 20, 0.01
				got, errSparse := Train(t.Context(), sparse, toySet(50, 4), nil, o, nil)
				want, errDense := Train(t.Context(), dense, toySet(50, 4), nil, o, nil)
				if err := errors.Join(errSparse, errDense); err != nil {
					t.Fatal(err)
				}
				rec, err := record.Read(got)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range rec.Layers {
					if l.Layout != record.Sparse {
						continue
					}
					support, err := l.Support()
					if err != nil {
						t.Fatal(err)
					}
					before, after, other := entriesOf(t, sparse, l), entriesOf(t, got, l), entriesOf(t, want, l)
					inside, moved := map[[2]int]bool{}, 0
					for r := range support.Rows() {
						support.Kernel = make([]float32, support.KernelRows()*support.InChannels/support.Groups*support.Taps.Coefs)
						support.Row(r, func(col int, _ float32) { inside[[2]int{r, col}] = true })
					}
					for at, v := range before {
						if !inside[at] {
							outside++
							if after[at] != v {
								t.Fatalf("%s, %s %s: %s: entry %v outside the support moved from %v to %v", name, optimiser, mode, l.Node, at, v, after[at])
							}
							continue
						}
						compared++
						if d := math.Abs(float64(after[at] - other[at])); !(d < 1e-5) {
							t.Fatalf("%s, %s %s: %s: entry %v is %g, dense %g", name, optimiser, mode, l.Node, at, after[at], other[at])
						}
						if after[at] != v {
							moved++
						}
					}
					if moved < len(inside)/2 {
						t.Errorf("%s, %s %s: %s: %d of %d entries of the support have moved", name, optimiser, mode, l.Node, moved, len(inside))
					}
				}
			}
		}
	}
	if compared < 4000 || outside < 4000 {
		t.Errorf("%d entries in the support and %d outside", compared, outside)
	}
}

func bytesOf(t *testing.T, x *onnxio.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := x.Data.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSparseGradients(t *testing.T) {
	total := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		t.Run(name, func(t *testing.T) {
			tr, n := mustTraineeOf[float64](t, embedAs(t, cnn, record.Sparse), TrainLocal)
			if len(n.reads) != len(tr.params) || len(tr.sparse) == 0 {
				t.Errorf("%d gradients of %d parameters, %d of them sparse", len(n.reads), len(tr.params), len(tr.sparse))
			}
			fill(n, 4)
			total += checkGradients(t, n)
		})
	}
	if want := 176; total != want {
		t.Errorf("checked %d derivatives, want %d", total, want)
	}
}

// The update inside of the product is that of a gradient that was written down.
func TestSparseFuses(t *testing.T) {
	for name, m := range map[string]*onnxio.Model{
		"transposed": embedAs(t, toyModel(), record.Sparse),
		"as it lies": sparseToy(),
	} {
		what := TrainLocal
		if name == "as it lies" {
			what = TrainAll
		}
		var ends [2]map[string][]float64
		fused := 0
		for i, keep := range []bool{true, false} {
			tr, err := newTrainee[float64](m, what)
			if err != nil {
				t.Fatal(err)
			}
			n, err := tr.network(6, keep)
			if err != nil {
				t.Fatal(err)
			}
			fill(n, 4)
			for range 4 {
				u := sgd[float64](0.05)
				u.WeightDecay = 0.1
				if err := n.step(u); err != nil {
					t.Fatal(err)
				}
			}
			ends[i] = map[string][]float64{}
			for _, p := range tr.params {
				ends[i][p.name] = p.values
				if read := slices.ContainsFunc(n.reads,
					func(g gradient[float64]) bool { return g.p == p }); tr.sparse[p.name] != nil && !read {
					fused++
				}
			}
		}
		if fused == 0 {
			t.Errorf("%s: no update is fused", name)
		}
		for p, want := range ends[0] {
			for i, v := range ends[1][p] {
				if d := math.Abs(v - want[i]); !(d <= 1e-12*max(1, math.Abs(want[i]))) {
					t.Fatalf("%s: %s[%d] is %g, want %g", name, p, i, v, want[i])
				}
			}
		}
	}
}

// Of a model that is no eFCN the stored entries are trained, and nothing else.
// The rest of the file stays.
func TestSparseConstantsTrain(t *testing.T) {
	for _, pattern := range []string{"", "MatMul_z", "Conv_c"} {
		m := sparseToy()
		trained, err := Train(t.Context(), m, toySet(40, 1), nil, Options{Train: pattern, Epochs: 2, Batch: 20, Rate: 0.1},
			nil)
		if err != nil {
			t.Fatal(err)
		}
		before, after := m.Graph.SparseInitializers[0], trained.Graph.SparseInitializers[0]
		if after.Values.Name != "w" || !slices.Equal(before.Dims, after.Dims) ||
			!bytes.Equal(bytesOf(t, before.Indices), bytesOf(t, after.Indices)) {
			t.Errorf("train %q: the sparse initializer is %+v", pattern, after)
		}
		if moved := !bytes.Equal(bytesOf(t, before.Values), bytesOf(t, after.Values)); moved != (pattern != "Conv_c") {
			t.Errorf("train %q: entries moved: %t", pattern, moved)
		}
		if moved := !equalBits(bits(t, m, "k"), bits(t, trained, "k")); moved != (pattern != "MatMul_z") {
			t.Errorf("train %q: the kernel moved: %t", pattern, moved)
		}
	}
}

// Entries that training makes zero stay stored.
func TestSparseKeepsZeros(t *testing.T) {
	m := embedAs(t, toyModel(), record.Sparse)
	o := Options{
		Train: TrainLocal, Epochs: 1, Batch: 20, Rate: 0.01,
		Optimizer: Optimizer{Method: BetaLasso, Lambda: 0.005},
	}
	trained, err := Train(t.Context(), m, toySet(40, 1), nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	zeros, all := 0, 0
	for name, s := range trained.Graph.SparseConstants() {
		for _, v := range floatsOf(t, trained, name) {
			if all++; v == 0 {
				zeros++
			}
		}
		if n := len(floatsOf(t, m, name)); int(s.Values.Dims[0]) != n {
			t.Errorf("%s: %d entries, before %d", name, s.Values.Dims[0], n)
		}
	}
	if zeros == 0 || zeros == all {
		t.Errorf("%d of %d entries are 0", zeros, all)
	}
	d, err := record.Measure(t.Context(), trained, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !(d.Distance > 0) || d.OffLocal != 0 {
		t.Errorf("d %g, s %g", d.Distance, d.OffLocal)
	}
	if _, _, err := restore.Project(t.Context(), trained); err != nil {
		t.Error(err)
	}
}

// New weights of a sparse layer are those of a local one: as many, up to the same
// bound.
func TestSparseReinit(t *testing.T) {
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		m := embedAs(t, cnn, record.Sparse)
		rec, err := record.Read(m)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := Reinit(m, 3)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Reinit(m, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range rec.Layers {
			fan := float64(l.InputShape[0] / max(1, l.Group)) // inputs of a group times the places of the kernel
			for _, k := range l.KernelShape {
				fan *= float64(k)
			}
			largest := 0.0
			values := floatsOf(t, fresh, l.Weight)
			for _, v := range values {
				largest = max(largest, math.Abs(float64(v)))
			}
			// The greatest of so many uniform numbers is hardly ever below 0.8 of the bound.
			if bound := 1 / math.Sqrt(fan); largest > bound || largest < 0.8*bound {
				t.Errorf("%s, %s: the greatest of %d weights is %g, the bound %g", name, l.Node, len(values), largest, bound)
			}
			if !slices.Equal(values, floatsOf(t, again, l.Weight)) || slices.Equal(values, floatsOf(t, m, l.Weight)) {
				t.Errorf("%s, %s: not new, or not the same again", name, l.Node)
			}
		}
	}
	if _, err := Train(t.Context(), embedAs(t, toyModel(), record.Sparse), toySet(20, 1), nil,
		Options{Train: TrainLocal, Reinit: true, Epochs: 1}, nil); err != nil {
		t.Error(err)
	}
}

// A checkpoint is of the entries too.
func TestSparseIdentity(t *testing.T) {
	o := Options{Epochs: 1, Batch: 10, Checkpoint: t.TempDir()}
	if _, err := Train(t.Context(), sparseToy(), toySet(20, 1), nil, o, nil); err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	if _, err := Train(t.Context(), sparseToy(), toySet(20, 1), nil, o, nil); err != nil {
		t.Error(err)
	}
	for what, edit := range map[string]func(s *onnxio.SparseTensor){
		"values": func(s *onnxio.SparseTensor) {
			v, err := onnxio.Floats[float32](s.Values)
			if err != nil {
				t.Fatal(err)
			}
			v[3]++
			s.Values = onnxio.NewTensor("w", s.Values.Dims, v)
		},
		"places": func(s *onnxio.SparseTensor) {
			v, err := onnxio.Ints(s.Indices)
			if err != nil {
				t.Fatal(err)
			}
			v[0], v[1] = 0, 0 // which is not stored
			s.Indices = onnxio.NewTensor("", s.Indices.Dims, v)
		},
	} {
		m := sparseToy()
		edit(m.Graph.SparseInitializers[0])
		if _, err := Train(t.Context(), m, toySet(20, 1), nil, o, nil); err == nil ||
			!strings.Contains(err.Error(), "it is of another model") {
			t.Errorf("other %s: %v", what, err)
		}
	}
}

// The metrics of a run and what is kept of it are those of a sparse eFCN.
func TestSparseMetrics(t *testing.T) {
	o := Options{Train: TrainLocal, Epochs: 2, Batch: 20, Checkpoint: t.TempDir(), Snapshots: Snapshots{Every: 2}}
	m := embedAs(t, toyModel(), record.Sparse)
	trained, err := Train(t.Context(), m, toySet(40, 1), toySet(20, 2), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := record.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	d, err := record.Measure(t.Context(), trained, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := readMetrics(t, o.Checkpoint)
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	last := lines[1]
	if last.Deviation == nil || last.Deviation.Distance != d.Distance || !(d.Distance > 0) || d.OffLocal != 0 {
		t.Errorf("deviation %+v, want %+v", last.Deviation, d)
	}
	for _, l := range rec.Layers {
		if !(last.GradientNorms[l.Weight] > 0) || !(last.Travelled[l.Weight] > 0) {
			t.Errorf("%s: gradient %g, travelled %g", l.Weight, last.GradientNorms[l.Weight], last.Travelled[l.Weight])
		}
	}
	metrics, err := Evaluate(t.Context(), trained, toySet(20, 2), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := *last.TestLoss; math.Abs(got-metrics.Loss) > 1e-6 {
		t.Errorf("test loss %g, of the result %g", got, metrics.Loss)
	}
	end, err := onnxio.Read(o.Checkpoint + "/step-0000004.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range rec.Layers {
		if !equalBits(bits(t, end, l.Weight), bits(t, trained, l.Weight)) {
			t.Errorf("%s: the snapshot of the last step is another", l.Weight)
		}
	}
}

func TestSparseRefuses(t *testing.T) {
	empty := sparseToy()
	s := empty.Graph.SparseInitializers[0]
	s.Values, s.Indices = onnxio.NewTensor("w", []int64{0}, []float32{}), onnxio.NewTensor("", []int64{0, 2}, []int64{})
	if _, err := Train(t.Context(), empty, toySet(20, 1), nil, Options{}, nil); err == nil ||
		!strings.Contains(err.Error(), `weights "w" have no elements`) {
		t.Errorf("a matrix without entries: %v", err)
	}
	constant := func(m *onnxio.Model) *onnxio.SparseTensor {
		i := slices.IndexFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n.OpType == "Constant" })
		return m.Graph.Nodes[i].Attributes[0].Sparse
	}
	for want, c := range map[string]struct {
		o    Options
		edit func(m *onnxio.Model)
	}{
		`layer "Conv_c": the record has it sparse, but the entries of row 0 are not those of the geometry; ` +
			`convert the CNN again`: {Options{Train: TrainTied}, func(m *onnxio.Model) {
			s := constant(m)
			v, err := onnxio.Ints(s.Indices)
			if err != nil {
				t.Fatal(err)
			}
			v[3]++ // of column 5 of row 0, as it should be
			s.Indices = onnxio.NewTensor("", s.Indices.Dims, v)
		}},
		"are not a sparse matrix that products alone read; convert the CNN again": {
			Options{Train: TrainLocal},
			func(m *onnxio.Model) {
				s := constant(m)
				v, err := onnxio.Ints(s.Indices)
				if err != nil {
					t.Fatal(err)
				}
				v[0], v[1] = v[1], v[0]
				s.Indices = onnxio.NewTensor("", s.Indices.Dims, v)
			},
		},
		"train off-local needs dense layers": {Options{Train: TrainOffLocal, MaxBytes: 1000}, nil},
		"train all needs dense layers":       {Options{MaxBytes: 1000}, nil},
	} {
		m := embedAs(t, toyModel(), record.Sparse)
		if c.edit != nil {
			c.edit(m)
		}
		if _, err := Train(t.Context(), m, toySet(20, 1), nil, c.o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}
