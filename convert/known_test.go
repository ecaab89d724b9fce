package convert_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/onnxio"
)

// TestComputedFromShapes: what a node takes is computed from shapes, and the batch
// is among them. Nothing stays on tensors, and no node is left that computes a
// shape.
func TestComputedFromShapes(t *testing.T) {
	ints, num := onnxio.IntsAttr, onnxio.IntAttr
	scalar := func(name string, v int64) *onnxio.Tensor { return onnxio.NewTensor(name, nil, []int64{v}) }
	conv := node("Conv", "x w", "c")
	tests := []struct {
		name  string
		opset int64
		inits []*onnxio.Tensor
		nodes []*onnxio.Node
	}{
		// F.pad(c, (d, d)), d = 8 - height, as TorchScript writes it.
		{"pads", 13, []*onnxio.Tensor{scalar("two", 2), scalar("eight", 8), list("first", 0), list("none", 0, 0, 0, 0, 0, 0), list("pairs", -1, 2), list("all", -1), list("least", -1<<63+1)}, []*onnxio.Node{
			conv, node("Shape", "c", "s"), node("Gather", "s two", "h"), node("Sub", "eight h", "d0"), node("Unsqueeze", "d0 first", "d"),
			node("Concat", "d d none", "e", num("axis", 0)), node("Reshape", "e pairs", "p"), node("Slice", "p all least first all", "r"),
			node("Transpose", "r", "q", ints("perm", 1, 0)), node("Reshape", "q all", "pads"), node("Pad", "c pads", "padded"), node("Conv", "padded v", "y"),
		}},
		{"scales", 10, []*onnxio.Tensor{onnxio.NewTensor("twice", []int64{4}, []float32{1, 1, 2, 2})}, []*onnxio.Node{
			conv, node("Shape", "c", "s"), node("Cast", "s", "f", num("to", int64(onnxio.Float32))), node("Mul", "f twice", "g"), node("Floor", "g", "e"), node("Div", "e f", "scales"),
			node("Resize", "c scales", "u", onnxio.StringAttr("mode", "nearest")), node("Conv", "u v", "y"),
		}},
		{"sizes", 13, []*onnxio.Tensor{list("at", 2, 3), list("to", 11, 12)}, []*onnxio.Node{
			conv, node("Shape", "c", "s"), node("Unsqueeze", "at one", "places"), node("ScatterND", "s places to", "sizes"),
			node("Resize", "c   sizes", "u", onnxio.StringAttr("mode", "linear")), node("Conv", "u v", "y"),
		}},
		{"ends of all axes", 13, []*onnxio.Tensor{list("starts", 0, 0, 1, 1)}, []*onnxio.Node{
			conv, node("Shape", "c", "ends"), node("Slice", "c starts ends", "u"), node("Conv", "u v", "y"),
		}},
		{"indices", 13, []*onnxio.Tensor{scalar("two", 2), scalar("zero", 0), scalar("one0", 1)}, []*onnxio.Node{
			conv, node("Shape", "c", "s"), node("Gather", "s two", "h"), node("Range", "zero h one0", "i"), node("Sub", "h i", "j"), node("Sub", "j one0", "reversed"),
			node("Gather", "c reversed", "u", num("axis", 2)), node("Conv", "u v", "y"),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 1))
			inits := append([]*onnxio.Tensor{floats("w", rng, 3, 2, 3, 3), floats("v", rng, 2, 3, 3, 3), list("one", 1)}, test.inits...)
			m := small(test.opset, []int64{2, 8, 8}, inits, test.nodes...)
			x := randomInput(rng, 3, []int64{2, 8, 8})
			want := run(t, m, x)["y"]
			for _, layout := range []record.Layout{record.Dense, record.Local} {
				efcn := written(t, m, convert.Options{Layout: layout})
				plan, err := convert.NewPlan(m, convert.Options{Layout: layout})
				if err != nil {
					t.Fatal(err)
				}
				if len(plan.Kept) > 0 {
					t.Errorf("layout %s: %+v stay on tensors", layout, plan.Kept)
				}
				if slices.Contains(ops(efcn), "Shape") {
					t.Errorf("layout %s: shapes are still computed", layout)
				}
				checkSame(t, run(t, efcn, x)["y"], want)
			}
		})
	}
}

// TestStandardizedWeights: a kernel that the CNN computes from constants, as
// exporters write weight standardisation and spectral norms, is embedded.
func TestStandardizedWeights(t *testing.T) {
	num, ints := onnxio.IntAttr, onnxio.IntsAttr
	rows, whole := list("rows", 1, 3, -1), list("whole", 3, 2, 3, 3)
	per := func(name string, v float32) *onnxio.Tensor {
		return onnxio.NewTensor(name, []int64{3}, []float32{v, v, v})
	}
	tests := []struct {
		name  string
		opset int64
		nodes []*onnxio.Node
	}{
		{"BatchNormalization in training mode", 15, []*onnxio.Node{
			node("Reshape", "w rows", "a"), node("BatchNormalization", "a two zero zero two", "b m v", num("training_mode", 1)), node("Reshape", "b whole", "k"),
		}},
		{"the same before version 14", 9, []*onnxio.Node{
			node("Reshape", "w rows", "a"), node("BatchNormalization", "a two zero zero two", "b m v sm sv"), node("Reshape", "b whole", "k"),
		}},
		{"InstanceNormalization", 17, []*onnxio.Node{
			node("Reshape", "w rows", "a"), node("InstanceNormalization", "a two zero", "b"), node("Reshape", "b whole", "k"),
		}},
		{"mean and deviation", 17, []*onnxio.Node{
			node("ReduceMean", "w", "m", ints("axes", 1, 2, 3)), node("Sub", "w m", "c"), node("Mul", "c c", "q"), node("ReduceMean", "q", "v", ints("axes", 1, 2, 3)),
			node("Sqrt", "v", "d"), node("Div", "c d", "k"),
		}},
		{"LpNormalization", 17, []*onnxio.Node{
			node("Reshape", "w rows", "a"), node("LpNormalization", "a", "b", num("axis", 2)), node("Reshape", "b whole", "k"),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 1))
			inits := []*onnxio.Tensor{floats("w", rng, 3, 2, 3, 3), rows, whole, per("two", 2), per("zero", 0)}
			m := small(test.opset, []int64{2, 8, 8}, inits, append(test.nodes, node("Conv", "x k", "y"))...)
			folded, err := constants.Fold(m, constants.Options{})
			if err != nil {
				t.Fatal(err)
			}
			plan, err := convert.NewPlan(folded, convert.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(plan.Layers) != 1 || len(plan.Kept) > 0 {
				t.Fatalf("%d layers; %+v stay on tensors", len(plan.Layers), plan.Kept)
			}
			x := randomInput(rng, 3, []int64{2, 8, 8})
			checkSame(t, run(t, written(t, folded, convert.Options{}), x)["y"], run(t, m, x)["y"])
		})
	}
}
