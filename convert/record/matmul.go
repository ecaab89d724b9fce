package record

import (
	"fmt"

	"efcn/convert/affine"
)

func init() {
	operators["MatMul"] = (*Layer).matMul
	operators["Gemm"] = (*Layer).matMul
}

// Connected reports whether the layer was fully connected in the CNN already.
func (l *Layer) Connected() bool {
	return l.Op == "Gemm" || l.Op == "MatMul" && l.FactorShape == nil
}

// matMul is the geometry of a MatMul with a constant. Where that is a batch of vectors
// with a matrix, as a Gemm is, the layer was fully connected in the CNN.
func (l *Layer) matMul() (geometry, error) {
	if l.Connected() {
		return geometry{free: "fully connected in the CNN: no weight is tied"}, nil
	}
	var m *affine.Map
	err := fmt.Errorf("too large, or negative")
	if isSize(l.InputShape) && isSize(l.OutputShape) && isSize(l.FactorShape) {
		x := make([]int, len(l.InputShape))
		for i, d := range l.InputShape {
			x[i] = int(d)
		}
		m, err = affine.MatMul(x, l.FactorShape, l.FactorFirst)
	}
	if err != nil {
		return geometry{}, fmt.Errorf("a MatMul of %v with a constant of shape %v: %w", l.InputShape, l.FactorShape,
			err)
	}
	return geometry{support: m}, nil
}
