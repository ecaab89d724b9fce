package cut

import (
	"fmt"

	"efcn/internal/constants"
	"efcn/onnxio"
)

// Options says how a model is cut.
type Options struct {
	Rank, Ranks int // this rank, from 0, and how many there are
	// Least is from how many bytes of weights on a layer is cut. Default: 1 MiB.
	Least int64
	// Support has all layers in the record of the part as record.Open reads them, so that
	// masks, ties and measures know their entries: a layer whose part has no support of
	// its own is left whole, and so is V of a factored layer, or all of one that is in
	// groups. Default: such a layer is cut, and not in the record of the part (see
	// Layer.Unrecorded), or, if factored, there for its local form alone.
	Support bool
}

// DefaultLeast is Options.Least by default, in bytes.
const DefaultLeast = 1 << 20

// Validate reports numbers that make no sense.
func (o Options) Validate() error {
	if o.Ranks < 1 || o.Rank < 0 || o.Rank >= o.Ranks {
		return fmt.Errorf("rank %d of %d", o.Rank, o.Ranks)
	}
	if o.Least < 0 {
		return fmt.Errorf("least bytes of a layer: %d is negative", o.Least)
	}
	return nil
}

// Part is what one rank computes of a model.
type Part struct {
	// Whole is the whole model with constants folded, sparse ones left sparse.
	Whole *onnxio.Model
	// Model is the model of the rank. Values and initializers have the names that they
	// have in Whole, but for what Whole does not have: gathered values, and the shapes
	// and ranges of nodes that work on a part. Folding it again changes nothing.
	Model *onnxio.Model
	// Slices says by name which slice of that of Whole an initializer of Model is, or
	// the values of a sparse constant. Any other is the same on all ranks.
	Slices map[string]Slice
	// Layers are the layers of at least Options.Least bytes, and what else reads a
	// constant of that size, in the order of the graph.
	Layers []Layer
	// Gathers are the operators that exchange values, in the order of the graph.
	Gathers []Gather
}

// Layer is what becomes of a large layer.
type Layer struct {
	Node  string // label of the node that multiplies
	Bytes int64  // of its weights
	Own   int64  // of those that this rank has
	// Whole is why every rank has all of the layer, "" if it is cut.
	Whole string
	// Unrecorded is why the layer is not in the record of the part though it is in that
	// of the model: its part has no support. "" if it is, or was not there.
	Unrecorded string
}

// Remarks returns a line about each large layer that every rank has whole, and one about the
// model if no layer is cut, "" if one is.
func (p *Part) Remarks() (whole []string, nothing string) {
	for _, l := range p.Layers {
		if l.Whole != "" {
			whole = append(whole, fmt.Sprintf("%s is whole on every rank: %s", l.Node, l.Whole))
		}
	}
	if len(whole) == len(p.Layers) {
		nothing = "no layer can be cut: every rank computes all of the model"
	}
	return whole, nothing
}

// Gather is an AllGather or, without Sizes, a Spread.
type Gather struct {
	Value string // of the whole model
	// Sizes has the values of a sample that each rank has, and sends to each other one.
	Sizes []int
	// Partial: backward, each rank has a part of a sum for all values of the sample.
	Partial bool
	// Size is how many values of a sample there are.
	Size int
}

// Model returns what a rank computes of a model. All ranks have to give the same model
// and options, but for the rank. The model is not modified; its weights are not read,
// but for the indices of sparse ones.
func Model(whole *onnxio.Model, o Options) (*Part, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Least == 0 {
		o.Least = DefaultLeast
	}
	for _, n := range whole.Graph.Nodes {
		if n.Domain == onnxio.RanksDomain {
			return nil, n.Errorf("the model is the part of one rank already; give the whole model")
		}
	}
	folded, err := constants.Fold(whole, constants.Options{KeepSparse: true})
	if err != nil {
		return nil, err
	}
	if o.Ranks == 1 {
		return &Part{Whole: folded, Model: folded, Slices: map[string]Slice{}}, nil
	}
	p, err := newPlanner(folded, o)
	if err != nil {
		return nil, err
	}
	p.plan()
	return p.build()
}
