"""Declarations of the targets and the batches; see rows.pyx."""

cimport cython
from libc.stdint cimport uint32_t

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.row_order cimport RowOrder
from skmbsgd._engine.team cimport Member
from skmbsgd._engine.models cimport DenseModel, Model


cdef class Targets:
    cdef readonly Py_ssize_t n_outputs, n_samples
    cdef readonly object single

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil
    cdef void prefetch(self, uint32_t row) noexcept nogil


cdef class RealTargets(Targets):
    cdef const double[:, ::1] values


cdef class ClassTargets(Targets):
    cdef const Py_ssize_t[::1] labels


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
    # How many visits in advance the place of a row must be known
    cdef Py_ssize_t lookahead
    cdef double cost_of_row
    # What stands in all places of scale if rows have no weights; 0 if nothing yet
    cdef double share_in_scale

    # The block of rows at hand, at most max_rows of them
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
    cdef void divide_requests(self, Py_ssize_t rows_at_once) noexcept nogil
    cdef void let_first_product_send(self) noexcept nogil
    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil
    cdef void decisions(self) noexcept nogil
    cdef void accumulate(self) noexcept nogil


@cython.final
cdef class DenseRows(Rows):
    cdef readonly object X
    cdef DenseModel concrete
    cdef object gathered_array, converted_array
    cdef bint single_precision
    cdef Py_ssize_t n_features, bytes_of_row
    # Of a row to come somebody has sent for the bytes up to sent_before, the first
    # product sends for those up to first_share, and the second for the rest up to
    # bytes_ahead, whose last byte begins a cache line, unless rows end in one more or
    # one less.
    cdef Py_ssize_t sent_before, first_share, bytes_ahead
    cdef bint ends_vary
    cdef const char* first_row
    # The rows n_ahead visits after those of the block, and the rows `lookahead` visits
    # after: of these the first product sends for lines a page apart up to stop_beyond.
    cdef const uint32_t* rows_ahead
    cdef const uint32_t* rows_beyond
    cdef Py_ssize_t n_ahead, stop_beyond
    cdef char* gathered
    cdef const void* block
    cdef void* converted

    cdef const uint32_t* rows_from(self, Py_ssize_t place) noexcept nogil
    cdef void gather_rows(self) noexcept nogil
    cdef const char* address_of_row(self, uint32_t row) noexcept nogil
    cdef void multiply(self, const floating* w, const floating* b) noexcept nogil
    cdef void add_products(self, floating* g, floating* b_g) noexcept nogil
