"""The loop over epochs: what moves a model, and what ends its training."""

import math
import time
import warnings
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from skmbsgd._state import make_model
from skmbsgd._threads import choose_n_threads, rows_of_threads, run_epoch_in_threads
from skmbsgd._warnings import stack_level_of_caller

EPOCHS_OF_A_DRAW = 64
# An objective that rises in every one of so many epochs, to so many times its first
# value, diverges.
EPOCHS_OF_DIVERGENCE = 6
RISE_OF_DIVERGENCE = 2.0


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
            if task.end_epoch(self.snapshot) or finished:
                break
        else:
            warn_if_not_converged(max_iter, patience)
        warn_if_worse(history.loss_curve, self.schedule)
        self.store()
        if best_state is None:
            return self.state
        return self.state.with_weights_of(best_state)

    def run_epoch(self):
        """Visit every row once, in batches; return the training objective."""
        state, n_batches = self.state, -(-self.data.n_rows // self.batch_size)
        rates = self.schedule.rates(state, n_batches)
        # In a single batch the order of rows does not matter.
        if self.shuffle and n_batches > 1:
            self.rows[0].order.shuffle(seed_of_epoch(state.seed, state.n_epochs))
        return self._run(self.rows, rates, self.batch_size)

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
            raise ValueError(
                f"Training diverged in epoch {state.n_epochs + 1}: the weights or the "
                f"loss became infinite or NaN. {remedies(self.schedule)}"
            )
        state.n_averaged = self.model.n_averaged
        state.n_epochs += 1
        state.n_updates += n_batches
        state.n_samples += n_rows
        state.last_rate = float(rates[0])
        return objective

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
    """Tells when an objective has stopped falling, as in scikit-learn's SGD.

    An epoch with an objective above ``best - tol`` is one too many once
    ``n_iter_no_change`` of them have come in a row.
    """

    def __init__(self, tol, n_iter_no_change):
        self.tol = -np.inf if tol is None else tol
        self.n_iter_no_change = n_iter_no_change
        self.best = np.inf
        self.n_without_change = 0

    def is_exhausted_by(self, objective):
        """Take one epoch's objective; tell whether it was one too many."""
        if objective > self.best - self.tol:
            self.n_without_change += 1
        else:
            self.n_without_change = 0
        self.best = min(self.best, objective)
        return self.n_without_change >= self.n_iter_no_change

    def renew(self):
        """Begin to count anew."""
        self.n_without_change = 0


def warn_if_not_converged(max_iter, patience):
    """Warn that training was cut short, unless it was not to stop by itself."""
    if patience.tol == -np.inf:
        return
    warnings.warn(
        f"max_iter={max_iter} epochs ended before the improvement per epoch fell below "
        f"tol={patience.tol}. Increase max_iter, scale the features, or set tol=None "
        "to always run max_iter epochs.",
        ConvergenceWarning,
        stacklevel=stack_level_of_caller(),
    )


def warn_if_worse(loss_curve, schedule):
    """Warn of an objective that rose all the time."""
    first, last = loss_curve[0], loss_curve[-1]
    rises = all(before < after for before, after in pairwise(loss_curve))
    # The perceptron's loss is 0 to begin with, and must rise.
    if (
        rises
        and len(loss_curve) >= EPOCHS_OF_DIVERGENCE
        and last > RISE_OF_DIVERGENCE * first > 0
    ):
        warnings.warn(
            f"The training objective rose from {first:.6g} in the first epoch to "
            f"{last:.6g} in the last: training diverges. {remedies(schedule)}",
            ConvergenceWarning,
            stacklevel=stack_level_of_caller(),
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
