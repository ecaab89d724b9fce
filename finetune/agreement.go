package finetune

import (
	"context"
	"crypto/sha256"
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
	What        string // "training loss", or "hash of the weights"
	Rank, First int    // ranks that differ
	Value, Want string // of rank Rank, and of rank First
}

func (e *DifferentValuesError) Error() string {
	return fmt.Sprintf("the %s is %s on rank %d and %s on rank %d, where they compute the same; run all ranks with one "+
		"program, on as many threads and on one kind of processor", e.What, e.Want, e.First, e.Value, e.Rank)
}

// sameLoss returns a *DifferentValuesError if a rank of w has other bits than rank 0 in a
// loss that each has computed.
func sameLoss(w *mpi.World, loss float64) error {
	own := binary.LittleEndian.AppendUint64(nil, math.Float64bits(loss))
	return sameBytes(w, "training loss", own, func(b []byte) string {
		return fmt.Sprint(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	})
}

func sameBytes(w *mpi.World, what string, own []byte, format func(b []byte) string) error {
	rank, other, first, err := w.Different(context.Background(), own)
	if err == nil && rank > 0 {
		err = &DifferentValuesError{What: what, Rank: rank, Value: format(other), Want: format(first)}
	}
	return err
}

// same returns a *DifferentValuesError unless all ranks have come to the same loss, and all
// groups to the same weights. Within a group the loss shows what every rank has whole;
// between groups it does not, as it is a sum over these.
func (s *session[T]) same() error {
	t := s.trainee.team
	if t == nil {
		return nil
	}
	err := sameLoss(t.all, s.at.Loss)
	if err != nil || !t.isGrouped() {
		return err
	}
	h := sha256.New()
	for _, a := range s.trainee.arrays(0) {
		if err := writeFloats(h, dtypeSize[T](), a.values); err != nil {
			return err
		}
	}
	err = sameBytes(t.peers, "hash of the weights", h.Sum(nil), func(b []byte) string { return fmt.Sprintf("%x", b[:4]) })
	if d, ok := errors.AsType[*DifferentValuesError](err); ok {
		d.First = t.group.Rank()
		d.Rank = d.Rank*t.group.Size() + d.First
	}
	return agree(context.Background(), t.all, err)
}
