package verify

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"unsafe"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// comparison runs two models at one precision and compares what they compute.
type comparison[T kernel.Float] struct {
	*verifier
	cnn           *net // the CNN as it is compared at this precision
	bounder       *bounder
	engine        observer[T] // of the CNN
	runner        *runner[T]  // of the eFCN
	holds         func(name string) (string, bool)
	held          map[string]*onnxio.Node // by value of the CNN: the eFCN's node
	distance      map[string]*Distance    // by value of the CNN
	outputs       []*outcome
	nonFinite     map[string]*FirstNonFinite // by model and kind
	steps         map[string]*NearStep       // by value of the CNN, end to end
	quantizedRows map[*quantizer]*QuantizedValue
	unjudged      string // why an output is left to the other engines
}

// compare runs both models on every batch and appends the outcome to the
// report.
func compare[T kernel.Float](ctx context.Context, v *verifier, cnn *net) error {
	c := &comparison[T]{
		verifier: v, cnn: cnn, holds: v.holds(cnn),
		distance: make(map[string]*Distance), nonFinite: make(map[string]*FirstNonFinite),
		steps: make(map[string]*NearStep), quantizedRows: make(map[*quantizer]*QuantizedValue),
	}
	c.held = heldBy(v.efcn, c.holds)
	c.bounder = &bounder{
		arithmetic: v.arithmetic(arithmeticOf[T]()), net: cnn,
		hidden:   func(name string) bool { return c.held[name] == nil },
		replaced: func(name string) bool { return v.efcn.embeds(c.held[name]) },
		abs:      make(map[string]*engine.Tensor[float64]),
		products: productsOf(cnn, v.record), quant: v.quant,
	}
	if !v.paired() {
		c.bounder.parameters = 0x1p-24
	}
	var size T
	feeds, why := v.fit(int64(unsafe.Sizeof(size)))
	if why != "" {
		v.skipped(c.bounder.name, why)
		return nil
	}
	c.runner = newRunner[T](v.efcn)
	c.runner.ran, c.runner.rounds = v.meter.tick, c.bounder.narrow != nil
	v.meter.begin(c.bounder.name, len(feeds)*(len(cnn.graph.Nodes)+len(v.efcn.graph.Nodes)))
	var err error
	for _, n := range []*net{v.efcn, cnn} { // of the first, only what it cannot run is asked
		if c.engine, err = newObserver[T](n); err != nil {
			return named(n.model, err)
		}
	}
	for _, out := range cnn.graph.Outputs {
		c.outputs = append(c.outputs, newOutcome(out.Name, c.bounder.name, v.options, v.report.words()))
	}
	for _, f := range feeds {
		if err := c.batch(ctx, f); err != nil {
			return err
		}
	}
	return c.conclude(ctx, feeds)
}

// batch compares the models on one batch.
func (c *comparison[T]) batch(ctx context.Context, f feed) error {
	feeds := at[T](f)
	values := maps.Clone(feeds)
	var results [2]map[string]*engine.Tensor[T]
	var err error
	results[0], err = c.engine.Observe(ctx, feeds, func(name string, v *engine.Tensor[T]) error {
		values[name] = keep(v)
		c.meter.tick()
		noteNonFinite(c, "cnn", c.cnn, name, v, f.first)
		return nil
	})
	if err != nil {
		return named(c.cnn.model, err)
	}
	second := feedsOf(c.signature, feeds)
	theirs := maps.Clone(second)
	stepped := make(map[string]*engine.Tensor[T])
	endToEnd := func(name string, v *engine.Tensor[T]) (*engine.Tensor[T], error) {
		if c.efcn.IsOutput(name) {
			theirs[name] = v
		}
		noteNonFinite(c, "efcn", c.efcn, name, v, f.first)
		if a, ok := c.holds(name); ok && stepped[a] == nil && operatorOf(c.cnn.Producer(a)).steps != nil {
			stepped[a] = keep(v)
		}
		return v, nil
	}
	layers := &bounds{
		bounder: c.bounder, values: activationsOf[T](values), known: make(map[string][]float64),
		reset: make(map[string]bool),
	}
	if err := c.runner.run(ctx, pass[T]{second, endToEnd},
		pass[T]{second, c.layerByLayer(f, values, layers)}); err != nil {
		return err
	}
	if results[1], err = c.outputsOf(theirs); err != nil {
		return err
	}
	if ran, ok := any(results).([2]map[string]*array); ok && c.options.ran != nil {
		if err := c.options.ran(f.arrays, ran[0], ran[1]); err != nil {
			return err
		}
	}
	total := &bounds{bounder: c.bounder, values: activationsOf[T](values), known: make(map[string][]float64)}
	if err := c.endToEnd(f, results, total); err != nil {
		return err
	}
	return c.atSteps(f, [2]map[string]*engine.Tensor[T]{values, stepped}, total)
}

// endToEnd compares the outputs of the two runs.
func (c *comparison[T]) endToEnd(f feed, results [2]map[string]*engine.Tensor[T], total *bounds) error {
	for _, o := range c.outputs {
		a, b := results[0][o.Name], results[1][o.Name]
		d, err := total.of(o.Name)
		if err != nil {
			return err
		}
		if total.loose[o.Name] && a.Type == b.Type && !slices.Equal(a.Shape, b.Shape) {
			o.Unbounded += int64(max(a.Len(), b.Len()))
			continue
		}
		if !slices.Equal(a.Shape, b.Shape) || !c.options.holdsAs(a.Type, b.Type) {
			o.mismatch = fmt.Sprintf("%s gives %s %v, %s %s %v", o.words.first, a.Type, a.Shape, o.words.second, b.Type,
				b.Shape)
			continue
		}
		measure(&o.Distance, a, b, d, f.first)
		figures(o, a, b, f.first)
	}
	return nil
}

// place names a value and the node of the CNN that computes it.
func place(value string, node *onnxio.Node) string {
	return placeText(value, node.Label(), node.QualifiedOp())
}

// layerByLayer looks at the eFCN node by node. Wherever it has computed a value of
// the CNN, that is compared and then replaced by the CNN's own, so that every
// node is given the activations that the CNN's nodes were given, and a
// difference is found where it arises.
//
// Of two models without a record, only a value within its bound is replaced.
func (c *comparison[T]) layerByLayer(f feed, values map[string]*engine.Tensor[T],
	b *bounds,
) func(string, *engine.Tensor[T]) (*engine.Tensor[T], error) {
	return func(name string, v *engine.Tensor[T]) (*engine.Tensor[T], error) {
		if z := c.quant.given(name); z != nil && values[z.value] != nil && values[z.value].Len() == v.Len() {
			return c.quantizedValue(z, f, values[z.value], v)
		}
		value, ok := c.holds(name)
		own := values[value]
		if !ok || own == nil || c.cnn.Producer(value) == nil || !c.options.holdsAs(own.Type, v.Type) {
			return v, nil
		}
		if own.Len() != v.Len() {
			if c.paired() {
				c.misshapen(value, own.Shape, v.Shape)
			}
			return v, nil
		}
		d, err := b.of(value)
		if err != nil {
			return nil, err
		}
		if !c.paired() && !c.verifier.agreed[value] {
			d = conclusive(own, d, b.nearSteps[value], b.conclusiveShare())
		}
		var here Distance
		measure(&here, own, v, d, f.first)
		if c.distance[value] == nil {
			c.distance[value] = &Distance{Exact: true}
		}
		c.distance[value].add(&here)
		if c.paired() || here.Over == 0 && here.Unbounded == 0 {
			b.reset[value] = true
			return standIn(own, v), nil
		}
		return v, nil
	}
}

// conclusive returns a bound with +Inf for what is too large to say anything about
// an element: see conclusiveShare. Of those near a step the height of that is the bound.
func conclusive[T kernel.Float](v *engine.Tensor[T], d []float64, near []int, share float64) []float64 {
	if d == nil || !v.Type.IsFloat() {
		return d
	}
	scales := sampleScales(v)
	out := slices.Clone(d)
	for i, limit := range d {
		if limit > share*scales[i*len(scales)/len(d)] {
			out[i] = math.Inf(1)
		}
	}
	for _, i := range near {
		out[i] = d[i]
	}
	return out
}

// noteNonFinite notes the first value of a model, in the order of the graph, that is not
// finite.
func noteNonFinite[T kernel.Float](c *comparison[T], model string, n *net, name string, v *engine.Tensor[T],
	first int,
) {
	for i, x := range v.F {
		kind := ""
		switch x := float64(x); {
		case math.IsNaN(x):
			kind = "NaN"
		case math.IsInf(x, 0):
			kind = "infinite"
		default:
			continue
		}
		node := n.Producer(name)
		known := c.nonFinite[model+kind]
		if node == nil || known != nil &&
			slices.Index(n.graph.Nodes, node) >= slices.Index(n.graph.Nodes, n.Producer(known.Value)) {
			continue
		}
		a := &FirstNonFinite{
			Model: model, Precision: c.bounder.name, Kind: kind, Value: name, Node: node.Label(),
			Op: node.QualifiedOp(), At: unravel(i, v.Shape),
		}
		if len(a.At) > 0 {
			a.At[0] += first
		}
		c.nonFinite[model+kind] = a
	}
}

// outputsOf returns the eFCN's outputs by their names in the CNN: values that it
// computed, inputs or constants.
func (c *comparison[T]) outputsOf(values map[string]*engine.Tensor[T]) (map[string]*engine.Tensor[T], error) {
	out := make(map[string]*engine.Tensor[T])
	for a, b := range c.signature.outputs {
		v, err := c.runner.input(values, b)
		if err != nil {
			return nil, named(c.efcn.model, err)
		}
		out[a] = v
	}
	return out, nil
}

// misshapen reports a value that has another size in the eFCN, once.
func (c *comparison[T]) misshapen(value string, want, got []int) {
	text := fmt.Sprintf("it has shape %v in the CNN and %v in the eFCN", want, got)
	for _, f := range c.report.Findings {
		if f.Check == c.bounder.name && f.Value == value {
			return
		}
	}
	c.report.find(c.finding("layer", value, text))
}

func (c *comparison[T]) finding(kind, value, text string) Finding {
	f := Finding{Check: c.bounder.name, Kind: kind, Value: value, Text: text}
	if node := c.verifier.cnn.Producer(value); node != nil {
		f.Node, f.Op = node.Label(), node.QualifiedOp()
	}
	return f
}

// conclude turns what was measured into findings and the check's outcome.
func (c *comparison[T]) conclude(ctx context.Context, feeds []feed) error {
	r, name := c.report, c.bounder.name
	before := len(r.Findings)
	summary, first := c.concludeValues()
	summary += c.concludeQuantized()
	c.concludeSteps()
	var faults []Finding
	for _, o := range c.outputs {
		r.Outputs = append(r.Outputs, o.finish())
		for _, text := range c.faults(o) {
			faults = append(faults, c.finding("output", o.Name, text))
			if first == "" && o.mismatch == "" {
				first = o.Name
			}
		}
	}
	if len(r.Findings) == before && len(faults) == 0 {
		first = "" // a tolerance allows for it
	}
	if first != "" && r.Parting == nil && c.quant == nil {
		var err error
		if r.Parting, err = c.partAt(ctx, first, feeds); err != nil {
			return err
		}
	}
	if text := c.overflow(); text != "" && len(r.Findings)+len(faults) > before {
		at := c.nonFinite["efcninfinite"]
		r.find(Finding{Check: name, Kind: overflowKind, Node: at.Node, Op: at.Op, Value: at.Value, Text: text})
	}
	for _, f := range faults {
		if p := r.Parting; p != nil && p.Precision == name {
			f.Text += "; the first value where the two part is " + place(p.Value, c.cnn.Producer(p.Value))
			if p.Other != p.Value {
				f.Text += fmt.Sprintf(", in %s %s", r.words().second, place(p.Other, c.efcn.Producer(p.Other)))
			}
		}
		r.find(f)
	}
	for _, key := range slices.Sorted(maps.Keys(c.nonFinite)) {
		r.NonFinite = append(r.NonFinite, *c.nonFinite[key])
	}
	check := Check{Name: name, Status: OK}
	for _, o := range c.outputs {
		check.Summary += fmt.Sprintf("%s: largest |difference| %.3g of %.3g; ", o.Name, float64(o.Max),
			float64(o.Scale))
	}
	check.Summary += summary
	if c.unjudged != "" {
		check.Status = Skipped
		check.Summary += "; not judged: " + c.unjudged
	}
	if len(r.Findings) > before {
		check.Status = Failed
		for _, o := range c.outputs {
			c.failing(&o.Distance)
		}
		for _, d := range c.distance {
			c.failing(d)
		}
	}
	r.Checks = append(r.Checks, check)
	return nil
}

// concludeValues turns what was measured layer by layer into findings. first is the first value
// that is beyond its bound, "" if there is none.
func (c *comparison[T]) concludeValues() (summary, first string) {
	r, worst, exact, compared := c.report, 0.0, 0, 0
	for _, node := range c.verifier.cnn.graph.Nodes {
		for _, value := range node.Outputs {
			d := c.distance[value]
			if d == nil {
				continue
			}
			c.note(node, value, d)
			if d.Exact {
				exact++
			}
			compared++
			worst = math.Max(worst, float64(d.Ratio))
			if d.Over > 0 && first == "" {
				first = value
			}
			if d.Over > 0 && (c.paired() || !c.options.tolerance() && !c.cnn.IsOutput(value)) {
				r.find(c.finding("layer", value, d.over(value, r.words())))
			}
		}
	}
	summary = fmt.Sprintf(
		"%d values layer by layer, %d of them exactly equal, the largest difference %.3g of its bound", compared, exact,
		worst)
	return summary, first
}

// partAt finds the parting before a value of the CNN that differs.
func (c *comparison[T]) partAt(ctx context.Context, value string, feeds []feed) (*Parting, error) {
	distances := []*Distance{c.distance[value]}
	for _, o := range c.outputs {
		if o.Name == value {
			distances = append(distances, &o.Distance)
		}
	}
	for _, d := range distances {
		if d == nil || len(d.At) == 0 {
			continue
		}
		for _, f := range feeds {
			if d.At[0] >= f.first && d.At[0] < f.first+f.size {
				return c.part(ctx, value, f)
			}
		}
	}
	return nil, nil
}

// failing notes the samples that showed a fault.
func (c *comparison[T]) failing(d *Distance) {
	r := c.report
	r.Failing = append(r.Failing, d.samples...)
	slices.Sort(r.Failing)
	r.Failing = slices.Compact(r.Failing)
}

// note puts the distance of a value into its line of the report.
func (c *comparison[T]) note(node *onnxio.Node, value string, d *Distance) {
	v := c.values[value]
	if v == nil {
		v = &Value{Name: value, Other: c.heldName(value), Node: node.Label(), Op: node.QualifiedOp()}
		c.values[value] = v
	}
	if c.bounder.name == Float64 {
		v.Float64 = d
	} else {
		v.Float32 = d
	}
}

// faults says what is wrong with an output.
func (c *comparison[T]) faults(o *outcome) []string {
	if o.mismatch != "" {
		return []string{o.mismatch}
	}
	var texts []string
	if c.options.tolerance() {
		if text := o.beyond(); text != "" {
			texts = append(texts, text)
		}
		if !c.paired() {
			return texts // the tolerance is what the caller calls equal
		}
	}
	if o.Over > 0 {
		texts = append(texts, o.over(o.Name, o.words))
	}
	if c.paired() {
		return texts
	}
	// Bounds that start again at every value that agrees are closer than those
	// that add up from the inputs on.
	d := c.distance[o.Name]
	switch {
	case d == nil:
	case d.Over > 0 && o.Over == 0:
		texts = append(texts, d.over(o.Name, o.words))
	case d.Unbounded > 0 && !d.Exact:
		text := fmt.Sprintf("%d elements differ, by at most %.3g, and no bound on their rounding is known that says anything",
			d.Unbounded, float64(d.Max))
		if len(c.options.Engines) > 0 && len(c.verifier.cnn.lacks)+len(c.efcn.lacks) > 0 {
			c.unjudged = text + ", as the embedded engine lacks some of the nodes; the other engines decide"
			return texts
		}
		texts = append(texts, text+"; a tolerance would decide")
	}
	return texts
}
