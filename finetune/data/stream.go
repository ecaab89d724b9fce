package data

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"efcn/internal/kernel"
)

// stored gives the samples of a streamed set as they are kept. It is safe for
// parallel use.
type stored interface {
	// read returns a sample before it is transformed and normalised.
	read(index int) (frame, []float32, error)
	// name names the sample in errors.
	name(index int) string
	// identify writes what the samples follow from.
	identify(w io.Writer)
}

// take makes a sample, in dst, from what is stored: transformed as the set's options
// say, a random crop by what rng gives, and normalised.
func (s *Set) take(index int, rng *rand.Rand, dst []float32) error {
	from, pixels, err := s.stored.read(index)
	if err != nil {
		return err
	}
	to, err := s.how.after(from)
	if err != nil {
		return fmt.Errorf("%s: %w", s.stored.name(index), err)
	}
	if want, err := s.frame(); err == nil && to != want {
		return differs(s.stored.name(0), want, s.stored.name(index), to)
	}
	s.how.apply(dst[:to.size()], pixels, from, index, rng)
	s.normalizeSamples(dst[:to.size()])
	return nil
}

// streamBlock is how many samples are made at a time where a pass over the set is
// made in order.
const streamBlock = 64

// each calls visit with all samples in order, so many at a time, until ctx is
// cancelled.
func (s *Set) each(ctx context.Context, visit func(samples []float32)) error {
	if s.stored == nil {
		visit(s.X)
		return nil
	}
	indices := make([]int, s.N())
	for i := range indices {
		indices[i] = i
	}
	size := s.Size()
	samples := make([]float32, min(streamBlock, s.N())*size)
	for block := range slices.Chunk(indices, streamBlock) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.Batch(block, samples); err != nil {
			return err
		}
		visit(samples[:len(block)*size])
	}
	return nil
}

// inParallel calls do for 0 to n-1 and returns the error of the least that failed.
func inParallel(n int, do func(i int) error) error {
	errs := make([]error, n)
	kernel.Parallel(n, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			errs[i] = do(i)
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// kept has samples of one shape in memory, as they were read.
type kept struct {
	frame  frame
	pixels []float32
}

func (k kept) read(index int) (frame, []float32, error) {
	size := k.frame.size()
	return k.frame, k.pixels[index*size : (index+1)*size], nil
}

func (kept) name(index int) string { return fmt.Sprintf("sample %d", index) }

func (k kept) identify(w io.Writer) { writeFloats(w, k.pixels) }

// remake has the samples of a set made anew by t each time; one that was read into
// memory becomes a streamed set.
func (s *Set) remake(t transform) error {
	f, err := s.frame()
	if err != nil {
		return fmt.Errorf("shift, resize and crop: %w", err)
	}
	to, err := t.after(f)
	if err != nil {
		return err
	}
	if s.stored == nil {
		s.stored, s.X = kept{f, s.X}, nil
	}
	s.how, s.Shape = t, to.shape()
	return nil
}
