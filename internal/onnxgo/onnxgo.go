// Package onnxgo runs models in another Go engine, onnx-go with its gorgonnx
// backend, as a second opinion on what a dense eFCN computes.
//
// onnx-go reads neither external data nor sparse tensors, ignores operator-set
// versions and the group attribute, and misreads asymmetric pads. [Check] refuses
// what it would compute otherwise than ONNX says; a dense eFCN and plain CNNs
// are left.
package onnxgo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/x/gorgonnx"
	"gorgonia.org/tensor"

	"efcn/onnxio"
)

// Run computes the outputs of m, in the order of the graph, from float32
// inputs in the order of Graph.FeedInputs. What onnx-go does not support is
// an error, of which Check names the node.
//
// The batch has to be larger than one: of one sample, gorgonnx adds the result
// of a Gemm to the model's own bias.
func Run(m *onnxio.Model, inputs []*onnxio.Tensor) (outputs []*onnxio.Tensor, err error) {
	// It panics on what it does not expect.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("onnx-go: %v", r)
		}
	}()
	if err := Check(m); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := onnxio.WriteTo(&b, plain(m)); err != nil {
		return nil, err
	}
	graph := gorgonnx.NewGraph()
	model := onnx.NewModel(graph)
	if err := model.UnmarshalBinary(b.Bytes()); err != nil {
		return nil, says(m, err)
	}
	if len(inputs) != len(model.Input) {
		return nil, fmt.Errorf("%d inputs; the model has %d", len(inputs), len(model.Input))
	}
	for i, in := range inputs {
		if len(in.Dims) == 0 || in.Dims[0] < 2 {
			return nil, fmt.Errorf("input %q: shape %v; want a batch of at least 2", in.Name, in.Dims)
		}
		values, err := onnxio.Floats[float32](in)
		if err != nil {
			return nil, err
		}
		shape := make(tensor.Shape, len(in.Dims))
		for j, d := range in.Dims {
			shape[j] = int(d)
		}
		if err := model.SetInput(i, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))); err != nil {
			return nil, fmt.Errorf("onnx-go: %w", err)
		}
	}
	if err := graph.Run(); err != nil {
		return nil, says(m, err)
	}
	results, err := model.GetOutputTensors()
	if err != nil {
		return nil, fmt.Errorf("onnx-go: %w", err)
	}
	for i, r := range results {
		values, ok := r.Data().([]float32)
		if !ok {
			return nil, errors.New("onnx-go: an output is not float32")
		}
		dims := make([]int64, r.Dims())
		for j, d := range r.Shape() {
			dims[j] = int64(d)
		}
		outputs = append(outputs, onnxio.NewTensor(m.Graph.Outputs[i].Name, dims, values))
	}
	return outputs, nil
}

// says is an error of onnx-go, of the first node of the operator that it names.
func says(m *onnxio.Model, err error) error {
	var unknown *onnx.ErrNotImplemented
	if errors.As(err, &unknown) {
		for _, n := range m.Graph.Nodes {
			if name, _, _ := strings.Cut(unknown.Operator, " "); strings.EqualFold(n.OpType, name) {
				return n.Errorf("onnx-go: %w", err)
			}
		}
	}
	return fmt.Errorf("onnx-go: %w", err)
}
