package verify_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// TestRandomNets: no conversion of a random net is flagged, at any precision
// and on any kind of input, by bounds that are derived and not tuned.
func TestRandomNets(t *testing.T) {
	const nets = 500
	all := make(map[string]int)
	layouts := make(map[convert.Layout]int)
	layers, worst := 0, 0.0
	for seed := range uint64(nets) {
		m, ops := randomNet(seed)
		for op, n := range ops {
			all[op] += n
		}
		layout := []convert.Layout{convert.Dense, convert.Sparse, convert.Local, convert.Auto}[seed%4]
		o := convert.Options{NoFoldBN: seed%3 == 0, Layout: layout}
		if layout == convert.Auto {
			o = mixed(t, m, o, seed)
		}
		efcn := converted(t, m, o)
		r, err := verify.Verify(context.Background(), m, efcn, verify.Options{Samples: 8, Seed: seed, Batch: 3})
		if err != nil {
			t.Fatalf("net %d: %v", seed, err)
		}
		if !r.Equal() {
			var text strings.Builder
			_ = r.WriteText(&text)
			t.Errorf("net %d: flagged\n%s", seed, &text)
		}
		layers += len(r.Layers)
		for _, l := range r.Layers {
			layouts[l.Layout]++
		}
		for _, v := range r.Values {
			worst = max(worst, float64(v.Float32.Ratio))
		}
	}
	for _, op := range []string{"Conv", "BatchNormalization", "AveragePool", "GlobalAveragePool", "MaxPool", "Gemm", "Transpose", "Concat", "Softmax", "ConvTranspose", "Pad", "Slice", "Split", "DepthToSpace", "SpaceToDepth", "Resize"} {
		if all[op] < 5 {
			t.Errorf("only %d %s among the nets", all[op], op)
		}
	}
	for _, layout := range []convert.Layout{convert.Dense, convert.Sparse, convert.Local} {
		if layouts[layout] < nets/3 {
			t.Errorf("only %d layers %s", layouts[layout], layout)
		}
	}
	if layers < 2*nets {
		t.Errorf("%d embedded layers in %d nets", layers, nets)
	}
	ops := make([]string, 0, len(all))
	for op, n := range all {
		ops = append(ops, fmt.Sprint(op, " ", n))
	}
	slices.Sort(ops)
	t.Logf("%d nets, %d layers; worst float32 difference %.3g of its bound; %v; %v", nets, layers, worst, layouts, ops)
}

// mixed returns the options with a layout of its own, drawn by seed, for every
// linear layer of m.
func mixed(t *testing.T, m *onnxio.Model, o convert.Options, seed uint64) convert.Options {
	t.Helper()
	folded, err := engine.FoldConstants(m)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := convert.NewPlan(folded, convert.Options{NoFoldBN: o.NoFoldBN, Layout: convert.Local})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 3))
	o.Layers = make(map[string]convert.Layout)
	for _, l := range plan.Layers {
		if l.Layout == convert.Local {
			o.Layers[l.Node] = []convert.Layout{convert.Dense, convert.Sparse, convert.Local, convert.Keep}[random.IntN(4)]
		}
	}
	return o
}
