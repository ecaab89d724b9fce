package verify

import (
	"fmt"

	"efcn/onnxio"
)

// Reductions.
// https://onnx.ai/onnx/operators/onnx__ReduceSum.html
func init() {
	for _, op := range []operator{
		{
			name: "ReduceMax", moves: &movement{}, integers: passedOn,
			selection: singleCells, windows: reduceWindows, notNegative: asInput,
		},
		{name: "ReduceMin", moves: &movement{as: "ReduceMax"}, integers: passedOn},
		{name: "ReduceSum", terms: inputsAnOutput, matrix: reduceMatrix(false)},
		{
			name: "ReduceMean", terms: inputsAnOutput, matrix: reduceMatrix(true), averaged: allAlike,
			notNegative: asInput,
		},
		{name: "ReduceProd"},
		{name: "ReduceL1"},
		{name: "ReduceL2"},
		{name: "ReduceLogSum"},
		{name: "ReduceLogSumExp"},
		{name: "ReduceSumSquare"},
	} {
		op.lists, op.anyOrder = map[string]int{"axes": 1}, true
		op.defaults = always(spelling{"keepdims": "1", "noop_with_empty_axes": "0"})
		register(op)
	}
}

// reduceMatrix: an input counts for the output whose index on the axes that are
// not reduced is its own; in a sum with 1, in a mean of n inputs with 1/n.
// https://onnx.ai/onnx/operators/onnx__ReduceMean.html
// https://onnx.ai/onnx/operators/onnx__ReduceSum.html
func reduceMatrix(mean bool) func(n *net, node *onnxio.Node, in, out []int) (*matrix, error) {
	return func(n *net, node *onnxio.Node, in, _ []int) (*matrix, error) {
		reduced, err := n.reducedAxes(node, len(in))
		if err != nil {
			return nil, err
		}
		if reduced[0] {
			return nil, fmt.Errorf("the batch axis is reduced")
		}
		rows, count := 1, 1
		for i, d := range in[1:] {
			if reduced[i+1] {
				count *= d
			} else {
				rows *= d
			}
		}
		// counted[r] are the inputs that count for output r.
		counted := make([][]int, rows)
		cols := product(in[1:])
		for c := range cols {
			row, scale, rest := 0, 1, c
			for i := len(in) - 1; i >= 1; i-- {
				at := rest % in[i]
				rest /= in[i]
				if !reduced[i] {
					row += at * scale
					scale *= in[i]
				}
			}
			counted[row] = append(counted[row], c)
		}
		share := 1.0
		if mean {
			share = 1 / float64(count)
		}
		return &matrix{
			rows: rows, cols: cols,
			entries: func(r int, entry func(int, float64, float64)) {
				for _, c := range counted[r] {
					entry(c, share, 0)
				}
			},
		}, nil
	}
}

// reducedAxes reads the axes of a reduction: an attribute, an input since
// opset 18 (of a sum since 13); none means all.
func (n *net) reducedAxes(node *onnxio.Node, rank int) ([]bool, error) {
	axes, err := node.Ints("axes")
	if err != nil {
		return nil, err
	}
	if name := node.Input(1); name != "" {
		t := n.constants[name]
		if t == nil {
			return nil, fmt.Errorf("axes %q are computed at run time", name)
		}
		if axes, err = onnxio.Ints(t); err != nil {
			return nil, err
		}
	}
	reduced := make([]bool, rank)
	for _, a := range axes {
		if a < 0 {
			a += int64(rank)
		}
		if a < 0 || a >= int64(rank) {
			return nil, fmt.Errorf("axes %v: out of range for %d axes", axes, rank)
		}
		reduced[a] = true
	}
	if len(axes) == 0 {
		noop, err := node.Int("noop_with_empty_axes", 0)
		if err != nil {
			return nil, err
		}
		for i := range reduced {
			reduced[i] = noop == 0
		}
	}
	return reduced, nil
}

func reduceWindows(n *net, node *onnxio.Node, in []int) ([][][]int, error) {
	reduced, err := n.reducedAxes(node, len(in))
	if err != nil {
		return nil, err
	}
	if reduced[0] {
		return nil, fmt.Errorf("the batch axis is reduced")
	}
	var windows [][][]int
	for i, d := range in[1:] {
		if reduced[i+1] {
			windows = append(windows, [][]int{upTo(d)})
		} else {
			windows = append(windows, each(d))
		}
	}
	return windows, nil
}
