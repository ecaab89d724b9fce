package relax_test

import (
	"math"
	"slices"
	"testing"

	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/finetune/relax"
	"efcn/onnxio"
)

// normalisedCNN is the toy CNN with a BatchNormalization behind its convolution.
func normalisedCNN() *onnxio.Model {
	m := toyCNN(1)
	conv := m.Graph.Nodes[0]
	conv.Outputs = []string{"n"}
	bn := &onnxio.Node{
		Name: "BN", OpType: "BatchNormalization", Inputs: []string{"n", "gamma", "beta", "mean", "var"},
		Outputs: []string{"c"},
	}
	m.Graph.Nodes = slices.Insert(m.Graph.Nodes, 1, bn)
	for name, v := range map[string][]float32{
		"gamma": {0.5, 2}, "beta": {0.1, -0.2}, "mean": {0.3, -0.1}, "var": {0.7, 1.5},
	} {
		m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor(name, []int64{2}, v))
	}
	return m
}

func values(t *testing.T, m *onnxio.Model, name string) []float32 {
	t.Helper()
	w := m.Graph.Initializer(name)
	if w == nil {
		t.Fatalf("no initializer %q", name)
	}
	v, err := onnxio.Floats[float32](w)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func operators(m *onnxio.Model) (ops []string) {
	for _, n := range m.Graph.Nodes {
		ops = append(ops, n.OpType)
	}
	return ops
}

// A BatchNormalization is multiplied into the matrix, whose CNN subspace is then that of
// kernel·scale; or it stays beside the matrix as Mul and Add, which train.
func TestStudyOfBatchNormalization(t *testing.T) {
	for _, layout := range []record.Layout{record.Dense, record.Factored} {
		for _, apart := range []bool{false, true} {
			dir := t.TempDir()
			s := toyStudy()
			s.CNN, s.Options.Layout, s.Options.NoFoldBN = normalisedCNN(), layout, apart
			s.Options.Seeds, s.Options.RelaxEpochs, s.Options.Reinit = 1, []int{2}, false
			f := run(t, s, dir)
			cnn := read(t, dir, "seed-7", "cnn", "epoch-2.onnx")
			relaxed := f.Results[len(f.Results)-1]
			if relaxed.Kind == relax.FCN || relaxed.RelaxEpoch == nil {
				t.Fatalf("the last run is %s", relaxed.Run)
			}
			start, end := read(t, dir, relaxed.Run, "start.onnx"), read(t, dir, relaxed.Run, "model.onnx")

			// It starts as the CNN, whose running statistics have moved, and in its subspace.
			snapshot := f.Results[1].Final.Test.Loss
			if loss := relaxed.Start.Test.Loss; math.Abs(loss-snapshot) > 1e-5*snapshot {
				t.Errorf("%s, apart %v: it starts with loss %v, the CNN had %v", layout, apart, loss, snapshot)
			}
			if slices.Equal(values(t, cnn, "var"), []float32{0.7, 1.5}) {
				t.Error("the CNN's running statistics are as they were")
			}
			if d := relaxed.Start.Deviation.Distance; d != 0 {
				t.Errorf("%s, apart %v: d is %v at the start", layout, apart, d)
			}
			if d := relaxed.Final.Deviation.Distance; d == 0 {
				t.Errorf("%s, apart %v: d is 0 at the end", layout, apart)
			}
			projected, _, err := restore.Project(t.Context(), start)
			if err != nil {
				t.Fatal(err)
			}
			checkKernel(t, cnn, projected, apart)

			// What is beside the matrix trains; projecting keeps it.
			for _, m := range []*onnxio.Model{start, end, read(t, dir, relaxed.Run, "projected.onnx")} {
				ops := operators(m)
				if slices.Contains(ops, "BatchNormalization") || slices.Contains(ops, "Mul") != apart {
					t.Errorf("%s, apart %v: operators %v", layout, apart, ops)
				}
			}
			for _, name := range []string{"BN.scale", "BN.shift"} {
				if apart && slices.Equal(values(t, start, name), values(t, end, name)) {
					t.Errorf("%s: %s does not train", layout, name)
				}
			}
		}
	}
}

// checkKernel compares the kernel of the CNN nearest to an embedding with that of the
// CNN that was embedded: the same or, where the BatchNormalization was multiplied in,
// times gamma/√(var + epsilon).
func checkKernel(t *testing.T, cnn, projected *onnxio.Model, apart bool) {
	t.Helper()
	conv := projected.Graph.Nodes[slices.Index(operators(projected), "Conv")]
	was, is := values(t, cnn, "k"), values(t, projected, conv.Inputs[1])
	if len(is) != len(was) {
		t.Fatalf("kernels of %d and %d weights", len(was), len(is))
	}
	for i, w := range was {
		channel, want := i/9, float64(w)
		if !apart {
			want *= float64(values(t, cnn, "gamma")[channel]) /
				math.Sqrt(float64(values(t, cnn, "var")[channel])+1e-5)
		}
		if got := float64(is[i]); math.Abs(got-want) > 1e-6*math.Abs(want) {
			t.Errorf("apart %v: weight %d is %v, want %v", apart, i, got, want)
		}
	}
}
