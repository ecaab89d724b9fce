// Exchange times the two calls that training over several ranks is made of, for a model
// of their cost. Under mpirun each rank starts it; rank 0 prints a JSON object for each
// call and size:
//
//	mpirun -n 2 exchange -sizes 1000,1000000 -calls 100
//
// A call is Iallgatherv or Ireduce_scatter of float32, of which each rank sends bytes in
// messages to each other one; seconds is the median over the calls of the slowest rank.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"efcn/internal/mpi"
)

func main() {
	log.SetFlags(0)
	sizes := flag.String("sizes", "1000,10000,100000,1000000,4000000", "elements that all ranks have together")
	calls := flag.Int("calls", 50, "how often each call is made")
	flag.Parse()
	ctx := context.Background()
	w, err := mpi.Init(ctx, mpi.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, w, *sizes, *calls); err != nil {
		w.Abort(1, err)
	}
	if err := w.Close(ctx); err != nil {
		w.Abort(1, err)
	}
	mpi.Exit(0)
}

// timing is what a call took.
type timing struct {
	Call     string  `json:"call"`
	Ranks    int     `json:"ranks"`
	Bytes    int64   `json:"bytes"`    // that a rank sends
	Messages int     `json:"messages"` // in which it does
	Seconds  float64 `json:"seconds"`
}

func run(ctx context.Context, w *mpi.World, sizes string, calls int) error {
	for text := range strings.SplitSeq(sizes, ",") {
		size, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		b, err := mpi.Alloc[float32](w, size)
		if err != nil {
			return err
		}
		counts := make([]int, w.Size())
		for r := range counts {
			counts[r] = (r+1)*size/w.Size() - r*size/w.Size()
		}
		for _, call := range []struct {
			name string
			do   func() error
		}{
			{"Iallgatherv", func() error { return mpi.Iallgatherv(w, b, counts).Wait(ctx) }},
			{"Ireduce_scatter", func() error { return mpi.IreduceScatter(w, b, counts, mpi.Sum).Wait(ctx) }},
		} {
			clear(b.Data())
			before := w.Traffic()[call.name]
			seconds, err := measure(ctx, w, calls, call.do)
			if err != nil {
				return err
			}
			after := w.Traffic()[call.name]
			if w.Rank() > 0 {
				continue
			}
			err = json.NewEncoder(os.Stdout).Encode(timing{
				call.name, w.Size(), (after.Bytes - before.Bytes) / (after.Calls - before.Calls), w.Size() - 1, seconds,
			})
			if err != nil {
				return err
			}
		}
		if err := b.Free(w); err != nil {
			return err
		}
	}
	return nil
}

// measure returns the median of the seconds that the slowest rank needs for do.
func measure(ctx context.Context, w *mpi.World, calls int, do func() error) (float64, error) {
	times := make([]float64, calls+1)
	for i := range times {
		if err := w.Barrier(ctx); err != nil {
			return 0, err
		}
		begin := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		times[i] = time.Since(begin).Seconds()
	}
	times = times[1:] // the first warms up
	if err := mpi.AllreduceSlice(ctx, w, times, mpi.Max); err != nil {
		return 0, err
	}
	slices.Sort(times)
	return times[calls/2], nil
}
