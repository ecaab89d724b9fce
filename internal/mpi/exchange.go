package mpi

import (
	"context"
	"fmt"
	"slices"
)

// maxPiece is the largest message that MPI is given, whose counts are ints. A
// variable for the tests, which make it small.
var maxPiece = 1 << 30

// transfer is one message of MPI, of which a call is made of many.
type transfer struct {
	handle   uint64 // MPI_Request
	peer     int
	bytes    int
	receives bool
}

// operation is a call that is under way.
type operation struct {
	transfers []transfer
	next      int          // those before are done
	finish    func() error // computes what is left; nil for nothing
	request   *Request
}

// Request is a call that was begun. The buffers that were given to it must be left
// alone until Wait has returned nil.
type Request struct {
	thread *thread
	done   chan struct{}
	err    error
}

// Wait waits until the call is done. If its error is ctx's the call is still under
// way, and nothing ends it but the end of the job.
func (r *Request) Wait(ctx context.Context) error {
	select {
	case <-r.done:
		return r.err
	default:
	}
	if r.thread.local == nil {
		if r.thread.waiting.Add(1) == 1 {
			select {
			case r.thread.calls <- func() {}: // it may be pausing
			case <-r.done:
			}
		}
		defer r.thread.waiting.Add(-1)
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// test goes through the transfers as far as they are done.
func (o *operation) test(l *library) (done bool, err error) {
	for ; o.next < len(o.transfers); o.next++ {
		t := &o.transfers[o.next]
		done, err := l.test(&t.handle)
		if err != nil || !done {
			return false, err
		}
		if !t.receives {
			continue
		}
		received, err := l.received()
		if err != nil {
			return false, err
		}
		if received != t.bytes {
			return false, &lengthError{t.peer, received, t.bytes}
		}
	}
	return true, nil
}

// lengthError reports that a message has another length than its receiver expects.
type lengthError struct{ from, sent, expected int }

func (e *lengthError) Error() string {
	return fmt.Sprintf("rank %d sent %d bytes where %d were expected: the ranks do not make the same calls",
		e.from, e.sent, e.expected)
}

// end finishes the operation beside the thread, which has others to look after.
func (o *operation) end(err error) {
	if err == nil && o.finish != nil {
		go func() {
			o.request.err = o.finish()
			close(o.request.done)
		}()
		return
	}
	o.request.err = err
	close(o.request.done)
}

// plan is what a call sends and receives.
type plan struct {
	call         string
	tag          int // default 0: that of collective calls
	sends, recvs []message
	barrier      bool
	finish       func() error
}

// message is bytes for one rank or from one.
type message struct {
	peer int
	data []byte
}

// begin posts what p receives and sends. Messages between two ranks keep their
// order, so that calls in the same order need no tags of their own.
func (w *World) begin(p plan) *Request {
	r := &Request{thread: w.thread, done: make(chan struct{})}
	bytes := int64(0)
	for _, m := range p.sends {
		bytes += int64(len(m.data))
	}
	w.count(p.call, bytes)
	if w.local != nil {
		w.local.begin(w, p, r)
		return r
	}
	w.calls <- func() {
		o := &operation{finish: p.finish, request: r}
		if err := o.post(w, p); err != nil {
			o.end(err)
			return
		}
		if done, err := o.test(w.library); done || err != nil {
			o.end(err)
			return
		}
		w.active = append(w.active, o)
	}
	return r
}

// post calls MPI_Irecv and MPI_Isend for every piece of every message.
func (o *operation) post(w *World, p plan) error {
	n := 1 // the barrier's
	for _, messages := range [][]message{p.recvs, p.sends} {
		for _, m := range messages {
			n += (len(m.data) + maxPiece - 1) / maxPiece
		}
	}
	// MPI is given addresses of the handles, which stay where they are.
	o.transfers = make([]transfer, 0, n)
	add := func(peer, bytes int, receives bool) *uint64 {
		o.transfers = append(o.transfers, transfer{peer: peer, bytes: bytes, receives: receives})
		return &o.transfers[len(o.transfers)-1].handle
	}
	for _, m := range p.recvs {
		for piece := range slices.Chunk(m.data, maxPiece) {
			if err := w.library.irecv(w.comm, piece, m.peer, p.tag, add(m.peer, len(piece), true)); err != nil {
				return err
			}
		}
	}
	for _, m := range p.sends {
		for piece := range slices.Chunk(m.data, maxPiece) {
			if err := w.library.isend(w.comm, piece, m.peer, p.tag, add(m.peer, len(piece), false)); err != nil {
				return err
			}
		}
	}
	if p.barrier {
		return w.library.ibarrier(w.comm, add(0, 0, false))
	}
	return nil
}
