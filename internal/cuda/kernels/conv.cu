// Convolutions as products: columns of what each output position reads, and back.
#include "window.h"

// col is channels·taps × (p1−p0)·n: what each tap reads of x, channels×in×n, at the
// output positions from p0 to p1 (flat), 0 in the padding.
KERNEL(im2col, Size channels, int n, Window v, int p0, int p1, In<Real> x, Out<Real> col) {
    int taps = volume(v.kernel), size = volume(v.in), width = p1 - p0;
    EACH(i, channels * taps * width * n) {
        int j = i % n, t[3], p[3], q[3];
        Size row = i / n / width;
        coordinates(p0 + i / n % width, v.out, p);
        coordinates(row % taps, v.kernel, t);
        bool in = true;
        for (int a = 0; a < 3; a++) {
            q[a] = p[a] * v.stride[a] + t[a] * v.dilation[a] - v.pad[a];
            in = in && q[a] >= 0 && q[a] < v.in[a];
        }
        col[i] = in ? x[(row / taps * size + (q[0] * v.in[1] + q[1]) * v.in[2] + q[2]) * n + j] : (Real)0;
    }
}

// Adds the columns of the output positions from p0 to p1 to dx, channels×in×n.
KERNEL(col2im, Size channels, int n, Window v, int p0, int p1, In<Real> col, Out<Real> dx) {
    int taps = volume(v.kernel), size = volume(v.in), width = p1 - p0;
    EACH(i, channels * size * n) {
        int j = i % n, at[3], t[3];
        Size channel = i / n / size;
        coordinates(i / n % size, v.in, at);
        Real sum = 0;
        for (int tap = 0; tap < taps; tap++) {
            coordinates(tap, v.kernel, t);
            int p = 0;
            bool in = true;
            for (int a = 0; a < 3; a++) {
                int from = at[a] + v.pad[a] - t[a] * v.dilation[a];
                in = in && from >= 0 && from % v.stride[a] == 0 && from / v.stride[a] < v.out[a];
                p = p * v.out[a] + (in ? from / v.stride[a] : 0);
            }
            if (in && p >= p0 && p < p1) sum += col[((channel * taps + tap) * width + p - p0) * n + j];
        }
        dx[i] += sum;
    }
}
