package kernel

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Scratch buffers come from one list, whatever their elements are. A training step
// then allocates nothing after the first, and a buffer serves one kernel after the
// other. There are never more than were in use at a time, a few MiB for each thread
// at most.
var scratch struct {
	sync.Mutex
	free []*block
}

// block is memory to lend. Its words hold elements without pointers.
type block struct {
	lent  []uint64 // what the borrower sees, as a slice of its own elements
	words []uint64
}

// borrow returns a buffer of n elements of a type without pointers, their
// content unspecified. Give it back with giveBack.
func borrow[E any](n int) *[]E {
	// Room for one element where n is 0: the memory is E's all the same.
	words := (max(n, 1)*int(unsafe.Sizeof(*new(E))) + 7) / 8
	b := takeBlock(words)
	if b == nil {
		// Rounded up by an eighth at most, so that one that grows a little does not
		// need another; memory that is never touched is never there.
		step := 1 << max(0, bits.Len(uint(words))-4)
		b = &block{words: make([]uint64, roundUp(words, step))}
	}
	p := (*[]E)(unsafe.Pointer(&b.lent))
	*p = unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(b.words))), n)
	return p
}

// takeBlock returns the smallest free block of so many words. Where all are
// smaller it returns nil and drops the largest: the caller makes a larger one, which
// serves in its place.
func takeBlock(words int) *block {
	scratch.Lock()
	defer scratch.Unlock()
	best, largest := -1, -1
	for i, b := range scratch.free {
		if n := len(b.words); n >= words && (best < 0 || n < len(scratch.free[best].words)) {
			best = i
		}
		if largest < 0 || len(b.words) > len(scratch.free[largest].words) {
			largest = i
		}
	}
	at := best
	if best < 0 {
		at = largest
	}
	if at < 0 {
		return nil
	}
	b, last := scratch.free[at], len(scratch.free)-1
	scratch.free[at], scratch.free[last] = scratch.free[last], nil
	scratch.free = scratch.free[:last]
	if best < 0 {
		return nil
	}
	return b
}

func giveBack[E any](p *[]E) {
	b := (*block)(unsafe.Pointer(p)) // of which it is the first field
	b.lent = nil
	scratch.Lock()
	scratch.free = append(scratch.free, b)
	scratch.Unlock()
}
