package record

import (
	"errors"

	"efcn/convert/affine"
)

func init() {
	operators["Conv"] = func(l *Layer) (geometry, error) { return l.convolution(affine.ConvTaps) }
	operators["ConvTranspose"] = func(l *Layer) (geometry, error) { return l.convolution(affine.ConvTransposeTaps) }
}

func (l *Layer) convolution(of func([]affine.Window) *affine.Taps) (geometry, error) {
	if l.Group < 1 {
		return geometry{}, errors.New("a convolution without a group")
	}
	return l.windowed(int(l.Group), of)
}
