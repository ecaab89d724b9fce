package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Gemm (https://onnx.ai/onnx/operators/onnx__Gemm.html): alpha·A'·B' + beta·C, C
// broadcast to the product.
func init() {
	register(operator{name: "Gemm", limits: "floating point", inputs: "nnn"}, gemm[float32], gemm[float64])
}

func gemm[T kernel.Float](n *node) (compute[T], error) {
	alpha, beta := n.float("alpha", 1), n.float("beta", 1)
	transA, transB := n.int("transA", 0) != 0, n.int("transB", 0) != 0
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		a, b, c := in[0], in[1], in[2]
		if !a.Type.IsFloat() || b.Type != a.Type || c != nil && c.Type != a.Type {
			return nil, fmt.Errorf("operands are %s and %s; want one floating-point type", a.Type, b.Type)
		}
		m, cols, k, err := productSizes(a.Shape, b.Shape, transA, transB)
		if err != nil {
			return nil, err
		}
		y, err := x.fresh(a.Type, []int{m, cols})
		if err != nil {
			return nil, err
		}
		scale := T(0)
		if c != nil && beta != 0 {
			if shape, err := broadcastShape(y.Shape, c.Shape); err != nil || !slices.Equal(shape, y.Shape) {
				return nil, fmt.Errorf("C of shape %v does not broadcast to %v", c.Shape, y.Shape)
			}
			copyWalk(y.F, c.F, broadcastWalk(c.Shape, y.Shape))
			scale = T(beta)
		}
		if len(y.F) == 0 {
			return []*Tensor[T]{y}, nil
		}
		multiply := func(alpha, scale T, y []T) {
			kernel.Gemm(transA, transB, m, cols, k, alpha, a.F, max(1, a.Shape[1]), b.F, max(1, b.Shape[1]), scale, y,
				cols)
		}
		if alpha != 0 {
			multiply(T(alpha), scale, y.F)
			return []*Tensor[T]{y}, nil
		}
		// BLAS does not look at the product then; ONNX Runtime multiplies it, so
		// that NaN and infinities show.
		zero, err := x.fresh(a.Type, y.Shape)
		if err != nil {
			return nil, err
		}
		multiply(1, 0, zero.F)
		for i, v := range zero.F {
			if v *= 0; scale == 0 { // y holds nothing yet
				y.F[i] = v
			} else {
				y.F[i] = v + scale*y.F[i]
			}
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

// productSizes returns the sizes of A'·B': m×k by k×n.
func productSizes(a, b []int, transA, transB bool) (m, n, k int, err error) {
	if len(a) != 2 || len(b) != 2 {
		return 0, 0, 0, fmt.Errorf("operands of shape %v and %v; want matrices", a, b)
	}
	m, k = a[0], a[1]
	if transA {
		m, k = k, m
	}
	kb, n := b[0], b[1]
	if transB {
		kb, n = n, kb
	}
	if k != kb {
		return 0, 0, 0, fmt.Errorf("shapes %v and %v (transA %t, transB %t) do not multiply", a, b, transA, transB)
	}
	return m, n, k, nil
}
