package verify

import (
	"fmt"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__MatMul.html, which is numpy.matmul
func init() {
	register(operator{
		name: "MatMul", weighted: true, twoSided: true, matrix: matmulMatrix, onVectors: matmulOnVectors,
		rounds: matMulRounds, anyEngine: true,
		terms: func(_ *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
			return in[0].Shape[len(in[0].Shape)-1], nil
		},
	})
}

// dataOf returns which input of a linear node is computed; the others are its
// parameters.
func (n *net) dataOf(node *onnxio.Node) int {
	if op := operatorOf(node); op.weighted && op.twoSided && n.constants[node.Input(0)] != nil &&
		n.constants[node.Input(1)] == nil {
		return 1
	}
	return 0
}

// multipliesVectors reports whether a node multiplies a batch of vectors, of that shape with
// the batch axis, with a matrix: what an eFCN has as it is.
func (n *net) multipliesVectors(node *onnxio.Node, in []int) bool {
	op := operatorOf(node)
	return op.onVectors != nil && op.onVectors(n, node, in)
}

func matmulOnVectors(n *net, node *onnxio.Node, in []int) bool {
	w := n.constants[node.Input(1)]
	return n.dataOf(node) == 0 && len(in) == 2 && w != nil && len(w.Dims) == 2
}

// matmulMatrix: output (…, i, j) of a product is Σ_k x[…, i, k]·w[…, k, j], or
// Σ_k w[…, i, k]·x[…, k, j] where the constant w is the first factor. The leading
// axes are broadcast; a factor with one axis has a row, or a column, that its
// product has not.
// https://onnx.ai/onnx/operators/onnx__MatMul.html, which is numpy.matmul
func matmulMatrix(n *net, node *onnxio.Node, in, out []int) (*matrix, error) {
	constant := 1 - n.dataOf(node)
	w, dims, ok, err := n.floats(node, constant)
	if err != nil {
		return nil, err
	}
	first := constant == 0
	if !ok || len(dims) == 0 || len(in) < 2 || first && len(in) < 3 {
		return nil, fmt.Errorf("a constant of shape %v and a batch of shape %v have no product for each image", dims,
			in)
	}
	of, full := make([]int, len(dims)), append([]int{}, out...)
	for i, d := range dims {
		of[i] = int(d)
	}
	if len(of) == 1 && first {
		of, full = []int{1, of[0]}, append(append(full[:len(full)-1:len(full)-1], 1), out[len(out)-1])
	} else if len(of) == 1 {
		of, full = []int{of[0], 1}, append(full, 1)
	}
	terms := of[len(of)-2]
	if first {
		terms = of[len(of)-1]
	}
	lead := full[:len(full)-2]
	if !broadcasts(in[:len(in)-2], lead) || !broadcasts(of[:len(of)-2], lead) ||
		len(of)-2 == len(lead) && len(lead) > 0 && of[0] != 1 {
		return nil, fmt.Errorf("a constant of shape %v and a batch of shape %v do not give a batch of shape %v", dims,
			in, out)
	}
	inside := func(at, shape []int) int { // the place of a multi-index in a row-major array
		place := 0
		for i, d := range shape {
			place *= d
			if d != 1 {
				place += at[len(at)-len(shape)+i]
			}
		}
		return place
	}
	return &matrix{
		rows: product(out[1:]), cols: product(in[1:]),
		entries: func(r int, entry func(int, float64, float64)) {
			at := unravel(r, full) // of the first image
			x, k := append([]int{}, at...), append([]int{}, at...)
			for c := range terms {
				if first {
					x[len(x)-2], k[len(k)-1] = c, c
				} else {
					x[len(x)-1], k[len(k)-2] = c, c
				}
				entry(inside(x, in), float64(w[inside(k, of)]), 0)
			}
		},
	}, nil
}

// broadcasts reports whether an array of shape a can be read with the indices of one
// of shape b.
func broadcasts(a, b []int) bool {
	if len(a) > len(b) {
		return false
	}
	for i, d := range a {
		if d != 1 && d != b[len(b)-len(a)+i] {
			return false
		}
	}
	return true
}

// matMulRounds bounds a product of two values that are both computed.
func matMulRounds(b *bounds, node *onnxio.Node, ds [][]float64, _ bool) (out [][]float64, done bool, err error) {
	if len(ds) != 2 {
		return nil, false, nil
	}
	d, err := b.matMul(node, ds)
	return [][]float64{d}, true, err
}

// matMul bounds a product of two values:
// |A|d_B + d_A(|B| + d_B) + 2γ_{n+2}|A||B|.
func (b *bounds) matMul(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	var m [2]*engine.Tensor[float64]
	for i := range m {
		var err error
		if m[i], err = b.magnitude(node.Input(i)); err != nil {
			return nil, err
		}
		m[i] = sizes(m[i])
	}
	size, err := b.run(node, m[0], m[1])
	if err != nil {
		return nil, err
	}
	g := b.gamma(m[0].Shape[len(m[0].Shape)-1]+2) + b.parameters
	d := make([]float64, len(size[0].F))
	for k, v := range size[0].F {
		d[k] = own * 2 * g * v
	}
	wide := m[1]
	if ds[1] != nil {
		part, err := b.run(node, m[0], like(m[1], ds[1]))
		if err != nil {
			return nil, err
		}
		wide = like(m[1], append([]float64(nil), m[1].F...))
		for k, v := range ds[1] {
			wide.F[k] += v
		}
		for k, v := range part[0].F {
			d[k] += own * (1 + g) * v
		}
	}
	if ds[0] != nil {
		part, err := b.run(node, like(m[0], ds[0]), wide)
		if err != nil {
			return nil, err
		}
		for k, v := range part[0].F {
			d[k] += own * (1 + g) * v
		}
	}
	return d, nil
}
