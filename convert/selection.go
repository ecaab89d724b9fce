package convert

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

// outside marks an element of a selection that is none of the input's.
const outside = -1

// selection is a tensor, without its batch axis, whose every element is one of
// the elements of another tensor, numbered in row-major order, or outside.
// What slicing, permuting or padding does to a vector is found by doing it to
// the selection of everything.
type selection struct {
	dims []int
	from []int64
}

// everything selects each element of a tensor of shape dims.
func everything(dims []int) selection {
	s := selection{dims: slices.Clone(dims)}
	s.from = make([]int64, size(dims))
	for i := range s.from {
		s.from[i] = int64(i)
	}
	return s
}

// along returns the selection whose index i of an axis is index[i] of that axis
// of s; outside puts in elements that are none of the input's.
func (s selection) along(axis int, index []int) selection {
	out := selection{dims: slices.Clone(s.dims)}
	out.dims[axis] = len(index)
	inner := size(s.dims[axis+1:])
	outer := size(s.dims[:axis])
	out.from = make([]int64, 0, outer*len(index)*inner)
	for o := range outer {
		for _, i := range index {
			if i == outside {
				out.from = append(out.from, slices.Repeat([]int64{outside}, inner)...)
				continue
			}
			start := (o*s.dims[axis] + i) * inner
			out.from = append(out.from, s.from[start:start+inner]...)
		}
	}
	return out
}

// permute returns the selection whose axis i is axis axes[i] of s.
func (s selection) permute(axes []int) selection {
	strides := make([]int, len(s.dims))
	size := 1
	for i := len(s.dims) - 1; i >= 0; i-- {
		strides[i] = size
		size *= s.dims[i]
	}
	out := selection{dims: make([]int, len(axes)), from: make([]int64, 0, size)}
	for i, a := range axes {
		out.dims[i] = s.dims[a]
	}
	at := make([]int, len(axes))
	offset := 0
	for range size {
		out.from = append(out.from, s.from[offset])
		for i := len(at) - 1; i >= 0; i-- {
			stride := strides[axes[i]]
			if at[i]++; at[i] < out.dims[i] {
				offset += stride
				break
			}
			offset -= stride * (at[i] - 1)
			at[i] = 0
		}
	}
	return out
}

// reshape returns the same elements in another shape of the same size.
func (s selection) reshape(dims ...int) selection {
	return selection{dims: dims, from: s.from}
}

// factor returns the selection from a vector of that many elements as a factor; the
// elements that are none of its are fill.
func (s selection) factor(in int, fill float32) factor {
	return &selectionFactor{from: s.from, in: in, fill: fill}
}

// selectFrom plans a node whose output vector consists of elements of its input
// vector and, where the selection says outside, of fill.
func (pl *planner) selectFrom(n *onnxio.Node, output string, s selection, fill float32) (step, error) {
	out, err := pl.vector(output)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(out.dims, s.dims) {
		return nil, fmt.Errorf("output %q has shape N×%v by shape inference, N×%v by its attributes", output, out.dims, s.dims)
	}
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	fills := slices.Contains(s.from, outside)
	if fills && in.elem != onnxio.Float32 {
		return nil, keep("%s data; float32 is embedded", in.elem)
	}
	if !fills && len(s.from) == in.size() && isRange(s.from) {
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
		pl.noteFactor(n, output, s.factor(in.size(), fill), 0)
	}
	return func(b *builder) error {
		x := b.vec(n.Input(0))
		from := s.from
		if fills {
			// One more element, behind the vector, is what outside reads.
			x = b.appendElement(x, n.Input(0), fill)
			from = slices.Clone(from)
			for i, f := range from {
				if f == outside {
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
