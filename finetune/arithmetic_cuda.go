package finetune

import "efcn/internal/cuda"

func (j join[T]) onDevice(*formMaker[T]) (deviceForm[T], error) {
	times := func(s *cuda.Stream, to, x cuda.Buffer[T], by T) error {
		if err := cuda.Copy(s, to, x); err != nil {
			return err
		}
		return scaleBy(s, by, to)
	}
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			if j.a == 1 && j.b == 1 {
				return cuda.Add(s, y, in[0], in[1])
			}
			// One of the factors is 1 in all that finetune joins.
			k := 0
			if j.a == 1 {
				k = 1
			}
			if err := times(s, y, in[k], []T{j.a, j.b}[k]); err != nil {
				return err
			}
			return cuda.Add(s, y, y, in[1-k])
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			for i, by := range []T{j.a, j.b} {
				if p.din[i].Len() == 0 {
					continue
				}
				if err := times(s, p.din[i], p.dout, by); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}
