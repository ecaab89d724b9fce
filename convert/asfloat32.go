package convert

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

// OtherTypeError says that no linear layer can be embedded, because their data are
// of a floating-point type that is not embedded.
type OtherTypeError struct {
	Node string // the first such layer
	Op   string
	Type onnxio.DataType
}

func (e *OtherTypeError) Error() string {
	return fmt.Sprintf("node %q (%s): its data are %s, and only float32 is embedded; converted as a whole to float32, which rounds the weights, it would be", e.Node, e.Op, e.Type)
}

// checkTypes returns an *OtherTypeError if nothing is embedded and a layer of
// another floating-point type is why.
func (p *Plan) checkTypes() error {
	if p.Coverage.Embedded > 0 {
		return nil
	}
	for _, n := range p.model.Graph.Nodes {
		at := slices.IndexFunc(p.Coverage.NotEmbedded, func(k Kept) bool { return k.Node == n.Label() })
		if at < 0 {
			continue
		}
		if t, ok := p.info.Type(n.Output(0)); ok && t.Elem.IsFloat() && t.Elem != onnxio.Float32 {
			return &OtherTypeError{Node: n.Label(), Op: n.QualifiedOp(), Type: t.Elem}
		}
	}
	return nil
}
