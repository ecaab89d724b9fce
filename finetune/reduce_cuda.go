package finetune

import "efcn/internal/cuda"

func (r *reduction[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	from := make([]int32, r.size)
	for o, start := range r.starts {
		for _, i := range r.at {
			from[start+i] = int32(o)
		}
	}
	groups, err := m.arrangement(len(r.starts), from)
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.Reduce(s, r.on, r.factor, groups, m.n, in[0], y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return cuda.ReduceBackward(s, r.on, r.factor, groups, m.n, p.in[0], p.out, p.dout, p.din[0])
		},
	}, err
}
