"""Asking for memory before it is needed; see prefetch.h."""

cdef extern from "prefetch.h":
    enum:
        CACHE_LINE "SKMBSGD_CACHE_LINE"
    bint ask_while_reading "skmbsgd_ask_while_reading" () noexcept nogil
    void prefetch "SKMBSGD_PREFETCH" (const void* address) noexcept nogil
    void prefetch_to_write "SKMBSGD_PREFETCH_TO_WRITE" (
        const void* address) noexcept nogil


cdef inline void prefetch_lines(const void* start, size_t n_bytes) noexcept nogil:
    """Ask for the cache lines of the first byte and of every 64th after it.

    There is at least one byte. Two lines are asked for without a loop, which takes
    longer.
    """
    cdef size_t offset = 2 * CACHE_LINE
    prefetch(start)
    if n_bytes > CACHE_LINE:
        prefetch(<const char*>start + CACHE_LINE)
    while offset < n_bytes:
        prefetch(<const char*>start + offset)
        offset += CACHE_LINE


cdef inline void prefetch_bytes(const void* start, size_t n_bytes) noexcept nogil:
    """Ask for so many bytes, at least 1."""
    prefetch_lines(start, n_bytes)
    # They need not begin with a cache line: their end may lie in one more.
    prefetch(<const char*>start + n_bytes - 1)
