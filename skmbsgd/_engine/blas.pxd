"""BLAS for row-major blocks of either precision, bit for bit for any thread count.

OpenBLAS divides a product among its threads if the product is large enough. The sums,
and so the last bits, then depend on the number of threads. Each call made here stays
below the size at which it does so: 2 ** 18 multiplications (``interface/gemm.c`` of
OpenBLAS). Threads would not pay off at this size, and would compete with those of
joblib.
"""

from scipy.linalg.cython_blas cimport dgemm, sgemm

from skmbsgd._engine.signals cimport WORK_BETWEEN_SIGNALS, check_signals

ctypedef fused floating:
    float
    double


cdef enum:
    # The largest number of elements in a block of rows of X ...
    MAX_BLOCK_ELEMENTS = 8192
    # ... and of outputs in one product
    MAX_BLOCK_OUTPUTS = 32


cdef inline void gemm(
    char transpose_A, char transpose_B, int m, int n, int k,
    const floating* A, int lda, const floating* B, int ldb,
    floating beta, floating* C, int ldc,
) noexcept nogil:
    """C = op(A) op(B) + beta C for column-major matrices, C of shape (m, n)."""
    cdef floating alpha = 1
    if floating is double:
        dgemm(&transpose_A, &transpose_B, &m, &n, &k, &alpha, <double*>A, &lda,
              <double*>B, &ldb, &beta, C, &ldc)
    else:
        sgemm(&transpose_A, &transpose_B, &m, &n, &k, &alpha, <float*>A, &lda,
              <float*>B, &ldb, &beta, C, &ldc)


cdef inline int rows_times_weights(
    const floating* X, const floating* W, floating* Z,
    Py_ssize_t n_rows, Py_ssize_t n_features, Py_ssize_t n_outputs,
) except -1 nogil:
    """Z = X W^T for row-major X (n_rows, n_features) and W (n_outputs, n_features)."""
    cdef Py_ssize_t block = MAX_BLOCK_ELEMENTS // n_rows
    cdef Py_ssize_t first = 0, output, work = 0
    cdef int rows = <int>n_rows, lda = <int>n_features, width, outputs
    while first < n_features:
        width = <int>min(block, n_features - first)
        output = 0
        while output < n_outputs:
            outputs = <int>min(<Py_ssize_t>MAX_BLOCK_OUTPUTS, n_outputs - output)
            gemm(c"T", c"N", outputs, rows, width,
                 W + output * n_features + first, lda, X + first, lda,
                 <floating>(first > 0), Z + output, <int>n_outputs)
            output += outputs
        first += width
        work += n_rows * width * n_outputs
        if work > WORK_BETWEEN_SIGNALS:
            work = 0
            check_signals()
    return 0


cdef inline int add_outer_products(
    const floating* D, const floating* X, floating* G,
    Py_ssize_t n_rows, Py_ssize_t n_features, Py_ssize_t n_outputs,
) except -1 nogil:
    """G += D^T X for row-major D (n_rows, n_outputs) and X (n_rows, n_features)."""
    cdef Py_ssize_t block = MAX_BLOCK_ELEMENTS // n_rows
    cdef Py_ssize_t first = 0, output, work = 0
    cdef int rows = <int>n_rows, lda = <int>n_features, width, outputs
    while first < n_features:
        width = <int>min(block, n_features - first)
        output = 0
        while output < n_outputs:
            outputs = <int>min(<Py_ssize_t>MAX_BLOCK_OUTPUTS, n_outputs - output)
            gemm(c"N", c"T", width, outputs, rows, X + first, lda,
                 D + output, <int>n_outputs, <floating>1,
                 G + output * n_features + first, lda)
            output += outputs
        first += width
        work += n_rows * width * n_outputs
        if work > WORK_BETWEEN_SIGNALS:
            work = 0
            check_signals()
    return 0
