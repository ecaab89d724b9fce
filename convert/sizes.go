package convert

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"runtime"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// Memory is about what a plan takes in memory, in bytes.
type Memory struct {
	// Converting is the peak of the whole program while the eFCN is written: the
	// CNN, the kernels taken from it, the vectors and the tables of products that are
	// not generated, and the buffers of what is. On two cores it was found 1.2 to 1.9
	// times the measured peak (bench/convert).
	Converting int64 `json:"converting"`
	// Loaded is what the weights take once a runtime has loaded them. Sparse
	// constants are counted as dense matrices, which is what other runtimes make of
	// them; while they do so both are there.
	Loaded int64 `json:"loaded"`
}

// programBytes is what the program takes to convert the smallest of models.
const programBytes = 36 << 20

// sizes are the bytes that the constants of an eFCN take, added up piece by piece.
type sizes struct {
	plan   *Plan
	consts map[string]*onnxio.Tensor

	own      int64 // the CNN's own
	matrices int64 // generated matrices, in their layouts
	tables   int64 // of layers in local form: which inputs positions see
	other    int64 // biases, indices, shapes and what else is held in memory
	loaded   int64 // what a runtime adds to that by making sparse constants dense
	kernels  int64 // what the matrices are made from
	held     int64 // what else is in memory: tables of products, constants that follow from shapes
	buffers  int64 // the largest part of a matrix that is prepared at a time

	counted map[string]bool            // constants of the CNN that are in own
	shared  map[[sha256.Size]byte]bool // tables that several layers have
	flat    map[string]bool            // values that are vectors only so far
}

// weigh adds up what the plan takes, with the layouts that its layers have now.
func (p *Plan) weigh() {
	s := &sizes{
		plan: p, consts: p.constants(),
		counted: make(map[string]bool), shared: make(map[[sha256.Size]byte]bool), flat: make(map[string]bool),
	}
	for _, piece := range p.live {
		piece.form.weigh(s, piece)
	}
	for _, v := range p.model.Graph.Outputs {
		s.nd(v.Name)
	}
	p.WeightBytes = s.own + s.matrices + s.tables + s.other
	p.Memory.Loaded = p.WeightBytes + s.loaded
	cnn := int64(0)
	for _, t := range p.model.Graph.Initializers {
		if t.Data != nil {
			cnn += t.Data.Len()
		}
	}
	// Two buffers for each of the workers that prepare a matrix, and those of the
	// tensor before, which may not have been collected yet; the garbage collector
	// lets the rest double.
	p.Memory.Converting = programBytes + 2*(cnn+s.kernels+s.other+s.held) + 4*int64(runtime.GOMAXPROCS(0))*s.buffers
}

// constants returns the constants of the CNN by their names: its initializers, and
// what follows from its shapes.
func (p *Plan) constants() map[string]*onnxio.Tensor {
	consts := maps.Clone(p.known)
	for _, t := range p.model.Graph.Initializers {
		consts[t.Name] = t
	}
	return consts
}

// constant counts a constant of the CNN that the eFCN has too, once.
func (s *sizes) constant(name string) {
	if t := s.consts[name]; t != nil && t.Data != nil && !s.counted[name] {
		s.counted[name] = true
		s.own += t.Data.Len()
		if s.plan.known[name] != nil {
			s.held += t.Data.Len()
		}
	}
}

// vec notes that a value is computed as a vector.
func (s *sizes) vec(name string) {
	t, _ := s.plan.typeOf(name)
	s.flat[name] = len(t.Shape) != 2
}

// nd counts what it takes to have a value on tensors: the shape for a Reshape, the
// first time, where it is a vector.
func (s *sizes) nd(name string) {
	if s.flat[name] {
		t, _ := s.plan.typeOf(name)
		s.other += 8 * int64(len(t.Shape))
		s.flat[name] = false
	}
	s.constant(name)
}

// pad counts the constants of a Pad of that many axes.
func (s *sizes) pad(axes int64) {
	if !s.plan.has("Pad", "pads") { // where they are attributes they are no constants
		s.other += 8*2*axes + 4
	}
}

// sparse counts a sparse constant.
func (s *sizes) sparse(t *onnxio.SparseTensor) {
	for _, part := range []*onnxio.Tensor{t.Values, t.Indices} {
		if part != nil && part.Data != nil {
			s.matrices += part.Data.Len()
		}
	}
}

// local counts a layer in local form: its weights, its table, the shape of its
// Reshape, and the zero behind each block.
func (s *sizes) local(l *Layer) {
	form := l.weights.Local()
	f := form.Shape()
	s.matrices += f.Bytes()
	s.other += 8 * 3
	if f.Padded {
		s.pad(3)
	}
	s.held += form.HeldBytes()
	key, sharable := form.TableKey()
	if sharable && s.shared[key] {
		return
	}
	s.shared[key] = sharable
	s.tables += f.TableBytes()
}

// chunk is how much of the layer's weights is prepared at a time.
func (l *Layer) chunk() int64 {
	unit := 4 * l.Cols // a row
	switch l.Layout {
	case record.Local, record.Factored:
		s := l.weights.Local().Shape()
		unit = s.Bytes() / max(int64(s.Groups)*int64(s.Positions), 1)
		if l.Layout == record.Factored {
			unit = max(unit, 4*l.Cols) // a row of V
		}
	case record.Sparse:
		unit = 12 * l.NonZeros / max(l.Rows, 1)
	}
	return max(unit, min(affine.ChunkBytes, l.bytesIn(l.Layout)))
}

// MarshalJSON adds to the fields of the layer what follows from them.
func (l *Layer) MarshalJSON() ([]byte, error) {
	type fields Layer
	return json.Marshal(struct {
		*fields
		Density     float64 `json:"density"`
		DenseBytes  int64   `json:"dense_bytes"`
		SparseBytes int64   `json:"sparse_bytes"`
		LocalBytes  int64   `json:"local_bytes"`
		// With the rank that the options give it, whatever its layout.
		FactoredBytes int64 `json:"factored_bytes"`
	}{(*fields)(l), l.Density(), l.DenseBytes(), l.SparseBytes(), l.LocalBytes(), l.FactoredBytes()})
}
