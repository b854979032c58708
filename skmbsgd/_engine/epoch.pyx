"""One epoch of mini-batch SGD."""

import numpy as np

from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.string cimport memcpy

from skmbsgd._engine.rows cimport Rows
from skmbsgd._engine.losses cimport Loss
from skmbsgd._engine.models cimport Model
from skmbsgd._engine.signals cimport WORK_BETWEEN_SIGNALS, check_signals
from skmbsgd._engine.team cimport Member


def run_epoch(
    Rows rows,
    Loss loss,
    const double[:] learning_rates,
    Py_ssize_t batch_size,
    Py_ssize_t first_averaged_batch=-1,
):
    """Go through all rows once, in batches, and update the model after each batch.

    This runs without the GIL and checks for signals. If several threads train together,
    each of them calls it with its own rows, and works on its share.

    Parameters
    ----------
    rows : Rows
        Its model is updated in place.
    loss : Loss
    learning_rates : ndarray of shape (n_batches,) or (1,), float64
        A rate for each batch, or one for all.
    batch_size : int
        At least 1; the last batch has the remaining rows.
    first_averaged_batch : int, default=-1
        The batch from which on updates join the running means; -1 for none.

    Returns
    -------
    loss : float
        The sum over the rows of the thread of weight * loss, divided by the number of
        all rows. Each loss is computed before the update of its batch.
    """
    cdef Py_ssize_t n_rows = rows.order.n_rows
    cdef Py_ssize_t n_batches = (n_rows + batch_size - 1) // batch_size
    if first_averaged_batch < 0:
        first_averaged_batch = n_batches
    rows.model.begin_epoch(learning_rates, n_batches, first_averaged_batch)
    cdef double total_loss = run_batches(
        rows, loss, learning_rates, batch_size, first_averaged_batch, 0.0)
    rows.model.end_epoch()
    return total_loss / n_rows


# An epoch in several parts, each with its own rows


def begin_epoch(
    Model model,
    const double[:] learning_rates,
    Py_ssize_t n_batches=-1,
    Py_ssize_t first_averaged_batch=-1,
):
    """Begin an epoch in parts, with what is known about it.

    If the parts differ from this, a model may take longer.

    Parameters
    ----------
    model : Model
    learning_rates : ndarray of shape (n_batches,) or (1,), float64
    n_batches : int, default=-1
        Batches of the whole epoch; -1 if unknown.
    first_averaged_batch : int, default=-1
    """
    if n_batches < 0:
        n_batches = PY_SSIZE_T_MAX
    if first_averaged_batch < 0:
        first_averaged_batch = n_batches
    model.begin_epoch(learning_rates, n_batches, first_averaged_batch)


def run_part(
    Rows rows,
    Loss loss,
    const double[:] learning_rates,
    Py_ssize_t batch_size,
    Py_ssize_t first_averaged_batch=-1,
    double total_loss=0.0,
):
    """Go through the rows of a part of an epoch, like `run_epoch`.

    Returns
    -------
    total_loss : float
        The argument of this name plus the sum over the rows of weight * loss.
    """
    cdef Py_ssize_t n_rows = rows.order.n_rows
    cdef Py_ssize_t n_batches = (n_rows + batch_size - 1) // batch_size
    if first_averaged_batch < 0:
        first_averaged_batch = n_batches
    rows.model.begin_part(learning_rates, n_batches, first_averaged_batch)
    return run_batches(
        rows, loss, learning_rates, batch_size, first_averaged_batch, total_loss)


def end_epoch(Model model):
    """End an epoch in parts."""
    model.end_epoch()


cdef double run_batches(
    Rows rows, Loss loss, const double[:] learning_rates, Py_ssize_t batch_size,
    Py_ssize_t first_averaged_batch, double total_loss,
) except? -1.0:
    """Process all batches of the rows, and add their losses to a total."""
    cdef Model model = rows.model
    cdef Member member = rows.member
    cdef Py_ssize_t n_rows = rows.order.n_rows
    cdef Py_ssize_t n_outputs = model.n_outputs
    cdef Py_ssize_t n_batches = (n_rows + batch_size - 1) // batch_size
    cdef Py_ssize_t batch, row, stop, stop_of_share, n_loaded
    cdef bint rates_differ = learning_rates.shape[0] > 1
    cdef double batch_loss, batch_rows, work = 0.0

    if learning_rates.shape[0] not in (1, n_batches):
        raise ValueError(f"{n_batches} batches need one learning rate or as many.")

    member.take_share(
        batch_size, rows.cost_of_row, rows.order.cost_of_position())
    rows.begin_epoch(member.share_rows)
    # The leader checks for signals, and counts the shares of the others as well.
    cdef double work_of_row = rows.cost_of_row * batch_size / member.share_rows
    with nogil:
        if not (member.is_alone or synchronise_start(rows)):
            n_batches = 0
        for batch in range(n_batches):
            row = batch * batch_size
            stop = min(row + batch_size, n_rows)
            batch_rows = stop - row
            batch_loss = 0.0
            model.begin_batch()
            row += member.share_first
            stop_of_share = min(row + member.share_rows, stop)
            while row < stop_of_share:
                n_loaded = rows.load(row, stop_of_share, 1.0 / batch_rows)
                rows.decisions()
                batch_loss += loss.gradient(
                    rows.y, rows.z, rows.scale, rows.losses, rows.d,
                    n_loaded, n_outputs)
                rows.accumulate()
                row += n_loaded
                work += n_loaded * work_of_row
                if work > WORK_BETWEEN_SIGNALS and member.leads:
                    work = 0.0
                    check_signals()
            rows.complete_gradients()
            if not (member.is_alone or synchronise(rows, batch)):
                break
            model.step(learning_rates[batch if rates_differ else 0])
            total_loss += batch_loss * batch_rows
            if batch >= first_averaged_batch:
                model.add_to_average()
    return total_loss


cdef bint synchronise_start(Rows rows) except -1 nogil:
    """Wait for the other threads; return whether none has given up."""
    if rows.member.leads:
        rows.order.decide(positions_needed(rows, 0))
    return synchronise(rows, -1)


cdef bint synchronise(Rows rows, Py_ssize_t batch) except -1 nogil:
    """Add up the gradients of all threads; return whether none has given up.

    While the gradients are in transit, one thread decides the order of the rows that
    all threads need for the batch after the next.
    """
    rows.member.send()
    if rows.member.leads:
        rows.order.decide(positions_needed(rows, batch + 2))
    return rows.member.receive()


cdef inline Py_ssize_t positions_needed(Rows rows, Py_ssize_t batch) noexcept nogil:
    """The number of positions of the order that must be decided to process a batch."""
    cdef Py_ssize_t n_ahead = 2 + rows.lookahead // rows.member.least_share
    return (batch + 1 + n_ahead) * rows.member.batch_size + rows.max_rows


def compute_loss(Rows rows, Loss loss):
    """The mean over the rows of weight * loss, at the weights of their model.

    It is for rows of a single thread, after an epoch or before the first one.
    """
    cdef Py_ssize_t n_rows = rows.order.n_rows
    cdef Py_ssize_t row = 0, n_loaded
    cdef double total = 0.0, work = 0.0
    rows.model.begin_epoch(np.zeros(1), 1, 1)
    rows.begin_epoch(n_rows)
    with nogil:
        while row < n_rows:
            n_loaded = rows.load(row, n_rows, 1.0)
            rows.decisions()
            total += loss.gradient(
                rows.y, rows.z, rows.scale, rows.losses, rows.d,
                n_loaded, rows.model.n_outputs)
            row += n_loaded
            work += n_loaded * rows.cost_of_row
            if work > WORK_BETWEEN_SIGNALS:
                work = 0.0
                check_signals()
    return total / n_rows


def compute_decisions(Rows rows, double[:, ::1] out):
    """Write X W^T + b for the rows in their order.

    This uses the products of the training loop, so that the result does not depend on
    the number of threads either, bit for bit.
    """
    cdef Py_ssize_t n_rows = rows.order.n_rows
    cdef Py_ssize_t n_outputs = rows.model.n_outputs
    cdef Py_ssize_t row = 0, n_loaded
    cdef double work = 0.0
    if out.shape[0] != n_rows or out.shape[1] != n_outputs:
        raise ValueError("The array for the decisions has the wrong shape.")
    with nogil:
        while row < n_rows:
            n_loaded = rows.load(row, n_rows, 1.0)
            rows.decisions()
            memcpy(&out[row, 0], rows.z, n_loaded * n_outputs * sizeof(double))
            row += n_loaded
            work += n_loaded * rows.cost_of_row
            if work > WORK_BETWEEN_SIGNALS:
                work = 0.0
                check_signals()
