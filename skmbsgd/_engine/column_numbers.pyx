"""Numbers of the columns that a chunk has, from 0 on.

The records of a stream have a mark with two integers: the last numbering of columns
that included the coordinate, and its number there. See csr_stream.pyx.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint32_t

from skmbsgd._engine.csr_stream cimport COLUMNS_AHEAD, MARK, CSRStream
from skmbsgd._engine.prefetch cimport prefetch

ctypedef fused index:
    int32_t
    int64_t


def number_columns(CSRStream stream, indices):
    """Number the columns in the order of their first index.

    Parameters
    ----------
    stream : CSRStream
        Its records note the numbers.
    indices : ndarray of integers of shape (n_nonzeros,)

    Returns
    -------
    columns : ndarray of int64 of shape (n_columns,)
    numbers : ndarray of int32 of shape (n_nonzeros,)
    """
    cdef Py_ssize_t n = len(indices), n_columns
    # Users may have set other types than SciPy creates.
    dtype = np.int32 if indices.dtype == np.int32 else np.int64
    indices = np.require(indices, dtype, ["C", "ALIGNED"])
    columns = np.empty(min(n, stream.n_features), dtype=np.int64)
    numbers = np.empty(n, dtype=np.int32)
    cdef size_t address = indices.ctypes.data
    cdef int64_t[::1] columns_view = columns
    cdef int32_t[::1] numbers_view = numbers
    if dtype == np.int32:
        n_columns = number_each(
            stream, <const int32_t*>address, n, numbers_view, columns_view)
    else:
        n_columns = number_each(
            stream, <const int64_t*>address, n, numbers_view, columns_view)
    if n_columns < 0:
        raise ValueError(
            f"X has columns outside of the model's {stream.n_features}: was it, or "
            "n_features_in_, changed during the call?"
        )
    return columns[:n_columns], numbers


cdef Py_ssize_t number_each(
    CSRStream stream, const index* indices, Py_ssize_t n, int32_t[::1] numbers,
    int64_t[::1] columns,
) noexcept:
    """Number the columns; return how many there are, or -1 if one is out of range."""
    cdef Py_ssize_t i, n_columns = 0, stride = stream.records.stride
    cdef uint32_t numbering = stream.begin_numbering()
    cdef double* records = stream.records.first
    cdef uint32_t* mark
    for i in range(n):
        if not 0 <= indices[i] < stream.n_features:
            return -1
        prefetch(records + indices[min(i + COLUMNS_AHEAD, n - 1)] * stride)
        mark = <uint32_t*>(records + indices[i] * stride + MARK)
        if mark[0] != numbering:
            mark[0], mark[1] = numbering, n_columns
            columns[n_columns] = indices[i]
            n_columns += 1
        numbers[i] = mark[1]
    return n_columns
