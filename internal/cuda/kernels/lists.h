// Sums over lists of rows. A list has the rows at[starts[l]] to at[starts[l+1]-1]; a row
// has n samples. There is a sum for each list and sample or, with whole, one for each list
// and all samples.
#pragma once
#include "device.h"

// Share is what one thread adds up. A block makes as many sums as it has columns, a power
// of 2, each with TEAM/columns threads: team_sum by columns puts them together.
struct Share {
    Size list, sum;                // their numbers
    bool exists, leads;            // whether there is such a sum; whether this thread writes it
    Size terms;                    // of the whole sum
    Size row, rows, nextRow;       // places in at
    int sample, samples, nextSample;
};

// starts is null where list l is row l alone.
__device__ inline Share share(Size lists, int n, int whole, int columns, In<Size> starts) {
    int lane = threadIdx.x / columns, lanes = TEAM / columns;
    Share s;
    s.sum = blockIdx.x * (Size)columns + threadIdx.x % columns;
    s.list = whole ? s.sum : s.sum / n;
    s.exists = s.list < lists;
    s.leads = s.exists && lane == 0;
    s.row = s.rows = 0;
    if (s.exists) {
        s.row = starts ? starts[s.list] : s.list;
        s.rows = starts ? starts[s.list + 1] : s.list + 1;
    }
    s.terms = (s.rows - s.row) * (whole ? n : 1);
    s.sample = whole ? lane : s.sum % n;
    s.samples = whole ? n : s.sample + 1;
    s.nextSample = whole ? lanes : 1;
    s.row += whole ? 0 : lane;
    s.nextRow = whole ? 1 : lanes;
    return s;
}

// TERMS runs its body for the places k in at and the samples j of a share.
#define TERMS(s, k, j)                                   \
    for (Size k = (s).row; k < (s).rows; k += (s).nextRow) \
        for (int j = (s).sample; j < (s).samples; j += (s).nextSample)
