"""The estimators whose time to a given quality is compared, and their settings."""

from collections.abc import Callable
from dataclasses import dataclass

from scipy.sparse import issparse
from sklearn.linear_model import (
    LogisticRegression,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)

from benchmarks.objective import LARGEST_HESSIAN, n_parameters
from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

# A tolerance that is never reached, so that solvers end at max_iter
NO_TOLERANCE = 1e-14

OURS = {
    f"eta0={eta0:g}, batches of {batch_size}": {"eta0": eta0, "batch_size": batch_size}
    for batch_size in (32, 256)
    for eta0 in (0.01, 0.1, 0.001, 1.0, 10.0)
}
SGD = {
    "optimal": {"learning_rate": "optimal"},
    "optimal, averaged": {"learning_rate": "optimal", "average": True},
} | {
    f"{rate}, eta0={eta0:g}{', averaged' if average else ''}": {
        "learning_rate": rate,
        "eta0": eta0,
        "average": average,
    }
    for rate, average, rates in [
        ("invscaling", False, (0.01, 0.1)),
        ("constant", True, (1e-4, 1e-3, 1e-2)),
    ]
    for eta0 in rates
}


@dataclass(frozen=True)
class Solver:
    """A way to minimise the objective.

    Attributes
    ----------
    name : str
    strength : str
        Why it is faster in some cases.
    settings : dict
        The grid: parameters of the estimator, by their names in the tables.
    make : callable (problem, alpha, n_iterations, **setting) -> estimator
    is_direct : bool
        Whether it is a direct solver, without a number of iterations.
    """

    name: str
    strength: str
    settings: dict
    make: Callable
    is_direct: bool = False


def ours(problem, alpha, n_iterations, **setting):
    """Nesterov momentum, and a cosine schedule that ends with the last epoch."""
    estimator = (
        MiniBatchSGDRegressor
        if problem.task == "regression"
        else MiniBatchSGDClassifier
    )
    return estimator(
        alpha=alpha,
        max_iter=n_iterations,
        tol=None,
        learning_rate="cosine",
        momentum=0.9,
        nesterov=True,
        random_state=0,
        **setting,
    )


def sgd(problem, alpha, n_iterations, **setting):
    """scikit-learn's SGD."""
    settings = {"alpha": alpha, "max_iter": n_iterations, "tol": None, **setting}
    if problem.task == "regression":
        return SGDRegressor(random_state=0, **settings)
    return SGDClassifier(loss="log_loss", random_state=0, **settings)


def ridge(problem, alpha, n_iterations, **setting):
    """Ridge, whose penalty is not divided by the number of rows."""
    return Ridge(
        problem.X.shape[0] * alpha,
        max_iter=n_iterations,
        tol=NO_TOLERANCE,
        random_state=0,
        **setting,
    )


def logistic_regression(problem, alpha, n_iterations, **setting):
    """LogisticRegression, whose loss is a sum that is multiplied by C."""
    return LogisticRegression(
        C=1 / (problem.X.shape[0] * alpha),
        max_iter=n_iterations,
        tol=NO_TOLERANCE,
        random_state=0,
        **setting,
    )


FEW_COLUMNS = (
    "with few columns, one pass over the data gives the normal equations, whose "
    "solution is exact"
)
KRYLOV = (
    "conjugate directions need few passes over well-conditioned data, each at the "
    "speed of a product with a vector"
)
VARIANCE = "it remembers the gradient of each row, so its steps need not shrink"
QUASI_NEWTON = (
    "it reads all rows at the speed of a matrix product and learns the curvature, "
    "which pays off at high precision"
)
NEWTON = (
    "with few columns the Hessian is cheap, and a handful of Newton steps give all "
    "digits"
)


def solvers_for(problem):
    """The solvers that minimise the problem's objective; ours first."""
    solvers = [Solver("skmbsgd", "", OURS, ours)]
    if problem.task != "multiclass":
        # Its one-vs-all passes do not minimise the objective of a softmax.
        solvers.append(
            Solver("SGD", "it computes no momentum and gathers no batch", SGD, sgd)
        )
    if problem.task == "regression":
        return solvers + [
            scikit_learn_solver("Ridge", *row)
            for row in [
                ("cholesky", ridge, FEW_COLUMNS, True),
                ("svd", ridge, FEW_COLUMNS, True),
                ("lsqr", ridge, KRYLOV),
                ("sparse_cg", ridge, KRYLOV),
                ("sag", ridge, VARIANCE),
                ("saga", ridge, VARIANCE),
            ]
            if row[0] != "svd" or not issparse(problem.X)
        ]
    rows = [
        ("lbfgs", logistic_regression, QUASI_NEWTON),
        ("saga", logistic_regression, VARIANCE),
    ]
    if n_parameters(problem) <= LARGEST_HESSIAN:
        rows.append(("newton-cholesky", logistic_regression, NEWTON))
    return solvers + [scikit_learn_solver("LogisticRegression", *row) for row in rows]


def scikit_learn_solver(estimator, solver, make, strength, is_direct=False):
    """A solver without settings to choose."""
    settings = {"": {"solver": solver}}
    return Solver(f"{estimator} {solver}", strength, settings, make, is_direct)
