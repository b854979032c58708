"""Declarations of the losses; their formulas are in losses.pyx."""


cdef class Loss:
    cdef double gradient(
        self, const double* y, const double* z, const double* scale,
        double* losses, double* d, Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil
    cdef void evaluate(
        self, const double* y, const double* z, double* losses, double* d,
        Py_ssize_t n_rows, Py_ssize_t n_outputs,
    ) noexcept nogil


cdef class PointwiseLoss(Loss):
    pass


cdef class SquaredError(PointwiseLoss):
    pass


cdef class Huber(PointwiseLoss):
    cdef double epsilon


cdef class EpsilonInsensitive(PointwiseLoss):
    cdef double epsilon


cdef class SquaredEpsilonInsensitive(PointwiseLoss):
    cdef double epsilon


cdef class Logistic(PointwiseLoss):
    pass


cdef class Hinge(PointwiseLoss):
    cdef double margin


cdef class SquaredHinge(PointwiseLoss):
    pass


cdef class ModifiedHuber(PointwiseLoss):
    pass


cdef class Softmax(Loss):
    pass
