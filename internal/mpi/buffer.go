package mpi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unsafe"
)

// Number is what is summed.
type Number interface{ float32 | float64 | int64 }

// Element is what is sent.
type Element interface{ Number | byte }

// Buffer is memory of the MPI library, or a part of one. The zero value is empty.
type Buffer[T Element] struct {
	data    []T
	address uintptr // of the memory; 0 in a part
}

// alignment is that of a cache line, and of the widest vectors.
const alignment = 64

// Alloc allocates a buffer of n elements that are 0, at an address that is a multiple
// of 64. Free gives it back; nothing else does.
func Alloc[T Element](w *World, n int) (Buffer[T], error) {
	size := int(unsafe.Sizeof(*new(T)))
	if n < 0 || n > (math.MaxInt-alignment)/size {
		return Buffer[T]{}, fmt.Errorf("a buffer of %d elements", n)
	}
	if n == 0 {
		return Buffer[T]{}, nil
	}
	b := Buffer[T]{}
	if w.local != nil {
		data := allocate(n * size)
		return Buffer[T]{unsafe.Slice((*T)(unsafe.Pointer(&data[0])), n), uintptr(unsafe.Pointer(&data[0]))}, nil
	}
	err := w.call(context.Background(), func() (err error) {
		b.address, err = w.library.allocMem(n*size + alignment - 1)
		return err
	})
	if err != nil {
		return Buffer[T]{}, err
	}
	b.data = unsafe.Slice((*T)(pointer((b.address+alignment-1)&^(alignment-1))), n)
	clear(b.data)
	return b, nil
}

// pointer is an address of the library's memory as a pointer. The double
// indirection is for go vet: no Go object moves under it.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// Data is the contents of b, to be read and written. It must not be used after Free.
func (b Buffer[T]) Data() []T { return b.data }

// Part is elements from to until of b, which shares its memory.
func (b Buffer[T]) Part(from, until int) Buffer[T] { return Buffer[T]{data: b.data[from:until]} }

// Free gives the memory of a buffer that [Alloc] made back, when nothing that was
// begun with it is under way.
func (b Buffer[T]) Free(w *World) error {
	if b.address == 0 {
		if len(b.data) > 0 {
			return errors.New("a part of a buffer is not freed")
		}
		return nil
	}
	if w.local != nil {
		return nil // the garbage collector does
	}
	return w.call(context.Background(), func() error { return w.library.freeMem(b.address) })
}

// memory is the bytes of s.
func memory[T Element](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(*new(T))))
}

// borrow returns a buffer of n elements of any value, which give keeps for the next
// that needs about as many bytes: steps of a training need the same ones over and over.
func borrow[T Element](w *World, n int) (data []T, give func(), err error) {
	size := roundUp(n * int(unsafe.Sizeof(*new(T))))
	if size == 0 {
		return nil, func() {}, nil
	}
	w.scratchMutex.Lock()
	kept := w.scratch[size]
	var b Buffer[byte]
	if len(kept) > 0 {
		b, w.scratch[size] = kept[len(kept)-1], kept[:len(kept)-1]
	}
	w.scratchMutex.Unlock()
	if b.data == nil {
		if b, err = Alloc[byte](w, size); err != nil {
			return nil, nil, err
		}
	}
	give = func() {
		w.scratchMutex.Lock()
		defer w.scratchMutex.Unlock()
		w.scratch[size] = append(w.scratch[size], b)
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b.data))), n), give, nil
}

// roundUp returns how large a buffer for so many bytes is: a power of two, or a multiple of
// a large one, so that lengths that are always others share buffers.
func roundUp(bytes int) int {
	const large = 4 << 20
	if bytes > large {
		return (bytes + large - 1) / large * large
	}
	if bytes == 0 {
		return 0
	}
	return 1 << bits.Len(uint(bytes-1))
}
