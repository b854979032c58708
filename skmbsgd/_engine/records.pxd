"""Declarations of records; see records.pyx."""

cimport cython
from libc.stdint cimport int64_t

from skmbsgd._engine.prefetch cimport prefetch

cdef enum:
    # The place of the clock in a record
    CLOCK
cdef enum:
    NUMBERS_PER_LINE = 8


@cython.final
cdef class Records:
    cdef readonly Py_ssize_t n_coordinates
    cdef object array, active_array
    cdef double* first
    cdef Py_ssize_t stride
    # The coordinates that have ever been touched
    cdef int64_t* active
    cdef Py_ssize_t n_active
    cdef bint is_sorted

    cdef inline double* of(self, int64_t column) noexcept nogil:
        return self.first + column * self.stride

    cdef inline void activate(self, int64_t column) noexcept nogil:
        """Add a coordinate to those that have been touched."""
        self.active[self.n_active] = column
        self.n_active += 1
        self.is_sorted = False

    cdef inline Py_ssize_t n_lines(self) noexcept nogil:
        """The cache lines that a record occupies, if it begins with one."""
        return (self.stride + NUMBERS_PER_LINE - 1) // NUMBERS_PER_LINE

    cdef void sort_active(self)


cdef inline void prefetch_lines(const double* record, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t line
    for line in range(n):
        prefetch(record + line * NUMBERS_PER_LINE)
