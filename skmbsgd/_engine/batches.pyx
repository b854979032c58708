"""Rows of X, of the targets and of the weights, in their order, block by block.

A batch is worked off in blocks of rows that fit into the fastest cache, so that a
batch may be as large as the data without any copy of it. The rows to come are sent
for while those at hand are worked on.

To add a layout of X, write one class with ``fetch_rows``, ``decisions`` and
``accumulate``, which sets ``lookahead`` if it reads the order beyond its block.
"""

import numpy as np

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport sqrt
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from skmbsgd._engine.blas cimport (
    add_outer_products, floating, rows_times_weights,
)
from skmbsgd._engine.prefetch cimport (
    CACHE_LINE, ask_while_reading, prefetch, prefetch_lines, prefetch_to_write,
)
from skmbsgd._engine.team cimport Member, Team
from skmbsgd._engine.updates cimport DenseUpdate, Update

cdef extern from "row_kernels.h":
    void dot_rows_double "skmbsgd_dot_rows_double" (
        const double* x, const uint32_t* rows, const uint32_t* rows_ahead,
        Py_ssize_t n_rows, Py_ssize_t n_columns,
        Py_ssize_t first_ahead, Py_ssize_t stop_ahead,
        const uint32_t* rows_beyond, Py_ssize_t stop_beyond,
        const double* w, double b, double* z) noexcept nogil
    void dot_rows_float "skmbsgd_dot_rows_float" (
        const float* x, const uint32_t* rows, const uint32_t* rows_ahead,
        Py_ssize_t n_rows, Py_ssize_t n_columns,
        Py_ssize_t first_ahead, Py_ssize_t stop_ahead,
        const uint32_t* rows_beyond, Py_ssize_t stop_beyond,
        const float* w, float b, double* z) noexcept nogil
    double add_rows_double "skmbsgd_add_rows_double" (
        const double* x, const uint32_t* rows, const uint32_t* rows_ahead,
        Py_ssize_t n_rows, Py_ssize_t n_columns,
        Py_ssize_t first_ahead, Py_ssize_t stop_ahead,
        const double* d, double* g) noexcept nogil
    float add_rows_float "skmbsgd_add_rows_float" (
        const float* x, const uint32_t* rows, const uint32_t* rows_ahead,
        Py_ssize_t n_rows, Py_ssize_t n_columns,
        Py_ssize_t first_ahead, Py_ssize_t stop_ahead,
        const double* d, float* g) noexcept nogil


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
    # A block of rows: enough of them to be worth the calls it takes, and few enough to
    # stay in the first-level cache from the first product to the second.
    MAX_BLOCK_ROWS = 32
    MAX_BLOCK_BYTES = 16384
    # Rows to come are sent for so many visits ahead: early enough to arrive in time,
    # late enough not to be evicted again.
    LOOKAHEAD_ROWS = 64
    MAX_LOOKAHEAD_BYTES = 98304
    # Where a processor had better ask while it reads, and each row lies anywhere, lines
    # a page apart are sent for so many visits before the others of their row.
    ROWS_BEYOND = 16
    # Of a very long row only the start is sent for; the processor's own prefetcher
    # does the rest.
    MAX_PREFETCHED_BYTES = 16384
    # With fewer rows between two updates there is too little to do meanwhile for the
    # first product to send for all of a row (docs/engine.rst).
    LEAST_TO_ASK_MEANWHILE = 4
    # Of a row of fewer bytes the first product, which reads the rows at hand for the
    # first time, is not to send for any part, since its own reads would have to wait.
    # The shuffle, which reads no rows, sends for the first half. (Unless one had better
    # ask while reading, or several threads share the rows.)
    LONG_ROW = 1024


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


cdef class Targets:
    """The targets y of the rows of X.

    Attributes
    ----------
    single : ndarray of shape (n_samples,), float64, or None
        The targets of a single output; None for several.
    """

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        """Write the several targets of these rows, shape (n_rows, n_outputs)."""

    cdef void prefetch(self, uint32_t row) noexcept nogil:
        """Ask for the several targets of a row to come."""


cdef class RealTargets(Targets):
    """Numbers: an array of shape (n_samples, n_outputs), float64."""

    def __init__(self, const double[:, ::1] values):
        self.values = values
        self.n_samples = values.shape[0]
        self.n_outputs = values.shape[1]
        self.single = np.asarray(values).ravel() if self.n_outputs == 1 else None

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        cdef Py_ssize_t i, k
        for i in range(n_rows):
            for k in range(self.n_outputs):
                y[i * self.n_outputs + k] = self.values[rows[i], k]

    cdef void prefetch(self, uint32_t row) noexcept nogil:
        prefetch(&self.values[row, 0])


cdef class ClassTargets(Targets):
    """Classes: +1 in the output of the row's class, -1 in the others.

    Two classes share one output, +1 for the second.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), intp
        Class numbers from 0 to n_classes - 1.
    n_classes : int
    """

    def __init__(self, const Py_ssize_t[::1] labels, Py_ssize_t n_classes):
        cdef Py_ssize_t i
        for i in range(labels.shape[0]):
            if not 0 <= labels[i] < n_classes:
                raise ValueError("The labels do not fit classes_: was it changed?")
        self.labels = labels
        self.n_samples = labels.shape[0]
        self.n_outputs = 1 if n_classes == 2 else n_classes
        self.single = 2.0 * np.asarray(labels) - 1.0 if n_classes == 2 else None

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        cdef Py_ssize_t i, k
        for i in range(n_rows):
            for k in range(self.n_outputs):
                y[i * self.n_outputs + k] = -1.0
            y[i * self.n_outputs + self.labels[rows[i]]] = 1.0

    cdef void prefetch(self, uint32_t row) noexcept nogil:
        prefetch(&self.labels[row])


cdef class Batches:
    """Rows of X with their targets and weights.

    Parameters
    ----------
    order : RowOrder
    targets : Targets
    sample_weight : ndarray of shape (n_samples,), float64, or None
        None stands for 1 throughout.
    update : Update
        The model in training.
    member : Member, default=None
        The thread that goes through them with others, which share the order; None if
        there are no others.
    """

    def __init__(
        self, RowOrder order, Targets targets, sample_weight, Update update,
        Member member=None,
    ):
        if targets.n_outputs != update.n_outputs:
            raise ValueError("The targets and the model differ in their outputs.")
        if targets.n_outputs == 1 and order.values == NULL:
            raise ValueError("The order of rows lacks the targets.")
        self.order = order
        self.targets = targets
        self.update = update
        self.member = Member(Team(1), 0) if member is None else member
        if not (self.member.is_alone or self.member.update is update):
            raise ValueError("The thread hands over the gradients of another model.")
        self.weighted = sample_weight is not None
        if self.weighted:
            self.sample_weight = sample_weight
            if sample_weight.shape[0] != targets.n_samples:
                raise ValueError("sample_weight and y differ in length.")

    cdef void allocate(self, Py_ssize_t max_rows):
        cdef Py_ssize_t size = max_rows * self.targets.n_outputs
        cdef double[::1] block = np.empty(4 * size + max_rows)
        self.block_array = block
        self.max_rows = max_rows
        self.y = &block[0]
        self.z = self.y + size
        self.losses = self.z + size
        self.d = self.losses + size
        self.scale = self.d + size
        self.share_in_scale = 0.0

    cdef Py_ssize_t load(
        self, Py_ssize_t first, Py_ssize_t stop, double batch_share
    ) noexcept nogil:
        """Make ready the rows from first on, at most up to stop; return how many.

        batch_share is what a row of weight 1 adds to its batch's mean.
        """
        self.n_rows = min(stop - first, self.max_rows)
        if self.member.is_alone:
            self.order.settle(first + self.n_rows + self.lookahead)
        self.rows = self.order.rows + first
        self.fetch_rows(first)
        if self.targets.n_outputs == 1:
            self.y = self.order.values + first
        else:
            self.targets.load(self.rows, self.n_rows, self.y)
        self.load_scale(batch_share)
        return self.n_rows

    cdef void load_scale(self, double batch_share) noexcept nogil:
        cdef Py_ssize_t i
        cdef double* scale = self.scale
        if self.weighted:
            for i in range(self.n_rows):
                scale[i] = batch_share * self.sample_weight[self.rows[i]]
        elif batch_share != self.share_in_scale:
            self.share_in_scale = batch_share
            for i in range(self.max_rows):
                scale[i] = batch_share

    cdef void divide_requests(self, Py_ssize_t rows_at_once) noexcept nogil:
        """Settle, for an epoch, who sends for which part of the rows to come.

        rows_at_once is how many rows of a batch this thread goes through.
        """

    cdef void let_first_product_send(self) noexcept nogil:
        """Have the first product send for the rows to come, all by itself."""

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        """Bring the block's rows of X to hand, and send for those after them."""

    cdef void decisions(self) noexcept nogil:
        """Write z = X W^T + b for the block."""

    cdef void accumulate(self) noexcept nogil:
        """Add d^T X and the sum of d to the gradients of the model."""


@cython.final
cdef class DenseBatches(Batches):
    """Rows of a dense array.

    With one output the rows are worked on where they lie. With several, a block of them
    is gathered for one matrix product. In both cases the rows some visits ahead are
    sent for meanwhile.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        C-contiguous; never copied, never written.
    order, targets, sample_weight, member
        As for Batches.
    update : DenseUpdate
        Of the precision of X.
    """

    def __init__(
        self, X, RowOrder order, Targets targets, sample_weight, DenseUpdate update,
        Member member=None,
    ):
        super().__init__(order, targets, sample_weight, update, member)
        self.model = update
        if X.dtype not in (np.float32, np.float64):
            raise ValueError("X must be float32 or float64.")
        if not (X.flags.c_contiguous and X.flags.aligned):
            raise ValueError("X must be C-contiguous and aligned.")
        if X.shape[0] != targets.n_samples or int(order.given_rows.max()) >= len(X):
            raise ValueError("X, the targets and the order of rows do not fit.")
        if update.coef.dtype != X.dtype or update.n_features != X.shape[1]:
            raise ValueError("X and the model differ in type or features.")
        self.X = X
        self.single_precision = X.dtype == np.float32
        self.n_features = X.shape[1]
        self.bytes_of_row = self.n_features * X.dtype.itemsize
        self.first_row = <const char*><size_t>X.ctypes.data
        self.cost_of_row = cost_of_dense_row(
            self.n_features, X.dtype.itemsize, targets.n_outputs)

        block_rows = rows_of_block(self.bytes_of_row, targets.n_outputs)
        self.allocate(min(block_rows, order.n_rows))
        n_bytes = min(self.bytes_of_row, <Py_ssize_t>MAX_PREFETCHED_BYTES)
        self.n_ahead = lookahead_rows(n_bytes)
        self.lookahead = self.n_ahead
        if ask_while_reading():
            self.lookahead += ROWS_BEYOND
        self.ends_vary = some_take_one_more_line(
            X.ctypes.data, self.bytes_of_row, n_bytes)
        self.bytes_ahead = n_bytes
        if not self.ends_vary:
            self.bytes_ahead = (lines_of(n_bytes) - 1) * CACHE_LINE + 1
        gathers = targets.n_outputs > 1
        self.gathered_array = np.empty(
            (self.max_rows if gathers else 0, self.n_features), X.dtype
        )
        self.gathered = <char*><size_t>self.gathered_array.ctypes.data
        self.converted_array = np.empty((self.max_rows, targets.n_outputs), X.dtype)
        self.converted = <void*><size_t>self.converted_array.ctypes.data

    cdef void divide_requests(self, Py_ssize_t rows_at_once) noexcept nogil:
        cdef Py_ssize_t half = half_in_lines(self.bytes_ahead)
        if ask_while_reading() and rows_at_once >= LEAST_TO_ASK_MEANWHILE:
            self.let_first_product_send()
            return
        self.sent_before, self.first_share, self.stop_beyond = 0, half, 0
        # In a team one thread shuffles, and would send for the rows of all into the
        # cache of its own core. Several outputs gather their rows, and send meanwhile.
        if (self.member.is_alone and self.model.n_outputs == 1
                and self.bytes_of_row < LONG_ROW):
            self.sent_before = self.order.let_shuffle_send(
                self.first_row, self.bytes_of_row, half)
            self.first_share = self.sent_before

    cdef void let_first_product_send(self) noexcept nogil:
        self.sent_before, self.stop_beyond = 0, 0
        if self.order.scattered and self.bytes_of_row <= MAX_PREFETCHED_BYTES:
            self.sent_before = CACHE_LINE
            self.stop_beyond = self.bytes_of_row
        self.first_share = lines_of(self.bytes_ahead) * CACHE_LINE

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        self.rows_ahead = self.rows_from(self.member.place_ahead(first, self.n_ahead))
        self.rows_beyond = self.rows_from(
            self.member.place_ahead(first, self.lookahead))
        if self.model.n_outputs == 1:
            return
        if self.order.consecutive:
            self.block = self.address_of_row(self.rows[0])
        else:
            self.gather_rows()
            self.block = self.gathered

    cdef const uint32_t* rows_from(self, Py_ssize_t place) noexcept nogil:
        """As many rows of the order as are in the block, or the last."""
        return self.order.rows + min(place, self.order.n_rows - self.n_rows)

    cdef void gather_rows(self) noexcept nogil:
        """Copy the block's rows, and send for those to come and their targets."""
        cdef Py_ssize_t i
        cdef const char* ahead
        for i in range(self.n_rows):
            self.targets.prefetch(self.rows_ahead[i])
            ahead = self.address_of_row(self.rows_ahead[i])
            prefetch_lines(ahead, self.bytes_ahead)
            if self.ends_vary:
                prefetch(ahead + self.bytes_ahead - 1)
            memcpy(self.gathered + i * self.bytes_of_row,
                   self.address_of_row(self.rows[i]), self.bytes_of_row)

    cdef inline const char* address_of_row(self, uint32_t row) noexcept nogil:
        return self.first_row + row * self.bytes_of_row

    cdef void decisions(self) noexcept nogil:
        if self.single_precision:
            self.multiply(<float*>self.model.w, <float*>self.model.b)
        else:
            self.multiply(<double*>self.model.w, <double*>self.model.b)

    cdef void accumulate(self) noexcept nogil:
        if self.single_precision:
            self.add_products(<float*>self.model.g, <float*>self.model.b_g)
        else:
            self.add_products(<double*>self.model.g, <double*>self.model.b_g)

    cdef void multiply(self, const floating* w, const floating* b) noexcept nogil:
        """z = X w^T + b"""
        if self.model.n_outputs > 1:
            rows_times_weights(
                <const floating*>self.block, w, <floating*>self.converted,
                self.n_rows, self.n_features, self.model.n_outputs)
            add_intercept(<floating*>self.converted, b, self.z,
                          self.n_rows, self.model.n_outputs)
        elif floating is double:
            dot_rows_double(
                <const double*>self.first_row, self.rows, self.rows_ahead,
                self.n_rows, self.n_features, self.sent_before, self.first_share,
                self.rows_beyond, self.stop_beyond,
                w, b[0], self.z)
        else:
            dot_rows_float(
                <const float*>self.first_row, self.rows, self.rows_ahead,
                self.n_rows, self.n_features, self.sent_before, self.first_share,
                self.rows_beyond, self.stop_beyond,
                w, b[0], self.z)

    cdef void add_products(self, floating* g, floating* b_g) noexcept nogil:
        """g += d^T X, and b_g += the sum of d"""
        if self.model.n_outputs > 1:
            convert_and_sum(self.d, <floating*>self.converted, b_g,
                            self.n_rows, self.model.n_outputs)
            add_outer_products(
                <floating*>self.converted, <const floating*>self.block, g,
                self.n_rows, self.n_features, self.model.n_outputs)
        elif floating is double:
            b_g[0] += add_rows_double(
                <const double*>self.first_row, self.rows, self.rows_ahead,
                self.n_rows, self.n_features,
                self.first_share, self.bytes_ahead, self.d, g)
        else:
            b_g[0] += add_rows_float(
                <const float*>self.first_row, self.rows, self.rows_ahead,
                self.n_rows, self.n_features,
                self.first_share, self.bytes_ahead, self.d, g)


cpdef double cost_of_dense_row(
    Py_ssize_t n_features, Py_ssize_t itemsize, Py_ssize_t n_outputs
):
    """The work of one row, in units of about a nanosecond."""
    return n_outputs * (n_features * itemsize / 8.0 + 16.0)


cdef Py_ssize_t rows_of_block(Py_ssize_t bytes_of_row, Py_ssize_t n_outputs):
    """How many rows are worked on at a time."""
    # A matrix product gains more from a larger block than it loses in the cache.
    factor = 1 if n_outputs == 1 else 4
    rows = factor * min(MAX_BLOCK_BYTES // bytes_of_row, MAX_BLOCK_ROWS)
    # The products take four rows at a time.
    return max(4, rows // 4 * 4)


cdef Py_ssize_t lookahead_rows(Py_ssize_t n_bytes):
    """How many visits before its turn so much of a row is sent for."""
    return min(LOOKAHEAD_ROWS, MAX_LOOKAHEAD_BYTES // n_bytes)


cdef bint some_take_one_more_line(
    size_t address, Py_ssize_t bytes_of_row, Py_ssize_t n_bytes
):
    """Whether so many bytes take a cache line more in some rows than in others.

    To ask for a line that is under way already takes longer than one would think.
    """
    cdef Py_ssize_t step = min(bytes_of_row & -bytes_of_row, <Py_ssize_t>CACHE_LINE)
    # The last place in a cache line at which a row can begin
    cdef Py_ssize_t place = CACHE_LINE - step + <Py_ssize_t>(address % step)
    return lines_of(place + n_bytes) > lines_of(n_bytes)


cdef Py_ssize_t lines_of(Py_ssize_t n_bytes) noexcept nogil:
    return (n_bytes + CACHE_LINE - 1) // CACHE_LINE


cdef Py_ssize_t half_in_lines(Py_ssize_t n_bytes) noexcept nogil:
    """Half of them, rounded up to whole cache lines: of few bytes more than all."""
    return lines_of((n_bytes + 1) // 2) * CACHE_LINE


cdef void add_intercept(
    const floating* products, const floating* b, double* z,
    Py_ssize_t n_rows, Py_ssize_t n_outputs,
) noexcept nogil:
    """z = products + b"""
    cdef Py_ssize_t i, k
    for i in range(n_rows):
        for k in range(n_outputs):
            z[i * n_outputs + k] = <double>products[i * n_outputs + k] + b[k]


cdef void convert_and_sum(
    const double* d, floating* converted, floating* column_sums,
    Py_ssize_t n_rows, Py_ssize_t n_outputs,
) noexcept nogil:
    """Copy d in the precision of X, and add its columns' sums to column_sums."""
    cdef Py_ssize_t i, k
    for i in range(n_rows):
        for k in range(n_outputs):
            converted[i * n_outputs + k] = <floating>d[i * n_outputs + k]
            column_sums[k] += <floating>d[i * n_outputs + k]
