// Package mpi lets the processes that an MPI launcher started (mpirun, srun) work
// as one job. The MPI library is found and loaded at run time, without cgo: Open
// MPI, MPICH and those that share its binary interface (Intel MPI), and any with
// the standard interface of MPI 5.
//
// Start with [Launched]: where it is false nothing here is needed, and nothing is
// loaded. Then [Init], and with the [World] it returns [Alloc], [Allreduce],
// [Allgatherv], [ReduceScatter] and the rest; [World.Close] at the end. Tests make
// the Worlds of ranks that are goroutines with [Local].
//
// A rank is one of the processes, numbered from 0. Every call that takes a World is
// collective: all its ranks make the same calls, in the same order, with the same
// counts. [World.Send], [World.Recv] and [World.Abort] are the exceptions.
//
// # What is asked of MPI
//
// Only point-to-point messages of bytes and a barrier. The collective calls are
// made of these here: every rank sends each other one exactly what that one needs,
// and sums are computed by our own code, in the order of the ranks. So a result is
// the same bits in every run on as many ranks, whichever library, network or
// arrival of messages, which MPI recommends to its implementers and does not
// promise (MPI 4.1, section 6.9.1). A message of any size is cut into pieces of
// which MPI, whose counts are ints, takes each.
//
// # Threads, memory, signals
//
// One thread makes all calls (MPI_THREAD_FUNNELED), so any goroutine may call this
// package; on one World, one at a time, or the order of calls is open. Messages
// move only while that thread is in MPI: it looks after them all the time while
// someone waits, and every 0.1 ms while nobody does, so that Iallgatherv and
// IreduceScatter go on beside computation.
//
// What is sent and received lies in a [Buffer], memory of the MPI library: networks
// keep the pages they know, and Go's heap gives pages back behind their back.
//
// Libraries that MPI loads install signal handlers that would run on the stack of a
// goroutine and destroy it. What Go handled before, Go handles again after loading
// and after MPI_Init; other handlers are made to run on a stack of their own.
//
// # Failure
//
// A rank that returns an error ends the job with [World.Abort], which does not
// return; one that panics does so where its goroutines defer [World.AbortOnPanic].
// A rank that is killed is noticed by the launcher, which ends the others. No call
// returns because another rank failed.
package mpi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Options says how MPI is found.
type Options struct {
	// Library is the file of the shared library. Default: what the environment
	// variable EFCN_MPI names, else the library beside the launcher, in an active
	// virtual or conda environment, or under its usual names where the system
	// looks for libraries, the launcher's kind first. EFCN_MPI=off makes that an error.
	Library string
}

// World is a set of ranks that exchange messages: all of the job, or a part that
// [World.Split] made.
type World struct {
	*thread
	comm       uint64 // MPI_Comm
	rank, size int
	part       bool // made by Split
	splits     int  // calls of Split, where ranks are goroutines
}

var initialised atomic.Bool

// Init loads MPI and starts it, which all ranks of the job must do. It may be called
// once in a process. Its errors are a [*NotFoundError], a [*LibraryError], a
// [*SizeError], what MPI reports, or ctx's: then MPI_Init did not return, and the
// process should exit.
func Init(ctx context.Context, options Options) (*World, error) {
	if !initialised.CompareAndSwap(false, true) {
		return nil, errors.New("MPI is started once in a process, and was")
	}
	parent := os.Getppid()
	t := newThread()
	w := &World{thread: t}
	result := make(chan error, 1)
	go t.run(func() error { return w.start(options, os.Getenv) }, result)
	select {
	case err := <-result:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// Some of a library is loaded, and some handlers installed, when ranks first
	// meet.
	if err := w.Barrier(ctx); err != nil {
		return nil, err
	}
	if isStarted(os.Getenv) {
		// A panic that nobody guards, and what the runtime ends the process for, are then a
		// signal. A rank that exits with a code of its own can go unnoticed by MPICH's
		// launcher, which leaves the others waiting: one in 30 did.
		debug.SetTraceback("crash")
		go w.watch(parent)
	}
	return w, w.call(ctx, func() error { return w.signals.settle() })
}

// watch ends the process when the launcher, which started it as process parent, is
// gone: a rank that waits for no other one would not notice.
func (w *World) watch(parent int) {
	for os.Getppid() == parent {
		time.Sleep(watchTime)
	}
	if closed.Load() == nil {
		w.Abort(1, errors.New("the launcher has ended"))
	}
}

// watchTime is how often ranks look for the launcher.
const watchTime = time.Second

// start runs on the thread that makes all calls.
func (w *World) start(options Options, getenv func(string) string) (err error) {
	if w.library, w.signals, err = load(options, getenv); err != nil {
		return err
	}
	if err := w.library.init(); err != nil {
		return err
	}
	if err := w.signals.settle(); err != nil {
		return err
	}
	w.comm = w.library.commWorld
	if err := w.measure(); err != nil {
		return err
	}
	w.name = fmt.Sprintf("rank %d of %d", w.rank, w.size)
	if job := launched(getenv); job.size > 0 && job.size != w.size {
		return &SizeError{Variable: job.variable, Launched: job.size, Size: w.size, Library: w.library.String()}
	}
	return nil
}

// load loads the MPI library, and returns the handlers of signals that were there before.
func load(options Options, getenv func(string) string) (*library, *signalHandlers, error) {
	if err := prepare(os.LookupEnv, os.Setenv); err != nil {
		return nil, nil, err
	}
	before, err := handlers()
	if err != nil {
		return nil, nil, err
	}
	l, err := find(options.Library, getenv)
	if err != nil {
		return nil, nil, err
	}
	return l, before, before.settle()
}

// Find returns the version and the file of the MPI library that [Init] would start, and
// starts nothing. Its errors are those of Init.
func Find(options Options) (string, error) {
	l, _, err := load(options, os.Getenv)
	if err != nil {
		return "", err
	}
	return l.String(), nil
}

// measure asks for the rank and the size of w.comm.
func (w *World) measure() error {
	var rank, size int32
	if err := w.library.commRank(w.comm, &rank); err != nil {
		return err
	}
	if err := w.library.commSize(w.comm, &size); err != nil {
		return err
	}
	w.rank, w.size = int(rank), int(size)
	return nil
}

// SizeError reports that the launcher started another number of processes than MPI
// counts: the launcher and the library do not belong together, and each process
// would take itself for the whole job.
type SizeError struct {
	Variable       string // the environment variable that has the launcher's number
	Launched, Size int    // processes by the launcher, and by MPI
	Library        string // which MPI it is, with its file
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s=%d, but MPI counts %d: the launcher does not belong to this MPI, %s",
		e.Variable, e.Launched, e.Size, e.Library)
}

// Rank is the number of this process in w, from 0.
func (w *World) Rank() int { return w.rank }

// Size is the number of processes in w.
func (w *World) Size() int { return w.size }

// String returns the version of the MPI library and its file.
func (w *World) String() string {
	if w.local != nil {
		return "goroutines of one process"
	}
	return w.library.String()
}

// Split makes a World of the ranks that give the same color, in the order of key,
// and of rank where keys are equal. Nothing may be under way on this rank. The
// result is to be closed before w.
func (w *World) Split(ctx context.Context, color, key int) (*World, error) {
	if int(int32(color)) != color || color < 0 || int(int32(key)) != key {
		return nil, fmt.Errorf("MPI_Comm_split: color %d, key %d; want 31 bits, and a color that is not negative", color, key)
	}
	part := &World{thread: w.thread, part: true}
	if w.local != nil {
		return part, w.local.split(ctx, w, part, color, key)
	}
	err := w.call(ctx, func() error {
		if err := w.library.commSplit(w.comm, color, key, &part.comm); err != nil {
			return err
		}
		return part.measure()
	})
	return part, err
}

// Close frees w if [World.Split] made it, and otherwise ends MPI in this process, when
// all ranks call it. Print what is to be seen before: launchers may lose what comes
// after. End the process with [Exit].
func (w *World) Close(ctx context.Context) error {
	if w.local != nil {
		return w.Barrier(ctx)
	}
	if w.part {
		return w.call(ctx, func() error { return w.library.commFree(&w.comm) })
	}
	if err := w.Barrier(ctx); err != nil {
		return err
	}
	awaitReader()
	err := w.call(ctx, func() error {
		if n := len(w.active); n > 0 {
			return fmt.Errorf("MPI_Finalize: %d calls are under way", n)
		}
		return w.library.finalize()
	})
	if err == nil {
		closed.Store(w.thread)
	}
	return err
}

// closed is the thread of an MPI that was ended.
var closed atomic.Pointer[thread]

// Exit ends the process with code as os.Exit does, and where [World.Close] ended MPI
// lets C's exit handlers run: MPICH tells its launcher in one that all is well, and
// the launcher may otherwise kill ranks that have not ended yet, and fail.
func Exit(code int) {
	if t := closed.Load(); t != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = t.call(ctx, func() error { t.library.exit(code); return nil }) // if it returns, os.Exit does it
	}
	os.Exit(code)
}

// Abort prints "rank R of N: " and err to stderr, ends all ranks of the job with
// code, as the launcher's exit code, and does not return. code is at least 1.
func (w *World) Abort(code int, err error) {
	w.abort(code, err.Error())
}

// AbortOnPanic is to be deferred. It ends the job with the message and the stack of a
// panic, and exit code 2. A panic in a goroutine that does not defer it ends the
// process, which the launcher has to notice: mpirun does, srun with --kill-on-bad-exit.
func (w *World) AbortOnPanic() {
	if r := recover(); r != nil {
		w.abort(2, fmt.Sprintf("panic: %v\n\n%s", r, debug.Stack()))
	}
}
