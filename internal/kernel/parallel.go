package kernel

import (
	"runtime"
	"sync/atomic"
	"time"
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

	t := &task{n: n, size: size, ranges: int64(ranges), body: body, done: make(chan struct{})}
	t.left.Store(t.ranges)
	for range workers - 1 {
		if waiting.Load() == 0 || !offered.CompareAndSwap(nil, t) {
			go help(t)
		}
	}
	t.run()
	offered.CompareAndSwap(t, nil) // nobody took it in time
	if !spin(func() bool { return t.left.Load() == 0 }) {
		<-t.done
	}
}

// task is one call of Parallel. Every goroutine that has it takes the next range
// until there is none, so their number does not matter.
type task struct {
	n, size int
	ranges  int64
	body    func(lo, hi int)
	next    atomic.Int64  // range to be taken
	left    atomic.Int64  // ranges not finished
	done    chan struct{} // closed when none is left
}

func (t *task) run() {
	for {
		i := t.next.Add(1) - 1
		if i >= t.ranges {
			return
		}
		lo := int(i) * t.size
		t.body(lo, min(lo+t.size, t.n))
		if t.left.Add(-1) == 0 {
			close(t.done)
		}
	}
}

// A helper that has nothing left to do waits for a moment, without sleeping, before
// it ends: the layers of a network follow one another within microseconds, and waking
// a sleeping thread takes as long as a small layer does.
var (
	offered atomic.Pointer[task] // for a waiting helper to take
	waiting atomic.Int64         // helpers that wait
)

// awake is how long a helper waits for the next task, and a caller for the
// last ranges of its own, before giving up the processor.
const awake = 300 * time.Microsecond

// help works on t, and on what is offered within a moment after.
func help(t *task) {
	for t != nil {
		t.run()
		t = nil
		waiting.Add(1)
		spin(func() bool {
			if offered.Load() != nil {
				t = offered.Swap(nil)
			}
			return t != nil
		})
		waiting.Add(-1)
	}
}

// spin waits, without sleeping, for ready and reports whether it came. Other
// goroutines that could run on this processor go first.
func spin(ready func() bool) bool {
	begin := time.Now()
	for {
		for range 64 {
			if ready() {
				return true
			}
		}
		if time.Since(begin) > awake {
			return false
		}
		runtime.Gosched()
	}
}
