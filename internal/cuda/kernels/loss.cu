// The softmax cross-entropy and softmax itself. See internal/kernel/softmax.go.
#include "device.h"

// For each of n columns of logits, classes×n: −log softmax at its label, 1 where the
// first greatest logit is at the label and 0 elsewhere, and the gradient of the mean
// loss at the logits, (softmax − one-hot)/n. Sums are in double precision.
KERNEL(cross_entropy, int classes, int n, In<Real> logits, In<int> labels, Out<double> losses, Out<double> hits,
       Out<Real> grad) {
    EACH(j, n) {
        int best = 0, label = labels[j];
        for (int c = 1; c < classes; c++)
            if (logits[c * (Size)n + j] > logits[best * (Size)n + j]) best = c;
        double top = logits[best * (Size)n + j], total = 0;
        for (int c = 0; c < classes; c++) total += exp(logits[c * (Size)n + j] - top);
        losses[j] = log(total) + top - logits[label * (Size)n + j];
        hits[j] = best == label;
        if (!grad) continue;
        for (int c = 0; c < classes; c++) {
            double p = exp(logits[c * (Size)n + j] - top) / total - (c == label);
            grad[c * (Size)n + j] = p * (1 / (double)n);
        }
    }
}

// Softmax, or its logarithm, along the middle axis of x, outer×length×inner.
KERNEL(softmax, Size outer, Size length, Size inner, int logarithm, In<Real> x, Out<Real> y) {
    EACH(i, outer * inner) {
        Size at = i / inner * length * inner + i % inner, end = at + length * inner;
        Real top = x[at];
        bool defined = true;
        for (Size k = at; k < end; k += inner) {
            Real v = x[k];
            defined = defined && v == v;
            if (v > top) top = v;
        }
        if (!defined) top = NAN;
        double total = 0;
        for (Size k = at; k < end; k += inner) total += exp((double)(x[k] - top));
        double shift = log(total);
        for (Size k = at; k < end; k += inner) {
            double d = x[k] - top;
            y[k] = logarithm ? d - shift : exp(d) / total;
        }
    }
}

// Its gradient, from y and the gradient there.
KERNEL(softmax_backward, Size outer, Size length, Size inner, int logarithm, In<Real> y, In<Real> dy, Out<Real> dx) {
    EACH(i, outer * inner) {
        Size at = i / inner * length * inner + i % inner, end = at + length * inner;
        double total = 0;
        for (Size k = at; k < end; k += inner) total += logarithm ? (double)dy[k] : (double)dy[k] * y[k];
        for (Size k = at; k < end; k += inner)
            dx[k] = logarithm ? dy[k] - exp((double)y[k]) * total : y[k] * (dy[k] - total);
    }
}
