package engine

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Reductions (https://onnx.ai/onnx/operators/onnx__ReduceSum.html and
// following). The axes are an attribute before version 18 (ReduceSum: 13) and an
// input since; without axes all are reduced, or none with noop_with_empty_axes.
// Of an empty set ReduceSum and its kin give 0, ReduceProd 1, ReduceMax and
// ReduceMin the least and greatest number of the type. Sums are accumulated in
// float64.
func init() {
	reduction("ReduceSum", sumOf[float32], sumOf[float64], sumInts)
	reduction("ReduceMean", meanOf[float32], meanOf[float64], meanInts)
	reduction("ReduceProd", prodOf[float32], prodOf[float64], prodInts)
	reduction("ReduceMax", maxOf[float32], maxOf[float64], nil)
	reduction("ReduceMin", minOf[float32], minOf[float64], nil)
	reduction("ReduceL1", l1Of[float32], l1Of[float64], l1Ints)
	reduction("ReduceL2", l2Of[float32], l2Of[float64], l2Ints)
	reduction("ReduceSumSquare", sumSquareOf[float32], sumSquareOf[float64], sumSquareInts)
	reduction("ReduceLogSum", logSumOf[float32], logSumOf[float64], nil)
	reduction("ReduceLogSumExp", logSumExpOf[float32], logSumExpOf[float64], nil)
}

// reduction registers an operator from what it makes of a list of elements;
// ints is nil for the extrema, which depend on the type, and the logarithms.
func reduction(name string, f32 func([]float32) float32, f64 func([]float64) float64, ints func([]int64) int64) {
	inputs := "ni"
	byType := func(onnxio.DataType) func([]int64) int64 { return ints }
	switch name {
	case "ReduceMax":
		inputs, byType = "vi", maxInts
	case "ReduceMin":
		inputs, byType = "vi", minInts
	case "ReduceLogSum", "ReduceLogSumExp":
		inputs = "fi"
	}
	register(operator{name: name, inputs: inputs},
		reduce(name, f32, byType), reduce(name, f64, byType))
}

func reduce[T kernel.Float](name string, f func([]T) T, ints func(onnxio.DataType) func([]int64) int64) builder[T] {
	inputSince := int64(18)
	if name == "ReduceSum" {
		inputSince = 13
	}
	return func(n *node) (compute[T], error) {
		keep := n.flag("keepdims", true)
		noop := n.version >= inputSince && n.flag("noop_with_empty_axes", false)
		axesOf := axesSource[T](n, inputSince)
		n.eitherLayout = name == "ReduceMean"
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			v := in[0]
			axes, _, err := axesOf(in[1])
			if err != nil {
				return nil, err
			}
			reduced, err := axisSet(axes, len(v.Shape))
			if err != nil {
				return nil, err
			}
			for i := range reduced {
				reduced[i] = reduced[i] || len(axes) == 0 && !noop
			}
			overPlanes := v.last && slices.Equal(reduced, []bool{false, false, true, true})
			if v.last && !overPlanes {
				if v, err = x.rowMajor(v); err != nil {
					return nil, err
				}
			}
			if overPlanes && product(v.Shape) > 0 {
				return one(x.planeMeans(v, keep))
			}
			r := newReducer(v.Shape, reduced, keep)
			y, err := x.alloc(v.Type, r.shape)
			if err != nil {
				return nil, err
			}
			if v.Type.IsFloat() {
				reduceLists(y.F, v.F, r, f)
				return []*Tensor[T]{y}, nil
			}
			g := ints(v.Type)
			if g == nil {
				return nil, fmt.Errorf("%s is not supported here", v.Type)
			}
			reduceLists(y.I, v.I, r, g)
			wrap(y.Type, y.I)
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

// planeMeans is ReduceMean over the spatial axes of a value whose channels are last.
func (x *exec[T]) planeMeans(v *Tensor[T], keep bool) (*Tensor[T], error) {
	shape := []int{v.Shape[0], v.Shape[1]}
	if keep {
		shape = append(shape, 1, 1)
	}
	y, err := x.fresh(v.Type, shape)
	if err == nil {
		kernel.GlobalAverageLast(v.Shape[0], v.Shape[1], v.Shape[2]*v.Shape[3], v.F, y.F)
	}
	return y, err
}

// reducer is the geometry of a reduction: result k takes the elements at
// starts[k] + at[j] for every j below n.
type reducer struct {
	shape      []int
	n          int
	starts, at []int
	run        bool // at would be 0, 1, 2, … and is left out
}

func newReducer(shape []int, reduced []bool, keep bool) reducer {
	strides := stridesOf(shape)
	r := reducer{shape: []int{}}
	var kept, gone walk
	for i, d := range shape {
		if reduced[i] {
			gone.shape, gone.strides = append(gone.shape, d), append(gone.strides, strides[i])
			if keep {
				r.shape = append(r.shape, 1)
			}
			continue
		}
		kept.shape, kept.strides = append(kept.shape, d), append(kept.strides, strides[i])
		r.shape = append(r.shape, d)
	}
	list := func(w walk) []int {
		at := make([]int, product(w.shape))
		w.each(func(out, n, src, step int) {
			for i := range n {
				at[out+i] = src + i*step
			}
		})
		return at
	}
	r.n = product(gone.shape)
	if product(r.shape) == 0 {
		return r
	}
	r.starts = list(kept)
	if m := gone.merged(); len(m.shape) == 0 || len(m.shape) == 1 && m.strides[0] == 1 {
		r.run = true
	} else {
		r.at = list(gone)
	}
	return r
}

// source returns the element that is number j of a result's.
func (r *reducer) source(start, j int) int {
	if r.run {
		return start + j
	}
	return start + r.at[j]
}

func reduceLists[E any](dst, src []E, r reducer, f func([]E) E) {
	kernel.Parallel(len(dst), max(1, rowGrain/max(1, r.n)), func(lo, hi int) {
		var list []E
		if !r.run {
			list = make([]E, r.n)
		}
		for k := lo; k < hi; k++ {
			start := r.starts[k]
			if r.run {
				dst[k] = f(src[start : start+r.n])
				continue
			}
			for j, at := range r.at {
				list[j] = src[start+at]
			}
			dst[k] = f(list)
		}
	})
}

func sum64[T kernel.Float](v []T) float64 {
	s := 0.0
	for _, e := range v {
		s += float64(e)
	}
	return s
}

func sumOf[T kernel.Float](v []T) T  { return T(sum64(v)) }
func meanOf[T kernel.Float](v []T) T { return T(sum64(v) / float64(len(v))) }
func l2Of[T kernel.Float](v []T) T   { return T(math.Sqrt(squares(v))) }

func sumSquareOf[T kernel.Float](v []T) T { return T(squares(v)) }
func logSumOf[T kernel.Float](v []T) T    { return T(math.Log(sum64(v))) }

func squares[T kernel.Float](v []T) float64 {
	s := 0.0
	for _, e := range v {
		s += float64(e) * float64(e)
	}
	return s
}

func prodOf[T kernel.Float](v []T) T {
	p := 1.0
	for _, e := range v {
		p *= float64(e)
	}
	return T(p)
}

func l1Of[T kernel.Float](v []T) T {
	s := 0.0
	for _, e := range v {
		s += math.Abs(float64(e))
	}
	return T(s)
}

func maxOf[T kernel.Float](v []T) T {
	m := T(math.Inf(-1))
	for _, e := range v {
		m = max(m, e)
	}
	return m
}

func minOf[T kernel.Float](v []T) T {
	m := T(math.Inf(1))
	for _, e := range v {
		m = min(m, e)
	}
	return m
}

func logSumExpOf[T kernel.Float](v []T) T {
	m := float64(maxOf(v))
	if math.IsInf(m, 0) { // -Inf throughout, or one +Inf
		return T(m)
	}
	s := 0.0
	for _, e := range v {
		s += math.Exp(float64(e) - m)
	}
	return T(m + math.Log(s))
}

func sumInts(v []int64) int64 {
	s := int64(0)
	for _, e := range v {
		s += e
	}
	return s
}

func meanInts(v []int64) int64 {
	if len(v) == 0 {
		return 0
	}
	return sumInts(v) / int64(len(v))
}

func prodInts(v []int64) int64 {
	p := int64(1)
	for _, e := range v {
		p *= e
	}
	return p
}

func l1Ints(v []int64) int64 {
	s := int64(0)
	for _, e := range v {
		s += absolute(e)
	}
	return s
}

func sumSquareInts(v []int64) int64 {
	s := int64(0)
	for _, e := range v {
		s += e * e
	}
	return s
}

func l2Ints(v []int64) int64 { return int64(math.Sqrt(float64(sumSquareInts(v)))) }

func maxInts(t onnxio.DataType) func([]int64) int64 {
	least := int64(0)
	if t.IsInteger() && !isUnsigned(t) {
		least = math.MinInt64 >> (64 - 8*t.Size())
	}
	if t == onnxio.Uint64 {
		return folded(least, func(a, b int64) int64 { return int64(max(uint64(a), uint64(b))) })
	}
	return folded(least, func(a, b int64) int64 { return max(a, b) })
}

func minInts(t onnxio.DataType) func([]int64) int64 {
	greatest := int64(1)
	switch {
	case isUnsigned(t):
		greatest = int64(uint64(math.MaxUint64) >> (64 - 8*t.Size()))
	case t.IsInteger():
		greatest = math.MaxInt64 >> (64 - 8*t.Size())
	}
	if t == onnxio.Uint64 {
		return folded(greatest, func(a, b int64) int64 { return int64(min(uint64(a), uint64(b))) })
	}
	return folded(greatest, func(a, b int64) int64 { return min(a, b) })
}

// folded combines all elements with what there is before the first.
func folded(start int64, f func(a, b int64) int64) func([]int64) int64 {
	return func(v []int64) int64 {
		m := start
		for _, e := range v {
			m = f(m, e)
		}
		return m
	}
}
