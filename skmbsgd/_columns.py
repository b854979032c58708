"""Means and variances of the columns of X, over all rows that a model has seen."""

import numpy as np

from skmbsgd._sklearn import is_constant_feature

# A chunk that makes the variance of a column grow by more than this is unusual. If it
# grows by far more, the chunk has other units, and training refuses it by its loss.
LARGEST_GROWTH, ABSURD_GROWTH = 4.0, 1e12
# A standard deviation of at most this many rounding errors of the mean counts as 0.
ROUNDING_ERRORS = 10
# Numbers in a part of the rows, so that it stays in the cache
NUMBERS_PER_PART = 2**15


def learn_columns(state, data):
    """Add the rows of dense data to the statistics of a state.

    Parameters
    ----------
    state : TrainingState
        Its `column_mean`, `column_variance` and `column_weight` are replaced.
    data : TrainingData
        Rows count by their weights.
    """
    n_features = data.X.shape[1]
    learn_blocks(state, data.blocks(rows_of_part(n_features)), n_features)


def learn_blocks(state, blocks, n_features):
    """The same for blocks of rows, each a tuple of X and weights or None."""
    merge_statistics(state, map(statistics_of, blocks), n_features)


def statistics_of(block):
    """The sum of the weights, means and variances of the columns of a block."""
    X, weights = block
    weight = len(X) if weights is None else weights.sum()
    if weight == 0.0:
        return 0.0, None, None
    return weight, *mean_and_variance(X, weights, weight)


def merge_statistics(state, statistics, n_features):
    """Add the statistics of blocks to those of a state.

    They are merged by the formulae of T. F. Chan, G. H. Golub and R. J. LeVeque
    ("Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979).
    """
    mean, variance = state.column_mean, state.column_variance
    total = state.column_weight
    if mean is None:
        mean = variance = np.zeros(n_features)
    with np.errstate(over="ignore", invalid="ignore"):
        for weight, part_mean, part_variance in statistics:
            if weight == 0.0:
                continue
            total += weight
            share = weight / total
            delta = part_mean - mean
            variance = (
                variance
                + share * (part_variance - variance)
                + share * (1.0 - share) * delta**2
            )
            mean = mean + share * delta
    if not np.isfinite(variance).all():
        raise ValueError(
            "X has columns whose variance exceeds the range of float64. Divide them by "
            "a power of ten, or set standardize=False and a number for eta0."
        )
    state.column_mean, state.column_variance = mean, variance
    state.column_weight = float(total)


def learn_columns_of_chunk(state, data):
    """The same for a chunk of a stream, without extrapolating the weights.

    A weight that was learnt while a column varied little says nothing about a chunk
    that varies far more, and would ruin the decisions there. If the variance grows by
    more than LARGEST_GROWTH, the weight is divided by the growth of the standard
    deviation, and the intercept keeps the decision at the previous mean.
    """
    mean, variance = state.column_mean, state.column_variance
    learn_columns(state, data)
    if variance is None:
        return
    with np.errstate(over="ignore", divide="ignore"):  # infinite growth is absurd
        growth = np.divide(
            state.column_variance,
            variance,
            out=np.ones_like(mean),
            where=variance > 0.0,
        )
        grown = (growth > LARGEST_GROWTH) & (growth < ABSURD_GROWTH)
        factor = np.where(grown, 1.0 / np.sqrt(growth), 1.0)
    if (factor == 1.0).all():
        return
    state.velocity *= factor
    for coef, intercept in (
        (state.coef, state.intercept),
        (state.average_coef, state.average_intercept),
    ):
        if coef is not None:
            intercept += (coef * (1.0 - factor)) @ mean
            coef *= factor


def mean_and_variance(X, weights, weight):
    """The means and variances of the columns, and the sum of the weights."""
    if weights is None:
        mean = X.mean(axis=0, dtype=np.float64)
        deviations = X - mean
        return mean, np.einsum("ij,ij->j", deviations, deviations) / weight
    mean = np.einsum("i,ij->j", weights, X) / weight
    deviations = X - mean
    return mean, np.einsum("i,ij,ij->j", weights, deviations, deviations) / weight


def standardization_of(state, fit_intercept):
    """The numbers subtracted from the columns, and the inverses of their variances.

    Columns are centred if there is an intercept. The inverse is 0 for a column that is
    constant up to rounding, by the rule of `sklearn.preprocessing.StandardScaler`, and
    for a column whose weight would overflow the type of X. Without an intercept, a
    constant column serves as one, and its inverse is that of its square.

    Returns
    -------
    mean, precision : ndarray of float64 of shape (n_features,)
    """
    mean, variance = state.column_mean, state.column_variance
    with np.errstate(over="ignore", invalid="ignore"):
        constant = is_constant_feature(variance, mean, ROUNDING_ERRORS)
    if not fit_intercept:
        variance = np.where(constant, mean**2, variance)
        constant[:] = False
    constant |= variance < np.finfo(state.coef.dtype).tiny
    precision = np.divide(1.0, variance, out=np.zeros_like(mean), where=~constant)
    return (mean.copy() if fit_intercept else np.zeros_like(mean)), precision


def rows_of_part(n_features):
    """The number of rows in a part."""
    return max(1, NUMBERS_PER_PART // max(1, n_features))
