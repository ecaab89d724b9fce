package verify

import (
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__AveragePool.html
// https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html
// https://onnx.ai/onnx/operators/onnx__LpPool.html
func init() {
	register(
		operator{
			name: "AveragePool", terms: kernelSize, defaults: poolDefaults(nil), matrix: averagePoolMatrix,
			window: poolWindow, absorbs: averagesAbsorb, averaged: averagePoolCounts, notNegative: asInput,
		},
		operator{
			name: "GlobalAveragePool", terms: inputsAnOutput, averaged: allAlike, notNegative: asInput,
			matrix: func(_ *net, _ *onnxio.Node, in, _ []int) (*matrix, error) {
				return blockMean(in[1], product(in[2:])), nil
			},
		},
		operator{name: "LpPool", window: poolWindow, defaults: poolDefaults(spelling{"p": "2"})},
	)
}

// poolDefaults are those that poolings have in common, and some more.
func poolDefaults(more spelling) func(int64) spelling {
	return always(merged(spelling{
		"ceil_mode": "0", "auto_pad": `"NOTSET"`, "count_include_pad": "0", "storage_order": "0",
	}, more))
}

// poolWindow reads the windows of a pooling.
func poolWindow(_ *net, node *onnxio.Node, spatial []int) (*window, error) {
	axes, err := axesOf(node, spatial, nil)
	if err != nil {
		return nil, err
	}
	include, err := node.Int("count_include_pad", 0)
	return &window{axes: axes, includePad: include != 0}, err
}

// averagePoolCounts: how many inputs an average is of depends on its position alone.
func averagePoolCounts(n *net, node *onnxio.Node, in, _ []int) (counts []int, dims []int64, err error) {
	w, err := poolWindow(n, node, in[2:])
	if err != nil {
		return nil, nil, err
	}
	s := newSupport(w.axes)
	for _, a := range w.axes {
		dims = append(dims, int64(a.out))
	}
	for p := range s.out {
		s.move(p)
		counts = append(counts, s.counted(w.includePad))
	}
	return counts, dims, nil
}

// allAlike: all outputs are means of as many inputs.
func allAlike(_ *net, _ *onnxio.Node, in, out []int) (counts []int, dims []int64, err error) {
	return []int{product(in[1:]) / max(1, product(out[1:]))}, nil, nil
}

// averagesAbsorb: an average may count zeros as its own padding, where it divides by as many
// elements as before.
func averagesAbsorb(s *structure, own *onnxio.Node, p *absorption) bool {
	own.Attributes = slices.DeleteFunc(own.Attributes,
		func(a *onnxio.Attribute) bool { return a.Name == "count_include_pad" })
	own.Attributes = append(own.Attributes, onnxio.IntAttr("count_include_pad", 1))
	return absorbsZeros(s, own, p) && sameCounts(p.before.axes, p.after, p.before.includePad)
}

// kernelSize is how many inputs a window sees.
func kernelSize(node *onnxio.Node, _ []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
	kernel, err := node.Ints("kernel_shape")
	n := 1
	for _, k := range kernel {
		n *= int(k)
	}
	return n, err
}

// averagePoolMatrix: the entry of output (c,p) and input (c,q) is 1/n where a
// tap leads from p to q, n the number of taps of p that count: those on the
// input, with count_include_pad those on the padding too, never those beyond
// it (a last window of ceil_mode can reach there).
// https://onnx.ai/onnx/operators/onnx__AveragePool.html
func averagePoolMatrix(n *net, node *onnxio.Node, in, _ []int) (*matrix, error) {
	w, err := poolWindow(n, node, in[2:])
	if err != nil {
		return nil, err
	}
	s := newSupport(w.axes)
	return &matrix{
		rows: in[1] * s.out, cols: in[1] * s.in,
		entries: func(r int, entry func(int, float64, float64)) {
			c := r / s.out
			s.move(r % s.out)
			mean := 1 / float64(s.counted(w.includePad))
			for _, h := range s.hits {
				entry(c*s.in+h.in, mean, 0)
			}
		},
	}, nil
}

// counted returns what an average over the current window divides by.
func (s *support) counted(includePad bool) int {
	if !includePad {
		return len(s.hits)
	}
	n := 1
	for i, a := range s.axes {
		n *= a.inside(s.where[i], -a.padBegin, a.in+a.padEnd)
	}
	return n
}

// blockMean averages each of rows blocks of size inputs.
func blockMean(rows, size int) *matrix {
	mean := 1 / float64(size)
	return &matrix{
		rows: rows, cols: rows * size,
		entries: func(r int, entry func(int, float64, float64)) {
			for i := range size {
				entry(r*size+i, mean, 0)
			}
		},
	}
}

// sameCounts reports whether averages divide by as many elements of the padded value,
// or with include of what that is padded with as well, as they do where all padding
// is the operator's own and counts.
func sameCounts(before, after []axis, include bool) bool {
	for k, a := range before {
		lo, hi := 0, a.in
		if include {
			lo, hi = -a.padBegin, a.in+a.padEnd
		}
		for p := range a.out {
			if a.inside(p, lo, hi) != after[k].inside(p, -after[k].padBegin, after[k].in+after[k].padEnd) {
				return false
			}
		}
	}
	return true
}
