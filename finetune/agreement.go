package finetune

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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

// agree returns an error on all ranks if one has one.
func (e *exchange[T]) agree(ctx context.Context, err error) error {
	if e == nil {
		return err
	}
	var counts [3]float64 // of ranks that were told to stop, that failed, and whose loss is not finite
	switch {
	case isStop(err):
		counts[0] = 1
	case err != nil:
		counts[1] = 1
		if errors.Is(err, ErrNotFinite) {
			counts[2] = 1
		}
	}
	if failed := e.sum(counts[:]); failed != nil {
		return errors.Join(err, failed)
	}
	stops, failures, notFinite := counts[0], counts[1], counts[2]
	if stops+failures == 0 {
		return nil
	}
	return &agreedError{
		error: e.Agree(context.WithoutCancel(ctx), err), stopped: failures == 0,
		notFinite: failures > 0 && notFinite == failures,
	}
}

func isStop(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// mayBeSaved reports whether a run that ended with err has only been told to stop.
func (e *exchange[T]) mayBeSaved(ctx context.Context, err error) bool {
	if e == nil {
		return ctx.Err() != nil && !errors.Is(err, ErrNotFinite)
	}
	agreed, ok := errors.AsType[*agreedError](err)
	return ok && agreed.stopped
}

// fromFirst returns what rank 0 says.
func (e *exchange[T]) fromFirst(yes bool) (bool, error) {
	if e == nil {
		return yes, nil
	}
	said := []float64{0}
	if yes && e.Rank() == 0 {
		said[0] = 1
	}
	err := e.sum(said)
	return said[0] > 0, err
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

// same returns a *DifferentValuesError if the ranks have other bits than rank 0 in a loss
// that each has computed.
func (e *exchange[T]) same(loss float64) error {
	if e == nil {
		return nil
	}
	all, err := e.AllgatherBytes(context.Background(), binary.LittleEndian.AppendUint64(nil, math.Float64bits(loss)))
	if err != nil {
		return err
	}
	for rank, bits := range all {
		if !bytes.Equal(bits, all[0]) {
			of := func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
			return &DifferentValuesError{rank, of(bits), of(all[0])}
		}
	}
	return nil
}
