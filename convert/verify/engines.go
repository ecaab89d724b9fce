package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// The engines, by the names that Options.Engines and Options.Open take.
const (
	embedded    = "embedded"
	onnxRuntime = "onnxruntime"
)

var engineNames = []string{embedded, onnxRuntime, "onnx-go"}

// Session is a model made ready in an engine, which Options.Open returns. One goroutine
// at a time uses it.
type Session interface {
	// Run computes the outputs, in the graph's order, from an array for each of the model's
	// inputs, in any order. An array of floating point is converted to the type that
	// the model declares; integers and bools are of it. The inputs are not modified, and
	// the results may share memory with them.
	Run(ctx context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error)
	// Close frees what the session holds.
	Close() error
	// String says which engine it is, with its version, for the report.
	String() string
}

// EngineOutcome compares the outputs of the CNN in one engine with those of the
// eFCN in one, each model run from its file as a whole.
type EngineOutcome struct {
	CNN     string    `json:"cnn"`  // engine
	EFCN    string    `json:"efcn"` // engine
	Outputs []Outcome `json:"outputs"`
	// Versions says which builds of the two engines they are.
	Versions [2]string `json:"versions"`
	// Unbounded says why no bound on the differences is known; "" where one is.
	Unbounded string `json:"unbounded,omitempty"`

	pair enginePair
}

// enginePair names the engines that run the CNN and the eFCN. One that was asked
// for by itself has to be compared; one that follows from a list is left out where
// an engine cannot run its model.
type enginePair struct {
	names [2]string
	asked bool
}

func (p enginePair) String() string {
	if p.names[0] == p.names[1] {
		return p.names[0]
	}
	return p.names[0] + ":" + p.names[1]
}

// pairs lists what Options.Engines asks for: for names, every two of them and the
// embedded engine, but that by itself, which the Float32 check is about; and the
// pairs given as A:B.
func (o *Options) pairs() ([]enginePair, error) {
	named := []string{embedded}
	var asked []enginePair
	for _, entry := range o.Engines {
		cnn, efcn, pair := strings.Cut(entry, ":")
		for _, name := range []string{cnn, efcn} {
			if (name == cnn || pair) && !slices.Contains(engineNames, name) {
				return nil,
					fmt.Errorf(
						"engine: none is called %q; %s are, and A:B for the first model in A and the second in B", name,
						strings.Join(engineNames, ", "))
			}
		}
		switch {
		case pair && cnn == embedded && efcn == cnn:
			return nil, fmt.Errorf("engine: %s is what the check %s compares", entry, Float32)
		case pair:
			asked = append(asked, enginePair{[2]string{cnn, efcn}, true})
		case !slices.Contains(named, cnn):
			named = append(named, cnn)
		}
	}
	var all []enginePair
	for _, a := range named {
		for _, b := range named {
			if p := (enginePair{[2]string{a, b}, false}); a != embedded || b != a {
				all = append(all, p)
			}
		}
	}
	for _, p := range asked {
		all = slices.DeleteFunc(all, func(q enginePair) bool { return q.names == p.names })
		all = append(all, p)
	}
	return all, nil
}

// sessions are the models made ready in the engines, by model and engine, or why
// that was not possible.
type sessions struct {
	open   [2]map[string]Session
	failed [2]map[string]error
}

func (s *sessions) close() error {
	var all []error
	for _, m := range s.open {
		for _, session := range m {
			all = append(all, session.Close())
		}
	}
	return errors.Join(all...)
}

// openAll opens every session that the pairs need.
func (v *verifier) openAll(ctx context.Context, pairs []enginePair) *sessions {
	s := new(sessions)
	for i, m := range v.files {
		s.open[i], s.failed[i] = make(map[string]Session), make(map[string]error)
		for _, p := range pairs {
			name := p.names[i]
			if s.open[i][name] != nil || s.failed[i][name] != nil {
				continue
			}
			if session, err := v.options.Open(ctx, name, m); err != nil {
				s.failed[i][name] = named(m, err)
			} else {
				s.open[i][name] = session
			}
		}
	}
	return s
}

// engines runs both models in other engines and compares the outputs, with the
// bound that the outputs have end to end in float32. That bound allows for any
// order of the sums and for a parameter that an engine rounds once more as it
// merges nodes, so it holds for every engine that adds and multiplies in float32.
// Where it is as large as the values themselves, nothing is judged by it.
func (v *verifier) engines(ctx context.Context) (err error) {
	pairs, err := v.options.pairs()
	if err != nil || len(pairs) == 0 {
		return err
	}
	feeds, why := v.fit(4)
	if why != "" {
		for _, p := range pairs {
			v.skipped(p.String(), why)
		}
		return nil
	}
	s := v.openAll(ctx, pairs)
	defer func() { err = errors.Join(err, s.close()) }()
	all, err := v.comparisons(ctx, pairs, s)
	if err != nil {
		return err
	}
	runs := &engineRuns{verifier: v, sessions: s, bounder: &bounder{
		arithmetic: v.arithmetic(arithmeticOf[float32]()), net: v.cnn,
		hidden:   func(string) bool { return true }, // an engine may merge any two nodes
		replaced: func(string) bool { return true },
		abs:      make(map[string]*engine.Tensor[float64]),
	}}
	runs.bounder.parameters = 0x1p-24
	if runs.engine, err = newObserver[float32](v.cnn); err != nil {
		return named(v.cnn.model, err)
	}
	v.meter.begin("engines", len(feeds)*(len(s.open[0])+len(s.open[1])))
	for _, f := range feeds {
		if err := runs.batch(ctx, f, all); err != nil {
			return err
		}
	}
	for _, c := range all {
		v.concludeEngines(c)
	}
	return nil
}

// comparisons lists the pairs of engines in which both models are ready; others are
// skipped. It is an error if one that was asked for is not, or an engine ran nothing.
func (v *verifier) comparisons(ctx context.Context, pairs []enginePair, s *sessions) ([]*engineComparison, error) {
	compared := make(map[string]bool) // engines
	var all []*engineComparison
	unbounded := v.unbounded()
	for _, p := range pairs {
		if err := errors.Join(s.failed[0][p.names[0]], s.failed[1][p.names[1]]); err != nil {
			if p.asked || ctx.Err() != nil {
				return nil, first(err)
			}
			v.skipped(p.String(), first(err).Error())
			continue
		}
		c := &engineComparison{EngineOutcome: EngineOutcome{
			CNN: p.names[0], EFCN: p.names[1], Unbounded: unbounded, pair: p,
			Versions: [2]string{s.open[0][p.names[0]].String(), s.open[1][p.names[1]].String()},
		}}
		for _, out := range v.cnn.graph.Outputs {
			words := v.report.words()
			words.first += " in " + p.names[0]
			words.second += " in " + p.names[1]
			c.outcomes = append(c.outcomes, newOutcome(out.Name, Float32, v.options, words))
		}
		all = append(all, c)
		compared[p.names[0]], compared[p.names[1]] = true, true
	}
	for _, p := range pairs {
		for i, name := range p.names {
			if err := s.failed[i][name]; err != nil && !compared[name] {
				return nil, err
			}
		}
	}
	return all, nil
}

// first is the first of errors that were joined.
func first(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

// unbounded says of what part of the CNN no bound is known that holds in any
// engine; "" if of none.
func (v *verifier) unbounded() string {
	half := func(t onnxio.DataType) bool { return t == onnxio.Float16 || t == onnxio.BFloat16 }
	for _, in := range v.cnn.graph.FeedInputs() {
		if half(in.Type.Elem) {
			return fmt.Sprintf("input %q is %s, in which engines round as they like", in.Name, in.Type.Elem)
		}
	}
	for _, t := range v.cnn.graph.Initializers {
		if half(t.Type) {
			return fmt.Sprintf("constant %q is %s, in which engines round as they like", t.Name, t.Type)
		}
	}
	if v.quant != nil {
		return "where an engine rounds otherwise, each quantizer may take the other of two neighbouring integers, " +
			"and end to end that adds up"
	}
	steady := make(map[string]bool) // what the inputs' shapes alone decide
	for _, node := range v.cnn.graph.Nodes {
		if operatorOf(node).ofShape || !slices.ContainsFunc(node.Inputs, func(name string) bool {
			return name != "" && !steady[name] && v.cnn.constants[name] == nil
		}) {
			for _, name := range node.Outputs {
				steady[name] = true
			}
			continue
		}
		if !v.cnn.sameInAnyEngine(node) {
			return fmt.Sprintf("node %q (%s) is no sum or product, and engines approximate it in their own ways",
				node.Label(), node.QualifiedOp())
		}
	}
	return ""
}

// sameInAnyEngine reports whether the bound of a node holds whatever engine computes it in
// float32.
func (n *net) sameInAnyEngine(node *onnxio.Node) bool {
	op := operatorOf(node)
	return !op.interpolating(node) && (op.anyEngine || n.isLinear(node) || op.moving(node) != nil)
}

// engineComparison collects what one pair of engines comes to.
type engineComparison struct {
	EngineOutcome
	outcomes []*outcome
}

// engineRuns runs both models in all engines on one batch after the other.
type engineRuns struct {
	*verifier
	*sessions
	bounder *bounder
	engine  observer[float32] // of the CNN, for the magnitudes in the bounds
}

func (r *engineRuns) batch(ctx context.Context, f feed, all []*engineComparison) error {
	limits, err := r.limits(ctx, f, all[0].Unbounded == "")
	if err != nil {
		return err
	}
	var inputs [2][]*onnxio.Tensor
	for name, a := range f.arrays {
		inputs[0] = append(inputs[0], engine.ToONNX(name, a))
		inputs[1] = append(inputs[1], engine.ToONNX(r.signature.inputs[name], a))
	}
	var results [2]map[string]map[string]*array // by engine and output
	for i, open := range r.open {
		results[i] = make(map[string]map[string]*array)
		for name, session := range open {
			if !slices.ContainsFunc(all, func(c *engineComparison) bool { return c.pair.names[i] == name }) {
				continue
			}
			outputs, err := session.Run(ctx, inputs[i])
			r.meter.tick()
			if err != nil {
				return named(r.files[i], fmt.Errorf("in %s: %w", name, err))
			}
			results[i][name] = make(map[string]*array)
			for _, out := range outputs {
				if results[i][name][out.Name], err = engine.FromONNX[float32](out); err != nil {
					return named(r.files[i], fmt.Errorf("output %q in %s: %w", out.Name, name, err))
				}
			}
		}
	}
	for _, c := range all {
		for _, o := range c.outcomes {
			a, b := results[0][c.pair.names[0]][o.Name], results[1][c.pair.names[1]][r.signature.outputs[o.Name]]
			if !slices.Equal(a.Shape, b.Shape) || !r.options.holdsAs(a.Type, b.Type) {
				o.mismatch = fmt.Sprintf("%s gives %s %v, %s %s %v", o.words.first, a.Type, a.Shape, o.words.second,
					b.Type, b.Shape)
				continue
			}
			limit := dropVacuous(a, limits[o.Name])
			if c.Unbounded != "" {
				limit = slices.Repeat([]float64{math.Inf(1)}, a.Len())
			}
			measure(&o.Distance, a, b, limit, f.first)
			figures(o, a, b, f.first)
		}
	}
	return nil
}

// dropVacuous returns a bound with +Inf for what is not smaller than the scale of
// its sample, and so allows for anything.
func dropVacuous(v *array, d []float64) []float64 {
	if d == nil || !v.Type.IsFloat() {
		return d
	}
	scales := sampleScales(v)
	out := slices.Clone(d)
	for i, limit := range d {
		if limit >= scales[i*len(scales)/len(d)] {
			out[i] = math.Inf(1)
		}
	}
	return out
}

// limits returns the bounds of the outputs on a batch, by name.
func (r *engineRuns) limits(ctx context.Context, f feed, wanted bool) (map[string][]float64, error) {
	if !wanted {
		return nil, nil
	}
	values := maps.Clone(activationsOf[float32](f.arrays))
	b := &bounds{bounder: r.bounder, values: values, known: make(map[string][]float64)}
	_, err := r.engine.Observe(ctx, f.arrays, func(name string, v *array) error {
		values[name] = &array{Type: v.Type, Shape: slices.Clone(v.Shape), F: slices.Clone(v.F), I: slices.Clone(v.I)}
		return nil
	})
	if err != nil {
		return nil, named(r.cnn.model, err)
	}
	limits := make(map[string][]float64)
	for _, out := range r.cnn.graph.Outputs {
		if limits[out.Name], err = b.of(out.Name); err != nil {
			return nil, named(r.cnn.model, err)
		}
	}
	return limits, nil
}

// concludeEngines turns what was measured of a pair of engines into findings and
// the outcome of a check. Where neither a bound is known nor a tolerance given,
// nothing is judged.
func (v *verifier) concludeEngines(c *engineComparison) {
	check := Check{Name: c.pair.String(), Status: OK}
	judged := v.options.tolerance()
	why := c.Unbounded
	if why == "" {
		why = "the bound, end to end, is as large as the values"
	}
	var parts []string
	for _, o := range c.outcomes {
		c.Outputs = append(c.Outputs, o.finish())
		part := fmt.Sprintf("%s: largest |difference| %.3g of %.3g", o.Name, float64(o.Max), float64(o.Scale))
		if c.Unbounded == "" {
			part += fmt.Sprintf(", %.3g of its bound", float64(o.Ratio))
		}
		if o.Unbounded > 0 {
			part += fmt.Sprintf(", %d of %d elements without a bound", o.Unbounded, o.Elements)
		}
		parts = append(parts, part)
		judged = judged || o.Unbounded == 0 || o.Ratio > 0
		for _, text := range v.engineFaults(o) {
			f := Finding{Check: check.Name, Kind: "output", Value: o.Name, Text: text}
			if node := v.cnn.Producer(o.Name); node != nil {
				f.Node, f.Op = node.Label(), node.QualifiedOp()
			}
			v.report.find(f)
			check.Status = Failed
		}
	}
	check.Summary = strings.Join(parts, "; ")
	if check.Status == Failed {
		for _, o := range c.outcomes {
			v.report.Failing = append(v.report.Failing, o.samples...)
		}
		slices.Sort(v.report.Failing)
		v.report.Failing = slices.Compact(v.report.Failing)
	} else if !judged {
		check.Status = Skipped
		check.Summary += "; not judged: " + why + "; a tolerance would decide"
	}
	v.report.Checks = append(v.report.Checks, check)
	v.report.Engines = append(v.report.Engines, c.EngineOutcome)
}

// engineFaults says what is wrong with an output.
func (v *verifier) engineFaults(o *outcome) []string {
	if o.mismatch != "" {
		return []string{o.mismatch}
	}
	var texts []string
	if text := o.beyond(); text != "" {
		texts = append(texts, fmt.Sprintf("between %s and %s, %s", o.words.first, o.words.second, text))
	}
	if o.Over > 0 && (v.paired() || !v.options.tolerance()) { // see faults
		texts = append(texts, o.over(o.Name, o.words))
	}
	return texts
}

// writeEngines prints what the outputs are in other engines.
func (r *Report) writeEngines(w io.Writer) {
	if len(r.Engines) == 0 {
		return
	}
	words := r.words()
	fmt.Fprintf(w, "\noutputs, end to end, in other engines\n")
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  %s in\t%s in\toutput\t|difference|\tof\trelative\tof its bound\targmax agrees\n", words.first,
		words.second)
	versions := make(map[string]string)
	for i := range r.Engines {
		e := &r.Engines[i]
		versions[e.CNN], versions[e.EFCN] = e.Versions[0], e.Versions[1]
		for k := range e.Outputs {
			o := &e.Outputs[k]
			classes := "-"
			if o.Rows > 0 {
				classes = fmt.Sprintf("%d of %d", o.Agree, o.Rows)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%.3g\t%.3g\t%.3g\t%s\t%s\n", e.CNN, e.EFCN, onnxio.Printable(o.Name),
				float64(o.Max), float64(o.Scale), float64(o.MaxRel), ratio(&o.Distance), classes)
		}
	}
	t.Flush() //nolint:errcheck // w buffers; WriteText returns the error of its Flush
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		fmt.Fprintf(w, "  %s: %s\n", name, versions[name])
	}
}
