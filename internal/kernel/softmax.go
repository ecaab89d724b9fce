package kernel

import "math"

// CrossEntropy returns the sum over n rows of −log softmax(row)[label], the
// softmax cross-entropy of logits, n×classes, and how many rows have their
// greatest logit, the first of equals, at their label. Sums are in float64.
//
// grad, unless nil, receives the gradient of the mean loss at the logits,
// (softmax − one-hot)/n; it may be logits. Labels are in [0, classes).
func CrossEntropy[T Float](n, classes int, logits []T, labels []int, grad []T) (loss float64, hits int) {
	rows, right := borrow[float64](n), borrow[int](n)
	defer giveBack(rows)
	defer giveBack(right)
	Parallel(n, 1+1<<13/max(1, classes), func(lo, hi int) {
		powers := borrow[float64](classes)
		defer giveBack(powers)
		for i := lo; i < hi; i++ {
			row, label := logits[i*classes:(i+1)*classes], labels[i]
			best := 0
			for j, v := range row {
				if v > row[best] {
					best = j
				}
			}
			(*right)[i] = 0
			if best == label {
				(*right)[i] = 1
			}
			top := float64(row[best])
			var total float64
			for j, v := range row {
				(*powers)[j] = math.Exp(float64(v) - top)
				total += (*powers)[j]
			}
			(*rows)[i] = math.Log(total) + top - float64(row[label])
			if grad == nil {
				continue
			}
			dst, scale := grad[i*classes:(i+1)*classes], 1/float64(n)
			for j, p := range *powers {
				p /= total
				if j == label {
					p--
				}
				dst[j] = T(p * scale)
			}
		}
	})
	for i, l := range *rows {
		loss += l
		hits += (*right)[i]
	}
	return loss, hits
}
