package verify_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
)

// TestRandomNets: no conversion of a random net is flagged, at any precision
// and on any kind of input, by bounds that are derived and not tuned.
func TestRandomNets(t *testing.T) {
	const nets = 250
	all := make(map[string]int)
	layers, worst := 0, 0.0
	for seed := range uint64(nets) {
		m, ops := randomNet(seed)
		for op, n := range ops {
			all[op] += n
		}
		efcn := converted(t, m, convert.Options{NoFoldBN: seed%3 == 0})
		r, err := verify.Verify(context.Background(), m, efcn, verify.Options{Samples: 8, Seed: seed, Batch: 3})
		if err != nil {
			t.Fatalf("net %d: %v", seed, err)
		}
		if !r.Equal() {
			var text strings.Builder
			r.WriteText(&text)
			t.Errorf("net %d: flagged\n%s", seed, &text)
		}
		layers += len(r.Layers)
		for _, v := range r.Values {
			worst = max(worst, float64(v.Float32.Ratio))
		}
	}
	for _, op := range []string{"Conv", "BatchNormalization", "AveragePool", "GlobalAveragePool", "MaxPool", "Gemm", "Transpose", "Concat", "Softmax", "ConvTranspose", "Pad", "Slice", "Split", "DepthToSpace", "SpaceToDepth", "Resize"} {
		if all[op] < 5 {
			t.Errorf("only %d %s among the nets", all[op], op)
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
	t.Logf("%d nets, %d layers; worst float32 difference %.3g of its bound; %v", nets, layers, worst, ops)
}
