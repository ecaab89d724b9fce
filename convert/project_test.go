package convert_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/onnxio"
)

var layouts = []record.Layout{record.Dense, record.Sparse, record.Local}

// embedded is what written does, in memory.
func embedded(t *testing.T, m *onnxio.Model, o convert.Options) *onnxio.Model {
	t.Helper()
	plan, err := convert.NewPlan(m, o)
	if err != nil {
		t.Fatal(err)
	}
	efcn, err := plan.Model()
	if err != nil {
		t.Fatal(err)
	}
	checkSize(t, plan, efcn)
	return reread(t, efcn)
}

// reread returns m as it is read back from its bytes.
func reread(t *testing.T, m *onnxio.Model) *onnxio.Model {
	t.Helper()
	var b bytes.Buffer
	if _, err := onnxio.WriteTo(&b, m); err != nil {
		t.Fatal(err)
	}
	m, err := onnxio.ReadFrom(&b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// project returns the projection of an eFCN as it is read back.
func project(t *testing.T, efcn *onnxio.Model) (*onnxio.Model, *record.Deviation) {
	t.Helper()
	cnn, d, err := restore.Project(context.Background(), efcn)
	if err != nil {
		t.Fatal(err)
	}
	return reread(t, cnn), d
}

// bits are the bits of the floats of a constant.
func bits(t *testing.T, m *onnxio.Model, name string) []uint32 {
	t.Helper()
	tensor := m.Graph.Initializer(name)
	if tensor == nil {
		t.Fatalf("no initializer %q", name)
	}
	v, err := onnxio.Floats[float32](tensor)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]uint32, len(v))
	for i := range v {
		b[i] = math.Float32bits(v[i])
	}
	return b
}

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
		for _, layout := range layouts {
			t.Run(fmt.Sprint(test.model, test.opts.NoFoldBN, layout), func(t *testing.T) {
				cnn := readFolded(t, test.model)
				test.opts.Layout = layout
				got, d := project(t, embedded(t, cnn, test.opts))
				if d.Distance != 0 || d.OffLocal != 0 || d.Bias != 0 {
					t.Errorf("deviation %+v right after embedding", d)
				}
				if s := strings.Join(ops(got), " "); s != test.ops {
					t.Errorf("operators:\n got %s\nwant %s", s, test.ops)
				}
				if _, ok := got.Meta(record.Key); ok {
					t.Error("the record is still there")
				}
				sameFace(t, cnn, got)
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
						if !slices.Equal(bits(t, got, got.Graph.Nodes[i].Inputs[j]), bits(t, cnn, n.Inputs[j])) {
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
				x := randomInput(rand.New(rand.NewPCG(5, 5)), 2, dims)
				out := cnn.Graph.Outputs[0].Name
				checkSame(t, run(t, got, x)[out], run(t, cnn, x)[out])
			})
		}
	}
}

// measuredFrom measures an eFCN, and its distance from the CNN too.
func measuredFrom(ctx context.Context, efcn, cnn *onnxio.Model) (*record.Deviation, error) {
	origin, err := convert.Embedding(efcn, cnn)
	if err != nil {
		return nil, err
	}
	return record.Measure(ctx, efcn, origin)
}

func TestMeasureRefuses(t *testing.T) {
	cnn := readFolded(t, "plain-torchscript")
	if _, err := record.Measure(context.Background(), cnn, nil); !errors.Is(err, record.ErrMissing) {
		t.Errorf("error %v, want ErrMissing", err)
	}
	if _, _, err := restore.Project(context.Background(), cnn); !errors.Is(err, record.ErrMissing) {
		t.Errorf("error %v, want ErrMissing", err)
	}
	efcn := written(t, cnn, convert.Options{})
	if _, err := record.Open(efcn, "conv9"); err == nil || !strings.Contains(err.Error(), `"/conv1/Conv" "/conv2/Conv" "/fc/Gemm"`) {
		t.Errorf("error %v, want one with the names there are", err)
	}
	if _, err := measuredFrom(context.Background(), efcn, readFolded(t, "lenet-torchscript")); err == nil {
		t.Error("another CNN is taken for the one that the eFCN came from")
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
	cnn := small(17, []int64{2, 5, 4}, []*onnxio.Tensor{floats("w1", rng, 3, 2, 3, 3), floats("w2", rng, 2, 2, 1, 1), floats("w3", rng, 5, 5, 3, 3), floats("w4", rng, 5, 5, 3, 3), floats("c", rng, 5, 1, 1)},
		node("Conv", "x w1", "a", pads),
		node("Relu", "a", "ra"),
		node("Conv", "x w2", "b"),
		node("Concat", "ra b", "joined", onnxio.IntAttr("axis", 1)),
		node("Conv", "joined w3", "d", pads),
		node("Add", "d joined", "sum"),
		node("Mul", "sum c", "scaled"),
		node("ConvTranspose", "scaled w4", "e", pads),
		node("Softmax", "e", "y", onnxio.IntAttr("axis", 1)),
	)
	for i, n := range cnn.Graph.Nodes {
		n.Name = fmt.Sprintf("node%d", i)
	}
	cnn.Graph.Outputs = append(cnn.Graph.Outputs, &onnxio.ValueInfo{Name: "sum", Type: onnxio.TensorType{Elem: onnxio.Float32}})
	x := randomInput(rng, 3, []int64{2, 5, 4})
	want := run(t, cnn, x)
	for _, layout := range layouts {
		t.Run(string(layout), func(t *testing.T) {
			got, _ := project(t, embedded(t, cnn, convert.Options{Layout: layout}))
			if a, b := strings.Join(ops(got), " "), strings.Join(ops(cnn), " "); a != b {
				t.Errorf("operators %s, want %s", a, b)
			}
			for i, n := range got.Graph.Nodes {
				if w := cnn.Graph.Nodes[min(i, len(cnn.Graph.Nodes)-1)]; n.Name != w.Name || !slices.Equal(n.Outputs, w.Outputs) {
					t.Errorf("node %q computes %q, want %q and %q", n.Name, n.Outputs, w.Name, w.Outputs)
				}
			}
			for name, y := range run(t, got, x) {
				if !slices.Equal(y.F, want[name].F) {
					t.Errorf("output %q is not bit for bit the CNN's", name)
				}
			}
		})
	}
}

// TestProjectWithoutGeometry projects a layer whose record does not say its
// geometry: it stays what it is, in every layout.
func TestProjectWithoutGeometry(t *testing.T) {
	scales := onnxio.NewTensor("s", []int64{4}, []float32{1, 1, 2, 1.5})
	cnn := small(13, []int64{2, 3, 4}, []*onnxio.Tensor{scales}, node("Resize", "x  s", "y", onnxio.StringAttr("mode", "linear")))
	x := randomInput(rand.New(rand.NewPCG(4, 2)), 2, []int64{2, 3, 4})
	want := run(t, cnn, x)["y"]
	for _, layout := range layouts {
		t.Run(string(layout), func(t *testing.T) {
			got, d := project(t, embedded(t, cnn, convert.Options{Layout: layout}))
			if len(d.Layers) != 1 || !strings.Contains(d.Layers[0].NotMeasured, "geometry of Resize") {
				t.Errorf("measured %+v, want why not", d.Layers)
			}
			checkSame(t, run(t, got, x)["y"], want)
		})
	}
}

// TestScaledMatrices: a Gemm that multiplies its matrix by a number has that
// product for its matrix, whichever way round it shares what is stored with
// another; it is no obstacle for what is said of other layers.
func TestScaledMatrices(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 3))
	stored := floats("w", rng, 4, 4)
	alpha, transposed := func(v float32) *onnxio.Attribute { return onnxio.FloatAttr("alpha", v) }, onnxio.IntAttr("transB", 1)
	cnn := small(17, []int64{1, 2, 2}, []*onnxio.Tensor{floats("k", rng, 1, 1, 2, 2), stored},
		node("Conv", "x k", "c", onnxio.IntsAttr("pads", 1, 1, 0, 0)),
		node("Flatten", "c", "f"),
		node("Gemm", "f w", "a", alpha(0.3)),
		node("Gemm", "a w", "b", alpha(3), transposed),
		node("Gemm", "b w", "y", transposed),
	)
	for i, n := range cnn.Graph.Nodes {
		n.Name = fmt.Sprintf("node%d", i)
	}
	efcn := embedded(t, cnn, convert.Options{})
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
	projected, d := project(t, efcn)
	if d.Distance != 0 || len(d.Layers) != 4 {
		t.Errorf("deviation %+v", d)
	}
	x := randomInput(rng, 3, []int64{1, 2, 2})
	if got, want := run(t, projected, x)["y"].F, run(t, cnn, x)["y"].F; !slices.Equal(got, want) {
		t.Errorf("projected %v, want %v", got, want)
	}
}
