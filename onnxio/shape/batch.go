package shape

import (
	"errors"
	"fmt"

	"efcn/onnxio"
)

// NoBatch stands for the batch axis of an input that has none.
const NoBatch = -1

// Batch says which inputs of a graph have the batch as their first axis.
type Batch struct {
	// Size is the dimension.
	Size onnxio.Dim
	// Without names the inputs whose first axis is not the batch: since it is another
	// one, or since they have none (a temperature, an image size or anchors beside an
	// image).
	Without map[string]bool
}

// FindBatch settles which dimension is the batch: of the first axes of the inputs
// that are read the one that most of the graph's convolutions and products have in front, of
// equals one of no fixed size, else the first. axes says of some inputs, by name,
// which axis is the batch, NoBatch for none; then that dimension is the batch. typeOf
// returns what is known of the type of a value.
func FindBatch(g *onnxio.Graph, axes map[string]int, typeOf func(name string) onnxio.TensorType) (Batch, error) {
	b := Batch{Without: make(map[string]bool)}
	feeds := g.FeedInputs()
	if len(feeds) == 0 {
		return b, errors.New("the graph has no input besides its weights")
	}
	if by, size, err := givenBatch(feeds, axes, typeOf); err != nil {
		return b, err
	} else if by != "" {
		b.Size = size
		for _, v := range feeds {
			t := typeOf(v.Name)
			axis, given := axes[v.Name]
			b.Without[v.Name] = given && axis != 0 || !given && !(t.HasShape && len(t.Shape) > 0 && t.Shape[0] == size)
		}
		return b, nil
	}
	unread := make(map[string]bool)
	for _, name := range g.UnreadInputs() {
		unread[name] = true
	}
	votes := make(map[onnxio.Dim]int)
	for _, n := range g.Nodes {
		if t := typeOf(n.Output(0)); operators[n.OpType].weighted && t.HasShape && len(t.Shape) > 0 {
			votes[t.Shape[0]]++
		}
	}
	found := false
	for _, v := range feeds {
		t := typeOf(v.Name)
		if _, none := axes[v.Name]; none || unread[v.Name] || !t.HasShape || len(t.Shape) == 0 {
			continue
		}
		d := t.Shape[0]
		more := votes[d] - votes[b.Size]
		if !found || more > 0 || more == 0 && b.Size.Known() && !d.Known() {
			found, b.Size = true, d
		}
	}
	if !found {
		t := typeOf(feeds[0].Name)
		if !t.HasShape {
			return b, fmt.Errorf("input %q: its shape is not known", feeds[0].Name)
		}
		if len(t.Shape) == 0 {
			return b, fmt.Errorf("input %q: it is a scalar; make it a constant, or give it a batch axis", feeds[0].Name)
		}
		return b, fmt.Errorf("no node reads input %q, nor any other", feeds[0].Name)
	}
	for _, v := range feeds {
		t := typeOf(v.Name)
		if _, none := axes[v.Name]; none || unread[v.Name] && !t.HasShape || t.HasShape &&
			(len(t.Shape) == 0 || t.Shape[0] != b.Size && (t.Shape[0].Known() || b.Size.Known())) {
			b.Without[v.Name] = true
		}
	}
	return b, nil
}

// givenBatch returns the dimension that axes says is the batch, and the first input
// of which it says so; "" if it says so of none.
func givenBatch(feeds []*onnxio.ValueInfo, axes map[string]int,
	typeOf func(name string) onnxio.TensorType,
) (by string, size onnxio.Dim, err error) {
	known := make(map[string]bool)
	for _, v := range feeds {
		known[v.Name] = true
		axis, given := axes[v.Name]
		if !given || axis == NoBatch {
			continue
		}
		t := typeOf(v.Name)
		if !t.HasShape || axis < 0 || axis >= len(t.Shape) {
			return "", size, fmt.Errorf("input %q: it has no axis %d for the batch, but %d axes", v.Name, axis,
				len(t.Shape))
		}
		switch d := t.Shape[axis]; {
		case by == "":
			by, size = v.Name, d
		case d != size:
			return "", size, fmt.Errorf("inputs %q and %q: the axes given for the batch have other sizes; want "+
				"one batch", by, v.Name)
		}
	}
	for name := range axes {
		if !known[name] {
			return "", size, fmt.Errorf("the graph has no input %q, of which a batch axis is given", name)
		}
	}
	return by, size, nil
}
