"""eta0="auto" and learning_rate="auto": an initial rate from the data, cycles of rates.

The initial rate is that of expected smoothness (R. M. Gower, N. Loizou, X. Qian,
A. Sailanbayev, E. Shulgin and P. Richtarik, "SGD: General Analysis and Improved Rates",
ICML 2019), with a mean of the squared norms that is weighted by the norms themselves:

    eta0 = c / (kappa * lam + alpha
                + kappa * R2 * (n - B) / (B * (n - 1)) / (1 - momentum))

where kappa bounds the curvature of the loss, lam is the largest eigenvalue of the mean
of x x', and R2 = sum s^2 / sum s with s = |x|^2 + 1, the 1 for an intercept.
"""

import math

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.extmath import row_norms

from skmbsgd._columns import rows_of_part
from skmbsgd._engine.losses import (
    EpsilonInsensitive,
    Hinge,
    Huber,
    Logistic,
    Softmax,
    SquaredEpsilonInsensitive,
    SquaredError,
)
from skmbsgd._schedules import UpdateSchedule

# c of the formula, by the loss
LOGISTIC_FACTOR, OTHER_FACTOR, REGRESSION_FACTOR = 2.0, 1.0, 0.25
# Without momentum the rate can be this many times as large.
FACTOR_WITHOUT_MOMENTUM = 2.0

POWER_ITERATIONS = 8
# Size of the sample whose largest eigenvalue is computed
MAX_SAMPLE_ROWS = 1024
MAX_SAMPLE_NUMBERS = 2**20
MIN_SAMPLE_ROWS = 32
# Numbers of float32 that are copied to float64 at the same time
NUMBERS_TO_COPY = 2**18

# Length of the first cycle: at least FIRST_EPOCHS (or one long epoch) and
# FIRST_UPDATES, more with a momentum near 1, and at most MAX_FIRST_EPOCHS
FIRST_EPOCHS, FIRST_UPDATES, MAX_FIRST_EPOCHS = 3, 64, 16
UPDATES_OF_A_LONG_EPOCH = 1000
MOMENTUM_OF_FIRST_UPDATES = 0.9
GROWTH_OF_CYCLES = 1.5
FEWEST_CYCLES = 3
# Training ends after a cycle that gained less than TOLERANCE_OF_CYCLE * tol of all
# progress, if the cycle before gained less than TOLERANCE_BEFORE * tol,
TOLERANCE_OF_CYCLE, TOLERANCE_BEFORE = 5.0, 15.0
# and if it is not known that more than GAIN_LEFT times that gain is still possible.
GAIN_LEFT = 2.0
# If the objective rises by more than HIGH_RISE of all progress, the peak of the next
# cycle is halved. If by less than LOW_RISE, it is doubled, up to MAX_PEAK times the
# initial rate.
HIGH_RISE, LOW_RISE = 0.05, 0.01
MAX_PEAK = 64.0

# Rows times outputs in a block, when `certain_gain` goes through the data
ROWS_TIMES_OUTPUTS = 2**17
# A variance below this fraction of the squared mean is a rounding error.
CERTAIN_DIGITS = 1e-10

# Training restarts with the rate divided by RATE_DIVISOR, at most MAX_RESTARTS times,
RATE_DIVISOR = 4.0
MAX_RESTARTS = 30
# if the objective exceeds that of the start by these factors: in the first epoch, later
FIRST_RISE, LATER_RISE = 2.0, 1.1

# Time scale of the falling rate in a stream, in updates
STREAM_UPDATES = 200.0
# Running means in a stream: polynomial-decay averaging (O. Shamir and T. Zhang, ICML
# 2013)
RECENCY_IN_STREAMS = 3.0


def is_regression_loss(loss):
    """Whether the loss is a function of the distance between decision and target."""
    return isinstance(
        loss,
        (SquaredError, Huber, EpsilonInsensitive, SquaredEpsilonInsensitive),
    )


def factor_of(loss, momentum):
    """c of the formula."""
    if isinstance(loss, (Logistic, Softmax)):
        factor = LOGISTIC_FACTOR
    else:
        factor = REGRESSION_FACTOR if is_regression_loss(loss) else OTHER_FACTOR
    return factor * (FACTOR_WITHOUT_MOMENTUM if momentum == 0.0 else 1.0)


def curvature_of(loss, size):
    """kappa: a bound of the curvature, or the slope over the size of the residuals.

    The slope of a loss with a bounded slope does not depend on the unit of the targets.
    Its steps have the size of the targets only if the rate grows with them.
    """
    if not depends_on_targets(loss):
        return loss.max_curvature or 1.0
    return (loss.derivative(0.0, size) / size if size > 0.0 else 0.0) or 1.0


def depends_on_targets(loss):
    """Whether the initial rate for this loss depends on the size of the targets."""
    return is_regression_loss(loss) and loss.max_curvature is None


def learn_targets(state, data):
    """Add the targets of a chunk to the statistics of the residuals of a stream.

    Parameters
    ----------
    state : TrainingState
        Its `target_mean` and `target_sums` are replaced.
    data : TrainingData
        Rows count by their weights.

    Returns
    -------
    size : float
        The mean distance of the targets so far from their mean at that time, over all
        outputs.
    """
    y, weights = data.target_matrix(), data.weights()
    total, distances = state.target_sums.tolist()
    if weights.any():
        mean = 0.0 if state.target_mean is None else state.target_mean
        with np.errstate(over="ignore", invalid="ignore"):
            weight = float(weights.sum())
            total += weight
            difference = np.average(y, axis=0, weights=weights) - mean
            mean = mean + difference * weight / total
            distances += float(weights @ np.abs(y - mean).mean(axis=1))
        if not np.isfinite([*mean, total, distances]).all():
            raise ValueError(
                "The targets, or the weights of the rows, are too large: sums of them "
                "exceed the range of float64. Divide them by a power of ten."
            )
        state.target_mean, state.target_sums = mean, np.array([total, distances])
    return distances / total if total > 0.0 else 0.0


def typical_residual(data):
    """The typical distance of targets from their median, averaged over all outputs."""
    with np.errstate(over="ignore", invalid="ignore"):
        distances = [
            typical_distance(y, weights)
            for y, weights in data.distributions()
            if weights.any()
        ]
    return float(np.mean(distances)) if distances else 0.0


def typical_distance(y, weights):
    """The median distance from the median, or the mean distance if that is 0."""
    distances = np.abs(y - weighted_median(y, weights))
    return weighted_median(distances, weights) or np.average(distances, weights=weights)


def initial_intercepts(loss, data):
    """The intercepts of the best model without features, or close to them.

    These are the log-odds for the logistic losses, and 0 for the hinge and the
    perceptron. For other losses they are the mean of the targets if the curvature is
    bounded, and the median otherwise.
    """
    if isinstance(loss, Hinge):
        return np.zeros(data.n_outputs)
    with np.errstate(over="ignore", invalid="ignore"):
        intercepts = np.array(
            [
                initial_intercept(loss, y, weights, data.n_rows)
                for y, weights in data.distributions()
            ]
        )
    # Only differences matter between the decisions of a softmax.
    return intercepts - intercepts.mean() if isinstance(loss, Softmax) else intercepts


def initial_intercept(loss, y, weights, n_rows):
    """The intercept for the targets of one output and their weights."""
    if not weights.any():
        return 0.0
    if isinstance(loss, (Logistic, Softmax)):
        # A class without rows counts as half a row.
        negative, positive = np.maximum(weights / weights.sum(), 0.5 / n_rows)
        return np.log(positive / (1.0 if isinstance(loss, Softmax) else negative))
    if loss.max_curvature is None:
        return weighted_median(y, weights)
    return np.average(y, weights=weights)


def weighted_median(y, weights):
    """The smallest number with at least half of the weight at or below it."""
    order = np.argsort(y)
    totals = np.cumsum((weights / weights.max())[order])
    return y[order[np.searchsorted(totals, totals[-1] / 2.0)]]


class Standardized:
    """Rows as training uses them: standardised or not, with the 1 for the intercept.

    Parameters
    ----------
    columns : tuple of two ndarray, or None
        Means and inverses of variances, as `standardization_of` gives them; None for
        rows as they are.
    fit_intercept : bool
    """

    def __init__(self, columns, fit_intercept):
        self.columns = columns
        self.fit_intercept = fit_intercept

    def rows(self, X):
        """The rows of an array in float64, without the 1 for the intercept."""
        if self.columns is None:
            return X.astype(np.float64, copy=False)
        mean, precision = self.columns
        return (X - mean) * np.sqrt(precision)

    def squared_norms(self, X):
        """|x|^2, plus 1 with an intercept, of each row."""
        norms = [row_norms(self.rows(part), squared=True) for part in in_parts(X)]
        return np.concatenate(norms) + float(self.fit_intercept)


def norms_and_sample(data, sampled, standardized):
    """The sums of s and of s^2 over all rows; X and weights of the sampled ones.

    Parameters
    ----------
    data : TrainingData
        Rows count by their weights.
    sampled : ndarray or None
        As `sampled_rows` gives them.
    standardized : Standardized
    """
    with np.errstate(over="ignore", invalid="ignore"):
        blocks, sample = data.blocks_and_sample(rows_of_block(data), sampled)
        return norm_sums(data, blocks, standardized), sample()


def learn_smoothness(state, data, standardized, norms_and_sample=norms_and_sample):
    """Add rows to the sums from which the initial rate is computed.

    Parameters
    ----------
    state : TrainingState
        Its `norm_sums`, `direction` and `largest_eigenvalue` are replaced.
    data : TrainingData
    standardized : Standardized
    norms_and_sample : callable
        Computes the sums over the data.
    """
    sampled = sampled_rows(data, state.seed)
    sums, (rows, weights) = norms_and_sample(data, sampled, standardized)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = state.norm_sums + sums
        direction, eigenvalue = largest_eigenvalue(
            standardized.rows(rows),
            weights,
            standardized.fit_intercept,
            state.direction,
        )
    if not np.isfinite([*sums, eigenvalue]).all():
        raise ValueError(
            "The numbers in X, or the weights of its rows, are too large to compute a "
            "learning rate from them: squared norms of rows exceed the range of "
            "float64. Divide them by a power of ten, or train with a number as eta0."
        )
    state.norm_sums, state.direction = sums, direction
    state.largest_eigenvalue = max(state.largest_eigenvalue, eigenvalue)


def in_parts(X):
    """The rows in parts whose copies in float64 are small, if they must be copied."""
    if not issparse(X) or X.dtype == np.float64 or X.nnz <= NUMBERS_TO_COPY:
        return [X]
    n_rows = max(1, NUMBERS_TO_COPY * X.shape[0] // X.nnz)
    return (X[start : start + n_rows] for start in range(0, X.shape[0], n_rows))


def rows_of_block(data):
    """The number of rows in a block; None if blocks can have any length."""
    if not issparse(data.X):
        return rows_of_part(data.X.shape[1])
    # few enough that a copy of them is small
    return None if data.rows is None else MAX_SAMPLE_ROWS


def norm_sums(data, blocks, standardized):
    """The sums of s and of s^2 over rows in blocks."""
    norms = (weighted_norms(X, weights, standardized) for X, weights in blocks)
    if rows_of_block(data) is None:
        norms = (s for s in [np.concatenate(list(norms))])
    sums = np.zeros(2)
    for s in norms:
        sums += s.sum(), np.einsum("i,i", s, s)
    return sums


def weighted_norms(X, weights, standardized):
    """s of each row, times its weight."""
    s = standardized.squared_norms(X)
    if weights is None:
        return s
    # Rows without weight may be too large for s.
    return np.multiply(s, weights, out=np.zeros(len(s)), where=weights > 0.0)


def sampled_rows(data, seed):
    """Numbers of random rows, in ascending order; None for all."""
    n_rows = data.n_rows
    n_features = data.X.shape[1]
    size = max(MIN_SAMPLE_ROWS, MAX_SAMPLE_NUMBERS // max(1, n_features))
    size = min(n_rows, MAX_SAMPLE_ROWS, MAX_SAMPLE_ROWS if issparse(data.X) else size)
    if size == n_rows:
        return None
    return np.sort(np.random.default_rng(seed).choice(n_rows, size, replace=False))


def largest_eigenvalue(X, weights, fit_intercept, direction):
    """The largest eigenvalue of the mean of w x x', by power iterations.

    Returns
    -------
    direction : ndarray of shape (n_features + 1,)
        Its eigenvector, from which to continue with other rows.
    eigenvalue : float
    """
    n_rows, n_features = X.shape
    if direction is None:
        direction = initial_direction(np.arange(n_features))
    eigenvalue = 0.0
    for _ in range(POWER_ITERATIONS):
        length = math.sqrt(np.einsum("i,i", direction, direction))
        if not 0.0 < length < math.inf:
            break
        unit = direction / length
        z = times(X, unit[:-1]) + unit[-1] * fit_intercept
        z = np.multiply(z, weights, out=np.zeros(n_rows), where=weights > 0.0)
        direction = np.append(transposed_times(X, z), z.sum() * fit_intercept) / n_rows
        eigenvalue = math.sqrt(np.einsum("i,i", direction, direction))
    return direction, eigenvalue


def initial_direction(columns):
    """A vector that is orthogonal to an eigenvector only by chance."""
    return np.append(np.cos(columns), 1.0)


# These use einsum, because the sums of BLAS depend on the number of its threads.


def times(X, w):
    """X w"""
    return X @ w if issparse(X) else np.einsum("ij,j->i", X, w)


def transposed_times(X, z):
    """X^T z"""
    return X.T @ z if issparse(X) else np.einsum("ij,i->j", X, z)


def initial_rate(state, loss, size, n_rows, alpha, batch_size, momentum):
    """The formula above, from what a state has learnt about the rows.

    `size` is the size of the residuals. `n_rows` is inf in a stream.
    """
    kappa = curvature_of(loss, size)
    sum_of_norms, sum_of_squares = state.norm_sums.tolist()
    mean_norm = sum_of_squares / sum_of_norms if sum_of_norms > 0.0 else 0.0
    if math.isinf(n_rows):
        share_of_noise = 1.0 / batch_size
    else:
        share_of_noise = (n_rows - batch_size) / max(1.0, batch_size * (n_rows - 1.0))
    noise = kappa * mean_norm * share_of_noise / (1.0 - momentum)
    bound = kappa * state.largest_eigenvalue + alpha + noise
    factor = factor_of(loss, momentum)
    if not bound > 0.0:
        return factor
    return factor / bound if math.isfinite(bound) else np.finfo(np.float64).tiny


def certain_gain(data, loss, coef, intercept, l2, fit_intercept):
    """A lower bound of the gain from changing a single weight.

    If the intercept keeps the mean decision, a weight has the derivative
    g - mean * g_b and a curvature of at most kappa * variance + l2. The objective can
    fall at least as far as the parabola with these two. This holds for losses of
    bounded curvature. Infinite numbers count as no gain.

    Parameters
    ----------
    data : TrainingData
    loss : Loss
    coef, intercept : ndarray of shape (n_outputs, n_features) and (n_outputs,)
    l2 : float
    fit_intercept : bool
    """
    sums = derivatives_and_columns(data, loss, coef, intercept, data.n_rows)
    return gain_of(sums, loss, coef, l2, fit_intercept)


def derivatives_and_columns(data, loss, coef, intercept, n_rows):
    """The sums over rows for `gain_of`, divided by the number of all rows.

    They are the sums of the derivatives by weights and by intercepts, of the columns
    and of the squared columns.
    """
    gradient, of_intercepts = np.zeros(coef.shape), np.zeros(len(coef))
    mean = square = np.zeros(coef.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for part in data.parts(max(1, ROWS_TIMES_OUTPUTS // len(coef))):
            X, share = part.select(part.X), part.weights() / n_rows
            z = np.ascontiguousarray(X @ coef.T + intercept, dtype=np.float64)
            d = loss.derivatives(part.target_matrix(), z) * share[:, None]
            gradient = gradient + (X.T @ d).T
            of_intercepts += d.sum(axis=0)
            mean = mean + X.T @ share
            square = square + (X.multiply(X) if issparse(X) else X**2).T @ share
    return gradient, of_intercepts, mean, square


def gain_of(sums, loss, coef, l2, fit_intercept):
    """`certain_gain` for such sums."""
    gradient, of_intercepts, mean, square = sums
    with np.errstate(over="ignore", invalid="ignore"):
        gradient = gradient + l2 * coef.astype(np.float64)
        if fit_intercept:
            gradient = gradient - np.outer(of_intercepts, mean)
            square = square - mean**2
        curvature = loss.max_curvature * np.maximum(square, 0.0) + l2
        # Constant columns have neither derivative nor curvature.
        certain = curvature > CERTAIN_DIGITS * loss.max_curvature * mean**2
        gains = gradient**2 / (2.0 * np.where(certain, curvature, np.inf))
        return float(np.nan_to_num(gains, nan=0.0, posinf=0.0).max(initial=0.0))


def highest_peak(loss):
    """The largest peak of a cycle, as a multiple of the initial rate."""
    return 1.0 if is_regression_loss(loss) else MAX_PEAK


def stream_rate(update, eta0):
    """eta0 / sqrt(1 + update / STREAM_UPDATES), the rate of an endless stream."""
    return eta0 / np.sqrt(1.0 + update / STREAM_UPDATES)


class StreamSchedule(UpdateSchedule):
    """The rates of a stream, reduced for the last batch of a chunk if it is smaller.

    Parameters
    ----------
    eta0 : float
    last_share : float
        As for `Cycles`.
    """

    def __init__(self, eta0, last_share):
        super().__init__(stream_rate, {"eta0": eta0})
        self.last_share = last_share

    def rates(self, state, n_updates, first=0):
        rates = super().rates(state, n_updates, first)
        rates[-1] *= self.last_share
        return rates


class Cycles:
    """Cycles of epochs in which the rate falls from a peak to 0, update by update.

    A cycle is `GROWTH_OF_CYCLES` times as long as the one before. The rise of the
    objective above the end of the previous cycle shows the noise at the peak. The peak
    is halved if the noise is high, and doubled if it is low. Training ends after two
    cycles that gained too little, but never with the first or second cycle.

    Parameters
    ----------
    eta0 : float
        The peak of the first cycle.
    max_peak : float
        The largest peak.
    n_updates : int
        Updates in an epoch.
    momentum : float
    tol : float or None
        A cycle gains too little below `TOLERANCE_OF_CYCLE` times this fraction of all
        progress, and the cycle before it below `TOLERANCE_BEFORE` times. None for a
        single cycle that takes all epochs.
    n_epochs : int
        The number of all epochs. The last cycle ends there.
    last_share : float, default=1.0
        The size of an epoch's last batch, as a fraction of the others. Its rate is
        multiplied by it, because a mean over few rows has more noise.
    """

    counts_updates = True

    def __init__(
        self, eta0, max_peak, n_updates, momentum, tol, n_epochs, last_share=1.0
    ):
        self.last_share = last_share
        self.parameters = {"eta0": eta0}
        self.peak, self.max_peak = eta0, max_peak
        self.n_updates = n_updates
        self.tol = tol
        self.n_left = n_epochs
        self.ends: list[float] = []
        self.judged: list[float] = []
        self.length = self.first_length(momentum)
        self.begin_cycle()

    def first_length(self, momentum):
        """Number of epochs of the first cycle."""
        slowness = max(1.0, (1.0 - MOMENTUM_OF_FIRST_UPDATES) / (1.0 - momentum))
        shortest = 1 if self.n_updates >= UPDATES_OF_A_LONG_EPOCH else FIRST_EPOCHS
        epochs = math.ceil(FIRST_UPDATES * slowness / self.n_updates)
        return min(max(shortest, epochs), math.ceil(MAX_FIRST_EPOCHS * slowness))

    def begin_cycle(self):
        """Begin a cycle. It takes all epochs left if no further cycle would fit."""
        if self.tol is None or 2 * self.length > self.n_left:
            self.length = max(1, self.n_left)
        self.epoch = 0
        self.highest = -math.inf

    @property
    def ends_with_next_epoch(self):
        """Whether the next epoch is the last of its cycle."""
        return self.epoch + 1 == self.length

    def rates(self, state, n_updates):
        """Rates of the next epoch's updates."""
        update = self.epoch * n_updates + np.arange(n_updates)
        rates = self.peak * (1.0 - update / (self.length * n_updates))
        rates[-1] *= self.last_share
        return rates

    def count_epoch(self, objective):
        """Record an epoch's objective; return whether it was the last of its cycle."""
        self.highest = max(self.highest, objective)
        self.epoch += 1
        self.n_left -= 1
        return self.epoch == self.length

    def is_finished_by(self, end, judged, start, gain_left=lambda: 0.0):
        """Return at the end of a cycle whether training is finished.

        Parameters
        ----------
        end : float
            The training objective.
        judged : float
            The number to minimise: the objective, or the result of validation.
        start : float
            The training objective before the first cycle; inf if it cannot be used.
        gain_left : callable
            ``gain_left()`` is a lower bound of the gain that is still possible.
        """
        self.ends.append(end)
        self.judged.append(judged)
        known = self.finite_start(start)
        if self.is_converged(known) and not gain_left() > self.unit_of_gain(known):
            return True
        if self.n_left > 0:
            self.begin_next_cycle(start)
        return False

    def finite_start(self, start):
        """The objective before the first cycle, or the highest one known."""
        return start if math.isfinite(start) else max(self.ends)

    def begin_next_cycle(self, start):
        """Begin the cycle after one that has ended; `start` as in `is_finished_by`."""
        before = self.ends[-2] if len(self.ends) > 1 else start
        progress = self.finite_start(start) - min(self.ends)
        self.adjust_peak(self.highest - before, progress)
        self.length = math.ceil(GROWTH_OF_CYCLES * self.length)
        self.begin_cycle()

    def is_converged(self, start):
        """Whether the last two cycles gained too little."""
        if self.tol is None or len(self.judged) < FEWEST_CYCLES:
            return False
        # A score cannot be compared with the start.
        first = max(self.judged)
        if self.judged == self.ends:
            first = max(first, start)
        unit = self.tol * (first - min(self.judged))
        gain_before, gain = -np.diff(self.judged[-3:])
        return bool(
            gain <= TOLERANCE_OF_CYCLE * unit and gain_before <= TOLERANCE_BEFORE * unit
        )

    def unit_of_gain(self, start):
        """The gain above which training continues if it is certain to be possible."""
        progress = start - min(self.ends)
        return GAIN_LEFT * TOLERANCE_OF_CYCLE * self.tol * progress

    def adjust_peak(self, rise, progress):
        """Choose the peak of the next cycle by the rise in this one."""
        # The rise of the first cycle is measured from the start.
        if len(self.ends) == 1:
            return
        if rise > HIGH_RISE * progress:
            self.peak /= 2.0
        elif rise < LOW_RISE * progress:
            self.peak = min(2.0 * self.peak, self.max_peak)

    def remedy(self):
        """A change of settings that makes the rates smaller, for messages."""
        return f"a smaller initial rate (eta0='auto' found {self.parameters['eta0']})"
