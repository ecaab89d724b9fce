package verify

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"efcn/onnxio"
)

// DefaultMaxMemory is how much memory running the models may take unless told
// otherwise.
const DefaultMaxMemory = 4 << 30

// sampleBytes estimates what one sample takes while the models are compared in
// numbers of that size. Of the CNN, both models' values are held, and two bounds
// in float64; of the eFCN, which runs end to end and layer by layer at once, what its
// largest node takes and makes in each.
func (v *verifier) sampleBytes(size int64) int64 {
	batch, total, widest := int64(1), int64(0), int64(0)
	for _, in := range v.cnn.graph.FeedInputs() {
		if !v.options.whole[in.Name] {
			batch = int64(max(1, v.shapes[in.Name][0]))
		}
	}
	for _, shape := range v.shapes {
		n := int64(product(shape))
		total += n
		widest = max(widest, n)
	}
	for _, node := range v.efcn.graph.Nodes {
		w := v.efcn.constants[node.Input(0)]
		if !isOp(node, "MatMul") || w == nil || len(w.Dims) != 4 {
			continue
		}
		seen := w.Dims[0] * w.Dims[1] * (w.Dims[3] + w.Dims[2])
		widest = max(widest, batch*seen)
	}
	return (total*(2*size+2*8) + widest*(4*size+2*8)) / batch
}

// weightBytes estimates what the constants take that are held while the models
// run: all of the CNN's, also as magnitudes in float64, and of the eFCN's those
// that are not streamed.
func (v *verifier) weightBytes(size int64) int64 {
	total := int64(keptElements+2*heldElements) * size
	for _, t := range v.cnn.constants {
		if n, err := onnxio.NumElements(t.Dims); err == nil {
			total += n * (size + 2*8)
			if v.quant != nil { // how far they are apart
				total += n * 8
			}
		}
	}
	largest := int64(0) // of those that no linear layer streams
	r := &runner[float32]{net: v.efcn, held: heldElements}
	for _, node := range v.efcn.graph.Nodes {
		streamed := r.streams(node)
		for i, name := range node.Inputs {
			if t := v.efcn.constants[name]; t != nil && i != streamed {
				if n, err := onnxio.NumElements(t.Dims); err == nil {
					largest = max(largest, n)
				}
			}
		}
	}
	return total + largest*size
}

// fit returns the feeds in batches that the memory allows for, or in words what it takes.
func (v *verifier) fit(size int64) ([]feed, string) {
	limit := v.options.maxMemory()
	each, fixed := v.sampleBytes(size), v.weightBytes(size)
	free := v.options.freeBatch(v.cnn.graph.FeedInputs())
	batch := int64(v.options.batch())
	least := int64(1)
	if !free && len(v.feeds) > 0 {
		least = int64(v.feeds[0].size)
	}
	if need := fixed + least*each; need > limit {
		return nil,
			fmt.Sprintf(
				"it needs about %s of memory (%s for weights, %s a sample), more than the %s allowed; "+
					"allow more, or skip it",
				mebibytes(need), mebibytes(fixed), mebibytes(each), mebibytes(limit))
	}
	if fits := (limit - fixed) / max(each, 1); free && fits < batch {
		return smaller(v.feeds, int(fits)), ""
	}
	return v.feeds, ""
}

// withoutSparse returns m with its sparse constants of more than held elements as dense initializers
// that are made as they are read, and never held: folding and running would make
// dense matrices of them. Sparse initializers become Constants, so that
// one which is left has a node that makes it.
func withoutSparse(m *onnxio.Model, held int64) *onnxio.Model {
	if m.Graph == nil {
		return m
	}
	var constants, nodes []*onnxio.Node
	for _, s := range m.Graph.SparseInitializers {
		constants = append(constants, onnxio.SparseConstant(s.Values.Name, s.Values.Name, s))
	}
	var dense []*onnxio.Tensor
	for _, node := range slices.Concat(constants, m.Graph.Nodes) {
		if a := node.Attr("sparse_value"); isOp(node, "Constant") && a != nil && a.Sparse != nil {
			if t := densified(node.Output(0), a.Sparse, held); t != nil {
				dense = append(dense, t)
				continue
			}
		}
		nodes = append(nodes, node)
	}
	if dense == nil && constants == nil {
		return m
	}
	c := m.Clone()
	c.Graph.Nodes, c.Graph.SparseInitializers = nodes, nil
	c.Graph.Initializers = append(c.Graph.Initializers, dense...)
	return c
}

// densified returns a sparse matrix of float32 with linear indices as a dense
// tensor that is made as it is read; nil if it is small or something else.
func densified(name string, s *onnxio.SparseTensor, held int64) *onnxio.Tensor {
	size, err := onnxio.NumElements(s.Dims)
	if err != nil || size <= held || s.Values == nil || s.Indices == nil || s.Values.Data == nil ||
		s.Indices.Data == nil ||
		s.Values.Type != onnxio.Float32 || s.Indices.Type != onnxio.Int64 || len(s.Indices.Dims) != 1 {
		return nil
	}
	return &onnxio.Tensor{
		Name: name, Type: onnxio.Float32, Dims: s.Dims,
		Data: onnxio.Generate(4*size, func(w io.Writer) error {
			z := &spreader{w: w, size: size}
			if err := eachStored(s, z.put); err != nil {
				return err
			}
			return z.zeros(size)
		}),
	}
}

// spreader writes the elements of a dense tensor, of which those that are not
// zero come in their order.
type spreader struct {
	w    io.Writer
	size int64
	at   int64
	buf  []byte
}

func (z *spreader) put(index int64, value float32) error {
	if index < z.at || index >= z.size {
		return fmt.Errorf("sparse tensor: index %d after %d elements of %d; indices have to ascend", index, z.at,
			z.size)
	}
	if err := z.zeros(index); err != nil {
		return err
	}
	z.at++
	return z.write(math.Float32bits(value))
}

func (z *spreader) zeros(to int64) error {
	for ; z.at < to; z.at++ {
		if err := z.write(0); err != nil {
			return err
		}
	}
	if to == z.size {
		_, err := z.w.Write(z.buf)
		z.buf = z.buf[:0]
		return err
	}
	return nil
}

func (z *spreader) write(bits uint32) error {
	z.buf = binary.LittleEndian.AppendUint32(z.buf, bits)
	if len(z.buf) < 1<<16 {
		return nil
	}
	_, err := z.w.Write(z.buf)
	z.buf = z.buf[:0]
	return err
}

// mebibytes writes a size, of less than one in bytes.
func mebibytes(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
