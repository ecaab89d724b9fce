package cuda

import (
	"errors"
	"fmt"
	"unsafe"
)

// Stream is work of a device that is done in the order in which it is added. Streams go
// on beside each other.
type Stream struct {
	thread    *Thread
	handle    uintptr // CUstream
	blas      uintptr // cublasHandle_t; 0 until it is needed
	workspace Buffer[byte]
}

const nonBlocking = 1 // CU_STREAM_NON_BLOCKING

// NewStream makes a further stream. Free gives it back.
func (t *Thread) NewStream() (*Stream, error) {
	s := &Stream{thread: t}
	return s, t.call(cuStreamCreate, uintptr(unsafe.Pointer(&s.handle)), nonBlocking)
}

// Wait waits until all work of the stream is done, and returns the error of any of it.
func (s *Stream) Wait() error { return s.thread.call(cuStreamSynchronize, s.handle) }

// Free waits for the stream and gives it back.
func (s *Stream) Free() error {
	if s.handle == 0 {
		return nil
	}
	errs := []error{s.Wait()}
	if s.blas != 0 {
		errs = append(errs, s.thread.device.library.callBLAS(cublasDestroy, s.blas), s.workspace.Free(s.thread))
	}
	return errors.Join(append(errs, s.thread.call(cuStreamDestroy, s.handle))...)
}

// Event is a place among the work of a stream.
type Event struct {
	thread *Thread
	handle uintptr // CUevent
}

// NewEvent makes an event. Free gives it back.
func (t *Thread) NewEvent() (*Event, error) {
	e := &Event{thread: t}
	return e, t.call(cuEventCreate, uintptr(unsafe.Pointer(&e.handle)), 0)
}

// Record puts the event behind the work that s has.
func (s *Stream) Record(e *Event) error { return s.thread.call(cuEventRecord, e.handle, s.handle) }

// Follow lets what is added to s from now on begin when the work before e is done.
func (s *Stream) Follow(e *Event) error {
	return s.thread.call(cuStreamWaitEvent, s.handle, e.handle, 0)
}

// Wait waits until the work before the event is done.
func (e *Event) Wait() error { return e.thread.call(cuEventSynchronize, e.handle) }

// Since returns the milliseconds from an earlier event to e, when both are done.
func (e *Event) Since(earlier *Event) (float32, error) {
	var ms float32
	err := e.thread.call(cuEventElapsedTime, uintptr(unsafe.Pointer(&ms)), earlier.handle, e.handle)
	return ms, err
}

// Free gives the event back.
func (e *Event) Free() error { return e.thread.call(cuEventDestroy, e.handle) }

// Graph is work that was captured once and is done as often as it is launched, at less
// cost for the host.
type Graph struct {
	thread *Thread
	handle uintptr // CUgraphExec
}

const threadLocal = 1 // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

// Capture makes a graph of what f adds to s, which is not done then. f must not
// allocate, wait, or use what this precision has not used yet: let it run once before.
// Numbers that it hands to kernels are those of every launch; what changes has to be in
// memory of the device.
func (s *Stream) Capture(f func() error) (*Graph, error) {
	t := s.thread
	if err := s.readyBLAS(); err != nil {
		return nil, err
	}
	if err := t.call(cuStreamBeginCapture, s.handle, threadLocal); err != nil {
		return nil, err
	}
	err := f()
	var graph uintptr
	if ended := t.call(cuStreamEndCapture, s.handle, uintptr(unsafe.Pointer(&graph))); err == nil {
		err = ended
	}
	if graph == 0 && err == nil {
		err = fmt.Errorf("%s: no graph", driverNames[cuStreamEndCapture])
	}
	g := &Graph{thread: t}
	if err == nil {
		err = t.call(cuGraphInstantiate, uintptr(unsafe.Pointer(&g.handle)), graph, 0)
	}
	if graph != 0 {
		err = errors.Join(err, t.call(cuGraphDestroy, graph))
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Launch adds the work of a graph to s.
func (s *Stream) Launch(g *Graph) error { return s.thread.call(cuGraphLaunch, g.handle, s.handle) }

// Free gives the graph back, when it does not run.
func (g *Graph) Free() error { return g.thread.call(cuGraphExecDestroy, g.handle) }
