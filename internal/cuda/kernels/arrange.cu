// Rows that are moved and not computed: slices, pads, transposes, repeats.
#include "device.h"

// Row r of y, of n elements, is row from[r] of x; where that is negative it stays.
KERNEL(arrange, Size rows, Size n, In<int> from, In<Real> x, Out<Real> y) {
    EACH(i, rows * n) {
        int source = from[i / n];
        if (source >= 0) y[i] = x[source * n + i % n];
    }
}

// Row r of dx is the sum of the rows of dy that it went to: to[starts[r]] to
// to[starts[r+1]-1].
KERNEL(arrange_backward, Size rows, Size n, In<Size> starts, In<int> to, In<Real> dy, Out<Real> dx) {
    EACH(i, rows * n) {
        Size row = i / n;
        Real sum = 0;
        for (Size t = starts[row]; t < starts[row + 1]; t++) sum += dy[to[t] * n + i % n];
        dx[i] = sum;
    }
}
