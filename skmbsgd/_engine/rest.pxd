"""When a coordinate under an L1 penalty loses its sign, and when it is at rest at 0.

Without gradient and at a constant learning rate, both rules of rules.pxd move the
thresholded quantity x (w, or w - mu v for Nesterov's) by

    x' = S((1 - a) x + m v, c),   v' = x' - x = m v - F,   F = a x + c s'

with a = eta * lam2, c = eta * lam1, m = mu (Nesterov's: (1 - a) mu) and s' in the
subdifferential of |x'|. Let x and v be of one sign, say not negative.

1. Loss of the sign. While x stays positive, y = x + m v / (1 - m) falls by
   F / (1 - m) >= c / (1 - m) per update, x never exceeds the first y, and v stays above
   -V, V = (c + a y) / (1 - m). Hence x is positive no longer after
   1 + ((1 - m) y + m V) / c updates. It then is negative, |x| <= |v| <= V - 2 c, or 0,
   |v| <= V / (1 - a). From 0 it moves to |x| = |v| <= m V / (1 - a) - c or stays, which
   is rest.
2. A swing. Mirror the state so that 0 <= x <= v <= u. While x is positive, F >= c: v is
   at most u_j after j updates, u_0 = u and u_(j+1) = m u_j - c, until it is no longer
   positive; x rises to X = u + u_1 + u_2 + ... at most, over the positive u_j. Then it
   falls. Since c <= F <= c + a X, x falls in the updates after the first of its fall by
   at least c, c + m c, c + m c + m^2 c, ..., which takes i updates to make up X, and
   its speed before the last of them is at most W = (c + a X) (1 - m^i) / (1 - m). As
   in 1, it then is negative with |x| <= |v| <= m W + a X - c, or 0 with
   |v| <= (c + m W) / (1 - a), from where it moves to |x| = |v| <= m |v| - c or stays.
3. Energy. From the convexity of c |x| + a x^2 / 2,

       E = c |x| + a x^2 / 2 + m v^2 / 2

   falls by at least k v'^2 + m (v' - v)^2 / 2 per update, k = 1 - m - a / 2. With
   v' = m v - F this is at least q F^2, q being its minimum over v at F = 1. Where x'
   is not 0, |F| >= f = c - a E / c, since E >= c |x|. Where x' is 0 but the next is
   not, m |v'| > c. Two zeros in a row are rest. So, if a < 1 and k and f are positive,
   rest comes within 3 + 2 E / (q f^2 + min(q f^2, k c^2 / m^2)) more updates.

Fast swings lose much energy each, which 3 does not know; slow ones need not get slower
by 2. So the bound is that of 1, some swings, and 3 for what is left. It depends on x
and v through y alone, and rises with it by (1 - m) / c at least.

4. Against the sign. Let v = -s be negative instead, and V = (c + a x) / (1 - m). If
   s <= V, all of 1 holds with x for y. Otherwise s is the largest speed while x is
   positive, and that is for no more than T = 1 + (1 - m) x / c updates, since y begins
   at x - m s / (1 - m). Seen from the other side, y then is at most
   m s / (1 - m) - x + T (c + a x) / (1 - m) = m s / (1 - m) + V + a x^2 / c, for all
   F <= c + a x. T more updates are those of a y larger by x + c / (1 - m). So the bound
   is that of y = x + m s / (1 - m) + (2 c + a x) / (1 - m) + a x^2 / c.
"""

cimport cython
from libc.math cimport copysign, fabs


cdef struct Swing:
    # What a swing begins with, 0 <= x <= v <= speed, and the updates until then
    double speed, n_updates


@cython.final
cdef class RestTable:
    cdef object reach_array
    cdef double a, c, m, k, q
    # What the first bound consists of: it is loss_constant + loss_slope y.
    cdef double y_slope, loss_constant, loss_slope
    # What a v against the sign of x adds to y: way_back + way_back_slope x
    # + way_back_bend x^2
    cdef double way_back, way_back_slope, way_back_bend
    # By a number of updates: the largest y that they are certain to bring to rest
    cdef double* reach

    cdef void build(
        self, Py_ssize_t n_updates, double eta, double mu, double lam2, double lam1,
        bint nesterov,
    ) noexcept nogil
    cdef void fill_reach(self, Py_ssize_t n_updates) noexcept nogil
    cdef double updates_after_loss(self, double y, double most) noexcept nogil
    cdef Swing after_swing(self, Swing swing, double most) noexcept nogil
    cdef double updates_by_energy(self, double speed) noexcept nogil

    cdef inline bint comes_to_rest(
        self, double x, double v, Py_ssize_t n_updates
    ) noexcept nogil:
        """Whether x >= 0 is certain to be at rest at 0 after so many updates."""
        # 1 or 0, without a branch that the processor could not foresee
        cdef double against = 0.5 - copysign(0.5, v)
        cdef double way_back = (
            self.way_back + x * (self.way_back_slope + self.way_back_bend * x))
        return x + self.y_slope * fabs(v) + against * way_back <= self.reach[n_updates]

    cdef inline double updates_to_loss(self, double x, double v) noexcept nogil:
        """After so many updates at most, x >= 0 with v >= 0 is no longer positive."""
        return self.loss_constant + self.loss_slope * (x + self.y_slope * v)
