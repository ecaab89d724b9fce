package mpi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Op is what a reduction computes of the elements that the ranks have at one place.
type Op int

const (
	// Sum adds them in the order of the ranks, ((x₀ + x₁) + x₂) + …, each sum rounded
	// to the type.
	Sum Op = iota
	// Max is the largest, and NaN where one is.
	Max
)

// Barrier waits until every rank has called it.
func (w *World) Barrier(ctx context.Context) error {
	return w.begin(plan{call: "Barrier", barrier: true}).Wait(ctx)
}

// Bcast sends b of rank root to the other ranks, from there to each.
func Bcast[T Element](ctx context.Context, w *World, b Buffer[T], root int) error {
	if err := w.isPeer(root); err != nil {
		return fmt.Errorf("Bcast: %w", err)
	}
	p := plan{call: "Bcast"}
	if w.rank == root {
		p.sends = w.others(func(int) []byte { return memory(b.data) })
	} else {
		p.recvs = []message{{root, memory(b.data)}}
	}
	return w.begin(p).Wait(ctx)
}

// Allgatherv gives all ranks what each has. b has a block of counts[r] elements for
// each rank r, in their order; this rank has filled its own.
func Allgatherv[T Element](ctx context.Context, w *World, b Buffer[T], counts []int) error {
	return allgatherv(w, "Allgatherv", b.data, counts).Wait(ctx)
}

// Iallgatherv begins what [Allgatherv] does.
func Iallgatherv[T Element](w *World, b Buffer[T], counts []int) *Request {
	return allgatherv(w, "Iallgatherv", b.data, counts)
}

func allgatherv[T Element](w *World, call string, data []T, counts []int) *Request {
	blocks, err := cut(w, data, counts)
	if err != nil {
		return w.failed(fmt.Errorf("%s: %w", call, err))
	}
	own := memory(blocks[w.rank])
	return w.begin(plan{
		call:  call,
		sends: w.others(func(int) []byte { return own }),
		recvs: w.others(func(rank int) []byte { return memory(blocks[rank]) }),
	})
}

// ReduceScatter reduces over the ranks and gives each its part of the result. b has
// a block of counts[r] elements for each rank r, in their order; this rank's own
// becomes that of the result, and the others stay.
func ReduceScatter[T Number](ctx context.Context, w *World, b Buffer[T], counts []int, op Op) error {
	return reduceScatter(w, "Reduce_scatter", b.data, counts, op).Wait(ctx)
}

// IreduceScatter begins what [ReduceScatter] does.
func IreduceScatter[T Number](w *World, b Buffer[T], counts []int, op Op) *Request {
	return reduceScatter(w, "Ireduce_scatter", b.data, counts, op)
}

func reduceScatter[T Number](w *World, call string, data []T, counts []int, op Op) *Request {
	blocks, err := cut(w, data, counts)
	if err != nil {
		return w.failed(fmt.Errorf("%s: %w", call, err))
	}
	return reduce(w, call, blocks, op)
}

// reduce sends block r to rank r, for each r, and reduces what comes for this rank's.
// A block may be the same memory as others.
func reduce[T Number](w *World, call string, blocks [][]T, op Op) *Request {
	own := blocks[w.rank]
	received, give, err := borrow[T](w, len(own)*(w.size-1))
	if err != nil {
		return w.failed(fmt.Errorf("%s: %w", call, err))
	}
	parts := make([][]T, w.size)
	for rank := range parts {
		if rank == w.rank {
			parts[rank] = own
			continue
		}
		parts[rank], received = received[:len(own)], received[len(own):]
	}
	return w.begin(plan{
		call:  call,
		sends: w.others(func(rank int) []byte { return memory(blocks[rank]) }),
		recvs: w.others(func(rank int) []byte { return memory(parts[rank]) }),
		finish: func() error {
			defer give()
			combine(own, parts, op)
			return nil
		},
	})
}

// combine computes into of the parts of all ranks, one of which it may be.
func combine[T Number](into []T, parts [][]T, op Op) {
	var buffer [1024]T
	for len(into) > 0 {
		n := min(len(into), len(buffer))
		sum := buffer[:n]
		copy(sum, parts[0])
		for rank := range parts {
			part := parts[rank][:n]
			parts[rank] = parts[rank][n:]
			switch {
			case rank == 0:
			case op == Sum:
				for i, v := range part {
					sum[i] += v
				}
			default:
				for i, v := range part {
					sum[i] = max(sum[i], v)
				}
			}
		}
		copy(into, sum)
		into = into[n:]
	}
}

// wholeBytes is up to where an Allreduce sends everything to everyone: one message's
// time instead of two, for no more bytes than MPI puts around one.
const wholeBytes = 4 << 10

// Allreduce reduces b over the ranks, and gives each the whole result.
func Allreduce[T Number](ctx context.Context, w *World, b Buffer[T], op Op) error {
	const call = "Allreduce"
	if len(memory(b.data)) <= wholeBytes {
		blocks := make([][]T, w.size)
		for rank := range blocks {
			blocks[rank] = b.data
		}
		return reduce(w, call, blocks, op).Wait(ctx)
	}
	counts := make([]int, w.size)
	for rank := range counts {
		counts[rank] = (rank+1)*len(b.data)/w.size - rank*len(b.data)/w.size
	}
	if err := reduceScatter(w, call, b.data, counts, op).Wait(ctx); err != nil {
		return err
	}
	return allgatherv(w, call, b.data, counts).Wait(ctx)
}

// AllreduceSlice reduces values, which may lie anywhere, over the ranks, and gives each the whole
// result: what Allreduce does with a copy of them.
func AllreduceSlice[T Number](ctx context.Context, w *World, values []T, op Op) error {
	data, give, err := borrow[T](w, len(values))
	if err != nil {
		return err
	}
	copy(data, values)
	if err := Allreduce(ctx, w, Buffer[T]{data: data}, op); err != nil {
		return err
	}
	copy(values, data)
	give()
	return nil
}

// cut returns the block of data of each rank.
func cut[T Element](w *World, data []T, counts []int) ([][]T, error) {
	if len(counts) != w.size {
		return nil, fmt.Errorf("%d counts for %d ranks", len(counts), w.size)
	}
	blocks, rest := make([][]T, w.size), data
	for rank, n := range counts {
		if n < 0 || n > len(rest) {
			return nil, fmt.Errorf("counts %v of a buffer of %d elements", counts, len(data))
		}
		blocks[rank], rest = rest[:n], rest[n:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("counts %v of a buffer of %d elements", counts, len(data))
	}
	return blocks, nil
}

// others is a message for each other rank, beginning with the next, so that not all
// ranks turn to the same one first.
func (w *World) others(data func(rank int) []byte) []message {
	messages := make([]message, 0, w.size-1)
	for i := 1; i < w.size; i++ {
		rank := (w.rank + i) % w.size
		messages = append(messages, message{rank, data(rank)})
	}
	return messages
}

// failed is a request that was refused.
func (w *World) failed(err error) *Request {
	r := &Request{thread: w.thread, done: make(chan struct{}), err: err}
	close(r.done)
	return r
}

func (w *World) isPeer(rank int) error {
	if rank < 0 || rank >= w.size {
		return fmt.Errorf("rank %d of %d", rank, w.size)
	}
	return nil
}

// AllgatherBytes gives all ranks the message of each, of any length, in their order.
func (w *World) AllgatherBytes(ctx context.Context, own []byte) ([][]byte, error) {
	const call = "Allgatherv"
	lengths, give, err := borrow[int64](w, w.size)
	if err != nil {
		return nil, err
	}
	counts, total := make([]int, w.size), 0
	for rank := range counts {
		counts[rank] = 1
	}
	lengths[w.rank] = int64(len(own))
	if err := allgatherv(w, call, lengths, counts).Wait(ctx); err != nil {
		return nil, err
	}
	for rank, n := range lengths {
		counts[rank] = int(n)
		total += int(n)
	}
	data, giveData, err := borrow[byte](w, total)
	if err != nil {
		return nil, err
	}
	blocks, err := cut(w, data, counts)
	if err != nil {
		return nil, err
	}
	copy(blocks[w.rank], own)
	if err := allgatherv(w, call, data, counts).Wait(ctx); err != nil {
		return nil, err
	}
	messages := make([][]byte, w.size)
	for rank, block := range blocks {
		messages[rank] = append([]byte{}, block...)
	}
	give()
	giveData()
	return messages, nil
}

// Different returns the first rank that gives another message than rank 0, with both
// messages; rank 0 where all give the same.
func (w *World) Different(ctx context.Context, own []byte) (rank int, other, first []byte, err error) {
	all, err := w.AllgatherBytes(ctx, own)
	if err != nil {
		return 0, nil, nil, err
	}
	for rank, other := range all {
		if !bytes.Equal(other, all[0]) {
			return rank, other, all[0], nil
		}
	}
	return 0, nil, nil, nil
}

// Send sends a message to a rank, which has to call Recv.
func (w *World) Send(ctx context.Context, to int, content []byte) error {
	if err := w.isPeer(to); err != nil {
		return fmt.Errorf("Send: %w", err)
	}
	// Its length goes first, in a message of its own.
	header, give, err := borrow[int64](w, 1)
	if err != nil {
		return err
	}
	data, giveData, err := borrow[byte](w, len(content))
	if err != nil {
		return err
	}
	header[0] = int64(len(content))
	copy(data, content)
	return w.begin(plan{
		call: "Send", tag: messageTag,
		sends: []message{{to, memory(header)}, {to, data}},
		finish: func() error {
			give()
			giveData()
			return nil
		},
	}).Wait(ctx)
}

// Recv returns the next message that rank from sends to this one.
func (w *World) Recv(ctx context.Context, from int) ([]byte, error) {
	if err := w.isPeer(from); err != nil {
		return nil, fmt.Errorf("Recv: %w", err)
	}
	header, giveHeader, err := borrow[int64](w, 1)
	if err != nil {
		return nil, err
	}
	p := plan{call: "Recv", tag: messageTag, recvs: []message{{from, memory(header)}}}
	if err := w.begin(p).Wait(ctx); err != nil {
		return nil, err
	}
	data, giveData, err := borrow[byte](w, int(header[0]))
	if err != nil {
		return nil, err
	}
	giveHeader()
	p.recvs = []message{{from, data}}
	if err := w.begin(p).Wait(ctx); err != nil {
		return nil, err
	}
	content := append([]byte{}, data...)
	giveData()
	return content, nil
}

// RankError is an error of another rank.
type RankError struct {
	Rank int
	Text string
}

func (e *RankError) Error() string { return fmt.Sprintf("rank %d: %s", e.Rank, e.Text) }

// Agree returns an error on all ranks if err is one on some: the own one, or a
// [*RankError] of the first that has one. So ranks that check their input before they
// go on stop together, and the first can report for all.
func (w *World) Agree(ctx context.Context, err error) error {
	text := []byte{}
	if err != nil {
		text = append([]byte("!"), err.Error()...) // an error without a text is one
	}
	all, failed := w.AllgatherBytes(ctx, text)
	if failed != nil {
		return errors.Join(err, failed)
	}
	if err != nil {
		return err
	}
	for rank, text := range all {
		if len(text) > 0 {
			return &RankError{rank, string(text[1:])}
		}
	}
	return nil
}
