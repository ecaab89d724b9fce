package onnxio_test

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"efcn/onnxio"
)

// Read a model, look at its first convolution, change a weight, and write it
// with the weights in a file of their own.
func Example() {
	m, err := onnxio.Read("../testdata/models/plain-torchscript/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Check(); err != nil {
		log.Fatal(err)
	}
	conv := m.Graph.Nodes[0]
	strides, err := conv.Ints("strides")
	if err != nil {
		log.Fatal(err)
	}
	weights := m.Graph.Initializer(conv.Input(1))
	fmt.Println(conv.OpType, weights.Dims, strides)

	values, err := onnxio.Floats[float32](weights)
	if err != nil {
		log.Fatal(err)
	}
	values[0] = 0
	for i, t := range m.Graph.Initializers {
		if t == weights {
			m.Graph.Initializers[i] = onnxio.NewTensor(t.Name, t.Dims, values)
		}
	}

	dir, err := os.MkdirTemp("", "onnxio")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w, err := onnxio.Write(filepath.Join(dir, "out.onnx"), m, onnxio.WriteOptions{External: onnxio.ExternalAlways})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(filepath.Base(w.Path), filepath.Base(w.DataPath))
	// Output:
	// Conv [4 1 3 3] [2 2]
	// out.onnx out.onnx.data
}

// Walk a graph along its links: the chain of nodes from a convolution to the output,
// and their weights.
func ExampleGraph_Links() {
	m, err := onnxio.Read("../testdata/models/plain-torchscript/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	links := m.Graph.Links()
	n := links.Producer(m.Graph.Nodes[0].Output(0))
	for n != nil {
		fmt.Printf("%s %q\n", n.OpType, n.Input(1))
		n = links.SoleReader(n.Output(0))
	}
	// Output:
	// Conv "conv1.weight"
	// Relu ""
	// Conv "conv2.weight"
	// Relu ""
	// Flatten ""
	// Gemm "fc.weight"
}

// Remove what an output does not need: here all that follows the first node.
func ExampleGraph_Prune() {
	m, err := onnxio.Read("../testdata/models/plain-torchscript/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	cut := m.Clone()
	cut.Graph.Outputs = []*onnxio.ValueInfo{{Name: m.Graph.Nodes[0].Output(0)}}
	cut.Graph.Prune()
	fmt.Println(len(m.Graph.Nodes), len(m.Graph.Initializers), "nodes and initializers")
	fmt.Println(len(cut.Graph.Nodes), len(cut.Graph.Initializers), "are left")
	// Output:
	// 6 6 nodes and initializers
	// 1 2 are left
}

// Read a matrix row by row: only one row is in memory at a time.
func ExampleFloatBlocks() {
	matrix := onnxio.NewTensor("w", []int64{2, 3}, []float32{1, 2, 3, 4, 5, 6})
	for row, err := range onnxio.FloatBlocks[float64](matrix, 3) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(row)
	}
	// Output:
	// [1 2 3]
	// [4 5 6]
}

// The content of a tensor can be made while it is written: this one is never in
// memory as a whole.
func ExampleGenerate() {
	const n = 1 << 20
	zeros := &onnxio.Tensor{
		Name: "zeros",
		Type: onnxio.Uint8,
		Dims: []int64{n},
		Data: onnxio.Generate(n, func(w io.Writer) error {
			row := make([]byte, 1024)
			for range n / len(row) {
				if _, err := w.Write(row); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	m := &onnxio.Model{
		IRVersion: 8,
		Opsets:    []onnxio.Opset{{Version: 17}},
		Graph:     &onnxio.Graph{Name: "g", Initializers: []*onnxio.Tensor{zeros}},
	}
	bytes, err := onnxio.WriteTo(io.Discard, m)
	fmt.Println(bytes > n, err)
	// Output:
	// true <nil>
}
