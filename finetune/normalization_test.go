package finetune

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/onnxio"
)

// normalizationSketches has the normalisations, in the forms they have.
func normalizationSketches() map[string]sketch {
	rng := rand.New(rand.NewPCG(22, 1))
	cases := map[string]sketch{}
	node := func(name string, opset int64, op, in string, attributes ...*onnxio.Attribute) func(inits ...*onnxio.Tensor) {
		return func(inits ...*onnxio.Tensor) {
			cases[name] = through(opset, 40, []*onnxio.Node{apply(op, in, "y", attributes...)}, inits...)
		}
	}
	axis := func(a int64) *onnxio.Attribute { return onnxio.IntAttr("axis", a) }
	node("LayerNormalization", 17, "LayerNormalization", "x s b")(noise(rng, "s", 5), noise(rng, "b", 5))
	node("LayerNormalization without a bias", 17, "LayerNormalization", "x s",
		onnxio.FloatAttr("epsilon", 0.1))(noise(rng, "s", 5))
	node("LayerNormalization 1", 17, "LayerNormalization", "x s b", axis(1))(noise(rng, "s", 2, 4, 5),
		noise(rng, "b", 2, 4, 5))
	node("LayerNormalization -2", 17, "LayerNormalization", "x s b", axis(-2))(noise(rng, "s", 4, 1), noise(rng, "b", 5))
	node("LayerNormalization broadcast", 17, "LayerNormalization", "x s b", axis(1))(noise(rng, "s", 2, 1, 5),
		noise(rng, "b"))
	node("LayerNormalization 0", 17, "LayerNormalization", "x s b", axis(0))(noise(rng, "s", 1, 2, 4, 5),
		noise(rng, "b", 2, 1, 1))
	node("LayerNormalization 0 of samples", 17, "LayerNormalization", "x s b", axis(0))(
		noise(rng, "s", sketchBatch, 1, 4, 5), noise(rng, "b", 5))
	cases["LayerNormalization 0 of samples"] = ofSamples(cases["LayerNormalization 0 of samples"])
	node("RMSNormalization", 23, "RMSNormalization", "x s", axis(-2))(noise(rng, "s", 4, 5))
	node("RMSNormalization broadcast", 23, "RMSNormalization", "x s", axis(1))(noise(rng, "s", 5))
	node("InstanceNormalization", 17, "InstanceNormalization", "x s b")(noise(rng, "s", 2), noise(rng, "b", 2))
	node("InstanceNormalization 22", 22, "InstanceNormalization", "x s b",
		onnxio.FloatAttr("epsilon", 0.1))(noise(rng, "s", 2), noise(rng, "b", 2))
	for _, opset := range []int64{18, 21} {
		name := map[int64]string{18: "GroupNormalization of groups", 21: "GroupNormalization of channels"}[opset]
		count := map[int64]int64{18: 2, 21: 4}[opset]
		cases[name] = sketch{
			shape: []int64{4, 3, 2}, size: 24, opset: opset, inits: []*onnxio.Tensor{
				noise(rng, "s", count),
				noise(rng, "b", count),
			},
			nodes: []*onnxio.Node{apply("GroupNormalization", "x s b", "y", onnxio.IntAttr("num_groups", 2))},
		}
	}
	cases["GroupNorm of PyTorch"] = sketch{
		shape: []int64{4, 3, 2}, size: 24, opset: 17,
		inits: []*onnxio.Tensor{
			integers("groups", 0, 2, -1), onnxio.NewTensor("one", []int64{2}, []float64{1, 1}),
			onnxio.NewTensor("zero", []int64{2}, []float64{0, 0}),
			noise(rng, "s", 4, 1, 1), noise(rng, "b", 4, 1, 1),
		},
		nodes: []*onnxio.Node{
			apply("Reshape", "x groups", "g"), apply("InstanceNormalization", "g one zero", "i"), apply("Shape", "x", "size"),
			apply("Reshape", "i size", "r"), apply("Mul", "r s", "m"), apply("Add", "m b", "y"),
		},
	}
	node("MeanVarianceNormalization", 13, "MeanVarianceNormalization", "x")()
	node("MeanVarianceNormalization of channels", 13, "MeanVarianceNormalization", "x", onnxio.IntsAttr("axes", 1, -1))()
	for _, p := range []int64{1, 2} {
		for _, a := range []int64{0, 1, -1} {
			node("LpNormalization "+map[int64]string{1: "1", 2: "2"}[p]+map[int64]string{
				0: " of the batch", 1: " of channels",
				-1: "",
			}[a],
				17, "LpNormalization", "x", axis(a), onnxio.IntAttr("p", p))()
		}
	}
	for name, size := range map[string]int64{"LRN": 3, "LRN even": 2, "LRN of all": 9} {
		cases[name] = sketch{
			shape: []int64{6, 3, 2}, size: 36,
			nodes: []*onnxio.Node{apply("LRN", "x", "y", onnxio.IntAttr("size", size), onnxio.FloatAttr("alpha", 0.5),
				onnxio.FloatAttr("beta", 0.6), onnxio.FloatAttr("bias", 1.5))},
		}
	}
	// LayerNormalization as exporters write it before opset 17.
	cases["LayerNorm of PyTorch"] = sketch{
		shape: []int64{2, 4, 5}, size: 40, opset: 13,
		inits: []*onnxio.Tensor{
			scalarTensor("two", 2), scalarTensor("epsilon", 1e-5), noise(rng, "s", 5),
			noise(rng, "b", 5),
		},
		nodes: []*onnxio.Node{
			apply("ReduceMean", "x", "m", onnxio.IntsAttr("axes", -1)), apply("Sub", "x m", "d"), apply("Pow", "d two", "q"),
			apply("ReduceMean", "q", "v", onnxio.IntsAttr("axes", -1)), apply("Add", "v epsilon", "e"), apply("Sqrt", "e", "r"),
			apply("Div", "d r", "n"), apply("Mul", "n s", "w"), apply("Add", "w b", "y"),
		},
	}
	return cases
}

// What cannot be normalised, as all of it is equal, has no gradient that is not
// finite.
func TestNormalizationOfEquals(t *testing.T) {
	for name, want := range map[string]float64{
		"LpNormalization 1": 0, "LpNormalization 2": 0,
		"MeanVarianceNormalization": 0, "LayerNormalization": 0,
	} {
		tr, n := mustNetwork[float64](t, normalizationSketches()[name].model(1), sketchBatch, true)
		clear(tr.byName["w0"].values)
		fill(n, 2)
		if err := n.run(); err != nil {
			t.Fatal(err)
		}
		for _, r := range n.reads {
			g := elements[float64](r.node.Value())
			if v, bad := findNotFinite(g); bad {
				t.Errorf("%s: the gradient at %s has %v", name, r.p.name, v)
			}
			if r.p.name == "w0" && strings.HasPrefix(name, "Lp") && g[0] != want {
				t.Errorf("%s: gradient %g, want %g", name, g[0], want)
			}
		}
	}
}

// The scale and bias of a normalisation are trained, but for the ones and zeros that
// exporters give the groups of a GroupNorm.
func TestTrainedOfNormalizations(t *testing.T) {
	for name, want := range map[string][]string{
		"LayerNormalization":                {"w0", "s", "b", "w1"},
		"LayerNormalization without a bias": {"w0", "s", "w1"},
		"RMSNormalization":                  {"w0", "s", "w1"},
		"InstanceNormalization":             {"w0", "s", "b", "w1"},
		"GroupNormalization of groups":      {"w0", "s", "b", "w1"},
		"GroupNorm of PyTorch":              {"w0", "s", "b", "w1"},
		"LayerNorm of PyTorch":              {"w0", "s", "b", "w1"},
	} {
		tr, _ := mustNetwork[float32](t, normalizationSketches()[name].model(1), sketchBatch, true)
		var got []string
		for _, p := range tr.params {
			got = append(got, p.name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: trained are %v, want %v", name, got, want)
		}
	}
}

// What shape inference does not refuse already.
func TestNormalizationRefuses(t *testing.T) {
	to := func(t onnxio.DataType) *onnxio.Attribute { return onnxio.IntAttr("to", int64(t)) }
	s := noise(rand.New(rand.NewPCG(1, 1)), "s", 5)
	for _, c := range []struct {
		nodes []*onnxio.Node
		want  string
	}{
		{[]*onnxio.Node{
			apply("LayerNormalization", "x s", "n m"), apply("Cast", "m", "c", to(onnxio.Float64)),
			apply("Add", "n c", "y"),
		}, `output 1 ("m") is in use`},
		{
			[]*onnxio.Node{apply("GlobalMaxPool", "x", "t"), apply("RMSNormalization", "x t", "y", onnxio.IntAttr("axis", 1))},
			`input 1 ("t") is no initializer`,
		},
		{[]*onnxio.Node{apply("LpNormalization", "x", "y", onnxio.IntAttr("p", 3))}, "attribute p: want 1 or 2, got 3"},
		{[]*onnxio.Node{apply("LRN", "x", "y", onnxio.IntAttr("size", 0))}, "attribute size: want at least 1, got 0"},
		{[]*onnxio.Node{apply("Celu", "x", "y", onnxio.FloatAttr("alpha", 0))}, "attribute alpha: 0 divides by zero"},
		{
			[]*onnxio.Node{apply("Add", "x many", "z"), apply("Squeeze", "z first", "y")},
			"training needs the batch to stay the first axis",
		},
		{[]*onnxio.Node{
			apply("ReduceMean", "x", "m", onnxio.IntsAttr("axes", 2, 3), onnxio.IntAttr("keepdims", 0)),
			apply("Mul", "x m", "y"),
		}, "training needs the batch to stay the first axis"},
		{
			[]*onnxio.Node{apply("Cast", "x", "h", to(onnxio.Float16)), apply("Cast", "h", "y", to(onnxio.Float64))},
			"casts a computed value to float16, which rounds it",
		},
	} {
		sk := through(17, 40, c.nodes, s, noise(rand.New(rand.NewPCG(1, 1)), "many", 1, 1, 1, 1, 1), integers("first", 0))
		if c.nodes[0].OpType == "ReduceMean" {
			sk.shape = []int64{1, 1, 5} // times [N, 1]: the batch meets an axis of 1
			sk.size = 25
		}
		tr, err := newTrainee[float64](sk.model(1), TrainAll)
		if err == nil {
			_, err = tr.network(sketchBatch, false)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", c.nodes[0].OpType, err, c.want)
		}
	}
}
