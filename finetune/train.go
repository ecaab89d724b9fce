package finetune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/finetune/data"
	"efcn/internal/folderlock"
	"efcn/onnxio"
)

// Epoch is what one pass over the training set came to.
type Epoch struct {
	Epoch int // from 1
	Of    int // epochs of the run
	Steps int // taken so far, over all epochs
	// Train is measured as the epoch went on, each batch before its update.
	// Top5 is not counted there.
	Train Metrics
	// Test is measured after the epoch; nil without a test set.
	Test *Metrics
	// Held is measured after the epoch on the samples that Options.Holdout keeps out of
	// training, nil without; BestEpoch is the first so far with the least loss there.
	Held      *Metrics
	BestEpoch int
	// Seconds of training, without the test.
	Seconds float64
	// Model returns what training has arrived at: what Train would return if the
	// run ended here. It is valid while onEpoch runs.
	Model func() (*onnxio.Model, error)
	// evaluate measures that model.
	evaluate func(ctx context.Context, set *data.Set, batch int) (Metrics, error)
}

// Train trains a copy of m on train and returns it: the same graph with the
// weights, and running statistics, that training arrived at. m is not modified.
// Where a weight exists only after constants are folded (a weight that the
// graph transposes, say) the copy is of the folded graph.
//
// onEpoch, unless nil, is called after every epoch; an error from it ends the
// training. test may be nil. Before it starts, local and sparse layers are made
// dense where Options.Train needs that. A model with an operator that cannot be
// trained is refused with the name of every such node.
//
// Training stops with an error where the loss is not finite, naming the step,
// and between batches when ctx is done.
//
// What is trained, unless Options.Train says less, are
//   - the weights of Conv, ConvTranspose, Gemm and MatMul (either factor, of any rank)
//     and their biases;
//   - the scale and bias of BatchNormalization, LayerNormalization, RMSNormalization,
//     InstanceNormalization and GroupNormalization;
//   - the slopes of PRelu;
//   - the vectors of an Add or Mul that comes after other weights: the bias of a MatMul,
//     a normalisation written out, a layer scale.
//
// A layer that efcn convert wrote in local form, several nodes, is trained as the one
// layer that it is. Of a matrix that is a sparse constant the stored entries are
// trained, and stay stored. BatchNormalization normalises by its batch and moves its
// running statistics with the momentum of the node, as ONNX defines training mode.
//
// Not trained are scalars, the other constants (of Sub, Div, Pow, Max, Min, Mean, Sum),
// and what is done to the input before the first weight. So are the ones and zeros that
// PyTorch's exporters give the groups of a GroupNorm, which is scaled and shifted after
// them. Dropout passes its input through, and so does a Cast from one floating-point
// type to another, as training computes in one precision.
//
// What moves elements (Pad, Slice, Split, Gather, Where, Tile and their like) does so
// by constants, or by what follows from shapes at the batch of the graph. The
// constants among the elements, such as the value of a Pad or the class token of a
// Concat, stay as they are. The batch may leave the first axis between such
// operators, and has to be back after them. What mixes samples is refused: a reduction,
// a product or a selection over the batch.
//
// Where an operator has no derivative it is given PyTorch's, version 2.15; the files of
// the operators say which (activation.go, function.go, pow.go, prelu.go, reduce.go,
// variadic.go). Floor, Ceil, Round and Sign have the derivative 0 everywhere, so nothing
// before them moves; Hardmax, for the same reason, is refused.
func Train(ctx context.Context, m *onnxio.Model, train, test *data.Set, o Options,
	onEpoch func(Epoch) error,
) (trained *onnxio.Model, err error) {
	var choice *selection
	if o.Holdout != (Holdout{}) {
		if choice, train, err = selecting(ctx, train, o, onEpoch); err != nil {
			return nil, err
		}
		onEpoch = func(e Epoch) error { return choice.ended(ctx, e) }
	}
	s, m, err := newRun(ctx, m, train, test, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = s.feed.wait() // of a batch that no step takes
		if s.tester != nil {
			err = errors.Join(err, s.tester.session.Close())
		}
		if err == nil {
			err = s.trainee.team.close()
		}
	}()
	t, o := s.trainee, s.options
	if o.Checkpoint != "" {
		release := func() error { return nil }
		held := t.gather.atRoot(ctx, func() (err error) {
			release, err = o.lock()
			return err
		})
		if held != nil {
			return nil, fmt.Errorf("checkpoint: %w", held)
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	if t.device != nil {
		opened := t.device.open(ctx)
		if opened == nil {
			defer func() { err = errors.Join(err, t.device.close()) }()
		}
		if err := agree(ctx, o.World, opened); err != nil {
			return nil, err
		}
	}
	o.collect()
	var before *Metrics
	if o.Before != nil && test != nil {
		metrics, err := s.test(ctx, m, test)
		if err != nil {
			return nil, err
		}
		before = &metrics
		o.Before(metrics)
	}
	if err := s.begin(ctx, m, train); err != nil {
		return nil, err
	}
	if err := t.gather.atRoot(ctx, func() error { return s.describe(ctx, m, before) }); err != nil {
		return nil, err
	}
	for s.at.Epoch <= o.Epochs && !choice.enough(s.at.Epoch-1) {
		e, err := s.finishEpoch(ctx, m, test)
		e.Model = func() (*onnxio.Model, error) { return t.export(m) }
		e.evaluate = func(ctx context.Context, set *data.Set, batch int) (Metrics, error) {
			return s.evaluate(ctx, m, set, batch)
		}
		if err == nil {
			err = agree(ctx, o.World, s.note(ctx, m, e))
		}
		if err == nil && onEpoch != nil {
			err = agree(ctx, o.World, onEpoch(e))
		}
		if err != nil {
			if mayBeSaved(ctx, o.World, err) {
				err = errors.Join(err, s.save(ctx))
			}
			return nil, err
		}
		s.at = progress{Epoch: s.at.Epoch + 1, Steps: s.at.Steps, Subspace: s.at.Subspace}
		if err := s.save(ctx); err != nil {
			return nil, err
		}
	}
	last, err := t.export(m)
	if err != nil {
		return nil, err
	}
	return choice.chosen(last, s.at.Epoch-1)
}

// Check returns the error with which Train would refuse these arguments before
// it begins. It does not look at a checkpoint.
func Check(m *onnxio.Model, train, test *data.Set, o Options) error {
	o.Notice = nil
	s, _, err := newRun(context.Background(), m, train, test, o)
	if err == nil {
		err = s.trainee.team.close()
	}
	return err
}

// newRun makes the session of a run, and returns the model that it starts from.
func newRun(ctx context.Context, m *onnxio.Model, train, test *data.Set, o Options,
) (*session[float32], *onnxio.Model, error) {
	if err := agree(ctx, o.World, o.Validate()); err != nil {
		return nil, nil, err
	}
	if err := sameRun(ctx, o.World, m, train, test, o); err != nil {
		return nil, nil, err
	}
	o = o.WithDefaults()
	o.collect()
	team, err := newTeam(ctx, o.World, o.Groups)
	if err != nil {
		return nil, nil, err
	}
	// Of what follows one of the ranks may be the one that fails.
	m, t, err := newTraineeOfRun(ctx, m, team, o)
	if err := agree(ctx, o.World, err); err != nil {
		return nil, nil, err
	}
	if err := agree(ctx, o.World, t.checkRoom(ctx, o)); err != nil {
		return nil, nil, err
	}
	s, err := newSessionOfRun(ctx, t, train, test, o)
	return s, m, agree(ctx, o.World, err)
}

// newTraineeOfRun returns the model that a run starts from, and what this rank trains of it.
func newTraineeOfRun(ctx context.Context, m *onnxio.Model, team *team, o Options,
) (*onnxio.Model, *trainee[float32], error) {
	m, dense, err := prepare(ctx, m, o)
	if err != nil {
		return nil, nil, err
	}
	t, err := newTraineeOver[float32](m, team, o)
	if err == nil && len(dense) > 0 && t.part != nil {
		err = o.checkPart(t.part, dense)
	}
	return m, t, err
}

// newSessionOfRun reads the weights, and checks that the test set fits the model.
func newSessionOfRun(
	ctx context.Context, t *trainee[float32], train, test *data.Set, o Options,
) (*session[float32], error) {
	s, err := newSession(t, train, o)
	if err != nil {
		return nil, err
	}
	if t.device != nil {
		if err := t.device.check(ctx); err != nil {
			return nil, err
		}
	}
	if o.Init != "" || o.Refresh > 0 {
		if _, err := t.subspaces(o.Init != ""); err != nil {
			return nil, err
		}
	}
	if test != nil {
		if _, err := newFeeder(test, t.sampleShape()); err != nil {
			return nil, fmt.Errorf("test data: %w", err)
		}
	}
	return s, nil
}

// Prepare returns the model that [Train] starts from: m, with its layers made
// dense and its weights set anew where the options want that. Train calls it;
// what it returns can be given to Train in the place of m.
func Prepare(ctx context.Context, m *onnxio.Model, o Options) (*onnxio.Model, error) {
	prepared, _, err := prepare(ctx, m, o)
	return prepared, err
}

// prepare is Prepare, and returns which layers it has made dense.
func prepare(ctx context.Context, m *onnxio.Model, o Options) (_ *onnxio.Model, layers []string, err error) {
	if what := o.Train; what == "" || what == TrainAll || what == TrainOffLocal {
		layouts := []record.Layout{record.Local, record.Sparse}
		if what == TrainOffLocal { // a factored layer has all of its matrix
			layouts = append(layouts, record.Factored)
		}
		allowed, together := cmp.Or(o.MaxBytes, record.DefaultMaxBytes), ""
		if ranks := o.ranksOfGroup(); ranks > 1 {
			// No rank has less than its share; what each has follows once the model is cut.
			allowed = min(allowed, math.MaxInt64/int64(ranks)) * int64(ranks)
			together = fmt.Sprintf(" on %d ranks", ranks)
		}
		if m, layers, err = restore.ToDense(ctx, m, allowed, layouts...); err != nil {
			var budget *restore.DenseError
			if errors.As(err, &budget) {
				return nil, nil, fmt.Errorf("train %s needs dense layers: %w%s; allow more bytes, or train local",
					cmp.Or(what, TrainAll), err, together)
			}
			return nil, nil, err
		}
		if len(layers) > 0 {
			o.notice("made dense to train %s: layers %q", cmp.Or(what, TrainAll), layers)
		}
	}
	if !o.Reinit {
		return m, layers, nil
	}
	if o.Train == TrainLocal {
		if err := staysLocal(m); err != nil {
			return nil, nil, err
		}
	}
	fresh, err := Reinit(m, o.Seed)
	if err == nil {
		o.notice("all weights are new: uniform up to 1/√fan-in, as PyTorch initialises by default, from seed %d", o.Seed)
	}
	return fresh, layers, err
}

// staysLocal returns a *LayoutError where an embedded layer stores entries outside its
// support: new weights would be there too, and training the support leaves them.
func staysLocal(m *onnxio.Model) error {
	rec, err := record.Read(m)
	if rec == nil || err != nil {
		return err
	}
	sparse := m.Graph.SparseConstants()
	for _, l := range rec.Layers {
		if l.Connected() {
			continue
		}
		outside := l.Layout == record.Dense
		if s := sparse[l.Weight]; l.Layout == record.Sparse && s != nil {
			support, err := l.Support()
			if err != nil {
				return fmt.Errorf("layer %q: %w", l.Node, err)
			}
			outside = support != nil && !slices.Equal(s.Values.Dims, []int64{support.NonZeros()})
		}
		if outside {
			return &LayoutError{Train: TrainLocal, Reinit: true, Layout: l.Layout, Want: record.Local}
		}
	}
	return nil
}

// notice passes a line to Options.Notice.
func (o Options) notice(format string, args ...any) {
	if o.Notice != nil {
		o.Notice(fmt.Sprintf(format, args...))
	}
}

// lock makes the folder of the run, and keeps other processes out of it.
func (o Options) lock() (release func() error, err error) {
	if err := os.MkdirAll(o.Checkpoint, 0o777); err != nil {
		return nil, err
	}
	release, err = folderlock.Lock(o.Checkpoint)
	if errors.Is(err, errors.ErrUnsupported) {
		o.notice("%s cannot be locked (%v): see to it that no other process trains there", o.Checkpoint, err)
		return func() error { return nil }, nil
	}
	return release, err
}

func (o Options) collect() {
	if o.Collect != nil {
		o.Collect()
	}
}
