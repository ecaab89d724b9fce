package convert_test

import (
	"math/rand/v2"
	"slices"

	"efcn/onnxio"
)

// drawGemm: alpha·x·B + beta·C, B transposed with transB, C broadcast.
// https://onnx.ai/onnx/operators/onnx__Gemm.html
func drawGemm(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: draws(rng, 1, 1, 6)}
	cols, rows, trans := c.in[0], between(rng, 1, 6), rng.IntN(2)
	alpha, beta := float64(between(rng, 1, 3)), float64(between(rng, 1, 3))
	bDims := []int{cols, rows}
	if trans == 1 {
		bDims = []int{rows, cols}
	}
	b := c.wholes(rng, "b", bDims...)
	y := c.newExpected("y", []int{rows})
	every([]int{rows, cols}, func(at []int) {
		k := []int{at[1], at[0]}
		if trans == 1 {
			k = at
		}
		c.add(y, at[:1], at[1:], alpha*b[place(bDims, k)])
	})
	inputs := "x b"
	if shape := [][]int{nil, {}, {1}, {rows}, {1, rows}, {1, 1}}[rng.IntN(6)]; shape != nil {
		inputs = "x b c"
		bias := c.wholes(rng, "c", shape...)
		for r := range rows {
			y.b[r] = beta * bias[r%len(bias)]
		}
	}
	c.nodes = []*onnxio.Node{node("Gemm", inputs, "y", attrInt("transB", trans), onnxio.FloatAttr("alpha", float32(alpha)), onnxio.FloatAttr("beta", float32(beta)))}
	return c
}

// drawMatMul: x·B. https://onnx.ai/onnx/operators/onnx__MatMul.html
func drawMatMul(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: draws(rng, 1, 1, 6)}
	rows := between(rng, 1, 6)
	b := c.wholes(rng, "b", c.in[0], rows)
	y := c.newExpected("y", []int{rows})
	every([]int{rows, c.in[0]}, func(at []int) { c.add(y, at[:1], at[1:], b[at[1]*rows+at[0]]) })
	c.nodes = []*onnxio.Node{node("MatMul", "x b", "y")}
	return c
}

// drawTensorMatMul: a batch of tensors times a constant, or a constant times them:
// y[…, i, j] = Σ_k x[…, i, k]·b[…, k, j], leading axes broadcast, an operand with one
// axis a row or column. https://onnx.ai/onnx/operators/onnx__MatMul.html
func drawTensorMatMul(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13}
	lead := draws(rng, between(rng, 0, 2), 1, 3)
	rows, inner, cols := between(rng, 1, 4), between(rng, 1, 4), between(rng, 1, 4)
	own := slices.Clone(lead[between(rng, 0, len(lead)):]) // the axes that the constant has
	for i := range own {
		if rng.IntN(2) == 0 {
			own[i] = 1
		}
	}
	if len(own) == len(lead) && rng.IntN(4) == 0 {
		own = append([]int{1}, own...) // and one for the batch
	}
	first, vector := rng.IntN(2) == 0, rng.IntN(4) == 0
	if len(lead) == 0 && len(own) == 0 && !first && rng.IntN(2) == 0 {
		vector = true
		rows = 1
	}
	var dims []int
	switch {
	case first:
		c.in, dims = append(slices.Clone(lead), inner, cols), append(slices.Clone(own), rows, inner)
	default:
		c.in, dims = append(slices.Clone(lead), rows, inner), append(slices.Clone(own), inner, cols)
	}
	out := append(slices.Clone(lead), rows, cols)
	if vector && len(own) == 0 {
		dims = []int{inner}
		if out = append(slices.Clone(lead), rows); first {
			out = append(slices.Clone(lead), cols)
			rows = 1
		} else {
			cols = 1
		}
	} else {
		vector = false
	}
	b := c.wholes(rng, "b", dims...)
	y := c.newExpected("y", out)
	every(append(slices.Clone(lead), rows, cols, inner), func(at []int) {
		l, i, j, k := at[:len(lead)], at[len(lead)], at[len(lead)+1], at[len(lead)+2]
		at = slices.Clone(l)
		if vector && first {
			at = append(at, j)
		} else if at = append(at, i); !vector {
			at = append(at, j)
		}
		x, from := append(slices.Clone(l), i, k), []int{k}
		if !vector {
			from = make([]int, 0, len(dims))
			for axis := range own {
				if shift := len(own) - len(lead); own[axis] == 1 || axis < shift {
					from = append(from, 0)
				} else {
					from = append(from, l[axis-shift])
				}
			}
			from = append(from, k, j)
		}
		if first {
			x = append(slices.Clone(l), k, j)
			if !vector {
				from[len(from)-2], from[len(from)-1] = i, k
			}
		}
		c.add(y, at, x, b[place(dims, from)])
	})
	inputs := "x b"
	if first {
		inputs = "b x"
	}
	c.nodes = []*onnxio.Node{node("MatMul", inputs, "y")}
	return c
}

// drawArithmetic adds, subtracts, multiplies or divides by a constant that is
// broadcast. https://onnx.ai/onnx/repo-docs/Broadcasting.html
func drawArithmetic(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 5)}
	own := slices.Clone(c.in)
	for i := range own {
		if rng.IntN(2) == 0 {
			own[i] = 1
		}
	}
	skipped := rng.IntN(len(own) + 1) // leading axes left out
	own = own[skipped:]
	k := c.wholes(rng, "k", own...)
	op, first := []string{"Add", "Sub", "Mul", "Div"}[rng.IntN(4)], rng.IntN(2) == 0
	if op == "Div" {
		first = false
	}
	y := c.newExpected("y", c.in)
	every(c.in, func(q []int) {
		at := slices.Clone(q[skipped:])
		for i, d := range own {
			if d == 1 {
				at[i] = 0
			}
		}
		v, r := k[place(own, at)], place(c.in, q)
		switch {
		case op == "Add":
			c.add(y, q, q, 1)
			y.b[r] = v
		case op == "Sub" && first: // k − x
			c.add(y, q, q, -1)
			y.b[r] = v
		case op == "Sub":
			c.add(y, q, q, 1)
			y.b[r] = -v
		case op == "Mul":
			c.add(y, q, q, v)
		default:
			c.add(y, q, q, 1/v)
		}
	})
	inputs := "x k"
	if first {
		inputs = "k x"
	}
	c.nodes = []*onnxio.Node{node(op, inputs, "y")}
	return c
}
