package finetune

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"efcn/internal/mpi"
)

// Ranks make the same calls in the same order, so that an error of one, or what a clock
// says, has to be known to all before any of them stops or does something else.

// agreedError is an error of some ranks that all know of.
type agreedError struct {
	error
	stopped   bool // all of these ranks were told to stop, as ctx was done, and nothing failed
	notFinite bool // the loss is not finite on all that failed
}

// Is reports ErrNotFinite also on the ranks that have only heard of it.
func (e *agreedError) Is(target error) bool { return target == ErrNotFinite && e.notFinite }

// Unwrap returns context.Canceled where ranks were told to stop, also on the others.
func (e *agreedError) Unwrap() error {
	if e.stopped {
		return context.Canceled
	}
	return e.error
}

// agree returns an error on all ranks of w, which is nil for a run of one process, if one
// has one: then an [agreedError].
func agree(ctx context.Context, w *mpi.World, err error) error {
	_, err = decide(ctx, w, err, false)
	return err
}

// decide is agree, and returns what rank 0 says.
func decide(ctx context.Context, w *mpi.World, err error, yes bool) (bool, error) {
	if w == nil {
		return yes, err
	}
	// Of ranks that were told to stop, that failed, whose loss is not finite; and of rank 0.
	var counts [4]float64
	switch {
	case isStop(err):
		counts[0] = 1
	case err != nil:
		counts[1] = 1
		if errors.Is(err, ErrNotFinite) {
			counts[2] = 1
		}
	}
	if yes && w.Rank() == 0 {
		counts[3] = 1
	}
	ctx = context.WithoutCancel(ctx)
	if failed := mpi.AllreduceSlice(ctx, w, counts[:], mpi.Sum); failed != nil {
		return false, errors.Join(err, failed)
	}
	stops, failures, notFinite := counts[0], counts[1], counts[2]
	if stops+failures > 0 {
		err = &agreedError{
			error: w.Agree(ctx, err), stopped: failures == 0, notFinite: failures > 0 && notFinite == failures,
		}
	}
	return counts[3] > 0, err
}

func isStop(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// mayBeSaved reports whether a run that ended with err has only been told to stop.
func mayBeSaved(ctx context.Context, w *mpi.World, err error) bool {
	if w == nil {
		return ctx.Err() != nil && !errors.Is(err, ErrNotFinite)
	}
	agreed, ok := errors.AsType[*agreedError](err)
	return ok && agreed.stopped
}

// DifferentValuesError says that ranks compute different values where they should compute
// the same: they run other programs, or on other numbers of threads, or on processors with
// other instructions.
type DifferentValuesError struct {
	Rank        int // that has another value than rank 0
	Loss, First float64
}

func (e *DifferentValuesError) Error() string {
	return fmt.Sprintf("the training loss is %v on rank 0 and %v on rank %d, where they compute the same; run all ranks "+
		"with one program, on as many threads and on one kind of processor", e.First, e.Loss, e.Rank)
}

// sameLoss returns a *DifferentValuesError if a rank has other bits than rank 0 in a loss
// that each has computed.
func sameLoss(w *mpi.World, loss float64) error {
	if w == nil {
		return nil
	}
	own := binary.LittleEndian.AppendUint64(nil, math.Float64bits(loss))
	rank, other, first, err := w.Different(context.Background(), own)
	if err == nil && rank > 0 {
		of := func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
		err = &DifferentValuesError{rank, of(other), of(first)}
	}
	return err
}
