// A stand-in for libcublas: column-major products, summed in float64 and rounded once.
#include "standin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

using namespace standin;

enum Status { SUCCESS = 0, NOT_INITIALIZED = 1, ALLOC_FAILED = 3, INVALID_VALUE = 7, EXECUTION_FAILED = 13 };

enum { R_32F = 0, R_64F = 1, COMPUTE_32F = 68, COMPUTE_64F = 70, COMPUTE_32F_FAST_TF32 = 77 };

struct Handle {
    void *stream = nullptr;
    uint64_t workspace = 0;
    int onDevice = 0; // where alpha and beta are
};

static int status(int result) { return result == 0 ? SUCCESS : EXECUTION_FAILED; }

API int cublasCreate_v2(void **handle) {
    if (fail()) return ALLOC_FAILED;
    *handle = new Handle;
    count(1);
    return SUCCESS;
}

API int cublasDestroy_v2(void *handle) {
    delete static_cast<Handle *>(handle);
    count(-1);
    return SUCCESS;
}

API int cublasGetVersion_v2(void *, int *version) {
    *version = 130000;
    return SUCCESS;
}

API int cublasSetStream_v2(void *handle, void *stream) {
    Handle *h = static_cast<Handle *>(handle);
    h->stream = stream;
    h->workspace = 0; // as the real one does
    return SUCCESS;
}

API int cublasSetWorkspace_v2(void *handle, uint64_t workspace, size_t bytes) {
    if (!check(workspace, bytes) || workspace % 256) return INVALID_VALUE;
    static_cast<Handle *>(handle)->workspace = workspace;
    return SUCCESS;
}

API int cublasSetPointerMode_v2(void *handle, int mode) {
    static_cast<Handle *>(handle)->onDevice = mode;
    return SUCCESS;
}

API const char *cublasGetStatusName(int s) {
    switch (s) {
    case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    }
    return "unknown";
}

API const char *cublasGetStatusString(int s) {
    return s == ALLOC_FAILED ? "the resource allocation failed" : "an unsupported value or parameter was passed";
}

// tf32 keeps 10 bits of a mantissa.
static double tf32(float v) {
    uint32_t bits;
    memcpy(&bits, &v, 4);
    if ((bits >> 23 & 0xff) != 0xff) bits += 0x0fff + (bits >> 13 & 1);
    bits &= ~0x1fffu;
    memcpy(&v, &bits, 4);
    return v;
}

template <bool coarse, typename T> static double read(T v) {
    if constexpr (coarse) return tf32(v);
    return v;
}

// Matrix is a factor or the result: rows×cols in columns ld apart, stride from one of a
// batch to the next.
struct Matrix {
    uint64_t address;
    int64_t rows, cols, ld;
    long long stride;

    bool valid() const { return rows >= 0 && cols >= 0 && ld >= (rows > 1 ? rows : 1); }
    template <typename T> T *at(int64_t i) const {
        if (rows == 0 || cols == 0) return nullptr;
        uint64_t from = address + i * stride * (int64_t)sizeof(T);
        void *p = from % sizeof(T) ? nullptr : check(from, ((cols - 1) * ld + rows) * sizeof(T));
        if (!p) {
            char text[160];
            snprintf(text, sizeof text, "cublasGemm: a matrix of %lld×%lld at %#llx is not in device memory",
                     (long long)rows, (long long)cols, (unsigned long long)from);
            throw Fault{text};
        }
        return static_cast<T *>(p);
    }
};

// multiply sums in the order of k, a column of the result at a time, and reads a by columns.
template <bool coarse, typename T>
static void multiply(bool ta, bool tb, int64_t k, double alpha, const T *a, int64_t lda, const T *b, int64_t ldb,
                     double beta, T *c, const Matrix &of) {
    if (alpha == 0) k = 0;
    std::vector<double> column(k), sums(of.rows);
    for (int64_t j = 0; j < of.cols; j++) {
        for (int64_t l = 0; l < k; l++) column[l] = read<coarse>(b[tb ? j + l * ldb : l + j * ldb]);
        sums.assign(of.rows, 0);
        if (ta)
            for (int64_t i = 0; i < of.rows; i++)
                for (int64_t l = 0; l < k; l++) sums[i] += read<coarse>(a[l + i * lda]) * column[l];
        else
            for (int64_t l = 0; l < k; l++)
                for (int64_t i = 0; i < of.rows; i++) sums[i] += read<coarse>(a[i + l * lda]) * column[l];
        for (int64_t i = 0; i < of.rows; i++) {
            T &to = c[i + j * of.ld];
            to = (T)(beta == 0 ? alpha * sums[i] : alpha * sums[i] + beta * to);
        }
    }
}

template <typename T>
static int gemm(Handle *h, bool ta, bool tb, int64_t k, const void *alpha, Matrix a, Matrix b, const void *beta,
                Matrix c, int64_t batch, bool coarse) {
    bool onDevice = h->onDevice;
    uint64_t alphaAt = (uint64_t)alpha, betaAt = (uint64_t)beta;
    T alphaNow = 0, betaNow = 0;
    if (onDevice) {
        if (!check(alphaAt, sizeof(T)) || !check(betaAt, sizeof(T))) return INVALID_VALUE;
    } else {
        memcpy(&alphaNow, alpha, sizeof(T));
        memcpy(&betaNow, beta, sizeof(T));
    }
    return status(enqueue(h->stream, [=] {
        T scale = alphaNow, keep = betaNow;
        if (onDevice) {
            const T *pa = static_cast<T *>(check(alphaAt, sizeof(T))), *pb = static_cast<T *>(check(betaAt, sizeof(T)));
            if (!pa || !pb) throw Fault{"cublasGemm: alpha and beta were freed"};
            scale = *pa;
            keep = *pb;
        }
        auto *product = coarse ? multiply<true, T> : multiply<false, T>;
        for (int64_t i = 0; i < batch; i++)
            product(ta, tb, k, scale, a.at<T>(i), a.ld, b.at<T>(i), b.ld, keep, c.at<T>(i), c);
    }));
}

API int cublasGemmStridedBatchedEx_64(void *handle, int ta, int tb, int64_t m, int64_t n, int64_t k, const void *alpha,
                                      uint64_t a, int aType, int64_t lda, long long strideA, uint64_t b, int bType,
                                      int64_t ldb, long long strideB, const void *beta, uint64_t c, int cType,
                                      int64_t ldc, long long strideC, int64_t batch, int compute, int algo) {
    Handle *h = static_cast<Handle *>(handle);
    Matrix A{a, ta ? k : m, ta ? m : k, lda, strideA}, B{b, tb ? n : k, tb ? k : n, ldb, strideB};
    Matrix C{c, m, n, ldc, strideC};
    if (!h->workspace) return EXECUTION_FAILED; // stricter than the real one
    bool valid = !((ta | tb) & ~1) && k >= 0 && batch >= 0 && algo == -1 && aType == bType && bType == cType;
    if (!valid || !A.valid() || !B.valid() || !C.valid()) return INVALID_VALUE;
    bool coarse = compute == COMPUTE_32F_FAST_TF32;
    if (aType == R_32F && (compute == COMPUTE_32F || coarse))
        return gemm<float>(h, ta, tb, k, alpha, A, B, beta, C, batch, coarse);
    if (aType == R_64F && compute == COMPUTE_64F)
        return gemm<double>(h, ta, tb, k, alpha, A, B, beta, C, batch, false);
    return INVALID_VALUE;
}

API int cublasGemmEx_64(void *handle, int ta, int tb, int64_t m, int64_t n, int64_t k, const void *alpha, uint64_t a,
                        int aType, int64_t lda, uint64_t b, int bType, int64_t ldb, const void *beta, uint64_t c,
                        int cType, int64_t ldc, int compute, int algo) {
    return cublasGemmStridedBatchedEx_64(handle, ta, tb, m, n, k, alpha, a, aType, lda, 0, b, bType, ldb, 0, beta, c,
                                         cType, ldc, 0, 1, compute, algo);
}
