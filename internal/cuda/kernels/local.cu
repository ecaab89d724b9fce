// Locally connected layers, as internal/kernel.Local has them, with the batch last:
// x is groups×block×n, w groups×positions×out×slots, y groups×out×positions×n.
//
// At each position there is a product of small matrices. A block computes a tile of one,
// M×(4096/M), and each of its threads 4×4 elements, which lie a quarter of the tile
// apart along n: neighbouring threads read and write neighbouring elements.
#include "device.h"

const int DEPTH = 16; // of the factors' tiles

template <int M> struct Tile {
    static const int N = 4096 / M;     // columns
    static const int LANES = N / 4;    // threads along them
    static const int A = DEPTH * (M + 1);
    static const int B = DEPTH * N;
};

// accumulate adds the product of the tiles in a, DEPTH×M, and b, DEPTH×N.
template <int M, typename Room> __device__ void accumulate(Room a, Room b, Real (&sum)[4][4]) {
    int m = threadIdx.x / Tile<M>::LANES * 4, n = threadIdx.x % Tile<M>::LANES;
    for (int k = 0; k < DEPTH; k++) {
        Real u[4], v[4];
        for (int i = 0; i < 4; i++) u[i] = a[k * (M + 1) + m + i];
        for (int j = 0; j < 4; j++) v[j] = b[k * Tile<M>::N + n + j * Tile<M>::LANES];
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) sum[i][j] += u[i] * v[j];
    }
}

// y = w·x + bias at one position of a group: out×n. Blocks: columns of tiles fastest,
// so that those that read the same weights run together, then positions, then rows.
template <int M> __device__ void forward(
    int block, int positions, int out, int slots, int n, In<int> table, In<Real> x, In<Real> w, In<Real> bias,
    Out<Real> y) {
    const int N = Tile<M>::N;
    SHARED(Real, a, Tile<M>::A);
    SHARED(Real, b, Tile<M>::B);
    int across = (n + N - 1) / N;
    Size at = blockIdx.x / across; // of the group and the position
    int n0 = blockIdx.x % across * N, m0 = blockIdx.y * M, p = at % positions;
    Size group = at / positions;
    Real sum[4][4] = {};
    for (int s0 = 0; s0 < slots; s0 += DEPTH) {
        for (int i = threadIdx.x; i < DEPTH * M; i += TEAM) {
            int k = i % DEPTH, m = i / DEPTH;
            bool inside = s0 + k < slots && m0 + m < out;
            a[k * (M + 1) + m] = inside ? w[(at * out + m0 + m) * slots + s0 + k] : (Real)0;
        }
        for (int i = threadIdx.x; i < DEPTH * N; i += TEAM) {
            int k = i / N, j = n0 + i % N;
            int q = s0 + k < slots ? table[p * (Size)slots + s0 + k] : block;
            b[i] = q < block && j < n ? x[(group * block + q) * n + j] : (Real)0;
        }
        __syncthreads();
        accumulate<M>(a, b, sum);
        __syncthreads();
    }
    int m = m0 + threadIdx.x / Tile<M>::LANES * 4, j0 = n0 + threadIdx.x % Tile<M>::LANES;
    for (int i = 0; i < 4 && m + i < out; i++) {
        Size row = (group * out + m + i) * positions + p;
        Real add = bias ? bias[row] : (Real)0;
        for (int j = 0; j < 4; j++)
            if (j0 + j * Tile<M>::LANES < n) y[row * n + j0 + j * Tile<M>::LANES] = sum[i][j] + add;
    }
}

// dw = alpha·dy·xᵀ + beta·dw at one position: out×slots. factors, unless null, holds
// alpha and beta.
template <int M> __device__ void weights(
    int block, int positions, int out, int slots, int n, Real alpha, Real beta, In<Real> factors, In<int> table,
    In<Real> x, In<Real> dy, Out<Real> dw) {
    const int N = Tile<M>::N;
    SHARED(Real, a, Tile<M>::A);
    SHARED(Real, b, DEPTH * (N + 1));
    int across = (slots + N - 1) / N;
    Size at = blockIdx.x / across;
    int s0 = blockIdx.x % across * N, m0 = blockIdx.y * M, p = at % positions;
    Size group = at / positions;
    Real sum[4][4] = {};
    int m1 = threadIdx.x / Tile<M>::LANES * 4, s1 = threadIdx.x % Tile<M>::LANES;
    for (int n0 = 0; n0 < n; n0 += DEPTH) {
        for (int i = threadIdx.x; i < DEPTH * M; i += TEAM) {
            int k = i % DEPTH, m = i / DEPTH;
            bool inside = n0 + k < n && m0 + m < out;
            a[k * (M + 1) + m] = inside ? dy[((group * out + m0 + m) * positions + p) * n + n0 + k] : (Real)0;
        }
        for (int i = threadIdx.x; i < DEPTH * N; i += TEAM) {
            int k = i % DEPTH, s = i / DEPTH;
            int q = s0 + s < slots ? table[p * (Size)slots + s0 + s] : block;
            b[k * (N + 1) + s] = q < block && n0 + k < n ? x[(group * block + q) * n + n0 + k] : (Real)0;
        }
        __syncthreads();
        for (int k = 0; k < DEPTH; k++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    sum[i][j] += a[k * (M + 1) + m1 + i] * b[k * (N + 1) + s1 + j * Tile<M>::LANES];
        __syncthreads();
    }
    if (factors) {
        alpha = factors[0];
        beta = factors[1];
    }
    for (int i = 0; i < 4 && m0 + m1 + i < out; i++)
        for (int j = 0; j < 4; j++) {
            int s = s0 + s1 + j * Tile<M>::LANES;
            if (s >= slots) break;
            Size to = (at * out + m0 + m1 + i) * slots + s;
            dw[to] = beta == 0 ? alpha * sum[i][j] : alpha * sum[i][j] + beta * dw[to];
        }
}

// dx = what the positions that read it add up to, for a bundle of inputs that the same
// positions read. A row of bundles is: where its inputs begin in inputs, how many they
// are (at most M), where its positions begin in readers, how many, and where its slots
// begin in slotOf, positions × inputs.
template <int M> __device__ void input(
    int block, int positions, int out, int slots, int n, int count, In<int> bundles, In<int> inputs, In<int> readers,
    In<int> slotOf, In<Real> w, In<Real> dy, Out<Real> dx) {
    const int N = Tile<M>::N;
    SHARED(Real, a, Tile<M>::A);
    SHARED(Real, b, Tile<M>::B);
    int across = (n + N - 1) / N;
    Size at = blockIdx.x / across; // of the group and the bundle
    int n0 = blockIdx.x % across * N;
    Size group = at / count;
    In<int> bundle = bundles + at % count * 5;
    In<int> q = inputs + bundle[0], reader = readers + bundle[2], slot = slotOf + bundle[4];
    int many = bundle[1], depth = bundle[3] * out;
    Real sum[4][4] = {};
    for (int k0 = 0; k0 < depth; k0 += DEPTH) {
        for (int i = threadIdx.x; i < DEPTH * M; i += TEAM) {
            int k = k0 + i / M, m = i % M;
            Real v = 0;
            if (k < depth && m < many) {
                int r = k / out, o = k % out;
                v = w[((group * positions + reader[r]) * out + o) * slots + slot[r * many + m]];
            }
            a[i / M * (M + 1) + m] = v;
        }
        for (int i = threadIdx.x; i < DEPTH * N; i += TEAM) {
            int k = k0 + i / N, j = n0 + i % N;
            Real v = 0;
            if (k < depth && j < n) v = dy[((group * out + k % out) * positions + reader[k / out]) * n + j];
            b[i] = v;
        }
        __syncthreads();
        accumulate<M>(a, b, sum);
        __syncthreads();
    }
    int m = threadIdx.x / Tile<M>::LANES * 4, j0 = n0 + threadIdx.x % Tile<M>::LANES;
    for (int i = 0; i < 4 && m + i < many; i++)
        for (int j = 0; j < 4; j++)
            if (j0 + j * Tile<M>::LANES < n) dx[(group * block + q[m + i]) * n + j0 + j * Tile<M>::LANES] = sum[i][j];
}

// Tiles of 16 rows, and of 64 for layers with many output channels.
TEAM_KERNEL(local_forward_16, int block, int positions, int out, int slots, int n, In<int> table, In<Real> x,
            In<Real> w, In<Real> bias, Out<Real> y) {
    forward<16>(block, positions, out, slots, n, table, x, w, bias, y);
}

TEAM_KERNEL(local_forward_64, int block, int positions, int out, int slots, int n, In<int> table, In<Real> x,
            In<Real> w, In<Real> bias, Out<Real> y) {
    forward<64>(block, positions, out, slots, n, table, x, w, bias, y);
}

TEAM_KERNEL(local_weights_16, int block, int positions, int out, int slots, int n, Real alpha, Real beta,
            In<Real> factors, In<int> table, In<Real> x, In<Real> dy, Out<Real> dw) {
    weights<16>(block, positions, out, slots, n, alpha, beta, factors, table, x, dy, dw);
}

TEAM_KERNEL(local_weights_64, int block, int positions, int out, int slots, int n, Real alpha, Real beta,
            In<Real> factors, In<int> table, In<Real> x, In<Real> dy, Out<Real> dw) {
    weights<64>(block, positions, out, slots, n, alpha, beta, factors, table, x, dy, dw);
}

TEAM_KERNEL(local_input_16, int block, int positions, int out, int slots, int n, int count, In<int> bundles,
            In<int> inputs, In<int> readers, In<int> slotOf, In<Real> w, In<Real> dy, Out<Real> dx) {
    input<16>(block, positions, out, slots, n, count, bundles, inputs, readers, slotOf, w, dy, dx);
}

TEAM_KERNEL(local_input_64, int block, int positions, int out, int slots, int n, int count, In<int> bundles,
            In<int> inputs, In<int> readers, In<int> slotOf, In<Real> w, In<Real> dy, Out<Real> dx) {
    input<64>(block, positions, out, slots, n, count, bundles, inputs, readers, slotOf, w, dy, dx);
}
