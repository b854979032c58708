"""Declarations of models in records; see record_model.pyx."""

cimport cython

from skmbsgd._engine.csr_model cimport CSRModel


@cython.final
cdef class RecordModel(CSRModel):
    # Where the records begin, their size, and the cache lines of each
    cdef double* first
    cdef Py_ssize_t stride, n_lines
