"""What a loss is worth: those of the models that know no feature."""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import entr

from skmbsgd._engine.losses import Logistic, Softmax, SquaredError

# Rows are worked on in parts of so many decisions, for the sake of memory.
DECISIONS_PER_PART = 2**13
# How exactly the best constant is sought, as a share of the range of the targets
PRECISION = 1e-9


def loss_of_zero(loss, data):
    """Mean of the weighted loss of the model that is 0."""
    return loss_of_constant(loss, data, 0.0)


def loss_of_constant(loss, data, intercept):
    """Mean of the weighted loss of the model of no weights and these intercepts."""
    total = 0.0
    for part in data.parts(max(1, DECISIONS_PER_PART // data.n_outputs)):
        weights = np.ascontiguousarray(part.weights())
        with np.errstate(over="ignore", invalid="ignore"):
            z = np.full((part.n_rows, data.n_outputs), intercept, dtype=np.float64)
            total += loss.total(part.target_matrix(), z, weights)
    return total / data.n_rows


def loss_of_best_constant(loss, data):
    """Mean loss of the model of no weights and the best of intercepts."""
    with np.errstate(over="ignore", invalid="ignore"):
        totals = [least_total(loss, *output) for output in data.distributions()]
    return sum(totals) / data.n_rows


def least_total(loss, targets, weights):
    """The least total of the loss of one output that a constant can have."""
    weight = weights.sum()
    if weight == 0.0:
        return 0.0
    if isinstance(loss, Softmax):  # the share of one output in the entropy
        return float(weight * entr(weights[1] / weight))
    if isinstance(loss, Logistic):
        return float(weight * entr(weights / weight).sum())
    if isinstance(loss, SquaredError):
        residuals = targets - np.average(targets, weights=weights)
        return float(weights @ residuals**2 / 2)
    return least_total_by_search(loss, targets, weights)


def least_total_by_search(loss, targets, weights):
    """The same for any convex loss that a target between the extremes makes least."""

    def total(constant):
        total = 0.0
        for start in range(0, len(targets), DECISIONS_PER_PART):
            rows = slice(start, start + DECISIONS_PER_PART)
            y, scale = targets[rows, None], np.ascontiguousarray(weights[rows])
            total += loss.total(y, np.full(y.shape, constant), scale)
        return total

    low, high = targets.min(), targets.max()
    # Where the best is often, and a search comes but near
    totals = [total(low), total(high), total(0.0)]
    if low < high and math.isfinite(high - low):
        search = {"xatol": PRECISION * (high - low), "maxiter": 100}
        best = minimize_scalar(
            total, bounds=(low, high), method="bounded", options=search
        )
        totals.append(float(best.fun))
    return min(totals)
