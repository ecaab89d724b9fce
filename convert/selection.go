package convert

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

// selectFrom plans a node whose output vector consists of elements of its input
// vector and, where the selection says outside, of fill.
func (pl *planner) selectFrom(n *onnxio.Node, output string, s affine.Selection, fill float32) (step, error) {
	out, err := pl.vector(output)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(out.dims, s.Dims) {
		return nil, fmt.Errorf("output %q has shape N×%v by shape inference, N×%v by its attributes", output, out.dims, s.Dims)
	}
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	fills := slices.Contains(s.From, affine.Outside)
	if fills && in.elem != onnxio.Float32 {
		return nil, keep("%s data; float32 is embedded", in.elem)
	}
	if !fills && len(s.From) == in.size() && isRange(s.From) {
		if in.elem == onnxio.Float32 {
			pl.noteView(n, output)
		}
		return func(b *builder) error {
			b.alias(n.Input(0), output)
			return nil
		}, nil
	}
	if in.elem == onnxio.Float32 {
		if !fills {
			fill = 0
		}
		pl.noteFactor(n, output, s.Factor(in.size(), fill), 0)
	}
	return func(b *builder) error {
		x := b.vec(n.Input(0))
		from := s.From
		if fills {
			// One more element, behind the vector, is what outside reads.
			x = b.appendElement(x, n.Input(0), fill)
			from = slices.Clone(from)
			for i, f := range from {
				if f == affine.Outside {
					from[i] = int64(in.size())
				}
			}
		}
		index := b.tensor(onnxio.NewTensor(output+".index", []int64{int64(len(from))}, from))
		name := b.nodeName(n)
		if output != n.Output(0) {
			name = b.unique(output + "/gather")
		}
		b.node(&onnxio.Node{
			Name: name, OpType: "Gather",
			Inputs: []string{x, index}, Outputs: []string{b.newVec(output)},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", 1)},
			Metadata:   n.Metadata,
		})
		return nil
	}, nil
}

// isRange says whether index is 0, 1, 2, …
func isRange(index []int64) bool {
	for i, v := range index {
		if v != int64(i) {
			return false
		}
	}
	return true
}

// appendElement puts one more element behind the vector x of the CNN's value
// name, for every image of the batch.
func (b *builder) appendElement(x, name string, fill float32) string {
	longer := b.unique(name + "/padded")
	t := b.vectorType(name)
	t.Shape[1].Value++
	b.declare(longer, t)
	return b.pad(x, longer, []int64{0, 0, 0, 1}, fill)
}

// pad appends a Pad with a constant, and returns its output.
func (b *builder) pad(x, output string, pads []int64, fill float32) string {
	node := &onnxio.Node{Name: b.unique(output + "/pad"), OpType: "Pad", Inputs: []string{x}, Outputs: []string{output}}
	if b.plan.model.Opset("") < 11 { // pads and value became inputs
		node.Attributes = []*onnxio.Attribute{onnxio.IntsAttr("pads", pads...), onnxio.FloatAttr("value", fill)}
	} else {
		node.Inputs = append(node.Inputs,
			b.tensor(onnxio.NewTensor(output+"/pads", []int64{int64(len(pads))}, pads)),
			b.tensor(onnxio.NewTensor(output+"/value", nil, []float32{fill})))
	}
	b.node(node)
	return output
}
