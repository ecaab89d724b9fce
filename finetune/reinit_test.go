package finetune

import (
	"bytes"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/onnxio"
)

// Every weight that training changes is drawn anew, in every model and layout,
// and nothing else is.
func TestReinitCoversWhatIsTrained(t *testing.T) {
	compared := 0
	for _, name := range []string{
		"plain-torchscript", "lenet-dynamo", "resnet-torchscript", "keras-tf2onnx", "testdata/adaptive.onnx",
		"testdata/shuffle.onnx", "testdata/unet.onnx",
		"MatMul after a weight", "MatMul by a stack", "MatMul by a vector", "ConvTranspose groups",
	} {
		forms := map[string]*onnxio.Model{}
		if s, ok := mappedSketches()[name]; ok {
			forms["cnn"] = s.model(1)
		} else if strings.HasSuffix(name, ".onnx") {
			m, err := onnxio.Read(name)
			if err != nil {
				t.Fatal(err)
			}
			forms["cnn"], forms["local"] = m, embedAs(t, m, record.Local)
		} else {
			cnn := readModel(t, name)
			forms["cnn"], forms["unfolded"] = cnn, embedWith(t, cnn, convert.Options{NoFoldBN: true})
			if name != "resnet-torchscript" { // large, and no other kind of layer
				forms["dense"], forms["local"] = embedAs(t, cnn, record.Dense), embedAs(t, cnn, record.Local)
			}
		}
		for form, m := range forms {
			fresh, err := Reinit(m, 1)
			if err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
				continue
			}
			tr, err := newTrainee[float32](m, "*")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tr.network(2, false); err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{}
			for _, p := range tr.params {
				want[p.name] = true
			}
			for _, s := range tr.stats {
				want[s.name] = true
			}
			got := map[string]bool{}
			for i, init := range fresh.Graph.Initializers {
				old := tr.model.Graph.Initializer(init.Name)
				if old == nil {
					old = m.Graph.Initializers[i]
				}
				var a, b bytes.Buffer
				if _, err := old.Data.WriteTo(&a); err != nil {
					t.Fatal(err)
				}
				if _, err := init.Data.WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(a.Bytes(), b.Bytes()) {
					got[init.Name] = true
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s, %s: drew %v, training changes %v", name, form, slices.Sorted(maps.Keys(got)),
					slices.Sorted(maps.Keys(want)))
			}
			compared++
		}
	}
	if compared != 24 {
		t.Errorf("compared %d models, want 24", compared)
	}
}

// The distribution is that of PyTorch's Conv2d and Linear: uniform up to 1/√f.
func TestReinitDistribution(t *testing.T) {
	cnn := readModel(t, "plain-torchscript")
	for _, c := range []struct {
		what string
		m    *onnxio.Model
	}{
		{"cnn", cnn}, {"dense", embedAs(t, cnn, record.Dense)}, {"local", embedAs(t, cnn, record.Local)},
	} {
		m, err := Reinit(c.m, 3)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Reinit(c.m, 3)
		if err != nil {
			t.Fatal(err)
		}
		other, err := Reinit(c.m, 4)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encoded(t, m), encoded(t, again)) || bytes.Equal(encoded(t, m), encoded(t, other)) {
			t.Errorf("%s: the weights do not follow from the seed", c.what)
		}
		weights := 0
		for _, n := range m.Graph.Nodes {
			for i, name := range n.Inputs {
				w := m.Graph.Initializer(name)
				if w == nil || w.Type != onnxio.Float32 {
					continue
				}
				var fan int64
				switch {
				case n.OpType == "Conv":
					k := m.Graph.Initializer(n.Inputs[1])
					fan = k.Dims[1] * k.Dims[2] * k.Dims[3]
				case n.OpType == "Gemm": // all of the models have transB
					fan = m.Graph.Initializer(n.Inputs[1]).Dims[1]
				case n.OpType == "MatMul" && i == 0:
					fan = w.Dims[3]
				case n.OpType == "Add":
					product := slices.IndexFunc(m.Graph.Nodes, func(p *onnxio.Node) bool {
						return p.OpType == "MatMul" && strings.HasPrefix(name, strings.TrimSuffix(p.Inputs[0], ".weight"))
					})
					fan = m.Graph.Initializer(m.Graph.Nodes[product].Inputs[0]).Dims[3]
				default:
					continue
				}
				weights++
				values := floatsOf(t, m, name)
				if n.OpType == "MatMul" {
					values = slices.DeleteFunc(values, func(v float32) bool { return v == 0 }) // padding
				}
				checkUniform(t, c.what+" "+name, values, 1/math.Sqrt(float64(fan)))
			}
		}
		if weights != 6 {
			t.Errorf("%s: looked at %d initializers, want 6", c.what, weights)
		}
	}
}

// checkUniform compares values with the uniform distribution between -b and b
// (Kolmogorov and Smirnov: the distance of the distributions exceeds 2/√n once
// in 3,000 times) and sees that neighbours are not alike.
// A part of new weights is drawn alone, with the bits that it has in the whole.
func TestReinitByParts(t *testing.T) {
	for _, n := range []uint64{0, 1, 2, 3, 1000, 12345} {
		plain, jumped := rand.NewPCG(7, 9), rand.NewPCG(7, 9)
		for range n {
			plain.Uint64()
		}
		if advance(jumped, n); plain.Uint64() != jumped.Uint64() {
			t.Errorf("after %d numbers", n)
		}
	}
	parts := 0
	for _, m := range []*onnxio.Model{toyModel(), embed(t, toyModel()), embedAs(t, toyModel(), record.Local)} {
		fresh, err := Reinit(m, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, init := range fresh.Graph.Initializers {
			var whole, part bytes.Buffer
			if _, err := init.Data.WriteTo(&whole); err != nil {
				t.Fatal(err)
			}
			size := init.Type.Size()
			off := init.Data.Len() / 3 / size * size
			if _, err := onnxio.Section(init.Data, off, init.Data.Len()-off).WriteTo(&part); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(part.Bytes(), whole.Bytes()[off:]) {
				t.Errorf("%q from byte %d is not what it is in the whole", init.Name, off)
			}
			parts++
		}
	}
	if parts < 20 {
		t.Errorf("%d parts", parts)
	}
}

func checkUniform(t *testing.T, what string, values []float32, b float64) {
	t.Helper()
	n := float64(len(values))
	var product, squares float64
	for i, v := range values[1:] {
		product += float64(v) * float64(values[i])
		squares += float64(v) * float64(v)
	}
	if r := product / squares; math.Abs(r) > 5/math.Sqrt(n) {
		t.Errorf("%s: neighbours correlate by %g", what, r)
	}
	sorted := slices.Sorted(slices.Values(values))
	for i, v := range sorted {
		if d := (float64(v)/b+1)/2 - (float64(i)+0.5)/n; math.Abs(d) > 2/math.Sqrt(n) {
			t.Fatalf("%s: value %d of %d in order is %g of the bound %g", what, i, len(values), v, b)
		}
	}
	if math.Abs(float64(sorted[0])) > b || float64(sorted[len(sorted)-1]) > b {
		t.Errorf("%s: from %g to %g, beyond %g", what, sorted[0], sorted[len(sorted)-1], b)
	}
}

func TestReinitNormalization(t *testing.T) {
	trained, err := Train(t.Context(), toyModel(), toySet(50, 1), nil, Options{Epochs: 1, Batch: 25}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Reinit(trained, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{
		"scale": {1, 1, 1}, "bias": {0, 0, 0}, "mean": {0, 0, 0},
		"var": {1, 1, 1}, "half": {0.5},
	} {
		if got := floatsOf(t, m, name); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// The modules of PyTorch start so, as they are, written out and laid out along a
// vector.
func TestReinitOfNormalizations(t *testing.T) {
	set := 0
	convnext := map[string]float32{
		"1.norm.weight": 1, "1.norm.bias": 0, "2.norm.weight": 1, "2.norm.bias": 0,
		"3.norm.weight": 1, "3.norm.bias": 0, "5.weight": 1, "5.bias": 0,
	}
	for name, want := range map[string]map[string]float32{
		"convnext-dynamo":  convnext,
		"convnext-opset13": convnext,
		"norms-torchscript": {
			"4.weight": 1, "4.bias": 0, "onnx::Mul_44": 1, "onnx::Add_45": 0, "onnx::PRelu_46": 0.25,
			"onnx::PRelu_47": 0.25,
		},
		"norms-dynamo": {"4.weight": 1, "4.bias": 0, "val_22": 1, "val_24": 0, "val_26": 0.25, "val_27": 0.25},
	} {
		cnn, err := onnxio.Read("testdata/nets/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		for form, m := range map[string]*onnxio.Model{
			"cnn": cnn, "dense": embedAs(t, cnn, record.Dense),
			"local": embedAs(t, cnn, record.Local),
		} {
			fresh, err := Reinit(m, 1)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, form, err)
			}
			for c, v := range want {
				if fresh.Graph.Initializer(c) == nil {
					c += ".vec"
				}
				values := floatsOf(t, fresh, c)
				if !slices.Equal(values, slices.Repeat([]float32{v}, len(values))) {
					t.Errorf("%s, %s: %s has %v, want %v everywhere", name, form, c, values, v)
				}
				set++
			}
		}
	}
	if want := 3 * (8 + 8 + 6 + 6); set != want {
		t.Errorf("looked at %d initializers, want %d", set, want)
	}
}

func TestReinitRefuses(t *testing.T) {
	odd := toyModel()
	odd.Graph.Nodes[3] = apply("Add", "r odd", "h")
	odd.Graph.Initializers = append(odd.Graph.Initializers, onnxio.NewTensor("odd", []int64{3, 1, 1}, []float32{1, 2, 3}))
	if _, err := Reinit(odd, 0); err == nil ||
		!strings.Contains(err.Error(), `constant "odd" is neither the bias of a matrix product nor of a normalisation`) {
		t.Error(err)
	}
	none := identityModel(3)
	if _, err := Reinit(none, 0); err == nil || !strings.Contains(err.Error(), "no") {
		t.Error(err)
	}
}
