package convert

import (
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
	o := Options{
		NoFoldBN: true, Layout: record.Dense, As: rec.As, BatchAxes: rec.BatchAxes,
		InputShapes: make(map[string][]int64),
	}
	for _, l := range rec.Layers {
		// What a product folds says nothing of the others.
		o.NoFoldBN = o.NoFoldBN && (len(l.Factors) > 0 || len(l.Folded) == 0)
	}
	for _, v := range efcn.Graph.FeedInputs() {
		dims := make([]int64, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			dims[i] = d.Value
		}
		o.InputShapes[v.Name] = dims
	}
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
