package verify

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// A constant of more elements than this is not held: a linear layer multiplies it
// part by part as it is read.
const heldElements = 1 << 22

// keptElements bounds the constants of the eFCN that are kept between batches.
const keptElements = 1 << 25

// runner runs the nodes of a model one at a time.
type runner[T kernel.Float] struct {
	*net
	weights map[string]*engine.Tensor[T] // constants that are kept
	kept    int64                        // their elements
	last    map[string]*onnxio.Node      // by value: the last node that takes it
	held    int64                        // heldElements
}

func newRunner[T kernel.Float](n *net) *runner[T] {
	r := &runner[T]{net: n, weights: make(map[string]*engine.Tensor[T]), last: make(map[string]*onnxio.Node), held: heldElements}
	for _, node := range n.graph.Nodes {
		for _, name := range node.Inputs {
			r.last[name] = node
		}
	}
	return r
}

// run runs all nodes. Wherever a node has computed a value, see may put another
// in its place. A value is dropped after its last use.
func (r *runner[T]) run(ctx context.Context, feeds map[string]*engine.Tensor[T], see func(name string, v *engine.Tensor[T]) (*engine.Tensor[T], error)) error {
	env := maps.Clone(feeds)
	for _, node := range r.graph.Nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		out, err := r.node(node, env)
		if err != nil {
			return named(r.model, err)
		}
		for i, name := range node.Outputs {
			if name == "" {
				continue
			}
			if env[name], err = see(name, out[i]); err != nil {
				return err
			}
		}
		for _, name := range node.Inputs {
			if r.last[name] == node {
				delete(env, name)
			}
		}
	}
	return nil
}

// node runs one node on what env holds.
func (r *runner[T]) node(node *onnxio.Node, env map[string]*engine.Tensor[T]) ([]*engine.Tensor[T], error) {
	if y, err := r.streamed(node, env); y != nil || err != nil {
		return []*engine.Tensor[T]{y}, node.Wrap(err)
	}
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
	return engine.RunNode(node, r.opset, in)
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

// streamed runs a linear layer whose weights are too many to hold; nil if node
// is none. The products are those that the engine would take, with the same
// kernel, for some rows at a time.
func (r *runner[T]) streamed(node *onnxio.Node, env map[string]*engine.Tensor[T]) (*engine.Tensor[T], error) {
	switch {
	case isOp(node, "Gemm") && r.large(node.Input(1)) && plainGemm(node) == nil:
		return r.gemm(node, env)
	case isOp(node, "MatMul") && r.large(node.Input(0)):
		return r.batched(node, env)
	default:
		return nil, nil
	}
}

// large says whether a name is that of a float32 constant that is not held.
func (r *runner[T]) large(name string) bool {
	t := r.constants[name]
	return t != nil && t.Type == onnxio.Float32 && t.Data != nil && t.Data.Len() > 4*r.held
}

// gemm computes x·Wᵀ + b, some rows of W at a time.
func (r *runner[T]) gemm(node *onnxio.Node, env map[string]*engine.Tensor[T]) (*engine.Tensor[T], error) {
	w := r.constants[node.Input(1)]
	x, err := r.input(env, node.Input(0))
	if err != nil {
		return nil, err
	}
	if len(w.Dims) != 2 || len(x.Shape) != 2 || w.Dims[1] != int64(x.Shape[1]) {
		return nil, nil // the engine says what is wrong
	}
	n, rows, cols := x.Shape[0], int(w.Dims[0]), x.Shape[1]
	y := &engine.Tensor[T]{Type: x.Type, Shape: []int{n, rows}, F: make([]T, n*rows)}
	if name := node.Input(2); name != "" {
		b, err := r.input(env, name)
		if err != nil {
			return nil, err
		}
		if len(b.F) != rows {
			return nil, nil
		}
		for i := range n {
			copy(y.F[i*rows:], b.F)
		}
	}
	if stored := r.sparse[node.Input(1)]; stored != nil {
		return y, multiplyStored(stored, n, rows, cols, x.F, y.F)
	}
	err = eachBlock(w, cols, r.held, func(first int, block []T) {
		kernel.Gemm(false, true, n, len(block)/cols, cols, 1, x.F, cols, block, cols, 1, y.F[first:], rows)
	})
	return y, err
}

// multiplyStored adds x·Wᵀ to y, x n×cols and y n×rows, for a matrix that is stored
// as its non-zeros: the others add nothing and are not made.
func multiplyStored[T kernel.Float](w *onnxio.SparseTensor, n, rows, cols int, x, y []T) error {
	in, out := sampleLast(x, n, cols), sampleLast(y, n, rows)
	row, next := -1, int64(0) // next: the least index that may come
	var to []T
	err := eachStored(w, func(index int64, bits uint32) error {
		if index < next || index >= int64(rows)*int64(cols) {
			return fmt.Errorf("sparse tensor: index %d after those below %d of %d; indices have to ascend", index, next, int64(rows)*int64(cols))
		}
		next = index + 1
		if r := int(index / int64(cols)); r != row {
			row, to = r, out[r*n:(r+1)*n]
		}
		v, c := T(math.Float32frombits(bits)), int(index-int64(row)*int64(cols))
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

// batched computes the product of W [G, P, O, S] and x [G, P, S, N], some
// matrices of W at a time.
func (r *runner[T]) batched(node *onnxio.Node, env map[string]*engine.Tensor[T]) (*engine.Tensor[T], error) {
	w := r.constants[node.Input(0)]
	x, err := r.input(env, node.Input(1))
	if err != nil {
		return nil, err
	}
	if len(w.Dims) != 4 || len(x.Shape) != 4 || !slices.Equal(w.Dims[:2], []int64{int64(x.Shape[0]), int64(x.Shape[1])}) || w.Dims[3] != int64(x.Shape[2]) {
		return nil, nil
	}
	o, s, n := int(w.Dims[2]), x.Shape[2], x.Shape[3]
	y := &engine.Tensor[T]{Type: x.Type, Shape: []int{x.Shape[0], x.Shape[1], o, n}}
	y.F = make([]T, product(y.Shape))
	err = eachBlock(w, o*s, r.held, func(first int, block []T) {
		for ; len(block) > 0; block, first = block[o*s:], first+1 {
			kernel.Gemm(false, false, o, n, s, 1, block, s, x.F[first*s*n:], n, 0, y.F[first*o*n:], n)
		}
	})
	return y, err
}

// eachBlock reads a float32 constant some units of that many elements at a time,
// about held elements together.
func eachBlock[T kernel.Float](t *onnxio.Tensor, unit int, held int64, do func(first int, block []T)) error {
	b := &blocks[T]{unit: unit, do: do, block: make([]T, 0, max(unit, int(held)/unit*unit))}
	if _, err := t.Data.WriteTo(b); err != nil {
		return err
	}
	b.flush()
	return nil
}

// blocks is the Writer behind eachBlock.
type blocks[T kernel.Float] struct {
	unit    int
	do      func(first int, block []T)
	block   []T
	first   int // unit
	partial []byte
}

func (b *blocks[T]) Write(p []byte) (int, error) {
	written := len(p)
	if len(b.partial) > 0 {
		take := min(4-len(b.partial), len(p))
		b.partial, p = append(b.partial, p[:take]...), p[take:]
		if len(b.partial) < 4 {
			return written, nil
		}
		b.add(b.partial)
		b.partial = b.partial[:0]
	}
	for ; len(p) >= 4; p = p[4:] {
		b.add(p)
	}
	b.partial = append(b.partial, p...)
	return written, nil
}

func (b *blocks[T]) add(p []byte) {
	b.block = append(b.block, T(math.Float32frombits(binary.LittleEndian.Uint32(p))))
	if len(b.block) == cap(b.block) {
		b.flush()
	}
}

func (b *blocks[T]) flush() {
	if len(b.block) > 0 {
		b.do(b.first, b.block)
		b.first += len(b.block) / b.unit
		b.block = b.block[:0]
	}
}
