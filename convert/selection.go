package convert

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

// selectFrom plans a node whose output vector consists of elements of its input
// vector and, where the selection says outside, of fill.
func (pl *planner) selectFrom(n *onnxio.Node, output string, s affine.Selection, fill float32) ([]*piece, error) {
	out, err := pl.vector(output)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(out.dims, s.Dims) {
		return nil, fmt.Errorf("output %q has shape N×%v by shape inference, N×%v by its attributes", output, out.dims,
			s.Dims)
	}
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	fills := slices.Contains(s.From, affine.Outside)
	if fills && in.elem != onnxio.Float32 {
		return nil, keep("%s data; float32 is embedded", in.elem)
	}
	if !fills {
		fill = 0
	}
	p := &piece{node: n, reads: n.Inputs[:1], writes: []string{output}, form: selection{
		from: s.From, in: in,
		fill: fill,
	}}
	l := linearOf(n, output, 0, s.Factor(in.size(), fill))
	if !fills && len(s.From) == in.size() && isRange(s.From) {
		p.form, l = view{}, &linear{}
	}
	if in.elem == onnxio.Float32 {
		p.linear = l
	}
	return []*piece{p}, nil
}

// selection is a Gather from a vector. Elements that are none of its are fill.
type selection struct {
	from []int64
	in   value
	fill float32
}

func (f selection) build(b *builder, p *piece) {
	x, from := b.vec(p.reads[0]), f.from
	if slices.Contains(from, affine.Outside) {
		// One more element, behind the vector, is what outside reads.
		x = b.appendElement(x, p.reads[0], f.fill)
		from = slices.Clone(from)
		for i, at := range from {
			if at == affine.Outside {
				from[i] = int64(f.in.size())
			}
		}
	}
	output := p.writes[0]
	index := b.Tensor(onnxio.NewTensor(output+".index", []int64{int64(len(from))}, from))
	name := b.nodeName(p.node)
	if output != p.node.Output(0) {
		name = b.Names.Free(output + "/gather")
	}
	b.Node(&onnxio.Node{
		Name: name, OpType: "Gather",
		Inputs: []string{x, index}, Outputs: []string{b.newVec(output)},
		Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", 1)},
		Metadata:   p.node.Metadata,
	})
}

func (f selection) weigh(s *sizes, p *piece) {
	s.other += 8 * int64(len(f.from))
	if slices.Contains(f.from, affine.Outside) {
		s.pad(2)
	}
	s.vec(p.writes[0])
}

// isRange reports whether index is 0, 1, 2, …
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
	longer := b.Names.Free(name + "/padded")
	t := b.vectorType(name)
	t.Shape[1].Value++
	b.Declare(longer, t)
	return b.Pad(x, longer, []int64{0, 0, 0, 1}, fill)
}
