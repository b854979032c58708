"""Prefetching memory before it is needed: instructions, distances and thresholds.

See prefetch.pyx for the rows of a dense array, and prefetch.h for the instructions.
"""

cimport cython
from libc.stdint cimport uint32_t

cdef extern from "prefetch.h":
    enum:
        CACHE_LINE "SKMBSGD_CACHE_LINE"
    ctypedef struct RowsAhead "skmbsgd_rows_ahead":
        const uint32_t* rows
        Py_ssize_t first, stop, last, step
    bint prefetch_while_reading "skmbsgd_prefetch_while_reading" () noexcept nogil
    void prefetch "SKMBSGD_PREFETCH" (const void* address) noexcept nogil
    void prefetch_to_write "SKMBSGD_PREFETCH_TO_WRITE" (
        const void* address) noexcept nogil


cdef enum:
    # Rows of a CSR matrix: the number of positions ahead at which their beginning is
    # looked up, then their non-zeros are prefetched, and then the records of these ...
    CSR_BEGINNINGS_AHEAD = 24
    CSR_NONZEROS_AHEAD = 16
    CSR_RECORDS_AHEAD = 2
    # ... and the largest number of these for a very long row
    MAX_CSR_NONZEROS = 256
    # Records that are brought up to date one after the other: how many numbers ahead
    CSR_NUMBERS_AHEAD = 512
    # Packets between threads: how many ahead, when they are written and when read
    PACKETS_AHEAD = 16


@cython.final
cdef class RowPrefetch:
    cdef const char* first_row
    cdef Py_ssize_t bytes_of_row
    # How many positions ahead rows are prefetched, and their first bytes
    cdef readonly Py_ssize_t n_ahead, n_early
    cdef Py_ssize_t early_bytes
    cdef RowsAhead by_first, by_second

    cdef void begin_epoch(self, Py_ssize_t rows_at_once) noexcept nogil
    cdef void by_first_product(self) noexcept nogil
    cdef void by_both_products(self) noexcept nogil
    cdef void begin_block(
        self, const uint32_t* rows_ahead, const uint32_t* rows_early, Py_ssize_t n_rows
    ) noexcept nogil
    cdef void prefetch_row(self, uint32_t row) noexcept nogil


cdef inline void prefetch_bytes(const void* start, size_t n_bytes) noexcept nogil:
    """Prefetch n_bytes, at least 1."""
    cdef size_t line
    for line in range((n_bytes + CACHE_LINE - 1) // CACHE_LINE):
        prefetch(<const char*>start + line * CACHE_LINE)
    # They can begin within a cache line, so their end can be in one more line.
    prefetch(<const char*>start + n_bytes - 1)
