"""Asking for the rows of a dense array before they are needed."""

cimport cython
from libc.stdint cimport uint32_t


cdef enum:
    # Rows are prefetched so many positions ahead: early enough to arrive in time, late
    # enough not to be evicted again.
    ROWS_AHEAD = 64
    MAX_BYTES_AHEAD = 98304
    # If two products share the rest, the first bytes are prefetched so many positions
    # before that: once the address of a page has been translated, its other lines need
    # not wait for that.
    ROWS_EARLIER = 16
    MAX_EARLY_BYTES = 512
    # Of a very long row only the start is prefetched; the processor's own prefetcher
    # does the rest.
    MAX_PREFETCHED_BYTES = 16384
    # With fewer rows between two updates the first product cannot prefetch all of a row
    # while it reads: there is too little to read.
    LEAST_ROWS_OF_READING = 4
    # What the second product has to prefetch of a row it does at once if it is little:
    # the next block's first product waits for it. Otherwise it does so step by step.
    BYTES_AT_ONCE = 576
    BYTES_OF_STEP = 192


@cython.final
cdef class RowPrefetch:
    """What is prefetched of the rows of a dense array, how far ahead, and when.

    A block of rows meets two products. The first one reads the rows, the second one
    finds them in the cache. One of them, or both, prefetch rows to come, line by line
    in between their arithmetic. If both do, the first bytes of rows that come still
    later are prefetched before the first product.

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

        rows_at_once is how many rows there are between two updates.
        """
        if prefetch_while_reading() and rows_at_once >= LEAST_ROWS_OF_READING:
            self.by_first_product()
        else:
            self.by_both_products()

    cdef void by_first_product(self) noexcept nogil:
        """Leave all to the first product, but for a line that only some rows need.

        To others that is one on its way, and to prefetch it at once takes longer than
        one would think.
        """
        self.early_bytes = self.by_first.first = 0
        self.by_first.stop = self.by_second.first = (
            (self.by_first.last // CACHE_LINE + 1) * CACHE_LINE)

    cdef void by_both_products(self) noexcept nogil:
        """Have half of a row prefetched before the second product.

        All of that half early if it is short, since the first product's reads wait
        behind its own prefetches.
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
        """Prefetch the first bytes of rows to come, and leave others to the products.

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
        """Prefetch a row at once, for one that is copied before the products."""
        cdef const char* start = self.first_row + row * self.bytes_of_row
        cdef Py_ssize_t byte = 0
        while byte < self.by_second.stop:
            prefetch(start + min(byte, self.by_second.last))
            byte += CACHE_LINE


cdef Py_ssize_t most_lines(size_t address, Py_ssize_t stride, Py_ssize_t n_bytes):
    """The number of cache lines that the first bytes of a row lie in, at most."""
    cdef Py_ssize_t step = min(stride & -stride, <Py_ssize_t>CACHE_LINE)
    # The last place in a cache line at which a row can begin
    cdef Py_ssize_t place = CACHE_LINE - step + <Py_ssize_t>(address % step)
    return (place + n_bytes + CACHE_LINE - 1) // CACHE_LINE
