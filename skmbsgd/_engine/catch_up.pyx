"""The tables of catch_up.pxd, which explains them."""

import numpy as np

cimport cython
from libc.math cimport M_PI, acos, sqrt

from skmbsgd._engine.prefetch cimport CACHE_LINE


cdef inline Map map_of_update(
    double eta, double mu, double lam2, bint nesterov
) noexcept nogil:
    cdef Map step
    cdef double a = eta * lam2
    step.ww = 1.0 - a * (1.0 + mu) if nesterov else 1.0 - a
    step.wv = mu * mu if nesterov else mu
    step.vw = -a
    step.vv = mu
    return step


cdef inline Affine affine_of_update(
    const Map* step, double eta, double mu, double lam1, bint nesterov
) noexcept nogil:
    cdef Affine one
    one.ww, one.wv, one.vw, one.vv = step.ww, step.wv, step.vw, step.vv
    one.unused, one.unused_too = 0.0, 0.0
    one.v_constant = -eta * lam1
    one.w_constant = (1.0 + mu) * one.v_constant if nesterov else one.v_constant
    return one


cdef Affine no_change() noexcept nogil:
    cdef Affine same
    same.ww, same.wv, same.w_constant = 1.0, 0.0, 0.0
    same.vw, same.vv, same.v_constant = 0.0, 1.0, 0.0
    same.unused, same.unused_too = 0.0, 0.0
    return same


cdef AffineSum no_weights() noexcept nogil:
    cdef AffineSum none
    none.sum_w, none.sum_v, none.sum_constant = 0.0, 0.0, 0.0
    return none


cdef inline Affine compose(const Affine* first, const Affine* second) noexcept nogil:
    """The map that does the first and then the second."""
    cdef Affine both = first[0]
    cdef Map linear
    linear.ww, linear.wv, linear.vw, linear.vv = (
        second.ww, second.wv, second.vw, second.vv)
    apply_map(&linear, &both.ww, &both.vw)
    apply_map(&linear, &both.wv, &both.vv)
    apply_affine(second, 1.0, &both.w_constant, &both.v_constant)
    return both


cdef inline AffineSum sum_after(const Affine* map, bint averaged) noexcept nogil:
    """The weight after the map, or nothing."""
    cdef AffineSum one
    one.sum_w = map.ww if averaged else 0.0
    one.sum_v = map.wv if averaged else 0.0
    one.sum_constant = map.w_constant if averaged else 0.0
    return one


cdef inline AffineSum compose_sums(
    const Affine* first, const AffineSum* first_sums, const AffineSum* second_sums
) noexcept nogil:
    cdef AffineSum both = first_sums[0]
    both.sum_w += second_sums.sum_w * first.ww + second_sums.sum_v * first.vw
    both.sum_v += second_sums.sum_w * first.wv + second_sums.sum_v * first.vv
    both.sum_constant += affine_weight_sum(
        second_sums, 1.0, first.w_constant, first.v_constant)
    return both


cdef CatchUp no_update() noexcept nogil:
    cdef CatchUp same
    same.ww, same.wv, same.wg = 1.0, 0.0, 0.0
    same.vw, same.vv, same.vg = 0.0, 1.0, 0.0
    same.kept, same.unused = 1.0, 0.0
    return same


cdef inline CatchUp catch_up_of_update(
    const Map* step, double eta, double mu, bint nesterov
) noexcept nogil:
    cdef CatchUp one
    one.ww, one.wv = step.ww, step.wv
    one.vw, one.vv = step.vw, step.vv
    one.wg = -eta * (1.0 + mu) if nesterov else -eta
    one.vg = -eta
    one.kept, one.unused = 0.0, 0.0
    return one


cdef inline void continue_catch_up(
    const Map* step, bint averaged, CatchUp* map, Sum* sums
) noexcept nogil:
    """Let one more update follow, without a gradient."""
    apply_map(step, &map.ww, &map.vw)
    apply_map(step, &map.wv, &map.vv)
    apply_map(step, &map.wg, &map.vg)
    if averaged:
        add_weights(map, sums)


cdef inline void add_weights(const CatchUp* map, Sum* sums) noexcept nogil:
    sums.sum_w += map.ww
    sums.sum_v += map.wv
    sums.sum_g += map.wg


cdef Py_ssize_t longest_safe_stride(const Map* step) noexcept nogil:
    """How many updates may be tested at once for a loss of sign; 0 for none.

    While a weight is positive and its map turns by less than half a circle in all, the
    logarithm of its distance from the map's fixed point is concave: it exceeds a bound
    in between if it does so at both ends. Real eigenvalues do not turn.
    """
    cdef double trace = step.ww + step.vv
    cdef double determinant = step.ww * step.vv - step.wv * step.vw
    cdef double cosine
    if trace <= 0.0 or determinant < 0.0:
        return 0
    cosine = trace / (2.0 * sqrt(determinant))
    if not cosine < 1.0:
        return 1 << 62
    return <Py_ssize_t>(M_PI / acos(cosine)) - 1


cdef size_t aligned(size_t address):
    """The first address from this one on that begins a cache line."""
    return (address + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


cdef object array_of(Py_ssize_t n, size_t size):
    """Memory for n structures of float64 numbers and for a cache line more."""
    return np.empty((n * size + CACHE_LINE) // sizeof(double))


@cython.final
cdef class PowerTable:
    """Catching up over equal updates.

    Parameters
    ----------
    size : int
        Largest number of updates.
    """

    def __init__(self, Py_ssize_t size):
        self.catch_ups_array = array_of(size + 1, sizeof(CatchUp))
        self.catch_ups = <CatchUp*>aligned(<size_t>self.catch_ups_array.ctypes.data)
        self.sums_array = array_of(size + 1, sizeof(Sum))
        self.sums = <Sum*><size_t>self.sums_array.ctypes.data

    cdef void build(
        self, Py_ssize_t n_updates, double eta, double mu, double lam2, bint nesterov,
        bint averaged,
    ) noexcept nogil:
        cdef Map step = map_of_update(eta, mu, lam2, nesterov)
        cdef CatchUp map = no_update()
        cdef Sum sums
        cdef Py_ssize_t n
        sums.sum_w, sums.sum_v, sums.sum_g = 0.0, 0.0, 0.0
        self.catch_ups[0], self.sums[0] = map, sums
        for n in range(1, n_updates + 1):
            if n == 1:
                map = catch_up_of_update(&step, eta, mu, nesterov)
                if averaged:
                    add_weights(&map, &sums)
            else:
                continue_catch_up(&step, averaged, &map, &sums)
            self.catch_ups[n], self.sums[n] = map, sums


@cython.final
cdef class CatchUpTable:
    """Catching up to the present over updates that differ.

    Each update moves the present, and with it the maps of its own block and those of
    all blocks before: about the square root of the window's size in all.

    Parameters
    ----------
    size : int
        Largest number of updates in a window.
    """

    def __init__(self, Py_ssize_t size):
        self.shift = 0
        while 1 << (2 * self.shift) < size:
            self.shift += 1
        n_blocks = (size >> self.shift) + 1
        self.catch_ups_array = array_of(size + 1, sizeof(CatchUp))
        self.catch_ups = <CatchUp*>aligned(<size_t>self.catch_ups_array.ctypes.data)
        self.sums_array = array_of(size + 1, sizeof(Sum))
        self.sums = <Sum*><size_t>self.sums_array.ctypes.data
        self.block_maps_array = array_of(n_blocks, sizeof(Map))
        self.block_maps = <Map*><size_t>self.block_maps_array.ctypes.data
        self.block_sums_array = array_of(n_blocks, sizeof(Sum))
        self.block_sums = <Sum*><size_t>self.block_sums_array.ctypes.data

    cdef void begin(self) noexcept nogil:
        """Begin a window: no update has been made."""
        self.now = 0
        self.open_update()

    cdef void open_update(self) noexcept nogil:
        """Let no update be made since the present one began, or its block."""
        cdef Py_ssize_t block = self.now >> self.shift
        cdef Map* map = self.block_maps + block
        cdef Sum* sums = self.block_sums + block
        self.catch_ups[self.now] = no_update()
        sums.sum_w, sums.sum_v, sums.sum_g = 0.0, 0.0, 0.0
        self.sums[self.now] = sums[0]
        map.ww, map.wv, map.vw, map.vv = 1.0, 0.0, 0.0, 1.0

    cdef void append(
        self, double eta, double mu, double lam2, bint nesterov, bint averaged
    ) noexcept nogil:
        """Let the present update be made."""
        cdef Map step = map_of_update(eta, mu, lam2, nesterov)
        cdef Py_ssize_t t, block = self.now >> self.shift
        for t in range(block << self.shift, self.now):
            continue_catch_up(&step, averaged, self.catch_ups + t, self.sums + t)
        self.catch_ups[self.now] = catch_up_of_update(&step, eta, mu, nesterov)
        if averaged:
            add_weights(self.catch_ups + self.now, self.sums + self.now)
        for t in range(block):
            apply_map(&step, &self.block_maps[t].ww, &self.block_maps[t].vw)
            apply_map(&step, &self.block_maps[t].wv, &self.block_maps[t].vv)
            if averaged:
                self.block_sums[t].sum_w += self.block_maps[t].ww
                self.block_sums[t].sum_v += self.block_maps[t].wv
        self.now += 1
        self.open_update()


@cython.final
cdef class GapTable:
    """Products of the maps of any range of a window of updates, for an L1 penalty.

    Parameters
    ----------
    size : int
        Largest number of updates in a window.
    """

    def __init__(self, Py_ssize_t size):
        self.size = size
        self.n_levels = 1 if size == 1 else highest_bit(size - 1) + 1
        self.maps_array = array_of(1 + self.n_levels * size, sizeof(Affine))
        self.maps = 1 + <Affine*>aligned(<size_t>self.maps_array.ctypes.data)
        self.sums_array = array_of(1 + self.n_levels * size, sizeof(AffineSum))
        self.sums = 1 + <AffineSum*><size_t>self.sums_array.ctypes.data
        self.maps[IDENTITY], self.sums[IDENTITY] = no_change(), no_weights()

    cdef void build(
        self, const double* rates, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        bint uniform, double mu, double lam2, double lam1, bint nesterov,
    ) noexcept nogil:
        """Fill the table for a window of at most `size` updates.

        The updates from first_averaged on join the sum of the weights. `uniform` tells
        that all updates are equal.
        """
        cdef Py_ssize_t t, level
        cdef Map step
        self.n_updates = n_updates
        self.uniform = uniform
        self.longest_stride = 1 << 62
        for t in range(n_updates):
            step = map_of_update(rates[t], mu, lam2, nesterov)
            self.longest_stride = min(self.longest_stride, longest_safe_stride(&step))
            self.maps[t] = affine_of_update(&step, rates[t], mu, lam1, nesterov)
            self.sums[t] = sum_after(&self.maps[t], t >= first_averaged)
        if uniform:
            self.fill_powers()
        else:
            for level in range(1, self.n_levels):
                self.fill_level(level)

    cdef void fill_powers(self) noexcept nogil:
        """Of equal updates, leave the products of the first 1, 2, ..."""
        cdef Py_ssize_t t
        for t in range(1, self.n_updates):
            self.put_product(t, t - 1, t)

    cdef void fill_level(self, Py_ssize_t level) noexcept nogil:
        """Products towards the middles of blocks of 2^(level + 1) updates."""
        cdef Py_ssize_t half = <Py_ssize_t>1 << level
        cdef Py_ssize_t row = level * self.size, middle = half, t
        while middle < self.n_updates:
            for t in range(middle - 1, middle + 1):
                self.maps[row + t], self.sums[row + t] = self.maps[t], self.sums[t]
            for t in range(middle - 2, middle - half - 1, -1):
                self.put_product(row + t, t, row + t + 1)
            for t in range(middle + 1, min(middle + half, self.n_updates)):
                self.put_product(row + t, row + t - 1, t)
            middle += 2 * half

    cdef inline void put_product(
        self, Py_ssize_t target, Py_ssize_t first, Py_ssize_t second
    ) noexcept nogil:
        """Write what does the first and then the second."""
        self.sums[target] = compose_sums(
            &self.maps[first], &self.sums[first], &self.sums[second])
        self.maps[target] = compose(&self.maps[first], &self.maps[second])
