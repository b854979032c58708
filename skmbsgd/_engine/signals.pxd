"""Checking for signals, such as Ctrl-C, in loops without the GIL."""

from cpython.exc cimport PyErr_CheckSignals

cdef enum:
    # Work between two checks, in nanoseconds on a slow machine: far less than a person
    # notices, and far more than a check costs
    WORK_BETWEEN_SIGNALS = 4_000_000


cdef inline int check_signals() except -1 nogil:
    """Raise what a signal handler raises."""
    with gil:
        return PyErr_CheckSignals()
