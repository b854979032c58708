"""Models of CSR input: exact updates at the cost of the non-zeros.

Momentum and penalty change every coordinate at every update. These updates are delayed
until a row that holds the coordinate is processed, or until all coordinates must be up
to date. Then the update with its last gradient g is applied, and all updates since,
which have not touched it, with the maps of catch_up.pxd.

The numbers of a coordinate are together in memory, in a record of float64 numbers:

    clock, z (n_outputs), v (n_outputs), g (n_outputs), [sum of w (n_outputs)]

z is the weight, or its position under an L1 penalty. The clock is 1 plus the number of
an update, counted from the first of the window. z and v are those before this update,
and g is its gradient so far. A clock of 0 means that the coordinate has never been
touched, and that all its numbers are 0.

Many outputs take much memory. If the arrays of the state are in float64 and have the
numbers of a coordinate side by side, then z and v are these arrays, not copies. Without
momentum v is not needed, and g would be half of the memory: gradients are then kept for
the coordinates of the batch alone, which make its update at its end. A record is

    clock, place of the gradients in this batch
"""

import numpy as np

cimport cython
from libc.math cimport fabs
from libc.stdint cimport int64_t
from libc.string cimport memset

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.catch_up cimport AnyUpdates, Window, aligned
from skmbsgd._engine.models cimport Model, writable_memory
from skmbsgd._engine.models import check_arrays
from skmbsgd._engine.penalties cimport Penalty, soft_threshold
from skmbsgd._engine.prefetch cimport CSR_NUMBERS_AHEAD, prefetch, prefetch_bytes
from skmbsgd._engine.rules cimport Rule
from skmbsgd._engine.signals cimport check_signals

cdef extern from "always_inline.h":
    pass

# Updates in a window: many, because all coordinates touched so far are brought up to
# date at its end, but few enough that its table stays small (1 MB)
MAX_WINDOW = 16384

# From so many outputs on, memory counts for more than time, of which records of all
# numbers of a column take up to a quarter less.
MANY_OUTPUTS = 16

cdef enum:
    # Where a record has its clock, and the place of its gradients in the batch
    CLOCK, PLACE
cdef enum:
    # What is kept of a coordinate
    POSITION, VELOCITY, SUM
cdef enum:
    NUMBERS_PER_LINE = 8
    # Weights that are brought up to date between two checks for signals
    WEIGHTS_OF_PART = 16384
    # Coordinates whose numbers stay in the cache while each of them is passed over
    COORDINATES_OF_PART = 256


def order_of_weights(n_outputs, is_sparse):
    """The order of arrays of shape (n_outputs, n_features) of a state."""
    return "F" if is_sparse and n_outputs >= MANY_OUTPUTS else "C"


@cython.final
cdef class CSRModel(Model):
    """Weights, velocities and gradients in a record per coordinate, or in the state.

    The arrays of the state are read at the beginning and written by `store`; in
    between, the records hold the model. With several outputs, arrays of float64 in
    Fortran order are trained in place if there are no running means.

    Parameters
    ----------
    state, rule, penalty, fit_intercept
        As for Model.
    window_size : int, default=MAX_WINDOW
        Largest number of updates for which tables are made.
    """

    def __init__(
        self, state, Rule rule, Penalty penalty, bint fit_intercept, window_size=None
    ):
        super().__init__(state, rule, penalty, fit_intercept)
        self.window_size = MAX_WINDOW if window_size is None else window_size
        K = self.n_outputs
        self.is_in_place = self.state_can_be_moved_in_place()
        if self.is_in_place:
            self.stride = 2
        else:
            self.stride = record_stride(1 + (3 if self.average_coef is None else 4) * K)
        # Zeroed memory costs nothing before it is touched.
        self.records_array = np.zeros(
            self.n_features * self.stride + NUMBERS_PER_LINE - 1)
        self.records = <double*>aligned(<size_t>self.records_array.ctypes.data)
        self.active_array = np.empty(self.n_features, dtype=np.int64)
        self.active = <int64_t*><size_t>self.active_array.ctypes.data
        self.b_array = np.zeros((4, K))
        self.b = <double*><size_t>self.b_array.ctypes.data
        self.b_v = self.b + self.n_outputs
        self.b_g = self.b_v + self.n_outputs
        self.b_average = self.b_g + self.n_outputs
        if self.is_in_place:
            self.place_in_state()
        else:
            self.place_in_records()
        self.read()

    def state_can_be_moved_in_place(self):
        """Whether the arrays of the state hold all that is needed, and as it is."""
        if self.n_outputs == 1 or self.average_coef is not None:
            return False
        return all(
            part.dtype == np.float64 and part.T.flags.c_contiguous
            for part in self.parts_of_state().values())

    def position_array(self):
        return self.positions if self.penalty.has_positions else self.coef

    def place_in_records(self):
        self.z = self.records + 1
        self.v = self.z + self.n_outputs
        self.g = self.v + self.n_outputs
        self.sums = self.g + self.n_outputs
        self.z_stride = self.v_stride = self.g_stride = self.stride

    def place_in_state(self):
        K = self.n_outputs
        shape = self.n_features, K
        self.z = <double*>writable_memory(self.position_array().T, shape, np.float64)
        self.z_stride = K
        self.has_batch_gradients = self.rule.momentum == 0.0
        if self.has_batch_gradients:
            # No coordinate needs a velocity, or a gradient between two batches: all
            # of them share one of each.
            self.shared_array = np.zeros((2, K))
            self.v = <double*><size_t>self.shared_array.ctypes.data
            self.g = self.v + self.n_outputs
            self.v_stride = self.g_stride = 0
            self.touched_array = np.empty(self.n_features, dtype=np.int64)
            self.touched = <int64_t*><size_t>self.touched_array.ctypes.data
            self.make_room_for(0)
        else:
            self.v = <double*>writable_memory(self.velocity.T, shape, np.float64)
            self.gradients_array = np.zeros(shape)
            self.g = <double*><size_t>self.gradients_array.ctypes.data
            self.v_stride = self.g_stride = K

    def read(self):
        """Create a record for each coordinate that is not at rest at 0."""
        parts = self.parts_of_state()
        if self.has_batch_gradients:
            del parts[VELOCITY]
        is_moving = np.any([values.any(axis=0) for values in parts.values()], axis=0)
        columns = np.flatnonzero(is_moving)
        self.n_active = len(columns)
        self.active_array[: self.n_active] = columns
        self.active_sorted = True
        self.view_of_records()[columns, CLOCK] = 1.0
        if not self.is_in_place:
            for part, values in parts.items():
                self.read_part(values, part, self.n_averaged if part == SUM else 1.0)
        self.b_array[0] = self.intercept
        self.b_array[1] = self.intercept_velocity
        if self.average_coef is not None:
            self.b_array[3] = self.average_intercept

    def parts_of_state(self):
        """The arrays of the state that are kept in the records."""
        parts = {POSITION: self.position_array(), VELOCITY: self.velocity}
        if self.average_coef is not None:
            parts[SUM] = self.average_coef
        return parts

    cdef double* first_of(self, Py_ssize_t part) noexcept:
        """Where the first record has a part."""
        if part == POSITION:
            return self.z
        return self.v if part == VELOCITY else self.sums

    def read_part(self, const floating[:, :] values, Py_ssize_t part, double factor):
        """Copy a part of the state to the records, multiplied by a factor."""
        cdef Py_ssize_t first = 0, stop, i, k
        cdef double* numbers = self.first_of(part)
        while first < self.n_active:
            stop = min(first + COORDINATES_OF_PART, self.n_active)
            for k in range(self.n_outputs):
                for i in range(first, stop):
                    numbers[self.active[i] * self.stride + k] = (
                        factor * values[k, self.active[i]])
            first = stop

    def store(self):
        if not self.is_in_place:
            for part, values in self.parts_of_state().items():
                if part != SUM:
                    self.store_part(values, part, 1.0)
                elif self.n_averaged > 0:
                    self.store_part(values, part, self.n_averaged)
                    self.average_intercept[:] = self.b_array[3]
        if self.penalty.has_positions:
            self.store_weights(self.coef)
        self.intercept[:] = self.b_array[0]
        self.intercept_velocity[:] = self.b_array[1]

    def store_part(self, floating[:, :] values, Py_ssize_t part, double divisor):
        """Copy a part of the records to the state, divided by a number."""
        cdef Py_ssize_t first = 0, stop, i, k
        cdef const double* numbers = self.first_of(part)
        while first < self.n_active:
            stop = min(first + COORDINATES_OF_PART, self.n_active)
            for k in range(self.n_outputs):
                for i in range(first, stop):
                    values[k, self.active[i]] = <floating>(
                        numbers[self.active[i] * self.stride + k] / divisor)
            first = stop

    def store_weights(self, floating[:, :] coef):
        """Compute the weights of the state from the positions."""
        cdef Py_ssize_t first = 0, stop, i, k
        cdef double u = self.threshold[0]
        while first < self.n_active:
            stop = min(first + COORDINATES_OF_PART, self.n_active)
            for k in range(self.n_outputs):
                for i in range(first, stop):
                    coef[k, self.active[i]] = <floating>soft_threshold(
                        self.z[self.active[i] * self.z_stride + k], u)
            first = stop

    def lost_by_store(self):
        if self.coef.dtype == np.float64 and self.average_coef is None:
            return {}
        columns = np.sort(self.active_array[: self.n_active])
        arrays = {
            name: view[columns] for name, view in self.views_of_parts().items()}
        return {**arrays, "columns": columns, "intercepts": self.b_array.copy()}

    def views_of_parts(self):
        """What lasts of the records, each of shape (n_features, n_outputs)."""
        cdef Py_ssize_t part
        parts = {"positions": POSITION, "velocities": VELOCITY}
        if self.average_coef is not None:
            parts["sums"] = SUM
        records, views = self.view_of_records(), {}
        for name, part in parts.items():
            first = self.first_of(part) - self.records
            views[name] = records[:, first : first + self.n_outputs]
        return views

    def restore(self, arrays):
        if not arrays:
            return
        columns, views = arrays.get("columns"), self.views_of_parts()
        n = columns.size if isinstance(columns, np.ndarray) else 0
        check_arrays(arrays, {
            **{name: np.empty((n, self.n_outputs)) for name in views},
            "columns": np.empty(n, dtype=np.int64),
            "intercepts": self.b_array,
        })
        if not np.all(np.diff(columns, prepend=-1, append=self.n_features) > 0):
            raise ValueError("lost_by_store is damaged: columns do not increase.")
        records = self.view_of_records()
        records[self.active_array[: self.n_active]] = 0.0
        records[columns, CLOCK] = 1.0
        for name, view in views.items():
            view[columns] = arrays[name]
        self.n_active = n
        self.active_array[:n] = columns
        self.active_sorted = True
        self.b_array[:] = arrays["intercepts"]

    def is_finite(self):
        # If the sums are finite, so are their terms in the precision of the state.
        dtype = self.coef.dtype
        largest = float(np.finfo(dtype).max)
        if self.absolute_sum <= largest and self.absolute_rest <= largest:
            return True
        self.store()
        for array in (
            self.coef, self.velocity, self.average_coef,
            self.intercept, self.intercept_velocity, self.average_intercept,
        ):
            if array is not None and not np.isfinite(array.astype(dtype)).all():
                return False
        return True

    def view_of_records(self):
        """The records as an array of shape (n_features, stride)."""
        return rows_of_records(
            self.records_array, self.records, self.n_features, self.stride)

    # The epoch

    cdef void begin_epoch(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch,
    ):
        # They are faster to visit in memory order.
        if not self.active_sorted:
            self.active_array[: self.n_active].sort()
            self.active_sorted = True
        size = min(n_batches, self.window_size)
        if self.window is None or self.window.size != size:
            averaged = self.average_coef is not None
            self.window = Window(self.rule, self.penalty, size, averaged)
        self.batch = 0
        self.expect(learning_rates, n_batches, first_averaged_batch)
        self.begin_window()

    cdef void expect(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch,
    ):
        """Prepare the next batches."""
        self.first_batch = self.batch
        self.n_batches = n_batches
        self.first_averaged_batch = first_averaged_batch
        self.rate_stays = learning_rates.shape[0] == 1
        # Constant rates are given for a window, whichever it is.
        n_rates = min(n_batches, self.window.size) if self.rate_stays else n_batches
        self.rates_array = np.array(np.broadcast_to(learning_rates, n_rates))
        self.rates = <const double*><size_t>self.rates_array.ctypes.data

    cdef int begin_part(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch,
    ) except -1:
        cdef Py_ssize_t batch = self.batch - self.first_batch
        cdef bint lasts = n_batches <= self.n_batches - batch
        cdef bint averages_alike = first_averaged_batch == max(
            0, min(self.first_averaged_batch - batch, n_batches))
        if lasts and averages_alike and self.has_rates(learning_rates, n_batches):
            return 0
        # Some windows consist of all batches that were foreseen when they began.
        ends = (self.window.are_equal or self.window.signed is not None
                or not averages_alike)
        if ends:
            self.bring_all_up_to_date()
        self.expect(learning_rates, n_batches, first_averaged_batch)
        if ends:
            self.begin_window()
        return 0

    cdef bint has_rates(self, const double[:] learning_rates, Py_ssize_t n_batches):
        """Whether these are the rates foreseen for the next batches."""
        cdef Py_ssize_t i, batch = self.batch - self.first_batch
        cdef bint differ = learning_rates.shape[0] > 1
        for i in range(n_batches if differ or not self.rate_stays else 1):
            if (self.rates[0 if self.rate_stays else batch + i]
                    != learning_rates[i if differ else 0]):
                return False
        return True

    cdef void begin_window(self) noexcept nogil:
        cdef Py_ssize_t batch = self.batch - self.first_batch
        self.window.begin(
            self.rates + (0 if self.rate_stays else batch),
            min(self.window.size, self.n_batches - batch),
            self.first_averaged_batch - batch, self.threshold)

    cdef int begin_batch(self) except -1 nogil:
        if self.window.now == self.window.size:
            self.bring_all_up_to_date()
            self.begin_window()
        memset(self.b_g, 0, self.n_outputs * sizeof(double))
        self.n_touched = 0
        return 0

    cdef int step(self, double learning_rate) except -1 nogil:
        # All other coordinates follow when they are needed.
        cdef Py_ssize_t k
        self.penalty.move_threshold(self.rule, self.threshold, learning_rate)
        if self.fit_intercept:
            for k in range(self.n_outputs):
                self.rule.move(self.b + k, self.b_v + k, self.b_g[k], learning_rate)
        self.window.append(learning_rate)
        self.batch += 1
        if self.has_batch_gradients:
            self.move_touched()
        return 0

    cdef int add_to_average(self) except -1 nogil:
        cdef Py_ssize_t k
        # The means of the weights are in their records.
        self.n_averaged += 1
        for k in range(self.n_outputs):
            self.b_average[k] += (self.b[k] - self.b_average[k]) / self.n_averaged
        return 0

    cdef int end_epoch(self) except -1 nogil:
        cdef Py_ssize_t k
        self.bring_all_up_to_date()
        for k in range(self.n_outputs):
            self.absolute_rest += (
                fabs(self.b[k]) + fabs(self.b_v[k]) + fabs(self.b_average[k]))
        return 0

    # Coordinates

    cdef void add_products(
        self, const floating* data, const index* columns, Py_ssize_t n,
        const index* columns_ahead, Py_ssize_t n_ahead, double* z,
    ) noexcept nogil:
        """z += x W^T for a row x with these non-zeros; prefetch other columns.

        The row's coordinates make all updates so far.
        """
        if self.is_in_place:
            self.add_products_in_place(
                data, columns, n, columns_ahead, n_ahead, z)
        elif self.window.signed is not None:
            self.catch_up_and_add(
                self.window.signed, data, columns, n, columns_ahead, n_ahead, z)
        elif self.window.are_equal:
            self.catch_up_and_add(
                self.window.equal, data, columns, n, columns_ahead, n_ahead, z)
        else:
            self.catch_up_and_add(
                self.window.differing, data, columns, n, columns_ahead, n_ahead, z)

    cdef void catch_up_and_add(
        self, AnyUpdates updates, const floating* data, const index* columns,
        Py_ssize_t n, const index* columns_ahead, Py_ssize_t n_ahead, double* z,
    ) noexcept nogil:
        # If the number is known here, the compiler removes the loops over outputs.
        if self.n_outputs == 1:
            add_row(self, updates, data, columns, n, columns_ahead, n_ahead, z, 1)
        else:
            add_row(self, updates, data, columns, n, columns_ahead, n_ahead, z,
                    self.n_outputs)

    cdef int add_gradients(
        self, const floating* data, const index* columns, Py_ssize_t n, const double* d
    ) except -1 nogil:
        """g += d^T x for a row x with these non-zeros."""
        cdef Py_ssize_t i, K = self.n_outputs, g_stride = self.g_stride
        cdef double* g = self.g
        if self.has_batch_gradients:
            # No batch touches more coordinates than there are.
            if min(self.n_touched + n, self.n_features) > self.max_touched:
                with gil:
                    self.make_room_for(self.n_touched + n)
            for i in range(n):
                add_multiple(data[i], d, 0.0, self.gradient_of(columns[i]), K)
        elif K == 1:
            for i in range(n):
                g[columns[i] * g_stride] += data[i] * d[0]
        else:
            for i in range(n):
                add_multiple(data[i], d, 0.0, g + columns[i] * g_stride, K)
        return 0

    cdef void activate(self, double* clock, int64_t column) noexcept nogil:
        """Begin a record of zeros, up to date."""
        clock[0] = self.window.now + 1
        self.active[self.n_active] = column
        self.n_active += 1
        self.active_sorted = False

    cdef int bring_all_up_to_date(self) except -1 nogil:
        """Bring all coordinates to the beginning of the next window, and sum up."""
        cdef Py_ssize_t first = 0, stop
        cdef Py_ssize_t n_together = max(1, WEIGHTS_OF_PART // self.n_outputs)
        self.squared_norm, self.absolute_sum, self.absolute_rest = 0.0, 0.0, 0.0
        while first < self.n_active:
            stop = min(first + n_together, self.n_active)
            if self.is_in_place:
                self.catch_up_in_place(first, stop)
            elif self.window.signed is not None:
                self.catch_up_active(self.window.signed, first, stop)
            elif self.window.are_equal:
                self.catch_up_active(self.window.equal, first, stop)
            else:
                self.catch_up_active(self.window.differing, first, stop)
            first = stop
            if first < self.n_active:
                check_signals()
        return 0

    cdef void catch_up_active(
        self, AnyUpdates updates, Py_ssize_t first, Py_ssize_t stop
    ) noexcept nogil:
        """Bring a part of the active coordinates up to date, and sum it up."""
        if self.n_outputs == 1:
            catch_up_and_sum(self, updates, first, stop, 1)
        else:
            catch_up_and_sum(self, updates, first, stop, self.n_outputs)

    # Coordinates outside of the records

    cdef Coordinate coordinate_at(self, int64_t column) noexcept nogil:
        cdef Coordinate coordinate
        coordinate.clock = self.records + column * self.stride
        coordinate.z = self.z + column * self.z_stride
        coordinate.v = self.v + column * self.v_stride
        coordinate.g = self.g + column * self.g_stride
        return coordinate

    cdef void prefetch_at(self, int64_t column) noexcept nogil:
        cdef Coordinate coordinate = self.coordinate_at(column)
        cdef size_t n_bytes = self.n_outputs * sizeof(double)
        prefetch(coordinate.clock)
        prefetch_bytes(coordinate.z, n_bytes)
        prefetch_bytes(coordinate.v, n_bytes)
        prefetch_bytes(coordinate.g, n_bytes)

    cdef void catch_up(self, Coordinate coordinate) noexcept nogil:
        """Let a coordinate make all updates so far."""
        cdef Py_ssize_t t = <Py_ssize_t>coordinate.clock[0] - 1, now = self.window.now
        cdef Py_ssize_t K = self.n_outputs
        if t == now:
            return
        coordinate.clock[0] = now + 1
        if self.window.signed is not None:
            self.window.signed.catch_up(
                t, now, coordinate.z, coordinate.v, coordinate.g, NULL, K)
        elif self.window.are_equal:
            self.window.equal.catch_up(
                t, now, coordinate.z, coordinate.v, coordinate.g, NULL, K)
        else:
            self.window.differing.catch_up(
                t, now, coordinate.z, coordinate.v, coordinate.g, NULL, K)

    cdef void add_products_in_place(
        self, const floating* data, const index* columns, Py_ssize_t n,
        const index* columns_ahead, Py_ssize_t n_ahead, double* z,
    ) noexcept nogil:
        cdef Py_ssize_t i
        cdef Coordinate coordinate
        for i in range(n):
            if i < n_ahead:
                self.prefetch_at(columns_ahead[i])
            coordinate = self.coordinate_at(columns[i])
            if coordinate.clock[0] == 0.0:
                self.activate(coordinate.clock, columns[i])
            self.catch_up(coordinate)
            add_multiple(data[i], coordinate.z, self.threshold[0], z, self.n_outputs)
        for i in range(n, n_ahead):
            self.prefetch_at(columns_ahead[i])

    cdef void catch_up_in_place(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        """Bring a part of the active coordinates up to date, and sum it up."""
        cdef Py_ssize_t i, n_ahead = self.coordinates_ahead()
        cdef Coordinate coordinate
        cdef Sums sums = Sums(0.0, 0.0, 0.0)
        for i in range(first, stop):
            self.prefetch_at(self.active[min(i + n_ahead, self.n_active - 1)])
            coordinate = self.coordinate_at(self.active[i])
            self.catch_up(coordinate)
            coordinate.clock[0] = 1.0
            add_to_sums(
                &sums, coordinate.z, coordinate.v, self.threshold[0], self.n_outputs)
        self.add_sums(sums)

    cdef Py_ssize_t coordinates_ahead(self) noexcept nogil:
        return max(1, CSR_NUMBERS_AHEAD // (3 * self.n_outputs))

    cdef void add_sums(self, Sums sums) noexcept nogil:
        self.squared_norm += sums.squares
        self.absolute_sum += sums.absolutes
        self.absolute_rest += sums.rest

    # Gradients of the batch alone

    cdef int make_room_for(self, Py_ssize_t n) except -1:
        """Make room for the gradients of so many coordinates of a batch."""
        old = self.batch_gradients_array
        self.max_touched = min(2 * n, self.n_features)
        self.batch_gradients_array = np.empty((self.max_touched, self.n_outputs))
        if self.n_touched > 0:
            self.batch_gradients_array[: self.n_touched] = old[: self.n_touched]
        self.batch_gradients = <double*><size_t>self.batch_gradients_array.ctypes.data
        return 0

    cdef double* gradient_of(self, int64_t column) noexcept nogil:
        """The gradients of a coordinate, which are 0 before the batch touches it."""
        cdef int64_t* place = <int64_t*>(self.records + column * self.stride + PLACE)
        cdef double* g
        # What stands there may be the place that it had in another batch.
        if place[0] < self.n_touched and self.touched[place[0]] == column:
            return self.batch_gradients + place[0] * self.n_outputs
        place[0] = self.n_touched
        self.touched[self.n_touched] = column
        self.n_touched += 1
        g = self.batch_gradients + place[0] * self.n_outputs
        memset(g, 0, self.n_outputs * sizeof(double))
        return g

    cdef int move_touched(self) except -1 nogil:
        """Let the coordinates of the batch make its update."""
        cdef Py_ssize_t i, n_ahead = self.coordinates_ahead()
        cdef Py_ssize_t n_between_signals = max(1, WEIGHTS_OF_PART // self.n_outputs)
        cdef Coordinate coordinate
        for i in range(self.n_touched):
            self.prefetch_at(self.touched[min(i + n_ahead, self.n_touched - 1)])
            coordinate = self.coordinate_at(self.touched[i])
            coordinate.g = self.batch_gradients + i * self.n_outputs
            self.catch_up(coordinate)
            if (i + 1) % n_between_signals == 0:
                check_signals()
        return 0


cdef inline void add_row(
    CSRModel model, AnyUpdates updates, const floating* data, const index* columns,
    Py_ssize_t n, const index* columns_ahead, Py_ssize_t n_ahead, double* z,
    Py_ssize_t K,
) noexcept nogil:
    cdef Py_ssize_t i, now = model.window.now, stride = model.stride
    cdef double u = model.threshold[0], first_z = z[0]
    cdef double* records = model.records
    cdef double* record
    for i in range(n):
        # Request them one by one, because many requests at once have to wait.
        if i < n_ahead:
            prefetch_record(records + columns_ahead[i] * stride, stride, K)
        record = records + columns[i] * stride
        if record[0] == 0.0:
            model.activate(record, columns[i])
        if K == 1:
            catch_up_record(updates, record, now, 1)
            first_z += data[i] * weight(record[1], u)
        else:
            catch_up_outputs(updates, record, now, K)
            add_multiple(data[i], record + 1, u, z, K)
    if K == 1:
        z[0] = first_z
    for i in range(n, n_ahead):
        prefetch_record(records + columns_ahead[i] * stride, stride, K)


cdef inline void catch_up_and_sum(
    CSRModel model, AnyUpdates updates, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t K
) noexcept nogil:
    cdef Py_ssize_t i, k, now = model.window.now, stride = model.stride
    cdef Py_ssize_t n_ahead = max(1, CSR_NUMBERS_AHEAD // stride)
    cdef Py_ssize_t last = model.n_active - 1
    cdef const int64_t* active = model.active
    cdef bint averaged = model.average_coef is not None
    cdef double u = model.threshold[0]
    cdef double* records = model.records
    cdef double* record
    cdef Sums sums = Sums(0.0, 0.0, 0.0)
    for i in range(first, stop):
        prefetch_record(records + active[min(i + n_ahead, last)] * stride, stride, K)
        record = records + active[i] * stride
        if K == 1:
            catch_up_record(updates, record, now, 1)
        else:
            catch_up_outputs(updates, record, now, K)
        record[0] = 1.0
        add_to_sums(&sums, record + 1, record + 1 + K, u, K)
        if averaged:
            for k in range(K):
                sums.rest += fabs(record[1 + 3 * K + k])
    model.add_sums(sums)


cdef inline void add_to_sums(
    Sums* sums, const double* z, const double* v, double u, Py_ssize_t K
) noexcept nogil:
    cdef Py_ssize_t k
    cdef double w
    for k in range(K):
        w = weight(z[k], u)
        sums.squares += w * w
        sums.absolutes += fabs(w)
        sums.rest += fabs(v[k])


cdef inline double weight(double position, double u) noexcept nogil:
    # Without L1 a position is its weight. Checking this is faster than computing it.
    return position if u == 0.0 else soft_threshold(position, u)


cdef inline void prefetch_record(
    const double* record, Py_ssize_t stride, Py_ssize_t K
) noexcept nogil:
    cdef Py_ssize_t line
    # A record of one output does not cross a cache line.
    cdef Py_ssize_t n_lines = 1 if K == 1 else lines_of(stride)
    for line in range(n_lines):
        prefetch(record + line * NUMBERS_PER_LINE)


cdef inline Py_ssize_t lines_of(Py_ssize_t n_numbers) noexcept nogil:
    return (n_numbers + NUMBERS_PER_LINE - 1) // NUMBERS_PER_LINE


cdef inline void catch_up_record(
    AnyUpdates updates, double* record, Py_ssize_t now, Py_ssize_t K
) noexcept nogil:
    cdef Py_ssize_t t = <Py_ssize_t>record[0] - 1
    cdef double* z = record + 1
    # For several outputs, applying no update takes longer than a misprediction.
    if K > 1 and t == now:
        return
    record[0] = now + 1
    updates.catch_up(t, now, z, z + K, z + 2 * K, z + 3 * K, K)


# With several outputs the cost of a call is small. So these are not inlined into their
# callers, of which there are many to compile.

cdef void catch_up_outputs(
    AnyUpdates updates, double* record, Py_ssize_t now, Py_ssize_t K
) noexcept nogil:
    catch_up_record(updates, record, now, K)


cdef void add_multiple(
    double x, const double* positions, double u, double* z, Py_ssize_t K
) noexcept nogil:
    """z += x * w"""
    cdef Py_ssize_t k
    if u == 0.0:
        # Without L1 the loop is so simple that the compiler vectorises it.
        for k in range(K):
            z[k] += x * positions[k]
    else:
        for k in range(K):
            z[k] += x * soft_threshold(positions[k], u)


cdef object rows_of_records(
    array, const double* records, Py_ssize_t n, Py_ssize_t stride
):
    """Records inside an array, as an array of shape (n, stride)."""
    start = (<size_t>records - <size_t>array.ctypes.data) // 8
    return array[start : start + n * stride].reshape(n, stride)


cdef Py_ssize_t record_stride(Py_ssize_t n_numbers) noexcept:
    """Size of a record, chosen so that records cross as few cache lines as possible."""
    cdef Py_ssize_t stride = 4
    while stride < n_numbers and stride < NUMBERS_PER_LINE:
        stride *= 2
    while stride < n_numbers:
        stride += NUMBERS_PER_LINE
    return stride
