"""Models of CSR input: exact updates at the cost of the non-zeros.

Momentum and penalty change every coordinate at every update. These updates are delayed
until a row that holds the coordinate is processed, or until all coordinates must be up
to date. Then the update with its last gradient g is applied, and all updates since,
which have not touched it, with the maps of catch_up.pxd.

This is their base class, with all that does not depend on where the numbers of a
coordinate are: see record_model.pyx and in_place_model.pyx.
"""

import numpy as np

from libc.math cimport fabs
from libc.string cimport memset

from skmbsgd._engine.catch_up cimport Window
from skmbsgd._engine.models cimport Model
from skmbsgd._engine.penalties cimport Penalty
from skmbsgd._engine.rules cimport Rule
from skmbsgd._engine.signals cimport check_signals

# Columns are numbered by uint32.
MAX_COLUMNS = 2**32

# Updates in a window: many, because all coordinates touched so far are brought up to
# date at its end, but few enough that its table stays small (1 MB)
MAX_WINDOW = 16384

# From so many outputs on, the memory counts for more than the time. With records, fits
# take up to a quarter less time, and two to four times the memory of coef_ more.
MANY_OUTPUTS = 16


def order_of_weights(n_outputs, is_sparse):
    """The order of arrays of shape (n_outputs, n_features) of a state."""
    return "F" if is_sparse and n_outputs >= MANY_OUTPUTS else "C"


cdef class CSRModel(Model):
    """Weights, velocities and gradients of which a row changes a few.

    Parameters
    ----------
    state, rule, penalty, fit_intercept
        As for Model.
    n_numbers : int
        Numbers of a record of a coordinate.
    window_size : int or None
        Largest number of updates for which tables are made; None for MAX_WINDOW.
    """

    def __init__(
        self, state, Rule rule, Penalty penalty, bint fit_intercept, n_numbers,
        window_size,
    ):
        super().__init__(state, rule, penalty, fit_intercept)
        if self.n_features > MAX_COLUMNS:
            raise ValueError(
                f"Sparse X can have at most {MAX_COLUMNS} features, got "
                f"{self.n_features}. Hash them to fewer columns.")
        self.window_size = MAX_WINDOW if window_size is None else window_size
        self.records = Records(self.n_features, n_numbers)
        self.b_array = np.zeros((4, self.n_outputs))
        self.b = <double*><size_t>self.b_array.ctypes.data
        self.b_v = self.b + self.n_outputs
        self.b_g = self.b_v + self.n_outputs
        self.b_average = self.b_g + self.n_outputs
        self.b_array[0] = self.intercept
        self.b_array[1] = self.intercept_velocity
        if self.average_coef is not None:
            self.b_array[3] = self.average_intercept

    def position_array(self):
        return self.positions if self.penalty.has_positions else self.coef

    def begin_records(self, parts):
        """Begin a record for each coordinate that is not at rest at 0."""
        is_moving = np.any([values.any(axis=0) for values in parts], axis=0)
        self.records.begin(np.flatnonzero(is_moving), is_sorted=True)

    def store(self):
        self.intercept[:] = self.b_array[0]
        self.intercept_velocity[:] = self.b_array[1]

    # The epoch

    cdef void begin_epoch(
        self, const double[:] learning_rates, Py_ssize_t n_batches,
        Py_ssize_t first_averaged_batch,
    ):
        self.records.sort_active()
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

    cdef int bring_all_up_to_date(self) except -1 nogil:
        """Bring all coordinates to the beginning of the next window, and sum up."""
        cdef Py_ssize_t first = 0, stop
        cdef Py_ssize_t n_together = max(1, WEIGHTS_OF_PART // self.n_outputs)
        cdef Sums sums
        self.squared_norm, self.absolute_sum, self.absolute_rest = 0.0, 0.0, 0.0
        while first < self.records.n_active:
            stop = min(first + n_together, self.records.n_active)
            sums = self.catch_up_active(first, stop)
            self.squared_norm += sums.squares
            self.absolute_sum += sums.absolutes
            self.absolute_rest += sums.rest
            first = stop
            if first < self.records.n_active:
                check_signals()
        return 0

    # The coordinates of a row, and all of them

    cdef void add_products(
        self, const double* data, const uint32_t* columns, Py_ssize_t n,
        const uint32_t* columns_ahead, Py_ssize_t n_ahead, double* z,
    ) noexcept nogil:
        """z += x W^T for a row x with these non-zeros; prefetch other columns.

        The row's coordinates make all updates so far.
        """

    cdef int add_gradients(
        self, const double* data, const uint32_t* columns, Py_ssize_t n, const double* d
    ) except -1 nogil:
        """g += d^T x for a row x with these non-zeros."""

    cdef Sums catch_up_active(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        """Bring a part of the touched coordinates up to date, with clocks of 1."""
