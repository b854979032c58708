"""Declarations of threads that add up a buffer of numbers; see team.pyx."""

cimport cython
from libc.stdint cimport int64_t

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.threads cimport Packet


@cython.final
cdef class Team:
    cdef readonly Py_ssize_t n_threads
    cdef object memory_array
    cdef int64_t* given_up
    # Each thread has two slots for its numbers, used in alternate rounds.
    cdef Packet* packets
    cdef Py_ssize_t n_full_packets, bytes_of_rest, bytes_of_slot

    cdef Packet* slot(self, Py_ssize_t thread, int64_t round) noexcept nogil


@cython.final
cdef class Member:
    cdef readonly Team team
    cdef readonly Py_ssize_t thread
    cdef readonly object buffer
    cdef readonly bint is_alone, leads
    cdef bint single_precision
    cdef char* numbers
    cdef int64_t round
    # In each batch of batch_size rows it processes share_rows, from share_first on.
    cdef Py_ssize_t batch_size
    cdef readonly Py_ssize_t share_first, share_rows
    # The smallest share of a thread
    cdef Py_ssize_t least_share

    cdef void take_share(
        self, Py_ssize_t batch_size, double cost_of_row, double cost_of_position)
    cdef Py_ssize_t position_ahead(
        self, Py_ssize_t position, Py_ssize_t n_positions) noexcept nogil
    cdef void send(self) noexcept nogil
    cdef bint receive(self) except -1 nogil
    cdef bint add_up(self, floating* sums) except -1 nogil
    cdef bint add_numbers_of(
        self, Py_ssize_t thread, floating* sums) except -1 nogil
    cdef bint wait_for(self, const Packet* packet) except -1 nogil
    cdef bint wait_long_for(self, const Packet* packet) except -1 nogil
