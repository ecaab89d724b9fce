// The geometry in which convolutions and poolings slide over three axes; see
// internal/kernel.Window. Planes are in×n and out×n, the batch last.
#pragma once
#include "device.h"

struct Window {
    int in[3], kernel[3], stride[3], dilation[3], pad[3], padEnd[3], out[3];
};

__device__ inline int volume(const int (&sizes)[3]) { return sizes[0] * sizes[1] * sizes[2]; }

// coordinates cuts a flat position into one along each axis.
__device__ inline void coordinates(int flat, const int (&sizes)[3], int (&at)[3]) {
    at[2] = flat % sizes[2];
    at[1] = flat / sizes[2] % sizes[1];
    at[0] = flat / sizes[2] / sizes[1];
}

// inside returns which input positions an output position reads along an axis: from lo,
// dilation apart, below hi.
__device__ inline void inside(const Window &w, int axis, int at, int &lo, int &hi) {
    int first = at * w.stride[axis] - w.pad[axis], step = w.dilation[axis];
    lo = first < 0 ? first + (-first + step - 1) / step * step : first;
    hi = first + (w.kernel[axis] - 1) * step + 1;
    if (hi > w.in[axis]) hi = w.in[axis];
}

// reading returns which output positions, from lo below hi, may read an input position
// along an axis. Those for which the distance is no multiple of the dilation do not.
__device__ inline void reading(const Window &w, int axis, int at, int &lo, int &hi) {
    int last = at + w.pad[axis], first = last - (w.kernel[axis] - 1) * w.dilation[axis];
    lo = first <= 0 ? 0 : (first + w.stride[axis] - 1) / w.stride[axis];
    hi = last / w.stride[axis] + 1;
    if (hi > w.out[axis]) hi = w.out[axis];
}

// reads reports whether output position p reads input position at, along an axis.
__device__ inline bool reads(const Window &w, int axis, int p, int at) {
    return (at + w.pad[axis] - p * w.stride[axis]) % w.dilation[axis] == 0;
}
