package finetune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"efcn/convert/cut"
	"efcn/convert/record"
	"efcn/finetune/data"
	"efcn/internal/engines"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// newTraineeOver is newTrainee for what the ranks of a team train together: the part of
// this one. It sends nothing.
func newTraineeOver[T kernel.Float](m *onnxio.Model, team *team, o Options) (*trainee[T], error) {
	if team == nil {
		return newTrainee[T](m, o.Train)
	}
	part, err := cut.Model(m, cut.Options{
		Rank: team.group.Rank(), Ranks: team.group.Size(), Least: o.CutFrom, Support: needsSupport(o.Train),
	})
	if err != nil {
		return nil, err
	}
	if team.group.Size() > 1 {
		o.remark(part)
	}
	t, err := newTrainee[T](part.Model, o.Train)
	if err != nil {
		return nil, err
	}
	t.team, t.part = team, part
	t.ranks = &exchange[T]{World: team.group, team: team}
	t.gather = &gatherer[T]{world: team.all, part: part.Slices, whole: part.Whole, own: t.own}
	return t, t.addSupportsOfParts()
}

// remark tells of large layers that every rank trains, with why.
func (o Options) remark(part *cut.Part) {
	whole, nothing := part.Remarks()
	for _, line := range whole {
		o.notice("%s", line)
	}
	if nothing != "" {
		o.notice("%s", nothing)
	}
}

// checkPart returns an error if the part of this rank, of a model whose layers of those
// names were made dense, has more than MaxBytes of weights: some may be whole on every rank.
func (o Options) checkPart(part *cut.Part, dense []string) error {
	own, allowed := int64(0), cmp.Or(o.MaxBytes, record.DefaultMaxBytes)
	for _, init := range part.Model.Graph.Initializers {
		if init.Data != nil {
			own += init.Data.Len()
		}
	}
	if o.ranksOfGroup() == 1 || own <= allowed {
		return nil
	}
	return fmt.Errorf("train %s needs dense layers: with %q in dense form rank %d of %d has %d bytes of weights, more "+
		"than the %d allowed; allow more bytes, or train local", cmp.Or(o.Train, TrainAll), dense, o.World.Rank(),
		o.World.Size(), own, allowed)
}

// needsSupport reports whether what is trained depends on which entries of a matrix are in
// its support.
func needsSupport(what string) bool {
	return slices.Contains([]string{TrainLocal, TrainOffLocal, TrainTied}, what)
}

// addSupportsOfParts puts the supports of the whole matrices in the place of those of
// their parts, some of which have none.
func (t *trainee[T]) addSupportsOfParts() error {
	rec, err := record.Read(t.part.Whole)
	if rec == nil || err != nil {
		return err
	}
	clear(t.supports)
	whole := map[string]*onnxio.Tensor{}
	for _, init := range t.part.Whole.Graph.Initializers {
		whole[init.Name] = init
	}
	if err := t.addSupports(rec, whole); err != nil {
		return err
	}
	for name, s := range maps.All(t.supports) {
		if slice, ok := t.part.Slices[name]; ok {
			t.supports[name] = support{s.Map, slice.Lo}
		}
	}
	return nil
}

// beforeExchange returns the name that a value has in the whole model, of which the ranks
// exchange parts or gradients.
func (t *trainee[T]) beforeExchange(name string) string {
	for n := t.links.Producer(name); n != nil && n.Domain == onnxio.RanksDomain; n = t.links.Producer(name) {
		name = n.Input(0)
	}
	return name
}

// isCut reports whether this rank has a part of an initializer only.
func (t *trainee[T]) isCut(name string) bool {
	if t.part == nil {
		return false
	}
	_, ok := t.part.Slices[name]
	return ok
}

// evaluate measures the model as it is, of which m is the whole, in memory of its own.
func (s *session[T]) evaluate(ctx context.Context, m *onnxio.Model, set *data.Set, batch int) (_ Metrics, err error) {
	t := s.trainee
	if t.part == nil && t.device == nil {
		trained, err := t.export(m)
		if err != nil {
			return Metrics{}, err
		}
		return Evaluate(ctx, trained, set, batch)
	}
	if t.part != nil {
		m = t.part.Model
	}
	trained, err := t.running(m)
	if err != nil {
		return Metrics{}, err
	}
	e, err := newEvaluator(ctx, s.open, trained, set, t.team.largestShare(batch), nil)
	if err != nil {
		return Metrics{}, err
	}
	e.team = t.team
	defer func() { err = errors.Join(err, e.session.Close()) }()
	return e.metrics(ctx)
}

// open makes a model ready on the ranks, or on the device, that train it.
func (s *session[T]) open(ctx context.Context, m *onnxio.Model) (Session, error) {
	switch ranks := s.trainee.ranks; {
	case s.measures != nil: // in which the weights are those under training
		return deviceSession[T]{s.measures.device}, nil
	case ranks != nil:
		session, err := engines.Options{World: ranks.World}.Open(ctx, engines.Embedded, m)
		if err != nil {
			return nil, err
		}
		return session, nil
	}
	return embedded(ctx, m)
}
