"""Declarations of the row order, the targets and the batches; see batches.pyx."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.team cimport Member
from skmbsgd._engine.updates cimport DenseUpdate, Update


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


cdef class Batches:
    cdef readonly RowOrder order
    cdef readonly Targets targets
    cdef readonly Update update
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
cdef class DenseBatches(Batches):
    cdef readonly object X
    cdef DenseUpdate model
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
