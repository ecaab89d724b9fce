package restore

import (
	"context"
	"fmt"

	"efcn/convert/record"
	"efcn/onnxio"
)

// Project returns the CNN that is nearest to an eFCN, and how far away it is.
//
// A layer that was a Conv or ConvTranspose is one again: entries off the
// support are dropped, tied entries become their mean, taken in float64 and
// rounded once, and so do the biases of a channel. A kernel weight that no
// output reads is not in the matrix and comes back as 0. What was multiplied
// into the layer stays so: the kernel of a Conv that a BatchNormalization
// followed is kernel·scale.
//
// In a pooling by averages those entries are tied that divide by the same
// number of cells. It is the pooling again if they have the values that the
// pooling has, else a depthwise Conv if all windows have that number in common.
// Where neither is so (averages near the border that leave the padding out, and
// were trained) no single operator is the nearest; the layer stays a matrix,
// the projected one. A layer with no CNN subspace stays as it is.
//
// Values have their axes again: elementwise operators and joins work on
// tensors, and constants laid out along a vector (a BatchNormalization that was
// not multiplied in is a Mul and an Add of such) take the shape of the tensor.
// Nodes and values have the names that they had in the CNN; the record is
// removed. The projection of an eFCN just converted has the CNN's weights, bit
// for bit, where nothing was multiplied into them.
func Project(ctx context.Context, efcn *onnxio.Model) (*onnxio.Model, *record.Deviation, error) {
	all, err := record.OpenAll(efcn)
	if err != nil {
		return nil, nil, err
	}
	projections, d, err := record.Nearest(ctx, all)
	if err != nil {
		return nil, nil, err
	}
	p, err := newRestorer(efcn)
	if err != nil {
		return nil, nil, err
	}
	for i, a := range all {
		if projections[i] == nil {
			continue
		}
		if err := p.replace(a, projections[i]); err != nil {
			return nil, nil, fmt.Errorf("layer %q: %w", a.Layer.Node, err)
		}
	}
	cnn, err := p.model()
	if err != nil {
		return nil, nil, err
	}
	return cnn, d, nil
}
