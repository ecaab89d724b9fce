package finetune

import (
	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

func (l *mixing[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	pattern, weights := l.matrix()
	matrix, err := cuda.NewCSR(m.thread, pattern, m.n)
	if err != nil {
		return deviceForm[T]{}, err
	}
	m.keep(matrix.Free)
	entries, err := m.constant(weights)
	outer, inner := l.outer/m.n, l.inner*m.n
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.Mix(s, matrix, outer, inner, entries, in[0], y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return cuda.MixBackward(s, matrix, outer, inner, entries, p.dout, p.din[0])
		},
	}, err
}

// matrix returns the weights as a sparse matrix, those of an element that a sum has
// several times as one.
func (l *mixing[T]) matrix() (kernel.CSR, []T) {
	c := kernel.CSR{Rows: l.size, Cols: l.d, Starts: []int{0}}
	var weights []T
	for i := range l.size {
		row := make([]T, l.d)
		for k := l.starts[i]; k < l.starts[i+1]; k++ {
			row[l.from[k]] += l.weights[k]
		}
		for q, w := range row {
			if w != 0 {
				c.Columns, weights = append(c.Columns, int32(q)), append(weights, w)
			}
		}
		c.Starts = append(c.Starts, len(weights))
	}
	return c, weights
}
