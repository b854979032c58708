"""The table of gaps.pxd, which explains it."""

import numpy as np

cimport cython
from libc.math cimport M_PI, acos, sqrt


cdef inline Tail compose_tails(
    const Map* first, const Tail* first_tail, const Map* second, const Tail* second_tail
) noexcept nogil:
    cdef Tail both
    cdef double w = first_tail.w_constant, v = first_tail.v_constant
    both.w_constant = second.ww * w + second.wv * v + second_tail.w_constant
    both.v_constant = second.vw * w + second.vv * v + second_tail.v_constant
    both.sum_w = (first_tail.sum_w + second_tail.sum_w * first.ww
                  + second_tail.sum_v * first.vw)
    both.sum_v = (first_tail.sum_v + second_tail.sum_w * first.wv
                  + second_tail.sum_v * first.vv)
    both.sum_constant = (first_tail.sum_constant + second_tail.sum_w * w
                         + second_tail.sum_v * v + second_tail.sum_constant)
    return both


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


cdef inline Tail tail_of_update(
    const Map* step, double eta, double mu, double lam1, bint nesterov, bint averaged
) noexcept nogil:
    cdef Tail tail
    cdef double c = eta * lam1
    tail.w_constant = -c * (1.0 + mu) if nesterov else -c
    tail.v_constant = -c
    tail.sum_w = step.ww if averaged else 0.0
    tail.sum_v = step.wv if averaged else 0.0
    tail.sum_constant = tail.w_constant if averaged else 0.0
    return tail


cdef Py_ssize_t longest_safe_stride(const Map* step) noexcept nogil:
    """How many updates may be tested at once for a loss of sign; 0 for none.

    While a weight is positive and its map turns by less than half a circle in all, the
    logarithm of its distance from the map's fixed point is concave: it exceeds a bound
    in between if it does so at both ends. Real eigenvalues do not turn.
    """
    cdef double trace = step.ww + step.vv
    cdef double determinant = step.ww * step.vv - step.wv * step.vw
    if trace <= 0.0 or determinant < 0.0:
        return 0
    if trace * trace >= 4.0 * determinant:
        return 1 << 62
    return <Py_ssize_t>(M_PI / acos(trace / (2.0 * sqrt(determinant)))) - 1


@cython.final
cdef class GapTable:
    """Products of the maps of any range of a window of updates.

    Parameters
    ----------
    size : int
        Largest number of updates in a window.
    with_tails : bool
        Whether there is an L1 penalty or a sum of the weights.
    """

    def __init__(self, Py_ssize_t size, bint with_tails):
        self.size = size
        self.with_tails = with_tails
        self.n_levels = 1 if size == 1 else highest_bit(size - 1) + 1
        shape = self.n_levels * size
        self.maps_array = np.empty((shape, sizeof(Map) // sizeof(double)))
        self.maps = <Map*><size_t>self.maps_array.ctypes.data
        self.tails_array = np.empty(
            (shape if with_tails else 0, sizeof(Tail) // sizeof(double))
        )
        self.tails = <Tail*><size_t>self.tails_array.ctypes.data

    cdef void build(
        self, const double* rates, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        double mu, double lam2, double lam1, bint nesterov,
    ) noexcept nogil:
        """Fill the table for a window of at most `size` updates.

        The updates from first_averaged on join the sum of the weights.
        """
        cdef Py_ssize_t t, level
        self.n_updates = n_updates
        self.longest_stride = 1 << 62
        self.uniform = not (self.with_tails and 0 < first_averaged < n_updates)
        for t in range(n_updates):
            self.uniform = self.uniform and rates[t] == rates[0]
            self.maps[t] = map_of_update(rates[t], mu, lam2, nesterov)
            if self.with_tails:
                self.tails[t] = tail_of_update(
                    &self.maps[t], rates[t], mu, lam1, nesterov, t >= first_averaged)
                self.longest_stride = min(
                    self.longest_stride, longest_safe_stride(&self.maps[t]))
        if self.uniform:
            self.fill_powers()
        else:
            for level in range(1, self.n_levels):
                self.fill_level(level)

    cdef void fill_powers(self) noexcept nogil:
        """Of maps that are all the same, leave the products of the first 1, 2, ..."""
        cdef Py_ssize_t t
        for t in range(1, self.n_updates):
            self.compose(t, t - 1, t)

    cdef void fill_level(self, Py_ssize_t level) noexcept nogil:
        """Products towards the middles of blocks of 2^(level + 1) updates."""
        cdef Py_ssize_t half = <Py_ssize_t>1 << level
        cdef Py_ssize_t row = level * self.size, middle = half, t
        while middle < self.n_updates:
            self.maps[row + middle - 1] = self.maps[middle - 1]
            self.maps[row + middle] = self.maps[middle]
            if self.with_tails:
                self.tails[row + middle - 1] = self.tails[middle - 1]
                self.tails[row + middle] = self.tails[middle]
            t = middle - 2
            while t >= middle - half:
                self.compose(row + t, t, row + t + 1)
                t -= 1
            for t in range(middle + 1, min(middle + half, self.n_updates)):
                self.compose(row + t, row + t - 1, t)
            middle += 2 * half

    cdef inline void compose(
        self, Py_ssize_t target, Py_ssize_t first, Py_ssize_t second
    ) noexcept nogil:
        """Write the product that does the first and then the second."""
        if self.with_tails:
            self.tails[target] = compose_tails(
                &self.maps[first], &self.tails[first],
                &self.maps[second], &self.tails[second])
        self.maps[target] = compose_maps(&self.maps[first], &self.maps[second])
