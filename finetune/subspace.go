package finetune

import (
	"context"
	"fmt"
	"io"
	"slices"

	"efcn/convert/affine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Init says what V of factored layers is before the first step.
type Init string

// The values of Options.Init besides "", with which V is as the model has it.
const (
	// InitOrthonormal draws orthonormal rows from the seed, as convert does from the
	// name of the layer.
	InitOrthonormal Init = "orthonormal"
	// InitGradient takes the leading right singular vectors of the gradient of W
	// outside the support, summed over Options.InitBatches batches.
	InitGradient Init = "gradient"
)

// Inits lists them.
func Inits() []Init { return []Init{InitGradient, InitOrthonormal} }

// SubspaceError is the refusal to choose V anew, before the first step or later.
type SubspaceError struct {
	Layer string // by its node; "" where the model has no factored layer that is trained
	// Learned means that U is not 0; otherwise the nodes of the layer are not those that
	// convert writes.
	Learned bool
}

func (e *SubspaceError) Error() string {
	switch {
	case e.Layer == "":
		return "no factored layer is trained, so there is no V to choose; convert the CNN to factored layers, and train all"
	case e.Learned:
		return fmt.Sprintf("layer %q: its U is not 0, and with another V what it has learned would be lost; restart the "+
			"subspace as training goes on, or project the eFCN and convert that CNN", e.Layer)
	default:
		return fmt.Sprintf("layer %q: U and V are not in the nodes that convert writes, so that the gradient of their "+
			"product is not at hand; convert the CNN again, or leave V as it is", e.Layer)
	}
}

// subspace is a factored layer of which both factors are trained.
type subspace[T kernel.Float] struct {
	node          string
	w, v, u       *parameter[T] // W: the local weights
	rank, in, out int
	geometry      kernel.Local
}

// subspaces lists the factored layers whose V can be chosen anew. untrained means that
// U has to be 0.
func (t *trainee[T]) subspaces(untrained bool) ([]*subspace[T], error) {
	var all []*subspace[T]
	for _, l := range t.factored {
		v, u := t.byName[l.Right], t.byName[l.Left]
		if v == nil || u == nil || v.frozen || u.frozen {
			continue
		}
		f := t.factors[t.links.SoleReader(l.Weight)]
		switch {
		case f == nil:
			return nil, &SubspaceError{Layer: l.Node}
		case untrained && slices.ContainsFunc(u.values, func(v T) bool { return v != 0 }):
			return nil, &SubspaceError{Layer: l.Node, Learned: true}
		}
		k, err := t.localKernel(f.form.record)
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.Node, err)
		}
		s := &subspace[T]{
			node: l.Node, w: t.byName[l.Weight], v: v, u: u, in: k.Groups * k.Block,
			out: k.Groups * k.Out * k.Positions, geometry: k,
		}
		s.rank = len(v.values) / s.in
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, &SubspaceError{}
	}
	return all, nil
}

// chooseSubspaces sets V of the factored layers before the first step of the run, or of
// an epoch, where the options want that and it has not been done; chosen reports whether
// it did. It computes on the processor: a device is given what comes of it.
func (s *session[T]) chooseSubspaces(ctx context.Context) (chosen bool, err error) {
	o, epoch := s.options, s.at.Epoch
	refresh := o.Refresh > 0 && epoch > 1 && (epoch-1)%o.Refresh == 0
	if s.at.Samples > 0 || s.at.Subspace == epoch || !refresh && (epoch > 1 || o.Init == "") {
		return false, nil
	}
	if err := s.trainee.device.read(true); err != nil {
		return false, err
	}
	all, err := s.trainee.subspaces(!refresh)
	if err != nil {
		return false, err
	}
	switch {
	case refresh:
		if err := s.refresh(ctx, all); err != nil {
			return false, fmt.Errorf("refresh before epoch %d: %w", epoch, err)
		}
	case o.Init == InitOrthonormal:
		for _, l := range all {
			rows, err := orthonormalRows(fmt.Sprintf("%s, seed %d", l.node, o.Seed), l.rank, l.in)
			if err != nil {
				return false, fmt.Errorf("init %s: %w", o.Init, err)
			}
			setValues(l.v.values, rows)
		}
	default:
		bases, err := s.gradientBases(ctx, all, make([]*split, len(all)))
		if err != nil {
			return false, fmt.Errorf("init %s: %w", o.Init, err)
		}
		for i, l := range all {
			setValues(l.v.values, bases[i])
		}
	}
	s.at.Subspace = epoch
	s.beginStates(all)
	return true, s.trainee.device.write()
}

// beginStates has the optimiser count the steps of U and V from where V was chosen.
func (s *session[T]) beginStates(all []*subspace[T]) {
	for _, l := range all {
		l.u.since = max(0, s.at.Subspace-1) * s.stepsAnEpoch()
		l.v.since = l.u.since
	}
}

func setValues[T kernel.Float](dst []T, values []float64) {
	for i, v := range values {
		dst[i] = T(v)
	}
}

// orthonormalRows returns orthonormal rows that follow from a name.
func orthonormalRows(name string, rows, cols int) ([]float64, error) {
	return onnxio.Floats[float64](&onnxio.Tensor{
		Type: onnxio.Float32, Dims: []int64{int64(rows), int64(cols)},
		Data: onnxio.Generate(4*int64(rows)*int64(cols), func(w io.Writer) error {
			return affine.WriteOrthonormal(w, name, rows, cols)
		}),
	})
}
