// Local response normalisation along the middle axis of x, outer×length×inner. See
// finetune/lrn.go.
#include "device.h"

// around returns the sum of term(i) over the elements around one, along its line.
template <typename F>
__device__ double around(Size i, Size length, Size inner, int before, int after, F term) {
    Size c = i / inner % length, from = c < before ? -c : -before, to = length - 1 - c < after ? length - 1 - c : after;
    double sum = 0;
    for (Size o = from; o <= to; o++) sum += term(i + o * inner);
    return sum;
}

// s = bias + alpha·Σx² over the elements around, y = x·s^−beta.
KERNEL(lrn, Size outer, Size length, Size inner, int before, int after, double alpha, double beta, double bias,
       In<Real> x, Out<Real> s, Out<Real> y) {
    EACH(i, outer * length * inner) {
        double d = bias + alpha * around(i, length, inner, before, after, [&](Size e) { return (double)x[e] * x[e]; });
        s[i] = d;
        y[i] = x[i] * pow(d, -beta);
    }
}

KERNEL(lrn_backward, Size outer, Size length, Size inner, int before, int after, double alpha, double beta, In<Real> x,
       In<Real> s, In<Real> dy, Out<Real> dx) {
    EACH(i, outer * length * inner) {
        // This element is around those that are around it with before and after exchanged.
        double total = around(i, length, inner, after, before,
                              [&](Size e) { return (double)dy[e] * x[e] * pow((double)s[e], -beta - 1); });
        dx[i] = dy[i] * pow((double)s[i], -beta) - 2 * alpha * beta * x[i] * total;
    }
}
