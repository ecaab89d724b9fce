package convert

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/convert/affine"
	"efcn/onnxio"
)

// convBN returns a model of a Conv 3→4 and a BatchNormalization behind it.
func convBN(rng *rand.Rand) (m *onnxio.Model, weights, bias []float32, bn [4][]float32) {
	one := []int64{1, 1}
	g := geometry{group: 1, inPerGroup: 3, outPerGroup: 4, in: []int64{5, 4}, kernel: []int64{3, 2}, stride: []int64{2, 1}, dilation: one, padBegin: one, padEnd: []int64{0, 1}}
	weights, bias = randoms(rng, 4*3*6), randoms(rng, 4)
	m = convModel(g, weights, bias)
	for i := range bn {
		bn[i] = randoms(rng, 4)
	}
	for i, v := range bn[3] {
		bn[3][i] = v*v + 0.1
	}
	node := &onnxio.Node{
		Name: "bn", OpType: "BatchNormalization", Inputs: []string{"y", "scale", "shift", "mean", "var"}, Outputs: []string{"z"},
		Attributes: []*onnxio.Attribute{onnxio.FloatAttr("epsilon", 0.01)},
	}
	for i, name := range []string{"scale", "shift", "mean", "var"} {
		m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor(name, []int64{4}, bn[i]))
	}
	m.Graph.Nodes = append(m.Graph.Nodes, node)
	m.Graph.Outputs[0].Name = "z"
	return m, weights, bias, bn
}

// TestBatchNormFolded checks that a folded entry is the product of the kernel's
// and the channel's factor rounded once: against arithmetic of 200 bits.
func TestBatchNormFolded(t *testing.T) {
	m, weights, bias, bn := convBN(rand.New(rand.NewPCG(7, 8)))
	plan, err := NewPlan(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Layers) != 1 || plan.Layers[0].Output != "z" || plan.Layers[0].Source != "y" {
		t.Fatalf("layers %+v, want one from y to z", plan.Layers)
	}
	exact := func(v float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(v) }
	got := plan.Layers[0].weights.(*affine.Map)
	for o := range 4 {
		root := new(big.Float).SetPrec(200).Sqrt(exact(0).Add(exact(float64(bn[3][o])), exact(float64(float32(0.01)))))
		factor := exact(0).Quo(exact(float64(bn[0][o])), root)
		for i := range 18 {
			want, _ := exact(0).Mul(exact(float64(weights[o*18+i])), factor).Float32()
			// The factor is rounded to float64 first, which can move a product
			// that lies within 2⁻⁵² of the middle between two float32.
			if v := got.Kernel[o*18+i]; v != want && math.Nextafter32(v, want) != want {
				t.Errorf("entry %d of channel %d is %v, want %v", i, o, v, want)
			}
		}
		b := exact(0).Sub(exact(float64(bias[o])), exact(float64(bn[2][o])))
		want, _ := b.Mul(b, factor).Add(b, exact(float64(bn[1][o]))).Float64()
		if math.Abs(float64(got.Bias[o])-want) > 0x1p-24*(math.Abs(want)+1e-3) {
			t.Errorf("bias %d is %v, want %v", o, got.Bias[o], want)
		}
	}
}

func TestBatchNormElsewhere(t *testing.T) {
	tests := []struct {
		name string
		opts Options
		edit func(m *onnxio.Model)
		ops  string
		want string // error
	}{
		{name: "folded", edit: func(*onnxio.Model) {}, ops: "Flatten Gemm Reshape"},
		{name: "not to be folded", opts: Options{NoFoldBN: true}, edit: func(*onnxio.Model) {}, ops: "Flatten Gemm Mul Add Reshape"},
		{name: "the convolution has another reader", edit: func(m *onnxio.Model) {
			m.Graph.Nodes = append(m.Graph.Nodes, &onnxio.Node{OpType: "Add", Inputs: []string{"y", "z"}, Outputs: []string{"sum"}})
			m.Graph.Outputs[0].Name = "sum"
		}, ops: "Flatten Gemm Mul Add Add Reshape"},
		{name: "the convolution leaves the graph", edit: func(m *onnxio.Model) {
			y := *m.Graph.Outputs[0]
			y.Name = "y"
			m.Graph.Outputs = append(m.Graph.Outputs, &y)
		}, ops: "Flatten Gemm Mul Add Reshape Reshape"},
		{name: "in training", edit: func(m *onnxio.Model) {
			bn := m.Graph.Nodes[1]
			bn.Attributes = append(bn.Attributes, onnxio.IntAttr("training_mode", 1))
		}, want: `node "bn" (BatchNormalization): training_mode 1`},
		{name: "in training, as before version 14", edit: func(m *onnxio.Model) {
			m.Opsets[0].Version = 9
			bn := m.Graph.Nodes[1]
			bn.Outputs = append(bn.Outputs, "running_mean", "running_var", "saved_mean", "saved_var")
		}, want: `node "bn" (BatchNormalization): it has output "running_mean", which only exists in training`},
		{name: "with names of outputs left empty", edit: func(m *onnxio.Model) {
			bn := m.Graph.Nodes[1]
			bn.Outputs = append(bn.Outputs, "", "")
		}, ops: "Flatten Gemm Reshape"},
		{name: "statistics of another number of channels", edit: func(m *onnxio.Model) {
			m.Graph.Nodes[1].Inputs[3] = "w"
		}, want: `node "bn" (BatchNormalization)`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, _, _, _ := convBN(rand.New(rand.NewPCG(7, 8)))
			test.edit(m)
			plan, err := NewPlan(m, test.opts)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error %v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			efcn, err := plan.Model()
			if err != nil {
				t.Fatal(err)
			}
			var ops []string
			for _, n := range efcn.Graph.Nodes {
				ops = append(ops, n.OpType)
			}
			if got := strings.Join(ops, " "); got != test.ops {
				t.Errorf("operators %s, want %s", got, test.ops)
			}
		})
	}
}
