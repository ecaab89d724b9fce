// Optimisers, masks, ties and clipping. See finetune/optimizer.go.
//
// What changes from step to step lies on the device, so that a captured step goes on
// being right: step[0] is the rate, [1] what gradients are multiplied by, [2] 1 − rate ×
// weight decay, [3] and [4] are Adam's rate/(1−β₁ᵗ) and √(1−β₂ᵗ). A mask has a bit for
// every weight; those whose bit is 0 stay. No mask: all move.
#include "device.h"

__device__ inline bool masked(In<unsigned> mask, Size i) { return mask && !(mask[i / 32] >> (i % 32) & 1); }

KERNEL(sgd, Size n, Real decay, In<Real> step, In<unsigned> mask, In<Real> g, Out<Real> w) {
    Real rate = step[0], factor = step[1];
    EACH(i, n) {
        if (masked(mask, i)) continue;
        Real v = w[i];
        w[i] = v - rate * (factor * g[i] + decay * v);
    }
}

KERNEL(momentum, Size n, Real decay, Real keep, int nesterov, In<Real> step, In<unsigned> mask, In<Real> g, Out<Real> w,
       Out<Real> b) {
    Real rate = step[0], factor = step[1];
    EACH(i, n) {
        if (masked(mask, i)) continue;
        Real v = w[i], d = factor * g[i] + decay * v, moved = keep * b[i] + d;
        b[i] = moved;
        w[i] = v - rate * (nesterov ? d + keep * moved : moved);
    }
}

// Adam and, with apart, AdamW. m and v are the moments.
KERNEL(adam, Size n, Real decay, int apart, In<Real> step, In<unsigned> mask, In<Real> g, Out<Real> w, Out<Real> m,
       Out<Real> v) {
    const Real beta2 = 0.999, rest1 = 1 - 0.9, rest2 = 1 - 0.999, epsilon = 1e-8;
    Real factor = step[1], keep = apart ? step[2] : (Real)1, size = step[3], root = step[4];
    if (apart) decay = 0;
    EACH(i, n) {
        if (masked(mask, i)) continue;
        Real x = w[i] * keep, d = factor * g[i] + decay * x;
        Real first = m[i] + rest1 * (d - m[i]), second = beta2 * v[i] + rest2 * d * d;
        m[i] = first;
        v[i] = second;
        w[i] = x - size * first / (sqrt(second) / root + epsilon);
    }
}

// w − rate·(g + lambda·sign w), then 0 for what is less than least in size.
KERNEL(beta_lasso, Size n, Real lambda, Real least, In<Real> step, In<unsigned> mask, In<Real> g, Out<Real> w) {
    Real rate = step[0], factor = step[1];
    EACH(i, n) {
        if (masked(mask, i)) continue;
        Real v = w[i], d = factor * g[i];
        if (v > 0) d += lambda;
        if (v < 0) d -= lambda;
        v -= rate * d;
        w[i] = v < least && -v < least ? (Real)0 : v;
    }
}

// step[1] = min(1, clip/(√squares + 10⁻⁶)), or 1 if clip is 0. One thread.
KERNEL(clip_factor, double clip, In<double> squares, Out<Real> step) {
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    double factor = clip / (sqrt(squares[0]) + 1e-6);
    step[1] = clip == 0 || factor > 1 ? 1 : factor;
}

// g = 0 where the bit in mask is 0.
KERNEL(restrict_gradient, Size n, In<unsigned> mask, Out<Real> g) {
    EACH(i, n) {
        if (masked(mask, i)) g[i] = 0;
    }
}

// In place of the elements of g that are tied, entries[starts[t]] to entries[starts[t+1]-1]
// for each t, their mean. A block for each tie.
TEAM_KERNEL(tie, In<Size> starts, In<Size> entries, Out<Real> g) {
    SHARED(double, room, TEAM);
    Size from = starts[blockIdx.x], until = starts[blockIdx.x + 1];
    double sum = 0;
    for (Size k = from + threadIdx.x; k < until; k += TEAM) sum += g[entries[k]];
    Real mean = team_sum(sum, room) / (until - from);
    for (Size k = from + threadIdx.x; k < until; k += TEAM) g[entries[k]] = mean;
}
