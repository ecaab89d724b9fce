package shape

import (
	"errors"
	"fmt"

	"efcn/onnxio"
)

// Batch says which inputs of a graph have the batch as their first axis.
type Batch struct {
	// Size is the dimension.
	Size onnxio.Dim
	// Without names the inputs that have no batch axis, since their first has a size
	// that is not the batch: a temperature, an image size or anchors beside an image.
	Without map[string]bool
}

// FindBatch settles which dimension is the batch: of the first axes of the inputs
// that are read the one that most of the graph's convolutions and products have in front, of
// equals one of no fixed size, else the first. typeOf returns what is known of the
// type of a value.
func FindBatch(g *onnxio.Graph, typeOf func(name string) onnxio.TensorType) (Batch, error) {
	b := Batch{Without: make(map[string]bool)}
	feeds := g.FeedInputs()
	if len(feeds) == 0 {
		return b, errors.New("the graph has no input besides its weights")
	}
	unread := make(map[string]bool)
	for _, name := range g.UnreadInputs() {
		unread[name] = true
	}
	votes := make(map[onnxio.Dim]int)
	for _, n := range g.Nodes {
		switch n.OpType {
		case "Conv", "ConvTranspose", "Gemm", "MatMul":
			if t := typeOf(n.Output(0)); t.HasShape && len(t.Shape) > 0 {
				votes[t.Shape[0]]++
			}
		}
	}
	found := false
	for _, v := range feeds {
		t := typeOf(v.Name)
		if unread[v.Name] || !t.HasShape || len(t.Shape) == 0 {
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
		if unread[v.Name] && !t.HasShape || t.HasShape && (len(t.Shape) == 0 || t.Shape[0] != b.Size && (t.Shape[0].Known() || b.Size.Known())) {
			b.Without[v.Name] = true
		}
	}
	return b, nil
}
