"""The tables for catching up; see catch_up.pxd."""

import numpy as np

cimport cython
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.math cimport M_PI, acos, fabs, sqrt

from skmbsgd._engine.penalties cimport Penalty
from skmbsgd._engine.prefetch cimport CACHE_LINE
from skmbsgd._engine.rules cimport Rule


cdef Map no_update() noexcept nogil:
    cdef Map same
    same.zz, same.zv, same.zg = 1.0, 0.0, 0.0
    same.vz, same.vv, same.vg = 0.0, 1.0, 0.0
    same.kept, same.unused = 1.0, 0.0
    return same


cdef inline void add_positions(const Map* map, Sum* sums) noexcept nogil:
    sums.sum_z += map.zz
    sums.sum_v += map.zv
    sums.sum_g += map.zg


cdef Py_ssize_t half_a_turn(const Map* update) noexcept nogil:
    """The number of updates that turn a position by less than half a circle."""
    cdef double trace = update.zz + update.vv
    cdef double determinant = update.zz * update.vv - update.zv * update.vz
    cdef double cosine
    if trace <= 0.0 or determinant < 0.0:
        return 0
    cosine = trace / (2.0 * sqrt(determinant))
    if not cosine < 1.0:
        return PY_SSIZE_T_MAX
    return <Py_ssize_t>(M_PI / acos(cosine)) - 1


cdef size_t aligned(size_t address):
    """The first address from this one on that begins a cache line."""
    return (address + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


cdef object array_of(Py_ssize_t n, size_t size):
    """Memory for n structures of float64 numbers and one more cache line."""
    return np.zeros((n * size + CACHE_LINE) // sizeof(double))


cdef class Updates:
    """Maps of the updates of a window.

    Parameters
    ----------
    rule : Rule
    penalty : Penalty
        The maps include its gradient.
    size : int
        Largest number of updates in a window.
    averaged : bool
        Whether the positions are added up, too.
    g_stays : bool, default=False
        Whether a gradient g acts at every update, not only at the first.
    """

    def __init__(
        self, Rule rule, Penalty penalty, Py_ssize_t size, bint averaged,
        bint g_stays=False,
    ):
        self.rule = rule
        self.penalty = penalty
        self.averaged = averaged
        self.g_stays = g_stays
        self.maps_array = array_of(size + 1, sizeof(Map))
        self.maps = <Map*>aligned(<size_t>self.maps_array.ctypes.data)
        self.sums_array = array_of(size + 1 if averaged else 1, sizeof(Sum))
        self.sums = <Sum*><size_t>self.sums_array.ctypes.data

    cdef Map map_of_update(self, double eta) noexcept nogil:
        """The result of the rule for a position, velocity and gradient of 1 each."""
        cdef Map one
        one.zz, one.vz = 1.0, 0.0
        one.zv, one.vv = 0.0, 1.0
        one.zg, one.vg = 0.0, 0.0
        one.kept, one.unused = self.g_stays, 0.0
        self.rule.move(&one.zz, &one.vz, self.penalty.l2_at(eta), eta)
        self.rule.move(&one.zv, &one.vv, 0.0, eta)
        self.rule.move(&one.zg, &one.vg, 1.0, eta)
        return one

    cdef inline void follow(
        self, const Map* update, bint averaged, Map* map, Sum* sums
    ) noexcept nogil:
        """Append one more update to the map."""
        apply_without_gradient(update, &map.zz, &map.vz)
        apply_without_gradient(update, &map.zv, &map.vv)
        apply_without_gradient(update, &map.zg, &map.vg)
        if self.g_stays:
            map.zg += update.zg
            map.vg += update.vg
        if averaged:
            add_positions(map, sums)


@cython.final
cdef class EqualUpdates(Updates):
    """Any number of equal updates."""

    cdef void build(
        self, double eta, Py_ssize_t n_updates, bint averaged
    ) noexcept nogil:
        """Fill the table for a window of updates at one rate."""
        cdef Map update = self.map_of_update(eta), map = no_update()
        cdef Sum sums
        cdef Py_ssize_t n
        sums.sum_z, sums.sum_v, sums.sum_g = 0.0, 0.0, 0.0
        self.maps[0] = map
        if self.averaged:
            self.sums[0] = sums
        for n in range(1, n_updates + 1):
            if n == 1:
                map = update
                if averaged:
                    add_positions(&map, &sums)
            else:
                self.follow(&update, averaged, &map, &sums)
            self.maps[n] = map
            if self.averaged:
                self.sums[n] = sums


@cython.final
cdef class DifferingUpdates(Updates):
    """Maps from any update to the present.

    Each update moves the present, and changes the maps of its own block and of all
    blocks before: in total about the square root of the window's size.
    """

    def __init__(
        self, Rule rule, Penalty penalty, Py_ssize_t size, bint averaged,
        bint g_stays=False,
    ):
        super().__init__(rule, penalty, size, averaged, g_stays)
        self.shift = 0
        while 1 << (2 * self.shift) < size:
            self.shift += 1
        n_blocks = (size >> self.shift) + 1
        self.block_maps_array = array_of(n_blocks, sizeof(Map))
        self.block_maps = <Map*>aligned(<size_t>self.block_maps_array.ctypes.data)
        self.block_sums_array = array_of(n_blocks, sizeof(Sum))
        self.block_sums = <Sum*><size_t>self.block_sums_array.ctypes.data

    cdef void begin(self) noexcept nogil:
        """Begin a window: no update has been made."""
        self.now = 0
        self.open_update()

    cdef void open_update(self) noexcept nogil:
        """Reset the maps since the beginning of the present update, or of its block."""
        cdef Sum* sums = self.block_sums + (self.now >> self.shift)
        sums.sum_z, sums.sum_v, sums.sum_g = 0.0, 0.0, 0.0
        self.block_maps[self.now >> self.shift] = no_update()
        self.maps[self.now] = no_update()
        if self.averaged:
            self.sums[self.now] = sums[0]

    cdef void append(self, double eta, bint averaged) noexcept nogil:
        """Append the present update to the maps."""
        cdef Map update = self.map_of_update(eta)
        cdef Py_ssize_t t, block = self.now >> self.shift
        for t in range(block << self.shift, self.now):
            self.follow(&update, averaged, self.maps + t, self.sums + t)
        self.maps[self.now] = update
        if averaged:
            add_positions(&update, self.sums + self.now)
        for t in range(block):
            self.follow(&update, averaged, self.block_maps + t, self.block_sums + t)
        self.now += 1
        self.open_update()


@cython.final
cdef class SignedUpdates(Updates):
    """The updates of a window under L1, if the sign of a weight matters."""

    def __init__(
        self, Rule rule, Penalty penalty, Py_ssize_t size, bint averaged
    ):
        super().__init__(rule, penalty, 0, averaged)
        self.equal = EqualUpdates(rule, penalty, size, averaged, g_stays=True)
        self.differing = DifferingUpdates(rule, penalty, size, averaged, g_stays=True)
        self.standing = EqualUpdates(rule, Penalty(), size, averaged=False)
        self.equal_once = EqualUpdates(rule, penalty, size, averaged)
        self.once, self.always = self.equal_once.maps, self.equal.maps
        self.at_zero = self.standing.maps
        self.l1 = penalty.l1
        self.moments_array = array_of(size + 1, sizeof(Moment))
        self.moments = <Moment*>aligned(<size_t>self.moments_array.ctypes.data)

    cdef void begin(
        self, double rate, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        bint are_equal, const double* threshold,
    ) noexcept nogil:
        """Begin a window of at most n_updates, at this rate if they are equal."""
        self.are_equal = are_equal
        self.first_averaged = first_averaged
        self.longest_stride = PY_SSIZE_T_MAX
        self.now = 0
        self.moments[0].u, self.moments[0].r = threshold[0], threshold[1]
        # Without a gradient, a weight of 0 moves in the same way at any rate.
        self.standing.build(rate, n_updates, averaged=False)
        if are_equal:
            self.equal_once.build(rate, n_updates, first_averaged <= 0)

    cdef void append(self, double eta) noexcept nogil:
        """Let the next update be made."""
        cdef Moment* moment = self.moments + self.now
        cdef Map update = self.standing.map_of_update(eta)
        moment.l2 = self.penalty.l2_at(eta)
        moment.zv, moment.zg = update.zv, update.zg
        moment.vv, moment.vg = update.vv, update.vg
        moment[1].u, moment[1].r = moment.u, moment.r
        self.penalty.move_threshold(self.rule, &moment[1].u, eta)
        if self.now == 0 or not self.are_equal:
            update = self.map_of_update(eta)
            self.longest_stride = min(self.longest_stride, half_a_turn(&update))
        # After such a steep fall of the rate, a falling weight can rise once more.
        if self.now > 0 and eta < 0.5 * self.last_rate:
            self.longest_stride = 0
        self.last_rate = eta
        self.now += 1

    cdef void walk(
        self, Py_ssize_t t, Py_ssize_t now, double* z, double* v, double* total
    ) noexcept nogil:
        """Apply the updates up to before the present, if the sign is lost.

        Equal updates are halved until the place is found. Others are applied block by
        block, and one by one in the block where the sign is lost.
        """
        cdef Py_ssize_t stop, n = now - t, shift = self.differing.shift
        cdef bint at_zero
        # A NaN remains NaN.
        while t < now and z[0] == z[0]:
            at_zero = fabs(z[0]) <= self.moments[t].u
            if at_zero:
                stop = now
            elif self.are_equal:
                n = (n + 1) // 2
                stop = min(t + n, now)
            else:
                stop = min(((t >> shift) + 1) << shift, now)
            if self.jump(t, stop, True, z, v, total):
                t = stop
            elif at_zero or n == 1 or not self.are_equal:
                self.step(t, z, v, 0.0, total)
                t += 1
                n = 2 * (now - t)


@cython.final
cdef class Window:
    """The updates of a window, with which coordinates catch up.

    Parameters
    ----------
    rule : Rule
    penalty : Penalty
    size : int
        Largest number of updates.
    averaged : bool
        Whether the weights are added up, too.
    """

    def __init__(self, Rule rule, Penalty penalty, Py_ssize_t size, bint averaged):
        self.size = size
        if penalty.l1 > 0.0 and (penalty.l2 > 0.0 or averaged):
            self.signed = SignedUpdates(rule, penalty, size, averaged)
            self.equal, self.differing = self.signed.equal, self.signed.differing
        else:
            self.equal = EqualUpdates(rule, penalty, size, averaged)
            self.differing = DifferingUpdates(rule, penalty, size, averaged)

    cdef void begin(
        self, const double* rates, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        const double* threshold,
    ) noexcept nogil:
        """Begin a window of updates at these rates; none has been made.

        Weights are added up after the update first_averaged, and after all later ones.
        """
        cdef bint are_equal = all_equal(rates, n_updates) and not (
            0 < first_averaged < n_updates)
        self.begin_tables(rates[0], n_updates, first_averaged, are_equal, threshold)

    cdef void begin_open(
        self, Py_ssize_t first_averaged, const double* threshold
    ) noexcept nogil:
        """The same if the rates are not known yet."""
        self.begin_tables(1.0, self.size, first_averaged, False, threshold)

    cdef void begin_tables(
        self, double rate, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        bint are_equal, const double* threshold,
    ) noexcept nogil:
        self.now = 0
        self.first_averaged = first_averaged
        self.are_equal = are_equal
        if are_equal:
            self.equal.build(rate, n_updates, first_averaged <= 0)
        else:
            self.differing.begin()
        if self.signed is not None:
            self.signed.begin(rate, n_updates, first_averaged, are_equal, threshold)

    cdef void average_from(self, Py_ssize_t first_averaged) noexcept nogil:
        """Add up the weights from a later update on."""
        self.first_averaged = first_averaged
        if self.signed is not None:
            self.signed.first_averaged = first_averaged

    cdef void append(self, double eta) noexcept nogil:
        """Let the next update be made."""
        if not self.are_equal:
            self.differing.append(eta, self.now >= self.first_averaged)
        if self.signed is not None:
            self.signed.append(eta)
        self.now += 1

    def caught_up(
        self, const double[::1] rates, Py_ssize_t t, double z, double v, double g,
        threshold=(0.0, 0.0), first_averaged=None,
    ):
        """Position and velocity of a coordinate after all updates.

        z and v are those before update t, and g is its gradient. u and r start at the
        threshold. The third number is the sum of the averaged weights since then.
        """
        cdef Py_ssize_t i, n = rates.shape[0]
        cdef double[2] u_and_r = threshold
        cdef double total = 0.0
        if not 0 < n <= self.size or not 0 <= t <= n:
            raise ValueError("The updates do not fit the window.")
        self.begin(&rates[0], n, n if first_averaged is None else first_averaged,
                   u_and_r)
        for i in range(n):
            self.append(rates[i])
        if self.signed is not None:
            self.signed.catch_up(t, n, &z, &v, &g, &total, 1)
        elif self.are_equal:
            self.equal.catch_up(t, n, &z, &v, &g, &total, 1)
        else:
            self.differing.catch_up(t, n, &z, &v, &g, &total, 1)
        return z, v, total


cdef bint all_equal(const double* values, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(1, n):
        if values[i] != values[0]:
            return False
    return True
