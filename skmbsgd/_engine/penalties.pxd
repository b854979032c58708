"""Penalties: their gradient, and their map from positions to weights.

The gradient of an L2 penalty is added to that of the data. It multiplies a weight by
1 - eta * lam2 > 0. If eta * lam2 exceeds 1, the weight moves to 0 and no further, as in
scikit-learn's SGD:

    g <- g + min(lam2, 1 / eta) * w

L1 acts in the dual. The positions Z are the sums of all gradient steps, and the
threshold u is the sum of all L1 steps. Both follow the update rule, u with the velocity
r and the gradient -lam1. The weights are the soft-thresholded positions:

    w = S(Z, u)

While a weight is 0 its unused penalty accumulates, so the noise of the batches does not
make it non-zero. Without momentum this is dual averaging (L. Xiao, JMLR 11, 2010) in
the form of the cumulative penalty of Y. Tsuruoka, J. Tsujii and S. Ananiadou (ACL
2009), which scikit-learn's SGD uses. Without an L1 penalty, Z is w.
"""

from skmbsgd._engine.rules cimport Rule

cdef extern from "penalties.h":
    double soft_threshold "skmbsgd_soft_threshold" (double z, double u) noexcept nogil


cdef class Penalty:
    cdef readonly double l2, l1
    # The index of the map from positions to weights in the table of steps.h
    cdef Py_ssize_t map_number

    cdef inline double l2_at(self, double eta) noexcept nogil:
        """lam2, or what takes a weight to 0 at this learning rate."""
        return min(self.l2, 1.0 / eta) if eta > 0.0 else self.l2

    cdef inline void move_threshold(
        self, Rule rule, double* threshold, double eta
    ) noexcept nogil:
        """Apply one update to u and r, which are adjacent in memory."""
        rule.move(threshold, threshold + 1, -self.l1, eta)


cdef inline double weight_at(double position, double u) noexcept nogil:
    # Without L1 a position is its weight. Checking this is faster than computing it.
    return position if u == 0.0 else soft_threshold(position, u)
