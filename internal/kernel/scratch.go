package kernel

import "sync"

// Scratch buffers are taken from pools so that a training step allocates
// nothing once it is warm.
var (
	scratch32, scratch64           sync.Pool
	scratchTerms32, scratchTerms64 sync.Pool
	scratchInts, scratchIndices    sync.Pool // of int and int32
)

// borrow returns a buffer of n elements, their content unspecified. Give it
// back with giveBack.
func borrow[T Float](n int) *[]T { return borrowFrom[T](scratch[T](), n) }

func giveBack[T Float](p *[]T) { scratch[T]().Put(p) }

func borrowFrom[E any](pool *sync.Pool, n int) *[]E {
	p, ok := pool.Get().(*[]E)
	if !ok {
		p = new([]E)
	}
	if cap(*p) < n {
		*p = make([]E, n)
	}
	*p = (*p)[:n]
	return p
}

func scratch[T Float]() *sync.Pool {
	if any(T(0)) == any(float32(0)) {
		return &scratch32
	}
	return &scratch64
}

func scratchTerms[T Float]() *sync.Pool {
	if any(T(0)) == any(float32(0)) {
		return &scratchTerms32
	}
	return &scratchTerms64
}
