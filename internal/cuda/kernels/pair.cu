// Functions of two elements, broadcast, in double precision. See finetune/broadcast.go,
// finetune/variadic.go, finetune/pow.go and finetune/prelu.go; the numbers are those of
// pair.go here.
#include "lists.h"

enum Pair { ADD, SUB, MUL, DIV, POW, MAX, MIN, LEAK };

__device__ inline double value(int function, double a, double b) {
    switch (function) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case DIV: return a / b;
    case POW: return pow(a, b);
    case MAX: return a > b || a != a ? a : b;
    case MIN: return a < b || a != a ? a : b;
    case LEAK: return a < 0 ? a * b : a;
    }
    return NAN;
}

// above is the derivative of the greater of two by the first; equals share it.
__device__ inline double above(double a, double b) { return a > b ? 1 : a == b ? 0.5 : 0; }

// slope is the derivative by a (by = 0) or by b.
__device__ inline double slope(int function, int by, double a, double b) {
    switch (function) {
    case ADD: return 1;
    case SUB: return by ? -1 : 1;
    case MUL: return by ? a : b;
    case DIV: return by ? -a / b / b : 1 / b;
    case POW:
        if (by) return a == 0 && b >= 0 ? 0 : pow(a, b) * log(a);
        return b == 0 ? 0 : b * pow(a, b - 1);
    case MAX: return by ? above(b, a) : above(a, b);
    case MIN: return by ? above(a, b) : above(b, a);
    case LEAK: return by ? (a < 0 || a != a ? a : 0) : a > 0 ? 1 : b;
    }
    return NAN;
}

// met returns the element of an operand that sample j of a row of the result meets, 0
// where there is no operand. Row r meets row at[r], or r if at is null; with moves a row of
// the operand has n samples, else one element for all.
__device__ inline double met(In<Real> operand, In<int> at, int moves, Size r, int n, int j) {
    if (!operand) return 0;
    Size row = at ? at[r] : r;
    return operand[moves ? row * n + j : row];
}

KERNEL(pair, Size rows, int n, int function, In<int> aAt, int aMoves, In<int> bAt, int bMoves, In<Real> a, In<Real> b,
       Out<Real> y) {
    EACH(i, rows * n) {
        Size r = i / n;
        int j = i % n;
        y[i] = value(function, met(a, aAt, aMoves, r, n, j), met(b, bAt, bMoves, r, n, j));
    }
}

// The gradient at operand number by, whose row l is met by the rows of list l. a and b may
// be null where the derivative does not depend on them.
TEAM_KERNEL(pair_backward, Size lists, int n, int columns, int function, int by, In<Size> starts, In<int> at,
            In<int> aAt, int aMoves, In<int> bAt, int bMoves, In<Real> a, In<Real> b, In<Real> dy, Out<Real> d) {
    SHARED(double, room, TEAM);
    Share s = share(lists, n, by ? !bMoves : !aMoves, columns, starts);
    double sum = 0;
    TERMS(s, k, j) {
        Size r = starts ? at[k] : k;
        sum += dy[r * n + j] * slope(function, by, met(a, aAt, aMoves, r, n, j), met(b, bAt, bMoves, r, n, j));
    }
    sum = team_sum(sum, room, columns);
    if (s.leads) d[s.sum] = sum;
}
