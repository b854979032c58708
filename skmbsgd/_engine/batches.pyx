"""Rows of X, of the targets and of the weights, in their order, block by block.

A batch is worked off in blocks of rows that fit into the fastest cache, so that a
batch may be as large as the data without any copy of it. The rows to come are sent
for while those at hand are worked on.

To add a layout of X, write one class with ``fetch_rows``, ``decisions`` and
``accumulate``.
"""

import numpy as np

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from numpy.random cimport bitgen_t

from skmbsgd._engine.blas cimport (
    MAX_BLOCK_ELEMENTS, add_outer_products, floating, rows_times_weights,
)
from skmbsgd._engine.updates cimport DenseUpdate, Update

cdef extern from "row_kernels.h":
    void prefetch "SKMBSGD_PREFETCH" (const void* address) noexcept nogil
    void dot_rows_double "skmbsgd_dot_rows_double" (
        const double** rows, Py_ssize_t n_rows, Py_ssize_t n_columns,
        const double* w, double* z) noexcept nogil
    void dot_rows_float "skmbsgd_dot_rows_float" (
        const float** rows, Py_ssize_t n_rows, Py_ssize_t n_columns,
        const float* w, float* z) noexcept nogil
    void add_rows_double "skmbsgd_add_rows_double" (
        const double** rows, const double** rows_ahead, Py_ssize_t n_rows,
        Py_ssize_t n_columns, Py_ssize_t n_ahead,
        const double* d, double* g) noexcept nogil
    void add_rows_float "skmbsgd_add_rows_float" (
        const float** rows, const float** rows_ahead, Py_ssize_t n_rows,
        Py_ssize_t n_columns, Py_ssize_t n_ahead,
        const float* d, float* g) noexcept nogil


cdef enum:
    CACHE_LINE = 64
    # Random numbers drawn at once, so that the swaps' cache misses overlap
    SHUFFLE_BLOCK = 128
    # A block of rows: enough of them to be worth the calls it takes, and few enough to
    # stay in the first-level cache from the first product to the second.
    MAX_BLOCK_ROWS = 64
    BLOCK_ELEMENTS = 4096
    # Rows to come are sent for so many visits ahead: early enough to arrive in time,
    # late enough not to be evicted again.
    MAX_LOOKAHEAD_ROWS = 32
    LOOKAHEAD_BYTES = 262144
    # Of a very long row only the start is sent for; the processor's own prefetcher
    # does the rest.
    MAX_PREFETCHED_BYTES = 16384


cdef bint is_consecutive(const uint32_t[::1] rows):
    cdef Py_ssize_t i
    for i in range(1, rows.shape[0]):
        if rows[i] != rows[i - 1] + 1:
            return False
    return True


cdef class RowOrder:
    """The order in which an epoch visits rows of X.

    The shuffle (Fisher-Yates; Durstenfeld, CACM 7(7), 1964) is drawn as the epoch
    proceeds: it costs no pass of its own, and an interrupt is heard at once.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), uint32
        The rows of X to visit; shuffled in place.
    bit_generator : numpy.random.BitGenerator or None
        Source of the shuffle; None keeps the given order.
    """

    def __init__(self, rows, bit_generator=None):
        cdef uint32_t[::1] view = rows
        self.rows_array = rows
        self.n_rows = rows.shape[0]
        self.rows = &view[0]
        self.bit_generator = bit_generator
        if bit_generator is None:
            self.random_bits = NULL
            self.n_settled = self.n_rows
            self.consecutive = is_consecutive(view)
        else:
            self.random_bits = <bitgen_t*>PyCapsule_GetPointer(
                bit_generator.capsule, "BitGenerator"
            )
            self.n_settled = 0
            self.consecutive = False

    cdef void settle(self, Py_ssize_t stop) noexcept nogil:
        """Decide the order of the rows before stop, and perhaps of some more."""
        cdef uint32_t[SHUFFLE_BLOCK] partner
        cdef Py_ssize_t first, i, n
        cdef uint32_t row
        stop = min(stop, self.n_rows)
        while self.n_settled < stop:
            first = self.n_settled
            n = min(<Py_ssize_t>SHUFFLE_BLOCK, self.n_rows - first)
            for i in range(n):
                partner[i] = <uint32_t>(first + i) + self.random_below(
                    <uint32_t>(self.n_rows - first - i)
                )
                prefetch(self.rows + partner[i])
            for i in range(n):
                row = self.rows[partner[i]]
                self.rows[partner[i]] = self.rows[first + i]
                self.rows[first + i] = row
            self.n_settled += n

    cdef inline uint32_t random_below(self, uint32_t bound) noexcept nogil:
        """A uniform integer in [0, bound), without bias (Lemire, arXiv:1805.10941)."""
        cdef uint64_t product
        cdef uint32_t threshold
        product = <uint64_t>self.random_bits.next_uint32(self.random_bits.state) * bound
        if <uint32_t>product < bound:
            threshold = (0 - bound) % bound
            while <uint32_t>product < threshold:
                product = <uint64_t>self.random_bits.next_uint32(
                    self.random_bits.state) * bound
        return <uint32_t>(product >> 32)


cdef class Targets:
    """The targets y of the rows of X."""

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        """Write the targets of these rows, row-major of shape (n_rows, n_outputs)."""

    cdef void prefetch(self, uint32_t row) noexcept nogil:
        """Ask for the target of a row to come."""


cdef class RealTargets(Targets):
    """Numbers: an array of shape (n_samples, n_outputs), float64."""

    def __init__(self, const double[:, ::1] values):
        self.values = values
        self.n_samples = values.shape[0]
        self.n_outputs = values.shape[1]

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

    cdef void load(
        self, const uint32_t* rows, Py_ssize_t n_rows, double* y
    ) noexcept nogil:
        cdef Py_ssize_t i, k
        if self.n_outputs == 1:
            for i in range(n_rows):
                y[i] = 2.0 * self.labels[rows[i]] - 1.0
            return
        for i in range(n_rows):
            for k in range(self.n_outputs):
                y[i * self.n_outputs + k] = -1.0
            y[i * self.n_outputs + self.labels[rows[i]]] = 1.0

    cdef void prefetch(self, uint32_t row) noexcept nogil:
        prefetch(&self.labels[row])


cdef class Batches:
    """Rows of X with their targets and weights.

    Parameters
    ----------
    order : RowOrder
    targets : Targets
    sample_weight : ndarray of shape (n_samples,), float64, or None
        None stands for 1 throughout.
    update : Update
        The model in training.
    """

    def __init__(self, RowOrder order, Targets targets, sample_weight, Update update):
        if targets.n_outputs != update.n_outputs:
            raise ValueError("The targets and the model differ in their outputs.")
        self.order = order
        self.targets = targets
        self.update = update
        self.weighted = sample_weight is not None
        if self.weighted:
            self.sample_weight = sample_weight
            if sample_weight.shape[0] != targets.n_samples:
                raise ValueError("sample_weight and y differ in length.")

    cdef void allocate(self, Py_ssize_t max_rows):
        cdef Py_ssize_t size = max_rows * self.targets.n_outputs
        cdef double[::1] block = np.empty(3 * size + max_rows)
        self.block_array = block
        self.max_rows = max_rows
        self.y = &block[0]
        self.z = self.y + size
        self.d = self.z + size
        self.scale = self.d + size

    cdef Py_ssize_t load(
        self, Py_ssize_t first, Py_ssize_t stop, double batch_share
    ) noexcept nogil:
        """Make ready the rows from first on, at most up to stop; return how many.

        batch_share is what a row of weight 1 adds to its batch's mean.
        """
        cdef Py_ssize_t i
        self.n_rows = min(stop - first, self.max_rows)
        self.order.settle(first + self.n_rows)
        self.rows = self.order.rows + first
        self.fetch_rows(first)
        self.targets.load(self.rows, self.n_rows, self.y)
        for i in range(self.n_rows):
            self.scale[i] = batch_share
            if self.weighted:
                self.scale[i] *= self.sample_weight[self.rows[i]]
        return self.n_rows

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        """Bring the block's rows of X to hand, and send for those after them."""

    cdef void decisions(self) noexcept nogil:
        """Write z = X W^T + b for the block."""

    cdef void accumulate(self) noexcept nogil:
        """Add d^T X and the sum of d to the gradients of the model."""


cdef class DenseBatches(Batches):
    """Rows of a dense array.

    With one output the rows are worked on where they lie. With several, a block of them
    is gathered for one matrix product. In both cases the rows LOOKAHEAD visits ahead
    are sent for meanwhile.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        C-contiguous; never copied, never written.
    order, targets, sample_weight
        As for Batches.
    update : DenseUpdate
        Of the precision of X.
    """

    def __init__(
        self, X, RowOrder order, Targets targets, sample_weight, DenseUpdate update
    ):
        super().__init__(order, targets, sample_weight, update)
        self.model = update
        if X.dtype not in (np.float32, np.float64) or not X.flags.c_contiguous:
            raise ValueError("X must be C-contiguous, float32 or float64.")
        if X.shape[0] != targets.n_samples or int(order.rows_array.max()) >= len(X):
            raise ValueError("X, the targets and the order of rows do not fit.")
        if update.coef.dtype != X.dtype or update.n_features != X.shape[1]:
            raise ValueError("X and the model differ in type or features.")
        self.X = X
        self.single_precision = X.dtype == np.float32
        self.n_features = X.shape[1]
        self.bytes_of_row = X.shape[1] * X.dtype.itemsize
        self.first_row = <const char*><size_t>X.ctypes.data
        # The work of one row, in units of about a nanosecond
        self.cost_of_row = targets.n_outputs * (self.n_features + 16)

        self.allocate(min(
            max(4, BLOCK_ELEMENTS // self.n_features), MAX_BLOCK_ROWS, order.n_rows
        ))
        self.lookahead = min(
            max(1, LOOKAHEAD_BYTES // <Py_ssize_t>self.bytes_of_row), MAX_LOOKAHEAD_ROWS
        )
        self.columns_ahead = min(
            self.n_features, MAX_PREFETCHED_BYTES // X.dtype.itemsize
        )
        self.addresses = np.empty((2, self.max_rows), dtype=np.uintp)
        self.rows_here = <const void**><size_t>self.addresses.ctypes.data
        self.rows_ahead = self.rows_here + self.max_rows
        gathers = targets.n_outputs > 1 and not order.consecutive
        self.gathered_array = np.empty(
            (self.max_rows if gathers else 0, self.n_features), X.dtype
        )
        self.gathered = <char*><size_t>self.gathered_array.ctypes.data
        self.converted_array = np.empty((self.max_rows, targets.n_outputs), X.dtype)
        self.converted = <void*><size_t>self.converted_array.ctypes.data

    cdef inline const void* row(self, Py_ssize_t i) noexcept nogil:
        return self.first_row + self.order.rows[i] * self.bytes_of_row

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        cdef Py_ssize_t i, ahead, last = self.order.n_rows - 1
        self.order.settle(first + self.n_rows + self.lookahead)
        for i in range(self.n_rows):
            ahead = min(first + i + self.lookahead, last)
            self.rows_here[i] = self.row(first + i)
            self.rows_ahead[i] = self.row(ahead)
            self.targets.prefetch(self.order.rows[ahead])
        if self.model.n_outputs == 1:
            return
        if self.order.consecutive:
            self.block = self.rows_here[0]
            return
        for i in range(self.n_rows):
            prefetch_bytes(self.rows_ahead[i],
                           min(self.bytes_of_row, <size_t>MAX_PREFETCHED_BYTES))
            memcpy(self.gathered + i * self.bytes_of_row, self.rows_here[i],
                   self.bytes_of_row)
        self.block = self.gathered

    cdef void decisions(self) noexcept nogil:
        if self.single_precision:
            self.multiply(<float*>self.model.w, <float*>self.converted)
            add_intercept(<float*>self.converted, <float*>self.model.b, self.z,
                          self.n_rows, self.model.n_outputs)
        else:
            self.multiply(<double*>self.model.w, <double*>self.converted)
            add_intercept(<double*>self.converted, <double*>self.model.b, self.z,
                          self.n_rows, self.model.n_outputs)

    cdef void accumulate(self) noexcept nogil:
        if self.single_precision:
            convert_and_sum(self.d, <float*>self.converted, <float*>self.model.b_g,
                            self.n_rows, self.model.n_outputs)
            self.add_products(<float*>self.converted, <float*>self.model.g)
        else:
            convert_and_sum(self.d, <double*>self.converted, <double*>self.model.b_g,
                            self.n_rows, self.model.n_outputs)
            self.add_products(<double*>self.converted, <double*>self.model.g)

    cdef void multiply(self, const floating* w, floating* z) noexcept nogil:
        """z = X w^T"""
        if self.model.n_outputs > 1:
            rows_times_weights(<const floating*>self.block, w, z,
                               self.n_rows, self.n_features, self.model.n_outputs)
        elif floating is double:
            dot_rows_double(<const double**>self.rows_here, self.n_rows,
                            self.n_features, w, z)
        else:
            dot_rows_float(<const float**>self.rows_here, self.n_rows,
                           self.n_features, w, z)

    cdef void add_products(self, const floating* d, floating* g) noexcept nogil:
        """g += d^T X"""
        if self.model.n_outputs > 1:
            add_outer_products(d, <const floating*>self.block, g,
                               self.n_rows, self.n_features, self.model.n_outputs)
        elif floating is double:
            add_rows_double(
                <const double**>self.rows_here, <const double**>self.rows_ahead,
                self.n_rows, self.n_features, self.columns_ahead, d, g)
        else:
            add_rows_float(
                <const float**>self.rows_here, <const float**>self.rows_ahead,
                self.n_rows, self.n_features, self.columns_ahead, d, g)


cdef inline void prefetch_bytes(const void* address, size_t n_bytes) noexcept nogil:
    cdef size_t offset = 0
    while offset < n_bytes:
        prefetch(<const char*>address + offset)
        offset += CACHE_LINE
    prefetch(<const char*>address + n_bytes - 1)


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
