// Batch normalisation. A channel is a row of count = size·n elements, and has a block
// of its own; sums are in double precision. See internal/kernel/batchnorm.go.
#include "device.h"

// y = scale·(x−mean)/√(variance+eps) + bias by the mean and the biased variance of the
// batch, which are returned. The running ones become running·momentum + batch·(1−momentum).
TEAM_KERNEL(batch_norm, Size count, double eps, double momentum, In<Real> x, In<Real> scale, In<Real> bias, Out<Real> y,
            Out<Real> mean, Out<Real> variance, Out<Real> runningMean, Out<Real> runningVariance) {
    SHARED(double, room, TEAM);
    Size c = blockIdx.x, at = c * count;
    double sum = 0;
    for (Size i = threadIdx.x; i < count; i += TEAM) sum += x[at + i];
    double mu = team_sum(sum, room) / count;
    sum = 0;
    for (Size i = threadIdx.x; i < count; i += TEAM) {
        double d = x[at + i] - mu;
        sum += d * d;
    }
    double var = team_sum(sum, room) / count;
    if (threadIdx.x == 0) {
        mean[c] = mu;
        variance[c] = var;
        runningMean[c] = runningMean[c] * momentum + (double)(Real)mu * (1 - momentum);
        runningVariance[c] = runningVariance[c] * momentum + (double)(Real)var * (1 - momentum);
    }
    Real factor = scale[c] / sqrt(var + eps), m = mu, offset = bias[c];
    for (Size i = threadIdx.x; i < count; i += TEAM) y[at + i] = factor * (x[at + i] - m) + offset;
}

// The gradients at x, scale and bias from dy; dx may be dy.
TEAM_KERNEL(batch_norm_backward, Size count, double eps, In<Real> x, In<Real> dy, In<Real> scale, In<Real> mean,
            In<Real> variance, Out<Real> dx, Out<Real> dscale, Out<Real> dbias) {
    SHARED(double, room, TEAM);
    Size c = blockIdx.x, at = c * count;
    double mu = mean[c], inverse = 1 / sqrt((double)variance[c] + eps), total = 0, along = 0;
    for (Size i = threadIdx.x; i < count; i += TEAM) {
        double g = dy[at + i];
        total += g;
        along += g * (x[at + i] - mu);
    }
    total = team_sum(total, room);
    along = team_sum(along, room);
    if (threadIdx.x == 0) {
        dbias[c] = total;
        dscale[c] = along * inverse;
    }
    Real factor = scale[c] * inverse, shift = total / count, slope = along * inverse * inverse / count, m = mean[c];
    for (Size i = threadIdx.x; i < count; i += TEAM)
        dx[at + i] = factor * ((dy[at + i] - shift) - slope * (x[at + i] - m));
}

// y = scale·(x−mean)/√(variance+eps) + bias by given statistics.
KERNEL(normalise, Size channels, Size count, double eps, In<Real> x, In<Real> mean, In<Real> variance, In<Real> scale,
       In<Real> bias, Out<Real> y) {
    EACH(i, channels * count) {
        Size c = i / count;
        Real factor = scale[c] / sqrt((double)variance[c] + eps);
        y[i] = factor * (x[i] - mean[c]) + bias[c];
    }
}

// The gradient at x of that; dx may be dy.
KERNEL(normalise_backward, Size channels, Size count, double eps, In<Real> dy, In<Real> variance, In<Real> scale,
       Out<Real> dx) {
    EACH(i, channels * count) {
        Size c = i / count;
        Real factor = scale[c] / sqrt((double)variance[c] + eps);
        dx[i] = factor * dy[i];
    }
}
