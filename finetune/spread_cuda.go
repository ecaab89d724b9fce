package finetune

import (
	"context"

	"efcn/internal/cuda"
	"efcn/internal/mpi"
)

func (l *fanOut[T]) onDevice(*formMaker[T]) (deviceForm[T], error) {
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], out cuda.Buffer[T]) error {
			if in[0] == out {
				return nil
			}
			return cuda.Copy(s, out, in[0])
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return l.ranks.through(p.dout.Len(), func(b mpi.Buffer[T]) error {
				if err := cuda.Read(s, b.Data(), p.dout); err != nil {
					return err
				}
				if err := mpi.Allreduce(context.Background(), l.ranks.World, b, mpi.Sum); err != nil {
					return err
				}
				return cuda.Write(s, p.din[0], b.Data())
			})
		},
	}, nil
}
