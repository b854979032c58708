"""The order in which an epoch visits the rows of X: given, shuffled, or in blocks."""

import numpy as np

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport sqrt
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from skmbsgd._engine.prefetch cimport prefetch, prefetch_lines, prefetch_to_write


cdef enum:
    # Rows of a pile: few enough to stay in the second-level cache while they are
    # shuffled, and so many that the ends of all piles stay in the first-level cache
    # while rows are dealt. At most as many piles as a byte can tell apart
    ROWS_OF_PILE = 8192
    MAX_PILES = 256
    # A block of neighbours, long enough for the memory to deliver it at speed; a pile
    # of blocks, which stays in the second-level cache; and what the number and the
    # target of a row take in it
    BYTES_OF_NEIGHBOURS = 16384
    PILE_BYTES = 524288
    BYTES_OF_PLACE = 12
    # Rows that are shuffled at once
    SHUFFLE_BLOCK = 128
    # What it takes to decide the turn of a row, in the unit of the cost of a row
    COST_OF_TURN = 8
    # Rows dealt, and blocks placed, between two looks at the signals
    ROWS_BETWEEN_SIGNALS = 1048576
    BLOCKS_BETWEEN_SIGNALS = 65536


cdef void* address_of(array, dtype) except NULL:
    """Where the data of an array of this type begin."""
    usable = array.flags.c_contiguous and array.flags.aligned and len(array) > 0
    if array.dtype != dtype or not usable:
        raise ValueError(
            f"The engine needs an aligned, contiguous array of type {dtype}."
        )
    return <void*><size_t>array.ctypes.data


cdef bint is_consecutive(const uint32_t[::1] rows):
    cdef Py_ssize_t i
    for i in range(1, rows.shape[0]):
        if rows[i] != rows[i - 1] + 1:
            return False
    return True


cdef class RowOrder:
    """The order in which an epoch visits rows of X, and a number that goes with each.

    The numbers, the targets of a single output, stand in the order of the visits: to
    look them up where they came from would take a cache miss each, as would the swaps
    of a plain Fisher-Yates shuffle. So the rows are dealt at random into piles that fit
    into the cache, and each pile is shuffled when its turn comes (C. R. Rao, Sankhya A
    23, 1961; M. Sandelius, J. R. Stat. Soc. B 24, 1962): all orders are equally likely.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), uint32
        The rows of X to visit, in this order before the first shuffle. Never written.
    values : ndarray of shape (n_rows,), float64, or None
        A number for each of the rows, in the same order. Never written.
    """

    def __init__(self, rows, values=None):
        self.given_rows, self.given_values = rows, values
        self.n_rows = len(rows)
        self.unshuffled_rows = <uint32_t*>address_of(rows, np.uint32)
        self.unshuffled_values = NULL
        if values is not None:
            self.unshuffled_values = <double*>address_of(values, np.float64)
        self.rows, self.values = self.unshuffled_rows, self.unshuffled_values
        self.consecutive = is_consecutive(rows)
        self.n_settled = self.n_rows
        self.n_piles = 1
        while self.n_piles < MAX_PILES and self.n_piles * ROWS_OF_PILE < self.n_rows:
            self.n_piles *= 2
        self.pile_room = room_of_pile(self.n_rows / <double>self.n_piles)

    def shuffle(self, uint64_t seed):
        """Put the given rows into a random order, with a look at the signals.

        The piles are shuffled later, by `settle`.
        """
        self.random_state = seed
        self.bytes_sent = 0
        if self.rows_array is None:
            self.make_room()
        self.pile, self.room_before, self.n_settled = 0, 0, 0
        self.make_piles()

    cdef double cost_of_turn(self) noexcept nogil:
        """The work of deciding the turn of a row: none in the given order.

        All threads of a team get the same answer at any time of an epoch.
        """
        return 0.0 if self.rows == self.unshuffled_rows else COST_OF_TURN

    cdef Py_ssize_t let_shuffle_send(
        self, const char* first_row, Py_ssize_t bytes_of_row, Py_ssize_t n_bytes
    ) noexcept nogil:
        """Have the shuffle ask for so many bytes of a row when it knows its turn.

        Return how many it will: none if all turns are known already. The rest of a row
        is sent for later, and need not wait for the translation of its address then.
        """
        self.first_row, self.bytes_of_row = first_row, bytes_of_row
        self.bytes_sent = n_bytes if self.n_settled < self.n_rows else 0
        return self.bytes_sent

    def make_piles(self):
        """Deal the rows into piles, and all of them anew if one has no room left.

        That depends on the sizes of the piles alone, so that all orders remain equally
        likely. To count their rows first, and give each pile just the room it needs,
        takes longer.
        """
        cdef Py_ssize_t n_dealt = 0
        while n_dealt < self.n_rows:
            self.n_deals += 1
            n_dealt = 0
            self.empty_piles()
            while n_dealt < self.n_rows and self.least_room() > 0:
                with nogil:
                    n_dealt = self.deal(n_dealt)
                PyErr_CheckSignals()

    def make_room(self):
        """Make arrays for the shuffled order, the same for all epochs."""
        self.consecutive, self.scattered = False, True
        n_places = self.n_piles * self.pile_room
        self.rows_array = np.empty(n_places, dtype=np.uint32)
        self.rows = <uint32_t*>address_of(self.rows_array, np.uint32)
        if self.given_values is not None:
            self.values_array = np.empty(n_places)
            self.values = <double*>address_of(self.values_array, np.float64)
        self.ends_array = np.empty(self.n_piles, dtype=np.intp)
        self.ends = <Py_ssize_t*>address_of(self.ends_array, np.intp)

    cdef void empty_piles(self) noexcept nogil:
        cdef Py_ssize_t pile
        for pile in range(self.n_piles):
            self.ends[pile] = pile * self.pile_room

    cdef Py_ssize_t least_room(self) noexcept nogil:
        """The number of rows for which there is room whatever piles they go on."""
        cdef Py_ssize_t pile, room = self.pile_room
        for pile in range(self.n_piles):
            room = min(room, (pile + 1) * self.pile_room - self.ends[pile])
        return room

    cdef Py_ssize_t deal(self, Py_ssize_t first) noexcept nogil:
        """Deal rows from first on; return the first one that is left.

        It is left because there is no room for it, or to look at the signals.
        """
        cdef Py_ssize_t stop, room = self.least_room()
        cdef Py_ssize_t last = min(first + ROWS_BETWEEN_SIGNALS, self.n_rows)
        while first < last and room > 0:
            stop = min(first + room, last)
            self.put_on_piles(first, stop)
            first = stop
            room = self.least_room()
        return first

    cdef void put_on_piles(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        """Draw a pile for each row, and copy row and value to the pile's end."""
        cdef Py_ssize_t i, k, pile, place
        cdef uint64_t bits, random_state = self.random_state
        # Names of their own, or the compiler would assume that they change.
        cdef Py_ssize_t* ends = self.ends
        cdef Py_ssize_t n_piles = self.n_piles
        cdef const uint32_t* unshuffled_rows = self.unshuffled_rows
        cdef const double* unshuffled_values = self.unshuffled_values
        cdef uint32_t* rows = self.rows
        cdef double* values = self.values
        for i in range(first, stop, 8):
            bits = next_uint64(&random_state)
            for k in range(min(<Py_ssize_t>8, stop - i)):
                pile = next_pile(&bits, n_piles)
                place = ends[pile]
                ends[pile] = place + 1
                rows[place] = unshuffled_rows[i + k]
                # A store that has to wait for its cache line holds up all after it. To
                # ask for the next line with some of the rows of this one is enough.
                if k % 4 == 0:
                    prefetch_to_write(rows + place + 16)
                if values != NULL:
                    values[place] = unshuffled_values[i + k]
                    if k % 2 == 0:
                        prefetch_to_write(values + place + 8)
        self.random_state = random_state

    cdef void settle(self, Py_ssize_t stop) noexcept nogil:
        """Decide the order of the rows before stop, and perhaps of some more."""
        cdef Py_ssize_t end
        stop = min(stop, self.n_rows)
        while self.n_settled < stop:
            end = self.ends[self.pile] - self.room_before
            if self.n_settled == end:
                self.pile += 1
                self.room_before = self.pile * self.pile_room - self.n_settled
            else:
                self.shuffle_part(min(self.n_settled + SHUFFLE_BLOCK, end), end)

    cdef void shuffle_part(self, Py_ssize_t stop, Py_ssize_t end) noexcept nogil:
        """Fill the places up to stop with rows of the pile, which goes up to end.

        Fisher-Yates: R. Durstenfeld, CACM 7(7), 1964. Sends for the rows of X that come
        there.
        """
        cdef Py_ssize_t place, partner, first = self.n_settled
        cdef uint64_t random_state = self.random_state, draws = 0
        cdef uint32_t row
        cdef double value
        # Names of their own, or the compiler would assume that they change.
        cdef uint32_t* rows = self.rows
        cdef double* values = self.values
        cdef uint32_t* rows_of_pile = rows + self.room_before
        cdef double* values_of_pile = NULL
        cdef const char* first_row = self.first_row
        cdef Py_ssize_t bytes_of_row = self.bytes_of_row
        cdef Py_ssize_t bytes_sent = self.bytes_sent
        if values != NULL:
            values_of_pile = values + self.room_before
        self.send_for_next_pile(first, stop)
        self.send_for_next_places(stop)
        for place in range(first, stop):
            # A draw is good for two rows.
            draws = draws >> 32 if (place - first) & 1 else next_uint64(&random_state)
            partner = place + random_below(
                <uint32_t>(end - place), <uint32_t>draws, &random_state)
            row = rows_of_pile[partner]
            rows_of_pile[partner] = rows_of_pile[place]
            rows[place] = row
            if bytes_sent > 0:
                prefetch_lines(first_row + row * bytes_of_row, bytes_sent)
            if values != NULL:
                value = values_of_pile[partner]
                values_of_pile[partner] = values_of_pile[place]
                values[place] = value
        self.random_state = random_state
        self.n_settled = stop

    cdef inline void send_for_next_pile(
        self, Py_ssize_t first, Py_ssize_t stop
    ) noexcept nogil:
        """Send for the part of the next pile that corresponds to this one's.

        The swaps go all over a pile, so that all of it must be at hand by then.
        """
        cdef Py_ssize_t place, distance = self.room_before + self.pile_room
        cdef Py_ssize_t n_places = self.n_piles * self.pile_room
        for place in range(first + distance, min(stop + distance, n_places), 16):
            prefetch(self.rows + place)
            if self.values != NULL:
                prefetch(self.values + place)
                prefetch(self.values + place + 8)

    cdef inline void send_for_next_places(self, Py_ssize_t first) noexcept nogil:
        """Send for the places that the next part of the order goes to.

        They belonged to an earlier pile, and no cache may have them any more, unless
        they are those of the pile at hand.
        """
        cdef Py_ssize_t place
        if self.room_before == 0:
            return
        for place in range(first, min(first + SHUFFLE_BLOCK, self.n_rows), 16):
            prefetch_to_write(self.rows + place)
            if self.values != NULL:
                prefetch_to_write(self.values + place)
                prefetch_to_write(self.values + place + 8)


@cython.final
cdef class BlockOrder(RowOrder):
    """An order in which neighbours stay near each other.

    Blocks of neighbours come in random order, and a pile is made of as many blocks as
    fit into the cache; so the memory is read in larger portions. Not all orders are
    equally likely unless the rows make up one pile. The idea is that of CorgiPile
    (L. Xu et al., SIGMOD 2022), which reads a disk that way.

    Parameters
    ----------
    rows, values
        As for RowOrder.
    bytes_of_row : int
        How much there is to read for a row, at least 1.
    """

    def __init__(self, rows, values, Py_ssize_t bytes_of_row):
        super().__init__(rows, values)
        self.block_rows = max(1, BYTES_OF_NEIGHBOURS // bytes_of_row)
        self.n_blocks = (self.n_rows + self.block_rows - 1) // self.block_rows
        pile_rows = max(self.block_rows, PILE_BYTES // (bytes_of_row + BYTES_OF_PLACE))
        n_piles = (self.n_rows + pile_rows - 1) // pile_rows
        self.pile_room = (self.n_rows + n_piles - 1) // n_piles
        # A small last pile would consist of a block or two.
        while 0 < self.n_rows % self.pile_room < self.pile_room // 2:
            self.pile_room -= 1
        self.n_piles = (self.n_rows + self.pile_room - 1) // self.pile_room

    def make_room(self):
        RowOrder.make_room(self)
        self.scattered = self.block_rows == 1
        self.blocks_array = np.empty(self.n_blocks, dtype=np.uint32)
        self.blocks = <uint32_t*>address_of(self.blocks_array, np.uint32)

    def make_piles(self):
        """Lay out the blocks, and cut them into piles, which may divide a block."""
        cdef Py_ssize_t first, stop, n_placed = 0
        self.blocks_array[:] = np.arange(self.n_blocks, dtype=np.uint32)
        ends = np.arange(1, self.n_piles + 1) * self.pile_room
        self.ends_array[:] = np.minimum(ends, self.n_rows)
        n_together = min(
            BLOCKS_BETWEEN_SIGNALS, ROWS_BETWEEN_SIGNALS // self.block_rows)
        for first in range(0, self.n_blocks, n_together):
            stop = min(first + n_together, self.n_blocks)
            with nogil:
                n_placed = self.place_blocks(first, stop, n_placed)
            PyErr_CheckSignals()

    cdef Py_ssize_t place_blocks(
        self, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t n_placed
    ) noexcept nogil:
        """Choose the blocks from first to before stop (Fisher-Yates) and copy them.

        n_placed rows stand in their places before, and as many as are returned after.
        """
        cdef Py_ssize_t i, partner, row, n
        cdef uint32_t block, draw
        cdef uint64_t random_state = self.random_state
        for i in range(first, stop):
            draw = <uint32_t>next_uint64(&random_state)
            partner = i + random_below(
                <uint32_t>(self.n_blocks - i), draw, &random_state)
            block = self.blocks[partner]
            self.blocks[partner] = self.blocks[i]
            row = block * self.block_rows
            n = min(self.block_rows, self.n_rows - row)
            memcpy(self.rows + n_placed, self.unshuffled_rows + row,
                   n * sizeof(uint32_t))
            if self.values != NULL:
                memcpy(self.values + n_placed, self.unshuffled_values + row,
                       n * sizeof(double))
            n_placed += n
        self.random_state = random_state
        return n_placed


cdef Py_ssize_t room_of_pile(double expected_rows):
    """The number of places for a pile of which so many rows are expected.

    A pile that is more than four standard deviations larger is rare: less than one
    epoch in a hundred has to be dealt twice. An odd multiple of eight spreads the ends
    of the piles evenly over the sets of the cache.
    """
    cdef Py_ssize_t places = <Py_ssize_t>(expected_rows + 4.0 * sqrt(expected_rows))
    return (places // 16 + 1) * 16 + 8


cdef inline uint8_t next_pile(uint64_t* bits, Py_ssize_t n_piles) noexcept nogil:
    """One of at most 256 piles, a power of two, by the next byte of a random number."""
    cdef uint8_t pile = <uint8_t>bits[0] & <uint8_t>(n_piles - 1)
    bits[0] >>= 8
    return pile


cdef inline uint64_t next_uint64(uint64_t* state) noexcept nogil:
    """A uniform integer of 64 bits by SplitMix64.

    G. L. Steele, D. Lea and C. H. Flood, OOPSLA 2014. NumPy's generators cannot be
    inlined, and a call takes longer than what it has to do for a row.
    """
    cdef uint64_t z
    state[0] += 0x9E3779B97F4A7C15ULL
    z = state[0]
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
    return z ^ (z >> 31)


cdef inline uint32_t random_below(
    uint32_t bound, uint32_t draw, uint64_t* random_state
) noexcept nogil:
    """A uniform integer in [0, bound), without bias (Lemire, arXiv:1805.10941).

    It is made of a random draw, and hardly ever of some more.
    """
    cdef uint64_t product = <uint64_t>draw * bound
    cdef uint32_t threshold
    if <uint32_t>product < bound:
        threshold = (0 - bound) % bound
        while <uint32_t>product < threshold:
            draw = <uint32_t>next_uint64(random_state)
            product = <uint64_t>draw * bound
    return <uint32_t>(product >> 32)
