package convert

import (
	"fmt"
	"math"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("BatchNormalization", operator{
		becomes: "multiplied into the matrix before it, else Mul and Add",
		plan:    planBatchNorm,
	})
}

// planBatchNorm plans a BatchNormalization at inference, a diagonal map:
// y = scale·x + shift per channel.
// https://onnx.ai/onnx/operators/onnx__BatchNormalization.html, versions 7 to 15.
func planBatchNorm(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, _, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	scale, shift, err := pl.batchNorm(n)
	if err != nil {
		return nil, err
	}
	p := &piece{node: n, reads: n.Inputs[:1], writes: n.Outputs[:1], form: diagonal{scale, shift, in.size()}}
	if !pl.opts.NoFoldBN {
		p.linear = linearOf(n, n.Output(0), 4*len(scale), normalization(scale, shift, in.size()))
	}
	return []*piece{p}, nil
}

// diagonal is a Mul and an Add of a vector of that size, whose channels each have a
// scale and a shift.
type diagonal struct {
	scale, shift []float64
	size         int
}

func (f diagonal) build(b *builder, p *piece) {
	n, size := p.node, []int64{int64(f.size)}
	x := b.vec(p.reads[0])
	mul := b.Tensor(onnxio.NewTensor(n.Label()+".scale", size, perChannel(f.scale, f.size)))
	add := b.Tensor(onnxio.NewTensor(n.Label()+".shift", size, perChannel(f.shift, f.size)))
	scaled := b.Names.Free(p.writes[0] + "/scaled")
	b.Declare(scaled, b.vectorType(p.writes[0]))
	b.Node(&onnxio.Node{
		Name: b.Names.Free(n.Label() + "/mul"), OpType: "Mul", Inputs: []string{x, mul},
		Outputs: []string{scaled},
	})
	b.Node(&onnxio.Node{
		Name: b.nodeName(n), OpType: "Add", Inputs: []string{scaled, add},
		Outputs: []string{b.newVec(p.writes[0])},
	})
}

func (f diagonal) weigh(s *sizes, p *piece) {
	s.other += 8 * int64(f.size)
	s.vec(p.writes[0])
}

// normalization returns a BatchNormalization of a vector of that many elements as
// a factor, with its scale and shift in float64.
func normalization(scale, shift []float64, size int) affine.Factor {
	return &affine.Diagonal{Size: size, Scale: perChannelOf(scale, size), Shift: perChannelOf(shift, size)}
}

// perChannel repeats each channel's value over the channel's positions and
// rounds it to float32. The result has size elements.
func perChannel(values []float64, size int) []float32 {
	v := make([]float32, size)
	if len(values) == 0 {
		return v
	}
	positions := size / len(values)
	for i := range v {
		v[i] = float32(values[i/positions])
	}
	return v
}

// batchNorm returns what a BatchNormalization at inference multiplies every
// channel with and adds to it, in float64:
// scale = gamma/√(var+epsilon), shift = beta − mean·scale.
func (pl *planner) batchNorm(n *onnxio.Node) (scale, shift []float64, err error) {
	training, err := n.Int("training_mode", 0)
	if err != nil {
		return nil, nil, err
	}
	if training != 0 {
		return nil, nil, fmt.Errorf("training_mode %d: statistics of the batch are not linear; "+
			"export the model in evaluation mode", training)
	}
	// Before version 14 it is these outputs, read by anyone or not, that ask for training.
	for i := 1; i < len(n.Outputs); i++ {
		if n.Outputs[i] != "" {
			return nil, nil, fmt.Errorf("it has output %q, which only exists in training; "+
				"export the model in evaluation mode", n.Outputs[i])
		}
	}
	if spatial, err := n.Int("spatial", 1); err != nil {
		return nil, nil, err
	} else if spatial != 1 {
		return nil, nil, keep("spatial 0 normalises every position by itself")
	}
	epsilon, err := n.Float("epsilon", 1e-5)
	if err != nil {
		return nil, nil, err
	}
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, nil, err
	}
	channels := 1
	if len(in.dims) > 0 {
		channels = in.dims[0]
	}
	var p [4][]float32
	for i, what := range []string{"scale", "B", "mean", "var"} {
		v, _, ok, err := pl.floats(n, i+1, what)
		if err != nil {
			return nil, nil, err
		}
		if !ok || len(v) != channels {
			return nil, nil, fmt.Errorf("%s: want %d values, one a channel, got %d", what, channels, len(v))
		}
		p[i] = v
	}
	gamma, beta, mean, variance := p[0], p[1], p[2], p[3]
	scale, shift = make([]float64, channels), make([]float64, channels)
	for c := range channels {
		scale[c] = float64(gamma[c]) / math.Sqrt(float64(variance[c])+float64(epsilon))
		if math.IsNaN(scale[c]) || math.IsInf(scale[c], 0) {
			return nil, nil, fmt.Errorf("channel %d: scale %g, variance %g, epsilon %g give no finite factor", c,
				gamma[c], variance[c], epsilon)
		}
		shift[c] = float64(beta[c]) - float64(float64(mean[c])*scale[c]) // not fused: the same on every machine
	}
	return scale, shift, nil
}

// perChannelOf returns the function that gives every element of a vector of
// that many elements its channel's value.
func perChannelOf(values []float64, size int) func(i int) float64 {
	positions := max(1, size/max(1, len(values)))
	return func(i int) float64 { return values[i/positions] }
}
