package affine

import (
	"io"
	"runtime"
)

// ChunkBytes is about how much of a tensor one worker prepares at a time: large
// enough that handing it over costs nothing beside making it, small enough that
// it is still in the cache when it is written.
const ChunkBytes = 1 << 20

// filler prepares chunk c of a tensor and returns its bytes, which are in use
// until it is called again.
type filler func(c int) []byte

// writeChunks writes the chunks 0 to n-1 of a tensor to w in their order, while
// the next ones are prepared in parallel. newFiller makes a filler with a
// buffer of its own.
func writeChunks(w io.Writer, n int, newFiller func() filler) error {
	// Worker i prepares chunks i, i+workers, … with two fillers by turns, so that
	// one works while what the other made is being written.
	workers := min(n, runtime.GOMAXPROCS(0))
	ready := make([]chan []byte, workers)
	free := make([]chan struct{}, workers)
	stop := make(chan struct{})
	defer close(stop)
	for i := range workers {
		ready[i] = make(chan []byte)
		free[i] = make(chan struct{}, 2)
		free[i] <- struct{}{}
		free[i] <- struct{}{}
		go func() {
			fillers := [2]filler{newFiller(), newFiller()}
			for turn, c := 0, i; c < n; turn, c = 1-turn, c+workers {
				select {
				case <-free[i]:
				case <-stop:
					return
				}
				content := fillers[turn](c)
				select {
				case ready[i] <- content:
				case <-stop:
					return
				}
			}
		}()
	}
	for c := range n {
		i := c % workers
		if _, err := w.Write(<-ready[i]); err != nil {
			return err
		}
		free[i] <- struct{}{}
	}
	return nil
}
