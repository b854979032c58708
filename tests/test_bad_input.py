"""Bad input and faults: a clear error, and the estimator exactly as before.

Each case is tried on an estimator before its first fit, after a fit, and in the middle
of a stream. The message must name the cause. No attribute may change: parameters,
learnt state and histories are the same bit for bit. Training that continues after the
failure must give the same model bit for bit as training without it.
"""

import itertools
import math
import pickle
import subprocess
import sys
import textwrap
import warnings
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skmbsgd import DivergenceError, MiniBatchSGDClassifier, MiniBatchSGDRegressor
from skmbsgd._docstrings import with_shared_parts
from skmbsgd._engine.csr_stream import CSRStream
from skmbsgd._engine.stored_stream import arrays_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("error::RuntimeWarning"),
]

N_ROWS, N_FEATURES, N_CLASSES = 40, 3, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, N_FEATURES))
Y = X @ [1.0, -2.0, 0.5] + 3.0
LABELS = np.arange(N_ROWS) % N_CLASSES
WEIGHTS = RNG.uniform(0.5, 2.0, N_ROWS)

# Momentum, averaging and shuffling, so that there is much state to lose
SETTINGS = {
    "momentum": 0.9,
    "nesterov": True,
    "average": 20,
    "batch_size": 7,
    "max_iter": 4,
    "tol": None,
    "random_state": 0,
}

CLASSES = {
    "regressor": MiniBatchSGDRegressor,
    "classifier": MiniBatchSGDClassifier,
}
STAGES = ("unfitted", "fitted", "mid-stream")
LATER_STAGES = STAGES[1:]

each_kind = pytest.mark.parametrize("kind", CLASSES)
each_method = pytest.mark.parametrize("method", ["fit", "partial_fit"])
each_stage = pytest.mark.parametrize("stage", STAGES)


# ---------------------------------------------------------------------------
# Estimators, calls and snapshots
# ---------------------------------------------------------------------------


def good_arguments(kind, method):
    """Return arguments that the method accepts."""
    if kind == "regressor":
        return {"X": X, "y": Y}
    arguments = {"X": X, "y": LABELS}
    if method == "partial_fit":
        arguments["classes"] = np.arange(N_CLASSES)
    return arguments


def call(estimator, kind, method, **changes):
    return getattr(estimator, method)(**good_arguments(kind, method) | changes)


@cache
def pickled(kind, stage):
    """Return a pickled estimator at one of the stages."""
    estimator = CLASSES[kind](**SETTINGS)
    if stage == "fitted":
        call(estimator, kind, "fit")
    if stage == "mid-stream":
        for weights in (None, WEIGHTS, None):
            call(estimator, kind, "partial_fit", sample_weight=weights)
    return pickle.dumps(estimator)


def make(kind, stage, **settings):
    """Return an estimator at one of the stages, with other settings."""
    return pickle.loads(pickled(kind, stage)).set_params(**settings)


def continued(estimator, kind):
    """Return the snapshot of an estimator after one more chunk."""
    return snapshot(call(estimator, kind, "partial_fit"))


@cache
def undisturbed(kind, stage):
    """Return the snapshot after one more chunk, and no failure before it."""
    return continued(make(kind, stage), kind)


def snapshot(value):
    """Return a copy of a value that compares equal only if every bit is equal."""
    if hasattr(value, "get_params"):
        return type(value), snapshot(vars(value))
    if isinstance(value, CSRStream):
        return type(value), snapshot(arrays_of(value))
    if isinstance(value, np.ndarray) and value.dtype != object:
        return type(value), value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.ndarray):
        return type(value), value.shape, snapshot(value.tolist())
    if isinstance(value, dict):
        items = ((snapshot(key), snapshot(item)) for key, item in value.items())
        return type(value), tuple(items)
    if isinstance(value, list | tuple | set):
        return type(value), tuple(snapshot(item) for item in value)
    if isinstance(value, np.random.RandomState):
        return type(value), snapshot(value.get_state(legacy=False))
    if isinstance(value, float):
        return type(value), "nan" if math.isnan(value) else value.hex()
    if value is None or isinstance(value, int | str | bytes | np.generic):
        return type(value), repr(value)
    return type(value), id(value)


def assert_refused(
    kind, method, match, error=ValueError, *, stages=STAGES, settings=(), **changes
):
    """Assert that a call fails as expected at each stage, and changes nothing."""
    usual = CLASSES[kind](**SETTINGS)
    usual_settings = {name: getattr(usual, name) for name in dict(settings)}
    for stage in stages:
        estimator = make(kind, stage, **dict(settings))
        before = snapshot(estimator)
        with pytest.raises(error, match=match):
            call(estimator, kind, method, **changes)
        assert snapshot(estimator) == before
        estimator.set_params(**usual_settings)
        assert continued(estimator, kind) == undisturbed(kind, stage)


def changed(array, value, place=5):
    """Return a copy of the array with one value replaced."""
    array = np.array(array, dtype=float)
    array.flat[place] = value
    return array


def id_of(value):
    """Name a case."""
    text = value if isinstance(value, str) else repr(value)
    return " ".join(text.split())[:60]


def test_a_snapshot_sees_the_smallest_change():
    estimator = make("classifier", "mid-stream")
    before = snapshot(estimator)
    assert snapshot(pickle.loads(pickle.dumps(estimator))) == before
    for change in (
        lambda: estimator.loss_curve_.append(0.0),
        lambda: setattr(estimator, "coef_", np.nextafter(estimator.coef_, 1)),
        lambda: setattr(estimator, "alpha", np.nextafter(estimator.alpha, 1)),
        lambda: setattr(estimator, "something_new_", 1),
    ):
        change()
        assert snapshot(estimator) != before
        before = snapshot(estimator)


# ---------------------------------------------------------------------------
# Parameters
# ---------------------------------------------------------------------------

NOT_NUMBERS = ["0.1", None, [0.1], 1j, math.nan]
NOT_BOOLEANS = ["yes", None, 1, 0.0]

BAD_PARAMETERS = {
    "loss": ["logloss", None, 1, ["hinge"]],
    "penalty": ["L2", "none", 2, True],
    "alpha": [-1e-9, math.inf, *NOT_NUMBERS],
    "l1_ratio": [-0.1, 1.1, math.inf, "0.1", [0.1], math.nan],
    "fit_intercept": NOT_BOOLEANS,
    "max_iter": [0, -1, 2.0, math.inf, *NOT_NUMBERS],
    "tol": [-1e-3, math.inf, math.nan, "1e-3", [1e-3]],
    "batch_size": [0, -1, 2.0, math.inf, "all", None, math.nan, [32]],
    "learning_rate": ["linear", None, 0.1, ["time"]],
    "eta0": [-0.1, math.inf, *NOT_NUMBERS],
    "decay": [-0.1, math.inf, "automatic", None, math.nan, [0.1]],
    "decay_unit": ["step", "epochs", None, 1],
    "drop": [0.0, -0.5, 1.5, math.inf, *NOT_NUMBERS],
    "epochs_drop": [0, -1, math.inf, "ten", None, math.nan, 1j],
    "power_t": [-0.5, math.inf, *NOT_NUMBERS],
    "standardize": [*NOT_BOOLEANS, "Auto"],
    "momentum": [-0.1, 1, 1.0, math.inf, *NOT_NUMBERS],
    "nesterov": NOT_BOOLEANS,
    "shuffle": [*NOT_BOOLEANS, "block"],
    "verbose": [-1, "yes", None, 1.5],
    "epsilon": [-0.1, math.inf, *NOT_NUMBERS],
    "n_jobs": [0, 1.5, math.inf, "all", [2]],
    "random_state": [-1, 2**32, 0.5, "seed", np.random.default_rng(0)],
    "early_stopping": NOT_BOOLEANS,
    "scoring": ["accurracy", 1, True, ["r2"], {"r2": "r2"}],
    "validation_fraction": [0.0, 1.0, -0.1, 1, math.inf, *NOT_NUMBERS],
    "n_iter_no_change": [0, -1, 2.0, *NOT_NUMBERS],
    "warm_start": NOT_BOOLEANS,
    "average": [0, -1, 1.5, "yes", None, math.nan],
}
NUMBERS = ["alpha", "max_iter", "tol", "eta0", "decay", "power_t", "epsilon"]
BAD_SEQUENCES_OF_EPOCHS = [
    [-1],
    [10, math.nan],
    [10, math.inf],
    ["10"],
    [None],
    [1j],
    [[10, 20]],
    [[10], [20, 30]],
    {10: 0.5},
    iter([10, 20]),
    [10**400],
    np.array(-5),
    np.array(0.0),
    np.array(math.nan),
    np.array(math.inf),
    np.array("5"),
]
BAD_CLASS_WEIGHTS = [
    "auto",
    2,
    [1, 2, 1],
    {0: -1.0},
    {0: math.nan},
    {0: math.inf},
    {0: "heavy"},
    {0: None},
    {7: 1.0},
]


@each_kind
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_PARAMETERS.items() for value in values],
    ids=id_of,
)
def test_a_parameter_out_of_range_or_of_a_wrong_type_is_named(kind, name, value):
    assert_refused(kind, "fit", f"'{name}'", settings={name: value})
    # Unlike in scikit-learn, partial_fit checks the parameters in each call.
    assert_refused(
        kind,
        "partial_fit",
        f"'{name}'",
        stages=["unfitted", "mid-stream"],
        settings={name: value},
    )


@each_kind
def test_who_skips_the_check_of_parameters_skips_it_for_a_chunk_too(kind):
    arguments = good_arguments(kind, "partial_fit")
    model = CLASSES[kind](momentum=1.0, eta0=1e-3)
    with config_context(skip_parameter_validation=True):
        assert model.partial_fit(**arguments).n_iter_ == 1
    with pytest.raises(ValueError, match="'momentum'"):
        model.partial_fit(**arguments)


@each_kind
def test_every_parameter_has_bad_values_to_try(kind):
    names = set(CLASSES[kind]().get_params())
    assert names - {"class_weight"} == set(BAD_PARAMETERS)


@each_method
@each_kind
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_float64_cannot_hold_is_named(kind, method, name):
    assert_refused(kind, method, f"{name} must.*float64", settings={name: 10**400})


@each_method
@each_kind
@pytest.mark.parametrize("epochs", BAD_SEQUENCES_OF_EPOCHS, ids=id_of)
def test_a_bad_sequence_of_epochs_is_named(kind, method, epochs):
    settings = {"learning_rate": "step", "epochs_drop": epochs}
    assert_refused(kind, method, "epochs_drop", settings=settings)


@each_method
@pytest.mark.parametrize("class_weight", BAD_CLASS_WEIGHTS, ids=id_of)
def test_a_bad_class_weight_is_named(method, class_weight):
    settings = {"class_weight": class_weight}
    assert_refused("classifier", method, "class_weight", settings=settings)


@each_method
@each_kind
def test_the_optimal_schedule_needs_a_penalty(kind, method):
    settings = {"learning_rate": "optimal", "alpha": 0}
    assert_refused(kind, method, "alpha", settings=settings)


@each_kind
def test_early_stopping_needs_all_the_data(kind):
    settings = {"early_stopping": True}
    assert_refused(kind, "partial_fit", "early_stopping", settings=settings)


def test_balanced_weights_need_all_the_data():
    settings = {"class_weight": "balanced"}
    assert_refused(
        "classifier", "partial_fit", "balanced.*partial_fit", settings=settings
    )


@each_stage
def test_an_unknown_parameter_is_named_and_not_set(stage):
    estimator = make("regressor", stage)
    before = snapshot(estimator)
    with pytest.raises(ValueError, match="momentun"):
        estimator.set_params(momentun=0.5)
    assert snapshot(estimator) == before


# ---------------------------------------------------------------------------
# Training data
# ---------------------------------------------------------------------------

BAD_DATA = {
    "X has a NaN": ({"X": changed(X, math.nan)}, ValueError, "X contains NaN"),
    "X has an inf": ({"X": changed(X, -math.inf)}, ValueError, "X contains inf"),
    "X is empty": ({"X": X[:0], "y": Y[:0]}, ValueError, r"0 sample\(s\)"),
    "X is empty, y is not": ({"X": X[:0]}, ValueError, r"0 sample\(s\)"),
    "X has no column": ({"X": X[:, :0]}, ValueError, r"0 feature\(s\)"),
    "X is 1-D": ({"X": Y}, ValueError, "Expected 2D array"),
    "X is 3-D": ({"X": X[:, :, None]}, ValueError, "dim 3"),
    "X is a number": ({"X": 1.0}, ValueError, "Expected 2D array"),
    "X is None": ({"X": None}, ValueError, "Expected 2D array"),
    "X is complex": ({"X": X + 1j}, ValueError, "Complex data"),
    "X is text": ({"X": [["a", "b", "c"]] * N_ROWS}, ValueError, "to float"),
    "X is ragged": ({"X": [[1.0, 2.0]] * 39 + [[1.0]]}, ValueError, "inhomogeneous"),
    "X is shorter than y": ({"X": X[:-1]}, ValueError, "numbers of samples.*39, 40"),
    "y is None": ({"y": None}, ValueError, "requires y"),
    "y is a number": ({"y": 1.0}, (ValueError, TypeError), "scalar|1d array"),
    "y is shorter than X": ({"y": LABELS[:-1]}, ValueError, "samples.*40, 39"),
    "y has a NaN": ({"y": changed(LABELS, math.nan)}, ValueError, "y contains NaN"),
    "y has an inf": ({"y": changed(LABELS, math.inf)}, ValueError, "y contains inf"),
    "y is complex": ({"y": LABELS + 1j}, ValueError, "Complex data"),
    "y is 3-D": ({"y": Y[:, None, None]}, ValueError, "dim 3|1d array"),
    "a weight is NaN": (
        {"sample_weight": changed(WEIGHTS, math.nan)},
        ValueError,
        "sample_weight contains NaN",
    ),
    "a weight is inf": (
        {"sample_weight": changed(WEIGHTS, math.inf)},
        ValueError,
        "sample_weight contains inf",
    ),
    "a weight is negative": (
        {"sample_weight": changed(WEIGHTS, -1e-9)},
        ValueError,
        "Negative.*sample_weight",
    ),
    "weights are too few": (
        {"sample_weight": WEIGHTS[:-1]},
        ValueError,
        "sample_weight.shape == .39,.",
    ),
    "weights are 2-D": (
        {"sample_weight": WEIGHTS[:, None]},
        ValueError,
        "[Ss]ample.weights must be 1D",
    ),
    "weights are text": ({"sample_weight": ["a"] * N_ROWS}, ValueError, "to float"),
    "weights are sparse": (
        {"sample_weight": sparse.csr_matrix(WEIGHTS)},
        TypeError,
        "sample_weight",
    ),
}
BAD_TARGETS = {
    "regressor": {
        "y is text": ({"y": ["a"] * N_ROWS}, ValueError, "to float"),
        "y has no column": ({"y": np.empty((N_ROWS, 0))}, ValueError, r"0 feature"),
        "y is sparse": (
            {"y": sparse.csr_matrix(Y[:, None])},
            TypeError,
            r"y is a sparse matrix.*toarray",
        ),
        "y has a None": (
            {"y": np.array([None, *Y[1:]], dtype=object)},
            (ValueError, TypeError),
            r"\by\b",
        ),
        "y overflows float64": (
            {"y": np.full(N_ROWS, np.longdouble("1e4000"))},
            ValueError,
            r"\by\b",
        ),
    },
    "classifier": {
        "y is 2-D": ({"y": np.c_[LABELS, LABELS]}, ValueError, "1d array"),
        "y is continuous": ({"y": Y}, ValueError, "continuous"),
        "y is sparse": (
            {"y": sparse.csr_matrix(LABELS[:, None])},
            (TypeError, ValueError),
            "[Ss]parse.* y|1d array",
        ),
        "y mixes types": (
            {"y": np.array([0, "one", None, 3.5] * 10, dtype=object)},
            (ValueError, TypeError),
            "label",
        ),
        "y mixes text and numbers": (
            {"y": np.array(["one", 0] * 20, dtype=object)},
            ValueError,
            "y cannot be read as labels",
        ),
        "y has bytes": (
            {"y": np.array([b"0", b"1"] * 20)},
            ValueError,
            "y cannot be read as labels: .*bytes",
        ),
    },
}
DATA_CASES = [
    (kind, name)
    for kind in CLASSES
    for name in [*BAD_DATA, *BAD_TARGETS[kind]]
    # Some platforms have no larger numbers than float64's.
    if name != "y overflows float64" or np.finfo(np.longdouble).maxexp > 2**13
]


@each_method
@pytest.mark.parametrize(("kind", "name"), DATA_CASES, ids=id_of)
def test_bad_data_are_named(kind, method, name):
    changes, error, match = (BAD_DATA | BAD_TARGETS[kind])[name]
    assert_refused(kind, method, match, error, **changes)


@each_kind
def test_weights_that_are_all_zero_leave_nothing_to_fit(kind):
    match = "(?i)weights.*zero"
    assert_refused(kind, "fit", match, sample_weight=np.zeros(N_ROWS))


def test_class_weights_that_are_all_zero_leave_nothing_to_fit():
    settings = {"class_weight": dict.fromkeys(range(N_CLASSES), 0)}
    assert_refused("classifier", "fit", "weights.*zero", settings=settings)


def test_a_class_without_weight_is_left_out_of_the_balance():
    weights = np.where(LABELS == 0, 0.0, WEIGHTS)
    balanced = make("classifier", "unfitted", class_weight="balanced")
    balanced.fit(X, LABELS, sample_weight=weights)
    totals = np.bincount(LABELS, weights)
    ratios = {0: 5.0, 1: 1.0 / totals[1], 2: 1.0 / totals[2]}
    weighted = make("classifier", "unfitted", class_weight=ratios)
    weighted.fit(X, LABELS, sample_weight=weights)
    np.testing.assert_allclose(balanced.coef_, weighted.coef_, rtol=1e-12)


@pytest.mark.parametrize("label", [0, "a", True], ids=id_of)
def test_a_single_class_is_refused(label):
    y = np.full(N_ROWS, label)
    assert_refused("classifier", "fit", "2 classes, got 1", y=y)


@each_kind
@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_a_later_chunk_must_have_the_same_number_of_features(kind, n_features):
    chunk = np.ones((N_ROWS, n_features))
    match = f"X has {n_features} features.*expecting {N_FEATURES} features"
    assert_refused(kind, "partial_fit", match, X=chunk, stages=LATER_STAGES)


@pytest.mark.parametrize("n_targets", [2, 5])
def test_a_later_chunk_must_have_the_same_number_of_targets(n_targets):
    y = np.ones((N_ROWS, n_targets))
    match = f"y has {n_targets} targets.*1"
    assert_refused("regressor", "partial_fit", match, y=y, stages=LATER_STAGES)


@each_method
@pytest.mark.parametrize("dtype", ["datetime64[s]", "timedelta64[D]"])
def test_times_are_no_targets_of_a_regression(method, dtype):
    y = np.arange(N_ROWS).astype(dtype)
    match = r"y must hold numbers, got (datetime|timedelta)64\[.\]. Convert it"
    for times in (y, y[:, None], pd.Series(y)):
        assert_refused("regressor", method, "y must hold numbers, got", y=times)
    assert_refused("regressor", method, match, y=y)
    if method == "fit":
        validation = {"X_val": X, "y_val": y}
        assert_refused("regressor", "fit", f"In X_val, y_val.*{match}", **validation)
    # The advice of the message works.
    seconds = (y - y.min()) / np.timedelta64(1, "s")
    assert np.isfinite(MiniBatchSGDRegressor(eta0=1e-9).fit(X, seconds).coef_).all()


def test_a_later_chunk_of_one_target_does_not_fit_a_model_of_two():
    estimator = MiniBatchSGDRegressor(**SETTINGS).partial_fit(X, np.c_[Y, -Y])
    before = snapshot(estimator)
    with pytest.raises(ValueError, match=r"y has 1 targets.*2"):
        estimator.partial_fit(X, Y)
    assert snapshot(estimator) == before


@each_kind
def test_a_later_chunk_must_fit_the_precision_of_the_first(kind):
    estimator = CLASSES[kind](**SETTINGS)
    call(estimator, kind, "partial_fit", X=X.astype(np.float32))
    before = snapshot(estimator)
    with pytest.raises(ValueError, match="X contains inf"):
        call(estimator, kind, "partial_fit", X=changed(X, 1e300))
    assert snapshot(estimator) == before


@pytest.mark.parametrize(
    "y", [LABELS + 1, LABELS - 1, LABELS * 10**15, -LABELS], ids=id_of
)
def test_labels_unknown_to_a_later_chunk_are_named(y):
    unknown = np.setdiff1d(y, LABELS)[0]
    match = f"y has labels.*not among the classes(?s:.*){unknown}"
    assert_refused("classifier", "partial_fit", match, y=y, stages=LATER_STAGES)


def test_labels_of_another_type_are_unknown():
    # As numbers and as text, 9 and 10 sort differently.
    y = LABELS.astype(str)
    match = "y has labels"
    assert_refused("classifier", "partial_fit", match, y=y, stages=LATER_STAGES)
    estimator = MiniBatchSGDClassifier(**SETTINGS).fit(X, LABELS + 8)
    with pytest.raises(ValueError, match=match):
        estimator.partial_fit(X, (LABELS + 8).astype(str))


def test_labels_unknown_to_the_first_chunk_are_named():
    assert_refused(
        "classifier",
        "partial_fit",
        r"y has labels.*classes \[0 1\]: \[2\]",
        stages=["unfitted"],
        classes=[0, 1],
    )


def test_the_first_chunk_needs_the_classes():
    assert_refused(
        "classifier",
        "partial_fit",
        "classes must be passed",
        stages=["unfitted"],
        classes=None,
    )


@pytest.mark.parametrize(
    ("classes", "error", "match"),
    [
        ([0], ValueError, "2 classes"),
        ([], ValueError, "class"),
        ([0, "one"], ValueError, "string and number"),
        (np.array([0, "one", 2], dtype=object), (ValueError, TypeError), "class|label"),
        ([0, 1, math.nan], ValueError, "NaN"),
        ([0.5, 1.5], ValueError, "label type"),
        ("012", ValueError, "array-like"),
        (3, ValueError, "array-like"),
    ],
    ids=id_of,
)
def test_what_cannot_be_classes_is_refused(classes, error, match):
    assert_refused(
        "classifier", "partial_fit", match, error, stages=["unfitted"], classes=classes
    )


def test_labels_of_another_kind_than_the_classes_are_refused_in_every_chunk():
    labels = LABELS.astype(object)
    assert_refused("classifier", "fit", "Unknown label type", y=labels)
    assert_refused("classifier", "partial_fit", "Unknown label type", y=labels)


@each_kind
def test_an_iterator_of_epochs_is_refused_even_unchecked(kind):
    settings = {"learning_rate": "step", "epochs_drop": iter([1, 2])}
    with config_context(skip_parameter_validation=True):
        with pytest.raises(ValueError, match="epochs_drop"):
            CLASSES[kind](**settings).partial_fit(**good_arguments(kind, "partial_fit"))


@pytest.mark.parametrize("classes", [[0, 1], [0, 1, 2, 3], [0, 1, 5], ["0", "1", "2"]])
def test_classes_cannot_change_in_a_stream(classes):
    match = "classes.*not the same"
    assert_refused(
        "classifier", "partial_fit", match, classes=classes, stages=LATER_STAGES
    )


# ---------------------------------------------------------------------------
# Initial weights and validation data
# ---------------------------------------------------------------------------

BAD_INITIAL_WEIGHTS = [
    ("coef_init", np.ones(N_FEATURES + 1)),
    ("coef_init", np.ones((2, N_FEATURES))),
    ("coef_init", np.ones((N_FEATURES, N_CLASSES, 1))),
    ("coef_init", np.ones(0)),
    ("coef_init", changed(np.ones((N_CLASSES, N_FEATURES)), math.nan)),
    ("coef_init", changed(np.ones((N_CLASSES, N_FEATURES)), math.inf)),
    ("coef_init", "zeros"),
    ("coef_init", ["a", "b", "c"]),
    ("coef_init", np.ones(N_FEATURES, dtype=complex)),
    ("coef_init", sparse.csr_matrix(np.ones((N_CLASSES, N_FEATURES)))),
    ("intercept_init", np.ones(N_CLASSES + 1)),
    ("intercept_init", np.ones((2, 2))),
    ("intercept_init", np.full(N_CLASSES, math.nan)),
    ("intercept_init", np.full(N_CLASSES, -math.inf)),
    ("intercept_init", "zero"),
]


@each_kind
@pytest.mark.parametrize(("name", "value"), BAD_INITIAL_WEIGHTS, ids=id_of)
def test_bad_initial_weights_are_named(kind, name, value):
    assert_refused(kind, "fit", name, (ValueError, TypeError), **{name: value})


BAD_VALIDATION_DATA = {
    "X_val without y_val": ({"X_val": X, "y_val": None}, "X_val and y_val"),
    "y_val without X_val": ({"X_val": None}, "X_val and y_val"),
    "weights alone": (
        {"X_val": None, "y_val": None, "sample_weight_val": WEIGHTS},
        "sample_weight_val",
    ),
    "a NaN in X_val": ({"X_val": changed(X, math.nan)}, "X_val"),
    "an inf in X_val": ({"X_val": changed(X, math.inf)}, "X_val"),
    "X_val of other features": ({"X_val": X[:, :2]}, "X_val"),
    "X_val is 1-D": ({"X_val": Y}, "X_val"),
    "X_val is empty": ({"X_val": X[:0], "y_val": Y[:0]}, "X_val"),
    "X_val and y_val of other lengths": ({"X_val": X[:-1]}, "X_val|y_val"),
    "a NaN in y_val": ({"y_val": changed(LABELS, math.nan)}, "y_val"),
    "y_val of other targets": ({"y_val": np.c_[LABELS, LABELS]}, "y_val"),
    "a NaN weight": (
        {"sample_weight_val": changed(WEIGHTS, math.nan)},
        "sample_weight_val",
    ),
    "a negative weight": (
        {"sample_weight_val": changed(WEIGHTS, -1)},
        "sample_weight_val",
    ),
    "too few weights": ({"sample_weight_val": WEIGHTS[:-1]}, "sample_weight_val"),
    "no weight": ({"sample_weight_val": np.zeros(N_ROWS)}, "sample_weight_val"),
}


@each_kind
@pytest.mark.parametrize("name", BAD_VALIDATION_DATA)
def test_bad_validation_data_are_told_from_training_data(kind, name):
    changes, match = BAD_VALIDATION_DATA[name]
    good = {"X_val": X, "y_val": good_arguments(kind, "fit")["y"]}
    errors = (ValueError, TypeError)
    assert_refused(kind, "fit", match, errors, **good | changes)


def test_unknown_labels_in_validation_data_are_named():
    # The remedy is not one of partial_fit's here.
    match = r"y_val.*labels that are not among(?!.*partial_fit)"
    changes = {"X_val": X, "y_val": LABELS + 1}
    assert_refused("classifier", "fit", match, **changes)


def test_a_validation_score_that_is_undefined_is_refused():
    # R^2 needs two samples: with one, no epoch is better than another, and fit would
    # silently return the weights of the first.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changes = {"X_val": X[:1], "y_val": Y[:1]}
        for scoring in (None, "r2"):
            settings = {"scoring": scoring}
            assert_refused(
                "regressor", "fit", "score is nan.*X_val", settings=settings, **changes
            )


@each_kind
@pytest.mark.parametrize("validation", ["held out", "given"])
def test_huge_weights_leave_the_validation_score_defined(kind, validation):
    estimator = make(kind, "unfitted", early_stopping=validation == "held out")
    weights = np.full(N_ROWS, 1e308)
    arguments = {"sample_weight": weights}
    if validation == "given":
        y = good_arguments(kind, "fit")["y"]
        arguments = {"X_val": X, "y_val": y, "sample_weight_val": weights}
    call(estimator, kind, "fit", **arguments)
    assert np.isfinite(estimator.validation_scores_).all()


@each_kind
def test_too_few_rows_for_early_stopping_are_refused(kind):
    if kind == "regressor":
        changes = {"X": X[:1], "y": Y[:1]}
    else:
        changes = {"y": np.arange(N_ROWS) == 3}  # a single row of its class
    settings = {"early_stopping": True}
    match = "^early_stopping=True(?!.*test_size).*X_val and y_val"
    assert_refused(kind, "fit", match, settings=settings, **changes)


@each_method
@each_kind
@pytest.mark.parametrize("rate", [0.01, 1, np.float32(0.5)])
def test_a_number_as_learning_rate_is_sent_to_eta0(kind, method, rate):
    match = "'learning_rate' .*Pass a number as eta0="
    assert_refused(kind, method, match, settings={"learning_rate": rate})


NAMES = np.array(["no", "yes", "never"])[LABELS]
OBJECTS_AS_LABELS = {
    "booleans": ((LABELS > 0).astype(object), r"type bool.*\.astype\('bool'\)"),
    "integers": (LABELS.astype(object), r"type int.*\.astype\('int'\)"),
    "None": (np.where(LABELS == 1, None, NAMES), "missing values .*NA"),
    "NaN": (np.where(LABELS == 1, math.nan, NAMES.astype(object)), "missing values"),
    "NA": (pd.Series(NAMES, dtype="string").where(LABELS != 1), "missing values"),
    "NA among objects": (
        pd.Series(NAMES, dtype=object).where(LABELS != 1, pd.NA),
        "missing values",
    ),
    "NA among booleans": (
        pd.Series(LABELS > 0, dtype="boolean").where(LABELS != 1),
        "missing values",
    ),
    "a categorical": (pd.Series(NAMES, dtype="category").where(LABELS != 1), "missing"),
}


@each_method
@pytest.mark.parametrize("name", OBJECTS_AS_LABELS)
def test_objects_that_are_no_labels_are_explained(name, method):
    labels, match = OBJECTS_AS_LABELS[name]
    assert_refused("classifier", method, f"y (has|holds).*{match}", y=labels)


@pytest.mark.parametrize("name", OBJECTS_AS_LABELS)
def test_objects_that_are_no_labels_are_explained_for_validation_too(name):
    labels, match = OBJECTS_AS_LABELS[name]
    changes = {"X_val": X, "y_val": labels}
    assert_refused("classifier", "fit", f"y_val.*{match}", **changes)


def test_classes_with_a_missing_label_are_refused():
    with pytest.raises(ValueError, match="classes has missing values"):
        CLASSES["classifier"]().partial_fit(X, LABELS, classes=[0, 1, None])


@pytest.mark.parametrize(
    "labels",
    [LABELS + 1, LABELS.astype(str), LABELS % 2, np.where(LABELS == 2, 7, LABELS)],
    ids=["others", "strings", "fewer", "one other"],
)
def test_a_warm_start_for_other_classes_is_refused(labels):
    match = r"warm_start=True.*classes \[0 1 2\].*partial_fit\(classes=...\)"
    settings = {"warm_start": True}
    assert_refused(
        "classifier", "fit", match, stages=LATER_STAGES, settings=settings, y=labels
    )


def test_a_warm_start_for_the_same_classes_as_other_numbers_is_not_refused():
    estimator = make("classifier", "fitted", warm_start=True)
    estimator.fit(X, LABELS.astype(float))
    np.testing.assert_array_equal(estimator.classes_, [0, 1, 2])


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("regressor", {"X": X[:, :2]}),
        ("regressor", {"y": np.c_[Y, Y]}),
        ("classifier", {"X": X[:, :2]}),
        ("classifier", {"y": LABELS % 2}),
    ],
    ids=["features", "targets", "features, labels", "classes"],
)
def test_a_warm_start_from_weights_of_another_shape_says_so(kind, changes):
    # The message must not blame coef_init, which was not passed.
    settings = {"warm_start": True}
    assert_refused(
        kind, "fit", "warm_start", stages=LATER_STAGES, settings=settings, **changes
    )


# ---------------------------------------------------------------------------
# Learning rates from a callable
# ---------------------------------------------------------------------------


class FromEpoch:
    """A schedule of 0.01 whose epochs from ``first`` on take another action."""

    def __init__(self, first, action):
        self.first = first
        self.action = action

    def __call__(self, epoch):
        return 0.01 if epoch < self.first else self.action()


def raise_error(error):
    raise error


NONSENSE_RATES = [
    math.nan,
    math.inf,
    -math.inf,
    -0.01,
    "0.1",
    None,
    1j,
    [0.1],
    np.array([0.1]),
    10**400,
]
FIRST_EPOCHS = {"unfitted": 0, "fitted": 4, "mid-stream": 3}


@each_stage
@each_method
@each_kind
@pytest.mark.parametrize("rate", NONSENSE_RATES, ids=id_of)
def test_a_schedule_that_returns_nonsense_is_named(kind, method, stage, rate):
    epoch = 2 if method == "fit" else FIRST_EPOCHS[stage]
    settings = {"learning_rate": FromEpoch(epoch, lambda: rate)}
    match = rf"learning_rate\({epoch}\)"
    assert_refused(kind, method, match, stages=[stage], settings=settings)


@each_stage
@each_method
@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("mine"),
        KeyError("mine"),
        KeyboardInterrupt("mine"),
        SystemExit("mine"),
        GeneratorExit("mine"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_schedule_that_raises_is_heard(method, stage, error):
    epoch = 2 if method == "fit" else FIRST_EPOCHS[stage]
    settings = {"learning_rate": FromEpoch(epoch, lambda: raise_error(error))}
    kind = "classifier"
    assert_refused(kind, method, "mine", type(error), stages=[stage], settings=settings)


def test_the_error_of_a_schedule_says_where_it_came_from():
    estimator = MiniBatchSGDRegressor(learning_rate=lambda epoch: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        estimator.fit(X, Y)
    assert any("learning_rate(0)" in note for note in caught.value.__notes__)


@each_stage
@each_method
def test_a_failing_schedule_that_meddles_with_the_estimator_leaves_no_trace(
    method, stage
):
    holder = SimpleNamespace()

    def meddle():
        holder.estimator.set_params(eta0=5.0, momentum=0.0, average=False)
        holder.estimator.coef_ = "gone"
        holder.estimator.something_new_ = 1
        vars(holder.estimator).pop("intercept_", None)
        raise ArithmeticError("mine")

    epoch = 2 if method == "fit" else FIRST_EPOCHS[stage]
    holder.estimator = make("classifier", stage, learning_rate=FromEpoch(epoch, meddle))
    before = snapshot(holder.estimator)
    with pytest.raises(ArithmeticError, match="mine"):
        call(holder.estimator, "classifier", method)
    assert snapshot(holder.estimator) == before


@each_stage
@each_method
def test_a_schedule_that_trains_its_own_estimator_is_refused(method, stage):
    holder = SimpleNamespace()
    epoch = 0 if method == "fit" else FIRST_EPOCHS[stage]

    def train_again():
        return call(holder.estimator, "regressor", method)

    holder.estimator = make(
        "regressor", stage, learning_rate=FromEpoch(epoch, train_again)
    )
    before = snapshot(holder.estimator)
    with pytest.raises(RuntimeError, match="already being trained"):
        call(holder.estimator, "regressor", method)
    assert snapshot(holder.estimator) == before


def run_apart(code):
    """Run code in another process, which may crash; return what it printed."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout


def test_settings_that_change_during_an_epoch_do_not_crash_the_process():
    # The engine must not average into arrays that were never allocated.
    printed = run_apart(
        """
        import warnings
        import numpy as np
        from scipy.sparse import csr_matrix
        from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

        warnings.simplefilter("ignore")
        X = np.random.default_rng(0).normal(size=(40, 3))
        changes = [
            {"average": True}, {"average": 3}, {"average": False},
            {"batch_size": 1}, {"batch_size": "full"}, {"batch_size": 1000},
            {"momentum": 0.5}, {"nesterov": True}, {"penalty": "l1"},
            {"fit_intercept": False}, {"shuffle": False}, {"loss": "huber"},
        ]
        for Estimator, y in [
            (MiniBatchSGDRegressor, X[:, 0]),
            (MiniBatchSGDClassifier, np.arange(40) % 3),
        ]:
            for average in (False, True):
                for change in changes:
                    def schedule(epoch):
                        if epoch == 1:
                            estimator.set_params(**change)
                        return 0.01
                    estimator = Estimator(
                        learning_rate=schedule, average=average, max_iter=3, tol=None
                    )
                    for layout in (np.array, csr_matrix):
                        estimator.set_params(average=average, penalty="l2")
                        estimator.fit(layout(X), y).predict(X)
                        assert np.isfinite(estimator.coef_).all()
        print("survived")
        """
    )
    assert printed == "survived\n"


def test_malformed_sparse_matrices_are_refused_and_do_not_crash_the_process():
    # In each of them an index or a length is wrong, and compiled code that believes it
    # reads or writes outside of its arrays.
    printed = run_apart(
        """
        import pickle, warnings
        import numpy as np
        from scipy import sparse
        from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

        warnings.simplefilter("ignore")
        dense = np.random.default_rng(0).normal(size=(40, 3))
        dense[::2, 1] = 0.0

        def spoilt(format, **changes):
            X = sparse.csr_matrix(dense).asformat(format)
            for name, change in changes.items():
                array = getattr(X, name).copy()
                array = change(array)
                setattr(X, name, array)
            return X

        def put(place, value):
            def change(array):
                array[place] = value
                return array
            return change

        cases = {}
        for format in ("csr", "csc", "bsr"):
            for value in (-1, 100, 10**6, 2**31 - 1):
                cases[f"{format} index {value}"] = spoilt(
                    format, indices=put(2, value)
                )
                if value > 100:  # the number of entries
                    cases[f"{format} indptr {value}"] = spoilt(
                        format, indptr=put(2, value)
                    )
            cases[f"{format} last"] = spoilt(format, indptr=put(-1, 10**6))
            cases[f"{format} first"] = spoilt(format, indptr=put(0, -3))
            cases[f"{format} few data"] = spoilt(format, data=lambda a: a[:3])
            cases[f"{format} few indices"] = spoilt(format, indices=lambda a: a[:3])
            cases[f"{format} short indptr"] = spoilt(format, indptr=lambda a: a[:2])
        for value in (-1, 100, 10**6, 2**31 - 1):
            if hasattr(sparse.coo_matrix, "row"):
                cases[f"coo row {value}"] = spoilt("coo", row=put(0, value))
                cases[f"coo column {value}"] = spoilt("coo", col=put(0, value))
            cases[f"lil column {value}"] = spoilt("lil", rows=put(0, [value]),
                                                  data=put(0, [1.0]))
        cases["lil few rows"] = spoilt("lil", rows=put(0, [0]), data=put(0, [1.0] * 9))
        cases["lil few data"] = spoilt("lil", rows=put(0, [0, 1]), data=put(0, [1.0]))
        cases["dia few offsets"] = spoilt("dia", offsets=lambda a: a[:1])
        cases["dia many offsets"] = spoilt("dia", offsets=lambda a: np.tile(a, 50))

        for Estimator, y in [
            (MiniBatchSGDRegressor, dense[:, 0]),
            (MiniBatchSGDRegressor, dense),
            (MiniBatchSGDClassifier, np.arange(40) % 3),
        ]:
            estimator = Estimator(max_iter=2).fit(dense, y)
            before = pickle.dumps(vars(estimator))
            for name, X in cases.items():
                for call in (
                    lambda: estimator.predict(X),
                    lambda: estimator.fit(X, y),
                    lambda: estimator.fit(dense, y, X_val=X, y_val=y),
                    lambda: estimator.partial_fit(X, y),
                ):
                    try:
                        call()
                    except ValueError:
                        pass
                    else:
                        print("accepted:", name)
                    if pickle.dumps(vars(estimator)) != before:
                        print("changed by:", name)
                        estimator = pickle.loads(pickle.dumps(estimator)).fit(dense, y)
                        before = pickle.dumps(vars(estimator))
        print("survived")
        """
    )
    assert printed == "survived\n"


def test_the_package_can_do_without_docstrings():
    # python -OO removes them before the estimators' are completed.
    class Undocumented:
        pass

    assert with_shared_parts(Undocumented) is Undocumented


# ---------------------------------------------------------------------------
# Divergence
# ---------------------------------------------------------------------------


@each_stage
@each_method
@each_kind
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet", None])
def test_divergence_names_the_epoch_and_a_remedy(kind, method, stage, penalty):
    loss = {"regressor": "squared_error", "classifier": "squared_hinge"}[kind]
    settings = {"eta0": 1e200, "loss": loss, "penalty": penalty, "batch_size": 1}
    epoch = 1 if method == "fit" else FIRST_EPOCHS[stage] + 1
    match = rf"diverged in epoch {epoch}\b(?s:.*)eta0=1e\+200.*scale the features"
    assert_refused(kind, method, match, stages=[stage], settings=settings)


@each_kind
@pytest.mark.parametrize("validation", ["none", "held out", "given"])
def test_divergence_after_some_epochs_forgets_them(kind, validation):
    loss = {"regressor": "squared_error", "classifier": "squared_hinge"}[kind]
    settings = {
        "learning_rate": FromEpoch(2, lambda: 1e200),
        "loss": loss,
        "batch_size": 1,
        "early_stopping": validation == "held out",
    }
    changes = {}
    if validation == "given":
        changes = {"X_val": X, "y_val": good_arguments(kind, "fit")["y"]}
    match = r"diverged in epoch 3\b"
    assert_refused(kind, "fit", match, settings=settings, **changes)


def test_divergence_in_single_precision_is_noticed():
    settings = {"eta0": 1e30, "batch_size": 1}
    changes = {"X": X.astype(np.float32)}
    match = "diverged in epoch 1"
    assert_refused("regressor", "fit", match, settings=settings, **changes)


EXTREMES = [1e300, 1e154, 1e38, 1e-30, 1e-310]


@pytest.mark.parametrize("penalty", ["l1", "l2", None])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        (kind, loss)
        for kind in CLASSES
        for option in CLASSES[kind]._parameter_constraints["loss"]
        for loss in sorted(option.options)
    ],
)
def test_extreme_features_give_an_error_or_finite_weights(kind, loss, dtype, penalty):
    limit = float(np.finfo(dtype).max)
    for scale in EXTREMES:
        for other in (1.0, scale):  # in every second row
            rows = np.where(np.arange(N_ROWS) % 2, scale, other)[:, None]
            extreme = np.clip(X * rows, -limit, limit).astype(dtype)
            estimator = make(kind, "unfitted", loss=loss, penalty=penalty)
            try:
                call(estimator, kind, "fit", X=extreme)
            except ValueError as error:
                assert "diverged" in str(error) or "variance" in str(error)
                assert not hasattr(estimator, "coef_")
            else:
                for learnt in (
                    estimator.coef_,
                    estimator.intercept_,
                    estimator.loss_curve_,
                ):
                    assert np.isfinite(learnt).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"y": np.resize([1e200, -1e200], N_ROWS)},
        {"y": changed(Y, -1e300)},
        {"coef_init": np.full(N_FEATURES, 1e300)},
        {"intercept_init": [1e300]},
    ],
    ids=["all targets", "one target", "weights", "intercept"],
)
def test_extreme_targets_and_initial_weights_are_refused(changes):
    assert_refused("regressor", "fit", "diverged in epoch 1", **changes)


TOO_LARGE = "too large: the best constant prediction exceeds the range of float"
TWO_CLASSES = np.resize([0, 1], N_ROWS)
NUMBERS_TOO_LARGE = {
    "float32": (MiniBatchSGDRegressor(), X.astype("f"), Y * 1e60, 1.0, TOO_LARGE),
    "int8": (MiniBatchSGDRegressor(), X.astype("b"), Y * 1e60, 1.0, "X as float64"),
    "y": (MiniBatchSGDRegressor(), X, np.full(N_ROWS, 1.7e308), 1.0, TOO_LARGE),
    "sample_weight": (MiniBatchSGDRegressor(), X, Y, 1.7e308, TOO_LARGE),
    "class_weight": (
        MiniBatchSGDClassifier(class_weight={0: 1.7e308}),
        X,
        TWO_CLASSES,
        1.0,
        TOO_LARGE,
    ),
    "both weights": (
        MiniBatchSGDClassifier(class_weight={0: 1e200}, eta0=0.1),
        X,
        TWO_CLASSES,
        1e200,
        "class_weight times sample_weight exceeds",
    ),
    "absolute y": (
        MiniBatchSGDRegressor(loss="huber"),
        X,
        np.resize([1.7e308, -1.7e308], N_ROWS),
        1.0,
        "sums of them exceed the range of float64",
    ),
}


@pytest.mark.parametrize("case", NUMBERS_TOO_LARGE)
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_numbers_too_large_for_a_stream_are_named(case, layout):
    model, rows, y, weight, match = NUMBERS_TOO_LARGE[case]
    model = clone(model)
    known = {"classes": [0, 1]} if y is TWO_CLASSES else {}
    with pytest.raises(ValueError, match=match):
        model.partial_fit(layout(rows), y, sample_weight=[weight] * N_ROWS, **known)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("unit", [1e-160, 1e-154, 1e20])
def test_chunks_that_vary_far_more_than_those_before_warn_of_nothing(unit):
    """The growth of the variance overflows, or is lost beside a weight of 1e20."""
    model = MiniBatchSGDRegressor(random_state=0)
    model.partial_fit(min(unit, 1.0) * X, Y)
    model.partial_fit(X, Y, sample_weight=[max(unit, 1.0)] + [1.0] * (N_ROWS - 1))
    assert np.isfinite(model.coef_).all()


def test_targets_beyond_single_precision_diverge_without_warnings():
    model = MiniBatchSGDRegressor(eta0=1e-30, early_stopping=True, random_state=0)
    with pytest.raises(DivergenceError):
        model.fit(X.astype("f"), Y * 1e60)


def test_predictions_that_overflow_on_validation_data_are_no_input():
    model = MiniBatchSGDRegressor(scoring=None, eta0=0.01, random_state=0)
    X_val = np.full((3, N_FEATURES), 3e38, dtype=np.float32)
    with (
        pytest.warns(UserWarning, match="far outside the range"),
        pytest.raises(ValueError, match="all need finite predictions"),
    ):
        model.fit(X.astype("f"), 1e3 * Y, X_val=X_val, y_val=Y[:3])


@pytest.mark.parametrize("extreme", ["X", "y"])
def test_a_row_without_weight_has_no_say_however_extreme(extreme):
    # Weight 0 is absence, exactly so where one batch holds all rows.
    estimator = make("regressor", "unfitted", batch_size="full")
    rows, targets = np.vstack([X, np.ones(N_FEATURES)]), np.append(Y, 0.0)
    rows[-1] = 1e200 if extreme == "X" else 1.0
    targets[-1] = 1e200 if extreme == "y" else 0.0
    estimator.fit(rows, targets, sample_weight=np.append(np.ones(N_ROWS), 0.0))
    without = make("regressor", "unfitted", batch_size="full").fit(X, Y)
    np.testing.assert_allclose(estimator.coef_, without.coef_, rtol=1e-10)


@each_kind
@pytest.mark.parametrize("weight", [5e-324, 1e-308, 1e-300, 1e300, 1e308])
def test_the_scale_of_the_weights_does_not_matter_however_extreme(kind, weight):
    weighted = make(kind, "unfitted")
    call(weighted, kind, "fit", sample_weight=np.full(N_ROWS, weight))
    plain = call(make(kind, "unfitted"), kind, "fit")
    np.testing.assert_allclose(weighted.coef_, plain.coef_, rtol=1e-12)


@pytest.mark.parametrize(
    ("class_weight", "weight"),
    [
        ("balanced", 1e308),
        ("balanced", 1e-308),
        (dict.fromkeys(range(N_CLASSES), 1e200), 1e200),
        (dict.fromkeys(range(N_CLASSES), 1e-200), 1e-200),
    ],
    ids=["balanced, huge", "balanced, tiny", "both huge", "both tiny"],
)
def test_the_scale_of_class_and_sample_weights_does_not_matter(class_weight, weight):
    # Neither their product nor their sum may overflow or vanish.
    weighted = make("classifier", "unfitted", class_weight=class_weight)
    call(weighted, "classifier", "fit", sample_weight=np.full(N_ROWS, weight))
    same = "balanced" if class_weight == "balanced" else None
    plain = make("classifier", "unfitted", class_weight=same)
    call(plain, "classifier", "fit")
    np.testing.assert_allclose(weighted.coef_, plain.coef_, rtol=1e-10)


# ---------------------------------------------------------------------------
# Faults from outside
# ---------------------------------------------------------------------------


@each_kind
def test_a_warning_turned_into_an_error_leaves_no_trace(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        settings = {"tol": 1e-300, "max_iter": 20}
        assert_refused(
            kind, "fit", "max_iter=20", ConvergenceWarning, settings=settings
        )


@each_stage
def test_a_report_that_cannot_be_printed_leaves_no_trace(stage, monkeypatch):
    class BrokenPipe:
        def write(self, text):
            raise BrokenPipeError("nobody reads")

    estimator = make("regressor", stage, verbose=1)
    before = snapshot(estimator)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", BrokenPipe())
        with pytest.raises(BrokenPipeError, match="nobody reads"):
            estimator.fit(X, Y)
    assert snapshot(estimator) == before


@each_method
@each_kind
def test_a_failed_call_draws_nothing_from_a_random_state(kind, method):
    # It is a parameter, hence part of the estimator, and the next call would differ.
    estimator = make(kind, "unfitted", random_state=np.random.RandomState(3))
    undisturbed = make(kind, "unfitted", random_state=np.random.RandomState(3))
    estimator.set_params(learning_rate=lambda epoch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call(estimator, kind, method)
    call(estimator.set_params(learning_rate="auto"), kind, method)
    call(undisturbed, kind, method)
    assert snapshot(estimator) == snapshot(undisturbed)


# ---------------------------------------------------------------------------
# Prediction
# ---------------------------------------------------------------------------

PREDICTIONS = [
    ("regressor", "predict"),
    ("classifier", "predict"),
    ("classifier", "decision_function"),
    ("classifier", "predict_proba"),
    ("classifier", "predict_log_proba"),
]


@pytest.mark.parametrize(("kind", "method"), PREDICTIONS)
def test_prediction_before_fit_says_so(kind, method):
    estimator = make(kind, "unfitted")
    before = snapshot(estimator)
    with pytest.raises(NotFittedError, match=f"{type(estimator).__name__}.*not fitted"):
        getattr(estimator, method)(X)
    assert snapshot(estimator) == before


@pytest.mark.parametrize("stage", LATER_STAGES)
@pytest.mark.parametrize(("kind", "method"), PREDICTIONS)
@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (X[:, :2], ValueError, "X has 2 features.*3 features"),
        (changed(X, math.nan), ValueError, "X contains NaN"),
        (X[0], ValueError, "Expected 2D array"),
        (X[:0], ValueError, r"0 sample\(s\)"),
    ],
    ids=["features", "NaN", "1-D", "empty"],
)
def test_prediction_refuses_bad_data(kind, method, stage, bad, error, match):
    estimator = make(kind, stage)
    before = snapshot(estimator)
    with pytest.raises(error, match=match):
        getattr(estimator, method)(bad)
    assert snapshot(estimator) == before


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_a_loss_without_probabilities_says_which_ones_have_them(method):
    estimator = make("classifier", "fitted", loss="hinge")
    assert not hasattr(estimator, method)
    with pytest.raises(AttributeError) as caught:
        getattr(estimator, method)
    assert "log_loss" in str(caught.value.__cause__)


@each_kind
@pytest.mark.parametrize("method", ["sparsify", "densify"])
def test_the_layout_of_an_unfitted_model_cannot_change(kind, method):
    estimator = make(kind, "unfitted")
    before = snapshot(estimator)
    with pytest.raises(NotFittedError):
        getattr(estimator, method)()
    assert snapshot(estimator) == before


@each_kind
def test_a_sparsified_model_must_be_densified_before_it_learns_on(kind):
    estimator = make(kind, "mid-stream").sparsify()
    before = estimator.coef_
    with pytest.raises(ValueError, match="densify"):
        call(estimator, kind, "partial_fit")
    assert estimator.coef_ is before
    assert continued(estimator.densify(), kind) == undisturbed(kind, "mid-stream")


@each_kind
def test_densify_completes_what_users_have_begun(kind):
    estimator = make(kind, "mid-stream").sparsify()
    estimator.coef_ = estimator.coef_.toarray().reshape(
        make(kind, "mid-stream").coef_.shape
    )
    assert continued(estimator.densify(), kind) == undisturbed(kind, "mid-stream")


@each_kind
def test_a_sparsified_model_predicts_in_the_same_shape(kind):
    estimator = make(kind, "mid-stream")
    expected = estimator.predict(X)
    np.testing.assert_allclose(estimator.sparsify().predict(X), expected, rtol=1e-12)


# ---------------------------------------------------------------------------
# Learnt attributes that users change
# ---------------------------------------------------------------------------

BAD_COEF = {
    "too short": np.zeros((N_CLASSES, N_FEATURES - 1)),
    "too long": np.zeros((N_CLASSES, N_FEATURES + 1)),
    "too many rows": np.zeros((N_CLASSES + 1, N_FEATURES)),
    "3-D": np.zeros((N_CLASSES, N_FEATURES, 1)),
    "None": None,
    "text": "zeros",
    "objects": np.full((N_CLASSES, N_FEATURES), None),
    "too large": 10**400,
    "complex": np.zeros((N_CLASSES, N_FEATURES), dtype=complex),
    "NaN": np.full((N_CLASSES, N_FEATURES), math.nan),
}
BAD_INTERCEPT = {
    "too long": np.zeros(N_CLASSES + 1),
    "2-D": np.zeros((N_CLASSES, 1)),
    "None": None,
    "NaN": np.full(N_CLASSES, math.nan),
}


@pytest.mark.parametrize(
    ("name", "case"),
    [("coef_", case) for case in BAD_COEF]
    + [("intercept_", case) for case in BAD_INTERCEPT],
)
def test_weights_overwritten_by_nonsense_are_named(name, case):
    # Without averaging: training continues from coef_ and intercept_.
    estimator = make("classifier", "unfitted", average=False)
    call(estimator, "classifier", "partial_fit")
    setattr(
        estimator, name, {"coef_": BAD_COEF, "intercept_": BAD_INTERCEPT}[name][case]
    )
    before = snapshot(estimator)
    with pytest.raises((ValueError, TypeError), match=name):
        call(estimator, "classifier", "partial_fit")
    assert snapshot(estimator) == before


@pytest.mark.parametrize("n_trained", [2, 3])
@pytest.mark.parametrize("classes", [[0], [0, 1, 2, 3], [], [[0, 1, 2]], 5])
def test_classes_overwritten_by_another_number_of_them_are_named(n_trained, classes):
    estimator = MiniBatchSGDClassifier(**SETTINGS).fit(X, LABELS % n_trained)
    estimator.classes_ = np.array(classes)
    before = snapshot(estimator)
    with pytest.raises(ValueError, match=f"classes_ must be.* {n_trained} classes"):
        estimator.partial_fit(X, LABELS * 0)
    assert snapshot(estimator) == before


CLASSES_NO_ARRAY = [[0, 1, 2], (0, 1, 2), None, "abc", {0, 1, 2}]


@pytest.mark.parametrize("classes", CLASSES_NO_ARRAY, ids=id_of)
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "decision_function", "partial_fit"]
)
def test_classes_that_are_no_array_are_named(method, classes):
    estimator = make("classifier", "mid-stream")
    estimator.classes_ = classes
    before = snapshot(estimator)
    arguments = (X, LABELS) if method == "partial_fit" else (X,)
    with pytest.raises(ValueError, match=r"classes_ must be.* 3 classes"):
        getattr(estimator, method)(*arguments)
    assert snapshot(estimator) == before


@pytest.mark.parametrize("classes", [[2, 1, 0], [0, 0, 1]], ids=id_of)
def test_classes_in_disorder_are_no_basis_of_a_stream(classes):
    # Labels are looked up by bisection, which would take one class for another.
    estimator = make("classifier", "mid-stream")
    estimator.classes_ = np.array(classes)
    before = snapshot(estimator)
    with pytest.raises(ValueError, match="classes_ must hold each label once"):
        estimator.partial_fit(X, np.clip(LABELS, 0, 1))
    assert snapshot(estimator) == before
    np.testing.assert_array_equal(
        estimator.predict(X),
        estimator.classes_[make("classifier", "mid-stream").predict(X)],
    )


@pytest.mark.parametrize(
    ("name", "case"),
    [("coef_", case) for case in BAD_COEF if case not in ("NaN", "too many rows")]
    + [("intercept_", case) for case in BAD_INTERCEPT if case != "NaN"],
)
def test_prediction_names_weights_overwritten_by_nonsense(name, case):
    estimator = make("classifier", "fitted")
    bad = {"coef_": BAD_COEF, "intercept_": BAD_INTERCEPT}[name][case]
    setattr(estimator, name, bad)
    with pytest.raises(ValueError, match=name):
        estimator.predict(X)


@each_kind
@pytest.mark.parametrize("value", [None, (1.0,), np.zeros(3), 5, "deleted"], ids=id_of)
@pytest.mark.parametrize("name", ["loss_curve_", "learning_rate_curve_"])
def test_a_curve_that_a_stream_cannot_continue_is_named(kind, name, value):
    estimator = make(kind, "mid-stream")
    setattr(estimator, name, value)
    if isinstance(value, str):
        delattr(estimator, name)
    before = snapshot(estimator)
    with pytest.raises(ValueError, match=f"{name} must be a list"):
        call(estimator, kind, "partial_fit")
    assert snapshot(estimator) == before
    assert snapshot(pickle.loads(pickle.dumps(estimator))) == before
    call(estimator, kind, "fit")


DAMAGES = {
    "deleted": lambda stored: None,
    "a list": list,
    "empty": lambda stored: {},
    "one more": lambda stored: {**stored, "speed": 1.0},
    **{
        f"without {name}": lambda stored, name=name: {
            key: value for key, value in stored.items() if key != name
        }
        for name in ("intercept_velocity", "threshold", "seed", "n_epochs")
    },
    **{
        f"{name} {value!r}": lambda stored, name=name, value=value: {
            **stored,
            name: value,
        }
        for name, value in {
            "velocity": np.zeros(3),
            "intercept_velocity": np.zeros((1, 1)),
            "threshold": np.zeros(3),
            "positions": np.zeros(2, dtype=np.float32),
            "average_coef": None,
            "average_intercept": [0.0],
            "coef": "gone",
            "seed": -1,
            "n_averaged": 0.5,
            "n_epochs": "3",
            "n_samples": None,
            "last_rate": "0.1",
            "highest_loss": None,
            "penalty": 3.0,
        }.items()
    },
    "half precision": lambda stored: {
        **stored,
        "velocity": stored["velocity"].astype(np.float16),
    },
}


@each_kind
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_resumption_is_named(kind, damage):
    estimator = make(kind, "mid-stream")
    estimator._resumption = DAMAGES[damage](estimator._resumption)
    before = snapshot(estimator)
    with pytest.raises(ValueError, match=r"_resumption.* is damaged"):
        call(estimator, kind, "partial_fit")
    assert snapshot(estimator) == before
    call(estimator, kind, "fit")


NONSENSE = (
    None,
    "3",
    -1,
    2.5,
    math.nan,
    10**400,
    [],
    {},
    np.zeros(0),
    np.zeros((2, 7)),
)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"eta0": 0.01}, {"average": True}, {"penalty": "l1", "momentum": 0.5}],
    ids=id_of,
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_whatever_stands_in_a_resumption_is_valid_or_named(method, settings, layout):
    model = MiniBatchSGDRegressor(random_state=0, max_iter=3, tol=None, **settings)
    good = pickle.dumps(getattr(model, method)(layout(X), Y))
    refused = set()
    for name, value in itertools.product(model._resumption, NONSENSE):
        damaged = pickle.loads(good)
        damaged._resumption = {**damaged._resumption, name: value}
        before = snapshot(damaged)
        try:
            damaged.partial_fit(layout(X), Y)
        except ValueError as error:
            assert "_resumption, from which training continues" in str(error)
            assert name in str(error)
            assert snapshot(damaged) == before
            refused.add(name)
        without = pickle.loads(good)
        del without._resumption[name]
        try:
            without.partial_fit(layout(X), Y)
        except ValueError as error:
            assert "is damaged" in str(error) and name in str(error)
    assert refused == model._resumption.keys()


@each_kind
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
def test_intercepts_that_were_deleted_are_named(kind, layout):
    estimator = make(kind, "unfitted")
    call(estimator, kind, "partial_fit", X=layout(X))
    del estimator.intercept_
    for use in (
        lambda: call(estimator, kind, "partial_fit", X=layout(X)),
        lambda: call(estimator.set_params(warm_start=True), kind, "fit"),
        lambda: estimator.predict(layout(X)),
    ):
        with pytest.raises(ValueError, match="intercept_"):
            use()
    estimator.set_params(warm_start=False)
    call(estimator, kind, "fit")


@each_kind
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("value", [None, "3", 2.5, [3], X], ids=id_of)
def test_a_number_of_features_that_was_overwritten_is_named(kind, value, layout):
    estimator = make(kind, "unfitted")
    call(estimator, kind, "partial_fit", X=layout(X))
    estimator.n_features_in_ = value
    before = snapshot(estimator)
    with pytest.raises(ValueError, match="n_features_in_ is"):
        call(estimator, kind, "partial_fit", X=layout(X))
    assert snapshot(estimator) == before


@each_kind
@pytest.mark.parametrize("value", [None, (), 3, ("a", "b")], ids=id_of)
def test_a_stream_that_was_overwritten_is_named(kind, value):
    estimator = make(kind, "mid-stream")
    estimator._streamed = value
    for use in (
        lambda: call(estimator, kind, "partial_fit"),
        lambda: clone(estimator) and pickle.dumps(estimator),
        lambda: estimator.sparsify(),
        lambda: estimator.predict(X),
    ):
        with pytest.raises(ValueError, match=r"_streamed.* is damaged"):
            use()
    assert estimator._streamed is value
    call(estimator, kind, "fit")


@each_kind
@pytest.mark.parametrize("value", [None, (), 3, [1], ["l2"] * 100], ids=id_of)
def test_parameters_that_seem_to_be_checked_are_checked(kind, value):
    estimator = make(kind, "mid-stream")
    estimator._checked_parameters = value
    with pytest.raises(ValueError, match="'batch_size' parameter"):
        call(estimator.set_params(batch_size=-1), kind, "partial_fit")
    call(estimator.set_params(batch_size=2), kind, "partial_fit")


def test_classes_overwritten_by_other_names_are_taken_as_they_are():
    estimator = MiniBatchSGDClassifier(**SETTINGS).fit(X, LABELS)
    renamed = pickle.loads(pickle.dumps(estimator))
    renamed.classes_ = np.array(["a", "b", "c"])
    renamed.partial_fit(X, renamed.classes_[LABELS])
    estimator.partial_fit(X, LABELS)
    assert snapshot(renamed.coef_) == snapshot(estimator.coef_)


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda array: array[::-1][::-1],
        lambda array: np.repeat(array, 2, axis=0)[::2],
        lambda array: array.astype(array.dtype.newbyteorder()),
        lambda array: array.tolist(),
        lambda array: np.array(array.tolist(), dtype=np.longdouble),
    ],
    ids=["F-ordered", "flipped twice", "strided", "big-endian", "list", "longdouble"],
)
def test_weights_overwritten_in_another_layout_are_taken_as_they_are(layout):
    results = []
    for change in (np.array, layout):
        estimator = make("classifier", "unfitted", average=False)
        call(estimator, "classifier", "partial_fit")
        estimator.coef_ = change(estimator.coef_ / 2)
        estimator.intercept_ = change(estimator.intercept_ / 2)
        call(estimator, "classifier", "partial_fit")
        results.append((snapshot(estimator.coef_), snapshot(estimator.intercept_)))
    assert results[0] == results[1]


def test_weights_of_another_precision_are_taken_as_they_are():
    for dtype in (np.float32, np.int64):
        estimator = make("regressor", "unfitted", average=False).partial_fit(X, Y)
        estimator.coef_ = np.array([1, -2, 3], dtype=dtype)
        estimator.partial_fit(X, Y)
        assert estimator.coef_.dtype == np.float64
        reference = make("regressor", "unfitted", average=False).partial_fit(X, Y)
        reference.coef_ = np.array([1.0, -2.0, 3.0])
        reference.partial_fit(X, Y)
        assert snapshot(estimator.coef_) == snapshot(reference.coef_)


@each_kind
def test_an_estimator_that_lost_an_attribute_still_fits(kind):
    for name in vars(make(kind, "mid-stream")):
        if not (name.endswith("_") or name.startswith("_")):
            continue
        estimator = make(kind, "mid-stream")
        delattr(estimator, name)
        call(estimator, kind, "fit")
        expected = call(clone(estimator), kind, "fit")
        assert snapshot(estimator.coef_) == snapshot(expected.coef_), name
