package verify_test

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/internal/constants"
	"efcn/internal/engines"
	"efcn/onnxio"
)

// TestRandomNets: no conversion of a random net is flagged, at any precision
// and on any kind of input, by bounds that are derived and not tuned.
func TestRandomNets(t *testing.T) {
	const nets = 500
	all := make(map[string]int)
	layouts := make(map[record.Layout]int)
	compared := make(map[string]int) // pairs of engines
	layers, pairs, products, levels, refused, worst := 0, 0, 0, 0, 0, 0.0
	var ratios [3][]float64 // by the length of a row
	for seed := range uint64(nets) {
		m, ops := randomNet(seed)
		for op, n := range ops {
			all[op] += n
		}
		layout := []record.Layout{record.Dense, record.Sparse, record.Local, record.Auto}[seed%4]
		o := convert.Options{
			NoFoldBN: seed%3 == 0, Layout: layout,
			Fold:    convert.Folds()[seed/4%3],
			MaxPool: convert.MaxPools()[seed/12%2],
		}
		if layout == record.Auto {
			o = mixed(t, m, o, seed)
		}
		efcn := converted(t, m, o)
		v := verify.Options{Samples: 8, Seed: seed, Batch: 3, Engines: enginesFor(t, efcn), Open: open}
		r, err := verify.Verify(context.Background(), m, efcn, v)
		if err != nil && strings.Contains(err.Error(), "in onnx") {
			// It loads what it cannot run, such as dilations with auto_pad in ONNX Runtime.
			refused++
			v.Engines = nil
			r, err = verify.Verify(context.Background(), m, efcn, v)
		}
		if err != nil {
			t.Fatalf("net %d: %v", seed, err)
		}
		for _, e := range r.Engines {
			compared[e.CNN+":"+e.EFCN]++
		}
		if !r.Equal() {
			var text strings.Builder
			_ = r.WriteText(&text)
			t.Errorf("net %d: flagged\n%s", seed, &text)
		}
		layers += len(r.Layers)
		outputs := make(map[string]verify.Layer)
		for _, l := range r.Layers {
			layouts[l.Layout]++
			outputs[l.Output] = l
			if len(l.Factors) > 1 {
				products++
			}
			if slices.ContainsFunc(l.Factors, func(f string) bool { return strings.Contains(f, "/") }) {
				levels++
			}
		}
		for _, v := range r.Values {
			worst = max(worst, float64(v.Float32.Ratio))
			if l, ok := outputs[v.Name]; ok && v.Float32.Ratio > 0 {
				terms := int(l.NonZeros) / l.Rows
				length := min(bits.Len(uint(terms))/3, 2)
				ratios[length] = append(ratios[length], float64(v.Float32.Ratio))
			}
		}
		if seed%4 == 1 {
			pairs++
			unrecorded(t, m, efcn, seed)
		}
	}
	for i, terms := range []string{"up to 3", "4 to 31", "32 and more"} {
		slices.Sort(ratios[i])
		if n := len(ratios[i]); n > 0 {
			t.Logf("layers of %s terms a row: the largest difference in float32 is %.2g of its bound in half of %d layers, %.2g in nine of ten, %.2g at most", terms, ratios[i][n/2], n, ratios[i][n*9/10], ratios[i][n-1])
		}
	}
	for _, op := range []string{"Conv", "BatchNormalization", "AveragePool", "GlobalAveragePool", "MaxPool", "Gemm", "Transpose", "Concat", "Softmax", "ConvTranspose", "Pad", "Slice", "Split", "DepthToSpace", "SpaceToDepth", "Resize", "MatMul", "Gather"} {
		if all[op] < 5 {
			t.Errorf("only %d %s among the nets", all[op], op)
		}
	}
	for _, layout := range []record.Layout{record.Dense, record.Sparse, record.Local} {
		if layouts[layout] < nets/3 {
			t.Errorf("only %d layers %s", layouts[layout], layout)
		}
	}
	if products < nets/4 || levels < nets/5 {
		t.Errorf("%d products and %d levels of maxima in %d nets", products, levels, nets)
	}
	for _, name := range otherEngines() {
		if n := compared[engines.Embedded+":"+name]; n < 5 {
			t.Errorf("only %d nets compared in %s", n, name)
		}
	}
	if refused > nets/10 {
		t.Errorf("%d nets are refused by an engine that loads them", refused)
	}
	if layers < 2*nets {
		t.Errorf("%d embedded layers in %d nets", layers, nets)
	}
	ops := make([]string, 0, len(all))
	for op, n := range all {
		ops = append(ops, fmt.Sprint(op, " ", n))
	}
	slices.Sort(ops)
	t.Logf("%d nets, %d of them as a pair without a record, %d layers, of them %d products and %d levels of maxima; worst float32 difference %.3g of its bound; %v; %v; %v", nets, pairs, layers, products, levels, worst, layouts, compared, ops)
}

// otherEngines are those that nets are compared in besides the embedded one:
// onnx-go, and ONNX Runtime where EFCN_ORT names its library.
func otherEngines() []string {
	if os.Getenv("EFCN_ORT") == "" {
		return []string{engines.OnnxGo}
	}
	return []string{engines.OnnxGo, engines.ONNXRuntime}
}

// enginesFor are those of them that run the eFCN: onnx-go knows few operators.
func enginesFor(t *testing.T, efcn *onnxio.Model) []string {
	var all []string
	for _, name := range otherEngines() {
		s, err := engines.Options{}.Open(t.Context(), name, efcn)
		if err != nil && name == engines.OnnxGo {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	return all
}

// unrecorded compares a net with its eFCN as if nothing were known of how that
// was made, and with other names.
func unrecorded(t *testing.T, m, efcn *onnxio.Model, seed uint64) {
	t.Helper()
	bare := renamed(efcn)
	bare.Metadata = nil
	r, err := verify.Verify(context.Background(), m, bare, verify.Options{Samples: 8, Seed: seed, Batch: 5})
	if err != nil {
		t.Fatalf("net %d: %v", seed, err)
	}
	if !r.Equal() || r.Recorded {
		var text strings.Builder
		_ = r.WriteText(&text)
		t.Errorf("net %d: flagged as a pair\n%s", seed, &text)
	}
}

// mixed returns the options with a layout of its own, drawn by seed, for every
// linear layer of m.
func mixed(t *testing.T, m *onnxio.Model, o convert.Options, seed uint64) convert.Options {
	t.Helper()
	folded, err := constants.Fold(m, constants.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := convert.NewPlan(folded, convert.Options{NoFoldBN: o.NoFoldBN, Layout: record.Local, Fold: o.Fold, MaxPool: o.MaxPool})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 3))
	o.Layers = make(map[string]record.Layout)
	for _, l := range plan.Layers {
		if l.Layout == record.Local {
			o.Layers[l.Node] = []record.Layout{record.Dense, record.Sparse, record.Local, record.Keep}[random.IntN(4)]
			if len(l.Factors) > 0 && o.Layers[l.Node] == record.Keep {
				o.Layers[l.Node] = record.Dense // what is kept is no factor
			}
		}
	}
	return o
}
