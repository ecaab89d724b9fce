package verify

import (
	"fmt"
	"slices"
	"strings"

	"efcn/onnxio"
)

// levels returns the affine maps A₁, A₂, …, Aₗ by which a maximum is computed with
// a Relu behind each but the last, as the documentation of package convert says
// ("Maxima"), and proves that they compute it. A maximum over single cells is one
// map, a selection.
func (s *structure) levels(node *onnxio.Node) ([]*matrix, error) {
	if known, ok := s.maxima[node]; ok {
		return known, nil
	}
	windows, err := s.windows(node)
	if err != nil {
		return nil, err
	}
	in, out := s.shapes[node.Input(0)][1:], s.shapes[node.Output(0)][1:]
	negative := !s.notNegative(node.Input(0))
	levels, err := maximum(in, windows, negative)
	if err != nil {
		return nil, err
	}
	for axis, w := range windows {
		line, err := maximum([]int{in[axis]}, [][][]int{w}, negative)
		if err == nil {
			err = provesMaximum(line, w, negative)
		}
		if err != nil {
			return nil, fmt.Errorf("axis %d: %w", axis+1, err)
		}
	}
	if last := levels[len(levels)-1]; last.rows != product(out) {
		return nil, fmt.Errorf("its windows say %d outputs, the values that the CNN computed %v", last.rows, out)
	}
	s.maxima[node] = levels
	return levels, nil
}

// single is the selection that a maximum over single cells is.
func (s *structure) single(node *onnxio.Node) ([]int, error) {
	levels, err := s.levels(node)
	if err != nil {
		return nil, err
	}
	if len(levels) != 1 {
		return nil, fmt.Errorf("it takes maxima over more than one element")
	}
	from := make([]int, levels[0].rows)
	for r := range from {
		levels[0].entries(r, func(c int, _, _ float64) { from[r] = c })
	}
	return from, nil
}

// weighted is an index with a whole number.
type weighted struct {
	index int
	by    float64
}

// maximum works out the levels on values of that shape.
func maximum(shape []int, windows [][][]int, negative bool) ([]*matrix, error) {
	shape = slices.Clone(shape)
	var levels, pending []*matrix
	along := func(axis int, rows [][]weighted) {
		m := alongAxis(rows, shape, axis)
		shape = slices.Clone(m.outShape)
		pending = append(pending, m)
	}
	finish := func() error {
		if len(pending) == 0 {
			pending = append(pending, identityMatrix(shape))
		}
		m, err := multiplied(pending)
		levels, pending = append(levels, m), nil
		return err
	}
	for axis := len(shape) - 1; axis >= 0; axis-- {
		lists := windows[axis]
		for slices.ContainsFunc(lists, func(l []int) bool { return len(l) > 1 }) {
			l := newLevel(negative)
			next := make([][]int, len(lists))
			for p, list := range lists {
				for ; len(list) > 1; list = list[2:] {
					next[p] = append(next[p], l.larger(list[0], list[1]))
				}
				if len(list) > 0 {
					next[p] = append(next[p], l.passed(list[0]))
				}
			}
			along(axis, l.units.list)
			if err := finish(); err != nil {
				return nil, err
			}
			along(axis, l.values.list)
			lists = next
		}
		rows := make([][]weighted, len(lists))
		moved := len(lists) != shape[axis]
		for p, list := range lists {
			rows[p] = []weighted{{list[0], 1}}
			moved = moved || list[0] != p
		}
		if moved {
			along(axis, rows)
		}
	}
	err := finish()
	return levels, err
}

// level is one level along an axis: the sums in front of the Relu, and those of
// what comes out of it.
type level struct {
	negative bool
	units    sums[[3]int] // by the difference of two values, a value, or its opposite
	values   sums[[2]int] // by the two values of a maximum, or one passed on
}

func newLevel(negative bool) *level {
	return &level{
		negative: negative,
		units:    sums[[3]int]{at: make(map[[3]int]int)}, values: sums[[2]int]{at: make(map[[2]int]int)},
	}
}

// sums are the distinct sums of a level, in the order in which they were first needed.
type sums[K comparable] struct {
	at   map[K]int
	list [][]weighted
}

// of returns the index of the sum with that key.
func (s *sums[K]) of(key K, sum ...weighted) int {
	at, ok := s.at[key]
	if !ok {
		at = len(s.list)
		slices.SortFunc(sum, func(a, b weighted) int { return a.index - b.index })
		s.at[key], s.list = at, append(s.list, sum)
	}
	return at
}

// through returns the units that carry value b.
func (l *level) through(b int) []weighted {
	sum := []weighted{{l.units.of([3]int{1, b}, weighted{b, 1}), 1}}
	if l.negative {
		sum = append(sum, weighted{l.units.of([3]int{2, b}, weighted{b, -1}), -1})
	}
	return sum
}

func (l *level) larger(a, b int) int {
	d := l.units.of([3]int{0, a, b}, weighted{a, 1}, weighted{b, -1})
	return l.values.of([2]int{a, b}, append(l.through(b), weighted{d, 1})...)
}

func (l *level) passed(a int) int { return l.values.of([2]int{a, -1}, l.through(a)...) }

// alongAxis is the map that computes row r of one axis as a sum over that axis, and
// leaves the others as they are.
func alongAxis(rows [][]weighted, shape []int, axis int) *matrix {
	out := slices.Clone(shape)
	out[axis] = len(rows)
	inner := product(shape[axis+1:])
	return &matrix{
		rows: product(out), cols: product(shape), inShape: slices.Clone(shape), outShape: out, whole: true,
		entries: func(r int, entry func(int, float64, float64)) {
			at, rest := r/inner%len(rows), r%inner
			before := r / inner / len(rows)
			for _, w := range rows[at] {
				entry((before*shape[axis]+w.index)*inner+rest, w.by, 0)
			}
		},
	}
}

func identityMatrix(shape []int) *matrix {
	return &matrix{
		rows: product(shape), cols: product(shape), inShape: shape, outShape: shape, whole: true,
		entries: func(r int, entry func(int, float64, float64)) { entry(r, 1, 0) },
	}
}

// A form is a sum of terms with whole numbers. A term is "m" or "p" and a set of
// inputs: their maximum M, or relu(M).
type form map[string]float64

func (f form) add(by float64, g form) {
	for k, v := range g {
		if f[k] += by * v; f[k] == 0 {
			delete(f, k)
		}
	}
}

// single returns the term of a form that has only that one, and its factor.
func (f form) single() (term string, by float64) {
	if len(f) != 1 {
		return "", 0
	}
	for term, by = range f {
	}
	return term, by
}

// provesMaximum proves that the last of the levels, with a Relu behind each
// before it, computes the maxima over the windows, in exact arithmetic. It knows
// nothing of how they were made: every sum in front of a Relu has to be one of
//
//	M(S) − M(T), S and T without a common input:  relu of it is M(S∪T) − M(T)
//	−M(T):                                        relu of it is relu(M(T)) − M(T)
//	M(T) or relu(M(T)):                           relu of it is relu(M(T)), or M(T) itself if no input is negative
//
// and every sum at the end has to be the M of its window, in which with the first
// of these each input enters once.
func provesMaximum(levels []*matrix, windows [][]int, negative bool) error {
	if len(levels) == 0 {
		return fmt.Errorf("there are no levels")
	}
	units := make([]form, levels[0].cols)
	for i := range units {
		units[i] = form{setOf([]int{i}): 1}
	}
	sums := func(m *matrix) []form {
		out := make([]form, m.rows)
		for r := range out {
			out[r] = make(form)
			m.entries(r, func(c int, v, _ float64) { out[r].add(v, units[c]) })
		}
		return out
	}
	for k, m := range levels[:len(levels)-1] {
		next := sums(m)
		for r, f := range next {
			g, err := rectified(f, negative)
			if err != nil {
				return fmt.Errorf("level %d, unit %d: %w", k+1, r, err)
			}
			next[r] = g
		}
		units = next
	}
	out := sums(levels[len(levels)-1])
	if len(out) != len(windows) {
		return fmt.Errorf("%d outputs for %d windows", len(out), len(windows))
	}
	for p, f := range out {
		if term, by := f.single(); by != 1 || term != setOf(windows[p]) {
			return fmt.Errorf("output %d is %v; want the maximum over %v", p, f, windows[p])
		}
	}
	return nil
}

func setOf(list []int) string { return "m" + strings.Trim(fmt.Sprint(list), "[]") }

// rectified returns the relu of a form.
func rectified(f form, negative bool) (form, error) {
	if term, by := f.single(); by == 1 || by == -1 && term[0] == 'm' {
		switch {
		case !negative && by == 1:
			return f, nil
		case !negative:
			return form{}, nil // relu of what is not positive
		case by == 1:
			return form{"p" + term[1:]: 1}, nil
		default:
			return form{"p" + term[1:]: 1, term: -1}, nil
		}
	}
	larger, smaller := "", ""
	for term, by := range f {
		switch {
		case by == 1 && term[0] == 'm' && larger == "":
			larger = term
		case by == -1 && term[0] == 'm' && smaller == "":
			smaller = term
		default:
			return nil, fmt.Errorf("%v is no difference of two maxima", f)
		}
	}
	if larger == "" || smaller == "" {
		return nil, fmt.Errorf("%v is no difference of two maxima", f)
	}
	joined, err := union(larger, smaller)
	if err != nil {
		return nil, err
	}
	return form{joined: 1, smaller: -1}, nil
}

// union joins two sets that have no input in common.
func union(a, b string) (string, error) {
	var list []int
	for _, field := range append(strings.Fields(a[1:]), strings.Fields(b[1:])...) {
		i := 0
		if _, err := fmt.Sscan(field, &i); err != nil {
			return "", err
		}
		list = append(list, i)
	}
	slices.Sort(list)
	if len(slices.Compact(slices.Clone(list))) != len(list) {
		return "", fmt.Errorf("input sets {%s} and {%s} have one in common", a[1:], b[1:])
	}
	return setOf(list), nil
}

// windows lists what a maximum is over, on every axis but the batch by output index; none of
// the lists is empty.
func (s *structure) windows(node *onnxio.Node) ([][][]int, error) {
	in := s.shapes[node.Input(0)]
	if len(in) < 2 {
		return nil, fmt.Errorf("shape %v has no batch and channel axes", in)
	}
	op := operatorOf(node)
	if op.windows == nil {
		return nil, fmt.Errorf("it is no maximum")
	}
	windows, err := op.windows(s.cnn, node, in)
	if err != nil {
		return nil, err
	}
	for i, lists := range windows {
		for p, list := range lists {
			if len(list) == 0 {
				return nil, fmt.Errorf("output %d of axis %d sees nothing but padding", p, i+1)
			}
		}
	}
	return windows, nil
}

// each is the windows of an axis on which every index is by itself.
func each(n int) [][]int {
	lists := make([][]int, n)
	for i := range lists {
		lists[i] = []int{i}
	}
	return lists
}

// upTo lists the numbers below n.
func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// notNegative reports whether a value of the CNN is a Relu's, or a Clip's from 0 on,
// with nothing behind it that could make a number negative.
func (s *structure) notNegative(name string) bool {
	node := s.cnn.Producer(name)
	switch op := operatorOf(node); {
	case op.notNegative != nil:
		return op.notNegative(s, node)
	case op.reshapes || op.selects():
		return asInput(s, node)
	default:
		return false
	}
}

// asInput: no element of an output is negative where none of the first input is.
func asInput(s *structure, node *onnxio.Node) bool { return s.notNegative(node.Input(0)) }

// singleCells is the selection that a maximum over single cells is.
func singleCells(s *structure, node *onnxio.Node, _ int, _ []int) ([]int, error) {
	return s.single(node)
}
