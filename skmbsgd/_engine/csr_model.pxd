"""Declarations of models in records; see csr_model.pyx."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.catch_up cimport AnyUpdates, Window
from skmbsgd._engine.models cimport Model

ctypedef fused index:
    int32_t
    int64_t


cdef struct Coordinate:
    # Where it has its numbers
    double* clock
    double* z
    double* v
    double* g


cdef struct Sums:
    # Of the squares and absolute values of weights, and of the absolute values of all
    # other numbers
    double squares, absolutes, rest


@cython.final
cdef class CSRModel(Model):
    # The records of the coordinates, and their size in numbers of float64
    cdef object records_array
    cdef double* records
    cdef Py_ssize_t stride
    # The numbers of the first coordinate, in its record or elsewhere, and the distances
    # to those of the next one
    cdef bint is_in_place
    cdef double* z
    cdef double* v
    cdef double* g
    cdef double* sums
    cdef Py_ssize_t z_stride, v_stride, g_stride
    cdef object gradients_array, shared_array

    # With gradients for the batch alone: its coordinates, and in the same order their
    # gradients
    cdef bint has_batch_gradients
    cdef object touched_array, batch_gradients_array
    cdef int64_t* touched
    cdef double* batch_gradients
    cdef Py_ssize_t n_touched, max_touched

    cdef object active_array
    cdef int64_t* active
    cdef Py_ssize_t n_active
    cdef bint active_sorted

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

    cdef double* first_of(self, Py_ssize_t part) noexcept
    cdef void expect(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch)
    cdef bint has_rates(self, const double[:] learning_rates, Py_ssize_t n_batches)
    cdef void begin_window(self) noexcept nogil
    cdef void add_products(
        self, const floating* data, const index* columns, Py_ssize_t n,
        const index* columns_ahead, Py_ssize_t n_ahead, double* z) noexcept nogil
    cdef int add_gradients(
        self, const floating* data, const index* columns, Py_ssize_t n,
        const double* d) except -1 nogil
    cdef void catch_up_and_add(
        self, AnyUpdates updates, const floating* data, const index* columns,
        Py_ssize_t n, const index* columns_ahead, Py_ssize_t n_ahead, double* z,
    ) noexcept nogil
    cdef void activate(self, double* clock, int64_t column) noexcept nogil
    cdef int bring_all_up_to_date(self) except -1 nogil
    cdef void catch_up_active(
        self, AnyUpdates updates, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void add_sums(self, Sums sums) noexcept nogil

    cdef Coordinate coordinate_at(self, int64_t column) noexcept nogil
    cdef void prefetch_at(self, int64_t column) noexcept nogil
    cdef void catch_up(self, Coordinate coordinate) noexcept nogil
    cdef void add_products_in_place(
        self, const floating* data, const index* columns, Py_ssize_t n,
        const index* columns_ahead, Py_ssize_t n_ahead, double* z) noexcept nogil
    cdef void catch_up_in_place(
        self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef Py_ssize_t coordinates_ahead(self) noexcept nogil

    cdef int make_room_for(self, Py_ssize_t n) except -1
    cdef double* gradient_of(self, int64_t column) noexcept nogil
    cdef int move_touched(self) except -1 nogil


cdef Py_ssize_t record_stride(Py_ssize_t n_numbers) noexcept
cdef object rows_of_records(
    array, const double* records, Py_ssize_t n, Py_ssize_t stride)
