// Normalisations of groups, which are lists of rows, for each sample by itself or for all
// together. See finetune/normalization.go, finetune/meanvariance.go and
// finetune/lpnormalization.go; the numbers are those of groupnorm.go here. Sums are in
// double precision.
#include "lists.h"

// What a group is brought to: mean 0 and variance 1, mean square 1, mean 0 and deviation
// 1 (epsilon is added to the deviation), sizes that add up to 1, squares that do.
enum Norm { VARIANCE, SQUARE, DEVIATION, L1, L2 };

__device__ inline bool centred(int norm) { return norm == VARIANCE || norm == DEVIATION; }

// y = (x−mean)·inverse·scale + bias. Row r meets element scaleAt[r] of scale and biasAt[r]
// of bias, as far as there are any. stats receives mean and inverse of each sum (see
// Share), and what backward multiplies by.
TEAM_KERNEL(group_norm, Size lists, int n, int whole, int columns, int norm, double epsilon, In<Size> starts,
            In<int> at, In<Real> x, In<int> scaleAt, In<Real> scale, In<int> biasAt, In<Real> bias, Out<Real> y,
            Out<double> stats) {
    SHARED(double, room, TEAM);
    Share s = share(lists, n, whole, columns, starts);
    double mean = 0, total = 0, count = s.terms;
    if (centred(norm)) {
        TERMS(s, k, j) total += x[at[k] * (Size)n + j];
        mean = team_sum(total, room, columns) / count;
        total = 0;
    }
    TERMS(s, k, j) {
        double d = x[at[k] * (Size)n + j] - mean;
        total += norm == L1 ? fabs(d) : d * d;
    }
    total = team_sum(total, room, columns);
    double size = norm == L1 ? total : sqrt(norm == L2 ? total : total / count), inverse, slope;
    switch (norm) {
    case DEVIATION:
        inverse = 1 / (size + epsilon);
        slope = size > 0 ? inverse / size / count : 0;
        break;
    case L1:
    case L2:
        inverse = size == 0 ? 0 : 1 / size; // zeros stay
        slope = norm == L1 ? inverse : inverse * inverse;
        break;
    default:
        inverse = 1 / sqrt(total / count + epsilon);
        slope = inverse * inverse / count;
    }
    if (s.leads) {
        stats[3 * s.sum] = mean;
        stats[3 * s.sum + 1] = inverse;
        stats[3 * s.sum + 2] = slope;
    }
    TERMS(s, k, j) {
        Size r = at[k];
        double u = (x[r * n + j] - mean) * inverse;
        if (scale) u *= scale[scaleAt[r]];
        if (bias) u += bias[biasAt[r]];
        y[r * n + j] = u;
    }
}

// dx from dy.
TEAM_KERNEL(group_norm_backward, Size lists, int n, int whole, int columns, int norm, In<Size> starts, In<int> at,
            In<double> stats, In<Real> x, In<int> scaleAt, In<Real> scale, In<Real> dy, Out<Real> dx) {
    SHARED(double, room, TEAM);
    Share s = share(lists, n, whole, columns, starts);
    double mean = 0, inverse = 0, slope = 0, total = 0, along = 0;
    if (s.exists) {
        mean = stats[3 * s.sum];
        inverse = stats[3 * s.sum + 1];
        slope = stats[3 * s.sum + 2];
    }
    TERMS(s, k, j) {
        Size r = at[k];
        double g = scale ? (double)dy[r * n + j] * scale[scaleAt[r]] : dy[r * n + j];
        total += g;
        along += g * (x[r * n + j] - mean);
    }
    total = team_sum(total, room, columns) / s.terms;
    along = team_sum(along, room, columns) * slope;
    if (!centred(norm)) total = 0;
    TERMS(s, k, j) {
        Size r = at[k];
        double g = scale ? (double)dy[r * n + j] * scale[scaleAt[r]] : dy[r * n + j], d = x[r * n + j] - mean;
        if (norm == L1) d = d > 0 ? 1 : d < 0 ? -1 : 0;
        dx[r * n + j] = inverse * (g - total - d * along);
    }
}

// The gradient at the elements of a scale or, without stats, of a bias: element e is met
// by the rows of list e, and row r is in group groupOf[r].
TEAM_KERNEL(group_norm_affine, Size lists, int n, int whole, In<Size> starts, In<int> at, In<int> groupOf,
            In<double> stats, In<Real> x, In<Real> dy, Out<Real> d) {
    SHARED(double, room, TEAM);
    Share s = share(lists, n, 1, 1, starts);
    double sum = 0;
    TERMS(s, k, j) {
        Size r = at[k];
        double g = dy[r * n + j];
        if (stats) {
            Size of = whole ? groupOf[r] : groupOf[r] * (Size)n + j;
            g *= (x[r * n + j] - stats[3 * of]) * stats[3 * of + 1];
        }
        sum += g;
    }
    sum = team_sum(sum, room);
    if (s.leads) d[s.sum] = sum;
}
