"""Validation: the score and the loss of an epoch on validation data."""

import math
import warnings
from copy import copy

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_regressor
from sklearn.metrics import check_scoring
from sklearn.utils.sparsefuncs import min_max_axis

from skmbsgd._state import decisions_in_parts, mean_loss
from skmbsgd._warnings import stack_level_of_caller

# For the check whether validation data have been transformed like training data
SAMPLE_ROWS = 1000
FEWEST_ROWS = 20
FOREIGN_SHARE = 0.25


class Validation:
    """Validation data, and the scoring that chooses the best epoch.

    ``validation(state, history)`` returns the score and the loss of a state. A larger
    score is better.

    Parameters
    ----------
    estimator : estimator instance
        The one in training.
    data : TrainingData
        The data with the weights for the score.
    class_weighted : TrainingData
        The data with the weights for the loss.
    loss : Loss
        The engine's.
    """

    def __init__(self, estimator, data, class_weighted, loss):
        self.estimator = estimator
        self.data = data
        self.class_weighted = class_weighted
        self.loss = loss
        if has_no_score(data, estimator):
            # scikit-learn would warn about it in addition to the error.
            raise ValueError(tells_no_epoch_from_another(math.nan, estimator.scoring))
        if estimator.scoring not in ("loss", None):
            self._prepare_scorer()

    def __call__(self, state, history):
        loss = mean_loss(self.class_weighted, self.loss, *state.weights())
        scoring = self.estimator.scoring
        # Overflow is refused below.
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            score = -loss if scoring == "loss" else self._score(state, history)
        if not math.isfinite(score):
            raise ValueError(tells_no_epoch_from_another(score, scoring))
        return score, loss

    def loss_of(self, constants):
        """Mean loss of the model with these intercepts and no weights."""
        shape = len(constants), self.data.X.shape[1]
        dtype = self.data.X.dtype
        with np.errstate(over="ignore"):
            constants = constants.astype(dtype)
        return mean_loss(
            self.class_weighted, self.loss, np.zeros(shape, dtype), constants
        )

    def _score(self, state, history):
        """The score of the scorer, or of the estimator's own method."""
        if self.estimator.scoring is not None:
            fitted = self._fitted(state, history)
            return float(self.scorer(fitted, *self.rows, **self.weights))
        return self._score_of_predictions(*state.weights())

    def _score_of_predictions(self, coef, intercept):
        """The score of the estimator's method ``score``, without a copy of the rows."""
        predictions = np.concatenate(
            [
                self.estimator._predictions_of(part)
                for part in decisions_in_parts(self.data, coef, intercept)
            ]
        )
        if not np.isfinite(predictions).all():  # which scikit-learn calls an input
            return math.nan
        score = self.estimator._score_predictions(
            self.data.select(self.data.y),
            predictions,
            self.data.select(self.data.sample_weight),
        )
        return float(score)

    def _prepare_scorer(self):
        """Prepare the arguments of a scorer of scikit-learn."""
        data = self.data
        self.scorer = check_scoring(self.estimator, scoring=self.estimator.scoring)
        y = self.estimator._public_targets(data.select(data.y))
        self.rows = data.select(data.X), y
        self.weights = {}
        # Some callables do not accept weights.
        if data.sample_weight is not None:
            self.weights["sample_weight"] = data.select(data.sample_weight)

    def _fitted(self, state, history):
        """A copy of the estimator that predicts with the weights of the state."""
        estimator = copy(self.estimator)
        vars(estimator).update(self.estimator._attributes_of(state.copy(), history))
        # The rows are in an array, without column names.
        vars(estimator).pop("feature_names_in_", None)
        return estimator


def has_no_score(data, estimator):
    """Whether the score is NaN for these rows, whatever the model predicts."""
    scoring = estimator.scoring
    if scoring is None:
        compares_with_mean = is_regressor(estimator)
    else:
        compares_with_mean = str(scoring).startswith(("r2", "d2_"))
    if str(scoring).startswith("roc_auc") and not is_regressor(estimator):
        y = data.select(data.y)
        return bool((y == y[0]).all())
    return compares_with_mean and data.n_rows < 2


def tells_no_epoch_from_another(score, scoring):
    """The message that a score is of no use, and what to do."""
    return (
        f"The validation score is {score} (scoring={scoring!r}), so epochs cannot be "
        "compared. R2 needs at least two rows, some scores need rows of each class, "
        "and all need finite predictions. Increase validation_fraction, pass other "
        "X_val, y_val and sample_weight_val, or choose another scoring."
    )


def warn_if_apart(X, X_val):
    """Warn of validation data that cannot be a random part of the same data.

    In a random split, a fraction of FOREIGN_SHARE is never outside the ranges of X,
    each extended by its own width on both sides. This holds even for FEWEST_ROWS rows
    with the heaviest tails.
    """
    X, X_val = some_rows(X), some_rows(X_val)
    if X.shape[0] < FEWEST_ROWS:
        return
    low, high = ranges_of_columns(X)
    with np.errstate(over="ignore"):
        width = high - low
    varies = width > 0  # A rare feature can be constant by chance.
    if issparse(X_val):
        entries = X_val.tocoo()
        values, columns = entries.data, entries.col
        low, high, width = low[columns], high[columns], width[columns]
        varies = varies[columns]
    else:
        values = X_val
    with np.errstate(over="ignore"):
        is_foreign = (values < low - width) | (values > high + width)
    share = is_foreign[..., varies].mean() if varies.any() else 0.0
    if share > FOREIGN_SHARE:
        warnings.warn(
            f"{share:.0%} of the numbers in X_val are far outside the range of their "
            "columns in X. X_val seems to lack a transformation that X has had. A "
            "Pipeline does not transform X_val unless it is made with "
            'transform_input=["X_val"] (which needs metadata routing). Without a '
            "Pipeline, transform X_val like X.",
            UserWarning,
            stacklevel=stack_level_of_caller(),
        )


def some_rows(X):
    """At most about SAMPLE_ROWS rows, evenly spaced; a view of a dense X."""
    return X[:: max(1, X.shape[0] // SAMPLE_ROWS)]


def ranges_of_columns(X):
    """Smallest and largest number of each column, including implicit zeros."""
    if issparse(X):
        return min_max_axis(X, axis=0)
    return X.min(axis=0), X.max(axis=0)
