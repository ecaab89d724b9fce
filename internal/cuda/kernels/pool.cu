// Pooling, forward and backward. See internal/kernel/pool.go.
#include "window.h"

// The greatest of each window, and the flat position of the first that is greatest, -1
// where a window lies wholly in the padding; y is -Inf there. NaN is greater than
// anything else. With rectify y is 0 where it would be less, but for such windows.
KERNEL(max_pool, Size planes, int n, Window v, int rectify, In<Real> x, Out<Real> y, Out<int> argmax) {
    int size = volume(v.out);
    EACH(i, planes * size * n) {
        int j = i % n, p[3], lo[3], hi[3];
        Size plane = i / n / size * volume(v.in);
        coordinates(i / n % size, v.out, p);
        for (int a = 0; a < 3; a++) inside(v, a, p[a], lo[a], hi[a]);
        Real best = 0;
        int at = -1;
        for (int d = lo[0]; d < hi[0]; d += v.dilation[0])
            for (int h = lo[1]; h < hi[1]; h += v.dilation[1])
                for (int w = lo[2]; w < hi[2]; w += v.dilation[2]) {
                    int q = (d * v.in[1] + h) * v.in[2] + w;
                    Real u = x[(plane + q) * n + j];
                    if (at < 0 || u > best || (u != u && best == best)) {
                        best = u;
                        at = q;
                    }
                }
        if (at < 0)
            best = -INFINITY;
        else if (rectify && best < 0)
            best = 0;
        y[i] = best;
        argmax[i] = at;
    }
}

// dx from dy and argmax. With rectify, y says where the gradient is 0.
KERNEL(max_pool_backward, Size planes, int n, Window v, int rectify, In<Real> dy, In<Real> y, In<int> argmax,
       Out<Real> dx) {
    int size = volume(v.in), outputs = volume(v.out);
    EACH(i, planes * size * n) {
        int j = i % n, q = i / n % size, at[3], lo[3], hi[3];
        Size plane = i / n / size * outputs;
        coordinates(q, v.in, at);
        for (int a = 0; a < 3; a++) reading(v, a, at[a], lo[a], hi[a]);
        Real sum = 0;
        for (int d = lo[0]; d < hi[0]; d++)
            for (int h = lo[1]; h < hi[1]; h++)
                for (int w = lo[2]; w < hi[2]; w++) {
                    Size o = (plane + (d * v.out[1] + h) * v.out[2] + w) * n + j;
                    if (argmax[o] == q && !(rectify && y[o] <= 0)) sum += dy[o];
                }
        dx[i] = sum;
    }
}

// counted returns how many taps at an output position an average divides by.
__device__ inline int counted(const Window &v, const int (&p)[3], int includePad) {
    int count = 1;
    for (int a = 0; a < 3; a++) {
        int lo = includePad ? -v.pad[a] : 0, hi = v.in[a] + (includePad ? v.padEnd[a] : 0), taps = 0;
        for (int t = 0; t < v.kernel[a]; t++) {
            int q = p[a] * v.stride[a] + t * v.dilation[a] - v.pad[a];
            taps += q >= lo && q < hi;
        }
        count *= taps;
    }
    return count;
}

// each_read runs body for the input positions, flat, that an output position reads.
template <typename F> __device__ inline void each_read(const Window &v, const int (&p)[3], F body) {
    int lo[3], hi[3];
    for (int a = 0; a < 3; a++) inside(v, a, p[a], lo[a], hi[a]);
    for (int d = lo[0]; d < hi[0]; d += v.dilation[0])
        for (int h = lo[1]; h < hi[1]; h += v.dilation[1])
            for (int w = lo[2]; w < hi[2]; w += v.dilation[2]) body((d * v.in[1] + h) * v.in[2] + w);
}

// each_reader runs body for the output positions that read an input position.
template <typename F> __device__ inline void each_reader(const Window &v, const int (&at)[3], F body) {
    int lo[3], hi[3], p[3];
    for (int a = 0; a < 3; a++) reading(v, a, at[a], lo[a], hi[a]);
    for (p[0] = lo[0]; p[0] < hi[0]; p[0]++)
        for (p[1] = lo[1]; p[1] < hi[1]; p[1]++)
            for (p[2] = lo[2]; p[2] < hi[2]; p[2]++)
                if (reads(v, 0, p[0], at[0]) && reads(v, 1, p[1], at[1]) && reads(v, 2, p[2], at[2]))
                    body(p, (p[0] * v.out[1] + p[1]) * v.out[2] + p[2]);
}

// The mean of each window, 0 where no tap counts.
KERNEL(average_pool, Size planes, int n, Window v, int includePad, In<Real> x, Out<Real> y) {
    int size = volume(v.out);
    EACH(i, planes * size * n) {
        int j = i % n, p[3];
        Size plane = i / n / size * volume(v.in);
        coordinates(i / n % size, v.out, p);
        Real sum = 0;
        each_read(v, p, [&](int q) { sum += x[(plane + q) * n + j]; });
        int count = counted(v, p, includePad);
        y[i] = count > 0 ? sum / count : (Real)0;
    }
}

KERNEL(average_pool_backward, Size planes, int n, Window v, int includePad, In<Real> dy, Out<Real> dx) {
    int size = volume(v.in), outputs = volume(v.out);
    EACH(i, planes * size * n) {
        int j = i % n, at[3];
        Size plane = i / n / size * outputs;
        coordinates(i / n % size, v.in, at);
        Real sum = 0;
        each_reader(v, at, [&](const int (&p)[3], int q) {
            int count = counted(v, p, includePad);
            if (count > 0) sum += dy[(plane + q) * n + j] / count;
        });
        dx[i] = sum;
    }
}

// The p-norm of each window: (Σ|x|ᵖ)^(1/p).
KERNEL(lp_pool, Size planes, int n, Window v, double p, In<Real> x, Out<Real> y) {
    int size = volume(v.out);
    EACH(i, planes * size * n) {
        int j = i % n, o[3];
        Size plane = i / n / size * volume(v.in);
        coordinates(i / n % size, v.out, o);
        double sum = 0;
        each_read(v, o, [&](int q) { sum += pow(fabs((double)x[(plane + q) * n + j]), p); });
        y[i] = pow(sum, 1 / p);
    }
}

// Its gradient: 0 at an element that is 0, and from a window whose norm is 0.
KERNEL(lp_pool_backward, Size planes, int n, Window v, double p, In<Real> x, In<Real> y, In<Real> dy, Out<Real> dx) {
    int size = volume(v.in), outputs = volume(v.out);
    EACH(i, planes * size * n) {
        int j = i % n, at[3];
        Size plane = i / n / size * outputs;
        coordinates(i / n % size, v.in, at);
        double sum = 0, u = x[i];
        each_reader(v, at, [&](const int (&)[3], int q) {
            Size e = (plane + q) * n + j;
            if (y[e] != 0) sum += dy[e] * pow((double)y[e], 1 - p);
        });
        dx[i] = u == 0 ? 0 : sum * copysign(pow(fabs(u), p - 1), u);
    }
}
