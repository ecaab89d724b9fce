package finetune

import (
	"context"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// origin is where the matrices of a model with factored layers began, which are
// L + U·V and no initializer: the maps of its layers, by node, and the norms of those
// that are factored, by the name of their weights. It is empty of a model without such
// layers, and of one that began outside the CNN subspace, of which the maps would not
// be all.
type origin struct {
	maps  map[string]*affine.Map
	norms map[string]float64
}

// originOf reads the model that a run begins with.
func originOf(ctx context.Context, m *onnxio.Model) (*origin, error) {
	o := &origin{}
	all, err := record.OpenAll(m)
	if err != nil || !slices.ContainsFunc(all, func(a *record.Matrix) bool { return a.Layer.Layout == record.Factored }) {
		return o, err
	}
	maps, d, err := record.Nearest(ctx, all)
	if err != nil || d.Distance > 0 {
		return o, err
	}
	o.maps, o.norms = map[string]*affine.Map{}, map[string]float64{}
	for i, l := range d.Layers {
		o.maps[l.Node] = maps[i]
		if l.Layout == record.Factored && l.NotMeasured == "" {
			o.norms[l.Weight] = l.Norm
		}
	}
	return o, nil
}

// travelled returns how far the matrices of the factored layers are from where they
// began, of a deviation that was measured from the maps.
func (o *origin) travelled(d *record.Deviation) map[string]float64 {
	far := map[string]float64{}
	for _, l := range d.Layers {
		if norm, ok := o.norms[l.Weight]; ok && l.FromCNN != nil {
			far[l.Weight] = *l.FromCNN * norm
		}
	}
	return far
}
