"""The regularised objective that the solvers minimise, and its optimum.

    J(W, b) = mean loss + alpha / 2 ||W||^2,

with half the squared error, the logistic loss, or the cross-entropy of a softmax. It is
the objective of LogisticRegression with C = 1 / (n_samples alpha), and of Ridge with
n_samples alpha.
"""

import numpy as np
from scipy.special import expit, logsumexp, softmax
from sklearn.linear_model import LogisticRegression, Ridge

# More parameters than these make the Hessian too large to be factorised.
LARGEST_HESSIAN = 3000


def decisions(problem, model):
    """Decisions of a fitted model, of shape (n_samples, n_outputs)."""
    coef = np.atleast_2d(model.coef_)
    return problem.X @ coef.T + model.intercept_


def objective(problem, alpha, model):
    """J of a fitted model."""
    Z = decisions(problem, model)
    match problem.task:
        case "regression":
            losses = (Z[:, 0] - problem.y) ** 2 / 2
        case "binary":
            losses = np.logaddexp(0.0, np.where(problem.y, -Z[:, 0], Z[:, 0]))
        case "multiclass":
            losses = logsumexp(Z, axis=1) - Z[np.arange(len(Z)), problem.y]
    return float(losses.mean() + alpha / 2 * np.sum(np.square(model.coef_)))


def gradient_norm(problem, alpha, model):
    """Euclidean norm of the gradient of J."""
    link = {"binary": expit, "multiclass": lambda Z: softmax(Z, axis=1)}.get(
        problem.task, lambda Z: Z
    )
    Z = decisions(problem, model)
    errors = (link(Z) - problem.output_columns()) / len(Z)
    of_coef = (problem.X.T @ errors).T + alpha * np.atleast_2d(model.coef_)
    return float(np.hypot(np.linalg.norm(of_coef), np.linalg.norm(errors.sum(axis=0))))


def n_parameters(problem):
    """The number of weights and intercepts."""
    return (problem.X.shape[1] + 1) * problem.n_outputs


def find_optimum(problem, alpha):
    """A model at the optimum, by a second-order solver."""
    n_samples = problem.X.shape[0]
    if problem.task == "regression":
        return Ridge(n_samples * alpha, solver="cholesky").fit(problem.X, problem.y)
    direct = n_parameters(problem) <= LARGEST_HESSIAN
    return LogisticRegression(
        C=1 / (n_samples * alpha),
        solver="newton-cholesky" if direct else "newton-cg",
        tol=1e-10 if direct else 1e-7,
        max_iter=200,
    ).fit(problem.X, problem.y)
