package finetune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"efcn/convert/cut"
	"efcn/internal/mpi"
)

// eachRank runs f as the ranks of a job, and returns their errors. It fails the test if
// they do not end.
func eachRank(t *testing.T, ranks int, f func(w *mpi.World) error) []error {
	t.Helper()
	errs := make([]error, ranks)
	var group sync.WaitGroup
	for rank, w := range mpi.Local(ranks) {
		group.Go(func() { errs[rank] = f(w) })
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the ranks do not end")
	}
	return errs
}

// cutEvenly is the slice of rank 0 of an array.
func cutEvenly(outer, axis, inner, ranks int) cut.Slice {
	s := cut.Slice{Outer: outer, Axis: axis, Inner: inner}
	for rank := range ranks + 1 {
		s.Bounds = append(s.Bounds, axis*rank/ranks)
	}
	return s.Of(0)
}

// sliceOf copies a slice out of a whole array, element by element.
func sliceOf[E any](whole []E, s cut.Slice) []E {
	var own []E
	for i, v := range whole {
		if at := i / s.Inner % s.Axis; at >= s.Lo && at < s.Hi {
			own = append(own, v)
		}
	}
	return own
}

// What rank 0 reads is the whole array, whatever its shape and however it is cut.
func TestGather(t *testing.T) {
	read := 0
	for _, shape := range [][3]int{
		{1, 7, 3},
		{5, 4, 1},
		{6, 8, 2},
		{1, 3, 1},
		{1, 1, 1},
		{3, 5, testChunk / 8},       // rows of more than a chunk
		{1, 2, testChunk/2 + 1},     // slices of more than a chunk
		{testChunk / 16, 9, 1},      // many short rows
		{2, 4, testChunk/16 + 1000}, // a row, nearly two, in a chunk
	} {
		whole := make([]float32, shape[0]*shape[1]*shape[2])
		for i := range whole {
			whole[i] = float32(i)
		}
		for _, ranks := range []int{1, 2, 4} {
			for _, size := range []int{4, 8} {
				of := cutEvenly(shape[0], shape[1], shape[2], ranks)
				errs := eachRank(t, ranks, func(w *mpi.World) error {
					g := testGatherer(w, whole, of)
					return g.atRoot(t.Context(), func() error {
						for range 2 { // as often as it is wanted
							var got bytes.Buffer
							d := &gathered[float32]{g, source{"w", 0}, size}
							if n, err := d.WriteTo(&got); err != nil || n != d.Len() {
								return fmt.Errorf("%d bytes, %w", n, err)
							}
							if !bytes.Equal(got.Bytes(), appendFloats(nil, size, whole)) {
								return errors.New("it is not the whole array")
							}
							read++
						}
						return nil
					})
				})
				if err := errors.Join(errs...); err != nil {
					t.Errorf("%v in %d bytes on %d ranks: %v", shape, size, ranks, err)
				}
			}
		}
	}
	if want := 9 * 3 * 2 * 2; read != want {
		t.Errorf("%d arrays were read, want %d", read, want)
	}
}

const testChunk = 1 << 10

func testGatherer(w *mpi.World, whole []float32, of cut.Slice) *gatherer[float32] {
	return &gatherer[float32]{
		world: w, chunk: testChunk, part: map[string]cut.Slice{"w": of.Of(w.Rank()), "none": of.Of(w.Rank())},
		own: func(s source) ([]float32, error) {
			if s.Name == "none" && w.Rank() > 0 {
				return nil, errors.New("it is lost")
			}
			return sliceOf(whole, of.Of(w.Rank())), nil
		},
	}
}

// An error ends the reading on all ranks, wherever it comes up, and the next reading
// goes well.
func TestGatherFails(t *testing.T) {
	whole := make([]float32, 3*testChunk)
	for i := range whole {
		whole[i] = float32(i)
	}
	of := cutEvenly(1, len(whole), 1, 4)
	for what, c := range map[string]struct {
		read func(g *gatherer[float32]) error
		want string
		is   error
	}{
		"a full disk": {func(g *gatherer[float32]) error {
			_, err := (&gathered[float32]{g, source{"w", 0}, 4}).WriteTo(&failing{io.Discard, 5*testChunk + 1})
			return err
		}, syscall.ENOSPC.Error(), nil},
		"before anything is read": {
			func(*gatherer[float32]) error { return errors.New("no folder") }, "no folder", nil,
		},
		"on another rank": {func(g *gatherer[float32]) error {
			_, err := (&gathered[float32]{g, source{"none", 0}, 4}).WriteTo(io.Discard)
			return err
		}, "rank 1: it is lost", nil},
		"a context": {func(*gatherer[float32]) error { return context.Canceled }, "context canceled", context.Canceled},
	} {
		t.Run(what, func(t *testing.T) {
			errs := eachRank(t, 4, func(w *mpi.World) error {
				g := testGatherer(w, whole, of)
				err := g.atRoot(t.Context(), func() error { return c.read(g) })
				if again := g.atRoot(t.Context(), func() error {
					var got bytes.Buffer
					_, err := (&gathered[float32]{g, source{"w", 0}, 4}).WriteTo(&got)
					if err == nil && !bytes.Equal(got.Bytes(), appendFloats(nil, 4, whole)) {
						err = errors.New("it is not the whole array")
					}
					return err
				}); again != nil {
					return fmt.Errorf("the next one: %w", again)
				}
				return err
			})
			for rank, err := range errs {
				if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("rank %d: %v, want %s", rank, err, c.want)
				}
			}
		})
	}
	for rank, err := range eachRank(t, 4, func(w *mpi.World) error {
		g := testGatherer(w, whole, of)
		return g.atRoot(t.Context(), func() error {
			d := &gathered[float32]{g, source{"w", 0}, 4}
			if _, err := d.WriteTo(&failing{io.Discard, testChunk}); !errors.Is(err, syscall.ENOSPC) {
				return fmt.Errorf("%w, want %w", err, syscall.ENOSPC)
			}
			var got bytes.Buffer
			if _, err := d.WriteTo(&got); err != nil {
				return err
			}
			if !bytes.Equal(got.Bytes(), appendFloats(nil, 4, whole)) {
				return errors.New("it is not the whole array")
			}
			return nil
		})
	}) {
		if err != nil {
			t.Errorf("rank %d, reading again where a writer failed: %v", rank, err)
		}
	}
	g := testGatherer(mpi.Local(1)[0], whole, cutEvenly(1, len(whole), 1, 1))
	if _, err := (&gathered[float32]{g, source{"w", 0}, 4}).WriteTo(io.Discard); err == nil {
		t.Error("it is read while the others do not take part")
	}
}
