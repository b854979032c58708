"""CSR input: exact updates at the cost of the non-zeros.

Momentum and penalty move every coordinate at every update. A coordinate is moved late:
when a row that holds it comes up, or when all have to be up to date. It then makes the
update that its last gradient g belongs to, and crosses all the updates since, which
have not touched it, by the products of catch_up.pxd.

What belongs to a coordinate stands together in memory, in a record of float64 numbers:

    clock, w (n_outputs), v (n_outputs), g (n_outputs), [sum of w (n_outputs)]

w and v are those before the update, counted from the window's first, that the clock
shows plus 1; g is its gradient so far. A clock of 0 means that the coordinate has never
been touched, and that all its numbers are 0.
"""

import numpy as np

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport copysign, fabs
from libc.stdint cimport int64_t
from libc.string cimport memset

from skmbsgd._engine.catch_up cimport (
    CatchUp, CatchUpTable, GapTable, Parts, PowerTable, Sum,
    affine_weight_sum, aligned, apply_affine, apply_catch_up, apply_map, weight_sum,
)
from skmbsgd._engine.prefetch cimport CSR_NUMBERS_AHEAD, prefetch
from skmbsgd._engine.rest cimport RestTable
from skmbsgd._engine.rules cimport (
    classical, nesterov, proximal_classical, proximal_nesterov,
)
from skmbsgd._engine.models cimport Epoch, Model


cdef enum:
    NUMBERS_PER_LINE = 8
    # Updates in a window: many, since all coordinates touched so far are brought up to
    # date at its end, and few enough for its table to stay small (10 MB).
    MAX_WINDOW = 16384
    # Steps of bringing weights up to date, of some 100 ns at most, between two looks at
    # the signals
    STEPS_BETWEEN_SIGNALS = 32768
    # Over fewer updates it is faster to see than to guess where a sign is lost.
    WORTH_A_GUESS = 64


@cython.final
cdef class CSRModel(Model):
    """Weights, velocities and gradients in a record per coordinate.

    Takes the parameters of DenseModel, and `nesterov`. The arrays are read at the
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
        self.n_batches = plan.n_batches
        rates = np.broadcast_to(plan.learning_rates, self.n_batches)
        self.rates_array = np.array(rates, dtype=np.float64)
        self.rates = <const double*><size_t>self.rates_array.ctypes.data
        self.first_averaged_batch = plan.first_averaged_batch
        if self.first_averaged_batch < 0:
            self.first_averaged_batch = self.n_batches
        size = min(self.n_batches, <Py_ssize_t>MAX_WINDOW)
        if self.window_size != size:
            self.window_size = size
            if self.l1 > 0.0:
                self.gaps = GapTable(size)
                self.rest = RestTable(size)
            else:
                self.powers = PowerTable(size)
                self.catch_ups = CatchUpTable(size)
        self.batch = 0
        self.begin_window()

    cdef void begin_window(self) noexcept nogil:
        cdef Py_ssize_t n_updates = min(self.window_size, self.n_batches - self.batch)
        cdef Py_ssize_t first_averaged = self.first_averaged_batch - self.batch
        cdef const double* rates = self.rates + self.batch
        self.window_start = self.batch
        self.uniform = (
            all_equal(rates, n_updates)
            and not (self.averaged and 0 < first_averaged < n_updates)
        )
        if self.l1 > 0.0:
            self.gaps.build(rates, n_updates, first_averaged, self.uniform,
                            self.momentum, self.l2, self.l1, self.nesterov)
            self.rest.build(n_updates, rates[0], self.momentum, self.l2, self.l1,
                            self.nesterov)
            # The table knows one rate, and nothing of a sum of the weights.
            # Nor does its bound hold for steps beyond the minimum of the L2 penalty.
            self.rest_is_known = (
                self.uniform and not self.averaged and rates[0] * self.l2 < 1.0)
        elif self.uniform:
            self.powers.build(n_updates, rates[0], self.momentum, self.l2,
                              self.nesterov, first_averaged <= 0)
        else:
            self.catch_ups.begin()

    cdef int begin_batch(self) except -1 nogil:
        if self.batch - self.window_start == self.window_size:
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
        if self.l1 == 0.0 and not self.uniform:
            self.catch_ups.append(learning_rate, self.momentum, self.l2, self.nesterov,
                                  self.batch >= self.first_averaged_batch)
        self.batch += 1

    cdef void add_to_average(self, double share) noexcept nogil:
        cdef Py_ssize_t k
        # Those of the weights are part of their records.
        self.n_averaged += 1
        for k in range(self.n_outputs):
            self.b_average[k] += share * (self.b[k] - self.b_average[k])

    cdef int end_epoch(self) except -1 nogil:
        cdef Py_ssize_t k
        self.settle_all()
        for k in range(self.n_outputs):
            self.absolute_rest += fabs(self.b[k]) + fabs(self.b_v[k])

    cdef int settle_all(self) except -1 nogil:
        """Bring all coordinates to the next window's beginning, and sum up."""
        cdef Py_ssize_t first = 0, stop, n_steps = 0
        # Few enough to look at the signals in time, whatever they take
        cdef Py_ssize_t n_together = max(1, GROUP // self.n_outputs)
        self.squared_norm, self.absolute_sum, self.absolute_rest = 0.0, 0.0, 0.0
        while first < self.n_active:
            stop = min(first + n_together, self.n_active)
            n_steps += self.settle(first, stop)
            first = stop
            if n_steps > STEPS_BETWEEN_SIGNALS:
                n_steps = 0
                with gil:
                    PyErr_CheckSignals()

    cdef Py_ssize_t settle(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        """Bring coordinates from first to before stop there; return the steps taken."""
        cdef Py_ssize_t i, n_steps, n_ahead = max(1, CSR_NUMBERS_AHEAD // self.stride)
        cdef Group group
        cdef double* record
        if self.n_outputs == 1 and self.l1 == 0.0:
            self.settle_single(first, stop)
            return stop - first
        group.n_records = 0
        for i in range(first, stop):
            if i + n_ahead < self.n_active:
                self.send_for_record(self.active[i + n_ahead])
            record = self.records + self.active[i] * self.stride
            put(&group, record)
            record[0] = 1.0
        n_steps = self.advance(&group, self.batch - self.window_start)
        self.add_to_sums(first, stop)
        return n_steps

    cdef void settle_single(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        """The same for one output without an L1 penalty, with one visit to a record."""
        cdef double now = self.batch - self.window_start + 1
        cdef double squares = 0.0, absolutes = 0.0, velocities = 0.0
        cdef double* records = self.records
        cdef const int64_t* active = self.active
        cdef double* record
        cdef Py_ssize_t i, stride = self.stride, last = self.n_active - 1
        cdef Py_ssize_t ahead = CSR_NUMBERS_AHEAD // stride
        for i in range(first, stop):
            prefetch(records + active[min(i + ahead, last)] * stride)
            record = records + active[i] * stride
            self.catch_up_single(record, now)
            record[0] = 1.0
            squares += record[1] * record[1]
            absolutes += fabs(record[1])
            velocities += fabs(record[2])
        self.squared_norm += squares
        self.absolute_sum += absolutes
        self.absolute_rest += velocities

    cdef void add_to_sums(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        cdef Py_ssize_t i, k
        cdef double squares = 0.0, absolutes = 0.0, velocities = 0.0
        cdef const double* w
        cdef const double* v
        for i in range(first, stop):
            w = self.records + self.active[i] * self.stride + 1
            v = w + self.n_outputs
            for k in range(self.n_outputs):
                squares += w[k] * w[k]
                absolutes += fabs(w[k])
                velocities += fabs(v[k])
        self.squared_norm += squares
        self.absolute_sum += absolutes
        self.absolute_rest += velocities

    cdef inline void send_for_record(self, int64_t column) noexcept nogil:
        cdef double* record = self.records + column * self.stride
        cdef Py_ssize_t offset = 0
        while offset < self.stride:
            prefetch(record + offset)
            offset += NUMBERS_PER_LINE

    # Coordinates

    cdef void claim(self, const index* columns, Py_ssize_t n) noexcept nogil:
        """Bring records up to date for the batch, which will move them."""
        cdef Py_ssize_t i, now = self.batch - self.window_start
        cdef double claimed = now + 1
        cdef Group group
        cdef double* record
        group.n_records = 0
        for i in range(n):
            record = self.records + columns[i] * self.stride
            if record[0] == 0.0:
                self.enlist(record, columns[i])
            put_if(&group, record, record[0] != claimed)
            record[0] = claimed
            if group.n_records == GROUP:
                self.advance(&group, now)
                group.n_records = 0
        self.advance(&group, now)

    cdef void enlist(self, double* record, int64_t column) noexcept nogil:
        """Begin a record of zeros, up to date."""
        record[0] = self.batch - self.window_start + 1
        self.active[self.n_active] = column
        self.n_active += 1
        self.active_sorted = False

    cdef Py_ssize_t advance(self, const Group* group, Py_ssize_t stop) noexcept nogil:
        """Take records over the updates up to before stop; their g are the first's.

        Return how many steps that took.
        """
        cdef Py_ssize_t i, k, n_steps = group.n_records * self.n_outputs
        if self.l1 == 0.0:
            for i in range(group.n_records):
                self.catch_up(group.records[i], group.clocks[i], stop)
        else:
            for k in range(self.n_outputs):
                n_steps += self.advance_under_l1(group, k, stop)
        return n_steps

    cdef void catch_up(
        self, double* record, Py_ssize_t t, Py_ssize_t stop
    ) noexcept nogil:
        """The same for one record, without an L1 penalty."""
        cdef double* w = record + 1
        cdef double* v = w + self.n_outputs
        cdef double* g = v + self.n_outputs
        cdef double* total = g + self.n_outputs
        cdef Py_ssize_t k, block, n = self.n_outputs
        cdef bint averaged = self.averaged
        cdef CatchUp map
        cdef Sum sums
        if self.uniform:
            if averaged:
                sums = self.powers.sums[stop - t]
                for k in range(n):
                    total[k] += weight_sum(&sums, w[k], v[k], g[k])
            map = self.powers.catch_ups[stop - t]
            for k in range(n):
                apply_catch_up(&map, w + k, v + k, g + k)
            return
        block = t >> self.catch_ups.shift
        for k in range(n):
            if averaged:
                total[k] += weight_sum(self.catch_ups.sums + t, w[k], v[k], g[k])
            apply_catch_up(self.catch_ups.catch_ups + t, w + k, v + k, g + k)
            if averaged:
                total[k] += weight_sum(
                    self.catch_ups.block_sums + block, w[k], v[k], 0.0)
            apply_map(self.catch_ups.block_maps + block, w + k, v + k)

    cdef inline void catch_up_single(self, double* record, double now) noexcept nogil:
        """The same for one output; now is the clock of a record that is up to date.

        Even that catches up, over no update, so that there is no branch for the
        processor to guess: the others are the same for all records.
        """
        cdef Py_ssize_t t, block
        if self.uniform:
            t = <Py_ssize_t>(now - record[0])
            if self.averaged:
                record[4] += weight_sum(
                    self.powers.sums + t, record[1], record[2], record[3])
            apply_catch_up(
                self.powers.catch_ups + t, record + 1, record + 2, record + 3)
            return
        t = <Py_ssize_t>record[0] - 1
        block = t >> self.catch_ups.shift
        if self.averaged:
            record[4] += weight_sum(
                self.catch_ups.sums + t, record[1], record[2], record[3])
        apply_catch_up(
            self.catch_ups.catch_ups + t, record + 1, record + 2, record + 3)
        if self.averaged:
            record[4] += weight_sum(
                self.catch_ups.block_sums + block, record[1], record[2], 0.0)
        apply_map(self.catch_ups.block_maps + block, record + 1, record + 2)

    # With an L1 penalty the map of an update changes with the sign of the weight. Most
    # weights keep their sign or come to rest at 0, which is found out without a branch
    # that the processor could not foresee. The rest is left for later.

    cdef Py_ssize_t advance_under_l1(
        self, const Group* group, Py_ssize_t k, Py_ssize_t stop
    ) noexcept nogil:
        """Take one output over the updates."""
        cdef Py_ssize_t i, n_left = 0, n_steps = 0
        cdef Unfinished[GROUP] left
        for i in range(group.n_records):
            n_left += not self.cross_at_once(
                group.records[i] + 1 + k, group.clocks[i], stop, left + n_left)
        for i in range(n_left):
            n_steps += self.cross(left + i, stop)
        return n_steps

    cdef inline bint cross_at_once(
        self, double* w, Py_ssize_t t, Py_ssize_t stop, Unfinished* left
    ) noexcept nogil:
        """Make the update with the gradient, and those after it up to before stop.

        Return whether it could be done: if not, `left` tells what the first has left.
        """
        cdef double* v = w + self.n_outputs
        cdef double* g = v + self.n_outputs
        cdef double moved_w = w[0], moved_v = v[0], next_w, next_v, x, sigma, kept
        self.move_by_threshold(
            &moved_w, &moved_v, g[0], self.rates[self.window_start + t],
            self.l2, self.l1)
        g[0] = 0.0
        t += 1
        left.w, left.t, left.moved_w, left.moved_v = w, t, moved_w, moved_v
        x = self.thresholded(moved_w, moved_v)
        # The sign of v where x is 0
        sigma = copysign(1.0, x + 1e-100 * moved_v)
        next_w, next_v = moved_w, moved_v
        self.jump(&next_w, &next_v, sigma, t, stop)
        # Positive if the sign is kept
        kept = min(sigma * self.thresholded(next_w, next_v), sigma * x)
        kept = kept if stop - t <= self.gaps.longest_stride else 0.0
        if self.averaged:
            self.add_crossing(left, sigma, kept > 0.0, stop)
        w[0] = next_w if kept > 0.0 else 0.0
        v[0] = next_v if kept > 0.0 else 0.0
        return (kept > 0.0) | ((moved_w == 0.0) & (moved_v == 0.0)) | (
            self.rest_is_known
            & self.rest.comes_to_rest(sigma * x, sigma * moved_v, stop - t))

    cdef void add_crossing(
        self, const Unfinished* left, double sigma, bint kept, Py_ssize_t stop
    ) noexcept nogil:
        """Add the weights of cross_at_once to their sum."""
        cdef double* total = left.w + 3 * self.n_outputs
        if self.window_start + left.t > self.first_averaged_batch:
            total[0] += left.moved_w
        if kept:
            total[0] += self.sum_of_jump(
                left.moved_w, left.moved_v, sigma, left.t, stop)

    cdef Py_ssize_t cross(
        self, const Unfinished* left, Py_ssize_t stop
    ) noexcept nogil:
        """Make the updates up to before stop where the sign is lost; return the steps.

        The rule itself makes those that lose the sign of x, which it thresholds; those
        that keep the sign are made at once.
        """
        cdef double w = left.moved_w, v = left.moved_v, x, sigma
        cdef double* total = left.w + 3 * self.n_outputs
        cdef Py_ssize_t n_steps = 0, t = left.t
        while True:
            n_steps += 1
            x = self.thresholded(w, v)
            sigma = copysign(1.0, x if x != 0.0 else v)
            if self.rest_is_known and self.rest.comes_to_rest(
                sigma * x, sigma * v, stop - t
            ):
                w, v = 0.0, 0.0
                break
            t = self.keep_sign(&w, &v, total, sigma, t, stop)
            if t == stop:
                break
            self.move_by_threshold(
                &w, &v, 0.0, self.rates[self.window_start + t], self.l2, self.l1)
            if self.averaged and self.window_start + t >= self.first_averaged_batch:
                total[0] += w
            t += 1
            if t == stop or (w == 0.0 and v == 0.0):
                break
        left.w[0] = w
        left.w[self.n_outputs] = v
        return n_steps

    cdef inline Py_ssize_t keep_sign(
        self, double* w, double* v, double* total, double sigma,
        Py_ssize_t t, Py_ssize_t stop,
    ) noexcept nogil:
        """Make most updates from t to before stop that keep the sign; return the next.

        Newton's method looks for the loss of the sign: v is the speed of x.
        """
        cdef double x = sigma * self.thresholded(w[0], v[0]), speed = sigma * v[0]
        cdef double next_w, next_v, stride
        # The sign is kept for `longest` updates at most, or nothing is known after.
        cdef double longest = 0.0
        if x > 0.0:
            longest = min(stop - t, self.gaps.longest_stride)
        elif x != x:
            # A NaN, which no update changes
            return stop
        stride = longest
        if longest > WORTH_A_GUESS and speed >= 0.0:
            stride = min(longest, self.rest.updates_to_loss(x, speed))
        while stride >= 1.0:
            next_w, next_v = w[0], v[0]
            self.jump(&next_w, &next_v, sigma, t, t + <Py_ssize_t>stride)
            x = sigma * self.thresholded(next_w, next_v)
            speed = sigma * next_v
            if x > 0.0:
                if self.averaged:
                    total[0] += self.sum_of_jump(
                        w[0], v[0], sigma, t, t + <Py_ssize_t>stride)
                w[0], v[0] = next_w, next_v
                t += <Py_ssize_t>stride
                longest = min(longest - <Py_ssize_t>stride, stop - t)
                stride = longest if speed >= 0.0 else min(longest, -x / speed)
            else:
                longest = <Py_ssize_t>stride - 1
                # Half of it where the speed is a NaN, too
                stride = 0.5 * longest if not speed < 0.0 else (
                    min(longest, <Py_ssize_t>stride - x / speed))
        return t

    cdef inline void jump(
        self, double* w, double* v, double sigma, Py_ssize_t t, Py_ssize_t stop
    ) noexcept nogil:
        """Take one output over the updates from t to before stop, of one sign."""
        cdef Parts parts = self.gaps.parts(t, stop)
        apply_affine(self.gaps.maps + parts.first, sigma, w, v)
        if not self.uniform:
            apply_affine(self.gaps.maps + parts.second, sigma, w, v)

    cdef double sum_of_jump(
        self, double w, double v, double sigma, Py_ssize_t t, Py_ssize_t stop
    ) noexcept nogil:
        """The sum of the weights on the way."""
        cdef Parts parts = self.gaps.parts(t, stop)
        cdef double total = affine_weight_sum(self.gaps.sums + parts.first, sigma, w, v)
        if not self.uniform:
            apply_affine(self.gaps.maps + parts.first, sigma, &w, &v)
            total += affine_weight_sum(self.gaps.sums + parts.second, sigma, w, v)
        return total

    cdef inline double thresholded(self, double w, double v) noexcept nogil:
        """What the rule of the L1 penalty thresholded last."""
        return w - self.momentum * v if self.nesterov else w

    cdef inline void move(
        self, double* w, double* v, double g, double eta, double l2, double l1
    ) noexcept nogil:
        """One update by the rule."""
        if l1 > 0.0:
            self.move_by_threshold(w, v, g, eta, l2, l1)
        elif self.nesterov:
            nesterov(w, v, g, eta, self.momentum, l2)
        else:
            classical(w, v, g, eta, self.momentum, l2)

    cdef inline void move_by_threshold(
        self, double* w, double* v, double g, double eta, double l2, double l1
    ) noexcept nogil:
        if self.nesterov:
            proximal_nesterov(w, v, g, eta, self.momentum, l2, l1)
        else:
            proximal_classical(w, v, g, eta, self.momentum, l2, l1)


cdef inline void put(Group* group, double* record) noexcept nogil:
    put_if(group, record, True)


cdef inline void put_if(Group* group, double* record, bint wanted) noexcept nogil:
    """Add a record to the group, or not, without a branch."""
    group.records[group.n_records] = record
    group.clocks[group.n_records] = <Py_ssize_t>record[0] - 1
    group.n_records += wanted


cdef bint all_equal(const double* values, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(1, n):
        if values[i] != values[0]:
            return False
    return True


cdef Py_ssize_t record_stride(Py_ssize_t n_numbers):
    """Size of a record: one that crosses as few cache lines as can be."""
    cdef Py_ssize_t stride = 4
    while stride < n_numbers and stride < NUMBERS_PER_LINE:
        stride *= 2
    while stride < n_numbers:
        stride += NUMBERS_PER_LINE
    return stride
