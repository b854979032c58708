"""Checks of what an estimator stores besides its public attributes.

Users may have changed it, and it may come from a file. A damaged entry must not reach
the engine, nor cause an error that nobody understands.
"""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np

from skmbsgd._engine.csr_stream import CSRStream
from skmbsgd._state import TrainingState

# The attribute _streamed of a model whose weights are in coef_
NOT_STREAMED: tuple[Any, Any] = (None, None)

MAX_COUNT = np.iinfo(np.int64).max


def is_count(value):
    """Whether the value is an integer >= 0 that int64 can hold."""
    # Usual types first, which is faster than a test for an abstract class.
    is_integer = type(value) is int or isinstance(value, Integral)
    return is_integer and 0 <= value <= MAX_COUNT


def is_positive_count(value):
    """The same without 0."""
    return is_count(value) and value > 0


def is_number(value):
    """Whether the value is a number or infinite, not NaN, and float64 can hold it."""
    if type(value) is not float:
        if not isinstance(value, Real):
            return False
        try:
            value = float(value)
        except OverflowError:
            return False
    return value == value


def is_size(value):
    """Whether the value is a number >= 0, or inf."""
    return is_number(value) and value >= 0.0


def is_finite_size(value):
    """Whether the value is a finite number >= 0."""
    return is_size(value) and value != np.inf


def is_number_or_nan(value):
    """Whether the value is a number, infinite or NaN."""
    return is_number(value) or (isinstance(value, Real) and value != value)


def is_flag(value):
    """Whether the value is True or False."""
    return isinstance(value, (bool, np.bool_))


def is_array_of_floats(value):
    """Whether the value is an array of floats that are finite."""
    is_array = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return is_array and bool(np.isfinite(value).all())


def optional(kind):
    """Whether a value is None or of this kind."""
    return lambda value: value is None or kind(value)


def numbers(sequence, length=None, kind=is_number):
    """Whether a value is a list or tuple of numbers, of this length if one is given."""

    def are_numbers(value):
        if not isinstance(value, sequence):
            return False
        return length in (None, len(value)) and all(map(kind, value))

    return are_numbers


def fault_of_entries(stored, kinds):
    """The fault in a dict that must have an entry of each of these kinds.

    Parameters
    ----------
    stored : object
    kinds : dict
        For each entry, a function that returns whether a value is valid, or a dict of
        such functions.

    Returns
    -------
    fault : str or None
    """
    if not isinstance(stored, dict):
        return f"it is of type {type(stored).__name__}, not a dict"
    if stored.keys() != kinds.keys():
        return f"it has the entries {sorted(map(str, stored))}"
    for name, kind in kinds.items():
        value = stored[name]
        if isinstance(kind, dict):
            fault = fault_of_entries(value, kind)
            if fault is not None:
                return f"in {name}, {fault}"
        elif not kind(value):
            return f"{name} is {value!r}"
    return None


# The entries of a state that are not arrays
NUMBERS = {
    "seed": is_count,
    "n_averaged": is_count,
    "n_epochs": is_count,
    "n_updates": is_count,
    "n_samples": is_count,
    "penalty": numbers(tuple, 2, is_size),
    "recency": is_finite_size,
    "adaptive_rate": optional(is_finite_size),
    "adaptive_eta0": optional(is_finite_size),
    "last_rate": optional(is_finite_size),
    "eta0": optional(is_finite_size),
    "highest_loss": is_size,
    "column_weight": is_finite_size,
    "largest_eigenvalue": is_finite_size,
    "automatic_rate": is_size,
    "rate_settings": optional(numbers(tuple, 5, is_size)),
}


def fault_of_stored(stored, n_features, *, without_columns=False):
    """The fault in the attributes of a state.

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
    if not is_count(n_features):
        return f"n_features_in_ is {n_features!r}"
    if not isinstance(stored, dict):
        return f"it is of type {type(stored).__name__}, not a dict"
    unknown = stored.keys() - TrainingState.__dataclass_fields__.keys()
    if unknown:
        return f"it has unknown entries, {unknown}"
    fault = fault_of_entries({name: stored.get(name) for name in NUMBERS}, NUMBERS)
    if fault is not None:
        return fault
    velocity = stored.get("intercept_velocity")
    if not isinstance(velocity, np.ndarray) or velocity.ndim != 1 or not len(velocity):
        return "intercept_velocity is not an array of 1 dimension, or is empty"
    if velocity.dtype not in (np.float32, np.float64):
        return f"intercept_velocity is of type {velocity.dtype}"
    faults = faults_of_arrays(stored, (len(velocity), n_features), without_columns)
    return next(faults, None)


def faults_of_arrays(stored, matrix, without_columns):
    """The faults for `fault_of_stored` in arrays, given the shape of the weights."""
    dtype, double = stored["intercept_velocity"].dtype, np.dtype(np.float64)
    vector, row = matrix[:1], matrix[1:]
    averaged = stored["n_averaged"] > 0
    # What may be absent, and what may be None
    absent = {"coef", "intercept", "velocity"}
    none = {"positions", "direction", "column_mean", "column_variance", "target_mean"}
    if without_columns:
        absent |= {"positions", "average_coef"}
        absent.remove("intercept")
    elif averaged:
        absent -= {"coef", "intercept"}
    if not averaged:
        none |= {"average_coef", "average_intercept"}
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
        if name not in stored:
            if name not in absent:
                yield f"it has no {name}"
            continue
        array = stored[name]
        if array is None and name in none:
            continue
        is_array = isinstance(array, np.ndarray)
        if not is_array or array.shape != shape or array.dtype != kind:
            yield f"{name} is not an array of shape {shape} and type {kind}"
        elif shape == (2,) and not all(map(math.isfinite, array.tolist())):
            yield f"{name} is {array!r}"
    if (stored["column_mean"] is None) != (stored["column_variance"] is None):
        yield "only one of column_mean and column_variance is None"


def streamed_in(attributes):
    """The stream that holds the weights, or None, and the intercepts that it shows.

    Users may have changed the attributes.
    """
    streamed = attributes.get("_streamed", NOT_STREAMED)
    is_pair = isinstance(streamed, tuple) and len(streamed) == 2
    if not is_pair or not isinstance(streamed[0], (CSRStream, type(None))):
        raise ValueError(
            "_streamed, which holds the weights of a stream, is damaged. Load the "
            "estimator again, or start again with a new one."
        )
    return streamed


def check_n_features(stream, n_features):
    """Refuse a stream of other features, which users may have put into an estimator."""
    if stream is None:
        return
    if not is_count(n_features) or stream.n_features != n_features:
        raise ValueError(
            f"n_features_in_ is {n_features!r}, but _streamed, which holds the weights "
            f"of a stream, is damaged or has {stream.n_features} features. Load the "
            "estimator again, or start again with fit."
        )
