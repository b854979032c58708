"""Models of CSR input that train weights and velocities in the arrays of the state.

Many outputs take much memory. If the arrays of the state are in float64 and have the
numbers of a coordinate side by side, then these are not copied. Only the clocks are in
records.
"""

import numpy as np

cimport cython
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from skmbsgd._engine.csr_model cimport (
    WEIGHTS_OF_PART, CSRModel, Sums, add_to_sums, add_weights,
)
from skmbsgd._engine.models cimport writable_memory
from skmbsgd._engine.penalties cimport Penalty
from skmbsgd._engine.prefetch cimport CSR_NUMBERS_AHEAD, prefetch, prefetch_bytes
from skmbsgd._engine.records cimport CLOCK
from skmbsgd._engine.rules cimport Rule
from skmbsgd._engine.signals cimport check_signals

cdef enum:
    # Where a record has the place of the coordinate's gradients in the batch
    PLACE = 1
cdef enum:
    # Coordinates whose weights are computed from positions at a time
    COLUMNS_AT_ONCE = 16384


def can_train_in_place(state):
    """Whether the arrays of a state hold all that is needed, and as it is needed."""
    parts = [state.coef, state.velocity]
    if state.positions is not None:
        parts.append(state.positions)
    return len(state.coef) > 1 and state.average_coef is None and all(
        part.dtype == np.float64 and part.T.flags.c_contiguous for part in parts)


cdef class InPlaceModel(CSRModel):
    """Weights and velocities in the state, gradients in an array of the same shape.

    Parameters
    ----------
    state
        As for Model; `can_train_in_place` holds.
    rule, penalty, fit_intercept
        As for Model.
    window_size
        As for CSRModel.
    """

    def __init__(
        self, state, Rule rule, Penalty penalty, bint fit_intercept, window_size=None
    ):
        super().__init__(state, rule, penalty, fit_intercept, 2, window_size)
        shape = self.n_features, self.n_outputs
        positions = self.position_array()
        self.z = <double*>writable_memory(positions.T, shape, np.float64)
        self.z_stride = self.n_outputs
        self.begin_records([positions, *self.place_the_rest(shape)])

    def place_the_rest(self, shape):
        """Set where velocities and gradients are; return what moves by itself."""
        self.v = <double*>writable_memory(self.velocity.T, shape, np.float64)
        self.gradients = np.zeros(shape)
        self.g = <double*><size_t>self.gradients.ctypes.data
        self.v_stride = self.g_stride = self.n_outputs
        return [self.velocity]

    def store(self):
        super().store()
        if self.penalty.has_positions:
            columns = self.records.active_columns()
            for first in range(0, len(columns), COLUMNS_AT_ONCE):
                part = columns[first : first + COLUMNS_AT_ONCE]
                self.coef[:, part] = self.penalty.weights(
                    self.positions[:, part], self.threshold[0])

    cdef void add_products(
        self, const double* data, const uint32_t* columns, Py_ssize_t n,
        const uint32_t* columns_ahead, Py_ssize_t n_ahead, double* z,
    ) noexcept nogil:
        cdef Py_ssize_t i
        cdef Coordinate coordinate
        for i in range(n):
            if i < n_ahead:
                self.prefetch_at(columns_ahead[i])
            coordinate = self.coordinate_at(columns[i])
            if coordinate.clock[0] == 0.0:
                coordinate.clock[0] = self.window.now + 1
                self.records.activate(columns[i])
            self.catch_up(coordinate)
            add_weights(data[i], coordinate.z, self.threshold[0], z, self.n_outputs)
        for i in range(n, n_ahead):
            self.prefetch_at(columns_ahead[i])

    cdef int add_gradients(
        self, const double* data, const uint32_t* columns, Py_ssize_t n, const double* d
    ) except -1 nogil:
        cdef Py_ssize_t i, K = self.n_outputs
        for i in range(n):
            add_weights(data[i], d, 0.0, self.g + columns[i] * K, K)
        return 0

    cdef Sums catch_up_active(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        cdef Py_ssize_t i, n_ahead = self.coordinates_ahead()
        cdef Py_ssize_t last = self.records.n_active - 1
        cdef const int64_t* active = self.records.active
        cdef Coordinate coordinate
        cdef Sums sums = Sums(0.0, 0.0, 0.0)
        for i in range(first, stop):
            self.prefetch_at(active[min(i + n_ahead, last)])
            coordinate = self.coordinate_at(active[i])
            self.catch_up(coordinate)
            coordinate.clock[0] = 1.0
            add_to_sums(
                &sums, coordinate.z, coordinate.v, self.threshold[0], self.n_outputs)
        return sums

    @cython.final
    cdef Coordinate coordinate_at(self, int64_t column) noexcept nogil:
        cdef Coordinate coordinate
        coordinate.clock = self.records.of(column) + CLOCK
        coordinate.z = self.z + column * self.z_stride
        coordinate.v = self.v + column * self.v_stride
        coordinate.g = self.g + column * self.g_stride
        return coordinate

    @cython.final
    cdef void prefetch_at(self, int64_t column) noexcept nogil:
        cdef Coordinate coordinate = self.coordinate_at(column)
        cdef size_t n_bytes = self.n_outputs * sizeof(double)
        prefetch(coordinate.clock)
        prefetch_bytes(coordinate.z, n_bytes)
        prefetch_bytes(coordinate.v, n_bytes)
        prefetch_bytes(coordinate.g, n_bytes)

    @cython.final
    cdef void catch_up(self, Coordinate coordinate) noexcept nogil:
        """Let a coordinate make all updates so far."""
        cdef Py_ssize_t t = <Py_ssize_t>coordinate.clock[0] - 1, now = self.window.now
        cdef Py_ssize_t K = self.n_outputs
        cdef double* unused = coordinate.g  # There are no sums.
        if t == now:
            return
        coordinate.clock[0] = now + 1
        if self.window.signed is not None:
            self.window.signed.catch_up(
                t, now, coordinate.z, coordinate.v, coordinate.g, unused, K)
        elif self.window.are_equal:
            self.window.equal.catch_up(
                t, now, coordinate.z, coordinate.v, coordinate.g, unused, K)
        else:
            self.window.differing.catch_up(
                t, now, coordinate.z, coordinate.v, coordinate.g, unused, K)

    @cython.final
    cdef Py_ssize_t coordinates_ahead(self) noexcept nogil:
        return max(1, CSR_NUMBERS_AHEAD // (3 * self.n_outputs))


@cython.final
cdef class InPlaceModelWithoutMomentum(InPlaceModel):
    """Weights in the state, and gradients for the coordinates of the batch alone.

    Gradients of all coordinates would be half of the memory. The coordinates of a batch
    make its update at its end. A record is

        clock, place of the gradients in this batch
    """

    def place_the_rest(self, shape):
        # No coordinate needs a velocity, or a gradient between two batches: all of them
        # share one of each.
        self.gradients = np.zeros((2, self.n_outputs))
        self.v = <double*><size_t>self.gradients.ctypes.data
        self.g = self.v + self.n_outputs
        self.v_stride = self.g_stride = 0
        self.touched_array = np.empty(self.n_features, dtype=np.int64)
        self.touched = <int64_t*><size_t>self.touched_array.ctypes.data
        self.make_room_for(0)
        return []

    cdef int begin_batch(self) except -1 nogil:
        CSRModel.begin_batch(self)
        self.n_touched = 0
        return 0

    cdef int add_gradients(
        self, const double* data, const uint32_t* columns, Py_ssize_t n, const double* d
    ) except -1 nogil:
        cdef Py_ssize_t i, K = self.n_outputs
        # No batch touches more coordinates than there are.
        if min(self.n_touched + n, self.n_features) > self.max_touched:
            with gil:
                self.make_room_for(self.n_touched + n)
        for i in range(n):
            add_weights(data[i], d, 0.0, self.gradient_of(columns[i]), K)
        return 0

    cdef int make_room_for(self, Py_ssize_t n) except -1:
        """Make room for the gradients of so many coordinates of a batch."""
        cdef Py_ssize_t size = min(2 * n, self.n_features)
        array = np.empty((size, self.n_outputs))
        if self.n_touched > 0:
            array[: self.n_touched] = self.batch_gradients_array[: self.n_touched]
        self.batch_gradients_array, self.max_touched = array, size
        self.batch_gradients = <double*><size_t>array.ctypes.data
        return 0

    cdef double* gradient_of(self, int64_t column) noexcept nogil:
        """The gradients of a coordinate, which are 0 before the batch touches it."""
        cdef int64_t* place = <int64_t*>(self.records.of(column) + PLACE)
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

    cdef int step(self, double learning_rate) except -1 nogil:
        CSRModel.step(self, learning_rate)
        return self.move_touched()

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
