"""Declarations of the weights of a stream; see csr_stream.pyx."""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from skmbsgd._engine.catch_up cimport Window
from skmbsgd._engine.penalties cimport Penalty
from skmbsgd._engine.records cimport Records
from skmbsgd._engine.rules cimport Rule


cdef enum:
    # The place of the mark in a record
    MARK = 1
    # Records are requested this many coordinates ahead.
    COLUMNS_AHEAD = 32


cdef struct Squares:
    # Sums of z^2, z v and v^2
    double zz, zv, vv


@cython.final
cdef class Loan:
    cdef object weights, __weakref__


@cython.final
cdef class CSRStream:
    cdef readonly Rule rule
    cdef readonly Penalty penalty
    cdef readonly Py_ssize_t n_outputs, n_features, n_averaged
    cdef readonly object dtype, intercept
    cdef readonly bint averaged, has_velocity
    # Whether readers get the weights themselves, not a copy
    cdef readonly bint lends_weights
    # A weak reference to what has been read since the last chunk: a copy or a Loan
    cdef readonly object lent
    # The copy, which users may change until a chunk begins; the one before it
    cdef readonly object shown
    cdef object previous
    # Whether the weights have been lent since the last chunk, and the sum of their
    # squares then
    cdef readonly bint has_been_read
    cdef double lent_squares
    cdef bint has_begun_to_average

    cdef Records records
    # The numbers of the first coordinate, in its record or in an array apart, and the
    # distance to those of the next one
    cdef object weights_array
    cdef double* first
    cdef Py_ssize_t stride
    # A coordinate up to date
    cdef object numbers_array
    cdef double* numbers
    cdef uint32_t n_numberings

    cdef Window window
    # The rates of its updates; u and r when it began, and now
    cdef object rates_array
    cdef double* rates
    cdef double[2] first_threshold, threshold
    # For weights in an array apart: the chunks of the window so far, and the factors by
    # which each of them, and the one in progress, shrinks a weight
    cdef Py_ssize_t n_chunks
    cdef object factors_array
    cdef double* factors
    # The sums over all coordinates; the largest zz + vv since they were last computed
    cdef Squares squares
    cdef double largest_squares

    cdef uint32_t begin_numbering(self)
    cdef Squares sums_of(self, const double[:, :, ::1] parts) noexcept nogil
    cdef l1_penalty_of_rest(self, const int64_t[::1] columns, rates)
    cdef fill(self, coef)
    cdef void find_weights(self, Py_ssize_t column) noexcept nogil
    cdef void bring_up_to_date(self, Py_ssize_t column) noexcept nogil
    cdef Squares bring_all_up_to_date(self, double clock) noexcept nogil
    cdef void append(self, double rate) noexcept nogil
    cdef show_copy(self)
    cdef lend(self)
    cdef bint has_lent_weights(self) noexcept nogil
    cdef bint is_edited_at(self, Py_ssize_t column) noexcept nogil
    cdef void activate_edited(self) noexcept nogil
    cdef void prefetch_at(self, Py_ssize_t column) noexcept nogil
    cdef double now(self) noexcept nogil
    cdef void write(
        self, const int64_t[::1] columns, const double[:, :, ::1] parts
    ) noexcept nogil
    cdef void begin_window(self) noexcept nogil
    cdef void begin_anew(self) noexcept nogil
    cdef void sum_anew_if_little_is_left(self) noexcept nogil
    cdef Squares squares_but(self, Squares before) noexcept nogil
    cdef Squares squares_at(self, const int64_t[::1] columns) noexcept nogil
    cdef void move_squares(self, Squares* sums, double rate) noexcept nogil
