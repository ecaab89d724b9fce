package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// What is lent at a time must not overlap, whatever the elements are, and is as
// long as it was asked for.
func TestBorrowedBuffersAreApart(t *testing.T) {
	type stretch struct {
		lo, hi uintptr
		back   func()
	}
	var lent []stretch
	lend := func(at unsafe.Pointer, bytes int, back func()) {
		s := stretch{uintptr(at), uintptr(at) + uintptr(bytes), back}
		for _, other := range lent {
			if s.lo < other.hi && other.lo < s.hi {
				t.Fatalf("bytes %x to %x are lent, and %x to %x as well", other.lo, other.hi, s.lo, s.hi)
			}
		}
		lent = append(lent, s)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for range 2000 {
		if len(lent) > 8 || len(lent) > 0 && rng.IntN(2) == 0 {
			i := rng.IntN(len(lent))
			lent[i].back()
			lent = append(lent[:i], lent[i+1:]...)
			continue
		}
		n := 1 + rng.IntN(1<<rng.IntN(16))
		switch rng.IntN(4) {
		case 0:
			p := borrow[float32](n)
			clear(*p)
			lend(unsafe.Pointer(&(*p)[0]), 4*len(*p), func() { giveBack(p) })
		case 1:
			p := borrow[float64](n)
			clear(*p)
			lend(unsafe.Pointer(&(*p)[0]), 8*len(*p), func() { giveBack(p) })
		case 2:
			p := borrow[term[float64]](n)
			clear(*p)
			lend(unsafe.Pointer(&(*p)[0]), 16*len(*p), func() { giveBack(p) })
		default:
			p := borrow[int32](n)
			clear(*p)
			lend(unsafe.Pointer(&(*p)[0]), 4*len(*p), func() { giveBack(p) })
		}
		if s := lent[len(lent)-1]; int(s.hi-s.lo) < 4*n {
			t.Fatalf("%d bytes for %d elements", s.hi-s.lo, n)
		}
	}
}

// No elements of a type longer than a word are memory of that type too: the race
// detector's build checks the conversion.
func TestBorrowNone(t *testing.T) {
	scratch.Lock()
	scratch.free = nil // or a larger block serves
	scratch.Unlock()
	p := borrow[[2]uint64](0)
	defer giveBack(p)
	if len(*p) != 0 {
		t.Errorf("%d elements", len(*p))
	}
}

// Buffers that take turns, of different sizes and elements, come from the same
// memory.
func TestBorrowedBuffersAreUsedAgain(t *testing.T) {
	scratch.Lock()
	kept := scratch.free
	scratch.free = nil
	scratch.Unlock()
	defer func() {
		scratch.Lock()
		scratch.free = kept
		scratch.Unlock()
	}()
	turn := func() {
		a := borrow[float32](1000)
		b := borrow[int](10)
		giveBack(a)
		c := borrow[term[float32]](500)
		giveBack(c)
		giveBack(b)
	}
	turn()
	if n := len(scratch.free); n != 2 {
		t.Errorf("%d buffers where two are in use at a time", n)
	}
	if n := testing.AllocsPerRun(100, turn); n > 0 {
		t.Errorf("%v allocations a turn", n)
	}
}
