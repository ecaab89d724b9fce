package record

import (
	"encoding/json"
	"fmt"
	"slices"

	"efcn/onnxio"
)

// As says in which floating-point type a model is embedded, if not its own.
type As string

// AsFloat32 embeds a CNN of float64, float16 or bfloat16 as one of float32.
const AsFloat32 As = "float32"

// Factor is one of the affine maps that a layer is the product of.
type Factor struct {
	Op   string `json:"op"`   // ONNX operator of the CNN's node
	Node string `json:"node"` // its label
	// Output names the value of the CNN that the node computes.
	Output string `json:"output"`
	// Level says which of the affine maps that a maximum is made of this is,
	// counted from 1, and Levels how many there are. Both are 0 for an operator
	// that is linear.
	Level  int `json:"level,omitempty"`
	Levels int `json:"levels,omitempty"`
}

// DefaultMaxBytes is how many bytes of weights an eFCN may have where an option gives
// no other bound.
const DefaultMaxBytes = 2 << 30

// Key is the key in an ONNX model's metadata_props under which an eFCN
// carries its Record.
const Key = "efcn"

// Version is the newest version of the record. Version 2 brought factors of
// layers, version 3 the shape of a constant factor, version 4 what the CNN was taken
// as: its type and the batch axes of its inputs, version 5 factored layers; a record is
// written as the lowest version that has what is in it. A reader refuses a newer version
// than it knows.
const Version = 5

// Write makes the record part of an eFCN, as the lowest version that has what is in
// it.
func (r *Record) Write(efcn *onnxio.Model) error {
	r.Version = r.version()
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	efcn.SetMeta(Key, string(text))
	return nil
}

// version is the lowest that has what is in the record.
func (r *Record) version() int {
	v := 1
	for _, l := range r.Layers {
		if l.Factors != nil {
			v = max(v, 2)
		}
		if l.FactorShape != nil {
			v = max(v, 3)
		}
	}
	if r.As != "" || len(r.BatchAxes) > 0 {
		v = 4
	}
	if slices.ContainsFunc(r.Layers, func(l Layer) bool { return l.Layout == Factored }) {
		v = 5
	}
	return v
}

// Record says what was embedded in an eFCN and how. It is a convenience for
// training masks, measurements and reports: verification recomputes every
// matrix from the CNN and trusts nothing in here but the names.
type Record struct {
	Version int `json:"version"`
	// As is the type that the CNN was converted to, if it was: what it says of the
	// eFCN is about the CNN in that type.
	As As `json:"as,omitempty"`
	// BatchAxes is convert.Options.BatchAxes: by input, which axis is the batch.
	BatchAxes map[string]int `json:"batch_axes,omitempty"`
	Layers    []Layer        `json:"layers"`
}

// Layer describes one embedded layer. Shapes leave the batch axis out.
type Layer struct {
	// Op is the ONNX operator that was embedded, such as "Conv", or "Product" where
	// several were multiplied together that have no kernel in common.
	Op string `json:"op"`
	// Node is the label of the node in the CNN, and of the node that replaces it. A
	// layer that is one level of a maximum is called by the node and the level; a
	// product has the name of one of its factors.
	Node string `json:"node"`
	// Source names the value that the operator computes in the CNN, of a product
	// that of the factor by which it is called.
	Source string `json:"source"`
	// Output names the value that the layer computes, in the CNN and in the
	// eFCN. It differs from Source where what follows was multiplied in.
	Output string `json:"output"`
	// Folded names, in order, the nodes of the CNN that were multiplied in.
	Folded []string `json:"folded,omitempty"`
	// Factors lists the affine maps that the layer is the product of, the first
	// applied first, where it is not the matrix of Op with a BatchNormalization or
	// without: of a product, and of a level of a maximum. Such a layer has no
	// kernel, and so no CNN subspace.
	Factors []Factor `json:"factors,omitempty"`

	Layout Layout `json:"layout"`
	// Weight is the initializer that holds the matrix: [out, in] where it is
	// dense or sparse, [group, position, out channel, slot] where it is local or
	// factored.
	Weight string `json:"weight"`
	Bias   string `json:"bias,omitempty"`  // initializer: [out]
	Index  string `json:"index,omitempty"` // local, factored: which inputs a position sees, [position, slot]

	// Of a factored layer: the matrix is what Weight holds plus U·V, also where both
	// have an entry. Left is the initializer U [out, rank], Right is V [rank, in].
	Rank  int64  `json:"rank,omitempty"`
	Left  string `json:"left,omitempty"`
	Right string `json:"right,omitempty"`

	InputShape  []int64 `json:"input_shape"`
	OutputShape []int64 `json:"output_shape"`

	// Of the source operator, as the geometry resolved them: pads are explicit
	// (begin then end per axis) whatever auto_pad said. Empty where the operator
	// has none.
	KernelShape []int64 `json:"kernel_shape,omitempty"`
	Strides     []int64 `json:"strides,omitempty"`
	Pads        []int64 `json:"pads,omitempty"`
	Dilations   []int64 `json:"dilations,omitempty"`
	Group       int64   `json:"group,omitempty"`
	// CountIncludePad says of an AveragePool that its averages count the padding.
	CountIncludePad bool `json:"count_include_pad,omitempty"`
	// Axes are those that a ReduceMean or ReduceSum reduces, 0 for the channels.
	// A record from before there were any is of a ReduceMean of all the others.
	Axes []int64 `json:"axes,omitempty"`
	// FactorShape is the shape of the constant that a MatMul multiplies a batch of
	// tensors with, and FactorFirst says that it is the first factor. A MatMul
	// without is of a batch of vectors with a matrix.
	FactorShape []int64 `json:"factor_shape,omitempty"`
	FactorFirst bool    `json:"factor_first,omitempty"`
}

// Read returns the record that m carries, or nil if it carries none.
func Read(m *onnxio.Model) (*Record, error) {
	text, ok := m.Meta(Key)
	if !ok {
		return nil, nil
	}
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, fmt.Errorf("metadata %q: %w", Key, err)
	}
	if r.Version < 1 || r.Version > Version {
		return nil, fmt.Errorf("metadata %q: version %d is not one this program reads (1 to %d)", Key, r.Version,
			Version)
	}
	return &r, nil
}
