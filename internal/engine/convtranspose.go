package engine

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/kernel"
)

// ConvTranspose (https://onnx.ai/onnx/operators/onnx__ConvTranspose.html) over 1 to
// 3 spatial axes: x [N, C, spatial], W [C, M/group, kernel], B [M]. It is the
// gradient of a Conv from M to C channels at its input, and computed as that.
func init() {
	register(operator{name: "ConvTranspose", limits: "1 to 3 spatial axes", inputs: "fff"}, convTranspose[float32],
		convTranspose[float64])
}

func convTranspose[T kernel.Float](n *node) (compute[T], error) {
	w, group := windowOf(n, true, false), n.int("group", 1)
	if group < 1 || group > math.MaxInt32 {
		n.refuse("attribute group: want at least 1, got %d", group)
	}
	extra, want := n.ints("output_padding"), n.ints("output_shape")
	for _, e := range append(slices.Clone(extra), want...) {
		if e < 0 || e > math.MaxInt32 {
			n.refuse("output_padding %v, output_shape %v: values are out of range", extra, want)
			break
		}
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, weight, bias := in[0], in[1], in[2]
		size, err := spatial(v.Shape)
		if err != nil {
			return nil, err
		}
		if len(weight.Shape) != len(v.Shape) || weight.Shape[0] != v.Shape[1] {
			return nil, fmt.Errorf("W has shape %v; want [%d, M/group, kernel] for the input's %v", weight.Shape,
				v.Shape[1], v.Shape)
		}
		taps := weight.Shape[2:]
		if err := w.checkKernel(taps); err != nil {
			return nil, err
		}
		if weight.Shape[1] > maxElements/int(group) {
			return nil, fmt.Errorf("W has shape %v with group %d: %w", weight.Shape, group, errTooMany)
		}
		c := kernel.Conv[T]{Groups: int(group), InChannels: weight.Shape[1] * int(group), OutChannels: v.Shape[1]}
		if c.Window, err = w.resolveTransposed(size, taps, extra, want); err != nil {
			return nil, err
		}
		if bias != nil && !slices.Equal(bias.Shape, []int{c.InChannels}) {
			return nil, fmt.Errorf("B has shape %v; want [%d]", bias.Shape, c.InChannels)
		}
		if c.InChannels == 0 || c.OutChannels == 0 {
			return one(x.biasAlone(v.Type, append([]int{v.Shape[0], c.InChannels}, c.In...), bias))
		}
		if err := c.Validate(); err != nil {
			return nil, err
		}
		y, err := x.alloc(v.Type, append([]int{v.Shape[0], c.InChannels}, c.In...))
		if err != nil || len(y.F) == 0 {
			return one(y, err)
		}
		c.BackwardInput(v.Shape[0], v.F, weight.F, y.F)
		if bias != nil {
			plane := c.InSize()
			for k := range len(y.F) / plane {
				b := bias.F[k%c.InChannels]
				row := y.F[k*plane : (k+1)*plane]
				for i := range row {
					row[i] += b
				}
			}
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

// resolveTransposed works out the geometry of the Conv that a ConvTranspose turns
// round: In is what it computes, Out what it is given.
func (w window) resolveTransposed(in, taps []int, extra, want []int64) (kernel.Window, error) {
	rank := len(in)
	g := kernel.Window{Kernel: taps, Out: in, In: make([]int, rank)}
	pads, err := w.lists(&g, rank)
	if err != nil {
		return g, err
	}
	more, err := listOr("output_padding", extra, rank, 0)
	if err != nil {
		return g, err
	}
	if len(want) == rank+2 { // some exporters give batch and channels as well
		want = want[2:]
	}
	size, err := listOr("output_shape", want, rank, 0)
	if err != nil {
		return g, err
	}
	for a, d := range in {
		if taps[a] < 1 || taps[a] > 1 && g.Dilation[a] > math.MaxInt32/taps[a] {
			return g, fmt.Errorf("kernel of shape %v with dilations %v is empty or too large", taps, g.Dilation)
		}
		full := g.Stride[a]*(d-1) + more[a] + (taps[a]-1)*g.Dilation[a] + 1
		same := w.autoPad == "SAME_UPPER" || w.autoPad == "SAME_LOWER"
		switch {
		case want != nil:
			g.In[a] = size[a]
		case same:
			g.In[a] = d * g.Stride[a]
		default:
			g.In[a] = full - g.PadBegin[a] - g.PadEnd[a]
		}
		if want != nil || same {
			total := max(0, full-g.In[a])
			g.PadBegin[a], g.PadEnd[a] = total-total/2, total/2
			if w.autoPad == "SAME_UPPER" {
				g.PadBegin[a], g.PadEnd[a] = g.PadEnd[a], g.PadBegin[a]
			}
		}
		if g.In[a] < 0 || d == 0 {
			return g, fmt.Errorf("input %v with kernel %v and pads %v leaves nothing", in, taps, pads)
		}
	}
	return g, nil
}
