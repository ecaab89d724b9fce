package finetune

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"efcn/internal/kernel"
	"efcn/internal/lowrank"
)

// offLocal is the gradient of the matrix of a factored layer outside its support, summed
// over batches: an operator of which products with thin matrices are made,
// (δᵀx)Ω = δᵀ(xΩ), and never the matrix. Of such a product that of the whole gradient is
// made first; that of the part inside the support, which is the gradient at the local
// weights, is taken from it.
type offLocal[T kernel.Float] struct {
	*subspace[T]
	inside []T // the gradient at the local weights, summed over the batches of the first pass
	summed bool
	kept   []float64 // orthonormal rows: of each row of the gradient their part is left out
	asked  chan *thinProduct[T]
	now    *thinProduct[T] // that the pass which goes on is for; nil for none
}

// thinProduct is dst = A·x, or Aᵀ·x with ofTranspose, of k columns.
type thinProduct[T kernel.Float] struct {
	ofTranspose bool
	k           int
	x, dst      []T
	done        chan error
}

func (g *offLocal[T]) Dims() (rows, cols int) { return g.out, g.in }

func (g *offLocal[T]) Mul(_ context.Context, dst, x []float64, k int) error {
	x = slices.Clone(x)
	g.leaveOutKept(x, k)
	return g.ask(false, dst, x, k)
}

func (g *offLocal[T]) MulT(_ context.Context, dst, y []float64, k int) error {
	err := g.ask(true, dst, y, k)
	g.leaveOutKept(dst, k)
	return err
}

// leaveOutKept takes from k columns their parts along the rows that are kept.
func (g *offLocal[T]) leaveOutKept(x []float64, k int) {
	h := len(g.kept) / g.in
	along := make([]float64, h*k)
	kernel.Gemm(false, false, h, k, g.in, 1, g.kept, g.in, x, k, 0, along, k)
	kernel.Gemm(true, false, g.in, k, h, -1, g.kept, g.in, along, k, 1, x, k)
}

// ask has the next pass over the batches make a product.
func (g *offLocal[T]) ask(ofTranspose bool, dst, x []float64, k int) error {
	p := &thinProduct[T]{
		ofTranspose: ofTranspose, k: k, x: make([]T, len(x)), dst: make([]T, len(dst)), done: make(chan error),
	}
	setValues(p.x, x)
	g.asked <- p
	if err := <-p.done; err != nil {
		return err
	}
	for i, v := range p.dst {
		dst[i] = float64(v)
	}
	return nil
}

// powerRounds is how often the subspace iteration multiplies by A and Aᵀ once more.
const powerRounds = 2

// gradientBases returns for each layer as many orthonormal rows as V has: those that are
// kept of it, then the leading right singular vectors of the off-local gradient without
// its part along those. Each product that a layer needs takes a pass over the batches,
// which makes one for every layer.
func (s *session[T]) gradientBases(ctx context.Context, layers []*subspace[T], kept []*split) ([][]float64, error) {
	all := make([]*offLocal[T], len(layers))
	bases, errs := make([][]float64, len(layers)), make([]error, len(layers))
	for i, l := range layers {
		g := &offLocal[T]{subspace: l, asked: make(chan *thinProduct[T])}
		if kept[i] != nil {
			g.kept = kept[i].right
		}
		all[i] = g
		go func() {
			defer close(g.asked)
			seed, free := s.options.Seed+uint64(s.at.Epoch), l.rank-len(g.kept)/l.in
			found, err := lowrank.Leading(ctx, g, free, lowrank.Options{Seed: seed, Power: powerRounds})
			if err != nil {
				errs[i] = fmt.Errorf("layer %q: %w", l.node, err)
			} else {
				bases[i] = slices.Concat(g.kept, transposed(found.V, l.in, free))
				orthonormalize(bases[i], len(g.kept)/l.in, l.in, rand.New(rand.NewPCG(seed, 2)))
			}
		}()
	}
	defer s.trainee.keepStatistics()()
	n, err := s.gradientNetwork()
	for {
		wanted := false
		for _, g := range all {
			g.now = <-g.asked
			wanted = wanted || g.now != nil
		}
		if !wanted {
			return bases, cmp.Or(errs...)
		}
		if err == nil {
			err = s.gradientPass(ctx, n, all)
		}
		for _, g := range all {
			if g.now != nil {
				g.now.done <- err
			}
		}
	}
}

// keepStatistics returns what sets the running statistics back.
func (t *trainee[T]) keepStatistics() (restore func()) {
	var kept [][]T
	for _, s := range t.stats {
		kept = append(kept, slices.Clone(s.values))
	}
	return func() {
		for i, s := range t.stats {
			copy(s.values, kept[i])
		}
	}
}

// gradientNetwork returns a network that computes on the processor, with the weights that are
// there.
func (s *session[T]) gradientNetwork() (*network[T], error) {
	n := cmp.Or(s.full, s.rest)
	if n.device == nil {
		return n, nil
	}
	return s.trainee.networkOf(networkForm[T]{batch: n.batch, onHost: true})
}

// gradientPass makes the products that layers wait for, over the first batches of the
// epoch that begins. No weight moves.
func (s *session[T]) gradientPass(ctx context.Context, n *network[T], all []*offLocal[T]) error {
	batches := min(s.options.InitBatches, len(s.order)/n.batch)
	defer func() { n.probe = nil }()
	for i := range batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		n.probe = func(g *gradients[T], p pass[T]) {
			l, ok := g.layer.(*factored[T])
			if !ok {
				return
			}
			for _, of := range all {
				if of.v == g.in[l.v].param && of.now != nil {
					of.add(l, p)
				}
			}
		}
		next := (i + 1) % batches * n.batch
		if err := s.load(n, s.order[i*n.batch:(i+1)*n.batch], s.order[next:next+n.batch]); err != nil {
			return fmt.Errorf("training data: %w", err)
		}
		if err := n.run(); err != nil {
			return fmt.Errorf("batch %d: %w", i+1, err)
		}
	}
	for _, g := range all {
		if g.now != nil {
			if err := g.leaveOutSupport(); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds what a batch contributes to the product of the whole gradient and, in the
// first pass, to the gradient at the local weights.
func (g *offLocal[T]) add(l *factored[T], p pass[T]) {
	if !g.summed {
		if g.inside == nil {
			g.inside = make([]T, len(p.in[1]))
		}
		l.BackwardWeights(1, 1, g.inside)
	}
	t := g.now
	product := make([]T, l.rows*t.k)
	if t.ofTranspose {
		kernel.Gemm(false, false, l.rows, t.k, l.out, 1, p.dout, l.out, t.x, t.k, 0, product, t.k)
		kernel.Gemm(true, false, l.in, t.k, l.rows, 1, p.in[0], l.in, product, t.k, 1, t.dst, t.k)
		return
	}
	kernel.Gemm(false, false, l.rows, t.k, l.in, 1, p.in[0], l.in, t.x, t.k, 0, product, t.k)
	kernel.Gemm(true, false, l.out, t.k, l.rows, 1, p.dout, l.out, product, t.k, 1, t.dst, t.k)
}

// leaveOutSupport takes from a product of the whole gradient that of the part inside the
// support: what a local layer makes of the columns, as of samples, that has this part
// for weights.
func (g *offLocal[T]) leaveOutSupport() error {
	g.summed = true
	t := g.now
	l, err := kernel.NewLocalLayer[T](g.geometry, t.k)
	if err != nil {
		return err
	}
	part := make([]T, len(t.dst))
	if x := transposed(t.x, len(t.x)/t.k, t.k); t.ofTranspose {
		l.LoadGradient(x)
		l.BackwardInput(g.inside, part)
	} else {
		l.Forward(x, g.inside, nil, part)
	}
	for i, v := range transposed(part, t.k, len(part)/t.k) {
		t.dst[i] -= v
	}
	return nil
}

// transposed returns the transpose of a, rows×cols.
func transposed[T kernel.Float](a []T, rows, cols int) []T {
	t := make([]T, len(a))
	for r := range rows {
		for c, v := range a[r*cols : (r+1)*cols] {
			t[c*rows+r] = v
		}
	}
	return t
}
