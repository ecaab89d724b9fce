package mpi

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"unsafe"
)

// Local returns the Worlds of n ranks that are goroutines of this process, each of
// which uses one. Tests run a job in it, without MPI: what they compute together is
// the same bits as over MPI, and the same bytes are counted.
//
// A message is copied when both of its ends have been given. Nothing else runs beside
// the ranks.
func Local(n int) []*World {
	shared := &local{waiting: map[address]*queue{}, comms: map[split]uint64{}}
	worlds := make([]*World, n)
	for rank := range worlds {
		t := newThread()
		t.local, t.name = shared, fmt.Sprintf("rank %d of %d", rank, n)
		worlds[rank] = &World{thread: t, rank: rank, size: n}
	}
	return worlds
}

// local is what takes MPI's place where the ranks are goroutines.
type local struct {
	mutex   sync.Mutex
	waiting map[address]*queue
	comms   map[split]uint64 // those that Split made, from 1
}

// address is where messages of one kind go, which keep their order.
type address struct {
	comm          uint64
	from, to, tag int
}

// queue holds the ends of messages whose other ends have not been given: those of
// one kind only.
type queue struct{ sends, recvs []end }

// end is one of a message's two.
type end struct {
	data []byte
	call *localCall
}

// localCall is a call that is under way. err and left are guarded by the mutex of the
// local that it belongs to.
type localCall struct {
	left int // ends whose other has not come
	err  error
	*operation
}

// barrierTag is on the messages of a barrier, which are empty.
const barrierTag = 2

// begin gives the ends of p's messages, and copies those whose other ends are there.
func (l *local) begin(w *World, p plan, r *Request) {
	if p.barrier {
		p.tag = barrierTag
		p.sends = w.others(func(int) []byte { return nil })
		p.recvs = p.sends
	}
	// One more is left until all are given, so that the call does not end before.
	call := &localCall{left: 1 + len(p.recvs) + len(p.sends), operation: &operation{finish: p.finish, request: r}}
	for _, m := range p.recvs {
		l.give(address{w.comm, m.peer, w.rank, p.tag}, end{m.data, call}, true)
	}
	for _, m := range p.sends {
		l.give(address{w.comm, w.rank, m.peer, p.tag}, end{m.data, call}, false)
	}
	l.finish(call, nil)
}

// give adds an end of a message to a, or copies the message if its other end is there.
func (l *local) give(a address, e end, receives bool) {
	l.mutex.Lock()
	q := l.waiting[a]
	if q == nil {
		q = &queue{}
		l.waiting[a] = q
	}
	own, others := &q.sends, &q.recvs
	if receives {
		own, others = others, own
	}
	if len(*others) == 0 {
		*own = append(*own, e)
		l.mutex.Unlock()
		return
	}
	other := (*others)[0]
	*others = slices.Delete(*others, 0, 1)
	l.mutex.Unlock()
	from, to := e, other
	if receives {
		from, to = other, e
	}
	var err error
	if copy(to.data, from.data); len(to.data) != len(from.data) {
		err = &lengthError{a.from, len(from.data), len(to.data)}
	}
	l.finish(from.call, nil)
	l.finish(to.call, err)
}

// finish notes that one of the messages of a call was copied, and ends the call after
// the last.
func (l *local) finish(c *localCall, err error) {
	l.mutex.Lock()
	c.left--
	c.err = cmp.Or(c.err, err)
	done := c.left == 0
	l.mutex.Unlock()
	if done {
		c.end(c.err)
	}
}

// split names a World that Split made.
type split struct {
	comm  uint64
	color int64
	turn  int // of the calls of Split on comm
}

// split makes part the World of the ranks of w that give the same color.
func (l *local) split(ctx context.Context, w, part *World, color, key int) error {
	const fields = 2
	all := make([]int64, fields*w.size)
	all[fields*w.rank], all[fields*w.rank+1] = int64(color), int64(key)
	if err := AllreduceSlice(ctx, w, all, Sum); err != nil {
		return err
	}
	var ranks []int
	for rank := range w.size {
		if all[fields*rank] == int64(color) {
			ranks = append(ranks, rank)
		}
	}
	slices.SortStableFunc(ranks, func(a, b int) int { return cmp.Compare(all[fields*a+1], all[fields*b+1]) })
	part.rank, part.size = slices.Index(ranks, w.rank), len(ranks)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	name := split{w.comm, int64(color), w.splits}
	w.splits++
	if l.comms[name] == 0 {
		l.comms[name] = uint64(len(l.comms)) + 1
	}
	part.comm = l.comms[name]
	return nil
}

// allocate returns n bytes that begin at a multiple of alignment.
func allocate(n int) []byte {
	data := make([]byte, n+alignment-1)
	at := -int(uintptr(unsafe.Pointer(&data[0]))) & (alignment - 1)
	return data[at : at+n]
}
