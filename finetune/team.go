package finetune

import (
	"context"

	"efcn/internal/mpi"
)

// team is the ranks of a run, divided into groups: each group has the whole network, cut
// over its ranks, and takes its share of every batch. nil is that of a run of one process.
type team struct {
	all   *mpi.World // ranks; files, and what all have to know, go over it
	group *mpi.World // ranks that have the network together, of which this is one
	// peers are the ranks that have the same part of the network, one of each group, in
	// the order of the groups; nil where there is one group.
	peers *mpi.World
}

// newTeam divides the ranks of w, which all call it: the first of them are the first group.
func newTeam(ctx context.Context, w *mpi.World, groups int) (t *team, err error) {
	if w == nil {
		return nil, nil
	}
	if groups <= 1 {
		return &team{all: w, group: w}, nil
	}
	t = &team{all: w}
	size := w.Size() / groups
	ctx = context.WithoutCancel(ctx)
	if t.group, err = w.Split(ctx, w.Rank()/size, w.Rank()); err != nil {
		return nil, err
	}
	t.peers, err = w.Split(ctx, w.Rank()%size, w.Rank())
	return t, err
}

// close frees what newTeam made, when all ranks call it.
func (t *team) close() error {
	if !t.isGrouped() {
		return nil
	}
	if err := t.peers.Close(context.Background()); err != nil {
		return err
	}
	return t.group.Close(context.Background())
}

// isGrouped reports whether there are several groups.
func (t *team) isGrouped() bool { return t != nil && t.peers != nil }

// groups returns which group this rank is in, of how many.
func (t *team) groups() (group, of int) {
	if !t.isGrouped() {
		return 0, 1
	}
	return t.peers.Rank(), t.peers.Size()
}

// sumOverGroups adds values up over the ranks that have the same part of the network.
func (t *team) sumOverGroups(values []float64) error {
	if !t.isGrouped() {
		return nil
	}
	return mpi.AllreduceSlice(context.Background(), t.peers, values, mpi.Sum)
}

// batchShare is what a group takes of a batch of so many samples.
type batchShare struct {
	first, n int // samples first to first + n - 1
	batch    int
	// idle means that the batch has too few samples for this group. It computes one that
	// another group has too, as all ranks take part in what they exchange, and what comes of it
	// counts for nothing.
	idle bool
}

// share returns the share of the group of this rank.
func (t *team) share(batch int) batchShare {
	group, of := t.groups()
	s := batchShare{first: batch * group / of, batch: batch}
	if s.n = batch*(group+1)/of - s.first; s.n == 0 {
		s.first, s.n, s.idle = min(s.first, batch-1), 1, true
	}
	return s
}

// largestShare is that of any group.
func (t *team) largestShare(batch int) int {
	_, of := t.groups()
	return (batch + of - 1) / of
}

// of returns this group's samples of a batch.
func (s batchShare) of(batch []int) []int { return batch[s.first : s.first+s.n] }

// weight is that of the mean loss of these samples in that of the batch.
func (s batchShare) weight() float64 {
	if s.idle {
		return 0
	}
	return float64(s.n) / float64(s.batch)
}
