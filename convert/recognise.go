package convert

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// Recognised says which product of an eFCN without a record is a layer of its CNN.
type Recognised struct {
	Layer  string `json:"layer"`  // its node in the CNN
	Node   string `json:"node"`   // the product in the eFCN
	Weight string `json:"weight"` // its matrix, an initializer there
	By     string `json:"by"`     // "map", "name" or "shape"
}

// UnrecognisedError says which layers of a CNN could not be told among the products of an
// eFCN without a record.
type UnrecognisedError struct {
	Layers   []string // nodes of the CNN, with the sizes of their matrices
	Products []string // what is left in the eFCN, in the same form
}

func (e *UnrecognisedError) Error() string {
	text := fmt.Sprintf("it has no record, and neither name nor shape says which product is %s",
		strings.Join(e.Layers, ", "))
	if len(e.Products) == 0 {
		return text + "; there is no other product with a constant matrix"
	}
	return text + "; there are " + strings.Join(e.Products, ", ")
}

// Recognise makes up for the record of an eFCN whose metadata is gone, such as a tool
// leaves that reads and writes ONNX: it returns a copy of efcn with a record, for
// [record.Measure], the maps that [Embedding] would return, and what it took for what.
//
// Every linear layer of cnn that has a kernel is looked for among the Gemm and MatMul of
// efcn with a constant matrix in dense form: by names, which has the node, or the matrix, of
// efcn by the name of the node of cnn; else by the words of the names, "conv1/Conv.weight"
// being "/conv1/Conv"; else by the size of the matrix, where one layer and one product are
// left that have it. What stays open is an *UnrecognisedError. The CNN has to be converted
// with default options; one that cannot be is a *CNNError.
func Recognise(efcn, cnn *onnxio.Model, names map[string]string) (
	*onnxio.Model, map[string]*affine.Map, []Recognised, error,
) {
	o := Options{Layout: record.Dense, InputShapes: make(map[string][]int64)}
	for _, v := range cnn.Graph.FeedInputs() {
		for _, w := range efcn.Graph.FeedInputs() {
			if w.Name == v.Name && len(w.Type.Shape) == len(v.Type.Shape) {
				o.InputShapes[v.Name] = dimensions(w)
			}
		}
	}
	plan, err := NewPlan(cnn, o)
	if err != nil {
		return nil, nil, nil, &CNNError{err}
	}
	out := efcn.Clone()
	r := &recogniser{names: names, graph: out.Graph, products: denseProducts(out.Graph)}
	for _, l := range plan.Layers {
		m, _ := l.weights.(*affine.Map)
		r.layers = append(r.layers, &sought{Layer: l, weights: m})
	}
	if err := r.match(); err != nil {
		return nil, nil, nil, err
	}
	rec := record.Record{}
	maps := make(map[string]*affine.Map)
	var found []Recognised
	for _, l := range r.layers {
		if l.weights == nil {
			continue
		}
		entry := l.Layer.Layer
		entry.Layout, entry.Bias = record.Dense, l.is.bias
		if entry.Weight, err = r.matrix(l.is); err != nil {
			return nil, nil, nil, err
		}
		rec.Layers = append(rec.Layers, entry)
		maps[l.Node] = l.weights
		found = append(found, Recognised{Layer: l.Node, Node: l.is.node.Label(), Weight: l.is.weight.Name, By: l.by})
	}
	return out, maps, found, rec.Write(out)
}

// dimensions are those of an input, 0 where one is open.
func dimensions(v *onnxio.ValueInfo) []int64 {
	dims := make([]int64, len(v.Type.Shape))
	for i, d := range v.Type.Shape {
		dims[i] = d.Value
	}
	return dims
}

// sought is a layer of the CNN and, once it is found, which product it is.
type sought struct {
	*Layer
	weights *affine.Map // nil of a layer without a kernel, which is not measured
	is      *product
	by      string
}

// product is a Gemm or MatMul with a constant matrix.
type product struct {
	node       *onnxio.Node
	weight     *onnxio.Tensor
	rows, cols int64  // outputs and inputs
	transposed bool   // weight is [inputs, outputs]
	bias       string // initializer, "" where there is none
	taken      bool
}

// recogniser pairs layers with products.
type recogniser struct {
	names    map[string]string
	graph    *onnxio.Graph
	layers   []*sought
	products []*product
}

// match pairs them: by the map that is given, by names, by sizes.
func (r *recogniser) match() error {
	if err := r.checkNames(); err != nil {
		return err
	}
	for _, rule := range []struct {
		by   string
		same func(l *sought, p *product) bool
	}{
		{"map", func(l *sought, p *product) bool {
			name := r.names[l.Node]
			return name != "" && (p.node.Label() == name || p.weight.Name == name)
		}},
		{"name", func(l *sought, p *product) bool {
			want := words(l.Node)
			return want != "" && (words(p.node.Name) == want || words(p.weight.Name) == want)
		}},
		{"shape", func(*sought, *product) bool { return true }},
	} {
		r.pair(rule.by, rule.same)
	}
	open := &UnrecognisedError{}
	for _, l := range r.layers {
		if l.is == nil && l.weights != nil {
			open.Layers = append(open.Layers, fmt.Sprintf("%s (%d×%d)", l.Node, l.Rows, l.Cols))
		}
	}
	if len(open.Layers) == 0 {
		return nil
	}
	for _, p := range r.products {
		if !p.taken {
			open.Products = append(open.Products, fmt.Sprintf("%s (%d×%d)", p.node.Label(), p.rows, p.cols))
		}
	}
	return open
}

// checkNames refuses a map of names that says nothing of the two models.
func (r *recogniser) checkNames() error {
	for layer, name := range r.names {
		if !slices.ContainsFunc(r.layers, func(l *sought) bool { return l.Node == layer && l.weights != nil }) {
			return &CNNError{fmt.Errorf("it has no linear layer %q with a kernel", layer)}
		}
		i := slices.IndexFunc(r.products, func(p *product) bool { return p.node.Label() == name || p.weight.Name == name })
		if i < 0 {
			return fmt.Errorf("it has no product %q with a constant dense matrix", name)
		}
		for _, l := range r.layers {
			if p := r.products[i]; l.Node == layer && (l.Rows != p.rows || l.Cols != p.cols) {
				return fmt.Errorf("%q is %d×%d, and layer %q of the CNN is %d×%d", name, p.rows, p.cols, layer, l.Rows,
					l.Cols)
			}
		}
	}
	return nil
}

// pair takes each layer that is still sought for the one product of its size that is the
// same by a rule, where it is the only layer that this product is the same as.
func (r *recogniser) pair(by string, same func(*sought, *product) bool) {
	fits := func(l *sought, p *product) bool {
		return l.is == nil && !p.taken && l.Rows == p.rows && l.Cols == p.cols && same(l, p)
	}
	type match struct {
		l *sought
		p *product
	}
	var found []match
	for _, l := range r.layers {
		var of []*product
		for _, p := range r.products {
			if fits(l, p) {
				of = append(of, p)
			}
		}
		if len(of) != 1 {
			continue
		}
		rivals := 0
		for _, other := range r.layers {
			if fits(other, of[0]) {
				rivals++
			}
		}
		if rivals == 1 {
			found = append(found, match{l, of[0]})
		}
	}
	for _, m := range found { // at the end, as a rule does not depend on the order of layers
		m.l.is, m.l.by, m.p.taken = m.p, by, true
	}
}

// words are the letters and digits of a name in lower case, without what exporters put
// behind a layer's name.
func words(name string) string {
	separates := func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }
	all := strings.FieldsFunc(strings.ToLower(name), separates)
	for len(all) > 1 && slices.Contains([]string{"weight", "gemm", "matmul", "linear"}, all[len(all)-1]) {
		all = all[:len(all)-1]
	}
	return strings.Join(all, " ")
}

// denseProducts returns the products of a graph with a constant matrix, in order.
func denseProducts(g *onnxio.Graph) []*product {
	links := g.Links()
	var all []*product
	for _, n := range g.Nodes {
		w := g.Initializer(n.Input(1))
		if w == nil || w.Type != onnxio.Float32 || len(w.Dims) != 2 {
			continue
		}
		p := &product{node: n, weight: w}
		switch n.OpType {
		case "Gemm":
			transA, errA := n.Int("transA", 0)
			transB, errB := n.Int("transB", 0)
			alpha, errAlpha := n.Float("alpha", 1)
			beta, errBeta := n.Float("beta", 1)
			if errA != nil || errB != nil || errAlpha != nil || errBeta != nil || transA != 0 || alpha != 1 || beta != 1 {
				continue
			}
			p.transposed = transB == 0
			p.bias = constantBias(g, n.Input(2))
		case "MatMul":
			p.transposed = true
			if add := links.SoleReader(n.Output(0)); add != nil && add.OpType == "Add" {
				p.bias = constantBias(g, add.Input(0)) + constantBias(g, add.Input(1)) // one is the product
			}
		default:
			continue
		}
		p.rows, p.cols = w.Dims[0], w.Dims[1]
		if p.transposed {
			p.rows, p.cols = p.cols, p.rows
		}
		all = append(all, p)
	}
	return all
}

// constantBias returns name if it is an initializer, else "".
func constantBias(g *onnxio.Graph, name string) string {
	if g.Initializer(name) == nil {
		return ""
	}
	return name
}

// matrix returns the name of the matrix of a product as a record has it, [outputs, inputs]:
// its own, or that of a transposed one that is added to the graph.
func (r *recogniser) matrix(p *product) (string, error) {
	if !p.transposed {
		return p.weight.Name, nil
	}
	in, err := onnxio.Floats[float32](p.weight)
	if err != nil {
		return "", err
	}
	out := make([]float32, len(in))
	for i := range p.rows {
		for j := range p.cols {
			out[i*p.cols+j] = in[j*p.rows+i]
		}
	}
	t := onnxio.NewTensor(r.graph.Names().Free(p.weight.Name+"/transposed"), []int64{p.rows, p.cols}, out)
	r.graph.Initializers = append(r.graph.Initializers, t)
	return t.Name, nil
}
