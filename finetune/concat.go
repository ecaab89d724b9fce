package finetune

import "efcn/internal/kernel"

func init() { register("Concat", emitConcat[float32], emitConcat[float64]) }

// concat lays values side by side: outer times, widths[i] elements of each.
type concat[T kernel.Float] struct {
	outer, width int
	widths       []int
}

func (c *concat[T]) forward(in [][]T, out []T) {
	at := 0
	for i, w := range c.widths {
		for o := range c.outer {
			copy(out[o*c.width+at:][:w], in[i][o*w:(o+1)*w])
		}
		at += w
	}
}

func (*concat[T]) needs() needs { return needs{} }

func (c *concat[T]) backward(p pass[T]) {
	at := 0
	for i, w := range c.widths {
		if p.din[i] != nil {
			for o := range c.outer {
				copy(p.din[i][o*w:(o+1)*w], p.dout[o*c.width+at:][:w])
			}
		}
		at += w
	}
}

// emitConcat joins values side by side; constants among them stay as they are.
func emitConcat[T kernel.Float](n *node[T]) error {
	for i := range n.Inputs {
		if v, ok := n.b.values[n.Input(i)]; !ok || v.axis != 0 {
			return emitArranged(n)
		}
	}
	axis, err := n.Int("axis", 1)
	if err != nil {
		return n.Wrap(err)
	}
	shape, err := n.outputShape()
	if err != nil {
		return err
	}
	if axis < 0 {
		axis += int64(len(shape) + 1)
	}
	if axis < 1 || int(axis) > len(shape) {
		return n.Errorf("axis %d; training joins along axes of the sample, 1 to %d", axis, len(shape))
	}
	l := &concat[T]{outer: n.b.a.net.batch * product(shape[:axis-1]), width: product(shape[axis-1:])}
	var values []value
	for i := range n.Inputs {
		x, err := n.activation(i)
		if err != nil {
			return err
		}
		values = append(values, x)
		l.widths = append(l.widths, product(x.shape[axis-1:]))
	}
	return n.emit(l, shape, values)
}
