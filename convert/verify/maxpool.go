package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__MaxPool.html
// https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html
func init() {
	register(
		operator{
			name: "MaxPool", selection: singleCells, windows: maxPoolWindows, window: poolWindow, absorbs: maximaAbsorb,
			notNegative: asInput, tie: amongNeighbours, defaults: poolDefaults(nil),
			moves: &movement{values: true, places: true},
		},
		operator{
			name: "GlobalMaxPool", selection: singleCells, windows: globalMaxPoolWindows,
			notNegative: asInput, moves: &movement{},
		},
	)
}

// sameMaxima reports whether the maxima over windows of a padded value are those over
// the elements of the value alone: each window sees one of them, and none is smaller
// than what it is padded with.
func (s *structure) sameMaxima(name string, before, after []axis, lines [][]int, fills []float64) bool {
	lowest := func(fill float64) bool {
		return math.IsInf(fill, -1) || fill <= 0 && s.notNegative(name)
	}
	if !all(fills, lowest) {
		return false
	}
	for k, a := range before {
		for p := range a.out {
			sees := false
			for q, at := range lines[k] {
				seen := a.tap(p, q) >= 0
				sees = sees || seen && at != outside
				if at != outside && seen != (after[k].tap(p, at) >= 0) {
					return false
				}
			}
			if !sees {
				return false
			}
		}
	}
	return true
}

func maxPoolWindows(n *net, node *onnxio.Node, in []int) ([][][]int, error) {
	w, err := poolWindow(n, node, in[2:])
	if err != nil {
		return nil, err
	}
	windows := [][][]int{each(in[1])}
	for _, a := range w.axes {
		lists := make([][]int, a.out)
		for p := range lists {
			for q := range a.in {
				if a.tap(p, q) >= 0 {
					lists[p] = append(lists[p], q)
				}
			}
		}
		windows = append(windows, lists)
	}
	return windows, nil
}

func globalMaxPoolWindows(_ *net, _ *onnxio.Node, in []int) ([][][]int, error) {
	windows := [][][]int{each(in[1])}
	for _, d := range in[2:] {
		windows = append(windows, [][]int{upTo(d)})
	}
	return windows, nil
}

// maximaAbsorb: a maximum takes nothing of its own padding.
func maximaAbsorb(s *structure, own *onnxio.Node, p *absorption) bool {
	return s.sameMaxima(p.name, p.before.axes, p.after, p.lines, p.fills) && s.cnn.Uses(own.Output(1)) == 0
}
