package engine

import (
	"context"
	"errors"
	"slices"

	"efcn/onnxio"
)

// Resampled is what a Resize or Upsample in mode linear or cubic does along one
// axis: result i is the sum of Weights[i][k] times element From[i][k]. From is nil
// where the axis stays as it is.
type Resampled struct {
	From    [][]int
	Weights [][]float64
	// Outside says which results have the extrapolation value instead; nil if none
	// has.
	Outside []bool
}

// ResampledAxes returns what the node n, a Resize or Upsample of operator-set
// version opset in mode linear or cubic, does to a value of the given shape, axis
// by axis, the first applied first, and its extrapolation value. inputs match
// n.Inputs; the first is not looked at.
func ResampledAxes(n *onnxio.Node, opset int64, shape []int, inputs []*Tensor[float64]) (axes []Resampled,
	extrapolation float64, err error,
) {
	s, err := prepare[float64](n, map[string]int64{"": opset})
	if err != nil {
		return nil, 0, err
	}
	x := &exec[float64]{ctx: context.Background(), elements: maxElements}
	done := errors.New("the axes are known")
	x.resampled = func(s sampling, shape []int, plan []resample, outside [][]bool) error {
		extrapolation = s.extrapolation
		axes = make([]Resampled, len(plan))
		for a, p := range plan {
			if s.stays(shape[a], p) {
				continue
			}
			var err error
			if axes[a].From, axes[a].Weights, err = taps[float64](s, shape[a], p); err != nil {
				return err
			}
			if slices.Contains(outside[a], true) {
				axes[a].Outside = outside[a]
			}
		}
		return done
	}
	in := make([]*Tensor[float64], max(len(inputs), s.op.slots()))
	copy(in, inputs)
	in[0] = &Tensor[float64]{Type: onnxio.Float32, Shape: shape, F: make([]float64, product(shape))}
	if _, err := s.run(x, in); !errors.Is(err, done) {
		if err == nil {
			err = n.Errorf("a result without elements")
		}
		return nil, 0, err
	}
	return axes, extrapolation, nil
}
