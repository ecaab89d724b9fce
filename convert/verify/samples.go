package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"efcn/internal/constants"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// InputShapeError reports that the shape of an input is not known, which Options.InputShapes
// can give.
type InputShapeError struct{ Input, Why string }

func (e *InputShapeError) Error() string { return e.Why }

// feed is one batch of inputs by name, with the number of the first sample.
type feed struct {
	first, size int
	random      int // number of the first sample among the random ones; −1 for given inputs
	arrays      map[string]*array
	whole       map[string]bool // arrays without a batch axis, which all samples share
}

// feeds makes the batches that both models run on: the given inputs, then
// Samples random ones.
func (o *Options) feeds(n *net) ([]feed, error) {
	inputs := n.graph.FeedInputs()
	shapes, leader, err := o.inputShapes(inputs)
	if err != nil {
		return nil, err
	}
	batch, free := o.batch(), shapes[leader][0] < 0
	if !free {
		batch = shapes[leader][0]
	}
	if batch == 0 {
		return nil, fmt.Errorf(
			"input %q: its first axis, the batch, is 0, so there is nothing to run the models on; "+
				"skip float64 and float32 to check the structure alone",
			inputs[leader].Name)
	}
	var all []feed
	first := 0
	if len(o.given) > 0 {
		if all, err = splitGiven(inputs, shapes, o.given, batch, free, o.whole); err != nil {
			return nil, err
		}
		for _, f := range all {
			first += f.size
		}
	}
	if o.samples() == 0 {
		return all, nil
	}
	d := &drawing{options: o, inputs: inputs, shapes: shapes, shared: make([]*array, len(inputs))}
	for i, in := range inputs {
		r, integers := span{}, true // zeros will do where nobody reads them
		if !o.unread[in.Name] || in.Type.Elem.IsFloat() {
			if r, integers, err = n.drawn(in); err != nil {
				return nil, err
			}
		}
		d.ranges, d.integers = append(d.ranges, r), append(d.integers, integers)
		d.random = append(d.random, rand.New(rand.NewPCG(o.Seed, 0x6566636e+uint64(i))))
	}
	for done := 0; done < o.samples(); {
		size := batch
		if free {
			size = min(batch, o.samples()-done)
		}
		all = append(all, d.feed(first, done, size))
		done, first = done+size, first+size
	}
	return all, nil
}

// inputShapes returns the shapes of the inputs, −1 for a batch that is free, and which of them is
// the first with a batch axis.
func (o *Options) inputShapes(inputs []*onnxio.ValueInfo) (shapes [][]int, leader int, err error) {
	if len(inputs) == 0 {
		return nil, 0, fmt.Errorf("the models have no inputs besides their weights")
	}
	leader = -1
	for i, in := range inputs {
		s, err := o.inputShape(in, o.whole[in.Name])
		if err != nil {
			return nil, 0, fmt.Errorf("input %q: %w", in.Name, err)
		}
		shapes = append(shapes, s)
		if o.whole[in.Name] {
			continue
		}
		if leader < 0 {
			leader = i
		}
		if s[0] != shapes[leader][0] {
			return nil, 0, fmt.Errorf("inputs %q and %q have different first axes (%d and %d); want one batch",
				inputs[leader].Name, in.Name, shapes[leader][0], s[0])
		}
	}
	if leader < 0 {
		return nil, 0, fmt.Errorf("no input has a batch axis")
	}
	return shapes, leader, nil
}

// drawing draws random samples.
type drawing struct {
	options  *Options
	inputs   []*onnxio.ValueInfo
	shapes   [][]int
	random   []*rand.Rand // of each input its own, whatever the batch
	shared   []*array     // those without a batch axis: the same in every batch
	ranges   []span
	integers []bool
}

// feed draws a batch: first is the number of its first sample, done that among the random ones.
func (d *drawing) feed(first, done, size int) feed {
	whole := d.options.whole
	f := feed{first: first, size: size, random: done, arrays: make(map[string]*array), whole: whole}
	for i, in := range d.inputs {
		if d.shared[i] != nil {
			f.arrays[in.Name] = d.shared[i]
			continue
		}
		t, samples := &array{Type: in.Type.Elem, Shape: d.shapes[i]}, 1
		if whole[in.Name] {
			d.shared[i] = t
		} else {
			t.Shape, samples = append([]int{size}, d.shapes[i][1:]...), size
		}
		count := product(t.Shape)
		if in.Type.Elem.IsFloat() {
			t.F = make([]float32, count)
		} else {
			t.I = make([]int64, count)
		}
		each := count / samples
		for s := range samples {
			number := done + s
			if whole[in.Name] {
				number = 0
			}
			switch {
			case !d.integers[i] && d.options.within[in.Name] != [2]float64{}:
				randomWithin(d.random[i], number, t.F[s*each:(s+1)*each], d.options.within[in.Name])
			case !d.integers[i]:
				randomSample(d.random[i], number, t.F[s*each:(s+1)*each], d.options.largeScale())
			case t.F != nil:
				randomIntegers(d.random[i], number, d.ranges[i],
					func(k int, v int64) { t.F[s*each+k] = float32(v) }, each)
			default:
				randomIntegers(d.random[i], number, d.ranges[i],
					func(k int, v int64) { t.I[s*each+k] = v }, each)
			}
		}
		f.arrays[in.Name] = t
	}
	return f
}

// settleBatch notes which inputs have no batch axis: see [shape.FindBatch].
func (o *Options) settleBatch(m *onnxio.Model) error {
	info, err := shape.Infer(m, shape.Options{Inputs: o.InputShapes, Evaluate: constants.Evaluate})
	if err != nil { // then what is declared has to do
		info = nil
	}
	declared := make(map[string]onnxio.TensorType)
	for _, v := range m.Graph.FeedInputs() {
		declared[v.Name] = v.Type
	}
	b, err := shape.FindBatch(m.Graph, o.BatchAxes, func(name string) onnxio.TensorType {
		if info == nil {
			return declared[name]
		}
		t, _ := info.Type(name)
		return t
	})
	o.whole, o.unread = b.Without, make(map[string]bool)
	for _, name := range m.Graph.UnreadInputs() {
		o.unread[name] = true
	}
	return err
}

// smaller cuts batches of a free size into some of at most that many samples.
func smaller(feeds []feed, batch int) []feed {
	var all []feed
	for _, f := range feeds {
		for at := 0; at < f.size; at += batch {
			part := feed{
				first: f.first + at, size: min(batch, f.size-at), random: f.random,
				arrays: make(map[string]*array), whole: f.whole,
			}
			if part.random >= 0 {
				part.random += at
			}
			for name, a := range f.arrays {
				if f.whole[name] {
					part.arrays[name] = a
					continue
				}
				each := a.Len() / f.size
				p := &array{Type: a.Type, Shape: append([]int{part.size}, a.Shape[1:]...)}
				if a.Type.IsFloat() {
					p.F = a.F[at*each : (at+part.size)*each]
				} else {
					p.I = a.I[at*each : (at+part.size)*each]
				}
				part.arrays[name] = p
			}
			all = append(all, part)
		}
	}
	return all
}

// pick returns the samples of those numbers, by input; nil if there are none.
func pick(feeds []feed, numbers []int) map[string]*array {
	if len(numbers) == 0 {
		return nil
	}
	all := make(map[string]*array)
	for _, f := range feeds {
		for s := range f.size {
			if !slices.Contains(numbers, f.first+s) {
				continue
			}
			for name, a := range f.arrays {
				if f.whole[name] {
					all[name] = a
					continue
				}
				p := all[name]
				if p == nil {
					p = &array{Type: a.Type, Shape: append([]int{0}, a.Shape[1:]...)}
					all[name] = p
				}
				each := a.Len() / f.size
				p.Shape[0]++
				if a.Type.IsFloat() {
					p.F = append(p.F, a.F[s*each:(s+1)*each]...)
				} else {
					p.I = append(p.I, a.I[s*each:(s+1)*each]...)
				}
			}
		}
	}
	return all
}

// freeBatch reports whether the models take any number of samples at a time.
func (o *Options) freeBatch(inputs []*onnxio.ValueInfo) bool {
	for _, in := range inputs {
		if !o.whole[in.Name] {
			s, err := o.inputShape(in, false)
			return err == nil && s[0] < 0
		}
	}
	return false
}

// largeScale is how much larger than others a large random sample is. In 16 bits none is:
// float16 ends at 65504, and what a Softmax makes of large numbers their rounding decides.
func (o *Options) largeScale() float32 {
	if o.As != onnxio.Undefined {
		return 1
	}
	return 1024
}

// randomSample fills x with random numbers; what kind depends on the sample's
// number, so that any 8 in a row have all kinds: normal (three of them, one
// of which tie moves), uniform on [−1, 1), uniform on [0, 1) as pixels are, nine of ten zero, large,
// tiny. Sample 7 is all zeros.
func randomSample(r *rand.Rand, sample int, x []float32, large float32) {
	for i := range x {
		v := float32(r.NormFloat64())
		switch sample % 8 {
		case 2:
			v = 2*r.Float32() - 1
		case 3:
			v = r.Float32()
		case 4:
			if r.IntN(10) != 0 {
				v = 0
			}
		case 5:
			v *= large
		case 6:
			v *= 1.0 / 1024
		case 7:
			if sample == 7 {
				v = 0
			}
		}
		x[i] = v
	}
}

// randomWithin fills x with random numbers within a range, by the number of the sample as
// randomSample does: normal around the middle, a third of the way to the ends its deviation; uniform;
// nine of ten zero; normal around zero; tiny; all zero.
func randomWithin(r *rand.Rand, sample int, x []float32, within [2]float64) {
	lo, hi := within[0], within[1]
	for i := range x {
		normal, v := (hi-lo)/6*r.NormFloat64(), lo+(hi-lo)*r.Float64()
		switch sample % 8 {
		case 0, 1:
			v = (lo+hi)/2 + normal
		case 4:
			if r.IntN(10) != 0 {
				v = 0
			}
		case 5:
			v = normal
		case 6:
			v /= 1024
		case 7:
			if sample == 7 {
				v = 0
			}
		}
		x[i] = float32(max(lo, min(v, hi)))
	}
}

// inputShape returns the shape of an input with −1 for a batch that is free. One
// that is whole has no batch axis.
func (o *Options) inputShape(in *onnxio.ValueInfo, whole bool) ([]int, error) {
	given := o.InputShapes[in.Name]
	if !in.Type.HasShape && given == nil {
		if whole && o.unread[in.Name] {
			return []int{}, nil
		}
		return nil, &InputShapeError{in.Name, "its shape is not known; give it"}
	}
	rank := len(in.Type.Shape)
	if given != nil {
		if in.Type.HasShape && len(given) != rank {
			return nil, fmt.Errorf("the shape %v given for it has %d axes; want %d", given, len(given), rank)
		}
		rank = len(given)
	}
	if rank == 0 && !whole {
		return nil, fmt.Errorf("it has no batch axis")
	}
	shape := make([]int, rank)
	for i := range shape {
		d := onnxio.Symbol("")
		if in.Type.HasShape {
			d = in.Type.Shape[i]
		}
		if given != nil && given[i] >= 0 {
			if d.Known() && d.Value != given[i] {
				return nil, fmt.Errorf("the shape %v given for it does not fit dimension %d, which is %d", given, i,
					d.Value)
			}
			d = onnxio.Fixed(given[i])
		}
		shape[i] = int(d.Value)
		if !d.Known() && (i > 0 || whole) && o.unread[in.Name] {
			shape[i] = 1 // any will do
			continue
		}
		if !d.Known() && (i > 0 || whole) {
			return nil, &InputShapeError{in.Name, fmt.Sprintf("dimension %d (%q) is not a number; fix it", i, d.Param)}
		}
	}
	return shape, nil
}

// splitGiven cuts given arrays into batches.
func splitGiven(inputs []*onnxio.ValueInfo, shapes [][]int, given map[string]*array, batch int, free bool,
	whole map[string]bool,
) ([]feed, error) {
	n, err := givenSamples(inputs, shapes, given, whole)
	if err != nil {
		return nil, err
	}
	if !free && n%batch != 0 {
		return nil, fmt.Errorf("%d samples are given; the models take exactly %d at a time", n, batch)
	}
	var all []feed
	for first := 0; first < n; first += batch {
		f := feed{first: first, size: min(batch, n-first), random: -1, arrays: make(map[string]*array), whole: whole}
		for _, in := range inputs {
			a := given[in.Name]
			if whole[in.Name] {
				f.arrays[in.Name] = a
				continue
			}
			each := a.Len() / n
			part := &array{Type: a.Type, Shape: append([]int{f.size}, a.Shape[1:]...)}
			if a.Type.IsFloat() {
				part.F = a.F[first*each : (first+f.size)*each]
			} else {
				part.I = a.I[first*each : (first+f.size)*each]
			}
			f.arrays[in.Name] = part
		}
		all = append(all, f)
	}
	return all, nil
}

// givenSamples checks the arrays given and returns how many samples they hold.
func givenSamples(inputs []*onnxio.ValueInfo, shapes [][]int, given map[string]*array,
	whole map[string]bool,
) (int, error) {
	n := -1
	for i, in := range inputs {
		a := given[in.Name]
		if a == nil {
			return 0, fmt.Errorf("input %q is not among the given inputs", in.Name)
		}
		if err := a.Validate(); err != nil {
			return 0, fmt.Errorf("input %q: %w", in.Name, err)
		}
		want := shapes[i]
		if whole[in.Name] {
			if !slices.Equal(a.Shape, want) {
				return 0, fmt.Errorf("input %q, which has no batch axis: the array given has shape %v; want %v",
					in.Name, a.Shape, want)
			}
			continue
		}
		fits := len(a.Shape) == len(want)
		for k := 1; fits && k < len(want); k++ {
			fits = a.Shape[k] == want[k]
		}
		if !fits {
			return 0, fmt.Errorf("input %q: the array given has shape %v; want N×%v", in.Name, a.Shape, want[1:])
		}
		if n >= 0 && a.Shape[0] != n {
			return 0, fmt.Errorf("input %q: %d samples are given, of other inputs %d", in.Name, a.Shape[0], n)
		}
		n = a.Shape[0]
	}
	for name := range given {
		known := false
		for _, in := range inputs {
			known = known || in.Name == name
		}
		if !known {
			return 0, fmt.Errorf("the models have no input %q", name)
		}
	}
	return n, nil
}

// at returns a batch at the precision T.
func at[T kernel.Float](f feed) map[string]*engine.Tensor[T] {
	arrays := make(map[string]*engine.Tensor[T], len(f.arrays))
	for name, a := range f.arrays {
		arrays[name] = convertTensor[T](a)
	}
	return arrays
}

// convertTensor returns the tensor at another precision; integers are shared.
func convertTensor[T, S kernel.Float](a *engine.Tensor[S]) *engine.Tensor[T] {
	if same, ok := any(a).(*engine.Tensor[T]); ok {
		return same
	}
	t := &engine.Tensor[T]{Type: a.Type, Shape: a.Shape, I: a.I}
	if a.Type.IsFloat() {
		t.F = make([]T, len(a.F))
		for i, v := range a.F {
			t.F[i] = T(v)
		}
	}
	return t
}
