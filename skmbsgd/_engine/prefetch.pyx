"""Prefetching the rows of a dense array before they are needed."""

cimport cython
from libc.stdint cimport uint32_t


cdef enum:
    # Rows are prefetched this many positions ahead: early enough to arrive in time, and
    # late enough not to be evicted again.
    ROWS_AHEAD = 64
    MAX_BYTES_AHEAD = 98304
    # If two products share the rest, the first bytes are prefetched this many positions
    # earlier. Then the address of the page is already translated when the other lines
    # are requested.
    ROWS_EARLIER = 16
    MAX_EARLY_BYTES = 512
    # Only the start of a very long row is prefetched. The processor's own prefetcher
    # does the rest.
    MAX_PREFETCHED_BYTES = 16384
    # With fewer rows between two updates, the first product reads too little to
    # prefetch whole rows meanwhile.
    LEAST_ROWS_OF_READING = 4
    # The second product prefetches its part of a row at once if the part is small,
    # because the next block's first product waits for it. Otherwise it does so step by
    # step.
    BYTES_AT_ONCE = 576
    BYTES_OF_STEP = 192


@cython.final
cdef class RowPrefetch:
    """The plan for prefetching rows of a dense array: which parts, how early, and when.

    A block of rows takes part in two products. The first one reads the rows, the second
    one finds them in the cache. One or both of them prefetch later rows, line by line
    between their arithmetic. If both do, the first bytes of still later rows are
    prefetched before the first product.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        C-contiguous; it must stay where it is.
    """

    def __init__(self, X):
        self.first_row = <const char*><size_t>X.ctypes.data
        self.bytes_of_row = X.shape[1] * X.itemsize
        n_bytes = min(self.bytes_of_row, <Py_ssize_t>MAX_PREFETCHED_BYTES)
        self.n_ahead = min(ROWS_AHEAD, MAX_BYTES_AHEAD // n_bytes)
        self.n_early = self.n_ahead + ROWS_EARLIER
        self.by_first.last = self.by_second.last = n_bytes - 1
        self.by_second.stop = CACHE_LINE * most_lines(
            X.ctypes.data, self.bytes_of_row, n_bytes)
        self.by_second.step = BYTES_AT_ONCE
        self.by_first_product()

    cdef void begin_epoch(self, Py_ssize_t rows_at_once) noexcept nogil:
        """Choose what each product prefetches.

        rows_at_once is the number of rows between two updates.
        """
        if prefetch_while_reading() and rows_at_once >= LEAST_ROWS_OF_READING:
            self.by_first_product()
        else:
            self.by_both_products()

    cdef void by_first_product(self) noexcept nogil:
        """Leave all to the first product, except a line that only some rows need.

        For the other rows this line is already requested, and requesting it again at
        once is slow.
        """
        self.early_bytes = self.by_first.first = 0
        self.by_first.stop = self.by_second.first = (
            (self.by_first.last // CACHE_LINE + 1) * CACHE_LINE)

    cdef void by_both_products(self) noexcept nogil:
        """Prefetch half of a row before the second product.

        If the half is short, prefetch all of it early, because the reads of the first
        product wait for its own prefetches.
        """
        cdef Py_ssize_t half = (self.by_second.stop // CACHE_LINE + 1) // 2 * CACHE_LINE
        self.early_bytes = min(half, <Py_ssize_t>MAX_EARLY_BYTES)
        self.by_first.first = self.early_bytes
        self.by_first.stop = self.by_second.first = half
        self.by_second.step = self.by_second.stop - half
        if self.by_second.step > BYTES_AT_ONCE:
            self.by_second.step = BYTES_OF_STEP

    cdef void begin_block(
        self, const uint32_t* rows_ahead, const uint32_t* rows_early, Py_ssize_t n_rows
    ) noexcept nogil:
        """Prefetch the first bytes of later rows, and leave the rest to the products.

        rows_ahead are n_ahead positions after the block's n_rows, and rows_early
        n_early positions.
        """
        cdef Py_ssize_t i, line
        self.by_first.rows = self.by_second.rows = rows_ahead
        for line in range(self.early_bytes // CACHE_LINE):
            for i in range(n_rows):
                prefetch(self.first_row + rows_early[i] * self.bytes_of_row
                         + line * CACHE_LINE)

    cdef void prefetch_row(self, uint32_t row) noexcept nogil:
        """Prefetch a whole row at once, if rows are copied before the products."""
        cdef const char* start = self.first_row + row * self.bytes_of_row
        cdef Py_ssize_t byte = 0
        while byte < self.by_second.stop:
            prefetch(start + min(byte, self.by_second.last))
            byte += CACHE_LINE


cdef Py_ssize_t most_lines(size_t address, Py_ssize_t stride, Py_ssize_t n_bytes):
    """The largest number of cache lines that the first bytes of a row can occupy."""
    cdef Py_ssize_t step = min(stride & -stride, <Py_ssize_t>CACHE_LINE)
    # The last place in a cache line at which a row can begin
    cdef Py_ssize_t place = CACHE_LINE - step + <Py_ssize_t>(address % step)
    return (place + n_bytes + CACHE_LINE - 1) // CACHE_LINE
