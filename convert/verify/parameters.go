package verify

import (
	"fmt"
	"math"

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
	mul := s.efcn.producer[add.Input(0)]
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
			s.fault("entry", node, bn.Output(0), "its constant %q has shape %v; want [%d] (%v)", node.Input(1), dims, size, err)
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
	a, b := s.cnn.constants[source.Input(i)], s.efcn.constants[node.Input(i)]
	if a == nil || b == nil {
		s.fault("node", node, source.Output(0), "input %d (%q) is constant in one model and computed in the other (%q)", i, node.Input(i), source.Input(i))
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
	if fmt.Sprint(a.Dims) != fmt.Sprint(b.Dims) {
		if len(shape) == 0 || len(got) != product(shape[1:]) || len(a.Dims) > len(shape) {
			s.fault("entry", node, source.Output(0), "constant %q has shape %v; in the CNN it is %v", b.Name, b.Dims, a.Dims)
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
			s.fault("entry", node, source.Output(0), "element %d of %q: want %s, got %s", k, b.Name, text, bitsText(b.Type, got[k]))
			return
		}
	}
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
