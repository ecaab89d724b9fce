package convert

import (
	"slices"

	"efcn/onnxio"
)

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
