"""CSR input: the same model as from the dense array of the same values.

The dense engine changes every coefficient at every update. The one for CSR changes a
coefficient when a row holds it, and applies the missing updates later, at the latest at
the end of a window of updates. The first tests compare the two over all settings that
affect the rule, and with the NumPy reference and closed forms. Then come the formats,
the promises, and matrices that contradict themselves.
"""

import pickle
import subprocess
import sys
import textwrap
import tracemalloc
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference import CLASSIFIER_LOSSES, REGRESSOR_LOSSES, train
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone

from skmbsgd import (
    DivergenceError,
    MiniBatchSGDClassifier,
    MiniBatchSGDRegressor,
    _state,
    _stream,
)
from skmbsgd._data import TrainingData
from skmbsgd._engine.csr_model import MANY_OUTPUTS, MAX_WINDOW
from skmbsgd._engine.csr_stream import CSRStream
from skmbsgd._engine.epoch import run_epoch
from skmbsgd._engine.losses import SquaredError
from skmbsgd._engine.penalties import L1
from skmbsgd._state import TrainingState

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RTOL = 1e-9
PENALTIES = (None, "l2", "l1", "elasticnet")
each_penalty = pytest.mark.parametrize("penalty", PENALTIES)
each_rule = pytest.mark.parametrize(
    "momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True), (0.99, True)]
)


def set_window(monkeypatch, size):
    """Have the whole model brought up to date after each `size` updates."""
    model_of_size = partial(_state.csr_model, window_size=size)
    monkeypatch.setattr(_state, "csr_model", model_of_size)
    monkeypatch.setattr(_stream, "CSRStream", partial(CSRStream, window_size=size))


# ---------------------------------------------------------------------------
# Data and comparisons
# ---------------------------------------------------------------------------

N_ROWS, N_FEATURES = 60, 40


def make_problem():
    """Features from frequent to all but absent, an empty column and an empty row."""
    rng = np.random.default_rng(0)
    frequency = np.geomspace(0.4, 0.01, N_FEATURES)
    X = rng.normal(size=(N_ROWS, N_FEATURES))
    X *= rng.random(X.shape) < frequency
    X[:, -1] = 0.0
    X[5, -2], X[50, -2] = 1.5, -1.0
    X[30] = 0.0
    Z = X @ rng.normal(size=(N_FEATURES, 3)) + 0.3 * rng.normal(size=(N_ROWS, 3))
    return X, Z


X, Z = make_problem()
LABELS = Z.argmax(axis=1)
MANY_TARGETS = Z @ np.random.default_rng(2).normal(size=(3, MANY_OUTPUTS))
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2.0, N_ROWS)
TASKS = {
    "one target": (MiniBatchSGDRegressor, Z[:, 0]),
    "two targets": (MiniBatchSGDRegressor, Z[:, :2]),
    "many targets": (MiniBatchSGDRegressor, MANY_TARGETS),
    "softmax": (MiniBatchSGDClassifier, LABELS),
}
each_task = pytest.mark.parametrize("task", TASKS)

# Enough state to lose: velocities, means and the order of rows
SETTINGS = {
    "penalty": "elasticnet",
    "alpha": 0.01,
    "l1_ratio": 0.5,
    "momentum": 0.9,
    "nesterov": True,
    "learning_rate": "time",
    "eta0": 0.01,
    "decay": 0.01,
    "decay_unit": "update",
    "average": 80,
    "batch_size": 7,
    "max_iter": 4,
    "tol": None,
    "random_state": 0,
}


def make(task, **changes):
    return TASKS[task][0](**SETTINGS | changes)


def weights_of(estimator):
    return np.append(estimator.coef_.ravel(), estimator.intercept_)


def assert_close(actual, expected, rtol=RTOL):
    """Compare arrays by their largest difference, relative to what is largest."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert_allclose(actual, expected, rtol=0, atol=rtol * np.abs(expected).max())


def assert_same_model(actual, expected, rtol=RTOL):
    assert_close(weights_of(actual), weights_of(expected), rtol)
    assert_array_equal(actual.coef_ == 0.0, expected.coef_ == 0.0)
    assert actual.n_iter_ == expected.n_iter_
    assert actual.t_ == expected.t_
    assert_close(actual.loss_curve_, expected.loss_curve_, rtol)
    assert_array_equal(actual.learning_rate_curve_, expected.learning_rate_curve_)


def assert_same_bits(actual, expected):
    assert_array_equal(actual.coef_, expected.coef_)
    assert_array_equal(actual.intercept_, expected.intercept_)
    assert actual.loss_curve_ == expected.loss_curve_
    assert actual.learning_rate_curve_ == expected.learning_rate_curve_


def snapshot(estimator):
    return {name: pickle.dumps(value) for name, value in vars(estimator).items()}


# ---------------------------------------------------------------------------
# Every combination of settings
# ---------------------------------------------------------------------------

# With single rows and a momentum of 0.99, long steps amplify rounding errors, in either
# engine: no other order of summation could reproduce them. So eta0 is proportional to
# 1 - momentum, the updates are few, and alpha removes some of the coefficients.
ETA0 = 0.05
SCHEDULES = {
    "time per epoch": dict(learning_rate="time", decay=0.3),
    "time per update": dict(learning_rate="time", decay=0.01, decay_unit="update"),
    "callable": dict(),
    "optimal": dict(learning_rate="optimal"),
    "adaptive": dict(learning_rate="adaptive", tol=0.05, n_iter_no_change=1),
}


def halving(eta0):
    return lambda epoch: eta0 * 0.5**epoch


def settings_of_schedule(schedule, momentum):
    eta0 = ETA0 * (1.0 - momentum)
    changes = SCHEDULES[schedule]
    if schedule == "callable":
        changes = {"learning_rate": halving(eta0)}
    return {"eta0": eta0, "alpha": 0.01} | changes


def data_for_optimal_rates(task, momentum):
    """Data and an alpha that suit rates which nothing but alpha determines.

    They are large. Smaller features make up for it, and larger targets for those.
    """
    scale = np.sqrt(1.0 - momentum)
    if task == "softmax":
        return scale * X, LABELS, 0.01
    return 0.2 * scale * X, 100.0 / scale * TASKS[task][1], 1.0


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@each_task
def test_a_sparse_matrix_gives_the_model_of_its_dense_array(task, schedule, penalty):
    estimator_class, y = TASKS[task]
    shares_of_zeros = []
    for momentum, nesterov, average, batch_size in product(
        (0.0, 0.9, 0.99), (False, True), (False, True, 100), (1, 16, "full")
    ):
        changes = settings_of_schedule(schedule, momentum)
        data = X
        if schedule == "optimal":
            data, y, changes["alpha"] = data_for_optimal_rates(task, momentum)
        params = {
            "penalty": penalty,
            "l1_ratio": 0.5,
            "momentum": momentum,
            "nesterov": nesterov,
            "average": average,
            "batch_size": batch_size,
            "max_iter": 5 if schedule == "adaptive" else 3,
            "tol": None,
            "random_state": 0,
        } | changes
        with config_context(skip_parameter_validation=True):
            expected = estimator_class(**params).fit(data, y)
            actual = estimator_class(**params).fit(sparse.csr_array(data), y)
        assert_same_model(actual, expected)
        shares_of_zeros.append(np.mean(expected.coef_ == 0.0))
    if penalty in ("l1", "elasticnet"):
        # An empty column is one of 40; more of them, and not all, have been removed.
        assert min(shares_of_zeros) < 0.5
        assert max(shares_of_zeros) > 0.1


def test_adaptive_rates_fall_in_the_grid_above():
    params = settings_of_schedule("adaptive", 0.0)
    expected = make("one target", average=False, max_iter=12, **params)
    expected.fit(X, Z[:, 0])
    actual = make("one target", average=False, max_iter=12, **params)
    actual.fit(sparse.csr_array(X), Z[:, 0])
    assert len(set(expected.learning_rate_curve_)) > 1
    assert_same_model(actual, expected)


# ---------------------------------------------------------------------------
# The NumPy reference
# ---------------------------------------------------------------------------


@st.composite
def problems(draw):
    """A small problem and settings for estimator and reference."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(4, 40)), draw(st.integers(1, 12))
    data = rng.normal(size=(n, d))
    data *= rng.random((n, d)) < draw(st.sampled_from([0.02, 0.1, 0.3]))
    n_classes = draw(st.sampled_from([0, 0, 2, 3]))
    if n_classes:
        loss = draw(st.sampled_from(CLASSIFIER_LOSSES))
        y = np.arange(n) % n_classes
        rng.shuffle(y)
    else:
        loss = draw(st.sampled_from(REGRESSOR_LOSSES))
        y = rng.normal(size=(n, draw(st.integers(1, 3)))).squeeze()
    params = {
        "loss": loss,
        "penalty": draw(st.sampled_from(PENALTIES)),
        "alpha": draw(st.sampled_from([1e-3, 0.03, 0.3])),
        "l1_ratio": draw(st.sampled_from([0.1, 0.5, 0.9])),
        "fit_intercept": draw(st.booleans()),
        "momentum": draw(st.sampled_from([0.0, 0.5, 0.9])),
        "nesterov": draw(st.booleans()),
        "learning_rate": draw(
            st.sampled_from(
                ["time", "step", "constant", "exponential", "cosine", "invscaling"]
            )
        ),
        "eta0": draw(st.sampled_from([1e-3, 0.02, 0.1])),
        "decay": draw(st.sampled_from([0.0, 0.1])),
        "decay_unit": draw(st.sampled_from(["epoch", "update"])),
        "epochs_drop": 2,
        "power_t": 0.25,
        "batch_size": draw(st.sampled_from([1, 2, 5, 64, "full"])),
        "average": draw(st.sampled_from([False, True, 10])),
        "max_iter": draw(st.integers(1, 4)),
        "tol": None,
        "epsilon": 0.1,
    }
    weights = rng.uniform(0.2, 2.0, n) if draw(st.booleans()) else None
    return data, y, n_classes, params, weights


@given(problems())
@settings(max_examples=120)
def test_a_sparse_matrix_gives_the_model_of_the_reference(problem):
    data, y, n_classes, params, weights = problem
    classes = np.arange(n_classes) if n_classes else None
    expected = train(data, y, classes=classes, sample_weight=weights, **params)
    # Rounding may not decide on which side of a jump of the gradient a row falls, and
    # a path that swings far out is none to compare by its end.
    assume(expected.distance_to_jump > 1e-9 and expected.largest < 1e3)
    cls = MiniBatchSGDClassifier if n_classes else MiniBatchSGDRegressor
    actual = cls(shuffle=False, **params)
    actual.fit(sparse.csr_array(data), y, sample_weight=weights)

    atol = RTOL * max(expected.largest, 1e-3)
    assert_allclose(np.atleast_2d(actual.coef_), expected.coef, rtol=0, atol=atol)
    assert_allclose(actual.intercept_, expected.intercept, rtol=0, atol=atol)
    assert_allclose(actual.loss_curve_, expected.loss_curve, rtol=RTOL)
    # Nearer to leaving zero than rounding, a weight may be on either side.
    certain = expected.zero_margin > atol + RTOL * expected.u
    zeros = np.broadcast_to(certain, expected.coef.shape)
    assert not np.atleast_2d(actual.coef_)[zeros].any()


# ---------------------------------------------------------------------------
# Gaps
# ---------------------------------------------------------------------------


each_decay = pytest.mark.parametrize("decays", [False, True])


@pytest.mark.parametrize("window", [1, 5, MAX_WINDOW])
@each_decay
@pytest.mark.parametrize("average", [False, True, 40])
@each_rule
@each_penalty
def test_any_range_of_updates_can_be_missed(
    penalty, momentum, nesterov, average, decays, window, monkeypatch
):
    # A column for each pair of rows, which makes up for the updates between the two.
    set_window(monkeypatch, window)
    n = 60
    first, last = np.triu_indices(n, k=1)
    columns = np.arange(len(first))
    data = np.zeros((n, len(first)))
    rng = np.random.default_rng(0)
    data[first, columns] = rng.normal(size=len(first))
    data[last, columns] = rng.normal(size=len(first))
    estimator = MiniBatchSGDRegressor(
        penalty=penalty,
        alpha=0.05,
        l1_ratio=0.5,
        momentum=momentum,
        nesterov=nesterov,
        average=average,
        learning_rate="time",
        eta0=0.05 * (1.0 - momentum),
        decay=0.05 if decays else 0.0,
        decay_unit="update",
        batch_size=1,
        shuffle=False,
        max_iter=1,
        tol=None,
    )
    y = rng.normal(size=n)
    expected = pickle.loads(pickle.dumps(estimator)).fit(data, y)
    assert_same_model(estimator.fit(sparse.csr_array(data), y), expected)


@each_decay
@pytest.mark.parametrize("shuffle", [False, True])
@each_rule
@each_penalty
def test_a_gap_may_be_longer_than_a_window(
    penalty, momentum, nesterov, shuffle, decays, monkeypatch
):
    window = 50
    set_window(monkeypatch, window)
    n = 2 * window + 30
    rng = np.random.default_rng(0)
    data = np.zeros((n, 6))
    data[:, 0] = rng.normal(size=n) * (rng.random(n) < 0.1)
    data[[0, n - 1], 1] = 1.0, -0.5  # the first row and the last
    data[[0, window - 1, n - 1], 2] = 1.0
    data[[window, n - 2], 3] = -1.0
    data[[window + 1], 4] = 2.0
    y = data[:, 0] + 0.1 * rng.normal(size=n)
    start = np.array([0.5, 1.0, -1.0, 0.2, 0.02, -0.3])  # the last is never seen
    params = {
        "penalty": penalty,
        "alpha": 0.02,
        "l1_ratio": 0.5,
        "momentum": momentum,
        "nesterov": nesterov,
        "learning_rate": "time",
        "eta0": 0.02 * (1.0 - momentum),
        "decay": 1e-3 if decays else 0.0,
        "decay_unit": "update",
        "batch_size": 1,
        "shuffle": shuffle,
        "random_state": 0,
        "max_iter": 2,
        "tol": None,
    }
    X_sparse = sparse.csr_array(data)
    for average in (False, 3 * n // 2):
        expected = MiniBatchSGDRegressor(average=average, **params)
        expected.fit(data, y, coef_init=start)
        actual = MiniBatchSGDRegressor(average=average, **params)
        actual.fit(X_sparse, y, coef_init=start)
        assert_same_model(actual, expected)
        if penalty == "l1" and not average:
            assert 0 < np.count_nonzero(actual.coef_ == 0.0) < 6


@each_decay
@pytest.mark.parametrize("average", [False, True])
@each_penalty
def test_the_size_of_a_window_changes_nothing(penalty, average, decays, monkeypatch):
    params = {"penalty": penalty, "average": average, "decay": 0.01 if decays else 0.0}
    expected = make("two targets", **params).fit(X, Z[:, :2])
    for window in (1, 2, 3, 7, 8, 9, 35, 36, 37, MAX_WINDOW):  # 9 updates an epoch
        set_window(monkeypatch, window)
        actual = make("two targets", **params).fit(sparse.csr_array(X), Z[:, :2])
        assert_same_model(actual, expected)


@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("start", [0.0, 60.0, 120.0, 150.0])
@pytest.mark.parametrize("steepness", [0.9, 1.0, 1.1, 1.9, 1e5])
def test_steps_beyond_the_minimum_of_the_l2_penalty(
    steepness, start, nesterov, average, penalty
):
    # A rate times L2 above 1 counts as 1. With momentum the weight still swings.
    data = np.zeros((7, 1))
    data[0] = 1.0
    y = [100.0, *np.zeros(6)]
    params = {
        "penalty": penalty,
        "alpha": steepness if penalty == "l2" else 0.1 + steepness,
        "l1_ratio": 0.1 / (0.1 + steepness),
        "momentum": 0.5,
        "nesterov": nesterov,
        "average": average,
        "learning_rate": "constant",
        "eta0": 1.0,
        "fit_intercept": False,
        "batch_size": 1,
        "max_iter": 1,
        "tol": None,
    }
    reference = train(data, y, loss="squared_error", coef_init=[start], **params)
    for X in (data, sparse.csr_array(data)):
        model = MiniBatchSGDRegressor(shuffle=False, **params)
        model.fit(X, y, coef_init=[start])
        actual, expected = model.coef_[0], reference.coef.item()
        assert actual == pytest.approx(expected, rel=RTOL, abs=RTOL * reference.largest)


RATES = {
    "one rate": dict(learning_rate="constant"),
    "a rate per update": dict(learning_rate="invscaling", power_t=0.5),
    "rates that die": dict(
        learning_rate="exponential", decay=0.05, decay_unit="update"
    ),
}


@st.composite
def weights_without_data(draw):
    """Weights and a push to each, then updates without data, then data once more."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    momentum = draw(st.sampled_from([0.0, 0.3, 0.9, 0.99]))
    n = draw(st.one_of(st.integers(2, 40), st.integers(2, 400)))
    eta0 = 10.0 ** draw(st.integers(-3, 0))
    # Of about as much as L1 takes away in so many updates
    reach = eta0 * rng.uniform(0.01, 1.0) * n
    data = np.zeros((n, 12))
    data[0, :9] = rng.normal(size=9)
    data[-1, 3:6] = rng.normal(size=3) * draw(st.booleans())
    y = np.zeros(n)
    y[0] = reach / eta0
    params = {
        "penalty": draw(st.sampled_from(PENALTIES)),
        "alpha": rng.uniform(0.05, 1.0),
        "l1_ratio": draw(st.sampled_from([0.1, 0.5, 0.99])),
        "momentum": momentum,
        "nesterov": draw(st.booleans()),
        "average": draw(st.sampled_from([False, True, 10])),
        "eta0": eta0 * (1.0 - momentum),
        "fit_intercept": False,
        "batch_size": 1,
        "max_iter": draw(st.integers(1, 2)),
        "tol": None,
    } | RATES[draw(st.sampled_from(sorted(RATES)))]
    start = reach * rng.normal(size=12) * (rng.random(12) < 0.7)
    window = draw(st.sampled_from([1, 2, 3, 10, 64, MAX_WINDOW]))
    return data, y, start, params, window


@given(weights_without_data())
@settings(max_examples=200)
def test_weights_without_data_move_as_if_there_were_some(problem):
    data, y, start, params, window = problem
    expected = train(data, y, loss="squared_error", coef_init=start, **params)
    assume(expected.largest < 1e6)
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_window(monkeypatch, window)
        actual = MiniBatchSGDRegressor(shuffle=False, **params)
        actual.fit(sparse.csr_array(data), y, coef_init=start)
    atol = RTOL * max(expected.largest, expected.u)
    assert_allclose(actual.coef_, expected.coef[0], rtol=0, atol=atol)
    zeros = np.broadcast_to(expected.zero_margin > atol, (1, 12))[0]
    assert not actual.coef_[zeros].any()


# Closed forms

WINDOW = 16
each_length = pytest.mark.parametrize(
    "n", [1, 2, 3, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW + 1, 100]
)


@pytest.fixture
def short_windows(monkeypatch):
    set_window(monkeypatch, WINDOW)


def weights_after(n, start, push=0.0, **params):
    """The weight after n updates, of which the first may push it, without other data.

    The push is what a rate of 1 would add to it.
    """
    data = sparse.csr_array(([1.0], ([0], [0])), shape=(n, 1))
    estimator = MiniBatchSGDRegressor(
        learning_rate="constant",
        fit_intercept=False,
        batch_size=1,
        shuffle=False,
        max_iter=1,
        tol=None,
        **{"momentum": 0.0, **params},
    )
    if push == 0.0:
        data = sparse.csr_array((n, 1))
    estimator.fit(data, np.append(start + push, np.zeros(n - 1)), coef_init=[start])
    return estimator.coef_[0]


@each_length
@each_rule
@pytest.mark.usefixtures("short_windows")
def test_a_weight_without_data_shrinks_by_a_power_of_the_map(n, momentum, nesterov):
    a = 0.1 * 0.2  # eta0 * alpha
    step = np.array([[1.0 - a, momentum], [-a, momentum]])
    if nesterov:
        step = np.array([[1.0 - a * (1.0 + momentum), momentum**2], [-a, momentum]])
    params = dict(alpha=0.2, eta0=0.1, momentum=momentum, nesterov=nesterov)
    expected = (np.linalg.matrix_power(step, n) @ [3.0, 0.0])[0]
    actual = weights_after(n, 3.0, penalty="l2", **params)
    assert_allclose(actual, expected, rtol=0, atol=3e-12)
    assert weights_after(n, 3.0, penalty=None, **params) == 3.0


@each_length
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.usefixtures("short_windows")
def test_a_weight_without_data_falls_to_zero_and_stays_there(n, sign):
    # L1 takes the same from it at each update; 26 of them take it all.
    c = 1.0 / 25.5
    params = dict(penalty="l1", alpha=1.0, eta0=c)
    expected = max(1.0 - n * c, 0.0)
    actual = sign * weights_after(n, sign, **params)
    assert_allclose(actual, expected, rtol=0, atol=1e-13)
    assert (actual == 0.0) == (expected == 0.0)

    # The elastic net: w + lam1 / lam2 shrinks by a power, until w is 0.
    lam1, lam2, eta0 = 0.3, 0.7, 0.04
    ratio = lam1 / lam2
    expected = max((1.0 + ratio) * (1.0 - eta0 * lam2) ** n - ratio, 0.0)
    params = dict(penalty="elasticnet", alpha=1.0, l1_ratio=0.3, eta0=eta0)
    actual = sign * weights_after(n, sign, **params)
    assert_allclose(actual, expected, rtol=0, atol=1e-13)
    assert (actual == 0.0) == (expected == 0.0)


# From rest; over 0 to the other side, from where L1 brings it back; away from 0, and to
# rest before it comes to 0
@pytest.mark.parametrize(
    "start, push", [(1.0, 0.0), (0.0, 8.0), (-1.0, 12.0), (0.3, -9.0), (-0.1, 5.0)]
)
@each_length
@each_rule
@pytest.mark.usefixtures("short_windows")
def test_with_l1_a_weight_without_data_moves_by_its_velocity_alone(
    n, momentum, nesterov, start, push
):
    eta, lam1 = 0.2 * (1.0 - momentum), 0.25
    # The velocities of all updates, and those of L1, which start from rest
    velocities = eta * push * momentum ** np.arange(n)
    of_l1 = eta * lam1 * np.cumsum(momentum ** np.arange(n))
    if nesterov:
        velocities = momentum * velocities + np.append(eta * push, np.zeros(n - 1))
        of_l1 = momentum * of_l1 + eta * lam1
    sums, u = start + np.cumsum(velocities), np.cumsum(of_l1)
    path = np.sign(sums) * np.maximum(np.abs(sums) - u, 0.0)
    params = dict(penalty="l1", alpha=lam1, eta0=eta)
    params |= dict(momentum=momentum, nesterov=nesterov)
    actual = weights_after(n, start, push, **params)
    assert_allclose(actual, path[-1], rtol=0, atol=1e-12)
    assert (actual == 0.0) == (path[-1] == 0.0)
    actual = weights_after(n, start, push, average=True, **params)
    assert_allclose(actual, path.mean(), rtol=0, atol=1e-12)
    half = (n + 1) // 2
    actual = weights_after(n, start, push, average=half, **params)
    assert_allclose(actual, path[half - 1 :].mean(), rtol=0, atol=1e-12)


@each_length
@pytest.mark.usefixtures("short_windows")
def test_the_mean_of_a_weight_without_data_is_that_of_its_powers(n):
    a = 0.1 * 0.2
    actual = weights_after(n, 3.0, penalty="l2", alpha=0.2, eta0=0.1, average=True)
    powers = (1.0 - a) ** np.arange(1, n + 1)
    assert_allclose(actual, 3.0 * powers.mean(), rtol=RTOL)


# Chunks


@pytest.mark.parametrize("window", [2, MAX_WINDOW])
@pytest.mark.parametrize("average", [False, True, 50])
@each_rule
@each_penalty
def test_a_chunk_may_lack_most_features(
    penalty, momentum, nesterov, average, window, monkeypatch
):
    set_window(monkeypatch, window)
    rng = np.random.default_rng(0)
    params = {
        "penalty": penalty,
        "alpha": 0.05,
        "momentum": momentum,
        "nesterov": nesterov,
        "average": average,
        "eta0": 0.1 * (1.0 - momentum),
        "batch_size": 3,
    }
    models = make("one target", **params), make("one target", **params)
    held = np.zeros(10, bool)
    for first in (0, 0, 4, 8, 4, 0, 2):
        # Two of ten columns, each with a gap of some chunks; the last two never
        held[:] = False
        held[first : first + 2] = first < 8
        chunk = rng.normal(size=(12, 10)) * held
        y = chunk.sum(axis=1) + 0.1 * rng.normal(size=12)
        models[0].partial_fit(sparse.csr_array(chunk), y)
        models[1].partial_fit(chunk, y)
        assert_same_model(*models)


# ---------------------------------------------------------------------------
# Formats
# ---------------------------------------------------------------------------


def with_long_indices(matrix):
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


def with_mixed_indices(matrix):
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


def unsorted(matrix):
    """The entries of each row in reverse order."""
    matrix = matrix.tocsr()
    for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        matrix.indices[start:stop] = matrix.indices[start:stop][::-1].copy()
        matrix.data[start:stop] = matrix.data[start:stop][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def with_duplicates(matrix):
    """Each entry in four parts, which sum up to it exactly."""
    matrix = matrix.tocsr()
    return sparse.csr_array(
        (
            np.repeat(matrix.data / 4, 4),
            np.repeat(matrix.indices, 4),
            4 * matrix.indptr,
        ),
        shape=matrix.shape,
    )


def with_explicit_zeros(matrix):
    """Zeros stored in a half of the places, at the beginnings of the rows."""
    values = matrix.toarray()
    rows, columns = np.indices(values.shape)
    stored = (values != 0.0) | ((rows + columns) % 2 == 0)
    indptr = np.append(0, np.cumsum(stored.sum(axis=1)))
    return sparse.csr_array((values[stored], columns[stored], indptr), values.shape)


def with_unused_entries(matrix):
    """Room behind the last row, as SciPy allows it."""
    matrix = matrix.tocsr()
    matrix.indices = np.append(matrix.indices, [0, 0]).astype(matrix.indices.dtype)
    matrix.data = np.append(matrix.data, [7.0, 7.0])
    return matrix


FORMATS = {
    f"{name}_{kind}": getattr(sparse, f"{name}_{kind}")
    for name in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
    for kind in ("array", "matrix")
} | {
    "int64 indices": lambda X: with_long_indices(sparse.csr_array(X)),
    "int64 indices of columns": lambda X: with_long_indices(sparse.csc_array(X)),
    "int64 indptr only": lambda X: with_mixed_indices(sparse.csr_array(X)),
    "unsorted": lambda X: unsorted(sparse.csr_array(X)),
    "duplicates": lambda X: with_duplicates(sparse.csr_array(X)),
    "duplicates in COO": lambda X: with_duplicates(sparse.csr_array(X)).tocoo(),
    "explicit zeros": lambda X: with_explicit_zeros(sparse.csr_array(X)),
    "unused entries": lambda X: with_unused_entries(sparse.csr_array(X)),
}
each_format = pytest.mark.parametrize("convert", FORMATS.values(), ids=FORMATS)


@each_format
@each_task
def test_every_format_gives_the_same_model_and_predictions(task, convert):
    y = TASKS[task][1]
    matrix = convert(X)
    assert_array_equal(matrix.toarray(), X)
    expected = make(task).fit(X, y)
    actual = make(task).fit(matrix, y)
    assert_same_model(actual, expected)
    streamed = make(task).partial_fit(matrix, y, **classes_of(task))
    assert_same_model(streamed, make(task).partial_fit(X, y, **classes_of(task)))

    assert_array_equal(matrix.toarray(), X)
    methods = ["predict"]
    if task == "softmax":
        methods += ["decision_function", "predict_proba", "predict_log_proba"]
    for method in methods:
        predictions = getattr(expected, method)(matrix)
        assert type(predictions) is np.ndarray
        assert_close(predictions, getattr(expected, method)(X), 1e-13)
    assert_allclose(expected.score(matrix, y), expected.score(X, y), rtol=1e-13)


def classes_of(task):
    return {"classes": np.arange(3)} if task == "softmax" else {}


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@each_task
def test_single_precision_stays_single(task, index_type):
    y = TASKS[task][1]
    X_single = X.astype(np.float32)
    matrix = sparse.csr_array(X_single)
    matrix.indices = matrix.indices.astype(index_type)
    expected = make(task).fit(X_single, y)
    actual = make(task).fit(matrix, y)
    assert actual.coef_.dtype == actual.intercept_.dtype == np.float32
    assert_close(weights_of(actual), weights_of(expected), 1e-4)
    assert_close(actual.loss_curve_, expected.loss_curve_, 1e-4)
    values = actual.predict(matrix)
    assert values.dtype == actual.predict(X_single).dtype
    assert_close(values, actual.predict(X_single), 1e-4)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint64])
def test_other_numbers_become_float64(dtype):
    matrix = sparse.csr_array(X != 0.0).astype(dtype)
    actual = make("one target").fit(matrix, Z[:, 0])
    assert_same_model(actual, make("one target").fit(matrix.toarray(), Z[:, 0]))
    assert actual.coef_.dtype == np.float64


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16])
def test_numbers_that_float32_holds_exactly_become_float32(dtype):
    matrix = sparse.csr_array(X != 0.0).astype(dtype)
    actual = make("one target").fit(matrix, Z[:, 0])
    expected = make("one target").fit(matrix.astype(np.float32), Z[:, 0])
    assert_array_equal(actual.coef_, expected.coef_)
    assert actual.coef_.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 7, "full"])
@each_penalty
@each_task
def test_a_matrix_may_be_empty(task, penalty, batch_size):
    y = TASKS[task][1]
    nothing = sparse.csr_array((N_ROWS, 3))
    expected = make(task, penalty=penalty, batch_size=batch_size)
    expected.fit(nothing.toarray(), y)
    actual = make(task, penalty=penalty, batch_size=batch_size).fit(nothing, y)
    assert_same_model(actual, expected)
    assert not actual.coef_.any()


def test_a_row_may_be_full_and_a_matrix_may_have_one_column():
    full = np.random.default_rng(0).normal(size=(N_ROWS, 300))
    y = full[:, 0]
    for data in (full, X[:, :1]):
        actual = make("one target", eta0=1e-3).fit(sparse.csr_array(data), y)
        assert_same_model(actual, make("one target", eta0=1e-3).fit(data, y))


def test_many_features_that_no_row_holds_cost_nothing():
    wide = sparse.csr_array(X)
    wide.resize(N_ROWS, 200_000)
    actual = make("one target").fit(wide, Z[:, 0])
    expected = make("one target").fit(sparse.csr_array(X), Z[:, 0])
    assert_array_equal(actual.coef_[:N_FEATURES], expected.coef_)
    assert not actual.coef_[N_FEATURES:].any()


# ---------------------------------------------------------------------------
# What else fit and partial_fit can do
# ---------------------------------------------------------------------------


def test_columns_that_have_no_number_are_refused():
    # Memory that is never touched
    state = TrainingState.start(np.zeros((1, 1)), np.zeros(1), seed=0, averaged=False)
    state.coef = np.broadcast_to(state.coef, (1, 2**32 + 1))
    with pytest.raises(ValueError, match="at most 4294967296 features"):
        _state.csr_model(state, _state.rule_of(0.0, False), L1(0.1), True)


@each_task
def test_weights_of_samples_count_the_same(task):
    y = TASKS[task][1]
    for weights in (WEIGHTS, np.where(np.arange(N_ROWS) % 3, WEIGHTS, 0.0)):
        expected = make(task).fit(X, y, sample_weight=weights)
        actual = make(task).fit(sparse.csr_array(X), y, sample_weight=weights)
        assert_same_model(actual, expected)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 0.5, 2: 3.0}])
def test_weights_of_classes_count_the_same(class_weight):
    params = {"class_weight": class_weight}
    expected = make("softmax", **params).fit(X, LABELS, sample_weight=WEIGHTS)
    actual = make("softmax", **params)
    actual.fit(sparse.csr_array(X), LABELS, sample_weight=WEIGHTS)
    assert_same_model(actual, expected)


@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_loss_of_a_classifier_gives_the_same(loss, n_classes):
    y = np.minimum(LABELS, n_classes - 1)
    expected = make("softmax", loss=loss).fit(X, y)
    actual = make("softmax", loss=loss).fit(sparse.csr_array(X), y)
    assert_same_model(actual, expected)


@pytest.mark.parametrize("given", [False, True])
@each_task
def test_validation_keeps_the_same_epoch(task, given):
    y = TASKS[task][1]
    params = {"max_iter": 20, "tol": 1e-3, "n_iter_no_change": 2, "eta0": 0.02}
    if given:
        params["early_stopping"] = False
        expected = make(task, **params)
        expected.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
        for convert in (sparse.csr_array, sparse.coo_array):
            actual = make(task, **params)
            actual.fit(
                sparse.csr_array(X[:40]), y[:40], X_val=convert(X[40:]), y_val=y[40:]
            )
            assert_same_model(actual, expected)
            assert_close(actual.validation_scores_, expected.validation_scores_)
        return
    params |= {"early_stopping": True, "validation_fraction": 0.3}
    expected = make(task, **params).fit(X, y)
    actual = make(task, **params).fit(sparse.csr_array(X), y)
    assert_same_model(actual, expected)
    assert_close(actual.validation_scores_, expected.validation_scores_)


@each_task
def test_training_and_validation_data_may_differ_in_layout(task):
    y = TASKS[task][1]
    X_train, X_val = sparse.csr_array(X[:40]), sparse.csr_array(X[40:])
    expected = make(task).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    for train_part, validation_part in ((X_train, X[40:]), (X[:40], X_val)):
        actual = make(task)
        actual.fit(train_part, y[:40], X_val=validation_part, y_val=y[40:])
        assert_same_model(actual, expected)


CHUNKS = [slice(0, 20), slice(20, 21), slice(21, 60), slice(0, 60)]


def stream(estimator, task, chunks, layouts):
    for chunk, layout in zip(chunks, layouts, strict=True):
        estimator.partial_fit(
            layout(X[chunk]), TASKS[task][1][chunk], **classes_of(task)
        )
    return estimator


@pytest.mark.parametrize(
    "layouts",
    [
        [sparse.csr_array] * 4,
        [sparse.csr_array, np.asarray, sparse.csc_matrix, np.asarray],
        [np.asarray, sparse.coo_array, np.asarray, sparse.csr_matrix],
    ],
    ids=["sparse", "sparse first", "dense first"],
)
@each_penalty
@each_task
def test_chunks_of_a_stream_may_be_sparse_or_dense(task, penalty, layouts):
    expected = stream(make(task, penalty=penalty), task, CHUNKS, [np.asarray] * 4)
    actual = stream(make(task, penalty=penalty), task, CHUNKS, layouts)
    assert_same_model(actual, expected)


@pytest.mark.parametrize("averages", [(False, True), (True, False)])
@each_task
def test_an_average_can_begin_or_end_in_a_sparse_stream(task, averages):
    models = []
    for layout in (np.asarray, sparse.csr_array):
        model = make(task, average=averages[0])
        stream(model, task, CHUNKS[:2], [layout] * 2)
        model.set_params(average=averages[1])
        models.append(stream(model, task, CHUNKS[2:], [layout] * 2))
    assert_same_model(models[1], models[0])


@each_task
def test_a_warm_start_begins_where_the_last_fit_ended(task):
    y = TASKS[task][1]
    models = []
    for layout in (np.asarray, sparse.csr_array):
        model = make(task, warm_start=True).fit(layout(X), y)
        models.append(model.fit(layout(X[:30]), y[:30]))
    assert_same_model(models[1], models[0])


@each_task
def test_initial_weights_move_also_where_no_row_holds_them(task):
    y = TASKS[task][1]
    start = make(task).fit(X, y)
    rng = np.random.default_rng(0)
    init = {
        "coef_init": rng.normal(size=start.coef_.shape),
        "intercept_init": rng.normal(size=start.intercept_.shape),
    }
    expected = make(task).fit(X, y, **init)
    actual = make(task).fit(sparse.csr_array(X), y, **init)
    assert actual.coef_[..., -1].all()  # the empty column
    assert_same_model(actual, expected)


# ---------------------------------------------------------------------------
# Signs that are lost, compared with the dense model that makes every update
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("first", [1, 4, 20, 21, 24, 25, 31, 56, 60, 61, 64, 80])
def test_a_mean_may_begin_at_any_update(first, decay, penalty, monkeypatch):
    # Batches of 4 rows, 15 to an epoch, windows of 6: the mean begins within an epoch
    # or with it, at a window's last update or not.
    set_window(monkeypatch, 6)
    changes = {"penalty": penalty, "average": first, "batch_size": 4, "decay": decay}
    changes |= {"learning_rate": "time", "decay_unit": "update", "eta0": 0.1}
    changes |= {"alpha": 0.3, "momentum": 0.9, "max_iter": 3}
    y = TASKS["one target"][1]
    dense = make("one target", **changes).fit(X, y)
    positions = dense._resumption["positions"]
    assert 5 < np.count_nonzero(np.abs(positions) < dense._resumption["threshold"][0])
    assert_same_model(make("one target", **changes).fit(sparse.csr_array(X), y), dense)


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_a_chunk_may_lack_a_feature_that_just_became_zero(nesterov, momentum, penalty):
    rng = np.random.default_rng(0)
    changes = {"penalty": penalty, "alpha": 0.3, "l1_ratio": 0.9, "eta0": 0.05}
    changes |= {"momentum": momentum, "nesterov": nesterov, "batch_size": 2}
    dense = MiniBatchSGDRegressor(**changes, random_state=0)
    actual = MiniBatchSGDRegressor(**changes, random_state=0)
    n_left = 0
    for n in range(40):
        X = rng.normal(size=(6, 8)) * (rng.random((6, 8)) < 0.5)
        absent = np.arange(8) % 4 == n % 4
        X[:, absent] = 0.0
        if n > 0:
            velocity = dense._resumption["velocity"][0]
            n_left += np.count_nonzero(absent & (dense.coef_ == 0) & (velocity != 0))
        y = X[:, 0] - X[:, 1] + rng.normal(size=6)
        assert_same_model(
            actual.partial_fit(sparse.csr_array(X), y), dense.partial_fit(X, y)
        )
    assert n_left > 10


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("decays", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("pull", [0.01, 0.3, 0.9, 1.5])
def test_any_weights_and_velocities_go_where_the_dense_model_takes_them(
    pull, momentum, nesterov, decays, averaged
):
    # pull is eta * lam2; no row has any of the features.
    n_updates, n_features = 40, 400
    data = TrainingData.of_numbers(
        np.zeros((n_updates, n_features)), np.zeros((n_updates, 1)), None
    )
    rates = 0.1 / (1.0 + 0.02 * decays * np.arange(n_updates))
    penalty = L1(l1=0.5, l2=pull / 0.1)
    states = []
    for layout in (np.asarray, sparse.csr_array):
        state = TrainingState.start(
            np.zeros((1, n_features)), np.zeros(1), seed=0, averaged=averaged
        )
        state.coef[0] = np.random.default_rng(1).normal(size=n_features)
        state.coef[0, ::5] = 0.0
        state.velocity[0] = np.random.default_rng(2).normal(size=n_features)
        state.continue_under(penalty)
        model = _state.make_model(
            state, penalty, sparse=layout is not np.asarray, momentum=momentum,
            nesterov=nesterov, fit_intercept=False,
        )  # fmt: skip
        rows = replace(data, X=layout(data.X)).rows_for(model)
        for _ in range(2):
            run_epoch(rows, SquaredError(), rates, 1, 7 if averaged else -1)
        model.store()
        states.append(state)
    expected, actual = states
    for name in ("coef", "positions", "velocity", "average_coef"):
        if getattr(expected, name) is not None:
            assert_allclose(
                getattr(actual, name), getattr(expected, name), rtol=1e-9, atol=1e-11
            )


# ---------------------------------------------------------------------------
# Numbers that do not fit the precision of X
# ---------------------------------------------------------------------------

LARGEST = float(np.finfo(np.float32).max)


def column(values):
    return sparse.csr_array(np.reshape(values, (-1, 1)), dtype=np.float32)


@pytest.mark.parametrize("target", [1e38, 1e45])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.9},
        {"average": True},
        {"fit_intercept": False},
        {"penalty": "l1", "alpha": 0.1},
    ],
    ids=str,
)
def test_weights_beyond_single_precision_are_divergence(changes, target):
    options = {"alpha": 0.0, "eta0": 0.1, "tol": None, "max_iter": 2} | changes
    model = MiniBatchSGDRegressor(**options)
    X, y = np.eye(4, dtype=np.float32), [target, 0.0, 0.0, 0.0]
    if target > LARGEST:
        with pytest.raises(DivergenceError, match="epoch 1"):
            model.fit(sparse.csr_array(X), y)
        assert not hasattr(model, "coef_")
    else:
        model.fit(sparse.csr_array(X), y)
        assert np.isfinite(model.coef_).all()


def test_a_chunk_beyond_single_precision_leaves_a_stream_as_it_was():
    model = MiniBatchSGDRegressor(eta0=0.1, alpha=0.0, momentum=0.9)
    model.partial_fit(column([1.0, 2.0]), [1.0, 2.0])
    before = snapshot(model)
    with pytest.raises(DivergenceError):
        model.partial_fit(column([1.0, 2.0]), [1e45, 0.0])
    assert snapshot(model) == before
    model.partial_fit(column([1.0, 2.0]), [1.0, 2.0])


def test_velocities_beyond_single_precision_are_divergence():
    # A step there and one back: v = 1e39 and w = 1e39, then v = -1e39 and w = 0
    options = {"shuffle": False, "batch_size": 1, "momentum": 0.5, "eta0": 1.0}
    model = MiniBatchSGDRegressor(
        alpha=0.0, nesterov=False, fit_intercept=False, max_iter=1, tol=None, **options
    )
    X, y = column([1.0, 1.0]), [1e39, 0.5e39 - 1e39]
    with pytest.raises(DivergenceError):
        model.fit(X, y)
    # The same holds in double precision.
    model.fit(X.astype(np.float64), y)
    assert abs(model.coef_[0]) <= 1e30
    assert_allclose(model._resumption["velocity"], [[-1e39]])


def test_means_beyond_single_precision_are_divergence():
    options = {"shuffle": False, "batch_size": 1, "eta0": 1.0, "average": True}
    model = MiniBatchSGDRegressor(
        alpha=0.0, momentum=0.0, fit_intercept=False, max_iter=1, tol=None, **options
    )
    X, y = column([1.0, 1.0]), [1e39, 0.0]  # weights of 1e39 and 0: their mean is 5e38
    with pytest.raises(DivergenceError):
        model.fit(X, y)
    model.fit(X.astype(np.float64), y)
    assert_allclose(model.coef_, [5e38])


def test_many_weights_within_single_precision_may_have_a_sum_beyond():
    n = 100
    X = sparse.identity(n, dtype=np.float32, format="csr")
    y = np.full(n, 0.9 * LARGEST)
    model = MiniBatchSGDRegressor(
        eta0=1.0, alpha=0.0, momentum=0.0, batch_size=1, max_iter=1, tol=None,
        fit_intercept=False,
    ).fit(X, y)  # fmt: skip
    assert_array_equal(model.coef_, y.astype(np.float32))


@pytest.mark.parametrize("penalty", ["l2", "elasticnet", "l1"])
@pytest.mark.parametrize("average", [False, True])
def test_penalties_beyond_twice_the_inverse_rate_are_as_in_dense_data(penalty, average):
    # 1 - eta0 * alpha is -2, of which powers would be infinite by the end.
    X = sparse.csr_array(([0.0], ([0], [0])), shape=(2000, 1))
    options = {"alpha": 30.0, "eta0": 0.1, "batch_size": 1, "learning_rate": "constant"}
    model = MiniBatchSGDRegressor(
        **options, penalty=penalty, average=average, max_iter=2, tol=None
    )
    y = np.arange(2000) % 3
    init = {"coef_init": [1.0]}
    dense = clone(model).set_params(random_state=0).fit(X.toarray(), y, **init)
    model.set_params(random_state=0).fit(X, y, **init)
    assert np.isfinite(model.coef_).all()
    assert_same_model(model, dense)


# ---------------------------------------------------------------------------
# Promises
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_canonical_matrix_is_neither_copied_nor_written(dtype, index_type):
    n, d, n_stored = 20_000, 60, 50
    rng = np.random.default_rng(0)
    matrix = sparse.csr_array(
        (
            rng.normal(size=n * n_stored).astype(dtype),
            np.tile(np.arange(n_stored, dtype=index_type), n),
            np.arange(0, n * n_stored + 1, n_stored, dtype=index_type),
        ),
        shape=(n, d),
    )
    y = rng.normal(size=n)
    parts = (matrix.data, matrix.indices, matrix.indptr)
    before = [part.copy() for part in parts]
    for part in parts:
        part.flags.writeable = False
    model = make("one target", max_iter=2, eta0=1e-4, batch_size=32)

    # partial_fit numbers the columns, 4 bytes for each, and has tables of its own.
    numbers = 4 * matrix.nnz + 2**20
    for method, allowed in ((model.fit, 0), (model.partial_fit, numbers)):
        tracemalloc.start()
        try:
            method(matrix, y)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # The order of rows and the targets are a tenth of this.
        assert peak < 0.5 * matrix.data.nbytes + allowed
    model.predict(matrix)
    for part, after, copy in zip(
        parts, (matrix.data, matrix.indices, matrix.indptr), before, strict=True
    ):
        assert after is part
        assert_array_equal(after, copy)


@each_task
def test_the_same_seed_gives_the_same_bits(task):
    y = TASKS[task][1]
    matrix = sparse.csr_array(X)
    assert_same_bits(make(task).fit(matrix, y), make(task).fit(matrix, y))
    one = stream(make(task), task, CHUNKS, [sparse.csr_array] * 4)
    other = stream(make(task), task, CHUNKS, [sparse.csr_array] * 4)
    assert_same_bits(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_penalty
@each_task
def test_a_pickled_stream_ends_in_the_same_bits(task, penalty, dtype):
    def layout(values):
        return sparse.csr_array(values, dtype=dtype)

    expected = stream(make(task, penalty=penalty), task, CHUNKS, [layout] * 4)
    actual = make(task, penalty=penalty)
    for chunk in CHUNKS:
        stream(actual, task, [chunk], [layout])
        actual = pickle.loads(pickle.dumps(actual))
    assert_same_bits(actual, expected)


@each_task
def test_a_sparse_fit_is_a_stream_of_epochs(task):
    y = TASKS[task][1]
    matrix = sparse.csr_array(X)
    streamed = make(task)
    for _ in range(SETTINGS["max_iter"]):
        streamed.partial_fit(matrix, y, **classes_of(task))
    assert_same_model(streamed, make(task).fit(matrix, y))


@each_task
def test_a_failed_chunk_leaves_the_stream_as_it_was(task):
    layouts = [sparse.csr_array] * 4
    expected = stream(make(task), task, CHUNKS, layouts)
    actual = stream(make(task), task, CHUNKS[:2], layouts[:2])
    before = snapshot(actual)
    y = TASKS[task][1]
    huge = sparse.csr_array(X * 1e200)
    if task != "softmax":  # whose gradients are bounded
        with pytest.raises(ValueError, match="diverged"):
            actual.partial_fit(huge, y)
    for bad_X, bad_y in (
        (sparse.csr_array(X[:, :-1]), y),
        (sparse.csr_array(X[:-1]), y),
        (sparse.csr_array(np.where(X > 2.0, np.nan, X)), y),
        (sparse.csr_array((0, N_FEATURES)), y[:0]),
        (sparse.csr_array(X.astype(complex)), y),
    ):
        with pytest.raises(ValueError):
            actual.partial_fit(bad_X, bad_y)
    assert snapshot(actual) == before
    stream(actual, task, CHUNKS[2:], layouts[2:])
    assert_same_bits(actual, expected)


INTERRUPTED = """
    import pickle, signal, threading, time, _thread
    import numpy as np
    from functools import partial
    from scipy import sparse
    from skmbsgd import MiniBatchSGDClassifier, _state

    # Shells have the processes that they start in the background ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = np.random.default_rng(0)
    n, n_classes, indices, indptr = {rows}
    X = sparse.csr_array((rng.normal(size=len(indices)), indices, indptr))
    y = np.arange(n) % n_classes
    model = MiniBatchSGDClassifier(max_iter=1000, tol=None, **{settings})
    model.partial_fit(X[:200], y[:200], classes=np.arange(n_classes))
    before = {{name: pickle.dumps(value) for name, value in vars(model).items()}}

    times = []

    def interrupt():
        time.sleep(0.2)
        times.append(time.perf_counter())
        _thread.interrupt_main()

    for method in (model.fit, model.partial_fit):
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            method(X, y)
        except KeyboardInterrupt:
            print(time.perf_counter() - times[-1])
        thread.join()
        after = {{name: pickle.dumps(value) for name, value in vars(model).items()}}
        assert after == before
"""
LONG_ROWS = """(
        1000, 200, rng.integers(0, 5000, 6_000_000, dtype=np.int32),
        np.arange(0, 6_000_001, 6000),
    )"""
# One row with many columns, and a window without another: weights that swing from one
# side of 0 to the other, until all are brought up to date at its end
LONG_GAPS = """(
        16385, 2, np.arange(200_000), np.append(0, np.full(16385, 200_000)),
    )"""
# The same, brought up to date at each update
SHORT_WINDOWS = f"""{LONG_GAPS}
_state.csr_model = partial(_state.csr_model, window_size=1)"""
EPOCHS_TO_INTERRUPT = {
    "long rows, L2": (LONG_ROWS, dict(momentum=0.9, eta0=1e-6)),
    "long rows, L1": (LONG_ROWS, dict(momentum=0.9, eta0=1e-6, penalty="l1")),
    "long gaps": (
        LONG_GAPS,
        dict(
            penalty="elasticnet",
            alpha=2.0,
            l1_ratio=1e-9,
            momentum=0.99,
            eta0=1.0,
            average=True,
            batch_size=1,
            shuffle=False,
        ),
    ),
    "short windows": (
        SHORT_WINDOWS,
        dict(penalty="elasticnet", momentum=0.9, batch_size=1, shuffle=False),
    ),
}


@pytest.mark.parametrize("epoch", EPOCHS_TO_INTERRUPT)
def test_an_interrupt_is_heard_within_a_sparse_epoch_and_leaves_no_trace(epoch):
    rows, settings = EPOCHS_TO_INTERRUPT[epoch]
    script = textwrap.dedent(INTERRUPTED).format(rows=rows, settings=settings)
    process = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    delays = [float(line) for line in process.stdout.split()]
    assert len(delays) == 2
    # 0.2 s are promised; the rest is for a machine that is busy. An epoch takes longer.
    assert max(delays) < 2.0


# ---------------------------------------------------------------------------
# Matrices that contradict themselves
# ---------------------------------------------------------------------------


def replaced(name, change):
    """A corruption: an attribute replaced by what `change` makes of it."""

    def corrupt(matrix):
        setattr(matrix, name, change(getattr(matrix, name)))

    return corrupt


def with_entry(name, position, value):
    """A corruption: an entry of an attribute's array overwritten."""

    def corrupt(matrix):
        getattr(matrix, name)[position] = value

    return corrupt


COMPRESSED = {
    "an index is negative": with_entry("indices", 3, -1),
    "an index is very negative": with_entry("indices", 3, -(2**31)),
    "the first index is too large": with_entry("indices", 0, 60),
    "the last index is too large": with_entry("indices", -1, 60),
    "an index is huge": with_entry("indices", 3, 2**31 - 1),
    "indptr falls": with_entry("indptr", 5, 40),
    "indptr is negative": with_entry("indptr", 5, -7),
    "indptr does not begin with 0": with_entry("indptr", 0, 1),
    "indptr begins below 0": with_entry("indptr", 0, -1),
    "indptr ends past the data": with_entry("indptr", -1, 10**6),
    "indptr leaves the data in between": with_entry("indptr", 5, 10**6),
    "indptr is too short": replaced("indptr", lambda indptr: indptr[:-1]),
    "indptr is too long": replaced("indptr", lambda p: np.append(p, p[-1])),
    "indptr is empty": replaced("indptr", lambda indptr: indptr[:0]),
    "data are too short": replaced("data", lambda data: data[:-1]),
    "data are too long": replaced("data", lambda data: np.append(data, 1.0)),
    "data are empty": replaced("data", lambda data: data[:0]),
    "indices are too short": replaced("indices", lambda indices: indices[:-1]),
    "indices are empty": replaced("indices", lambda indices: indices[:0]),
    "data have two dimensions": replaced("data", lambda data: data[:, None]),
    "data are NaN": with_entry("data", 3, np.nan),
    "data are infinite": with_entry("data", -1, np.inf),
}
COORDINATES = {
    "a row is negative": with_entry("row", 3, -1),
    "a row is too large": with_entry("row", 3, 60),
    "a row is huge": with_entry("row", -1, 2**31 - 1),
    "a column is negative": with_entry("col", 3, -1),
    "a column is too large": with_entry("col", 3, 60),
    "a column is huge": with_entry("col", -1, 2**31 - 1),
    "data are too short": replaced("data", lambda data: data[:-1]),
    "data are too long": replaced("data", lambda data: np.append(data, 1.0)),
    "rows are too few": replaced("row", lambda row: row[:-1]),
    "columns are too few": replaced("col", lambda col: col[:-1]),
    "data are NaN": with_entry("data", 3, np.nan),
    "data are infinite": with_entry("data", -1, -np.inf),
}
MALFORMED = [
    *product(["csr", "csc"], ["array", "matrix"], [np.int32, np.int64], COMPRESSED),
    *product(["coo"], ["array", "matrix"], [np.int32, np.int64], COORDINATES),
]


def malformed(layout, kind, index_type, name):
    """A valid matrix whose arrays have been changed in place."""
    matrix = getattr(sparse, f"{layout}_{kind}")(X)
    parts = ("row", "col") if layout == "coo" else ("indices", "indptr")
    for part in parts:
        setattr(matrix, part, getattr(matrix, part).astype(index_type))
    (COORDINATES if layout == "coo" else COMPRESSED)[name](matrix)
    return matrix


@pytest.mark.parametrize(
    "layout, kind, index_type, name",
    MALFORMED,
    ids=[f"{f}_{k}-{i.__name__}-{n}" for f, k, i, n in MALFORMED],
)
def test_a_malformed_matrix_is_refused_before_anything_is_learnt(
    layout, kind, index_type, name
):
    estimator = make("softmax", batch_size=1)
    with pytest.raises(ValueError):
        estimator.fit(malformed(layout, kind, index_type, name), LABELS)
    assert vars(estimator) == vars(make("softmax", batch_size=1))
    with pytest.raises(ValueError):
        estimator.partial_fit(
            malformed(layout, kind, index_type, name), LABELS, classes=[0, 1, 2]
        )
    assert vars(estimator) == vars(make("softmax", batch_size=1))

    estimator.partial_fit(X, LABELS, classes=[0, 1, 2])
    before = snapshot(estimator)
    calls = [
        lambda bad: estimator.fit(bad, LABELS),
        lambda bad: estimator.partial_fit(bad, LABELS),
        lambda bad: estimator.fit(X, LABELS, X_val=bad, y_val=LABELS),
        estimator.predict,
        estimator.decision_function,
        estimator.predict_proba,
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call(malformed(layout, kind, index_type, name))
    assert snapshot(estimator) == before


def corrupted_lil(column):
    """A LIL matrix with a column that does not exist."""
    matrix = sparse.lil_array(np.eye(5))
    matrix.rows[2] = [column]
    return matrix


def uneven_lil():
    """A LIL matrix with a row of more columns than values."""
    matrix = sparse.lil_array(np.eye(5))
    matrix.rows[2] = [1, 2, 3]
    return matrix


def uneven_dia():
    """A DIA matrix with fewer offsets than diagonals."""
    matrix = sparse.dia_array(np.eye(5) + np.eye(5, k=1))
    matrix.offsets = matrix.offsets[:-1]
    return matrix


@pytest.mark.parametrize(
    "make_matrix",
    [lambda: corrupted_lil(10**6), lambda: corrupted_lil(-500), uneven_lil, uneven_dia],
    ids=["column too large", "column negative", "uneven LIL", "uneven DIA"],
)
def test_malformed_lists_and_diagonals_are_refused(make_matrix):
    y = np.arange(5.0)
    fitted = MiniBatchSGDRegressor(random_state=0, max_iter=1, tol=None).fit(
        np.eye(5), y
    )
    with pytest.raises(ValueError, match="malformed"):
        MiniBatchSGDRegressor().fit(make_matrix(), y)
    with pytest.raises(ValueError, match="malformed"):
        fitted.predict(make_matrix())
