package shape

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

func init() {
	register("QuantizeLinear", op{rule: quantizeLinear})
	register("DequantizeLinear", op{rule: dequantizeLinear})
}

// quantizeLinear infers QuantizeLinear-10 and later: the shape of x, the type of
// the zero point or, without one, output_dtype (version 21) or uint8.
func quantizeLinear(c *call) ([]*value, error) {
	to, err := c.outputType("output_dtype", onnxio.Uint8)
	if err != nil {
		return nil, err
	}
	if zero := c.in[2]; zero != nil && zero.elem != onnxio.Undefined {
		to = zero.elem
	}
	return []*value{c.in[0].like(to)}, nil
}

// dequantizeLinear infers DequantizeLinear-10 and later: the shape of x, the
// type of the scale or, since version 23, output_dtype.
func dequantizeLinear(c *call) ([]*value, error) {
	to, err := c.outputType("output_dtype", c.in[1].elem)
	if err != nil {
		return nil, err
	}
	return []*value{c.in[0].like(to)}, nil
}

// outputType returns the element type that an attribute names, or def where it
// is 0 or not set.
func (c *call) outputType(name string, def onnxio.DataType) (onnxio.DataType, error) {
	to, err := c.Int(name, 0)
	if err != nil {
		return 0, err
	}
	if to < 0 || to > math.MaxInt32 {
		return 0, fmt.Errorf("attribute %s is %d, which is no element type", name, to)
	}
	if to == 0 {
		return def, nil
	}
	return onnxio.DataType(to), nil
}
