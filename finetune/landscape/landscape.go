// Package landscape looks at the loss between two models of one architecture,
// such as a CNN embedded, what became of it in training, and a standard FCN.
//
// Start with [Interpolate].
//
// # The paths
//
// With A and B the weights of the two models and t from 0 to 1:
//
//   - linear: W(t) = (1−t)·A + t·B.
//   - curvilinear: the same, and then every weight tensor is given the norm
//     (1−t)·‖A‖ + t·‖B‖. Halfway between two trained networks the linear path has
//     smaller weights than either, which alone changes the loss.
//   - average: the models stay as they are, and their outputs are averaged:
//     f(t) = (1−t)·f_A + t·f_B, of the logits before a final Softmax.
//   - string: a path found by training. See [StringOptions].
//
// d'Ascoli, Sagun, Biroli and Bruna (arXiv 1906.06766) look at the paths between
// an eFCN and a standard FCN in these ways; the definitions here are this
// program's own. W(t) is computed in float64 and rounded once, so its ends are A
// and B bit for bit, and a tensor that is the same in both stays as it is.
// Running statistics of a BatchNormalization go linearly on every path.
package landscape

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/constants"
	"efcn/internal/cuda"
	"efcn/onnxio"
)

// Mode names a kind of path.
type Mode string

// The paths: see the package documentation.
const (
	Linear      Mode = "linear"
	Curvilinear Mode = "curvilinear"
	Average     Mode = "average"
	String      Mode = "string"
)

// Modes lists the kinds of path in the order of their documentation.
func Modes() []Mode { return []Mode{Linear, Curvilinear, Average, String} }

// Options say which path is followed and how it is measured.
type Options struct {
	// Mode is the kind of path. Default ("") Linear.
	Mode Mode
	// Points is how many places of the path are measured, both ends among them,
	// at equal distances in t. Default (0) 21.
	Points int
	// Batch is how many samples are run at once when a place is measured.
	// Default (0) 250.
	Batch int
	// Open makes the models of a path ready where they are measured. Default (nil): on the
	// processor.
	Open finetune.Opener
	// Device is the GPU that computes the gradients of a string. Default (nil): the processor.
	Device *cuda.Device
	// String says how a path of mode String is found.
	String StringOptions
	// Progress is called before every place that is measured and every epoch of a
	// string, with how many of how many are done. Default (nil): it is not called.
	Progress func(what string, done, of int)
}

// Validate reports options that make no sense.
func (o Options) Validate() error {
	if o.Mode != "" && !slices.Contains(Modes(), o.Mode) {
		return fmt.Errorf("mode %q: want one of %q", o.Mode, Modes())
	}
	if o.Points != 0 && o.Points < 2 {
		return fmt.Errorf("points: %d; want 2 at least, the two ends", o.Points)
	}
	if o.Batch < 0 {
		return fmt.Errorf("batch: %d is negative", o.Batch)
	}
	if o.mode() != String {
		if o.String != (StringOptions{}) {
			return fmt.Errorf("string options are not for a path of mode %s", o.mode())
		}
		return nil
	}
	return o.String.validate()
}

func (o Options) mode() Mode {
	if o.Mode == "" {
		return Linear
	}
	return o.Mode
}

func (o Options) points() int {
	if o.Points == 0 {
		return 21
	}
	return o.Points
}

func (o Options) progress(what string, done, of int) {
	if o.Progress != nil {
		o.Progress(what, done, of)
	}
}

// Path is what was measured between two models.
type Path struct {
	Mode   Mode
	Points []Point
	// Distance is ‖B − A‖ over all weights, Length that of the path along its
	// places. Both 0 for mode Average, where no weight moves.
	Distance float64
	Length   float64
	// TrainBarrier and TestBarrier are how far the loss rises along the path above
	// the greater of its two ends; 0 where it does not. TestBarrier is nil without
	// test data.
	TrainBarrier float64
	TestBarrier  *float64
}

// Point is one place of a path.
type Point struct {
	T     float64 // 0 at A, 1 at B
	Train finetune.Metrics
	Test  *finetune.Metrics
}

// Interpolate measures the path from model a to model b on train and, unless it
// is nil, on test. The models are not modified. Once what is constant is folded
// they need the same graph: operators, attributes, names of values, and shapes of weights; an error names
// the first place where they differ.
//
// A string is trained on train.
func Interpolate(ctx context.Context, a, b *onnxio.Model, train, test *data.Set, o Options) (*Path, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var err error
	if a, err = constants.Fold(a, constants.Options{KeepSparse: true}); err != nil {
		return nil, fmt.Errorf("a: %w", err)
	}
	if b, err = constants.Fold(b, constants.Options{KeepSparse: true}); err != nil {
		return nil, fmt.Errorf("b: %w", err)
	}
	pair, err := newPair(a, b)
	if err != nil {
		return nil, err
	}
	p := &Path{Mode: o.mode()}
	at, err := p.prepare(ctx, pair, train, test, o)
	if err != nil {
		return nil, err
	}
	for i := range o.points() {
		o.progress("measuring", i, o.points())
		t := float64(i) / float64(o.points()-1)
		q := Point{T: t}
		if q.Train, q.Test, err = at(ctx, t); err != nil {
			return nil, fmt.Errorf("at t = %g: %w", t, err)
		}
		p.Points = append(p.Points, q)
	}
	p.TrainBarrier = barrier(p.Points, func(q Point) float64 { return q.Train.Loss })
	if test != nil {
		height := barrier(p.Points, func(q Point) float64 { return q.Test.Loss })
		p.TestBarrier = &height
	}
	return p, nil
}

// prepare fills in the distance and the length of the path in its mode, and returns what
// measures its places.
func (p *Path) prepare(ctx context.Context, pair *pair, train, test *data.Set, o Options) (metricsAt, error) {
	switch p.Mode {
	case Average:
		return averages(ctx, pair.a, pair.b, train, test, o)
	case String:
		s, err := pair.findString(ctx, train, o)
		if err != nil {
			return nil, err
		}
		p.Distance, p.Length = pair.distance(), s.length()
		return evaluated(s.at, train, test, o), nil
	default:
		curved := p.Mode == Curvilinear
		p.Distance, p.Length = pair.distance(), pair.length(curved, o.points())
		between := func(t float64) (*onnxio.Model, error) { return pair.between(t, curved), nil }
		return evaluated(between, train, test, o), nil
	}
}

// metricsAt measures a place of a path; without test data test is nil.
type metricsAt func(ctx context.Context, t float64) (train finetune.Metrics, test *finetune.Metrics, err error)

// evaluated measures the model at each place.
func evaluated(model func(t float64) (*onnxio.Model, error), train, test *data.Set, o Options) metricsAt {
	return func(ctx context.Context, t float64) (m finetune.Metrics, tested *finetune.Metrics, err error) {
		w, err := model(t)
		if err != nil {
			return m, nil, err
		}
		if m, err = finetune.EvaluateIn(ctx, o.Open, w, train, o.Batch); err != nil || test == nil {
			return m, nil, err
		}
		tested = new(finetune.Metrics)
		*tested, err = finetune.EvaluateIn(ctx, o.Open, w, test, o.Batch)
		return m, tested, err
	}
}

// barrier is how far a loss rises above the greater of its two ends. A loss that
// is not a number counts as infinite.
func barrier(points []Point, loss func(Point) float64) float64 {
	height := func(p Point) float64 {
		if v := loss(p); !math.IsNaN(v) {
			return v
		}
		return math.Inf(1)
	}
	ends := max(height(points[0]), height(points[len(points)-1]))
	top := ends
	for _, p := range points {
		top = max(top, height(p))
	}
	if top == ends { // infinite ones too
		return 0
	}
	return top - ends
}

// averages runs both models once and returns what measures the average of their
// logits.
func averages(ctx context.Context, a, b *onnxio.Model, train, test *data.Set, o Options) (metricsAt, error) {
	type run struct {
		classes int
		a, b    []float32
		labels  []int
	}
	of := func(set *data.Set) (r run, err error) {
		r.labels = set.Labels
		if r.classes, r.a, err = finetune.Logits(ctx, o.Open, a, set, o.Batch); err != nil {
			return r, err
		}
		other := 0
		if other, r.b, err = finetune.Logits(ctx, o.Open, b, set, o.Batch); err == nil && other != r.classes {
			err = errors.New("the models tell different numbers of classes apart")
		}
		return r, err
	}
	measure := func(r run, t float64) finetune.Metrics {
		mixed := make([]float32, len(r.a))
		mix(mixed, r.a, r.b, t)
		return finetune.Measure(r.classes, mixed, r.labels)
	}
	trained, err := of(train)
	if err != nil {
		return nil, err
	}
	var tested run
	if test != nil {
		if tested, err = of(test); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, t float64) (finetune.Metrics, *finetune.Metrics, error) {
		if err := ctx.Err(); err != nil || test == nil {
			return measure(trained, t), nil, err
		}
		m := measure(tested, t)
		return measure(trained, t), &m, nil
	}, nil
}

// mix computes dst = (1−t)·a + t·b in float64, rounded once: a at 0, b at 1.
func mix(dst, a, b []float32, t float64) {
	for i := range dst {
		dst[i] = float32(float64((1-t)*float64(a[i])) + float64(t*float64(b[i]))) // not fused: the same on every machine
	}
}
