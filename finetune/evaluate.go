package finetune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"efcn/finetune/data"
	"efcn/internal/engines"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Metrics measures a model on N samples.
type Metrics struct {
	N    int     `json:"samples,omitempty"`
	Loss float64 `json:"loss"` // softmax cross-entropy, mean over the samples
	Top1 float64 `json:"top1"` // share of samples whose label has the greatest logit
	Top5 float64 `json:"top5"` // share of samples whose label is among the five greatest
}

// Evaluate runs the model in float32 on every sample of set, so many at a time
// (0 means 250; a model with a fixed batch takes its own). Where logits are
// equal the lower class counts as the greater.
func Evaluate(ctx context.Context, m *onnxio.Model, set *data.Set, batch int) (Metrics, error) {
	return EvaluateIn(ctx, nil, m, set, batch)
}

// Session is a model made ready in an engine.
type Session interface {
	// Run computes the outputs, in the graph's order, from a float32 array for each
	// of the model's inputs. It does not modify the inputs.
	Run(ctx context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error)
	// Close frees what the session holds.
	Close() error
}

// Opener makes a model ready in an engine.
type Opener func(ctx context.Context, m *onnxio.Model) (Session, error)

func embedded(ctx context.Context, m *onnxio.Model) (Session, error) {
	s, err := engines.Options{}.Open(ctx, engines.Embedded, m)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// borrower is a session that can compute in memory of its caller, which it
// overwrites whenever it runs.
type borrower interface{ Lend(memory [][]float32) }

// EvaluateIn is Evaluate in the engine that open opens; nil for the embedded one.
func EvaluateIn(
	ctx context.Context, open Opener, m *onnxio.Model, set *data.Set, batch int,
) (metrics Metrics, err error) {
	e, err := newEvaluator(ctx, open, m, set, batch, nil)
	if err != nil {
		return Metrics{}, err
	}
	defer func() { err = errors.Join(err, e.session.Close()) }()
	return e.metrics(ctx)
}

// Logits runs the model as EvaluateIn does and returns what it makes of every
// sample, N × classes, before a final Softmax.
func Logits(
	ctx context.Context, open Opener, m *onnxio.Model, set *data.Set, batch int,
) (classes int, logits []float32, err error) {
	e, err := newEvaluator(ctx, open, m, set, batch, nil)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, e.session.Close()) }()
	err = e.each(ctx, func(width int, rows []float32, _ []int) {
		classes, logits = width, append(logits, rows...)
	})
	return classes, logits, err
}

// Measure returns the metrics of logits, N × classes, for samples of these
// labels, all below classes.
func Measure(classes int, logits []float32, labels []int) Metrics {
	sum := Metrics{}
	sum.add(classes, logits, labels)
	return sum.mean()
}

// evaluator runs a model on the samples of a set, as often as it is asked. Its
// session is to be closed.
type evaluator struct {
	set     *data.Set
	feed    *feeder
	session Session
	input   *onnxio.ValueInfo
	output  string
	x       []float32 // a batch of samples
	labels  []int
	indices []int

	following []int // indices

	// team is the ranks that run the model: each group takes some of the batches. nil for a
	// model that runs by itself.
	team *team
}

// newEvaluator makes one that works in memory, which is its only while it runs,
// before it takes more.
func newEvaluator(ctx context.Context, open Opener, m *onnxio.Model, set *data.Set, batch int,
	memory [][]float32,
) (*evaluator, error) {
	if batch < 0 {
		return nil, fmt.Errorf("batch: %d is negative", batch)
	}
	if batch == 0 {
		batch = 250
	}
	input, err := onlyInput(m)
	if err != nil {
		return nil, err
	}
	if d := input.Type.Shape[0]; d.Known() {
		batch = int(d.Value)
	}
	feed, err := newFeeder(set, sampleShape(input))
	if err != nil {
		return nil, err
	}
	if set.N() == 0 || batch == 0 {
		return nil, errors.New("no samples to evaluate")
	}
	if m, err = endAtLogits(m); err != nil {
		return nil, err
	}
	if open == nil {
		open = embedded
	}
	session, err := open(ctx, m)
	if err != nil {
		return nil, err
	}
	e := &evaluator{
		set: set, feed: feed, session: session, input: input, output: m.Graph.Outputs[0].Name,
		labels: make([]int, batch), indices: make([]int, batch), following: make([]int, batch),
	}
	memory = slices.Clone(memory)
	slices.SortFunc(memory, func(a, b []float32) int { return cmp.Compare(len(a), len(b)) })
	size := batch * product(sampleShape(input))
	if i := slices.IndexFunc(memory, func(m []float32) bool { return len(m) >= size }); i >= 0 {
		e.x, memory = memory[i][:size], slices.Delete(memory, i, i+1)
	} else {
		e.x = make([]float32, size)
	}
	if b, ok := session.(borrower); ok {
		b.Lend(memory)
	}
	return e, nil
}

// each calls visit with the logits of each batch that this rank's group takes, as many rows
// as there are labels.
func (e *evaluator) each(ctx context.Context, visit func(classes int, logits []float32, labels []int)) error {
	defer func() { _ = e.feed.wait() }() // what an error leaves to be made ahead
	group, groups := e.team.groups()
	batch := len(e.labels)
	for first := 0; first < e.set.N(); first += batch * groups {
		at := first + batch*group
		count := min(batch, max(0, e.set.N()-at))
		var err error
		if count > 0 {
			err = e.load(at, count, at+batch*groups)
		}
		running := ctx
		if e.team != nil { // no rank stops half-way
			running = context.WithoutCancel(ctx)
			err = agree(ctx, e.team.all, cmp.Or(err, ctx.Err()))
		}
		if err == nil && count > 0 {
			err = e.run(running, count, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// load loads count samples from at on; the next batch will begin at next.
func (e *evaluator) load(at, count, next int) error {
	indices := e.indices[:count]
	for i := range indices {
		indices[i] = at + i
		e.labels[i] = e.set.Labels[at+i]
	}
	following := e.following[:min(len(e.labels), max(0, e.set.N()-next))]
	for i := range following {
		following[i] = next + i
	}
	return e.feed.fetch(indices, following, e.feed.batch, e.x)
}

// run runs the model on the count samples that are loaded, and calls visit.
func (e *evaluator) run(ctx context.Context, count int, visit func(classes int, logits []float32, labels []int)) error {
	rows := count
	if e.input.Type.Shape[0].Known() {
		rows = len(e.labels) // the last batch is filled up with what was there before
	}
	shape := []int64{int64(rows)}
	for _, d := range sampleShape(e.input) {
		shape = append(shape, int64(d))
	}
	got, err := e.session.Run(ctx,
		[]*onnxio.Tensor{onnxio.NewTensor(e.input.Name, shape, e.x[:rows*product(sampleShape(e.input))])})
	if err != nil {
		return err
	}
	dims := got[0].Dims
	logits, err := onnxio.Floats[float32](got[0])
	if err != nil {
		return err
	}
	if len(logits) == 0 || len(dims) < 2 || dims[0] != int64(rows) {
		return fmt.Errorf("output %q: want a row of logits for each of %d samples, got shape %v", e.output, rows, dims)
	}
	classes := len(logits) / rows
	if classes < e.set.Classes {
		return fmt.Errorf("output %q: the data has %d classes, the model tells %d apart", e.output, e.set.Classes, classes)
	}
	visit(classes, logits[:count*classes], e.labels[:count])
	return nil
}

// metrics measures the model.
func (e *evaluator) metrics(ctx context.Context) (Metrics, error) {
	sum := Metrics{}
	err := e.each(ctx, func(classes int, logits []float32, labels []int) { sum.add(classes, logits, labels) })
	if e.team.isGrouped() {
		err = agree(ctx, e.team.all, err) // a group may have had no batch to find it with
	}
	if err != nil {
		return Metrics{}, err
	}
	sums := []float64{float64(sum.N), sum.Loss, sum.Top1, sum.Top5}
	if err := e.team.sumOverGroups(sums); err != nil {
		return Metrics{}, err
	}
	return Metrics{N: int(sums[0]), Loss: sums[1], Top1: sums[2], Top5: sums[3]}.mean(), nil
}

// add counts a batch in: sums, not means.
func (m *Metrics) add(classes int, logits []float32, labels []int) {
	loss, _ := kernel.CrossEntropy(len(labels), classes, logits, labels, nil)
	m.N += len(labels)
	m.Loss += loss
	for i, label := range labels {
		row := logits[i*classes : (i+1)*classes]
		rank := 0
		for j, v := range row {
			if v > row[label] || (v == row[label] && j < label) || row[label] != row[label] {
				rank++
			}
		}
		if rank < 1 {
			m.Top1++
		}
		if rank < 5 {
			m.Top5++
		}
	}
}

// mean makes means of the sums.
func (m Metrics) mean() Metrics {
	n := float64(m.N)
	return Metrics{N: m.N, Loss: m.Loss / n, Top1: m.Top1 / n, Top5: m.Top5 / n}
}

// endAtLogits returns m, or a copy that stops before its final Softmax.
func endAtLogits(m *onnxio.Model) (*onnxio.Model, error) {
	name, err := logitsOf(m)
	if err != nil || name == m.Graph.Outputs[0].Name {
		return m, err
	}
	c := m.Clone()
	c.Path = "" // it is no longer what that file holds
	c.Graph.Outputs = []*onnxio.ValueInfo{{Name: name}}
	c.Graph.Nodes = c.Graph.Ancestors(name)
	return c, nil
}
