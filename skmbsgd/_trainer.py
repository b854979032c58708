"""The loop over epochs: what moves a model, and what ends its training."""

import math
import time
import warnings
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from skmbsgd._baseline import loss_of_best_constant, loss_of_zero
from skmbsgd._exceptions import DivergenceError
from skmbsgd._state import make_model, mean_loss
from skmbsgd._threads import choose_n_threads, rows_of_threads, run_epoch_in_threads
from skmbsgd._warnings import stack_level_of_caller

EPOCHS_OF_A_DRAW = 64
# A chunk whose loss is so many times that of the model that is 0, and of all chunks
# before, is no drift: a feature in other units, a thousand times as large, brings 1e6
# with a squared loss, and so does a rate from which a linear loss recovers.
RISE_OF_DIVERGENCE = 1e9
# After a chunk with such a rise its loss is looked at once more.
RISE_TO_LOOK_AT = 10.0
# Momentum remembers 1 / (1 - momentum) updates: an upswing that lasts three times as
# long is no part of a swing.
MEMORIES_OF_PATIENCE = 3.0
# How far above its best an objective may end, as a share of it: patience goes on beyond
# the first, and a warning says so beyond the second, as the noise of small batches and
# constant rates alone brings a tenth. What is small beside the loss of a constant is
# no rise.
SHARE_OF_A_SWING = 0.1
SHARE_TO_WARN_OF = 0.2
SMALL_BESIDE_SHARE = 0.01
# A model is worse than a constant if its objective is so many times as large.
WORSE_THAN_CONSTANT = 1.01


class Trainer:
    """Moves the weights of a state by mini-batch SGD.

    Parameters
    ----------
    state : TrainingState
        Moved in place. The clocks always stand at the last update; the arrays do after
        `store`.
    data : TrainingData
    loss : Loss
        The engine's.
    penalty : Penalty
    schedule : EpochSchedule, or a class derived from it
        Gives each update its learning rate.
    batch_size, momentum, nesterov, fit_intercept, shuffle, average, n_jobs
        As the parameters of the estimators.

    Attributes
    ----------
    history : History
        Of the epochs of `train`.
    """

    def __init__(
        self,
        state,
        data,
        loss,
        penalty,
        schedule,
        *,
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
        self.schedule = schedule
        self.batch_size = (
            data.n_rows if batch_size == "full" else min(batch_size, data.n_rows)
        )
        self.shuffle = shuffle
        self.average = int(average)
        self.momentum = momentum
        self.fit_intercept = fit_intercept
        state.continue_under(penalty)
        self.rows = rows_of_threads(
            data,
            state,
            partial(
                make_model,
                penalty=penalty,
                sparse=issparse(data.X),
                momentum=momentum,
                nesterov=nesterov,
                fit_intercept=fit_intercept,
            ),
            choose_n_threads(data, self.batch_size, n_jobs),
            in_blocks=isinstance(shuffle, str) and shuffle == "blocks",
        )
        self.model = self.rows[0].model
        self.history = History()

    def train(self, max_iter, patience, task, *, validation=None, verbose=False):
        """Run epochs until objective or score stop improving, or a callback asks.

        Parameters
        ----------
        max_iter : int
        patience : Patience
            Is shown the objective of each epoch, or the score with the sign changed.
        task : FitWithCallbacks or FitWithoutCallbacks
        validation : Validation, default=None
            ``validation(state, history)`` gives a score, the larger the better, and a
            loss.
        verbose : bool, default=False

        Returns
        -------
        state : TrainingState
            The state at the end; with validation, with the weights of the best epoch.
        """
        history = self.history
        best_state = None
        cut_short = False
        if validation is not None:
            history.validation_scores, history.validation_losses = [], []
        for _ in range(max_iter):
            task.begin_epoch(self.snapshot)
            started = time.perf_counter()
            objective = to_minimise = self.run_epoch()
            history.add_epoch(objective, self.state.last_rate)
            if validation is not None:
                self.store()
                score, loss = validation(self.state, history)
                if history.add_score(score, loss):
                    best_state = self.state.copy()
                to_minimise = -score
            if verbose:
                history.report_epoch(time.perf_counter() - started)
            finished = patience.is_exhausted_by(to_minimise)
            if finished and self.schedule.lower(self.state):
                patience.renew()
                finished = False
            if finished and validation is None:
                finished = not patience.is_within_a_swing()
            if task.end_epoch(self.snapshot) or finished:
                break
        else:
            cut_short = patience.tol is not None
        self.store()
        state = self.state
        if best_state is not None:
            state = state.with_weights_of(best_state)
        warn_of(self._fault_of(state, patience, cut_short))
        return state

    def run_epoch(self):
        """Visit every row once, in batches; return the training objective."""
        state, n_batches = self.state, -(-self.data.n_rows // self.batch_size)
        rates = self.schedule.rates(state, n_batches)
        # In a single batch the order of rows does not matter.
        if self.shuffle and n_batches > 1:
            self.rows[0].order.shuffle(seed_of_epoch(state.seed, state.n_epochs))
        return self._run(self.rows, rates, self.batch_size)

    def run_chunk(self):
        """Run an epoch over a chunk of a stream, and refuse a model that it ruined."""
        state, before = self.state, self.state.highest_loss
        objective = self.run_epoch()
        if state.highest_loss > RISE_TO_LOOK_AT * before:
            self.store()
            # A batch tells its loss before its update: the last update, or the only
            # one, would go unnoticed.
            after = mean_loss(self.data, self.loss, state.coef, state.intercept)
            self._refuse_rise(max(before, loss_of_zero(self.loss, self.data)), after)
        return objective

    def _refuse_rise(self, known, after):
        """Refuse losses that no drift explains, given one that does not surprise."""
        bound = RISE_OF_DIVERGENCE * known
        # The perceptron's loss is 0 to begin with.
        if known > 0.0 and not (self.state.highest_loss <= bound and after <= bound):
            raise DivergenceError(
                f"Training diverged in epoch {self.state.n_epochs}: the chunk's mean "
                f"loss is {self.state.highest_loss:.6g}, and {after:.6g} at its end; "
                "the highest so far, or that of a model that is 0, is "
                f"{known:.6g}. {remedies(self.schedule)}"
            )

    def skip_epoch(self):
        """Count an epoch in which no row has a weight; return the penalty."""
        state = self.state
        state.last_rate = float(self.schedule.rates(state, 1)[0])
        state.n_epochs += 1
        return self._penalty_at(state.coef)

    def update(self, rows, rate):
        """Run an epoch of one update, a batch of these rows; return its objective.

        For trainers with one thread: the models of others would not hear of it.
        """
        batch = self.data.subset(rows).rows_for(self.model)
        return self._run([batch], np.array([rate]), len(rows))

    def _run(self, rows, rates, batch_size):
        """Have the engine run an epoch, and set the clocks forward."""
        state, n_rows = self.state, rows[0].order.n_rows
        n_batches = -(-n_rows // batch_size)
        first_averaged_batch = self._first_averaged_batch(batch_size, n_rows)
        data_loss = run_epoch_in_threads(
            rows, self.loss, rates, batch_size, first_averaged_batch
        )
        objective = data_loss + self.model.penalty_value
        if not (math.isfinite(objective) and self.model.is_finite()):
            raise DivergenceError(
                f"Training diverged in epoch {state.n_epochs + 1}: the weights or the "
                f"loss became infinite or NaN. {remedies(self.schedule)}"
            )
        begins = math.isinf(state.highest_loss)
        state.highest_loss = max(data_loss, 0.0 if begins else state.highest_loss)
        state.n_averaged = self.model.n_averaged
        state.n_epochs += 1
        state.n_updates += n_batches
        state.n_samples += n_rows
        state.last_rate = float(rates[0])
        return objective

    @cached_property
    def constant_loss(self):
        """The objective of the best model without features."""
        best = loss_of_best_constant if self.fit_intercept else loss_of_zero
        return best(self.loss, self.data)

    def unit_of_tol(self):
        """What `tol` is a share of: the loss of a constant, as far as that is not 0."""
        return self.constant_loss or loss_of_zero(self.loss, self.data) or 1.0

    def epochs_of_patience(self, n_iter_no_change):
        """So many epochs without progress that momentum cannot explain them."""
        n_updates = round(MEMORIES_OF_PATIENCE / (1.0 - self.momentum))
        n_batches = -(-self.data.n_rows // self.batch_size)
        return max(n_iter_no_change, math.ceil(n_updates / n_batches))

    def _fault_of(self, state, patience, cut_short):
        """What is wrong with the end of a training, the worst first, or None."""
        history = self.history
        if self._is_worse_than_constant(state):
            return worse_than_constant(
                history.loss_curve, self.constant_loss, self.schedule
            )
        # The weights kept with scores are the best ones in any case.
        if history.validation_scores is None and patience.is_above_best(
            SHARE_TO_WARN_OF
        ):
            return above_best(patience, self.schedule)
        if cut_short:
            return not_converged(len(history.loss_curve), patience)
        return None

    def _is_worse_than_constant(self, state):
        """Whether the objective of a model is above that of the best constant."""
        bound = WORSE_THAN_CONSTANT * self.constant_loss
        # The mean over an epoch begins with weights that are not the last ones, so that
        # it is only a reason to look.
        if bound == 0.0 or not self.history.loss_curve[-1] > bound:
            return False
        return self._objective_of(*state.weights()) > bound

    def _objective_of(self, coef, intercept):
        """The training objective at given weights."""
        return mean_loss(self.data, self.loss, coef, intercept) + self._penalty_at(coef)

    def _penalty_at(self, coef):
        """The penalty at given weights."""
        coef = coef.astype(np.float64)
        return float(self.penalty.value((coef**2).sum(), np.abs(coef).sum()))

    def _first_averaged_batch(self, batch_size, n_rows):
        """The batch of the epoch from which on updates are averaged; -1 for none."""
        if self.state.average_coef is None:
            return -1
        n_missing = max(self.average - self.state.n_samples, 1)
        return -1 if n_missing > n_rows else -(-n_missing // batch_size) - 1

    def store(self):
        """Bring the arrays of the state up to date."""
        self.model.store()

    def snapshot(self):
        """The state in arrays of its own, and the history so far."""
        self.store()
        return self.state.copy(), self.history


@dataclass
class History:
    """What the epochs of a training brought, a number each.

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
        """Take down an epoch."""
        self.loss_curve.append(objective)
        self.learning_rate_curve.append(rate)

    def add_score(self, score, loss):
        """Take down the score of an epoch; tell whether none before was better."""
        self.validation_scores.append(score)
        self.validation_losses.append(loss)
        # Of equals the later one, which has been trained for longer
        is_best = score >= self.best_validation_score
        if is_best:
            self.best_validation_score = score
        return is_best

    def attributes(self):
        """The same as attributes of an estimator, in lists of their own."""
        attributes: dict[str, Any] = {
            "loss_curve_": list(self.loss_curve),
            "learning_rate_curve_": list(self.learning_rate_curve),
        }
        if self.validation_scores is not None:
            attributes["validation_scores_"] = list(self.validation_scores)
            attributes["validation_losses_"] = list(self.validation_losses)
        if self.validation_scores:
            attributes["best_validation_score_"] = self.best_validation_score
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
    """Tells when an objective has stopped falling.

    An epoch with an objective above ``best - tol * unit`` is one too many once
    ``n_epochs`` of them have come in a row.

    Parameters
    ----------
    tol : float or None
        None for a patience without end.
    n_epochs : int
    unit : float, default=1.0
    """

    def __init__(self, tol, n_epochs, unit=1.0):
        self.tol = tol
        self.n_epochs = n_epochs
        self.unit = unit
        self.last = self.best = np.inf
        self.worst = -np.inf
        self.n_without_change = 0

    def is_exhausted_by(self, objective):
        """Take one epoch's objective; tell whether it was one too many."""
        if self.tol is None or objective <= self.best - self.tol * self.unit:
            self.n_without_change = 0
        else:
            self.n_without_change += 1
        self.last = objective
        self.best, self.worst = min(self.best, objective), max(self.worst, objective)
        return self.n_without_change >= self.n_epochs

    def is_above_best(self, share):
        """Whether the last objective is above the best one by more than a share."""
        small = max(self.tol or 0.0, SMALL_BESIDE_SHARE * share) * self.unit
        return self.last > self.best + max(share * abs(self.best), small)

    def is_within_a_swing(self):
        """Whether the objective is up, and may come down again."""
        # One that is at its worst after all of the patience only gets worse.
        return self.is_above_best(SHARE_OF_A_SWING) and self.last < self.worst

    def renew(self):
        """Begin to count anew."""
        self.n_without_change = 0


def warn_of(fault):
    """Warn of the fault of a training, if there is one."""
    if fault is not None:
        warnings.warn(fault, ConvergenceWarning, stacklevel=stack_level_of_caller())


def worse_than_constant(loss_curve, constant_loss, schedule):
    """That a model is worse than none, and what to do."""
    last = loss_curve[-1]
    falls = len(loss_curve) > 1 and last <= min(loss_curve)
    return (
        f"Training ended with an objective of {last:.6g}, above that of a constant "
        f"prediction, {constant_loss:.6g}: the model is worse than none. "
        + ("Increase max_iter, or scale the features." if falls else remedies(schedule))
    )


def above_best(patience, schedule):
    """That training ended on an upswing, and what to do."""
    return (
        f"Training ended with an objective of {patience.last:.6g}, clearly above its "
        f"best one, {patience.best:.6g}. {remedies(schedule)} Or increase max_iter."
    )


def not_converged(max_iter, patience):
    """That training was cut short, and what to do."""
    return (
        f"max_iter={max_iter} epochs ended before the improvement per epoch fell below "
        f"tol={patience.tol}. Increase max_iter, scale the features, or set tol=None "
        "to always run max_iter epochs."
    )


def remedies(schedule):
    """What to try against divergence."""
    return (
        f"Try {schedule.remedy()} or a smaller momentum, or scale the features, for "
        "example with sklearn.preprocessing.StandardScaler."
    )


def seed_of_epoch(seed, epoch):
    """The seed of an epoch's row order, a function of the model's seed and the epoch.

    Drawn for many epochs at once: after an epoch NumPy's code has left the cache, and
    to draw a single number takes 0.06 ms.
    """
    draw, place = divmod(epoch, EPOCHS_OF_A_DRAW)
    return seeds_of_epochs(seed, draw)[place]


@lru_cache(maxsize=16)
def seeds_of_epochs(seed, draw):
    """Seeds of EPOCHS_OF_A_DRAW consecutive epochs."""
    sequence = np.random.SeedSequence([seed, draw])
    return sequence.generate_state(EPOCHS_OF_A_DRAW, np.uint64).tolist()
