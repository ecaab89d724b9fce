package convert

import (
	"efcn/onnxio"
)

func init() {
	register("Einsum", operator{
		becomes: "itself, on tensors: its equation is not taken apart", layer: withConstant,
		plan: func(*planner, *onnxio.Node) ([]*piece, error) {
			return nil, keep("its equation is not taken apart; export the model with MatMul")
		},
	})
}
