"""The order in which an epoch goes through rows: given, shuffled, or in blocks."""

import numpy as np

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport sqrt
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from skmbsgd._engine.prefetch cimport CACHE_LINE, prefetch, prefetch_to_write


cdef enum:
    # Rows of a bucket: few enough to stay in the second-level cache while they are
    # shuffled, and enough that the ends of all buckets stay in the first-level cache
    # while rows are distributed. A byte must be able to number the buckets.
    ROWS_OF_BUCKET = 8192
    MAX_BUCKETS = 256
    # Bytes of a block of neighbours, long enough to be read fast; of a bucket of
    # blocks, which stays in the second-level cache; and of a row's number and value
    BYTES_OF_NEIGHBOURS = 16384
    BUCKET_BYTES = 524288
    BYTES_OF_PLACE = 12
    # Number of rows that are shuffled at a time
    ROWS_OF_PART = 128
    # The cost of deciding a position, in the unit of the cost of a row
    COST_OF_POSITION = 8
    # Rows distributed, and blocks placed, between two checks for signals
    ROWS_BETWEEN_SIGNALS = 1048576
    BLOCKS_BETWEEN_SIGNALS = 65536
    # Row numbers and values of a cache line
    ROWS_OF_LINE = CACHE_LINE // 4
    VALUES_OF_LINE = CACHE_LINE // 8


cdef void* address_of(array, dtype) except NULL:
    """The address of the data of an array of this type."""
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
    """The order in which an epoch goes through the rows, with a value for each row.

    Row numbers and values are shuffled together, because looking up a value in its
    original place would be a cache miss. So would each swap of a plain Fisher-Yates
    shuffle. So rows are distributed at random into buckets that fit into the cache, and
    each bucket is shuffled when the epoch reaches it (C. R. Rao, Sankhya A 23, 1961;
    M. Sandelius, J. R. Stat. Soc. B 24, 1962). All orders are equally likely.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), uint32
        Numbers of rows, in this order before the first shuffle. Never written.
    values : ndarray of shape (n_rows,), float64, or None
        A value for each of the rows, in the same order. Never written.
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
        self.n_decided = self.n_rows
        self.n_buckets = 1
        while (self.n_buckets < MAX_BUCKETS
                and self.n_buckets * ROWS_OF_BUCKET < self.n_rows):
            self.n_buckets *= 2
        self.bucket_room = room_of_bucket(self.n_rows / <double>self.n_buckets)

    def shuffle(self, uint64_t seed):
        """Distribute the given rows again, and check for signals meanwhile.

        The buckets are shuffled later, by `decide`.
        """
        self.random_state = seed
        if self.rows_array is None:
            self.make_arrays()
        self.bucket, self.room_before, self.n_decided = 0, 0, 0
        self.make_buckets()

    def row_numbers(self):
        """All rows in their order, in a new array."""
        self.decide(self.n_rows)
        return np.array(<uint32_t[: self.n_rows]>self.rows)

    cdef double cost_of_position(self) noexcept nogil:
        """The work of deciding a position; 0 in the given order.

        All threads of a team get the same answer at any time in an epoch.
        """
        return 0.0 if self.rows == self.unshuffled_rows else COST_OF_POSITION

    def make_buckets(self):
        """Distribute the rows; start again if a bucket is full.

        Whether it starts again depends only on the sizes of the buckets, so all orders
        remain equally likely. Counting the rows first, and giving each bucket exactly
        the space it needs, takes longer.
        """
        cdef Py_ssize_t n_distributed = 0
        while n_distributed < self.n_rows:
            self.n_distributions += 1
            n_distributed = 0
            self.empty_buckets()
            while n_distributed < self.n_rows and self.least_room() > 0:
                with nogil:
                    n_distributed = self.distribute(n_distributed)
                PyErr_CheckSignals()

    def make_arrays(self):
        """Make arrays for the shuffled order, the same for all epochs."""
        self.consecutive = False
        n_places = self.n_buckets * self.bucket_room
        self.rows_array = np.empty(n_places, dtype=np.uint32)
        self.rows = <uint32_t*>address_of(self.rows_array, np.uint32)
        if self.given_values is not None:
            self.values_array = np.empty(n_places)
            self.values = <double*>address_of(self.values_array, np.float64)
        self.ends_array = np.empty(self.n_buckets, dtype=np.intp)
        self.ends = <Py_ssize_t*>address_of(self.ends_array, np.intp)

    cdef void empty_buckets(self) noexcept nogil:
        cdef Py_ssize_t bucket
        for bucket in range(self.n_buckets):
            self.ends[bucket] = bucket * self.bucket_room

    cdef Py_ssize_t least_room(self) noexcept nogil:
        """The number of rows that fit whatever buckets are drawn for them."""
        cdef Py_ssize_t bucket, room = self.bucket_room
        for bucket in range(self.n_buckets):
            room = min(room, (bucket + 1) * self.bucket_room - self.ends[bucket])
        return room

    cdef Py_ssize_t distribute(self, Py_ssize_t first) noexcept nogil:
        """Distribute rows from first on; return the first one that remains.

        It remains because its bucket is full, or because signals must be checked.
        """
        cdef Py_ssize_t stop, room = self.least_room()
        cdef Py_ssize_t last = min(first + ROWS_BETWEEN_SIGNALS, self.n_rows)
        while first < last and room > 0:
            stop = min(first + room, last)
            self.put_into_buckets(first, stop)
            first = stop
            room = self.least_room()
        return first

    cdef void put_into_buckets(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        """Draw a bucket for each row, and copy row and value to the bucket's end."""
        cdef Py_ssize_t i, k, bucket, place
        cdef uint64_t bits, random_state = self.random_state
        # Names of their own, or the compiler would assume that they change.
        cdef Py_ssize_t* ends = self.ends
        cdef Py_ssize_t n_buckets = self.n_buckets
        cdef const uint32_t* unshuffled_rows = self.unshuffled_rows
        cdef const double* unshuffled_values = self.unshuffled_values
        cdef uint32_t* rows = self.rows
        cdef double* values = self.values
        for i in range(first, stop, 8):
            bits = next_uint64(&random_state)
            for k in range(min(<Py_ssize_t>8, stop - i)):
                bucket = next_bucket(&bits, n_buckets)
                place = ends[bucket]
                ends[bucket] = place + 1
                # A store that waits for its cache line delays all stores after it.
                rows[place] = unshuffled_rows[i + k]
                prefetch_to_write(rows + place + ROWS_OF_LINE)
                if values != NULL:
                    values[place] = unshuffled_values[i + k]
                    prefetch_to_write(values + place + VALUES_OF_LINE)
        self.random_state = random_state

    cdef void decide(self, Py_ssize_t stop) noexcept nogil:
        """Decide the order of the rows before stop, and possibly of some more."""
        cdef Py_ssize_t end
        stop = min(stop, self.n_rows)
        while self.n_decided < stop:
            end = self.ends[self.bucket] - self.room_before
            if self.n_decided == end:
                self.bucket += 1
                self.room_before = self.bucket * self.bucket_room - self.n_decided
            else:
                self.shuffle_part(min(self.n_decided + ROWS_OF_PART, end), end)

    cdef void shuffle_part(self, Py_ssize_t stop, Py_ssize_t end) noexcept nogil:
        """Fill the positions up to stop with rows of the bucket, which goes up to end.

        Fisher-Yates: R. Durstenfeld, CACM 7(7), 1964.
        """
        cdef Py_ssize_t position, partner, first = self.n_decided
        cdef uint64_t random_state = self.random_state, draws = 0
        cdef uint32_t row
        cdef double value
        # Names of their own, or the compiler would assume that they change.
        cdef uint32_t* rows = self.rows
        cdef double* values = self.values
        cdef uint32_t* rows_of_bucket = rows + self.room_before
        cdef double* values_of_bucket = NULL
        if values != NULL:
            values_of_bucket = values + self.room_before
        self.prefetch_next_bucket(first, stop)
        self.prefetch_next_positions(stop)
        for position in range(first, stop):
            # One draw is enough for two positions.
            if (position - first) & 1:
                draws >>= 32
            else:
                draws = next_uint64(&random_state)
            partner = position + random_below(
                <uint32_t>(end - position), <uint32_t>draws, &random_state)
            row = rows_of_bucket[partner]
            rows_of_bucket[partner] = rows_of_bucket[position]
            rows[position] = row
            if values != NULL:
                value = values_of_bucket[partner]
                values_of_bucket[partner] = values_of_bucket[position]
                values[position] = value
        self.random_state = random_state
        self.n_decided = stop

    cdef inline void prefetch_next_bucket(
        self, Py_ssize_t first, Py_ssize_t stop
    ) noexcept nogil:
        """Prefetch the part of the next bucket that corresponds to that of this one.

        The swaps access all of a bucket, so all of it must be in the cache by then.
        """
        cdef Py_ssize_t distance = self.room_before + self.bucket_room
        cdef Py_ssize_t n_places = self.n_buckets * self.bucket_room
        first, stop = first + distance, min(stop + distance, n_places)
        while first < stop:
            prefetch(self.rows + first)
            if self.values != NULL:
                prefetch(self.values + first)
                prefetch(self.values + first + VALUES_OF_LINE)
            first += ROWS_OF_LINE

    cdef inline void prefetch_next_positions(self, Py_ssize_t first) noexcept nogil:
        """Prefetch the positions that the next part of the order fills.

        They were places of an earlier bucket, so they may no longer be in any cache,
        unless they belong to the present bucket.
        """
        cdef Py_ssize_t stop = min(first + ROWS_OF_PART, self.n_rows)
        if self.room_before == 0:
            return
        while first < stop:
            prefetch_to_write(self.rows + first)
            if self.values != NULL:
                prefetch_to_write(self.values + first)
                prefetch_to_write(self.values + first + VALUES_OF_LINE)
            first += ROWS_OF_LINE


@cython.final
cdef class BlockOrder(RowOrder):
    """An order in which neighbours stay close to each other.

    Blocks of neighbours come in random order, and a bucket consists of as many blocks
    as fit into the cache. So the memory is read in larger portions. All orders are
    equally likely only if the rows fit into one bucket. The idea is that of CorgiPile
    (L. Xu et al., SIGMOD 2022), which reads a disk in this way.

    Parameters
    ----------
    rows, values
        As for RowOrder.
    bytes_of_row : int
        Number of bytes to read for a row, at least 1.
    """

    def __init__(self, rows, values, Py_ssize_t bytes_of_row):
        super().__init__(rows, values)
        self.block_rows = max(1, BYTES_OF_NEIGHBOURS // bytes_of_row)
        self.n_blocks = (self.n_rows + self.block_rows - 1) // self.block_rows
        bucket_rows = max(
            self.block_rows, BUCKET_BYTES // (bytes_of_row + BYTES_OF_PLACE))
        n_buckets = (self.n_rows + bucket_rows - 1) // bucket_rows
        self.bucket_room = (self.n_rows + n_buckets - 1) // n_buckets
        # Otherwise a small last bucket would consist of only one or two blocks.
        while 0 < self.n_rows % self.bucket_room < self.bucket_room // 2:
            self.bucket_room -= 1
        self.n_buckets = (self.n_rows + self.bucket_room - 1) // self.bucket_room

    def make_arrays(self):
        RowOrder.make_arrays(self)
        self.blocks_array = np.empty(self.n_blocks, dtype=np.uint32)
        self.blocks = <uint32_t*>address_of(self.blocks_array, np.uint32)

    def make_buckets(self):
        """Lay out the blocks, and divide them into buckets, which can split a block."""
        cdef Py_ssize_t first, stop, n_placed = 0
        self.blocks_array[:] = np.arange(self.n_blocks, dtype=np.uint32)
        ends = np.arange(1, self.n_buckets + 1) * self.bucket_room
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

        n_placed is the number of rows in place before, the result is that afterwards.
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


cdef Py_ssize_t room_of_bucket(double expected_rows):
    """The number of places for a bucket with this expected number of rows.

    Buckets that are more than four standard deviations larger are rare: less than one
    epoch in a hundred has to distribute its rows twice. The number is an odd multiple
    of half a cache line, which spreads the ends of the buckets evenly over the sets of
    the cache.
    """
    cdef Py_ssize_t places = <Py_ssize_t>(expected_rows + 4.0 * sqrt(expected_rows))
    return (places // ROWS_OF_LINE + 1) * ROWS_OF_LINE + VALUES_OF_LINE


cdef inline uint8_t next_bucket(uint64_t* bits, Py_ssize_t n_buckets) noexcept nogil:
    """One of n_buckets, a power of two up to 256, by the next byte of a random number.
    """
    cdef uint8_t bucket = <uint8_t>bits[0] & <uint8_t>(n_buckets - 1)
    bits[0] >>= 8
    return bucket


cdef inline uint64_t next_uint64(uint64_t* state) noexcept nogil:
    """A uniform integer of 64 bits by SplitMix64.

    G. L. Steele, D. Lea and C. H. Flood, OOPSLA 2014. NumPy's generators cannot be
    inlined, and a call takes longer than the rest of the work for a row.
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

    It needs one random draw, and very rarely more.
    """
    cdef uint64_t product = <uint64_t>draw * bound
    cdef uint32_t threshold
    if <uint32_t>product < bound:
        threshold = (0 - bound) % bound
        while <uint32_t>product < threshold:
            draw = <uint32_t>next_uint64(random_state)
            product = <uint64_t>draw * bound
    return <uint32_t>(product >> 32)
