"""Rows of X, of the targets and of the weights, in a given order, block by block.

A batch is worked off in blocks of rows that fit into the fastest cache, so that a
batch may be as large as the data without any copy of it. The rows to come are sent
for while those at hand are worked on.

To add a layout of X, write one class with ``fetch_rows``, ``decisions`` and
``accumulate``, which sets ``lookahead`` if it reads the order beyond its block.
"""

import numpy as np

cimport cython
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from skmbsgd._engine.blas cimport (
    add_outer_products, floating, rows_times_weights,
)
from skmbsgd._engine.prefetch cimport (
    CACHE_LINE, ask_while_reading, prefetch, prefetch_lines,
)
from skmbsgd._engine.row_order cimport RowOrder
from skmbsgd._engine.team cimport Member, Team
from skmbsgd._engine.models cimport DenseModel, Model

cdef extern from "row_kernels.h":
    void dot_rows_double "skmbsgd_dot_rows_double" (
        const double* x, const uint32_t* rows, const uint32_t* rows_ahead,
        Py_ssize_t n_rows, Py_ssize_t n_columns,
        Py_ssize_t first_ahead, Py_ssize_t stop_ahead,
        const uint32_t* rows_beyond, Py_ssize_t stop_beyond,
        const double* w, double b, double* z) noexcept nogil
    void dot_rows_float "skmbsgd_dot_rows_float" (
        const float* x, const uint32_t* rows, const uint32_t* rows_ahead,
        Py_ssize_t n_rows, Py_ssize_t n_columns,
        Py_ssize_t first_ahead, Py_ssize_t stop_ahead,
        const uint32_t* rows_beyond, Py_ssize_t stop_beyond,
        const float* w, float b, double* z) noexcept nogil
    double add_rows_double "skmbsgd_add_rows_double" (
        const double* x, const uint32_t* rows, const uint32_t* rows_ahead,
        Py_ssize_t n_rows, Py_ssize_t n_columns,
        Py_ssize_t first_ahead, Py_ssize_t stop_ahead,
        const double* d, double* g) noexcept nogil
    float add_rows_float "skmbsgd_add_rows_float" (
        const float* x, const uint32_t* rows, const uint32_t* rows_ahead,
        Py_ssize_t n_rows, Py_ssize_t n_columns,
        Py_ssize_t first_ahead, Py_ssize_t stop_ahead,
        const double* d, float* g) noexcept nogil


cdef enum:
    # A block of rows: enough of them to be worth the calls it takes, and few enough to
    # stay in the first-level cache from the first product to the second.
    MAX_BLOCK_ROWS = 32
    MAX_BLOCK_BYTES = 16384
    # Rows to come are sent for so many visits ahead: early enough to arrive in time,
    # late enough not to be evicted again.
    LOOKAHEAD_ROWS = 64
    MAX_LOOKAHEAD_BYTES = 98304
    # Where a processor had better ask while it reads, and each row lies anywhere, lines
    # a page apart are sent for so many visits before the others of their row.
    ROWS_BEYOND = 16
    # Of a very long row only the start is sent for; the processor's own prefetcher
    # does the rest.
    MAX_PREFETCHED_BYTES = 16384
    # With fewer rows between two updates there is too little to do meanwhile for the
    # first product to send for all of a row (docs/engine.rst).
    LEAST_TO_ASK_MEANWHILE = 4
    # Of a row of fewer bytes the first product, which reads the rows at hand for the
    # first time, is not to send for any part, since its own reads would have to wait.
    # The shuffle, which reads no rows, sends for the first half. (Unless one had better
    # ask while reading, or several threads share the rows.)
    LONG_ROW = 1024


cdef class Targets:
    """The targets y of the rows of X.

    Attributes
    ----------
    single : ndarray of shape (n_samples,), float64, or None
        The targets of a single output; None for several.
    """

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        """Write the several targets of these rows, shape (n_rows, n_outputs)."""

    cdef void prefetch(self, uint32_t row) noexcept nogil:
        """Ask for the several targets of a row to come."""


cdef class RealTargets(Targets):
    """Numbers: an array of shape (n_samples, n_outputs), float64."""

    def __init__(self, const double[:, ::1] values):
        self.values = values
        self.n_samples = values.shape[0]
        self.n_outputs = values.shape[1]
        self.single = np.asarray(values).ravel() if self.n_outputs == 1 else None

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        cdef Py_ssize_t i, k
        for i in range(n_rows):
            for k in range(self.n_outputs):
                y[i * self.n_outputs + k] = self.values[rows[i], k]

    cdef void prefetch(self, uint32_t row) noexcept nogil:
        prefetch(&self.values[row, 0])


cdef class ClassTargets(Targets):
    """Classes: +1 in the output of the row's class, -1 in the others.

    Two classes share one output, +1 for the second.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), intp
        Class numbers from 0 to n_classes - 1.
    n_classes : int
    """

    def __init__(self, const Py_ssize_t[::1] labels, Py_ssize_t n_classes):
        cdef Py_ssize_t i
        for i in range(labels.shape[0]):
            if not 0 <= labels[i] < n_classes:
                raise ValueError("The labels do not fit classes_: was it changed?")
        self.labels = labels
        self.n_samples = labels.shape[0]
        self.n_outputs = 1 if n_classes == 2 else n_classes
        self.single = 2.0 * np.asarray(labels) - 1.0 if n_classes == 2 else None

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        cdef Py_ssize_t i, k
        for i in range(n_rows):
            for k in range(self.n_outputs):
                y[i * self.n_outputs + k] = -1.0
            y[i * self.n_outputs + self.labels[rows[i]]] = 1.0

    cdef void prefetch(self, uint32_t row) noexcept nogil:
        prefetch(&self.labels[row])


cdef class Rows:
    """Rows of X with their targets and weights.

    Parameters
    ----------
    order : RowOrder
    targets : Targets
    sample_weight : ndarray of shape (n_samples,), float64, or None
        None stands for 1 throughout.
    model : Model
        The model in training.
    member : Member, default=None
        The thread that goes through them with others, which share the order; None if
        there are no others.
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
        if not (self.member.is_alone or self.member.model is model):
            raise ValueError("The thread hands over the gradients of another model.")
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
        """Make ready the rows from first on, at most up to stop; return how many.

        batch_share is what a row of weight 1 adds to its batch's mean.
        """
        self.n_rows = min(stop - first, self.max_rows)
        if self.member.is_alone:
            self.order.settle(first + self.n_rows + self.lookahead)
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

    cdef void divide_requests(self, Py_ssize_t rows_at_once) noexcept nogil:
        """Settle, for an epoch, who sends for which part of the rows to come.

        rows_at_once is how many rows of a batch this thread goes through.
        """

    cdef void let_first_product_send(self) noexcept nogil:
        """Have the first product send for the rows to come, all by itself."""

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        """Bring the block's rows of X to hand, and send for those after them."""

    cdef void decisions(self) noexcept nogil:
        """Write z = X W^T + b for the block."""

    cdef void accumulate(self) noexcept nogil:
        """Add d^T X and the sum of d to the gradients of the model."""


@cython.final
cdef class DenseRows(Rows):
    """Rows of a dense array.

    With one output the rows are worked on where they lie. With several, a block of them
    is gathered for one matrix product. In both cases the rows some visits ahead are
    sent for meanwhile.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        C-contiguous; never copied, never written.
    order, targets, sample_weight, member
        As for Rows.
    model : DenseModel
        Of the precision of X.
    """

    def __init__(
        self, X, RowOrder order, Targets targets, sample_weight, DenseModel model,
        Member member=None,
    ):
        super().__init__(order, targets, sample_weight, model, member)
        self.concrete = model
        if X.dtype not in (np.float32, np.float64):
            raise ValueError("X must be float32 or float64.")
        if not (X.flags.c_contiguous and X.flags.aligned):
            raise ValueError("X must be C-contiguous and aligned.")
        if X.shape[0] != targets.n_samples or int(order.given_rows.max()) >= len(X):
            raise ValueError("X, the targets and the order of rows do not fit.")
        if model.coef.dtype != X.dtype or model.n_features != X.shape[1]:
            raise ValueError("X and the model differ in type or features.")
        self.X = X
        self.single_precision = X.dtype == np.float32
        self.n_features = X.shape[1]
        self.bytes_of_row = self.n_features * X.dtype.itemsize
        self.first_row = <const char*><size_t>X.ctypes.data
        self.cost_of_row = cost_of_dense_row(
            self.n_features, X.dtype.itemsize, targets.n_outputs)

        block_rows = rows_of_block(self.bytes_of_row, targets.n_outputs)
        self.allocate(min(block_rows, order.n_rows))
        n_bytes = min(self.bytes_of_row, <Py_ssize_t>MAX_PREFETCHED_BYTES)
        self.n_ahead = lookahead_rows(n_bytes)
        self.lookahead = self.n_ahead
        if ask_while_reading():
            self.lookahead += ROWS_BEYOND
        self.ends_vary = some_take_one_more_line(
            X.ctypes.data, self.bytes_of_row, n_bytes)
        self.bytes_ahead = n_bytes
        if not self.ends_vary:
            self.bytes_ahead = (lines_of(n_bytes) - 1) * CACHE_LINE + 1
        gathers = targets.n_outputs > 1
        self.gathered_array = np.empty(
            (self.max_rows if gathers else 0, self.n_features), X.dtype
        )
        self.gathered = <char*><size_t>self.gathered_array.ctypes.data
        self.converted_array = np.empty((self.max_rows, targets.n_outputs), X.dtype)
        self.converted = <void*><size_t>self.converted_array.ctypes.data

    cdef void divide_requests(self, Py_ssize_t rows_at_once) noexcept nogil:
        cdef Py_ssize_t half = half_in_lines(self.bytes_ahead)
        if ask_while_reading() and rows_at_once >= LEAST_TO_ASK_MEANWHILE:
            self.let_first_product_send()
            return
        self.sent_before, self.first_share, self.stop_beyond = 0, half, 0
        # In a team one thread shuffles, and would send for the rows of all into the
        # cache of its own core. Several outputs gather their rows, and send meanwhile.
        if (self.member.is_alone and self.concrete.n_outputs == 1
                and self.bytes_of_row < LONG_ROW):
            self.sent_before = self.order.let_shuffle_send(
                self.first_row, self.bytes_of_row, half)
            self.first_share = self.sent_before

    cdef void let_first_product_send(self) noexcept nogil:
        self.sent_before, self.stop_beyond = 0, 0
        if self.order.scattered and self.bytes_of_row <= MAX_PREFETCHED_BYTES:
            self.sent_before = CACHE_LINE
            self.stop_beyond = self.bytes_of_row
        self.first_share = lines_of(self.bytes_ahead) * CACHE_LINE

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        self.rows_ahead = self.rows_from(self.member.place_ahead(first, self.n_ahead))
        self.rows_beyond = self.rows_from(
            self.member.place_ahead(first, self.lookahead))
        if self.concrete.n_outputs == 1:
            return
        if self.order.consecutive:
            self.block = self.address_of_row(self.rows[0])
        else:
            self.gather_rows()
            self.block = self.gathered

    cdef const uint32_t* rows_from(self, Py_ssize_t place) noexcept nogil:
        """As many rows of the order as are in the block, or the last."""
        return self.order.rows + min(place, self.order.n_rows - self.n_rows)

    cdef void gather_rows(self) noexcept nogil:
        """Copy the block's rows, and send for those to come and their targets."""
        cdef Py_ssize_t i
        cdef const char* ahead
        for i in range(self.n_rows):
            self.targets.prefetch(self.rows_ahead[i])
            ahead = self.address_of_row(self.rows_ahead[i])
            prefetch_lines(ahead, self.bytes_ahead)
            if self.ends_vary:
                prefetch(ahead + self.bytes_ahead - 1)
            memcpy(self.gathered + i * self.bytes_of_row,
                   self.address_of_row(self.rows[i]), self.bytes_of_row)

    cdef inline const char* address_of_row(self, uint32_t row) noexcept nogil:
        return self.first_row + row * self.bytes_of_row

    cdef void decisions(self) noexcept nogil:
        if self.single_precision:
            self.multiply(<float*>self.concrete.w, <float*>self.concrete.b)
        else:
            self.multiply(<double*>self.concrete.w, <double*>self.concrete.b)

    cdef void accumulate(self) noexcept nogil:
        if self.single_precision:
            self.add_products(<float*>self.concrete.g, <float*>self.concrete.b_g)
        else:
            self.add_products(<double*>self.concrete.g, <double*>self.concrete.b_g)

    cdef void multiply(self, const floating* w, const floating* b) noexcept nogil:
        """z = X w^T + b"""
        if self.concrete.n_outputs > 1:
            rows_times_weights(
                <const floating*>self.block, w, <floating*>self.converted,
                self.n_rows, self.n_features, self.concrete.n_outputs)
            add_intercept(<floating*>self.converted, b, self.z,
                          self.n_rows, self.concrete.n_outputs)
        elif floating is double:
            dot_rows_double(
                <const double*>self.first_row, self.rows, self.rows_ahead,
                self.n_rows, self.n_features, self.sent_before, self.first_share,
                self.rows_beyond, self.stop_beyond,
                w, b[0], self.z)
        else:
            dot_rows_float(
                <const float*>self.first_row, self.rows, self.rows_ahead,
                self.n_rows, self.n_features, self.sent_before, self.first_share,
                self.rows_beyond, self.stop_beyond,
                w, b[0], self.z)

    cdef void add_products(self, floating* g, floating* b_g) noexcept nogil:
        """g += d^T X, and b_g += the sum of d"""
        if self.concrete.n_outputs > 1:
            convert_and_sum(self.d, <floating*>self.converted, b_g,
                            self.n_rows, self.concrete.n_outputs)
            add_outer_products(
                <floating*>self.converted, <const floating*>self.block, g,
                self.n_rows, self.n_features, self.concrete.n_outputs)
        elif floating is double:
            b_g[0] += add_rows_double(
                <const double*>self.first_row, self.rows, self.rows_ahead,
                self.n_rows, self.n_features,
                self.first_share, self.bytes_ahead, self.d, g)
        else:
            b_g[0] += add_rows_float(
                <const float*>self.first_row, self.rows, self.rows_ahead,
                self.n_rows, self.n_features,
                self.first_share, self.bytes_ahead, self.d, g)


cpdef double cost_of_dense_row(
    Py_ssize_t n_features, Py_ssize_t itemsize, Py_ssize_t n_outputs
):
    """The work of one row, in units of about a nanosecond."""
    return n_outputs * (n_features * itemsize / 8.0 + 16.0)


cdef Py_ssize_t rows_of_block(Py_ssize_t bytes_of_row, Py_ssize_t n_outputs):
    """How many rows are worked on at a time."""
    # A matrix product gains more from a larger block than it loses in the cache.
    factor = 1 if n_outputs == 1 else 4
    rows = factor * min(MAX_BLOCK_BYTES // bytes_of_row, MAX_BLOCK_ROWS)
    # The products take four rows at a time.
    return max(4, rows // 4 * 4)


cdef Py_ssize_t lookahead_rows(Py_ssize_t n_bytes):
    """How many visits before its turn so much of a row is sent for."""
    return min(LOOKAHEAD_ROWS, MAX_LOOKAHEAD_BYTES // n_bytes)


cdef bint some_take_one_more_line(
    size_t address, Py_ssize_t bytes_of_row, Py_ssize_t n_bytes
):
    """Whether so many bytes take a cache line more in some rows than in others.

    To ask for a line that is under way already takes longer than one would think.
    """
    cdef Py_ssize_t step = min(bytes_of_row & -bytes_of_row, <Py_ssize_t>CACHE_LINE)
    # The last place in a cache line at which a row can begin
    cdef Py_ssize_t place = CACHE_LINE - step + <Py_ssize_t>(address % step)
    return lines_of(place + n_bytes) > lines_of(n_bytes)


cdef Py_ssize_t lines_of(Py_ssize_t n_bytes) noexcept nogil:
    return (n_bytes + CACHE_LINE - 1) // CACHE_LINE


cdef Py_ssize_t half_in_lines(Py_ssize_t n_bytes) noexcept nogil:
    """Half of them, rounded up to whole cache lines: of few bytes more than all."""
    return lines_of((n_bytes + 1) // 2) * CACHE_LINE


cdef void add_intercept(
    const floating* products, const floating* b, double* z,
    Py_ssize_t n_rows, Py_ssize_t n_outputs,
) noexcept nogil:
    """z = products + b"""
    cdef Py_ssize_t i, k
    for i in range(n_rows):
        for k in range(n_outputs):
            z[i * n_outputs + k] = <double>products[i * n_outputs + k] + b[k]


cdef void convert_and_sum(
    const double* d, floating* converted, floating* column_sums,
    Py_ssize_t n_rows, Py_ssize_t n_outputs,
) noexcept nogil:
    """Copy d in the precision of X, and add its columns' sums to column_sums."""
    cdef Py_ssize_t i, k
    for i in range(n_rows):
        for k in range(n_outputs):
            converted[i * n_outputs + k] = <floating>d[i * n_outputs + k]
            column_sums[k] += <floating>d[i * n_outputs + k]
