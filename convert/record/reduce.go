package record

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
)

func init() {
	operators["ReduceMean"] = (*Layer).reduction
	operators["ReduceSum"] = (*Layer).reduction
}

func (l *Layer) reduction() (geometry, error) {
	axes := l.ReducedAxes()
	notOne := func(a int64) bool { return a < 0 || a >= int64(len(l.InputShape)) }
	tooLong := func(d int64) bool { return d > affine.MaxAxis }
	if len(l.InputShape) < 1 || !isSize(l.InputShape) || slices.ContainsFunc(l.InputShape, tooLong) ||
		slices.ContainsFunc(axes, notOne) {
		return geometry{}, fmt.Errorf("a %s over axes %v of %v", l.Op, l.Axes, l.InputShape)
	}
	dims := make([]int, len(l.InputShape))
	for i, d := range l.InputShape {
		dims[i] = int(d)
	}
	m, _ := affine.Reduction(dims, axes)
	return geometry{support: m}, nil
}

// ReducedAxes returns the axes that a reduction works along: all but the channels'
// where the record lists none, which is so for a GlobalAveragePool.
func (l *Layer) ReducedAxes() []int64 {
	axes := l.Axes
	if axes == nil {
		for i := 1; i < len(l.InputShape); i++ {
			axes = append(axes, int64(i))
		}
	}
	return axes
}
