package kernel

import (
	"math/bits"
	"sync"
)

// Scratch buffers are taken from pools so that a training step allocates
// nothing once it is warm. There is one pool for each power of two, so that a
// large buffer does not go to where a small one would do, and then is missing.
type scratchPool [64]sync.Pool

var (
	scratch32, scratch64           scratchPool
	scratchTerms32, scratchTerms64 scratchPool
	scratchInts, scratchIndices    scratchPool // of int and int32
)

// borrow returns a buffer of n elements, their content unspecified. Give it
// back with giveBack.
func borrow[T Float](n int) *[]T { return borrowFrom[T](scratch[T](), n) }

func giveBack[T Float](p *[]T) { returnTo(scratch[T](), p) }

// borrowFrom is borrow for other elements: a pool's are all of one type.
func borrowFrom[E any](pool *scratchPool, n int) *[]E {
	class := bits.Len(uint(max(n, 1) - 1))
	p, ok := pool[class].Get().(*[]E)
	if !ok {
		p = new([]E)
		*p = make([]E, 1<<class) // memory that is never touched is never there
	}
	*p = (*p)[:n]
	return p
}

func returnTo[E any](pool *scratchPool, p *[]E) {
	pool[bits.Len(uint(cap(*p)-1))].Put(p)
}

func scratch[T Float]() *scratchPool {
	if any(T(0)) == any(float32(0)) {
		return &scratch32
	}
	return &scratch64
}

func scratchTerms[T Float]() *scratchPool {
	if any(T(0)) == any(float32(0)) {
		return &scratchTerms32
	}
	return &scratchTerms64
}
