package record

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"efcn/convert/affine"
	"efcn/onnxio/shape"
)

// geometry is what a record says of the matrix of a layer: which of its entries are in
// the support, and which are tied by sharing a coefficient.
type geometry struct {
	support *affine.Map // without coefficients; nil if the layer has no CNN subspace
	free    string      // why it has none: it was fully connected in the CNN, say
	// divisors are those of an AveragePool, by coefficient: coefficients of one divisor
	// are tied.
	divisors []int
}

// operators is the table of the operators whose geometry a record holds. A row
// rebuilds that; its error says what is wrong with the record. It is filled by init
// functions, one file an operator, and not changed afterwards.
var operators = map[string]func(l *Layer) (geometry, error){}

// geometry rebuilds the geometry of the layer's operator. The bias of a channel is
// tied too.
func (l *Layer) geometry() (geometry, error) {
	if len(l.Factors) > 0 {
		return geometry{free: l.factorsText()}, nil
	}
	of := operators[l.Op]
	if of == nil {
		return geometry{free: "the record does not hold the geometry of " + l.Op}, nil
	}
	g, err := of(l)
	if err != nil {
		return geometry{}, fmt.Errorf("record: %w", err)
	}
	return g, nil
}

// grouped returns the geometry of a map between the channels of the layer's shapes,
// in that many groups, or in one for each channel where that is 0, as poolings have.
func (l *Layer) grouped(groups int, taps func() (*affine.Taps, error)) (geometry, error) {
	if len(l.InputShape) < 1 || len(l.OutputShape) < 1 || !isSize(l.InputShape) || !isSize(l.OutputShape) {
		return geometry{}, fmt.Errorf("%v to %v are no shapes of a %s", l.InputShape, l.OutputShape, l.Op)
	}
	in, out := int(l.InputShape[0]), int(l.OutputShape[0])
	if groups == 0 {
		if in != out {
			return geometry{}, fmt.Errorf("a pooling of %d channels to %d", in, out)
		}
		groups = max(in, 1)
	}
	if groups < 1 || in%groups != 0 || out%groups != 0 {
		return geometry{}, fmt.Errorf("%d groups do not divide %d input and %d output channels", groups, in, out)
	}
	m := &affine.Map{Groups: groups, InChannels: in, OutChannels: out}
	var err error
	m.Taps, err = taps()
	return geometry{support: m}, err
}

// windowed is grouped, of what has a window.
func (l *Layer) windowed(groups int, of func([]affine.Window) *affine.Taps) (geometry, error) {
	return l.grouped(groups, func() (*affine.Taps, error) {
		ws, err := l.Windows()
		if err != nil {
			return nil, err
		}
		return of(ws), nil
	})
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

// Windows returns the window in the record, axis by axis.
func (l *Layer) Windows() ([]affine.Window, error) {
	axes := len(l.InputShape) - 1
	if axes < 1 || len(l.OutputShape) != axes+1 || len(l.KernelShape) != axes || len(l.Strides) != axes ||
		len(l.Dilations) != axes || len(l.Pads) != 2*axes {
		return nil, fmt.Errorf("kernel_shape %v, strides %v, dilations %v and pads %v do not fit %v to %v",
			l.KernelShape, l.Strides, l.Dilations, l.Pads, l.InputShape, l.OutputShape)
	}
	for _, v := range slices.Concat(l.KernelShape, l.Strides, l.Dilations) {
		if v < 1 || v > affine.MaxAxis {
			return nil, fmt.Errorf("kernel_shape %v, strides %v, dilations %v: want values from 1 to %d",
				l.KernelShape, l.Strides, l.Dilations, affine.MaxAxis)
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

// isSize reports whether dims are dimensions of a vector that this package
// handles.
func isSize(dims []int64) bool {
	for _, d := range dims {
		if d < 0 {
			return false
		}
	}
	return affine.Size(dims) <= math.MaxInt32
}
