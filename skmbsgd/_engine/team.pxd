"""Declarations of threads that train one model together; see team.pyx."""

cimport cython
from libc.stdint cimport int64_t

from skmbsgd._engine.threads cimport Packet
from skmbsgd._engine.models cimport DenseModel


@cython.final
cdef class Team:
    cdef readonly Py_ssize_t n_threads
    cdef object memory_array
    cdef int64_t* given_up
    # Each thread has two slots for its gradients, used by turns.
    cdef Packet* packets
    cdef Py_ssize_t n_packets, bytes_of_slot

    cdef Packet* slot(self, Py_ssize_t thread, int64_t meeting) noexcept nogil


@cython.final
cdef class Member:
    cdef readonly Team team
    cdef readonly Py_ssize_t thread
    cdef readonly DenseModel model
    cdef readonly bint is_alone, leads
    cdef int64_t n_meetings
    # Of each batch_size rows it visits share_rows, from share_first on.
    cdef Py_ssize_t batch_size
    cdef readonly Py_ssize_t share_first, share_rows
    # The smallest share of a thread
    cdef Py_ssize_t least_share

    cdef void take_share(
        self, Py_ssize_t batch_size, double cost_of_row, double cost_of_turn)
    cdef Py_ssize_t place_ahead(
        self, Py_ssize_t place, Py_ssize_t n_visits) noexcept nogil
    cdef void send(self) noexcept nogil
    cdef bint receive(self) noexcept nogil
    cdef bint receive_from(self, Py_ssize_t thread) noexcept nogil
    cdef bint wait_for(self, const Packet* packet) noexcept nogil
