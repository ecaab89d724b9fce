package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// threads is what SetThreads was last given; 0 follows GOMAXPROCS.
var threads atomic.Int64

// SetThreads makes every kernel use at most n threads; n < 1 goes back to the
// default, GOMAXPROCS. It belongs at the start of a program: results repeat bit
// for bit only at an unchanged number of threads.
func SetThreads(n int) { threads.Store(int64(max(n, 0))) }

// Threads returns the number of threads that kernels use.
func Threads() int {
	if n := threads.Load(); n > 0 {
		return int(n)
	}
	return runtime.GOMAXPROCS(0)
}

// Parallel calls body on ranges [lo, hi) that together cover [0, n), each of at
// least grain indices (but for the last), on up to Threads() goroutines, and
// returns when all are done. Ranges depend on n, grain and Threads() only;
// which goroutine takes which does not matter to a body that writes nothing
// outside its own range. grain < 1 counts as 1.
func Parallel(n, grain int, body func(lo, hi int)) {
	if n <= 0 {
		return
	}
	grain = max(grain, 1)
	workers := min(Threads(), (n+grain-1)/grain)
	if workers == 1 {
		body(0, n)
		return
	}
	// More ranges than workers, so that a worker whose core is busy with
	// something else does not hold up the rest.
	ranges := min(4*workers, (n+grain-1)/grain)
	size := (n + ranges - 1) / ranges
	ranges = (n + size - 1) / size

	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= ranges {
				return
			}
			body(i*size, min(i*size+size, n))
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}
