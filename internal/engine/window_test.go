package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"efcn/onnxio"
)

// windowCase is a random geometry of convolution or pooling.
type windowCase struct {
	rank                           int
	in, kernel, strides, dilations []int64
	pads                           []int64 // begin then end
	autoPad                        string
	ceil                           bool
	out, begin                     []int // what the oracle works out
}

func randomWindow(r *rand.Rand, ceil bool) windowCase {
	c := windowCase{
		rank:    1 + r.IntN(3),
		autoPad: []string{"NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}[r.IntN(5)],
	}
	c.ceil = ceil && r.IntN(2) == 0
	c.pads = make([]int64, 2*c.rank)
	for a := range c.rank {
		k, d := 1+r.Int64N(3), 1+r.Int64N(2)
		c.kernel, c.dilations = append(c.kernel, k), append(c.dilations, d)
		c.strides = append(c.strides, 1+r.Int64N(4)) // may step past the kernel
		c.in = append(c.in, (k-1)*d+1+r.Int64N(5))
		if c.autoPad == "NOTSET" {
			c.pads[a], c.pads[a+c.rank] = r.Int64N(k), r.Int64N(k) // asymmetric
		}
	}
	for a := range c.rank {
		c.axis(a)
	}
	return c
}

// axis works out size and padding the slow way: it lays windows down until one no
// longer has a place, as the ONNX page of AveragePool describes them.
func (c *windowCase) axis(a int) {
	in, stride := int(c.in[a]), int(c.strides[a])
	extent := int((c.kernel[a]-1)*c.dilations[a]) + 1
	begin, end := int(c.pads[a]), int(c.pads[a+c.rank])
	out := 0
	switch c.autoPad {
	case "SAME_UPPER", "SAME_LOWER":
		for start := 0; start < in; start += stride {
			out++
		}
		need := max((out-1)*stride+extent-in, 0)
		begin = need / 2
		if c.autoPad == "SAME_LOWER" {
			begin = need - need/2
		}
	default:
		for start := -begin; start+extent <= in+end || c.ceil && c.autoPad == "NOTSET" && start < in &&
			start+extent-stride < in+end; start += stride {
			out++
		}
	}
	c.out, c.begin = append(c.out, out), append(c.begin, begin)
}

func (c *windowCase) attributes() []*onnxio.Attribute {
	list := []*onnxio.Attribute{
		onnxio.IntsAttr("kernel_shape", c.kernel...), onnxio.IntsAttr("strides", c.strides...),
		onnxio.IntsAttr("dilations", c.dilations...), onnxio.StringAttr("auto_pad", c.autoPad),
	}
	if c.autoPad == "NOTSET" {
		list = append(list, onnxio.IntsAttr("pads", c.pads...))
	}
	return list
}

// visit calls tap for every output position and tap: flat indices of the output
// position, the tap and the input position in its plane, -1 in the padding.
func (c *windowCase) visit(tap func(out, t, in int)) {
	var walkAxes func(a, out, t, in int)
	walkAxes = func(a, out, t, in int) {
		if a == c.rank {
			tap(out, t, in)
			return
		}
		for p := range c.out[a] {
			for k := range int(c.kernel[a]) {
				at := p*int(c.strides[a]) + k*int(c.dilations[a]) - c.begin[a]
				next := in*int(c.in[a]) + at
				if in < 0 || at < 0 || at >= int(c.in[a]) {
					next = -1
				}
				walkAxes(a+1, out*c.out[a]+p, t*int(c.kernel[a])+k, next)
			}
		}
	}
	walkAxes(0, 0, 0, 0)
}

func size(dims []int64) int {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	return n
}

func shapeWith(front []int, rest []int64) []int {
	shape := append([]int{}, front...)
	for _, d := range rest {
		shape = append(shape, int(d))
	}
	return shape
}

func random(r *rand.Rand, shape []int) *Tensor[float64] {
	v := &Tensor[float64]{Type: onnxio.Float64, Shape: shape, F: make([]float64, product(shape))}
	for i := range v.F {
		v.F[i] = r.NormFloat64()
	}
	return v
}

func TestConvAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for k := range 200 {
		c := randomWindow(r, false)
		group, batch := 1+r.IntN(3), 1+r.IntN(2)
		perIn, perOut := 1+r.IntN(3), 1+r.IntN(3)
		x := random(r, shapeWith([]int{batch, group * perIn}, c.in))
		w := random(r, shapeWith([]int{group * perOut, perIn}, c.kernel))
		b := random(r, []int{group * perOut})
		want := &Tensor[float64]{Type: onnxio.Float64, Shape: append([]int{batch, group * perOut}, c.out...)}
		plane, outs, taps := size(c.in), product(c.out), size(c.kernel)
		want.F = make([]float64, product(want.Shape))
		for n := range batch {
			for o := range group * perOut {
				y := want.F[(n*group*perOut+o)*outs:][:outs]
				for i := range y {
					y[i] = b.F[o]
				}
				for ci := range perIn {
					channel := x.F[(n*group*perIn+o/perOut*perIn+ci)*plane:][:plane]
					weights := w.F[(o*perIn+ci)*taps:][:taps]
					c.visit(func(out, tap, in int) {
						if in >= 0 {
							y[out] += weights[tap] * channel[in]
						}
					})
				}
			}
		}
		node := op("Conv x w b -> y", append(c.attributes(), onnxio.IntAttr("group", int64(group)))...)
		got, err := RunNode(node, 22, []*Tensor[float64]{x, w, b})
		if err == nil {
			err = compare(got[0], want, 1e-12, 1e-12)
		}
		if err != nil {
			t.Errorf("case %d, %+v, group %d: %v", k, c, group, err)
		}
	}
}

// TestConvTransposeIsAdjoint checks ⟨Conv(x), y⟩ = ⟨x, ConvTranspose(y)⟩, which
// defines it, for geometries where the transpose has the input's size.
func TestConvTransposeIsAdjoint(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	checked := 0
	for k := range 200 {
		c := randomWindow(r, false)
		if c.autoPad != "NOTSET" {
			continue
		}
		group, perIn, perOut := int64(1+r.IntN(3)), 1+r.IntN(3), 1+r.IntN(3)
		x := random(r, shapeWith([]int{2, int(group) * perIn}, c.in))
		w := random(r, shapeWith([]int{int(group) * perOut, perIn}, c.kernel))
		attrs := append(c.attributes(), onnxio.IntAttr("group", group))
		forward, err := RunNode(op("Conv x w -> y", attrs...), 22, []*Tensor[float64]{x, w})
		if err != nil {
			t.Fatal(err)
		}
		y := random(r, forward[0].Shape)
		extra := make([]int64, c.rank) // what the stride did not reach
		for a := range c.rank {
			reach := int64(c.out[a]-1)*c.strides[a] + (c.kernel[a]-1)*c.dilations[a] + 1
			extra[a] = c.in[a] + c.pads[a] + c.pads[a+c.rank] - reach
		}
		back, err := RunNode(op("ConvTranspose y w -> x",
			append(attrs, onnxio.IntsAttr("output_padding", extra...))...), 22, []*Tensor[float64]{y, w})
		if err != nil {
			t.Fatalf("case %d: %v", k, err)
		}
		if fmt.Sprint(back[0].Shape) != fmt.Sprint(x.Shape) {
			t.Errorf("case %d: shape %v, want %v", k, back[0].Shape, x.Shape)
			continue
		}
		left, right := dot(forward[0].F, y.F), dot(x.F, back[0].F)
		if math.Abs(left-right) > 1e-10*(1+math.Abs(left)) {
			t.Errorf("case %d, %+v: %v and %v", k, c, left, right)
		}
		checked++
	}
	if checked < 60 {
		t.Errorf("checked %d cases", checked)
	}
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func TestPoolingAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for k := range 300 {
		c := randomWindow(r, true)
		include := r.IntN(2) == 0 && !c.ceil // the definition of both together is ONNX's test data
		x := random(r, shapeWith([]int{2, 2}, c.in))
		plane, outs := size(c.in), product(c.out)
		shape := append([]int{2, 2}, c.out...)
		mean := &Tensor[float64]{Type: onnxio.Float64, Shape: shape, F: make([]float64, 4*outs)}
		greatest := &Tensor[float64]{Type: onnxio.Float64, Shape: shape, F: make([]float64, 4*outs)}
		for i := range greatest.F {
			greatest.F[i] = math.Inf(-1)
		}
		for p := range 4 {
			counts := make([]float64, outs)
			c.visit(func(out, _, in int) {
				if include || in >= 0 {
					counts[out]++
				}
				if in >= 0 {
					mean.F[p*outs+out] += x.F[p*plane+in]
					greatest.F[p*outs+out] = max(greatest.F[p*outs+out], x.F[p*plane+in])
				}
			})
			for i, n := range counts {
				if n > 0 {
					mean.F[p*outs+i] /= n
				}
			}
		}
		attrs := c.attributes()
		if c.ceil {
			attrs = append(attrs, onnxio.IntAttr("ceil_mode", 1))
		}
		got, err := RunNode(op("MaxPool x -> y i", attrs...), 22, []*Tensor[float64]{x})
		if err == nil {
			err = compare(got[0], greatest, 0, 0)
		}
		if err != nil {
			t.Errorf("case %d, MaxPool %+v: %v", k, c, err)
			continue
		}
		for i, at := range got[1].I {
			if v := greatest.F[i]; !math.IsInf(v, -1) && x.F[at] != v {
				t.Errorf("case %d, MaxPool %+v: index %d does not point at %v", k, c, at, v)
			}
		}
		if include {
			attrs = append(attrs, onnxio.IntAttr("count_include_pad", 1))
		}
		if got, err = RunNode(op("AveragePool x -> y", attrs...), 22, []*Tensor[float64]{x}); err == nil {
			err = compare(got[0], mean, 1e-12, 1e-12)
		}
		if err != nil {
			t.Errorf("case %d, AveragePool %+v, include %t: %v", k, c, include, err)
		}
	}
}
