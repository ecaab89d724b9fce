package record

import (
	"context"
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

// Matrix is the matrix of one layer of an eFCN, in whatever layout the model
// stores it. It is read as a stream, a row at a time.
type Matrix struct {
	Rows, Cols int // outputs and inputs of the layer

	Layer Layer
	geometry
	bias       []float32
	stored     *onnxio.Tensor // dense, local and factored
	seen       []int64        // of a local or factored layer without geometry: its index table
	sparse     *onnxio.SparseTensor
	factors    *factors // of a factored layer, else nil
	transposed bool     // stored is [Cols, Rows]
	alpha      float32  // what the node multiplies what is stored with
}

// Open returns the matrix of the layer of that name (the name of its node
// in the CNN). The error for a name that no layer has lists those there are; it
// is ErrMissing if the model is no eFCN.
func Open(efcn *onnxio.Model, layer string) (*Matrix, error) {
	all, err := OpenAll(efcn)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, a := range all {
		if names[i] = a.Layer.Node; names[i] == layer {
			return a, nil
		}
	}
	return nil, fmt.Errorf("layer %q: the model has none of that name; it has %q", layer, names)
}

// OpenAll returns the matrices of all layers in the record.
func OpenAll(efcn *onnxio.Model) ([]*Matrix, error) {
	rec, err := Read(efcn)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, ErrMissing
	}
	all := make([]*Matrix, len(rec.Layers))
	for i, l := range rec.Layers {
		if all[i], err = l.Open(efcn.Graph); err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.Node, err)
		}
	}
	return all, nil
}

// Open returns the matrix of the layer in the graph of its eFCN.
func (l *Layer) Open(g *onnxio.Graph) (*Matrix, error) {
	rec := *l
	shape, err := rec.geometry()
	if err != nil {
		return nil, err
	}
	if !isSize(rec.InputShape) || !isSize(rec.OutputShape) {
		return nil, fmt.Errorf("record: shapes %v and %v", rec.InputShape, rec.OutputShape)
	}
	a := &Matrix{Rows: rec.rows(), Cols: rec.cols(), Layer: rec, geometry: shape, alpha: 1}
	if s := a.support; s != nil && (s.Rows() != a.Rows || s.Cols() != a.Cols) {
		return nil, fmt.Errorf("record: the geometry is of a %d×%d matrix, the shapes are of %d×%d", s.Rows(),
			s.Cols(), a.Rows, a.Cols)
	}
	if err := a.find(g); err != nil {
		return nil, err
	}
	if rec.Layout == Factored {
		if a.factors, err = findFactors(&rec, g); err != nil {
			return nil, err
		}
	}
	if t := g.Initializer(rec.Bias); t != nil {
		if a.bias, err = onnxio.Floats[float32](t); err != nil {
			return nil, err
		}
		if a.support != nil && len(a.bias) != a.Rows {
			return nil, fmt.Errorf("bias %q: want %d values, got %d", rec.Bias, a.Rows, len(a.bias))
		}
	}
	return a, nil
}

// find looks the weights up: an initializer, or a sparse constant.
func (a *Matrix) find(g *onnxio.Graph) error {
	name, read := a.Layer.Weight, false
	a.stored = g.Initializer(name)
	for _, s := range g.SparseInitializers {
		if s.Values.Name == name {
			a.sparse = s
		}
	}
	for _, n := range g.Nodes {
		if n.OpType == "Constant" && n.Output(0) == name {
			if v := n.Attr("sparse_value"); v != nil && v.Sparse != nil {
				a.sparse = v.Sparse
			} else if v := n.Attr("value"); v != nil {
				a.stored = v.T
			}
		}
		if n.Input(1) != name || a.support != nil || read && n.Name != a.Layer.Node {
			continue
		}
		read = true
		// A layer of the CNN's own may have its matrix the other way round, share it
		// with another, and multiply it by a number.
		transB, err := n.Int("transB", 0)
		if err != nil {
			return err
		}
		if a.alpha, err = n.Float("alpha", 1); err != nil {
			return err
		}
		a.transposed = transB == 0
	}
	switch {
	case a.sparse != nil:
		return a.checkSparse()
	case a.stored == nil:
		return fmt.Errorf("weights %q are not in the model", name)
	case a.stored.Type != onnxio.Float32:
		return fmt.Errorf("weights %q are %s; want float32", name, a.stored.Type)
	}
	want := []int64{int64(a.Rows), int64(a.Cols)}
	if a.transposed {
		slices.Reverse(want)
	}
	if a.Layer.Layout.LocalForm() {
		a.transposed = false
		m := a.localMap()
		if m == nil {
			return a.findTable(g)
		}
		want, _ = m.LocalDims()
	}
	if n := affine.Size(want); !slices.Equal(a.stored.Dims, want) || a.stored.Data == nil ||
		a.stored.Data.Len() != 4*n {
		return fmt.Errorf("weights %q: want a tensor of shape %v, got %v", name, want, a.stored.Dims)
	}
	return nil
}

// findTable looks up the index table of a layer in local form that has no
// geometry, and checks it and the weights [group, position, out channel, slot].
func (a *Matrix) findTable(g *onnxio.Graph) error {
	w, t := a.stored, g.Initializer(a.Layer.Index)
	if len(w.Dims) != 4 || slices.ContainsFunc(w.Dims, func(d int64) bool { return d < 1 }) ||
		affine.Size(w.Dims[:3]) != int64(a.Rows) ||
		int64(a.Cols)%w.Dims[0] != 0 || w.Data == nil || w.Data.Len() != 4*affine.Size(w.Dims) {
		return fmt.Errorf("weights %q: %v are no weights of a %d×%d matrix in local form", w.Name, w.Dims, a.Rows,
			a.Cols)
	}
	if t == nil || !slices.Equal(t.Dims, []int64{w.Dims[1], w.Dims[3]}) {
		return fmt.Errorf("index table %q is not in the model, or not of shape %v", a.Layer.Index,
			[]int64{w.Dims[1], w.Dims[3]})
	}
	var err error
	if a.seen, err = onnxio.Ints(t); err != nil {
		return fmt.Errorf("index table %q: %w", t.Name, err)
	}
	block, slots := int64(a.Cols)/w.Dims[0], int(w.Dims[3])
	for i, c := range a.seen {
		if c < 0 || c > block || i%slots > 0 && c <= a.seen[i-1] && a.seen[i-1] < block {
			return fmt.Errorf("index table %q: %d in slot %d of position %d; "+
				"want them ascending and below %d, which is the zero", t.Name, c, i%slots, i/slots, block)
		}
	}
	return nil
}

// localMap returns the geometry that weights in local form are laid out by, nil if
// only their index table says it: of a product, or of a Resize.
func (a *Matrix) localMap() *affine.Map {
	if a.support == nil && len(a.Layer.Factors) == 0 && a.Layer.Connected() { // one position that sees everything
		return affine.FullyConnected(a.Cols, a.Rows)
	}
	return a.support
}

func (a *Matrix) checkSparse() error {
	s := a.sparse
	if s.Indices == nil || s.Values.Data == nil || s.Indices.Data == nil || s.Values.Type != onnxio.Float32 ||
		s.Indices.Type != onnxio.Int64 {
		return fmt.Errorf("weights %q: want float32 values and int64 indices", a.Layer.Weight)
	}
	n, width := s.Values.Data.Len()/4, int64(1)
	if len(s.Indices.Dims) == 2 {
		width = 2
	}
	if !slices.Equal(s.Dims, []int64{int64(a.Rows), int64(a.Cols)}) || s.Indices.Data.Len() != 8*n*width {
		return fmt.Errorf("weights %q: want a %d×%d matrix, got shape %v with %d values and indices %v",
			a.Layer.Weight, a.Rows, a.Cols, s.Dims, n, s.Indices.Dims)
	}
	return nil
}

// RowVisitor takes row r of a matrix as a slice of its columns, which is the
// visitor's until it returns, and the columns that are stored, nil for all.
// Where they are listed, the others are zero and have to be left so.
type RowVisitor func(r int, row []float32, stored []int32) error

// Each visits the rows of the matrix: in their order, but for the layouts local and
// factored, where they come group by group and position by position. An entry of a
// factored layer is what is stored plus U·V there, in float64 and rounded once; U and V
// are held.
func (a *Matrix) Each(ctx context.Context, visit RowVisitor) error {
	if a.factors != nil {
		f, err := a.factors.load()
		if err != nil {
			return fmt.Errorf("layer %q: %w", a.Layer.Node, err)
		}
		visit = f.added(visit)
	}
	return a.EachStored(ctx, visit)
}

// EachStored is Each of what is stored as entries: all but the factors.
func (a *Matrix) EachStored(ctx context.Context, visit RowVisitor) error {
	var err error
	if a.alpha != 1 {
		visit = a.multiplied(visit)
	}
	switch {
	case a.sparse != nil:
		err = a.eachSparse(ctx, visit)
	case a.Layer.Layout.LocalForm():
		err = a.eachLocal(ctx, visit)
	case a.transposed:
		err = a.eachTransposed(ctx, visit)
	default:
		err = a.eachDense(ctx, visit)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("layer %q: %w", a.Layer.Node, err)
	}
	return err
}

// multiplied visits rows times alpha, rounded once.
func (a *Matrix) multiplied(visit RowVisitor) RowVisitor {
	product := make([]float32, a.Cols)
	return func(r int, row []float32, stored []int32) error {
		for i, v := range row {
			product[i] = a.alpha * v
		}
		return visit(r, product, stored)
	}
}

func (a *Matrix) eachDense(ctx context.Context, visit RowVisitor) error {
	r, row := 0, make([]float32, a.Cols)
	return eachBlock(ctx, a.stored, a.Cols, func(block []float32) error {
		copy(row, block) // which the visitor may change
		r++
		return visit(r-1, row, nil)
	})
}

// eachTransposed reads the matrix of a CNN's own layer, which is not larger
// than the CNN, before it visits its rows.
func (a *Matrix) eachTransposed(ctx context.Context, visit RowVisitor) error {
	w, err := onnxio.Floats[float32](a.stored)
	if err != nil {
		return err
	}
	w = affine.Transposed(w, a.Cols, a.Rows)
	for r := range a.Rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(r, w[r*a.Cols:(r+1)*a.Cols], nil); err != nil {
			return err
		}
	}
	return nil
}

// eachSeen reads a layer in local form by its index table.
func (a *Matrix) eachSeen(ctx context.Context, visit RowVisitor) error {
	positions, channels, n := int(a.stored.Dims[1]), int(a.stored.Dims[2]), int(a.stored.Dims[3])
	width := a.Cols / int(a.stored.Dims[0])
	row, stored := make([]float32, a.Cols), []int32{}
	block := 0
	return eachBlock(ctx, a.stored, n, func(slots []float32) error {
		o, p := block/channels/positions*channels+block%channels, block/channels%positions
		block++
		stored = stored[:0]
		for i, c := range a.seen[p*n : (p+1)*n] {
			if int(c) < width {
				col := o/channels*width + int(c)
				row[col] = slots[i]
				stored = append(stored, int32(col))
			}
		}
		err := visit(o*positions+p, row, stored)
		for _, col := range stored {
			row[col] = 0
		}
		return err
	})
}

func (a *Matrix) eachLocal(ctx context.Context, visit RowVisitor) error {
	if a.seen != nil {
		return a.eachSeen(ctx, visit)
	}
	m := a.localMap()
	dims, perChannel := m.LocalDims()
	positions, outPerGroup, n := int(dims[1]), int(dims[2]), int(dims[3])
	row := make([]float32, a.Cols)
	var (
		stored []int32
		taps   []affine.Tap
		block  int
	)
	return eachBlock(ctx, a.stored, n, func(slots []float32) error {
		o, p := block%outPerGroup, block/outPerGroup%positions
		r := (block/outPerGroup/positions*outPerGroup+o)*positions + p
		block++
		first, channels := m.Channels(r)
		taps = m.Taps.At(p, taps)
		stored = stored[:0]
		for c := range channels {
			for j, t := range taps {
				col := int32((first+c)*m.Taps.In) + t.In
				row[col] = slots[c*perChannel+j]
				stored = append(stored, col)
			}
		}
		err := visit(r, row, stored)
		for _, col := range stored {
			row[col] = 0
		}
		return err
	})
}

func (a *Matrix) eachSparse(ctx context.Context, visit RowVisitor) error {
	var (
		row    = make([]float32, a.Cols)
		stored = []int32{}
		r      int
		last   = int64(-1)
		size   = int64(a.Rows) * int64(a.Cols)
	)
	// finish visits the rows before row end.
	finish := func(end int) error {
		for ; r < end; r++ {
			if err := visit(r, row, stored); err != nil {
				return err
			}
			for _, col := range stored {
				row[col] = 0
			}
			stored = stored[:0]
		}
		return nil
	}
	for block, err := range onnxio.SparseBlocks[float32](a.sparse, sparseBlock) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		for k, i := range block.Indices {
			if i <= last || i >= size {
				return fmt.Errorf("sparse index %d after %d: want them ascending and below %d", i, last, size)
			}
			last = i
			if err := finish(int(i / int64(a.Cols))); err != nil {
				return err
			}
			col := int32(i % int64(a.Cols))
			row[col] = block.Values[k]
			stored = append(stored, col)
		}
	}
	return finish(a.Rows)
}

// sparseBlock is how many entries of a sparse matrix are read at a time.
const sparseBlock = 1 << 12

// eachBlock calls visit with the elements of a tensor, n at a time, which must not be
// changed.
func eachBlock(ctx context.Context, t *onnxio.Tensor, n int, visit func(block []float32) error) error {
	if n == 0 {
		return nil
	}
	for block, err := range onnxio.FloatBlocks[float32](t, n) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = visit(block)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// StoredBytes is the size of the layer's weights as they are stored.
func (a *Matrix) StoredBytes() int64 {
	if a.sparse != nil {
		return a.sparse.Values.Data.Len() + a.sparse.Indices.Data.Len()
	}
	n := a.stored.Data.Len()
	if a.factors != nil {
		n += a.factors.left.Data.Len() + a.factors.right.Data.Len()
	}
	return n
}
