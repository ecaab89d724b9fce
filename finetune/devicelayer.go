package finetune

import (
	"errors"
	"fmt"
	"strings"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// deviceLayer is a layer that has a form on a device too. There the batch is the last
// axis: an activation is L×N where layer has N×L. Parameters lie as they do here.
//
// To give an operator one, write the method beside its layer, in a file X_cuda.go, and
// nothing else: whoever has it trains on a device, the others are refused by name.
// TestDeviceGradients compares it with the passes of the processor for every sketch of
// the operator.
type deviceLayer[T kernel.Float] interface {
	layer[T]
	// onDevice makes the form, and what that keeps on the device. It is called for each
	// network twice: first to count the bytes, when nothing is allocated and nothing runs.
	onDevice(m *formMaker[T]) (deviceForm[T], error)
}

// deviceForm are the functions of a layer on a device. They add work to a stream and
// return at once. What a network's step has for numbers is the same in every step, or lies
// on the device: a step may be captured in a graph.
type deviceForm[T kernel.Float] struct {
	// forward and backward are those of layer. A buffer is empty where a slice is nil there.
	forward  func(s *cuda.Stream, in []cuda.Buffer[T], out cuda.Buffer[T]) error
	backward func(s *cuda.Stream, p devicePass[T]) error
	// update sets the parameter at input i to factors[1] times itself + factors[0] times its
	// gradient, and parts is gradient of fusible: both of those that are fusible.
	update func(s *cuda.Stream, p devicePass[T], i int, factors cuda.Buffer[T]) error
	parts  func(s *cuda.Stream, p devicePass[T], i int, visit func(at int, part cuda.Buffer[T]) error) error
}

// devicePass is pass on a device.
type devicePass[T kernel.Float] struct {
	in   []cuda.Buffer[T]
	out  cuda.Buffer[T]
	dout cuda.Buffer[T] // the layer may overwrite it
	din  []cuda.Buffer[T]
}

// deviceFrugal is a layer whose form on a device needs other values than its passes on the
// processor do.
type deviceFrugal interface{ deviceNeeds() needs }

// deviceFusible is a layer that may leave fusing to the processor.
type deviceFusible interface{ fusesOnDevice() bool }

func deviceNeedsOf[T kernel.Float](l layer[T]) needs {
	if f, ok := l.(deviceFrugal); ok {
		return f.deviceNeeds()
	}
	return needsOf(l)
}

// DeviceError names what has no form on a device.
type DeviceError struct{ What []string }

func (e *DeviceError) Error() string {
	return fmt.Sprintf("%v: %s; compute on the processor", errNoForm, strings.Join(e.What, ", "))
}

var errNoForm = errors.New("no form on a device")

// formOf returns the form of a layer, errNoForm where it has none.
func formOf[T kernel.Float](m *formMaker[T], l layer[T]) (deviceForm[T], error) {
	if d, ok := l.(deviceLayer[T]); ok {
		return d.onDevice(m)
	}
	return deviceForm[T]{}, errNoForm
}

// formMaker is what the layers of a network make their forms with.
type formMaker[T kernel.Float] struct {
	thread *cuda.Thread
	n      int // samples
	memory *deviceMemory[T]
	at     map[*buffer[T]]cuda.Buffer[T]
}

// buffer returns where a buffer of the layer lies; see buffered.
func (m *formMaker[T]) buffer(b *buffer[T]) cuda.Buffer[T] { return m.at[b] }

// scratch returns n elements that mean nothing before a call of a form, nor after it.
func (m *formMaker[T]) scratch(n int) cuda.Buffer[T] {
	if m.memory.counting {
		m.memory.most = max(m.memory.most, n)
		return cuda.Buffer[T]{}
	}
	return m.memory.scratch.Part(0, n)
}

// keep gives something back when the memory of the run is.
func (m *formMaker[T]) keep(free func(t *cuda.Thread) error) {
	if !m.memory.counting {
		m.memory.frees = append(m.memory.frees, free)
	}
}

// deviceRoom allocates n elements for as long as the network lives.
func deviceRoom[E cuda.Element, T kernel.Float](m *formMaker[T], n int) (cuda.Buffer[E], error) {
	return allocated[E](m.memory, m.thread, n)
}

// constant returns what the device has of values of the host: constants of a layer, or
// running statistics.
func (m *formMaker[T]) constant(values []T) (cuda.Buffer[T], error) {
	return m.memory.mirror(m.thread, values)
}
