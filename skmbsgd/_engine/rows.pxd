"""Declarations of the rows; see rows.pyx."""

from libc.stdint cimport uint32_t

from skmbsgd._engine.models cimport Model
from skmbsgd._engine.prefetch cimport RowPrefetch
from skmbsgd._engine.row_order cimport RowOrder
from skmbsgd._engine.targets cimport Targets
from skmbsgd._engine.team cimport Member


cpdef double cost_of_dense_row(
    Py_ssize_t n_features, Py_ssize_t itemsize, Py_ssize_t n_outputs)


cdef class Rows:
    cdef readonly RowOrder order
    cdef readonly Targets targets
    cdef readonly Model model
    cdef readonly Member member
    cdef const double[::1] sample_weight
    cdef bint weighted
    cdef object block_array
    cdef Py_ssize_t max_rows
    # Number of positions after a block for which the order must be decided
    cdef Py_ssize_t lookahead
    cdef double cost_of_row
    # The common value of scale if rows have no weights; 0 before it is set
    cdef double share_in_scale

    # The present block of at most max_rows rows
    cdef Py_ssize_t n_rows
    cdef const uint32_t* rows
    cdef double* y
    cdef double* z
    cdef double* losses
    cdef double* d
    cdef double* scale

    cdef void allocate(self, Py_ssize_t max_rows)
    cdef Py_ssize_t load(
        self, Py_ssize_t first, Py_ssize_t stop, double batch_share
    ) noexcept nogil
    cdef void load_scale(self, double batch_share) noexcept nogil
    cdef int begin_epoch(self, Py_ssize_t share_rows) except -1
    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil
    cdef int decisions(self) except -1 nogil
    cdef int accumulate(self) except -1 nogil
    cdef void complete_gradients(self) noexcept nogil


cdef class DenseRows(Rows):
    cdef readonly object X
    cdef const char* first_row
    cdef Py_ssize_t n_features, bytes_of_row
    cdef RowPrefetch row_prefetch

    # Weights and intercepts of the model, and their gradients, in the precision of X
    cdef const void* w
    cdef const void* b
    cdef void* g
    cdef void* b_g
    # Sums of float64 for all gradients, once a part of a batch has max_part_rows
    cdef object sums_array
    cdef double* sums
    cdef Py_ssize_t n_gradients, max_part_rows, n_part_rows, n_parts

    cdef const uint32_t* rows_ahead(
        self, Py_ssize_t first, Py_ssize_t n_positions) noexcept nogil
    cdef const char* address_of_row(self, uint32_t row) noexcept nogil
    cdef int add_products(self) except -1 nogil
    cdef void end_part(self) noexcept nogil
