package compress

import (
	"context"
	"fmt"

	"efcn/convert/record"
	"efcn/onnxio"
)

// LossError says that an eFCN has numbers that another layout could not have as they are.
type LossError struct {
	Layer    string
	From, To record.Layout
	// OffLocal is ‖W_off‖/‖W‖, the share outside the support, which is what would be lost; 0 where
	// U·V is not zero, and the entries of the matrix would be sums that are rounded.
	OffLocal float64
}

func (e *LossError) Error() string {
	if e.OffLocal == 0 {
		return fmt.Sprintf("layer %q is %s with U·V that is not zero: in %s form its entries would be rounded", e.Layer,
			e.From, e.To)
	}
	return fmt.Sprintf("layer %q has %.3g of its norm outside the support, which a layer in %s form cannot have as it is",
		e.Layer, e.OffLocal, e.To)
}

// Relayout returns an eFCN with its layers in another layout, and what became of each: every
// number of a matrix is the same bits, or it is a *LossError before any work. A factored
// layer gets U = 0, and a V of that rank, as right after a conversion. Layers that have no
// support stay as they are, unless the layout is Dense, and so do layers that have the layout.
func Relayout(ctx context.Context, efcn *onnxio.Model, to record.Layout, rank int, maxBytes int64) (
	*onnxio.Model, *Report, error,
) {
	o := Options{Target: Target{Layout: to}, Layers: make(map[string]Target), MaxBytes: maxBytes}
	switch to {
	case record.Factored:
		o.Rank = rank
	case record.Sparse:
		o.Keep = 1 // the entries that are not zero
	}
	all, err := record.OpenAll(efcn)
	if err != nil {
		return nil, nil, err
	}
	measured, err := record.Measure(ctx, efcn, nil)
	if err != nil {
		return nil, nil, err
	}
	already := make(map[int]bool)
	for i, a := range all {
		m := measured.Layers[i]
		if a.Layer.Layout == to {
			o.Layers[a.Layer.Node], already[i] = Target{Layout: record.Keep}, true
			continue
		}
		if m.NotMeasured != "" && to != record.Dense {
			continue
		}
		zero, err := zeroProduct(efcn, &a.Layer)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("layer %q: %w", a.Layer.Node, err)
		case !zero:
			return nil, nil, &LossError{Layer: a.Layer.Node, From: a.Layer.Layout, To: to}
		case m.OffLocal > 0 && (to == record.Local || to == record.Factored):
			return nil, nil, &LossError{Layer: a.Layer.Node, From: a.Layer.Layout, To: to, OffLocal: m.OffLocal}
		}
	}
	out, report, err := Compress(ctx, efcn, o)
	if report != nil {
		for i := range already {
			report.Layers[i].Unchanged = fmt.Sprintf("it is %s already", to)
		}
	}
	return out, report, err
}

// zeroProduct reports whether a layer has no factors, or U is zero.
func zeroProduct(efcn *onnxio.Model, l *record.Layer) (bool, error) {
	for _, t := range efcn.Graph.Initializers {
		if l.Left == "" || t.Name != l.Left {
			continue
		}
		for block, err := range onnxio.FloatBlocks[float32](t, 1<<16) {
			if err != nil {
				return false, err
			}
			for _, v := range block {
				if v != 0 {
					return false, nil
				}
			}
		}
	}
	return true, nil
}
