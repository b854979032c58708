"""Models in training with dense updates, a class for each update rule.

The rules themselves are explained in rules.pxd and written in rules_template.h.
"""

import numpy as np

from libc.math cimport fabs, isfinite
from libc.string cimport memset

from skmbsgd._engine.blas cimport floating

# The rules over arrays, which leave the gradients at 0 for the next batch
cdef extern from "dense_rules.h":
    void classical_each_double "skmbsgd_classical_each_double" (
        double* w, double* v, double* g, Py_ssize_t n,
        double eta, double mu, double lam2) noexcept nogil
    void classical_each_float "skmbsgd_classical_each_float" (
        float* w, float* v, float* g, Py_ssize_t n,
        float eta, float mu, float lam2) noexcept nogil
    void nesterov_each_double "skmbsgd_nesterov_each_double" (
        double* w, double* v, double* g, Py_ssize_t n,
        double eta, double mu, double lam2) noexcept nogil
    void nesterov_each_float "skmbsgd_nesterov_each_float" (
        float* w, float* v, float* g, Py_ssize_t n,
        float eta, float mu, float lam2) noexcept nogil
    void proximal_classical_each_double "skmbsgd_proximal_classical_each_double" (
        double* w, double* v, double* g, Py_ssize_t n,
        double eta, double mu, double lam2, double lam1) noexcept nogil
    void proximal_classical_each_float "skmbsgd_proximal_classical_each_float" (
        float* w, float* v, float* g, Py_ssize_t n,
        float eta, float mu, float lam2, float lam1) noexcept nogil
    void proximal_nesterov_each_double "skmbsgd_proximal_nesterov_each_double" (
        double* w, double* v, double* g, Py_ssize_t n,
        double eta, double mu, double lam2, double lam1) noexcept nogil
    void proximal_nesterov_each_float "skmbsgd_proximal_nesterov_each_float" (
        float* w, float* v, float* g, Py_ssize_t n,
        float eta, float mu, float lam2, float lam1) noexcept nogil


cdef void average_each(
    double* average, const floating* w, Py_ssize_t n, double share
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        average[j] += share * (w[j] - average[j])


cdef class Epoch:
    """What is known of an epoch before it begins.

    Attributes
    ----------
    n_batches : int
    learning_rates : ndarray of shape (n_batches,) or (1,), float64
        A rate for each batch, or one for all.
    n_averaged : int
        Number of updates already in the running means.
    first_averaged_batch : int
        The batch from which on updates join the running means; -1 for none.
    """


cdef class Model:
    """A model in training, and the rule that moves it.

    Attributes
    ----------
    squared_norm, absolute_sum : float
        Sums of the squares and of the absolute values of the weights when the last
        epoch ended.
    """

    cdef void begin_epoch(self, Epoch plan):
        """Prepare for an epoch of which the learning rates are known."""

    # These two may take long, and hear signals.

    cdef int begin_batch(self) except -1 nogil:
        """Prepare for a batch: all gradients are 0."""

    cdef int end_epoch(self) except -1 nogil:
        """Bring all weights up to date, and take the sums."""

    cdef void step(self, double learning_rate) noexcept nogil:
        """Move weights and velocities by the gradients of the batch."""

    cdef void add_to_average(self, double share) noexcept nogil:
        """Move the running means by this share of the way to the weights."""

    def is_finite(self):
        """Whether no number of the model was infinite or NaN when the epoch ended."""
        return bool(isfinite(self.absolute_sum) and isfinite(self.absolute_rest))

    def store(self):
        """Write weights, velocities and means into the arrays they came from."""


cdef class DenseModel(Model):
    """Weights, velocities and gradients in arrays as X has columns.

    Parameters
    ----------
    coef, velocity : ndarray of shape (n_outputs, n_features), float32 or float64
        C-contiguous and writable; they are moved in place.
    intercept, intercept_velocity : ndarray of shape (n_outputs,)
        Of the same type.
    average_coef, average_intercept : ndarray of float64 or None
        Running means over the updates, of the same shapes.
    momentum, l2, l1 : float
        mu, lam2 and lam1 of the rules.
    fit_intercept : bool
        Whether the intercept moves.
    """

    def __init__(
        self, coef, velocity, intercept, intercept_velocity,
        average_coef, average_intercept,
        *, momentum, l2, l1, fit_intercept,
    ):
        dtype = coef.dtype
        self.single_precision = dtype == np.float32
        self.n_outputs, self.n_features = coef.shape
        self.momentum = momentum
        self.l2 = l2
        self.l1 = l1
        self.fit_intercept = fit_intercept

        self.coef = coef
        self.velocity = velocity
        self.intercept = intercept
        self.intercept_velocity = intercept_velocity
        self.average_coef = average_coef
        self.average_intercept = average_intercept
        n_weights = self.n_outputs * self.n_features
        self.gradients = np.zeros(n_weights + self.n_outputs, dtype)

        shape, outputs = coef.shape, coef.shape[:1]
        self.w = writable_memory(coef, shape, dtype)
        self.v = writable_memory(velocity, shape, dtype)
        self.g = <void*><size_t>self.gradients.ctypes.data
        self.b = writable_memory(intercept, outputs, dtype)
        self.b_v = writable_memory(intercept_velocity, outputs, dtype)
        self.b_g = <void*><size_t>self.gradients[n_weights:].ctypes.data
        self.w_average = NULL
        self.b_average = NULL
        if average_coef is not None:
            self.w_average = <double*>writable_memory(average_coef, shape, np.float64)
            self.b_average = <double*>writable_memory(
                average_intercept, outputs, np.float64
            )

    cdef void step(self, double learning_rate) noexcept nogil:
        self.move(self.w, self.v, self.g, self.n_outputs * self.n_features,
                  learning_rate, self.l2, self.l1)
        if self.fit_intercept:
            self.move(self.b, self.b_v, self.b_g, self.n_outputs,
                      learning_rate, 0.0, 0.0)
        else:
            # Nobody needs it, but threads would go on adding it up.
            memset(self.b_g, 0, self.n_outputs * (4 if self.single_precision else 8))

    cdef void move(
        self, void* w, void* v, void* g, Py_ssize_t n,
        double learning_rate, double l2, double l1,
    ) noexcept nogil:
        """Apply the rule to n coordinates, and set their gradients to 0."""

    cdef int end_epoch(self) except -1 nogil:
        if self.single_precision:
            self.sum_up(<float*>self.w, <float*>self.v, <float*>self.b,
                        <float*>self.b_v)
        else:
            self.sum_up(<double*>self.w, <double*>self.v, <double*>self.b,
                        <double*>self.b_v)

    cdef void sum_up(
        self, const floating* w, const floating* v,
        const floating* b, const floating* b_v,
    ) noexcept nogil:
        # Not by NumPy, whose code would have to come back from the memory each time
        cdef double squares = 0.0, absolutes = 0.0, rest = 0.0
        cdef Py_ssize_t j
        for j in range(self.n_outputs * self.n_features):
            squares += <double>w[j] * w[j]
            absolutes += fabs(w[j])
            rest += fabs(v[j])
        for j in range(self.n_outputs):
            rest += fabs(b[j]) + fabs(b_v[j])
        self.squared_norm, self.absolute_sum = squares, absolutes
        self.absolute_rest = rest

    cdef void add_to_average(self, double share) noexcept nogil:
        cdef Py_ssize_t n = self.n_outputs * self.n_features
        if self.single_precision:
            average_each(self.w_average, <float*>self.w, n, share)
            average_each(self.b_average, <float*>self.b, self.n_outputs, share)
        else:
            average_each(self.w_average, <double*>self.w, n, share)
            average_each(self.b_average, <double*>self.b, self.n_outputs, share)


cdef void* writable_memory(array, shape, dtype) except NULL:
    """Address of the array's data, checked: the engine trusts it from here on."""
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"The engine needs an array of shape {shape} and type {dtype}, "
            f"got {array.shape} and {array.dtype}."
        )
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ValueError("The engine needs a C-contiguous, writable array.")
    return <void*><size_t>array.ctypes.data


cdef class ClassicalModel(DenseModel):
    cdef void move(
        self, void* w, void* v, void* g, Py_ssize_t n,
        double learning_rate, double l2, double l1,
    ) noexcept nogil:
        if self.single_precision:
            classical_each_float(
                <float*>w, <float*>v, <float*>g, n, <float>learning_rate,
                <float>self.momentum, <float>l2)
        else:
            classical_each_double(
                <double*>w, <double*>v, <double*>g, n, learning_rate,
                self.momentum, l2)


cdef class NesterovModel(DenseModel):
    cdef void move(
        self, void* w, void* v, void* g, Py_ssize_t n,
        double learning_rate, double l2, double l1,
    ) noexcept nogil:
        if self.single_precision:
            nesterov_each_float(
                <float*>w, <float*>v, <float*>g, n, <float>learning_rate,
                <float>self.momentum, <float>l2)
        else:
            nesterov_each_double(
                <double*>w, <double*>v, <double*>g, n, learning_rate,
                self.momentum, l2)


cdef class ProximalClassicalModel(DenseModel):
    cdef void move(
        self, void* w, void* v, void* g, Py_ssize_t n,
        double learning_rate, double l2, double l1,
    ) noexcept nogil:
        if self.single_precision:
            proximal_classical_each_float(
                <float*>w, <float*>v, <float*>g, n, <float>learning_rate,
                <float>self.momentum, <float>l2, <float>l1)
        else:
            proximal_classical_each_double(
                <double*>w, <double*>v, <double*>g, n, learning_rate,
                self.momentum, l2, l1)


cdef class ProximalNesterovModel(DenseModel):
    cdef void move(
        self, void* w, void* v, void* g, Py_ssize_t n,
        double learning_rate, double l2, double l1,
    ) noexcept nogil:
        if self.single_precision:
            proximal_nesterov_each_float(
                <float*>w, <float*>v, <float*>g, n, <float>learning_rate,
                <float>self.momentum, <float>l2, <float>l1)
        else:
            proximal_nesterov_each_double(
                <double*>w, <double*>v, <double*>g, n, learning_rate,
                self.momentum, l2, l1)
