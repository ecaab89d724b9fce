package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Elsewhere is a node that ran in another engine, as the embedded one does not have
// its operator, or not with its attributes.
type Elsewhere struct {
	Model  string `json:"model"` // "cnn" or "efcn"
	Node   string `json:"node"`
	Op     string `json:"op"`
	Engine string `json:"engine"` // with its version
}

// elsewhere runs nodes that the embedded engine lacks, each as a model of its own,
// in ONNX Runtime: in the types that the model declares, whatever the precision of
// the rest.
type elsewhere struct {
	// open makes a model ready; nil where there is nothing to run one in.
	open func(ctx context.Context, engine string, m *onnxio.Model) (Session, error)
	// sessions are kept by node.
	sessions map[*onnxio.Node]Session
	ran      map[*onnxio.Node][]*onnxio.Node // in the session of a node
	// model says in which of the two models a node is.
	model map[*onnxio.Node]string
}

// claim notes which nodes of n the embedded engine lacks.
func (e *elsewhere) claim(n *net, model string) error {
	n.lacks, n.elsewhere = make(map[*onnxio.Node]bool), e
	for _, node := range engine.Lacks(n.model) {
		if operatorOf(node).random {
			return node.Errorf(
				"it gives other numbers every time, so there is nothing to compare; leave it out of the model")
		}
		n.lacks[node] = true
	}
	n.foreign = make(map[string]bool)
	for _, node := range n.graph.Nodes {
		if slices.ContainsFunc(node.Inputs, func(name string) bool {
			return n.foreign[name] || n.constants[name] != nil && !holds(n.constants[name].Type)
		}) {
			n.lacks[node] = true
		}
		if !holds(n.resultType(node)) {
			n.lacks[node] = true
			for _, name := range node.Outputs {
				n.foreign[name] = true
			}
		}
		if n.lacks[node] {
			e.model[node] = model
		}
	}
	return nil
}

// holds reports whether the embedded engine has values of an element type; of one that
// is not known, that it has.
func holds(t onnxio.DataType) bool {
	return t == onnxio.Undefined || t.IsFloat() || t.IsInteger() || t == onnxio.Bool
}

// resultType returns the element type of what a node computes where its attributes
// or a zero point say it.
func (n *net) resultType(node *onnxio.Node) onnxio.DataType {
	if op := operatorOf(node); op.resultType != nil {
		return op.resultType(n, node)
	}
	return onnxio.Undefined
}

// group returns a node with those before it that compute what the embedded engine
// cannot hold, in their order, and all that they read from elsewhere.
func (n *net) group(node *onnxio.Node) (nodes []*onnxio.Node, names []string) {
	for _, name := range reads(node) {
		if !n.foreign[name] {
			names = append(names, name)
			continue
		}
		before, read := n.group(n.Producer(name))
		for _, b := range before {
			if !slices.Contains(nodes, b) {
				nodes = append(nodes, b)
			}
		}
		names = append(names, read...)
	}
	slices.Sort(names)
	return append(nodes, node), slices.Compact(names)
}

// close ends all sessions.
func (e *elsewhere) close() error {
	var all []error
	for _, s := range e.sessions {
		all = append(all, s.Close())
	}
	return errors.Join(all...)
}

// used lists the nodes that ran, those of the CNN first.
func (e *elsewhere) used() []Elsewhere {
	var list []Elsewhere
	for node, s := range e.sessions {
		for _, each := range e.ran[node] {
			list = append(list, Elsewhere{e.model[each], each.Label(), each.QualifiedOp(), s.String()})
		}
	}
	slices.SortFunc(list, func(a, b Elsewhere) int {
		return strings.Compare(a.Model+"\x00"+a.Node, b.Model+"\x00"+b.Node)
	})
	return slices.Compact(list) // once with its parameters as the eFCN rounds them
}

// run runs the last of some nodes of a model on the inputs and constants of all.
func (e *elsewhere) run(ctx context.Context, m *onnxio.Model, nodes []*onnxio.Node,
	in, constants []*onnxio.Tensor,
) ([]*onnxio.Tensor, error) {
	node := nodes[len(nodes)-1]
	if len(in) == 0 { // there is no model without an input: one that nothing reads
		in = []*onnxio.Tensor{onnxio.NewTensor("unread", []int64{1}, []float32{0})}
	}
	s := e.sessions[node]
	if s == nil {
		var err error
		if e.open == nil {
			err = errors.New("no other engine is at hand")
		} else {
			s, err = e.open(ctx, onnxRuntime, alone(m, nodes, in, constants))
		}
		if err != nil {
			return nil, node.Errorf("the embedded engine cannot run it, and neither can ONNX Runtime: %w", err)
		}
		e.sessions[node], e.ran[node] = s, nodes
	}
	out, err := s.Run(ctx, in)
	if err != nil {
		return nil,
			node.Errorf("the embedded engine cannot run it, and what ONNX Runtime makes of it cannot be handed on: %w",
				err)
	}
	return out, nil
}

// alone returns a model of some nodes, whose inputs are what they read besides
// constants, and whose outputs those of the last.
func alone(m *onnxio.Model, nodes []*onnxio.Node, in, constants []*onnxio.Tensor) *onnxio.Model {
	g := &onnxio.Graph{Name: "node", Nodes: slices.Clone(nodes), Initializers: constants}
	for _, t := range in {
		g.Inputs = append(g.Inputs, &onnxio.ValueInfo{Name: t.Name, Type: onnxio.TensorType{Elem: t.Type}})
	}
	for _, name := range nodes[len(nodes)-1].Outputs {
		if name != "" {
			g.Outputs = append(g.Outputs, &onnxio.ValueInfo{Name: name})
		}
	}
	return &onnxio.Model{IRVersion: m.IRVersion, Opsets: m.Opsets, Functions: m.Functions, Graph: g}
}

// observer runs a model and shows every value that a node computes.
type observer[T kernel.Float] interface {
	Observe(ctx context.Context, feeds map[string]*engine.Tensor[T],
		see func(name string, v *engine.Tensor[T]) error) (map[string]*engine.Tensor[T], error)
}

// newObserver makes n ready: in the embedded engine or, where that lacks nodes, node
// by node.
func newObserver[T kernel.Float](n *net) (observer[T], error) {
	if len(n.lacks) > 0 {
		return newRunner[T](n), nil
	}
	return engine.New[T](n.model)
}

// Observe implements observer.
func (r *runner[T]) Observe(ctx context.Context, feeds map[string]*engine.Tensor[T],
	see func(name string, v *engine.Tensor[T]) error,
) (map[string]*engine.Tensor[T], error) {
	values := maps.Clone(feeds)
	err := r.run(ctx, pass[T]{feeds, func(name string, v *engine.Tensor[T]) (*engine.Tensor[T], error) {
		if r.IsOutput(name) {
			values[name] = v
		}
		return v, see(name, v)
	}})
	if err != nil {
		return nil, err
	}
	out := make(map[string]*engine.Tensor[T])
	for _, o := range r.graph.Outputs {
		if out[o.Name], err = r.input(values, o.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// elsewhereNode runs a node that the embedded engine lacks.
func (r *runner[T]) elsewhereNode(ctx context.Context, node *onnxio.Node,
	env map[string]*engine.Tensor[T],
) ([]*engine.Tensor[T], error) {
	var in, constants []*onnxio.Tensor
	nodes, names := r.group(node)
	for _, name := range names {
		if t := r.constants[name]; t != nil && env[name] == nil {
			c := *t
			c.Name = name
			constants = append(constants, &c)
			continue
		}
		v, err := r.input(env, name)
		if err != nil {
			return nil, node.Wrap(err)
		}
		in = append(in, engine.ToONNX(name, v))
	}
	results, err := r.elsewhere.run(ctx, r.model, nodes, in, constants)
	if err != nil {
		return nil, err
	}
	out := make([]*engine.Tensor[T], len(node.Outputs))
	k := 0
	for i, name := range node.Outputs {
		if name == "" {
			continue
		}
		if out[i], err = engine.FromONNX[T](results[k]); err != nil {
			return nil, node.Errorf("output %d (%q): %w", i, name, err)
		}
		k++
	}
	return out, nil
}

// reads lists what a node reads: its inputs, each once, and what its subgraphs take
// from the graph around them.
func reads(node *onnxio.Node) []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range node.Inputs {
		add(name)
	}
	for _, a := range node.Attributes {
		graphs := a.Graphs
		if a.G != nil {
			graphs = append(slices.Clone(graphs), a.G)
		}
		for _, g := range graphs {
			for _, name := range outer(g) {
				add(name)
			}
		}
	}
	return names
}

// outer lists the names that a subgraph reads and does not define.
func outer(g *onnxio.Graph) []string {
	defined := make(map[string]bool)
	for _, v := range g.Inputs {
		defined[v.Name] = true
	}
	for _, t := range g.Initializers {
		defined[t.Name] = true
	}
	for _, s := range g.SparseInitializers {
		defined[s.Values.Name] = true
	}
	var names []string
	read := func(name string) {
		if !defined[name] {
			names = append(names, name)
		}
	}
	for _, node := range g.Nodes {
		for _, name := range reads(node) {
			read(name)
		}
		for _, name := range node.Outputs {
			defined[name] = true
		}
	}
	for _, v := range g.Outputs {
		read(v.Name)
	}
	return names
}

// arithmetic returns the arithmetic of a check: that of single precision in double
// too where one of two models without a record has nodes that are computed so, which
// the other may compute in the embedded engine. Both the CNN and its eFCN have them,
// and are given the same.
func (v *verifier) arithmetic(a arithmetic) arithmetic {
	if !v.paired() && len(v.cnn.lacks)+len(v.efcn.lacks) > 0 {
		name := a.name
		a = arithmeticOf[float32]()
		a.name = name
	}
	a.narrow = narrowOf(v.options.As)
	return a
}

// lacking bounds a node that the embedded engine lacks.
func (b *bounds) lacking(node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	if shapedByData(node) {
		b.loosen(node)
	}
	if op := operatorOf(node); op.lacking != nil {
		return op.lacking(b, node, ds)
	}
	return b.unknown(node), nil
}

// shapedByData reports whether the values that a node takes may decide how many it gives,
// of a node that the embedded engine lacks. Nothing is known of other domains.
func shapedByData(node *onnxio.Node) bool {
	op := operatorOf(node)
	return op.shapedByData || op == &other && onnxio.CanonicalDomain(node.Domain) != ""
}

// describeElsewhere says which nodes ran in another engine.
func (r *Report) describeElsewhere() []string {
	var lines []string
	for i, e := range r.Elsewhere {
		words := r.words()
		model := words.first
		if e.Model == "efcn" {
			model = words.second
		}
		line := fmt.Sprintf("node %q (%s) of %s", onnxio.Printable(e.Node), e.Op, model)
		if i == 0 || r.Elsewhere[i-1].Engine != e.Engine {
			line += ", by " + onnxio.Printable(e.Engine)
		}
		lines = append(lines, line)
	}
	return lines
}
