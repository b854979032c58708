"""Declarations of models in records; see csr_model.pyx."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.catch_up cimport (
    AnyUpdates, DifferingUpdates, EqualUpdates, SignedUpdates,
)
from skmbsgd._engine.models cimport Model

ctypedef fused index:
    int32_t
    int64_t


@cython.final
cdef class CSRModel(Model):
    # The records of the coordinates, and their layout in numbers of float64
    cdef object records_array
    cdef double* records
    cdef Py_ssize_t stride

    cdef object active_array
    cdef int64_t* active
    cdef Py_ssize_t n_active
    cdef bint active_sorted

    cdef object b_array
    cdef double* b
    cdef double* b_v
    cdef double* b_g
    cdef double* b_average

    # How records catch up in the window at hand: by one of the three
    cdef EqualUpdates equal
    cdef DifferingUpdates differing
    cdef SignedUpdates signed
    cdef bint are_equal
    cdef Py_ssize_t window_size, size_of_tables
    cdef object rates_array
    cdef const double* rates
    cdef Py_ssize_t n_batches, batch, window_start, first_averaged_batch

    cdef void make_tables(self, Py_ssize_t size)
    cdef void begin_window(self) noexcept nogil
    cdef void add_products(
        self, const floating* data, const index* columns, Py_ssize_t n,
        const index* columns_ahead, Py_ssize_t n_ahead, double* z) noexcept nogil
    cdef void catch_up_and_add(
        self, AnyUpdates updates, const floating* data, const index* columns,
        Py_ssize_t n, const index* columns_ahead, Py_ssize_t n_ahead, double* z,
    ) noexcept nogil
    cdef void activate(self, double* record, int64_t column) noexcept nogil
    cdef void prefetch_record(self, int64_t column) noexcept nogil
    cdef int bring_all_up_to_date(self) except -1 nogil
    cdef void catch_up_active(
        self, AnyUpdates updates, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void sum_up(self, const double* record, Py_ssize_t K) noexcept nogil
