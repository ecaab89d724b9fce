package convert

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("Transpose", operator{
		becomes: "Gather on the vector, or nothing where no element moves",
		plan:    planTranspose, notNegative: sameSign,
	})
}

// planTranspose plans a permutation of the axes that leaves the batch in front.
// https://onnx.ai/onnx/operators/onnx__Transpose.html, versions 1 to 21.
func planTranspose(pl *planner, n *onnxio.Node) ([]*piece, error) {
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
	axes := make([]int, len(in.dims))
	for i, axis := range perm[1:] {
		if axis < 1 || int(axis) > len(in.dims) || slices.Contains(axes[:i], int(axis)-1) {
			return nil, fmt.Errorf("perm %v: want a permutation of the axes", perm)
		}
		axes[i] = int(axis) - 1
	}
	return pl.selectFrom(n, n.Output(0), affine.Everything(in.dims).Permute(axes), 0)
}
