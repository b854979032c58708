"""Training in passes over chunks, and what is needed to resume it."""

import zlib
from numbers import Integral
from typing import Any

import numpy as np

from skmbsgd._baseline import loss_of_best_constant, loss_of_constant, loss_of_zero
from skmbsgd._engine.epoch import begin_epoch, compute_loss, end_epoch, run_part
from skmbsgd._state import make_model_at_rest
from skmbsgd._stored import (
    fault_of_entries,
    fault_of_stored,
    is_array_of_floats,
    is_count,
    is_finite_size,
    is_flag,
    is_number,
    is_positive_count,
    is_size,
    numbers,
)
from skmbsgd._threads import members_of_threads, rows_of_members, run_in_threads
from skmbsgd._trainer import Trainer, seed_of_epoch

# What must be the same when training is resumed
SETTINGS = (
    "batch_size",
    "average",
    "standardize",
    'eta0="auto"',
    'learning_rate="auto"',
)
# Attributes that a later pass depends on, and what they must be
OF_FIRST_PASS: dict[str, Any] = {
    "n_rows": is_positive_count,
    "n_batches": is_positive_count,
    "longest": is_positive_count,
    "last": is_positive_count,
    "is_weighted": is_flag,
    "given_scale": numbers(tuple, 2, is_finite_size),
    "scale": numbers(tuple, 2, is_finite_size),
    "constants": numbers(tuple),
    "constant_loss": is_number,
    "zero_loss": is_number,
}
OF_PATIENCE: dict[str, Any] = {
    "last": is_number,
    "best": is_number,
    "worst": is_number,
    "n_without_change": is_count,
}
OF_CYCLES: dict[str, Any] = {
    "peak": is_finite_size,
    "length": is_positive_count,
    "epoch": is_count,
    "highest": is_number,
    "ends": numbers(list),
    "judged": numbers(list),
}
OF_GUARD: dict[str, Any] = {
    "coef": lambda value: is_number(value) or is_array_of_floats(value),
    "intercept": is_array_of_floats,
    "highest_loss": is_size,
    "n_restarts": is_count,
}


def is_eta0(value):
    """Whether the value can be the initial rate; some schedules do not need one."""
    return value == "auto" if isinstance(value, str) else is_finite_size(value)


def is_setting(value):
    """Whether the value can be one of SETTINGS."""
    return isinstance(value, (Integral, np.bool_, str))


# The entries of an unfinished training
KINDS: dict[str, Any] = {
    "n_updates": is_count,
    "checksum": is_count,
    "first_pass": OF_FIRST_PASS,
    "is_sparse": is_flag,
    "has_weights": is_flag,
    "eta0": is_eta0,
    "start": is_number,
    "patience": OF_PATIENCE,
    "cycles": OF_CYCLES,
    "guard": OF_GUARD,
    "best_validation_score": is_number,
    "state": lambda value: isinstance(value, dict),
    "lost_by_store": lambda value: isinstance(value, dict),
    "settings": dict.fromkeys(SETTINGS, is_setting),
}
# Those that an unfinished training may be without
OPTIONAL = ("cycles", "guard", "state")


class PassTrainer(Trainer):
    """Trains the weights of a state in passes over chunks. Each pass is an epoch.

    Parameters
    ----------
    state, data, ...
        As for Trainer; the data are ChunkedData.

    Attributes
    ----------
    make_patience : callable
        Makes a Patience that knows the first pass; to be set before `train`.
    max_iter : int
        The number of passes, as for `train`; to be set before it.
    publish : callable
        ``publish(state, history, unfinished)`` is called after each pass; to be set
        before `train`. See `unfinished`.
    """

    make_patience: Any
    max_iter: Any
    publish: Any
    unfinished: Any = None

    def __init__(self, state, data, *args, batch_size, **settings):
        super().__init__(state, data, *args, batch_size=batch_size, **settings)
        self.batch_size_asked = batch_size

    def _make_rows(self):
        state, penalty = self.state, self.penalty
        # Positions that training has stored are valid, whatever their thresholds are.
        if state.positions is None or state.penalty != (penalty.l2, penalty.l1):
            state.continue_under(penalty)
        self.members = members_of_threads(self.state, self.make_model, self.n_threads)
        self.model = self.members[0][0]

    # A pass

    def run_epoch(self):
        rates = self._rates_expected()
        self._begin_epoch(rates)
        totals = [0.0] * self.n_threads
        n_batches = n_rows = 0
        first_rates = None
        for number, part in self.data.read(self.state.n_epochs):
            batch_size = part.rows_of_batch(self.batch_size_asked)
            n_of_part = -(-part.n_rows // batch_size)
            rates_of_part = self._rates_of_part(rates, n_batches, n_of_part)
            if self._has_cycles:
                rates_of_part[-1] *= self._share_of_last(part.n_rows)
            if first_rates is None:
                first_rates = rates_of_part
            arguments = (
                self.loss,
                rates_of_part,
                batch_size,
                self._first_averaged_batch(batch_size, part.n_rows, n_before=n_rows),
            )
            rows = self._rows_of(part, number, n_of_part)
            totals = run_in_threads(
                run_part,
                [(r, *arguments, t) for r, t in zip(rows, totals, strict=True)],
            )
            n_batches += n_of_part
            n_rows += part.n_rows
        end_epoch(self.model)
        self._learn_from_targets()
        of_first, *of_others = (total / n_rows for total in totals)
        return self._count_epoch(
            of_first + sum(of_others), first_rates, n_batches, n_rows
        )

    def _rates_expected(self):
        """Rates of a pass like the first one; a single one if they do not differ."""
        known = self.data.first_pass
        return self.schedule.rates(self.state, 1 if known is None else known.n_batches)

    def _begin_epoch(self, rates):
        """Begin an epoch in the engine, with the expected batches and rates."""
        known = self.data.first_pass
        if known is None:
            first_averaged = self._first_averaged_batch(self.batch_size, n_rows=1)
            begin_epoch(self.model, rates, -1, first_averaged)
            return
        if self._has_cycles:
            rates = rates.copy()
            rates[-1] *= self._share_of_last(known.last)
        first_averaged = self._first_averaged_batch(self.batch_size, known.n_rows)
        begin_epoch(self.model, rates, known.n_batches, first_averaged)

    def _rates_of_part(self, rates, first, n_updates):
        """The rates of `n_updates` updates, from update `first` of the epoch on."""
        if not self.schedule.counts_updates:
            return rates
        stop = first + n_updates
        if self._has_cycles:  # If a pass is longer than the first, the last rate stays.
            return rates[np.minimum(np.arange(first, stop), len(rates) - 1)]
        if stop <= len(rates):
            return rates[first:stop]
        return self.schedule.rates(self.state, n_updates, first)

    def _share_of_last(self, n_rows):
        """The size of the last batch of `n_rows` rows, relative to the others."""
        return min(1.0, ((n_rows - 1) % self.batch_size + 1) / self.batch_size)

    def _rows_of(self, part, number, n_batches):
        """Rows of a chunk for each thread, shuffled if the order matters."""
        in_blocks = isinstance(self.shuffle, str) and self.shuffle == "blocks"
        rows = rows_of_members(part, self.members, in_blocks=in_blocks)
        if self.shuffle and n_batches > 1:
            seed = seed_of_part(self.state.seed, self.state.n_epochs, number)
            rows[0].order.shuffle(seed)
        return rows

    def _learn_from_targets(self):
        """Compute what depends on all targets, if they are known, and forget them."""
        if self.data.targets is None:
            return
        known, targets, best = self.data.first_pass, self.data.targets, loss_of_zero
        if self.fit_intercept:
            best = loss_of_best_constant
        known.constant_loss = best(self.loss, targets)
        known.zero_loss = loss_of_zero(self.loss, targets)
        known.constants = tuple(map(float, super().constants))
        self.data.targets = None
        self.batch_size = self.data.rows_of_batch(self.batch_size_asked)

    # What depends on all of the data

    @property
    def constant_loss(self):
        known = self.data.first_pass
        return 0.0 if known is None else known.constant_loss

    @property
    def constants(self):
        known = self.data.first_pass
        return None if known is None else known.constants

    @property
    def zero_loss(self):
        known = self.data.first_pass
        return 0.0 if known is None else known.zero_loss

    def unit_of_tol(self):
        known = self.data.first_pass
        return 1.0 if known is None else known.constant_loss or known.zero_loss or 1.0

    def epochs_of_patience(self, n_iter_no_change):
        known = self.data.first_pass
        if known is None:
            return n_iter_no_change
        return self.epochs_of_updates(n_iter_no_change, known.n_batches)

    def _objective_of(self, coef, intercept):
        if self.data.targets is not None and not coef.any():  # without a penalty then
            return loss_of_constant(self.loss, self.data.targets, intercept)
        return self._mean_loss_at(coef, intercept) + self._penalty_at(coef)

    def _mean_loss_at(self, coef, intercept):
        model = make_model_at_rest(coef, intercept, sparse=self.data.is_sparse)
        return self._mean_loss_under(model)

    def _objective_now(self):
        if self.state.n_averaged > 0:
            return super()._objective_now()
        return self._mean_loss_under(self.model) + self.model.penalty_value

    def _mean_loss_under(self, model):
        """The mean loss over the rows of pass 0, which are read without training."""
        total, n_rows = 0.0, 0
        for _, part in self.data.read(0):
            total += compute_loss(part.rows_for(model), self.loss) * part.n_rows
            n_rows += part.n_rows
        return total / n_rows

    def _objective_at_end(self, state):
        if self.data.source.is_iterator:
            return self.history.loss_curve[-1]
        return super()._objective_at_end(state)

    # After a pass

    def _begin(self):
        if self.unfinished is None:
            super()._begin()
            self._learn_from_targets()
            return
        self.history = self.resumed_history
        self.best_state = self.resumed_best_state
        self.start = self.unfinished["start"]

    def _is_finished(self, patience, objective, to_minimise):
        known = self.make_patience()
        patience.unit, patience.n_epochs = known.unit, known.n_epochs
        return super()._is_finished(patience, objective, to_minimise)

    def _end_epoch(self, patience, finished):
        kept = self._state_to_keep().copy()
        unfinished = None if finished else self._what_is_unfinished(patience, kept)
        self.publish(kept, self.history, unfinished)

    def _what_is_unfinished(self, patience, kept):
        """What is needed to continue, besides the attributes of the estimator.

        It is a dict of numbers, lists of numbers and arrays.
        """
        guard, schedule = self.guard, self.schedule
        return {
            "n_updates": self.state.n_updates,
            "checksum": checksum(*kept.weights()),
            "first_pass": self.data.first_pass.as_dict(),
            "is_sparse": self.data.is_sparse,
            "has_weights": self.data.has_weights,
            "eta0": self.eta0,
            "start": self.start,
            "patience": {name: getattr(patience, name) for name in OF_PATIENCE},
            "cycles": (
                {name: copied(getattr(schedule, name)) for name in OF_CYCLES}
                if self._has_cycles
                else None
            ),
            "guard": (
                {name: getattr(guard, name) for name in OF_GUARD} if guard else None
            ),
            "best_validation_score": self.history.best_validation_score,
            "state": None if self.validation is None else vars(self.state.copy()),
            "lost_by_store": self._lost_by_store(),
        }

    def _lost_by_store(self):
        """What is needed to continue bit for bit.

        After the last pass it is left out for records, because they take several times
        the memory of the weights. Training that is resumed then has rounding errors.
        """
        is_done = len(self.history.loss_curve) >= self.max_iter
        return {} if is_done and self.data.is_sparse else self.model.lost_by_store()

    def resume(self, unfinished, history, best_state):
        """Restore what `unfinished` holds, so that `train` continues from there."""
        self.unfinished = unfinished
        self.resumed_history, self.resumed_best_state = history, best_state
        if self.guard is not None and unfinished["guard"] is not None:
            vars(self.guard).update(unfinished["guard"])
        if unfinished["cycles"] is not None:
            for name, value in unfinished["cycles"].items():
                setattr(self.schedule, name, copied(value))
            self.schedule.n_left -= len(history.loss_curve)
            # The last cycle ended with the last pass allowed then.
            if self.schedule.epoch == self.schedule.length:
                self.schedule.begin_next_cycle(unfinished["start"])
        for model, _ in self.members:
            model.restore(unfinished["lost_by_store"])


def copied(value):
    """A copy of a list, or the same number."""
    return list(value) if isinstance(value, list) else value


def checksum(coef, intercept):
    """A checksum that reveals edited weights."""
    return zlib.crc32(intercept.tobytes(), zlib.crc32(coef.tobytes()))


def seed_of_part(seed, epoch, number):
    """The seed for the order of a chunk's rows; for the first chunk, that of `fit`."""
    if number == 0:
        return seed_of_epoch(seed, epoch)
    sequence = np.random.SeedSequence([seed, epoch, number])
    return int(sequence.generate_state(1, np.uint64)[0])


def fault_of_unfinished(unfinished, shape):
    """The fault in a training to be resumed, which users may have changed.

    Models check `lost_by_store` themselves.

    Parameters
    ----------
    unfinished : dict
    shape : tuple of two ints
        That of the weights.

    Returns
    -------
    fault : str or None
    """
    if not isinstance(unfinished, dict):
        return f"it is of type {type(unfinished).__name__}, not a dict"
    absent = {name for name in OPTIONAL if unfinished.get(name, 0) is None}
    kinds = {name: is_none if name in absent else KINDS[name] for name in KINDS}
    fault = fault_of_entries(unfinished, kinds)
    if fault is not None:
        return fault
    guard, cycles = unfinished["guard"], unfinished["cycles"]
    if cycles is not None and (
        cycles["epoch"] > cycles["length"]
        or (cycles["epoch"] == cycles["length"] and not cycles["ends"])
    ):
        return f"in cycles, epoch is {cycles['epoch']!r}"
    if guard is not None and not (
        np.shape(guard["coef"]) in ((), shape)
        and np.shape(guard["intercept"]) == shape[:1]
    ):
        return "in guard, coef or intercept has another shape"
    state = unfinished["state"]
    if state is None:
        return None
    if np.shape(state.get("coef")) != shape or "velocity" not in state:
        return f"in state, coef is not of shape {shape}, or there is no velocity"
    return fault_of_stored(state, shape[1])


def is_none(value):
    """Whether the value is None."""
    return value is None
