package verify

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"efcn/convert/record"
	"efcn/onnxio"
)

// Names of the checks, as Options.Skip and Report.Checks have them.
const (
	Structure = "structure"
	Float64   = "float64"
	Float32   = "float32"
)

// Report is what Verify found.
type Report struct {
	CNN  string `json:"cnn"`  // path, "" for a model in memory
	EFCN string `json:"efcn"` // path
	// As is the type that the CNN was converted to before it was compared, if it was.
	As record.As `json:"as,omitempty"`
	// JudgedAs is the type that the second model was taken to store its numbers in, where
	// that is not the first's: see Options.As.
	JudgedAs string `json:"judged_as,omitempty"`
	// Recorded reports whether the second model carries the record of a conversion.
	Recorded bool      `json:"recorded"`
	Checks   []Check   `json:"checks"`
	Layers   []Layer   `json:"layers"`
	Values   []Value   `json:"values"`
	Outputs  []Outcome `json:"outputs"`
	// Steps are the values with elements that rounding may bring to either side of
	// a step, end to end.
	Steps []NearStep `json:"steps,omitempty"`
	// QuantizedConstants and QuantizedValues are what the second model has as integers, where it is
	// judged as int8.
	QuantizedConstants []QuantizedConstant `json:"quantized_constants,omitempty"`
	QuantizedValues    []QuantizedValue    `json:"quantized_values,omitempty"`
	// Elsewhere are the nodes that ran in another engine.
	Elsewhere []Elsewhere `json:"elsewhere,omitempty"`
	// Engines compares the outputs in other engines, where that was asked for.
	Engines []EngineOutcome `json:"engines,omitempty"`
	// Parting is where the models part; nil if they do not.
	Parting *Parting `json:"parting,omitempty"`
	// NonFinite holds the first values in which a model makes NaNs or infinities.
	NonFinite []FirstNonFinite `json:"non_finite"`
	// Findings holds the first fault of every kind at every node, in the order
	// of the checks and of the graph.
	Findings []Finding `json:"findings"`

	Samples int `json:"samples"` // inputs that both models ran on
	// Random is how many of them were drawn: see Options.Samples.
	Random int `json:"random_samples"`
	// OneAtATime says why the samples were run one at a time though the models
	// declare that they take any number; "" where they were not.
	OneAtATime string `json:"one_at_a_time,omitempty"`
	// Failing are the numbers of the samples that showed a fault, and
	// FailingInputs those samples, an array for each input, for Options.Inputs.
	Failing       []int            `json:"failing,omitempty"`
	FailingInputs []*onnxio.Tensor `json:"-"`
	Seed          uint64           `json:"seed"`
	RTol          float64          `json:"rtol"`
	ATol          float64          `json:"atol"`
}

// Status is the outcome of a check.
type Status string

// The outcomes of a check.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Check is one check and its outcome.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Summary is one line: what was compared, or why it was not.
	Summary string `json:"summary"`
}

// Layer is an embedded layer, or a linear node of the CNN that should be one.
type Layer struct {
	Node   string   `json:"node"` // of the CNN
	Op     string   `json:"op"`
	Folded []string `json:"folded,omitempty"` // labels of the nodes multiplied in
	// Factors are the operators that the layer is the product of, the first applied
	// first, with "level/levels" behind that of a maximum; empty of a single operator.
	Factors  []string      `json:"factors,omitempty"`
	Layout   record.Layout `json:"layout"` // found in the eFCN, "" where it is none of them
	Output   string        `json:"output"` // value
	Rows     int           `json:"rows"`
	Cols     int           `json:"cols"`
	NonZeros int64         `json:"non_zeros"` // entries of the support
	// Structure is "ok", "failed", or "skipped".
	Structure Status `json:"structure"`
	// Wrong is the number of entries that are not what they have to be.
	Wrong int64 `json:"wrong"`
}

// Value is a value that both models compute, compared where both are given the
// same inputs: those of its inputs that are compared themselves.
type Value struct {
	Name    string    `json:"name"`      // in the CNN
	Other   string    `json:"efcn_name"` // in the eFCN
	Node    string    `json:"node"`      // of the CNN that computes it
	Op      string    `json:"op"`
	Float64 *Distance `json:"float64,omitempty"`
	Float32 *Distance `json:"float32,omitempty"`
}

// Distance is how far two values are apart, against the bound on what rounding
// can do.
type Distance struct {
	Elements int64  `json:"elements"`
	Max      Figure `json:"max"`   // largest |difference|
	Ratio    Figure `json:"ratio"` // largest |difference|/bound; 0/0 is 0
	At       []int  `json:"at"`    // sample, then index without the batch axis, of that ratio
	CNN      Figure `json:"cnn"`   // the values there
	EFCN     Figure `json:"efcn"`
	Bound    Figure `json:"bound"`
	Over     int64  `json:"over"` // elements past their bound
	// Exact says that no two elements differ.
	Exact bool `json:"exact"`
	// Unbounded counts elements of which no bound is known.
	Unbounded int64 `json:"unbounded"`

	samples []int // numbers of the samples with elements past their bound
}

// Outcome compares one output of the two models, each run as a whole.
type Outcome struct {
	Name      string `json:"name"`
	Precision string `json:"precision"` // Float64 or Float32
	Distance
	// MaxRel is the largest |difference|/|CNN's value|, +Inf where only that is 0.
	MaxRel Figure `json:"max_rel"`
	// Scale is the largest |CNN's value|.
	Scale Figure `json:"scale"`
	// LeastATol and LeastRTol are the least tolerances that would pass, each with
	// the other at 0.
	LeastATol Figure `json:"least_atol"`
	LeastRTol Figure `json:"least_rtol"`
	// AbsQuantiles and RelQuantiles are the 50, 90, 99 and 100 % quantiles of
	// |difference| and of |difference|/|CNN's value| over all elements, rounded up
	// by at most 0.4 %.
	AbsQuantiles []Figure `json:"abs_quantiles,omitempty"`
	RelQuantiles []Figure `json:"rel_quantiles,omitempty"`
	// Ulps are those of the distance in units in the last place (float32 numbers
	// between the two), of Float32 only, and of models that are not judged as a type of 16 bits.
	Ulps []int64 `json:"ulps,omitempty"`
	// Agree of Rows samples have their largest element in the same place; of Ties
	// of them the CNN has more than one that is largest. Margin is the most by
	// which the CNN prefers its own class to that of the eFCN.
	Agree  int64  `json:"argmax_agree"`
	Rows   int64  `json:"argmax_of"`
	Ties   int64  `json:"argmax_ties"`
	Margin Figure `json:"argmax_margin"`

	CNNNonFinite  NonFinite `json:"cnn_non_finite"`
	EFCNNonFinite NonFinite `json:"efcn_non_finite"`
}

// NonFinite counts elements that are no finite numbers.
type NonFinite struct {
	NaN int64 `json:"nan"`
	Inf int64 `json:"inf"`
}

// FirstNonFinite is the first value, in the order of the graph, of a model that holds a
// NaN or an infinity.
type FirstNonFinite struct {
	Model     string `json:"model"`     // "cnn" or "efcn"
	Precision string `json:"precision"` // Float64 or Float32
	Kind      string `json:"kind"`      // "NaN" or "infinite"
	Value     string `json:"value"`
	Node      string `json:"node"`
	Op        string `json:"op"`
	At        []int  `json:"at"` // sample first
}

// Finding is one fault.
type Finding struct {
	Check string `json:"check"` // Structure, Float64 or Float32
	// Kind says what was compared: record, node, attribute, entry, bias, index,
	// padding, quantizer; layer, output, step; overflow where the second model is infinite in a type of 16
	// bits; run where a model could not be run.
	Kind  string `json:"kind"`
	Node  string `json:"node,omitempty"`
	Op    string `json:"op,omitempty"`
	Value string `json:"value,omitempty"`
	// Text says what is wrong, with index and both values, without the node.
	Text string `json:"text"`
}

func (f Finding) String() string {
	where := ""
	switch {
	case f.Node != "" && f.Op != "":
		where = fmt.Sprintf("node %q (%s): ", f.Node, f.Op)
	case f.Value != "":
		where = fmt.Sprintf("value %q: ", f.Value)
	}
	return fmt.Sprintf("%s: %s%s", f.Check, where, f.Text)
}

// Equal reports whether the models are equal: no check failed and at least one was made.
func (r *Report) Equal() bool {
	made := 0
	for _, c := range r.Checks {
		switch c.Status {
		case Failed:
			return false
		case OK:
			made++
		}
	}
	return made > 0
}

// FirstDifference returns where the models part first: a fault of the structure, which names
// the node and the entry, else the first value that does not agree, else the first finding. ok
// is false if they are equal.
func (r *Report) FirstDifference() (f Finding, ok bool) {
	if len(r.Findings) == 0 {
		return Finding{}, false
	}
	f = r.Findings[0]
	if p := r.Parting; p != nil && f.Check != Structure {
		f = Finding{Check: p.Precision, Kind: "layer", Value: p.Value, Text: p.over(p.Value, r.words())}
		if n := len(p.Nodes); n > 0 {
			f.Node, f.Op = p.Nodes[n-1].Node, p.Nodes[n-1].Op
		}
	}
	return f, true
}

// MarshalJSON implements json.Marshaler: the fields, and what they come to.
func (r *Report) MarshalJSON() ([]byte, error) {
	type fields Report // without this method
	return json.Marshal(struct {
		Equal   bool   `json:"equal"`
		Verdict string `json:"verdict"`
		*fields
	}{r.Equal(), r.Verdict(), (*fields)(r)})
}

func (r *Report) find(f Finding) { r.Findings = append(r.Findings, f) }

// Figure is a float64 that JSON holds even where it is not finite: as the
// string "NaN", "Infinity" or "-Infinity".
type Figure float64

// MarshalJSON implements json.Marshaler.
func (f Figure) MarshalJSON() ([]byte, error) {
	switch v := float64(f); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(v)
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Figure) UnmarshalJSON(b []byte) error {
	text := string(b)
	if s, err := strconv.Unquote(text); err == nil {
		text = s
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	*f = Figure(v)
	return nil
}
