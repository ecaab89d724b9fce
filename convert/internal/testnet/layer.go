package testnet

import (
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// MatrixOf returns the matrix of the one-node CNN m, without its bias, by
// running it on unit vectors: column j is what it makes of the j-th.
func MatrixOf(t *testing.T, m *onnxio.Model, dims []int64) (rows, cols int, a []float64) {
	t.Helper()
	cols = 1
	for _, d := range dims {
		cols *= int(d)
	}
	x := &engine.Tensor[float64]{Type: onnxio.Float32, Shape: []int{cols}, F: make([]float64, cols*cols)}
	for _, d := range dims {
		x.Shape = append(x.Shape, int(d))
	}
	for j := range cols {
		x.F[j*cols+j] = 1
	}
	y := Run(t, m, x)["y"]
	rows = len(y.F) / cols
	a = make([]float64, rows*cols)
	for j := range cols {
		for r := range rows {
			a[r*cols+j] = y.F[j*rows+r]
		}
	}
	return rows, cols, a
}

// RandomLayer is a CNN of one node op between x and y with a geometry that may be anything: the shape
// of x without the batch, the output channels, and whether it has a bias.
func RandomLayer(rng *rand.Rand, op string) (m *onnxio.Model, shape []int64, channels int, bias bool) {
	group, in, out := 1+rng.Int64N(2), 1+rng.Int64N(2), 1+rng.Int64N(2)
	if op == "MatMul" { // its ties are between all outputs, as if they were of one channel
		m, shape = randomMatMul(rng, group, out)
		return m, shape, 1, false
	}
	var kernel, strides, dilations, begins, ends []int64
	axes := 1 + rng.IntN(3)
	if axes == 3 {
		group, in = 1, 1
	}
	shape = []int64{group * in}
	for range axes {
		k, d := 1+rng.Int64N(3), 1+rng.Int64N(2)
		if op == "AveragePool" {
			d = 1
		}
		shape, kernel = append(shape, (k-1)*d+1+rng.Int64N(3)), append(kernel, k)
		strides, dilations = append(strides, 1+rng.Int64N(2)), append(dilations, d)
		begins, ends = append(begins, rng.Int64N(k)), append(ends, rng.Int64N(k))
	}
	attrs := []*onnxio.Attribute{
		onnxio.IntsAttr("strides", strides...), onnxio.IntsAttr("pads", slices.Concat(begins, ends)...),
	}
	inputs, wDims := "x w", slices.Concat([]int64{group * out, in}, kernel)
	switch op {
	case "AveragePool":
		attrs = append(attrs, onnxio.IntsAttr("kernel_shape", kernel...),
			onnxio.IntAttr("count_include_pad", rng.Int64N(2)), onnxio.IntAttr("ceil_mode", rng.Int64N(2)))
		return Small(17, shape, nil, Node(op, "x", "y", attrs...)), shape, int(group * in), false
	case "GlobalAveragePool":
		return Small(17, shape, nil, Node(op, "x", "y")), shape, int(group * in), false
	case "ReduceMean", "ReduceSum":
		reduced := []int64{2 + rng.Int64N(int64(axes))}
		if last := int64(axes + 1); reduced[0] < last && rng.IntN(2) == 0 {
			reduced = append(reduced, last)
		}
		if rng.IntN(2) == 0 {
			axes, keep := onnxio.IntsAttr("axes", reduced...), onnxio.IntAttr("keepdims", rng.Int64N(2))
			return Small(11, shape, nil, Node(op, "x", "y", axes, keep)), shape, int(group * in), false
		}
		return Small(18, shape, []*onnxio.Tensor{List("a", reduced...)}, Node(op, "x a", "y")), shape, int(group * in), false
	case "ConvTranspose":
		wDims = slices.Concat([]int64{group * in, out}, kernel)
		if rng.IntN(2) == 0 && strides[0] > 1 {
			extra := make([]int64, axes)
			extra[0] = 1
			attrs = append(attrs, onnxio.IntsAttr("output_padding", extra...))
		}
	}
	attrs = append(attrs, onnxio.IntsAttr("dilations", dilations...), onnxio.IntAttr("group", group))
	inits := []*onnxio.Tensor{Floats("w", rng, wDims...)}
	if bias = rng.IntN(2) == 0; bias {
		inputs, inits = "x w b", append(inits, Floats("b", rng, group*out))
	}
	return Small(17, shape, inits, Node(op, inputs, "y", attrs...)), shape, int(group * out), bias
}

func randomMatMul(rng *rand.Rand, group, out int64) (m *onnxio.Model, shape []int64) {
	shape = []int64{group, 1 + rng.Int64N(3), 1 + rng.Int64N(3)}
	lead := [][]int64{nil, {1}, {group}}[rng.IntN(3)]
	dims, inputs := append(lead, shape[2], out), "x w"
	if rng.IntN(2) == 0 {
		dims, inputs = append(lead, out, shape[1]), "w x"
	}
	return Small(13, shape, []*onnxio.Tensor{Floats("w", rng, dims...)}, Node("MatMul", inputs, "y")), shape
}
