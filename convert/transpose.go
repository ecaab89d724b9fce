package convert

import (
	"fmt"

	"efcn/onnxio"
)

func init() {
	register("Transpose", operator{becomes: "Gather on the vector, or nothing where no element moves", plan: planTranspose})
}

// planTranspose plans a permutation of the axes that leaves the batch in front.
// https://onnx.ai/onnx/operators/onnx__Transpose.html, versions 1 to 21.
func planTranspose(pl *planner, n *onnxio.Node) (step, error) {
	perm, err := n.Ints("perm")
	if err != nil {
		return nil, err
	}
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	if perm == nil { // all axes in reverse
		for axis := len(in.dims); axis >= 0; axis-- {
			perm = append(perm, int64(axis))
		}
	}
	if len(perm) != len(in.dims)+1 {
		return nil, fmt.Errorf("perm %v: want %d axes", perm, len(in.dims)+1)
	}
	if perm[0] != 0 {
		return nil, keep("perm %v moves the batch axis", perm)
	}
	if _, err := pl.vector(n.Output(0)); err != nil {
		return nil, err
	}
	axes := make([]int, len(in.dims))
	for i, axis := range perm[1:] {
		if axis < 1 || int(axis) > len(in.dims) {
			return nil, fmt.Errorf("perm %v: want a permutation of the axes", perm)
		}
		axes[i] = int(axis) - 1
	}
	return pl.gather(n, transposition(in.dims, axes)), nil
}

// transposition returns, for every element of the permuted tensor in row-major
// order, the index of that element in the tensor of shape dims: output axis i
// is input axis axes[i].
func transposition(dims, axes []int) []int64 {
	strides := make([]int, len(dims))
	size := 1
	for i := len(dims) - 1; i >= 0; i-- {
		strides[i] = size
		size *= dims[i]
	}
	from := make([]int64, size)
	at := make([]int, len(dims)) // index in the permuted tensor
	offset := 0
	for i := range from {
		from[i] = int64(offset)
		for j := len(at) - 1; j >= 0; j-- {
			stride := strides[axes[j]]
			if at[j]++; at[j] < dims[axes[j]] {
				offset += stride
				break
			}
			offset -= stride * (at[j] - 1)
			at[j] = 0
		}
	}
	return from
}

// gather plans a node whose output vector is elements of its input vector.
func (pl *planner) gather(n *onnxio.Node, from []int64) step {
	if isRange(from) && len(from) == pl.mustSize(n.Input(0)) {
		return func(b *builder) error {
			b.alias(n.Input(0), n.Output(0))
			return nil
		}
	}
	return func(b *builder) error {
		x := b.vec(n.Input(0))
		index := b.tensor(onnxio.NewTensor(n.Label()+".index", []int64{int64(len(from))}, from))
		b.node(&onnxio.Node{
			Name: b.nodeName(n), OpType: "Gather",
			Inputs: []string{x, index}, Outputs: []string{b.newVec(n.Output(0))},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", 1)},
			Metadata:   n.Metadata,
		})
		return nil
	}
}

// mustSize is the length of the vector of a value that is known to have one.
func (pl *planner) mustSize(name string) int {
	v, _ := pl.vector(name)
	return v.size()
}

// isRange says whether index is 0, 1, 2, …
func isRange(index []int64) bool {
	for i, v := range index {
		if v != int64(i) {
			return false
		}
	}
	return true
}
