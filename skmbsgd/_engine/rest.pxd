"""When a coordinate under an L1 penalty loses its sign, and when it is at rest at 0.

Without gradient and at a constant learning rate, both rules of rules.pxd move the
thresholded quantity x (w, or w - mu v for Nesterov's) by

    x' = S((1 - a) x + m v, c),   v' = x' - x = m v - F,   F = a x + c s'

with a = eta * lam2, c = eta * lam1, m = mu (Nesterov's: (1 - a) mu) and s' in the
subdifferential of |x'|. Let x and v be of one sign, say not negative.

1. While x stays positive, y = x + m v / (1 - m) falls by F / (1 - m) >= c / (1 - m)
   per update, x never exceeds the first y, and v stays above -V,
   V = (c + a y) / (1 - m). Hence x is positive no longer after
   1 + ((1 - m) y + m V) / c updates. It then is negative, |x| <= |v| <= V - 2 c, or
   0, |v| <= V / (1 - a).
2. From the convexity of c |x| + a x^2 / 2, the energy

       E = c |x| + a x^2 / 2 + m v^2 / 2

   falls by at least k v'^2 + m (v' - v)^2 / 2 per update, k = 1 - m - a / 2. With
   v' = m v - F this is at least q F^2, q being its minimum over v at F = 1. Where x'
   is not 0, |F| >= f = c - a E / c, since E >= c |x|. Where x' is 0 but the next is
   not, m |v'| > c. Two zeros in a row are rest. So, if a < 1 and k and f are positive,
   rest comes within 3 + 2 E / (q f^2 + min(q f^2, k c^2 / m^2)) more updates.

Both bounds depend on x and v through y alone, and rise with it.
"""

cimport cython


@cython.final
cdef class RestTable:
    cdef object reach_array
    cdef double a, c, m, k, q
    # What the first bound consists of: it is loss_constant + loss_slope y.
    cdef double y_slope, loss_constant, loss_slope
    # By a number of updates: the largest y that they are certain to bring to rest
    cdef double* reach

    cdef void build(
        self, Py_ssize_t n_updates, double eta, double mu, double lam2, double lam1,
        bint nesterov,
    ) noexcept nogil
    cdef double updates_to_rest(self, double y) noexcept nogil
    cdef double end_of_reach(self, double from_y, double n_updates) noexcept nogil

    cdef inline bint comes_to_rest(
        self, double x, double v, Py_ssize_t n_updates
    ) noexcept nogil:
        """Whether x >= 0 is certain to be at rest at 0 after so many updates."""
        # One branch, not two
        return (v >= 0.0) & (x + self.y_slope * v <= self.reach[n_updates])

    cdef inline double updates_to_loss(self, double x, double v) noexcept nogil:
        """After so many updates at most, x >= 0 with v >= 0 is no longer positive."""
        return self.loss_constant + self.loss_slope * (x + self.y_slope * v)
