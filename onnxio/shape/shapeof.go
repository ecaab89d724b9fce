package shape

import "efcn/onnxio"

func init() {
	register("Shape", op{rule: shapeOf})
	register("Size", op{rule: sizeOf})
}

// shapeOf infers Shape-1/13 and, with start and end, Shape-15 and later.
func shapeOf(c *call) ([]*value, error) {
	x := c.in[0]
	if !x.ranked {
		return []*value{shaped(onnxio.Int64, c.s.unknownDims(1))}, nil
	}
	rank := int64(x.rank())
	start, err := c.Int("start", 0)
	if err != nil {
		return nil, err
	}
	end, err := c.Int("end", rank)
	if err != nil {
		return nil, err
	}
	start, end = clampIndex(start, rank), clampIndex(end, rank)
	if start > end {
		end = start
	}
	return []*value{vector(append([]num{}, x.dims[start:end]...))}, nil
}

// clampIndex resolves an index that may count from the end to [0, n].
func clampIndex(i, n int64) int64 {
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n)
}

// sizeOf infers Size: the number of elements, a scalar.
func sizeOf(c *call) ([]*value, error) {
	if x := c.in[0]; x.ranked {
		if n, ok := product(x.dims); ok {
			return []*value{scalar(n)}, nil
		}
	}
	return []*value{scalar(c.s.unknownDim())}, nil
}
