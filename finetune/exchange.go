package finetune

import (
	"context"
	"sync"

	"efcn/internal/kernel"
	"efcn/internal/mpi"
)

// exchange is what the layers of a trainee have that send values to other ranks of their
// group. A nil one is that of a training in one process.
type exchange[T kernel.Float] struct {
	*mpi.World       // the group
	team       *team // it is of; nil for one group

	mutex sync.Mutex
	size  int             // elements of the largest buffer that a layer asks for
	spare []mpi.Buffer[T] // of size elements each

	gradients mpi.Buffer[T] // what sumGradients sends
}

// reserve says that a layer will borrow buffers of size elements.
func (e *exchange[T]) reserve(size int) { e.size = max(e.size, size) }

// borrow returns a buffer of size elements, to be given back. One serves all layers
// whose messages do not go at once.
func (e *exchange[T]) borrow(size int) (mpi.Buffer[T], error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for len(e.spare) > 0 {
		b := e.spare[len(e.spare)-1]
		e.spare = e.spare[:len(e.spare)-1]
		if len(b.Data()) >= e.size {
			return b, nil
		}
		if err := b.Free(e.World); err != nil { // from before a larger network was made
			return b, err
		}
	}
	return mpi.Alloc[T](e.World, max(size, e.size))
}

func (e *exchange[T]) giveBack(b mpi.Buffer[T]) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.spare = append(e.spare, b)
}

// through lends f a buffer of size elements.
func (e *exchange[T]) through(size int, f func(b mpi.Buffer[T]) error) error {
	b, err := e.borrow(size)
	if err != nil {
		return err
	}
	defer e.giveBack(b)
	return f(b.Part(0, size))
}

// sum adds up over the ranks of the group, in their order.
func (e *exchange[T]) sum(values []float64) error {
	if e == nil {
		return nil
	}
	return mpi.AllreduceSlice(context.Background(), e.World, values, mpi.Sum)
}

// sumGradients adds lists up over the groups, partSize elements at a time.
func (e *exchange[T]) sumGradients(lists ...[]T) error {
	if e == nil || !e.team.isGrouped() {
		return nil
	}
	left := 0
	for _, l := range lists {
		left += len(l)
	}
	if size := min(left, partSize); len(e.gradients.Data()) < size {
		if err := e.gradients.Free(e.World); err != nil {
			return err
		}
		var err error
		if e.gradients, err = mpi.Alloc[T](e.World, size); err != nil {
			return err
		}
	}
	for at := 0; left > 0; {
		n := min(left, len(e.gradients.Data()))
		b := e.gradients.Part(0, n)
		visitStretch(lists, at, b.Data(), func(list, packed []T) { copy(packed, list) })
		if err := mpi.Allreduce(context.Background(), e.team.peers, b, mpi.Sum); err != nil {
			return err
		}
		visitStretch(lists, at, b.Data(), func(list, packed []T) { copy(list, packed) })
		at, left = at+n, left-n
	}
	return nil
}

// visitStretch calls visit with the parts of lists that packed holds one behind the other:
// len(packed) elements, of which element at of all lists is the first.
func visitStretch[T kernel.Float](lists [][]T, at int, packed []T, visit func(list, packed []T)) {
	for _, l := range lists {
		if at >= len(l) {
			at -= len(l)
			continue
		}
		n := min(len(l)-at, len(packed))
		visit(l[at:at+n], packed[:n])
		if packed, at = packed[n:], 0; len(packed) == 0 {
			return
		}
	}
}

// sender is a layer whose backward pass begins with messages to other ranks. Where
// one other layer alone makes the gradient at its output, that one's backward pass
// has them sent as soon as the gradient is there, and updates its weights meanwhile.
type sender[T kernel.Float] interface {
	layer[T]
	// send begins to send dout. The backward pass of the same step takes note of it,
	// and waits.
	send(dout []T)
}

// fallible is a layer that can fail while it computes.
type fallible interface {
	// failure is the error of the last pass.
	failure() error
}

// message is what a sender has under way.
type message[T kernel.Float] struct {
	ranks   *exchange[T]
	buffer  mpi.Buffer[T]
	request *mpi.Request // nil for none
	err     error
}

func (m *message[T]) failure() error { return m.err }

// begin fills a buffer and begins what is to be done with it.
func (m *message[T]) begin(size int, fill func(b []T), call func(b mpi.Buffer[T]) *mpi.Request) {
	b, err := m.ranks.borrow(size)
	if m.err = err; err != nil {
		return
	}
	m.buffer = b
	fill(b.Data()[:size])
	m.request = call(b.Part(0, size))
}

// end waits for it and hands out the buffer. Other ranks wait as well: what ends a
// run is agreed on between steps.
func (m *message[T]) end(read func(b mpi.Buffer[T]) error) {
	if m.request == nil {
		return
	}
	if m.err = m.request.Wait(context.Background()); m.err == nil {
		m.err = read(m.buffer)
	}
	m.request = nil
	m.ranks.giveBack(m.buffer)
}
