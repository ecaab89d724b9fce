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

// ranked returns what ArgMax, ArgMin and Hardmax rank, and along which axis.
func (b *bounds) ranked(node *onnxio.Node) (x *engine.Tensor[float64], axis int64, err error) {
	if axis, err = b.net.axis(node); err != nil {
		return nil, 0, err
	}
	x, err = b.value(node.Input(0))
	return x, axis, err
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
