//go:build linux && (amd64 || arm64)

package mpi

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestLocal: ranks that are goroutines get of every call what processes get.
func TestLocal(t *testing.T) {
	for _, ranks := range []int{1, 2, 3, 4} {
		t.Run(fmt.Sprint(ranks), func(t *testing.T) {
			for name, role := range map[string]func(context.Context, *World) error{
				"calls":    func(ctx context.Context, w *World) error { return worldCalls(ctx, w, func() {}) },
				"overlap":  overlap,
				"mismatch": mismatch,
			} {
				if name == "mismatch" && ranks == 1 {
					continue
				}
				if err := playLocal(ranks, role); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// playLocal returns what the ranks of a role return.
func playLocal(ranks int, role func(context.Context, *World) error) error {
	ctx, stop := context.WithTimeout(context.Background(), deadline)
	defer stop()
	results := make(chan error, ranks)
	for _, w := range Local(ranks) {
		go func() {
			err := role(ctx, w)
			if err != nil {
				stop() // the others may wait for this rank
			}
			results <- errors.Join(err, w.Close(ctx))
		}()
	}
	var errs []error
	for range ranks {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// TestLocalWaits: a rank that waits for others stops when its context ends.
func TestLocalWaits(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	if err := Local(2)[0].Barrier(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
