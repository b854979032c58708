"""Declarations of models in the arrays of the state; see in_place_model.pyx."""

cimport cython
from libc.stdint cimport int64_t

from skmbsgd._engine.csr_model cimport CSRModel


cdef struct Coordinate:
    # Where it has its numbers
    double* clock
    double* z
    double* v
    double* g


cdef class InPlaceModel(CSRModel):
    # The numbers of the first coordinate, and the distances to those of the next one
    cdef double* z
    cdef double* v
    cdef double* g
    cdef Py_ssize_t z_stride, v_stride, g_stride
    cdef object gradients

    @cython.final
    cdef Coordinate coordinate_at(self, int64_t column) noexcept nogil

    @cython.final
    cdef void prefetch_at(self, int64_t column) noexcept nogil

    @cython.final
    cdef void catch_up(self, Coordinate coordinate) noexcept nogil

    @cython.final
    cdef Py_ssize_t coordinates_ahead(self) noexcept nogil


@cython.final
cdef class InPlaceModelWithoutMomentum(InPlaceModel):
    # The coordinates of the batch, and in the same order their gradients
    cdef object touched_array, batch_gradients_array
    cdef int64_t* touched
    cdef double* batch_gradients
    cdef Py_ssize_t n_touched, max_touched

    cdef int make_room_for(self, Py_ssize_t n) except -1
    cdef double* gradient_of(self, int64_t column) noexcept nogil
    cdef int move_touched(self) except -1 nogil
