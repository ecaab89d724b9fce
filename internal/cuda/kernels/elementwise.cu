// Functions of single elements, and sums of rows. See internal/kernel/elementwise.go.
#include "device.h"

// dst = min(max(src, lo), hi); NaN stays, and -0 at a bound of 0. dst may be src.
KERNEL(clip, Size n, Real lo, Real hi, In<Real> src, Out<Real> dst) {
    EACH(i, n) {
        Real v = src[i];
        if (v < lo) v = lo;
        if (v > hi) v = hi;
        dst[i] = v;
    }
}

// dst = grad where out is above 0, or NaN, and 0 elsewhere. dst may be grad.
KERNEL(gate, Size n, In<Real> out, In<Real> grad, Out<Real> dst) {
    EACH(i, n) {
        Real g = grad[i];
        dst[i] = out[i] <= 0 ? (Real)0 : g;
    }
}

// dst = a + b; dst may be either.
KERNEL(add, Size n, In<Real> a, In<Real> b, Out<Real> dst) {
    EACH(i, n) dst[i] = a[i] + b[i];
}

KERNEL(scale, Size n, Real factor, Out<Real> x) {
    EACH(i, n) x[i] *= factor;
}

// Each element of v over a row of n elements of dst.
KERNEL(spread, Size rows, Size n, In<Real> v, Out<Real> dst) {
    EACH(i, rows * n) dst[i] = v[i / n];
}

// sums = factor times the sum of each row of x, rows×n. A block for each row.
TEAM_KERNEL(sum_rows, Size n, Real factor, In<Real> x, Out<Real> sums) {
    SHARED(Real, room, TEAM);
    Size row = blockIdx.x;
    Real sum = 0;
    for (Size i = threadIdx.x; i < n; i += TEAM) sum += x[row * n + i];
    sum = team_sum(sum, room);
    if (threadIdx.x == 0) sums[row] = factor * sum;
}

// dst, cols×rows, from src, rows×cols. A block for each tile of 32×32.
TEAM_KERNEL(transpose, Size rows, Size cols, In<Real> src, Out<Real> dst) {
    const int tile = 32, width = tile + 1; // rows begin in different banks
    SHARED(Real, room, tile * width);
    Size across = (cols + tile - 1) / tile;
    Size r0 = blockIdx.x / across * tile, c0 = blockIdx.x % across * tile;
    int x = threadIdx.x % tile, y0 = threadIdx.x / tile;
    for (int y = y0; y < tile; y += TEAM / tile)
        if (r0 + y < rows && c0 + x < cols) room[y * width + x] = src[(r0 + y) * cols + c0 + x];
    __syncthreads();
    for (int y = y0; y < tile; y += TEAM / tile)
        if (c0 + y < cols && r0 + x < rows) dst[(c0 + y) * rows + r0 + x] = room[x * width + y];
}

// The sum of the squares of the elements of x whose bit in mask is want, or of all if
// there is no mask: a part for each block, in double precision.
TEAM_KERNEL(sum_squares, Size n, In<unsigned> mask, int want, In<Real> x, Out<double> parts) {
    SHARED(double, room, TEAM);
    double sum = 0;
    EACH(i, n) {
        if (mask && (int)(mask[i / 32] >> (i % 32) & 1) != want) continue;
        sum += (double)x[i] * (double)x[i];
    }
    sum = team_sum(sum, room);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// to[0] = keep·to[0] + the sum of n parts. One block.
TEAM_KERNEL(sum_parts, Size n, double keep, In<double> parts, Out<double> to) {
    SHARED(double, room, TEAM);
    double sum = 0;
    for (Size i = threadIdx.x; i < n; i += TEAM) sum += parts[i];
    sum = team_sum(sum, room);
    if (threadIdx.x == 0) to[0] = keep == 0 ? sum : keep * to[0] + sum;
}
