package shape

import "fmt"

// broadcast joins shapes by numpy's rule, ONNX's multidirectional
// broadcasting. The result is the caller's own.
func (s *session) broadcast(shapes ...[]num) ([]num, error) {
	rank := 0
	for _, dims := range shapes {
		rank = max(rank, len(dims))
	}
	out := make([]num, rank)
	for i := range out {
		out[i] = fixed(1)
	}
	for _, dims := range shapes {
		offset := rank - len(dims)
		for i, d := range dims {
			joined, ok := s.broadcastDim(out[offset+i], d)
			if !ok {
				return nil, fmt.Errorf("sizes %v and %v do not broadcast", out[offset+i], d)
			}
			out[offset+i] = joined
		}
	}
	return out, nil
}

func (s *session) broadcastDim(a, b num) (num, bool) {
	switch {
	case a.equal(b), b.is(1):
		return a, true
	case a.is(1):
		return b, true
	case a.known() && b.known():
		return num{}, false
	case a.known(): // b is 1 or the same
		return a, true
	case b.known():
		return b, true
	default:
		return s.unknownDim(), true
	}
}

// broadcastInputs joins the shapes of the listed inputs, and returns false if
// one is not known.
func (c *call) broadcastInputs(inputs ...int) ([]num, bool, error) {
	shapes := make([][]num, 0, len(inputs))
	for _, i := range inputs {
		v := c.in[i]
		if v == nil {
			continue
		}
		if !v.ranked {
			return nil, false, nil
		}
		shapes = append(shapes, v.dims)
	}
	dims, err := c.s.broadcast(shapes...)
	if err != nil {
		return nil, false, fmt.Errorf("inputs %q have shapes %s: %w", c.Inputs, c.shapes(), err)
	}
	return dims, true, nil
}

// shapes lists the shapes of all inputs for a message.
func (c *call) shapes() string {
	text := ""
	for i, v := range c.in {
		if v == nil {
			continue
		}
		if i > 0 {
			text += " and "
		}
		text += v.String()
	}
	return text
}

// at returns the element of a broadcast operand's content that belongs to
// element i, row-major, of a result of shape dims; all sizes are known.
func (v *value) at(i int, dims []num) int {
	index, stride := 0, 1
	for k := len(dims) - 1; k >= 0; k-- {
		size := int(dims[k].coef)
		pos := i % size
		i /= size
		if own := k - (len(dims) - len(v.dims)); own >= 0 && v.dims[own].coef != 1 {
			index += pos * stride
			stride *= int(v.dims[own].coef)
		}
	}
	return index
}
