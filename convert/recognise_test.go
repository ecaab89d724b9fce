package convert_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/onnxio"
)

// threeConvs is a CNN of three convolutions, of which the second and third have matrices of
// one size, and a Gemm.
func threeConvs() *onnxio.Model {
	rng := rand.New(rand.NewPCG(4, 2))
	pads := onnxio.IntsAttr("pads", 1, 1, 1, 1)
	inits := []*onnxio.Tensor{
		testnet.Floats("w1", rng, 2, 1, 3, 3), testnet.Floats("w2", rng, 2, 2, 3, 3), testnet.Floats("b2", rng, 2),
		testnet.Floats("w3", rng, 2, 2, 3, 3), testnet.Floats("w4", rng, 32, 5),
	}
	nodes := []*onnxio.Node{
		testnet.Node("Conv", "x w1", "a", pads), testnet.Node("Relu", "a", "ra"),
		testnet.Node("Conv", "ra w2 b2", "b", pads), testnet.Node("Relu", "b", "rb"),
		testnet.Node("Conv", "rb w3", "c", pads), testnet.Node("Flatten", "c", "f"), testnet.Node("Gemm", "f w4", "y"),
	}
	for i, name := range map[int]string{0: "/first/Conv", 2: "/second/Conv", 4: "/third/Conv", 6: "/head/Gemm"} {
		nodes[i].Name = name
	}
	return testnet.Small(17, []int64{1, 4, 4}, inits, nodes...)
}

// gone is an eFCN as a tool leaves it that reads and writes ONNX: without metadata, and with
// the names of its products and matrices changed by rename, which gets their number.
func gone(efcn *onnxio.Model, rename func(i int, name string) (node, weight string)) *onnxio.Model {
	out := efcn.Clone()
	out.Metadata = nil
	i := 0
	for k, n := range out.Graph.Nodes {
		if n.OpType != "Gemm" {
			continue
		}
		renamed := *n
		renamed.Inputs = slices.Clone(n.Inputs)
		w := *out.Graph.Initializer(n.Input(1))
		renamed.Name, w.Name = rename(i, n.Name)
		renamed.Inputs[1] = w.Name
		out.Graph.Nodes[k] = &renamed
		out.Graph.Initializers = append(out.Graph.Initializers, &w)
		i++
	}
	out.Graph.Prune()
	return out
}

// matMuls writes every Gemm of a graph as MatMul, with the matrix the other way round, and Add.
func matMuls(t *testing.T, m *onnxio.Model) {
	t.Helper()
	var nodes []*onnxio.Node
	for _, n := range m.Graph.Nodes {
		if n.OpType != "Gemm" || n.Input(2) == "" {
			nodes = append(nodes, n)
			continue
		}
		w := m.Graph.Initializer(n.Input(1))
		v, err := onnxio.Floats[float32](w)
		if err != nil {
			t.Fatal(err)
		}
		rows, cols := w.Dims[0], w.Dims[1]
		other := make([]float32, len(v))
		for i := range v {
			other[int64(i)%cols*rows+int64(i)/cols] = v[i]
		}
		*w = *onnxio.NewTensor(w.Name, []int64{cols, rows}, other)
		product := n.Output(0) + "/product"
		nodes = append(nodes,
			&onnxio.Node{Name: n.Name, OpType: "MatMul", Inputs: n.Inputs[:2], Outputs: []string{product}},
			&onnxio.Node{Name: n.Name + "/Add", OpType: "Add", Inputs: []string{n.Input(2), product}, Outputs: n.Outputs})
	}
	m.Graph.Nodes = nodes
}

// TestRecognise measures an eFCN whose metadata is gone, and whose matrices were moved, as
// one that has its record.
func TestRecognise(t *testing.T) {
	cnn := threeConvs()
	efcn := testnet.Written(t, cnn, convert.Options{Layout: record.Dense})
	rng := rand.New(rand.NewPCG(7, 7))
	for _, w := range efcn.Graph.Initializers {
		if strings.HasSuffix(w.Name, ".weight") {
			v, err := onnxio.Floats[float32](w)
			if err != nil {
				t.Fatal(err)
			}
			for i := range v {
				v[i] += float32(rng.NormFloat64()) / 10
			}
			*w = *onnxio.NewTensor(w.Name, w.Dims, v)
		}
	}
	want, err := testnet.MeasuredFrom(t.Context(), efcn, cnn)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Layers) != 4 || want.OffLocal == 0 || *want.FromCNN == 0 {
		t.Fatalf("nothing to be measured: %+v", want)
	}
	kept := func(_ int, name string) (string, string) { return name, name + ".weight/moved" }
	exported := func(i int, name string) (string, string) {
		return fmt.Sprintf("node_%d", i), strings.TrimPrefix(name, "/") + ".weight"
	}
	lost := func(i int, _ string) (string, string) { return fmt.Sprintf("n%d", i), fmt.Sprintf("m%d", i) }
	both := map[string]string{"/second/Conv": "n1", "/third/Conv": "m2"}
	for name, test := range map[string]struct {
		rename func(int, string) (string, string)
		names  map[string]string
		matMul bool
		by     string // of the three layers
	}{
		"nodes keep their names": {kept, nil, false, "name name name"},
		"matrices keep theirs":   {exported, nil, false, "name name name"},
		"MatMul and Add":         {exported, nil, true, "name name name"},
		"sizes, and a map":       {lost, both, false, "shape map map"},
		"one of two is mapped":   {lost, map[string]string{"/third/Conv": "n2"}, true, "shape shape map"},
	} {
		t.Run(name, func(t *testing.T) {
			stripped := gone(efcn, test.rename)
			if test.matMul {
				matMuls(t, stripped)
			}
			got, origin, found, err := convert.Recognise(stripped, cnn, test.names)
			if err != nil {
				t.Fatal(err)
			}
			if stripped.Metadata != nil {
				t.Error("it changed the model")
			}
			var by []string
			for _, f := range found {
				by = append(by, f.By)
			}
			if text := strings.Join(by, " "); text != test.by {
				t.Errorf("recognised by %s, want %s", text, test.by)
			}
			d, err := record.Measure(t.Context(), got, origin)
			if err != nil {
				t.Fatal(err)
			}
			figures := func(l record.LayerDeviation) []any {
				return []any{l.Node, l.Norm, l.Distance, l.OffLocal, l.Bias, *l.FromCNN, l.Counts}
			}
			for i, l := range d.Layers {
				if !reflect.DeepEqual(figures(l), figures(want.Layers[i])) {
					t.Errorf("layer %d: got %v\nwant %v", i, figures(l), figures(want.Layers[i]))
				}
			}
		})
	}
}

func TestRecogniseRefuses(t *testing.T) {
	cnn := threeConvs()
	efcn := testnet.Written(t, cnn, convert.Options{Layout: record.Dense})
	lost := gone(efcn, func(i int, _ string) (string, string) { return fmt.Sprintf("n%d", i), fmt.Sprintf("m%d", i) })
	for want, names := range map[string]map[string]string{
		"it has no record, and neither name nor shape says which product is /second/Conv (32×32), /third/Conv (32×32); " +
			"there are n1 (32×32), n2 (32×32)": nil,
		`it has no product "n9" with a constant dense matrix`:          {"/third/Conv": "n9"},
		`"n0" is 32×16, and layer "/third/Conv" of the CNN is 32×32`:   {"/third/Conv": "n0"},
		`the CNN: it has no linear layer "/head/Gemm" with a kernel`:   {"/head/Gemm": "n3"},
		`the CNN: it has no linear layer "/fourth/Conv" with a kernel`: {"/fourth/Conv": "n1"},
	} {
		if _, _, _, err := convert.Recognise(lost, cnn, names); err == nil || err.Error() != want {
			t.Errorf("error %v\nwant %v", err, want)
		}
	}
	// Two layers cannot be one product.
	_, _, _, err := convert.Recognise(lost, cnn, map[string]string{"/second/Conv": "n1", "/third/Conv": "n1"})
	if open, ok := errors.AsType[*convert.UnrecognisedError](err); !ok || len(open.Layers) != 2 {
		t.Errorf("error %v, want one about both layers", err)
	}
	local := testnet.Written(t, cnn, convert.Options{Layout: record.Local})
	local.Metadata = nil
	if _, _, _, err := convert.Recognise(local, cnn, nil); err == nil || !strings.Contains(err.Error(), "no other product") {
		t.Errorf("error %v, want one that there is no product", err)
	}
}
