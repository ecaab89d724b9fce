package finetune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"efcn/internal/kernel"
)

// network is the training graph of one batch size: forward, loss, backward.
type network[T kernel.Float] struct {
	batch   int // samples that it computes: its group's share of the batch
	share   batchShare
	classes int

	x      []T   // batch × sample: the step's input
	labels []int // batch
	rate   T     // the fused updates are w ← keep·w − rate·∇
	keep   T
	loss   float64 // mean over the whole batch
	hits   int     // in the whole batch

	team    *team        // whose groups have shares of the batch; nil for one process
	ranks   *exchange[T] // that compute the network together; nil for one process
	part    []T          // of a gradient: see pass.part
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

	suspect *suspect // receives what a forward pass finds; nil where nothing is looked for
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
	if err := n.sumGradients(); err != nil {
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

// sumGradients adds up over the groups the gradients that are there to be read.
func (n *network[T]) sumGradients() error {
	lists := make([][]T, len(n.reads))
	for i, g := range n.reads {
		lists[i] = elements[T](g.node.Value())
	}
	return n.ranks.sumGradients(lists...)
}

// partOf returns memory for n elements of a gradient.
func (n *network[T]) partOf(elements int) []T {
	if len(n.part) < elements {
		n.part = make([]T, elements)
	}
	return n.part[:elements]
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
	n.suspect = &suspect{}
	again := n.runMachine() // the loss ends it again
	found, err := n.suspect.first(n.team)
	n.suspect = nil
	if err != nil {
		return err
	}
	where := found.Where
	switch {
	case again == nil:
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
	if n.suspect == nil || n.suspect.Where != "" {
		return
	}
	if v, ok := findNotFinite(values); ok {
		*n.suspect = suspect{n.clock.turn, fmt.Sprintf("%v first shows in the %s of %s", v, what, label)}
	}
}

// suspect is what is first found in a forward pass that is not finite.
type suspect struct {
	Turn  int    // of the pass
	Where string // "" for nothing
}

// first returns what was first found of what the groups found in their samples.
func (s *suspect) first(t *team) (first suspect, err error) {
	if !t.isGrouped() {
		return *s, nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return first, err
	}
	all, err := t.peers.AllgatherBytes(context.Background(), text)
	for _, text := range all {
		var s suspect
		if err := json.Unmarshal(text, &s); err != nil {
			return first, err
		}
		if s.Where != "" && (first.Where == "" || s.Turn < first.Turn) {
			first = s
		}
	}
	return first, err
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
