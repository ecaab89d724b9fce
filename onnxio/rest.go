package onnxio

import "google.golang.org/protobuf/proto"

// rest is what a message held that has no field of its own: the message it came
// in, with what was decoded taken out of it. It is never modified, so copies of
// a node or a graph share it.
type rest struct{ msg proto.Message }

// keep makes a rest of what decoding left in m.
func keep(m proto.Message) rest {
	if proto.Size(m) == 0 {
		return rest{}
	}
	return rest{m}
}

// restore returns a message to encode into: a copy of the rest, or fresh if
// nothing was left.
func restore[M proto.Message](r rest, fresh M) M {
	if m, ok := r.msg.(M); ok {
		return proto.CloneOf(m)
	}
	return fresh
}

// take returns the value of a scalar field and removes it. A zero that is
// written out stays, so that it is written out again.
func take[T string | int64](field **T) T {
	var v T
	if *field != nil {
		v = **field
	}
	if v != *new(T) {
		*field = nil
	}
	return v
}

// put is the inverse of take: the field's pointer for the value v, where was is
// what the rest has.
func put[T string | int64](v T, was *T) *T {
	if v == *new(T) {
		return was
	}
	return &v
}
