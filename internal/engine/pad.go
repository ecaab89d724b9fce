package engine

import (
	"fmt"

	"efcn/internal/kernel"
)

// Pad (https://onnx.ai/onnx/operators/onnx__Pad.html), modes constant, reflect,
// edge and (since version 19) wrap; negative pads crop. Pads and the constant
// are attributes before version 11 and inputs since; the axes they are for may
// be named since version 18.
func init() {
	register(operator{name: "Pad", inputs: "vivi"}, pad[float32], pad[float64])
}

func pad[T kernel.Float](n *node) (compute[T], error) {
	modes := []string{"constant", "reflect", "edge", "wrap"}
	if n.version < 19 {
		modes = modes[:3]
	}
	mode := n.string("mode", modes...)
	if n.version < 11 {
		n.need("pads")
		pads, value := n.ints("pads"), T(n.float("value", 0))
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			return one(x.pad(in[0], pads, nil, mode, value, int64(value)))
		}, nil
	}
	if n.Input(1) == "" {
		n.refuse("pads are missing")
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, pads, value := in[0], in[1], in[2]
		if value != nil && (value.Type != v.Type || value.Len() != 1) {
			return nil, fmt.Errorf("constant_value is %s of shape %v; want a %s scalar", value.Type, value.Shape,
				v.Type)
		}
		amounts, err := intVector("pads", pads)
		if err != nil {
			return nil, err
		}
		var axes []int64
		if in[3] != nil {
			if axes, err = intVector("axes", in[3]); err != nil {
				return nil, err
			}
			if axes == nil {
				axes = []int64{}
			}
		}
		var f T
		var i int64
		if value != nil && v.Type.IsFloat() {
			f = value.F[0]
		} else if value != nil {
			i = value.I[0]
		}
		return one(x.pad(v, amounts, axes, mode, f, i))
	}, nil
}

func (x *exec[T]) pad(v *Tensor[T], pads, axes []int64, mode string, f T, i int64) (*Tensor[T], error) {
	rank := len(v.Shape)
	if axes == nil {
		for a := range rank {
			axes = append(axes, int64(a))
		}
	}
	if _, err := axisSet(axes, rank); err != nil {
		return nil, err
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("pads: want %d values, got %d", 2*len(axes), len(pads))
	}
	begin, shape := make([]int64, rank), make([]int, rank)
	copy(shape, v.Shape)
	for k, axis := range axes {
		a, _ := axisIndex(axis, rank)
		b, e := pads[k], pads[k+len(axes)]
		if b < -maxElements || e < -maxElements || b > maxElements || e > maxElements {
			return nil, fmt.Errorf("pads %v are out of range", pads)
		}
		if mode == "wrap" && min(b, e) < 0 && max(b, e) > 0 {
			// ONNX Runtime wraps around what is left after the cut; the page of the
			// operator does not say.
			return nil, fmt.Errorf("mode wrap: pads %d and %d cut and repeat axis %d, which means different "+
				"things to different runtimes", b, e, a)
		}
		begin[a] = b
		shape[a] += int(b + e)
		if shape[a] < 0 {
			return nil, fmt.Errorf("pads %v crop more than axis %d of %v has", pads, a, v.Shape)
		}
		if shape[a] > 0 && v.Shape[a] == 0 && mode != "constant" {
			return nil, fmt.Errorf("axis %d of %v is empty; mode %s has nothing to repeat", a, v.Shape, mode)
		}
	}
	y, err := x.alloc(v.Type, shape)
	if err != nil || y.Len() == 0 {
		return y, err
	}
	tables := make([][]int, rank)
	for a, d := range v.Shape {
		tables[a] = make([]int, shape[a])
		for k := range tables[a] {
			tables[a][k] = padSource(k-int(begin[a]), d, mode)
		}
	}
	if v.Type.IsFloat() {
		takeGrid(y.F, v.F, v.Shape, tables, f)
	} else {
		takeGrid(y.I, v.I, v.Shape, tables, i)
	}
	return y, nil
}

// padSource maps a coordinate that may lie outside [0, d) to the one whose element
// stands there; -1 for the constant.
func padSource(k, d int, mode string) int {
	if k >= 0 && k < d {
		return k
	}
	switch mode {
	case "edge":
		return max(0, min(k, d-1))
	case "wrap":
		return ((k % d) + d) % d
	case "reflect":
		if d == 1 {
			return 0
		}
		period := 2 * (d - 1)
		k = ((k % period) + period) % period
		return min(k, period-k)
	default:
		return -1
	}
}

// takeGrid fills dst from src by a table of source coordinates for every axis;
// where one is -1, with fill. It runs in parallel.
func takeGrid[E any](dst, src []E, srcShape []int, tables [][]int, fill E) {
	if len(dst) == 0 {
		return
	}
	last := len(tables) - 1
	if last < 0 {
		dst[0] = src[0]
		return
	}
	strides := stridesOf(srcShape)
	row := tables[last]
	kernel.Parallel(len(dst)/len(row), max(1, rowGrain/len(row)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			at, inside := 0, true
			for a, k := last-1, r; a >= 0; a-- {
				c := tables[a][k%len(tables[a])]
				k /= len(tables[a])
				inside = inside && c >= 0
				at += c * strides[a]
			}
			out := dst[r*len(row) : (r+1)*len(row)]
			if !inside {
				for j := range out {
					out[j] = fill
				}
				continue
			}
			for j, c := range row {
				if c < 0 {
					out[j] = fill
				} else {
					out[j] = src[at+c]
				}
			}
		}
	})
}
