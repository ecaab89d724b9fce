package data

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
)

// Split parts a set at random, by a seed: n samples, and the rest. Both keep the order of
// s, and neither shares its memory.
func (s *Set) Split(n int, seed uint64) (rest, part *Set) {
	order := rand.New(rand.NewPCG(seed, 0x73706c6974)).Perm(s.N())
	return s.pick(order[n:]), s.pick(order[:n])
}

// pick returns the set of the samples of some indices, in ascending order.
func (s *Set) pick(indices []int) *Set {
	slices.Sort(indices)
	part := *s
	part.Labels = make([]int, len(indices))
	for i, index := range indices {
		part.Labels[i] = s.Labels[index]
	}
	if s.stored != nil {
		part.stored = &picked{s.stored, indices}
		return &part
	}
	size := s.Size()
	part.X = make([]float32, 0, size*len(indices))
	for _, index := range indices {
		part.X = append(part.X, s.X[index*size:(index+1)*size]...)
	}
	return &part
}

// picked is some of what is stored.
type picked struct {
	stored
	indices []int
}

func (p *picked) read(index int) (frame, []float32, error) { return p.stored.read(p.indices[index]) }

func (p *picked) name(index int) string { return p.stored.name(p.indices[index]) }

func (p *picked) identify(w io.Writer) {
	p.stored.identify(w)
	fmt.Fprintf(w, "%v\n", p.indices)
}
