"""Declarations of the targets; see targets.pyx."""

from libc.stdint cimport uint32_t


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
