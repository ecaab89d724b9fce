package finetune

import "slices"

// upcoming is a batch of a streamed set that is being made while the one before it is
// in use. There is one at a time, so that memory holds two batches.
type upcoming struct {
	indices []int
	x       []float32
	made    chan error
}

// fetch has fill put samples into dst. Of a streamed set it then begins to make the
// samples of following, which may be none, for the next call. What fill makes of
// samples has to follow from their indices alone, until those of a call are not what
// followed in the one before.
func (f *feeder) fetch(indices, following []int, fill func(indices []int, dst []float32) error, dst []float32) error {
	if !f.set.Streamed() {
		return fill(indices, dst)
	}
	u := f.upcoming
	err := f.wait()
	if u != nil && slices.Equal(u.indices, indices) {
		copy(dst, u.x)
	} else {
		err = fill(indices, dst)
	}
	if err != nil || len(following) == 0 {
		return err
	}
	u = &upcoming{indices: slices.Clone(following), made: make(chan error, 1)}
	if n := len(following) * f.set.Size(); cap(f.spare) < n {
		f.spare = make([]float32, n)
	}
	u.x = f.spare[:len(following)*f.set.Size()]
	f.upcoming = u
	go func() { u.made <- fill(u.indices, u.x) }()
	return nil
}

// wait ends what fetch began, and returns what came of it.
func (f *feeder) wait() error {
	if f.upcoming == nil {
		return nil
	}
	err := <-f.upcoming.made
	f.upcoming = nil
	return err
}
