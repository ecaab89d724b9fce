package restore

import (
	"errors"
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// content is what one or more values of an eFCN hold, in row-major order: a
// batch of vectors. The CNN has it in one or several shapes.
type content struct {
	dims  []int64 // the shape, without the batch axis, that operators prefer
	forms []form  // the shapes that the CNN has it in so far
}

type form struct {
	dims []int64
	name string
}

// view is a value of the eFCN: a content in a shape.
type view struct {
	*content
	dims []int64
}

// restorer gives the values of an eFCN their axes again, node by node. A
// Reshape or Flatten in the eFCN is only another view of the same content; one
// is made in the CNN where an operator needs a shape that is not there yet.
type restorer struct {
	efcn   *onnxio.Model
	info   *shape.Info
	out    *onnxio.Model
	batch  onnxio.Dim
	consts map[string]*onnxio.Tensor
	views  map[string]view
	alias  map[string]string          // by output: the input that a Reshape or Flatten views
	final  map[string][]string        // outputs of the graph that view a value
	links  *onnxio.Links              // of the eFCN
	layers map[*onnxio.Node]*restored // by the last node of the layer in the eFCN
	gone   map[*onnxio.Node]bool      // other nodes of layers
	names  onnxio.Names               // in use in the CNN
	shaped map[string]*onnxio.Tensor  // constants that were given another shape
}

// restored is an embedded layer that becomes an operator again.
type restored struct {
	a     *record.Matrix
	input string      // value of the eFCN
	m     *affine.Map // the projection
}

func newRestorer(efcn *onnxio.Model) (*restorer, error) {
	info, err := shape.Infer(efcn, shape.Options{Evaluate: constants.Evaluate})
	if err != nil {
		return nil, err
	}
	p := &restorer{
		efcn: efcn, info: info, out: efcn.Clone(),
		consts: make(map[string]*onnxio.Tensor), views: make(map[string]view),
		alias: make(map[string]string), final: make(map[string][]string),
		links:  efcn.Graph.Links(),
		layers: make(map[*onnxio.Node]*restored), gone: make(map[*onnxio.Node]bool),
		shaped: make(map[string]*onnxio.Tensor),
	}
	if p.batch, err = batchOf(efcn, info); err != nil {
		return nil, err
	}
	for _, t := range efcn.Graph.Initializers {
		p.consts[t.Name] = t
	}
	return p, nil
}

// batchOf returns the first axis of what the layers of an eFCN compute. An input of it
// need not have one: a temperature, say.
func batchOf(efcn *onnxio.Model, info *shape.Info) (onnxio.Dim, error) {
	rec, err := record.Read(efcn)
	if err != nil {
		return onnxio.Dim{}, err
	}
	if rec != nil {
		for _, l := range rec.Layers {
			if t, ok := info.Type(l.Output); ok && t.HasShape && len(t.Shape) > 0 {
				return t.Shape[0], nil
			}
		}
	}
	feeds := efcn.Graph.FeedInputs()
	if len(feeds) == 0 || len(feeds[0].Type.Shape) == 0 {
		return onnxio.Dim{}, errors.New("the graph has no input with a batch axis")
	}
	return feeds[0].Type.Shape[0], nil
}

// dims returns the shape of a value of the eFCN without its batch axis, if it
// is a batch and the shape is known.
func (p *restorer) dims(name string) ([]int64, bool) {
	t, ok := p.info.Type(name)
	if !ok || !t.HasShape || len(t.Shape) == 0 || t.Shape[0] != p.batch || p.consts[name] != nil {
		return nil, false
	}
	dims := make([]int64, 0, len(t.Shape)-1)
	for _, d := range t.Shape[1:] {
		if !d.Known() {
			return nil, false
		}
		dims = append(dims, d.Value)
	}
	return dims, true
}

// isView reports whether a node only gives its input another shape.
func (p *restorer) isView(n *onnxio.Node) bool {
	if n.Domain != "" || len(n.Outputs) != 1 {
		return false
	}
	switch n.OpType {
	case "Flatten", "Reshape", "Identity":
		in, a := p.dims(n.Input(0))
		out, b := p.dims(n.Outputs[0])
		return a && b && affine.Size(in) == affine.Size(out)
	default:
		return false
	}
}

// replace notes that the layer a becomes the operator that m is the map of.
func (p *restorer) replace(a *record.Matrix, m *affine.Map) error {
	var product *onnxio.Node
	for _, n := range p.links.Readers(a.Layer.Weight) {
		if product != nil || n.OpType != "Gemm" && n.OpType != "MatMul" {
			return fmt.Errorf("weights %q are used by %q (%s); want one Gemm or MatMul", a.Layer.Weight, n.Label(),
				n.OpType)
		}
		product = n
	}
	if product == nil {
		return fmt.Errorf("weights %q are used by no node", a.Layer.Weight)
	}
	if c := p.links.Producer(a.Layer.Weight); c != nil {
		p.gone[c] = true
	}
	l := &restored{a: a, m: m, input: product.Input(0)}
	last := product
	if product.Input(0) == a.Layer.Weight { // the local form
		var err error
		if last, l.input, err = p.localNodes(product, a.Layer.Bias); err != nil {
			return err
		}
		if a.Layer.Layout == record.Factored {
			if last, err = p.factorNodes(&a.Layer, last, l.input); err != nil {
				return err
			}
		}
	}
	p.layers[last] = l
	return nil
}

// localNodes finds the nodes of a layer in local form around its product: back
// to the Reshape of its input, and on to the Flatten or the Add of the bias.
func (p *restorer) localNodes(product *onnxio.Node, bias string) (last *onnxio.Node, input string, err error) {
	p.gone[product] = true
	strange := product.Errorf("the nodes around it are not those of a layer in local form")
	for at := p.links.Producer(product.Input(1)); ; at = p.links.Producer(at.Input(0)) {
		if at == nil || !slices.Contains([]string{"Gather", "Pad", "Transpose", "Reshape"}, at.OpType) {
			return nil, "", strange
		}
		p.gone[at] = true
		if at.OpType == "Reshape" {
			input = at.Input(0)
			break
		}
	}
	want := []string{"Transpose", "Flatten"}
	if bias != "" {
		want = append(want, "Add")
	}
	last = product
	for _, op := range want {
		next := p.links.Readers(last.Output(0))
		if len(next) != 1 || next[0].OpType != op {
			return nil, "", strange
		}
		last = next[0]
		p.gone[last] = true
	}
	delete(p.gone, last)
	return last, input, nil
}

// factorNodes finds the nodes of a factored layer that add U·(V·x) to its local form,
// whose last node is given, and returns the Add.
func (p *restorer) factorNodes(rec *record.Layer, local *onnxio.Node, input string) (*onnxio.Node, error) {
	strange := local.Errorf("what follows is not U·(V·x) added to it, as in a factored layer")
	isGemm := func(n *onnxio.Node, input, factor string) bool {
		return n != nil && n.OpType == "Gemm" && len(n.Inputs) == 2 && n.Input(0) == input && n.Input(1) == factor
	}
	right, left, sum := p.links.SoleReader(rec.Right), p.links.SoleReader(rec.Left), p.links.SoleReader(local.Output(0))
	if !isGemm(right, input, rec.Right) || !isGemm(left, right.Output(0), rec.Left) ||
		p.links.SoleReader(right.Output(0)) != left || sum == nil || p.links.SoleReader(left.Output(0)) != sum ||
		sum.OpType != "Add" {
		return nil, strange
	}
	for _, n := range []*onnxio.Node{local, right, left} {
		if p.links.IsOutput(n.Output(0)) {
			return nil, strange
		}
		p.gone[n] = true
	}
	return sum, nil
}

// model returns the CNN.
func (p *restorer) model() (*onnxio.Model, error) {
	g := p.out.Graph
	g.Nodes, g.ValueInfos = nil, nil
	p.out.Metadata = slices.DeleteFunc(p.out.Metadata, func(m onnxio.Prop) bool { return m.Key == record.Key })
	p.takeNames()
	for _, v := range p.efcn.Graph.FeedInputs() {
		if dims, ok := p.dims(v.Name); ok {
			p.views[v.Name] = view{&content{dims: dims, forms: []form{{dims, v.Name}}}, dims}
		}
	}
	for _, n := range p.efcn.Graph.Nodes {
		switch {
		case p.gone[n]:
		case p.layers[n] != nil:
			if err := p.layer(n, p.layers[n]); err != nil {
				return nil, err
			}
		case p.isView(n):
			dims, _ := p.dims(n.Outputs[0])
			p.views[n.Outputs[0]] = view{p.views[n.Input(0)].content, dims}
		default:
			p.node(n)
		}
	}
	for _, v := range g.Outputs {
		p.output(v.Name)
	}
	feeds := p.efcn.Graph.FeedInputs()
	g.Inputs = slices.DeleteFunc(g.Inputs, func(v *onnxio.ValueInfo) bool {
		return !slices.ContainsFunc(feeds, func(f *onnxio.ValueInfo) bool { return f.Name == v.Name })
	})
	g.Prune()
	info, err := shape.Infer(p.out, shape.Options{Evaluate: constants.Evaluate})
	if err != nil {
		return nil, fmt.Errorf("the projected CNN: %w", err)
	}
	for _, n := range g.Nodes {
		for _, name := range n.Outputs {
			t, ok := info.Type(name)
			isOutput := slices.ContainsFunc(g.Outputs, func(v *onnxio.ValueInfo) bool { return v.Name == name })
			if ok && t.Elem != onnxio.Undefined && !isOutput {
				g.ValueInfos = append(g.ValueInfos, &onnxio.ValueInfo{Name: name, Type: t})
			}
		}
	}
	if err := p.out.Check(); err != nil {
		return nil, fmt.Errorf("the projected CNN: %w", err)
	}
	return p.out, nil
}

// takeNames reserves the names that values keep, and finds out which values the
// outputs of the graph are views of.
func (p *restorer) takeNames() {
	for name := range p.consts {
		p.names.Take(name)
	}
	for _, v := range p.efcn.Graph.FeedInputs() {
		p.names.Take(v.Name)
	}
	for _, n := range p.efcn.Graph.Nodes {
		if p.isView(n) && p.layers[n] == nil && !p.gone[n] {
			p.alias[n.Outputs[0]] = n.Input(0)
			continue
		}
		if !p.gone[n] {
			p.names.Take(n.Outputs...)
		}
	}
	for _, v := range p.efcn.Graph.Outputs {
		p.names.Take(v.Name)
		name := v.Name
		for p.alias[name] != "" {
			name = p.alias[name]
		}
		p.final[name] = append(p.final[name], v.Name)
	}
}

// named returns what to call the value of the eFCN called name in that shape: as
// the output of the graph that has that content and shape, if there is one.
func (p *restorer) named(name string, dims []int64) string {
	outputs := p.final[name]
	for _, o := range outputs {
		if d, ok := p.dims(o); ok && slices.Equal(d, dims) {
			return o
		}
	}
	if slices.Contains(outputs, name) {
		return p.names.Free(name + "/nd")
	}
	return name
}

// define makes the value of the eFCN called name, which is there in the shape
// own, a content that the CNN has in the shape dims, and returns its name there.
func (p *restorer) define(name string, own, dims []int64) string {
	as := p.named(name, dims)
	p.views[name] = view{&content{dims: dims, forms: []form{{dims, as}}}, own}
	return as
}

// in returns the name of a content in a shape.
func (p *restorer) in(c *content, dims []int64) string {
	for _, f := range c.forms {
		if slices.Equal(f.dims, dims) {
			return f.name
		}
	}
	suffix := "/nd"
	if len(dims) == 1 {
		suffix = "/vec"
	}
	return p.reshape(c, dims, p.names.Free(c.forms[0].name+suffix))
}

// reshape makes the form of a content in a shape, under that name.
func (p *restorer) reshape(c *content, dims []int64, name string) string {
	from := c.forms[0].name
	n := &onnxio.Node{Inputs: []string{from}, Outputs: []string{name}}
	if len(dims) == 1 {
		n.Name, n.OpType, n.Attributes = name+"/flatten", "Flatten", []*onnxio.Attribute{onnxio.IntAttr("axis", 1)}
	} else {
		to := onnxio.NewTensor(p.names.Free(name+"/shape"), []int64{int64(len(dims) + 1)}, slices.Concat([]int64{0},
			dims))
		p.out.Graph.Initializers = append(p.out.Graph.Initializers, to)
		n.Name, n.OpType, n.Inputs = name+"/reshape", "Reshape", append(n.Inputs, to.Name)
	}
	p.add(n)
	c.forms = append(c.forms, form{dims, name})
	return name
}

func (p *restorer) add(n *onnxio.Node) { p.out.Graph.Nodes = append(p.out.Graph.Nodes, n) }

// layer puts the operator that a layer was into the CNN.
func (p *restorer) layer(last *onnxio.Node, l *restored) error {
	rec := &l.a.Layer
	x, ok := p.views[l.input]
	own, known := p.dims(last.Output(0))
	if !ok || !known || affine.Size(x.dims) != int64(l.a.Cols) {
		return last.Errorf("its input is not a batch of %d values", l.a.Cols)
	}
	n, weights, err := operatorOf(rec, l.m, p.efcn.Opset(""))
	if err != nil {
		return err
	}
	if n == nil {
		p.matrix(last, l, x, own)
		return nil
	}
	n.Metadata = last.Metadata
	n.Inputs = []string{p.in(x.content, rec.InputShape)}
	if weights != nil {
		n.Inputs = append(n.Inputs, p.tensor(weights))
		if rec.FactorFirst {
			slices.Reverse(n.Inputs)
		}
		if takesBias(n) && l.m.Bias != nil {
			n.Inputs = append(n.Inputs, p.tensor(onnxio.NewTensor(rec.Bias, []int64{int64(l.m.OutChannels)}, l.m.Bias)))
		}
	}
	dims := rec.OutputShape
	if of := operations[rec.Op].dims; of != nil {
		dims = of(rec)
	}
	n.Outputs = []string{p.define(last.Output(0), own, dims)}
	p.add(n)
	return nil
}

// matrix puts a layer into the CNN as a Gemm with the projected matrix.
func (p *restorer) matrix(last *onnxio.Node, l *restored, x view, own []int64) {
	rec := &l.a.Layer
	inputs := []string{p.in(x.content, []int64{int64(l.a.Cols)}), p.tensor(&onnxio.Tensor{
		Name: rec.Weight, Type: onnxio.Float32, Dims: []int64{int64(l.a.Rows), int64(l.a.Cols)},
		Data: onnxio.Generate(l.m.DenseBytes(), l.m.WriteDense),
	})}
	if bias := l.m.BiasVector(); bias != nil {
		inputs = append(inputs, p.tensor(onnxio.NewTensor(rec.Bias, []int64{int64(l.a.Rows)}, bias)))
	}
	p.add(&onnxio.Node{
		Name: rec.Node, OpType: "Gemm", Inputs: inputs,
		Outputs:    []string{p.define(last.Output(0), own, []int64{int64(l.a.Rows)})},
		Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)},
		Metadata:   last.Metadata,
	})
}

// tensor puts a constant in the place of the eFCN's of that name.
func (p *restorer) tensor(t *onnxio.Tensor) string {
	g := p.out.Graph
	g.Initializers = slices.DeleteFunc(g.Initializers, func(old *onnxio.Tensor) bool { return old.Name == t.Name })
	g.SparseInitializers = slices.DeleteFunc(g.SparseInitializers,
		func(old *onnxio.SparseTensor) bool { return old.Values.Name == t.Name })
	g.Initializers = append(g.Initializers, t)
	p.names.Take(t.Name)
	return t.Name
}
