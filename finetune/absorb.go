package finetune

import (
	"efcn/convert"
	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// absorbPads returns m as it is trained: its Pads become padding of the convolutions
// and poolings that read them, where that is the same function (see
// convert.AbsorbPads). No step then copies an activation to pad it. The model that
// is written keeps its Pads: it is m with other weights.
func absorbPads(m *onnxio.Model) *onnxio.Model {
	info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
	if err != nil {
		return m // the network for a batch infers them too, and says what is wrong
	}
	trained, _ := convert.AbsorbPads(m, info)
	return trained
}
