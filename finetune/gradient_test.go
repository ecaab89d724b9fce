package finetune

import (
	"context"
	"math"
	"testing"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Central differences in float64: the error of the formula is about step², that
// of rounding about 1e-16/step.
const (
	differenceStep      = 1e-5
	differenceTolerance = 1e-7
)

// checkGradients compares the gradient at every parameter with central
// differences of the loss, at up to 25 entries of each, and returns how many.
func checkGradients(t *testing.T, n *network[float64]) int {
	t.Helper()
	if err := n.run(); err != nil {
		t.Fatal(err)
	}
	grads := make([][]float64, len(n.reads))
	for i, g := range n.reads {
		grads[i] = append([]float64(nil), elements[float64](g.node.Value())...)
	}
	loss := func() float64 {
		if err := n.run(); err != nil {
			t.Fatal(err)
		}
		return n.loss
	}
	checked := 0
	for i, g := range n.reads {
		v := g.p.values
		if len(grads[i]) != len(v) {
			t.Fatalf("%s has %d elements, its gradient %d", g.p.name, len(v), len(grads[i]))
		}
		for k := 0; k < len(v); k += 1 + len(v)/25 {
			old := v[k]
			v[k] = old + differenceStep
			up := loss()
			v[k] = old - differenceStep
			down := loss()
			v[k] = old
			want := (up - down) / (2 * differenceStep)
			if d := math.Abs(grads[i][k] - want); !(d <= differenceTolerance*max(1, math.Abs(want))) {
				t.Errorf("∂loss/∂%s[%d] = %.10g, differences say %.10g", g.p.name, k, grads[i][k], want)
			}
			checked++
		}
	}
	return checked
}

func TestGradients(t *testing.T) {
	total := 0
	for name, s := range sketches() {
		t.Run(name, func(t *testing.T) {
			tr, n := mustNetwork[float64](t, s.model(3), sketchBatch, true)
			if len(n.reads) != len(tr.params) {
				t.Errorf("%d parameters, %d gradients", len(tr.params), len(n.reads))
			}
			fill(n, 4)
			total += checkGradients(t, n)
		})
	}
	if want := 21096; total != want {
		t.Errorf("checked %d derivatives, want %d", total, want)
	}
}

// The forward pass of the training graph and the engine, which share no
// operator code but the kernels, arrive at the same loss.
func TestForwardAgreesWithEngine(t *testing.T) {
	for name, s := range sketches() {
		m := s.model(5)
		normalises := false
		for _, n := range m.Graph.Nodes {
			normalises = normalises || n.OpType == "BatchNormalization"
		}
		if normalises { // by the batch here, by running statistics there
			continue
		}
		t.Run(name, func(t *testing.T) {
			_, n := mustNetwork[float64](t, m, sketchBatch, false)
			fill(n, 6)
			agreesWithEngine(t, m, n)
		})
	}
}

// agreesWithEngine compares the loss of a sketch's network with what the engine makes
// of the model on the same samples.
func agreesWithEngine(t *testing.T, m *onnxio.Model, n *network[float64]) {
	t.Helper()
	e, err := engine.New[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(context.Background(), map[string]*engine.Tensor[float64]{
		"input": {Type: onnxio.Float64, Shape: []int{sketchBatch, sketchInput}, F: n.x},
	})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := kernel.CrossEntropy(sketchBatch, sketchClasses, out["logits"].F, n.labels, nil)
	if err := n.run(); err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(n.loss - want/sketchBatch); !(d <= 1e-12*max(1, want)) {
		t.Errorf("loss %g, the engine says %g", n.loss, want/sketchBatch)
	}
}

// Updating a weight inside the backward product comes to the same as forming
// its gradient and subtracting it.
func TestFusedUpdates(t *testing.T) {
	for name, s := range sketches() {
		t.Run(name, func(t *testing.T) {
			fused, a := mustNetwork[float64](t, s.model(7), sketchBatch, false)
			plain, b := mustNetwork[float64](t, s.model(7), sketchBatch, true)
			if len(a.reads) >= len(b.reads) {
				t.Errorf("%d of %d parameters have a gradient: none is fused", len(a.reads), len(b.reads))
			}
			for step := range uint64(3) {
				for _, n := range []*network[float64]{a, b} {
					fill(n, 8+step)
					if err := n.step(sgd[float64](0.05)); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i, p := range fused.params {
				for k, v := range p.values {
					if want := plain.params[i].values[k]; !(math.Abs(v-want) <= 1e-11*max(1, math.Abs(want))) {
						t.Fatalf("%s[%d] = %g, want %g", p.name, k, v, want)
					}
				}
			}
		})
	}
}
