package finetune

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/finetune/data"
	"efcn/onnxio"
)

// factoredLayers are the factored layers of an eFCN.
func factoredLayers(t *testing.T, m *onnxio.Model) []record.Layer {
	t.Helper()
	rec, err := record.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(rec.Layers, func(l record.Layer) bool { return l.Layout != record.Factored })
}

// TestFactoredSubsets: of a factored layer "all" trains everything, "local" and "tied"
// leave U and V as they are, and "off-local" makes it dense, which it says.
func TestFactoredSubsets(t *testing.T) {
	layers := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		fresh := embedWith(t, cnn, convert.Options{Layout: record.Factored, Rank: 3})
		train := func(m *onnxio.Model, mode string, o Options) *onnxio.Model {
			o.Train, o.Epochs, o.Batch, o.Rate = mode, 2, 30, 0.05
			trained, err := Train(t.Context(), m, toySet(90, 3), nil, o, nil)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, mode, err)
			}
			return trained
		}
		start := train(fresh, TrainAll, Options{})
		for _, mode := range []string{TrainAll, TrainLocal, TrainTied} {
			for optimiser, o := range optimisers() {
				trained := train(start, mode, o)
				for i, l := range factoredLayers(t, trained) {
					if was := factoredLayers(t, start)[i]; l.Node != was.Node || l.Rank != 3 {
						t.Errorf("%s, %s: layer %+v", name, mode, l)
					}
					layers++
					for _, factor := range []string{l.Left, l.Right} {
						if equalBits(bits(t, start, factor), bits(t, trained, factor)) != (mode != TrainAll) {
							t.Errorf("%s, %s, %s: %q moved, or did not", name, mode, optimiser, factor)
						}
					}
					if equalBits(bits(t, start, l.Weight), bits(t, trained, l.Weight)) {
						t.Errorf("%s, %s, %s: %q did not move", name, mode, optimiser, l.Weight)
					}
				}
			}
		}
		notices := 0
		dense := train(start, TrainOffLocal, Options{Notice: func(line string) {
			if strings.HasPrefix(line, "made dense to train off-local: layers ") {
				notices++
			}
		}})
		if len(factoredLayers(t, dense)) != 0 || notices != 1 {
			t.Errorf("%s: off-local left layers factored, or gave %d notices", name, notices)
		}
		by, l := factoredLayers(t, start)[0], factoredLayers(t, start)[0].Node
		named := train(start, l, Options{})
		for _, w := range []string{by.Weight, by.Left, by.Right} {
			if equalBits(bits(t, start, w), bits(t, named, w)) {
				t.Errorf("%s, %s: %q did not move", name, l, w)
			}
		}
		if _, err := Train(t.Context(), fresh, toySet(90, 3), nil, Options{Epochs: 1, Batch: 30, Rate: 0.1, Reinit: true}, nil); err == nil ||
			!strings.Contains(err.Error(), "is factored: what new weights of U and V would be is not settled") {
			t.Errorf("%s: reinit: %v", name, err)
		}
	}
	if layers != 3*8*(1+2) {
		t.Errorf("%d layers were trained and compared, want 72", layers)
	}
}

// TestFactoredTrainsAsLocal: while U is 0, what its local form trains to is what the
// layer without factors trains to.
func TestFactoredTrainsAsLocal(t *testing.T) {
	compared := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		var trained []*onnxio.Model
		for _, layout := range []record.Layout{record.Local, record.Factored} {
			m, err := Train(t.Context(), embedAs(t, cnn, layout), toySet(60, 3), nil, Options{Train: TrainLocal, Epochs: 2, Batch: 20, Rate: 0.05}, nil)
			if err != nil {
				t.Fatal(err)
			}
			trained = append(trained, m)
		}
		for _, l := range factoredLayers(t, trained[1]) {
			for _, w := range []string{l.Weight, l.Bias} {
				if w != "" && !slices.Equal(floatsOf(t, trained[0], w), floatsOf(t, trained[1], w)) {
					t.Errorf("%s: %q is not that of the local form", name, w)
				}
			}
			compared++
		}
	}
	if compared != 3 {
		t.Errorf("%d layers compared, want 3", compared)
	}
}

// TestFactoredGradients compares the gradients of a factored net, of U and V too, with
// central differences.
func TestFactoredGradients(t *testing.T) {
	fresh := embedWith(t, toyModel(), convert.Options{Layout: record.Factored, Rank: 2})
	m, err := Train(t.Context(), fresh, toySet(60, 3), nil, Options{Epochs: 2, Batch: 20, Rate: 0.05}, nil)
	if err != nil { // while U is 0, V has no gradient
		t.Fatal(err)
	}
	tr, n := mustTraineeOf[float64](t, m, TrainAll)
	if len(n.reads) != len(tr.params) {
		t.Errorf("%d gradients of %d parameters", len(n.reads), len(tr.params))
	}
	fill(n, 4)
	if checked, want := checkGradients(t, n), 116; checked != want {
		t.Errorf("checked %d derivatives, want %d", checked, want)
	}
}

// denseGradients are the gradients of the dense form of an eFCN, by weight, summed over
// batches of 30 samples in the order in which an epoch takes them.
func denseGradients(t *testing.T, efcn *onnxio.Model, set *data.Set, seed uint64, batches int) map[string][]float64 {
	t.Helper()
	dense, _, err := restore.ToDense(t.Context(), efcn, 0)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewObjective(t.Context(), nil, dense, set, 30)
	if err != nil {
		t.Fatal(err)
	}
	order := make([]int, set.N())
	for i := range order {
		order[i] = i
	}
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	sums := map[string][]float64{}
	for b := range batches {
		_, gradient, err := o.Gradient(order[30*b : 30*b+30])
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range o.Names() {
			if sums[name] == nil {
				sums[name] = make([]float64, len(gradient[i]))
			}
			for k, g := range gradient[i] {
				sums[name][k] += float64(g)
			}
		}
	}
	return sums
}

// double is a matrix of an initializer, in float64.
func double(t *testing.T, m *onnxio.Model, name string) *mat.Dense {
	t.Helper()
	init := m.Graph.Initializer(name)
	v, err := onnxio.Floats[float64](init)
	if err != nil {
		t.Fatal(err)
	}
	return mat.NewDense(int(init.Dims[0]), int(init.Dims[1]), v)
}

// splitSum puts an Identity between U·(V·x) of a layer and the sum.
func splitSum(t *testing.T, g *onnxio.Graph, l record.Layer) *onnxio.Graph {
	t.Helper()
	links := g.Links()
	up := links.SoleReader(l.Left)
	i := slices.Index(g.Nodes, links.SoleReader(up.Output(0)))
	sum := *g.Nodes[i]
	sum.Inputs = slices.Clone(sum.Inputs)
	sum.Inputs[slices.Index(sum.Inputs, up.Output(0))] = "between"
	edited := *g
	edited.Nodes = slices.Concat(g.Nodes[:i], []*onnxio.Node{apply("Identity", up.Output(0), "between"), &sum},
		g.Nodes[i+1:])
	return &edited
}

// TestFactoredNodeByNode: nodes that are not those of convert train to the same.
func TestFactoredNodeByNode(t *testing.T) {
	compared := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		fresh := embedWith(t, cnn, convert.Options{Layout: record.Factored, Rank: 3})
		for optimiser, o := range optimisers() {
			o.Epochs, o.Batch, o.Rate = 3, 20, 0.02
			edited := fresh.Clone()
			for _, l := range factoredLayers(t, fresh) {
				edited.Graph = splitSum(t, edited.Graph, l)
			}
			a, err := Train(t.Context(), fresh, toySet(50, 3), nil, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Train(t.Context(), edited, toySet(50, 3), nil, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range factoredLayers(t, fresh) {
				for _, w := range []string{l.Weight, l.Left, l.Right} {
					was, want, got := floatsOf(t, fresh, w), floatsOf(t, b, w), floatsOf(t, a, w)
					moved := 0
					for i, v := range got {
						if d := math.Abs(float64(v - want[i])); !(d < 1e-4) {
							t.Fatalf("%s, %s: %s[%d] is %g, node by node %g", name, optimiser, w, i, v, want[i])
						}
						if v != was[i] {
							moved++
						}
					}
					// Beta-lasso keeps U at 0 where a step is too small; then V has no gradient,
					// and hardly one where clipping keeps U small.
					still := o.Optimizer.Method == BetaLasso && w != l.Weight || optimiser == "clip" && w == l.Right
					if moved < len(got)/4 && !still {
						t.Errorf("%s, %s: %d of %d entries of %s moved", name, optimiser, moved, len(got), w)
					}
					compared++
				}
			}
		}
	}
	if compared != 8*3*3 {
		t.Errorf("compared %d factors, want 72", compared)
	}
}

// TestFactoredStepIsProjection: while U is 0, a step of SGD moves the matrix by the dense
// step in the support and by what of the dense step lies in the span of V.
func TestFactoredStepIsProjection(t *testing.T) {
	const rate = 0.1
	checked := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		fresh, set := embedWith(t, cnn, convert.Options{Layout: record.Factored, Rank: 4}), toySet(30, 3)
		gradients := denseGradients(t, fresh, set, 0, 1)
		trained, err := Train(t.Context(), fresh, set, nil, Options{Epochs: 1, Batch: 30, Rate: rate}, nil)
		if err != nil {
			t.Fatal(err)
		}
		before, _, err := restore.ToDense(t.Context(), fresh, 0)
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := restore.ToDense(t.Context(), trained, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range factoredLayers(t, fresh) {
			w, v := double(t, before, l.Weight), double(t, fresh, l.Right)
			rows, cols := w.Dims()
			step := mat.NewDense(rows, cols, gradients[l.Weight])
			var onV, want mat.Dense
			onV.Mul(step, v.T())
			want.Mul(&onV, v)
			for i, coef := range coefficients(l) {
				if coef >= 0 {
					want.RawMatrix().Data[i] += step.RawMatrix().Data[i]
				}
			}
			var moved mat.Dense
			moved.Sub(w, double(t, after, l.Weight))
			want.Scale(rate, &want)
			norm := mat.Norm(&want, 2)
			want.Sub(&want, &moved)
			rounding := 0x1p-23 * mat.Norm(w, 2) // of the matrices before and after
			if d := mat.Norm(&want, 2); !(d < rounding) || norm < 1000*rounding {
				t.Errorf("%s, %s: the step differs by %g from the projection, of norm %g", name, l.Node, d, norm)
			}
			checked++
		}
	}
	if checked != 3 {
		t.Errorf("checked %d layers, want 3", checked)
	}
}

// TestBasisKeepsItsNorm: V has no gradient while U is 0, and weight decay and beta-lasso
// leave it alone.
func TestBasisKeepsItsNorm(t *testing.T) {
	checked := 0
	fresh := embedWith(t, groupedModel(), convert.Options{Layout: record.Factored, Rank: 3})
	for name, o := range optimisers() {
		o.Epochs, o.Batch, o.Rate = 1, 30, 0.1
		trained, err := Train(t.Context(), fresh, toySet(30, 3), nil, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range factoredLayers(t, fresh) {
			if !equalBits(bits(t, fresh, l.Right), bits(t, trained, l.Right)) {
				t.Errorf("%s: %s moved", name, l.Right)
			}
			// Beta-lasso keeps at 0 what a step does not bring far enough.
			if equalBits(bits(t, fresh, l.Left), bits(t, trained, l.Left)) != (o.Optimizer.Method == BetaLasso) {
				t.Errorf("%s: %s moved, or did not", name, l.Left)
			}
			checked++
		}
	}
	if checked != 8*2 {
		t.Errorf("checked %d layers, want 16", checked)
	}
}

// TestFactoredOfAnotherInput: V that reads another value than the local form is not part
// of one layer with it.
func TestFactoredOfAnotherInput(t *testing.T) {
	fresh := embedWith(t, toyModel(), convert.Options{Layout: record.Factored, Rank: 3})
	l := factoredLayers(t, fresh)[0]
	for _, other := range []bool{false, true} {
		m := fresh.Clone()
		g := *m.Graph
		down := g.Links().SoleReader(l.Right)
		i := slices.Index(g.Nodes, down)
		own := *down
		own.Inputs = []string{"negative", l.Right}
		if other {
			g.Nodes = slices.Concat(g.Nodes[:i], []*onnxio.Node{apply("Neg", down.Input(0), "negative"), &own}, g.Nodes[i+1:])
		}
		m.Graph = &g
		tr, err := newTrainee[float32](m, TrainAll)
		if err != nil {
			t.Fatal(err)
		}
		if one := len(tr.factors) > 0; one == other {
			t.Errorf("V reads another input: %t, one layer: %t", other, one)
		}
	}
}
