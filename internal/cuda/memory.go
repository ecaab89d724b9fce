package cuda

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Element is what memory of a device is made of.
type Element interface {
	byte | int32 | uint32 | int64 | float32 | float64
}

// Buffer is memory of a device, or a part of one. The zero value is empty, and stands
// for what a kernel can do without.
type Buffer[T Element] struct {
	address uintptr
	n       int
	part    bool
}

// sizeOf is the bytes of an element.
func sizeOf[T Element]() int { return int(unsafe.Sizeof(*new(T))) }

// Alloc allocates n elements, which have any value. Free gives them back. Too little
// memory is a [*MemoryError].
func Alloc[T Element](t *Thread, n int) (Buffer[T], error) {
	if n < 0 || n > math.MaxInt/sizeOf[T]() {
		return Buffer[T]{}, fmt.Errorf("a buffer of %d elements", n)
	}
	if n == 0 {
		return Buffer[T]{}, nil
	}
	if t.counting {
		t.counted += int64((n*sizeOf[T]() + granularity - 1) / granularity * granularity)
		return Buffer[T]{n: n}, nil
	}
	var at uintptr
	err := t.call(cuMemAlloc, uintptr(unsafe.Pointer(&at)), uintptr(n*sizeOf[T]()))
	if errors.Is(err, ErrOutOfMemory) {
		free, total, failed := t.Memory()
		if failed != nil {
			return Buffer[T]{}, failed
		}
		err = &MemoryError{Device: t.device.String(), Want: int64(n * sizeOf[T]()), Free: free, Memory: total}
	}
	if err != nil {
		return Buffer[T]{}, err
	}
	return Buffer[T]{address: at, n: n}, nil
}

// granularity is what the bytes of an allocation are rounded up to where they are counted.
const granularity = 512

// Count returns how many bytes of the device f allocates by [Alloc], and by what calls it.
// Nothing is allocated or written while f runs: its buffers have sizes alone, and it must
// add no other work to a stream.
func (t *Thread) Count(f func() error) (int64, error) {
	t.counting, t.counted = true, 0
	defer func() { t.counting = false }()
	err := f()
	return t.counted, err
}

// BLASBytes is what the products of a stream take of the device beside their matrices.
const BLASBytes = workspaceSize

// Len is the number of elements.
func (b Buffer[T]) Len() int { return b.n }

// Part is elements from to until of b, which shares its memory.
func (b Buffer[T]) Part(from, until int) Buffer[T] {
	if from < 0 || until < from || until > b.n {
		panic(fmt.Sprintf("cuda: elements %d to %d of %d", from, until, b.n))
	}
	return Buffer[T]{address: b.address + uintptr(from*sizeOf[T]()), n: until - from, part: true}
}

// Free gives the memory of a buffer that [Alloc] made back, when no work with it is
// under way. An empty one is left alone.
func (b Buffer[T]) Free(t *Thread) error {
	switch {
	case b.n == 0, b.address == 0:
		return nil
	case b.part:
		return errors.New("a part of a buffer is not freed")
	}
	return t.call(cuMemFree, b.address)
}

func (b Buffer[T]) bytes() uintptr { return uintptr(b.n * sizeOf[T]()) }

// Host is memory of the host that a device reaches, which copies go from and to while the
// program goes on (pinned memory).
type Host[T Element] struct{ data []T }

const portable = 1 // CU_MEMHOSTALLOC_PORTABLE

// AllocHost allocates n elements, which have any value. Free gives them back. Too little
// memory is a [*MemoryError].
func AllocHost[T Element](t *Thread, n int) (Host[T], error) {
	if n < 0 || n > math.MaxInt/sizeOf[T]() {
		return Host[T]{}, fmt.Errorf("a buffer of %d elements", n)
	}
	if n == 0 || t.counting {
		return Host[T]{}, nil
	}
	var at unsafe.Pointer
	err := t.call(cuMemHostAlloc, uintptr(unsafe.Pointer(&at)), uintptr(n*sizeOf[T]()), portable)
	if errors.Is(err, ErrOutOfMemory) {
		err = &MemoryError{Device: "pinned memory of the host", Want: int64(n * sizeOf[T]())}
	}
	if err != nil {
		return Host[T]{}, err
	}
	return Host[T]{unsafe.Slice((*T)(at), n)}, nil
}

// Data is the contents of h, to be read and written when no copy of it is under way. It
// must not be used after Free.
func (h Host[T]) Data() []T { return h.data }

// Part is elements from to until of h, which shares its memory. It is not freed.
func (h Host[T]) Part(from, until int) Host[T] { return Host[T]{h.data[from:until:until]} }

// Free gives the memory back, when no copy of it is under way.
func (h Host[T]) Free(t *Thread) error {
	if len(h.data) == 0 {
		return nil
	}
	return t.call(cuMemFreeHost, uintptr(unsafe.Pointer(unsafe.SliceData(h.data))))
}

// Upload copies src to dst, which has as many elements.
func Upload[T Element](s *Stream, dst Buffer[T], src Host[T]) error {
	if dst.n != len(src.data) {
		return fmt.Errorf("upload: %d elements for %d", len(src.data), dst.n)
	}
	if dst.n == 0 {
		return nil
	}
	return s.thread.call(cuMemcpyHtoDAsync, dst.address, uintptr(unsafe.Pointer(unsafe.SliceData(src.data))),
		dst.bytes(), s.handle)
}

// Download copies src to dst, which has as many elements.
func Download[T Element](s *Stream, dst Host[T], src Buffer[T]) error {
	if src.n != len(dst.data) {
		return fmt.Errorf("download: %d elements for %d", src.n, len(dst.data))
	}
	if src.n == 0 {
		return nil
	}
	return s.thread.call(cuMemcpyDtoHAsync, uintptr(unsafe.Pointer(unsafe.SliceData(dst.data))), src.address,
		src.bytes(), s.handle)
}

// Copy copies src to dst, which has as many elements and no memory in common with it.
func Copy[T Element](s *Stream, dst, src Buffer[T]) error {
	if dst.n != src.n {
		return fmt.Errorf("copy: %d elements for %d", src.n, dst.n)
	}
	if dst.n == 0 {
		return nil
	}
	return s.thread.call(cuMemcpyDtoDAsync, dst.address, src.address, dst.bytes(), s.handle)
}

// Clear sets all of b to 0.
func Clear[T Element](s *Stream, b Buffer[T]) error {
	if b.n == 0 {
		return nil
	}
	return s.thread.call(cuMemsetD8Async, b.address, 0, b.bytes(), s.handle)
}

// stagingSize is how many bytes [Write] and [Read] copy at a time.
const stagingSize = 16 << 20

// Write copies values to dst, which has as many elements, and waits for it.
func Write[T Element](s *Stream, dst Buffer[T], values []T) error {
	if dst.n != len(values) {
		return fmt.Errorf("write: %d elements for %d", len(values), dst.n)
	}
	return staged(s, dst.n, func(part Host[T], from, until int) error {
		copy(part.data, values[from:until])
		return errors.Join(Upload(s, dst.Part(from, until), part), s.Wait())
	})
}

// Read copies src to values, which has as many elements, and waits for it.
func Read[T Element](s *Stream, values []T, src Buffer[T]) error {
	if src.n != len(values) {
		return fmt.Errorf("read: %d elements for %d", src.n, len(values))
	}
	return staged(s, src.n, func(part Host[T], from, until int) error {
		if err := errors.Join(Download(s, part, src.Part(from, until)), s.Wait()); err != nil {
			return err
		}
		copy(values[from:until], part.data)
		return nil
	})
}

// staged calls move for parts of n elements with pinned memory for each.
func staged[T Element](s *Stream, n int, move func(part Host[T], from, until int) error) error {
	t := s.thread
	if n == 0 || t.counting {
		return nil
	}
	if len(t.staging.data) == 0 {
		var err error
		if t.staging, err = AllocHost[byte](t, stagingSize); err != nil {
			return err
		}
	}
	all := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.staging.data))), stagingSize/sizeOf[T]())
	for from := 0; from < n; from += len(all) {
		until := min(n, from+len(all))
		if err := move(Host[T]{all[:until-from]}, from, until); err != nil {
			return err
		}
	}
	return nil
}

// Made allocates memory that holds values.
func Made[T Element](t *Thread, values []T) (Buffer[T], error) {
	b, err := Alloc[T](t, len(values))
	if err != nil {
		return b, err
	}
	if err := Write(t.stream, b, values); err != nil {
		return Buffer[T]{}, errors.Join(err, b.Free(t))
	}
	return b, nil
}
