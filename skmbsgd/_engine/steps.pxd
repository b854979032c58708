"""The updates of the weights of a dense model; see steps.h."""

ctypedef void (*Step)(
    void* w, double* z, void* v, void* g, Py_ssize_t n,
    double eta, double mu, double lam2, double u) noexcept nogil
ctypedef void (*StandardizedStep)(
    void* w, double* z, void* v, void* g, Py_ssize_t n,
    double eta, double mu, double lam2, double u,
    const double* mean, const double* precision, double b_g) noexcept nogil
ctypedef double (*Dot)(const void* w, const double* x, Py_ssize_t n) noexcept nogil


cdef Step step_for(Py_ssize_t rule, Py_ssize_t map, bint single_precision)
cdef StandardizedStep standardized_step_for(
    Py_ssize_t rule, Py_ssize_t map, bint single_precision)
cdef Dot dot_for(bint single_precision)
