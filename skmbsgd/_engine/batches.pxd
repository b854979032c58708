"""Declarations of the row order, the targets and the batches; see batches.pyx."""

from libc.stdint cimport uint32_t
from numpy.random cimport bitgen_t

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.updates cimport DenseUpdate, Update


cdef class RowOrder:
    cdef readonly object rows_array
    cdef object bit_generator
    cdef bitgen_t* random_bits
    cdef uint32_t* rows
    cdef readonly Py_ssize_t n_rows
    cdef readonly bint consecutive
    cdef Py_ssize_t n_settled

    cdef void settle(self, Py_ssize_t stop) noexcept nogil
    cdef uint32_t random_below(self, uint32_t bound) noexcept nogil


cdef class Targets:
    cdef readonly Py_ssize_t n_outputs, n_samples

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil
    cdef void prefetch(self, uint32_t row) noexcept nogil


cdef class RealTargets(Targets):
    cdef const double[:, ::1] values


cdef class ClassTargets(Targets):
    cdef const Py_ssize_t[::1] labels


cdef class Batches:
    cdef readonly RowOrder order
    cdef readonly Targets targets
    cdef readonly Update update
    cdef const double[::1] sample_weight
    cdef bint weighted
    cdef object block_array
    cdef Py_ssize_t max_rows
    cdef double cost_of_row

    # The block of rows at hand, at most max_rows of them
    cdef Py_ssize_t n_rows
    cdef const uint32_t* rows
    cdef double* y
    cdef double* z
    cdef double* d
    cdef double* scale

    cdef void allocate(self, Py_ssize_t max_rows)
    cdef Py_ssize_t load(
        self, Py_ssize_t first, Py_ssize_t stop, double batch_share
    ) noexcept nogil
    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil
    cdef void decisions(self) noexcept nogil
    cdef void accumulate(self) noexcept nogil


cdef class DenseBatches(Batches):
    cdef readonly object X
    cdef DenseUpdate model
    cdef object addresses, gathered_array, converted_array
    cdef bint single_precision
    cdef Py_ssize_t n_features, lookahead, columns_ahead
    cdef size_t bytes_of_row
    cdef const char* first_row
    cdef const void** rows_here
    cdef const void** rows_ahead
    cdef char* gathered
    cdef const void* block
    cdef void* converted

    cdef const void* row(self, Py_ssize_t i) noexcept nogil
    cdef void multiply(self, const floating* w, floating* z) noexcept nogil
    cdef void add_products(self, const floating* d, floating* g) noexcept nogil
