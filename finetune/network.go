package finetune

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"efcn/internal/kernel"
)

// network is the training graph of one batch size: forward, loss, backward.
type network[T kernel.Float] struct {
	batch   int
	classes int

	x      []T   // batch × sample: the step's input
	labels []int // batch
	rate   T     // the fused updates are w ← keep·w − rate·∇
	keep   T
	loss   float64
	hits   int

	ranks   *exchange[T] // that compute the network together; nil for one
	machine gorgonia.VM
	clock   *clock
	reads   []gradient[T]
	layers  int
	// memory is what a step computes in, x among it. Between steps nobody needs
	// what is there.
	memory [][]T

	device *deviceNetwork[T] // computes all of it; nil for the processor

	// measured receives what is measured of the gradients of a step; nil where
	// nothing is.
	measured *gradientNorms[T]

	// probe, unless nil, is called after the backward step of each layer, in the place of
	// the updates that layers do themselves.
	probe func(g *gradients[T], p pass[T])

	// suspect receives, unless nil, what is first found in a forward pass that is
	// not finite.
	suspect *string
}

// gradient is where a finished step finds the gradient of a parameter.
type gradient[T kernel.Float] struct {
	p    *parameter[T]
	node *gorgonia.Node
}

// step runs forward, backward and the update of every parameter on the batch
// that x and labels hold. A loss that is not finite ends it before any parameter
// changes.
func (n *network[T]) step(u update[T]) error {
	if n.device != nil {
		return n.device.step(u)
	}
	n.rate, n.keep = T(u.rate), T(u.keep(u.rate))
	if err := n.run(); err != nil {
		return err
	}
	for _, g := range n.reads {
		gradient := elements[T](g.node.Value())
		n.measured.whole(g.p, gradient)
		g.p.restrict(gradient)
		n.measured.trained(g.p, gradient)
	}
	factor := T(1)
	if u.clip > 0 {
		norm, err := n.gradientNorm()
		if err != nil {
			return err
		}
		factor = T(u.clipFactor(norm))
	}
	for _, g := range n.reads {
		g.p.follow(&u, factor, elements[T](g.node.Value()))
	}
	return nil
}

// gradientNorm is the norm of all gradients that are there to be read.
func (n *network[T]) gradientNorm() (float64, error) {
	var whole, parts float64
	for _, g := range n.reads {
		squares := kernel.SumSquares(elements[T](g.node.Value()))
		if g.p.cut {
			parts += squares
		} else {
			whole += squares
		}
	}
	sums := []float64{parts}
	err := n.ranks.sum(sums)
	return math.Sqrt(whole + sums[0]), err
}

// ErrNotFinite is a loss that is not finite, or weights that are not.
var ErrNotFinite = errors.New("the loss is not finite")

// weightsError is ErrNotFinite before any loss shows it.
type weightsError struct {
	what  string
	value float64
}

func (e *weightsError) Error() string {
	return fmt.Sprintf("%s is not finite any more, it holds %v; a smaller learning rate may work", e.what, e.value)
}

func (e *weightsError) Is(target error) bool { return target == ErrNotFinite }

// run runs forward and backward, and the updates that layers do themselves.
func (n *network[T]) run() error {
	err := n.runMachine()
	if err != nil && isNotFinite(n.loss) {
		return n.notFinite()
	}
	return err
}

func (n *network[T]) runMachine() error {
	n.machine.Reset()
	n.clock.turn = 0
	return n.machine.RunAll()
}

// notFinite returns the error that names where in the forward pass a loss that is not
// finite begins. The pass is taken again: its first values are overwritten.
func (n *network[T]) notFinite() error {
	var where string
	n.suspect = &where
	err := n.runMachine() // the loss ends it again
	n.suspect = nil
	switch {
	case err == nil:
		where = "but not when it was computed again"
	case where == "":
		where = "though all logits are"
	}
	return notFiniteAt(where)
}

func notFiniteAt(where string) error {
	return fmt.Errorf("%w: %s; a smaller learning rate may work", ErrNotFinite, where)
}

// inspect looks for what is not finite in the weights or the output of a layer,
// unless something has been found or nothing is suspected.
func (n *network[T]) inspect(label, what string, values []T) {
	if n.suspect == nil || *n.suspect != "" {
		return
	}
	if v, ok := findNotFinite(values); ok {
		*n.suspect = fmt.Sprintf("%v first shows in the %s of %s", v, what, label)
	}
}

func isNotFinite(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

// findNotFinite returns the first value that is no number or infinite.
func findNotFinite[T kernel.Float](values []T) (T, bool) {
	for _, v := range values {
		if v-v != 0 {
			return v, true
		}
	}
	return 0, false
}
