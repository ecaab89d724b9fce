package finetune

import (
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// factors are the nodes that add U·(V·x) to the local form of a layer, as convert
// writes them: Gemm by V, Gemm by U, Add. With the local form they are trained as one
// layer.
type factors struct {
	form          *localChain
	down, up, sum *onnxio.Node
}

// findFactors returns the nodes of the factored layers among chains, by node, those of
// the local form too. A layer with other nodes, which another tool may have written, is
// left out: it is trained node by node.
func findFactors(chains map[*onnxio.Node]*localChain, links *onnxio.Links) map[*onnxio.Node]*factors {
	found := map[*onnxio.Node]*factors{}
	for n, c := range chains {
		if n != c.Weight || c.record.Left == "" || c.record.Right == "" {
			continue
		}
		local := c.Nodes[len(c.Nodes)-1].Output(0)
		f := &factors{
			form: c, down: links.SoleReader(c.record.Right), up: links.SoleReader(c.record.Left),
			sum: links.SoleReader(local),
		}
		if !f.wholeLayer(links, local) {
			continue
		}
		for _, n := range append([]*onnxio.Node{f.down, f.up, f.sum}, c.Nodes...) {
			found[n] = f
		}
	}
	return found
}

// wholeLayer reports whether the nodes compute local + U·(V·x), of the x that the local
// form reads, and nothing else reads what is between them.
func (f *factors) wholeLayer(links *onnxio.Links, local string) bool {
	if !isProduct(f.down, f.form.record.Right) || !isProduct(f.up, f.form.record.Left) ||
		f.sum == nil || f.sum.OpType != "Add" || onnxio.CanonicalDomain(f.sum.Domain) != "" {
		return false
	}
	v, uv := f.down.Output(0), f.up.Output(0)
	for _, name := range []string{v, uv, local} {
		if links.Uses(name) != 1 {
			return false
		}
	}
	a, b := f.sum.Input(0), f.sum.Input(1)
	return f.down.Input(0) == f.form.Nodes[0].Input(0) && f.up.Input(0) == v &&
		(a == local && b == uv || a == uv && b == local)
}

// isProduct reports whether a node is x·wᵀ.
func isProduct(n *onnxio.Node, w string) bool {
	if n == nil || n.OpType != "Gemm" || onnxio.CanonicalDomain(n.Domain) != "" || n.Input(1) != w || n.Input(2) != "" {
		return false
	}
	transA, errA := n.Int("transA", 0)
	transposed, errB := transB(n)
	alpha, err := n.Float("alpha", 1)
	return errA == nil && errB == nil && err == nil && transA == 0 && transposed && alpha == 1
}

// factored is y = local(x) + U·(V·x). Its inputs are those of the local form, then V,
// rank×in, and U, out×rank.
type factored[T kernel.Float] struct {
	local[T]
	in, rank int
	v        int  // which input V is; U is the next
	trains   bool // V or U
	// vx is V·x, and dvx the gradient there: a row of rank elements for each sample.
	vx, dvx *buffer[T]
}

func (l *factored[T]) buffers() (kept, scratch []*buffer[T]) {
	return []*buffer[T]{l.vx}, []*buffer[T]{l.dvx}
}

func (l *factored[T]) needs() needs { return needs{inputs: l.trains} }

func (l *factored[T]) forward(in [][]T, y []T) {
	l.local.forward(in[:l.v], y)
	kernel.Gemm(false, true, l.rows, l.rank, l.in, 1, in[0], l.in, in[l.v], l.in, 0, l.vx.data, l.rank)
	kernel.Gemm(false, true, l.rows, l.out, l.rank, 1, l.vx.data, l.rank, in[l.v+1], l.rank, 1, y, l.out)
}

func (l *factored[T]) backward(p pass[T]) {
	l.local.backward(l.ofLocal(p))
	if !l.trains && p.din[0] == nil {
		return
	}
	// The gradient at the output may be mostly zero. To find its other entries takes longer
	// than a product with so few columns.
	kernel.Gemm(false, false, l.rows, l.rank, l.out, 1, p.dout, l.out, p.in[l.v+1], l.rank, 0, l.dvx.data, l.rank)
	if dx := p.din[0]; dx != nil {
		kernel.Gemm(false, false, l.rows, l.in, l.rank, 1, l.dvx.data, l.rank, p.in[l.v], l.in, 1, dx, l.in)
	}
	p.ready()
	for i := l.v; i <= l.v+1; i++ {
		if p.din[i] != nil {
			l.addGradient(p, i, 1, 0, p.din[i])
		}
	}
}

// ofLocal is the pass of the local form.
func (l *factored[T]) ofLocal(p pass[T]) pass[T] {
	p.in, p.din = p.in[:l.v], p.din[:l.v]
	p.ready = func() {} // the gradient at x is not whole yet
	return p
}

// addGradient computes dst = alpha·(gradient at V or U, input i) + beta·dst.
func (l *factored[T]) addGradient(p pass[T], i int, alpha, beta T, dst []T) {
	left, right, rows, cols := l.dvx.data, p.in[0], l.rank, l.in
	if i != l.v {
		left, right, rows, cols = p.dout, l.vx.data, l.out, l.rank
	}
	kernel.Gemm(true, false, rows, cols, l.rows, alpha, left, rows, right, cols, beta, dst, cols)
}

func (l *factored[T]) fuses(i int) (fuses, inParts bool) { return i == 1 || i >= l.v, i >= l.v }

func (l *factored[T]) update(p pass[T], i int, rate, keep T) {
	if i < l.v {
		l.local.update(l.ofLocal(p), i, rate, keep)
		return
	}
	l.addGradient(p, i, -rate, keep, p.in[i])
}

func (l *factored[T]) gradient(p pass[T], i int, visit func(at int, part []T)) {
	switch i {
	case l.v:
		productParts(p, false, l.rows, l.rank, l.in, 1, l.dvx.data, p.in[0], visit)
	case l.v + 1:
		productParts(p, false, l.rows, l.out, l.rank, 1, p.dout, l.vx.data, visit)
	default:
		l.local.gradient(l.ofLocal(p), i, visit)
	}
}

// emitFactored emits the layer in place of its nodes.
func emitFactored[T kernel.Float](b *builder[T], f *factors) error {
	l, x, weights, err := localOf(b, f.form)
	if err != nil {
		return err
	}
	opset := b.t.model.Opset("")
	down, up, sum := &node[T]{f.down, opset, b}, &node[T]{f.up, opset, b}, &node[T]{f.sum, opset, b}
	t, err := down.constant(1)
	if err != nil {
		return err
	}
	if t == nil || len(t.Dims) != 2 {
		return down.Errorf("input 1: want a weight matrix")
	}
	rank := int(t.Dims[0])
	v, err := down.parameter(1, rank, x.size())
	if err != nil {
		return err
	}
	u, err := up.parameter(1, l.out, rank)
	if err != nil {
		return err
	}
	return sum.emit(&factored[T]{
		local: *l, in: x.size(), rank: rank, v: 1 + len(weights), trains: !v.frozen || !u.frozen,
		vx: newBuffer[T](l.rows * rank), dvx: newBuffer[T](l.rows * rank),
	}, []int{l.out}, []value{x}, append(weights, v, u)...)
}
