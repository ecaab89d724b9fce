package convert

import (
	"encoding/json"
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

// memory adds up what a plan takes, given the eFCN as it was built.
func (p *Plan) memory(b *builder) Memory {
	var cnn, kernels, held, buffers int64
	own := make(map[*onnxio.Tensor]bool) // of the CNN
	for _, t := range p.model.Graph.Initializers {
		own[t] = true
		if t.Data != nil {
			cnn += t.Data.Len()
		}
	}
	layers := make(map[string]*Layer)
	for _, l := range p.Layers {
		layers[l.Output] = l
		if l.weights != nil {
			kernels += 4 * l.CNNParameters
			buffers = max(buffers, l.chunk())
		}
	}
	weights := make(map[string]*Layer) // what is generated, by its name
	tables := make(map[string]bool)
	for _, rec := range b.record.Layers {
		l := layers[rec.Output]
		if l == nil || l.weights == nil {
			continue
		}
		weights[rec.Weight], tables[rec.Index] = l, true
		if rec.Index != "" {
			held += l.weights.Local().HeldBytes()
		}
	}
	m := Memory{Loaded: p.WeightBytes}
	for _, t := range b.graph.Initializers {
		if !own[t] && weights[t.Name] == nil && !tables[t.Name] && t.Data != nil {
			held += t.Data.Len()
		}
	}
	for _, l := range weights {
		if l.Layout == record.Sparse {
			m.Loaded += l.DenseBytes() - l.SparseBytes()
		}
	}
	// Two buffers for each of the workers, as writeChunks has them, and those of
	// the tensor before, which may not have been collected yet; the garbage
	// collector lets the rest double.
	m.Converting = programBytes + 2*(cnn+kernels+held) + 4*int64(runtime.GOMAXPROCS(0))*buffers
	return m
}

// chunk is how much of the layer's weights is prepared at a time.
func (l *Layer) chunk() int64 {
	unit := 4 * l.Cols // a row
	switch l.Layout {
	case record.Local:
		s := l.weights.Local().Shape()
		unit = s.Bytes() / max(int64(s.Groups)*int64(s.Positions), 1)
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
	}{(*fields)(l), l.Density(), l.DenseBytes(), l.SparseBytes(), l.LocalBytes()})
}
