"""Models in training: their base class, and the dense models.

rules.pxd explains the update rules, and penalties.pxd the penalties.
"""

import numpy as np

from libc.math cimport fabs, isfinite
from libc.string cimport memset

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.penalties cimport Penalty
from skmbsgd._engine.rules cimport Rule
from skmbsgd._engine.signals cimport check_signals
from skmbsgd._engine.steps cimport dot_for, standardized_step_for, step_for

cdef enum:
    # Weights that are moved between two checks for signals
    WEIGHTS_OF_PART = 1048576


cdef class Model:
    """Weights and intercepts in training, with all that moves with them.

    Parameters
    ----------
    state : TrainingState
        Its arrays are updated in place, at each step or by `store`.
    rule : Rule
    penalty : Penalty
    fit_intercept : bool
        Whether the intercepts are trained.

    Attributes
    ----------
    n_averaged : int
        Number of updates in the running means.
    squared_norm, absolute_sum : float
        Sums of the squares and of the absolute values of the weights at the end of the
        last epoch.
    """

    def __init__(self, state, Rule rule, Penalty penalty, bint fit_intercept):
        self.rule = rule
        self.penalty = penalty
        self.fit_intercept = fit_intercept
        self.n_outputs, self.n_features = state.coef.shape
        self.coef = state.coef
        self.velocity = state.velocity
        self.intercept = state.intercept
        self.intercept_velocity = state.intercept_velocity
        self.average_coef = state.average_coef
        self.average_intercept = state.average_intercept
        self.n_averaged = state.n_averaged
        self.recency = state.recency
        self.positions = state.positions
        self.threshold_array = state.threshold
        self.threshold = <double*>writable_memory(state.threshold, (2,), np.float64)

    cdef void begin_epoch(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch,
    ):
        """Prepare for an epoch.

        There is a rate for each batch, or one for all. Updates from the first averaged
        batch on will join the running means; if it is n_batches, none will.
        """

    # All of these may take long, and check for signals.

    cdef int begin_part(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch,
    ) except -1:
        """Prepare for a part of an epoch, about which everything is now known."""

    cdef int begin_batch(self) except -1 nogil:
        """Prepare for a batch by setting all gradients to 0."""

    cdef int step(self, double learning_rate) except -1 nogil:
        """Update weights and velocities with the gradients of the batch."""

    cdef int add_to_average(self) except -1 nogil:
        """Add the weights to the running means."""

    cdef int end_epoch(self) except -1 nogil:
        """Bring all weights up to date, and compute the sums."""

    @property
    def penalty_value(self):
        """The penalty at the end of the last epoch."""
        return self.penalty.value(self.squared_norm, self.absolute_sum)

    def is_finite(self):
        """Whether all numbers of the model were finite at the end of the epoch."""
        return bool(isfinite(self.absolute_sum) and isfinite(self.absolute_rest))

    def store(self):
        """Write weights, velocities and means into the arrays of the state."""

    def lost_by_store(self):
        """Copies of what the arrays of the state do not hold exactly.

        Returns
        -------
        arrays : dict of ndarray
        """
        return {}

    def restore(self, arrays):
        """Restore what `lost_by_store` returned for a model with the same state.

        Without it, the arrays of the state are used.
        """
        check_arrays(arrays, {})


cdef class DenseModel(Model):
    """Weights, velocities and gradients in arrays with an entry per column of X.

    The arrays of the state are C-contiguous, those of weights and velocities in the
    precision of X, means and positions in float64.
    """

    def __init__(self, state, Rule rule, Penalty penalty, bint fit_intercept):
        super().__init__(state, rule, penalty, fit_intercept)
        dtype = state.coef.dtype
        shape, outputs = state.coef.shape, state.coef.shape[:1]
        self.single_precision = dtype == np.float32
        self.n_weights = self.n_outputs * self.n_features
        self.gradients = np.zeros(self.n_weights + self.n_outputs, dtype)

        self.w = writable_memory(self.coef, shape, dtype)
        self.v = writable_memory(self.velocity, shape, dtype)
        self.g = <void*><size_t>self.gradients.ctypes.data
        self.b = writable_memory(self.intercept, outputs, dtype)
        self.b_v = writable_memory(self.intercept_velocity, outputs, dtype)
        self.b_g = <void*><size_t>self.gradients[self.n_weights:].ctypes.data
        self.step_weights = step_for(
            rule.number, penalty.map_number, self.single_precision)
        self.step_intercepts = step_for(rule.number, 0, self.single_precision)
        if penalty.has_positions:
            self.z = <double*>writable_memory(self.positions, shape, np.float64)
        if self.average_coef is not None:
            self.w_average = <double*>writable_memory(
                self.average_coef, shape, np.float64)
            self.b_average = <double*>writable_memory(
                self.average_intercept, outputs, np.float64)

    cdef int step(self, double learning_rate) except -1 nogil:
        cdef Py_ssize_t first = 0, n, itemsize = 4 if self.single_precision else 8
        cdef double l2 = self.penalty.l2_at(learning_rate)
        self.penalty.move_threshold(self.rule, self.threshold, learning_rate)
        while first < self.n_weights:
            n = min(self.n_weights - first, <Py_ssize_t>WEIGHTS_OF_PART)
            self.step_weights(
                <char*>self.w + first * itemsize, self.z + first,
                <char*>self.v + first * itemsize, <char*>self.g + first * itemsize, n,
                learning_rate, self.rule.momentum, l2, self.threshold[0])
            first = self.next_part(first)
        self.move_intercepts(self.b, learning_rate)
        return 0

    cdef void move_intercepts(self, void* b, double learning_rate) noexcept nogil:
        if self.fit_intercept:
            self.step_intercepts(
                b, NULL, self.b_v, self.b_g, self.n_outputs,
                learning_rate, self.rule.momentum, 0.0, 0.0)
        else:
            # It is not needed, but threads would continue to add it up.
            memset(self.b_g, 0, self.n_outputs * (4 if self.single_precision else 8))

    cdef Py_ssize_t next_part(self, Py_ssize_t first) except -1 nogil:
        """Check for signals, and return the first weight of the next part."""
        if first + WEIGHTS_OF_PART < self.n_weights:
            check_signals()
        return first + WEIGHTS_OF_PART

    cdef int add_to_average(self) except -1 nogil:
        cdef Py_ssize_t first = 0, n
        cdef double share
        self.n_averaged += 1
        share = (1.0 + self.recency) / (self.n_averaged + self.recency)
        while first < self.n_weights:
            n = min(self.n_weights - first, <Py_ssize_t>WEIGHTS_OF_PART)
            if self.single_precision:
                average_each(self.w_average + first, <float*>self.w + first, n, share)
            else:
                average_each(self.w_average + first, <double*>self.w + first, n, share)
            first = self.next_part(first)
        if self.single_precision:
            average_each(self.b_average, <float*>self.b, self.n_outputs, share)
        else:
            average_each(self.b_average, <double*>self.b, self.n_outputs, share)
        return 0

    cdef int end_epoch(self) except -1 nogil:
        cdef Py_ssize_t first = 0, stop
        self.squared_norm, self.absolute_sum, self.absolute_rest = 0.0, 0.0, 0.0
        while first < self.n_weights:
            stop = min(first + WEIGHTS_OF_PART, self.n_weights)
            if self.single_precision:
                self.sum_up(<float*>self.w, <float*>self.v, first, stop)
            else:
                self.sum_up(<double*>self.w, <double*>self.v, first, stop)
            first = self.next_part(first)
        if self.single_precision:
            self.sum_up_intercepts(<float*>self.b, <float*>self.b_v)
        else:
            self.sum_up_intercepts(<double*>self.b, <double*>self.b_v)
        return 0

    # This does not use NumPy, whose code would not be in the cache.

    cdef void sum_up(
        self, const floating* w, const floating* v, Py_ssize_t first, Py_ssize_t stop
    ) noexcept nogil:
        cdef double squares = 0.0, absolutes = 0.0, velocities = 0.0
        cdef Py_ssize_t j
        for j in range(first, stop):
            squares += <double>w[j] * w[j]
            absolutes += fabs(w[j])
            velocities += fabs(v[j])
        self.squared_norm += squares
        self.absolute_sum += absolutes
        self.absolute_rest += velocities

    cdef void sum_up_intercepts(
        self, const floating* b, const floating* b_v
    ) noexcept nogil:
        cdef Py_ssize_t k
        for k in range(self.n_outputs):
            self.absolute_rest += fabs(b[k]) + fabs(b_v[k])


cdef class StandardizedModel(DenseModel):
    """A dense model that is trained as if the columns of X had been standardised.

    m are the means of the columns, and p the inverses of their variances. The weight of
    a standardised column is w / sqrt(p), and its gradient sqrt(p) * (g - m * b_g). For
    w, the weight of the original column, this gives the update rules with the gradient
    below. The penalty is that of w. L2 acts implicitly, at the end of the step, because
    lam2 * p can have any size. The threshold of L1 is p * u.

        g <- p * (g - m * b_g + lam2 * w) / (1 + eta * lam2 * p)

    The intercept of the centred columns is updated as usual. That of the original
    columns follows from it: b = b_centred - w m.

    Parameters
    ----------
    state, rule, penalty, fit_intercept
        As for Model.
    mean, precision : ndarray of float64 of shape (n_features,)
        m and p; 0 if a column is not centred, or if its weight is not trained.
    """

    def __init__(
        self, state, Rule rule, Penalty penalty, bint fit_intercept, mean, precision
    ):
        super().__init__(state, rule, penalty, fit_intercept)
        shape = (self.n_features,)
        self.mean, self.precision = mean, precision
        self.m = <double*>writable_memory(mean, shape, np.float64)
        self.p = <double*>writable_memory(precision, shape, np.float64)
        self.step_standardized = standardized_step_for(
            rule.number, penalty.map_number, self.single_precision)
        self.dot = dot_for(self.single_precision)
        self.centred_intercept = self.intercept.copy()
        self.centred_b = <void*><size_t>self.centred_intercept.ctypes.data
        for output in range(self.n_outputs):
            self.centred_intercept[output] += self.shift(output)

    def lost_by_store(self):
        return {"centred_intercept": self.centred_intercept.copy()}

    def restore(self, arrays):
        check_arrays(arrays, {"centred_intercept": self.centred_intercept})
        self.centred_intercept[:] = arrays["centred_intercept"]

    cdef int step(self, double learning_rate) except -1 nogil:
        cdef Py_ssize_t output
        self.penalty.move_threshold(self.rule, self.threshold, learning_rate)
        for output in range(self.n_outputs):
            self.step_output(output, learning_rate)
        self.move_intercepts(self.centred_b, learning_rate)
        for output in range(self.n_outputs):
            if self.single_precision:
                (<float*>self.b)[output] = <float>(
                    (<float*>self.centred_b)[output] - self.shift(output))
            else:
                (<double*>self.b)[output] = (
                    (<double*>self.centred_b)[output] - self.shift(output))
        return 0

    cdef int step_output(
        self, Py_ssize_t output, double learning_rate
    ) except -1 nogil:
        """Update the weights of an output."""
        cdef Py_ssize_t itemsize = 4 if self.single_precision else 8
        cdef Py_ssize_t first = 0, n, place
        cdef double b_g
        if self.single_precision:
            b_g = (<float*>self.b_g)[output]
        else:
            b_g = (<double*>self.b_g)[output]
        while first < self.n_features:
            n = min(self.n_features - first, <Py_ssize_t>WEIGHTS_OF_PART)
            place = output * self.n_features + first
            self.step_standardized(
                <char*>self.w + place * itemsize, self.z + place,
                <char*>self.v + place * itemsize, <char*>self.g + place * itemsize, n,
                learning_rate, self.rule.momentum, self.penalty.l2, self.threshold[0],
                self.m + first, self.p + first, b_g)
            if first + n < self.n_features:
                check_signals()
            first += n
        return 0

    cdef double shift(self, Py_ssize_t output) noexcept nogil:
        """w m, the part of a decision that comes from the means of the columns."""
        cdef Py_ssize_t place = output * self.n_features
        return self.dot(
            <char*>self.w + place * (4 if self.single_precision else 8),
            self.m, self.n_features)


cdef void average_each(
    double* average, const floating* w, Py_ssize_t n, double share
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        average[j] += share * (w[j] - average[j])


cdef void* writable_memory(array, shape, dtype) except NULL:
    """Address of the array's data, after a check: the engine relies on it."""
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"The engine needs an array of shape {shape} and type {dtype}, "
            f"got {array.shape} and {array.dtype}."
        )
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ValueError("The engine needs a C-contiguous, writable array.")
    return <void*><size_t>array.ctypes.data


def check_arrays(arrays, like):
    """Refuse named arrays with other shapes or types than those expected."""
    if arrays.keys() != like.keys():
        raise ValueError(f"lost_by_store is damaged: it has the entries {[*arrays]}.")
    for name, expected in like.items():
        array = arrays[name]
        fits = isinstance(array, np.ndarray) and (
            (array.shape, array.dtype) == (expected.shape, expected.dtype))
        if not fits:
            raise ValueError(
                f"lost_by_store is damaged: {name} is no array of shape "
                f"{expected.shape} and type {expected.dtype}.")
