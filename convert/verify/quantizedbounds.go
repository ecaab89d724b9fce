package verify

import (
	"fmt"
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// Where the second model is a quantization of the first, the bounds allow, besides the rounding of
// the check (see bounder), for
//
//   - the known difference ΔA, Δb of the constants of a linear operator: with x off by d, the second
//     model's sum is off by |A|d + |ΔA|(|x| + d) + |Δb|; and so of a BatchNormalization, whose scale
//     and bias may be integers;
//   - of any other operator, that its constant operands are off by as much;
//   - what a quantizer loses: see [grid.loss]. Layer by layer it is given the first model's x and
//     judged by itself, so that nothing is left over for the layers; end to end it is given what is
//     off by d, see [grid.lossOf].

// storedBound is what the constants of a linear node add to its bound, element by element; nil if
// they are the first model's. in are the magnitudes of its inputs.
func (b *bounds) storedBound(node *onnxio.Node, in []*engine.Tensor[float64], d []float64) ([]float64, error) {
	data, differs := b.net.dataOf(node), false
	operands := make([]*engine.Tensor[float64], len(in))
	for i, v := range in {
		switch {
		case v == nil:
		case i == data:
			operands[i] = like(v, addTo(v.F, d))
		case b.apartOf(node.Input(i)) != nil:
			operands[i], differs = b.apartOf(node.Input(i)), true
		default:
			operands[i] = like(v, nil)
		}
	}
	if !differs {
		return nil, nil
	}
	out, err := b.run(absolute(node), operands...)
	if err != nil {
		return nil, err
	}
	return out[0].F, nil
}

// addTo returns x + d; nil is 0.
func addTo(x, d []float64) []float64 {
	if d == nil {
		return x
	}
	sum := make([]float64, len(x))
	for i := range x {
		sum[i] = x[i] + d[i]
	}
	return sum
}

// storedNorm adds to the bound of a BatchNormalization (z − m)γ/√(v+ε) + β that γ and β are off, by Δ:
// Δγ(|z| + d + |m|)/√(v+ε) + Δβ.
func (b *bounds) storedNorm(node *onnxio.Node, n *batchNorm, z, bound, d []float64) {
	gamma, beta := b.apartOf(node.Input(1)), b.apartOf(node.Input(2))
	shape := b.values.header(node.Output(0)).Shape
	eachChannel(shape, func(c, i int) {
		if gamma != nil {
			x := z[i] + math.Abs(n.mean[c])
			if d != nil {
				x += d[i]
			}
			bound[i] += own * gamma.F[c] * x / math.Sqrt(n.variance[c])
		}
		if beta != nil {
			bound[i] += own * beta.F[c]
		}
	})
}

// quantized is the bound, end to end, of a value that is off by d before the second model quantizes
// it. Whoever reads it may read it before or behind. Of what all who read it cut off anyway the bound is
// that of what they keep: a Relu makes of numbers y and x that are bounded so what is as close, since
// to clip to one range and to another is the same in either order.
func (b *bounds) quantized(name string, d []float64) ([]float64, error) {
	if b.quant == nil || b.reset != nil || len(b.quant.of[name]) == 0 {
		return d, nil
	}
	x := b.values.value(name)
	out := make([]float64, x.Len())
	copy(out, d)
	for _, z := range b.quant.of[name] {
		behind, err := b.behind(z, x, d)
		if err != nil {
			return nil, err
		}
		for i, v := range behind {
			out[i] = math.Max(out[i], v)
		}
	}
	return out, nil
}

// behind is the bound of what z makes of x, which is off by d before it is quantized at all: z may
// be given what another quantizer has made of it.
func (b *bounds) behind(z *quantizer, x *engine.Tensor[float64], d []float64) (out []float64, err error) {
	if before := b.quant.given(z.quantize.Input(0)); before != nil {
		if d, err = b.behind(before, x, d); err != nil {
			return nil, err
		}
	}
	scaleOf, err := z.grid.scaleOf(x.Shape)
	if err != nil {
		return nil, z.quantize.Wrap(err)
	}
	out = make([]float64, x.Len())
	for i, v := range x.F {
		off := 0.0
		if d != nil {
			off = d[i]
		}
		k := scaleOf(i)
		loss := z.grid.lossOf(k, z.kept(v), off)
		out[i] = own * (loss + z.rounding(b.unit, k, v, loss))
	}
	return out, nil
}

// rounding is what the quotient x/s, its rounding to the other side, and the product of s and an
// integer lose in the arithmetic of the check, u each of a number of at most |x| + loss + s.
func (z *quantizer) rounding(unit float64, k int, x, loss float64) float64 {
	return 4 * unit * (math.Abs(x) + loss + z.grid.scale[k])
}

// quantizedValue compares what a quantizer gives with the first model's value, which it was given,
// and returns that in its place.
func (c *comparison[T]) quantizedValue(z *quantizer, f feed, want, v *engine.Tensor[T]) (*engine.Tensor[T], error) {
	scaleOf, err := z.grid.scaleOf(want.Shape)
	if err != nil {
		return nil, z.quantize.Wrap(err)
	}
	row := c.quantizedRows[z]
	if row == nil {
		row = newQuantizedValue(z)
		c.quantizedRows[z] = row
	}
	use := &row.Given
	if f.random >= 0 {
		use = &row.Random
	}
	bound := make([]float64, want.Len())
	for i, e := range want.F {
		x, k := float64(e), scaleOf(i)
		loss, _ := z.grid.loss(k, x)
		bound[i] = own * (loss + z.rounding(c.bounder.unit, k, x, loss))
		if math.IsNaN(x) {
			bound[i] = math.Inf(1)
		}
		if cut, beyond := z.grid.loss(k, z.kept(x)); beyond {
			use.Outside++
			use.Furthest = max(use.Furthest, Figure(cut))
		}
	}
	use.Elements += int64(want.Len())
	var here Distance
	measure(&here, want, v, bound, f.first)
	row.Distance.add(&here)
	return standIn(want, v), nil
}

// concludeQuantized puts the rows of the quantizers into the report, and what is beyond its bound.
func (c *comparison[T]) concludeQuantized() (summary string) {
	if c.quant == nil {
		return ""
	}
	rows, worst := []QuantizedValue{}, 0.0
	for _, node := range c.efcn.graph.Nodes {
		row := c.quantizedRows[c.quant.given(node.Output(0))]
		if row == nil {
			continue
		}
		rows = append(rows, *row)
		worst = math.Max(worst, float64(row.Distance.Ratio))
		if row.Distance.Over > 0 {
			f := c.finding("quantizer", row.Name, row.Distance.over(row.Name, c.report.words()))
			f.Node, f.Op = row.Node, "QuantizeLinear"
			c.report.find(f)
			c.failing(&row.Distance)
		}
	}
	c.report.QuantizedValues = rows
	return fmt.Sprintf("; %d quantized values, the largest difference %.3g of its bound", len(rows), worst)
}
