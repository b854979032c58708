"""The products of row_kernels.h. They take long to compile, so they have a module."""

cdef extern from "row_kernels_functions.h":
    const RowKernels* row_kernels_double "skmbsgd_row_kernels_double" () noexcept nogil
    const RowKernels* row_kernels_float "skmbsgd_row_kernels_float" () noexcept nogil


cdef const RowKernels* row_kernels(bint single_precision):
    """The products for rows of float32 or float64, and for this processor."""
    return row_kernels_float() if single_precision else row_kernels_double()
