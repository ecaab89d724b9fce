package verify

import (
	"fmt"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Transpose.html
func init() {
	register(operator{name: "Transpose", moves: &movement{}, integers: passedOn, selection: transposition})
}

// transposition is the selection of a Transpose.
// https://onnx.ai/onnx/operators/onnx__Transpose.html: output axis i is input
// axis perm[i], and without perm the axes are reversed.
func transposition(_ *structure, node *onnxio.Node, _ int, in []int) ([]int, error) {
	perm, err := node.Ints("perm")
	if err != nil {
		return nil, err
	}
	if perm == nil {
		for i := range in {
			perm = append(perm, int64(len(in)-1-i))
		}
	}
	if len(perm) != len(in) || len(in) < 2 || perm[0] != 0 {
		return nil, fmt.Errorf("perm %v of a value %v: want the batch axis in front", perm, in)
	}
	return permuted(in[1:], perm[1:]), nil
}

// permuted returns the index in a tensor of shape dims of every element of its
// transposition, where output axis i is input axis perm[i]−1.
func permuted(dims []int, perm []int64) []int {
	out := make([]int, len(dims))
	for k, axis := range perm {
		out[k] = dims[axis-1]
	}
	index := make([]int, product(dims))
	at := make([]int, len(dims))
	for i := range index {
		for k, v := range unravel(i, out) {
			at[perm[k]-1] = v
		}
		from := 0
		for k, d := range dims {
			from = from*d + at[k]
		}
		index[i] = from
	}
	return index
}
