"""Declarations of the rows of a CSR matrix; see csr_rows.pyx."""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.csr_model cimport CSRModel, index
from skmbsgd._engine.rows cimport Rows


@cython.final
cdef class CSRRows(Rows):
    cdef readonly object X
    cdef CSRModel csr_model
    cdef object data_array, indices_array, indptr_array
    cdef bint single_precision, long_indices
    cdef const void* data
    cdef const void* indices
    cdef const int64_t* indptr
    cdef Py_ssize_t first
    # Non-zeros of a row between two checks for signals
    cdef int64_t max_nonzeros

    cdef int decide(
        self, const floating* data, const index* indices) except -1 nogil
    cdef int add(
        self, const floating* data, const index* indices) except -1 nogil
    cdef uint32_t row_ahead(self, Py_ssize_t i, Py_ssize_t n) noexcept nogil
    cdef void prefetch_rows(
        self, Py_ssize_t i, const floating* data, const index* indices) noexcept nogil
