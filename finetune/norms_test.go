package finetune

import (
	"math"
	"testing"

	"efcn/convert/record"
	"efcn/onnxio"
)

// Norms of gradients, kept or never written down, are those that the entries of
// the whole gradient add up to.
func TestGradientNorms(t *testing.T) {
	compared, supports := 0, 0
	for name, m := range map[string]*onnxio.Model{
		"cnn": groupedModel(), "dense": embedAs(t, groupedModel(), record.Dense),
		"local":  embedAs(t, groupedModel(), record.Local),
		"sparse": embedAs(t, groupedModel(), record.Sparse),
	} {
		what := TrainAll
		if name == "local" || name == "sparse" {
			what = TrainLocal
		}
		if name == "cnn" {
			m.Metadata = nil
		}
		rec, err := record.Read(m)
		if err != nil {
			t.Fatal(err)
		}
		kept, whole := mustTraineeOf[float64](t, m, what)
		fill(whole, 1)
		if err := whole.run(); err != nil {
			t.Fatal(err)
		}
		type sums struct{ all, inside, outside float64 }
		want := map[string]sums{}
		for _, g := range whole.reads {
			var s sums
			gradient := elements[float64](g.node.Value())
			coef := make([]int, len(gradient))
			if rec != nil && name == "dense" {
				for _, l := range rec.Layers {
					if l.Weight == g.p.name && l.Op == "Conv" {
						coef = coefficients(l)
					}
				}
			}
			for i, v := range gradient {
				s.all += v * v
				if coef[i] >= 0 {
					s.inside += v * v
				} else {
					s.outside += v * v
				}
			}
			want[g.p.name] = s
		}
		check := func(how string, n *network[float64], tr *trainee[float64]) {
			fill(n, 1)
			n.measured = tr.newGradientNorms()
			if err := n.step(update[float64]{Optimizer: Optimizer{Method: SGD}}); err != nil {
				t.Fatal(err)
			}
			got, err := tr.norms(n.measured)
			if err != nil {
				t.Fatal(err)
			}
			near := func(a, b float64) bool { return math.Abs(a-math.Sqrt(b)) <= 1e-12*math.Sqrt(b) }
			if len(got.Trained) != len(want) {
				t.Errorf("%s, %s: %d norms, want %d", name, how, len(got.Trained), len(want))
			}
			for p, s := range want {
				if !near(got.Trained[p], s.all) {
					t.Errorf("%s, %s: %s: norm %g, want %g", name, how, p, got.Trained[p], math.Sqrt(s.all))
				}
				compared++
				if _, ok := got.Inside[p]; !ok {
					continue
				}
				supports++
				if !near(got.Inside[p], s.inside) || !near(got.Outside[p], s.outside) || s.outside == 0 {
					t.Errorf("%s, %s: %s: %g inside and %g outside the support, want %g and %g", name, how, p, got.Inside[p],
						got.Outside[p], math.Sqrt(s.inside), math.Sqrt(s.outside))
				}
			}
		}
		check("kept", whole, kept)
		tr, err := newTrainee[float64](m, what)
		if err != nil {
			t.Fatal(err)
		}
		fused, err := tr.network(7, false)
		if err != nil {
			t.Fatal(err)
		}
		check("fused", fused, tr)
		if fewer := len(whole.reads) - len(fused.reads); fewer < 1 {
			t.Errorf("%s: no gradient is left unwritten", name)
		}
	}
	if compared != 2*(7+5+5+5) || supports != 2*2 {
		t.Errorf("compared %d norms, %d supports", compared, supports)
	}
}

// What is frozen has a gradient too, inside or outside the support.
func TestGradientNormsOfSubsets(t *testing.T) {
	m := embedAs(t, groupedModel(), record.Dense)
	norms := map[string]Norms{}
	for _, what := range []string{TrainAll, TrainLocal, TrainOffLocal} {
		tr, n := mustTraineeOf[float64](t, m, what)
		fill(n, 1)
		n.measured = tr.newGradientNorms()
		if err := n.step(update[float64]{Optimizer: Optimizer{Method: SGD}}); err != nil {
			t.Fatal(err)
		}
		got, err := tr.norms(n.measured)
		if err != nil {
			t.Fatal(err)
		}
		norms[what] = *got
	}
	w := "Conv_c2.weight"
	all, local, off := norms[TrainAll], norms[TrainLocal], norms[TrainOffLocal]
	if local.Inside[w] != all.Inside[w] || local.Outside[w] != all.Outside[w] || off.Outside[w] != all.Outside[w] {
		t.Errorf("%v, %v, %v: not the norms of one gradient", all, local, off)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-12*b }
	if !near(local.Trained[w], local.Inside[w]) || !near(off.Trained[w], off.Outside[w]) ||
		!near(all.Trained[w], math.Hypot(all.Inside[w], all.Outside[w])) {
		t.Errorf("%v, %v, %v: not the norms of what is trained", all, local, off)
	}
}
