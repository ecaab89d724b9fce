package verify

import (
	"context"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// tieRounds is how often a tie is brought closer. Interpolation gets to the
// neighbourhood of a float32 in about so many steps.
const tieRounds = 8

// tied says of a random sample, by its number, that tie moves it.
func tied(sample int) bool { return sample%8 == 1 }

// tie moves every eighth random sample to where a ReLU is about to switch or two
// candidates of a MaxPool are about as large: on the line to another sample, the
// point where one element of what such a node takes is closest to zero, or two
// neighbours closest to each other. Rounding decides there which way it goes.
//
// It returns how far from its tie each of them is. It needs models that take any number of samples.
// Integers among the inputs are not moved.
func (v *verifier) tie(ctx context.Context) ([]float64, error) {
	inputs := v.cnn.graph.FeedInputs()
	targets := v.tieTargets()
	if len(targets) == 0 || !v.options.freeBatch(inputs) || v.report.OneAtATime != "" {
		return nil, nil
	}
	var places []tieSample
	for i := range v.feeds {
		f := &v.feeds[i]
		for s := range f.size {
			if f.random >= 0 && tied(f.random+s) {
				places = append(places, tieSample{f, s})
			}
		}
	}
	if len(places) == 0 {
		return nil, nil
	}
	e, err := newObserver[float32](v.cnn)
	if err != nil {
		return nil, err
	}
	from, to, at := v.tieEnds(inputs, places)
	t := &tieSearch{targets: targets, lines: make([]tieLine, len(places))}
	for _, ends := range []struct {
		x   map[string]*array
		pos float64
	}{{from, 0}, {to, 1}} {
		if err := t.observe(ctx, e, ends.x, func(int) float64 { return ends.pos }); err != nil {
			return nil, err
		}
	}
	for range tieRounds {
		for name, x := range at {
			if v.options.whole[name] {
				continue
			}
			each := len(x.F) / len(places)
			for k := range places {
				s := float32(t.lines[k].next())
				for i := k * each; i < (k+1)*each; i++ {
					x.F[i] = (1-s)*from[name].F[i] + s*to[name].F[i]
				}
			}
		}
		if err := t.observe(ctx, e, at, func(k int) float64 { return t.lines[k].next() }); err != nil {
			return nil, err
		}
	}
	v.moveToTies(t, places, from, to)
	var gaps []float64
	for k := range t.lines {
		gaps = append(gaps, t.lines[k].bestGap)
	}
	return gaps, nil
}

// tieEnds returns the samples that are moved, those at the other ends of their lines, and arrays for
// the points in between.
func (v *verifier) tieEnds(inputs []*onnxio.ValueInfo, places []tieSample) (from, to, at map[string]*array) {
	from, to, at = make(map[string]*array), make(map[string]*array), make(map[string]*array)
	for _, in := range inputs {
		one := places[0].array(in.Name)
		if v.options.whole[in.Name] {
			from[in.Name], to[in.Name], at[in.Name] = one, one, one
			continue
		}
		a := &array{Type: one.Type, Shape: append([]int{len(places)}, one.Shape[1:]...)}
		for _, p := range places {
			a.F = append(a.F, p.sample(in.Name)...)
			a.I = append(a.I, p.integers(in.Name)...) // they stay as they are
		}
		b := &array{Type: a.Type, Shape: a.Shape, F: slices.Clone(a.F), I: a.I}
		slices.Reverse(b.F)
		from[in.Name], to[in.Name] = a, b
		at[in.Name] = &array{Type: a.Type, Shape: a.Shape, F: slices.Clone(a.F), I: a.I}
	}
	return from, to, at
}

// moveToTies moves the samples to the points that were found.
func (v *verifier) moveToTies(t *tieSearch, places []tieSample, from, to map[string]*array) {
	for _, in := range v.cnn.graph.FeedInputs() {
		if v.options.whole[in.Name] {
			continue
		}
		for k, p := range places {
			if l := &t.lines[k]; l.found {
				s := float32(l.best)
				moved := p.sample(in.Name)
				for i := range moved {
					j := k*len(moved) + i
					moved[i] = (1-s)*from[in.Name].F[j] + s*to[in.Name].F[j]
				}
			}
		}
	}
}

// tieSample is a sample of a feed.
type tieSample struct {
	feed   *feed
	offset int
}

func (p tieSample) array(name string) *array { return p.feed.arrays[name] }

func (p tieSample) sample(name string) []float32 {
	a := p.array(name)
	each := len(a.F) / a.Shape[0]
	return a.F[p.offset*each : (p.offset+1)*each]
}

func (p tieSample) integers(name string) []int64 {
	a := p.array(name)
	each := len(a.I) / a.Shape[0]
	return a.I[p.offset*each : (p.offset+1)*each]
}

// tie is where rounding decides which way an operator goes.
type tie int

const (
	noTie           tie = iota
	atZero              // of an element
	amongNeighbours     // that are about equal
)

// tieTargets lists the values that a ReLU or a MaxPool takes.
func (v *verifier) tieTargets() []tieTarget {
	var targets []tieTarget
	for _, node := range v.cnn.graph.Nodes {
		if tie := operatorOf(node).tie; tie != noTie && v.cnn.Producer(node.Input(0)) != nil {
			targets = append(targets, tieTarget{node.Input(0), tie == amongNeighbours})
		}
	}
	return targets
}

// tieTarget is a value of which an element is to be zero, or two neighbours equal.
type tieTarget struct {
	value string
	pairs bool
}

// gap returns what is to be zero at element i of a sample.
func (t tieTarget) gap(sample []float32, i int) float64 {
	if t.pairs && i+1 < len(sample) {
		return float64(sample[i]) - float64(sample[i+1])
	}
	return float64(sample[i])
}

// tieLine is the search along one line, from position 0 to position 1.
type tieLine struct {
	found     bool // an element with different signs at the ends
	first     []float32
	element   int
	lo, hi    float64 // positions with gaps of different signs
	gLo, gHi  float64
	best      float64
	bestGap   float64
	bisecting bool
}

// next is the position to try: by turns where the line through both ends is zero,
// and their middle.
func (l *tieLine) next() float64 {
	if l.bisecting || l.gHi == l.gLo {
		return (l.lo + l.hi) / 2
	}
	return l.lo - l.gLo*(l.hi-l.lo)/(l.gHi-l.gLo)
}

// tieSearch searches along one line for every sample at once.
type tieSearch struct {
	targets []tieTarget
	lines   []tieLine
}

// observe runs the CNN on one point of every line.
func (t *tieSearch) observe(ctx context.Context, e observer[float32], x map[string]*array,
	at func(k int) float64,
) error {
	positions := make([]float64, len(t.lines))
	for k := range positions {
		positions[k] = at(k)
	}
	_, err := e.Observe(ctx, x, func(name string, v *engine.Tensor[float32]) error {
		for k := range t.lines {
			target := t.targets[k%len(t.targets)]
			if name != target.value || v.Type != onnxio.Float32 || len(v.Shape) == 0 || v.Shape[0] != len(t.lines) {
				continue
			}
			each := len(v.F) / len(t.lines)
			t.lines[k].take(target, v.F[k*each:(k+1)*each], positions[k])
		}
		return nil
	})
	return err
}

// take notes what a sample of the target's value is at a position.
func (l *tieLine) take(target tieTarget, sample []float32, at float64) {
	if at == 0 {
		l.first = slices.Clone(sample)
		return
	}
	if at == 1 {
		for i := range sample {
			i = (i + len(sample)/3) % len(sample)
			a, b := target.gap(l.first, i), target.gap(sample, i)
			if a*b < 0 && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
				*l = tieLine{found: true, element: i, hi: 1, gLo: a, gHi: b, bestGap: math.Inf(1)}
				return
			}
		}
		return
	}
	if !l.found {
		return
	}
	g := target.gap(sample, l.element)
	if math.Abs(g) < l.bestGap {
		l.best, l.bestGap = at, math.Abs(g)
	}
	l.bisecting = !l.bisecting
	if g*l.gLo > 0 {
		l.lo, l.gLo = at, g
	} else if g != 0 {
		l.hi, l.gHi = at, g
	}
}
