"""Targets y of the rows of X: numbers, or classes as -1 and +1."""

import numpy as np

from libc.stdint cimport uint32_t

from skmbsgd._engine.prefetch cimport prefetch


cdef class Targets:
    """The targets y of the rows of X.

    Attributes
    ----------
    single : ndarray of shape (n_samples,), float64, or None
        The targets of a single output; None for several.
    """

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        """Write the several targets of these rows, shape (n_rows, n_outputs)."""

    cdef void prefetch(self, uint32_t row) noexcept nogil:  # no-cython-lint
        """Prefetch the several targets of a later row."""


cdef class RealTargets(Targets):
    """Numbers: an array of shape (n_samples, n_outputs), float64."""

    def __init__(self, const double[:, ::1] values):
        self.values = values
        self.n_samples = values.shape[0]
        self.n_outputs = values.shape[1]
        self.single = np.asarray(values).ravel() if self.n_outputs == 1 else None

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        cdef Py_ssize_t i, k
        for i in range(n_rows):
            for k in range(self.n_outputs):
                y[i * self.n_outputs + k] = self.values[rows[i], k]

    cdef void prefetch(self, uint32_t row) noexcept nogil:  # no-cython-lint
        prefetch(&self.values[row, 0])


cdef class ClassTargets(Targets):
    """Classes: +1 in the output of the row's class, -1 in the others.

    Two classes share one output, +1 for the second.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), intp
        Class numbers from 0 to n_classes - 1.
    n_classes : int
    """

    def __init__(self, const Py_ssize_t[::1] labels, Py_ssize_t n_classes):
        cdef Py_ssize_t i
        for i in range(labels.shape[0]):
            if not 0 <= labels[i] < n_classes:
                raise ValueError("The labels do not match classes_. Was it changed?")
        self.labels = labels
        self.n_samples = labels.shape[0]
        self.n_outputs = 1 if n_classes == 2 else n_classes
        self.single = 2.0 * np.asarray(labels) - 1.0 if n_classes == 2 else None

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        cdef Py_ssize_t i, k
        for i in range(n_rows):
            for k in range(self.n_outputs):
                y[i * self.n_outputs + k] = -1.0
            y[i * self.n_outputs + self.labels[rows[i]]] = 1.0

    cdef void prefetch(self, uint32_t row) noexcept nogil:  # no-cython-lint
        prefetch(&self.labels[row])
