"""Regression."""

from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.model_selection import ShuffleSplit

from skmbsgd._at_once import appears_at_once, reads_one_model
from skmbsgd._base import BaseMiniBatchSGD
from skmbsgd._data import TrainingData
from skmbsgd._docstrings import with_shared_parts
from skmbsgd._engine.losses import (
    EpsilonInsensitive,
    Huber,
    SquaredEpsilonInsensitive,
    SquaredError,
)
from skmbsgd._fit_chunks import fit_chunks
from skmbsgd._partial_fit import partial_fit
from skmbsgd._sklearn import StrOptions, with_checked_parameters
from skmbsgd._typing import (
    Chunks,
    EpochsDrop,
    MatrixLike,
    PenaltyName,
    Schedule,
    Scoring,
    Shuffle,
)

RegressorLoss: TypeAlias = Literal[
    "squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"
]

# Each function makes the loss for a threshold epsilon.
LOSSES = {
    "squared_error": lambda epsilon: SquaredError(),
    "huber": Huber,
    "epsilon_insensitive": EpsilonInsensitive,
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive,
}


@with_shared_parts
class MiniBatchSGDRegressor(RegressorMixin, BaseMiniBatchSGD):
    r"""Linear regression trained by mini-batch SGD with momentum and schedules.

    The objective is the mean of the weighted loss plus
    `alpha * ((1 - l1_ratio) / 2 * ||W||_2^2 + l1_ratio * ||W||_1)`. Several targets are
    trained in the same pass over the data, and their losses are added.

    Parameters
    ----------
    loss : str, default="squared_error"
        The loss, where r = z - y and z is the decision:

        - "squared_error": `r^2 / 2`;
        - "huber": `r^2 / 2` if `|r| <= epsilon`, otherwise
          `epsilon |r| - epsilon^2 / 2`;
        - "epsilon_insensitive": `max(0, |r| - epsilon)`;
        - "squared_epsilon_insensitive": `max(0, |r| - epsilon)^2`.
    <PENALTY>
    <LEARNING_RATE>
    power_t : float, default=0.25
        Exponent of "invscaling", in [0, inf).
    <MOMENTUM>
    <WARM_START>

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Weights, float32 or float64 as X; one-dimensional if y is.
    intercept_ : ndarray of shape (1,) or (n_targets,)
        Intercepts.
    <HISTORY_ATTRIBUTES>

    See Also
    --------
    MiniBatchSGDClassifier : The same for classification.
    sklearn.linear_model.SGDRegressor : One row per update, without momentum.

    Notes
    -----
    <UPDATE_RULE>
    <CALLBACKS>

    References
    ----------
    <REFERENCES>

    Examples
    --------
    >>> import numpy as np
    >>> from skmbsgd import MiniBatchSGDRegressor
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> y = X @ [1.0, -2.0] + 3.0
    >>> model = MiniBatchSGDRegressor(
    ...     eta0=0.1, decay=0.1, momentum=0.9, alpha=0.0, tol=None, max_iter=50,
    ...     random_state=0,
    ... )
    >>> model.fit(X, y).coef_.round(6)
    array([ 1., -2.])
    >>> model.intercept_.round(6)
    array([3.])
    """

    _parameter_constraints = {
        **BaseMiniBatchSGD._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
    }
    _y_options = {"multi_output": True}

    def __init__(
        self,
        loss: RegressorLoss = "squared_error",
        *,
        penalty: PenaltyName | None = "l2",
        alpha: float = 1e-4,
        l1_ratio: float | None = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        batch_size: int | Literal["full"] = 32,
        learning_rate: Schedule = "auto",
        eta0: float | Literal["auto"] = "auto",
        decay: float | Literal["auto"] = 0.0,
        decay_unit: Literal["epoch", "update"] = "epoch",
        drop: float = 0.5,
        epochs_drop: EpochsDrop = 10,
        power_t: float = 0.25,
        standardize: bool | Literal["auto"] = "auto",
        momentum: float = 0.9,
        nesterov: bool = True,
        shuffle: Shuffle = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        early_stopping: bool = False,
        scoring: Scoring = "loss",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        average: bool | int = False,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.decay = decay
        self.decay_unit = decay_unit
        self.drop = drop
        self.epochs_drop = epochs_drop
        self.power_t = power_t
        self.standardize = standardize
        self.momentum = momentum
        self.nesterov = nesterov
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average

    @appears_at_once
    def partial_fit(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch on a chunk of a stream.

        Velocities, clocks and running means continue from call to call. Each call
        counts as one epoch of the schedule.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The chunk. It is converted to the precision of the first one.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Target values of the chunk.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0, used as given, because a chunk does not know the mean of the
            stream. If all are 0, the call counts as an epoch and does nothing else.

        Returns
        -------
        self : object
            The estimator, trained for one more epoch.

        Raises
        ------
        ValueError
            If a parameter or an input is invalid.
        DivergenceError
            If the chunk would ruin the model. After any error and after an interrupt,
            the estimator is as it was before the call, so you can skip the chunk.
        RuntimeError
            If the estimator is already being trained.

        Examples
        --------
        >>> import numpy as np
        >>> from skmbsgd import MiniBatchSGDRegressor
        >>> rng = np.random.default_rng(0)
        >>> model = MiniBatchSGDRegressor(
        ...     eta0=0.1, momentum=0.9, alpha=0.0, random_state=0
        ... )
        >>> for month in range(20):
        ...     X = rng.normal(size=(200, 2))
        ...     model = model.partial_fit(X, X @ [1.0, -2.0])
        >>> model.coef_.round(2)
        array([ 1., -2.])
        """
        if self._is_trained():
            self._check_learnt()
        partial_fit(self, X, y, sample_weight)
        return self

    @appears_at_once
    @with_checked_parameters
    @with_shared_parts
    def fit_chunks(
        self,
        chunks: Chunks,
        *,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        resume: bool = False,
    ) -> Self:
        """Train in passes over chunks of data that need not fit into the memory.

        <CHUNKS_SUMMARY>

        Parameters
        ----------
        <CHUNKS>
        <CHUNKS_VALIDATION>

        <CHUNKS_NOTES>

        Examples
        --------
        >>> import numpy as np
        >>> from skmbsgd import MiniBatchSGDRegressor
        >>> def chunks(epoch):
        ...     for month in range(5):  # as if read from a file for each month
        ...         X = np.random.default_rng(month).normal(size=(200, 2))
        ...         yield X, X @ [1.0, -2.0]
        >>> model = MiniBatchSGDRegressor(alpha=0.0, random_state=0)
        >>> model.fit_chunks(chunks).coef_.round(2)
        array([ 1., -2.])
        """
        fit_chunks(self, chunks, X_val, y_val, sample_weight_val, resume)
        return self

    def _learn_outputs(self, y, classes=None):
        self._one_dimensional = y.ndim == 1

    def _make_data(self, X, y, sample_weight):
        if issparse(y):
            raise TypeError("y is a sparse matrix. Pass y.toarray() instead.")
        if y.dtype.kind in "mM":
            raise ValueError(
                f"y must hold numbers, got {y.dtype}. Convert it to a unit, for "
                "example seconds with (y - y.min()) / np.timedelta64(1, 's')."
            )
        try:
            with np.errstate(over="ignore"):  # of larger types, refused below
                y = np.require(y, np.float64, ["C", "ALIGNED"]).reshape(len(y), -1)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must hold numbers: {error}") from error
        if not np.isfinite(y).all():
            raise ValueError("y has numbers that are too large for float64.")
        return TrainingData.of_numbers(X, y, sample_weight)

    def _public_coef(self, coef):
        return coef[0] if self._one_dimensional else coef

    def _split(self, data, random_state):
        splitter = ShuffleSplit(
            test_size=self.validation_fraction, random_state=random_state
        )
        return next(splitter.split(data.y))

    def _make_loss(self, n_outputs):
        return LOSSES[self.loss](self.epsilon)

    def _public_targets(self, y):
        return y.ravel() if self._one_dimensional else y

    def _predictions_of(self, decisions):
        return decisions

    def _score_predictions(self, y, predictions, sample_weight):
        return r2_score(y, predictions, sample_weight=sample_weight)

    @reads_one_model
    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict target values X W^T + b.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            One-dimensional if the training targets were.
        """
        decisions = self._decisions(X)
        # After sparsify, coef_ has two dimensions even if y had one.
        return decisions.ravel() if self._one_dimensional else decisions

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
