package finetune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"efcn/finetune/data"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// session is a run of training.
type session[T kernel.Float] struct {
	options  Options
	trainee  *trainee[T]
	model    *onnxio.Model // as the run was given it; nil where nothing is saved
	feed     *feeder
	order    []int       // of the samples, shuffled anew every epoch
	full     *network[T] // nil where the set is smaller than a batch
	rest     *network[T] // for the last batch; nil where batches come out even
	at       progress
	id       identity // of the run, where it is saved
	saved    savePoint
	narrowed []float32
	measures *network[T] // on a device: computes logits; nil on the processor
	tester   *evaluator  // of the arrays under training; nil where it cannot be of them, or not yet
	origin   *origin     // nil until it is asked for
}

func newSession[T kernel.Float](t *trainee[T], set *data.Set, o Options) (*session[T], error) {
	feed, err := newFeeder(set, t.sampleShape())
	if err != nil {
		return nil, fmt.Errorf("training data: %w", err)
	}
	if set.N() == 0 {
		return nil, errors.New("training data: no samples")
	}
	if err := feed.augment(o.Augment); err != nil {
		return nil, fmt.Errorf("training data: %w", err)
	}
	s := &session[T]{options: o, trainee: t, feed: feed, order: make([]int, set.N()), at: progress{Epoch: 1}}
	if o.Device != nil {
		t.device = newDeviceMemory(t, o)
	}
	if set.N() >= o.Batch {
		if s.full, err = t.network(o.Batch, !o.fuses()); err != nil {
			return nil, err
		}
	}
	if left := set.N() % o.Batch; left > 0 {
		form := networkForm[T]{batch: left, keepGradients: !o.fuses()}
		if s.full != nil {
			form.memory = s.full.memory
		}
		if s.rest, err = t.networkOf(form); err != nil {
			return nil, err
		}
	}
	if t.device != nil {
		batch := cmp.Or(s.full, s.rest).share.batch
		if s.measures, err = t.networkOf(networkForm[T]{batch: batch, evaluates: true}); err != nil {
			return nil, err
		}
	}
	for _, n := range []*network[T]{s.full, s.rest} {
		if n != nil {
			if err := checkLabels(set, n.classes, o); err != nil {
				return nil, fmt.Errorf("training data: %w", err)
			}
			break
		}
	}
	return s, nil
}

// finishEpoch takes what is left of an epoch and measures the model after it.
func (s *session[T]) finishEpoch(ctx context.Context, m *onnxio.Model, test *data.Set) (Epoch, error) {
	e, err := s.epoch(ctx)
	if err != nil || test == nil {
		return e, err
	}
	metrics, err := s.test(ctx, m, test)
	if err == nil && (math.IsNaN(metrics.Loss) || math.IsInf(metrics.Loss, 0)) {
		err = fmt.Errorf("test data, after epoch %d: %w", e.Epoch, ErrNotFinite)
	}
	e.Test = &metrics
	return e, err
}

// test measures the model as it is.
func (s *session[T]) test(ctx context.Context, m *onnxio.Model, test *data.Set) (metrics Metrics, err error) {
	e := s.tester
	if e == nil {
		if part := s.trainee.part; part != nil {
			m = part.Model
		}
		var trained *onnxio.Model
		if trained, err = s.trainee.running(m); err != nil {
			return Metrics{}, err
		}
		// As many samples as a step takes, in the memory of a step.
		n := cmp.Or(s.full, s.rest)
		memory, _ := any(n.memory).([][]float32)
		batch := s.trainee.team.largestShare(n.share.batch)
		if e, err = newEvaluator(ctx, s.open, trained, test, batch, memory); err != nil {
			return Metrics{}, err
		}
		e.team = s.trainee.team
		if s.trainee.live() {
			s.tester = e
		} else {
			defer func() { err = errors.Join(err, e.session.Close()) }()
		}
	}
	return e.metrics(ctx)
}

// begin sets the run to where it starts: at its first step, or where its
// checkpoint left it.
func (s *session[T]) begin(ctx context.Context, m *onnxio.Model, train *data.Set) error {
	o, g := s.options, s.trainee.gather
	if o.Checkpoint == "" {
		return nil
	}
	s.model = m
	found, err := fromRoot(ctx, g.job(), func() (bool, error) { return hasCheckpoint(o.Checkpoint) })
	switch {
	case err != nil:
		return fmt.Errorf("checkpoint: %w", err)
	case found && !o.Resume:
		return fmt.Errorf("checkpoint: %s holds a run already; resume it, or take another folder", o.Checkpoint)
	}
	s.id, err = fromRoot(ctx, g.job(), func() (identity, error) { return identify(m, train, o, g.job(), math.MaxInt64) })
	if err != nil {
		return err
	}
	if found {
		if err := s.resume(ctx); err != nil {
			return err
		}
	}
	if err := s.trainee.device.write(); err != nil {
		return err
	}
	s.saved = savePoint{s.at.Steps, time.Now()}
	return g.atRoot(ctx, func() error {
		if err := clearTemporary(o.Checkpoint); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		return trimMetrics(o.Checkpoint, s.at.Epoch)
	})
}

// resume sets the run to where its checkpoint left it.
func (s *session[T]) resume(ctx context.Context) error {
	o, w := s.options, s.trainee.gather.job()
	at, saved, err := loadCheckpoint(ctx, w, o.Checkpoint, s.id, s.trainee.arrays(o.Optimizer.States()))
	if err != nil {
		return err
	}
	s.at = at
	if s.at.Epoch > o.Epochs+1 || s.at.Epoch == o.Epochs+1 && s.at.Samples > 0 {
		return fmt.Errorf("checkpoint: the run in %s is past epoch %d; want as many epochs as it has had, "+
			"or another folder", o.Checkpoint, o.Epochs)
	}
	if !s.id.isDividedAs(saved) {
		o.notice("the run in %s was on %s and goes on with %s: it ends like one that was not stopped within rounding, "+
			"not bit for bit", o.Checkpoint, saved.ranks(), s.id.ranks())
	}
	if saved.Device != s.id.Device {
		o.notice("the run in %s was on %s and goes on with %s: it ends like one that was not stopped within rounding, "+
			"not bit for bit", o.Checkpoint, cmp.Or(saved.Device, "the processor"), cmp.Or(s.id.Device, "the processor"))
	}
	if s.at.Subspace > 0 {
		all, err := s.trainee.subspaces(false)
		if err != nil {
			return err
		}
		s.beginStates(all)
	}
	return nil
}

// savePoint is when a run was saved last.
type savePoint struct {
	steps int
	time  time.Time
}

// due reports whether the run has to be saved within an epoch, as the clock of this rank
// has it.
func (s *session[T]) due() bool {
	if s.options.Checkpoint == "" {
		return false
	}
	every := s.options.SaveEvery
	return every.Steps > 0 && s.at.Steps-s.saved.steps >= every.Steps ||
		every.Time > 0 && time.Since(s.saved.time) >= every.Time
}

// save writes the checkpoint, if there is to be one. Weights that are not finite
// are an error, and leave the one that is there.
func (s *session[T]) save(ctx context.Context) error {
	if s.options.Checkpoint == "" {
		return nil
	}
	if err := s.trainee.device.read(true); err != nil {
		return err
	}
	if err := agree(ctx, s.options.World, s.trainee.finite()); err != nil {
		return fmt.Errorf("after step %d (epoch %d): %w", s.at.Steps, s.at.Epoch, err)
	}
	arrays := s.trainee.arrays(s.options.Optimizer.States())
	err := s.trainee.gather.atRoot(ctx, func() error {
		return saveCheckpoint(s.options.Checkpoint, s.id, s.at, arrays)
	})
	s.saved = savePoint{s.at.Steps, time.Now()}
	return err
}

// finite names what the last step has made NaN or infinite, as it may while the
// loss before it was finite.
func (t *trainee[T]) finite() error {
	for _, a := range t.arrays(0) {
		if v, ok := findNotFinite(a.values); ok {
			return &weightsError{a.what(), float64(v)}
		}
	}
	return nil
}

// namedClasses is how many of the classes without samples are named.
const namedClasses = 20

// checkLabels refuses labels that a model of so many classes does not know, and
// says which classes it knows have no samples.
func checkLabels(set *data.Set, classes int, o Options) error {
	if i := slices.IndexFunc(set.Labels, func(y int) bool { return y < 0 || y >= classes }); i >= 0 {
		return fmt.Errorf("sample %d has the label %d, the model tells %d classes apart", i, set.Labels[i], classes)
	}
	if set.Classes > classes {
		return fmt.Errorf("%d classes, the model tells %d apart", set.Classes, classes)
	}
	counts := make([]int, classes)
	for _, y := range set.Labels {
		counts[y]++
	}
	var empty []int
	for class, n := range counts {
		if n == 0 {
			empty = append(empty, class)
		}
	}
	switch n := len(empty); {
	case n > namedClasses:
		o.notice("training data: no sample of %d of the model's %d classes: %v and more", n, classes, empty[:namedClasses])
	case n > 0:
		o.notice("training data: no sample of %d of the model's %d classes: %v", n, classes, empty)
	}
	return nil
}

// epoch takes every sample once that is left of the epoch, in an order that
// follows from the seed and the number of the epoch alone.
func (s *session[T]) epoch(ctx context.Context) (Epoch, error) {
	s.shuffle()
	if err := s.beforeSteps(ctx); err != nil {
		return Epoch{}, err
	}
	begin, before := time.Now(), s.at.Seconds
	e := Epoch{Epoch: s.at.Epoch, Of: s.options.Epochs}
	for s.at.Samples < len(s.order) {
		n, due, err := s.next(ctx)
		if err != nil {
			return e, err
		}
		if due && s.at.Samples > 0 { // for the step before it; an epoch is saved at its end
			s.at.Seconds = before + time.Since(begin).Seconds()
			if err := s.save(ctx); err != nil {
				return e, err
			}
			begin, before = time.Now(), s.at.Seconds // saving is no training
		}
		if err := s.step(n); err != nil {
			return e, err
		}
		s.at.Seconds = before + time.Since(begin).Seconds()
		if o := s.options; o.Snapshots.after(s.at.Steps, s.stepsAnEpoch()*o.Epochs) {
			if err := s.snapshot(ctx); err != nil {
				return e, err
			}
			begin, before = time.Now(), s.at.Seconds
		}
		if s.options.Stepped != nil {
			s.options.Stepped(Step{s.at.Epoch, s.at.Samples, len(s.order), s.at.Loss / float64(s.at.Samples)})
		}
	}
	if err := s.trainee.device.read(false); err != nil {
		return e, err
	}
	if err := agree(ctx, s.options.World, s.trainee.finite()); err != nil {
		return e, fmt.Errorf("after step %d (epoch %d): %w", s.at.Steps, s.at.Epoch, err)
	}
	if err := s.same(); err != nil {
		return e, fmt.Errorf("epoch %d: %w", s.at.Epoch, err)
	}
	e.Steps, e.Seconds = s.at.Steps, s.at.Seconds
	count := float64(len(s.order))
	e.Train = Metrics{N: len(s.order), Loss: s.at.Loss / count, Top1: float64(s.at.Hits) / count}
	return e, nil
}

// next returns the network of the next batch, with that loaded, if all ranks go on, and
// whether the run has to be saved before it.
func (s *session[T]) next(ctx context.Context) (n *network[T], due bool, err error) {
	at := s.at.Samples
	n, batch := s.batch(at)
	if err = ctx.Err(); err == nil {
		_, following := s.batch(at + n.share.batch)
		if err = s.load(n, batch, following); err != nil {
			err = fmt.Errorf("training data: epoch %d: %w", s.at.Epoch, err)
		}
	}
	due, err = decide(ctx, s.options.World, err, s.due())
	return n, due, err
}

// batch returns the network of the batch that begins with sample at of the epoch's order,
// and what of it that computes; nothing where the epoch ends there.
func (s *session[T]) batch(at int) (n *network[T], samples []int) {
	left := s.order[at:]
	if n = s.full; len(left) < s.options.Batch {
		n = s.rest
	}
	if len(left) == 0 {
		return nil, nil
	}
	return n, n.share.of(left)
}

// step takes a step on the batch that is loaded.
func (s *session[T]) step(n *network[T]) error {
	at := s.at.Samples
	s.at.Steps++
	count := n.share.batch
	if s.options.Checkpoint != "" && at+count == len(s.order) {
		n.measured = s.trainee.newGradientNorms()
	}
	err := n.step(s.update())
	if err == nil && n.measured != nil {
		s.at.Norms, err = s.trainee.norms(n.measured)
		n.measured = nil
	}
	if err != nil {
		return fmt.Errorf("step %d (epoch %d, samples %d to %d): %w", s.at.Steps, s.at.Epoch, at, at+count-1, err)
	}
	s.at.Loss += n.loss * float64(count)
	s.at.Hits += n.hits
	s.at.Samples += count
	return nil
}

// beforeSteps does what comes before the first step of an epoch, if there was none yet.
func (s *session[T]) beforeSteps(ctx context.Context) error {
	begin := time.Now()
	chosen, err := s.chooseSubspaces(ctx)
	if err != nil {
		return err
	}
	if chosen {
		s.at.Seconds += time.Since(begin).Seconds()
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	if s.at.Steps == 0 && s.options.Snapshots != (Snapshots{}) {
		return s.snapshot(ctx)
	}
	return nil
}

// shuffle puts the samples in the order of the epoch.
func (s *session[T]) shuffle() {
	for i := range s.order {
		s.order[i] = i
	}
	rng := rand.New(rand.NewPCG(s.options.Seed, uint64(s.at.Epoch)))
	rng.Shuffle(len(s.order), func(i, j int) { s.order[i], s.order[j] = s.order[j], s.order[i] })
}

// update is what step s.at.Steps, counted from 1, does.
func (s *session[T]) update() update[T] {
	o := s.options
	perEpoch := s.stepsAnEpoch()
	rate := o.Rate * o.Schedule.factor(s.at.Steps-1, perEpoch, perEpoch*o.Epochs)
	return update[T]{Optimizer: o.Optimizer, rate: rate, step: s.at.Steps, clip: o.Clip}
}

func (s *session[T]) stepsAnEpoch() int {
	return (len(s.order) + s.options.Batch - 1) / s.options.Batch
}

// load copies samples into a network's input. following are those of the next step of
// the epoch.
func (s *session[T]) load(n *network[T], batch, following []int) error {
	for i, index := range batch {
		n.labels[i] = s.feed.set.Labels[index]
	}
	epoch := s.at.Epoch
	take := func(indices []int, dst []float32) error { return s.feed.take(indices, s.options.Seed, epoch, dst) }
	if x, ok := any(n.x).([]float32); ok {
		return s.feed.fetch(batch, following, take, x)
	}
	if len(s.narrowed) < len(n.x) {
		s.narrowed = make([]float32, len(n.x))
	}
	if err := s.feed.fetch(batch, following, take, s.narrowed); err != nil {
		return err
	}
	for i := range n.x {
		n.x[i] = T(s.narrowed[i])
	}
	return nil
}
