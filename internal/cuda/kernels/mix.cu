// Products of a sparse matrix with the lines of a tensor along its middle axis:
// interpolation. See finetune/resize.go.
#include "device.h"

// Row i along the middle axis of y, outer×size×inner, is the sum of v[e] times row from[e]
// of x, outer×length×inner, where e is order[k], or k if order is null, for k from
// starts[i] to starts[i+1]-1.
KERNEL(mix, Size outer, Size length, Size size, Size inner, In<Size> starts, In<int> order, In<int> from, In<Real> v,
       In<Real> x, Out<Real> y) {
    EACH(i, outer * size * inner) {
        Size row = i / inner % size, first = i / inner / size * length * inner + i % inner;
        Real sum = 0;
        for (Size k = starts[row]; k < starts[row + 1]; k++) {
            Size e = order ? order[k] : k;
            sum += v[e] * x[first + from[e] * inner];
        }
        y[i] = sum;
    }
}
