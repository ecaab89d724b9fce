package finetune

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"

	"efcn/convert/record"
	"efcn/onnxio"
)

// Reinit returns a copy of m with new weights, as PyTorch initialises modules by
// default: those of a Conv, a ConvTranspose or a matrix product (torch.nn.Conv2d,
// ConvTranspose2d, Linear; kaiming_uniform with a = √5) and their biases are uniform
// between −1/√f and 1/√f, f the inputs of one output (fan-in), of a ConvTranspose
// its output channels of a group times its kernel, as there; a BatchNormalization
// has scale 1, bias 0, running mean 0 and variance 1, a LayerNormalization,
// RMSNormalization, GroupNormalization or InstanceNormalization scale 1 and bias 0,
// and so has one that was written out as Mul and Add; the slopes of a PRelu are 0.25.
// What training never changes stays as it is.
//
// A dense layer of an eFCN is a matrix product like any other, so that the copy
// is the standard fully-connected network of the same architecture. In a local
// layer f is the number of inputs that a position sees; slots that lie in padding
// stay 0. In a sparse matrix f is the most entries that an output has.
//
// The weights follow from the seed alone: one stream of Go's PCG(seed, 1), node
// by node, weights before biases, each in the order of the file. They are drawn
// whenever they are read, and take no memory. A vector whose
// part in the network is not clear is refused, as is what [Train] refuses.
func Reinit(m *onnxio.Model, seed uint64) (*onnxio.Model, error) {
	t, err := newTrainee[float32](m, "*")
	if err != nil {
		return nil, err
	}
	r := &reinitializer{
		t: t, stream: rand.NewPCG(seed, 1), fresh: map[string]*draw{}, deep: map[string]bool{},
	}
	var errs []error
	for _, n := range t.nodes {
		if c := t.chains[n]; c != nil && c.record.Layout == record.Factored {
			return nil, fmt.Errorf("reinit: layer %q is factored: what new weights of U and V would be is not settled; "+
				"take a model with dense or local layers", c.record.Node)
		}
	}
	for _, n := range t.nodes {
		if err := r.node(n); err != nil {
			errs = append(errs, fmt.Errorf("reinit: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(r.fresh) == 0 {
		return nil, errors.New("reinit: the model has no weights")
	}
	contents := map[string]contentOf{}
	for name, d := range r.fresh {
		contents[name] = d.content
	}
	return t.withContents(m, contents), nil
}

// draw says how the new values of an initializer are made.
type draw struct {
	count    int
	stream   rand.PCG         // as it is before the first of them
	bound    float64          // of uniform values; 0 where all are the constant
	constant float32          // Default 0.
	zero     func(i int) bool // what stays 0 of uniform values; nil for nothing
}

// content draws the values as the content of init, anew each time. Any of them can be
// drawn without those before.
func (d *draw) content(init *onnxio.Tensor) onnxio.Data {
	size := init.Type.Size()
	return onnxio.GenerateRows(int64(d.count), size, func(w io.Writer, from, until int64) error {
		stream := d.stream
		if d.bound != 0 {
			advance(&stream, uint64(from))
		}
		block := make([]float32, min(floatBlock, until-from))
		var buf []byte
		for at := from; at < until; at += int64(len(block)) {
			block = block[:min(int64(len(block)), until-at)]
			for i := range block {
				if d.bound == 0 {
					block[i] = d.constant
					continue
				}
				u := float64(stream.Uint64()<<11>>11) / (1 << 53) // from 0 to below 1
				block[i] = float32(d.bound * (2*u - 1))
				if d.zero != nil && d.zero(int(at)+i) {
					block[i] = 0
				}
			}
			buf = appendFloats(buf[:0], int(size), block)
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// advance draws n numbers of a stream at once. A PCG is a linear congruential generator
// of 128 bits, s ← a·s + c, and so are n steps of it, whose a and c follow by squaring
// (Brown, "Random Number Generation with Arbitrary Strides", 1994).
func advance(stream *rand.PCG, n uint64) {
	number := func(high, low uint64) *big.Int {
		b := binary.BigEndian.AppendUint64(nil, high)
		return new(big.Int).SetBytes(binary.BigEndian.AppendUint64(b, low))
	}
	modulus := new(big.Int).Lsh(big.NewInt(1), 128)
	apply := func(a, x, c *big.Int) *big.Int {
		x = new(big.Int).Mul(a, x)
		return x.Mod(x.Add(x, c), modulus)
	}
	// a and c are those of math/rand/v2.
	a := number(2549297995355413924, 4865540595714422341)
	c := number(6364136223846793005, 1442695040888963407)
	text, _ := stream.MarshalBinary() // it does not fail
	const head = len("pcg:")
	s := new(big.Int).SetBytes(text[head:])
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			s = apply(a, s, c)
		}
		c = apply(a, c, c)
		a = apply(a, a, new(big.Int))
	}
	s.FillBytes(text[head:])
	_ = stream.UnmarshalBinary(text)
}

// reinitializer walks the nodes of a model in order.
type reinitializer struct {
	t      *trainee[float32]
	stream *rand.PCG
	fresh  map[string]*draw // by initializer
	deep   map[string]bool  // values that weights lie before
}

func (r *reinitializer) node(n *onnxio.Node) error {
	for _, out := range n.Outputs {
		r.deep[out] = slices.ContainsFunc(n.Inputs, func(in string) bool { return r.deep[in] || r.fresh[in] != nil })
	}
	if c := r.t.chains[n]; c != nil {
		for _, out := range n.Outputs {
			r.deep[out] = true
		}
		if n != c.Weight {
			if c.Biased && n == c.Nodes[len(c.Nodes)-1] {
				return n.Wrap(r.uniform(c.record.Bias, r.fanIn(c.Weight)))
			}
			return nil
		}
		return n.Wrap(r.local(c))
	}
	switch o := operatorOf(n); {
	case o.fanIn != nil:
		at, fan := o.fanIn(r, n)
		if fan == 0 {
			return nil // constants alone, or values alone
		}
		if err := r.uniform(n.Input(at), fan); err != nil {
			return n.Wrap(err)
		}
		r.deep[n.Output(0)] = true
		return n.Wrap(r.uniform(n.Input(2), fan))
	case o.reset != nil:
		return n.Wrap(o.reset(r, n))
	default:
		return nil
	}
}

// fanIn is how many inputs an output of a linear node has; 0 where it has no
// weights.
func (r *reinitializer) fanIn(n *onnxio.Node) int {
	if c := r.t.chains[n]; c != nil {
		if w := r.t.initializers[c.record.Weight]; w != nil && len(w.Dims) == 4 {
			return int(w.Dims[3])
		}
		return 0
	}
	if fanIn := operatorOf(n).fanIn; fanIn != nil {
		_, fan := fanIn(r, n)
		return fan
	}
	return 0
}

// resets returns the trait of an operator whose inputs from the second on are
// vectors that begin as these.
func resets(values ...float32) trait {
	return func(o *operator) {
		o.reset = func(r *reinitializer, n *onnxio.Node) error { return r.resetVectors(n, values...) }
	}
}

func (r *reinitializer) resetVectors(n *onnxio.Node, values ...float32) error {
	for i, v := range values {
		if err := r.constant(n.Input(1+i), v); err != nil {
			return err
		}
	}
	r.deep[n.Output(0)] = true
	return nil
}

// local draws the weights of a layer in local form.
func (r *reinitializer) local(c *localChain) error {
	k, err := r.t.localKernel(c.record)
	if err != nil {
		return err
	}
	if err := r.uniform(c.record.Weight, k.Slots); err != nil {
		return err
	}
	w := r.fresh[c.record.Weight]
	if w.count != k.Groups*k.Positions*k.Out*k.Slots {
		return fmt.Errorf("weights %q have %d elements, want %d×%d×%d×%d", c.record.Weight, w.count, k.Groups, k.Positions,
			k.Out, k.Slots)
	}
	w.zero = func(i int) bool { return inPadding(k, i) }
	return nil
}

// vectorAfterWeights returns the vector that a node of two inputs applies to a value
// which depends on weights, and the value; nil for none.
func (r *reinitializer) vectorAfterWeights(n *onnxio.Node) (*onnxio.Tensor, string) {
	at := 1
	if r.t.initializers[n.Input(1)] == nil {
		at = 0
	}
	c, x := r.t.initializers[n.Input(at)], n.Input(1-at)
	if c == nil || !r.deep[x] || len(c.Dims) == 0 || product(toInts(c.Dims)) < 2 {
		return nil, ""
	}
	return c, x
}

// maker returns the node that computes a value, before others that order its
// elements; nil for none.
func (r *reinitializer) maker(value string) *onnxio.Node {
	n := r.t.links.Producer(value)
	for n != nil && r.t.chains[n] == nil && operatorOf(n).orders {
		n = r.t.links.Producer(n.Input(0))
	}
	return n
}

// lacksBias reports whether a node is linear and has no bias of its own.
func (r *reinitializer) lacksBias(n *onnxio.Node) bool {
	if c := r.t.chains[n]; c != nil {
		return !c.Biased
	}
	return operatorOf(n).fanIn != nil && n.Input(2) == ""
}

// uniform draws an initializer; none is drawn twice.
func (r *reinitializer) uniform(name string, fan int) error {
	d, err := r.take(name)
	if d == nil || fan == 0 {
		return err
	}
	d.bound, d.stream = 1/math.Sqrt(float64(fan)), *r.stream
	advance(r.stream, uint64(d.count)) // each value takes a number of the stream
	return nil
}

func (r *reinitializer) constant(name string, v float32) error {
	d, err := r.take(name)
	if d != nil {
		d.constant = v
	}
	return err
}

// take begins the draw of an initializer; nil where an input is left out, or
// where another node has set it.
func (r *reinitializer) take(name string) (*draw, error) {
	if name == "" || r.fresh[name] != nil {
		return nil, nil
	}
	t := r.t.initializers[name]
	if t == nil {
		return nil, fmt.Errorf("%q is no initializer", name)
	}
	if t.Type != onnxio.Float32 && t.Type != onnxio.Float64 {
		return nil, fmt.Errorf("weights %q are %s; want float32 or float64", name, t.Type)
	}
	r.fresh[name] = &draw{count: product(toInts(t.Dims))}
	return r.fresh[name], nil
}
