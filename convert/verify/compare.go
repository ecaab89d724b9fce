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
	cnn      *net // the CNN as it is compared at this precision
	bounder  *bounder
	engine   *engine.Engine[T]    // of the CNN
	distance map[string]*Distance // by value of the CNN
	outputs  []*outcome
	// parted is the first value in the order of the CNN's graph, with node, that
	// is further apart than rounding from the inputs on explains; partedOrder is
	// its place.
	parted      string
	partedOrder int
	runner      *runner[T] // of the eFCN
}

// compare runs both models on every batch and appends the outcome to the
// report.
func compare[T kernel.Float](ctx context.Context, v *verifier, cnn *net) error {
	c := &comparison[T]{
		verifier: v, cnn: cnn, partedOrder: math.MaxInt,
		distance: make(map[string]*Distance),
	}
	held := heldBy(cnn, v.efcn)
	c.bounder = &bounder{
		arithmetic: arithmeticOf[T](), net: cnn,
		hidden:   func(name string) bool { return held[name] == nil },
		replaced: func(name string) bool { return v.efcn.embeds(held[name]) },
		abs:      make(map[string]*engine.Tensor[float64]),
	}
	if v.record == nil {
		c.bounder.parameters = 0x1p-24
	}
	var size T
	feeds, why := v.fit(int64(unsafe.Sizeof(size)))
	if why != "" {
		v.skipped(c.bounder.name, why)
		return nil
	}
	c.runner = newRunner[T](v.efcn)
	var err error
	for _, n := range []*net{v.efcn, cnn} { // of the first, only what it cannot run is asked
		if c.engine, err = engine.New[T](n.model); err != nil {
			return named(n.model, err)
		}
	}
	for _, out := range cnn.graph.Outputs {
		c.outputs = append(c.outputs, newOutcome(out.Name, c.bounder.name))
	}
	for _, f := range feeds {
		if err := c.batch(ctx, f); err != nil {
			return err
		}
	}
	c.conclude()
	return nil
}

// batch compares the models on one batch.
func (c *comparison[T]) batch(ctx context.Context, f feed) error {
	feeds := at[T](f)
	var values, results [2]map[string]*engine.Tensor[T]
	values[0], values[1] = maps.Clone(feeds), maps.Clone(feeds)
	var err error
	results[0], err = c.engine.Observe(ctx, feeds, func(name string, v *engine.Tensor[T]) error {
		values[0][name] = &engine.Tensor[T]{Type: v.Type, Shape: slices.Clone(v.Shape), F: slices.Clone(v.F), I: slices.Clone(v.I)}
		return nil
	})
	if err != nil {
		return named(c.cnn.model, err)
	}
	err = c.runner.run(ctx, feeds, func(name string, v *engine.Tensor[T]) (*engine.Tensor[T], error) {
		if c.efcn.outputs[name] || c.cnn.producer[name] != nil {
			values[1][name] = v
		}
		return v, nil
	})
	if err != nil {
		return err
	}
	if results[1], err = c.outputsOf(values[1]); err != nil {
		return err
	}
	if ran, ok := any(results).([2]map[string]*Array); ok && c.options.Ran != nil {
		if err := c.options.Ran(f.arrays, ran[0], ran[1]); err != nil {
			return err
		}
	}
	total := &bounds[T]{bounder: c.bounder, values: values[0], known: make(map[string][]float64)}
	if err := c.endToEnd(f, results, values[1], total); err != nil {
		return err
	}
	layers := &bounds[T]{bounder: c.bounder, values: values[0], known: make(map[string][]float64), reset: make(map[string]bool)}
	return c.layerByLayer(ctx, f, feeds, layers)
}

// endToEnd compares the outputs of the two runs, and finds where they part:
// the first value of the CNN that is further away than rounding explains.
func (c *comparison[T]) endToEnd(f feed, results [2]map[string]*engine.Tensor[T], efcn map[string]*engine.Tensor[T], total *bounds[T]) error {
	for _, o := range c.outputs {
		a, b := results[0][o.Name], results[1][o.Name]
		if !slices.Equal(a.Shape, b.Shape) || a.Type != b.Type {
			o.mismatch = fmt.Sprintf("the CNN gives %s %v, the eFCN %s %v", a.Type, a.Shape, b.Type, b.Shape)
			continue
		}
		d, err := total.of(o.Name)
		if err != nil {
			return err
		}
		measure(&o.Distance, a, b, d, f.first)
		figures(o, a, b, f.first)
	}
	order := 0
	for _, node := range c.cnn.graph.Nodes {
		for _, name := range node.Outputs {
			order++
			a, b := total.values[name], efcn[name]
			if order >= c.partedOrder || a == nil || b == nil || a.Len() != b.Len() || a.Type.IsFloat() != b.Type.IsFloat() {
				continue
			}
			d, err := total.of(name)
			if err != nil {
				return err
			}
			var at Distance
			if measure(&at, a, b, d, f.first); at.Over > 0 {
				c.parted, c.partedOrder = place(name, node), order
			}
		}
	}
	return nil
}

// place names a value and the node of the CNN that computes it.
func place(value string, node *onnxio.Node) string {
	return fmt.Sprintf("%q, computed by node %q (%s)", value, node.Label(), node.QualifiedOp())
}

// layerByLayer runs the eFCN node by node. Wherever it has computed a value of
// the CNN, that is compared and then replaced by the CNN's own, so that every
// node is given the activations that the CNN's nodes were given, and a
// difference is found where it arises.
//
// Of two models without a record, only a value within its bound is replaced:
// that two values have one name does not mean that they are to be the same.
func (c *comparison[T]) layerByLayer(ctx context.Context, f feed, feeds map[string]*engine.Tensor[T], b *bounds[T]) error {
	return c.runner.run(ctx, feeds, func(name string, v *engine.Tensor[T]) (*engine.Tensor[T], error) {
		value, ok := c.cnn.valueOf(name)
		own := b.values[value]
		if !ok || own == nil || c.cnn.producer[value] == nil || own.Type != v.Type {
			return v, nil
		}
		if own.Len() != v.Len() {
			if c.record != nil {
				c.misshapen(value, own.Shape, v.Shape)
			}
			return v, nil
		}
		d, err := b.of(value)
		if err != nil {
			return nil, err
		}
		var here Distance
		measure(&here, own, v, d, f.first)
		if c.distance[value] == nil {
			c.distance[value] = &Distance{Exact: true}
		}
		c.distance[value].add(&here)
		if c.record != nil || here.Over == 0 && here.Unbounded == 0 {
			b.reset[value] = true
			return &engine.Tensor[T]{Type: own.Type, Shape: v.Shape, F: own.F, I: own.I}, nil
		}
		return v, nil
	})
}

// outputsOf returns the eFCN's outputs: values that it computed, inputs or
// constants.
func (c *comparison[T]) outputsOf(values map[string]*engine.Tensor[T]) (map[string]*engine.Tensor[T], error) {
	out := make(map[string]*engine.Tensor[T])
	for _, o := range c.efcn.graph.Outputs {
		v, err := c.runner.input(values, o.Name)
		if err != nil {
			return nil, named(c.efcn.model, err)
		}
		out[o.Name] = v
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
	if node := c.verifier.cnn.producer[value]; node != nil {
		f.Node, f.Op = node.Label(), node.QualifiedOp()
	}
	return f
}

// conclude turns what was measured into findings and the check's outcome.
func (c *comparison[T]) conclude() {
	r, name := c.report, c.bounder.name
	before := len(r.Findings)
	worst, exact, compared, first := 0.0, 0, 0, ""
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
				first = place(value, node)
			}
			if d.Over > 0 && c.record != nil {
				r.find(c.finding("layer", value, d.over(value)))
			}
		}
	}
	if first != "" { // closer than a bound that adds up from the inputs on
		c.parted = first
	}
	for _, o := range c.outputs {
		r.Outputs = append(r.Outputs, o.finish())
		for _, text := range c.faults(o) {
			if c.parted != "" {
				text += "; the first value where the two part is " + c.parted
			}
			r.find(c.finding("output", o.Name, text))
		}
	}
	if c.record == nil && len(r.Findings) == before {
		worst = 0
		for _, d := range c.distance {
			if d.Unrelated = d.Over > 0; !d.Unrelated {
				worst = math.Max(worst, float64(d.Ratio))
			}
		}
	}
	check := Check{Name: name, Status: OK}
	for _, o := range c.outputs {
		check.Summary += fmt.Sprintf("%s: largest |difference| %.3g of %.3g; ", o.Name, float64(o.Max), float64(o.Scale))
	}
	check.Summary += fmt.Sprintf("%d values layer by layer, %d of them exactly equal, the largest difference %.3g of its bound", compared, exact, worst)
	if len(r.Findings) > before {
		check.Status = Failed
		for _, o := range c.outputs {
			c.failing(&o.Distance)
		}
		for _, d := range c.distance {
			if c.record != nil {
				c.failing(d)
			}
		}
	}
	r.Checks = append(r.Checks, check)
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
		v = &Value{Name: value, Node: node.Label(), Op: node.QualifiedOp()}
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
		if text := o.beyond(c.options.RTol, c.options.ATol); text != "" {
			texts = append(texts, text)
		}
		if c.record == nil {
			return texts // the tolerance is what the caller calls equal
		}
	}
	if o.Over > 0 {
		texts = append(texts, o.over(o.Name))
	}
	if c.record != nil {
		return texts
	}
	// Bounds that start again at every value that agrees are closer than those
	// that add up from the inputs on.
	d := c.distance[o.Name]
	switch {
	case d == nil:
	case d.Over > 0 && o.Over == 0:
		texts = append(texts, d.over(o.Name))
	case d.Unbounded > 0 && !d.Exact:
		texts = append(texts, fmt.Sprintf("%d elements differ, by at most %.3g, and no bound on their rounding is known; a tolerance (--rtol, --atol) would decide", d.Unbounded, float64(d.Max)))
	}
	return texts
}
