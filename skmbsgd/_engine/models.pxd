"""Declarations of the models in training; see models.pyx."""

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.penalties cimport Penalty
from skmbsgd._engine.rules cimport Rule
from skmbsgd._engine.steps cimport Dot, StandardizedStep, Step


cdef class Model:
    cdef readonly Rule rule
    cdef readonly Penalty penalty
    cdef readonly Py_ssize_t n_outputs, n_features, n_averaged
    cdef readonly object coef, intercept
    cdef readonly object velocity, intercept_velocity
    cdef readonly object average_coef, average_intercept
    cdef readonly object positions, threshold_array
    cdef bint fit_intercept
    cdef double recency
    # u and r of penalties.pxd
    cdef double* threshold
    cdef readonly double squared_norm, absolute_sum
    # The sum of everything that is not a weight: velocities, intercepts, means of a
    # RecordModel
    cdef double absolute_rest

    cdef void begin_epoch(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch)
    cdef int begin_part(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch) except -1
    cdef int begin_batch(self) except -1 nogil
    cdef int step(self, double learning_rate) except -1 nogil
    cdef int add_to_average(self) except -1 nogil
    cdef int end_epoch(self) except -1 nogil


cdef class DenseModel(Model):
    cdef bint single_precision
    # Gradients of the weights, then those of the intercepts
    cdef readonly object gradients
    cdef Py_ssize_t n_weights
    cdef Step step_weights, step_intercepts
    cdef void* w
    cdef double* z
    cdef void* v
    cdef void* g
    cdef void* b
    cdef void* b_v
    cdef void* b_g
    cdef double* w_average
    cdef double* b_average

    cdef void move_intercepts(self, void* b, double learning_rate) noexcept nogil
    cdef Py_ssize_t next_part(self, Py_ssize_t first) except -1 nogil
    cdef void sum_up(
        self, const floating* w, const floating* v, Py_ssize_t first, Py_ssize_t stop
    ) noexcept nogil
    cdef void sum_up_intercepts(
        self, const floating* b, const floating* b_v) noexcept nogil


cdef class StandardizedModel(DenseModel):
    cdef readonly object mean, precision, centred_intercept
    cdef const double* m
    cdef const double* p
    cdef StandardizedStep step_standardized
    cdef Dot dot
    # The intercepts for centred columns
    cdef void* centred_b

    cdef int step_output(
        self, Py_ssize_t output, double learning_rate) except -1 nogil
    cdef double shift(self, Py_ssize_t output) noexcept nogil


cdef void* writable_memory(array, shape, dtype) except NULL
