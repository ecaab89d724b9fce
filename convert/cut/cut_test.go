package cut_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/cut"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/onnxio"
)

// small is a CNN with all that an eFCN of one may have between two layers.
func small(opset int64) (*onnxio.Model, []int64) {
	rng := rand.New(rand.NewPCG(7, uint64(opset)))
	sample := []int64{3, 12, 12}
	pads := onnxio.IntsAttr("pads", 1, 1, 1, 1)
	kernel := onnxio.IntsAttr("kernel_shape", 2, 2)
	two := onnxio.IntsAttr("strides", 2, 2)
	return testnet.Small(
		opset, sample,
		[]*onnxio.Tensor{
			testnet.Floats("w1", rng, 8, 3, 3, 3), testnet.Floats("b1", rng, 8),
			testnet.Floats("w2", rng, 8, 8, 3, 3),
			testnet.Floats("w3", rng, 8, 8, 3, 3), testnet.Floats("b3", rng, 8),
			testnet.Floats("wd", rng, 8, 2, 3, 3),
			testnet.Floats("w4", rng, 48, 72), testnet.Floats("b4", rng, 48),
			testnet.Floats("w5", rng, 40, 48), testnet.Floats("b5", rng, 40),
		},
		named("c1", testnet.Node("Conv", "x w1 b1", "a1", pads)),
		named("r1", testnet.Node("Relu", "a1", "r1")),
		named("p1", testnet.Node("MaxPool", "r1", "m1", kernel, two)),
		named("c2", testnet.Node("Conv", "m1 w2", "a2", pads)),
		named("r2", testnet.Node("Relu", "a2", "r2")),
		named("c3", testnet.Node("Conv", "r2 w3 b3", "a3", pads)),
		named("sum", testnet.Node("Add", "a3 m1", "s")),
		named("r3", testnet.Node("Relu", "s", "r3")),
		named("dw", testnet.Node("Conv", "r3 wd", "ad", pads, onnxio.IntAttr("group", 4))),
		named("p2", testnet.Node("AveragePool", "ad", "m2", kernel, two)),
		named("flat", testnet.Node("Flatten", "m2", "f")),
		named("fc1", testnet.Node("Gemm", "f w4 b4", "g1", onnxio.IntAttr("transB", 1))),
		named("r4", testnet.Node("Relu", "g1", "r4")),
		named("fc2", testnet.Node("Gemm", "r4 w5 b5", "y", onnxio.IntAttr("transB", 1))),
	), sample
}

func named(name string, n *onnxio.Node) *onnxio.Node {
	n.Name = name
	return n
}

// Products have the same bits over ranks where they are efcn's own: OpenBLAS sums in an
// order that depends on the size of a matrix.
func TestMain(m *testing.M) {
	if err := os.Setenv("EFCN_OPENBLAS", "off"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// An eFCN in each layout computes over ranks what it computes in one process: the same
// bits where all sums are exact, and also where they are not if its products do not depend
// on the rows beside them, as those by a sparse matrix do.
func TestPartsComputeTheModel(t *testing.T) {
	for _, layout := range testnet.Layouts {
		t.Run(string(layout), func(t *testing.T) {
			cnn, sample := small(17)
			o := convert.Options{Layout: layout}
			if layout == record.Factored {
				o.Rank = 8
			}
			rounded := testnet.Written(t, cnn, o)
			exact := testnet.Reread(t, integral(t, rounded))
			x := testnet.RandomInput(rand.New(rand.NewPCG(5, 6)), 12, sample)
			for _, ranks := range []int{1, 2, 3, 4} {
				all := parts(t, exact, ranks, cut.Options{Least: 65})
				checkOutputs[float64](t, exact, integers(12, sample), all)
				checkSlices(t, all)
				for _, l := range all[0].Layers {
					if l.Whole != "" {
						t.Errorf("%d ranks: layer %q is whole: %s", ranks, l.Node, l.Whole)
					}
				}
				if layout != record.Sparse {
					all = parts(t, rounded, ranks, cut.Options{Least: 65})
					checkOutputs[float32](t, rounded, x, all)
					checkOutputs[float64](t, rounded, x, all)
				}
			}
		})
	}
}

// A layer of groups that does not have the channels of the one in front reads a range of
// what is gathered, in the words of each operator set.
func TestOperatorSets(t *testing.T) {
	for _, opset := range []int64{9, 10, 11, 13, 17, 21} {
		cnn, sample := small(opset)
		m := testnet.Reread(t, integral(t, testnet.Embedded(t, cnn, convert.Options{Layout: record.Local})))
		all := parts(t, m, 3, cut.Options{Least: 65})
		checkOutputs[float64](t, m, integers(12, sample), all)
		ranges := 0
		for _, n := range all[0].Model.Graph.Nodes {
			if n.OpType == "Slice" {
				ranges++
			}
		}
		if ranges != 2 {
			t.Errorf("operator set %d: %d ranges, want 2", opset, ranges)
		}
	}
}

func TestRefused(t *testing.T) {
	cnn, _ := small(17)
	m := testnet.Embedded(t, cnn, convert.Options{})
	for _, c := range []struct {
		name, want string
		m          *onnxio.Model
		o          cut.Options
	}{
		{"no ranks", "rank 0 of 0", m, cut.Options{}},
		{"a rank that there is not", "rank 2 of 2", m, cut.Options{Rank: 2, Ranks: 2}},
		{"a negative size", "-1 is negative", m, cut.Options{Ranks: 2, Least: -1}},
		{"a part", "the part of one rank already", parts(t, m, 2, cut.Options{Least: 65})[0].Model, cut.Options{Ranks: 2}},
	} {
		if _, err := cut.Model(c.m, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
