package finetune

import (
	"efcn/internal/kernel"
	"efcn/internal/mpi"
)

func init() {
	register("efcn.ranks.AllGather", emitAllGather[float32], emitAllGather[float64])
}

// allGather joins the parts that the ranks have of a value, along the first axis of a
// sample: [n, sizes[r], inner] of rank r become [n, Σ sizes, inner].
//
// Where the gradient at the joined value is partial, a summand on each rank, it is
// summed and each rank gets its part (reduce-scatter). Otherwise all ranks have the
// whole gradient, and each takes its part of it.
type allGather[T kernel.Float] struct {
	message[T]
	n       int
	sizes   []int // of a sample's part at each rank, in elements
	partial bool
}

func (l *allGather[T]) needs() needs { return needs{} }

func (l *allGather[T]) forward(in [][]T, out []T) {
	l.begin(len(out), func(b []T) { copy(l.block(b, l.ranks.Rank()), in[0]) },
		func(b mpi.Buffer[T]) *mpi.Request { return mpi.Iallgatherv(l.ranks.World, b, l.counts()) })
	l.end(func(b mpi.Buffer[T]) error {
		l.each(b.Data(), out, func(block, joined []T) { copy(joined, block) })
		return nil
	})
}

func (l *allGather[T]) backward(p pass[T]) {
	rank := l.ranks.Rank()
	if !l.partial {
		l.eachOf(rank, p.din[0], p.dout, func(part, joined []T) { copy(part, joined) })
		return
	}
	if l.request == nil {
		l.send(p.dout)
	}
	l.end(func(b mpi.Buffer[T]) error {
		copy(p.din[0], l.block(b.Data(), rank))
		return nil
	})
}

// send begins the reduce-scatter, where there is something to sum.
func (l *allGather[T]) send(dout []T) {
	if !l.partial {
		return
	}
	l.begin(len(dout), func(b []T) { l.each(b, dout, func(block, joined []T) { copy(block, joined) }) },
		func(b mpi.Buffer[T]) *mpi.Request { return mpi.IreduceScatter(l.ranks.World, b, l.counts(), mpi.Sum) })
}

// counts is how many elements of the batch each rank has.
func (l *allGather[T]) counts() []int {
	counts := make([]int, len(l.sizes))
	for rank, size := range l.sizes {
		counts[rank] = l.n * size
	}
	return counts
}

// block is the part of a rank in a buffer that holds those of all ranks one behind the
// other.
func (l *allGather[T]) block(b []T, rank int) []T {
	at := l.start(rank)
	return b[at : at+l.n*l.sizes[rank]]
}

// start is where that part begins.
func (l *allGather[T]) start(rank int) int {
	at := 0
	for _, size := range l.sizes[:rank] {
		at += l.n * size
	}
	return at
}

// each calls visit for each rank and sample with the part in such a buffer, and with the
// same part of the joined value.
func (l *allGather[T]) each(b, joined []T, visit func(block, joined []T)) {
	for rank := range l.sizes {
		l.eachOf(rank, l.block(b, rank), joined, visit)
	}
}

// eachOf is each for one rank.
func (l *allGather[T]) eachOf(rank int, block, joined []T, visit func(block, joined []T)) {
	before, total := 0, 0
	for r, size := range l.sizes {
		if r < rank {
			before += size
		}
		total += size
	}
	size := l.sizes[rank]
	kernel.Parallel(l.n, 1+elementGrain/max(1, size), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			visit(block[i*size:(i+1)*size], joined[i*total+before:][:size])
		}
	})
}

func emitAllGather[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	ranks := n.b.t.ranks
	if ranks == nil {
		return n.Errorf("it joins what several ranks compute, and this is one")
	}
	sizes, err := n.Ints("sizes")
	if err != nil {
		return n.Wrap(err)
	}
	partial, err := n.Int("partial", 0)
	if err != nil {
		return n.Wrap(err)
	}
	if len(sizes) != ranks.Size() || len(x.shape) == 0 || sizes[ranks.Rank()] != int64(x.shape[0]) {
		return n.Errorf("sizes %v along axis 1, on rank %d of %d, do not fit a sample of shape %v", sizes, ranks.Rank(),
			ranks.Size(), x.shape)
	}
	shape := append([]int{0}, x.shape[1:]...)
	l := &allGather[T]{message: message[T]{ranks: ranks}, n: n.b.a.net.batch, partial: partial != 0}
	for _, size := range sizes {
		shape[0] += int(size)
		l.sizes = append(l.sizes, int(size)*product(x.shape[1:]))
	}
	ranks.reserve(l.n * product(shape))
	return n.emit(l, shape, []value{x})
}
