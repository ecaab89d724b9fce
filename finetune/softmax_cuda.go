package finetune

import "efcn/internal/cuda"

func (l *softmax[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	of := l.onDeviceLines(m.n)
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.Softmax(s, of, l.log, in[0], y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return cuda.SoftmaxBackward(s, of, l.log, p.out, p.dout, p.din[0])
		},
	}, nil
}

// onDeviceLines returns the same lines where the batch, of n samples, is the last axis. Lines
// along the batch have it in count.
func (l lines) onDeviceLines(n int) cuda.Lines {
	if l.outer%n == 0 {
		return cuda.Lines{Outer: l.outer / n, Length: l.count, Inner: l.inner * n}
	}
	if l.inner == 1 && l.outer == 1 { // everything is one line
		return cuda.Lines{Outer: 1, Length: l.count, Inner: 1}
	}
	return cuda.Lines{Outer: l.inner, Length: l.count, Inner: 1}
}
