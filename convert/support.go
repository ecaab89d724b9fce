package convert

// Support returns the geometry of the layer, rebuilt from its record: a Map
// without Kernel and Bias. Entry (o, p), (c, q) of the layer's matrix is in the
// support if output position p has a tap at input position q and channels o and
// c share a group; entries of one o and one c with equal coefficients are tied.
//
// A layer that was fully connected in the CNN has all of its matrix for a
// support and nothing tied: one output position, one tap. The map is nil for an
// operator whose geometry the record does not hold. An error says what is wrong
// with the record.
func (l *LayerRecord) Support() (*Map, error) {
	m, _, err := l.geometry()
	if m == nil && err == nil && l.Connected() && isSize(l.InputShape) && isSize(l.OutputShape) {
		m = fullyConnected(l.cols(), l.rows())
	}
	return m, err
}

// Connected says that the layer was fully connected in the CNN already.
func (l *LayerRecord) Connected() bool {
	return l.Op == "Gemm" || l.Op == "MatMul" && l.FactorShape == nil
}

// LocalDims returns the shape that the weights of the map have in local form,
// [group, position, output channel, slot], and the number of slots that one
// input channel has. Slot c·taps + j of position p is the j-th tap of p in
// channel c of the group; a slot behind the last tap of p lies in padding.
func (m *Map) LocalDims() (dims []int64, taps int) {
	f := m.local()
	return f.dims(), f.taps
}

// LocalTable returns which inputs of its group each position sees in local
// form, [position, slot]: numbers of elements of the group's part of the
// vector and, for a slot in padding, the length of that part.
func (m *Map) LocalTable() []int64 { return m.local().table() }
