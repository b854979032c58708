"""Rows of X, with their targets and weights, in a given order, block by block.

A batch is processed in blocks of rows that fit into the fastest cache. So a batch can
be as large as the data, without a copy of them. Later rows are prefetched while a block
is processed.

To add a layout of X, write one class with ``fetch_rows``, ``decisions`` and
``accumulate``, which sets ``lookahead`` if it reads the order beyond its block.
"""

import numpy as np

cimport cython
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from skmbsgd._engine.blas cimport (
    add_outer_products, floating, rows_times_weights,
)
from skmbsgd._engine.models cimport DenseModel, Model
from skmbsgd._engine.prefetch cimport RowPrefetch
from skmbsgd._engine.row_kernels cimport RowKernels, row_kernels
from skmbsgd._engine.row_order cimport RowOrder
from skmbsgd._engine.targets cimport Targets
from skmbsgd._engine.team cimport Member, Team


cdef enum:
    # A block of rows: enough of them to be worth the calls it takes, and few enough to
    # stay in the first-level cache from the first product to the second.
    MAX_BLOCK_ROWS = 32
    MAX_BLOCK_BYTES = 16384
    # Numbers of float32 are added up in parts of at most this many rows, because the
    # rounding errors of equal numbers add up. They reach 3e-7 of the sum by then.
    MAX_PART_ROWS = 256


cdef class Rows:
    """Rows of X with their targets and weights.

    Parameters
    ----------
    order : RowOrder
    targets : Targets
    sample_weight : ndarray of shape (n_samples,), float64, or None
        None means 1 for all rows.
    model : Model
        The model in training.
    member : Member, default=None
        The thread that processes the rows together with others that share the order;
        None if there are no others.
    """

    def __init__(
        self, RowOrder order, Targets targets, sample_weight, Model model,
        Member member=None,
    ):
        if targets.n_outputs != model.n_outputs:
            raise ValueError("The targets and the model differ in their outputs.")
        if targets.n_outputs == 1 and order.values == NULL:
            raise ValueError("The order of rows lacks the targets.")
        self.order = order
        self.targets = targets
        self.model = model
        self.member = Member(Team(1), 0) if member is None else member
        self.weighted = sample_weight is not None
        if self.weighted:
            self.sample_weight = sample_weight
            if sample_weight.shape[0] != targets.n_samples:
                raise ValueError("sample_weight and y differ in length.")

    cdef void allocate(self, Py_ssize_t max_rows):
        cdef Py_ssize_t size = max_rows * self.targets.n_outputs
        cdef double[::1] block = np.empty(4 * size + max_rows)
        self.block_array = block
        self.max_rows = max_rows
        self.y = &block[0]
        self.z = self.y + size
        self.losses = self.z + size
        self.d = self.losses + size
        self.scale = self.d + size
        self.share_in_scale = 0.0

    cdef Py_ssize_t load(
        self, Py_ssize_t first, Py_ssize_t stop, double batch_share
    ) noexcept nogil:
        """Prepare the rows from first on, at most up to stop; return how many.

        batch_share is the share of a row of weight 1 in the mean over its batch.
        """
        self.n_rows = min(stop - first, self.max_rows)
        if self.member.is_alone:
            self.order.decide(first + self.n_rows + self.lookahead)
        self.rows = self.order.rows + first
        self.fetch_rows(first)
        if self.targets.n_outputs == 1:
            self.y = self.order.values + first
        else:
            self.targets.load(self.rows, self.n_rows, self.y)
        self.load_scale(batch_share)
        return self.n_rows

    cdef void load_scale(self, double batch_share) noexcept nogil:
        cdef Py_ssize_t i
        cdef double* scale = self.scale
        if self.weighted:
            for i in range(self.n_rows):
                scale[i] = batch_share * self.sample_weight[self.rows[i]]
        elif batch_share != self.share_in_scale:
            self.share_in_scale = batch_share
            for i in range(self.max_rows):
                scale[i] = batch_share

    cdef int begin_epoch(self, Py_ssize_t share_rows) except -1:
        """Prepare for batches of which this thread has share_rows."""

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        """Get the block's rows of X, and prefetch later ones."""

    cdef int decisions(self) except -1 nogil:
        """Write z = X W^T + b for the block."""

    cdef int accumulate(self) except -1 nogil:
        """Add d^T X and the sum of d to the gradients of the batch."""

    cdef void complete_gradients(self) noexcept nogil:
        """Finish the gradients of the batch in the model, after the last block."""


cdef class DenseRows(Rows):
    """Rows of a dense array; use `dense_rows` to create them.

    Numbers of float32 are added up in parts of a batch, and the parts in float64. So
    sums are as exact as their type allows for any number of rows in a batch.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        C-contiguous; never copied, never written.
    order, targets, sample_weight, member
        As for Rows.
    model : DenseModel
        It has the precision of X.
    """

    def __init__(
        self, X, RowOrder order, Targets targets, sample_weight, DenseModel model,
        Member member=None,
    ):
        super().__init__(order, targets, sample_weight, model, member)
        check_dense_rows(X, order, targets, model, self.member)
        self.X = X
        self.first_row = <const char*><size_t>X.ctypes.data
        self.n_features = X.shape[1]
        self.bytes_of_row = self.n_features * X.itemsize
        self.cost_of_row = cost_of_dense_row(
            self.n_features, X.itemsize, targets.n_outputs)
        block_rows = rows_of_block(
            self.bytes_of_row, targets.n_outputs, X.dtype == np.float32)
        self.allocate(min(block_rows, order.n_rows))
        self.row_prefetch = RowPrefetch(X)
        self.lookahead = self.row_prefetch.n_early

        self.w, self.b = model.w, model.b
        self.g, self.b_g = model.g, model.b_g
        self.n_gradients = model.gradients.size
        self.max_part_rows = MAX_PART_ROWS if X.dtype == np.float32 else order.n_rows

    cdef int begin_epoch(self, Py_ssize_t share_rows) except -1:
        cdef double[::1] sums
        self.n_part_rows = self.n_parts = 0
        if share_rows > self.max_part_rows and self.sums_array is None:
            self.sums_array = sums = np.zeros(self.n_gradients)
            self.sums = &sums[0]

    cdef const uint32_t* rows_ahead(
        self, Py_ssize_t first, Py_ssize_t n_positions
    ) noexcept nogil:
        """The rows n_positions after those of the block, or the last ones."""
        cdef Py_ssize_t position = self.member.position_ahead(first, n_positions)
        return self.order.rows + min(position, self.order.n_rows - self.n_rows)

    cdef inline const char* address_of_row(self, uint32_t row) noexcept nogil:
        return self.first_row + row * self.bytes_of_row

    cdef int accumulate(self) except -1 nogil:
        if self.n_part_rows + self.n_rows > self.max_part_rows:
            self.end_part()
        self.n_part_rows += self.n_rows
        self.add_products()

    cdef int add_products(self) except -1 nogil:
        """g += d^T X, and b_g += the sum of d"""

    cdef void end_part(self) noexcept nogil:
        """Add the gradients of a part of the batch to the sums of float64."""
        cdef float* g = <float*>self.g
        cdef Py_ssize_t j
        for j in range(self.n_gradients):
            self.sums[j] += g[j]
            g[j] = 0.0
        self.n_part_rows = 0
        self.n_parts += 1

    cdef void complete_gradients(self) noexcept nogil:
        cdef float* g = <float*>self.g
        cdef Py_ssize_t j
        self.n_part_rows = 0
        if self.n_parts == 0:
            return
        self.n_parts = 0
        for j in range(self.n_gradients):
            g[j] = <float>(self.sums[j] + g[j])
            self.sums[j] = 0.0


@cython.final
cdef class ScatteredRows(DenseRows):
    """Rows for one output, used in place."""

    cdef const RowKernels* kernels

    def __init__(self, X, *args):
        super().__init__(X, *args)
        self.kernels = row_kernels(X.dtype == np.float32)

    cdef int begin_epoch(self, Py_ssize_t share_rows) except -1:
        DenseRows.begin_epoch(self, share_rows)
        self.row_prefetch.begin_epoch(share_rows)

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        self.row_prefetch.begin_block(
            self.rows_ahead(first, self.row_prefetch.n_ahead),
            self.rows_ahead(first, self.row_prefetch.n_early), self.n_rows)

    cdef int decisions(self) except -1 nogil:
        self.kernels.dot_rows(
            self.first_row, self.rows, self.n_rows, self.n_features,
            self.w, self.b, self.z, &self.row_prefetch.by_first)

    cdef int add_products(self) except -1 nogil:
        self.kernels.add_rows(
            self.first_row, self.rows, self.n_rows, self.n_features,
            self.d, self.g, self.b_g, &self.row_prefetch.by_second)


cdef class GatheredRows(DenseRows):
    """Rows for several outputs, gathered block by block for BLAS."""

    cdef object gathered_array, converted_array, column_sums_array
    cdef char* gathered
    cdef const void* block
    cdef void* converted
    cdef double* column_sums

    def __init__(self, X, *args):
        super().__init__(X, *args)
        n_outputs = self.targets.n_outputs
        self.gathered_array = np.empty((self.max_rows, self.n_features), X.dtype)
        self.gathered = <char*><size_t>self.gathered_array.ctypes.data
        self.converted_array = np.empty((self.max_rows, n_outputs), X.dtype)
        self.converted = <void*><size_t>self.converted_array.ctypes.data
        self.column_sums_array = np.empty(n_outputs)
        self.column_sums = <double*><size_t>self.column_sums_array.ctypes.data

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        if self.order.consecutive:
            self.block = self.address_of_row(self.rows[0])
        else:
            self.gather(self.rows_ahead(first, self.row_prefetch.n_ahead))
            self.block = self.gathered

    cdef void gather(self, const uint32_t* rows_ahead) noexcept nogil:
        """Copy the block's rows, and prefetch later ones and their targets."""
        cdef Py_ssize_t i
        for i in range(self.n_rows):
            self.targets.prefetch(rows_ahead[i])
            self.row_prefetch.prefetch_row(rows_ahead[i])
            memcpy(self.gathered + i * self.bytes_of_row,
                   self.address_of_row(self.rows[i]), self.bytes_of_row)


@cython.final
cdef class GatheredFloatRows(GatheredRows):
    cdef int decisions(self) except -1 nogil:
        multiply(self, <const float*>self.w, <const float*>self.b)

    cdef int add_products(self) except -1 nogil:
        add_outer(self, <float*>self.g, <float*>self.b_g)


@cython.final
cdef class GatheredDoubleRows(GatheredRows):
    cdef int decisions(self) except -1 nogil:
        multiply(self, <const double*>self.w, <const double*>self.b)

    cdef int add_products(self) except -1 nogil:
        add_outer(self, <double*>self.g, <double*>self.b_g)


cdef int multiply(
    GatheredRows rows, const floating* w, const floating* b
) except -1 nogil:
    """z = X w^T + b"""
    cdef floating* products = <floating*>rows.converted
    cdef Py_ssize_t i, k, n_outputs = rows.targets.n_outputs
    rows_times_weights(
        <const floating*>rows.block, w, products,
        rows.n_rows, rows.n_features, n_outputs)
    for i in range(rows.n_rows):
        for k in range(n_outputs):
            rows.z[i * n_outputs + k] = <double>products[i * n_outputs + k] + b[k]


cdef int add_outer(GatheredRows rows, floating* g, floating* b_g) except -1 nogil:
    """g += d^T X, and b_g += the sums of the columns of d"""
    cdef Py_ssize_t k, n_outputs = rows.targets.n_outputs
    convert_and_sum(rows.d, <floating*>rows.converted, rows.column_sums,
                    rows.n_rows, n_outputs)
    for k in range(n_outputs):
        b_g[k] += <floating>rows.column_sums[k]
    add_outer_products(
        <floating*>rows.converted, <const floating*>rows.block, g,
        rows.n_rows, rows.n_features, n_outputs)


cdef void convert_and_sum(
    const double* d, floating* converted, double* column_sums,
    Py_ssize_t n_rows, Py_ssize_t n_outputs,
) noexcept nogil:
    """Copy d in the precision of X, and compute the sums of its columns."""
    cdef Py_ssize_t i, k
    memset(column_sums, 0, n_outputs * sizeof(double))
    for i in range(n_rows):
        for k in range(n_outputs):
            converted[i * n_outputs + k] = <floating>d[i * n_outputs + k]
            column_sums[k] += d[i * n_outputs + k]


def dense_rows(X, order, targets, *args):
    """Rows of a dense array, in the class for their type and number of outputs."""
    if targets.n_outputs == 1:
        return ScatteredRows(X, order, targets, *args)
    if X.dtype == np.float32:
        return GatheredFloatRows(X, order, targets, *args)
    return GatheredDoubleRows(X, order, targets, *args)


def check_dense_rows(X, RowOrder order, Targets targets, DenseModel model, member):
    """Raise an error unless these match, because the engine relies on it."""
    if X.dtype not in (np.float32, np.float64):
        raise ValueError("X must be float32 or float64.")
    if not (X.flags.c_contiguous and X.flags.aligned):
        raise ValueError("X must be C-contiguous and aligned.")
    if X.shape[0] != targets.n_samples or int(order.given_rows.max()) >= len(X):
        raise ValueError("X, the targets and the order of rows do not match.")
    if model.coef.dtype != X.dtype or model.n_features != X.shape[1]:
        raise ValueError("X and the model differ in type or features.")
    if not (member.is_alone or member.buffer is model.gradients):
        raise ValueError("The threads exchange the gradients of another model.")


cpdef double cost_of_dense_row(
    Py_ssize_t n_features, Py_ssize_t itemsize, Py_ssize_t n_outputs
):
    """The work of one row, in units of about a nanosecond."""
    return n_outputs * (n_features * itemsize / 8.0 + 16.0)


cdef Py_ssize_t rows_of_block(
    Py_ssize_t bytes_of_row, Py_ssize_t n_outputs, bint single_precision
):
    """The number of rows in a block."""
    # A matrix product gains more from a larger block than it loses in the cache. But
    # larger blocks have larger rounding errors of float32.
    factor = 1 if n_outputs == 1 else 2 if single_precision else 4
    rows = factor * min(MAX_BLOCK_BYTES // bytes_of_row, MAX_BLOCK_ROWS)
    # The products take four rows at a time.
    return max(4, rows // 4 * 4)
