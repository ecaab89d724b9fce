package convert

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// Options say how a CNN is converted.
type Options struct {
	// NoFoldBN keeps a BatchNormalization that follows a Conv or Gemm as Mul and
	// Add instead of multiplying it into the matrix. Default false.
	NoFoldBN bool
	// MaxBytes bounds the weights of the eFCN. Default (0)
	// [record.DefaultMaxBytes], 2 GiB.
	MaxBytes int64
	// Layout is the form of every layer that Layers and Only do not settle.
	// Default Auto.
	Layout record.Layout
	// For says what the eFCN is for, which settles what Auto becomes. Default none: see
	// [Purpose].
	For Purpose
	// Layers gives single layers, by the name of their node, a layout of their
	// own. Default none.
	Layers map[string]record.Layout
	// Rank is the rank of the factored layers that Ranks does not settle. Default
	// DefaultRank. No layer has more than it has inputs, or outputs.
	Rank int
	// Ranks gives layers, by the name of their node, a rank of their own; Layers has to
	// say that they are factored. Default none.
	Ranks map[string]int
	// As is the floating-point type to embed in. Default the model's own, which has to
	// be float32: if no layer is, that is an [OtherTypeError].
	As record.As
	// Fold says which neighbouring linear operators become one matrix. Default
	// FoldOff. With NoFoldBN a BatchNormalization is no factor.
	Fold Fold
	// MaxPool says what becomes of maxima. Default MaxPoolKeep.
	MaxPool MaxPool
	// Only keeps the layers whose name does not have the form of this pattern,
	// with * for any characters and ? for one. Default all are embedded.
	Only string
	// BatchAxes says of inputs, by name, which axis is the batch, or shape.NoBatch
	// for none. Such an input stays on tensors, up to where the batch comes in front.
	// Default: the first axis, as shape.FindBatch finds it.
	BatchAxes map[string]int
	// InputShapes fixes dimensions of inputs that the model leaves open, by input
	// name, with the batch axis; -1 leaves a dimension as it is. Default none.
	InputShapes map[string][]int64
	// Strict refuses a model that declares a shape that is not the inferred one,
	// which is otherwise left out with a warning. Default false.
	Strict bool
}

// Validate reports options that make no sense.
func (o Options) Validate() error {
	if o.MaxBytes < 0 {
		return fmt.Errorf("max bytes: %d is negative", o.MaxBytes)
	}
	if o.Fold != "" && !slices.Contains(Folds(), o.Fold) {
		return fmt.Errorf("fold %q: want one of %q", o.Fold, Folds())
	}
	if o.MaxPool != "" && !slices.Contains(MaxPools(), o.MaxPool) {
		return fmt.Errorf("maxpool %q: want one of %q", o.MaxPool, MaxPools())
	}
	if o.As != "" && o.As != record.AsFloat32 {
		return fmt.Errorf("as %q: want %q", o.As, record.AsFloat32)
	}
	if o.For != "" && !slices.Contains(Purposes(), o.For) {
		return fmt.Errorf("purpose %q: want one of %q", o.For, Purposes())
	}
	if o.For != "" && o.Layout != "" && o.Layout != record.Auto {
		return fmt.Errorf("purpose %s settles what the layout auto becomes, not %s; want one of them", o.For, o.Layout)
	}
	layouts := []record.Layout{o.Layout}
	for _, l := range o.Layers {
		layouts = append(layouts, l)
	}
	for _, l := range layouts {
		if l != "" && !slices.Contains(record.Layouts(), l) {
			return fmt.Errorf("layout %q: want one of %q", l, record.Layouts())
		}
	}
	return o.checkRanks()
}

func (o Options) folds() bool { return o.Fold != "" && o.Fold != FoldOff }

// Plan is what a conversion would do: it is cheap to make, and says what the
// result will cost before any matrix is built.
type Plan struct {
	Layers []*Layer `json:"layers"` // in the order of the graph
	Kept   []Kept   `json:"kept"`   // nodes that stay on tensors
	// Folded says which layers are products, and what that changed.
	Folded []*Folding `json:"folded,omitempty"`
	// Absorbed says which Pads became the padding of the operator behind them.
	Absorbed []Absorbed `json:"absorbed,omitempty"`
	// Coverage says how many of the linear layers are embedded.
	Coverage Coverage `json:"coverage"`
	// From lists the floating-point types that Options.As converted to float32.
	From []string `json:"converted_from,omitempty"`
	// Auto says what the layout Auto became, nil if no layer has it.
	Auto *Choice `json:"auto,omitempty"`
	// WeightBytes is the size of all initializers of the eFCN.
	WeightBytes int64 `json:"weight_bytes"`
	MaxBytes    int64 `json:"max_bytes"`
	// Memory is about what the conversion and its result take.
	Memory Memory `json:"memory_bytes"`
	// Warnings say what of the model was not taken as it is: shapes that it
	// declares wrongly.
	Warnings []string `json:"warnings,omitempty"`

	model   *onnxio.Model
	info    *shape.Info
	purpose Purpose
	links   *onnxio.Links
	pieces  []*piece // what is built
	live    []*piece // those that an output depends on
	batch   onnxio.Dim
	// batchAxes are those of Options, and inputs those of the graph as it declares
	// them.
	batchAxes map[string]int
	inputs    []*onnxio.ValueInfo
	// added are the types of values that the eFCN has and the CNN does not: the
	// levels of a maximum.
	added map[string]onnxio.TensorType
	// known are values that the CNN computes from shapes, and the eFCN has as
	// constants.
	known map[string]*onnxio.Tensor
}

// typeOf returns the type of a value.
func (p *Plan) typeOf(name string) (onnxio.TensorType, bool) {
	if t, ok := p.added[name]; ok {
		return t, true
	}
	return p.info.Type(name)
}

// Layer is one linear layer of a plan.
type Layer struct {
	record.Layer
	Rows          int64 `json:"rows"`           // outputs of the layer
	Cols          int64 `json:"cols"`           // inputs of the layer
	CNNParameters int64 `json:"cnn_parameters"` // weights and biases of the source operator
	NonZeros      int64 `json:"non_zeros"`      // entries of the support
	MACs          int64 `json:"macs"`           // multiply-adds of the source operator on one input

	weights affine.Weights // nil where the weights of the CNN are used as they are
	rank    int64          // that it has, or would have, in factored form
}

// Density is the share of the matrix that is support.
func (l *Layer) Density() float64 {
	if l.Rows == 0 || l.Cols == 0 {
		return 0
	}
	return float64(l.NonZeros) / float64(l.Rows) / float64(l.Cols)
}

// DenseBytes is the size of the matrix in dense form.
func (l *Layer) DenseBytes() int64 { return 4 * l.Rows * l.Cols }

// SparseBytes is the size of the matrix as a sparse constant: a float32 and
// an int64 index for every non-zero.
func (l *Layer) SparseBytes() int64 { return 12 * l.NonZeros }

// LocalBytes is the size of the layer in local form: its weights and the table
// of inputs that each position sees, which layers of equal geometry share.
func (l *Layer) LocalBytes() int64 {
	if l.weights == nil {
		return l.DenseBytes()
	}
	s := l.weights.Local().Shape()
	return s.Bytes() + s.TableBytes()
}

// Kept is a node that the eFCN has on tensors, as the CNN had it.
type Kept struct {
	Node string `json:"node"`
	Op   string `json:"op"`
	Why  string `json:"why"`
}

// CheckBudget returns a *BudgetError if the plan is larger than its options
// allow, nil otherwise.
func (p *Plan) CheckBudget() error {
	if p.WeightBytes <= p.MaxBytes {
		return nil
	}
	e := &BudgetError{Need: p.WeightBytes, Allowed: p.MaxBytes, Local: p.WeightBytes}
	for _, l := range p.Layers {
		if p.purpose != ForVerifier { // which has no use for it
			e.Local += l.LocalBytes() - l.bytesIn(l.Layout)
		}
		if e.Largest == nil || l.bytesIn(l.Layout) > e.Largest.bytesIn(e.Largest.Layout) {
			e.Largest = l
		}
	}
	return e
}

// NewPlan decides what becomes of every node of m, a valid model as efcn.Open reads
// it. Model-local functions are inlined and what is constant is folded first; a
// constant that is an input too, which a caller could replace, is taken at its
// default. m itself is not modified and must not be while the plan is used.
//
// Errors name the node: a linear operator whose shape is not known, an operator
// used in a way that is not understood, a batch that is not the first axis.
func NewPlan(m *onnxio.Model, o Options) (*Plan, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := convertible(m); err != nil {
		return nil, err
	}
	pl, err := prepare(m, o)
	if err != nil {
		return nil, err
	}
	pieces, err := pl.pieces()
	if err != nil {
		return nil, err
	}
	if !o.NoFoldBN {
		pieces = pl.foldNormalizations(pieces)
	}
	if o.folds() {
		pieces = live(pieces, pl.links)
	}
	if pieces, err = pl.fold(pieces); err != nil {
		return nil, err
	}
	p := pl.plan
	p.settle(pieces)
	if err := p.setRanks(o); err != nil {
		return nil, err
	}
	p.chooseLayouts(o.For)
	if err := p.checkLayouts(); err != nil {
		return nil, err
	}
	pl.cover()
	if err := p.checkTypes(); err != nil {
		return nil, err
	}
	p.settleFolded()
	if err := p.checkLayers(o); err != nil {
		return nil, err
	}
	return p, nil
}

// convertible reports a model that is none to convert.
func convertible(m *onnxio.Model) error {
	rec, err := record.Read(m)
	switch {
	case err != nil:
		return err
	case rec != nil:
		return new(AlreadyError)
	case len(m.Graph.Outputs) == 0:
		return errors.New("the graph has no outputs")
	case m.Opset("") < onnxio.OldestOpset:
		return fmt.Errorf("opset %d is older than %d; convert the model with onnx.version_converter", m.Opset(""),
			onnxio.OldestOpset)
	}
	return nil
}

// prepare returns a planner of the model as the options take it: inlined and folded, in
// float32, with one batch, and with Pads absorbed.
func prepare(m *onnxio.Model, o Options) (*planner, error) {
	m, err := folded(m, o.InputShapes)
	if err != nil {
		return nil, err
	}
	var from []onnxio.DataType
	if o.As == record.AsFloat32 {
		if m, from, err = onnxio.ToFloat32(m); err != nil {
			return nil, err
		}
	}
	declared := m.Graph.Inputs
	m, info, err := o.inferred(m)
	if err != nil {
		return nil, err
	}
	m, absorbed := AbsorbPads(m, info)
	if len(absorbed) > 0 {
		if info, err = shape.Infer(m, shape.Options{Inputs: o.InputShapes, Evaluate: constants.Evaluate}); err != nil {
			return nil, err
		}
	}
	pl := newPlanner(m, info, o)
	p := pl.plan
	p.Absorbed, p.batchAxes, p.inputs = absorbed, maps.Clone(o.BatchAxes), declared
	for _, t := range from {
		p.From = append(p.From, t.String())
	}
	wrong := info.Contradictions()
	if o.Strict && len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	for _, err := range wrong {
		p.Warnings = append(p.Warnings, err.Error()+"; what is declared is left out")
	}
	return pl, pl.findBatch()
}

// folded returns m with its functions inlined and its constants folded, for inputs of
// the given shapes.
func folded(m *onnxio.Model, inputs map[string][]int64) (*onnxio.Model, error) {
	// A matrix that is made from a constant cannot be replaced as an input can.
	m = m.Clone()
	m.Graph.Inputs = m.Graph.FeedInputs()
	return constants.Fold(m, constants.Options{Inputs: inputs})
}

// settle makes the pieces those of the plan, and lists its layers and what is kept.
func (p *Plan) settle(pieces []*piece) {
	p.pieces, p.live, p.Kept = pieces, live(pieces, p.links), []Kept{}
	var layered []*piece
	for _, pc := range p.live {
		if pc.layer != nil {
			layered = append(layered, pc)
		}
		if f, ok := pc.form.(kept); ok {
			p.Kept = append(p.Kept, f.of(pc))
		}
	}
	// A product is listed where its first matrix was.
	slices.SortStableFunc(layered, func(a, b *piece) int { return a.order - b.order })
	for _, pc := range layered {
		p.Layers = append(p.Layers, pc.layer)
	}
}
