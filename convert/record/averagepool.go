package record

import (
	"fmt"

	"efcn/convert/affine"
)

func init() {
	operators["AveragePool"] = (*Layer).averagePool
	operators["GlobalAveragePool"] = (*Layer).globalAveragePool
}

func (l *Layer) averagePool() (geometry, error) {
	var divisors []int
	g, err := l.windowed(0, func(ws []affine.Window) (taps *affine.Taps) {
		taps, divisors = affine.AverageTaps(ws, l.CountIncludePad)
		return taps
	})
	g.divisors = divisors
	return g, err
}

func (l *Layer) globalAveragePool() (geometry, error) {
	return l.grouped(0, func() (*affine.Taps, error) {
		if n := affine.Size(l.OutputShape[1:]); n != 1 {
			return nil, fmt.Errorf("output shape %v: want one position", l.OutputShape)
		}
		return affine.GlobalTaps(int(affine.Size(l.InputShape[1:]))), nil
	})
}
