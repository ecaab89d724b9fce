package onnxgo

import (
	"errors"
	"fmt"
	"slices"

	"efcn/onnxio"
)

// rule says what has to hold of a node for onnx-go to compute what ONNX says.
type rule struct {
	attributes []string // those that it reads, or that change nothing where legal allows them
	legal      func(n *onnxio.Node) error
}

// supported are the operators that onnx-go v0.5.0 was seen to compute rightly, as
// far as these rules go. It takes more, and computes something else: it pads as
// the first pads say, does not know group, ceil_mode or auto_pad, and takes two
// inputs of one name for one.
var supported = map[string]rule{
	"Add":                {legal: distinct},
	"BatchNormalization": {attributes: []string{"epsilon", "momentum", "training_mode"}, legal: zero("training_mode")},
	"Concat":             {attributes: []string{"axis"}, legal: distinct},
	"Constant":           {attributes: []string{"value"}},
	"Conv": {
		attributes: []string{"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"},
		legal:      window,
	},
	"Dropout":           {attributes: []string{"ratio", "seed"}, legal: oneInput},
	"Flatten":           {attributes: []string{"axis"}, legal: axisOne},
	"Gemm":              {attributes: []string{"alpha", "beta", "transA", "transB"}, legal: biased},
	"GlobalAveragePool": {},
	"Identity":          {},
	"LeakyRelu":         {attributes: []string{"alpha"}},
	"MatMul":            {legal: distinct},
	"MaxPool": {attributes: []string{
		"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads",
		"storage_order", "strides",
	}, legal: pooling},
	"Mul":       {legal: distinct},
	"Relu":      {},
	"Reshape":   {attributes: []string{"allowzero"}, legal: zero("allowzero")},
	"Sigmoid":   {},
	"Tanh":      {},
	"Transpose": {attributes: []string{"perm"}},
}

// plain returns m without what onnx-go refuses to read though it says nothing.
func plain(m *onnxio.Model) *onnxio.Model {
	m = m.Clone()
	for _, n := range m.Graph.Nodes {
		if n.OpType == "MaxPool" {
			n.Attributes = slices.DeleteFunc(n.Attributes,
				func(a *onnxio.Attribute) bool { return a.Name == "dilations" })
		}
	}
	return m
}

// Check names every node that onnx-go cannot be trusted with (errors.Join of
// onnxio.NodeError); nil if there is none.
func Check(m *onnxio.Model) error {
	var all []error
	if len(m.Functions) > 0 || len(m.Graph.SparseInitializers) > 0 {
		all = append(all, errors.New("onnx-go knows neither functions nor sparse tensors"))
	}
	for _, n := range m.Graph.Nodes {
		if err := check(n); err != nil {
			all = append(all, n.Errorf("onnx-go does not support %w", err))
		}
	}
	return errors.Join(all...)
}

func check(n *onnxio.Node) error {
	r, ok := supported[n.OpType]
	if !ok || onnxio.CanonicalDomain(n.Domain) != "" {
		return errors.New("the operator")
	}
	for _, a := range n.Attributes {
		if !slices.Contains(r.attributes, a.Name) {
			return fmt.Errorf("attribute %s", a.Name)
		}
	}
	for _, name := range n.Outputs[min(1, len(n.Outputs)):] {
		if name != "" {
			return errors.New("a second output")
		}
	}
	if r.legal == nil {
		return nil
	}
	return r.legal(n)
}

func distinct(n *onnxio.Node) error {
	for i, name := range n.Inputs {
		if slices.Contains(n.Inputs[:i], name) {
			return errors.New("an input that is there twice")
		}
	}
	return nil
}

func oneInput(n *onnxio.Node) error {
	if len(n.Inputs) != 1 {
		return fmt.Errorf("%d inputs; want one", len(n.Inputs))
	}
	return nil
}

func zero(name string) func(n *onnxio.Node) error {
	return func(n *onnxio.Node) error {
		v, err := n.Int(name, 0)
		if err == nil && v != 0 {
			err = fmt.Errorf("%s %d; want 0", name, v)
		}
		return err
	}
}

func axisOne(n *onnxio.Node) error {
	axis, err := n.Int("axis", 1)
	if err == nil && axis != 1 {
		err = fmt.Errorf("axis %d; want 1", axis)
	}
	return err
}

func biased(n *onnxio.Node) error {
	if len(n.Inputs) != 3 || n.Input(2) == "" {
		return errors.New("a product without a bias")
	}
	if err := zero("transA")(n); err != nil {
		return err
	}
	return distinct(n)
}

func window(n *onnxio.Node) error {
	group, err := n.Int("group", 1)
	if err != nil {
		return err
	}
	if group != 1 {
		return fmt.Errorf("group %d; want 1", group)
	}
	autoPad, err := n.String("auto_pad", "NOTSET")
	if err != nil {
		return err
	}
	if autoPad != "NOTSET" {
		return fmt.Errorf("auto_pad %s; want pads", autoPad)
	}
	kernel, err := n.Ints("kernel_shape")
	if err != nil {
		return err
	}
	if len(kernel) != 2 {
		return errors.New("a window other than of two dimensions, with its kernel_shape")
	}
	pads, err := n.Ints("pads")
	if err != nil {
		return err
	}
	for _, p := range pads {
		if p != pads[0] {
			return fmt.Errorf("pads %v; want the same on all sides", pads)
		}
	}
	return nil
}

func pooling(n *onnxio.Node) error {
	for _, name := range []string{"ceil_mode", "storage_order"} {
		if err := zero(name)(n); err != nil {
			return err
		}
	}
	dilations, err := n.Ints("dilations")
	if err != nil {
		return err
	}
	for _, d := range dilations {
		if d != 1 {
			return fmt.Errorf("dilations %v; want 1", dilations)
		}
	}
	return window(n)
}
