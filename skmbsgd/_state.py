"""What training moves: weights, velocities and clocks, and the model made of them."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skmbsgd._engine.csr_model import CSRModel
from skmbsgd._engine.epoch import compute_decisions, run_epoch
from skmbsgd._engine.models import DenseModel
from skmbsgd._engine.penalties import Penalty
from skmbsgd._engine.rules import Rule

DECISIONS_PER_PART = 2**17


@dataclass
class TrainingState:
    """All that the next update depends on, besides data and parameters.

    Attributes
    ----------
    coef, velocity : ndarray of shape (n_outputs, n_features)
    intercept, intercept_velocity : ndarray of shape (n_outputs,)
    threshold : ndarray of float64 of shape (2,)
        The threshold of L1, u, and its velocity r (skmbsgd/_engine/penalties.pxd).
    positions : ndarray of float64 of shape (n_outputs, n_features), or None
        What an L1 penalty makes the weights of; None without one.
    penalty : tuple of two floats
        lam2 and lam1 of the updates so far.
    average_coef, average_intercept : ndarray of float64, or None
        Running means over the updates; None without averaging.
    n_averaged : int
        Number of updates in the running means.
    n_epochs, n_updates, n_samples : int
        Clocks: epochs and updates done, samples seen.
    seed : int
        With the number of the epoch, it determines the order of rows.
    adaptive_rate, adaptive_eta0 : float or None
        The rate that learning_rate="adaptive" has come down to, and the eta0 that it
        has come down from.
    last_rate : float or None
        Learning rate of the first update of the last epoch.
    highest_loss : float
        The highest mean loss of an epoch so far, without the penalty; inf before the
        first epoch of a model that does not start at 0.
    """

    coef: np.ndarray
    intercept: np.ndarray
    velocity: np.ndarray
    intercept_velocity: np.ndarray
    seed: int
    threshold: np.ndarray
    positions: np.ndarray | None = None
    penalty: tuple[float, float] = (0.0, 0.0)
    average_coef: np.ndarray | None = None
    average_intercept: np.ndarray | None = None
    n_averaged: int = 0
    n_epochs: int = 0
    n_updates: int = 0
    n_samples: int = 0
    adaptive_rate: float | None = None
    adaptive_eta0: float | None = None
    last_rate: float | None = None
    highest_loss: float = 0.0

    @classmethod
    def start(cls, coef, intercept, seed, averaged):
        """State before the first update, at rest at the given weights."""
        state = cls(
            coef=coef,
            intercept=intercept,
            velocity=np.zeros_like(coef),
            intercept_velocity=np.zeros_like(intercept),
            seed=seed,
            threshold=np.zeros(2),
            highest_loss=math.inf if coef.any() or intercept.any() else 0.0,
        )
        if averaged:
            state.begin_average()
        return state

    def continue_under(self, penalty):
        """Let a penalty act: anew, if it or the weights have been changed."""
        strengths = penalty.l2, penalty.l1
        if not penalty.has_positions:
            self.positions = None
        elif self.penalty != strengths or not self._are_weights_of_positions(penalty):
            self.positions = self.coef.astype(np.float64)
            self.threshold = np.zeros(2)
        self.penalty = strengths

    def _are_weights_of_positions(self, penalty):
        """Whether the penalty makes the weights of the positions, to the last bit."""
        if self.positions is None:
            return False
        weights = penalty.weights(self.positions, self.threshold[0])
        return np.array_equal(weights.astype(self.coef.dtype), self.coef)

    def begin_average(self):
        """Make room for running means."""
        self.average_coef = np.zeros(self.coef.shape)
        self.average_intercept = np.zeros(self.intercept.shape)
        self.n_averaged = 0

    def end_average(self):
        """Forget the running means."""
        self.average_coef = None
        self.average_intercept = None
        self.n_averaged = 0

    def copy(self):
        """A state that shares no array with this one."""
        arrays: dict[str, Any] = {
            name: value.copy()
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)

    def with_weights_of(self, other):
        """This state's clocks with another state's weights, means and velocities."""
        return replace(
            other,
            n_epochs=self.n_epochs,
            n_updates=self.n_updates,
            n_samples=self.n_samples,
            adaptive_rate=self.adaptive_rate,
            adaptive_eta0=self.adaptive_eta0,
            last_rate=self.last_rate,
            highest_loss=self.highest_loss,
        )

    def weights(self):
        """Weights and intercept to predict with: the running means once there are."""
        if self.n_averaged == 0:
            return self.coef, self.intercept
        averages: Any = self.average_coef, self.average_intercept
        coef, intercept = (average.astype(self.coef.dtype) for average in averages)
        return coef, intercept

    def shows(self, coef, intercept):
        """Whether these are the weights to predict with."""
        return all(map(np.array_equal, self.weights(), (coef, intercept)))


def make_model(state, penalty, *, sparse, momentum, nesterov, fit_intercept):
    """A model in training with these settings, which moves the arrays of the state."""
    rule = Rule("nesterov" if nesterov else "classical", momentum)
    model = CSRModel if sparse else DenseModel
    return model(state, rule, penalty, fit_intercept)


def make_model_at_rest(coef, intercept, *, sparse):
    """A model of given weights, which nothing is to move."""
    return make_model(
        TrainingState.start(coef, intercept, seed=0, averaged=False),
        Penalty(),
        sparse=sparse,
        momentum=0.0,
        nesterov=False,
        fit_intercept=False,
    )


def mean_loss(data, loss, coef, intercept):
    """The mean of the weighted loss, without a penalty: an epoch at rate 0."""
    # A copy, for 0 times a gradient that is infinite would be NaN.
    model = make_model_at_rest(coef.copy(), intercept, sparse=issparse(data.X))
    return run_epoch(data.rows_for(model), loss, np.zeros(1), data.n_rows)


def decisions_in_parts(data, coef, intercept):
    """Decisions of consecutive parts of the rows, each (n_part_rows, n_outputs).

    In parts, since decisions of many classes take more memory than their rows. The bits
    are the same for any number of threads.
    """
    parts = data.parts(max(1, DECISIONS_PER_PART // len(coef)))
    if issparse(data.X):
        for part in parts:
            yield part.select(part.X) @ coef.T + intercept
        return
    model = make_model_at_rest(coef, intercept, sparse=False)
    for part in parts:
        decisions = np.empty((part.n_rows, len(coef)))
        compute_decisions(part.rows_for(model), decisions)
        yield decisions
