package mpi

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// thread is the one that makes all calls of the library, and what is under way.
type thread struct {
	library *library
	local   *local // where the ranks are goroutines, which need no library and no thread
	name    string // "rank 1 of 4", of the job
	signals *signalHandlers
	calls   chan func() // what the thread is to do
	waiting atomic.Int32
	active  []*operation // used by the thread only

	sentMutex sync.Mutex
	sent      map[string]Traffic

	scratchMutex sync.Mutex
	scratch      map[int][]Buffer[byte]
}

// While someone waits, the thread asks for spinTime without a pause, then again and
// again for burstTime between pauses of pauseTime, so that a rank that waits long for
// another takes no core from it. While nobody waits it asks once in idleTime.
const (
	spinTime  = 300 * time.Microsecond
	burstTime = 20 * time.Microsecond
	pauseTime = 20 * time.Microsecond
	idleTime  = 100 * time.Microsecond
)

func newThread() *thread {
	return &thread{calls: make(chan func(), 64), sent: map[string]Traffic{}, scratch: map[int][]Buffer[byte]{}}
}

// run makes the calling goroutine the thread, for good. start is the first that it
// does; result gets what that returns.
func (t *thread) run(start func() error, result chan<- error) {
	runtime.LockOSThread()
	err := blockSignals()
	if err == nil {
		err = start()
	}
	result <- err
	busy := time.Now() // when something last began or ended
	pause := time.NewTimer(0)
	for {
		var alarm <-chan time.Time
		switch waiting := t.waiting.Load() > 0; {
		case len(t.active) == 0: // nothing to ask for
		case !waiting:
			pause.Reset(idleTime)
			alarm = pause.C
		case time.Since(busy) < spinTime || t.burst():
			alarm = now
		default:
			pause.Reset(pauseTime)
			alarm = pause.C
		}
		select {
		case do := <-t.calls:
			do()
			busy = time.Now()
		case <-alarm:
			if t.progress() {
				busy = time.Now()
			}
		}
	}
}

// burst asks for burstTime, or until something ends, and reports whether it did.
func (t *thread) burst() bool {
	for begin := time.Now(); time.Since(begin) < burstTime; {
		if t.progress() {
			return true
		}
	}
	return false
}

// now is an alarm that has gone off.
var now = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// call lets the thread call do, and returns what that returns.
func (t *thread) call(ctx context.Context, do func() error) error {
	result := make(chan error, 1)
	select {
	case t.calls <- func() { result <- do() }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// progress asks for everything that is under way, in which MPI moves it on, and
// reports whether some of it ended.
func (t *thread) progress() bool {
	ended := false
	rest := t.active[:0]
	for _, o := range t.active {
		done, err := o.test(t.library)
		if !done && err == nil {
			rest = append(rest, o)
			continue
		}
		ended = true
		o.end(err)
	}
	clear(t.active[len(rest):])
	t.active = rest
	return ended
}

// patience is how long a process that ends waits for its thread, which may be inside
// of a call for which other ranks are wanted, and for who reads what it printed.
const patience = time.Second

// abort prints message and ends the job.
func (w *World) abort(code int, message string) {
	code = max(code, 1)
	fmt.Fprintf(os.Stderr, "%s: %s\n", w.name, message)
	if w.local != nil {
		os.Exit(code)
	}
	awaitReader()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = w.call(ctx, func() error { return w.library.abort(code) }) // the process ends in any case
	os.Exit(code)
}

// Traffic is what this rank made of one kind of call.
type Traffic struct {
	Calls int64
	Bytes int64 // sent to other ranks
}

// Traffic returns what this process has sent since Init, in w and in every other
// World, by the name of the call.
func (w *World) Traffic() map[string]Traffic {
	w.sentMutex.Lock()
	defer w.sentMutex.Unlock()
	return maps.Clone(w.sent)
}

func (t *thread) count(call string, bytes int64) {
	t.sentMutex.Lock()
	defer t.sentMutex.Unlock()
	n := t.sent[call]
	t.sent[call] = Traffic{n.Calls + 1, n.Bytes + bytes}
}
