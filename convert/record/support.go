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
	g, err := l.geometry()
	if g.support == nil && err == nil && l.Connected() && isSize(l.InputShape) && isSize(l.OutputShape) {
		return affine.FullyConnected(l.cols(), l.rows()), nil
	}
	return g.support, err
}
