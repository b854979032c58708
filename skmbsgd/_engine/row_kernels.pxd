"""Products of scattered rows with one vector; see row_kernels.h."""

from libc.stdint cimport uint32_t

from skmbsgd._engine.prefetch cimport RowsAhead

cdef extern from "row_kernels.h":
    ctypedef struct RowKernels "skmbsgd_row_kernels":
        void (*dot_rows)(
            const void* x, const uint32_t* rows,
            Py_ssize_t n_rows, Py_ssize_t n_columns,
            const void* w, const void* b, double* z, const RowsAhead* ahead
        ) noexcept nogil
        void (*add_rows)(
            const void* x, const uint32_t* rows,
            Py_ssize_t n_rows, Py_ssize_t n_columns,
            const double* d, void* g, void* b_g, const RowsAhead* ahead
        ) noexcept nogil


cdef const RowKernels* row_kernels(bint single_precision)
