package restore

import (
	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// operation is the way back to an operator of the CNN.
type operation struct {
	// of completes the node, which has the layer's name and operator and no inputs
	// and outputs yet, so that it computes the projection m of the layer; weights are
	// none for a pooling. ok is false if no single operator does.
	of func(l *record.Layer, m *affine.Map, n *onnxio.Node, opset int64) (weights *onnxio.Tensor, ok bool, err error)
	// dims returns the shape that the node computes; nil for the layer's output shape.
	dims func(l *record.Layer) []int64
}

// operations is the table of the operators that a layer can become again. It is filled
// by init functions, one file an operator, and not changed afterwards.
var operations = map[string]operation{}

// operatorOf returns the node, without inputs and outputs, that computes the
// projection m of the layer, and its weights: none for a pooling. The node is
// nil if no single operator does.
func operatorOf(l *record.Layer, m *affine.Map, opset int64) (*onnxio.Node, *onnxio.Tensor, error) {
	n := &onnxio.Node{Name: l.Node, OpType: l.Op}
	if l.Node == l.Source { // it had no name of its own
		n.Name = ""
	}
	weights, ok, err := operations[l.Op].of(l, m, n, opset)
	if err != nil || !ok {
		return nil, nil, err
	}
	return n, weights, nil
}

// hasBias reports whether the map adds anything but zeros.
func hasBias(m *affine.Map) bool {
	for _, b := range m.Bias {
		if b != 0 {
			return true
		}
	}
	return false
}
