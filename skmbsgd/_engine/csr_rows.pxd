"""Declarations of the rows of a CSR matrix; see csr_rows.pyx."""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from skmbsgd._engine.csr_model cimport CSRModel
from skmbsgd._engine.rows cimport Rows


@cython.final
cdef class CSRRows(Rows):
    cdef readonly object X
    cdef CSRModel csr_model
    cdef object data_array, indices_array, indptr_array, scratch_array
    cdef bint single_precision, long_indices
    cdef Py_ssize_t bytes_of_value, bytes_of_index
    cdef const char* data
    cdef const char* indices
    cdef const int64_t* indptr
    cdef Py_ssize_t first
    # Non-zeros of a row between two checks for signals
    cdef int64_t max_nonzeros
    # Non-zeros in the types of the model
    cdef double* values
    cdef uint32_t* columns
    cdef uint32_t* later_columns

    cdef const double* values_of(self, int64_t start, Py_ssize_t n) noexcept nogil
    cdef const uint32_t* columns_of(
        self, int64_t start, Py_ssize_t n, uint32_t* scratch) noexcept nogil
    cdef uint32_t row_ahead(self, Py_ssize_t i, Py_ssize_t n) noexcept nogil
    cdef void prefetch_rows(self, Py_ssize_t i) noexcept nogil
