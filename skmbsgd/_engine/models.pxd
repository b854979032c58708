"""Declarations of the update rules; see models.pyx and rules.pxd."""

from skmbsgd._engine.blas cimport floating


cdef class Epoch:
    """What is known of an epoch before it begins."""
    cdef const double[:] learning_rates
    cdef Py_ssize_t n_batches, n_averaged, first_averaged_batch


cdef class Model:
    cdef readonly Py_ssize_t n_outputs, n_features
    cdef double momentum, l2, l1
    cdef bint fit_intercept
    cdef readonly double squared_norm, absolute_sum
    # That of all that is not a weight: velocities and intercepts
    cdef double absolute_rest

    cdef void begin_epoch(self, Epoch plan)
    cdef int begin_batch(self) except -1 nogil
    cdef void step(self, double learning_rate) noexcept nogil
    cdef void add_to_average(self, double share) noexcept nogil
    cdef int end_epoch(self) except -1 nogil


cdef class DenseModel(Model):
    cdef bint single_precision
    cdef readonly object coef, intercept
    cdef readonly object velocity, intercept_velocity
    cdef readonly object average_coef, average_intercept
    # Gradients of the weights, then those of the intercepts
    cdef readonly object gradients
    cdef void* w
    cdef void* v
    cdef void* g
    cdef void* b
    cdef void* b_v
    cdef void* b_g
    cdef double* w_average
    cdef double* b_average

    cdef void sum_up(
        self, const floating* w, const floating* v,
        const floating* b, const floating* b_v,
    ) noexcept nogil
    cdef void move(
        self, void* w, void* v, void* g, Py_ssize_t n,
        double learning_rate, double l2, double l1,
    ) noexcept nogil


cdef class ClassicalModel(DenseModel):
    pass


cdef class NesterovModel(DenseModel):
    pass


cdef class ProximalClassicalModel(DenseModel):
    pass


cdef class ProximalNesterovModel(DenseModel):
    pass


cdef void* writable_memory(array, shape, dtype) except NULL
