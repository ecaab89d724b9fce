package relax_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/finetune/relax"
	"efcn/onnxio"
)

// toySet has images with a bright square, whose class is the quarter that it
// lies in.
func toySet(n int, seed uint64) *data.Set {
	rng := rand.New(rand.NewPCG(seed, 3))
	s := &data.Set{X: make([]float32, n*36), Shape: []int{1, 6, 6}, Labels: make([]int, n), Classes: 4}
	for i := range n {
		s.Labels[i] = rng.IntN(4)
		image := s.X[i*36 : (i+1)*36]
		for k := range image {
			image[k] = float32(0.4 * rng.NormFloat64())
		}
		y, x := 3*(s.Labels[i]/2)+rng.IntN(2), 3*(s.Labels[i]%2)+rng.IntN(2)
		for _, at := range []int{6*y + x, 6*y + x + 1, 6*y + x + 6, 6*y + x + 7} {
			image[at]++
		}
	}
	return s
}

// toyCNN is conv 3×3 of 2 channels, ReLU, MaxPool 2, and a linear layer.
func toyCNN(seed uint64) *onnxio.Model {
	rng := rand.New(rand.NewPCG(seed, 5))
	noise := func(name string, dims ...int64) *onnxio.Tensor {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(0.3 * rng.NormFloat64())
		}
		return onnxio.NewTensor(name, dims, v)
	}
	value := func(name string, dims ...int64) *onnxio.ValueInfo {
		v := &onnxio.ValueInfo{
			Name: name,
			Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N")}},
		}
		for _, d := range dims {
			v.Type.Shape = append(v.Type.Shape, onnxio.Fixed(d))
		}
		return v
	}
	node := func(op, inputs, output string, attributes ...*onnxio.Attribute) *onnxio.Node {
		return &onnxio.Node{
			Name: op + "_" + output, OpType: op, Inputs: strings.Fields(inputs), Outputs: []string{output},
			Attributes: attributes,
		}
	}
	return &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, ProducerName: "toy",
		Graph: &onnxio.Graph{
			Name: "toy", Inputs: []*onnxio.ValueInfo{value("x", 1, 6, 6)}, Outputs: []*onnxio.ValueInfo{value("y", 4)},
			Initializers: []*onnxio.Tensor{noise("k", 2, 1, 3, 3), noise("kb", 2), noise("w", 4, 8), noise("wb", 4)},
			Nodes: []*onnxio.Node{
				node("Conv", "x k kb", "c"),
				node("Relu", "c", "r"),
				node("MaxPool", "r", "p", onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2)),
				node("Flatten", "p", "f"),
				node("Gemm", "f w wb", "y", onnxio.IntAttr("transB", 1)),
			},
		},
	}
}

// toyStudy has two seeds, three relax times, and the kinds of runs that it is given.
func toyStudy(with ...relax.Kind) *relax.Study {
	return &relax.Study{
		CNN: toyCNN(1), Data: toySet(60, 1), Test: toySet(40, 2),
		Options: relax.Options{
			Train: finetune.Options{Epochs: 2, Batch: 20, Rate: 0.1, Seed: 7}, RelaxEpochs: []int{
				0, 1,
				3,
			}, Seeds: 2, With: with, Reinit: true,
		},
	}
}

func run(t *testing.T, s *relax.Study, dir string) *relax.Folder {
	t.Helper()
	f, err := s.Run(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
