package finetune

import (
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

func init() {
	register("LayerNormalization", emitLayerNorm[float32](true), emitLayerNorm[float64](true), resets(1, 0))
	register("RMSNormalization", emitLayerNorm[float32](false), emitLayerNorm[float64](false), resets(1, 0))
}

// emitLayerNorm normalises over all axes from axis on; an RMSNormalization leaves the
// mean alone. Scale and bias are trained.
// https://onnx.ai/onnx/operators/onnx__LayerNormalization.html
func emitLayerNorm[T kernel.Float](centred bool) emitter[T] {
	return func(n *node[T]) error {
		if err := n.oneOutput(); err != nil {
			return err
		}
		x, err := n.activation(0)
		if err != nil {
			return err
		}
		epsilon, err := n.Float("epsilon", 1e-5)
		if err != nil {
			return n.Wrap(err)
		}
		axis, err := n.axis(x, -1)
		if err == nil && axis == 0 {
			err = n.acrossSamples()
		}
		if err != nil {
			return err
		}
		shape := toInts(n.withBatch(x))
		l := newNormalization[T](product(shape[:axis]), product(shape[axis:]), 1, epsilon)
		l.centred = centred
		var params []*parameter[T]
		for k := range 2 {
			t, err := n.constant(1 + k)
			if err != nil {
				return err
			}
			if t == nil {
				continue
			}
			index, err := n.overlay(t, shape[axis:])
			if err != nil {
				return err
			}
			p, err := n.parameter(1 + k)
			if err != nil {
				return err
			}
			params = append(params, p)
			l.bind(k, len(params), len(p.values), index)
		}
		return n.emit(l, x.shape, []value{x}, params...)
	}
}

// overlay returns, for every element of a tensor of some shape, the element of t that
// broadcasting puts there; nil where t has that shape.
func (n *node[T]) overlay(t *onnxio.Tensor, shape []int) ([]int32, error) {
	dims := toInts(t.Dims)
	for len(dims) > len(shape) && dims[0] == 1 {
		dims = dims[1:]
	}
	if slices.Equal(dims, shape) {
		return nil, nil
	}
	strides, step := make([]int, len(shape)), 1
	fits := len(dims) <= len(shape)
	for i := 1; fits && i <= len(dims); i++ {
		a, d := len(shape)-i, dims[len(dims)-i]
		fits = d == 1 || d == shape[a]
		if d != 1 {
			strides[a] = step
		}
		step *= d
	}
	if !fits {
		return nil, n.Errorf("%q of shape %v is not broadcast to the normalised axes, of shape %v", t.Name, t.Dims, shape)
	}
	return walk(shape, strides), nil
}

// oneOutput refuses a node of which more than output 0 is read.
func (n *node[T]) oneOutput() error {
	for i, name := range n.Outputs[1:] {
		if name != "" && n.b.t.links.Uses(name) > 0 {
			return n.Errorf("output %d (%q) is in use; only the first can be trained through", i+1, name)
		}
	}
	return nil
}
