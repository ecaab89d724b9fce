package engine

import (
	"errors"
	"fmt"
	"slices"

	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// AllGather (onnxio.AllGather) joins what the ranks of a job have of one value along axis
// 1: rank r has sizes[r] of it. Attribute partial is about gradients, of which there are
// none here.
func init() {
	register(operator{name: "AllGather", domain: onnxio.RanksDomain, inputs: "f"}, allGather[float32], allGather[float64])
}

// errOneRank is about a model of a rank that is run without the others.
var errOneRank = errors.New("the model is the part of one rank, and no other rank is there to run the others")

func allGather[T kernel.Float](n *node) (compute[T], error) {
	n.need("sizes")
	n.ignore("partial")
	sizes, err := toDims(n.ints("sizes"))
	if err != nil {
		return nil, err
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		if x.ranks == nil {
			return nil, errOneRank
		}
		v, rank := in[0], x.ranks.world.Rank()
		if len(v.Shape) < 2 || len(sizes) != x.ranks.world.Size() || sizes[rank] != v.Shape[1] {
			return nil, fmt.Errorf("sizes %v along axis 1 are not those of %d ranks, of which rank %d has a value of shape %v",
				sizes, x.ranks.world.Size(), rank, v.Shape)
		}
		shape := slices.Clone(v.Shape)
		shape[1] = 0
		counts := make([]int, len(sizes)) // elements of a sample
		for r, size := range sizes {
			shape[1] += size
			counts[r] = size * product(v.Shape[2:])
		}
		y, err := x.fresh(v.Type, shape)
		if err != nil {
			return nil, err
		}
		return []*Tensor[T]{y}, x.ranks.gather(x, v.F, counts, shape[0], y.F)
	}, nil
}

// gathering is what runs over several ranks share: the ranks, and a buffer for what they
// send. One run at a time uses it, as all calls on a World have to be made in one order.
type gathering[T kernel.Float] struct {
	world  *mpi.World
	buffer mpi.Buffer[T]
}

// gather fills all with samples of which rank r has counts[r] elements, this one those of
// own.
func (g *gathering[T]) gather(x *exec[T], own []T, counts []int, samples int, all []T) error {
	if len(g.buffer.Data()) < len(all) {
		if err := g.free(); err != nil {
			return err
		}
		b, err := mpi.Alloc[T](g.world, len(all))
		if err != nil {
			return err
		}
		g.buffer = b
	}
	blocks, from := make([]int, len(counts)), make([]int, len(counts))
	at := 0
	for r, n := range counts {
		blocks[r], from[r] = samples*n, at
		at += samples * n
	}
	b := g.buffer.Part(0, len(all))
	copy(b.Data()[from[g.world.Rank()]:], own)
	if err := mpi.Iallgatherv(g.world, b, blocks).Wait(x.ctx); err != nil {
		g.buffer = mpi.Buffer[T]{} // the call may be under way, and is never freed
		return err
	}
	row, at := 0, 0
	for _, n := range counts {
		row += n
	}
	for r, n := range counts {
		copyBlocks(all, at, row, b.Data(), from[r], n, samples, n)
		at += n
	}
	return nil
}

// free gives the buffer back.
func (g *gathering[T]) free() error {
	b := g.buffer
	g.buffer = mpi.Buffer[T]{}
	return b.Free(g.world)
}
