package verify

import (
	"fmt"

	"efcn/convert/record"
	"efcn/onnxio"
)

// roundedOnce returns the CNN with those parameters rounded to float32 that an
// eFCN stores rounded though the CNN has them exactly: the products of kernels
// with a BatchNormalization's scale, the scale and shift of one that became Mul
// and Add, and the 1/n of averages. In float64 the eFCN is compared with this
// CNN, so that what is left is rounding in float64; that the stored numbers are
// these is what the structure check shows, and how far the CNN as it is in the
// file differs from this one is in the figures of float32.
//
// Where the bias of the eFCN is one of the roundings that batchNorm.shift
// allows, it is used: the order of the sum in it is free.
//
// The entries of a product of operators are rounded themselves, which no
// parameters of the CNN could be; its bound allows for it (productbound.go).
//
// Which of them the eFCN has is read off its nodes, not off its record.
func roundedOnce(cnn, efcn *net, rec *record.Record, shapes map[string][]int) (*onnxio.Model, error) {
	m := cnn.model.Clone()
	r := &rounder{cnn: cnn, efcn: efcn, held: heldBy(efcn, cnn.valueOf), shapes: shapes, out: m.Graph}
	inProducts := productsOf(cnn, rec).factor
	m.Graph.Nodes = nil
	folded := make(map[*onnxio.Node]bool)
	for _, node := range cnn.graph.Nodes {
		held, op := r.held[node.Output(0)], operatorOf(node)
		bn := r.foldedAfter(node)
		var err error
		switch {
		case folded[node]:
		case inProducts[node]: // what is rounded are the products
			m.Graph.Nodes = append(m.Graph.Nodes, node)
		case bn != nil:
			folded[bn] = true
			err = r.fold(node, bn)
		case op.normalization != nil && isOp(held, "Add"):
			err = r.diagonal(node, held)
		case op.averaged != nil && r.efcn.embeds(held):
			err = r.average(node)
		default:
			m.Graph.Nodes = append(m.Graph.Nodes, node)
		}
		if err != nil {
			return nil, node.Wrap(err)
		}
	}
	return m, nil
}

// foldedAfter returns the BatchNormalization after a node of the CNN that the
// eFCN has in one with it, or nil.
func (r *rounder) foldedAfter(node *onnxio.Node) *onnxio.Node {
	bn := r.cnn.SoleReader(node.Output(0))
	if bn == nil || operatorOf(node).channelOf == nil || r.held[node.Output(0)] != nil {
		return nil
	}
	if operatorOf(bn).normalization != nil && bn.Input(0) == node.Output(0) &&
		r.efcn.embeds(r.held[bn.Output(0)]) {
		return bn
	}
	return nil
}

type rounder struct {
	cnn, efcn *net
	held      map[string]*onnxio.Node
	shapes    map[string][]int
	out       *onnxio.Graph
}

func (r *rounder) node(n *onnxio.Node) { r.out.Nodes = append(r.out.Nodes, n) }

// constant adds an initializer under a name that ONNX exporters do not use.
func constant[T onnxio.Element](r *rounder, name string, dims []int64, values []T) string {
	name = "efcn/verify/" + name
	r.out.Initializers = append(r.out.Initializers, onnxio.NewTensor(name, dims, values))
	return name
}

// stored returns constant input i of the eFCN's node if it is a float32 vector.
func (r *rounder) stored(node *onnxio.Node, i int) []float32 {
	if node == nil {
		return nil
	}
	v, _, _, err := r.efcn.floats(node, i)
	if err != nil {
		return nil
	}
	return v
}

// shifts rounds a bias a channel; stored is the eFCN's, of per elements a
// channel.
func shifts(norm *batchNorm, bias, stored []float32) []float32 {
	out := make([]float32, len(norm.scale))
	for o := range out {
		b := 0.0
		if bias != nil {
			b = float64(bias[o%len(bias)])
		}
		value, slack := norm.shift(o, b)
		out[o] = float32(value)
		if k := o * (len(stored) / len(out)); k < len(stored) && accepts(stored[k], value, slack) {
			out[o] = stored[k]
		}
	}
	return out
}

// fold replaces a Conv or Gemm and the BatchNormalization after it.
func (r *rounder) fold(node, bn *onnxio.Node) error {
	w, dims, ok, err := r.cnn.floats(node, 1)
	if err != nil {
		return err
	}
	if !ok || len(dims) < 2 {
		return fmt.Errorf("weights %v", dims)
	}
	channels, channelOf, err := operatorOf(node).channelOf(node, dims)
	if err != nil {
		return err
	}
	bias, _, _, err := r.cnn.floats(node, 2)
	if err != nil {
		return err
	}
	norm, err := r.cnn.batchNormOf(bn, channels)
	if err != nil {
		return err
	}
	scaled := make([]float32, len(w))
	for i, k := range w {
		scaled[i] = float32(float64(k) * norm.scale[channelOf(i)])
	}
	c := *node
	c.Outputs = []string{bn.Output(0)}
	label := bn.Output(0)
	var stored []float32
	if held := r.held[label]; held != nil {
		stored = r.efcn.biasOf(held)
	}
	c.Inputs = []string{
		node.Input(0), constant(r, label+"/weight", dims, scaled),
		constant(r, label+"/bias", []int64{int64(channels)}, shifts(norm, bias, stored)),
	}
	r.node(&c)
	return nil
}

// diagonal replaces a BatchNormalization by Mul and Add.
func (r *rounder) diagonal(bn, add *onnxio.Node) error {
	shape := r.shapes[bn.Output(0)]
	if len(shape) < 2 {
		return fmt.Errorf("shape %v has no channel axis", shape)
	}
	norm, err := r.cnn.batchNormOf(bn, shape[1])
	if err != nil {
		return err
	}
	dims := []int64{int64(shape[1])}
	for range shape[2:] {
		dims = append(dims, 1)
	}
	scale := make([]float32, shape[1])
	for c := range scale {
		scale[c] = float32(norm.scale[c])
	}
	out := bn.Output(0)
	scaled := "efcn/verify/" + out + "/scaled"
	r.node(&onnxio.Node{
		Name: bn.Name, OpType: "Mul", Outputs: []string{scaled},
		Inputs: []string{bn.Input(0), constant(r, out+"/scale", dims, scale)},
	})
	r.node(&onnxio.Node{
		Name: bn.Name, OpType: "Add", Outputs: []string{out},
		Inputs: []string{scaled, constant(r, out+"/shift", dims, shifts(norm, nil, r.stored(add, 1)))},
	})
	return nil
}

// average multiplies the averages of a pooling by n·float32(1/n), n the number
// of elements that each was divided by. The product is exact in float64.
func (r *rounder) average(node *onnxio.Node) error {
	in, out := r.shapes[node.Input(0)], r.shapes[node.Output(0)]
	if len(in) < 2 || len(out) < 1 {
		return fmt.Errorf("shapes %v and %v", in, out)
	}
	counts, dims, err := operatorOf(node).averaged(r.cnn, node, in, out)
	if err != nil {
		return err
	}
	ratios := make([]float64, len(counts))
	for i, n := range counts {
		ratios[i] = 1
		if n > 0 {
			ratios[i] = float64(n) * float64(float32(1/float64(n)))
		}
	}
	name := node.Output(0)
	c := *node
	c.Outputs = []string{"efcn/verify/" + name + "/exact"}
	r.node(&c)
	// The engine holds both types in float64; the Cast only names the type that
	// Mul wants.
	ratio := "efcn/verify/" + name + "/ratio32"
	r.node(&onnxio.Node{
		OpType: "Cast", Inputs: []string{constant(r, name+"/ratio", dims, ratios)}, Outputs: []string{ratio},
		Attributes: []*onnxio.Attribute{onnxio.IntAttr("to", int64(onnxio.Float32))},
	})
	r.node(&onnxio.Node{Name: node.Name, OpType: "Mul", Inputs: []string{c.Outputs[0], ratio}, Outputs: []string{name}})
	return nil
}
