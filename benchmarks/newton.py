"""The optimum of the objective for columns of any scale, by Newton's method."""

import numpy as np
from scipy.special import expit, logsumexp

MOST_STEPS = 200


def lowest_objective(problem, alpha):
    """J at its optimum; see objective.py.

    It uses standardised columns, in which each column has its own penalty.
    """
    scale = problem.X.std(axis=0)
    Z = (problem.X - problem.X.mean(axis=0)) / scale
    Z = np.c_[Z, np.ones(len(Z))]
    targets = problem.output_columns().astype(np.float64)
    penalty = np.tile(np.append(alpha / scale**2, 0.0), problem.n_outputs)
    weights = np.zeros((problem.n_outputs, Z.shape[1]))
    value, gradient, curvatures = derivatives(problem, Z, targets, penalty, weights)
    for _ in range(MOST_STEPS):
        step = newton_step(Z, penalty, gradient, curvatures).reshape(weights.shape)
        length = 1.0
        while length > 1e-8:
            candidate = weights + length * step
            reached = derivatives(problem, Z, targets, penalty, candidate)
            if reached[0] <= value:
                break
            length /= 2
        gain, weights = value - reached[0], candidate
        value, gradient, curvatures = reached
        if gain <= 1e-12 * abs(value):
            break
    return value


def derivatives(problem, Z, targets, penalty, weights):
    """J, its gradient, and the second derivatives of each row's loss."""
    decisions = Z @ weights.T
    match problem.task:
        case "regression":
            errors = decisions - targets
            losses = errors[:, 0] ** 2 / 2
            curvatures = np.ones((len(Z), 1, 1))
        case "binary":
            shares = expit(decisions)
            errors = shares - targets
            losses = np.logaddexp(0.0, np.where(targets > 0, -decisions, decisions))
            curvatures = (shares * (1.0 - shares))[:, :, None]
        case "multiclass":
            log_total = logsumexp(decisions, axis=1, keepdims=True)
            shares = np.exp(decisions - log_total)
            errors = shares - targets
            losses = log_total[:, 0] - (targets * decisions).sum(axis=1)
            curvatures = shares[:, :, None] * (
                np.eye(problem.n_outputs) - shares[:, None, :]
            )
    flat = weights.ravel()
    value = losses.mean() + penalty @ flat**2 / 2
    return value, (errors.T @ Z / len(Z)).ravel() + penalty * flat, curvatures


def newton_step(Z, penalty, gradient, curvatures):
    """Minus the gradient divided by the Hessian."""
    n_rows, n_weights = Z.shape
    n_outputs = curvatures.shape[1]
    hessian = np.empty((n_outputs, n_weights, n_outputs, n_weights))
    for k in range(n_outputs):
        for other in range(n_outputs):
            weighted = Z * curvatures[:, k, other, None]
            hessian[k, :, other] = weighted.T @ Z / n_rows
    hessian = hessian.reshape(len(gradient), -1)
    # Directions without curvature, such as a shift of all intercepts of a softmax
    ridge = 1e-12 * np.trace(hessian) / len(gradient)
    hessian[np.diag_indices_from(hessian)] += penalty + ridge
    return -np.linalg.solve(hessian, gradient)
