"""Threads that add up a buffer of numbers, such as the gradients of one model."""

import numpy as np

cimport cython
from libc.math cimport ceil
from libc.stdint cimport int64_t
from libc.string cimport memset

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.prefetch cimport (
    CACHE_LINE, PACKETS_AHEAD, prefetch, prefetch_to_write,
)
from skmbsgd._engine.signals cimport check_signals
from skmbsgd._engine.threads cimport (
    BYTES_OF_PACKET, Packet, add_packet_double, add_packet_float, fill_packet,
    milliseconds, pause, publish, published, yield_processor,
)

cdef enum:
    # Processors may fetch cache lines in pairs.
    ALIGNMENT = 2 * CACHE_LINE
    # Number of checks for a packet before they become less frequent, which leaves more
    # of a core to its other thread, and before the core is yielded: microseconds
    CHECKS_BEFORE_PAUSE = 256
    CHECKS_BEFORE_YIELD = 1024


@cython.final
cdef class Team:
    """Threads that train one model, each on its share of every batch.

    Each thread updates its own model. After processing its share, it sends its
    gradients to the others, and adds up those of all threads in the same order as they
    do. So all threads make the same step, and the models stay equal bit for bit. One
    round of this per batch is enough: gradients alternate between two slots, and no
    thread can be two rounds ahead of another.

    Parameters
    ----------
    n_threads : int
    bytes_of_buffer : int, default=0
        Size of the numbers to be added up.
    """

    def __init__(self, Py_ssize_t n_threads, Py_ssize_t bytes_of_buffer=0):
        self.n_threads = n_threads
        self.n_full_packets = bytes_of_buffer // BYTES_OF_PACKET
        self.bytes_of_rest = bytes_of_buffer % BYTES_OF_PACKET
        self.bytes_of_slot = aligned((self.n_full_packets + 1) * sizeof(Packet))
        n_bytes = (2 + 2 * n_threads * self.bytes_of_slot // ALIGNMENT) * ALIGNMENT
        self.memory_array = np.zeros(n_bytes, dtype=np.uint8)
        cdef size_t address = aligned(self.memory_array.ctypes.data)
        self.given_up = <int64_t*>address
        self.packets = <Packet*>(address + ALIGNMENT)

    cdef inline Packet* slot(self, Py_ssize_t thread, int64_t round) noexcept nogil:
        """The slot for the numbers of a thread in a round."""
        return <Packet*>(
            <char*>self.packets + (2 * thread + (round & 1)) * self.bytes_of_slot)

    def give_up(self):
        """Make all threads leave the epoch, because one of them cannot continue."""
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
    buffer : ndarray of float32 or float64, default=None
        Its numbers, contiguous and writable; None if there is only one thread.
    """

    def __init__(self, Team team, Py_ssize_t thread, buffer=None):
        self.team = team
        self.thread = thread
        self.is_alone = team.n_threads == 1
        self.leads = thread == 0
        self.buffer = buffer
        if buffer is not None:
            self.single_precision = buffer.dtype == np.float32
            self.numbers = <char*><size_t>buffer.ctypes.data

    cdef void take_share(
        self, Py_ssize_t batch_size, double cost_of_row, double cost_of_position
    ):
        """Divide batches into shares that take the same time.

        Each row costs its thread cost_of_row, and costs the leader, which decides the
        order, cost_of_position.
        """
        cdef Py_ssize_t n = self.team.n_threads
        self.batch_size = batch_size
        if self.is_alone:
            self.share_first, self.share_rows = 0, batch_size
            self.least_share = batch_size
            return
        order = cost_of_position / cost_of_row
        of_leader = in_fours(batch_size * max(0.0, 1.0 - (n - 1) * order) / n)
        of_others = in_fours((batch_size - of_leader) / <double>(n - 1))
        self.share_first = 0 if self.leads else (
            of_leader + (self.thread - 1) * of_others)
        self.share_rows = of_leader if self.leads else of_others
        self.least_share = min(of_leader, of_others)

    cdef Py_ssize_t position_ahead(
        self, Py_ssize_t position, Py_ssize_t n_positions
    ) noexcept nogil:
        """The position in the order that this thread reaches n_positions later."""
        cdef Py_ssize_t first_of_share
        if self.is_alone:
            return position + n_positions
        first_of_share = (
            position // self.batch_size * self.batch_size + self.share_first)
        n_positions += position - first_of_share
        return (first_of_share + n_positions // self.share_rows * self.batch_size
                + n_positions % self.share_rows)

    cdef void send(self) noexcept nogil:
        """Send the numbers to the others, in a new round."""
        cdef Py_ssize_t i, n = self.team.n_full_packets
        cdef Packet* packets
        self.round += 1
        packets = self.team.slot(self.thread, self.round)
        for i in range(n):
            if i + PACKETS_AHEAD < n:
                prefetch_to_write(packets + i + PACKETS_AHEAD)
            fill_packet(packets + i, self.numbers + i * BYTES_OF_PACKET,
                        BYTES_OF_PACKET, self.round)
        fill_packet(packets + n, self.numbers + n * BYTES_OF_PACKET,
                    self.team.bytes_of_rest, self.round)

    cdef bint receive(self) except -1 nogil:
        """Set the numbers to the sums over the team; return whether none gave up."""
        if self.single_precision:
            return self.add_up(<float*>self.numbers)
        return self.add_up(<double*>self.numbers)

    cdef bint add_up(self, floating* sums) except -1 nogil:
        cdef Py_ssize_t i, thread, n = self.team.n_full_packets
        cdef Packet* packets
        memset(sums, 0, n * BYTES_OF_PACKET + self.team.bytes_of_rest)
        for thread in range(self.team.n_threads):
            if not self.add_numbers_of(thread, sums):
                return False
        # All threads have read the other slot.
        packets = self.team.slot(self.thread, self.round + 1)
        for i in range(min(n + 1, <Py_ssize_t>PACKETS_AHEAD)):
            prefetch_to_write(packets + i)
        return True

    cdef bint add_numbers_of(
        self, Py_ssize_t thread, floating* sums
    ) except -1 nogil:
        """Add the numbers of a thread; return whether none gave up."""
        cdef const Packet* packets = self.team.slot(thread, self.round)
        cdef Py_ssize_t i, n = self.team.n_full_packets
        for i in range(n):
            if i + PACKETS_AHEAD < n:
                prefetch(packets + i + PACKETS_AHEAD)
            if not self.wait_for(packets + i):
                return False
            add_packet(sums, packets + i, BYTES_OF_PACKET)
            sums += BYTES_OF_PACKET // sizeof(floating)
        if not self.wait_for(packets + n):
            return False
        add_packet(sums, packets + n, self.team.bytes_of_rest)
        return True

    cdef inline bint wait_for(self, const Packet* packet) except -1 nogil:
        """Wait for a packet; return whether it has arrived."""
        return published(&packet.round) == self.round or self.wait_long_for(packet)

    cdef bint wait_long_for(self, const Packet* packet) except -1 nogil:
        cdef Py_ssize_t n_checks = 0
        cdef int64_t now, last = 0
        while published(&packet.round) != self.round:
            n_checks += 1
            if n_checks > CHECKS_BEFORE_PAUSE:
                pause()
            if n_checks % CHECKS_BEFORE_YIELD == 0:
                if published(self.team.given_up):
                    return False
                yield_processor()
                now = milliseconds()
                if self.leads and last > 0 and now > last:
                    check_signals()
                last = now
        return True


cdef inline void add_packet(
    floating* sums, const Packet* packet, size_t n_bytes
) noexcept nogil:
    """Add the numbers of a packet to as many sums."""
    if floating is double:
        add_packet_double(sums, packet, n_bytes)
    else:
        add_packet_float(sums, packet, n_bytes)


cdef Py_ssize_t in_fours(double n_rows):
    """n_rows, rounded up for products that take four at a time; at least 4."""
    return max(1, <Py_ssize_t>ceil(n_rows / 4.0)) * 4
