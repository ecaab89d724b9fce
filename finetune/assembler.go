package finetune

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"

	"gorgonia.org/gorgonia"

	"efcn/finetune/internal/memplan"
	"efcn/internal/kernel"
)

// assembler adds layers to the graph of one network.
type assembler[T kernel.Float] struct {
	net    *network[T]
	form   networkForm[T]
	graph  *gorgonia.ExprGraph
	serial int
	clock  *clock

	x       *gorgonia.Node // the batch's samples
	samples *buffer[T]

	params []*parameter[T] // in the order they were met
	leaves map[*parameter[T]]*gorgonia.Node
	uses   map[*parameter[T]]int  // inputs of layers that read it
	reads  map[*gorgonia.Node]int // the same of values
	// senders are the layers that compute values and have something to send first in
	// their backward pass.
	senders map[*gorgonia.Node]sender[T]
	done    map[*parameter[T]]bool // those that a layer updates itself
}

// networkForm is how a network is made.
type networkForm[T kernel.Float] struct {
	batch int // samples that a step takes, over all groups
	// keepGradients makes every gradient a value that can be read; otherwise a
	// layer may update a parameter without one.
	keepGradients bool
	// memory is that of another network, which runs when this one does not.
	memory [][]T
	team   *team            // nil for one process
	ranks  *exchange[T]     // the same
	device *deviceMemory[T] // nil for the processor
	// onHost means that the network computes on the processor, though the trainee has a device.
	onHost bool
	// evaluates means that the network computes logits alone, as the model does once it is
	// trained: batches are normalised by running statistics. On a device only.
	evaluates bool
	// plan replaces the plan of the memory; nil for that of memplan.
	plan func(p *memplan.Program) *memplan.Plan
}

func newAssembler[T kernel.Float](form networkForm[T]) *assembler[T] {
	c, share := &clock{}, form.team.share(form.batch)
	return &assembler[T]{
		form: form, clock: c, graph: gorgonia.NewGraph(),
		net: &network[T]{
			batch: share.n, share: share, team: form.team, ranks: form.ranks, labels: make([]int, share.n), clock: c,
		},
		leaves: map[*parameter[T]]*gorgonia.Node{},
		uses:   map[*parameter[T]]int{}, reads: map[*gorgonia.Node]int{}, senders: map[*gorgonia.Node]sender[T]{},
		done: map[*parameter[T]]bool{},
	}
}

// fused reports whether layer l updates the parameter at its input i itself. That
// takes a parameter that no other layer reads: that would meet it half updated.
func (a *assembler[T]) fused(l layer[T], i int, v input[T]) bool {
	f, ok := l.(fusible[T])
	if !ok || a.form.keepGradients || v.param == nil || v.param.mask != nil || v.param.tie != nil {
		return false
	}
	grouped := a.form.team.isGrouped()
	if d, may := l.(deviceFusible); a.form.device != nil && (grouped || may && !d.fusesOnDevice()) {
		return false
	}
	fuses, inParts := f.fuses(i)
	return fuses && a.uses[v.param] == 1 && (inParts || !grouped)
}

// input makes the node of the batch's samples, of size elements each.
func (a *assembler[T]) input(size int) *gorgonia.Node {
	a.samples = newBuffer[T](a.net.batch * size)
	a.x = a.leaf("input", a.net.batch, size)
	return a.x
}

func (a *assembler[T]) leaf(name string, rows, cols int) *gorgonia.Node {
	a.serial++
	return gorgonia.NewMatrix(a.graph, dtype[T](), gorgonia.WithShape(rows, cols),
		gorgonia.WithName(fmt.Sprintf("%d/%s", a.serial, name)))
}

// parameter returns the node of p in this graph.
func (a *assembler[T]) parameter(p *parameter[T]) (*gorgonia.Node, error) {
	if n, ok := a.leaves[p]; ok {
		return n, nil
	}
	n := a.leaf(p.name, 1, len(p.values))
	a.leaves[p] = n
	if !p.frozen {
		a.params = append(a.params, p)
	}
	return n, gorgonia.Let(n, matrix(1, len(p.values), p.values))
}

// input is what a layer reads: a node, whether the gradient at it is wanted, and, if
// it is one, the parameter.
type input[T kernel.Float] struct {
	node  *gorgonia.Node
	wants bool
	param *parameter[T]
}

// op returns an op of one result, of rows×cols elements, that lies in a buffer; it
// reads all of its operands and writes the buffer.
func (a *assembler[T]) op(label string, rows, cols int, result *buffer[T], operands ...*gorgonia.Node) *op[T] {
	a.serial++
	o := &op[T]{
		label: label, serial: a.serial, clock: a.clock, rows: rows, cols: cols,
		operands: operands, reads: make([]bool, len(operands)), in: make([][]T, len(operands)),
		writes: []*buffer[T]{result}, result: result, inPlace: -1,
	}
	for i := range o.reads {
		o.reads[i] = true
	}
	return o
}

// view returns an op that hands out what another has written.
func (a *assembler[T]) view(label string, rows, cols int, result *buffer[T], of *gorgonia.Node) *op[T] {
	o := a.op(label, rows, cols, result, of)
	o.reads[0], o.writes, o.run = false, nil, func([][]T) {}
	return o
}

func (o *op[T]) apply() (*gorgonia.Node, error) { return gorgonia.ApplyOp(o, o.operands...) }

// needs returns what of the forward pass a layer reads in its backward, where it runs.
func (a *assembler[T]) needs(l layer[T]) needs {
	if a.form.device != nil {
		return deviceNeedsOf(l)
	}
	return needsOf(l)
}

// add puts a layer into the graph; its output has cols elements a sample.
func (a *assembler[T]) add(label string, l layer[T], cols int, in []input[T]) (*gorgonia.Node, error) {
	nodes, wrt := make(gorgonia.Nodes, len(in)), make([]bool, len(in))
	for i, v := range in {
		nodes[i], wrt[i] = v.node, v.wants
		if v.param != nil {
			a.uses[v.param]++
		} else {
			a.reads[v.node]++
		}
	}
	a.net.layers++
	out := newBuffer[T](a.net.batch * cols)
	o := a.op(label, a.net.batch, cols, out, nodes...)
	o.run = func(values [][]T) {
		for i, v := range in {
			if v.param != nil && a.net.suspect != nil {
				a.net.inspect(label, fmt.Sprintf("weights %q", v.param.name), values[i])
			}
		}
		l.forward(values, out.data)
		a.net.inspect(label, "output", out.data)
	}
	if b, ok := l.(buffered[T]); ok {
		kept, _ := b.buffers()
		o.writes = append(o.writes, kept...)
	}
	need := a.needs(l)
	if need.inPlace {
		o.inPlace = 0
	}
	if f, ok := l.(fallible); ok {
		o.check = f.failure
	}
	o.layer, o.wrt = l, wrt
	o.diff = func(_ gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		return a.backward(label, o, need, in, output, grad)
	}
	n, err := o.apply()
	if s, ok := l.(sender[T]); ok && err == nil {
		a.senders[n] = s
	}
	return n, err
}

// backward adds the nodes of a layer's gradients. One node computes them all,
// and returns the first; as a gorgonia node has one value, each further one is
// a view. The gradient of a parameter that the layer updates itself is an empty
// node.
func (a *assembler[T]) backward(
	label string, forward *op[T], need needs, in []input[T], output, grad *gorgonia.Node,
) (gorgonia.Nodes, error) {
	l := forward.layer
	g := &gradients[T]{
		net: a.net, layer: l, forward: forward, needs: need, in: in, into: make([]*buffer[T], len(in)),
		din: make([][]T, len(in)),
	}
	var wanted []int
	results := make([]*buffer[T], len(in))
	for i, v := range in {
		if !v.wants {
			continue
		}
		wanted = append(wanted, i)
		if a.fused(l, i, v) {
			results[i] = &buffer[T]{size: 1, data: make([]T, 1)}
			g.fused = append(g.fused, i)
			a.done[v.param] = true
			continue
		}
		g.into[i] = newBuffer[T](v.node.Shape().TotalSize())
		results[i] = g.into[i]
	}
	if s := a.senders[in[0].node]; s != nil && g.into[0] != nil && a.reads[in[0].node] == 1 {
		g.early = s.send
	}
	g.ready = g.send
	grads := make(gorgonia.Nodes, len(in))
	for _, i := range wanted {
		rows, cols := in[i].node.Shape()[0], in[i].node.Shape()[1]
		if g.into[i] == nil {
			rows, cols = 1, 1
		}
		o := a.view(fmt.Sprintf("∂%s/%d", label, i), rows, cols, results[i], grads[wanted[0]])
		if i == wanted[0] {
			o = a.op("∂"+label, rows, cols, results[i], append(nodesOf(in), output, grad)...)
			g.describe(o)
		}
		var err error
		if grads[i], err = o.apply(); err != nil {
			return nil, err
		}
	}
	return grads, nil
}

func nodesOf[T kernel.Float](in []input[T]) gorgonia.Nodes {
	nodes := make(gorgonia.Nodes, len(in))
	for i, v := range in {
		nodes[i] = v.node
	}
	return nodes
}

// gradients is the backward step of a layer.
type gradients[T kernel.Float] struct {
	net     *network[T]
	layer   layer[T]
	forward *op[T] // of the layer
	needs   needs
	in      []input[T]
	into    []*buffer[T] // for the gradient at each input; nil for none
	fused   []int        // inputs that the layer updates itself
	din     [][]T        // scratch of run
	err     error        // of the updates that the layer does itself
	// early sends the gradient at input 0 to other ranks; nil where nothing is to be sent, or
	// not yet.
	early func(dout []T)
	sent  bool
	ready func() // send
}

// send sends the gradient at input 0, once a step.
func (g *gradients[T]) send() {
	if g.early != nil && !g.sent {
		g.early(g.din[0])
	}
	g.sent = true
}

// describe makes o, of which the operands are the inputs of the layer, its output
// and the gradient at that, the op of the step.
func (g *gradients[T]) describe(o *op[T]) {
	need := g.needs
	o.pass = g
	for i, v := range g.in {
		o.reads[i] = need.inputs || v.param != nil
	}
	o.reads[len(g.in)] = need.output
	if need.inPlace {
		o.inPlace = len(g.in) + 1
	}
	o.writes = nil
	for _, b := range g.into {
		if b != nil {
			o.writes = append(o.writes, b)
		}
	}
	if b, ok := g.layer.(buffered[T]); ok {
		kept, scratch := b.buffers()
		o.further, o.writes = kept, append(o.writes, scratch...)
	}
	o.run = g.run
	o.check = func() error {
		if f, ok := g.layer.(fallible); ok && f.failure() != nil {
			return f.failure()
		}
		return g.err
	}
}

func (g *gradients[T]) run(values [][]T) {
	g.err = nil
	for i, b := range g.into {
		if b != nil {
			g.din[i] = b.data
		}
	}
	n := len(g.in)
	g.sent = false
	p := pass[T]{
		in: values[:n], out: values[n], dout: values[n+1], din: g.din, ready: g.ready, part: g.net.partOf,
	}
	g.layer.backward(p)
	g.send()
	if g.net.probe != nil {
		g.net.probe(g, p)
		return
	}
	for _, i := range g.fused {
		g.update(p, i)
	}
}

// update has the layer update the parameter at its input i.
func (g *gradients[T]) update(p pass[T], i int) {
	l, param, keep := g.layer.(fusible[T]), g.in[i].param, g.net.keep
	if param.basis {
		keep = 1
	}
	if g.net.team.isGrouped() {
		g.updateOverGroups(p, i, keep)
		return
	}
	if g.net.measured != nil {
		g.net.measured.fused(param, l, p, i)
	}
	l.update(p, i, g.net.rate, keep)
}

// updateOverGroups makes the gradient at input i a part at a time, adds that up over the
// groups, and moves the parameter along the sum.
func (g *gradients[T]) updateOverGroups(p pass[T], i int, keep T) {
	param, rate := g.in[i].param, g.net.rate
	measure := g.net.measured.parts(param)
	g.layer.(fusible[T]).gradient(p, i, func(at int, part []T) {
		if g.err = cmp.Or(g.err, g.net.ranks.sumGradients(part)); g.err != nil {
			return
		}
		measure(at, part)
		w := param.values[at : at+len(part)]
		kernel.Parallel(len(w), elementGrain, func(lo, hi int) {
			for k := lo; k < hi; k++ {
				w[k] = keep*w[k] - rate*part[k]
			}
		})
	})
}

// loss adds the softmax cross-entropy of the logits.
func (a *assembler[T]) loss(logits *gorgonia.Node) (*gorgonia.Node, error) {
	n := a.net
	n.classes = logits.Shape()[1]
	value := &buffer[T]{size: 1, data: make([]T, 1)}
	slope := newBuffer[T](n.batch * n.classes)
	loss := a.op("softmax cross-entropy", 1, 1, value, logits)
	loss.writes, loss.loss = []*buffer[T]{slope}, true
	var failed error
	loss.run = func(in [][]T) {
		total, hits := kernel.CrossEntropy(n.batch, n.classes, in[0], n.labels, slope.data)
		multiply(T(n.share.weight()), slope.data)
		sums := []float64{total, float64(hits)}
		if n.share.idle {
			clear(sums)
		}
		failed = n.team.sumOverGroups(sums)
		n.loss, n.hits = sums[0]/float64(n.share.batch), int(sums[1])
		value.data[0] = T(n.loss)
	}
	loss.check = func() error {
		if failed == nil && isNotFinite(n.loss) {
			return ErrNotFinite
		}
		return failed
	}
	loss.wrt = []bool{true}
	loss.diff = func(_ gorgonia.Nodes, output, _ *gorgonia.Node) (gorgonia.Nodes, error) {
		seed, err := a.view("∂softmax cross-entropy", n.batch, n.classes, slope, output).apply()
		return gorgonia.Nodes{seed}, err
	}
	return loss.apply()
}

// finish adds the loss and the backward pass, plans the memory, and compiles
// the graph.
func (a *assembler[T]) finish(logits *gorgonia.Node) (*network[T], error) {
	n := a.net
	if a.form.evaluates {
		var err error
		n.classes = logits.Shape()[1]
		n.device, err = a.planOnDevice(logits)
		return n, err
	}
	cost, err := a.loss(logits)
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
	one := a.leaf("1", 1, 1)
	if err := gorgonia.Let(one, matrix(1, 1, []T{1})); err != nil {
		return nil, err
	}
	grads, err := gorgonia.Backpropagate(gorgonia.Nodes{cost}, gorgonia.Nodes{one}, leaves)
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
	if a.form.device != nil {
		n.device, err = a.planOnDevice(logits)
		return n, err
	}
	if err := a.place(logits); err != nil {
		return nil, err
	}
	n.machine = gorgonia.NewTapeMachine(a.graph)
	// The machine's finalizer does nothing in a build without CUDA, but an object
	// with one is never collected where it can be reached from itself, as here
	// through the layers.
	runtime.SetFinalizer(n.machine, nil)
	return n, nil
}

// place plans the memory of the network and makes it.
func (a *assembler[T]) place(logits *gorgonia.Node) error {
	p, err := a.program(logits)
	if err != nil {
		return err
	}
	plan := (*memplan.Program).Plan
	if a.form.plan != nil {
		plan = a.form.plan
	}
	a.net.memory = p.place(plan(&p.Program), a.form.memory)
	a.net.x = a.samples.data
	return gorgonia.Let(a.x, matrix(a.x.Shape()[0], a.x.Shape()[1], a.net.x))
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
