"""What training moves: weights, velocities and clocks, and the model made of them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skmbsgd._engine.csr_model import CSRModel
from skmbsgd._engine.epoch import compute_decisions
from skmbsgd._engine.models import (
    ClassicalModel,
    NesterovModel,
    ProximalClassicalModel,
    ProximalNesterovModel,
)

DECISIONS_PER_PART = 2**17

DENSE_MODELS = {  # by: is there an L1 penalty, is the momentum Nesterov's
    (False, False): ClassicalModel,
    (False, True): NesterovModel,
    (True, False): ProximalClassicalModel,
    (True, True): ProximalNesterovModel,
}


@dataclass
class TrainingState:
    """All that the next update depends on, besides data and parameters.

    Attributes
    ----------
    coef, velocity : ndarray of shape (n_outputs, n_features)
    intercept, intercept_velocity : ndarray of shape (n_outputs,)
    average_coef, average_intercept : ndarray of float64, or None
        Running means over the updates; None without averaging.
    n_averaged : int
        Number of updates in the running means.
    n_epochs, n_updates, n_samples : int
        Clocks: epochs and updates done, samples seen.
    seed : int
        With the number of the epoch, it determines the order of rows.
    adaptive_rate : float or None
        The rate that learning_rate="adaptive" has come down to.
    last_rate : float or None
        Learning rate of the first update of the last epoch.
    """

    coef: np.ndarray
    intercept: np.ndarray
    velocity: np.ndarray
    intercept_velocity: np.ndarray
    seed: int
    average_coef: np.ndarray | None = None
    average_intercept: np.ndarray | None = None
    n_averaged: int = 0
    n_epochs: int = 0
    n_updates: int = 0
    n_samples: int = 0
    adaptive_rate: float | None = None
    last_rate: float | None = None

    @classmethod
    def start(cls, coef, intercept, seed, averaged):
        """State before the first update, at rest at the given weights."""
        state = cls(
            coef=coef,
            intercept=intercept,
            velocity=np.zeros_like(coef),
            intercept_velocity=np.zeros_like(intercept),
            seed=seed,
        )
        if averaged:
            state.begin_average()
        return state

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
            last_rate=self.last_rate,
        )

    def weights(self):
        """Weights and intercept to predict with: the running means once there are."""
        if self.n_averaged == 0:
            return self.coef, self.intercept
        averages: Any = self.average_coef, self.average_intercept
        coef, intercept = (average.astype(self.coef.dtype) for average in averages)
        return coef, intercept


@dataclass
class Penalty:
    """alpha * ((1 - l1_ratio) / 2 * ||W||_2^2 + l1_ratio * ||W||_1)"""

    l2: float
    l1: float

    @classmethod
    def named(cls, name, alpha, l1_ratio):
        """The penalty by its name in scikit-learn."""
        share = {None: 0.0, "l2": 0.0, "l1": 1.0, "elasticnet": l1_ratio}[name]
        alpha = 0.0 if name is None else alpha
        return cls(l2=alpha * (1.0 - share), l1=alpha * share)

    def value(self, model):
        """The penalty at the weights that a model had when its last epoch ended."""
        total = 0.0
        if self.l2 > 0.0:
            total += 0.5 * self.l2 * model.squared_norm
        if self.l1 > 0.0:
            total += self.l1 * model.absolute_sum
        return total


def make_model(state, penalty, *, sparse, momentum, nesterov, fit_intercept):
    """A model in training with these settings, which moves the arrays of the state."""
    arrays = (
        state.coef,
        state.velocity,
        state.intercept,
        state.intercept_velocity,
        state.average_coef,
        state.average_intercept,
    )
    settings = {
        "momentum": momentum,
        "l2": penalty.l2,
        "l1": penalty.l1,
        "fit_intercept": fit_intercept,
    }
    if sparse:
        return CSRModel(
            *arrays, nesterov=nesterov, n_averaged=state.n_averaged, **settings
        )
    return DENSE_MODELS[penalty.l1 > 0.0, bool(nesterov)](*arrays, **settings)


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
    model = make_model(
        TrainingState.start(coef, intercept, seed=0, averaged=False),
        Penalty(l2=0.0, l1=0.0),
        sparse=False,
        momentum=0.0,
        nesterov=False,
        fit_intercept=False,
    )
    for part in parts:
        decisions = np.empty((part.n_rows, len(coef)))
        compute_decisions(part.rows_for(model), decisions)
        yield decisions
