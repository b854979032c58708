"""Losses of models without features, to which other losses are compared."""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import entr

from skmbsgd._engine.losses import Logistic, Softmax, SquaredError

# Number of decisions in a part of the rows, to limit memory
DECISIONS_PER_PART = 2**13
# Tolerance of the search for the best constant, relative to the range of the targets
PRECISION = 1e-9


def loss_of_zero(loss, data):
    """Mean of the weighted loss of the model whose decisions are all 0."""
    return loss_of_constant(loss, data, 0.0)


def loss_of_constant(loss, data, intercept):
    """Mean of the weighted loss of the model with these intercepts and no weights."""
    total = 0.0
    for part in data.parts(max(1, DECISIONS_PER_PART // data.n_outputs)):
        weights = np.ascontiguousarray(part.weights())
        with np.errstate(over="ignore", invalid="ignore"):
            z = np.full((part.n_rows, data.n_outputs), intercept, dtype=np.float64)
            total += loss.total(part.target_matrix(), z, weights)
    return total / data.n_rows


def loss_of_best_constant(loss, data):
    """Mean loss of the model with the best intercepts and no weights."""
    with np.errstate(over="ignore", invalid="ignore"):
        totals = [least_total(loss, *output) for output in data.distributions()]
    return sum(totals) / data.n_rows


def least_total(loss, targets, weights):
    """The smallest total loss of one output that a constant can reach."""
    weight = weights.sum()
    if weight == 0.0:
        return 0.0
    if isinstance(loss, Softmax):  # the part of one output in the entropy
        return float(weight * entr(weights[1] / weight))
    if isinstance(loss, Logistic):
        return float(weight * entr(weights / weight).sum())
    if isinstance(loss, SquaredError):
        residuals = targets - np.average(targets, weights=weights)
        return float(weights @ residuals**2 / 2)
    return least_total_by_search(loss, targets, weights)


def least_total_by_search(loss, targets, weights):
    """The same for any convex loss with its minimum between the extreme targets."""

    def total(constant):
        total = 0.0
        for start in range(0, len(targets), DECISIONS_PER_PART):
            rows = slice(start, start + DECISIONS_PER_PART)
            y, scale = targets[rows, None], np.ascontiguousarray(weights[rows])
            total += loss.total(y, np.full(y.shape, constant), scale)
        return total

    low, high = targets.min(), targets.max()
    # These are often the best constants, and a search would only come close to them.
    totals = [total(low), total(high), total(0.0)]
    if low < high and math.isfinite(high - low):
        search = {"xatol": PRECISION * (high - low), "maxiter": 100}
        best = minimize_scalar(
            total, bounds=(low, high), method="bounded", options=search
        )
        totals.append(float(best.fun))
    return min(totals)
