package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/finetune"
	"efcn/onnxio"
)

// comparison is one net of ours and the PyTorch nets that it is held against.
type comparison struct {
	model func() (*onnxio.Model, error)
	peers []string // names in step_pytorch.py
	train string   // what is trained; all by default
	own   []string // other nets of ours
	batch int
}

// comparisons are the values of -net.
var comparisons = map[string]comparison{
	"strided": {func() (*onnxio.Model, error) { return strided(), nil }, []string{"strided"}, "", nil, 250},
	"efcn": {
		func() (*onnxio.Model, error) { return embedded(record.Dense) }, []string{"authors", "folded"}, "", nil, 250,
	},
	"elcn": {
		func() (*onnxio.Model, error) { return embedded(record.Local) },
		[]string{"unfold, bmm", "views, bmm", "rows, bmm", "sparse CSR"},
		finetune.TrainLocal, nil, 250,
	},
	"sparse": {
		func() (*onnxio.Model, error) { return embedded(record.Sparse) },
		[]string{"sparse CSR", "rows, bmm"},
		finetune.TrainLocal,
		[]string{"elcn"},
		250,
	},
	"factored": {func() (*onnxio.Model, error) { return embedded(record.Factored) }, nil, "", []string{"elcn"}, 250},
	"cnn": {
		func() (*onnxio.Model, error) { return skinny(), nil }, []string{"cnn", "cnn, channels last"}, "", nil, 250,
	},
	"resnet": {
		func() (*onnxio.Model, error) { return residual(1), nil }, []string{"resnet", "resnet, channels last"}, "", nil, 250,
	},
	"resnet20": {
		func() (*onnxio.Model, error) { return residual(3), nil },
		[]string{"resnet20", "resnet20, channels last"},
		"", nil,
		128,
	},
	"mobilenet": {
		func() (*onnxio.Model, error) { return mobile(), nil },
		[]string{"mobilenet", "mobilenet, channels last"},
		"", nil,
		128,
	},
}

// sketcher makes a model with random weights, node after node; at is the name
// of the value that the next node reads.
type sketcher struct {
	*onnxio.Graph
	rng *rand.Rand
	at  string
}

func newSketcher(name string, shape ...int64) *sketcher {
	return &sketcher{
		Graph: &onnxio.Graph{Name: name, Inputs: []*onnxio.ValueInfo{batchOf("input", shape...)}},
		rng:   rand.New(rand.NewPCG(1, 1)), at: "input",
	}
}

func batchOf(name string, shape ...int64) *onnxio.ValueInfo {
	dims := onnxio.Shape{onnxio.Symbol("batch")}
	for _, d := range shape {
		dims = append(dims, onnxio.Fixed(d))
	}
	return &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: dims}}
}

// node appends a node; weights, unless nil, are the dimensions of its kernel or
// matrix, of which the first is that of its bias.
func (s *sketcher) node(op string, weights []int64, attributes ...*onnxio.Attribute) {
	name := op + strconv.Itoa(len(s.Nodes))
	inputs := []string{s.at}
	if weights != nil {
		out, size := weights[0], int64(1)
		for _, d := range weights {
			size *= d
		}
		w := make([]float32, size)
		for i := range w {
			w[i] = float32(s.rng.NormFloat64() * math.Sqrt(2*float64(out)/float64(size)))
		}
		s.Initializers = append(s.Initializers,
			onnxio.NewTensor(name+".weight", weights, w), onnxio.NewTensor(name+".bias", []int64{out}, make([]float32, out)))
		inputs = append(inputs, name+".weight", name+".bias")
	}
	s.at = fmt.Sprintf("v%d", len(s.Nodes))
	s.Nodes = append(s.Nodes,
		&onnxio.Node{Name: name, OpType: op, Inputs: inputs, Outputs: []string{s.at}, Attributes: attributes})
}

func (s *sketcher) model(classes int64) *onnxio.Model {
	s.Outputs = []*onnxio.ValueInfo{batchOf(s.at, classes)}
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: s.Graph}
}

// strided is the eFCN, as efcn convert writes it, of a CNN on 32×32×3 images
// with three 3×3 convolutions of stride 2 to 12, 24 and 48 channels and a
// linear classifier.
func strided() *onnxio.Model {
	s := newSketcher("strided", 3, 32, 32)
	s.node("Flatten", nil)
	widths := []int64{3072, 3072, 1536, 768, classes}
	for i, out := range widths[1:] {
		if i > 0 {
			s.node("Relu", nil)
		}
		s.node("Gemm", []int64{out, widths[i]}, onnxio.IntAttr("transB", 1))
	}
	return s.model(classes)
}

// skinny is the net of 64 channels and three convolutions of the eFCN paper
// (arXiv 1906.06766) as exporters write SkinnyCNNPrime in models.py of the authors'
// code, github.com/sdascoli/anarchitectural-search: padding is Pad nodes.
func skinny() *onnxio.Model {
	const channels = 64
	s := newSketcher("skinny", 3, 32, 32)
	for _, c := range []struct{ in, kernel, stride, pad int64 }{{3, 4, 2, 2}, {channels, 5, 1, 2}, {channels, 3, 1, 1}} {
		s.pad(c.pad)
		s.node("Conv", []int64{channels, c.in, c.kernel, c.kernel}, onnxio.IntsAttr("strides", c.stride, c.stride))
		s.node("Relu", nil)
		s.node("MaxPool", nil, onnxio.IntsAttr("kernel_shape", 3, 3), onnxio.IntsAttr("strides", 2, 2))
	}
	s.node("Flatten", nil)
	s.node("Gemm", []int64{classes, channels}, onnxio.IntAttr("transB", 1))
	return s.model(classes)
}

// pad appends a Pad of images by so many pixels of zero on every side.
func (s *sketcher) pad(by int64) {
	s.node("Pad", nil)
	n := s.Nodes[len(s.Nodes)-1]
	n.Inputs = append(n.Inputs, n.Name+".pads")
	s.Initializers = append(s.Initializers,
		onnxio.NewTensor(n.Name+".pads", []int64{8}, []int64{0, 0, by, by, 0, 0, by, by}))
}

// embedded is skinny in FC space: its dense eFCN, its eLCN in local or sparse form, or
// the local form and factors of rank 32.
func embedded(layout record.Layout) (*onnxio.Model, error) {
	p, err := convert.NewPlan(skinny(), convert.Options{Layout: layout})
	if err != nil {
		return nil, err
	}
	return p.Model()
}

// weights counts the floating-point elements of a model's constants.
func weights(m *onnxio.Model) int64 {
	total, constants := int64(0), slices.Clone(m.Graph.Initializers)
	for _, s := range m.Graph.SparseConstants() {
		constants = append(constants, s.Values)
	}
	for _, t := range constants {
		if t.Type.IsFloat() {
			total += t.Data.Len() / t.Type.Size()
		}
	}
	return total
}
