"""When a coordinate under an L1 penalty is certain to be at rest at 0.

Without gradient and at a constant learning rate, both rules of rules.pxd move the
thresholded quantity x (w, or w - mu v for Nesterov's) by

    x' = S((1 - a) x + m v, c),   v' = x' - x = m v - F,   F = a x + c s'

with a = eta * lam2, c = eta * lam1, m = mu (Nesterov's: (1 - a) mu) and s' in the
subdifferential of |x'|. Let x and v be of one sign, say not negative.

1. While x stays positive, y = x + m v / (1 - m) falls by F / (1 - m) >= c / (1 - m)
   per update, x never exceeds the first y, and v stays above
   -V, V = (c + a y) / (1 - m). Hence x is no longer positive after
   1 + ((1 - m) y + m V) / c updates; then |x| <= V and |v| <= V / (1 - a).
2. From the convexity of c |x| + a x^2 / 2, the energy

       E = c |x| + a x^2 / 2 + m v^2 / 2

   falls by at least k v'^2 + m (v' - v)^2 / 2 per update, k = 1 - m - a / 2. With
   v' = m v - F this is at least q F^2, q being its minimum over v at F = 1. Where
   x' is not 0, |F| >= f = c - a E / c, since E >= c |x|. Two updates in a row with
   x' = 0 are rest. So rest comes within 3 + 2 E / (q f^2) more updates.
"""

from libc.math cimport INFINITY


cdef struct RestBound:
    double a, c, m, q
    bint usable


cdef inline RestBound bound_of_rest(
    double eta, double mu, double lam2, double lam1, bint nesterov
) noexcept nogil:
    """The constants of the bound for updates at one rate."""
    cdef RestBound bound
    cdef double k, away
    bound.a = eta * lam2
    bound.c = eta * lam1
    bound.m = (1.0 - bound.a) * mu if nesterov else mu
    away = 1.0 - bound.m
    k = away - 0.5 * bound.a
    bound.usable = bound.c > 0.0 and bound.a < 1.0 and k > 0.0
    # The minimum over v of k (m v - 1)^2 + m ((1 - m) v + 1)^2 / 2
    bound.q = k + 0.5 * bound.m - 0.5 * bound.m * (2.0 * k - away) * (2.0 * k - away) / (
        2.0 * k * bound.m + away * away)
    return bound


cdef inline double updates_to_rest(
    const RestBound* bound, double x, double v
) noexcept nogil:
    """So many updates at most lead from x >= 0 and v >= 0 to rest at 0."""
    cdef double a = bound.a, c = bound.c, m = bound.m, V, y, energy, f
    y = x + m * v / (1.0 - m)
    V = (c + a * y) / (1.0 - m)
    energy = c * V + 0.5 * (a + m / ((1.0 - a) * (1.0 - a))) * V * V
    f = c - a * energy / c
    if not f > 0.0:
        return INFINITY
    return 4.0 + ((1.0 - m) * y + m * V) / c + 2.0 * energy / (bound.q * f * f)
