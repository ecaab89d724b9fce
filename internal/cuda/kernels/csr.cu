// Products of a sparse matrix with a batch of vectors, as internal/kernel.CSRLayer has
// them, with the batch last: x is cols×n, y rows×n, and v the stored entries.
#include "device.h"

// y = A·x + bias: a thread for each element.
KERNEL(csr_forward, Size rows, int n, In<Size> starts, In<int> columns, In<Real> v, In<Real> x, In<Real> bias,
       Out<Real> y) {
    EACH(i, rows * n) {
        Size row = i / n;
        int j = i % n;
        Real sum = 0;
        for (Size k = starts[row]; k < starts[row + 1]; k++) sum += v[k] * x[columns[k] * (Size)n + j];
        y[i] = bias ? sum + bias[row] : sum;
    }
}

// dx = Aᵀ·dy. Column c has the entries order[starts[c]] to order[starts[c+1]-1], of which
// rowOf says the rows.
KERNEL(csr_input, Size cols, int n, In<Size> starts, In<int> order, In<int> rowOf, In<Real> v, In<Real> dy,
       Out<Real> dx) {
    EACH(i, cols * n) {
        Size column = i / n;
        int j = i % n;
        Real sum = 0;
        for (Size t = starts[column]; t < starts[column + 1]; t++) {
            int k = order[t];
            sum += v[k] * dy[rowOf[k] * (Size)n + j];
        }
        dx[i] = sum;
    }
}

// dv = alpha·(the products of rows of dy and of x that the entries stand for) + beta·dv.
// factors, unless null, holds alpha and beta. 32 threads share an entry.
TEAM_KERNEL(csr_weights, Size entries, int n, Real alpha, Real beta, In<Real> factors, In<int> rowOf, In<int> columns,
            In<Real> x, In<Real> dy, Out<Real> dv) {
    const int width = 32;
    SHARED(Real, room, TEAM);
    int lane = threadIdx.x % width;
    Size k = blockIdx.x * (Size)(TEAM / width) + threadIdx.x / width;
    Real sum = 0;
    if (k < entries)
        for (int j = lane; j < n; j += width) sum += dy[rowOf[k] * (Size)n + j] * x[columns[k] * (Size)n + j];
    room[threadIdx.x] = sum;
    __syncthreads();
    for (int half = width / 2; half > 0; half /= 2) {
        if (lane < half) room[threadIdx.x] += room[threadIdx.x + half];
        __syncthreads();
    }
    if (factors) {
        alpha = factors[0];
        beta = factors[1];
    }
    if (lane == 0 && k < entries) {
        sum = room[threadIdx.x];
        dv[k] = beta == 0 ? alpha * sum : alpha * sum + beta * dv[k];
    }
}
