package kernel

import "sync"

// Scratch buffers are taken from pools so that a training step allocates
// nothing once it is warm.
var scratch32, scratch64 sync.Pool

// borrow returns a buffer of n elements, their content unspecified. Give it
// back with giveBack.
func borrow[T Float](n int) *[]T {
	p, ok := scratch[T]().Get().(*[]T)
	if !ok {
		p = new([]T)
	}
	if cap(*p) < n {
		*p = make([]T, n)
	}
	*p = (*p)[:n]
	return p
}

func giveBack[T Float](p *[]T) { scratch[T]().Put(p) }

func scratch[T Float]() *sync.Pool {
	if any(T(0)) == any(float32(0)) {
		return &scratch32
	}
	return &scratch64
}
