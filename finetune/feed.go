package finetune

import (
	"fmt"
	"slices"

	"efcn/finetune/data"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// feeder hands out the samples of a set in the axes that a model reads.
type feeder struct {
	set *data.Set
	// from says, for each element of the model's sample, which element of the
	// set's it is; nil where they agree.
	from []int32
	// augmented samples take the place of those of the set; nil for none.
	augmenter *data.Augmenter
	upcoming  *upcoming // nil for none
	spare     []float32 // for it
}

// augment makes take hand out augmented samples.
func (f *feeder) augment(a data.Augment) (err error) {
	if a != (data.Augment{}) || f.set.Augment != (data.Augment{}) || f.set.Streamed() {
		f.augmenter, err = data.NewAugmenter(f.set, a)
	}
	return err
}

// take copies samples into dst as an epoch of training has them: augmented, if
// they are to be, by what follows from the seed, the epoch and the sample.
func (f *feeder) take(indices []int, seed uint64, epoch int, dst []float32) error {
	if f.augmenter == nil {
		return f.batch(indices, dst)
	}
	size := f.set.Size()
	grain := 1 + elementGrain/max(1, size)
	if f.set.Streamed() {
		grain = 1 // a file to read
	}
	return f.each(len(indices), grain, func(i int, y []float32) error {
		return f.augmenter.Sample(indices[i], seed, epoch, y)
	}, dst)
}

// each has sample make n samples, grain or more in a goroutine, and puts them into dst
// in the model's axes.
func (f *feeder) each(n, grain int, sample func(i int, y []float32) error, dst []float32) error {
	size := f.set.Size()
	errs := make([]error, n)
	kernel.Parallel(n, grain, func(lo, hi int) {
		var scratch []float32
		if f.from != nil {
			scratch = make([]float32, size)
		}
		for i := lo; i < hi; i++ {
			y := dst[i*size : (i+1)*size]
			if f.from == nil {
				errs[i] = sample(i, y)
				continue
			}
			if errs[i] = sample(i, scratch); errs[i] == nil {
				f.permute(y, scratch)
			}
		}
	})
	for _, err := range errs { // of those that failed, the first
		if err != nil {
			return err
		}
	}
	return nil
}

// permute copies a sample into the model's axes.
func (f *feeder) permute(dst, src []float32) {
	for k, from := range f.from {
		dst[k] = src[from]
	}
}

// newFeeder matches the samples of a set with the input of a model: shapes that
// agree but for axes of one, or channels first against channels last.
func newFeeder(set *data.Set, shape []int) (*feeder, error) {
	have, want := squeeze(set.Shape), squeeze(shape)
	if slices.Equal(have, want) {
		return &feeder{set: set}, nil
	}
	if len(have) == 3 && len(want) == 3 {
		c, h, w := have[0], have[1], have[2]
		if slices.Equal(want, []int{h, w, c}) { // the model has channels last
			return &feeder{set: set, from: walk(want, []int{w, 1, h * w})}, nil
		}
		h, w, c = have[0], have[1], have[2]
		if slices.Equal(want, []int{c, h, w}) {
			return &feeder{set: set, from: walk(want, []int{1, w * c, c})}, nil
		}
	}
	if len(want) <= 1 && product(have) == product(want) {
		return &feeder{set: set}, nil // a model of vectors
	}
	return nil, fmt.Errorf("samples have shape %v, the model takes %v", set.Shape, shape)
}

// squeeze leaves out axes of length one.
func squeeze(shape []int) []int {
	return slices.DeleteFunc(slices.Clone(shape), func(d int) bool { return d == 1 })
}

// batch copies samples into dst in the model's axes.
func (f *feeder) batch(indices []int, dst []float32) error {
	if f.from == nil {
		return f.set.Batch(indices, dst)
	}
	size := len(f.from)
	if f.set.Streamed() {
		return f.each(len(indices), 1, func(i int, y []float32) error {
			return f.set.Batch(indices[i:i+1], y)
		}, dst)
	}
	for i, index := range indices {
		f.permute(dst[i*size:(i+1)*size], f.set.X[index*size:(index+1)*size])
	}
	return nil
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
