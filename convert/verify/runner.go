package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// A constant of more elements than this is not held: a linear layer multiplies it
// part by part as it is read.
const heldElements = 1 << 22

// serialProduct is how many multiplications a product has at most that several
// threads share product by product.
const serialProduct = 1 << 15

// keptElements bounds the constants of the eFCN that are kept between batches.
const keptElements = 1 << 25

// runner runs the nodes of a model one at a time.
type runner[T kernel.Float] struct {
	*net
	weights map[string]*engine.Tensor[T] // constants that are kept
	kept    int64                        // their elements
	last    map[string]*onnxio.Node      // by value: the last node that takes it
	held    int64                        // heldElements
	ran     func()                       // called after every node; nil for none
	rounds  bool                         // what is of a type of 16 bits is rounded to it
}

func newRunner[T kernel.Float](n *net) *runner[T] {
	r := &runner[T]{
		net: n, weights: make(map[string]*engine.Tensor[T]), last: make(map[string]*onnxio.Node),
		held: heldElements,
	}
	for _, node := range n.graph.Nodes {
		for _, name := range r.takes(node) {
			r.last[name] = node
		}
	}
	return r
}

// takes lists the values that are there for a node when it runs.
func (r *runner[T]) takes(node *onnxio.Node) []string {
	if r.lacks[node] {
		_, names := r.group(node)
		return names
	}
	return reads(node)
}

// pass is one run of a model: the values that are still needed, at first its
// inputs, and see, which may put another value in the place of one that a node has
// computed.
type pass[T kernel.Float] struct {
	env map[string]*engine.Tensor[T]
	see func(name string, v *engine.Tensor[T]) (*engine.Tensor[T], error)
}

// run runs all nodes in several passes at once, node by node, so that weights that
// are not held are read once for all of them. A value is dropped after its last
// use.
func (r *runner[T]) run(ctx context.Context, passes ...pass[T]) error {
	envs := make([]map[string]*engine.Tensor[T], len(passes))
	for k, p := range passes {
		envs[k] = maps.Clone(p.env)
	}
	for _, node := range r.graph.Nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.foreign[firstOutput(node)] {
			continue
		}
		out, err := r.node(ctx, node, envs)
		if err != nil {
			return named(r.model, err)
		}
		for k, p := range passes {
			for i, name := range node.Outputs {
				if name == "" {
					continue
				}
				if r.rounds {
					engine.Round(out[k][i].Type, out[k][i].F)
				}
				if envs[k][name], err = p.see(name, out[k][i]); err != nil {
					return err
				}
			}
			for _, name := range r.takes(node) {
				if r.last[name] == node {
					delete(envs[k], name)
				}
			}
		}
		if r.ran != nil {
			r.ran()
		}
	}
	return nil
}

// node runs one node on what each of envs holds.
func (r *runner[T]) node(ctx context.Context, node *onnxio.Node,
	envs []map[string]*engine.Tensor[T],
) ([][]*engine.Tensor[T], error) {
	out := make([][]*engine.Tensor[T], len(envs))
	if r.lacks[node] {
		for k, env := range envs {
			var err error
			if out[k], err = r.elsewhereNode(ctx, node, env); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if y, err := r.streamed(node, envs); y != nil || err != nil {
		for k := range y {
			out[k] = y[k : k+1]
		}
		return out, node.Wrap(err)
	}
	for k, env := range envs {
		in := make([]*engine.Tensor[T], len(node.Inputs))
		for i, name := range node.Inputs {
			if name == "" {
				continue
			}
			var err error
			if in[i], err = r.input(env, name); err != nil {
				return nil, node.Wrap(err)
			}
		}
		var err error
		if out[k], err = engine.RunNode(node, r.opset, in); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// input returns an input of a node.
func (r *runner[T]) input(env map[string]*engine.Tensor[T], name string) (*engine.Tensor[T], error) {
	if v := env[name]; v != nil {
		return v, nil
	}
	if v := r.weights[name]; v != nil {
		return v, nil
	}
	t := r.constants[name]
	if t == nil {
		return nil, fmt.Errorf("input %q: nothing before this node computes it", name)
	}
	v, err := engine.FromONNX[T](t)
	if err != nil {
		return nil, err
	}
	if size := int64(v.Len()); r.kept+size <= keptElements {
		r.kept += size
		r.weights[name] = v
	}
	return v, nil
}

// streamed runs a linear layer whose weights are too many to hold on what each of
// envs holds; nil if node is none. The products are those that the engine would
// take, with the same kernel, for some rows at a time.
func (r *runner[T]) streamed(node *onnxio.Node, envs []map[string]*engine.Tensor[T]) ([]*engine.Tensor[T], error) {
	multiply := r.gemm
	at := r.streams(node)
	switch at {
	case -1:
		return nil, nil
	case 0:
		multiply = r.batched
	}
	weights, data := node.Input(at), node.Input(1-at)
	x := make([]*engine.Tensor[T], len(envs))
	for k, env := range envs {
		var err error
		if x[k], err = r.input(env, data); err != nil {
			return nil, err
		}
	}
	return multiply(r.constants[weights], x, node)
}

// streams returns which input of a node are weights that are not held but read part by part: 1 of
// a dense layer, 0 of one in local form, −1 of any other node.
func (r *runner[T]) streams(node *onnxio.Node) int {
	switch {
	case isOp(node, "Gemm") && r.large(node.Input(1)) && plainGemm(node) == nil:
		return 1
	case isOp(node, "MatMul") && r.large(node.Input(0)):
		return 0
	default:
		return -1
	}
}

// large reports whether a name is that of a float32 constant that is not held.
func (r *runner[T]) large(name string) bool {
	t := r.constants[name]
	return t != nil && t.Type == onnxio.Float32 && t.Data != nil && t.Data.Len() > 4*r.held
}

// gemm computes x·Wᵀ + b of each x, some rows of W at a time.
func (r *runner[T]) gemm(w *onnxio.Tensor, x []*engine.Tensor[T], node *onnxio.Node) ([]*engine.Tensor[T], error) {
	if len(w.Dims) != 2 {
		return nil, nil // the engine says what is wrong
	}
	rows, cols := int(w.Dims[0]), int(w.Dims[1])
	var bias []T
	if name := node.Input(2); name != "" {
		b, err := r.input(nil, name)
		if err != nil {
			return nil, err
		}
		if len(b.F) != rows {
			return nil, nil
		}
		bias = b.F
	}
	y := make([]*engine.Tensor[T], len(x))
	for k, x := range x {
		if len(x.Shape) != 2 || x.Shape[1] != cols {
			return nil, nil
		}
		n := x.Shape[0]
		y[k] = &engine.Tensor[T]{Type: x.Type, Shape: []int{n, rows}, F: make([]T, n*rows)}
		for i := range n {
			copy(y[k].F[i*rows:], bias)
		}
	}
	if stored := r.sparse[node.Input(1)]; stored != nil {
		for k, x := range x {
			if err := multiplyStored(stored, x.Shape[0], rows, cols, x.F, y[k].F); err != nil {
				return nil, err
			}
		}
		return y, nil
	}
	err := eachBlock(w, cols, r.held, func(first int, block []T) {
		for k, x := range x {
			kernel.Gemm(false, true, x.Shape[0], len(block)/cols, cols, 1, x.F, cols, block, cols, 1, y[k].F[first:],
				rows)
		}
	})
	return y, err
}

// multiplyStored adds x·Wᵀ to y, x n×cols and y n×rows, for a matrix that is stored
// as its non-zeros: the others add nothing and are not made.
func multiplyStored[T kernel.Float](w *onnxio.SparseTensor, n, rows, cols int, x, y []T) error {
	in, out := sampleLast(x, n, cols), sampleLast(y, n, rows)
	row, next := -1, int64(0) // next: the least index that may come
	var to []T
	err := eachStored(w, func(index int64, value float32) error {
		if index < next || index >= int64(rows)*int64(cols) {
			return fmt.Errorf("sparse tensor: index %d after those below %d of %d; indices have to ascend", index, next,
				int64(rows)*int64(cols))
		}
		next = index + 1
		if r := int(index / int64(cols)); r != row {
			row, to = r, out[r*n:(r+1)*n]
		}
		v, c := T(value), int(index-int64(row)*int64(cols))
		for i, e := range in[c*n : (c+1)*n] {
			to[i] += v * e
		}
		return nil
	})
	for i := range y {
		y[i] = out[i%rows*n+i/rows]
	}
	return err
}

// sampleLast returns n samples of that size as [size, n].
func sampleLast[T kernel.Float](v []T, n, size int) []T {
	t := make([]T, len(v))
	for i := range n {
		for k := range size {
			t[k*n+i] = v[i*size+k]
		}
	}
	return t
}

// batched computes the product of W [G, P, O, S] and each x [G, P, S, N], some
// matrices of W at a time.
func (r *runner[T]) batched(w *onnxio.Tensor, x []*engine.Tensor[T], _ *onnxio.Node) ([]*engine.Tensor[T], error) {
	if len(w.Dims) != 4 {
		return nil, nil
	}
	o, s := int(w.Dims[2]), int(w.Dims[3])
	y := make([]*engine.Tensor[T], len(x))
	for k, x := range x {
		if len(x.Shape) != 4 || !slices.Equal(w.Dims[:2], []int64{int64(x.Shape[0]), int64(x.Shape[1])}) ||
			x.Shape[2] != s {
			return nil, nil
		}
		y[k] = &engine.Tensor[T]{Type: x.Type, Shape: []int{x.Shape[0], x.Shape[1], o, x.Shape[3]}}
		y[k].F = make([]T, product(y[k].Shape))
	}
	err := eachBlock(w, o*s, r.held, func(first int, block []T) {
		for k, x := range x {
			n, to := x.Shape[3], y[k].F
			products := len(block) / (o * s)
			grain := products // a large product is shared among threads by itself
			if o*s*n <= serialProduct {
				grain = 1 + serialProduct/(o*s*n+1)
			}
			kernel.Parallel(products, grain, func(lo, hi int) {
				for m := lo; m < hi; m++ {
					p := first + m
					kernel.Gemm(false, false, o, n, s, 1, block[m*o*s:], s, x.F[p*s*n:], n, 0, to[p*o*n:], n)
				}
			})
		}
	})
	return y, err
}

// eachBlock reads a float32 constant some units of that many elements at a time,
// about held elements together.
func eachBlock[T kernel.Float](t *onnxio.Tensor, unit int, held int64, do func(first int, block []T)) error {
	first := 0
	for block, err := range onnxio.FloatBlocks[T](t, max(unit, int(held)/unit*unit)) {
		if err != nil {
			return err
		}
		do(first, block)
		first += len(block) / unit
	}
	return nil
}
