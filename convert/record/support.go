package record

import (
	"efcn/convert/affine"
)

// Support returns the geometry of the layer, rebuilt from its record: a Map
// without Kernel and Bias. Entry (o, p), (c, q) of the layer's matrix is in the
// support if output position p has a tap at input position q and channels o and
// c share a group; entries of one o and one c with equal coefficients are tied.
//
// A layer that was fully connected in the CNN has all of its matrix for a
// support and nothing tied: one output position, one tap. The map is nil for an
// operator whose geometry the record does not hold. An error says what is wrong
// with the record.
func (l *Layer) Support() (*affine.Map, error) {
	m, _, err := l.geometry()
	if m == nil && err == nil && l.Connected() && isSize(l.InputShape) && isSize(l.OutputShape) {
		m = affine.FullyConnected(l.cols(), l.rows())
	}
	return m, err
}

// Connected says that the layer was fully connected in the CNN already.
func (l *Layer) Connected() bool {
	return l.Op == "Gemm" || l.Op == "MatMul" && l.FactorShape == nil
}
