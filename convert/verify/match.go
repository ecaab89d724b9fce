package verify

import (
	"context"
	"maps"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
)

// conclusiveShare is the part of a sample's scale beyond which a bound says nothing: two
// values that are further apart than that are not taken for one because rounding
// might explain it. See sampleScales. In a narrow type it is 2⁸ of its units, 2⁻³ in
// float16 and 1 in bfloat16, as a layer may add up a hundred times what it comes to.
func (a arithmetic) conclusiveShare() float64 {
	if a.narrow != nil {
		return math.Min(1, 0x1p8*a.narrow.unit)
	}
	return 0x1p-10
}

// mostNear is the part of a value's elements of which no more may lie on the other
// side of a step for it to be taken for the same value.
const mostNear = 8

// matcher finds which values of a second model are values of the first,
// whatever they are called: those of one size that agree in double precision, on
// all samples, within the bound on rounding.
//
// The second model is run node by node, and what agrees is replaced by the first
// model's own, so that bounds start again there. A pair that is matched by chance
// costs nothing: it is within the bound, and what follows it is compared.
type matcher struct {
	*verifier
	// candidates are the values of the first model that a value of the second has
	// agreed with so far, in the order of the first model's graph.
	candidates map[string][]string
}

// match fills in v.matched. Outputs are matched as signature says, whether or not
// they agree.
func (v *verifier) match(ctx context.Context) error {
	v.matched = make(map[string]string)
	v.agreed = make(map[string]bool)
	feeds, why := v.fit(8)
	if v.unmatched = why; why == "" {
		m := &matcher{verifier: v, candidates: make(map[string][]string)}
		if err := m.run(ctx, feeds); err != nil {
			return err
		}
	}
	for first, second := range v.signature.outputs {
		if v.efcn.Producer(second) != nil {
			v.matched[second] = first
		}
	}
	return nil
}

func (m *matcher) run(ctx context.Context, feeds []feed) error {
	first, err := newObserver[float64](m.cnn)
	if err != nil {
		return named(m.cnn.model, err)
	}
	second := newRunner[float64](m.efcn)
	second.ran, second.rounds = m.meter.tick, narrowOf(m.options.As) != nil
	m.meter.begin("matching", len(feeds)*(len(m.cnn.graph.Nodes)+len(m.efcn.graph.Nodes)))
	for i, f := range feeds {
		if err := m.batch(ctx, first, second, f, i == 0); err != nil {
			return err
		}
	}
	taken := make(map[string]bool)
	for _, node := range m.efcn.graph.Nodes {
		for _, name := range node.Outputs {
			if a := pickOne(name, m.candidates[name], taken); a != "" {
				m.matched[name] = a
				m.agreed[a] = true
			}
		}
	}
	return nil
}

// pickOne chooses among candidates: that of the same name, else the first that
// no other value was matched with, else the first.
func pickOne(name string, candidates []string, taken map[string]bool) string {
	if len(candidates) == 0 {
		return ""
	}
	pick := candidates[0]
	if i := slices.IndexFunc(candidates, func(c string) bool { return !taken[c] }); i >= 0 {
		pick = candidates[i]
	}
	if slices.Contains(candidates, name) {
		pick = name
	}
	taken[pick] = true
	return pick
}

// batch runs both models on one batch and drops the candidates that do not agree.
func (m *matcher) batch(ctx context.Context, e observer[float64], second *runner[float64], f feed, all bool) error {
	x := at[float64](f)
	own := maps.Clone(x)
	bySize := make(map[int][]string)
	_, err := e.Observe(ctx, x, func(name string, v *engine.Tensor[float64]) error {
		own[name] = keep(v)
		m.meter.tick()
		bySize[v.Len()] = append(bySize[v.Len()], name)
		return nil
	})
	if err != nil {
		return named(m.cnn.model, err)
	}
	b := &batchMatcher{matcher: m, own: own, scales: make(map[string][]float64), bounds: m.matchBounds(own)}
	outputs := make(map[string]string)
	for a, other := range m.signature.outputs {
		outputs[other] = a
	}
	taken := make(map[string]bool)
	return second.run(ctx, pass[float64]{
		feedsOf(m.signature, x),
		func(name string, v *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
			if all {
				m.candidates[name] = slices.Clone(bySize[v.Len()])
				if a := outputs[name]; a != "" {
					m.candidates[name] = []string{a}
				}
			}
			if err := b.dropUnlike(name, v); err != nil {
				return nil, err
			}
			a := pickOne(name, m.candidates[name], taken)
			if a == "" {
				return v, nil
			}
			b.bounds.startAt(a)
			return standIn(own[a], v), nil
		},
	})
}

// matchBounds returns the bounds on rounding in double precision of the first model's
// values.
func (m *matcher) matchBounds(values map[string]*engine.Tensor[float64]) *bounds {
	b := &bounds{
		bounder: &bounder{
			arithmetic: m.arithmetic(arithmeticOf[float64]()), net: m.cnn,
			abs:      make(map[string]*engine.Tensor[float64]),
			replaced: func(string) bool { return false },
		},
		values: activationsOf[float64](values), known: make(map[string][]float64), reset: make(map[string]bool),
	}
	b.parameters = 0x1p-24
	// Whether the second model has a value is known once it is matched.
	b.hidden = func(name string) bool { return !b.reset[name] }
	return b
}

// startAt makes bounds start again at a value.
func (b *bounds) startAt(name string) {
	if !b.reset[name] {
		b.reset[name] = true
		clear(b.known)
	}
}

// batchMatcher compares the values of a second model with those of the first on one
// batch.
type batchMatcher struct {
	*matcher
	own    map[string]*engine.Tensor[float64] // the first model's values
	scales map[string][]float64               // theirs, by sample
	bounds *bounds
}

// dropUnlike drops the candidates that do not agree with a value of the second model.
func (b *batchMatcher) dropUnlike(name string, v *engine.Tensor[float64]) error {
	var agree []string
	for _, a := range b.candidates[name] {
		own := b.own[a]
		if own == nil || own.Len() != v.Len() {
			continue
		}
		if b.scales[a] == nil {
			b.scales[a] = sampleScales(own)
		}
		same, err := agrees(own, v, b.scales[a], b.bounds.conclusiveShare(), func() ([]float64, []int, error) {
			d, err := b.bounds.of(a)
			return d, b.bounds.nearSteps[a], err
		})
		if err != nil {
			return err
		}
		if same {
			agree = append(agree, a)
		}
	}
	b.candidates[name] = agree
	return nil
}

// keep copies a value that is only valid during a call.
func keep[T kernel.Float](v *engine.Tensor[T]) *engine.Tensor[T] {
	return &engine.Tensor[T]{Type: v.Type, Shape: slices.Clone(v.Shape), F: slices.Clone(v.F), I: slices.Clone(v.I)}
}

// sampleScales returns the scale of every sample of a value: its largest finite
// magnitude or, if that is more, the median of those of the batch. A sample on
// which a Relu leaves nothing but what rounding made of a sum near zero has no
// scale of its own.
func sampleScales[T kernel.Float](v *engine.Tensor[T]) []float64 {
	scales := make([]float64, samplesOf(v.Shape))
	for i, x := range v.F {
		if s, m := i*len(scales)/len(v.F), math.Abs(float64(x)); m > scales[s] && !math.IsInf(m, 1) {
			scales[s] = m
		}
	}
	if len(scales) > 0 {
		median := slices.Sorted(slices.Values(scales))[(len(scales)-1)/2]
		for s := range scales {
			scales[s] = max(scales[s], median)
		}
	}
	return scales
}

// agrees reports whether two values are equal within the bound, where that says
// anything, or is that of a step which an element is near to. The bound, and which
// elements are near one, is asked for only of values that are close.
func agrees(a, b *engine.Tensor[float64], scales []float64, share float64,
	bound func() ([]float64, []int, error),
) (bool, error) {
	if a.Type.IsFloat() != b.Type.IsFloat() {
		return false, nil
	}
	n, exact := a.Len(), true
	var far []int // further apart than a bound that says anything
	for i := range n {
		diff := differ(a, b, i)
		if diff == 0 {
			continue
		}
		exact = false
		if !a.Type.IsFloat() || diff > share*scales[i*len(scales)/n] {
			if far = append(far, i); len(far) > n/mostNear {
				return false, nil
			}
		}
	}
	if exact {
		return true, nil
	}
	d, near, err := bound()
	if d == nil || err != nil {
		return false, err
	}
	for _, i := range far {
		if _, ok := slices.BinarySearch(near, i); !ok || math.IsInf(d[i], 1) {
			return false, nil
		}
	}
	for i := range n {
		_, stepped := slices.BinarySearch(near, i)
		if diff := differ(a, b, i); diff > d[i] ||
			diff != 0 && !stepped && d[i] > share*scales[i*len(scales)/n] {
			return false, nil
		}
	}
	return true, nil
}

// holds returns the value of the CNN that a value of the eFCN stands for: with a
// record by its name, else by what was matched.
func (v *verifier) holds(cnn *net) func(name string) (string, bool) {
	if v.record != nil {
		return cnn.valueOf
	}
	return func(name string) (string, bool) {
		a, ok := v.matched[name]
		return a, ok
	}
}

// paired reports whether it is known, without a look at what they hold, which value of the second
// model is which of the first: from a record, or as the second is the first, quantized.
func (v *verifier) paired() bool { return v.record != nil || v.quant != nil }

// renamed counts the values that agree under different names.
func (v *verifier) renamed() int {
	n := 0
	for second, first := range v.matched {
		if second != first && v.agreed[first] {
			n++
		}
	}
	return n
}
