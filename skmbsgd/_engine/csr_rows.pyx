"""Rows of a CSR matrix."""

import numpy as np

cimport cython
from libc.stdint cimport int64_t, uint32_t

from skmbsgd._engine.csr_model cimport CSRModel
from skmbsgd._engine.prefetch cimport (
    CSR_BEGINNINGS_AHEAD, CSR_NONZEROS_AHEAD, CSR_RECORDS_AHEAD, MAX_CSR_NONZEROS,
    prefetch, prefetch_bytes,
)
from skmbsgd._engine.row_order cimport RowOrder
from skmbsgd._engine.rows cimport Rows
from skmbsgd._engine.signals cimport WORK_BETWEEN_SIGNALS, check_signals
from skmbsgd._engine.targets cimport Targets


cdef enum:
    BLOCK_ROWS = 32
    # Non-zeros of a row that are processed at a time
    MAX_NONZEROS = 4096


@cython.final
cdef class CSRRows(Rows):
    """Rows of a CSR matrix, with indices in any order and possibly repeated.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_features), float32 or float64
        Its indices must be within range, which is not checked here. It is never
        written. Values and indices are copied only if they are misaligned.
    order, targets, sample_weight
        As for Rows.
    model : CSRModel
    """

    def __init__(
        self, X, RowOrder order, Targets targets, sample_weight, CSRModel model
    ):
        super().__init__(order, targets, sample_weight, model)
        self.csr_model = model
        if X.shape[0] != targets.n_samples or int(order.given_rows.max()) >= X.shape[0]:
            raise ValueError("X, the targets and the order of rows do not match.")
        if model.n_features != X.shape[1]:
            raise ValueError("X and the model differ in features.")
        self.X = X
        layout = ["C", "ALIGNED"]
        self.data_array = np.require(X.data, requirements=layout)
        self.indices_array = np.require(X.indices, requirements=layout)
        self.indptr_array = np.require(X.indptr, np.int64, layout)
        if self.data_array.dtype not in (np.float32, np.float64):
            raise ValueError("X must be float32 or float64.")
        if self.indices_array.dtype not in (np.int32, np.int64):
            raise ValueError("The indices of X must be int32 or int64.")
        self.single_precision = self.data_array.dtype == np.float32
        self.long_indices = self.indices_array.dtype == np.int64
        self.bytes_of_value = self.data_array.itemsize
        self.bytes_of_index = self.indices_array.itemsize
        self.data = <const char*><size_t>self.data_array.ctypes.data
        self.indices = <const char*><size_t>self.indices_array.ctypes.data
        self.indptr = <const int64_t*><size_t>self.indptr_array.ctypes.data
        self.cost_of_row = targets.n_outputs * (
            16 + 8 * (self.indptr_array[X.shape[0]] // X.shape[0])
        )
        # Signals are checked after a block, and within a long row.
        rows_between_signals = max(1, <Py_ssize_t>(
            WORK_BETWEEN_SIGNALS / self.cost_of_row))
        self.max_nonzeros = max(1, min(
            MAX_NONZEROS, WORK_BETWEEN_SIGNALS // (8 * targets.n_outputs)))
        self.make_scratch()
        self.allocate(min(BLOCK_ROWS, rows_between_signals, order.n_rows))
        self.lookahead = CSR_BEGINNINGS_AHEAD

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        self.first = first

    def make_scratch(self):
        cdef Py_ssize_t n = max(self.max_nonzeros, <int64_t>MAX_CSR_NONZEROS)
        self.scratch_array = np.empty(2 * n)
        self.values = <double*><size_t>self.scratch_array.ctypes.data
        self.columns = <uint32_t*>(self.values + n)
        self.later_columns = self.columns + n

    cdef int decisions(self) except -1 nogil:
        """Bring the coordinates of the rows up to date; z = X W^T + b."""
        cdef Py_ssize_t i, k, n_outputs = self.csr_model.n_outputs
        cdef int64_t start, stop, end, start_ahead, n_ahead
        cdef uint32_t ahead
        cdef const uint32_t* columns_ahead
        cdef double* z = self.z
        for i in range(self.n_rows):
            self.prefetch_rows(i)
            ahead = self.row_ahead(i, CSR_RECORDS_AHEAD)
            start_ahead = self.indptr[ahead]
            n_ahead = min(
                self.indptr[ahead + 1] - start_ahead, <int64_t>MAX_CSR_NONZEROS)
            columns_ahead = self.columns_of(start_ahead, n_ahead, self.later_columns)
            start, end = self.indptr[self.rows[i]], self.indptr[self.rows[i] + 1]
            for k in range(n_outputs):
                z[k] = self.csr_model.b[k]
            while True:
                stop = min(start + self.max_nonzeros, end)
                self.csr_model.add_products(
                    self.values_of(start, stop - start),
                    self.columns_of(start, stop - start, self.columns),
                    stop - start, columns_ahead, n_ahead, z)
                if stop == end:
                    break
                start, n_ahead = stop, 0
                check_signals()
            z += n_outputs
        return 0

    cdef int accumulate(self) except -1 nogil:
        """g += d^T X, and the sum of d to that of the intercepts"""
        cdef Py_ssize_t i, k, n_outputs = self.csr_model.n_outputs
        cdef int64_t start, stop, end
        cdef double* d = self.d
        cdef double* b_g = self.csr_model.b_g
        for i in range(self.n_rows):
            for k in range(n_outputs):
                b_g[k] += d[k]
            start, end = self.indptr[self.rows[i]], self.indptr[self.rows[i] + 1]
            while True:
                stop = min(start + self.max_nonzeros, end)
                self.csr_model.add_gradients(
                    self.values_of(start, stop - start),
                    self.columns_of(start, stop - start, self.columns),
                    stop - start, d)
                if stop == end:
                    break
                start = stop
                check_signals()
            d += n_outputs
        return 0

    cdef inline const double* values_of(
        self, int64_t start, Py_ssize_t n
    ) noexcept nogil:
        """Some values in float64."""
        cdef Py_ssize_t i
        cdef const float* singles = <const float*>self.data + start
        cdef double* values = self.values
        if not self.single_precision:
            return <const double*>self.data + start
        for i in range(n):
            values[i] = singles[i]
        return values

    cdef inline const uint32_t* columns_of(
        self, int64_t start, Py_ssize_t n, uint32_t* scratch
    ) noexcept nogil:
        """Some indices as uint32, as which int32 can be read: none is negative."""
        cdef Py_ssize_t i
        cdef const int64_t* long_indices = <const int64_t*>self.indices + start
        if not self.long_indices:
            return <const uint32_t*>self.indices + start
        for i in range(n):
            scratch[i] = <uint32_t>long_indices[i]
        return scratch

    cdef inline uint32_t row_ahead(self, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
        """The row n positions after the block's i-th, or the last one."""
        return self.order.rows[min(self.first + i + n, self.order.n_rows - 1)]

    cdef inline void prefetch_rows(self, Py_ssize_t i) noexcept nogil:
        """Prefetch a row's beginning, and another's non-zeros and target."""
        cdef uint32_t row = self.row_ahead(i, CSR_NONZEROS_AHEAD)
        cdef int64_t start = self.indptr[row]
        cdef int64_t n = min(self.indptr[row + 1] - start, <int64_t>MAX_CSR_NONZEROS)
        prefetch(self.indptr + self.row_ahead(i, CSR_BEGINNINGS_AHEAD))
        if self.csr_model.n_outputs > 1:
            self.targets.prefetch(row)
        if n > 0:
            prefetch_bytes(
                self.data + start * self.bytes_of_value, n * self.bytes_of_value)
            prefetch_bytes(
                self.indices + start * self.bytes_of_index, n * self.bytes_of_index)
