package shape

import "efcn/onnxio"

func init() { register("Dropout", op{rule: dropout}) }

// dropout infers Dropout-7/10, whose ratio is an attribute, and Dropout-12 and
// later, whose ratio and training_mode are inputs. The second output is the
// mask, of the input's type in version 7 and bool after.
func dropout(c *call) ([]*value, error) {
	x := c.in[0]
	mask := x.like(onnxio.Bool)
	if c.opset < 10 {
		mask.elem = x.elem
	}
	return []*value{x.like(x.elem), mask}, nil
}
