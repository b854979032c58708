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
        cdef double away
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
        self.way_back = 2.0 * self.c / away
        self.way_back_slope = self.a / away
        self.way_back_bend = self.a / self.c
        self.fill_reach(n_updates)

    cdef void fill_reach(self, Py_ssize_t n_updates) noexcept nogil:
        """The largest y by number of updates; -1 for none.

        The updates after the loss are counted for few y, for others as if they were the
        next larger of these.
        """
        cdef double limit = self.c / (1.0 - self.m), nearest = -1.0, y
        cdef double after_loss = self.updates_after_loss(limit, n_updates)
        cdef Py_ssize_t n
        for n in range(n_updates + 1):
            y = (n - self.loss_constant - after_loss) / self.loss_slope
            while y > limit:
                nearest = limit
                limit *= 2.0
                after_loss = self.updates_after_loss(limit, n_updates)
                y = (n - self.loss_constant - after_loss) / self.loss_slope
            self.reach[n] = max(y, nearest) if y > 0.0 else nearest

    cdef double updates_after_loss(self, double y, double most) noexcept nogil:
        """From the loss of the sign to rest; infinite if it may be more than most."""
        cdef double V = (self.c + self.a * y) / (1.0 - self.m), fewest = INFINITY
        cdef Swing swing, next_swing
        if not (self.c > 0.0 and self.a < 1.0 and self.k > 0.0):
            return INFINITY
        swing.speed = max(V - 2.0 * self.c, self.m * V / (1.0 - self.a) - self.c)
        swing.n_updates = 1.0
        while swing.n_updates <= most:
            fewest = min(fewest, swing.n_updates + self.updates_by_energy(swing.speed))
            next_swing = self.after_swing(swing, most)
            if not next_swing.speed < swing.speed:
                break
            swing = next_swing
        return fewest

    cdef Swing after_swing(self, Swing swing, double most) noexcept nogil:
        """The bounds after one swing, or after more updates than most."""
        cdef double v = self.m * swing.speed - self.c, top = swing.speed
        cdef double speed = 0.0, fallen = 0.0
        cdef Py_ssize_t n = 1
        while v > 0.0 and n <= most:
            top += v
            v = self.m * v - self.c
            n += 1
        while fallen < top and n <= most:
            speed = self.m * speed + self.c
            fallen += speed
            n += 1
        speed *= 1.0 + self.a * top / self.c
        swing.speed = max(
            self.m * speed + self.a * top,
            self.m * (self.c + self.m * speed) / (1.0 - self.a)) - self.c
        # One more, which may be spent at 0
        swing.n_updates += n + 1
        return swing

    cdef double updates_by_energy(self, double speed) noexcept nogil:
        """From 0 <= x <= v <= speed to rest."""
        cdef double energy, f, lost
        speed = max(speed, 0.0)
        energy = self.c * speed + 0.5 * (self.a + self.m) * speed * speed
        f = self.c - self.a * energy / self.c
        if not f > 0.0:
            return INFINITY
        lost = self.q * f * f
        return 3.0 + 2.0 * energy / (
            lost + min(lost, self.k * self.c * self.c / (self.m * self.m)))
