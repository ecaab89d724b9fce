package restore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/onnxio"
)

// TestProjectConverted checks that the projection of the real models' eFCNs is
// the CNN: operators, weights bit for bit, names, function. What a
// BatchNormalization was multiplied into is compared by the function alone.
func TestProjectConverted(t *testing.T) {
	tests := []struct {
		model string
		opts  convert.Options
		ops   string
		exact int // layers of which the weights are compared
	}{
		{"plain-torchscript", convert.Options{}, "Conv Relu Conv Relu Flatten Gemm", 2},
		{"lenet-torchscript", convert.Options{}, "Conv Relu MaxPool Conv Relu MaxPool Flatten Gemm", 1},
		{"lenet-torchscript", convert.Options{NoFoldBN: true}, "Conv Relu MaxPool Conv Mul Add Relu MaxPool Flatten Gemm", 2},
		{"lenet-dynamo", convert.Options{}, "Conv Relu MaxPool Conv Relu MaxPool Flatten Gemm", 2},
		{"resnet-torchscript", convert.Options{}, "Conv Relu Conv Relu Conv Add Relu AveragePool Mul Add Relu Conv Conv Add Relu GlobalAveragePool Flatten Gemm", 1},
		{"resnet-torchscript", convert.Options{NoFoldBN: true}, "Conv Mul Add Relu Conv Mul Add Relu Conv Mul Add Add Relu AveragePool Mul Add Relu Conv Conv Mul Add Add Relu GlobalAveragePool Flatten Gemm", 5},
		{"resnet-dynamo", convert.Options{}, "Conv Relu Conv Relu Conv Add Relu AveragePool Mul Add Relu Conv Conv Add Relu ReduceMean Flatten Gemm", 5},
		{"keras-tf2onnx", convert.Options{}, "Reshape Conv Relu Conv LeakyRelu MaxPool Conv Conv Mul Add Clip Flatten Gather MatMul Add Softmax", 4},
		{"keras-tf2onnx-shape", convert.Options{}, "Reshape Conv Relu Conv LeakyRelu MaxPool Conv Conv Mul Add Clip Flatten Gather MatMul Add Softmax", 4},
	}
	for _, test := range tests {
		for _, layout := range testnet.Layouts {
			t.Run(fmt.Sprint(test.model, test.opts.NoFoldBN, layout), func(t *testing.T) {
				cnn := testnet.ReadFolded(t, test.model)
				test.opts.Layout = layout
				got, d := testnet.Project(t, testnet.Embedded(t, cnn, test.opts))
				if d.Distance != 0 || d.OffLocal != 0 || d.Bias != 0 {
					t.Errorf("deviation %+v right after embedding", d)
				}
				if s := strings.Join(testnet.Ops(got), " "); s != test.ops {
					t.Errorf("operators:\n got %s\nwant %s", s, test.ops)
				}
				if _, ok := got.Meta(record.Key); ok {
					t.Error("the record is still there")
				}
				testnet.SameFace(t, cnn, got)
				exact := 0
				for _, n := range cnn.Graph.Nodes {
					if n.OpType != "Conv" {
						continue
					}
					i := slices.IndexFunc(got.Graph.Nodes, func(c *onnxio.Node) bool { return c.OpType == "Conv" && c.Output(0) == n.Output(0) })
					if i < 0 {
						continue // a BatchNormalization was multiplied in
					}
					for j := 1; j < len(n.Inputs); j++ {
						if !slices.Equal(testnet.Bits(t, got, got.Graph.Nodes[i].Inputs[j]), testnet.Bits(t, cnn, n.Inputs[j])) {
							t.Errorf("%s: input %d is not the CNN's", n.Label(), j)
						}
					}
					exact++
				}
				if exact != test.exact {
					t.Errorf("%d layers compared, want %d", exact, test.exact)
				}
				in := cnn.Graph.FeedInputs()[0]
				var dims []int64
				for _, d := range in.Type.Shape[1:] {
					dims = append(dims, d.Value)
				}
				x := testnet.RandomInput(rand.New(rand.NewPCG(5, 5)), 2, dims)
				out := cnn.Graph.Outputs[0].Name
				testnet.CheckSame(t, testnet.Run(t, got, x)[out], testnet.Run(t, cnn, x)[out])
			})
		}
	}
}

func TestMeasureRefuses(t *testing.T) {
	cnn := testnet.ReadFolded(t, "plain-torchscript")
	if _, err := record.Measure(context.Background(), cnn, nil); !errors.Is(err, record.ErrMissing) {
		t.Errorf("error %v, want ErrMissing", err)
	}
	if _, _, err := restore.Project(context.Background(), cnn); !errors.Is(err, record.ErrMissing) {
		t.Errorf("error %v, want ErrMissing", err)
	}
	efcn := testnet.Written(t, cnn, convert.Options{})
	if _, err := record.Open(efcn, "conv9"); err == nil || !strings.Contains(err.Error(), `"/conv1/Conv" "/conv2/Conv" "/fc/Gemm"`) {
		t.Errorf("error %v, want one with the names there are", err)
	}
	if _, err := testnet.MeasuredFrom(context.Background(), efcn, testnet.ReadFolded(t, "lenet-torchscript")); err == nil {
		t.Error("another CNN is taken for the one that the eFCN came from")
	}
	// The same sizes, kernel and number of taps, but other taps.
	padded := func(pads ...int64) *onnxio.Model {
		w := testnet.Floats("w", rand.New(rand.NewPCG(1, 1)), 1, 1, 3)
		return testnet.Small(17, []int64{1, 6}, []*onnxio.Tensor{w}, testnet.Node("Conv", "x w", "y", onnxio.IntsAttr("pads", pads...)))
	}
	left := testnet.Written(t, padded(2, 0), convert.Options{})
	if _, err := testnet.MeasuredFrom(context.Background(), left, padded(0, 2)); err == nil || !strings.Contains(err.Error(), "another geometry") {
		t.Errorf("error %v, want one about the geometry", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := record.Measure(ctx, efcn, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestProjectBranches projects a net with branches that join and two outputs,
// one of them a value in between.
func TestProjectBranches(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	pads := onnxio.IntsAttr("pads", 1, 1, 1, 1)
	cnn := testnet.Small(17, []int64{2, 5, 4}, []*onnxio.Tensor{testnet.Floats("w1", rng, 3, 2, 3, 3), testnet.Floats("w2", rng, 2, 2, 1, 1), testnet.Floats("w3", rng, 5, 5, 3, 3), testnet.Floats("w4", rng, 5, 5, 3, 3), testnet.Floats("c", rng, 5, 1, 1)},
		testnet.Node("Conv", "x w1", "a", pads),
		testnet.Node("Relu", "a", "ra"),
		testnet.Node("Conv", "x w2", "b"),
		testnet.Node("Concat", "ra b", "joined", onnxio.IntAttr("axis", 1)),
		testnet.Node("Conv", "joined w3", "d", pads),
		testnet.Node("Add", "d joined", "sum"),
		testnet.Node("Mul", "sum c", "scaled"),
		testnet.Node("ConvTranspose", "scaled w4", "e", pads),
		testnet.Node("Softmax", "e", "y", onnxio.IntAttr("axis", 1)),
	)
	for i, n := range cnn.Graph.Nodes {
		n.Name = fmt.Sprintf("node%d", i)
	}
	cnn.Graph.Outputs = append(cnn.Graph.Outputs, &onnxio.ValueInfo{Name: "sum", Type: onnxio.TensorType{Elem: onnxio.Float32}})
	x := testnet.RandomInput(rng, 3, []int64{2, 5, 4})
	want := testnet.Run(t, cnn, x)
	for _, layout := range testnet.Layouts {
		t.Run(string(layout), func(t *testing.T) {
			got, _ := testnet.Project(t, testnet.Embedded(t, cnn, convert.Options{Layout: layout}))
			if a, b := strings.Join(testnet.Ops(got), " "), strings.Join(testnet.Ops(cnn), " "); a != b {
				t.Errorf("operators %s, want %s", a, b)
			}
			for i, n := range got.Graph.Nodes {
				if w := cnn.Graph.Nodes[min(i, len(cnn.Graph.Nodes)-1)]; n.Name != w.Name || !slices.Equal(n.Outputs, w.Outputs) {
					t.Errorf("node %q computes %q, want %q and %q", n.Name, n.Outputs, w.Name, w.Outputs)
				}
			}
			for name, y := range testnet.Run(t, got, x) {
				if !slices.Equal(y.F, want[name].F) {
					t.Errorf("output %q is not bit for bit the CNN's", name)
				}
			}
		})
	}
}

// TestProjectOtherInputs projects an eFCN whose first input has no batch: neither that
// input nor what reads it says which axis the batch is.
func TestProjectOtherInputs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2))
	cnn := testnet.Small(17, []int64{3, 8, 8}, []*onnxio.Tensor{testnet.Floats("w", rng, 4, 3, 3, 3)},
		testnet.Node("Conv", "x w", "c"), testnet.Node("Mul", "c t", "m"), testnet.Node("Relu", "m", "y"))
	temperature := &onnxio.ValueInfo{Name: "t", Type: onnxio.TensorType{
		Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Fixed(1)},
	}}
	cnn.Graph.Inputs = append([]*onnxio.ValueInfo{temperature}, cnn.Graph.Inputs...)
	for _, layout := range testnet.Layouts {
		t.Run(string(layout), func(t *testing.T) {
			efcn := testnet.Embedded(t, cnn, convert.Options{Layout: layout})
			got, _ := testnet.Project(t, efcn)
			if a, b := strings.Join(testnet.Ops(got), " "), strings.Join(testnet.Ops(cnn), " "); a != b {
				t.Errorf("operators %s, want %s", a, b)
			}
			if _, _, err := restore.ToDense(context.Background(), efcn, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestProjectWithoutGeometry projects a layer whose record does not say its
// geometry: it stays what it is, in every layout.
func TestProjectWithoutGeometry(t *testing.T) {
	scales := onnxio.NewTensor("s", []int64{4}, []float32{1, 1, 2, 1.5})
	cnn := testnet.Small(13, []int64{2, 3, 4}, []*onnxio.Tensor{scales}, testnet.Node("Resize", "x  s", "y", onnxio.StringAttr("mode", "linear")))
	x := testnet.RandomInput(rand.New(rand.NewPCG(4, 2)), 2, []int64{2, 3, 4})
	want := testnet.Run(t, cnn, x)["y"]
	for _, layout := range testnet.Layouts {
		t.Run(string(layout), func(t *testing.T) {
			got, d := testnet.Project(t, testnet.Embedded(t, cnn, convert.Options{Layout: layout}))
			if len(d.Layers) != 1 || !strings.Contains(d.Layers[0].NotMeasured, "geometry of Resize") {
				t.Errorf("measured %+v, want why not", d.Layers)
			}
			testnet.CheckSame(t, testnet.Run(t, got, x)["y"], want)
		})
	}
}

// TestScaledMatrices: a Gemm that multiplies its matrix by a number has that
// product for its matrix, whichever way round it shares what is stored with
// another; it is no obstacle for what is said of other layers.
func TestScaledMatrices(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 3))
	stored := testnet.Floats("w", rng, 4, 4)
	alpha, transposed := func(v float32) *onnxio.Attribute { return onnxio.FloatAttr("alpha", v) }, onnxio.IntAttr("transB", 1)
	cnn := testnet.Small(17, []int64{1, 2, 2}, []*onnxio.Tensor{testnet.Floats("k", rng, 1, 1, 2, 2), stored},
		testnet.Node("Conv", "x k", "c", onnxio.IntsAttr("pads", 1, 1, 0, 0)),
		testnet.Node("Flatten", "c", "f"),
		testnet.Node("Gemm", "f w", "a", alpha(0.3)),
		testnet.Node("Gemm", "a w", "b", alpha(3), transposed),
		testnet.Node("Gemm", "b w", "y", transposed),
	)
	for i, n := range cnn.Graph.Nodes {
		n.Name = fmt.Sprintf("node%d", i)
	}
	efcn := testnet.Embedded(t, cnn, convert.Options{})
	v, err := onnxio.Floats[float32](stored)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]func(r, c int) float32{
		"node2": func(r, c int) float32 { return float32(0.3) * v[4*c+r] },
		"node3": func(r, c int) float32 { return 3 * v[4*r+c] },
		"node4": func(r, c int) float32 { return v[4*r+c] },
	} {
		a, err := record.Open(efcn, name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := onnxio.Floats[float32](a.Dense(context.Background(), false))
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range got {
			if w := want(i/4, i%4); g != w {
				t.Errorf("%s: entry %d is %v, want %v", name, i, g, w)
			}
		}
	}
	projected, d := testnet.Project(t, efcn)
	if d.Distance != 0 || len(d.Layers) != 4 {
		t.Errorf("deviation %+v", d)
	}
	x := testnet.RandomInput(rng, 3, []int64{1, 2, 2})
	if got, want := testnet.Run(t, projected, x)["y"].F, testnet.Run(t, cnn, x)["y"].F; !slices.Equal(got, want) {
		t.Errorf("projected %v, want %v", got, want)
	}
}
