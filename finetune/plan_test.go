package finetune

import (
	"maps"
	"math"
	"slices"
	"testing"
	"unsafe"

	"gorgonia.org/gorgonia"

	"efcn/finetune/internal/memplan"
)

// apart gives every value a buffer of its own.
func apart(p *memplan.Program) *memplan.Plan {
	plan := &memplan.Plan{Buffers: p.Sizes}
	for v := range p.Sizes {
		plan.Places = append(plan.Places, memplan.Place{Buffer: v})
	}
	return plan
}

// Training comes to the same bits wherever values lie: in shared memory that holds
// anything before, and in buffers of their own.
func TestResultsDoNotDependOnTheMemoryPlan(t *testing.T) {
	var shared, alone int
	compared := 0
	for name, s := range sketches() {
		for _, keep := range []bool{false, true} {
			var after [2][]*parameter[float32]
			for i, plan := range []func(*memplan.Program) *memplan.Plan{nil, apart} {
				tr, err := newTrainee[float32](s.model(1), TrainAll)
				if err != nil {
					t.Fatal(err)
				}
				n, err := tr.networkOf(networkForm[float32]{batch: sketchBatch, keepGradients: keep, plan: plan})
				if err != nil {
					t.Fatal(err)
				}
				for step := range 2 {
					for _, m := range n.memory {
						if i == 0 {
							shared += len(m)
						} else {
							alone += len(m)
						}
						for k := range m {
							m[k] = float32(math.NaN())
						}
					}
					fill(n, uint64(step))
					if err := n.step(sgd[float32](0.1)); err != nil {
						t.Fatal(err)
					}
				}
				after[i] = tr.params
			}
			for k, p := range after[0] {
				if !slices.Equal(p.values, after[1][k].values) {
					t.Errorf("%s: %s depends on where values lie", name, p.name)
				}
				compared++
			}
		}
	}
	if compared < 4*len(sketches()) || shared > alone*2/3 {
		t.Errorf("compared %d parameters; %d elements in place of %d", compared, shared, alone)
	}
}

// gorgonia adds up gradients where the plan has their sum: in the memory of the first.
func TestSumsOfGradientsLieWhereTheFirstDoes(t *testing.T) {
	sums := 0
	for name, s := range sketches() {
		tr, err := newTrainee[float64](s.model(1), TrainAll)
		if err != nil {
			t.Fatal(err)
		}
		n, err := tr.network(sketchBatch, true)
		if err != nil {
			t.Fatal(err)
		}
		fill(n, 1)
		if err := n.run(); err != nil {
			t.Fatal(err)
		}
		for _, node := range n.reads[0].node.Graph().AllNodes() {
			if _, ours := node.Op().(*op[float64]); ours || node.Op() == nil {
				continue
			}
			operands := node.Graph().From(node.ID())
			operands.Next()
			first := operands.Node().(*gorgonia.Node)
			if unsafe.SliceData(elements[float64](node.Value())) != unsafe.SliceData(elements[float64](first.Value())) {
				t.Errorf("%s: %v does not lie where %v does", name, node, first)
			}
			sums++
		}
	}
	if sums < 20 {
		t.Errorf("looked at %d sums", sums)
	}
}

// An op refuses to run in another order than the one that its memory is planned for.
func TestOrderIsThatOfThePlan(t *testing.T) {
	s := sketches()["residual"]
	_, n := mustNetwork[float64](t, s.model(1), sketchBatch, true)
	fill(n, 1)
	if err := n.run(); err != nil {
		t.Fatal(err)
	}
	var ops []*op[float64]
	for _, node := range n.reads[0].node.Graph().AllNodes() {
		if o, ok := node.Op().(*op[float64]); ok {
			ops = append(ops, o)
		}
	}
	turns := map[int]bool{}
	for _, o := range ops {
		turns[o.turn] = true
	}
	if len(turns) != len(ops) || len(ops) < 10 {
		t.Errorf("%d ops have turns %v", len(ops), slices.Sorted(maps.Keys(turns)))
	}
	n.clock.turn = ops[0].turn
	if _, err := ops[0].Do(make([]gorgonia.Value, ops[0].Arity())...); err == nil {
		t.Error("an op runs twice in a step")
	}
}
