"""Declarations of models of CSR input; see csr_model.pyx."""

from libc.math cimport fabs
from libc.stdint cimport uint32_t

from skmbsgd._engine.catch_up cimport Window
from skmbsgd._engine.models cimport Model
from skmbsgd._engine.penalties cimport soft_threshold, weight_at
from skmbsgd._engine.records cimport Records


cdef enum:
    # Weights that are brought up to date between two checks for signals
    WEIGHTS_OF_PART = 16384


cdef struct Sums:
    # Of the squares and absolute values of weights, and of the absolute values of all
    # other numbers
    double squares, absolutes, rest


cdef class CSRModel(Model):
    cdef Records records

    cdef object b_array
    cdef double* b
    cdef double* b_v
    cdef double* b_g
    cdef double* b_average

    cdef Window window
    cdef Py_ssize_t window_size
    cdef object rates_array
    cdef const double* rates
    # Of those that are foreseen: the batches of the epoch before them, their number,
    # and which of them is averaged first
    cdef Py_ssize_t first_batch, n_batches, first_averaged_batch
    # Whether they have one rate
    cdef bint rate_stays
    # Batches of the epoch so far
    cdef Py_ssize_t batch

    cdef void expect(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch)
    cdef bint has_rates(self, const double[:] learning_rates, Py_ssize_t n_batches)
    cdef void begin_window(self) noexcept nogil
    cdef int bring_all_up_to_date(self) except -1 nogil

    cdef void add_products(
        self, const double* data, const uint32_t* columns, Py_ssize_t n,
        const uint32_t* columns_ahead, Py_ssize_t n_ahead, double* z) noexcept nogil
    cdef int add_gradients(
        self, const double* data, const uint32_t* columns, Py_ssize_t n,
        const double* d) except -1 nogil
    cdef Sums catch_up_active(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil


cdef inline void add_to_sums(
    Sums* sums, const double* z, const double* v, double u, Py_ssize_t K
) noexcept nogil:
    cdef Py_ssize_t k
    cdef double w
    for k in range(K):
        w = weight_at(z[k], u)
        sums.squares += w * w
        sums.absolutes += fabs(w)
        sums.rest += fabs(v[k])


cdef inline void add_weights(
    double x, const double* positions, double u, double* z, Py_ssize_t K
) noexcept nogil:
    """z += x w for the weights w of a coordinate"""
    cdef Py_ssize_t k
    if u == 0.0:
        # Without L1 the loop is so simple that the compiler vectorises it.
        for k in range(K):
            z[k] += x * positions[k]
    else:
        for k in range(K):
            z[k] += x * soft_threshold(positions[k], u)
