"""Losses: values and derivatives at the decisions of a block of rows.

A regression target y is any real number; a class is coded as y = +1 in its own
output and y = -1 in all others. z is the decision. To add a loss, write one class
with the method ``evaluate``, declare it in losses.pxd, and name it in the estimator.

The formulas of the pointwise losses are those of scikit-learn's SGD estimators
(https://scikit-learn.org/stable/modules/sgd.html#mathematical-formulation).
Everything here is float64, whatever the precision of X: a row has few decisions.
"""

import numpy as np

from libc.math cimport fabs, log

cdef extern from "elementary_functions.h":
    void exp_each "skmbsgd_exp" (
        const double* x, double* y, Py_ssize_t n) noexcept nogil
    void log1p_each "skmbsgd_log1p" (
        const double* x, double* y, Py_ssize_t n) noexcept nogil


cdef class Loss:
    """A sum over rows and outputs of a function of the decisions of a row.

    Attributes
    ----------
    max_curvature : float or None
        The largest second derivative with respect to the decisions. None if the slope
        is bounded, and the curvature is unbounded or confined to a small range.
    """

    max_curvature = None

    cdef double gradient(
        self, const double* y, const double* z, const double* scale,
        double* losses, double* d, Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        """Write d = scale * dloss/dz for each row; return the sum of scale * loss.

        All are row-major of shape (n_rows, n_outputs), except scale, which has shape
        (n_rows,). losses is working memory.
        """
        self.evaluate(y, z, losses, d, n_rows, n_outputs)
        if n_outputs == 1:
            # With this constant the compiler merges two loops into one.
            return weigh(scale, losses, d, n_rows, 1)
        return weigh(scale, losses, d, n_rows, n_outputs)

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        """Write the share of each output in the loss of its row, and d = dloss/dz."""

    def total(
        self, const double[:, ::1] y, const double[:, ::1] z, const double[::1] scale
    ):
        """The sum of scale * loss, for shapes (n_rows, n_outputs) and (n_rows,)."""
        cdef Py_ssize_t n_rows = y.shape[0], n_outputs = y.shape[1]
        cdef double[:, ::1] losses = np.empty((n_rows, n_outputs))
        cdef double[:, ::1] d = np.empty((n_rows, n_outputs))
        if (z.shape[0], z.shape[1], scale.shape[0]) != (n_rows, n_outputs, n_rows):
            raise ValueError("y, z and scale have shapes that do not match.")
        if n_rows == 0:
            return 0.0
        return self.gradient(
            &y[0, 0], &z[0, 0], &scale[0], &losses[0, 0], &d[0, 0], n_rows, n_outputs
        )

    def derivatives(self, const double[:, ::1] y, const double[:, ::1] z):
        """The derivatives by the decisions, all of shape (n_rows, n_outputs)."""
        cdef Py_ssize_t n_rows = y.shape[0], n_outputs = y.shape[1]
        cdef double[:, ::1] losses = np.empty((n_rows, n_outputs))
        cdef double[:, ::1] d = np.empty((n_rows, n_outputs))
        if (z.shape[0], z.shape[1]) != (n_rows, n_outputs):
            raise ValueError("y and z have shapes that do not match.")
        if n_rows > 0:
            self.evaluate(
                &y[0, 0], &z[0, 0], &losses[0, 0], &d[0, 0], n_rows, n_outputs
            )
        return np.asarray(d)


cdef inline double weigh(
    const double* scale, double* losses, double* d,
    Py_ssize_t n_rows, Py_ssize_t n_outputs,
) noexcept nogil:
    """Multiply losses and d by scale; return the sum of the losses."""
    cdef Py_ssize_t i, k
    for i in range(n_rows):
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            # A row of weight 0 is ignored, even if its decision is infinite.
            losses[k] = scale[i] * losses[k] if scale[i] != 0.0 else 0.0
            d[k] = scale[i] * d[k] if scale[i] != 0.0 else 0.0
    return sum_of(losses, n_rows * n_outputs)


# Four sums at a time, which do not wait for each other

cdef inline double sum_of(const double* x, Py_ssize_t n) noexcept nogil:
    cdef double a = 0.0, b = 0.0, c = 0.0, d = 0.0
    cdef Py_ssize_t i
    for i in range(n // 4):
        a += x[4 * i]
        b += x[4 * i + 1]
        c += x[4 * i + 2]
        d += x[4 * i + 3]
    for i in range(n // 4 * 4, n):
        a += x[i]
    return (a + b) + (c + d)


cdef inline double largest_of(const double* x, Py_ssize_t n) noexcept nogil:
    cdef double a = x[0], b = x[0], c = x[0], d = x[0]
    cdef Py_ssize_t i
    for i in range(n // 4):
        a = max(a, x[4 * i])
        b = max(b, x[4 * i + 1])
        c = max(c, x[4 * i + 2])
        d = max(d, x[4 * i + 3])
    for i in range(n // 4 * 4, n):
        a = max(a, x[i])
    return max(max(a, b), max(c, d))


cdef class PointwiseLoss(Loss):
    """A loss that is a sum over the outputs of a function of one y and one z."""

    def value(self, double y, double z):
        """Loss at one target and one decision."""
        cdef double loss, d
        self.evaluate(&y, &z, &loss, &d, 1, 1)
        return loss

    def derivative(self, double y, double z):
        """Derivative of the loss with respect to the decision."""
        cdef double loss, d
        self.evaluate(&y, &z, &loss, &d, 1, 1)
        return d


cdef class SquaredError(PointwiseLoss):
    """(z - y)^2 / 2"""

    max_curvature = 1.0

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(n_rows * n_outputs):
            d[i] = z[i] - y[i]
            losses[i] = 0.5 * d[i] * d[i]


cdef class Huber(PointwiseLoss):
    """r^2 / 2 for |r| <= epsilon, else epsilon |r| - epsilon^2 / 2, with r = z - y"""

    def __cinit__(self, double epsilon):
        self.epsilon = epsilon

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double r
        cdef Py_ssize_t i
        for i in range(n_rows * n_outputs):
            r = z[i] - y[i]
            if fabs(r) <= self.epsilon:
                d[i] = r
                losses[i] = 0.5 * r * r
            else:
                d[i] = self.epsilon if r > 0.0 else -self.epsilon
                losses[i] = self.epsilon * fabs(r) - 0.5 * self.epsilon * self.epsilon


cdef class EpsilonInsensitive(PointwiseLoss):
    """max(0, |z - y| - epsilon)"""

    def __cinit__(self, double epsilon):
        self.epsilon = epsilon

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double excess
        cdef Py_ssize_t i
        for i in range(n_rows * n_outputs):
            excess = fabs(z[i] - y[i]) - self.epsilon
            if excess <= 0.0:
                d[i] = 0.0
                losses[i] = 0.0
            else:
                d[i] = 1.0 if z[i] > y[i] else -1.0
                losses[i] = excess


cdef class SquaredEpsilonInsensitive(PointwiseLoss):
    """max(0, |z - y| - epsilon)^2"""

    max_curvature = 2.0

    def __cinit__(self, double epsilon):
        self.epsilon = epsilon

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double excess
        cdef Py_ssize_t i
        for i in range(n_rows * n_outputs):
            excess = fabs(z[i] - y[i]) - self.epsilon
            if excess <= 0.0:
                d[i] = 0.0
                losses[i] = 0.0
            else:
                d[i] = 2.0 * excess if z[i] > y[i] else -2.0 * excess
                losses[i] = excess * excess


cdef class Logistic(PointwiseLoss):
    """log(1 + exp(-y z)), y = -1 or +1"""

    max_curvature = 0.25

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double margin, e
        cdef Py_ssize_t i, n = n_rows * n_outputs
        # exp of a negative number only, so that nothing overflows
        for i in range(n):
            losses[i] = -fabs(y[i] * z[i])
        exp_each(losses, d, n)
        log1p_each(d, losses, n)
        for i in range(n):
            margin, e = y[i] * z[i], d[i]
            d[i] = -y[i] * (e if margin > 0.0 else 1.0) / (1.0 + e)
            losses[i] += -margin if margin < 0.0 else 0.0


cdef class Hinge(PointwiseLoss):
    """max(0, margin - y z), y = -1 or +1; margin = 0 is the perceptron's loss.

    The derivative at the kink is the left one, as in scikit-learn: the perceptron
    starts at z = 0 and would stay there otherwise.
    """

    def __cinit__(self, double margin):
        self.margin = margin

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(n_rows * n_outputs):
            if y[i] * z[i] > self.margin:
                d[i] = 0.0
                losses[i] = 0.0
            else:
                d[i] = -y[i]
                losses[i] = self.margin - y[i] * z[i]


cdef class SquaredHinge(PointwiseLoss):
    """max(0, 1 - y z)^2, y = -1 or +1"""

    max_curvature = 2.0

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double shortfall
        cdef Py_ssize_t i
        for i in range(n_rows * n_outputs):
            shortfall = 1.0 - y[i] * z[i]
            if shortfall <= 0.0:
                d[i] = 0.0
                losses[i] = 0.0
            else:
                d[i] = -2.0 * y[i] * shortfall
                losses[i] = shortfall * shortfall


cdef class ModifiedHuber(PointwiseLoss):
    """max(0, 1 - y z)^2 where y z >= -1, else -4 y z; y = -1 or +1"""

    max_curvature = 2.0

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double margin
        cdef Py_ssize_t i
        for i in range(n_rows * n_outputs):
            margin = y[i] * z[i]
            if margin >= 1.0:
                d[i] = 0.0
                losses[i] = 0.0
            elif margin >= -1.0:
                d[i] = -2.0 * y[i] * (1.0 - margin)
                losses[i] = (1.0 - margin) * (1.0 - margin)
            else:
                d[i] = -4.0 * y[i]
                losses[i] = -4.0 * margin


cdef class Softmax(Loss):
    """log(sum_k exp(z_k)) - z_c for the row's class c, the output with y = +1"""

    max_curvature = 0.5

    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil:
        cdef double largest, sum_exp, log_sum_exp
        cdef Py_ssize_t i, k, first
        for i in range(n_rows):
            first = i * n_outputs
            largest = largest_of(z + first, n_outputs)
            # exp of a negative number only, so that nothing overflows
            for k in range(first, first + n_outputs):
                losses[k] = z[k] - largest
        exp_each(losses, d, n_rows * n_outputs)
        for i in range(n_rows):
            first = i * n_outputs
            sum_exp = sum_of(d + first, n_outputs)
            log_sum_exp = log(sum_exp)
            for k in range(first, first + n_outputs):
                losses[k] = log_sum_exp - losses[k] if y[k] > 0.0 else 0.0
            for k in range(first, first + n_outputs):
                d[k] = d[k] / sum_exp - 0.5 * (1.0 + y[k])
