package shape

import (
	"errors"
	"fmt"

	"efcn/onnxio"
)

func init() {
	register("MaxPool", op{rule: pool})
	register("AveragePool", op{rule: pool, real: true})
	register("LpPool", op{rule: pool, real: true})
	register("GlobalMaxPool", op{rule: globalPool, real: true})
	register("GlobalAveragePool", op{rule: globalPool, real: true})
	register("GlobalLpPool", op{rule: globalPool, real: true})
}

// pool infers MaxPool, AveragePool and LpPool of all versions: x [N, C,
// spatial...]. MaxPool's second output is Indices, int64 of the same shape.
func pool(c *call) ([]*value, error) {
	x := c.in[0]
	if !x.ranked {
		return []*value{unshaped(x.elem), unshaped(onnxio.Int64)}, nil
	}
	if x.rank() < 3 {
		return nil, fmt.Errorf("input %q has shape %v; want rank 3 or more: [N, C, spatial...]", c.Input(0), x)
	}
	spec, err := windowSpec(c.Node, nil)
	if err != nil {
		return nil, err
	}
	if spec.Kernel == nil {
		return nil, errors.New("attribute kernel_shape is missing")
	}
	out, err := c.windowDims(spec, x.dims[2:])
	if err != nil {
		return nil, err
	}
	y := shaped(x.elem, append([]num{x.dims[0], x.dims[1]}, out...))
	return []*value{y, y.like(onnxio.Int64)}, nil
}

// globalPool infers the global poolings: every spatial axis becomes 1.
func globalPool(c *call) ([]*value, error) {
	x := c.in[0]
	if !x.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	if x.rank() < 2 {
		return nil, fmt.Errorf("input %q has shape %v; want rank 2 or more: [N, C, spatial...]", c.Input(0), x)
	}
	dims := []num{x.dims[0], x.dims[1]}
	for range x.dims[2:] {
		dims = append(dims, fixed(1))
	}
	return []*value{shaped(x.elem, dims)}, nil
}
