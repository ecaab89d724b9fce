package finetune

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/convert/record"
	"efcn/onnxio"
)

// productModel is a CNN that multiplies tensors with constants, from behind with a
// matrix for each channel and from before with one for all.
func productModel() *onnxio.Model {
	m := toyModel()
	rng := rand.New(rand.NewPCG(4, 7))
	m.Graph.Initializers = append(m.Graph.Initializers, noise32(rng, "behind", 0.5, 3, 4, 5),
		noise32(rng, "before", 0.5, 2, 4), noise32(rng, "w2", 0.2, 30, 4))
	m.Graph.Nodes = slices.Concat(m.Graph.Nodes[:3], []*onnxio.Node{
		apply("MatMul", "r behind", "b"),
		apply("Relu", "b", "br"),
		apply("MatMul", "before br", "a"),
		apply("Flatten", "a", "f"),
	}, m.Graph.Nodes[5:])
	m.Graph.Nodes[7].Inputs[1] = "w2"
	return m
}

// TestTrainTiedProducts: weights that several places of a tensor share stay one
// weight, which follows the mean of their gradients.
func TestTrainTiedProducts(t *testing.T) {
	for _, layout := range []record.Layout{record.Dense, record.Local} {
		m := embedAs(t, productModel(), layout)
		trained, err := Train(t.Context(), m, toySet(40, 3), nil, Options{Train: TrainTied, Epochs: 2, Batch: 10}, nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := record.Measure(t.Context(), trained, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d.Distance != 0 || d.OffLocal != 0 {
			t.Errorf("%s: it left the CNN subspace: %+v", layout, d)
		}
		for _, l := range d.Layers {
			if slices.Equal(floatsOf(t, m, l.Weight), floatsOf(t, trained, l.Weight)) {
				t.Errorf("%s: the weights of %s did not move", layout, l.Node)
			}
		}
	}

	m := embed(t, productModel())
	_, free := mustTraineeOf[float64](t, m, TrainAll)
	tied, held := mustTraineeOf[float64](t, m, TrainTied)
	for _, n := range []*network[float64]{free, held} {
		fill(n, 1)
		if err := n.run(); err != nil {
			t.Fatal(err)
		}
	}
	// The coefficient of an entry by the definition of the product; -1 outside.
	coefficient := map[string]func(row, col int) int{
		"MatMul_b": func(row, col int) int { // y[c,i,j] = Σ x[c,i,k]·w[c,k,j]
			if row/5 != col/4 {
				return -1
			}
			return row/20*20 + col%4*5 + row%5
		},
		"MatMul_a": func(row, col int) int { // y[c,i,j] = Σ w[i,k]·x[c,k,j]
			if row/10 != col/20 || row%5 != col%5 {
				return -1
			}
			return row/5%2*4 + col/5%4
		},
	}
	rec, err := record.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i, p := range tied.params {
		g, full := elements[float64](held.reads[i].node.Value()), elements[float64](free.reads[i].node.Value())
		p.restrict(g)
		for _, l := range rec.Layers {
			of := coefficient[l.Node]
			if l.Weight != p.name || of == nil {
				continue
			}
			cols := int(l.InputShape[0] * l.InputShape[1] * l.InputShape[2])
			sums, counts := map[int]float64{}, map[int]float64{}
			for k, v := range full {
				c := of(k/cols, k%cols)
				sums[c] += v
				counts[c]++
			}
			for k, v := range g {
				want := 0.0
				if c := of(k/cols, k%cols); c >= 0 {
					want = sums[c] / counts[c]
				}
				if math.Abs(v-want) > 1e-14 {
					t.Fatalf("%s: gradient %d is %g, want %g", l.Node, k, v, want)
				}
				compared++
			}
		}
	}
	if want := 60*48 + 30*60; compared != want {
		t.Errorf("compared %d entries, want %d", compared, want)
	}
}
