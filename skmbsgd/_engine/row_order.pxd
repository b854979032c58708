"""Declarations of the orders of rows; see row_order.pyx."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t


cdef class RowOrder:
    cdef readonly object given_rows, given_values
    cdef uint32_t* unshuffled_rows
    cdef double* unshuffled_values
    # The present order: the given one, or one that is decided up to n_decided
    cdef uint32_t* rows
    cdef double* values
    cdef readonly Py_ssize_t n_rows
    # Whether the row numbers are consecutive
    cdef readonly bint consecutive
    cdef Py_ssize_t n_decided

    cdef object rows_array, values_array, ends_array
    cdef Py_ssize_t* ends
    # Each bucket has bucket_room places. The present one begins room_before places
    # after the positions that its rows will have in the order.
    cdef readonly Py_ssize_t bucket_room
    cdef Py_ssize_t n_buckets, bucket, room_before
    # Distributions so far, including those that had to be repeated
    cdef readonly Py_ssize_t n_distributions
    cdef uint64_t random_state

    cdef double cost_of_position(self) noexcept nogil
    cdef void empty_buckets(self) noexcept nogil
    cdef Py_ssize_t least_room(self) noexcept nogil
    cdef Py_ssize_t distribute(self, Py_ssize_t first) noexcept nogil
    cdef void put_into_buckets(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void decide(self, Py_ssize_t stop) noexcept nogil
    cdef void shuffle_part(self, Py_ssize_t stop, Py_ssize_t end) noexcept nogil
    cdef void prefetch_next_bucket(
        self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void prefetch_next_positions(self, Py_ssize_t first) noexcept nogil


@cython.final
cdef class BlockOrder(RowOrder):
    cdef object blocks_array
    cdef uint32_t* blocks
    cdef readonly Py_ssize_t block_rows, n_blocks

    cdef Py_ssize_t place_blocks(
        self, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t n_placed) noexcept nogil
