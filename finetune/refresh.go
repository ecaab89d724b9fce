package finetune

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"efcn/internal/kernel"
	"efcn/internal/lowrank"
)

// A refresh restarts the subspaces of factored layers. Of the singular value
// decomposition of U·V the leading part stays, as U·V with orthonormal rows of V; the
// rest leaves the factors. What of the rest lies in the support goes into the local
// weights, so that the matrix changes by what lies outside, and by nothing else but
// rounding. The freed rows of V become the leading directions of the present gradient,
// with U 0 there.

// refreshKeep is the share of the rank that stays.
const refreshKeep = 0.5

// split is U·V of a layer in two parts, left·right each: what stays in the factors and
// what leaves them. Rows of right are orthonormal.
type split struct {
	left, right       []float64 // out×h and h×in
	cutLeft, cutRight []float64 // out×(rank−h) and (rank−h)×in
}

// refresh gives the layers new factors, all of them or, on an error, none.
func (s *session[T]) refresh(ctx context.Context, all []*subspace[T]) error {
	splits := make([]*split, len(all))
	for i, l := range all {
		var err error
		if splits[i], err = l.split(ctx); err != nil {
			return err
		}
	}
	bases, err := s.gradientBases(ctx, all, splits)
	if err != nil {
		return err
	}
	s.at.Cut = map[string]float64{}
	for i, l := range all {
		inside := l.mergeCut(splits[i])
		cut := 0.0
		for _, v := range splits[i].cutLeft {
			cut += v * v
		}
		s.at.Cut[l.node] = math.Sqrt(max(0, cut-inside))
		h := len(splits[i].right) / l.in
		clear(l.u.values)
		for o := range l.out {
			setValues(l.u.values[o*l.rank:], splits[i].left[o*h:(o+1)*h])
		}
		setValues(l.v.values, bases[i])
		for _, state := range slices.Concat(l.u.state, l.v.state) { // in place: a device has a copy of these
			clear(state)
		}
	}
	return nil
}

// split decomposes U·V.
func (l *subspace[T]) split(ctx context.Context) (*split, error) {
	uv := &factorProduct{out: l.out, in: l.in, rank: l.rank, u: doubles(l.u.values), v: doubles(l.v.values)}
	found, err := lowrank.Leading(ctx, uv, l.rank, lowrank.Options{})
	if err != nil {
		return nil, err
	}
	h := 0
	for h < int(refreshKeep*float64(l.rank)) && found.S[h] > 0 {
		h++
	}
	right := transposed(found.V, l.in, l.rank)
	p := &split{right: right[:h*l.in], cutRight: right[h*l.in:]}
	for o := range l.out {
		for k, x := range found.U[o*l.rank : (o+1)*l.rank] {
			if x *= found.S[k]; k < h {
				p.left = append(p.left, x)
			} else {
				p.cutLeft = append(p.cutLeft, x)
			}
		}
	}
	return p, nil
}

func doubles[T kernel.Float](values []T) []float64 {
	d := make([]float64, len(values))
	for i, v := range values {
		d[i] = float64(v)
	}
	return d
}

// mergeCut adds what of the part that is cut lies in the support to the local weights,
// and returns the sum of its squares.
func (l *subspace[T]) mergeCut(p *split) (squares float64) {
	g, cut := l.geometry, len(p.cutRight)/l.in
	columns := transposed(p.cutRight, cut, l.in)
	sums := make([]float64, g.Groups*g.Positions)
	kernel.Parallel(len(sums), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			group, position := i/g.Positions, i%g.Positions
			for o := range g.Out {
				row := p.cutLeft[((group*g.Out+o)*g.Positions+position)*cut:][:cut]
				for slot, q := range g.Table[position*g.Slots : (position+1)*g.Slots] {
					if int(q) == g.Block { // padding
						continue
					}
					var entry float64
					for k, x := range columns[(group*g.Block+int(q))*cut:][:cut] {
						entry += row[k] * x
					}
					l.w.values[(i*g.Out+o)*g.Slots+slot] += T(entry)
					sums[i] += entry * entry
				}
			}
		}
	})
	for _, s := range sums {
		squares += s
	}
	return squares
}

// factorProduct is the operator U·V.
type factorProduct struct {
	out, in, rank int
	u, v          []float64
}

func (p *factorProduct) Dims() (rows, cols int) { return p.out, p.in }

func (p *factorProduct) Mul(_ context.Context, dst, x []float64, k int) error {
	vx := make([]float64, p.rank*k)
	kernel.Gemm(false, false, p.rank, k, p.in, 1, p.v, p.in, x, k, 0, vx, k)
	kernel.Gemm(false, false, p.out, k, p.rank, 1, p.u, p.rank, vx, k, 0, dst, k)
	return nil
}

func (p *factorProduct) MulT(_ context.Context, dst, y []float64, k int) error {
	uy := make([]float64, p.rank*k)
	kernel.Gemm(true, false, p.rank, k, p.out, 1, p.u, p.rank, y, k, 0, uy, k)
	kernel.Gemm(true, false, p.in, k, p.rank, 1, p.v, p.in, uy, k, 0, dst, k)
	return nil
}

// orthonormalize makes the rows from the first on orthonormal to each other and to those
// before, which are. A row that is in the span of those before becomes a random one.
func orthonormalize(rows []float64, first, cols int, rng *rand.Rand) {
	for r := first; r*cols < len(rows); r++ {
		row := rows[r*cols : (r+1)*cols]
		for {
			norm := 0.0
			for range 2 { // what rounding leaves of the first round is gone after the second
				for before := range r {
					other := rows[before*cols : (before+1)*cols]
					var along float64
					for i, x := range row {
						along += x * other[i]
					}
					for i, x := range other {
						row[i] -= along * x
					}
				}
			}
			for _, x := range row {
				norm += x * x
			}
			if norm = math.Sqrt(norm); norm > 0.5 {
				for i := range row {
					row[i] /= norm
				}
				break
			}
			for i := range row {
				row[i] = rng.NormFloat64()
			}
		}
	}
}
