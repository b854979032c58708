"""Threads that train one model together."""

import numpy as np

cimport cython
from libc.math cimport ceil
from libc.stdint cimport int64_t
from libc.string cimport memset

from skmbsgd._engine.prefetch cimport CACHE_LINE, prefetch, prefetch_to_write
from skmbsgd._engine.threads cimport (
    BYTES_OF_PACKET, Packet, add_packet_double, add_packet_float, fill_packet,
    pause, publish, published, yield_processor,
)
from skmbsgd._engine.models cimport DenseModel

cdef enum:
    # Processors may fetch cache lines in pairs.
    ALIGNMENT = 2 * CACHE_LINE
    # Packets are sent for so many in advance, when they are written and when read.
    PACKETS_AHEAD = 16
    # Looks at a packet before they become less frequent, which leaves more of a core to
    # the other thread on it, and before the core is left to others: some microseconds
    LOOKS_BEFORE_PAUSE = 256
    LOOKS_BEFORE_YIELD = 1024


@cython.final
cdef class Team:
    """Threads that train one model, each on its share of every batch.

    Each thread moves a model of its own. When it has gone through its share, it hands
    its gradients to the others and adds up theirs, all threads in the same order. So
    they make the same step, and the models stay equal to the last bit. To meet once in
    a batch is enough: gradients are written into two slots by turns, and nobody can be
    two meetings ahead of another.

    Parameters
    ----------
    n_threads : int
    bytes_of_gradients : int, default=0
        What the gradients of the model take in memory.
    """

    def __init__(self, Py_ssize_t n_threads, Py_ssize_t bytes_of_gradients=0):
        self.n_threads = n_threads
        self.n_packets = (bytes_of_gradients + BYTES_OF_PACKET - 1) // BYTES_OF_PACKET
        self.bytes_of_slot = aligned(self.n_packets * sizeof(Packet))
        n_bytes = (2 + 2 * n_threads * self.bytes_of_slot // ALIGNMENT) * ALIGNMENT
        self.memory_array = np.zeros(n_bytes, dtype=np.uint8)
        cdef size_t address = aligned(self.memory_array.ctypes.data)
        self.given_up = <int64_t*>address
        self.packets = <Packet*>(address + ALIGNMENT)

    cdef inline Packet* slot(self, Py_ssize_t thread, int64_t meeting) noexcept nogil:
        """Where a thread lays down its gradients for a meeting."""
        return <Packet*>(
            <char*>self.packets + (2 * thread + (meeting & 1)) * self.bytes_of_slot)

    def give_up(self):
        """Have all threads leave the epoch, since one of them cannot go on."""
        publish(self.given_up, 1)


cdef size_t aligned(size_t number):
    return (number + ALIGNMENT - 1) // <size_t>ALIGNMENT * <size_t>ALIGNMENT


@cython.final
cdef class Member:
    """A thread of a team.

    Parameters
    ----------
    team : Team
    thread : int
        Its number. Thread 0 leads: it decides the order of the rows.
    model : DenseModel, default=None
        Its model; None if it is alone.
    """

    def __init__(self, Team team, Py_ssize_t thread, DenseModel model=None):
        self.team = team
        self.thread = thread
        self.model = model
        self.is_alone = team.n_threads == 1
        self.leads = thread == 0

    cdef void take_share(
        self, Py_ssize_t batch_size, double cost_of_row, double cost_of_turn
    ):
        """Divide batches into shares that take as long as each other.

        Each row costs the thread that works on it cost_of_row, and the leader, who
        decides its turn, cost_of_turn.
        """
        cdef Py_ssize_t n = self.team.n_threads
        self.batch_size = batch_size
        if self.is_alone:
            self.share_first, self.share_rows = 0, batch_size
            self.least_share = batch_size
            return
        order = cost_of_turn / cost_of_row
        of_leader = in_fours(batch_size * max(0.0, 1.0 - (n - 1) * order) / n)
        of_others = in_fours((batch_size - of_leader) / <double>(n - 1))
        self.share_first = 0 if self.leads else (
            of_leader + (self.thread - 1) * of_others)
        self.share_rows = of_leader if self.leads else of_others
        self.least_share = min(of_leader, of_others)

    cdef Py_ssize_t place_ahead(
        self, Py_ssize_t place, Py_ssize_t n_visits
    ) noexcept nogil:
        """The place in the order that this thread visits so many rows later."""
        cdef Py_ssize_t first_of_share
        if self.is_alone:
            return place + n_visits
        first_of_share = place // self.batch_size * self.batch_size + self.share_first
        n_visits += place - first_of_share
        return (first_of_share + n_visits // self.share_rows * self.batch_size
                + n_visits % self.share_rows)

    cdef void send(self) noexcept nogil:
        """Hand the gradients to the others."""
        cdef Packet* packets
        cdef Py_ssize_t i
        self.n_meetings += 1
        packets = self.team.slot(self.thread, self.n_meetings)
        for i in range(self.team.n_packets):
            if i + PACKETS_AHEAD < self.team.n_packets:
                prefetch_to_write(packets + i + PACKETS_AHEAD)
            fill_packet(packets + i, <char*>self.model.g + i * BYTES_OF_PACKET,
                        self.n_meetings)

    cdef bint receive(self) noexcept nogil:
        """Set the gradients to the sum of all; tell whether nobody has given up."""
        cdef Py_ssize_t i, thread
        cdef Packet* packets
        memset(self.model.g, 0, self.team.n_packets * BYTES_OF_PACKET)
        for thread in range(self.team.n_threads):
            if not self.receive_from(thread):
                return False
        # All have read what lies in the other slot.
        packets = self.team.slot(self.thread, self.n_meetings + 1)
        for i in range(min(self.team.n_packets, <Py_ssize_t>PACKETS_AHEAD)):
            prefetch_to_write(packets + i)
        return True

    cdef bint receive_from(self, Py_ssize_t thread) noexcept nogil:
        cdef const Packet* packets = self.team.slot(thread, self.n_meetings)
        cdef Py_ssize_t i
        cdef char* sums
        for i in range(self.team.n_packets):
            if i + PACKETS_AHEAD < self.team.n_packets:
                prefetch(packets + i + PACKETS_AHEAD)
            if not self.wait_for(packets + i):
                return False
            sums = <char*>self.model.g + i * BYTES_OF_PACKET
            if self.model.single_precision:
                add_packet_float(packets + i, <float*>sums)
            else:
                add_packet_double(packets + i, <double*>sums)
        return True

    cdef bint wait_for(self, const Packet* packet) noexcept nogil:
        """Wait until a packet is here; tell whether it will be."""
        cdef Py_ssize_t n_looks = 0
        while published(&packet.meeting) != self.n_meetings:
            n_looks += 1
            if n_looks > LOOKS_BEFORE_PAUSE:
                pause()
            if n_looks % LOOKS_BEFORE_YIELD == 0:
                if published(self.team.given_up):
                    return False
                yield_processor()
        return True


cdef Py_ssize_t in_fours(double n_rows):
    """At least so many rows, of which the products take four at a time."""
    return max(1, <Py_ssize_t>ceil(n_rows / 4.0)) * 4
