package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Parting is where two models part: the first values that do not agree, the last
// ones before them that do, and what either model does in between.
type Parting struct {
	Precision string `json:"precision"`  // Float64 or Float32
	Value     string `json:"cnn_value"`  // of the CNN
	Other     string `json:"efcn_value"` // of the eFCN
	Distance         // in the batch that shows it, both on the values in After
	// After are the values that agree which Value and Other are computed from.
	After []Match `json:"after"`
	// Nodes are those of the CNN between After and Value, OtherNodes those of the
	// eFCN between After and Other.
	Nodes      []Step `json:"cnn_nodes"`
	OtherNodes []Step `json:"efcn_nodes"`
	// Differences say, where the nodes are alike, in what they are not.
	Differences []string `json:"differences"`
	// Row is the sum that makes the element, where both are sums over one value.
	Row *Row `json:"row,omitempty"`
}

// Match is a value that both models have.
type Match struct {
	CNN  string `json:"cnn"`
	EFCN string `json:"efcn"`
}

// Step is a node by its label, operator and first output.
type Step struct {
	Node  string `json:"node"`
	Op    string `json:"op"`
	Value string `json:"value"`
}

// region is what lies between values that agree and one that does not.
type region struct {
	nodes []*onnxio.Node // in the order of the graph
	cut   []string       // the values that agree, sorted; of the CNN
}

// between walks back from a value to those of which stop gives the name that
// they have in the CNN.
func (n *net) between(value string, stop func(string) (string, bool)) region {
	var r region
	seen := make(map[string]bool)
	within := make(map[*onnxio.Node]bool)
	var back func(name string)
	back = func(name string) {
		if name == "" || seen[name] || n.constants[name] != nil {
			return
		}
		seen[name] = true
		if a, ok := stop(name); ok && name != value {
			r.cut = append(r.cut, a)
			return
		}
		if node := n.Producer(name); node != nil && !within[node] {
			within[node] = true
			for _, in := range node.Inputs {
				back(in)
			}
		}
	}
	back(value)
	for _, node := range n.graph.Nodes {
		if within[node] {
			r.nodes = append(r.nodes, node)
		}
	}
	slices.Sort(r.cut)
	r.cut = slices.Compact(r.cut)
	return r
}

// outputsOf lists what the nodes of a region compute, but for what only has
// another shape than what it is computed from.
func (r region) outputsOf() []string {
	var names []string
	for _, node := range r.nodes {
		for _, name := range node.Outputs {
			if name != "" && !operatorOf(node).reshapes {
				names = append(names, name)
			}
		}
	}
	return names
}

// part finds where the models part before an output or a value of the CNN that
// differs, by running the batch again that showed it. f is that batch.
func (c *comparison[T]) part(ctx context.Context, target string, f feed) (*Parting, error) {
	other := c.heldName(target)
	if other == "" {
		return nil, nil
	}
	agree := func(a string) bool { return c.agreed(a) && a != target }
	stopA := func(name string) (string, bool) { return name, agree(name) || c.cnn.Producer(name) == nil }
	inputs := make(map[string]string)
	for a, b := range c.signature.inputs {
		inputs[b] = a
	}
	stopB := func(name string) (string, bool) {
		if a := inputs[name]; a != "" {
			return a, true
		}
		a, ok := c.holds(name)
		return a, ok && agree(a)
	}
	whole := [2]region{c.cnn.between(target, stopA), c.efcn.between(other, stopB)}
	run, err := c.again(ctx, f, whole[1], agree)
	if err != nil {
		return nil, err
	}
	if c.record == nil {
		target, other = c.counterparts(whole, run, target, other, stopA, stopB)
	}
	p := &Parting{Precision: c.bounder.name, Value: target, Other: other, After: []Match{}, Differences: []string{}}
	a, b := c.cnn.between(target, stopA), c.efcn.between(other, stopB)
	for _, name := range a.cut {
		p.After = append(p.After, Match{name, c.heldName(name)})
	}
	p.Nodes, p.OtherNodes = steps(a), steps(b)
	p.Differences = c.differences(a, b)
	own, theirs := run.first[target], run.second[other]
	if own == nil || theirs == nil || own.Len() != theirs.Len() || own.Type.IsFloat() != theirs.Type.IsFloat() {
		return p, nil
	}
	bound, err := run.bounds.of(target)
	if err != nil {
		return nil, err
	}
	measure(&p.Distance, own, theirs, bound, f.first)
	if len(p.At) > 0 {
		p.Row, err = c.row(p, run, f.first, stopA, stopB)
	}
	return p, err
}

// agreed reports whether a value of the CNN agrees with the eFCN's.
func (c *comparison[T]) agreed(a string) bool {
	d := c.distance[a]
	return d != nil && d.Over == 0 && (c.record != nil || c.verifier.agreed[a])
}

// heldName is what the eFCN calls a value of the CNN; "" if it has none.
func (c *comparison[T]) heldName(a string) string {
	if b, ok := c.signature.inputs[a]; ok {
		return b
	}
	if b, ok := c.signature.outputs[a]; ok {
		return b
	}
	node := c.held[a]
	if node == nil {
		return ""
	}
	for _, name := range node.Outputs {
		if v, ok := c.holds(name); ok && v == a {
			return name
		}
	}
	return ""
}

func steps(r region) []Step {
	list := []Step{}
	for _, node := range r.nodes {
		list = append(list, Step{node.Label(), node.QualifiedOp(), node.Output(0)})
	}
	return list
}

// rerun is one batch run again: the CNN's values with their bounds, and the
// eFCN's in a region, computed from the CNN's.
type rerun[T kernel.Float] struct {
	bounds *bounds
	first  map[string]*engine.Tensor[T]
	second map[string]*engine.Tensor[T]
	shapes map[string][]int // of all values of the eFCN
}

// again runs a batch once more and keeps what the eFCN computes in a region.
func (c *comparison[T]) again(ctx context.Context, f feed, r region, agree func(string) bool) (*rerun[T], error) {
	feeds := at[T](f)
	values := maps.Clone(feeds)
	_, err := c.engine.Observe(ctx, feeds, func(name string, v *engine.Tensor[T]) error {
		values[name] = keep(v)
		return nil
	})
	if err != nil {
		return nil, named(c.cnn.model, err)
	}
	run := &rerun[T]{
		first: values,
		bounds: &bounds{
			bounder: c.bounder, values: activationsOf[T](values), known: make(map[string][]float64),
			reset: make(map[string]bool),
		},
		second: make(map[string]*engine.Tensor[T]), shapes: make(map[string][]int),
	}
	inRegion := make(map[string]bool)
	for _, node := range r.nodes {
		for _, name := range node.Outputs {
			inRegion[name] = true
		}
	}
	second := feedsOf(c.signature, feeds)
	for name, v := range second {
		run.shapes[name] = v.Shape
	}
	err = c.runner.run(ctx, pass[T]{second, func(name string, v *engine.Tensor[T]) (*engine.Tensor[T], error) {
		run.shapes[name] = slices.Clone(v.Shape)
		if inRegion[name] {
			run.second[name] = keep(v)
		}
		a, ok := c.holds(name)
		own := values[a]
		if !ok || own == nil || !agree(a) || own.Len() != v.Len() || !c.options.holdsAs(own.Type, v.Type) {
			return v, nil
		}
		run.bounds.reset[a] = true
		return standIn(own, v), nil
	}})
	return run, err
}

// candidate is a pair of values that may stand for each other.
type candidate struct {
	a, b  string
	apart float64
	alike bool // the same operator computes them
}

// unrelated is how far apart, on average, two values have to be for their
// distance to say nothing.
const unrelated = 0.5

// nearer reports whether a pair is more likely to stand for each other than another.
func (p candidate) nearer(q candidate) bool {
	if p.apart > unrelated && q.apart > unrelated {
		return p.alike && !q.alike
	}
	return p.apart < q.apart
}

// counterparts picks the first values that do not agree. Values of the two
// regions may stand for each other if they have one size and are computed from
// the same values that agree; they do if each is nearest to the other. Without
// any, they are target and other.
func (c *comparison[T]) counterparts(whole [2]region, run *rerun[T], target, other string,
	stopA, stopB func(string) (string, bool),
) (a, b string) {
	theirs := whole[1].outputsOf()
	cuts := make(map[string][]string)
	for _, b := range theirs {
		cuts[b] = c.efcn.between(b, stopB).cut
	}
	ofA, ofB := make(map[string]candidate), make(map[string]candidate)
	for _, a := range whole[0].outputsOf() {
		own := run.first[a]
		if own == nil || !own.Type.IsFloat() {
			continue
		}
		cut := c.cnn.between(a, stopA).cut
		for _, b := range theirs {
			v := run.second[b]
			if v == nil || !v.Type.IsFloat() || own.Len() != v.Len() || !slices.Equal(cuts[b], cut) {
				continue
			}
			p := candidate{a, b, apart(own, v), c.cnn.Producer(a).QualifiedOp() == c.efcn.Producer(b).QualifiedOp()}
			if best, ok := ofA[a]; !ok || p.nearer(best) {
				ofA[a] = p
			}
			if best, ok := ofB[b]; !ok || p.nearer(best) {
				ofB[b] = p
			}
		}
	}
	for _, a := range whole[0].outputsOf() {
		if p, ok := ofA[a]; ok && ofB[p.b].a == a {
			return p.a, p.b
		}
	}
	return target, other
}

// apart is the mean distance of two values, as a part of the mean magnitude of
// the first.
func apart[T kernel.Float](a, b *engine.Tensor[T]) float64 {
	diff, size := 0.0, 0.0
	for i, x := range a.F {
		d := differ(a, b, i)
		if math.IsInf(d, 1) {
			d = math.Abs(float64(x)) // as far as from 0
		}
		if math.IsNaN(d) || math.IsInf(d, 1) {
			continue
		}
		diff += d
		if m := math.Abs(float64(x)); !math.IsNaN(m) && !math.IsInf(m, 1) {
			size += m
		}
	}
	if size == 0 {
		return diff
	}
	return diff / size
}

// differences says in what the nodes of two regions differ, where those are the
// same operators one by one, or one operator each.
func (c *comparison[T]) differences(a, b region) []string {
	texts := []string{}
	if len(a.nodes) != len(b.nodes) || len(a.nodes) == 0 {
		return texts
	}
	for i, node := range a.nodes {
		if node.QualifiedOp() != b.nodes[i].QualifiedOp() {
			if len(a.nodes) == 1 {
				texts = append(texts, fmt.Sprintf("operator %s and %s", node.QualifiedOp(), b.nodes[i].QualifiedOp()))
			}
			return texts
		}
	}
	for i, node := range a.nodes {
		twin := b.nodes[i]
		for _, name := range attributeNames(node, twin) {
			if x, y := attributeText(node.Attr(name)), attributeText(twin.Attr(name)); x != y {
				texts = append(texts, fmt.Sprintf("%s of %q and %q: %s and %s", name, node.Label(), twin.Label(), x, y))
			}
		}
		for k := range max(len(node.Inputs), len(twin.Inputs)) {
			x, y := node.Input(k), twin.Input(k)
			t, u := c.cnn.constants[x], c.efcn.constants[y]
			switch {
			case (x == "") != (y == ""):
				texts = append(texts, fmt.Sprintf("input %d of %q and %q: %s and %s", k, node.Label(), twin.Label(),
					inputText(x), inputText(y)))
			case t != nil && u != nil:
				if text := constantsApart(t, u, c.bounder.narrow); text != "" {
					texts = append(texts,
						fmt.Sprintf("input %d of %q and %q, constants %q and %q: %s", k, node.Label(), twin.Label(), x,
							y, text))
				}
			}
		}
	}
	return texts
}

func inputText(name string) string {
	if name == "" {
		return "none"
	}
	return fmt.Sprintf("%q", name)
}

// constantsApart says how two constants differ; "" if they do not, or cannot be read. In the narrow
// type of the second model they differ beyond what rounding to that is.
func constantsApart(t, u *onnxio.Tensor, to *narrow) string {
	if !slices.Equal(t.Dims, u.Dims) {
		return fmt.Sprintf("shapes %v and %v", t.Dims, u.Dims)
	}
	if to != nil && t.Type != u.Type && t.Type.IsFloat() && u.Type.IsFloat() {
		return to.constantsApart(t, u)
	}
	x, errX := elements(t)
	y, errY := elements(u)
	if errX != nil || errY != nil || t.Type != u.Type {
		return fmt.Sprintf("types %s and %s", t.Type, u.Type)
	}
	first, n := -1, 0
	for i := range x {
		if x[i] != y[i] {
			if n++; first < 0 {
				first = i
			}
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d elements differ, the first at %v: %s and %s", n, len(x), unravel(first, asShape(t.Dims)),
		bitsText(t.Type, x[first]), bitsText(u.Type, y[first]))
}

// row puts the sums side by side that make the element of a parting.
func (c *comparison[T]) row(p *Parting, run *rerun[T], first int,
	stopA, stopB func(string) (string, bool),
) (*Row, error) {
	values := run.first
	shapes := make(map[string][]int)
	for name, v := range values {
		shapes[name] = v.Shape
	}
	own := values[p.Value]
	if len(own.Shape) == 0 || own.Shape[0] == 0 {
		return nil, nil
	}
	r := 0
	for i, k := range p.At[1:] {
		r = r*own.Shape[i+1] + k
	}
	cnn, err := c.padded()
	if err != nil {
		return nil, err
	}
	a, errA := cnn.affineRow(p.Value, r, shapes, func(name string) bool { _, ok := stopA(name); return ok })
	b, errB := c.efcn.affineRow(p.Other, r, run.shapes, func(name string) bool { _, ok := stopB(name); return ok })
	if err := errors.Join(errA, errB); a == nil || b == nil || err != nil {
		return nil, err
	}
	input, ok := stopB(c.efcn.back(b.input, stopB))
	if !ok || cnn.origin(input) != cnn.origin(a.input) {
		return nil, nil
	}
	x := values[a.input]
	if x == nil || !x.Type.IsFloat() || len(x.Shape) == 0 || x.Shape[0] == 0 {
		return nil, nil
	}
	each := len(x.F) / x.Shape[0]
	sample := make([]float64, each)
	for i := range sample {
		sample[i] = float64(x.F[(p.At[0]-first)*each+i])
	}
	return rowOf(a, b, sample, x.Shape[1:]), nil
}

// back follows a value through nodes that only reshape to one that stop names.
func (n *net) back(name string, stop func(string) (string, bool)) string {
	for {
		node := n.Producer(name)
		if _, ok := stop(name); ok || !n.passes(node) || node.Input(0) == "" {
			return name
		}
		name = node.Input(0)
	}
}
