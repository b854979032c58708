"""What training changes: weights, velocities and clocks; models for the engine."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skmbsgd._engine.epoch import compute_decisions, compute_loss
from skmbsgd._engine.in_place_model import (
    InPlaceModel,
    InPlaceModelWithoutMomentum,
    can_train_in_place,
)
from skmbsgd._engine.models import DenseModel, StandardizedModel
from skmbsgd._engine.penalties import Penalty
from skmbsgd._engine.record_model import RecordModel
from skmbsgd._engine.rules import Rule

DECISIONS_PER_PART = 2**17


@dataclass
class TrainingState:
    """Everything that the next update depends on, besides data and parameters.

    Attributes
    ----------
    coef, velocity : ndarray of shape (n_outputs, n_features)
    intercept, intercept_velocity : ndarray of shape (n_outputs,)
    threshold : ndarray of float64 of shape (2,)
        The threshold of L1, u, and its velocity r (skmbsgd/_engine/penalties.pxd).
    positions : ndarray of float64 of shape (n_outputs, n_features), or None
        The positions from which an L1 penalty computes the weights; None without one.
    penalty : tuple of two floats
        lam2 and lam1 of the updates so far.
    average_coef, average_intercept : ndarray of float64, or None
        Running means over the updates; None without averaging.
    n_averaged : int
        Number of updates in the running means.
    recency : float
        How strongly the means favour later updates: update n joins with the weight
        (1 + recency) / (n + recency). 0 means equal weights, as CSR input needs them.
    n_epochs, n_updates, n_samples : int
        Clocks: epochs and updates done, samples seen.
    seed : int
        With the number of the epoch, it determines the order of rows.
    adaptive_rate, adaptive_eta0 : float or None
        The present rate of learning_rate="adaptive", and the eta0 from which it fell.
    last_rate : float or None
        Learning rate of the first update of the last epoch.
    highest_loss : float
        The highest mean loss of an epoch so far, without the penalty; inf before the
        first epoch of a model that does not start at 0.
    eta0 : float or None
        The initial rate; None before the first update.
    column_mean, column_variance : ndarray of float64 of shape (n_features,), or None
        Mean and variance of all rows seen; None if no columns were standardised yet.
    column_weight : float
        The sum of the weights of these rows.
    norm_sums, direction, largest_eigenvalue
        Statistics from which the automatic rate is computed (skmbsgd/_automatic.py).
    automatic_rate : float
        The smallest rate found for any chunk so far; inf before the first.
    rate_settings : tuple of numbers, or None
        The settings for which these four were computed.
    target_mean : ndarray of shape (n_outputs,), or None
        The mean of the targets of a stream, for losses whose rate depends on them.
    target_sums : ndarray of shape (2,)
        The sums of the weights and of the distances from that mean.
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
    recency: float = 0.0
    n_epochs: int = 0
    n_updates: int = 0
    n_samples: int = 0
    adaptive_rate: float | None = None
    adaptive_eta0: float | None = None
    last_rate: float | None = None
    highest_loss: float = 0.0
    eta0: float | None = None
    column_mean: np.ndarray | None = None
    column_variance: np.ndarray | None = None
    column_weight: float = 0.0
    norm_sums: np.ndarray = field(default_factory=lambda: np.zeros(2))
    direction: np.ndarray | None = None
    largest_eigenvalue: float = 0.0
    automatic_rate: float = math.inf
    rate_settings: tuple[float, ...] | None = None
    target_mean: np.ndarray | None = None
    target_sums: np.ndarray = field(default_factory=lambda: np.zeros(2))

    @classmethod
    def start(cls, coef, intercept, seed, averaged=False):
        """State before the first update, at rest at the given weights."""
        state = cls(
            coef=coef,
            intercept=intercept,
            velocity=untouched_zeros(coef, coef.dtype),
            intercept_velocity=np.zeros_like(intercept),
            seed=seed,
            threshold=np.zeros(2),
            highest_loss=math.inf if coef.any() or intercept.any() else 0.0,
        )
        if averaged:
            state.begin_average()
        return state

    def continue_under(self, penalty):
        """Continue with a penalty; restart its state if it or the weights changed."""
        strengths = penalty.l2, penalty.l1
        if not penalty.has_positions:
            self.positions = None
            self.threshold = np.zeros(2)
        elif self.penalty != strengths or not self._are_weights_of_positions(penalty):
            self.positions = self.coef.astype(np.float64)
            self.threshold = np.zeros(2)
        self.penalty = strengths

    def _are_weights_of_positions(self, penalty):
        """Whether the penalty turns the positions into the weights, bit for bit."""
        if self.positions is None:
            return False
        weights = penalty.weights(self.positions, self.threshold[0])
        return np.array_equal(weights.astype(self.coef.dtype), self.coef)

    def seek_rate_for(self, *, alpha, momentum, batch_size, is_standardized, is_sparse):
        """Reset the statistics of the automatic rate if they are for other settings."""
        before = self.rate_settings
        settings = alpha, momentum, batch_size, int(is_standardized), int(is_sparse)
        self.rate_settings = settings
        if before in (None, settings):
            return
        self.norm_sums = np.zeros(2)
        self.direction = None
        self.largest_eigenvalue = 0.0
        self.automatic_rate = math.inf
        if before[3] != settings[3]:
            # The velocity of the intercept depends on whether columns are centred.
            self.velocity = untouched_zeros(self.velocity, self.velocity.dtype)
            self.intercept_velocity[:] = 0.0

    def begin_anew(self, coef, intercept):
        """Go back to before the first update, at rest at the given weights."""
        self.coef[:], self.intercept[:] = coef, intercept
        self.velocity[:] = 0.0
        self.intercept_velocity[:] = 0.0
        self.positions = None
        self.threshold = np.zeros(2)
        self.n_epochs = self.n_updates = self.n_samples = 0
        self.adaptive_rate = self.adaptive_eta0 = self.last_rate = self.eta0 = None
        if self.average_coef is not None:
            self.begin_average()

    def begin_average(self, recency=0.0):
        """Allocate running means."""
        self.recency = recency
        self.average_coef = untouched_zeros(self.coef, np.float64)
        self.average_intercept = np.zeros(self.intercept.shape)
        self.n_averaged = 0

    def end_average(self):
        """Remove the running means."""
        self.average_coef = None
        self.average_intercept = None
        self.n_averaged = 0

    def copy(self):
        """A state that shares no array with this one."""
        arrays: dict[str, Any] = {
            name: value.copy(order="K")
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
            eta0=self.eta0,
        )

    def weights(self):
        """Weights and intercept to predict with: the running means if there are any."""
        if self.n_averaged == 0:
            return self.coef, self.intercept
        averages: Any = self.average_coef, self.average_intercept
        coef, intercept = (average.astype(self.coef.dtype) for average in averages)
        return coef, intercept

    def shows(self, coef, intercept):
        """Whether these are the weights to predict with."""
        return all(map(np.array_equal, self.weights(), (coef, intercept)))


def untouched_zeros(like, dtype):
    """Zeros in the shape and order of an array, whose memory is not touched yet.

    NumPy's zeros_like writes them.
    """
    return np.zeros(like.shape, dtype, "F" if like.flags.fnc else "C")


def make_model(
    state, penalty, *, sparse, momentum, nesterov, fit_intercept, columns=None
):
    """A model with these settings that trains the arrays of the state in place.

    `columns` are those of `standardization_of`, or None for columns as they are.
    """
    rule = rule_of(momentum, nesterov)
    if columns is not None:
        return StandardizedModel(state, rule, penalty, fit_intercept, *columns)
    model = csr_model if sparse else DenseModel
    return model(state, rule, penalty, fit_intercept)


def csr_model(state, rule, penalty, fit_intercept, window_size=None):
    """A model of CSR input, without copies of the weights where that is possible."""
    model: Any = RecordModel
    if can_train_in_place(state):
        model = InPlaceModel if rule.momentum > 0.0 else InPlaceModelWithoutMomentum
    return model(state, rule, penalty, fit_intercept, window_size)


def rule_of(momentum, nesterov):
    """The engine's update rule."""
    return Rule(rule_name(nesterov), momentum)


def rule_name(nesterov):
    """The name of the update rule."""
    return "nesterov" if nesterov else "classical"


def make_model_at_rest(coef, intercept, *, sparse):
    """A model of given weights that is not to be trained."""
    if not sparse:
        coef = np.ascontiguousarray(coef)
    return make_model(
        TrainingState.start(coef, intercept, seed=0, averaged=False),
        Penalty(),
        sparse=sparse,
        momentum=0.0,
        nesterov=False,
        fit_intercept=False,
    )


def mean_loss(data, loss, coef, intercept):
    """The mean of the weighted loss, without a penalty."""
    model = make_model_at_rest(coef, intercept, sparse=issparse(data.X))
    return compute_loss(data.rows_for(model), loss)


def decisions_in_parts(data, coef, intercept):
    """Decisions of consecutive parts of the rows, each (n_part_rows, n_outputs).

    They come in parts, because decisions of many classes take more memory than their
    rows. The results are the same bit for bit for any number of threads.
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
