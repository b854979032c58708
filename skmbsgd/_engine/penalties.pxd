"""Penalties: what they add to the gradient, and what they make of a weight.

The gradient of an L2 penalty joins that of the data. A model moves a factor of
1 - eta * lam2 > 0 of a weight towards 0; where eta * lam2 exceeds 1 it moves the weight
to 0 and no further, as scikit-learn's SGD does:

    g <- g + min(lam2, 1 / eta) * w

L1 acts in the dual. Beside the positions Z, the sums of all gradient steps, runs the
threshold u, the sum of all L1 steps. Both follow the update rule, u with the velocity r
and the gradient -lam1, and the weight is what soft-thresholding S leaves of Z:

    w = S(Z, u)

While a weight is 0 its unused penalty adds up, and the noise of the batches cannot wake
it. Without momentum this is dual averaging (L. Xiao, JMLR 11, 2010) in the form of the
cumulative penalty of Y. Tsuruoka, J. Tsujii and S. Ananiadou (ACL 2009), which
scikit-learn's SGD has. Without an L1 penalty, Z is w.
"""

from skmbsgd._engine.rules cimport Rule

cdef extern from "penalties.h":
    double soft_threshold "skmbsgd_soft_threshold" (double z, double u) noexcept nogil


cdef class Penalty:
    cdef readonly double l2, l1
    # The place in the table of steps.h of the map from positions to weights
    cdef Py_ssize_t map_number

    cdef inline double l2_at(self, double eta) noexcept nogil:
        """lam2, or what takes a weight to 0 at this learning rate."""
        return min(self.l2, 1.0 / eta) if eta > 0.0 else self.l2

    cdef inline void move_threshold(
        self, Rule rule, double* threshold, double eta
    ) noexcept nogil:
        """Move u and r, which stand one after the other, by one update."""
        rule.move(threshold, threshold + 1, -self.l1, eta)


cdef class L1(Penalty):
    pass
