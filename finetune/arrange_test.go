package finetune

import (
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/onnxio"
)

// arrangedSketches are of the operators that move elements.
func arrangedSketches() map[string]sketch {
	rng := rand.New(rand.NewPCG(21, 22))
	type nodes = []*onnxio.Node
	ints, integer, text := onnxio.IntsAttr, onnxio.IntAttr, onnxio.StringAttr
	table := func(name string, dims []int64, v ...int64) *onnxio.Tensor { return onnxio.NewTensor(name, dims, v) }
	flags := func(name string, dims []int64, v ...bool) *onnxio.Tensor { return onnxio.NewTensor(name, dims, v) }
	image, blocks := []int64{2, 4, 5}, []int64{8, 2, 3}
	axis := func(a int64) *onnxio.Attribute { return integer("axis", a) }
	of := func(size, opset int64, n nodes, inits ...*onnxio.Tensor) sketch {
		return sketch{shape: image, size: size, opset: opset, nodes: n, inits: inits}
	}
	in := func(shape []int64, s sketch) sketch { s.shape = shape; return s }
	cases := map[string]sketch{
		"Pad": of(98, 0, nodes{apply("Pad", "x p", "y")}, integers("p", 0, 0, 1, 0, 0, 0, 2, 2)),
		"Pad by a value": of(126, 0, nodes{apply("Pad", "x p v", "y")}, integers("p", 0, 1, 0, 2, 0, 0, 2, 0),
			scalarTensor("v", 1.5)),
		"Pad reflect": of(140, 0, nodes{apply("Pad", "x p", "y", text("mode", "reflect"))},
			integers("p", 0, 0, 1, 2, 0, 0, 2, 3)),
		"Pad edge": of(98, 0, nodes{apply("Pad", "x p", "y", text("mode", "edge"))},
			integers("p", 0, 0, 2, 0, 0, 0, 1, 2)),
		"Pad wrap": of(98, 19, nodes{apply("Pad", "x p", "y", text("mode", "wrap"))},
			integers("p", 0, 0, 2, 1, 0, 0, 1, 1)),
		"Pad that crops": of(24, 0, nodes{apply("Pad", "x p", "y")}, integers("p", 0, 0, -1, 1, 0, 0, 0, -2)),
		"Pad of axes":    of(48, 18, nodes{apply("Pad", "x p - a", "y")}, integers("p", 1, 0), integers("a", -1)),
		"Pad attributes": of(48, 10,
			nodes{apply("Pad", "x", "y", ints("pads", 0, 0, 0, 1, 0, 0, 0, 0), onnxio.FloatAttr("value", -1))}),
		"Slice": of(12, 0, nodes{apply("Slice", "x b e a s", "y")}, integers("b", 1, 4), integers("e", 4, 0),
			integers("a", 2, 3), integers("s", 1, -2)),
		"Slice backwards": of(40, 0, nodes{apply("Slice", "x b e a s", "y")}, integers("b", -1), integers("e", -1000),
			integers("a", -1), integers("s", -1)),
		"Slice every third": of(16, 0, nodes{apply("Slice", "x b e a s", "y")},
			integers("b", 1), integers("e", 9), integers("a", 3), integers("s", 3)),
		"Slice attributes": of(15, 9,
			nodes{apply("Slice", "x", "y", ints("starts", 1, 1), ints("ends", 2, 4), ints("axes", 1, 2))}),
		"Slice of everything": of(40, 0, nodes{apply("Slice", "x b e a", "y")}, integers("b", 0), integers("e", 99),
			integers("a", 1)),
		"Slice to a computed end": of(8, 0,
			nodes{apply("Shape", "x", "s"), apply("Gather", "s i", "h"), apply("Slice", "x b h a", "y")},
			integers("i", 1), integers("b", 1), integers("a", 3)),
		"Split": of(40, 0, nodes{
			apply("Split", "x", "u v", axis(2)), apply("Tanh", "v", "t"),
			apply("Concat", "u t", "y", axis(3)),
		}),
		"Split unevenly": of(32, 0,
			nodes{apply("Split", "x l", "u v w", axis(-1)), apply("Mul", "v v", "m"), apply("Concat", "w m", "y", axis(3))},
			integers("l", 1, 2, 2)),
		"Split num_outputs": of(24, 18, nodes{
			apply("Split", "x", "u v w", axis(3), integer("num_outputs", 3)), apply("Mul", "u v", "m"),
			apply("Flatten", "m", "f"), apply("Flatten", "w", "g"), apply("Concat", "f g", "y", axis(1)),
		}),
		"Split attribute": of(40, 11,
			nodes{apply("Split", "x", "u v", axis(3), ints("split", 4, 1)), apply("Concat", "v u", "y", axis(3))}),
		"Split, one part read": of(20, 0, nodes{apply("Split", "x", "u y", axis(1))}),
		"Split, one is all":    of(40, 0, nodes{apply("Split", "x l", "y", axis(1))}, integers("l", 2)),
		"a part of a part read": of(30, 0, nodes{
			apply("Split", "x", "u v", axis(1)), apply("Slice", "v b e a", "w"),
			apply("Concat", "u w", "y", axis(2)),
		}, integers("b", 0), integers("e", 2), integers("a", 2)),
		"chunk and shuffle": of(40, 0, nodes{
			apply("Split", "x", "u v", axis(1)), apply("Sigmoid", "v", "t"), apply("Concat", "u t", "c", axis(1)),
			apply("Reshape", "c s", "r"), apply("Transpose", "r", "p", ints("perm", 0, 2, 1, 3)), apply("Reshape", "p q", "y"),
		}, integers("s", -1, 2, 1, 20), integers("q", -1, 2, 4, 5)),
		"Gather permutation": in([]int64{4},
			of(4, 0, nodes{apply("Gather", "x i", "y", axis(1))}, integers("i", 2, 0, 3, 1))),
		"Gather with repetition": of(24, 0, nodes{apply("Gather", "x i", "y", axis(-1))}, integers("i", -1, 0, 0)),
		"Gather one":             of(10, 0, nodes{apply("Gather", "x i", "y", axis(2))}, table("i", nil, -2)),
		"Gather a table": of(60, 0, nodes{apply("Gather", "x i", "y", axis(2))},
			table("i", []int64{3, 2}, 3, 0, -1, 1, 1, 2)),
		"GatherElements": of(18, 0, nodes{apply("GatherElements", "x i", "y", axis(2))},
			table("i", []int64{sketchBatch, 2, 3, 3}, indices(sketchBatch, 18, 4)...)),
		"GatherND by sample": of(3, 0, nodes{apply("GatherND", "x i", "y", integer("batch_dims", 1))},
			table("i", []int64{sketchBatch, 3, 3}, repeated(sketchBatch, 0, 3, -1, 1, 1, -2, 0, 3, 4)...)),
		"GatherND as dynamo has it": of(18, 0, nodes{
			apply("Transpose", "x", "t", ints("perm", 2, 3, 0, 1)), apply("GatherND", "t i", "g"),
			apply("Transpose", "g", "y", ints("perm", 4, 5, 0, 1, 2, 3)),
		}, table("i", []int64{3, 1, 3, 1, 2}, 0, 0, 0, 1, 0, 4, 1, 0, 1, 1, 1, 4, 3, 0, 3, 1, 3, 4)),
		"the batch in between": of(8, 0, nodes{
			apply("Transpose", "x", "t", ints("perm", 1, 3, 0, 2)), apply("Slice", "t b e a", "u"),
			apply("Reshape", "u s", "v"), apply("Transpose", "v", "y", ints("perm", 1, 2, 0)),
		}, integers("b", 1), integers("e", 2), integers("a", 1), integers("s", 2, -1, 4)),
		"the batch last, and Concat": of(80, 0, nodes{
			apply("Transpose", "x", "t"), apply("Concat", "t t", "c", axis(0)), apply("Transpose", "c", "y"),
		}),
		"Transpose":            of(40, 0, nodes{apply("Transpose", "x", "y", ints("perm", 0, 2, 3, 1))}),
		"Transpose of nothing": in([]int64{3, 1, 1}, of(3, 0, nodes{apply("Transpose", "x", "y", ints("perm", 0, 2, 3, 1))})),
		"an axis before the batch": of(40, 0, nodes{apply("Unsqueeze", "x a", "u"), apply("Squeeze", "u a", "y")},
			integers("a", 0)),
		"Where": of(40, 0, nodes{apply("Where", "c x v", "y")}, flags("c", []int64{4, 1}, true, false, false, true),
			scalarTensor("v", 0.25)),
		"Where of two": of(40, 0, nodes{apply("Tanh", "x", "t"), apply("Where", "c t x", "y")},
			flags("c", []int64{2, 1, 5}, true, false, false, true, true, false, false, true, true, true)),
		"Expand": in([]int64{2, 1, 3}, of(24, 0, nodes{apply("Expand", "x e", "y")}, integers("e", 1, 2, 4, 1))),
		"Expand to a computed shape": in([]int64{3}, of(12, 0, nodes{
			apply("Unsqueeze", "x a", "u"), apply("Shape", "x", "s"), apply("Concat", "s k", "t", axis(0)),
			apply("Expand", "u t", "y"),
		}, integers("a", 2), integers("k", 4))),
		"Tile":         of(240, 0, nodes{apply("Tile", "x r", "y")}, integers("r", 1, 3, 1, 2)),
		"DepthToSpace": in(blocks, of(48, 0, nodes{apply("DepthToSpace", "x", "y", integer("blocksize", 2))})),
		"DepthToSpace CRD": in(blocks,
			of(48, 0, nodes{apply("DepthToSpace", "x", "y", integer("blocksize", 2), text("mode", "CRD"))})),
		"SpaceToDepth": in([]int64{2, 4, 6}, of(48, 0, nodes{apply("SpaceToDepth", "x", "y", integer("blocksize", 2))})),
		"Trilu":        of(40, 0, nodes{apply("Trilu", "x", "y")}),
		"Trilu below":  of(40, 0, nodes{apply("Trilu", "x k", "y", integer("upper", 0))}, table("k", nil, -1)),
		"ScatterElements": in([]int64{2, 3}, of(10, 18, nodes{
			apply("Pad", "x p", "z"), apply("Slice", "x b e a", "u"), apply("ScatterElements", "z i u", "y", axis(2)),
		}, integers("p", 0, 0, 0, 0, 0, 2), integers("b", 0), integers("e", 2), integers("a", 2),
			table("i", []int64{sketchBatch, 2, 2}, repeated(sketchBatch, 4, 1, 0, 3)...))),
		"Scatter": in([]int64{2, 4}, of(8, 9, nodes{
			apply("Slice", "x", "u", ints("starts", 0), ints("ends", 2), ints("axes", 2)),
			apply("Scatter", "x i u", "y", axis(2)),
		}, table("i", []int64{sketchBatch, 2, 2}, repeated(sketchBatch, 3, 1, 0, 2)...))),
		"ScatterND": in([]int64{2, 3}, of(12, 0, nodes{apply("ScatterND", "k i x", "y")},
			zeros("k", sketchBatch, 4, 3),
			table("i", []int64{sketchBatch, 2, 2}, 0, 3, 0, 1, 1, 3, 1, 1, 2, 3, 2, 1, 3, 3, 3, 1, 4, 3, 4, 1))),
		"a class token": in([]int64{2, 3}, of(9, 0, nodes{
			apply("Shape", "x", "s"), apply("Gather", "s zero", "n"), apply("Concat", "n rest", "e", axis(0)),
			apply("Expand", "k e", "z"), apply("Concat", "z x", "y", axis(1)),
		}, integers("zero", 0), integers("rest", 1, 3), noise(rng, "k", 1, 1, 3))),
	}
	for name, s := range cases {
		for _, t := range s.inits {
			s.oneBatch = s.oneBatch || len(t.Dims) > 1 && t.Dims[0] == sketchBatch
		}
		cases[name] = s
	}
	return cases
}

func zeros(name string, dims ...int64) *onnxio.Tensor {
	return onnxio.NewTensor(name, dims, make([]float64, product(toInts(dims))))
}

// repeated is v as often as there are samples.
func repeated(samples int, v ...int64) []int64 {
	var all []int64
	for range samples {
		all = append(all, v...)
	}
	return all
}

// indices are so many for each sample, the same for all, from 0 on below n.
func indices(samples, count int, n int64) []int64 {
	v := make([]int64, count)
	for i := range v {
		v[i] = int64(i*i+i/2) % n
	}
	return repeated(samples, v...)
}

// What mixes the samples, or computes, or depends on the input is refused with the
// node's name.
func TestArrangedRefusals(t *testing.T) {
	cases := map[string]struct {
		nodes []*onnxio.Node
		inits []*onnxio.Tensor
		want  string
	}{
		"the first sample": {
			[]*onnxio.Node{apply("Gather", "x i", "y", onnxio.IntAttr("axis", 0))},
			[]*onnxio.Tensor{integers("i", repeated(sketchBatch, 0)...)},
			"mixes the samples",
		},
		"samples in one axis": {
			[]*onnxio.Node{apply("Reshape", "x s", "z"), apply("Tanh", "z", "t"), apply("Reshape", "t r", "y")},
			[]*onnxio.Tensor{integers("s", -1), integers("r", sketchBatch, 40)},
			"has the batch and the sample in one axis",
		},
		"a computed condition": {
			[]*onnxio.Node{
				apply("Tanh", "x", "t"), apply("Greater", "t x", "c"),
				apply("Where", "c t x", "y"),
			}, nil, "Greater_c",
		},
		"an elementwise layer in between": {
			[]*onnxio.Node{
				apply("Transpose", "x", "t"), apply("Tanh", "t", "u"),
				apply("Transpose", "u", "y"),
			}, nil, "batch on axis 3",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := sketch{shape: []int64{2, 4, 5}, size: 40, nodes: c.nodes, inits: c.inits}.model(3)
			tr, err := newTrainee[float64](m, TrainAll)
			if err == nil {
				_, err = tr.network(sketchBatch, true)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
