package record

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"efcn/convert/affine"
	"efcn/onnxio/shape"
)

// geometry rebuilds from a layer's record the map that its operator is, without
// the coefficients: which entries of the matrix are in the support, and which
// are tied by sharing a coefficient. The bias of a channel is tied too.
//
// It returns nil and the reason if the layer has no CNN subspace: it was fully
// connected in the CNN already, or the record holds no geometry of its
// operator. An error says what is wrong with the record.
func (l *Layer) geometry() (m *affine.Map, free string, err error) {
	if len(l.Factors) > 0 {
		return nil, l.factorsText(), nil
	}
	var taps func() (*affine.Taps, error)
	groups := int(l.Group)
	switch l.Op {
	case "Conv":
		taps = l.windowTaps(affine.ConvTaps)
	case "ConvTranspose":
		taps = l.windowTaps(affine.ConvTransposeTaps)
	case "AveragePool":
		taps = l.windowTaps(func(ws []affine.Window) *affine.Taps {
			t, _ := affine.AverageTaps(ws, l.CountIncludePad)
			return t
		})
	case "GlobalAveragePool":
		taps = func() (*affine.Taps, error) {
			if n := affine.Size(l.OutputShape[1:]); n != 1 {
				return nil, fmt.Errorf("output shape %v: want one position", l.OutputShape)
			}
			return affine.GlobalTaps(int(affine.Size(l.InputShape[1:]))), nil
		}
	case "ReduceMean", "ReduceSum":
		m, err := l.reduction()
		return m, "", err
	case "Gemm", "MatMul":
		if l.Connected() {
			return nil, "fully connected in the CNN: no weight is tied", nil
		}
		m, err := l.matrixProduct()
		return m, "", err
	default:
		return nil, "the record does not hold the geometry of " + l.Op, nil
	}
	if len(l.InputShape) < 1 || len(l.OutputShape) < 1 || !isSize(l.InputShape) || !isSize(l.OutputShape) {
		return nil, "", fmt.Errorf("record: %v to %v are no shapes of a %s", l.InputShape, l.OutputShape, l.Op)
	}
	in, out := int(l.InputShape[0]), int(l.OutputShape[0])
	if l.Op != "Conv" && l.Op != "ConvTranspose" {
		if in != out {
			return nil, "", fmt.Errorf("record: a pooling of %d channels to %d", in, out)
		}
		groups = max(in, 1)
	}
	if groups < 1 || in%groups != 0 || out%groups != 0 {
		return nil, "", fmt.Errorf("record: %d groups do not divide %d input and %d output channels", groups, in, out)
	}
	m = &affine.Map{Groups: groups, InChannels: in, OutChannels: out}
	if m.Taps, err = taps(); err != nil {
		return nil, "", fmt.Errorf("record: %w", err)
	}
	return m, "", nil
}

// factorsText says what a layer with factors is, and that it has no kernel.
func (l *Layer) factorsText() string {
	if f := l.Factors[0]; len(l.Factors) == 1 {
		return fmt.Sprintf("map %d of the %d that %s %q is made of: it has no kernel", f.Level, f.Levels, f.Op, f.Node)
	}
	ops := make([]string, len(l.Factors))
	for i, f := range l.Factors {
		ops[i] = f.Op
	}
	return "the product of " + strings.Join(ops, ", ") + ": it has no kernel"
}

// reduction rebuilds the map of a ReduceMean or ReduceSum.
func (l *Layer) reduction() (*affine.Map, error) {
	axes := l.ReducedAxes()
	notOne := func(a int64) bool { return a < 0 || a >= int64(len(l.InputShape)) }
	tooLong := func(d int64) bool { return d > affine.MaxAxis }
	if len(l.InputShape) < 1 || !isSize(l.InputShape) || slices.ContainsFunc(l.InputShape, tooLong) || slices.ContainsFunc(axes, notOne) {
		return nil, fmt.Errorf("record: a %s over axes %v of %v", l.Op, l.Axes, l.InputShape)
	}
	dims := make([]int, len(l.InputShape))
	for i, d := range l.InputShape {
		dims[i] = int(d)
	}
	m, _ := affine.Reduction(dims, axes)
	return m, nil
}

// matrixProduct rebuilds the map of a MatMul with a constant.
func (l *Layer) matrixProduct() (*affine.Map, error) {
	var m *affine.Map
	err := fmt.Errorf("too large, or negative")
	if isSize(l.InputShape) && isSize(l.OutputShape) && isSize(l.FactorShape) {
		x := make([]int, len(l.InputShape))
		for i, d := range l.InputShape {
			x[i] = int(d)
		}
		m, err = affine.MatMul(x, l.FactorShape, l.FactorFirst)
	}
	if err != nil {
		return nil, fmt.Errorf("record: a MatMul of %v with a constant of shape %v: %w", l.InputShape, l.FactorShape, err)
	}
	return m, nil
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

// windowTaps returns what makes a geometry from the window in the record.
func (l *Layer) windowTaps(of func([]affine.Window) *affine.Taps) func() (*affine.Taps, error) {
	return func() (*affine.Taps, error) {
		ws, err := l.Windows()
		if err != nil {
			return nil, err
		}
		return of(ws), nil
	}
}

// Windows returns the window in the record, axis by axis.
func (l *Layer) Windows() ([]affine.Window, error) {
	axes := len(l.InputShape) - 1
	if axes < 1 || len(l.OutputShape) != axes+1 || len(l.KernelShape) != axes || len(l.Strides) != axes || len(l.Dilations) != axes || len(l.Pads) != 2*axes {
		return nil, fmt.Errorf("kernel_shape %v, strides %v, dilations %v and pads %v do not fit %v to %v", l.KernelShape, l.Strides, l.Dilations, l.Pads, l.InputShape, l.OutputShape)
	}
	for _, v := range slices.Concat(l.KernelShape, l.Strides, l.Dilations) {
		if v < 1 || v > affine.MaxAxis {
			return nil, fmt.Errorf("kernel_shape %v, strides %v, dilations %v: want values from 1 to %d", l.KernelShape, l.Strides, l.Dilations, affine.MaxAxis)
		}
	}
	for _, v := range l.Pads {
		if v < 0 || v > affine.MaxAxis {
			return nil, fmt.Errorf("pads %v: want values from 0 to %d", l.Pads, affine.MaxAxis)
		}
	}
	if affine.Size(l.KernelShape) > math.MaxInt32 {
		return nil, fmt.Errorf("kernel_shape %v: more than 2^31 taps", l.KernelShape)
	}
	return affine.Windows(shape.Window{
		In: l.InputShape[1:], Out: l.OutputShape[1:],
		Kernel: l.KernelShape, Stride: l.Strides, Dilation: l.Dilations,
		PadBegin: l.Pads[:axes], PadEnd: l.Pads[axes:],
	})
}

// rows and cols are the dimensions of the layer's matrix.
func (l *Layer) rows() int { return int(affine.Size(l.OutputShape)) }
func (l *Layer) cols() int { return int(affine.Size(l.InputShape)) }

// isSize says whether dims are dimensions of a vector that this package
// handles.
func isSize(dims []int64) bool {
	for _, d := range dims {
		if d < 0 {
			return false
		}
	}
	return affine.Size(dims) <= math.MaxInt32
}
