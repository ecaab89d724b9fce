package finetune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/mpi"
)

// TestAgree: what one rank fails with all know; that some were told to stop is no failure
// unless one has failed.
func TestAgree(t *testing.T) {
	broken := errors.New("the file is broken")
	for _, c := range []struct {
		name  string
		errs  [3]error
		stops bool
		want  string // of the last rank
	}{
		{"nothing", [3]error{}, false, ""},
		{"a failure", [3]error{nil, broken, nil}, false, "rank 1: the file is broken"},
		{"a stop", [3]error{nil, context.Canceled, nil}, true, "rank 1: context canceled"},
		{"both", [3]error{broken, context.Canceled, nil}, false, "rank 0: the file is broken"},
	} {
		onRanks(3, func(w *mpi.World) {
			// Rank 0 alone is asked, whether it fails or not.
			yes, err := decide(t.Context(), w, c.errs[w.Rank()], (w.Rank() == 0) == c.stops)
			if (err == nil) != (c.want == "") || mayBeSaved(t.Context(), w, err) != c.stops || yes != c.stops ||
				errors.Is(err, context.Canceled) != (c.stops || isStop(c.errs[w.Rank()])) {
				t.Errorf("%s: rank %d: %v", c.name, w.Rank(), err)
			}
			if w.Rank() == 2 && err != nil && err.Error() != c.want {
				t.Errorf("%s: %q, want %q", c.name, err, c.want)
			}
		})
	}
}

// TestAgreeNotFinite: that the loss is not finite on one rank all can tell, unless another
// failed otherwise.
func TestAgreeNotFinite(t *testing.T) {
	broken := errors.New("the file is broken")
	for _, other := range []error{nil, broken, context.Canceled} {
		onRanks(3, func(w *mpi.World) {
			own := []error{nil, fmt.Errorf("step 7: %w", ErrNotFinite), other}[w.Rank()]
			err := agree(t.Context(), w, own)
			if want := !errors.Is(other, broken) || w.Rank() == 1; errors.Is(err, ErrNotFinite) != want {
				t.Errorf("rank %d, another has %v: %v", w.Rank(), other, err)
			}
		})
	}
}

// TestSameLoss: a last bit that one rank has otherwise is found.
func TestSameLoss(t *testing.T) {
	onRanks(3, func(w *mpi.World) {
		if err := sameLoss(w, -math.Pi); err != nil {
			t.Error(err)
		}
		loss := 0.3
		if w.Rank() == 2 {
			loss = math.Nextafter(loss, 1)
		}
		differs, ok := errors.AsType[*DifferentValuesError](sameLoss(w, loss))
		if !ok || differs.Rank != 2 || differs.First != 0 || differs.Want != "0.3" || differs.Value != "0.30000000000000004" {
			t.Errorf("got %v", differs)
		}
	})
}

// TestRanksDiverge: a training that is not finite any more ends on all ranks.
func TestRanksDiverge(t *testing.T) {
	m := embedWith(t, branchedModel(), convert.Options{Layout: record.Dense})
	j := trainJob(t, 3, m, Options{Epochs: 3, Batch: 30, Rate: 1e20}, nil)
	for rank, err := range j.errs {
		if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "finite") {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}
