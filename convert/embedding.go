package convert

import (
	"fmt"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// CNNError is what is wrong with the CNN that [Embedding] is given.
type CNNError struct{ Err error }

func (e *CNNError) Error() string { return "the CNN: " + e.Err.Error() }
func (e *CNNError) Unwrap() error { return e.Err }

// Embedding returns the maps of the CNN that an eFCN was made from, by the name of the
// layer, for [record.Measure]. Layers that are products, and those fully connected in
// the CNN without a BatchNormalization folded in, are left out. A CNN that cannot be
// converted is a *CNNError.
func Embedding(efcn, cnn *onnxio.Model) (map[string]*affine.Map, error) {
	rec, err := record.Read(efcn)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, record.ErrMissing
	}
	o := optionsOf(efcn, rec)
	o.Layout = record.Dense
	plan, err := NewPlan(cnn, o)
	if err != nil {
		return nil, &CNNError{err}
	}
	maps := make(map[string]*affine.Map)
	for _, l := range plan.Layers {
		if m, ok := l.weights.(*affine.Map); ok {
			maps[l.Node] = m
		}
	}
	return maps, nil
}

// optionsOf returns those that an eFCN was converted with, as far as its record shows
// them, without the layouts.
func optionsOf(efcn *onnxio.Model, rec *record.Record) Options {
	o := Options{
		NoFoldBN: true, As: rec.As, BatchAxes: rec.BatchAxes,
		InputShapes: make(map[string][]int64),
	}
	for _, l := range rec.Layers {
		// What a product folds says nothing of the others.
		o.NoFoldBN = o.NoFoldBN && (len(l.Factors) > 0 || len(l.Folded) == 0)
	}
	for _, v := range efcn.Graph.FeedInputs() {
		o.InputShapes[v.Name] = dimensions(v)
	}
	return o
}

// AlsoEmbed returns the plan of the eFCN of a CNN in the form that another one has, which
// was made from a CNN of the same architecture: with the same layers embedded, each in its
// layout there. An eFCN with products of operators is refused, as its record does not say
// what was multiplied for which reason.
func AlsoEmbed(cnn, efcn *onnxio.Model) (*Plan, error) {
	rec, err := record.Read(efcn)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, record.ErrMissing
	}
	o := optionsOf(efcn, rec)
	o.Layout, o.Layers, o.Ranks = record.Keep, make(map[string]record.Layout), make(map[string]int)
	for _, l := range rec.Layers {
		if len(l.Factors) > 0 {
			return nil, fmt.Errorf("layer %q is a product of operators; convert the CNN with the options that it was made with",
				l.Node)
		}
		o.Layers[l.Node] = l.Layout
		if l.Layout == record.Factored {
			o.Ranks[l.Node] = int(l.Rank)
		}
	}
	plan, err := NewPlan(cnn, o)
	if err != nil {
		return nil, &CNNError{err}
	}
	return plan, nil
}
