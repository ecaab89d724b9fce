package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Array is one input given to Verify: row-major, with the batch axis.
type Array = engine.Tensor[float32]

// feed is one batch of inputs by name, with the number of the first sample.
type feed struct {
	first, size int
	random      int // number of the first sample among the random ones; −1 for given inputs
	arrays      map[string]*Array
}

// feeds makes the batches that both models run on: the given inputs, then
// Samples random ones.
func (o *Options) feeds(inputs []*onnxio.ValueInfo) ([]feed, error) {
	shapes := make([][]int, len(inputs)) // −1 for a batch that is free
	for i, in := range inputs {
		s, err := o.inputShape(in)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		if shapes[i] = s; s[0] != shapes[0][0] {
			return nil, fmt.Errorf("inputs %q and %q have different first axes (%d and %d); the first axis of every input is taken for the batch", inputs[0].Name, in.Name, shapes[0][0], s[0])
		}
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("the models have no inputs besides their weights")
	}
	batch := o.batch()
	free := shapes[0][0] < 0
	if !free {
		batch = shapes[0][0]
	}
	if batch == 0 {
		return nil, fmt.Errorf("input %q: its first axis, the batch, is 0, so there is nothing to run the models on; skip float64 and float32 to check the structure alone", inputs[0].Name)
	}
	var all []feed
	first := 0
	if len(o.Inputs) > 0 {
		given, err := splitGiven(inputs, shapes, o.Inputs, batch, free)
		if err != nil {
			return nil, err
		}
		all = append(all, given...)
		for _, f := range given {
			first += f.size
		}
	}
	random := make([]*rand.Rand, len(inputs)) // each its own, whatever the batch
	for i := range random {
		random[i] = rand.New(rand.NewPCG(o.Seed, 0x6566636e+uint64(i)))
	}
	for done := 0; done < o.samples(); {
		size := batch
		if free {
			size = min(batch, o.samples()-done)
		}
		f := feed{first: first, size: size, random: done, arrays: make(map[string]*Array)}
		for i, in := range inputs {
			if !in.Type.Elem.IsFloat() {
				return nil, fmt.Errorf("input %q is %s; random numbers are made for floating-point inputs only; give arrays with --inputs, and --samples 0", in.Name, in.Type.Elem)
			}
			t := &Array{Type: in.Type.Elem, Shape: append([]int{size}, shapes[i][1:]...)}
			t.F = make([]float32, product(t.Shape))
			for s := range size {
				each := len(t.F) / size
				randomSample(random[i], done+s, t.F[s*each:(s+1)*each])
			}
			f.arrays[in.Name] = t
		}
		all = append(all, f)
		done, first = done+size, first+size
	}
	return all, nil
}

// smaller cuts batches of a free size into some of at most that many samples.
func smaller(feeds []feed, batch int) []feed {
	var all []feed
	for _, f := range feeds {
		for at := 0; at < f.size; at += batch {
			part := feed{first: f.first + at, size: min(batch, f.size-at), random: f.random, arrays: make(map[string]*Array)}
			if part.random >= 0 {
				part.random += at
			}
			for name, a := range f.arrays {
				each := a.Len() / f.size
				p := &Array{Type: a.Type, Shape: append([]int{part.size}, a.Shape[1:]...)}
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
func pick(feeds []feed, numbers []int) map[string]*Array {
	if len(numbers) == 0 {
		return nil
	}
	all := make(map[string]*Array)
	for _, f := range feeds {
		for s := range f.size {
			if !slices.Contains(numbers, f.first+s) {
				continue
			}
			for name, a := range f.arrays {
				p := all[name]
				if p == nil {
					p = &Array{Type: a.Type, Shape: append([]int{0}, a.Shape[1:]...)}
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

// freeBatch says whether the models take any number of samples at a time.
func (o *Options) freeBatch(inputs []*onnxio.ValueInfo) bool {
	s, err := o.inputShape(inputs[0])
	return err == nil && s[0] < 0
}

// randomSample fills x with random numbers; what kind depends on the sample's
// number, so that any 8 in a row have all kinds: normal (three of them, one
// of which tie moves), uniform on [−1, 1), uniform on [0, 1) as pixels are, nine of ten zero, large,
// tiny. Sample 7 is all zeros.
func randomSample(r *rand.Rand, sample int, x []float32) {
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
			v *= 1024
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

// inputShape returns the shape of an input with −1 for a batch that is free.
func (o *Options) inputShape(in *onnxio.ValueInfo) ([]int, error) {
	given := o.InputShapes[in.Name]
	if !in.Type.HasShape && given == nil {
		return nil, fmt.Errorf("its shape is not known; give it with --input-shape %s=DIMS", in.Name)
	}
	rank := len(in.Type.Shape)
	if given != nil {
		if in.Type.HasShape && len(given) != rank {
			return nil, fmt.Errorf("the shape %v given for it has %d axes; want %d", given, len(given), rank)
		}
		rank = len(given)
	}
	if rank == 0 {
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
				return nil, fmt.Errorf("the shape %v given for it does not fit dimension %d, which is %d", given, i, d.Value)
			}
			d = onnxio.Fixed(given[i])
		}
		shape[i] = int(d.Value)
		if !d.Known() && i > 0 {
			return nil, fmt.Errorf("dimension %d (%q) is not a number; fix it with --input-shape %s=DIMS", i, d.Param, in.Name)
		}
	}
	return shape, nil
}

// splitGiven cuts given arrays into batches.
func splitGiven(inputs []*onnxio.ValueInfo, shapes [][]int, given map[string]*Array, batch int, free bool) ([]feed, error) {
	n := -1
	for i, in := range inputs {
		a := given[in.Name]
		if a == nil {
			return nil, fmt.Errorf("input %q is not among the given inputs", in.Name)
		}
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		want := shapes[i]
		fits := len(a.Shape) == len(want)
		for k := 1; fits && k < len(want); k++ {
			fits = a.Shape[k] == want[k]
		}
		if !fits {
			return nil, fmt.Errorf("input %q: the array given has shape %v; want N×%v", in.Name, a.Shape, want[1:])
		}
		if n >= 0 && a.Shape[0] != n {
			return nil, fmt.Errorf("input %q: %d samples are given, of other inputs %d", in.Name, a.Shape[0], n)
		}
		n = a.Shape[0]
	}
	for name := range given {
		known := false
		for _, in := range inputs {
			known = known || in.Name == name
		}
		if !known {
			return nil, fmt.Errorf("the models have no input %q", name)
		}
	}
	if !free && n%batch != 0 {
		return nil, fmt.Errorf("%d samples are given; the models take exactly %d at a time", n, batch)
	}
	var all []feed
	for first := 0; first < n; first += batch {
		f := feed{first: first, size: min(batch, n-first), random: -1, arrays: make(map[string]*Array)}
		for _, in := range inputs {
			a := given[in.Name]
			each := a.Len() / n
			part := &Array{Type: a.Type, Shape: append([]int{f.size}, a.Shape[1:]...)}
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
