"""The weights of a stream of CSR chunks, each of which changes a few of them.

The work of a chunk depends on its non-zeros. With L1 it also depends on the number of
coordinates that have been changed so far, which are all visited to compute the penalty.
The columns of a chunk are numbered from 0, and their weights are copied into a model of
that many features, which is trained on the chunk. The updates of all other coordinates
are applied later, with the maps of catch_up.pxd as within an epoch: when another chunk
holds them, or when all weights are read.

The coordinates are in records of float64 numbers:

    clock, mark, z (n_outputs), [v (n_outputs)], [sum of w (n_outputs)]

z, v and the clock are as in record_model.pyx; there is no v without momentum. The mark
holds two integers: the last numbering of columns that included this one, and its number
there.

Many outputs take much memory. If there is nothing but weights, and if they are public
in float64, then a record is only clock and mark, and z is in an array that is lent to
readers. It is copied on write: when a chunk changes it while a reader has it. For
readers, all weights are brought up to date in place. This must not change what they
become later, not even by rounding. So their clocks count chunks, and each chunk that a
weight has missed is one multiplication. With L2 that is a multiplication per chunk for
each weight that has ever been changed, at the latest at the end of a window.

When all weights have been read, the next chunk visits them all to see whether users
have changed them: at its beginning, and lent ones also at its end.

The changes of a chunk become visible all at once. Once ``stream += change`` has begun
to change anything, it neither releases the GIL nor checks for signals.
"""

from weakref import ref

import numpy as np

cimport cython
from libc.math cimport fabs
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.catch_up cimport Map, Window
from skmbsgd._engine.penalties cimport Penalty, soft_threshold
from skmbsgd._engine.prefetch cimport prefetch, prefetch_bytes
from skmbsgd._engine.records cimport CLOCK, Records
from skmbsgd._engine.rules cimport Rule

from skmbsgd._engine.csr_model import order_of_weights

cdef extern from "shrink.h":
    void shrink "skmbsgd_shrink" (
        double* z, Py_ssize_t n, const double* factors, Py_ssize_t n_factors
    ) noexcept nogil

# Updates in a window. All coordinates are brought up to date at its end.
WINDOW = 1024

# All squares are summed again when only this fraction of them is left.
cdef double LITTLE_LEFT = 1e-4

cdef enum:
    # The place of the first position in a record
    NUMBERS = 2


@cython.final
cdef class Loan:
    """What all arrays of readers refer to that share the weights of a stream."""

    def __init__(self, weights):
        self.weights = weights

    @property
    def __array_interface__(self):
        return self.weights.T.__array_interface__


@cython.final
cdef class CSRStream:
    """The weights of a stream between its chunks.

    Parameters
    ----------
    rule : Rule
    penalty : Penalty
    shape : tuple of two ints
        n_outputs, n_features
    dtype : dtype
        Type of the public weights, float32 or float64.
    averaged : bool
        Whether the weights are added up.
    threshold : sequence of two floats
        u and r, for L1.
    window_size : int, default=WINDOW
        Largest number of updates for which tables are made.
    """

    def __init__(
        self, Rule rule, Penalty penalty, shape, dtype, bint averaged, threshold,
        Py_ssize_t window_size=WINDOW,
    ):
        self.rule = rule
        self.penalty = penalty
        self.n_outputs, self.n_features = shape
        self.dtype = np.dtype(dtype)
        self.averaged = averaged
        if penalty.has_positions:
            self.threshold[0], self.threshold[1] = threshold
        self.has_velocity = rule.momentum > 0.0
        self.lends_weights = self.can_lend_weights()
        if self.lends_weights:
            self.place_weights_apart(window_size)
        else:
            self.records = Records(
                self.n_features, NUMBERS + self.n_parts * self.n_outputs)
            self.first = self.records.first + NUMBERS
            self.stride = self.records.stride
        # In the form that catch_up takes, including gradients and sums
        self.numbers_array = np.zeros(4 * self.n_outputs)
        self.numbers = <double*><size_t>self.numbers_array.ctypes.data
        self.window = Window(rule, penalty, window_size, averaged)
        self.rates_array = np.empty(window_size)
        self.rates = <double*><size_t>self.rates_array.ctypes.data
        self.intercept = np.zeros(self.n_outputs, self.dtype)
        self.begin_window()

    def can_lend_weights(self):
        """Whether there is nothing but weights, and they are as readers need them."""
        has_only_weights = self.n_parts == 1 and not self.penalty.has_positions
        has_many_outputs = order_of_weights(self.n_outputs, True) == "F"
        return has_only_weights and has_many_outputs and self.dtype == np.float64

    def place_weights_apart(self, window_size):
        self.records = Records(self.n_features, NUMBERS)
        self.weights_array = np.zeros((self.n_features, self.n_outputs))
        self.first = <double*><size_t>self.weights_array.ctypes.data
        self.stride = self.n_outputs
        self.factors_array = np.ones(window_size + 1)
        self.factors = <double*><size_t>self.factors_array.ctypes.data

    @property
    def n_parts(self):
        """Positions; velocities and sums of weights, if there are any."""
        return 1 + self.has_velocity + self.averaged

    # What a chunk needs

    cdef uint32_t begin_numbering(self):
        """A number that no mark has."""
        cdef Py_ssize_t j
        self.n_numberings += 1
        if self.n_numberings == 0:  # after 2^32
            for j in range(self.n_features):
                self.records.of(j)[MARK] = 0.0
            self.n_numberings = 1
        return self.n_numberings

    def gather(self, const int64_t[::1] columns):
        """The coordinates of some columns, up to date.

        Returns
        -------
        parts : ndarray of float64 of shape (n_parts, n_columns, n_outputs)
        """
        array = np.empty((self.n_parts, columns.shape[0], self.n_outputs))
        cdef double[:, :, ::1] parts = array
        cdef Py_ssize_t i, k, n = columns.shape[0], K = self.n_outputs
        for i in range(n):
            self.prefetch_at(columns[min(i + COLUMNS_AHEAD, n - 1)])
            self.bring_up_to_date(columns[i])
            for k in range(K):
                parts[0, i, k] = self.numbers[k]
                if self.has_velocity:
                    parts[1, i, k] = self.numbers[K + k]
                if self.averaged:
                    parts[1 + self.has_velocity, i, k] = self.numbers[3 * K + k]
        return array

    def squares_of(self, const double[:, :, ::1] parts):
        """Sums of z^2, z v and v^2 over coordinates and outputs."""
        cdef Squares sums = self.sums_of(parts)
        return sums.zz, sums.zv, sums.vv

    cdef Squares sums_of(self, const double[:, :, ::1] parts) noexcept nogil:
        cdef Squares sums = Squares(0.0, 0.0, 0.0)
        cdef Py_ssize_t i, k
        for i in range(parts.shape[1]):
            for k in range(self.n_outputs):
                add_squares(
                    &sums, parts[0, i, k], parts[1, i, k] if self.has_velocity else 0.0)
        return sums

    def penalty_of_rest(self, const int64_t[::1] columns, before, rates):
        """The penalty of all other weights after the chunk's updates.

        Parameters
        ----------
        columns, before, rates
            As for the change that the chunk makes.
        """
        if self.penalty.l1 > 0.0:
            return self.l1_penalty_of_rest(columns, rates)
        if self.penalty.l2 == 0.0:
            return 0.0
        cdef Squares rest = self.squares_but(squares_from(before))
        cdef double rate
        for rate in rates:
            self.move_squares(&rest, rate)
        return self.penalty.value(max(0.0, rest.zz), 0.0)

    cdef l1_penalty_of_rest(self, const int64_t[::1] columns, rates):
        # No sum shows which weights become 0, so all of them are visited.
        cdef Window ahead = Window(
            self.rule, self.penalty, max(1, len(rates)), averaged=False)
        cdef double[2] threshold = self.threshold
        cdef Py_ssize_t i
        cdef double rate
        cdef uint32_t numbering = self.begin_numbering()
        for i in range(columns.shape[0]):
            (<uint32_t*>(self.records.of(columns[i]) + MARK))[0] = numbering
        ahead.begin_open(ahead.size, threshold)
        for rate in rates:
            ahead.append(rate)
            self.penalty.move_threshold(self.rule, threshold, rate)
        cdef double squares = 0.0, absolutes = 0.0, w
        cdef Py_ssize_t k
        cdef double* record
        for i in range(self.records.n_active):
            record = self.records.of(self.records.active[i])
            if (<uint32_t*>(record + MARK))[0] == numbering:
                continue
            self.bring_up_to_date(self.records.active[i])
            catch_up(ahead, 0, self.numbers, self.n_outputs)
            for k in range(self.n_outputs):
                w = soft_threshold(self.numbers[k], threshold[0])
                squares += w * w
                absolutes += fabs(w)
        return self.penalty.value(squares, absolutes)

    def __iadd__(self, change):
        """Apply all updates of a chunk.

        Parameters
        ----------
        change : object with these attributes

            columns : ndarray of int64 of shape (n_columns,)
                The columns that the chunk has.
            parts : ndarray of float64 of shape (n_parts, n_columns, n_outputs)
                The result of `gather`, as it is after the chunk.
            before : tuple of three floats
                The result of `squares_of` for these columns before the chunk.
            rates : ndarray of float64 of shape (n_updates,)
                The learning rates of the updates.
            first_averaged : int
                The update from which on weights are added up; -1 for none.
            intercept : ndarray of shape (n_outputs,)
                The intercepts to predict with.
            n_averaged : int
                Number of updates in the sums of the weights.
        """
        cdef const int64_t[::1] columns = change.columns
        cdef const double[:, :, ::1] parts = change.parts
        cdef const double[:] rates = change.rates
        cdef double[:, ::1] spare
        cdef Py_ssize_t i, n_updates = rates.shape[0]
        cdef Py_ssize_t first_averaged = change.first_averaged
        cdef Py_ssize_t n_averaged = change.n_averaged
        cdef Squares before = squares_from(change.before), total, added
        cdef bint is_edited
        intercept = change.intercept
        if self.lends_weights and self.lent is not None and self.lent() is not None:
            # Nothing has changed yet if this fails, or lets other threads run.
            array = np.empty_like(self.weights_array)
            spare = array
            memcpy(&spare[0, 0], self.first,
                   self.n_features * self.stride * sizeof(double))
            self.weights_array, self.first = array, &spare[0, 0]
        # From here on nothing fails, and no other code runs.
        is_edited = self.has_been_read and not (
            self.has_lent_weights() and self.squares_at(columns).zz == before.zz)
        if is_edited:
            self.activate_edited()
        if self.window.now + n_updates > self.window.size:
            self.begin_anew()
        total = self.squares_but(before)
        for i in range(n_updates):
            if self.window.now == self.window.size:
                self.begin_anew()
            if i == first_averaged and not self.has_begun_to_average:
                self.has_begun_to_average = True
                self.window.average_from(self.window.now)
            self.move_squares(&total, rates[i])
            self.append(rates[i])
        if self.lends_weights and n_updates > 0:
            self.n_chunks += 1
            self.factors[self.n_chunks] = 1.0
        self.write(columns, parts)
        added = self.sums_of(parts)
        self.squares = Squares(
            total.zz + added.zz, total.zv + added.zv, total.vv + added.vv)
        if is_edited:
            self.squares = self.bring_all_up_to_date(self.now())
        self.sum_anew_if_little_is_left()
        self.intercept, self.n_averaged = intercept, n_averaged
        # Not released here, because that can run other code.
        self.previous, self.shown, self.lent = self.shown, None, None
        self.has_been_read = False
        return self

    cdef void append(self, double rate) noexcept nogil:
        """Let all coordinates make an update without a gradient."""
        self.rates[self.window.now] = rate
        if self.lends_weights:
            self.factors[self.n_chunks] *= self.window.differing.map_of_update(rate).zz
            self.window.now += 1
        else:
            self.window.append(rate)
            self.penalty.move_threshold(self.rule, self.threshold, rate)

    # Reading

    # These see the model before or after a chunk: no other thread runs in between.

    def weights_of(self, columns):
        """Weights of some columns, of shape (n_outputs, n_columns), and intercepts."""
        parts = self.gather(columns)
        intercept, n_averaged, u = self.intercept, self.n_averaged, self.threshold[0]
        if n_averaged > 0:
            coef = parts[self.n_parts - 1] / n_averaged
        else:
            coef = self.penalty.weights(parts[0], u)
        return coef.T.astype(self.dtype, copy=False), intercept

    def show(self):
        """All weights, of shape (n_outputs, n_features), and intercepts.

        Until the next chunk it is the same memory, which users may change.
        """
        coef = None
        while coef is None:
            coef = self.lend() if self.lends_weights else self.show_copy()
            intercept = self.intercept
        return coef, intercept

    cdef show_copy(self):
        coef = None if self.lent is None else self.lent()
        if coef is None:
            shape = self.n_outputs, self.n_features
            coef = np.zeros(shape, self.dtype, order_of_weights(self.n_outputs, True))
            reference = ref(coef)
            self.fill(coef)
            self.lent = reference
        self.shown = coef
        return coef

    cdef lend(self):
        """The weights themselves, up to date; None if a chunk has come in between."""
        loan = None if self.lent is None else self.lent()
        if loan is None:
            loan = Loan(self.weights_array)
        coef, reference = np.asarray(loan), ref(loan)
        # From here on no other code runs.
        if (<Loan>loan).weights is not self.weights_array:
            return None
        self.lent = reference
        if not self.has_been_read:
            self.lent_squares = self.bring_all_up_to_date(self.now()).zz
            self.has_been_read = True
        return coef

    def is_as_lent(self):
        """Whether the weights are those that were lent.

        Edits that keep the sum of the squares may not be noticed, such as other signs.
        The stream continues with the weights as they are. So there is no harm in that.
        """
        return self.has_lent_weights()

    cdef bint has_lent_weights(self) noexcept nogil:
        cdef Squares sums = Squares(0.0, 0.0, 0.0)
        cdef Py_ssize_t i, k
        cdef const double* z
        for i in range(self.n_features):
            if self.is_edited_at(i):
                return False
        for i in range(self.records.n_active):
            z = self.first + self.records.active[i] * self.stride
            for k in range(self.n_outputs):
                add_squares(&sums, z[k], 0.0)
        return sums.zz == self.lent_squares

    cdef bint is_edited_at(self, Py_ssize_t column) noexcept nogil:
        """Whether a coordinate is not 0 that no chunk has changed."""
        cdef Py_ssize_t k
        cdef const double* z = self.first + column * self.stride
        if self.records.of(column)[CLOCK] == 0.0:
            for k in range(self.n_outputs):
                if z[k] != 0.0:
                    return True
        return False

    cdef void activate_edited(self) noexcept nogil:
        """Let coordinates take part that users have changed during the call."""
        cdef Py_ssize_t i
        for i in range(self.n_features):
            if self.is_edited_at(i):
                self.records.of(i)[CLOCK] = self.now()
                self.records.activate(i)

    def discard_copy(self):
        """Discard the copy that was shown, unless somebody has it."""
        self.previous = self.shown = None
        self.shown = None if self.lent is None or self.lends_weights else self.lent()

    cdef fill(self, coef):
        """Write all weights that are not 0."""
        cdef size_t address = coef.ctypes.data
        cdef Py_ssize_t between_outputs, between_columns
        between_outputs, between_columns = coef.strides
        between_outputs //= coef.itemsize
        between_columns //= coef.itemsize
        if coef.dtype == np.float32:
            write_weights(self, <float*>address, between_outputs, between_columns)
        else:
            write_weights(self, <double*>address, between_outputs, between_columns)

    cdef void find_weights(self, Py_ssize_t column) noexcept nogil:
        """Let `numbers` begin with the weights of a column to predict with."""
        cdef Py_ssize_t k
        self.bring_up_to_date(column)
        for k in range(self.n_outputs):
            if self.n_averaged > 0:
                self.numbers[k] = (
                    self.numbers[3 * self.n_outputs + k] / self.n_averaged)
            else:
                self.numbers[k] = soft_threshold(self.numbers[k], self.threshold[0])

    def active_columns(self):
        """The coordinates that have ever been changed, in no particular order."""
        return self.records.active_columns()

    def view_of_numbers(self):
        """All coordinates, of shape (n_features, n_parts * n_outputs)."""
        if self.lends_weights:
            return self.weights_array
        return self.records.view()[:, NUMBERS : NUMBERS + self.n_parts * self.n_outputs]

    # Coordinates

    cdef inline void prefetch_at(self, Py_ssize_t column) noexcept nogil:
        prefetch(self.records.of(column))
        if self.n_outputs > 1:
            prefetch_bytes(
                self.first + column * self.stride, self.n_outputs * sizeof(double))

    cdef double now(self) noexcept nogil:
        """What a clock shows that is up to date."""
        return 1 + (self.n_chunks if self.lends_weights else self.window.now)

    cdef void bring_up_to_date(self, Py_ssize_t column) noexcept nogil:
        """Set `numbers` to a coordinate, up to date."""
        cdef Py_ssize_t t = <Py_ssize_t>self.records.of(column)[CLOCK] - 1
        cdef Py_ssize_t k, K = self.n_outputs
        cdef const double* numbers = self.first + column * self.stride
        cdef double* z = self.numbers
        for k in range(K):
            z[k] = numbers[k]
            z[K + k] = numbers[K + k] if self.has_velocity else 0.0
            z[2 * K + k] = 0.0
            if self.averaged:
                z[3 * K + k] = numbers[(1 + self.has_velocity) * K + k]
        if t < 0:
            return
        if not self.lends_weights:
            catch_up(self.window, t, z, K)
        elif self.penalty.l2 > 0.0:
            shrink(z, K, self.factors + t, self.n_chunks - t)

    cdef Squares bring_all_up_to_date(self, double clock) noexcept nogil:
        """Bring all coordinates up to date, with this clock; return their sums."""
        cdef Squares sums = Squares(0.0, 0.0, 0.0)
        cdef Py_ssize_t i, k, K = self.n_outputs, last = self.records.n_active - 1
        cdef const int64_t* active = self.records.active
        cdef double* numbers
        for i in range(last + 1):
            self.prefetch_at(active[min(i + COLUMNS_AHEAD, last)])
            self.bring_up_to_date(active[i])
            self.records.of(active[i])[CLOCK] = clock
            numbers = self.first + active[i] * self.stride
            for k in range(K):
                numbers[k] = self.numbers[k]
                if self.has_velocity:
                    numbers[K + k] = self.numbers[K + k]
                if self.averaged:
                    numbers[(1 + self.has_velocity) * K + k] = self.numbers[3 * K + k]
                add_squares(&sums, self.numbers[k], self.numbers[K + k])
        return sums

    cdef void write(
        self, const int64_t[::1] columns, const double[:, :, ::1] parts
    ) noexcept nogil:
        """Set the coordinates of some columns, up to date."""
        cdef Py_ssize_t i, part, k, n = columns.shape[0], n_parts = parts.shape[0]
        cdef Py_ssize_t K = self.n_outputs, stride = self.stride
        cdef double clock = self.now()
        cdef double* first = self.first
        cdef double* record
        cdef double* numbers
        for i in range(n):
            self.prefetch_at(columns[min(i + COLUMNS_AHEAD, n - 1)])
            record = self.records.of(columns[i])
            if record[CLOCK] == 0.0:
                self.records.activate(columns[i])
            record[CLOCK] = clock
            numbers = first + columns[i] * stride
            for part in range(n_parts):
                for k in range(K):
                    numbers[k] = parts[part, i, k]
                numbers += K

    # This is part of a change that becomes visible all at once. So it uses no Python
    # objects, which could let signals or other threads in.

    cdef void begin_window(self) noexcept nogil:
        self.first_threshold[0] = self.threshold[0]
        self.first_threshold[1] = self.threshold[1]
        self.window.begin_open(
            0 if self.has_begun_to_average else self.window.size, self.threshold)

    cdef void begin_anew(self) noexcept nogil:
        """Bring all coordinates up to date, and begin another window."""
        if self.lends_weights:
            self.n_chunks += 1  # the one in progress, as far as it is
        self.squares = self.bring_all_up_to_date(clock=1.0)
        self.largest_squares = self.squares.zz + self.squares.vv
        if self.lends_weights:
            self.n_chunks = 0
            self.factors[0] = 1.0
        self.begin_window()

    # Squares

    cdef void sum_anew_if_little_is_left(self) noexcept nogil:
        # Old values were subtracted. Their rounding errors matter if sums are small.
        cdef double now = self.squares.zz + self.squares.vv
        self.largest_squares = max(self.largest_squares, now)
        if self.penalty.l1 == 0.0 < self.penalty.l2 and (
            now < LITTLE_LEFT * self.largest_squares
        ):
            self.begin_anew()

    cdef Squares squares_but(self, Squares before) noexcept nogil:
        """The sums over all coordinates except some that had these."""
        return Squares(
            self.squares.zz - before.zz, self.squares.zv - before.zv,
            self.squares.vv - before.vv)

    cdef Squares squares_at(self, const int64_t[::1] columns) noexcept nogil:
        """The sums of z^2 over some columns, as `squares_of` adds them up."""
        cdef Squares sums = Squares(0.0, 0.0, 0.0)
        cdef Py_ssize_t i, k
        for i in range(columns.shape[0]):
            self.bring_up_to_date(columns[i])
            for k in range(self.n_outputs):
                add_squares(&sums, self.numbers[k], 0.0)
        return sums

    cdef void move_squares(self, Squares* sums, double rate) noexcept nogil:
        """The sums after one update without a gradient."""
        cdef Map update = self.window.differing.map_of_update(rate)
        cdef Squares old = sums[0]
        sums.zz = (update.zz * update.zz * old.zz + 2.0 * update.zz * update.zv * old.zv
                   + update.zv * update.zv * old.vv)
        sums.zv = (update.zz * update.vz * old.zz
                   + (update.zz * update.vv + update.zv * update.vz) * old.zv
                   + update.zv * update.vv * old.vv)
        sums.vv = (update.vz * update.vz * old.zz + 2.0 * update.vz * update.vv * old.zv
                   + update.vv * update.vv * old.vv)


cdef void write_weights(
    CSRStream stream, floating* coef, Py_ssize_t between_outputs,
    Py_ssize_t between_columns,
) noexcept:
    cdef Py_ssize_t i, k
    cdef floating* weights
    for i in range(stream.records.n_active):
        stream.find_weights(stream.records.active[i])
        weights = coef + stream.records.active[i] * between_columns
        for k in range(stream.n_outputs):
            weights[k * between_outputs] = <floating>stream.numbers[k]


cdef inline void catch_up(
    Window window, Py_ssize_t t, double* numbers, Py_ssize_t K
) noexcept nogil:
    """Apply the updates of a window from t on to a coordinate."""
    if t == window.now:
        return
    cdef double* z = numbers
    cdef double* v = z + K
    cdef double* g = v + K
    cdef double* total = g + K
    if window.signed is not None:
        window.signed.catch_up(t, window.now, z, v, g, total, K)
    else:
        window.differing.catch_up(t, window.now, z, v, g, total, K)


cdef Squares squares_from(numbers):
    zz, zv, vv = numbers
    return Squares(<double>zz, <double>zv, <double>vv)


cdef inline void add_squares(Squares* sums, double z, double v) noexcept nogil:
    sums.zz += z * z
    sums.zv += z * v
    sums.vv += v * v
