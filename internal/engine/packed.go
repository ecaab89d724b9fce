package engine

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"efcn/internal/kernel"
)

// A convolution of two axes by constant weights is computed in float32 with the weights
// packed, where the processor has the code for it and [Engine.Pack] allows it. A
// BatchNormalization of its result is multiplied into the weights; any other is a
// depthwise convolution of one tap. The sum with another branch and a clipping are done
// with the sums in registers. That rounds otherwise than
// the nodes one by one do, so a run that is observed goes without, as does every engine
// that is not told to.

// bounds returns between what a node clips the value of its input that is nil in in, or
// false where it can't or something is wrong.
type bounds[T kernel.Float] func(in []*Tensor[T]) (lo, hi T, ok bool)

// affine returns what a node multiplies each channel of its first input by and adds then,
// nil where something is wrong.
type affine[T kernel.Float] func(in []*Tensor[T]) (factor, offset []float64)

// packedConv is a Conv of a program with what is done along with it: the followers of its
// turn, in this order, as far as they are there. A number is that of a follower, -1 for
// none.
type packedConv struct {
	normalize, add, clip int
	node                 *convNode // nil: the step is a BatchNormalization
	weight               []int     // its shape

	once sync.Once
	conv *kernel.PackedConv
	err  error
}

// Pack lets runs that are not observed compute convolutions from packed copies of their
// weights, and several nodes at once, in other order of the sums than the nodes one by
// one. Afterwards weights of the model must not change. It does nothing where the
// processor, or the engine's precision, has no code for that.
func (e *Engine[T]) Pack() {
	if _, single := any(e).(*Engine[float32]); !single || !kernel.CanPackConv() {
		return
	}
	e.packed = true
	p := e.graph
	constants := map[int]bool{}
	for k, c := range p.constants {
		constants[p.consts[k]] = c.keep && !slices.Contains(p.inputs, c.name)
	}
	fixed := func(in []int) bool {
		return !slices.ContainsFunc(in, func(i int) bool { return i >= 0 && !constants[i] })
	}
	for i := range p.turns {
		t := &p.turns[i]
		if t.step < 0 {
			continue
		}
		if s := p.steps[t.step]; (s.conv != nil || s.affine != nil) && fixed(s.in[1:]) {
			t.packed = p.packable(s.conv, t.followers, fixed)
		}
	}
}

// packable returns a packed convolution with what of its followers can be done along.
func (p *program[T]) packable(node *convNode, followers []int, fixed func([]int) bool) *packedConv {
	c, k := &packedConv{normalize: -1, add: -1, clip: -1, node: node}, 0
	next := func(fits func(s *step[T]) bool) int {
		if k == len(followers) || !fits(p.steps[followers[k]]) {
			return -1
		}
		k++
		return k - 1
	}
	c.normalize = next(func(s *step[T]) bool { return s.affine != nil && fixed(s.in[1:]) })
	c.add = next(func(s *step[T]) bool { return s.node.OpType == "Add" })
	c.clip = next(func(s *step[T]) bool { return s.bounds != nil })
	return c
}

// packed computes a packed convolution and reports whether it could: what is out of the
// ordinary, errors as well, is left to the nodes.
func (f *frame[T]) packed(t turn) (bool, error) {
	if err := f.x.ctx.Err(); err != nil {
		return false, err
	}
	c, s := t.packed, f.steps[t.step]
	v, err := f.value(s.in[0])
	if err != nil || len(v.Shape) != 4 || !v.Type.IsFloat() {
		return false, nil
	}
	if c.node == nil && !v.last {
		return false, nil // alone it is as well row-major
	}
	c.once.Do(func() { c.err = f.pack(t) })
	if c.err != nil {
		return false, nil
	}
	node := c.node
	if node == nil {
		node = &convNode{group: int64(c.weight[0])}
	}
	g, err := node.geometry(v.Shape, c.weight)
	if err != nil || g.InChannels == 0 || g.OutChannels == 0 || g.Validate() != nil {
		return false, nil
	}
	shape := append([]int{v.Shape[0], g.OutChannels}, g.Out...)
	finish, done, err := f.finish(t, shape)
	if err != nil || done < 0 {
		return false, err
	}
	planar := !v.last && c.conv.Planar(g.Window)
	if !planar {
		if v, err = f.x.toLast(v); err != nil {
			return false, s.node.Wrap(err)
		}
	}
	y, err := f.x.freshLast(v, shape)
	if err != nil {
		return false, s.node.Wrap(err)
	}
	from, to := any(v.F).([]float32), any(y.F).([]float32)
	if planar {
		c.conv.ForwardPlanes(g.Window, shape[0], from, to, finish)
	} else {
		c.conv.Forward(g.Window, shape[0], from, to, finish)
	}
	last := s
	if done > 0 {
		last = f.steps[t.followers[done-1]]
	}
	if err := f.store(last, []*Tensor[T]{y}); err != nil {
		return false, err
	}
	f.release(s)
	for _, k := range t.followers[:done] {
		f.release(f.steps[k])
	}
	f.x.memory.settle()
	for _, k := range t.followers[done:] {
		if err := f.do(turn{step: k}); err != nil {
			return false, err
		}
	}
	return true, nil
}

// largeWeight is from how many elements on what was read of a weight is to be free before
// the next one is read. A collection takes less time than to read so many.
const largeWeight = 1 << 16

// fetch reads constant i, which is not kept, nil for none.
func (f *frame[T]) fetch(i int) (*Tensor[T], error) {
	if i < 0 {
		return nil, nil
	}
	return f.pending[i].fetch()
}

// factors reads what the step s, a BatchNormalization, makes of each channel.
func (f *frame[T]) factors(s *step[T]) (factor, offset []float64, err error) {
	in := make([]*Tensor[T], len(s.in))
	for k, i := range s.in[1:] {
		if in[k+1], err = f.fetch(i); err != nil {
			return nil, nil, err
		}
	}
	if factor, offset = s.affine(in); len(factor) == 0 {
		return nil, nil, errors.New("its inputs do not fit")
	}
	return factor, offset, nil
}

// pack packs the weights.
func (f *frame[T]) pack(t turn) error {
	s, c := f.steps[t.step], t.packed
	if c.node == nil {
		factor, offset, err := f.factors(s)
		if err != nil {
			return err
		}
		channels := len(factor)
		w, b := make([]float32, channels), make([]float32, channels)
		for i := range w {
			w[i], b[i] = float32(factor[i]), float32(offset[i])
		}
		c.weight = []int{channels, 1, 1, 1}
		c.conv = kernel.PackConv(channels, channels, channels, 1, 1, w, nil, b)
		return nil
	}
	weight, err := f.fetch(s.in[1])
	if err != nil {
		return err
	}
	bias, err := f.fetch(s.in[2])
	if err != nil {
		return err
	}
	if len(weight.Shape) != 4 || len(weight.F) == 0 || bias != nil && !slices.Equal(bias.Shape, weight.Shape[:1]) {
		return fmt.Errorf("W has shape %v", weight.Shape)
	}
	outs, group := weight.Shape[0], int(c.node.group)
	if outs%group != 0 {
		return fmt.Errorf("%d groups of %d channels", group, outs)
	}
	b := make([]float32, outs)
	if bias != nil {
		copy(b, any(bias.F).([]float32))
	}
	var factor, offset []float64
	if c.normalize >= 0 {
		if factor, offset, err = f.factors(f.steps[t.followers[c.normalize]]); err != nil {
			return err
		}
		if len(factor) != outs {
			return fmt.Errorf("%d channels, %d factors", outs, len(factor))
		}
		for o, k := range factor {
			b[o] = float32(float64(b[o])*k + offset[o])
		}
	}
	c.weight = weight.Shape
	w := any(weight.F).([]float32)
	c.conv = kernel.PackConv(group, weight.Shape[1]*group, outs, weight.Shape[2], weight.Shape[3], w, factor, b)
	if len(w) >= largeWeight {
		runtime.GC() // so that the next one is read into its memory
	}
	return nil
}

// finish returns what is done with the sums of a packed convolution whose result has the
// given shape, and the number of followers that are done with that; -1 if the nodes have
// to do it all.
func (f *frame[T]) finish(t turn, shape []int) (finish kernel.Finish, done int, err error) {
	c := t.packed
	finish = kernel.NoFinish
	result := f.steps[t.step].out[0]
	if c.normalize >= 0 {
		result = f.steps[t.followers[c.normalize]].out[0]
		done++
	}
	if c.add >= 0 {
		s := f.steps[t.followers[c.add]]
		i := s.in[0]
		if i == result {
			i = s.in[1]
		}
		if i == result { // the sum with itself
			return finish, done, nil
		}
		other, err := f.value(i)
		if err != nil || !slices.Equal(other.Shape, shape) || !other.Type.IsFloat() {
			return finish, done, nil
		}
		if other, err = f.x.toLast(other); err != nil {
			return finish, -1, err
		}
		finish.Add, result = any(other.F).([]float32), s.out[0]
		done++
	}
	if c.clip >= 0 {
		s := f.steps[t.followers[c.clip]]
		in, err := f.inputs(s, result)
		if err != nil {
			return finish, done, nil
		}
		lo, hi, ok := s.bounds(in)
		if !ok {
			return finish, done, nil
		}
		finish.Lo, finish.Hi = float32(lo), float32(hi)
		done++
	}
	return finish, done, nil
}
