package verify

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

// hex writes a float32 with its bits, so that neighbours read differently.
func hex(bits uint32) string {
	return fmt.Sprintf("%v (0x%08x)", math.Float32frombits(bits), bits)
}

func hexOf(v float32) string { return hex(math.Float32bits(v)) }

// diagonal checks a BatchNormalization that became Mul and Add on the vector:
// the Mul's constant is float32(scale) at every position of a channel, the
// Add's is float32(beta − mean·scale).
func (s *structure) diagonal(bn, add *onnxio.Node) {
	mul := s.efcn.Producer(add.Input(0))
	if !isOp(mul, "Mul") {
		s.fault("node", bn, bn.Output(0), "the eFCN's node %q (Add) for it does not follow a Mul", add.Label())
		return
	}
	s.expected[mul] = true
	s.wire(bn, mul, 0, 0)
	shape := s.shapes[bn.Output(0)]
	if len(shape) < 2 {
		s.fault("node", bn, bn.Output(0), "shape %v has no channel axis", shape)
		return
	}
	norm, err := s.cnn.batchNormOf(bn, shape[1])
	if err != nil {
		s.fault("node", bn, bn.Output(0), "%v", err)
		return
	}
	size := product(shape[1:])
	positions := size / max(shape[1], 1)
	vector := func(node *onnxio.Node, want func(channel int) (float64, float64)) {
		got, dims, ok, err := s.efcn.floats(node, 1)
		if err != nil || !ok || len(got) != size {
			s.fault("entry", node, bn.Output(0), "its constant %q has shape %v; want [%d] (%v)", node.Input(1), dims,
				size, err)
			return
		}
		s.compared += int64(size)
		for i, v := range got {
			if value, slack := want(i / positions); !accepts(v, value, slack) {
				s.fault("entry", node, bn.Output(0), "element %v (%d of %q): want %s, got %s",
					unravel(i, shape[1:]), i, node.Input(1), hexOf(float32(value)), hexOf(v))
				return
			}
		}
	}
	vector(mul, func(c int) (float64, float64) { return norm.scale[c], 0 })
	vector(add, func(c int) (float64, float64) { return norm.shift(c, 0) })
}

// constant compares a constant input of a kept node: the same tensor, or the
// same elements laid out along the vector.
func (s *structure) constant(source, node *onnxio.Node, i int) {
	if !s.cnn.known(source.Input(i)) || !s.efcn.known(node.Input(i)) {
		s.fault("node", node, source.Output(0), "input %d (%q) is constant in one model and computed in the other (%q)",
			i, node.Input(i), source.Input(i))
		return
	}
	a, b := s.cnn.constants[source.Input(i)], s.efcn.constants[node.Input(i)]
	if a == nil || b == nil {
		s.sameContent(node, source.Output(0), source.Input(i), node.Input(i), func(want, got []int64) bool {
			return s.vectors(node, source.Output(0), want, got)
		})
		return
	}
	if a.Type != b.Type {
		s.fault("entry", node, source.Output(0), "constant %q is %s; in the CNN it is %s", b.Name, b.Type, a.Type)
		return
	}
	want, err := elements(a)
	if err != nil {
		s.fault("entry", source, source.Output(0), "constant %q: %v", a.Name, err)
		return
	}
	got, err := elements(b)
	if err != nil {
		s.fault("entry", node, source.Output(0), "constant %q: %v", b.Name, err)
		return
	}
	shape := s.shapes[source.Output(0)]
	from := func(k int) int { return k }
	if !slices.Equal(a.Dims, b.Dims) && !s.vectors(node, source.Output(0), a.Dims, b.Dims) {
		if len(shape) == 0 || len(got) != product(shape[1:]) || len(a.Dims) > len(shape) {
			s.fault("entry", node, source.Output(0), "constant %q has shape %v; in the CNN it is %v", b.Name, b.Dims,
				a.Dims)
			return
		}
		from = func(k int) int { return broadcastFrom(k, shape, a.Dims) }
	}
	s.compared += int64(len(got))
	for k := range got {
		j := from(k)
		if j >= len(want) || got[k] != want[j] {
			text := "nothing"
			if j < len(want) {
				text = bitsText(a.Type, want[j])
			}
			s.fault("entry", node, source.Output(0), "element %d of %q: want %s, got %s", k, b.Name, text,
				bitsText(b.Type, got[k]))
			return
		}
	}
}

// sameContent compares what is known without data in either model, at every size
// of the batch. laidOut says which shape, other than its own, a value of the CNN
// may have in the eFCN.
func (s *structure) sameContent(node *onnxio.Node, value, source, own string, laidOut func(want, got []int64) bool) {
	constant := s.cnn.constants[source] != nil && s.efcn.constants[own] != nil
	sizes := s.efcn.fromShapes.sizes
	if constant {
		sizes = []int64{0}
	}
	for i, size := range sizes {
		k := slices.Index(s.cnn.fromShapes.sizes, size)
		if k < 0 && s.cnn.constants[source] == nil {
			continue // the CNN takes no such batch
		}
		where := ""
		if !constant && size > 0 {
			where = fmt.Sprintf(" (with a batch of %d)", size)
		}
		a, b := s.cnn.at(source, k), s.efcn.at(own, i)
		if a.Type != b.Type || !slices.Equal(a.Dims, b.Dims) && !laidOut(a.Dims, b.Dims) {
			s.fault("entry", node, value, "%q, which does not depend on data, is %s %v; in the CNN it is %s %v%s", own,
				b.Type, b.Dims, a.Type, a.Dims, where)
			return
		}
		want, errA := elements(a)
		got, errB := elements(b)
		if err := cmp.Or(errA, errB); err != nil {
			s.fault("entry", node, value, "%q: %v", own, err)
			return
		}
		s.compared += int64(len(got))
		for j := range got {
			if got[j] != want[j] {
				s.fault("entry", node, value, "element %d of %q, which does not depend on data: want %s, got %s%s",
					j, own, bitsText(a.Type, want[j]), bitsText(b.Type, got[j]), where)
				return
			}
		}
	}
}

// flattened reports whether got is the shape of the vectors of a batch of tensors of
// shape want.
func flattened(want, got []int64) bool {
	if len(want) < 2 || len(got) != 2 || got[0] != want[0] {
		return false
	}
	n, err := onnxio.NumElements(want[1:])
	return err == nil && got[1] == n
}

// vectors reports whether got is the shape of the vectors of a batch of tensors of
// shape want, which an elementwise node takes: those of the shape of its output,
// so that nothing is broadcast but the batch.
func (s *structure) vectors(node *onnxio.Node, output string, want, got []int64) bool {
	shape := s.shapes[output]
	if !operatorOf(node).elementwise || len(want) != len(shape) || !flattened(want, got) {
		return false
	}
	for i, d := range want[1:] {
		if d != int64(shape[i+1]) {
			return false
		}
	}
	return true
}

// broadcastFrom returns the element of a constant of shape dims that
// broadcasting puts at element k of a vector, the first sample's part of a
// value of shape shape. Axes are matched from the last; one of length 1 repeats.
func broadcastFrom(k int, shape []int, dims []int64) int {
	at := unravel(k, shape[1:])
	from := 0
	for i, d := range dims {
		axis := len(shape) - len(dims) + i // in shape
		from *= int(d)
		if d != 1 && axis > 0 {
			from += at[axis-1]
		}
	}
	return from
}

// elements returns the bits of a constant's elements: of float32 where it is
// that, of float64 for other floating types, of int64 for integers.
func elements(t *onnxio.Tensor) ([]uint64, error) {
	if t.Type == onnxio.Float32 {
		v, err := onnxio.Floats[float32](t)
		bits := make([]uint64, len(v))
		for i, x := range v {
			bits[i] = uint64(math.Float32bits(x))
		}
		return bits, err
	}
	if t.Type.IsFloat() {
		v, err := onnxio.Floats[float64](t)
		bits := make([]uint64, len(v))
		for i, x := range v {
			bits[i] = math.Float64bits(x)
		}
		return bits, err
	}
	if !holds(t.Type) {
		return packed(t)
	}
	v, err := onnxio.Ints(t)
	bits := make([]uint64, len(v))
	for i, x := range v {
		bits[i] = uint64(x)
	}
	return bits, err
}

// packed returns the elements of a type of 4 or 8 bits that the engine does not hold
// as they are stored: of 4 bits, two a byte, the first in the lower half.
func packed(t *onnxio.Tensor) ([]uint64, error) {
	n, err := onnxio.NumElements(t.Dims)
	if err != nil {
		return nil, err
	}
	content, err := onnxio.Packed(t)
	if err != nil {
		return nil, err
	}
	var bits []uint64
	for _, b := range content {
		if t.Type.Size() > 0 {
			bits = append(bits, uint64(b))
			continue
		}
		bits = append(bits, uint64(b&0xf), uint64(b>>4))
	}
	if int64(len(bits)) < n {
		return nil, fmt.Errorf("tensor %q: %d elements stored, its dimensions %v want %d", t.Name, len(bits), t.Dims, n)
	}
	return bits[:n], nil
}

func bitsText(t onnxio.DataType, bits uint64) string {
	switch {
	case t == onnxio.Float32:
		return hex(uint32(bits))
	case t.IsFloat():
		return fmt.Sprintf("%v (0x%016x)", math.Float64frombits(bits), bits)
	default:
		return fmt.Sprint(int64(bits))
	}
}
