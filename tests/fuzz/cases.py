"""Random cases: settings, data and damages, each determined by its number."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

# The updates of these losses are continuous in the weights, so rounding errors stay
# small. With the other losses, a tiny difference can change the path.
SMOOTH_LOSSES = {
    "squared_error",
    "huber",
    "squared_epsilon_insensitive",
    "log_loss",
    "squared_hinge",
    "modified_huber",
}
LOSSES = {
    MiniBatchSGDRegressor: [
        "squared_error",
        "huber",
        "epsilon_insensitive",
        "squared_epsilon_insensitive",
    ],
    MiniBatchSGDClassifier: [
        "log_loss",
        "hinge",
        "perceptron",
        "squared_hinge",
        "modified_huber",
        "squared_error",
        "huber",
        "epsilon_insensitive",
        "squared_epsilon_insensitive",
    ],
}
VALUES: dict[str, list[Any]] = {
    "penalty": ["l2", "l1", "elasticnet", None],
    "alpha": [0.0, 1e-6, 1e-3, 0.1, 10.0, 1e4],
    "l1_ratio": [0.0, 0.15, 0.5, 1.0],
    "fit_intercept": [True, False],
    "max_iter": [1, 2, 3, 6],
    "tol": [None, 0.0, 1e-3],
    "batch_size": [1, 2, 7, 32, 1000, "full"],
    "learning_rate": [
        "time",
        "step",
        "constant",
        "exponential",
        "cosine",
        "invscaling",
        "optimal",
        "adaptive",
    ],
    "eta0": [0.0, 1e-4, 0.01, 0.1, 1.0, 100.0, 1e200],
    "decay": [0.0, 0.1, 10.0, "auto"],
    "decay_unit": ["epoch", "update"],
    "drop": [0.1, 0.5, 1.0],
    "epochs_drop": [1, 2.5, [1, 2]],
    "power_t": [0.0, 0.25, 0.5, 3.0],
    "momentum": [0.0, 0.5, 0.9, 0.999],
    "nesterov": [True, False],
    "standardize": ["auto", True, False],
    "shuffle": [True, False, "blocks"],
    "epsilon": [0.0, 0.1, 1.0],
    "early_stopping": [True, False],
    "scoring": ["loss", None],
    "validation_fraction": [0.1, 0.5],
    "n_iter_no_change": [1, 5],
    "warm_start": [True, False],
    "average": [True, False, 1, 10, 200],
}
SCALES = [1.0, 1.0, 1.0, 1.0, 1e-3, 1e3, 1e-30, 1e30, 1e-310, 1e160]


@dataclass
class Case:
    """An estimator's class and settings, and data for it."""

    kind: type
    settings: dict[str, Any]
    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None

    def make(self, **settings):
        """A new estimator with these settings and some changes."""
        return self.kind(**{**self.settings, **settings})

    def arguments(self, X=None):
        """The arguments of fit; X can be given in another layout."""
        arguments = {"X": self.X if X is None else X, "y": self.y}
        if self.sample_weight is not None:
            arguments["sample_weight"] = self.sample_weight
        return arguments

    def chunk_arguments(self, rows=slice(None), X=None):
        """The arguments of partial_fit for some rows."""
        arguments = {name: array[rows] for name, array in self.arguments(X).items()}
        if self.kind is MiniBatchSGDClassifier:
            arguments["classes"] = np.unique(self.y)
        return arguments


def choose(rng, values):
    """One of the values, as it is."""
    return values[rng.integers(len(values))]


def draw_case(rng):
    """A case with valid parameters."""
    kind = choose(rng, [MiniBatchSGDRegressor, MiniBatchSGDClassifier])
    n_rows = round(np.exp(rng.uniform(np.log(2), np.log(150))))
    n_features = round(np.exp(rng.uniform(0, np.log(40))))
    X = rng.normal(size=(n_rows, n_features)) * choose(rng, SCALES)
    X *= rng.random(X.shape) < choose(rng, [0.05, 0.3, 1.0])
    if rng.random() < 0.1:
        X *= rng.choice(SCALES, n_features)
    X = X.astype(choose(rng, [np.float64, np.float64, np.float32]))
    return Case(
        kind,
        draw_settings(rng, kind),
        X,
        draw_y(rng, kind, n_rows),
        draw_weights(rng, n_rows),
    )


def draw_settings(rng, kind):
    """Settings, of which about half are not the default."""
    settings = {"random_state": int(rng.integers(2**31)), "max_iter": 3}
    settings["loss"] = choose(rng, LOSSES[kind])
    for name, values in VALUES.items():
        if rng.random() < (0.1 if name == "early_stopping" else 0.4):
            settings[name] = choose(rng, values)
    if kind is MiniBatchSGDClassifier and rng.random() < 0.1:
        settings["class_weight"] = "balanced"
    return settings


def draw_y(rng, kind, n_rows):
    """Targets of one or more outputs, or labels."""
    if kind is MiniBatchSGDRegressor:
        shape = choose(rng, [n_rows, n_rows, (n_rows, 1), (n_rows, 3)])
        return rng.normal(size=shape) * choose(rng, SCALES)
    n_classes = int(rng.integers(2, 6))
    labels = choose(rng, [np.arange(5), np.array(list("abcde")), np.arange(5.0) - 2])
    return labels[rng.integers(n_classes, size=n_rows)]


def draw_weights(rng, n_rows):
    """Weights of samples, or None."""
    draw = rng.random()
    if draw < 0.7:
        return None
    weights = rng.random(n_rows) * choose(rng, SCALES)
    weights[rng.random(n_rows) < 0.3] = 0.0
    return np.ones(n_rows) if draw > 0.97 else weights


def as_csr(rng, X):
    """A CSR matrix of the same numbers, not always in its canonical form."""
    make = choose(rng, [csr_matrix, csr_array])
    if rng.random() < 0.5:
        return make(X)
    entries = np.argwhere((X != 0) | (rng.random(X.shape) < 0.1))
    values = X[tuple(entries.T)]
    if rng.random() < 0.5:  # twice a half
        entries, values = np.repeat(entries, 2, axis=0), np.repeat(values / 2, 2)
    order = rng.permutation(len(entries))
    order = order[np.argsort(entries[order, 0], kind="stable")]
    indptr = np.searchsorted(entries[order, 0], np.arange(len(X) + 1))
    kind = choose(rng, [np.int32, np.int64])
    parts = values[order], entries[order, 1].astype(kind), indptr.astype(kind)
    return make(parts, shape=X.shape)


# ---------------------------------------------------------------------------
# Damages
# ---------------------------------------------------------------------------

NUMBERS = [-1, 0, 1, 10**6, 2**31 - 1, -(2**31), np.nan, np.inf, -np.inf, 1e39]
NONSENSE: list[Any] = [
    None,
    "nonsense",
    [],
    {},
    -1,
    np.nan,
    1e400,
    object(),
    (1, 2),
    1j,
]


def damaged(rng, arguments):
    """Arguments of which one is damaged, and the name of that one."""
    name = choose(rng, [name for name in arguments if name != "classes"])
    value = arguments[name]
    if rng.random() < 0.05:
        return {**arguments, name: choose(rng, NONSENSE)}, name
    damage = damaged_csr if hasattr(value, "indptr") else damaged_array
    return {**arguments, name: damage(rng, value)}, name


def damaged_array(rng, array):
    """The array with numbers, type or shape changed."""
    array = np.array(array)
    draw = rng.integers(8)
    if draw == 0:
        return array[: rng.integers(len(array) + 1)]
    if draw == 1:
        return np.concatenate([array, array])
    if draw == 2:
        return array[..., None]
    if draw == 3:
        kinds = [object, str, "S3"] + (
            [complex, "M8[s]"] if array.dtype.kind == "f" else []
        )
        return array.astype(choose(rng, kinds))
    if draw == 4:
        return array.ravel()[:: choose(rng, [1, -1, 2])]
    if draw == 5 and array.ndim == 2:
        return array[:, : rng.integers(array.shape[1] + 1)]
    if array.dtype.kind == "U":
        array = array.astype(object)
    if array.size > 0 and array.dtype.kind in "fO":
        places = rng.integers(array.size, size=choose(rng, [1, 3]))
        array.flat[places] = choose(rng, NUMBERS)
    return array


def damaged_csr(rng, X):
    """The matrix with one of its arrays changed in place."""
    X = X.copy()
    name = choose(rng, ["data", "indices", "indptr"])
    array = getattr(X, name).copy()
    draw = rng.integers(6)
    if draw < 3 and len(array) > 0:
        number = choose(rng, NUMBERS)
        if array.dtype.kind == "i" and not np.isfinite(number):
            number = -7
        limit = np.iinfo(array.dtype).max if array.dtype.kind == "i" else np.inf
        array[rng.integers(len(array))] = min(number, limit)
    elif draw == 3:
        array = array[: rng.integers(len(array) + 1)]
    elif draw == 4:
        array = np.concatenate([array, array[::-1]])
    else:
        array = choose(
            rng,
            [array[::-1], array.astype(np.float64), array[:, None], array.astype("i1")],
        )
    setattr(X, name, array)
    return X


def damaged_settings(rng):
    """A parameter and an invalid value for it."""
    return {
        choose(rng, [*VALUES, "loss", "n_jobs", "random_state"]): choose(rng, NONSENSE)
    }
