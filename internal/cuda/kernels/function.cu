// Functions of one element and their derivatives, in double precision, as finetune has
// them (finetune/activation.go, finetune/function.go); the numbers are those of
// function.go here. At a kink the derivative is PyTorch's.
#include "device.h"

enum Function {
    ABS, ACOS, ACOSH, ASIN, ASINH, ATAN, ATANH, CEIL, CELU, CLIP, COS, COSH, ELU, ERF, EXP, FLOOR, GELU, GELU_TANH,
    HARD_SIGMOID, HARD_SWISH, LEAKY_RELU, LOG, MISH, POW, RECIPROCAL, ROUND, SHRINK, SIGMOID, SIGN, SIN, SINH,
    SOFTPLUS, SOFTSIGN, SQRT, SWISH, TAN, TANH, THRESHOLDED_RELU
};

const double PI = 3.14159265358979323846;

__device__ inline double sigmoid(double v) { return 1 / (1 + exp(-v)); }

__device__ inline double softplus(double v) { return fmax(v, 0.0) + log1p(exp(-fabs(v))); }

__device__ inline double gelu_inner(double v) { return sqrt(2 / PI) * (v + 0.044715 * v * v * v); }

// value is the function at v; a and b are its parameters.
__device__ inline double value(int function, double a, double b, double v) {
    switch (function) {
    case ABS: return fabs(v);
    case ACOS: return acos(v);
    case ACOSH: return acosh(v);
    case ASIN: return asin(v);
    case ASINH: return asinh(v);
    case ATAN: return atan(v);
    case ATANH: return atanh(v);
    case CEIL: return ceil(v);
    case CELU: return v > 0 ? v : a * expm1(v / a);
    case CLIP: return v >= b || a > b ? b : v <= a ? a : v; // where the bounds cross, the upper one wins
    case COS: return cos(v);
    case COSH: return cosh(v);
    case ELU: return v > 0 ? b * v : b * a * expm1(v); // and Selu
    case ERF: return erf(v);
    case EXP: return exp(v);
    case FLOOR: return floor(v);
    case GELU: return 0.5 * v * (1 + erf(v / sqrt(2.0)));
    case GELU_TANH: return 0.5 * v * (1 + tanh(gelu_inner(v)));
    case HARD_SIGMOID: {
        double h = a * v + b;
        return h <= 0 ? 0 : h >= 1 ? 1 : h;
    }
    case HARD_SWISH: return v <= -3 ? 0 : v >= 3 ? v : v * (v + 3) / 6;
    case LEAKY_RELU: return v <= 0 ? v * a : v;
    case LOG: return log(v);
    case MISH: return v * tanh(softplus(v));
    case POW: return pow(v, a);
    case RECIPROCAL: return 1 / v;
    case ROUND: return rint(v);
    case SHRINK: return v < -a ? v + b : v > a ? v - b : 0;
    case SIGMOID: return sigmoid(v);
    case SIGN: return v > 0 ? 1 : v < 0 ? -1 : v;
    case SIN: return sin(v);
    case SINH: return sinh(v);
    case SOFTPLUS: return softplus(v);
    case SOFTSIGN: return v / (1 + fabs(v));
    case SQRT: return sqrt(v);
    case SWISH: return v * sigmoid(a * v);
    case TAN: return tan(v);
    case TANH: return tanh(v);
    case THRESHOLDED_RELU: return v <= a ? 0 : v;
    }
    return NAN;
}

// slope is the derivative at v, where the function is y.
__device__ inline double slope(int function, double a, double b, double v, double y) {
    switch (function) {
    case ABS: return v > 0 ? 1 : v < 0 ? -1 : v;
    case ACOS: return -1 / sqrt((1 - v) * (1 + v));
    case ACOSH: return 1 / sqrt((v - 1) * (v + 1));
    case ASIN: return 1 / sqrt((1 - v) * (1 + v));
    case ASINH: return 1 / hypot(v, 1.0);
    case ATAN: return 1 / (1 + v * v);
    case ATANH: return 1 / ((1 - v) * (1 + v));
    case CELU: return v > 0 ? 1 : exp(v / a);
    case CLIP: return v >= b || a > b || v <= a ? 0 : 1;
    case COS: return -sin(v);
    case COSH: return sinh(v);
    case ELU: return v > 0 ? b : y + b * a;
    case ERF: return 2 / sqrt(PI) * exp(-v * v);
    case EXP: return y;
    case GELU: return 0.5 * (1 + erf(v / sqrt(2.0))) + v * exp(-v * v / 2) / sqrt(2 * PI);
    case GELU_TANH: {
        double t = tanh(gelu_inner(v));
        return 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * sqrt(2 / PI) * (1 + 3 * 0.044715 * v * v);
    }
    case HARD_SIGMOID: {
        double h = a * v + b;
        return h <= 0 || h >= 1 ? 0 : a;
    }
    case HARD_SWISH: return v <= -3 ? 0 : v >= 3 ? 1 : (2 * v + 3) / 6;
    case LEAKY_RELU: return v <= 0 ? a : 1;
    case LOG: return 1 / v;
    case MISH: {
        double t = tanh(softplus(v));
        return t + v * (1 - t * t) * sigmoid(v);
    }
    case POW: return a == 0 ? 0 : a * pow(v, a - 1);
    case RECIPROCAL: return -y * y;
    case SHRINK: return v < -a || v > a ? 1 : 0;
    case SIGMOID: return y * (1 - y);
    case SIN: return cos(v);
    case SINH: return cosh(v);
    case SOFTPLUS: return sigmoid(v);
    case SOFTSIGN: return 1 / ((1 + fabs(v)) * (1 + fabs(v)));
    case SQRT: return 0.5 / y;
    case SWISH: {
        double s = sigmoid(a * v);
        return s + a * v * s * (1 - s);
    }
    case TAN: return 1 + y * y;
    case TANH: return 1 - y * y;
    case THRESHOLDED_RELU: return v <= a ? 0 : 1;
    }
    return 0; // CEIL, FLOOR, ROUND, SIGN
}

// y may be x.
KERNEL(function, Size n, int function, double a, double b, In<Real> x, Out<Real> y) {
    EACH(i, n) y[i] = value(function, a, b, x[i]);
}

// dx may be dy.
KERNEL(function_backward, Size n, int function, double a, double b, In<Real> x, In<Real> y, In<Real> dy, Out<Real> dx) {
    EACH(i, n) dx[i] = dy[i] * slope(function, a, b, x[i], y[i]);
}
