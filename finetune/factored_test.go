package finetune

import (
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
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
