package relax

import (
	"fmt"

	"efcn/convert"
	"efcn/finetune"
)

// MemoryError says that a run of a kind would take more memory than there is, or than
// Options.MaxMemory allows.
type MemoryError struct {
	Kind Kind
	// Need is the least that a run takes, in bytes: Weights, with the gradient and what
	// the optimiser keeps of them, and Values, what the linear layers compute of a Batch.
	Need, Weights, Values int64
	Batch                 int
	Allowed               int64
	// Machine says that the limit is the memory that the machine has left.
	Machine bool
}

func (e *MemoryError) Error() string {
	limit := "allowed"
	if e.Machine {
		limit = "that the machine has left"
	}
	return fmt.Sprintf("%s: a run takes at least %d bytes of memory (weights %d, values of a batch of %d %d), "+
		"more than the %d %s", e.Kind, e.Need, e.Weights, e.Batch, e.Values, e.Allowed, limit)
}

// checkMemory returns a *MemoryError if a run of that kind, of the eFCN of that plan,
// takes more memory than there is.
func (s *Study) checkMemory(k Kind, plan *convert.Plan) error {
	o := s.Options.Train
	o.Train = k.train()
	e := &MemoryError{Kind: k, Batch: o.Batch, Weights: int64(o.WeightCopies()) * plan.WeightBytes}
	for _, l := range plan.Layers {
		e.Values += 4 * int64(o.Batch) * l.Rows
	}
	e.Need = e.Weights + e.Values
	var limit string
	e.Allowed, limit = finetune.AvailableBytes()
	e.Machine = limit != ""
	if most := s.Options.MaxMemory; most > 0 && (most < e.Allowed || !e.Machine) {
		e.Allowed, e.Machine = most, false
	}
	if e.Allowed == 0 || e.Need <= e.Allowed {
		return nil
	}
	return e
}
