"""Declarations of the orders of rows; see row_order.pyx."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t


cdef class RowOrder:
    cdef readonly object given_rows, given_values
    cdef uint32_t* unshuffled_rows
    cdef double* unshuffled_values
    # The order at hand: the given one, or shuffled up to n_settled
    cdef uint32_t* rows
    cdef double* values
    cdef readonly Py_ssize_t n_rows
    # Whether each row is the next one of X, and whether rows are shuffled one by one
    cdef readonly bint consecutive
    cdef bint scattered
    cdef Py_ssize_t n_settled

    cdef object rows_array, values_array, ends_array
    cdef Py_ssize_t* ends
    # Each pile has pile_room places, and the one at hand begins room_before places
    # after those that its rows will have in the order.
    cdef readonly Py_ssize_t pile_room
    cdef Py_ssize_t n_piles, pile, room_before
    # Shuffles so far, and those that had to be begun anew
    cdef readonly Py_ssize_t n_deals
    cdef uint64_t random_state
    # Where X begins, the length of its rows, and how much of each the shuffle sends for
    cdef const char* first_row
    cdef Py_ssize_t bytes_of_row, bytes_sent

    cdef double cost_of_turn(self) noexcept nogil
    cdef Py_ssize_t let_shuffle_send(
        self, const char* first_row, Py_ssize_t bytes_of_row, Py_ssize_t n_bytes
    ) noexcept nogil
    cdef void empty_piles(self) noexcept nogil
    cdef Py_ssize_t least_room(self) noexcept nogil
    cdef Py_ssize_t deal(self, Py_ssize_t first) noexcept nogil
    cdef void put_on_piles(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void settle(self, Py_ssize_t stop) noexcept nogil
    cdef void shuffle_part(self, Py_ssize_t stop, Py_ssize_t end) noexcept nogil
    cdef void send_for_next_pile(
        self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void send_for_next_places(self, Py_ssize_t first) noexcept nogil


@cython.final
cdef class BlockOrder(RowOrder):
    cdef object blocks_array
    cdef uint32_t* blocks
    cdef readonly Py_ssize_t block_rows, n_blocks

    cdef Py_ssize_t place_blocks(
        self, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t n_placed) noexcept nogil
