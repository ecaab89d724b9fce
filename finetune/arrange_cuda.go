package finetune

import "efcn/internal/cuda"

// deviceArranged moves rows from some inputs to an output, where constants may lie
// between them.
type deviceArranged[T float32 | float64] struct {
	n      int
	inputs []int // of the layer
	moves  []*cuda.Arrangement
	blank  cuda.Buffer[T] // empty where there are no constants
}

// add adds what comes from an input of size rows: row k of the output is row from[k], or
// comes from elsewhere where that is negative.
func (d *deviceArranged[T]) add(m *formMaker[T], input, size int, from []int32) error {
	a, err := cuda.NewArrangement(m.thread, size, from)
	if err != nil {
		return err
	}
	m.keep(a.Free)
	d.inputs, d.moves = append(d.inputs, input), append(d.moves, a)
	return nil
}

func (d *deviceArranged[T]) form() deviceForm[T] {
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			if d.blank.Len() > 0 {
				if err := cuda.Spread(s, d.n, d.blank, y); err != nil {
					return err
				}
			}
			for i, a := range d.moves {
				if err := cuda.Arrange(s, a, d.n, in[d.inputs[i]], y); err != nil {
					return err
				}
			}
			return nil
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			for i, a := range d.moves {
				dx := p.din[d.inputs[i]]
				if dx.Len() == 0 {
					continue
				}
				if err := cuda.ArrangeBackward(s, a, d.n, p.dout, dx); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (l *arranged[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	d := &deviceArranged[T]{n: m.n}
	if l.blank != nil {
		var err error
		if d.blank, err = m.constant(l.blank); err != nil {
			return deviceForm[T]{}, err
		}
	}
	for i := range l.parts {
		p := &l.parts[i]
		if err := d.add(m, p.input, p.size, p.sources(l.size)); err != nil {
			return deviceForm[T]{}, err
		}
	}
	return d.form(), nil
}

// sources returns for each of size elements which one of the input it is, -1 for none.
func (p *part) sources(size int) []int32 {
	from := make([]int32, size)
	for k := range from {
		from[k] = -1
	}
	for k, to := range p.to {
		from[to] = p.from[k]
	}
	for _, r := range p.runs {
		for k := range r.n {
			from[r.to+k] = r.from + k
		}
	}
	return from
}

func (c *concat[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	d := &deviceArranged[T]{n: m.n}
	outer, at := c.outer/m.n, 0
	for i, w := range c.widths {
		p := part{}
		for o := range outer {
			p.runs = append(p.runs, run{int32(o*c.width + at), int32(o * w), int32(w)})
		}
		if err := d.add(m, i, outer*w, p.sources(outer*c.width)); err != nil {
			return deviceForm[T]{}, err
		}
		at += w
	}
	return d.form(), nil
}
