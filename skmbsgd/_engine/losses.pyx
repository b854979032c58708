"""Losses: value and derivative at the decisions of a block of rows.

A regression target y is any real number; a class is coded as y = +1 in its own
output and y = -1 in all others. z is the decision. To add a loss, write one class
with the method ``at``, declare it in losses.pxd, and name it in the estimator.

The formulas of the pointwise losses are those of scikit-learn's SGD estimators
(https://scikit-learn.org/stable/modules/sgd.html#mathematical-formulation).
Everything here is float64, whatever the precision of X: a row has few decisions.
"""

from libc.math cimport exp, fabs, log


cdef class Loss:
    """Value and derivative at a block of decisions."""

    cdef double gradient(
        self, const double* y, const double* z, const double* scale,
        double* d, Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        """Write d = scale * dloss/dz for each row; return the sum of scale * loss.

        y, z and d are row-major of shape (n_rows, n_outputs), scale is (n_rows,).
        """
        return 0.0


cdef class PointwiseLoss(Loss):
    """A loss that is a sum over the outputs of a function of one y and one z."""

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        """Write d = dloss/dz and return the loss."""
        d[0] = 0.0
        return 0.0

    cdef double gradient(
        self, const double* y, const double* z, const double* scale,
        double* d, Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double total = 0.0
        cdef Py_ssize_t i, k
        for i in range(n_rows):
            for k in range(n_outputs):
                if scale[i] == 0.0:
                    # Absent, even if its decision is infinite
                    d[0] = 0.0
                else:
                    total += scale[i] * self.at(y[0], z[0], d)
                    d[0] *= scale[i]
                y += 1
                z += 1
                d += 1
        return total

    def value(self, double y, double z):
        """Loss at one target and one decision."""
        cdef double d
        return self.at(y, z, &d)

    def derivative(self, double y, double z):
        """Derivative of the loss with respect to the decision."""
        cdef double d
        self.at(y, z, &d)
        return d


cdef class SquaredError(PointwiseLoss):
    """(z - y)^2 / 2"""

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        d[0] = z - y
        return 0.5 * d[0] * d[0]


cdef class Huber(PointwiseLoss):
    """r^2 / 2 for |r| <= epsilon, else epsilon |r| - epsilon^2 / 2, with r = z - y"""

    def __cinit__(self, double epsilon):
        self.epsilon = epsilon

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        cdef double r = z - y
        if fabs(r) <= self.epsilon:
            d[0] = r
            return 0.5 * r * r
        d[0] = self.epsilon if r > 0.0 else -self.epsilon
        return self.epsilon * fabs(r) - 0.5 * self.epsilon * self.epsilon


cdef class EpsilonInsensitive(PointwiseLoss):
    """max(0, |z - y| - epsilon)"""

    def __cinit__(self, double epsilon):
        self.epsilon = epsilon

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        cdef double excess = fabs(z - y) - self.epsilon
        if excess <= 0.0:
            d[0] = 0.0
            return 0.0
        d[0] = 1.0 if z > y else -1.0
        return excess


cdef class SquaredEpsilonInsensitive(PointwiseLoss):
    """max(0, |z - y| - epsilon)^2"""

    def __cinit__(self, double epsilon):
        self.epsilon = epsilon

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        cdef double excess = fabs(z - y) - self.epsilon
        if excess <= 0.0:
            d[0] = 0.0
            return 0.0
        d[0] = 2.0 * excess if z > y else -2.0 * excess
        return excess * excess


cdef inline double log_of_one_plus(double x) noexcept nogil:
    """log(1 + x) for 0 <= x <= 1, to full relative precision.

    Below 1e-5 the sum would drop digits of x; the series has none to drop there.
    Otherwise `log` is several times as fast as `log1p`.
    """
    if x < 1e-5:
        return x * (1.0 - x * (0.5 - x / 3.0))
    return log(1.0 + x)


cdef class Logistic(PointwiseLoss):
    """log(1 + exp(-y z)), y = -1 or +1"""

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        cdef double margin = y * z
        # exp of a negative number only, so that nothing overflows.
        cdef double e = exp(-fabs(margin))
        if margin > 0.0:
            d[0] = -y * e / (1.0 + e)
            return log_of_one_plus(e)
        d[0] = -y / (1.0 + e)
        return log_of_one_plus(e) - margin


cdef class Hinge(PointwiseLoss):
    """max(0, margin - y z), y = -1 or +1; margin = 0 is the perceptron's loss.

    The derivative at the kink is the left one, as in scikit-learn: the perceptron
    starts at z = 0 and would stay there otherwise.
    """

    def __cinit__(self, double margin):
        self.margin = margin

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        if y * z > self.margin:
            d[0] = 0.0
            return 0.0
        d[0] = -y
        return self.margin - y * z


cdef class SquaredHinge(PointwiseLoss):
    """max(0, 1 - y z)^2, y = -1 or +1"""

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        cdef double shortfall = 1.0 - y * z
        if shortfall <= 0.0:
            d[0] = 0.0
            return 0.0
        d[0] = -2.0 * y * shortfall
        return shortfall * shortfall


cdef class ModifiedHuber(PointwiseLoss):
    """max(0, 1 - y z)^2 where y z >= -1, else -4 y z; y = -1 or +1"""

    cdef double at(self, double y, double z, double* d) noexcept nogil:
        cdef double margin = y * z
        if margin >= 1.0:
            d[0] = 0.0
            return 0.0
        if margin >= -1.0:
            d[0] = -2.0 * y * (1.0 - margin)
            return (1.0 - margin) * (1.0 - margin)
        d[0] = -4.0 * y
        return -4.0 * margin


cdef class Softmax(Loss):
    """log(sum_k exp(z_k)) - z_c for the row's class c, the output with y = +1"""

    cdef double gradient(
        self, const double* y, const double* z, const double* scale,
        double* d, Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double total = 0.0, largest, true_decision, sum_exp
        cdef Py_ssize_t i, k
        for i in range(n_rows):
            largest = z[0]
            for k in range(1, n_outputs):
                largest = max(largest, z[k])
            sum_exp = 0.0
            true_decision = 0.0
            for k in range(n_outputs):
                d[k] = exp(z[k] - largest)
                sum_exp += d[k]
                if y[k] > 0.0:
                    true_decision = z[k]
            for k in range(n_outputs):
                if scale[i] == 0.0:
                    d[k] = 0.0  # absent, even if its decisions are infinite
                else:
                    d[k] = scale[i] * (d[k] / sum_exp - (y[k] > 0.0))
            if scale[i] != 0.0:
                total += scale[i] * (log(sum_exp) + largest - true_decision)
            y += n_outputs
            z += n_outputs
            d += n_outputs
        return total
