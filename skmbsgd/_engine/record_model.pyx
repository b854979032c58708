"""Models of CSR input with all numbers of a coordinate in one record:

    clock, z (n_outputs), v (n_outputs), g (n_outputs), [sum of w (n_outputs)]

z is the weight, or its position under an L1 penalty, and v its velocity. g is the
gradient of the update that the clock tells, as far as it has been added up.
"""

import numpy as np

cimport cython
from libc.math cimport fabs
from libc.stdint cimport int64_t, uint32_t

from skmbsgd._engine.catch_up cimport AnyUpdates
from skmbsgd._engine.csr_model cimport CSRModel, Sums, add_to_sums, add_weights
from skmbsgd._engine.models import check_arrays
from skmbsgd._engine.penalties cimport Penalty, weight_at
from skmbsgd._engine.prefetch cimport CSR_NUMBERS_AHEAD
from skmbsgd._engine.records cimport CLOCK, prefetch_lines
from skmbsgd._engine.rules cimport Rule

cdef extern from "always_inline.h":
    pass

cdef enum:
    # Where a record has its first position
    POSITION = 1


@cython.final
cdef class RecordModel(CSRModel):
    """Weights, velocities, gradients and sums of weights in a record per coordinate.

    The arrays of the state are read at the beginning and written by `store`; in
    between, the records hold the model.

    Parameters
    ----------
    state, rule, penalty, fit_intercept
        As for Model.
    window_size
        As for CSRModel.
    """

    def __init__(
        self, state, Rule rule, Penalty penalty, bint fit_intercept, window_size=None
    ):
        n_parts = 3 if state.average_coef is None else 4
        super().__init__(
            state, rule, penalty, fit_intercept, 1 + n_parts * len(state.coef),
            window_size)
        self.first, self.stride = self.records.first, self.records.stride
        # A record of one output does not cross a cache line.
        self.n_lines = self.records.n_lines()
        parts = self.parts_of_state()
        self.begin_records([values for values, _ in parts.values()])
        for name, (values, place) in parts.items():
            self.records.read(values, place, self.n_averaged if name == "sums" else 1.0)

    def parts_of_state(self):
        """By name, the arrays of the state, and where a record has their numbers."""
        K = self.n_outputs
        parts = {
            "positions": (self.position_array(), POSITION),
            "velocities": (self.velocity, POSITION + K),
        }
        if self.average_coef is not None:
            parts["sums"] = self.average_coef, POSITION + 3 * K
        return parts

    def store(self):
        super().store()
        for name, (values, place) in self.parts_of_state().items():
            if name != "sums":
                self.records.write(values, place, 1.0, 0.0)
            elif self.n_averaged > 0:
                self.records.write(values, place, self.n_averaged, 0.0)
                self.average_intercept[:] = self.b_array[3]
        if self.penalty.has_positions:
            self.records.write(self.coef, POSITION, 1.0, self.threshold[0])

    def lost_by_store(self):
        if self.coef.dtype == np.float64 and self.average_coef is None:
            return {}
        columns = np.sort(self.records.active_columns())
        arrays = {
            name: view[columns] for name, view in self.views_of_parts().items()}
        return {**arrays, "columns": columns, "intercepts": self.b_array.copy()}

    def views_of_parts(self):
        """What lasts of the records, each of shape (n_features, n_outputs)."""
        records = self.records.view()
        return {
            name: records[:, place : place + self.n_outputs]
            for name, (_, place) in self.parts_of_state().items()}

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
        self.records.begin(columns, is_sorted=True)
        for name, view in views.items():
            view[columns] = arrays[name]
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

    cdef void add_products(
        self, const double* data, const uint32_t* columns, Py_ssize_t n,
        const uint32_t* columns_ahead, Py_ssize_t n_ahead, double* z,
    ) noexcept nogil:
        if self.window.signed is not None:
            catch_up_and_add(self, self.window.signed,
                             data, columns, n, columns_ahead, n_ahead, z)
        elif self.window.are_equal:
            catch_up_and_add(self, self.window.equal,
                             data, columns, n, columns_ahead, n_ahead, z)
        else:
            catch_up_and_add(self, self.window.differing,
                             data, columns, n, columns_ahead, n_ahead, z)

    cdef int add_gradients(
        self, const double* data, const uint32_t* columns, Py_ssize_t n, const double* d
    ) except -1 nogil:
        cdef Py_ssize_t i, K = self.n_outputs, stride = self.stride
        cdef double* g = self.first + POSITION + 2 * K
        if K == 1:
            for i in range(n):
                g[columns[i] * stride] += data[i] * d[0]
        else:
            for i in range(n):
                add_weights(data[i], d, 0.0, g + columns[i] * stride, K)
        return 0

    cdef Sums catch_up_active(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
        if self.window.signed is not None:
            return catch_up_and_sum(self, self.window.signed, first, stop)
        if self.window.are_equal:
            return catch_up_and_sum(self, self.window.equal, first, stop)
        return catch_up_and_sum(self, self.window.differing, first, stop)


# If the number of outputs is known here, the compiler removes the loops over outputs.

cdef void catch_up_and_add(
    RecordModel model, AnyUpdates updates, const double* data, const uint32_t* columns,
    Py_ssize_t n, const uint32_t* columns_ahead, Py_ssize_t n_ahead, double* z,
) noexcept nogil:
    if model.n_outputs == 1:
        add_row(model, updates, data, columns, n, columns_ahead, n_ahead, z, 1)
    else:
        add_row(
            model, updates, data, columns, n, columns_ahead, n_ahead, z,
            model.n_outputs)


cdef Sums catch_up_and_sum(
    RecordModel model, AnyUpdates updates, Py_ssize_t first, Py_ssize_t stop
) noexcept nogil:
    if model.n_outputs == 1:
        return sum_part(model, updates, first, stop, 1)
    return sum_part(model, updates, first, stop, model.n_outputs)


cdef inline void add_row(
    RecordModel model, AnyUpdates updates, const double* data, const uint32_t* columns,
    Py_ssize_t n, const uint32_t* columns_ahead, Py_ssize_t n_ahead, double* z,
    Py_ssize_t K,
) noexcept nogil:
    cdef Py_ssize_t i, now = model.window.now, stride = model.stride
    cdef Py_ssize_t n_lines = 1 if K == 1 else model.n_lines
    cdef double u = model.threshold[0], first_z = z[0]
    cdef double* records = model.first
    cdef double* record
    for i in range(n):
        # Request them one by one, because many requests at once have to wait.
        if i < n_ahead:
            prefetch_lines(records + columns_ahead[i] * stride, n_lines)
        record = records + columns[i] * stride
        if record[CLOCK] == 0.0:
            record[CLOCK] = now + 1
            model.records.activate(columns[i])
        if K == 1:
            catch_up_record(updates, record, now, 1)
            first_z += data[i] * weight_at(record[POSITION], u)
        else:
            catch_up_outputs(updates, record, now, K)
            add_weights(data[i], record + POSITION, u, z, K)
    if K == 1:
        z[0] = first_z
    for i in range(n, n_ahead):
        prefetch_lines(records + columns_ahead[i] * stride, n_lines)


cdef inline Sums sum_part(
    RecordModel model, AnyUpdates updates, Py_ssize_t first, Py_ssize_t stop,
    Py_ssize_t K,
) noexcept nogil:
    cdef Py_ssize_t i, k, now = model.window.now, stride = model.stride
    cdef Py_ssize_t n_ahead = max(1, CSR_NUMBERS_AHEAD // stride)
    cdef Py_ssize_t last = model.records.n_active - 1
    cdef Py_ssize_t n_lines = 1 if K == 1 else model.n_lines
    cdef const int64_t* active = model.records.active
    cdef bint averaged = model.average_coef is not None
    cdef double u = model.threshold[0]
    cdef double* records = model.first
    cdef double* record
    cdef Sums sums = Sums(0.0, 0.0, 0.0)
    for i in range(first, stop):
        prefetch_lines(records + active[min(i + n_ahead, last)] * stride, n_lines)
        record = records + active[i] * stride
        if K == 1:
            catch_up_record(updates, record, now, 1)
        else:
            catch_up_outputs(updates, record, now, K)
        record[CLOCK] = 1.0
        add_to_sums(&sums, record + POSITION, record + POSITION + K, u, K)
        if averaged:
            for k in range(K):
                sums.rest += fabs(record[POSITION + 3 * K + k])
    return sums


cdef inline void catch_up_record(
    AnyUpdates updates, double* record, Py_ssize_t now, Py_ssize_t K
) noexcept nogil:
    cdef Py_ssize_t t = <Py_ssize_t>record[CLOCK] - 1
    cdef double* z = record + POSITION
    # For several outputs, applying no update takes longer than a misprediction.
    if K > 1 and t == now:
        return
    record[CLOCK] = now + 1
    updates.catch_up(t, now, z, z + K, z + 2 * K, z + 3 * K, K)


# With several outputs the cost of a call is small. So it is not inlined into its
# callers, of which there are many to compile.

cdef void catch_up_outputs(
    AnyUpdates updates, double* record, Py_ssize_t now, Py_ssize_t K
) noexcept nogil:
    catch_up_record(updates, record, now, K)
