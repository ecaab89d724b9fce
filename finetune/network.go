package finetune

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"unsafe"

	"gorgonia.org/gorgonia"

	"efcn/internal/kernel"
)

// parameter is one trained initializer. Its storage is shared by the training
// graphs of all batch sizes and updated in place.
type parameter[T kernel.Float] struct {
	name   string
	values []T
	state  [][]T // of the optimiser, list by list as long as values; made at the first step

	frozen bool        // nothing of it is trained
	mask   *mask       // what of it is trained; nil for everything
	tie    func(g []T) // averages a gradient over entries that move together; nil if none do
}

// statistic is a running mean or variance: an initializer that a layer updates
// by itself as it trains.
type statistic[T kernel.Float] struct {
	name   string
	values []T
}

// network is the training graph of one batch size: forward, loss, backward.
type network[T kernel.Float] struct {
	batch   int
	classes int

	x      []T   // batch × sample: the step's input
	labels []int // batch
	rate   T     // the fused updates are w ← keep·w − rate·∇
	keep   T
	loss   float64
	hits   int

	machine gorgonia.VM
	reads   []gradient[T]
	layers  int
	// buffers are what a step computes in; between steps their content is needed by
	// nobody.
	buffers [][]T

	// measured receives what is measured of the gradients of a step; nil where
	// nothing is.
	measured *gradientNorms[T]

	// suspect receives, unless nil, what is first found in a forward pass that is
	// not finite.
	suspect *string
}

// gradient is where a finished step finds the gradient of a parameter.
type gradient[T kernel.Float] struct {
	p    *parameter[T]
	node *gorgonia.Node
}

// step runs forward, backward and the update of every parameter on the batch
// that x and labels hold. A loss that is not finite ends it before any parameter
// changes.
func (n *network[T]) step(u update[T]) error {
	n.rate, n.keep = T(u.rate), T(u.keep(u.rate))
	if err := n.run(); err != nil {
		return err
	}
	for _, g := range n.reads {
		gradient := elements[T](g.node.Value())
		n.measured.whole(g.p, gradient)
		g.p.restrict(gradient)
		n.measured.trained(g.p, gradient)
	}
	factor := T(1)
	if u.clip > 0 {
		factor = T(u.clipFactor(n.gradientNorm()))
	}
	for _, g := range n.reads {
		g.p.follow(&u, factor, elements[T](g.node.Value()))
	}
	return nil
}

// gradientNorm is the norm of all gradients that are there to be read.
func (n *network[T]) gradientNorm() float64 {
	var squares float64
	for _, g := range n.reads {
		squares += kernel.SumSquares(elements[T](g.node.Value()))
	}
	return math.Sqrt(squares)
}

// follow moves the parameter along factor times its gradient.
func (p *parameter[T]) follow(u *update[T], factor T, gradient []T) {
	p.grow(u.States())
	move := func(lo, hi int) {
		var state [2][]T
		for i, s := range p.state {
			state[i] = s[lo:hi]
		}
		u.apply(factor, p.values[lo:hi], gradient[lo:hi], state[:])
	}
	if p.mask != nil {
		p.mask.each(true, move)
		return
	}
	kernel.Parallel(len(p.values), elementGrain, move)
}

// grow makes the lists of the optimiser's state.
func (p *parameter[T]) grow(states int) {
	for len(p.state) < states {
		p.state = append(p.state, make([]T, len(p.values)))
	}
}

// restrict makes a gradient that of what is trained.
func (p *parameter[T]) restrict(gradient []T) {
	if p.mask != nil {
		clearOthers(p.mask, gradient)
	}
	if p.tie != nil {
		p.tie(gradient)
	}
}

// ErrNotFinite says that a loss, or weights, are no number, or infinite.
var ErrNotFinite = errors.New("the loss is not finite")

// weightsError is ErrNotFinite before any loss shows it.
type weightsError struct {
	what  string
	value float64
}

func (e *weightsError) Error() string {
	return fmt.Sprintf("%s is not finite any more, it holds %v; a smaller learning rate may work", e.what, e.value)
}

func (e *weightsError) Is(target error) bool { return target == ErrNotFinite }

// run runs forward and backward, and the updates that layers do themselves.
func (n *network[T]) run() error {
	n.machine.Reset()
	err := n.machine.RunAll()
	if err != nil && isNotFinite(n.loss) {
		return n.notFinite()
	}
	return err
}

// notFinite says where in the forward pass a loss that is not finite begins. The
// pass is taken again: the memory of its first values has gone to others.
func (n *network[T]) notFinite() error {
	var where string
	n.suspect = &where
	n.machine.Reset()
	err := n.machine.RunAll() // the loss ends it again
	n.suspect = nil
	switch {
	case err == nil:
		where = "but not when it was computed again"
	case where == "":
		where = "though all logits are"
	}
	return fmt.Errorf("%w: %s; a smaller learning rate may work", ErrNotFinite, where)
}

// look looks for what is not finite in the weights or the output of a layer,
// where somebody wants to know.
func (n *network[T]) look(label, what string, values []T) {
	if n.suspect == nil || *n.suspect != "" {
		return
	}
	if v, ok := findNotFinite(values); ok {
		*n.suspect = fmt.Sprintf("%v first shows in the %s of %s", v, what, label)
	}
}

func isNotFinite(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

// findNotFinite returns the first value that is no number or infinite.
func findNotFinite[T kernel.Float](values []T) (T, bool) {
	for _, v := range values {
		if v-v != 0 {
			return v, true
		}
	}
	return 0, false
}

// assembler adds layers to the graph of one network.
type assembler[T kernel.Float] struct {
	net    *network[T]
	graph  *gorgonia.ExprGraph
	serial int
	params []*parameter[T] // in the order they were met
	leaves map[*parameter[T]]*gorgonia.Node
	uses   map[*parameter[T]]int  // inputs of layers that read it
	done   map[*parameter[T]]bool // those that a layer updates itself
	// keepGradients makes every gradient a value that can be read; otherwise a
	// layer may update a parameter without one.
	keepGradients bool
	// spare are the buffers of a larger batch's network of the same model.
	spare [][]T
	// hosts has the memory that may take an activation, and the gradient at it;
	// behind that which may take what is computed from it.
	hosts, behind map[*gorgonia.Node][]*host[T]
}

// host is the input of a layer that does not look at it in backward, nor does
// anybody else. From the layer's forward to its backward it holds what lies behind
// the layer's output: values and their gradients, all of which are done with when
// the gradient at that output is whole. The output itself, and its gradient, are
// not among them.
type host[T kernel.Float] struct {
	memory []T
	used   int
}

// hosted returns memory for size elements from the host that it leaves least in,
// or else a buffer.
func (a *assembler[T]) hosted(size int, hosts []*host[T]) []T {
	var best *host[T]
	for _, h := range hosts {
		if left := len(h.memory) - h.used; left >= size && (best == nil || left < len(best.memory)-best.used) {
			best = h
		}
	}
	if best == nil {
		return a.buffer(size)
	}
	b := best.memory[best.used : best.used+size : best.used+size]
	const line = 16 // elements, so that vectors do not cross cache lines
	best.used = min(len(best.memory), best.used+(size+line-1)/line*line)
	return b
}

// overlaps says whether v lies in the memory of some host.
func overlaps[T kernel.Float](v []T, hosts []*host[T]) bool {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	return slices.ContainsFunc(hosts, func(h *host[T]) bool {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(h.memory)))
		return at >= from && at-from < uintptr(len(h.memory))*unsafe.Sizeof(v[0])
	})
}

func newAssembler[T kernel.Float](batch int, keepGradients bool, spare [][]T) *assembler[T] {
	return &assembler[T]{
		spare:         spare,
		hosts:         map[*gorgonia.Node][]*host[T]{},
		behind:        map[*gorgonia.Node][]*host[T]{},
		net:           &network[T]{batch: batch, labels: make([]int, batch)},
		graph:         gorgonia.NewGraph(),
		leaves:        map[*parameter[T]]*gorgonia.Node{},
		uses:          map[*parameter[T]]int{},
		done:          map[*parameter[T]]bool{},
		keepGradients: keepGradients,
	}
}

// fused says whether layer l updates the parameter at its input i itself. That
// takes a parameter that nobody else reads: another reader would meet it half
// updated.
func (a *assembler[T]) fused(l layer[T], i int, v operand[T]) bool {
	f, ok := l.(fusible[T])
	return ok && !a.keepGradients && v.param != nil && v.param.mask == nil && v.param.tie == nil && f.fuses(i) && a.uses[v.param] == 1
}

// input makes the node of the batch's samples, of size elements each.
func (a *assembler[T]) input(size int) *gorgonia.Node {
	a.net.x = a.buffer(a.net.batch * size)
	return a.leaf("input", a.net.batch, size, a.net.x)
}

func (a *assembler[T]) leaf(name string, rows, cols int, storage []T) *gorgonia.Node {
	a.serial++
	return gorgonia.NewMatrix(a.graph, dtype[T](), gorgonia.WithShape(rows, cols),
		gorgonia.WithName(fmt.Sprintf("%d/%s", a.serial, name)), gorgonia.WithValue(matrix(rows, cols, storage)))
}

// parameter returns the node of p in this graph.
func (a *assembler[T]) parameter(p *parameter[T]) *gorgonia.Node {
	if n, ok := a.leaves[p]; ok {
		return n
	}
	n := a.leaf(p.name, 1, len(p.values), p.values)
	a.leaves[p] = n
	if !p.frozen {
		a.params = append(a.params, p)
	}
	return n
}

// operand is an input of a layer: a node, whether its gradient is wanted, and,
// if it is one, the parameter.
type operand[T kernel.Float] struct {
	node  *gorgonia.Node
	wants bool
	param *parameter[T]
	spent bool // nobody reads it after this layer
}

// add puts a layer into the graph; its output has cols elements a sample, and
// once says that a single layer reads it.
//
// A layer that can computes over its input where that is spent, and its gradient
// over that at an output which a single layer reads: that layer has made it for
// this one alone. Another kind puts the gradient at a spent input in its place,
// which until then is a host. The largest arrays of a CNN are those around its
// first ReLU.
func (a *assembler[T]) add(label string, l layer[T], cols int, in []operand[T], once bool) (*gorgonia.Node, error) {
	r, ok := l.(replacing)
	replaces := ok && r.replaces()
	var out []T
	if replaces && in[0].spent {
		out = storage[T](in[0].node)
	}
	var hosts []*host[T]
	for _, v := range in {
		for _, h := range a.behind[v.node] {
			if !slices.Contains(hosts, h) {
				hosts = append(hosts, h)
			}
		}
	}
	if out == nil {
		out = a.hosted(a.net.batch*cols, hosts)
	}
	o := a.op(label, len(in), a.net.batch, cols, out, func(values [][]T) {
		for i, v := range in {
			if v.param != nil && a.net.suspect != nil {
				a.net.look(label, fmt.Sprintf("weights %q", v.param.name), values[i])
			}
		}
		l.forward(values, out)
		a.net.look(label, "output", out)
	})
	nodes := make(gorgonia.Nodes, len(in))
	o.wrt = make([]bool, len(in))
	for i, v := range in {
		nodes[i], o.wrt[i] = v.node, v.wants
		if v.param != nil {
			a.uses[v.param]++
		}
	}
	a.net.layers++
	_, recycles := l.(recycling)
	recycles = recycles && in[0].spent
	o.diff = func(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		var over []T
		if recycles {
			over = storage[T](in[0].node)
		} else if replaces && once {
			over = storage[T](grad)
			// The layer before this one may be about to write where its host is.
			before := a.hosts[in[0].node]
			if over != nil && overlaps(over, slices.DeleteFunc(slices.Clone(hosts), func(h *host[T]) bool { return slices.Contains(before, h) })) {
				over = nil
			}
		}
		return a.backward(label, l, in, inputs, output, grad, over)
	}
	node, err := gorgonia.ApplyOp(o, nodes...)
	if err != nil {
		return nil, err
	}
	a.hosts[node], a.behind[node] = hosts, hosts
	if recycles {
		if memory := storage[T](in[0].node); memory != nil {
			a.behind[node] = append(slices.Clone(hosts), &host[T]{memory: memory})
		}
	}
	return node, nil
}

// buffer returns a buffer of a step, which lies in its counterpart among the
// spare ones.
func (a *assembler[T]) buffer(size int) []T {
	var b []T
	if i := len(a.net.buffers); i < len(a.spare) && size <= len(a.spare[i]) {
		b = a.spare[i][:size:size]
	} else {
		b = make([]T, size)
	}
	a.net.buffers = append(a.net.buffers, b)
	return b
}

// storage returns that of what an op of ours computes, nil for other nodes.
func storage[T kernel.Float](n *gorgonia.Node) []T {
	if o, ok := n.Op().(*op[T]); ok {
		return elements[T](o.value)
	}
	return nil
}

func (a *assembler[T]) op(label string, arity, rows, cols int, storage []T, run func(in [][]T)) *op[T] {
	a.serial++
	return &op[T]{
		label: label, serial: a.serial, arity: arity,
		value: matrix(rows, cols, storage), run: run, in: make([][]T, arity),
	}
}

// backward adds the nodes of a layer's gradients. One node computes them all,
// and returns the first; as a gorgonia node has one value, each further one is
// a node that depends on it and hands out the buffer that it filled. The
// gradient of a parameter that the layer updates itself is an empty node. The
// gradient at the first input goes to over, unless that is nil.
func (a *assembler[T]) backward(label string, l layer[T], in []operand[T], inputs gorgonia.Nodes, output, grad *gorgonia.Node, over []T) (gorgonia.Nodes, error) {
	din := make([][]T, len(in))
	rows, cols := make([]int, len(in)), make([]int, len(in))
	var wanted, fused []int
	for i, v := range in {
		if !v.wants {
			continue
		}
		rows[i], cols[i] = v.node.Shape()[0], v.node.Shape()[1]
		switch {
		case a.fused(l, i, v):
			rows[i], cols[i] = 1, 1
			fused = append(fused, i)
			a.done[v.param] = true
		case i == 0 && over != nil:
			din[i] = over
		default:
			din[i] = a.hosted(rows[i]*cols[i], a.hosts[v.node])
		}
		wanted = append(wanted, i)
	}
	result := func(i int) []T {
		if din[i] != nil {
			return din[i]
		}
		return make([]T, 1)
	}
	first := wanted[0]
	all := a.op("∂"+label, len(in)+2, rows[first], cols[first], result(first), func(values [][]T) {
		p := pass[T]{in: values[:len(in)], out: values[len(in)], dout: values[len(in)+1], din: din}
		l.backward(p)
		for _, i := range fused {
			if a.net.measured != nil {
				a.net.measured.fused(in[i].param, l.(fusible[T]), p, i)
			}
			l.(fusible[T]).update(p, i, a.net.rate, a.net.keep)
		}
	})
	node, err := gorgonia.ApplyOp(all, append(append(gorgonia.Nodes(nil), inputs...), output, grad)...)
	if err != nil {
		return nil, err
	}
	grads := make(gorgonia.Nodes, len(in))
	grads[first] = node
	for _, i := range wanted[1:] {
		pick := a.op(fmt.Sprintf("∂%s/%d", label, i), 1, rows[i], cols[i], result(i), func([][]T) {})
		if grads[i], err = gorgonia.ApplyOp(pick, node); err != nil {
			return nil, err
		}
	}
	return grads, nil
}

// finish adds the softmax cross-entropy of the logits and everything behind
// it, and compiles the graph.
func (a *assembler[T]) finish(logits *gorgonia.Node) (*network[T], error) {
	n := a.net
	n.classes = logits.Shape()[1]
	value, slope := make([]T, 1), make([]T, n.batch*n.classes)
	loss := a.op("softmax cross-entropy", 1, 1, 1, value, func(in [][]T) {
		total, hits := kernel.CrossEntropy(n.batch, n.classes, in[0], n.labels, slope)
		n.loss, n.hits = total/float64(n.batch), hits
		value[0] = T(n.loss)
	})
	loss.check = func() error {
		if isNotFinite(n.loss) {
			return ErrNotFinite
		}
		return nil
	}
	loss.wrt = []bool{true}
	loss.diff = func(_ gorgonia.Nodes, output, _ *gorgonia.Node) (gorgonia.Nodes, error) {
		// The forward pass has computed it beside the loss.
		seed, err := gorgonia.ApplyOp(a.op("∂softmax cross-entropy", 1, n.batch, n.classes, slope, func([][]T) {}), output)
		return gorgonia.Nodes{seed}, err
	}
	cost, err := gorgonia.ApplyOp(loss, logits)
	if err != nil {
		return nil, err
	}
	leaves := make(gorgonia.Nodes, len(a.params))
	for i, p := range a.params {
		leaves[i] = a.leaves[p]
	}
	if len(leaves) == 0 {
		return nil, errors.New("no weights to train")
	}
	grads, err := gorgonia.Backpropagate(gorgonia.Nodes{cost}, gorgonia.Nodes{a.leaf("1", 1, 1, []T{1})}, leaves)
	if err != nil {
		return nil, err
	}
	for i, p := range a.params {
		if !a.done[p] {
			n.reads = append(n.reads, gradient[T]{p, grads[i]})
		}
	}
	if err := a.checkHashes(); err != nil {
		return nil, err
	}
	n.machine = gorgonia.NewTapeMachine(a.graph)
	// The machine's finalizer does nothing in a build without CUDA, but an object
	// with one is never collected where it can be reached from itself, as here
	// through the layers.
	runtime.SetFinalizer(n.machine, nil)
	return n, nil
}

// checkHashes makes sure that no two nodes have the same 32-bit hash: gorgonia
// would take them for the same expression.
func (a *assembler[T]) checkHashes() error {
	seen := map[uint32]*gorgonia.Node{}
	for _, n := range a.graph.AllNodes() {
		if other, ok := seen[n.Hashcode()]; ok && other != n {
			return fmt.Errorf("nodes %v and %v have the same hash", n, other)
		}
		seen[n.Hashcode()] = n
	}
	return nil
}
