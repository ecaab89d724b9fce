package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/onnxio"
)

// Verify checks that two models compute the same function: a CNN and the eFCN
// made from it or, if the second model carries no record of a conversion, any two
// models: the CNN after an optimiser, another export of it, an edited copy. Their inputs
// and outputs are matched by name, and where names differ by order, if types and shapes
// fit. Neither model is modified.
//
// Of two such models the structure is skipped. Parameters may have been multiplied
// together and rounded once to float32 on the way, so every operator with constants is
// allowed one such rounding in each model. Values in between are matched by what they
// are, not by what they are called: two of one size that agree in double precision on all
// samples, within that bound, are one value, and what follows it is bounded from there on.
// The outputs decide; where they differ, [Report.Parting] names the last values that
// agree, the first that do not, and the nodes between.
//
// That the models differ is in the report and not an error. An error says that
// they could not be compared: a node that the engine cannot run, inputs or
// outputs that do not match, options that make no sense. A node that the embedded
// engine does not have runs in ONNX Runtime if Options.Open has it, which
// Report.Elsewhere says.
func Verify(ctx context.Context, cnn, efcn *onnxio.Model, o Options) (r *Report, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.given, err = givenInputs(cnn.Graph, o.Inputs); err != nil {
		return nil, err
	}
	o.BatchAxes = o.batchAxes(efcn)
	cnn, efcn, o, asDeclared, err := o.withBatchFirst(cnn, efcn)
	if err != nil {
		return nil, err
	}
	if o.Ran != nil {
		o.ran = func(inputs, cnn, efcn map[string]*array) error {
			return o.Ran(tensors(asDeclared(inputs)), tensors(cnn), tensors(efcn))
		}
	}
	cnn, as, err := sameType(cnn, efcn, o)
	if err != nil {
		return nil, err
	}
	v, err := newVerifier(cnn, efcn, &o)
	if err != nil {
		return nil, err
	}
	other := v.cnn.elsewhere
	defer func() { err = errors.Join(err, other.close()) }()
	v.report.As = as
	if o.As != onnxio.Undefined {
		v.report.JudgedAs = o.As.String()
	}
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	v.report.Elsewhere = other.used()
	if err := v.shareReport(ctx); err != nil {
		return nil, err
	}
	v.report.FailingInputs = tensors(asDeclared(v.failing))
	return v.report, nil
}

// newVerifier makes both models ready to be compared, and pairs their inputs and outputs.
func newVerifier(cnn, efcn *onnxio.Model, o *Options) (*verifier, error) {
	inputs := asConverted(cnn, efcn, o.InputShapes)
	a, err := prepared(cnn, inputs)
	if err != nil {
		return nil, named(cnn, err)
	}
	b, err := prepared(efcn, o.InputShapes)
	if err != nil {
		return nil, named(efcn, err)
	}
	f, err := matchSignatures(a, b, o)
	if err != nil {
		return nil, err
	}
	if err := narrowOf(o.As).check(b); err != nil {
		return nil, named(efcn, err)
	}
	rec, err := record.Read(efcn)
	if err != nil {
		return nil, named(efcn, err)
	}
	if cnnRecord, err := record.Read(cnn); err == nil && cnnRecord != nil {
		rec = nil // two eFCNs: the record is not about the first
	}
	if len(f.named) > 0 || o.As != onnxio.Undefined {
		rec = nil // an eFCN has the names of its CNN
	}
	if a, err = a.settled(inputs); err != nil {
		return nil, named(cnn, err)
	}
	if b, err = b.settled(o.InputShapes); err != nil {
		return nil, named(efcn, err)
	}
	if rec != nil {
		a.inputsOf(b)
	}
	var quant *quantization
	if o.As == onnxio.Int8 {
		if quant, a, err = quantizationBeside(a, b, efcn, f, inputs); err != nil {
			return nil, named(efcn, err)
		}
	}
	other := &elsewhere{
		open: o.Open, sessions: make(map[*onnxio.Node]Session),
		ran: make(map[*onnxio.Node][]*onnxio.Node), model: make(map[*onnxio.Node]string),
	}
	if err := other.claim(a, "cnn"); err != nil {
		return nil, named(cnn, err)
	}
	if err := other.claim(b, "efcn"); err != nil {
		return nil, named(efcn, err)
	}
	return &verifier{
		files: [2]*onnxio.Model{cnn, efcn}, cnn: a, efcn: b, signature: f, record: rec, quant: quant, options: o,
		meter: meter{report: o.Progress},
		report: &Report{
			CNN: cnn.Path, EFCN: efcn.Path, Recorded: rec != nil,
			Seed: o.Seed, RTol: o.RTol, ATol: o.ATol,
			Layers: []Layer{}, Values: []Value{}, Outputs: []Outcome{}, NonFinite: []FirstNonFinite{},
			Findings: []Finding{},
		},
	}, nil
}

// sameType returns the CNN in the type that the record of the eFCN says it was
// converted to, "" for its own. Whether the eFCN is of that type is not taken from
// there: the inputs and outputs are compared.
func sameType(cnn, efcn *onnxio.Model, o Options) (*onnxio.Model, record.As, error) {
	rec, err := record.Read(efcn)
	if err != nil || rec == nil || rec.As != record.AsFloat32 || o.As != onnxio.Undefined {
		return cnn, "", nil // an error is reported with the record
	}
	folded, err := constants.Fold(cnn, constants.Options{})
	if err != nil {
		return nil, "", named(cnn, err)
	}
	single, from, err := onnxio.ToFloat32(folded)
	switch {
	case err != nil:
		return nil, "", named(cnn, err)
	case len(from) == 0:
		return cnn, "", nil
	case len(o.Engines) > 0:
		return nil, "", named(cnn, fmt.Errorf(
			"it is %s, and the eFCN was made from it as float32: other engines take only the files as they are; "+
				"convert it to float32 with every layer kept, and compare that",
			from[0]))
	}
	return single, record.AsFloat32, nil
}

// named says which of the two models an error is about, once.
func named(m *onnxio.Model, err error) error {
	if m.Path == "" || strings.HasPrefix(err.Error(), m.Path+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", m.Path, err)
}

// asConverted returns the shapes given for the CNN's inputs and, for an eFCN that has
// a record, those that it has for the inputs that are left: which branch an If takes
// may follow from them.
func asConverted(cnn, efcn *onnxio.Model, given map[string][]int64) map[string][]int64 {
	if rec, err := record.Read(efcn); err != nil || rec == nil {
		return given
	}
	shapes := maps.Clone(given)
	if shapes == nil {
		shapes = make(map[string][]int64)
	}
	for _, v := range cnn.Graph.FeedInputs() {
		for _, other := range efcn.Graph.FeedInputs() {
			if other.Name != v.Name || shapes[v.Name] != nil || !other.Type.HasShape ||
				v.Type.HasShape && len(v.Type.Shape) != len(other.Type.Shape) {
				continue
			}
			dims := make([]int64, len(other.Type.Shape))
			for i, d := range other.Type.Shape {
				dims[i] = d.Value // -1 where it is open there too
			}
			shapes[v.Name] = dims
		}
	}
	return shapes
}

// prepared folds the constant part of a model. The converter does the same with
// the same code, so a fault in there could not be seen by comparing parameters
// alone; but the functions are compared by running what the files hold, and a
// constant that was folded wrongly gives other values there unless both models
// are folded wrongly in the same way, which the engine's own tests are for.
func prepared(m *onnxio.Model, inputs map[string][]int64) (*net, error) {
	folded, err := constants.Fold(withoutSparse(withDefaults(m), heldElements), constants.Options{Inputs: inputs})
	if err != nil {
		return nil, err
	}
	n, err := newNet(folded)
	if err == nil {
		n.sparse = m.Graph.SparseConstants()
	}
	return n, err
}

// withDefaults returns m without the inputs that have an initializer: what a caller
// may put in its place, which an eFCN does not allow, is not looked at.
func withDefaults(m *onnxio.Model) *onnxio.Model {
	if m.Graph == nil || len(m.Graph.FeedInputs()) == len(m.Graph.Inputs) {
		return m
	}
	c := m.Clone()
	c.Graph.Inputs = c.Graph.FeedInputs()
	return c
}

// inputsOf gives n's inputs the shapes that those of an eFCN made from it have:
// what it leaves open, or was overruled when it was converted, is settled there.
func (n *net) inputsOf(efcn *net) {
	for i, v := range n.graph.Inputs {
		for _, other := range efcn.graph.FeedInputs() {
			if other.Name == v.Name && other.Type.Elem == v.Type.Elem {
				settled := *v
				settled.Type = other.Type
				n.graph.Inputs[i] = &settled
			}
		}
	}
}

type verifier struct {
	files     [2]*onnxio.Model  // as they were given
	failing   map[string]*array // samples that show a fault, by input
	cnn, efcn *net
	signature *signature
	record    *record.Record
	quant     *quantization // nil unless the second model is judged as int8
	options   *Options
	meter     meter
	report    *Report
	values    map[string]*Value
	feeds     []feed
	shapes    map[string][]int

	// Of two models without a record: which value of the first one of the second
	// is, which of those of the first agree, and why nothing was matched.
	matched   map[string]string
	agreed    map[string]bool
	unmatched string
}

func (v *verifier) run(ctx context.Context) error {
	if err := v.draw(ctx); err != nil {
		return err
	}
	v.values = make(map[string]*Value)
	if v.quant != nil {
		v.matched = v.quant.pairs
	} else if v.options.runs() && v.record == nil && len(v.feeds) > 0 {
		if err := v.match(ctx); err != nil {
			return err
		}
	}
	if err := v.checks(ctx); err != nil {
		return err
	}
	if !v.options.first() {
		return nil
	}
	if !slices.ContainsFunc(v.report.Checks, func(c Check) bool { return c.Status != Skipped }) {
		var why []string
		for _, c := range v.report.Checks {
			why = append(why, c.Name+": "+c.Summary)
		}
		return fmt.Errorf("nothing was compared: %s", strings.Join(why, "; "))
	}
	v.failing = pick(v.feeds, v.report.Failing)
	for _, node := range v.cnn.graph.Nodes {
		for _, name := range node.Outputs {
			if value := v.values[name]; value != nil {
				v.report.Values = append(v.report.Values, *value)
			}
		}
	}
	return nil
}

// draw fills in the samples that the models are compared on, and the shapes of the
// CNN's values.
func (v *verifier) draw(ctx context.Context) error {
	var err error
	if err = v.options.settleBatch(v.cnn.model); err != nil {
		return named(v.cnn.model, err)
	}
	if v.quant != nil {
		v.options.within = v.quant.inputRanges(v.cnn)
	}
	if v.feeds, err = v.options.feeds(v.cnn); err != nil {
		return err
	}
	for _, f := range v.feeds {
		v.report.Samples += f.size
		if f.random >= 0 {
			v.report.Random += f.size
		}
	}
	if v.report.Samples == 0 && len(v.options.given) > 0 {
		return errors.New("the inputs hold no samples")
	}
	if v.shapes, err = v.observeShapes(ctx); err != nil {
		return named(v.cnn.model, err)
	}
	if !v.options.runs() {
		return nil
	}
	if err := v.oneAtATime(ctx); err != nil {
		return err
	}
	if _, err := v.tie(ctx); err != nil {
		return named(v.cnn.model, err)
	}
	return nil
}

// checks makes the checks that are not left out.
func (v *verifier) checks(ctx context.Context) error {
	const asked = "left out as asked"
	switch {
	case v.options.skips(Structure):
		v.skipped(Structure, asked)
	case v.quant != nil:
		v.quant.check(v.report)
	case v.record == nil:
		v.skipped(Structure, v.pairing())
	default:
		v.meter.begin(Structure, len(v.record.Layers))
		s := newStructure(v.cnn, v.efcn, v.record, v.shapes, v.report)
		if err := s.check(ctx, v.options.World, v.meter.tick); err != nil {
			return err
		}
	}
	if !v.options.first() {
		return nil
	}
	if v.options.skips(Float64) {
		v.skipped(Float64, asked)
	} else if err := v.stopped(ctx, Float64, v.float64(ctx)); err != nil {
		return err
	}
	if v.options.skips(Float32) {
		v.skipped(Float32, asked)
	} else if err := v.stopped(ctx, Float32, compare[float32](ctx, v, v.cnn)); err != nil {
		return err
	}
	return v.engines(ctx)
}

// oneAtATime cuts the batches into single samples if the CNN declares a free batch
// but runs on one sample only: a Reshape to a constant batch of 1, say.
func (v *verifier) oneAtATime(ctx context.Context) error {
	if len(v.feeds) == 0 || !v.options.freeBatch(v.cnn.graph.FeedInputs()) {
		return nil
	}
	first := slices.MaxFunc(v.feeds, func(a, b feed) int { return a.size - b.size })
	if first.size < 2 {
		return nil
	}
	e, err := newObserver[float32](v.cnn)
	if err != nil {
		return named(v.cnn.model, err)
	}
	run := func(samples int) error {
		_, err := e.Observe(ctx, smaller([]feed{first}, samples)[0].arrays, func(string, *array) error { return nil })
		return err
	}
	many := run(2)
	if many == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if err := run(1); err != nil {
		return named(v.cnn.model, err)
	}
	v.feeds = smaller(v.feeds, 1)
	v.report.OneAtATime = many.Error()
	return nil
}

// stopped turns the error that ended a check into a finding where the structure
// has faults already, one of which may be why the eFCN cannot be run.
func (v *verifier) stopped(ctx context.Context, check string, err error) error {
	if err == nil || ctx.Err() != nil || v.report.Checks[0].Status != Failed {
		return err
	}
	f := Finding{Check: check, Kind: "run", Text: err.Error()}
	if e := (*onnxio.NodeError)(nil); errors.As(err, &e) {
		f.Node, f.Op, f.Text = e.Node, e.Op, e.Err.Error()
	}
	v.report.find(f)
	v.report.Checks = append(v.report.Checks,
		Check{Name: check, Status: Failed, Summary: "the models could not be run: " + err.Error()})
	return nil
}

// pairing says how two models without a record are compared.
func (v *verifier) pairing() string {
	text := "the second model carries no record of a conversion of the first; outputs are compared, and "
	if v.unmatched != "" {
		text += "no values in between: " + v.unmatched
	} else {
		text += fmt.Sprintf("%d values in between that agree in both, %d of them under different names", len(v.agreed),
			v.renamed())
	}
	if len(v.signature.named) > 0 {
		text += "; matched by their order: " + strings.Join(v.signature.named, ", ")
	}
	return text
}

func (v *verifier) skipped(check, why string) {
	v.report.Checks = append(v.report.Checks, Check{Name: check, Status: Skipped, Summary: why})
}

// float64 compares the models in double precision. Where the eFCN stores
// numbers rounded that the CNN has exactly, it is compared with the CNN so
// rounded: see roundedOnce.
func (v *verifier) float64(ctx context.Context) error {
	cnn := v.cnn
	if v.record != nil {
		m, err := roundedOnce(v.cnn, v.efcn, v.record, v.shapes)
		if err != nil {
			return named(v.cnn.model, err)
		}
		if cnn, err = newNet(m); err != nil {
			return err
		}
		if err := v.cnn.elsewhere.claim(cnn, "cnn"); err != nil {
			return err
		}
	}
	return compare[float64](ctx, v, cnn)
}

// observeShapes runs the CNN on one sample (or as few as it takes) and notes
// the shape of every value.
func (v *verifier) observeShapes(ctx context.Context) (map[string][]int, error) {
	e, err := newObserver[float32](v.cnn)
	if err != nil {
		return nil, err
	}
	feeds := make(map[string]*array)
	shapes := make(map[string][]int)
	for _, in := range v.cnn.graph.FeedInputs() {
		whole := v.options.whole[in.Name]
		shape, err := v.options.inputShape(in, whole)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		if !whole && shape[0] < 0 {
			shape[0] = 1
		}
		t := &array{Type: in.Type.Elem, Shape: shape}
		if t.Type.IsFloat() {
			t.F = make([]float32, product(shape))
		} else {
			r, _, err := v.cnn.drawn(in)
			if err != nil {
				r = span{} // what is given may be any
			}
			t.I = slices.Repeat([]int64{r.lo}, product(shape))
		}
		feeds[in.Name], shapes[in.Name] = t, shape
	}
	_, err = e.Observe(ctx, feeds, func(name string, t *array) error {
		shapes[name] = slices.Clone(t.Shape)
		return nil
	})
	return shapes, err
}
