package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// MatMul (https://onnx.ai/onnx/operators/onnx__MatMul.html), as numpy.matmul:
// the leading axes broadcast; a vector is a row on the left, a column on the
// right, and its axis is dropped from the result.
func init() {
	register(operator{name: "MatMul", inputs: "nn"}, matMul[float32], matMul[float64])
}

func matMul[T kernel.Float](*node) (compute[T], error) {
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		a, b := in[0], in[1]
		if a.Type != b.Type {
			return nil, fmt.Errorf("operands are %s and %s; a Cast must make them the same", a.Type, b.Type)
		}
		if len(a.Shape) == 0 || len(b.Shape) == 0 {
			return nil, fmt.Errorf("operands of shape %v and %v; a scalar does not multiply, use Mul", a.Shape, b.Shape)
		}
		p, err := newProduct(a.Shape, b.Shape)
		if err != nil {
			return nil, err
		}
		y, err := x.alloc(a.Type, p.shape)
		if err != nil {
			return nil, err
		}
		if y.Len() == 0 {
			return []*Tensor[T]{y}, nil
		}
		for i := range p.atA {
			oa, ob, oy := p.atA[i], p.atB[i], i*p.m*p.n
			if a.Type.IsFloat() {
				kernel.Gemm(false, false, p.m, p.n, p.k, 1, a.F[oa:], max(1, p.k), b.F[ob:], p.n, 0,
					y.F[oy:oy+p.m*p.n], p.n)
			} else {
				intProduct(y.I[oy:], a.I[oa:], b.I[ob:], p.m, p.n, p.k)
			}
		}
		wrap(y.Type, y.I)
		return []*Tensor[T]{y}, nil
	}, nil
}

// matrixProduct is the geometry of a MatMul: products of m×k by k×n matrices.
type matrixProduct struct {
	m, k, n  int
	shape    []int // of the result
	atA, atB []int // where the operands of each product begin
}

func newProduct(a, b []int) (matrixProduct, error) {
	left, right := a, b
	if len(a) == 1 {
		left = []int{1, a[0]}
	}
	if len(b) == 1 {
		right = []int{b[0], 1}
	}
	la, lb := len(left)-2, len(right)-2
	p := matrixProduct{m: left[la], k: left[la+1], n: right[lb+1]}
	if right[lb] != p.k {
		return p, fmt.Errorf("shapes %v and %v do not multiply", a, b)
	}
	batch, err := broadcastShape(left[:la], right[:lb])
	if err != nil {
		return p, fmt.Errorf("shapes %v and %v do not multiply: %w", a, b, err)
	}
	p.shape = slices.Clone(batch)
	if len(a) > 1 {
		p.shape = append(p.shape, p.m)
	}
	if len(b) > 1 {
		p.shape = append(p.shape, p.n)
	}
	if _, err := count(p.shape, maxElements); err != nil {
		return p, err
	}
	// Where everything multiplies the one right matrix, it is one product.
	if product(right[:lb]) == 1 && len(left[:la]) >= len(right[:lb]) {
		p.m *= product(left[:la])
		p.atA, p.atB = []int{0}, []int{0}
		return p, nil
	}
	p.atA = offsets(batch, left[:la], p.m*p.k)
	p.atB = offsets(batch, right[:lb], p.k*p.n)
	return p, nil
}

// offsets lists, in the order of shape, where the elements of an operand that
// broadcasts to it begin, each element being size long.
func offsets(shape, operand []int, size int) []int {
	w := broadcastWalk(operand, shape)
	at := make([]int, product(shape))
	w.each(func(out, n, src, step int) {
		for i := range n {
			at[out+i] = (src + i*step) * size
		}
	})
	return at
}

func intProduct(y, a, b []int64, m, n, k int) {
	for i := range m {
		for j := range k {
			v := a[i*k+j]
			for c := range n {
				y[i*n+c] += v * b[j*n+c]
			}
		}
	}
}
