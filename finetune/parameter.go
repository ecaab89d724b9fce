package finetune

import "efcn/internal/kernel"

// parameter is one trained initializer. Its storage is shared by the training
// graphs of all batch sizes and updated in place.
type parameter[T kernel.Float] struct {
	name   string
	values []T
	state  [][]T // of the optimiser, list by list as long as values; made at the first step
	since  int   // the step after which state began

	cut    bool  // each rank has a part of it; else all have it whole, and the same
	frozen bool  // nothing of it is trained
	basis  bool  // V of a factored layer: weight decay and beta-lasso leave it alone
	mask   *mask // what of it is trained; nil for everything
	tie    *tie  // entries that move together; nil if none do
}

// statistic is a running mean or variance: an initializer that a layer updates
// by itself as it trains.
type statistic[T kernel.Float] struct {
	name   string
	values []T
}

// follow moves the parameter along factor times its gradient.
func (p *parameter[T]) follow(u *update[T], factor T, gradient []T) {
	p.grow(u.States())
	own := *u
	own.step -= p.since
	if p.basis {
		own.WeightDecay, own.Lambda = 0, 0
	}
	move := func(lo, hi int) {
		var state [2][]T
		for i, s := range p.state {
			state[i] = s[lo:hi]
		}
		own.apply(factor, p.values[lo:hi], gradient[lo:hi], state[:])
	}
	if p.mask != nil {
		p.mask.each(true, move)
		return
	}
	kernel.Parallel(len(p.values), elementGrain, move)
}

// grow makes the lists of the optimiser's state.
func (p *parameter[T]) grow(states int) {
	for len(p.state) < states {
		p.state = append(p.state, make([]T, len(p.values)))
	}
}

// restrict makes a gradient that of what is trained.
func (p *parameter[T]) restrict(gradient []T) {
	if p.mask != nil {
		clearOthers(p.mask, gradient)
	}
	if p.tie != nil {
		average(p.tie, gradient)
	}
}
