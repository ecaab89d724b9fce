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

func (gate[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	d := devicePair[T]{input: [2]int{0, 1}}
	d.F, d.N, d.Moves = cuda.PairMul, m.n, [2]bool{true, true}
	return d.form(), nil
}

// spreadForm is f of a value and a constant or weight, which lies over it and is operand
// number at. fixed are the values of a constant, nil for a weight.
func spreadForm[T float32 | float64](
	m *formMaker[T], l spread, f cuda.Pair, at int, fixed []T,
) (deviceForm[T], error) {
	d := devicePair[T]{input: [2]int{0, 0}}
	d.F, d.N, d.Moves[1-at], d.input[at] = f, m.n, true, 1
	var err error
	if d.Over[at], err = m.rows(l.count, l.size, func(r int) int { return r / l.inner % l.count }); err != nil {
		return deviceForm[T]{}, err
	}
	if fixed != nil {
		d.input[at] = -1
		if d.fixed[at], err = m.constant(fixed); err != nil {
			return deviceForm[T]{}, err
		}
	}
	return d.form(), nil
}

func (l *shift[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	switch {
	case l.a < 0: // c − x
		return spreadForm(m, l.spread, cuda.PairSub, 0, l.fixed)
	case l.b < 0:
		return spreadForm(m, l.spread, cuda.PairSub, 1, l.fixed)
	}
	return spreadForm(m, l.spread, cuda.PairAdd, 1, l.fixed)
}

func (l *scale[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	return spreadForm(m, l.spread, cuda.PairMul, 1, l.fixed)
}
