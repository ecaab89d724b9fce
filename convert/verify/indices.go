package verify

import (
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// lines are those of a value along an axis: element i of line l is at at(l, i).
type lines struct{ count, length, inner int }

func linesOf(shape []int, axis int64) lines {
	a := int(axis)
	if a < 0 {
		a += len(shape)
	}
	l := lines{length: shape[a], inner: product(shape[a+1:])}
	l.count = product(shape[:a]) * l.inner
	return l
}

// at returns the place of element i of line l, of a value with length elements a
// line.
func (l lines) at(line, i, length int) int {
	return (line/l.inner*length+i)*l.inner + line%l.inner
}

// ranking is one line of a value in the order of its elements, the largest first: of
// one from the smallest on, all are negated. sorted ones ascend.
type ranking struct {
	lo, hi                     []float64 // what the elements may be
	sorted, sortedLo, sortedHi []float64
}

// rankings calls do for every line of a value in which some element may differ.
func rankings(x, d []float64, l lines, largest bool, do func(line int, r ranking)) {
	for line := range l.count {
		var r ranking
		differs := false
		for i := range l.length {
			v, e := x[l.at(line, i, l.length)], d[l.at(line, i, l.length)]
			if !largest {
				v = -v
			}
			lo, hi := v-own*e, v+own*e
			if math.IsInf(e, 1) {
				lo, hi = math.Inf(-1), math.Inf(1)
			}
			r.lo, r.hi, r.sorted = append(r.lo, lo), append(r.hi, hi), append(r.sorted, v)
			differs = differs || e > 0
		}
		if !differs {
			continue
		}
		r.sortedLo, r.sortedHi = slices.Clone(r.lo), slices.Clone(r.hi)
		for _, s := range [][]float64{r.sorted, r.sortedLo, r.sortedHi} {
			slices.Sort(s)
		}
		do(line, r)
	}
}

// between returns the least and the greatest that may be in a place of the ranking,
// counted from 0: what is in that place of all the least, and of all the greatest.
func (r ranking) between(place int) (least, greatest float64) {
	k := len(r.sorted) - 1 - place
	return r.sortedLo[k], r.sortedHi[k]
}

// moves is how far what is in a place of the ranking may move.
func (r ranking) moves(place int) float64 {
	least, greatest := r.between(place)
	v := r.sorted[len(r.sorted)-1-place]
	if least == greatest {
		return 0
	}
	return math.Max(greatest-v, v-least)
}

// candidates lists the elements that may be in a place of the ranking; none where it
// is sure which: of elements that cannot differ, ties are broken alike in both models.
func (r ranking) candidates(place int) []int {
	least, greatest := r.between(place)
	var list []int
	sure := true
	for j := range r.lo {
		if r.hi[j] >= least && r.lo[j] <= greatest {
			list = append(list, j)
			sure = sure && r.lo[j] == r.hi[j]
		}
	}
	if sure {
		return nil
	}
	return list
}

// argument bounds the index of ArgMax or ArgMin: how far the candidates are that
// lie within their bounds of the largest.
func (b *bounds) argument(node *onnxio.Node, d []float64) ([]float64, error) {
	axis, err := node.Int("axis", 0)
	if err != nil {
		return nil, err
	}
	x, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	y := b.values.header(node.Output(0))
	out := make([]float64, product(y.Shape))
	rankings(numbers(x), d, linesOf(x.Shape, axis), isOp(node, "ArgMax"), func(line int, r ranking) {
		for _, j := range r.candidates(0) {
			out[line] = math.Max(out[line], math.Abs(float64(j)-float64(y.I[line])))
		}
	})
	return out, nil
}

// topK bounds both outputs of TopK. What is in a place of a ranking moves by no
// more than the largest bound of its line; its index may be that of any candidate.
func (b *bounds) topK(node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	axis, err := node.Int("axis", -1)
	if err != nil {
		return nil, err
	}
	largest, err := node.Int("largest", 1)
	if err != nil {
		return nil, err
	}
	if len(ds) > 1 && ds[1] != nil || ds[0] == nil {
		b.loosen(node)
		return b.unknown(node), nil
	}
	x, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	l := linesOf(x.Shape, axis)
	var shape []int
	var index *engine.Tensor[float64]
	for i, name := range node.Outputs {
		if v := b.values.header(name); v != nil {
			shape = v.Shape
			if i == 1 {
				index = v
			}
		}
	}
	k := linesOf(shape, axis).length
	values, indices := make([]float64, product(shape)), make([]float64, product(shape))
	rankings(numbers(x), ds[0], l, largest != 0, func(line int, r ranking) {
		for place := range k {
			at := l.at(line, place, k)
			values[at] = r.moves(place)
			if index == nil {
				continue
			}
			for _, j := range r.candidates(place) {
				indices[at] = math.Max(indices[at], math.Abs(float64(j)-float64(index.I[at])))
			}
		}
	})
	b.near(node.Output(1), positive(indices))
	if len(positive(indices)) == 0 {
		indices = nil
	}
	return [][]float64{values, indices}, nil
}

// hardmax bounds Hardmax: 1 for every element that may be the largest.
func (b *bounds) hardmax(node *onnxio.Node, d []float64) ([]float64, error) {
	axis := int64(-1)
	if b.net.opset < 13 {
		axis = 1
	}
	axis, err := node.Int("axis", axis)
	if err != nil {
		return nil, err
	}
	x, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	l := linesOf(x.Shape, axis)
	if b.net.opset < 13 { // all axes from that one on are one
		a := int(axis)
		if a < 0 {
			a += len(x.Shape)
		}
		l = lines{count: product(x.Shape[:a]), length: product(x.Shape[a:]), inner: 1}
	}
	out := make([]float64, len(d))
	rankings(numbers(x), d, l, true, func(line int, r ranking) {
		if list := r.candidates(0); len(list) > 1 {
			for _, j := range list {
				out[l.at(line, j, l.length)] = 1
			}
		}
	})
	return out, nil
}

// nonZero bounds NonZero: where no element may be zero in one model alone the
// result is the same, else its very shape may differ.
func (b *bounds) nonZero(node *onnxio.Node, d []float64) ([][]float64, error) {
	x, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	for i, v := range numbers(x) {
		if d[i] > 0 && !(math.Abs(v) > d[i]) {
			b.loosen(node)
			return b.unknown(node), nil
		}
	}
	return nil, nil
}

// loosen notes that the shapes of a node's outputs may differ between the models,
// as data decides them.
func (b *bounds) loosen(node *onnxio.Node) {
	if b.loose == nil {
		b.loose = make(map[string]bool)
	}
	for _, name := range node.Outputs {
		b.loose[name] = true
	}
}

// isLoose says whether data decides the shape of an input of a node.
func (b *bounds) isLoose(node *onnxio.Node) bool {
	return slices.ContainsFunc(node.Inputs, func(name string) bool { return b.loose[name] })
}

// gathered bounds Gather and GatherElements by indices that may differ: the element
// that is taken may be any that the index can reach.
func (b *bounds) gathered(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	axis, err := node.Int("axis", 0)
	if err != nil {
		return nil, err
	}
	data, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	index, err := b.value(node.Input(1))
	if err != nil {
		return nil, err
	}
	y := b.values.header(node.Output(0))
	if axis < 0 {
		axis += int64(len(data.Shape))
	}
	x, n := numbers(data), data.Shape[axis]
	l := linesOf(data.Shape, axis)
	out := make([]float64, product(y.Shape))
	steps := index.Len()
	for i := range out {
		// Which index element i is taken by, and where its line begins.
		var k, line int
		if isOp(node, "Gather") { // outer × indices × inner
			k = i / l.inner % steps
			line = i/l.inner/steps*l.inner + i%l.inner
		} else {
			at := unravel(i, y.Shape)
			k, at[axis] = i, 0
			place := 0
			for a, v := range at {
				place = place*data.Shape[a] + v
			}
			line = place/(l.inner*n)*l.inner + place%l.inner
		}
		element := func(j int) (float64, float64) {
			if j < 0 {
				j += n
			}
			at := l.at(line, j, n)
			if ds[0] == nil {
				return x[at], 0
			}
			return x[at], ds[0][at]
		}
		j, e := int(index.I[k]), math.Floor(ds[1][k])
		v, d := element(j)
		out[i] = d
		from, to := int(math.Max(float64(-n), float64(j)-e)), int(math.Min(float64(n-1), float64(j)+e))
		if j >= 0 && b.net.opset < 11 {
			from = max(from, 0)
		}
		for other := from; other <= to && e > 0; other++ {
			w, d := element(other)
			out[i] = math.Max(out[i], reach(v, w, d))
		}
	}
	return out, nil
}

// oneHot bounds OneHot of indices that may differ: on and off may change places
// wherever an index can reach.
func (b *bounds) oneHot(node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	axis, err := node.Int("axis", -1)
	if err != nil {
		return nil, err
	}
	index, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	values, err := b.value(node.Input(2))
	if err != nil {
		return nil, err
	}
	if ds[0] == nil || ds[1] != nil || ds[2] != nil || values.Len() != 2 {
		return b.unknown(node), nil
	}
	y := b.values.header(node.Output(0))
	v, at := numbers(values), numbers(index)
	l := linesOf(y.Shape, axis)
	d := make([]float64, product(y.Shape))
	for line := range l.count {
		e := ds[0][line]
		for j := range l.length {
			if e > 0 && (math.Abs(float64(j)-at[line]) <= e || math.Abs(float64(j-l.length)-at[line]) <= e) {
				d[l.at(line, j, l.length)] = math.Abs(v[1] - v[0])
			}
		}
	}
	return [][]float64{d}, nil
}

// scatters says whether a node writes updates over data, at indices of its own.
func scatters(node *onnxio.Node) bool {
	reduction, err := node.String("reduction", "none")
	return err == nil && reduction == "none" && isOp(node, "Scatter", "ScatterElements", "ScatterND")
}
