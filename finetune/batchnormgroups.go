package finetune

import (
	"math"

	"efcn/internal/kernel"
)

// groupedBatchNorm is batchNorm where groups of ranks have shares of the batch. It
// normalises by the statistics of the whole batch, of which each group sums its samples.
type groupedBatchNorm[T kernel.Float] struct {
	batchNorm[T]
	team  *team
	share batchShare
	sums  []float64 // two of each channel
	err   error     // of the last pass
}

func newGroupedBatchNorm[T kernel.Float](l batchNorm[T], t *team, s batchShare) *groupedBatchNorm[T] {
	return &groupedBatchNorm[T]{batchNorm: l, team: t, share: s, sums: make([]float64, 2*l.channels)}
}

func (b *groupedBatchNorm[T]) failure() error { return b.err }

// add adds sums of this group's samples up over the groups.
func (b *groupedBatchNorm[T]) add(sums []float64) (ok bool) {
	if b.share.idle {
		clear(sums)
	}
	b.err = b.team.sumOverGroups(sums)
	return b.err == nil
}

// average makes of such sums the means over the whole batch.
func (b *groupedBatchNorm[T]) average(sums []float64) (ok bool) {
	ok = b.add(sums)
	for c := range sums {
		sums[c] /= float64(b.share.batch * b.size)
	}
	return ok
}

func (b *groupedBatchNorm[T]) forward(in [][]T, y []T) {
	if b.frozen {
		b.batchNorm.forward(in, y)
		return
	}
	means, variances := b.sums[:b.channels], b.sums[b.channels:]
	kernel.BatchNormSums(b.n, b.channels, b.size, in[0], means)
	if !b.average(means) {
		return
	}
	kernel.BatchNormSquares(b.n, b.channels, b.size, in[0], means, variances)
	if !b.average(variances) {
		return
	}
	kernel.BatchNormOutput(b.n, b.channels, b.size, in[0], in[1], in[2], means, variances, b.epsilon, y)
	for c := range b.channels {
		b.mean[c], b.variance[c] = T(means[c]), T(variances[c])
	}
	b.moveStatistics()
}

func (b *groupedBatchNorm[T]) backward(p pass[T]) {
	if b.frozen {
		b.batchNorm.backward(p)
		return
	}
	totals, alongs := b.sums[:b.channels], b.sums[b.channels:]
	kernel.BatchNormProducts(b.n, b.channels, b.size, p.in[0], p.dout, b.mean, totals, alongs)
	// Of scale and bias this is the gradient of this group's samples, which is added up with
	// those of all parameters.
	dscale, dbias := b.or(p.din[1]), b.or(p.din[2])
	for c := range b.channels {
		dbias[c] = T(totals[c])
		dscale[c] = T(alongs[c] / math.Sqrt(float64(b.variance[c])+b.epsilon))
	}
	if !b.add(b.sums) || p.din[0] == nil {
		return
	}
	if b.share.idle {
		clear(p.din[0]) // its samples are not in the statistics
		return
	}
	kernel.BatchNormGradient(b.n, b.channels, b.size, b.share.batch*b.size, p.in[0], p.dout, p.in[1], b.mean,
		b.variance, b.epsilon, totals, alongs, p.din[0])
}
