"""Checks of the state that an estimator stores, which users may have changed."""

import itertools
from numbers import Integral, Real

import numpy as np

from skmbsgd._state import TrainingState


def fault_of_stored(stored, n_features, *, without_columns=False):
    """The fault in the attributes of a state, which users may have changed.

    Parameters
    ----------
    stored : dict
        `coef`, `intercept` and `velocity` may be missing.
    n_features : int
    without_columns : bool, default=False
        Whether the arrays with an entry for each column are stored elsewhere.

    Returns
    -------
    fault : str or None
    """
    if not is_a(Integral, int, n_features):
        return f"n_features_in_ is {n_features!r}"
    if not isinstance(stored, dict):
        return f"it is of type {type(stored).__name__}, not a dict"
    unknown = stored.keys() - TrainingState.__dataclass_fields__.keys()
    if unknown:
        return f"it has unknown entries, {unknown}"
    velocity = stored.get("intercept_velocity")
    if not isinstance(velocity, np.ndarray) or velocity.ndim != 1:
        return "intercept_velocity is not an array of 1 dimension"
    if velocity.dtype not in (np.float32, np.float64):
        return f"intercept_velocity is of type {velocity.dtype}"
    faults = itertools.chain(
        faults_of_numbers(stored),
        faults_of_arrays(stored, (len(velocity), n_features), without_columns),
    )
    return next(faults, None)


def faults_of_numbers(stored):
    """The faults for `fault_of_stored` in entries that are not arrays."""
    for name in ("seed", "n_averaged", "n_epochs", "n_updates", "n_samples"):
        count = stored.get(name)
        if not is_a(Integral, int, count) or count < 0:
            yield f"{name} is {count!r}"
    for name in ("adaptive_rate", "adaptive_eta0", "last_rate", "eta0"):
        number = stored.get(name)
        if number is not None and not is_a(Real, float, number):
            yield f"{name} is {number!r}"
    for name in (
        "highest_loss",
        "recency",
        "column_weight",
        "largest_eigenvalue",
        "automatic_rate",
    ):
        if not is_a(Real, float, stored.get(name, 0.0)):
            yield f"{name} is {stored[name]!r}"
    if n_entries(stored.get("penalty", (0.0, 0.0))) != 2:
        yield f"penalty is {stored['penalty']!r}"
    if n_entries(stored.get("rate_settings") or (0.0,) * 5) != 5:
        yield f"rate_settings is {stored['rate_settings']!r}"


def is_a(kind, usual_type, value):
    """Whether a value is of an abstract class. Tests a fast usual type first."""
    return type(value) is usual_type or isinstance(value, kind)


def n_entries(value):
    """The length of a tuple, or of another object."""
    return len(value) if isinstance(value, tuple) else np.size(value)


def faults_of_arrays(stored, matrix, without_columns):
    """The faults for `fault_of_stored` in arrays, given the shape of the weights."""
    dtype, double = stored["intercept_velocity"].dtype, np.dtype(np.float64)
    vector, row = matrix[:1], matrix[1:]
    optional = {"coef", "intercept", "velocity", "positions", "norm_sums", "direction"}
    optional |= {"column_mean", "column_variance", "target_mean", "target_sums"}
    if without_columns:
        optional.add("average_coef")
    if stored["n_averaged"] == 0:
        optional |= {"average_coef", "average_intercept"}
    for name, shape, kind in (
        ("velocity", matrix, dtype),
        ("intercept_velocity", vector, dtype),
        ("threshold", (2,), double),
        ("coef", matrix, dtype),
        ("intercept", vector, dtype),
        ("positions", matrix, double),
        ("average_coef", matrix, double),
        ("average_intercept", vector, double),
        ("column_mean", row, double),
        ("column_variance", row, double),
        ("norm_sums", (2,), double),
        ("target_mean", vector, double),
        ("target_sums", (2,), double),
        ("direction", (row[0] + 1,), double),
    ):
        array = stored.get(name)
        if array is None and name in optional:
            continue
        is_array = isinstance(array, np.ndarray)
        if not is_array or array.shape != shape or array.dtype != kind:
            yield f"{name} is not an array of shape {shape} and type {kind}"
