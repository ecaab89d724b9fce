// Package compress makes the layers of an eFCN smaller after training: what they have
// outside the support of the CNN's operator is cut to low rank or to its largest
// entries, and what lies inside stays.
//
// Start with [Compress], which takes an eFCN in any layout to another and says what
// that left out, layer by layer; [Spectra] returns the singular values that a cut
// depends on. Both work on the off-local part W_off of a layer's matrix W, its entries
// outside the support.
//
// # What stays
//
// Factored: W_off is cut to U·V, its leading singular triples (Eckart and Young: nothing
// of that rank is nearer). U·V has entries in the support, too; the local weights become
// W less those, so that the entries of the support are what they were, rounded to
// float32, and the local form and U·V together are nearer to W than the cut is.
//
// Sparse: all of the support, and the largest entries of W_off. Local: the support.
//
// # Memory
//
// Matrices are read row by row, and dense ones multiplied some rows at a time. Beside
// those are held: in the search for singular triples k·(inputs + outputs) numbers of 8
// bytes for one layer, k the rank and a quarter more, at least 8 more, and all rows or
// columns of a matrix that has up to 256; for each layer that changes and is or becomes
// factored U and V, in numbers of 8 bytes; the weights of one local form while it is
// written.
package compress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/onnxio"
)

// Target says which layout a layer gets, and how much stays of what it has outside the
// support.
type Target struct {
	// Layout is Factored, Sparse, Local or Dense, or Keep for a layer that stays as it
	// is. A layer that is to be Dense keeps all.
	Layout record.Layout
	// Rank of a factored layer, at most that of its matrix; or
	Rank int
	// Energy, from above 0 to below 1: the rank is the smallest whose singular values
	// have this share of ‖W_off‖².
	Energy float64
	// Keep of a sparse layer: the share of the entries outside the support that stay,
	// the largest, from above 0 to 1.
	Keep float64
}

// Validate reports a target that makes no sense.
func (t Target) Validate() error {
	ranks := 0
	for _, given := range []bool{t.Rank != 0, t.Energy != 0} {
		if given {
			ranks++
		}
	}
	switch {
	case !slices.Contains([]record.Layout{record.Factored, record.Sparse, record.Local, record.Dense, record.Keep},
		t.Layout):
		return fmt.Errorf("layout %q: want factored, sparse, local, dense or keep", t.Layout)
	case t.Layout == record.Factored && ranks != 1:
		return errors.New("layout factored: want a rank, or the share of the energy that stays")
	case t.Layout != record.Factored && ranks > 0:
		return fmt.Errorf("layout %s has no rank", t.Layout)
	case t.Layout == record.Sparse && !(t.Keep > 0 && t.Keep <= 1):
		return fmt.Errorf("layout sparse: want the share of the entries that stay, above 0 and at most 1, got %v", t.Keep)
	case t.Layout != record.Sparse && t.Keep != 0:
		return fmt.Errorf("layout %s keeps no share of entries; sparse does", t.Layout)
	case t.Rank < 0:
		return fmt.Errorf("rank %d: want at least 1", t.Rank)
	case t.Energy != 0 && !(t.Energy > 0 && t.Energy < 1):
		return fmt.Errorf("energy %v: want a number above 0 and below 1", t.Energy)
	}
	return nil
}

// Options say what becomes of an eFCN.
type Options struct {
	Target // of the layers that Layers does not name
	// Layers gives single layers, by the name of their node, a target of their own.
	// Default none.
	Layers map[string]Target
	// MaxBytes bounds the weights of the result. Default (0) [record.DefaultMaxBytes].
	MaxBytes int64
	// Seed of the random vectors that the search for singular triples begins with.
	// Default 0.
	Seed uint64
}

// Report says what became of every layer.
type Report struct {
	Layers []Layer `json:"layers"`
	// Before and After are the bytes of all weights, index tables among them.
	Before  int64 `json:"weight_bytes_before"`
	After   int64 `json:"weight_bytes"`
	Allowed int64 `json:"max_bytes"`
}

// Layer is what became of one layer.
type Layer struct {
	Node   string        `json:"node"`
	Op     string        `json:"op"`
	From   record.Layout `json:"from"`
	Layout record.Layout `json:"layout"`
	// Unchanged is why the layer is what it was, "" if it is not.
	Unchanged string `json:"unchanged,omitempty"`
	Rank      int64  `json:"rank,omitempty"` // of a factored layer
	// Asked is the rank that was asked for, where the matrix has not so many rows or columns.
	Asked int64 `json:"rank_asked,omitempty"`
	// Entries is how many a sparse layer has outside the support.
	Entries int64 `json:"entries,omitempty"`
	// OffLocal is ‖W_off‖, and Energy the share of its square that stays: of the
	// singular values, or of the entries.
	OffLocal float64 `json:"off_local_norm"`
	Energy   float64 `json:"energy"`
	// Change is ‖W − W'‖/‖W‖, W' the matrix of the result, but for the rounding of its
	// entries.
	Change float64 `json:"change"`
	Before int64   `json:"bytes_before"` // of its weights, without the bias
	After  int64   `json:"bytes"`
	Dense  int64   `json:"bytes_dense"` // what they take in dense form
}

// BudgetError says that the weights of the result are more than is allowed.
type BudgetError struct {
	Need, Allowed int64
	AtLeast       bool   // Need is a lower bound, found before any work
	Target        Target // of the layers that have none of their own
}

func (e *BudgetError) Error() string {
	text := fmt.Sprintf("%d bytes of weights: more than the %d allowed", e.Need, e.Allowed)
	if e.AtLeast {
		return "at least " + text
	}
	return text
}

// SparseSizeError says that the sparse layers of the result are more than a file can hold:
// unlike other weights they are inside the model's protobuf message.
type SparseSizeError struct {
	Need, Most int64 // bytes
}

func (e *SparseSizeError) Error() string {
	return fmt.Sprintf("%d bytes of sparse layers, which are stored inside the model file: more than the %d it can hold",
		e.Need, e.Most)
}

// EnergyError says that a factored layer with the share of the energy that was asked for
// would not be smaller than the dense one.
type EnergyError struct {
	Layer   string
	Energy  float64
	Rank    int // the largest with which it is smaller
	Reached float64
}

func (e *EnergyError) Error() string {
	return fmt.Sprintf("layer %q: rank %d has %.4g of its energy outside the support, and with a larger one it is no "+
		"smaller than dense; want a share below that, or another layout for it", e.Layer, e.Rank, e.Reached)
}

// job is what is done to one layer.
type job struct {
	*layer // nil if it only becomes dense
	target Target
	index  int // in the record
	row    *Layer
	cut    *lowRank
	chosen *selection
}

// Compress returns an eFCN with its layers in other layouts, and what became of each. Its
// matrices are read from efcn when it is written or read, whose files have to be there
// until then. Layers that have no support, because the CNN had them fully connected or as
// a product, stay as they are, unless their target is Dense. A result of more bytes than
// are allowed is a *BudgetError, and one of more sparse entries than a file can hold a
// *SparseSizeError; the report is returned with both.
func Compress(ctx context.Context, efcn *onnxio.Model, o Options) (*onnxio.Model, *Report, error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	all, err := record.OpenAll(efcn)
	if err != nil {
		return nil, nil, err
	}
	measured, err := record.Measure(ctx, efcn, nil)
	if err != nil {
		return nil, nil, err
	}
	report := &Report{
		Layers: make([]Layer, len(all)), Before: weightBytes(efcn.Graph),
		Allowed: cmp.Or(o.MaxBytes, record.DefaultMaxBytes),
	}
	jobs, err := o.jobs(all, measured, report)
	if err != nil {
		return nil, nil, err
	}
	if need := report.atLeast(); need > report.Allowed {
		return nil, report, &BudgetError{Need: need, Allowed: report.Allowed, AtLeast: true, Target: o.Target}
	}
	for _, j := range jobs {
		if err := j.decide(ctx, o.Seed, measured.Layers[j.index]); err != nil {
			return nil, nil, err
		}
	}
	if err := report.checkSparse(); err != nil {
		return nil, report, err
	}
	out, err := build(ctx, efcn, all, jobs)
	if err != nil {
		return nil, nil, err
	}
	report.After = weightBytes(out.Graph)
	if report.After > report.Allowed {
		return nil, report, &BudgetError{Need: report.After, Allowed: report.Allowed, Target: o.Target}
	}
	return out, report, nil
}

// Validate reports options that make no sense.
func (o Options) Validate() error {
	if err := o.Target.Validate(); err != nil {
		return err
	}
	if o.MaxBytes < 0 {
		return fmt.Errorf("max bytes: %d is negative", o.MaxBytes)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Layers)) {
		if err := o.Layers[name].Validate(); err != nil {
			return fmt.Errorf("layer %q: %w", name, err)
		}
	}
	return nil
}

// jobs lists the layers that change, and fills the rows of the report of those that do
// not.
func (o Options) jobs(all []*record.Matrix, measured *record.Deviation, report *Report) ([]*job, error) {
	var jobs []*job
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = a.Layer.Node
		target, named := o.Layers[a.Layer.Node]
		if !named {
			target = o.Target
		}
		row := &report.Layers[i]
		m := measured.Layers[i]
		*row = Layer{
			Node: a.Layer.Node, Op: a.Layer.Op, From: a.Layer.Layout, Layout: a.Layer.Layout, Rank: a.Layer.Rank,
			OffLocal: m.OffLocal * m.Norm, Energy: 1, Before: a.StoredBytes(), After: a.StoredBytes(),
			Dense: 4 * int64(a.Rows) * int64(a.Cols),
		}
		switch {
		case target.Layout == record.Keep:
			row.Unchanged = "asked to be kept"
			continue
		case m.NotMeasured != "" && target.Layout != record.Dense && named:
			return nil, fmt.Errorf("layer %q has nothing outside a support to leave out: %s", a.Layer.Node, m.NotMeasured)
		case m.NotMeasured != "" && target.Layout != record.Dense:
			row.Unchanged = m.NotMeasured
			continue
		case target.Layout == a.Layer.Layout && (target.Layout == record.Dense || target.Layout == record.Local):
			row.Unchanged = fmt.Sprintf("it is %s already", target.Layout)
			continue
		}
		j := &job{target: target, index: i, row: row}
		if target.Layout != record.Dense {
			support, err := a.Layer.Support()
			if err == nil {
				j.layer, err = newLayer(a, support)
			}
			if err != nil {
				return nil, fmt.Errorf("layer %q: %w", a.Layer.Node, err)
			}
		}
		row.Layout, row.Rank = target.Layout, 0
		row.After = j.leastBytes(a)
		jobs = append(jobs, j)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Layers)) {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("layer %q: the eFCN has none of that name; it has %q", name, names)
		}
	}
	return jobs, nil
}

// leastBytes is what the layer takes at least, which is known before any work.
func (j *job) leastBytes(a *record.Matrix) int64 {
	switch j.target.Layout {
	case record.Dense:
		return j.row.Dense
	case record.Sparse:
		return 12 * j.support.NonZeros()
	case record.Factored:
		return j.support.Local().Shape().Bytes() +
			4*int64(min(max(1, j.target.Rank), a.Rows, a.Cols))*int64(a.Rows+a.Cols)
	default:
		return j.support.Local().Shape().Bytes()
	}
}

// atLeast is what the matrices take at least, before anything is decided.
func (r *Report) atLeast() (n int64) {
	for _, l := range r.Layers {
		n += l.After
	}
	return n
}

// checkSparse returns a *SparseSizeError where the sparse layers do not fit into a
// protobuf message.
func (r *Report) checkSparse() error {
	e := &SparseSizeError{Most: math.MaxInt32}
	for _, l := range r.Layers {
		if l.Layout == record.Sparse {
			e.Need += l.After
		}
	}
	if e.Need > e.Most {
		return e
	}
	return nil
}

// decide finds out what stays of a layer.
func (j *job) decide(ctx context.Context, seed uint64, measured record.LayerDeviation) error {
	if j.layer == nil {
		return nil
	}
	row := j.row
	square := row.OffLocal * row.OffLocal
	apart := square
	row.Energy = 0
	if square == 0 {
		row.Energy = 1
	}
	var err error
	switch j.target.Layout {
	case record.Factored:
		if j.cut, err = j.decompose(ctx, j.target, square, seed); err != nil {
			return err
		}
		row.Rank, row.Energy, apart = int64(j.cut.rank), j.cut.share, j.cut.apart
		if asked := int64(j.target.Rank); asked > row.Rank {
			row.Asked = asked
		}
		row.After = j.support.Local().Shape().Bytes() + 4*row.Rank*int64(j.Rows+j.Cols)
	case record.Sparse:
		outside := int64(j.Rows)*int64(j.Cols) - j.support.NonZeros()
		if j.chosen, err = j.largest(ctx, int64(math.Round(j.target.Keep*float64(outside)))); err != nil {
			return err
		}
		row.Entries, row.Energy, apart = j.chosen.count, j.chosen.share, j.chosen.apart
		row.After = 12 * (j.support.NonZeros() + row.Entries)
	}
	if apart > 0 {
		row.Change = math.Sqrt(apart) / measured.Norm
	}
	return nil
}

// weightBytes are those of all constants that a graph stores.
func weightBytes(g *onnxio.Graph) (n int64) {
	for _, t := range g.Initializers {
		if t.Data != nil {
			n += t.Data.Len()
		}
	}
	for _, s := range g.SparseConstants() {
		n += s.Values.Data.Len() + s.Indices.Data.Len()
	}
	return n
}

// build returns the eFCN with the layers of the jobs changed.
func build(ctx context.Context, efcn *onnxio.Model, all []*record.Matrix, jobs []*job) (*onnxio.Model, error) {
	var dense []*record.Matrix
	changed := make(map[string]*job) // by the name of their weights
	for _, j := range jobs {
		if a := all[j.index]; a.Layer.Layout != record.Dense {
			dense = append(dense, a)
		}
		if j.layer != nil {
			changed[j.Layer.Weight] = j
		}
	}
	out, err := restore.Dense(ctx, efcn, dense)
	if err != nil || len(changed) == 0 {
		return out, err
	}
	return rewrite(ctx, out, changed)
}
