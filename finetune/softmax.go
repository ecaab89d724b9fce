package finetune

import (
	"math"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

func init() {
	inLoss := func(o *operator) { o.logits = softmaxLogits }
	register("Softmax", emitSoftmax[float32](false), emitSoftmax[float64](false), inLoss)
	register("LogSoftmax", emitSoftmax[float32](true), emitSoftmax[float64](true), inLoss)
	register("Hardmax", nil, nil, func(o *operator) {
		o.refusal = ": its gradient is 0 everywhere, and nothing before it would move"
	})
}

// softmax brings lines to a sum of 1, and takes the logarithm.
type softmax[T kernel.Float] struct {
	lines
	log bool
}

func (s *softmax[T]) forward(in [][]T, out []T) {
	x := in[0]
	s.each(func(at, end int) {
		largest := x[at]
		for i := at; i < end; i += s.inner {
			largest = max(largest, x[i])
		}
		total := 0.0
		for i := at; i < end; i += s.inner {
			total += math.Exp(float64(x[i] - largest))
		}
		log := math.Log(total)
		for i := at; i < end; i += s.inner {
			if d := float64(x[i] - largest); s.log {
				out[i] = T(d - log)
			} else {
				out[i] = T(math.Exp(d) / total)
			}
		}
	})
}

func (*softmax[T]) needs() needs { return needs{output: true} }

func (s *softmax[T]) backward(p pass[T]) {
	y, dy, dx := p.out, p.dout, p.din[0]
	s.each(func(at, end int) {
		total := 0.0
		for i := at; i < end; i += s.inner {
			if s.log {
				total += float64(dy[i])
			} else {
				total += float64(dy[i]) * float64(y[i])
			}
		}
		for i := at; i < end; i += s.inner {
			if s.log {
				dx[i] = T(float64(dy[i]) - math.Exp(float64(y[i]))*total)
			} else {
				dx[i] = T(float64(y[i]) * (float64(dy[i]) - total))
			}
		}
	})
}

// emitSoftmax normalises along one axis, the last by default, and before version 13
// along all from axis on, 1 by default, taken as one.
// https://onnx.ai/onnx/operators/onnx__Softmax.html
func emitSoftmax[T kernel.Float](log bool) emitter[T] {
	return func(n *node[T]) error {
		x, err := n.activation(0)
		if err != nil {
			return err
		}
		flat, def := softmaxForm(n.opset)
		axis, err := n.axis(x, def)
		if err == nil && axis == 0 {
			err = n.acrossSamples()
		}
		if err != nil {
			return err
		}
		shape := toInts(n.withBatch(x))
		s := &softmax[T]{linesAlong(shape, axis), log}
		if flat {
			s.count, s.inner = s.count*s.inner, 1
		}
		return n.emit(s, x.shape, []value{x})
	}
}

// softmaxForm returns whether all axes from the axis on are taken as one, and which
// axis is the default.
func softmaxForm(opset int64) (flat bool, axis int64) {
	if opset < 13 {
		return true, 1
	}
	return false, -1
}

// softmaxLogits takes the loss on what goes into a Softmax over the classes.
func softmaxLogits(n *onnxio.Node, opset int64) (string, error) {
	_, def := softmaxForm(opset)
	axis, err := n.Int("axis", def)
	if err != nil {
		return "", n.Wrap(err)
	}
	if axis != 1 && axis != -1 {
		return "", n.Errorf("axis %d; the loss needs the classes at axis 1", axis)
	}
	return n.Input(0), nil
}

// acrossSamples returns an error where what a layer computes across the samples of a batch
// would not be that of the batch: groups of ranks have shares of it, and on a device the
// last one of those that are measured is filled up with anything.
func (n *node[T]) acrossSamples() error {
	switch {
	case n.b.t.team.isGrouped():
		return n.Errorf("it computes across the samples of a batch, of which groups of ranks have shares")
	case n.b.a.form.device != nil && n.b.a.form.evaluates && !n.b.t.input.Type.Shape[0].Known():
		return n.Errorf("it computes across the samples of a batch, and what is measured on a device is filled up to one; " +
			"compute on the processor")
	}
	return nil
}

// axis returns the attribute of that name as an axis of x, the batch being 0.
func (n *node[T]) axis(x value, def int64) (int, error) {
	axis, err := n.Int("axis", def)
	if err != nil {
		return 0, n.Wrap(err)
	}
	rank := int64(len(x.shape) + 1)
	if axis < -rank || axis >= rank {
		return 0, n.Errorf("axis %d of a value of %d axes", axis, rank)
	}
	return int((axis + rank) % rank), nil
}
