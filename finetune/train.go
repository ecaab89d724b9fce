package finetune

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"efcn/finetune/data"
	"efcn/internal/kernel"
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
	// Seconds of training, without the test.
	Seconds float64
}

// Train trains a copy of m on train and returns it: the same graph with the
// weights, and running statistics, that training arrived at. m is not modified.
// Where a weight exists only after constants are folded (a weight that the
// graph transposes, say) the copy is of the folded graph.
//
// onEpoch, unless nil, is called after every epoch; an error from it ends the
// training. test may be nil. A model with an operator that cannot be trained is
// refused with the name of every such node.
//
// Training stops with an error where the loss is not finite, naming the step,
// and between batches when ctx is done.
func Train(ctx context.Context, m *onnxio.Model, train, test *data.Set, o Options, onEpoch func(Epoch) error) (*onnxio.Model, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	t, err := newTrainee[float32](m, o.Train)
	if err != nil {
		return nil, err
	}
	s, err := newSession(t, train, o)
	if err != nil {
		return nil, err
	}
	if test != nil {
		if _, err := newFeeder(test, t.sampleShape()); err != nil {
			return nil, fmt.Errorf("test data: %w", err)
		}
	}
	for epoch := 1; epoch <= o.Epochs; epoch++ {
		e, err := s.epoch(ctx, epoch)
		if err != nil {
			return nil, err
		}
		if test != nil {
			trained, err := t.export(m)
			if err != nil {
				return nil, err
			}
			metrics, err := Evaluate(ctx, trained, test, o.Batch)
			if err != nil {
				return nil, err
			}
			e.Test = &metrics
		}
		if onEpoch != nil {
			if err := onEpoch(e); err != nil {
				return nil, err
			}
		}
	}
	return t.export(m)
}

// session is a run of training.
type session[T kernel.Float] struct {
	options  Options
	trainee  *trainee[T]
	feed     *feeder
	order    []int       // of the samples, shuffled anew every epoch
	full     *network[T] // nil where the set is smaller than a batch
	rest     *network[T] // for the last batch; nil where batches come out even
	steps    int
	narrowed []float32
}

func newSession[T kernel.Float](t *trainee[T], set *data.Set, o Options) (*session[T], error) {
	feed, err := newFeeder(set, t.sampleShape())
	if err != nil {
		return nil, fmt.Errorf("training data: %w", err)
	}
	if set.N() == 0 {
		return nil, errors.New("training data: no samples")
	}
	s := &session[T]{options: o, trainee: t, feed: feed, order: make([]int, set.N())}
	if set.N() >= o.Batch {
		if s.full, err = t.network(o.Batch, !o.fuses()); err != nil {
			return nil, err
		}
	}
	if left := set.N() % o.Batch; left > 0 {
		if s.rest, err = t.network(left, !o.fuses()); err != nil {
			return nil, err
		}
	}
	for _, n := range []*network[T]{s.full, s.rest} {
		if n != nil && n.classes < set.Classes {
			return nil, fmt.Errorf("training data: %d classes, the model tells %d apart", set.Classes, n.classes)
		}
	}
	return s, nil
}

// epoch takes every sample once, in an order that follows from the seed and
// the number of the epoch alone.
func (s *session[T]) epoch(ctx context.Context, epoch int) (Epoch, error) {
	for i := range s.order {
		s.order[i] = i
	}
	rng := rand.New(rand.NewPCG(s.options.Seed, uint64(epoch)))
	rng.Shuffle(len(s.order), func(i, j int) { s.order[i], s.order[j] = s.order[j], s.order[i] })

	begin := time.Now()
	e := Epoch{Epoch: epoch, Of: s.options.Epochs}
	var loss float64
	hits := 0
	for at := 0; at < len(s.order); {
		if err := ctx.Err(); err != nil {
			return e, err
		}
		n := s.full
		if len(s.order)-at < s.options.Batch {
			n = s.rest
		}
		batch := s.order[at : at+n.batch]
		s.load(n, batch)
		s.steps++
		if err := n.step(s.update()); err != nil {
			return e, fmt.Errorf("step %d (epoch %d, samples %d to %d): %w", s.steps, epoch, at, at+n.batch-1, err)
		}
		loss += n.loss * float64(n.batch)
		hits += n.hits
		at += n.batch
		if s.options.Stepped != nil {
			s.options.Stepped(epoch, at)
		}
	}
	e.Steps = s.steps
	e.Seconds = time.Since(begin).Seconds()
	e.Train = Metrics{N: len(s.order), Loss: loss / float64(len(s.order)), Top1: float64(hits) / float64(len(s.order))}
	return e, nil
}

// update is what step s.steps, counted from 1, does.
func (s *session[T]) update() update[T] {
	o := s.options
	perEpoch := (len(s.order) + o.Batch - 1) / o.Batch
	rate := o.Rate * o.Schedule.factor(s.steps-1, perEpoch, perEpoch*o.Epochs)
	return update[T]{Optimizer: o.Optimizer, rate: rate, step: s.steps, clip: o.Clip}
}

// load copies samples into a network's input.
func (s *session[T]) load(n *network[T], batch []int) {
	for i, index := range batch {
		n.labels[i] = s.feed.set.Labels[index]
	}
	if x, ok := any(n.x).([]float32); ok {
		s.feed.batch(batch, x)
		return
	}
	if len(s.narrowed) < len(n.x) {
		s.narrowed = make([]float32, len(n.x))
	}
	s.feed.batch(batch, s.narrowed)
	for i := range n.x {
		n.x[i] = T(s.narrowed[i])
	}
}

// sampleShape returns the shape of the model's input without the batch axis.
func (t *trainee[T]) sampleShape() []int { return sampleShape(t.input) }

func sampleShape(in *onnxio.ValueInfo) []int {
	dims := make([]int, len(in.Type.Shape)-1)
	for i, d := range in.Type.Shape[1:] {
		dims[i] = int(d.Value)
	}
	return dims
}
