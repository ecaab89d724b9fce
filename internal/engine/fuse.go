package engine

import (
	"slices"

	"efcn/internal/kernel"
)

// What follows a convolution element by element (normalization, activation, the
// sum with another branch) is done with each stretch of its result while that
// is in cache. The arithmetic is that of the nodes one by one, bit for bit;
// only the values between them are never there as a whole, so a run that is
// observed does without.

// follower is what a node does in place with y, the value of its input that is
// nil in in, from its other inputs. It returns nil where it can't, or where
// something is wrong that the node itself will report.
type follower[T kernel.Float] func(y *Tensor[T], in []*Tensor[T]) kernel.Then[T]

// pending is a follower with its inputs.
type pending[T kernel.Float] struct {
	follow follower[T]
	in     []*Tensor[T]
}

// turn is a step and the steps that may be done along with it, or, if step is
// -1, a layer in local form.
type turn struct {
	step      int
	followers []int
	local     int         // which of program.locals
	packed    *packedConv // nil: the step is none, or not packed
}

// planTurns finds what follows what. Nodes without inputs go first: exporters
// write constants just before they are used, between a node and its follower.
func (p *program[T]) planTurns() {
	uses := make([]int, len(p.names))
	for _, i := range p.outs {
		uses[i]++
	}
	var order []int
	for k, s := range p.steps {
		given := false
		for _, i := range s.in {
			if i >= 0 {
				uses[i]++
				given = true
			}
		}
		if !given {
			p.turns = append(p.turns, turn{step: k})
		} else {
			order = append(order, k)
		}
	}
	p.locals = p.localSteps()
	within := map[int]int{} // by step of a layer in local form
	for i, c := range p.locals {
		for _, k := range c.steps {
			within[k] = i
		}
	}
	for len(order) > 0 {
		t := turn{step: order[0]}
		order = order[1:]
		if i, ok := within[t.step]; ok {
			if c := p.locals[i]; t.step == c.steps[len(c.steps)-1] {
				p.turns = append(p.turns, turn{step: -1, local: i})
			}
			continue
		}
		last := p.steps[t.step]
		for last.leads || len(t.followers) > 0 {
			if len(order) == 0 || len(last.out) != 1 || uses[last.out[0]] != 1 {
				break
			}
			next := p.steps[order[0]]
			if next.follow == nil || len(next.out) != 1 || !slices.Contains(next.in, last.out[0]) {
				break
			}
			t.followers = append(t.followers, order[0])
			order, last = order[1:], next
		}
		p.turns = append(p.turns, t)
	}
}

// then returns what the followers of the step do with its result y, or nil. A
// step that asks has to do it.
func (x *exec[T]) then(y *Tensor[T]) kernel.Then[T] {
	var all []kernel.Then[T]
	for _, f := range x.followers {
		t := f.follow(y, f.in)
		if t == nil {
			break
		}
		all = append(all, t)
	}
	x.absorbed = len(all)
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return func(at int, part []T) {
		for _, t := range all {
			t(at, part)
		}
	}
}
