package finetune

import (
	"errors"
	"fmt"
	"slices"

	"efcn/convert/cut"
	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/internal/kernel"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// trainee is a model under training: the part of its graph between the input
// and the logits, and the storage of what is trained.
type trainee[T kernel.Float] struct {
	folded       *onnxio.Model // constants folded
	model        *onnxio.Model // that with Pads absorbed, as it is trained
	input        *onnxio.ValueInfo
	logits       string
	nodes        []*onnxio.Node // what the logits depend on, in order
	links        *onnxio.Links  // of nodes
	initializers map[string]*onnxio.Tensor

	gather *gatherer[T] // of a model that is cut over ranks; else nil
	params []*parameter[T]
	stats  []*statistic[T]
	byName map[string]*parameter[T]
	sparse map[string]*sparseMatrix // weights of which initializers holds the values
	subset *subset
	chains map[*onnxio.Node]*localChain // nodes that are one layer
	// factors are the factored layers whose nodes, of the local form and behind it, are
	// trained as one.
	factors map[*onnxio.Node]*factors
	// factored are the factored layers of the record.
	factored []*record.Layer
	// supports are those of dense embedded layers, by weight, where they have one.
	supports map[string]support

	device       *deviceMemory[T] // nil for the processor
	team         *team            // nil for a training in one process
	ranks        *exchange[T]     // the same
	part         *cut.Part        // that this rank trains; nil where it trains all of the model
	fixed        map[int]*fixed   // by batch
	arrangements map[*onnxio.Node][]*arrangement[T]
}

// newTrainee prepares a model for the training of what is named: see
// Options.Train.
func newTrainee[T kernel.Float](m *onnxio.Model, what string) (*trainee[T], error) {
	folded, err := constants.Fold(m, constants.Options{KeepSparse: true})
	if err != nil {
		return nil, err
	}
	t := &trainee[T]{
		folded:       folded,
		initializers: map[string]*onnxio.Tensor{},
		byName:       map[string]*parameter[T]{},
		supports:     map[string]support{},
		fixed:        map[int]*fixed{},
		arrangements: map[*onnxio.Node][]*arrangement[T]{},
	}
	for _, init := range folded.Graph.Initializers {
		t.initializers[init.Name] = init
	}
	if t.sparse, err = sparseMatrices(folded.Graph, t.initializers); err != nil {
		return nil, err
	}
	if t.input, err = onlyInput(folded); err != nil {
		return nil, err
	}
	if t.logits, err = logitsOf(folded); err != nil {
		return nil, err
	}
	t.model = absorbPads(folded)
	t.nodes = t.model.Graph.Ancestors(t.logits)
	t.links = onnxio.NewLinks(t.nodes, t.logits)
	rec, err := record.Read(folded)
	if err != nil {
		return nil, err
	}
	if err := t.checkSparse(rec); err != nil {
		return nil, err
	}
	for _, s := range t.sparse {
		s.Columns = nil // the plan has its own
	}
	if t.chains, err = localChains(t.links, rec); err != nil {
		return nil, err
	}
	t.factors = findFactors(t.chains, t.links)
	if t.subset, err = newSubset(what, t.nodes, rec, t.chains, t.sparse); err != nil {
		return nil, err
	}
	if err := t.addLayers(rec); err != nil {
		return nil, err
	}
	return t, t.refuse()
}

// addLayers notes the factored layers of a record, which may be nil, and the supports of
// its dense layers.
func (t *trainee[T]) addLayers(rec *record.Record) error {
	if rec == nil {
		return nil
	}
	for i := range rec.Layers {
		l := &rec.Layers[i]
		if l.Layout == record.Factored {
			t.factored = append(t.factored, l)
		}
	}
	return t.addSupports(rec, t.initializers)
}

// addSupports notes the supports of the dense layers of a record.
func (t *trainee[T]) addSupports(rec *record.Record, initializers map[string]*onnxio.Tensor) error {
	for i := range rec.Layers {
		l := &rec.Layers[i]
		if l.Layout != record.Dense || l.Connected() {
			continue
		}
		m, err := l.Support()
		if err != nil {
			return fmt.Errorf("layer %q: %w", l.Node, err)
		}
		if w := initializers[l.Weight]; m != nil && w != nil && slices.Equal(toInts(w.Dims), []int{m.Rows(), m.Cols()}) {
			t.supports[l.Weight] = support{Map: m}
		}
	}
	return nil
}

// refuse names every node whose operator cannot be trained.
func (t *trainee[T]) refuse() error {
	var errs []error
	active := map[string]bool{t.input.Name: true}
	for _, n := range t.nodes {
		if !slices.ContainsFunc(n.Inputs, func(name string) bool { return active[name] }) || operatorOf(n).shape {
			continue
		}
		if o := operatorOf(n); t.chains[n] == nil && emitterOf[T](o) == nil {
			errs = append(errs, n.Errorf("this operator cannot be trained%s", o.refusal))
		}
		for _, out := range n.Outputs {
			active[out] = true
		}
	}
	return errors.Join(errs...)
}

func onlyInput(m *onnxio.Model) (*onnxio.ValueInfo, error) {
	unread := m.Graph.UnreadInputs()
	feeds := slices.DeleteFunc(m.Graph.FeedInputs(),
		func(v *onnxio.ValueInfo) bool { return slices.Contains(unread, v.Name) })
	if len(feeds) != 1 {
		return nil, fmt.Errorf("the model reads %d inputs; training and evaluation work on models of one", len(feeds))
	}
	if t := feeds[0].Type; !t.HasShape || len(t.Shape) < 2 {
		return nil, fmt.Errorf("input %q does not declare its axes; declare batch and sample axes", feeds[0].Name)
	}
	for i, d := range feeds[0].Type.Shape[1:] {
		if !d.Known() {
			return nil, fmt.Errorf("input %q: the size of axis %d is not fixed; only the batch may be symbolic", feeds[0].Name,
				i+1)
		}
	}
	return feeds[0], nil
}

// logitsOf returns the name of the value that the loss is taken on: the one
// output of the model or, where a Softmax or LogSoftmax over the classes
// computes it, what that is taken of.
func logitsOf(m *onnxio.Model) (string, error) {
	if len(m.Graph.Outputs) != 1 {
		return "", fmt.Errorf("the model has %d outputs; training and evaluation work on models of one, the logits or "+
			"probabilities", len(m.Graph.Outputs))
	}
	name := m.Graph.Outputs[0].Name
	for _, n := range m.Graph.Nodes {
		if logits := operatorOf(n).logits; n.Output(0) == name && logits != nil {
			return logits(n, m.Opset(""))
		}
	}
	return name, nil
}

// parameter returns the trained parameter of an initializer.
func (t *trainee[T]) parameter(init *onnxio.Tensor) (*parameter[T], error) {
	if p, ok := t.byName[init.Name]; ok {
		return p, nil
	}
	if init.Type != onnxio.Float32 && init.Type != onnxio.Float64 {
		return nil, fmt.Errorf("weights %q are %s; training keeps the type of the file, and works on float32 and float64",
			init.Name, init.Type)
	}
	values, err := onnxio.Floats[T](init)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("weights %q have no elements, so there is nothing to train", init.Name)
	}
	p := &parameter[T]{name: init.Name, values: values, cut: t.isCut(init.Name)}
	p.basis = slices.ContainsFunc(t.factored, func(l *record.Layer) bool { return l.Right == init.Name })
	if err := selectEntries(t.subset, p); err != nil {
		return nil, err
	}
	t.params = append(t.params, p)
	t.byName[init.Name] = p
	return p, nil
}

// statistic returns the running statistic of an initializer.
func (t *trainee[T]) statistic(init *onnxio.Tensor) (*statistic[T], error) {
	for _, s := range t.stats {
		if s.name == init.Name {
			return s, nil
		}
	}
	values, err := onnxio.Floats[T](init)
	if err != nil {
		return nil, err
	}
	s := &statistic[T]{init.Name, values}
	t.stats = append(t.stats, s)
	return s, nil
}

// own returns the values of what source names, of this rank.
func (t *trainee[T]) own(of source) ([]T, error) {
	if p := t.byName[of.Name]; p != nil {
		if of.List == 0 {
			return p.values, nil
		}
		p.grow(of.List)
		return p.state[of.List-1], nil
	}
	for _, s := range t.stats {
		if s.name == of.Name {
			return s.values, nil
		}
	}
	return nil, fmt.Errorf("%q is not under training", of.Name)
}

// builder turns the nodes of a trainee into the network of one batch size.
type builder[T kernel.Float] struct {
	t      *trainee[T]
	a      *assembler[T]
	info   *shape.Info
	fixed  *fixed
	values map[string]value
}

// network builds the training graph for a batch size.
func (t *trainee[T]) network(batch int, keepGradients bool) (*network[T], error) {
	return t.networkOf(networkForm[T]{batch: batch, keepGradients: keepGradients})
}

func (t *trainee[T]) networkOf(form networkForm[T]) (*network[T], error) {
	if form.team, form.ranks = t.team, t.ranks; !form.onHost {
		form.device = t.device
	}
	batch := form.team.share(form.batch).n
	if fixed := t.input.Type.Shape[0]; fixed.Known() && fixed.Value != int64(batch) {
		return nil, fmt.Errorf("input %q: the batch is fixed at %d, training needs %d; export the model with a symbolic "+
			"batch", t.input.Name, fixed.Value, batch)
	}
	known, err := t.fixedAt(batch)
	if err != nil {
		return nil, err
	}
	b := &builder[T]{t: t, a: newAssembler(form), info: known.info, fixed: known}
	var sample []int
	for _, d := range t.input.Type.Shape[1:] {
		sample = append(sample, int(d.Value))
	}
	b.values = map[string]value{t.input.Name: {node: b.a.input(product(sample)), shape: sample}}
	for _, n := range t.nodes {
		if !slices.ContainsFunc(n.Inputs, func(name string) bool { _, ok := b.values[name]; return ok }) &&
			t.chains[n] == nil && t.factors[n] == nil || operatorOf(n).shape {
			continue
		}
		if err := b.emit(n); err != nil {
			return nil, err
		}
	}
	logits, ok := b.values[t.logits]
	if !ok {
		return nil, fmt.Errorf("output %q does not depend on the input", t.logits)
	}
	if logits.folded {
		return nil, fmt.Errorf("output %q has the batch and the classes in one axis; training needs the batch by itself",
			t.logits)
	}
	if logits.axis != 0 {
		return nil, fmt.Errorf("output %q has the batch on axis %d; training needs it on the first axis", t.logits,
			logits.axis)
	}
	if !logits.wants && !form.evaluates {
		if len(t.params) > 0 {
			return nil, fmt.Errorf("train %s: the model has no weights of that kind", t.subset.what)
		}
		return nil, errors.New("the model has no weights to train")
	}
	return b.a.finish(logits.node)
}

// emit emits what a node computes, if it is the one among the nodes of its layer that
// stands for the layer.
func (b *builder[T]) emit(n *onnxio.Node) error {
	switch f, c := b.t.factors[n], b.t.chains[n]; {
	case f != nil && n == f.sum:
		return emitFactored(b, f)
	case f == nil && c != nil && n == c.Nodes[0]:
		return emitLocal(b, c)
	case f != nil || c != nil:
		return nil
	}
	return emitterOf[T](operatorOf(n))(&node[T]{n, b.t.model.Opset(""), b})
}
