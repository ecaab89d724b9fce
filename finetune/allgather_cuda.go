package finetune

import (
	"context"

	"efcn/internal/cuda"
	"efcn/internal/mpi"
)

// onDevice: with the batch last, the parts of the ranks lie one behind the other in the
// joined value, as they are sent. They pass through the memory of the host.
func (l *allGather[T]) onDevice(*formMaker[T]) (deviceForm[T], error) {
	rank, ctx := l.ranks.Rank(), context.Background()
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], out cuda.Buffer[T]) error {
			return l.ranks.through(out.Len(), func(b mpi.Buffer[T]) error {
				if err := cuda.Read(s, l.block(b.Data(), rank), in[0]); err != nil {
					return err
				}
				if err := mpi.Allgatherv(ctx, l.ranks.World, b, l.counts()); err != nil {
					return err
				}
				return cuda.Write(s, out, b.Data())
			})
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			if !l.partial {
				from := l.start(rank)
				return cuda.Copy(s, p.din[0], p.dout.Part(from, from+p.din[0].Len()))
			}
			return l.ranks.through(p.dout.Len(), func(b mpi.Buffer[T]) error {
				if err := cuda.Read(s, b.Data(), p.dout); err != nil {
					return err
				}
				if err := mpi.ReduceScatter(ctx, l.ranks.World, b, l.counts(), mpi.Sum); err != nil {
					return err
				}
				return cuda.Write(s, p.din[0], l.block(b.Data(), rank))
			})
		},
	}, nil
}
