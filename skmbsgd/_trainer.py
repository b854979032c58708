"""The loop over epochs, the rules that end it, and the history of a training."""

import math
import time
import warnings
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from skmbsgd._automatic import (
    FIRST_RISE,
    LATER_RISE,
    MAX_RESTARTS,
    RATE_DIVISOR,
    Cycles,
    certain_gain,
    initial_intercepts,
)
from skmbsgd._baseline import loss_of_best_constant, loss_of_zero
from skmbsgd._engine.epoch import compute_loss
from skmbsgd._exceptions import DivergenceError
from skmbsgd._state import make_model, mean_loss
from skmbsgd._threads import choose_n_threads, rows_of_threads, run_epoch_in_threads
from skmbsgd._warnings import stack_level_of_caller

# The attributes that hold a number for each epoch
TRAINING_CURVES = ("loss_curve_", "learning_rate_curve_")
VALIDATION_CURVES = ("validation_scores_", "validation_losses_")
CURVES = (*TRAINING_CURVES, *VALIDATION_CURVES)

EPOCHS_OF_A_DRAW = 64
# If the loss of a chunk is this many times that of a model with all weights 0, and that
# of all chunks before, it is not a drift. With a squared loss, a feature in units that
# make it a thousand times as large gives 1e6, and so does a rate from which training
# with a linear loss recovers. The end of a fit is compared with its start in the same
# way.
RISE_OF_DIVERGENCE = 1e9
# After a chunk with this rise, its loss is computed once more.
RISE_TO_LOOK_AT = 10.0
# Momentum remembers 1 / (1 - momentum) updates. A rise that lasts three times as long
# is not an oscillation.
MEMORIES_OF_PATIENCE = 3.0
# How far an objective may end above its best value, as a fraction of that value. Above
# the first, training continues. Above the second, a warning is given, because the noise
# of small batches and constant rates alone makes a tenth. A rise that is small compared
# with the loss of a constant does not count.
SHARE_OF_A_SWING = 0.1
SHARE_TO_WARN_OF = 0.2
SMALL_BESIDE_SHARE = 0.01
# A model is worse than a constant if its objective is this many times as large.
WORSE_THAN_CONSTANT = 1.01
# A warning is given if the lowest loss on validation data is this many times that of a
# constant. In random splits of 38 real tables it was at most 3.6 times, and with 20 or
# more rows at most 1.6 times, except for one split with an outlier.
FAR_ABOVE_CONSTANT = 4.0


class Trainer:
    """Trains the weights of a state by mini-batch SGD.

    Parameters
    ----------
    state : TrainingState
        Changed in place. The clocks are always those of the last update, the arrays are
        up to date after `store`.
    data : TrainingData
    loss : Loss
        The engine's.
    penalty : Penalty
    make_schedule : callable
        ``make_schedule(eta0)`` gives the schedule with this initial rate.
    eta0 : float
        The initial rate.
    begins_anew : bool, default=False
        Whether training restarts with a smaller initial rate if it gets worse than its
        start.
    columns : tuple of two ndarray, default=None
        Means and inverses of variances, to standardise the columns by.
    batch_size, momentum, nesterov, fit_intercept, shuffle, average, n_jobs
        As the parameters of the estimators.

    Attributes
    ----------
    history : History
        The epochs of `train`.
    rates : ndarray of shape (n_updates,)
        The rates of the last epoch's updates.
    first_averaged_batch : int
        The batch of the last epoch from which on updates are averaged; -1 for none.
    """

    rates = np.empty(0)
    first_averaged_batch = -1

    def __init__(
        self,
        state,
        data,
        loss,
        penalty,
        make_schedule,
        eta0,
        *,
        begins_anew=False,
        columns=None,
        batch_size,
        momentum,
        nesterov,
        fit_intercept,
        shuffle,
        average,
        n_jobs,
    ):
        self.state = state
        self.data = data
        self.loss = loss
        self.penalty = penalty
        self.make_schedule = make_schedule
        self.eta0 = eta0
        self.schedule = make_schedule(eta0)
        self.batch_size = data.rows_of_batch(batch_size)
        self.shuffle = shuffle
        self.average = int(average)
        self.momentum = momentum
        self.fit_intercept = fit_intercept
        self.guard = Guard(state) if begins_anew else None
        self.is_standardized = columns is not None
        self.make_model = partial(
            make_model,
            penalty=penalty,
            sparse=issparse(data.X),
            momentum=momentum,
            nesterov=nesterov,
            fit_intercept=fit_intercept,
            columns=columns,
        )
        self.n_threads = choose_n_threads(data, self.batch_size, n_jobs)
        self.history = History()
        self._make_rows()

    def _make_rows(self):
        """Rows for each thread, with models of the weights of the state."""
        self.state.continue_under(self.penalty)
        self.rows = rows_of_threads(
            self.data,
            self.state,
            self.make_model,
            self.n_threads,
            in_blocks=isinstance(self.shuffle, str) and self.shuffle == "blocks",
        )
        self.model = self.rows[0].model
        # Rows of one thread in the given order, created when they are needed
        self.rows_in_order = None

    def train(self, max_iter, patience, task, *, validation=None, verbose=False):
        """Run epochs until the objective or score stops improving or a callback stops.

        Parameters
        ----------
        max_iter : int
        patience : Patience
            Gets the objective of each epoch, or the score with the sign changed. Cycles
            of rates end without it.
        task : FitWithCallbacks or FitWithoutCallbacks
        validation : Validation, default=None
            ``validation(state, history)`` returns a score (larger is better) and a
            loss. ``validation.loss_of(constants)`` returns the loss of a model without
            weights.
        verbose : bool, default=False

        Returns
        -------
        state : TrainingState
            The state at the end; with validation, with the weights of the best epoch.
        """
        self.validation = validation
        self._begin()
        cut_short = False
        # Epochs before a restart do not count.
        while len(self.history.loss_curve) < max_iter:
            task.begin_epoch(self.snapshot)
            started = time.perf_counter()
            objective = self._run_accepted_epoch(patience)
            self.history.add_epoch(objective, self.state.last_rate)
            to_minimise = self._validate() if validation is not None else objective
            if verbose:
                self.history.report_epoch(time.perf_counter() - started)
            finished = self._is_finished(patience, objective, to_minimise)
            self._end_epoch(patience, finished)
            if task.end_epoch(self.snapshot) or finished:
                break
        else:
            cut_short = patience.tol is not None
        state = self._state_to_keep()
        objective = self._objective_at_end(state)
        self._refuse_end(objective)
        warn_of(self._fault_of(objective, patience, cut_short))
        return state

    def _begin(self):
        """Prepare for the first epoch."""
        self.best_state = None
        self._begin_history()
        self.start = self._objective_at_start()

    def _end_epoch(self, patience, finished):
        """Do the work after each epoch; `finished` says whether it was the last one."""

    def _state_to_keep(self):
        """The state to predict with, if training ends here."""
        self.store()
        if self.best_state is None:
            return self.state
        return self.state.with_weights_of(self.best_state)

    def _objective_at_start(self):
        """The objective before training; inf if it is 0 or unknown.

        It is not computed if nothing needs it and weights start at 0; then
        `loss_of_zero` gives it on demand.
        """
        starts_at_zero = not math.isinf(self.state.highest_loss)
        if self.guard is None and not self._has_cycles and starts_at_zero:
            return math.inf
        # For example, it is 0 for the perceptron.
        objective = self._objective_of(self.state.coef, self.state.intercept)
        return objective if objective > 0.0 else math.inf

    def _begin_history(self):
        self.history = History()
        if self.validation is not None:
            self.history.validation_scores = []
            self.history.validation_losses = []

    def _run_accepted_epoch(self, patience):
        """Run an epoch; restart each time that training gets worse than its start."""
        while self.guard is not None:
            try:
                objective = self.run_epoch()
            except DivergenceError:
                if self.guard.n_restarts == MAX_RESTARTS:
                    raise
                objective = math.inf
            is_first = not self.history.loss_curve
            if self.guard.accepts(objective, self.start, is_first):
                return objective
            self.guard.begin_anew(self.state)
            self.eta0 /= RATE_DIVISOR
            self.state.automatic_rate = self.eta0
            self.schedule = self.make_schedule(self.eta0)
            self.best_state = None
            self._begin_history()
            patience.forget()
            self._make_rows()
        return self.run_epoch()

    def _validate(self):
        """Score the weights, and keep the best; return the number to minimise."""
        self.store()
        score, loss = self.validation(self.state, self.history)
        # Weights within a cycle are noisier than at its end.
        is_candidate = not self._has_cycles or self.schedule.ends_with_next_epoch
        if self.history.add_score(score, loss, is_candidate):
            self.best_state = self.state.copy()
        return -score

    def _is_finished(self, patience, objective, to_minimise):
        """Whether training is finished before `max_iter`."""
        if self._has_cycles:
            return self._is_last_cycle(patience, objective, to_minimise)
        finished = patience.is_exhausted_by(to_minimise)
        if finished and self.schedule.lower(self.state):
            patience.renew()
            return False
        if finished and self.validation is None:
            return not patience.is_within_a_swing()
        return finished

    def _is_last_cycle(self, patience, objective, to_minimise):
        """The same for cycles of rates, which are judged at their ends."""
        if self.state.n_averaged == 0:  # A mean of weights has another objective.
            patience.is_exhausted_by(objective)
        if not self.schedule.count_epoch(objective):
            return False
        end = self._objective_now()
        patience.is_exhausted_by(end)
        judged = end if self.validation is None else to_minimise
        return self.schedule.is_finished_by(end, judged, self.start, self._gain_left)

    def _gain_left(self):
        """A lower bound of the gain, for columns of any scale; 0 if unknown."""
        has_parabola = self.loss.max_curvature is not None and self.penalty.l1 == 0.0
        if self.is_standardized or not has_parabola or self.validation is not None:
            return 0.0
        self.store()
        return self._certain_gain(*self.state.weights())

    def _certain_gain(self, coef, intercept):
        return certain_gain(
            self.data, self.loss, coef, intercept, self.penalty.l2, self.fit_intercept
        )

    @property
    def _has_cycles(self):
        return isinstance(self.schedule, Cycles)

    def _objective_now(self):
        """The training objective at the weights to predict with, after an epoch."""
        if self.state.n_averaged > 0:
            self.store()
            return self._objective_of(*self.state.weights())
        if self.rows_in_order is None:
            self.rows_in_order = self.data.rows_for(self.model)
        return compute_loss(self.rows_in_order, self.loss) + self.model.penalty_value

    def run_epoch(self):
        """Visit every row once, in batches; return the training objective."""
        state, n_batches = self.state, -(-self.data.n_rows // self.batch_size)
        rates = self.schedule.rates(state, n_batches)
        # The order of the rows does not matter in a single batch.
        if self.shuffle and n_batches > 1:
            self.rows[0].order.shuffle(seed_of_epoch(state.seed, state.n_epochs))
        return self._run(self.rows, rates, self.batch_size)

    def run_chunk(self):
        """Run an epoch over a chunk of a stream, and refuse a model that it ruined."""
        state, before = self.state, self.state.highest_loss
        objective = self.run_epoch()
        if state.highest_loss > RISE_TO_LOOK_AT * before:
            # The loss of a batch is computed before its update, so it does not include
            # the effect of the last or only update.
            after = compute_loss(self.data.rows_for(self.model), self.loss)
            self._refuse_rise(max(before, self.zero_loss), after)
        return objective

    def _refuse_rise(self, known, after):
        """Raise if the losses are too high for a drift, compared with a known loss."""
        bound = RISE_OF_DIVERGENCE * known
        # The loss of the perceptron is 0 at the start.
        if known > 0.0 and not (self.state.highest_loss <= bound and after <= bound):
            raise DivergenceError(
                f"Training diverged in epoch {self.state.n_epochs}: the mean loss of "
                f"the chunk is {self.state.highest_loss:.6g}, and {after:.6g} after "
                "training on it. The highest loss so far, or that of a model with all "
                f"weights 0, is {known:.6g}. {remedies(self.schedule)}"
            )

    def skip_epoch(self):
        """Count an epoch in which no row has a weight; return the penalty."""
        state = self.state
        state.last_rate = float(self.schedule.rates(state, 1)[0])
        state.n_epochs += 1
        return self._penalty_at(state.coef)

    def update(self, rows, rate):
        """Run an epoch of one update, a batch of these rows; return its objective.

        Only for trainers with one thread: it would not change the models of others.
        """
        batch = self.data.subset(rows).rows_for(self.model)
        return self._run([batch], np.array([rate]), len(rows))

    def _run(self, rows, rates, batch_size):
        """Have the engine run an epoch, and advance the clocks."""
        n_rows = rows[0].order.n_rows
        n_batches = -(-n_rows // batch_size)
        self.rates = rates if len(rates) > 1 else np.full(n_batches, rates[0])
        self.first_averaged_batch = self._first_averaged_batch(batch_size, n_rows)
        data_loss = run_epoch_in_threads(
            rows, self.loss, rates, batch_size, self.first_averaged_batch
        )
        return self._count_epoch(data_loss, rates, n_batches, n_rows)

    def _count_epoch(self, data_loss, rates, n_batches, n_rows):
        """Advance the clocks after an epoch; raise if numbers are not finite."""
        state = self.state
        objective = data_loss + self.model.penalty_value
        with np.errstate(over="ignore"):  # numbers of float64 stored in float32
            is_finite = math.isfinite(objective) and self.model.is_finite()
        if not is_finite:
            raise DivergenceError(
                f"Training diverged in epoch {state.n_epochs + 1}: the weights or the "
                f"loss became infinite or NaN. {remedies(self.schedule)}"
            )
        begins = math.isinf(state.highest_loss)
        state.highest_loss = max(data_loss, 0.0 if begins else state.highest_loss)
        if state.eta0 is None:
            state.eta0 = self._initial_rate(rates)
        state.n_averaged = self.model.n_averaged
        state.n_epochs += 1
        state.n_updates += n_batches
        state.n_samples += n_rows
        state.last_rate = float(rates[0])
        return objective

    def _initial_rate(self, rates):
        """The rate at which the schedule starts."""
        return float(self.schedule.parameters.get("eta0", rates[0]))

    @cached_property
    def constant_loss(self):
        """The objective of the best model without features."""
        best = loss_of_best_constant if self.fit_intercept else loss_of_zero
        return best(self.loss, self.data)

    @cached_property
    def constants(self):
        """The best constant decisions, or close to them; None if unknown."""
        if self.fit_intercept:
            return initial_intercepts(self.loss, self.data)
        return np.zeros(self.data.n_outputs)

    @property
    def zero_loss(self):
        """The loss of a model with all weights 0."""
        return loss_of_zero(self.loss, self.data)

    def unit_of_tol(self):
        """The unit of `tol`: the loss of the best constant, unless that is 0."""
        return self.constant_loss or self.zero_loss or 1.0

    def epochs_of_patience(self, n_iter_no_change):
        """Number of epochs without progress after which momentum is not the cause."""
        n_batches = -(-self.data.n_rows // self.batch_size)
        return self.epochs_of_updates(n_iter_no_change, n_batches)

    def epochs_of_updates(self, n_iter_no_change, n_batches):
        """The same for epochs of `n_batches` batches."""
        n_updates = round(MEMORIES_OF_PATIENCE / (1.0 - self.momentum))
        return max(n_iter_no_change, math.ceil(n_updates / n_batches))

    def _objective_at_end(self, state):
        """The training objective; exact if it may be above that of the best constant.

        The mean over the last epoch belongs to weights before the last update. So a
        large mean only means that the exact objective is computed. If there was only
        one update, the mean does not include its effect.
        """
        last = self.history.loss_curve[-1]
        is_low = last <= WORSE_THAN_CONSTANT * self.constant_loss
        if is_low and self.state.n_updates > 1:
            return last
        return self._objective_of(*state.weights())

    def _refuse_end(self, objective):
        """Raise if only divergence explains the objective."""
        if objective <= RISE_OF_DIVERGENCE * self.constant_loss:
            return
        known = self.zero_loss
        if math.isfinite(self.start):
            known = max(known, self.start)
        if known > 0.0 and not objective <= RISE_OF_DIVERGENCE * known:
            raise DivergenceError(
                f"Training diverged: after epoch {self.state.n_epochs} the objective "
                f"is {objective:.6g}; at the start, or with all weights 0, it is "
                f"{known:.6g}. {remedies(self.schedule)}"
            )

    def _fault_of(self, objective, patience, cut_short):
        """The worst fault at the end of a training, or None."""
        history = self.history
        # A constant without loss, as with the perceptron, is of no use here.
        if 0.0 < WORSE_THAN_CONSTANT * self.constant_loss < objective:
            return worse_than_constant(
                history.loss_curve, self.constant_loss, self.schedule
            )
        fault = None
        # The weights kept with scores are the best ones in any case.
        if self.validation is not None:
            fault = self._fault_on_validation_data()
        elif patience.is_above_best(SHARE_TO_WARN_OF):
            fault = above_best(patience, self.schedule)
        if fault is None and cut_short:
            fault = not_converged(len(history.loss_curve), patience)
        return fault

    def _fault_on_validation_data(self):
        """A message if even the best epoch is far worse than a constant, or None."""
        if self.constants is None:
            return None
        least = min(self.history.validation_losses)
        of_constants = self.validation.loss_of(np.array(self.constants))
        if 0.0 < FAR_ABOVE_CONSTANT * of_constants < least:
            return far_above_constant(least, of_constants)
        return None

    def _objective_of(self, coef, intercept):
        """The training objective at given weights."""
        return mean_loss(self.data, self.loss, coef, intercept) + self._penalty_at(coef)

    def _penalty_at(self, coef):
        """The penalty at given weights."""
        # Output by output: there may be no memory for another array of all weights.
        with np.errstate(over="ignore"):
            squares = sum(float((w.astype(np.float64) ** 2).sum()) for w in coef)
            absolutes = sum(float(np.abs(w, dtype=np.float64).sum()) for w in coef)
        return float(self.penalty.value(squares, absolutes))

    def _first_averaged_batch(self, batch_size, n_rows, n_before=0):
        """The batch from which on updates are averaged; -1 for none.

        `n_before` is the number of rows of the epoch before these.
        """
        if self.state.average_coef is None:
            return -1
        n_missing = max(self.average - self.state.n_samples - n_before, 1)
        return -1 if n_missing > n_rows else -(-n_missing // batch_size) - 1

    def store(self):
        """Bring the arrays of the state up to date."""
        self.model.store()

    def snapshot(self):
        """A copy of the state, and the history so far."""
        self.store()
        return self.state.copy(), self.history


class Guard:
    """Restarts training if it gets worse than its start.

    Parameters
    ----------
    state : TrainingState
        The start.
    """

    def __init__(self, state):
        # Most starts are 0, so many weights need not be copied.
        self.coef = state.coef.copy() if state.coef.any() else 0.0
        self.intercept = state.intercept.copy()
        self.highest_loss = state.highest_loss
        self.n_restarts = 0

    def accepts(self, objective, start, is_first):
        """Whether an epoch's objective is no reason to restart.

        The mean over the first epoch belongs to weights that still change a lot.
        """
        bound = FIRST_RISE if is_first else LATER_RISE
        return math.isfinite(objective) and (
            objective <= bound * start or self.n_restarts == MAX_RESTARTS
        )

    def begin_anew(self, state):
        """Reset a state to the start."""
        state.begin_anew(self.coef, self.intercept)
        state.highest_loss = self.highest_loss
        self.n_restarts += 1


@dataclass
class History:
    """The history of a training: one number of each kind per epoch.

    Attributes
    ----------
    loss_curve : list of float
        Training objectives.
    learning_rate_curve : list of float
        Rates of the first updates.
    validation_scores, validation_losses : list of float or None
        None without validation.
    best_validation_score : float
    """

    loss_curve: list[float] = field(default_factory=list)
    learning_rate_curve: list[float] = field(default_factory=list)
    validation_scores: Any = None
    validation_losses: Any = None
    best_validation_score: float = -math.inf

    def add_epoch(self, objective, rate):
        """Record an epoch."""
        self.loss_curve.append(objective)
        self.learning_rate_curve.append(rate)

    def add_score(self, score, loss, is_candidate=True):
        """Record the score of an epoch; return whether no candidate was better."""
        self.validation_scores.append(score)
        self.validation_losses.append(loss)
        # Of equal epochs the later one wins, because it has been trained for longer.
        is_best = is_candidate and score >= self.best_validation_score
        if is_best:
            self.best_validation_score = score
        return is_best

    def attributes(self):
        """The history as attributes of an estimator, in new lists."""
        attributes: dict[str, Any] = {
            "loss_curve_": list(self.loss_curve),
            "learning_rate_curve_": list(self.learning_rate_curve),
        }
        if self.validation_scores is not None:
            attributes["validation_scores_"] = list(self.validation_scores)
            attributes["validation_losses_"] = list(self.validation_losses)
        if self.validation_scores:
            # If there was no candidate, the last weights are kept.
            has_best = math.isfinite(self.best_validation_score)
            attributes["best_validation_score_"] = (
                self.best_validation_score if has_best else self.validation_scores[-1]
            )
        return attributes

    def report_epoch(self, seconds):
        """Print a line about the last epoch."""
        parts = [
            f"Epoch {len(self.loss_curve)}",
            f"learning rate {self.learning_rate_curve[-1]:.6g}",
            f"objective {self.loss_curve[-1]:.6g}",
        ]
        if self.validation_scores is not None:
            parts.append(f"validation score {self.validation_scores[-1]:.6g}")
        print(", ".join([*parts, f"{seconds:.3f} s"]))


class Patience:
    """Determines when an objective has stopped falling.

    It has stopped after ``n_epochs`` consecutive epochs with an objective above
    ``best - tol * unit``.

    Parameters
    ----------
    tol : float or None
        None for unlimited patience.
    n_epochs : int
    unit : float, default=1.0
    """

    def __init__(self, tol, n_epochs, unit=1.0):
        self.tol = tol
        self.n_epochs = n_epochs
        self.unit = unit
        self.forget()

    def forget(self):
        """Forget all objectives."""
        self.last = self.best = np.inf
        self.worst = -np.inf
        self.n_without_change = 0

    def is_exhausted_by(self, objective):
        """Record an epoch's objective; return whether patience is exhausted."""
        if self.tol is None or objective <= self.best - self.tol * self.unit:
            self.n_without_change = 0
        else:
            self.n_without_change += 1
        self.last = objective
        self.best, self.worst = min(self.best, objective), max(self.worst, objective)
        return self.n_without_change >= self.n_epochs

    def is_above_best(self, share):
        """Whether the last objective exceeds the best one by more than a fraction."""
        small = max(self.tol or 0.0, SMALL_BESIDE_SHARE * share) * self.unit
        return self.last > self.best + max(share * abs(self.best), small)

    def is_within_a_swing(self):
        """Whether the objective is above its best value, and may fall again."""
        # If it is at its worst when patience ends, it only gets worse.
        return self.is_above_best(SHARE_OF_A_SWING) and self.last < self.worst

    def renew(self):
        """Restart the count."""
        self.n_without_change = 0


def warn_of(fault):
    """Warn of the fault of a training, if there is one."""
    if fault is not None:
        warnings.warn(fault, ConvergenceWarning, stacklevel=stack_level_of_caller())


def worse_than_constant(loss_curve, constant_loss, schedule):
    """The message that a model is worse than a constant, and what to do."""
    last = loss_curve[-1]
    falls = len(loss_curve) > 1 and last <= min(loss_curve)
    return (
        f"Training ended with an objective of {last:.6g}, above that of the best "
        f"constant prediction, {constant_loss:.6g}: the model is worse than a "
        "constant. "
        + ("Increase max_iter, or scale the features." if falls else remedies(schedule))
    )


def far_above_constant(loss, constant_loss):
    """The message that no epoch was useful on validation data, and what to do."""
    return (
        f"The lowest loss on validation data, {loss:.6g}, is "
        f"{loss / constant_loss:.0f} times that of a constant prediction, "
        f"{constant_loss:.6g}: the model is worse than a constant there. If you passed "
        "X_val, check that it has had the transformations of X. A Pipeline does not "
        "transform X_val unless it is made "
        'with transform_input=["X_val"].'
    )


def above_best(patience, schedule):
    """The message that training ended clearly above its best, and what to do."""
    return (
        f"Training ended with an objective of {patience.last:.6g}, clearly above its "
        f"best value, {patience.best:.6g}. {remedies(schedule)} Or increase max_iter."
    )


def not_converged(max_iter, patience):
    """The message that training stopped at `max_iter`, and what to do."""
    return (
        f"Training stopped at max_iter={max_iter} epochs, before its progress fell "
        f"below tol={patience.tol}. Increase max_iter, scale the features, or set "
        "tol=None to always run max_iter epochs."
    )


def remedies(schedule):
    """The advice against divergence."""
    return (
        f"Try {schedule.remedy()} or a smaller momentum, or scale the features, for "
        "example with sklearn.preprocessing.StandardScaler."
    )


def seed_of_epoch(seed, epoch):
    """The seed of an epoch's row order, a function of the model's seed and the epoch.

    Seeds are drawn for many epochs at once. After an epoch NumPy's code is no longer in
    the cache, and drawing a single number takes 0.06 ms.
    """
    draw, place = divmod(epoch, EPOCHS_OF_A_DRAW)
    return seeds_of_epochs(seed, draw)[place]


@lru_cache(maxsize=16)
def seeds_of_epochs(seed, draw):
    """Seeds of EPOCHS_OF_A_DRAW consecutive epochs."""
    sequence = np.random.SeedSequence([seed, draw])
    return sequence.generate_state(EPOCHS_OF_A_DRAW, np.uint64).tolist()
