package convert

import (
	"errors"
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func init() {
	const becomes = "itself, on tensors: a maximum is not linear; with MaxPool relu, matrices and Relu"
	register("MaxPool", operator{
		becomes: becomes, plan: planMaxPool, notNegative: sameSign,
		window: poolWindow, absorb: absorbIntoMaxPool, kept: explicitWindow,
	})
	register("GlobalMaxPool", operator{becomes: becomes, plan: planGlobalMaxPool, notNegative: sameSign})
	register("ReduceMax", operator{becomes: becomes, plan: planReduceMax, notNegative: sameSign})
}

// MaxPool says what becomes of MaxPool, GlobalMaxPool and ReduceMax.
type MaxPool string

const (
	// MaxPoolKeep leaves them on tensors.
	MaxPoolKeep MaxPool = "keep"
	// MaxPoolRelu makes a tree of max(a,b) = b + relu(a−b) of them.
	MaxPoolRelu MaxPool = "relu"
)

// MaxPools lists what Options.MaxPool can be.
func MaxPools() []MaxPool { return []MaxPool{MaxPoolKeep, MaxPoolRelu} }

// planMaxPool plans a pooling by maxima of any number of spatial axes, with every
// attribute. Cells in the padding do not take part.
// https://onnx.ai/onnx/operators/onnx__MaxPool.html, versions 1 to 22.
func planMaxPool(pl *planner, n *onnxio.Node) ([]*piece, error) {
	return pl.maximum(n, func(in value) ([][][]int, record.Layer, error) {
		var rec record.Layer
		if pl.takesIndices(n) {
			return nil, rec, fmt.Errorf("its output of indices, %q, is used", n.Output(1))
		}
		w, err := shape.PoolWindow(n, in.tensor())
		if err != nil {
			return nil, rec, err
		}
		ws, err := affine.Windows(w)
		if err != nil {
			return nil, rec, err
		}
		cells := make([][][]int, 1, len(ws)+1) // nothing along the channels
		for _, w := range ws {
			var along [][]int
			for _, taps := range w.Axis(1, func(int, int) int { return 0 }).Taps {
				var cells []int
				for _, t := range taps {
					cells = append(cells, int(t.In))
				}
				along = append(along, cells)
			}
			cells = append(cells, along)
		}
		rec.KernelShape, rec.Strides, rec.Dilations = w.Kernel, w.Stride, w.Dilation
		rec.Pads = slices.Concat(w.PadBegin, w.PadEnd)
		return cells, rec, nil
	})
}

// planGlobalMaxPool plans the maximum of every channel.
// https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html, versions 1 to 22.
func planGlobalMaxPool(pl *planner, n *onnxio.Node) ([]*piece, error) {
	return pl.maximum(n, func(in value) ([][][]int, record.Layer, error) {
		cells := make([][][]int, len(in.dims))
		for axis := 1; axis < len(in.dims); axis++ {
			cells[axis] = allOf(in.dims[axis])
		}
		return cells, record.Layer{}, nil
	})
}

// planReduceMax plans a maximum over axes other than the batch.
// https://onnx.ai/onnx/operators/onnx__ReduceMax.html, versions 1 to 20.
func planReduceMax(pl *planner, n *onnxio.Node) ([]*piece, error) {
	return pl.maximum(n, func(in value) ([][][]int, record.Layer, error) {
		axes, err := pl.plan.info.ReduceAxes(n)
		if err != nil {
			return nil, record.Layer{}, orKeep(err)
		}
		if len(axes) == 0 {
			return nil, record.Layer{}, errors.New("without axes it works along the batch axis, or not at all")
		}
		cells := make([][][]int, len(in.dims))
		for _, a := range axes {
			axis, err := innerAxis(int64(a), in.dims)
			if err != nil {
				return nil, record.Layer{}, err
			}
			cells[axis] = allOf(in.dims[axis])
		}
		return cells, record.Layer{}, nil
	})
}

// allOf is one window of all indices of an axis.
func allOf(length int) [][]int {
	all := make([]int, length)
	for i := range all {
		all[i] = i
	}
	return [][]int{all}
}

// windowsOf returns, for every axis of an input, the indices that each output index
// takes the maximum of, nil where the axis stays as it is; and the geometry for the
// record.
type windowsOf func(in value) ([][][]int, record.Layer, error)

// maximum plans a node that takes maxima: it stays on tensors, or becomes levels
// of matrices and Relu.
func (pl *planner) maximum(n *onnxio.Node, windows windowsOf) ([]*piece, error) {
	if pl.opts.MaxPool != MaxPoolRelu {
		return nil, keep("a maximum is not linear")
	}
	if pl.opts.layoutOf(n.Label()) == record.Keep {
		return nil, keep(askedToBeKept)
	}
	st, err := pl.maximumLevels(n, windows)
	if err != nil {
		// What is asked for is done or refused: a reason to keep the node is no
		// reason then.
		if why, ok := errors.AsType[*keepError](err); ok {
			err = errors.New(why.why)
		}
		return nil, &MaximumError{Node: n.Label(), Err: err}
	}
	return st, nil
}

func (pl *planner) maximumLevels(n *onnxio.Node, windows windowsOf) ([]*piece, error) {
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	cells, geometry, err := windows(in)
	if err != nil {
		return nil, err
	}
	for axis, along := range cells {
		for p, cells := range along {
			if len(cells) == 0 {
				return nil, fmt.Errorf("window %d along axis %d has no cell of the input", p, axis+1)
			}
		}
	}
	t := newMaxTree(in.dims, pl.notNegative(n.Input(0)))
	for axis := len(cells) - 1; axis >= 0; axis-- {
		if cells[axis] != nil {
			t.reduce(axis, cells[axis])
		}
	}
	if value := (value{dims: t.dims}); value.size() != out.size() {
		return nil, fmt.Errorf("output %q has shape N×%v by shape inference, N×%v by its attributes", n.Output(0),
			out.dims, t.dims)
	}
	if len(t.levels) == 0 { // every window has one cell
		return pl.selectFrom(n, n.Output(0), t.selection(in.dims).Reshape(out.dims...), 0)
	}
	levels := append(t.levels, t.combination())
	l := &maxLevels{n: n, layout: pl.opts.layoutOf(n.Label()), geometry: geometry, count: len(levels)}
	var pieces []*piece
	from, dims := n.Input(0), in.dims
	for i, m := range levels[:len(levels)-1] {
		output := pl.addValue(fmt.Sprintf("%s/level%d", n.Output(0), i+1), m.Rows())
		pieces = append(pieces, l.level(pl, i+1, m, dims, t.shapes[i], from, output))
		from, dims = pl.addValue(output+"/relu", m.Rows()), t.shapes[i]
		pieces = append(pieces, onVectors(&onnxio.Node{
			Name: fmt.Sprintf("%s/level%d/Relu", n.Label(), i+1), OpType: "Relu", Inputs: []string{output},
			Outputs: []string{from},
		}, nil))
	}
	return append(pieces, l.level(pl, len(levels), levels[len(levels)-1], dims, out.dims, from, n.Output(0))), nil
}

// maxLevels is what the levels of a maximum have in common.
type maxLevels struct {
	n        *onnxio.Node
	layout   record.Layout
	geometry record.Layer
	count    int
}

// level returns level i, the matrix m from one value to another.
func (l *maxLevels) level(pl *planner, i int, m *affine.Map, in, out []int, from, to string) *piece {
	rec := l.geometry
	rec.InputShape, rec.OutputShape = int64s(in), int64s(out)
	rec.Op, rec.Node, rec.Source, rec.Output = l.n.OpType, fmt.Sprintf("%s/level%d", l.n.Label(), i), l.n.Output(0), to
	rec.Factors = []record.Factor{{Op: l.n.OpType, Node: l.n.Label(), Output: l.n.Output(0), Level: i, Levels: l.count}}
	rec.Layout = l.layout
	if _, layout := pl.opts.given(rec.Node); layout != "" {
		rec.Layout = layout
	}
	node := &onnxio.Node{
		Name: rec.Node, OpType: l.n.OpType, Inputs: []string{from}, Outputs: []string{to},
		Metadata: l.n.Metadata,
	}
	return &piece{
		node: node, reads: node.Inputs, writes: node.Outputs, form: matrix{},
		layer:  &Layer{Layer: rec, Rows: int64(m.Rows()), Cols: int64(m.Cols()), NonZeros: m.NonZeros(), weights: m},
		linear: &linear{factors: []affine.Factor{m.Factor()}, sources: rec.Factors},
	}
}

// addValue makes a value of that many elements part of the eFCN, under that name
// or one like it.
func (pl *planner) addValue(name string, size int) string {
	free := pl.names.Free(name)
	pl.plan.added[free] = onnxio.TensorType{
		Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{pl.plan.batch, onnxio.Fixed(int64(size))},
	}
	return free
}

// notNegative reports whether no element of a value can be less than zero: it comes
// from a Relu or from a Clip at zero or above, through nothing but selections,
// reshapes, joins, averages and maxima.
func (pl *planner) notNegative(name string) bool {
	n := pl.links.Producer(name)
	if n == nil {
		return false
	}
	op, _ := operatorOf(n)
	return op.notNegative != nil && op.notNegative(pl, n)
}

// maxTree turns maxima into levels of an affine map and a Relu, axis by axis. At
// each level the cells of every window are put together in pairs:
// max(a,b) = relu(a−b) + b, where b is relu(b) − relu(−b), or relu(b) if it cannot
// be negative. What has no partner is passed on in the same way. A value that
// several windows need is made once. The sum behind each Relu is multiplied into
// the differences of the next level, which is exact: all coefficients are small
// whole numbers.
//
// A level does the same for all indices of the other axes, so its matrix is a Map
// of which only one axis is not the identity.
type maxTree struct {
	dims     []int // of the values that are there so far
	positive bool  // none of them is negative
	// pending says, for every axis, how the values are made of the units that the
	// last level left, nil for those themselves.
	pending [][]terms
	units   []int // lengths of the axes of those units
	levels  []*affine.Map
	shapes  [][]int // of what each level computes
}

// terms is a linear form: a coefficient for each index, ascending.
type terms []term

type term struct {
	at   int
	coef float64
}

func newMaxTree(dims []int, positive bool) *maxTree {
	return &maxTree{
		dims: slices.Clone(dims), positive: positive, pending: make([][]terms, len(dims)),
		units: slices.Clone(dims),
	}
}

// reduce takes the maxima of the windows along an axis.
func (t *maxTree) reduce(axis int, windows [][]int) {
	// windows[p] lists the values that output p is still the maximum of.
	windows = slices.Clone(windows)
	for slices.ContainsFunc(windows, func(w []int) bool { return len(w) > 1 }) {
		windows = t.level(axis, windows)
	}
	chosen := make([]terms, len(windows))
	for p, w := range windows {
		chosen[p] = terms{{w[0], 1}}
	}
	t.pending[axis] = compose(chosen, t.pending[axis])
	t.dims[axis] = len(windows)
}

// level appends a level that halves the windows along an axis, and returns what
// they are windows of then.
func (t *maxTree) level(axis int, windows [][]int) [][]int {
	var (
		units  []terms // of the values, what goes through the Relu
		values []terms // of the units, what comes out
		byUnit = make(map[[2]int]int)
		byPair = make(map[[2]int]int)
	)
	const negative = -2
	// unit numbers relu(a−b), for b = −1 relu(a), and for b = negative relu(−a).
	unit := func(a, b int) int {
		key := [2]int{a, b}
		i, ok := byUnit[key]
		if !ok {
			i = len(units)
			byUnit[key] = i
			switch b {
			case -1:
				units = append(units, terms{{a, 1}})
			case negative:
				units = append(units, terms{{a, -1}})
			default:
				units = append(units, terms{{a, 1}, {b, -1}})
			}
		}
		return i
	}
	pair := func(a, b int) int { // max(a, b), or a itself for b = −1
		key := [2]int{a, b}
		if i, ok := byPair[key]; ok {
			return i
		}
		var made terms
		kept := a
		if b >= 0 {
			made, kept = append(made, term{unit(a, b), 1}), b
		}
		made = append(made, term{unit(kept, -1), 1})
		if !t.positive {
			made = append(made, term{unit(kept, negative), -1})
		}
		byPair[key] = len(values)
		values = append(values, made)
		return len(values) - 1
	}
	next := make([][]int, len(windows))
	for p, w := range windows {
		for ; len(w) > 1; w = w[2:] {
			next[p] = append(next[p], pair(w[0], w[1]))
		}
		if len(w) == 1 {
			next[p] = append(next[p], pair(w[0], -1))
		}
	}
	t.pending[axis] = compose(units, t.pending[axis])
	t.levels = append(t.levels, t.combination())
	t.pending = make([][]terms, len(t.dims))
	t.pending[axis] = values
	t.dims[axis] = len(values)
	return next
}

// combination returns the map from the units that the last level left to what is
// pending, whose rows are the units from then on.
func (t *maxTree) combination() *affine.Map {
	axes := make([]affine.Axis, len(t.units))
	weights := []float64{1}
	for i, in := range t.units {
		rows := t.pending[i]
		if rows == nil {
			rows = identity(in)
		}
		along, w := axisOf(rows, in)
		axes[i], weights = along, products(weights, w)
		t.units[i] = len(rows)
	}
	t.shapes = append(t.shapes, slices.Clone(t.units))
	// The first axis holds channels. Where it is as it was, they are groups.
	channels := 1
	if t.pending[0] == nil {
		channels, axes = t.units[0], axes[1:]
		weights = weights[:len(weights):len(weights)]
	}
	m := &affine.Map{Groups: max(channels, 1), InChannels: channels, OutChannels: channels, Taps: affine.NewTaps(axes)}
	for range channels {
		for _, w := range weights {
			m.Kernel = append(m.Kernel, float32(w))
		}
	}
	return m
}

// selection returns what the pending axes select, if that is all they do.
func (t *maxTree) selection(dims []int) affine.Selection {
	s := affine.Everything(dims)
	for axis, rows := range t.pending {
		if rows == nil {
			continue
		}
		index := make([]int, len(rows))
		for i, r := range rows {
			index[i] = r[0].at
		}
		s = s.Along(axis, index)
	}
	return s
}

func identity(n int) []terms {
	rows := make([]terms, n)
	for i := range rows {
		rows[i] = terms{{i, 1}}
	}
	return rows
}

// compose returns the rows of outer, which are forms of what inner makes, as forms
// of what inner is made of. A nil inner is the identity.
func compose(outer, inner []terms) []terms {
	rows := make([]terms, len(outer))
	for i, row := range outer {
		sum := make(map[int]float64)
		for _, o := range row {
			if inner == nil {
				sum[o.at] += o.coef
				continue
			}
			for _, in := range inner[o.at] {
				sum[in.at] += o.coef * in.coef
			}
		}
		for at, coef := range sum {
			rows[i] = append(rows[i], term{at, coef})
		}
		slices.SortFunc(rows[i], func(a, b term) int { return a.at - b.at })
	}
	return rows
}

// axisOf returns the taps of linear forms, and their coefficients: each distinct
// one once.
func axisOf(rows []terms, in int) (affine.Axis, []float64) {
	a := affine.Axis{In: in, Taps: make([][]affine.Tap, len(rows))}
	var weights []float64
	for p, row := range rows {
		for _, t := range row {
			k := slices.Index(weights, t.coef)
			if k < 0 {
				k = len(weights)
				weights = append(weights, t.coef)
			}
			a.Taps[p] = append(a.Taps[p], affine.Tap{In: int32(t.at), Coef: int32(k)})
		}
	}
	a.Coefs = len(weights)
	return a, weights
}
