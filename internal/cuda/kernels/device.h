// What the kernels are written in. NVRTC compiles every .cu file twice, with Real as
// float and as double; tests compile the same files for the host, where host.h stands
// in for the device and In and Out check every access.
//
// A kernel is KERNEL(name, parameters) { ... }; TEAM_KERNEL is one in whose blocks
// threads wait for each other. Its name gets the precision as a suffix.
//
// The batch is the last axis everywhere: what the host has as N×L is L×N here, so that
// neighbouring threads work on neighbouring samples.
#pragma once

typedef long long Size;

#ifdef __CUDACC_RTC__
template <typename T> using In = const T*;
template <typename T> using Out = T*;
#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(256) JOIN(name, Suffix)(__VA_ARGS__)
#define TEAM_KERNEL KERNEL
#define SHARED(type, name, count) __shared__ type name[count]
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#else
#include "host.h"
#endif

// EACH runs its body for i from 0 to n, shared out among all threads.
#define EACH(i, n) \
    for (Size i = blockIdx.x * (Size)blockDim.x + threadIdx.x; i < (n); i += (Size)gridDim.x * blockDim.x)

// TEAM is how many threads a block has, of every kernel.
const int TEAM = 256;

// team_sum returns the sum of value over the threads of a block, which have room for
// TEAM values in common, or over those threads whose numbers have one remainder by
// columns, a power of 2. Its order does not depend on timing.
template <typename T, typename Room> __device__ T team_sum(T value, Room room, int columns = 1) {
    int me = threadIdx.x;
    room[me] = value;
    __syncthreads();
    for (int half = TEAM / 2; half >= columns; half /= 2) {
        if (me < half) room[me] += room[me + half];
        __syncthreads();
    }
    T total = room[me % columns];
    __syncthreads(); // room is free again
    return total;
}
