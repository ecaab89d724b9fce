package finetune

import (
	"context"

	"efcn/internal/kernel"
	"efcn/internal/mpi"
)

func init() {
	register("efcn.ranks.Spread", emitSpread[float32], emitSpread[float64])
}

// fanOut hands a value that is the same on all ranks to layers of which each rank has a
// part. The gradient at it is the sum of what the ranks have.
type fanOut[T kernel.Float] struct{ message[T] }

func (l *fanOut[T]) needs() needs { return needs{inPlace: true} }

func (l *fanOut[T]) forward(in [][]T, out []T) { copy(out, in[0]) }

func (l *fanOut[T]) backward(p pass[T]) {
	if l.request == nil {
		l.send(p.dout)
	}
	l.end(func(b mpi.Buffer[T]) error {
		b = b.Part(0, len(p.din[0]))
		if err := mpi.Allgatherv(context.Background(), l.ranks.World, b, l.counts(len(b.Data()))); err != nil {
			return err
		}
		copy(p.din[0], b.Data())
		return nil
	})
}

// send begins the first half of the sum: each rank gets a stretch of it.
func (l *fanOut[T]) send(dout []T) {
	l.begin(len(dout), func(b []T) { copy(b, dout) },
		func(b mpi.Buffer[T]) *mpi.Request {
			return mpi.IreduceScatter(l.ranks.World, b, l.counts(len(dout)), mpi.Sum)
		})
}

// counts divides n elements among the ranks.
func (l *fanOut[T]) counts(n int) []int {
	counts := make([]int, l.ranks.Size())
	for rank := range counts {
		counts[rank] = (rank+1)*n/len(counts) - rank*n/len(counts)
	}
	return counts
}

func emitSpread[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	ranks := n.b.t.ranks
	if ranks == nil {
		return n.Errorf("it is for what several ranks compute, and this is one")
	}
	ranks.reserve(n.b.a.net.batch * x.size())
	return n.emit(&fanOut[T]{message[T]{ranks: ranks}}, x.shape, []value{x})
}
