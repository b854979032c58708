"""The table of rest.pxd, which explains it."""

import numpy as np

cimport cython
from libc.math cimport INFINITY


@cython.final
cdef class RestTable:
    """Bounds for updates at one rate, under an L1 penalty.

    Parameters
    ----------
    size : int
        Largest number of updates.
    """

    def __init__(self, Py_ssize_t size):
        self.reach_array = np.empty(size + 1)
        self.reach = <double*><size_t>self.reach_array.ctypes.data

    cdef void build(
        self, Py_ssize_t n_updates, double eta, double mu, double lam2, double lam1,
        bint nesterov,
    ) noexcept nogil:
        cdef double away, y = 0.0
        cdef Py_ssize_t n
        self.a = eta * lam2
        self.c = eta * lam1
        self.m = (1.0 - self.a) * mu if nesterov else mu
        away = 1.0 - self.m
        self.k = away - 0.5 * self.a
        # The minimum over v of k (m v - 1)^2 + m ((1 - m) v + 1)^2 / 2
        self.q = self.k + 0.5 * self.m - (
            0.5 * self.m * (2.0 * self.k - away) * (2.0 * self.k - away)
            / (2.0 * self.k * self.m + away * away))
        self.y_slope = self.m / away
        self.loss_constant = 1.0 + self.y_slope
        self.loss_slope = away / self.c + self.y_slope * self.a / self.c
        for n in range(n_updates + 1):
            if self.updates_to_rest(y) <= n:
                y = self.end_of_reach(y, n)
                self.reach[n] = y
            else:
                self.reach[n] = -1.0

    cdef double updates_to_rest(self, double y) noexcept nogil:
        """The second bound."""
        cdef double a = self.a, c = self.c, m = self.m
        cdef double V, below, energy, f, lost
        if not (c > 0.0 and a < 1.0 and self.k > 0.0):
            return INFINITY
        V = (c + a * y) / (1.0 - m)
        below = V - 2.0 * c
        energy = max(
            c * below + 0.5 * (a + m) * below * below,
            0.5 * m * V * V / ((1.0 - a) * (1.0 - a)))
        f = c - a * energy / c
        if not f > 0.0:
            return INFINITY
        lost = self.q * f * f
        return 3.0 + self.loss_constant + self.loss_slope * y + 2.0 * energy / (
            lost + min(lost, self.k * c * c / (m * m)))

    cdef double end_of_reach(self, double from_y, double n_updates) noexcept nogil:
        """A y that so many updates bring to rest, nearly the largest.

        From one that they bring there. y falls by at least c / (1 - m) per update, so
        that one more update brings no more than that.
        """
        cdef double lower = from_y, upper = from_y + self.c / (1.0 - self.m), middle
        cdef Py_ssize_t i
        for i in range(8):
            middle = 0.5 * (lower + upper)
            if self.updates_to_rest(middle) <= n_updates:
                lower = middle
            else:
                upper = middle
        return lower
