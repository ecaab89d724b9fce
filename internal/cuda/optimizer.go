package cuda

import (
	"errors"

	"efcn/internal/kernel"
)

// Step is what changes from step to step. It lies on the device, so that a captured step
// goes on being right.
type Step[T kernel.Float] struct {
	Rate   T
	Factor T // of the gradients; [ClipFactor] sets it
	Keep   T // 1 − rate·weight decay, of AdamW
	Size   T // rate/(1−β₁ᵗ), of Adam and AdamW
	Root   T // √(1−β₂ᵗ), of Adam and AdamW
}

// StepSize is how many elements a step has on the device.
const StepSize = 5

// Values are the elements of a step on the device, in their order.
func (s Step[T]) Values() []T { return []T{s.Rate, s.Factor, s.Keep, s.Size, s.Root} }

// Move is what an optimiser moves: weights w along gradients g. step is a [Step] on the
// device. The mask, unless it is empty, has a bit for each weight, and those whose bit is
// 0 stay, with their state.
type Move[T kernel.Float] struct {
	W, G  Buffer[T]
	Step  Buffer[T]
	Mask  Buffer[uint32]
	Decay T // weight decay
}

func (m *Move[T]) check(call string, state ...Buffer[T]) error {
	n := m.W.n
	errs := []error{check(call, need{"g", m.G.n, n}, need{"step", m.Step.n, StepSize}, maskNeed(m.Mask, n))}
	for _, b := range state {
		errs = append(errs, check(call, need{"state", b.n, n}))
	}
	return errors.Join(errs...)
}

// SGD is w ← w − rate·(factor·g + decay·w).
func SGD[T kernel.Float](s *Stream, m Move[T]) error {
	if err := m.check("sgd"); err != nil {
		return err
	}
	return launch[T](s, "sgd", over(m.W.n), m.W.n, m.Decay, m.Step, m.Mask, m.G, m.W)
}

// Momentum is PyTorch's SGD with momentum, whose state is b.
func Momentum[T kernel.Float](s *Stream, m Move[T], momentum T, nesterov bool, b Buffer[T]) error {
	if err := m.check("momentum", b); err != nil {
		return err
	}
	return launch[T](s, "momentum", over(m.W.n), m.W.n, m.Decay, momentum, word(flag(nesterov)), m.Step, m.Mask, m.G,
		m.W, b)
}

// Adam is PyTorch's Adam and, with apart, AdamW; its state is the two moments.
func Adam[T kernel.Float](s *Stream, m Move[T], apart bool, first, second Buffer[T]) error {
	if err := m.check("adam", first, second); err != nil {
		return err
	}
	return launch[T](s, "adam", over(m.W.n), m.W.n, m.Decay, word(flag(apart)), m.Step, m.Mask, m.G, m.W, first, second)
}

// BetaLasso is w ← w − rate·(factor·g + lambda·sign w), then 0 for every |w| < least.
func BetaLasso[T kernel.Float](s *Stream, m Move[T], lambda, least T) error {
	if err := m.check("beta_lasso"); err != nil {
		return err
	}
	return launch[T](s, "beta_lasso", over(m.W.n), m.W.n, lambda, least, m.Step, m.Mask, m.G, m.W)
}

// ClipFactor sets the factor of a step on the device to min(1, clip/(√squares + 10⁻⁶)),
// as torch.nn.utils.clip_grad_norm_ has it, and to 1 if clip is 0.
func ClipFactor[T kernel.Float](s *Stream, clip float64, squares Buffer[float64], step Buffer[T]) error {
	if err := check("clip_factor", need{"squares", squares.n, 1}, need{"step", step.n, StepSize}); err != nil {
		return err
	}
	return launch[T](s, "clip_factor", blocks{1, 1}, clip, squares, step)
}

// Restrict sets to 0 what of a gradient has the bit 0 in mask.
func Restrict[T kernel.Float](s *Stream, mask Buffer[uint32], g Buffer[T]) error {
	if err := check("restrict_gradient", maskNeed(mask, g.n)); err != nil {
		return err
	}
	return launch[T](s, "restrict_gradient", over(g.n), g.n, mask, g)
}

// Ties are lists of elements that move together: those of tie t are
// Entries[Starts[t]:Starts[t+1]]. No list is empty, and all entries are elements of what
// is tied.
type Ties struct{ Starts, Entries Buffer[int64] }

// Tie puts in place of the elements of g that are tied their mean.
func Tie[T kernel.Float](s *Stream, t Ties, g Buffer[T]) error {
	return launch[T](s, "tie", blocks{max(0, t.Starts.n-1), 1}, t.Starts, t.Entries, g)
}
