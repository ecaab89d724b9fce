// Reductions of lists of rows to a number for each sample, in double precision. See
// finetune/reduce.go; the numbers are those of reduce.go here.
#include "device.h"

enum Reduction { SUM, L1, L2, SUM_SQUARE, LOG_SUM, LOG_SUM_EXP, MAX, MIN, PROD };

// extreme returns the greatest of the elements of a list, or the least; NaN if one is.
__device__ inline double extreme(Size from, Size until, In<int> at, In<Real> x, int n, int j, bool least) {
    double best = least ? INFINITY : -INFINITY;
    for (Size k = from; k < until; k++) {
        double v = x[at[k] * (Size)n + j];
        if (v != v || (least ? v < best : v > best)) best = v;
    }
    return best;
}

// y is the reduction of the rows at[starts[l]] to at[starts[l+1]-1] of x for each list l;
// a sum is multiplied by factor.
KERNEL(reduce, Size lists, int n, int kind, double factor, In<Size> starts, In<int> at, In<Real> x, Out<Real> y) {
    EACH(i, lists * n) {
        Size from = starts[i / n], until = starts[i / n + 1];
        int j = i % n;
        if (kind == MAX || kind == MIN) {
            y[i] = extreme(from, until, at, x, n, j, kind == MIN);
            continue;
        }
        double top = kind == LOG_SUM_EXP ? extreme(from, until, at, x, n, j, false) : 0;
        double result = kind == PROD ? 1 : 0;
        for (Size k = from; k < until; k++) {
            double v = x[at[k] * (Size)n + j];
            switch (kind) {
            case L1: result += fabs(v); break;
            case L2:
            case SUM_SQUARE: result += v * v; break;
            case LOG_SUM_EXP: result += exp(v - top); break;
            case PROD: result *= v; break;
            default: result += v;
            }
        }
        switch (kind) {
        case SUM: result *= factor; break;
        case L2: result = sqrt(result); break;
        case LOG_SUM: result = log(result); break;
        case LOG_SUM_EXP: result = fabs(top) == INFINITY ? top : top + log(result);
        }
        y[i] = result;
    }
}

// dx from dy; a row is in one list. x and y may be null for a sum.
KERNEL(reduce_backward, Size lists, int n, int kind, double factor, In<Size> starts, In<int> at, In<Real> x, In<Real> y,
       In<Real> dy, Out<Real> dx) {
    EACH(i, lists * n) {
        Size from = starts[i / n], until = starts[i / n + 1];
        int j = i % n;
        double g = dy[i], total = 0;
        if (kind == MAX || kind == MIN || kind == LOG_SUM)
            for (Size k = from; k < until; k++) {
                Real v = x[at[k] * (Size)n + j];
                total += kind == LOG_SUM ? (double)v : v == y[i];
            }
        double before = g;
        for (Size k = from; k < until; k++) {
            Size e = at[k] * (Size)n + j;
            double v = x ? x[e] : 0;
            switch (kind) {
            case SUM: dx[e] = factor * g; break;
            case L1: dx[e] = v > 0 ? g : v < 0 ? -g : 0; break;
            case L2: dx[e] = (y[i] != 0 ? g / y[i] : g) * v; break;
            case SUM_SQUARE: dx[e] = g * (2 * v); break;
            case LOG_SUM: dx[e] = g / total; break;
            case LOG_SUM_EXP: dx[e] = g * exp(v - y[i]); break;
            case MAX:
            case MIN: dx[e] = v == y[i] ? g / total : 0; break;
            case PROD:
                dx[e] = before;
                before *= v;
            }
        }
        if (kind != PROD) continue;
        double after = 1;
        for (Size k = until - 1; k >= from; k--) {
            Size e = at[k] * (Size)n + j;
            dx[e] = dx[e] * after;
            after *= x[e];
        }
    }
}
