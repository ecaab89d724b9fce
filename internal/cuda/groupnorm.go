package cuda

import (
	"errors"

	"efcn/internal/kernel"
)

// Target is what a [GroupNorm] brings a group to.
type Target int

// The targets, in the order of kernels/groupnorm.cu.
const (
	UnitVariance  Target = iota // mean 0; epsilon is added to the variance
	UnitSquare                  // mean square 1; epsilon is added to it
	UnitDeviation               // mean 0; epsilon is added to the deviation
	UnitL1                      // sizes that add up to 1; zeros stay
	UnitL2                      // squares that do; zeros stay
)

// GroupNorm normalises groups of rows of n samples, in float64: each sample by itself or,
// with Whole, all samples together. Then it scales and shifts them.
type GroupNorm[T kernel.Float] struct {
	Target  Target
	Epsilon float64
	N       int
	Whole   bool
	Groups  *Arrangement
	// Scale and Bias may be empty. A row meets the element of each that ScaleAt and
	// BiasAt have.
	Scale, Bias     Buffer[T]
	ScaleAt, BiasAt *Arrangement
	// Stats is what forward leaves for backward, of StatsSize elements.
	Stats Buffer[float64]
}

// sums is how many groups and samples are normalised by themselves.
func (g *GroupNorm[T]) sums() int {
	if g.Whole {
		return g.Groups.in
	}
	return g.Groups.in * g.N
}

// StatsSize is how many elements Stats has.
func (g *GroupNorm[T]) StatsSize() int { return 3 * g.sums() }

// columns is how many sums a block makes.
func (g *GroupNorm[T]) columns() int {
	if g.Whole {
		return 1
	}
	return g.Groups.columns()
}

func (g *GroupNorm[T]) blocks() blocks { return blocks{(g.sums() + g.columns() - 1) / g.columns(), 1} }

func (g *GroupNorm[T]) check(call string, values map[string]Buffer[T]) error {
	errs := []error{
		checkInts(call, g.N), g.Groups.whole(call, g.Groups.out), check(call, need{"stats", g.Stats.n, g.StatsSize()}),
	}
	for name, b := range values {
		errs = append(errs, check(call, need{name, b.n, g.Groups.out * g.N}))
	}
	for i, at := range [2]*Arrangement{g.ScaleAt, g.BiasAt} {
		if b := [2]Buffer[T]{g.Scale, g.Bias}[i]; b.n > 0 {
			errs = append(errs, at.whole(call, g.Groups.out), check(call, need{"scale or bias", b.n, at.in}))
		}
	}
	return errors.Join(errs...)
}

// at is the table of which element a row meets, empty where there are none.
func at[T kernel.Float](b Buffer[T], a *Arrangement) Buffer[int32] {
	if b.n == 0 {
		return Buffer[int32]{}
	}
	return a.from
}

// Forward computes y; it may be x.
func (g *GroupNorm[T]) Forward(s *Stream, x, y Buffer[T]) error {
	if err := g.check("group_norm", map[string]Buffer[T]{"x": x, "y": y}); err != nil {
		return err
	}
	return launch[T](s, "group_norm", g.blocks(), g.Groups.in, word(g.N), word(flag(g.Whole)), word(g.columns()),
		word(g.Target), g.Epsilon, g.Groups.readers.starts, g.Groups.readers.at, x, at(g.Scale, g.ScaleAt), g.Scale,
		at(g.Bias, g.BiasAt), g.Bias, y, g.Stats)
}

// BackwardInput computes dx from dy; it may be dy.
func (g *GroupNorm[T]) BackwardInput(s *Stream, x, dy, dx Buffer[T]) error {
	if err := g.check("group_norm_backward", map[string]Buffer[T]{"x": x, "dy": dy, "dx": dx}); err != nil {
		return err
	}
	return launch[T](s, "group_norm_backward", g.blocks(), g.Groups.in, word(g.N), word(flag(g.Whole)), word(g.columns()),
		word(g.Target), g.Groups.readers.starts, g.Groups.readers.at, g.Stats, x, at(g.Scale, g.ScaleAt), g.Scale, dy, dx)
}

// BackwardScale computes the gradient at the scale.
func (g *GroupNorm[T]) BackwardScale(s *Stream, x, dy, dscale Buffer[T]) error {
	return g.affine(s, g.ScaleAt, g.Stats, x, dy, dscale)
}

// BackwardBias computes the gradient at the bias.
func (g *GroupNorm[T]) BackwardBias(s *Stream, dy, dbias Buffer[T]) error {
	return g.affine(s, g.BiasAt, Buffer[float64]{}, dy, dy, dbias)
}

func (g *GroupNorm[T]) affine(s *Stream, of *Arrangement, stats Buffer[float64], x, dy, d Buffer[T]) error {
	err := errors.Join(g.check("group_norm_affine", map[string]Buffer[T]{"x": x, "dy": dy}),
		of.whole("group_norm_affine", g.Groups.out), check("group_norm_affine", need{"gradient", d.n, of.in}))
	if err != nil {
		return err
	}
	return launch[T](s, "group_norm_affine", blocks{of.in, 1}, of.in, word(g.N), word(flag(g.Whole)), of.readers.starts,
		of.readers.at, g.Groups.from, stats, x, dy, d)
}
