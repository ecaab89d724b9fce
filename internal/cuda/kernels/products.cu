// Products of matrices that every sample has for itself. See finetune/product.go.
#include "device.h"

// Result r, m×n for each of batch samples and row-major, begins at cAt[r] of c, counted in
// rows of samples. It is the sum of the products, m×k by k×n, starts[r] to starts[r+1]−1:
// their factors begin at aAt and bAt, and am, ak, bk and bn are the steps from element to
// element along each axis. A thread makes 4×4 elements of one sample.
KERNEL(products, Size results, int m, int n, int k, int batch, In<Size> starts, In<int> aAt, In<int> bAt, In<int> cAt,
       int am, int ak, int bk, int bn, In<Real> a, In<Real> b, Out<Real> c) {
    const int side = 4;
    Size down = (m + side - 1) / side, across = (n + side - 1) / side;
    EACH(i, results * down * across * batch) {
        Size tile = i / batch, r = tile / across / down;
        int j = i % batch, row = tile / across % down * side, column = tile % across * side;
        Real sum[side][side] = {};
        for (Size t = starts[r]; t < starts[r + 1]; t++)
            for (int l = 0; l < k; l++) {
                Real u[side], v[side];
                for (int q = 0; q < side; q++) {
                    u[q] = row + q < m ? a[(aAt[t] + (Size)(row + q) * am + (Size)l * ak) * batch + j] : (Real)0;
                    v[q] = column + q < n ? b[(bAt[t] + (Size)l * bk + (Size)(column + q) * bn) * batch + j] : (Real)0;
                }
                for (int p = 0; p < side; p++)
                    for (int q = 0; q < side; q++) sum[p][q] += u[p] * v[q];
            }
        for (int p = 0; p < side && row + p < m; p++)
            for (int q = 0; q < side && column + q < n; q++)
                c[(cAt[r] + (Size)(row + p) * n + column + q) * batch + j] = sum[p][q];
    }
}
