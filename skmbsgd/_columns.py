"""Means and variances of the columns of X, of all rows that a model has seen."""

import numpy as np

from skmbsgd._sklearn import incremental_mean_and_var, is_constant_feature

# Rows are worked on in parts of so many numbers, which stay in the cache.
NUMBERS_PER_PART = 2**15


def learn_columns(state, data):
    """Let the rows of dense data join the statistics of a state.

    Parameters
    ----------
    state : TrainingState
        Its `column_mean`, `column_variance` and `column_weight` are replaced.
    data : TrainingData
        Rows count by their weights.
    """
    n_features = data.X.shape[1]
    mean, variance, weight = (
        (np.zeros(n_features), np.zeros(n_features), np.zeros(n_features))
        if state.column_mean is None
        else (state.column_mean, state.column_variance, state.column_weight)
    )
    for part in parts_of(data):
        weights = part.weights()
        if weights.any():
            with np.errstate(over="ignore", invalid="ignore"):
                mean, variance, weight = incremental_mean_and_var(
                    part.select(part.X),
                    mean,
                    variance,
                    weight,
                    None if part.sample_weight is None else weights,
                )
    state.column_mean, state.column_variance = mean, variance
    state.column_weight = np.asarray(weight, dtype=np.float64)


def standardization_of(state, fit_intercept):
    """What is subtracted from the columns, and the inverses of their variances.

    Columns are centred if there is an intercept. The inverse is 0 for a column that is
    constant but for rounding, as `sklearn.preprocessing.StandardScaler` decides it, and
    for one whose weight the type of X could not hold.

    Returns
    -------
    mean, precision : ndarray of float64 of shape (n_features,)
    """
    mean, variance = state.column_mean, state.column_variance
    with np.errstate(over="ignore", invalid="ignore"):
        constant = is_constant_feature(variance, mean, state.column_weight)
    constant |= variance < np.finfo(state.coef.dtype).tiny
    precision = np.divide(1.0, variance, out=np.zeros_like(mean), where=~constant)
    return (mean.copy() if fit_intercept else np.zeros_like(mean)), precision


def parts_of(data):
    """The data in parts that stay in the cache."""
    return data.parts(max(1, NUMBERS_PER_PART // max(1, data.X.shape[1])))
