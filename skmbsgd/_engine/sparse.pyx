"""CSR input: exact updates at the cost of the non-zeros.

Momentum and penalty move every coordinate at every update. A coordinate is moved late:
when a row that holds it comes up, or when all have to be up to date. It then makes the
update that its last gradient g belongs to, and crosses all the updates since, which
have not touched it, by the products of gaps.pxd.

What belongs to a coordinate stands together in memory, in a record of float64 numbers:

    clock, w (n_outputs), v (n_outputs), g (n_outputs), [sum of w (n_outputs)]

w and v are those before the update, counted from the window's first, that the clock
shows plus 1; g is its gradient so far. A clock of 0 means that the coordinate has never
been touched, and that all its numbers are 0.
"""

import numpy as np

cimport cython
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from skmbsgd._engine.batches cimport Batches, RowOrder, Targets
from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.gaps cimport (
    GapTable, Map, Parts, apply_map, apply_tail, compose_maps,
)
from skmbsgd._engine.rest cimport bound_of_rest, updates_to_rest
from skmbsgd._engine.rules cimport (
    classical, nesterov, proximal_classical, proximal_nesterov,
)
from skmbsgd._engine.updates cimport Epoch, Update

cdef extern from "row_kernels.h":
    void prefetch "SKMBSGD_PREFETCH" (const void* address) noexcept nogil


cdef enum:
    NUMBERS_PER_LINE = 8
    # Updates in a window: many, since all coordinates touched so far are brought up to
    # date at its end, and few enough for its table to stay small (10 MB).
    MAX_WINDOW = 16384
    BLOCK_ROWS = 32
    # Rows whose non-zeros are sent for, and rows whose records are, so many visits ahead
    ROWS_AHEAD = 16
    RECORDS_AHEAD = 2
    SETTLED_AHEAD = 16
    MAX_PREFETCHED = 256


@cython.final
cdef class LazyUpdate(Update):
    """Weights, velocities and gradients in a record per coordinate.

    Takes the parameters of DenseUpdate, and `nesterov`. The arrays are read at the
    beginning and written by `store`; in between, the records hold the model.
    """

    def __init__(
        self, coef, velocity, intercept, intercept_velocity,
        average_coef, average_intercept,
        *, momentum, l2, l1, fit_intercept, nesterov, n_averaged,
    ):
        cdef Py_ssize_t K
        self.n_outputs, self.n_features = coef.shape
        self.momentum = momentum
        self.l2 = l2
        self.l1 = l1
        self.fit_intercept = fit_intercept
        self.nesterov = nesterov
        self.averaged = average_coef is not None
        self.n_averaged = n_averaged
        self.coef = coef
        self.velocity = velocity
        self.intercept = intercept
        self.intercept_velocity = intercept_velocity
        self.average_coef = average_coef
        self.average_intercept = average_intercept

        K = self.n_outputs
        self.v_offset = 1 + K
        self.sum_offset = 1 + 3 * K
        self.stride = record_stride(1 + (4 if self.averaged else 3) * K)
        # Zeroed memory costs nothing before it is touched.
        self.records_array = np.zeros(
            self.n_features * self.stride + NUMBERS_PER_LINE - 1
        )
        self.records = <double*>aligned(<size_t>self.records_array.ctypes.data)
        self.active_array = np.empty(self.n_features, dtype=np.int64)
        self.active = <int64_t*><size_t>self.active_array.ctypes.data
        self.b_array = np.zeros((4, K))
        self.b = <double*><size_t>self.b_array.ctypes.data
        self.b_v = self.b + K
        self.b_g = self.b_v + K
        self.b_average = self.b_g + K
        self.read()

    def read(self):
        """Make a record of each coordinate that is not at rest at 0."""
        parts = [(1, self.coef), (self.v_offset, self.velocity)]
        if self.averaged:
            parts.append((self.sum_offset, self.average_coef))
        moving = np.zeros(self.n_features, dtype=bool)
        for _, array in parts:
            moving |= array.any(axis=0)
        columns = np.flatnonzero(moving)
        self.n_active = len(columns)
        self.active_array[: self.n_active] = columns
        self.active_sorted = True
        records = self.view_of_records()
        records[columns, 0] = 1.0
        for offset, array in parts:
            values = array[:, columns].T.astype(np.float64)
            if offset == self.sum_offset:
                values *= self.n_averaged
            records[columns, offset : offset + self.n_outputs] = values
        self.b_array[0] = self.intercept
        self.b_array[1] = self.intercept_velocity
        if self.averaged:
            self.b_array[3] = self.average_intercept

    def store(self):
        columns = self.active_array[: self.n_active]
        records = self.view_of_records()
        K = self.n_outputs
        self.coef[:, columns] = records[columns, 1 : 1 + K].T
        self.velocity[:, columns] = (
            records[columns, self.v_offset : self.v_offset + K].T
        )
        self.intercept[:] = self.b_array[0]
        self.intercept_velocity[:] = self.b_array[1]
        if self.averaged and self.n_averaged > 0:
            sums = records[columns, self.sum_offset : self.sum_offset + K].T
            self.average_coef[:, columns] = sums / self.n_averaged
            self.average_intercept[:] = self.b_array[3]

    def view_of_records(self):
        """The records as an array of shape (n_features, stride)."""
        start = (<size_t>self.records - <size_t>self.records_array.ctypes.data) // 8
        size = self.n_features * self.stride
        return self.records_array[start : start + size].reshape(-1, self.stride)

    # The epoch

    cdef void begin_epoch(self, Epoch plan):
        # In the order of memory they are faster to visit.
        if not self.active_sorted:
            self.active_array[: self.n_active].sort()
            self.active_sorted = True
        self.rates_array = np.array(plan.learning_rates, dtype=np.float64)
        self.rates = <const double*><size_t>self.rates_array.ctypes.data
        self.n_batches = self.rates_array.shape[0]
        self.first_averaged_batch = plan.first_averaged_batch
        if self.first_averaged_batch < 0:
            self.first_averaged_batch = self.n_batches
        size = min(self.n_batches, <Py_ssize_t>MAX_WINDOW)
        with_tails = self.averaged or self.l1 > 0.0
        if self.table is None or self.table.size != size:
            self.table = GapTable(size, with_tails)
        self.batch = 0
        self.begin_window()

    cdef void begin_window(self) noexcept nogil:
        self.window_start = self.batch
        self.table.build(
            self.rates + self.batch,
            min(self.table.size, self.n_batches - self.batch),
            self.first_averaged_batch - self.batch,
            self.momentum, self.l2, self.l1, self.nesterov,
        )
        self.rest = bound_of_rest(
            self.rates[self.batch], self.momentum, self.l2, self.l1, self.nesterov)
        # The bound knows one rate, and nothing of a sum of the weights.
        self.rest_is_known = (
            self.table.uniform and self.rest.usable and not self.averaged)

    cdef void begin_batch(self) noexcept nogil:
        if self.batch - self.window_start == self.table.size:
            self.settle_all()
            self.begin_window()
        memset(self.b_g, 0, self.n_outputs * sizeof(double))

    cdef void step(self, double learning_rate) noexcept nogil:
        # The coordinates follow when they are needed.
        cdef Py_ssize_t k
        if self.fit_intercept:
            for k in range(self.n_outputs):
                self.move(self.b + k, self.b_v + k, self.b_g[k], learning_rate,
                          0.0, 0.0)
        self.batch += 1

    cdef void add_to_average(self, double share) noexcept nogil:
        cdef Py_ssize_t k
        # Those of the weights are part of their records.
        self.n_averaged += 1
        for k in range(self.n_outputs):
            self.b_average[k] += share * (self.b[k] - self.b_average[k])

    cdef void end_epoch(self) noexcept nogil:
        self.settle_all()

    cdef void settle_all(self) noexcept nogil:
        """Bring all coordinates to the next window's beginning, and sum up."""
        cdef Py_ssize_t i, k, now = self.batch - self.window_start
        cdef double* record
        self.squares, self.absolutes, self.velocities = 0.0, 0.0, 0.0
        for i in range(self.n_active):
            if i + SETTLED_AHEAD < self.n_active:
                self.send_for_record(self.active[i + SETTLED_AHEAD])
            record = self.records + self.active[i] * self.stride
            self.advance(record, now)
            record[0] = 1.0
            for k in range(self.n_outputs):
                self.squares += record[1 + k] * record[1 + k]
                self.absolutes += fabs(record[1 + k])
                self.velocities += fabs(record[self.v_offset + k])

    cdef inline void send_for_record(self, int64_t column) noexcept nogil:
        cdef double* record = self.records + column * self.stride
        cdef Py_ssize_t offset = 0
        while offset < self.stride:
            prefetch(record + offset)
            offset += NUMBERS_PER_LINE

    # One coordinate

    cdef inline void claim(self, double* record, int64_t column) noexcept nogil:
        """Bring a record up to date for the batch, which will move it."""
        cdef Py_ssize_t now = self.batch - self.window_start
        if record[0] == 0.0:
            self.active[self.n_active] = column
            self.n_active += 1
            self.active_sorted = False
        else:
            self.advance(record, now)
        record[0] = now + 1

    cdef inline void advance(self, double* record, Py_ssize_t stop) noexcept nogil:
        """Take a record over the updates up to before stop; only its first has a g."""
        cdef Py_ssize_t k, t = <Py_ssize_t>record[0] - 1
        cdef Py_ssize_t batch = self.window_start + t
        cdef double eta = self.rates[batch]
        for k in range(1, 1 + self.n_outputs):
            self.move(record + k, record + self.n_outputs + k,
                      record[2 * self.n_outputs + k], eta, self.l2, self.l1)
            record[2 * self.n_outputs + k] = 0.0
            if self.averaged and batch >= self.first_averaged_batch:
                record[3 * self.n_outputs + k] += record[k]
        if t + 1 == stop:
            return
        if self.table.with_tails:
            self.cross_with_tails(record, t + 1, stop)
        else:
            self.cross(record, t + 1, stop)

    cdef inline void cross(
        self, double* record, Py_ssize_t t, Py_ssize_t stop
    ) noexcept nogil:
        """Take a record over the updates from t to before stop, without gradient."""
        cdef Parts parts = self.table.parts(t, stop)
        cdef Map map = self.table.maps[parts.first]
        cdef Py_ssize_t k
        if parts.second >= 0:
            map = compose_maps(&map, self.table.maps + parts.second)
        for k in range(1, 1 + self.n_outputs):
            apply_map(&map, record + k, record + self.n_outputs + k)

    cdef void cross_with_tails(
        self, double* record, Py_ssize_t t, Py_ssize_t stop
    ) noexcept nogil:
        """The same with L1 penalty, average or both."""
        cdef Py_ssize_t k
        cdef double no_sum = 0.0
        for k in range(1, 1 + self.n_outputs):
            self.cross_zeros(
                record + k, record + self.n_outputs + k,
                record + 3 * self.n_outputs + k if self.averaged else &no_sum, t, stop)

    cdef inline void cross_zeros(
        self, double* w, double* v, double* weight_sum, Py_ssize_t t, Py_ssize_t stop
    ) noexcept nogil:
        """The same for one output, whose L1 penalty changes with its sign.

        As many updates as keep the sign of x, which the rule thresholded last, are made
        at once. x has lost its sign at `lost` at the latest; it is nearly a line, hence
        the secant. The update that loses the sign is made by the rule itself.
        """
        cdef Py_ssize_t stride, lost
        cdef double x, x_lost, next_w, next_v, next_sum, next_x, sigma
        if self.l1 == 0.0:
            self.jump(w, v, weight_sum, 0.0, t, stop)
            return
        while t < stop and not (w[0] == 0.0 and v[0] == 0.0):
            x = self.thresholded(w[0], v[0])
            sigma = 1.0 if x > 0.0 or (x == 0.0 and v[0] > 0.0) else -1.0
            x *= sigma
            if self.comes_to_rest(x, sigma * v[0], stop - t):
                w[0], v[0] = 0.0, 0.0
                return
            x_lost = 0.0
            lost = stop + 1
            stride = min(stop - t, self.table.longest_stride) if x > 0.0 else 0
            while stride > 0:
                next_w, next_v, next_sum = w[0], v[0], weight_sum[0]
                self.jump(&next_w, &next_v, &next_sum, sigma, t, t + stride)
                next_x = sigma * self.thresholded(next_w, next_v)
                if next_x > 0.0:
                    w[0], v[0], weight_sum[0] = next_w, next_v, next_sum
                    x = next_x
                    t += stride
                else:
                    lost, x_lost = t + stride, next_x
                if lost > stop:
                    stride = min(stop - t, self.table.longest_stride)
                else:
                    stride = secant_stride(x, x_lost, lost - t)
            if t < stop:
                self.move(w, v, 0.0, self.rates[self.window_start + t],
                          self.l2, self.l1)
                if self.window_start + t >= self.first_averaged_batch:
                    weight_sum[0] += w[0]
                t += 1

    cdef inline bint comes_to_rest(
        self, double x, double v, Py_ssize_t n_updates
    ) noexcept nogil:
        """Whether x >= 0 is certain to be at rest at 0 after so many updates."""
        return (
            self.rest_is_known and v >= 0.0
            and updates_to_rest(&self.rest, x, v) <= n_updates
        )

    cdef inline double thresholded(self, double w, double v) noexcept nogil:
        """What the rule of the L1 penalty thresholded last."""
        return w - self.momentum * v if self.nesterov else w

    cdef inline void jump(
        self, double* w, double* v, double* weight_sum, double sigma,
        Py_ssize_t t, Py_ssize_t stop,
    ) noexcept nogil:
        """Take one output over the updates from t to before stop, of one sign."""
        cdef Parts parts = self.table.parts(t, stop)
        self.jump_part(w, v, weight_sum, sigma, parts.first)
        if parts.second >= 0:
            self.jump_part(w, v, weight_sum, sigma, parts.second)

    cdef inline void jump_part(
        self, double* w, double* v, double* weight_sum, double sigma, Py_ssize_t place
    ) noexcept nogil:
        cdef double w_old = w[0], v_old = v[0]
        apply_map(self.table.maps + place, w, v)
        apply_tail(self.table.tails + place, sigma, w_old, v_old, w, v, weight_sum)

    cdef inline void move(
        self, double* w, double* v, double g, double eta, double l2, double l1
    ) noexcept nogil:
        """One update by the rule."""
        if l1 > 0.0:
            if self.nesterov:
                proximal_nesterov(w, v, g, eta, self.momentum, l2, l1)
            else:
                proximal_classical(w, v, g, eta, self.momentum, l2, l1)
        elif self.nesterov:
            nesterov(w, v, g, eta, self.momentum, l2)
        else:
            classical(w, v, g, eta, self.momentum, l2)

    # The whole model, of which the sums were taken when it was last brought up to date

    def squared_norm(self):
        return self.squares

    def absolute_sum(self):
        return self.absolutes

    def is_finite(self):
        sums = self.absolutes, self.velocities, *self.b_array[:2].ravel()
        return bool(np.isfinite(sums).all())


cdef inline Py_ssize_t secant_stride(
    double y, double y_lost, Py_ssize_t distance
) noexcept nogil:
    """Updates to try next, if y > 0 has become y_lost <= 0 after so many; 0 for none."""
    cdef double share
    if distance <= 1:
        return 0
    share = y / (y - y_lost)
    # Never so close to an end that the bracket hardly shrinks
    share = max(0.02, min(share, 0.98))
    return max(<Py_ssize_t>1, min(<Py_ssize_t>(share * distance), distance - 1))


cdef Py_ssize_t record_stride(Py_ssize_t n_numbers):
    """Size of a record: one that crosses as few cache lines as can be."""
    cdef Py_ssize_t stride = 4
    while stride < n_numbers and stride < NUMBERS_PER_LINE:
        stride *= 2
    while stride < n_numbers:
        stride += NUMBERS_PER_LINE
    return stride


cdef size_t aligned(size_t address):
    """The first address from this one on that begins a cache line."""
    cdef size_t line = NUMBERS_PER_LINE * sizeof(double)
    return (address + line - 1) // line * line


@cython.final
cdef class CSRBatches(Batches):
    """Rows of a CSR matrix; duplicates and any order of the indices are fine.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_features), float32 or float64
        Its indices within range: they are trusted here. Never copied, never written.
    order, targets, sample_weight
        As for Batches.
    update : LazyUpdate
    """

    def __init__(
        self, X, RowOrder order, Targets targets, sample_weight, LazyUpdate update
    ):
        super().__init__(order, targets, sample_weight, update)
        self.model = update
        if X.shape[0] != targets.n_samples or int(order.rows_array.max()) >= X.shape[0]:
            raise ValueError("X, the targets and the order of rows do not fit.")
        if update.n_features != X.shape[1]:
            raise ValueError("X and the model differ in features.")
        self.X = X
        self.data_array = np.ascontiguousarray(X.data)
        self.indices_array = np.ascontiguousarray(X.indices)
        self.indptr_array = np.ascontiguousarray(X.indptr, dtype=np.int64)
        if self.data_array.dtype not in (np.float32, np.float64):
            raise ValueError("X must be float32 or float64.")
        if self.indices_array.dtype not in (np.int32, np.int64):
            raise ValueError("The indices of X must be int32 or int64.")
        self.single_precision = self.data_array.dtype == np.float32
        self.long_indices = self.indices_array.dtype == np.int64
        self.data = <const void*><size_t>self.data_array.ctypes.data
        self.indices = <const void*><size_t>self.indices_array.ctypes.data
        self.indptr = <const int64_t*><size_t>self.indptr_array.ctypes.data
        self.cost_of_row = targets.n_outputs * (
            16 + 8 * (self.indptr_array[X.shape[0]] // X.shape[0])
        )
        self.allocate(min(BLOCK_ROWS, order.n_rows))

    cdef void fetch_rows(self, Py_ssize_t first) noexcept nogil:
        self.first = first
        self.order.settle(first + self.n_rows + ROWS_AHEAD)

    cdef void decisions(self) noexcept nogil:
        if self.single_precision:
            if self.long_indices:
                self.decide(<const float*>self.data, <const int64_t*>self.indices)
            else:
                self.decide(<const float*>self.data, <const int32_t*>self.indices)
        elif self.long_indices:
            self.decide(<const double*>self.data, <const int64_t*>self.indices)
        else:
            self.decide(<const double*>self.data, <const int32_t*>self.indices)

    cdef void accumulate(self) noexcept nogil:
        if self.single_precision:
            if self.long_indices:
                self.add(<const float*>self.data, <const int64_t*>self.indices)
            else:
                self.add(<const float*>self.data, <const int32_t*>self.indices)
        elif self.long_indices:
            self.add(<const double*>self.data, <const int64_t*>self.indices)
        else:
            self.add(<const double*>self.data, <const int32_t*>self.indices)

    cdef void decide(self, const floating* data, const index* indices) noexcept nogil:
        """z = X W^T + b, the weights of the rows' columns brought up to date"""
        cdef Py_ssize_t i, k, n_outputs = self.model.n_outputs
        cdef Py_ssize_t stride = self.model.stride
        cdef double* records = self.model.records
        cdef double claimed = self.model.batch - self.model.window_start + 1
        cdef int64_t p
        cdef double* record
        cdef double* z = self.z
        cdef double z_of_one
        for i in range(self.n_rows):
            self.send_for_row(self.first + i + ROWS_AHEAD, data, indices)
            self.send_for_records(self.first + i + RECORDS_AHEAD, indices)
            for k in range(n_outputs):
                z[k] = self.model.b[k]
            z_of_one = z[0]
            for p in range(self.indptr[self.rows[i]], self.indptr[self.rows[i] + 1]):
                record = records + indices[p] * stride
                if record[0] != claimed:
                    self.model.claim(record, indices[p])
                if n_outputs == 1:
                    z_of_one += data[p] * record[1]
                else:
                    add_multiple(data[p], record + 1, z, n_outputs)
            if n_outputs == 1:
                z[0] = z_of_one
            z += n_outputs

    cdef void add(self, const floating* data, const index* indices) noexcept nogil:
        """g += d^T X, and the sum of d to that of the intercepts"""
        cdef Py_ssize_t i, k, n_outputs = self.model.n_outputs
        cdef Py_ssize_t stride = self.model.stride
        cdef double* gradients = self.model.records + 1 + 2 * n_outputs
        cdef int64_t p
        cdef double* d = self.d
        cdef double* b_g = self.model.b_g
        for i in range(self.n_rows):
            for k in range(n_outputs):
                b_g[k] += d[k]
            for p in range(self.indptr[self.rows[i]], self.indptr[self.rows[i] + 1]):
                add_multiple(data[p], d, gradients + indices[p] * stride, n_outputs)
            d += n_outputs

    cdef inline void send_for_row(
        self, Py_ssize_t visit, const floating* data, const index* indices
    ) noexcept nogil:
        """Ask for the non-zeros and the target of a row to come."""
        cdef uint32_t row = self.order.rows[min(visit, self.order.n_rows - 1)]
        cdef int64_t p = self.indptr[row]
        cdef int64_t stop = min(self.indptr[row + 1], p + MAX_PREFETCHED)
        self.targets.prefetch(row)
        while p < stop:
            prefetch(indices + p)
            prefetch(data + p)
            p += NUMBERS_PER_LINE

    cdef inline void send_for_records(
        self, Py_ssize_t visit, const index* indices
    ) noexcept nogil:
        """Ask for the records of a row to come."""
        cdef uint32_t row = self.order.rows[min(visit, self.order.n_rows - 1)]
        cdef int64_t p = self.indptr[row]
        cdef int64_t stop = min(self.indptr[row + 1], p + MAX_PREFETCHED)
        while p < stop:
            self.model.send_for_record(indices[p])
            p += 1


cdef inline void add_multiple(
    double x, const double* source, double* target, Py_ssize_t n
) noexcept nogil:
    """target += x * source"""
    cdef Py_ssize_t k
    if n == 1:
        target[0] += x * source[0]
        return
    for k in range(n):
        target[k] += x * source[k]
