"""eta0="auto": the initial rate, standardised columns, cycles, and where fits end."""

import math
import pickle
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import hadamard
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler, scale

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor, _automatic
from skmbsgd._automatic import Cycles, certain_gain
from skmbsgd._data import TrainingData
from skmbsgd._engine.losses import SquaredError

ALPHA = 1e-4
RULES = [
    {"momentum": 0.0, "nesterov": False},
    {"momentum": 0.9, "nesterov": False},
    {"momentum": 0.9, "nesterov": True},
]


def name_of(settings):
    return "-".join(map(str, settings.values()))


# ---------------------------------------------------------------------------
# The initial rate
# ---------------------------------------------------------------------------

# Columns of mean 0 and variance 1, orthogonal to each other and to the intercept: the
# mean of x x' is the identity, and all |x|^2 + 1 are 8.
N, D = 64, 7
DESIGN = hadamard(N)[:, 1 : D + 1].astype(float)
SIGNS = np.resize([0, 1], N)


def expected_rate(c, kappa, batch_size, momentum):
    noise = kappa * (D + 1) * (N - batch_size) / (batch_size * (N - 1))
    return c / (kappa + ALPHA + noise / (1 - momentum))


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("batch_size", [1, 32, 64, "full"])
@pytest.mark.parametrize(
    ("make", "loss", "y", "c", "kappa"),
    [
        (MiniBatchSGDClassifier, "log_loss", SIGNS, 2.0, 0.25),
        (MiniBatchSGDClassifier, "log_loss", np.arange(N) % 3, 2.0, 0.5),
        (MiniBatchSGDClassifier, "hinge", SIGNS, 1.0, 1.0),
        (MiniBatchSGDClassifier, "squared_hinge", SIGNS, 1.0, 2.0),
        (MiniBatchSGDClassifier, "modified_huber", SIGNS, 1.0, 2.0),
        (MiniBatchSGDRegressor, "squared_error", SIGNS + 0.5, 0.25, 1.0),
        # Half of the targets are 2000 off their median, the others 0: residuals of
        # 1000, where slopes of 0.1 and of 1 are those of wide parabolas.
        (MiniBatchSGDRegressor, "huber", 2000.0 * SIGNS, 0.25, 1e-4),
        (MiniBatchSGDRegressor, "epsilon_insensitive", 2000.0 * SIGNS, 0.25, 1e-3),
    ],
)
def test_the_initial_rate_is_that_of_the_formula(
    make, loss, y, c, kappa, batch_size, momentum, standardize
):
    estimator = make(
        loss,
        learning_rate="constant",
        standardize=standardize,
        batch_size=batch_size,
        momentum=momentum,
        nesterov=False,
        max_iter=1,
        tol=None,
    ).fit(DESIGN, y)
    size = N if batch_size == "full" else batch_size
    expected = expected_rate(c * (2 if momentum == 0 else 1), kappa, size, momentum)
    restarts = math.log(expected / estimator.eta0_, 4)
    assert round(restarts) in range(10)
    assert_allclose(estimator.eta0_ * 4 ** round(restarts), expected, rtol=1e-12)


@pytest.mark.parametrize(("batch_size", "tolerance"), [(1, 0.01), ("full", 0.2)])
def test_weights_count_in_the_initial_rate(batch_size, tolerance):
    rng = np.random.default_rng(0)
    X, y, weights = rng.normal(size=(200, 4)), rng.normal(size=200), rng.random(200)
    weights /= weights.mean()
    s = weights * ((X**2).sum(axis=1) + 1.0)
    extended = np.c_[X, np.ones(200)]
    moments = (extended * weights[:, None]).T @ extended / 200
    noise = (s**2).sum() / s.sum() / (1 - 0.9) if batch_size == 1 else 0.0
    expected = 0.25 / (np.linalg.eigvalsh(moments)[-1] + ALPHA + noise)
    model = MiniBatchSGDRegressor(standardize=False, batch_size=batch_size)
    ratio = model.fit(X, y, sample_weight=weights).eta0_ / expected
    ratio *= 4 ** round(-math.log(ratio, 4))  # Training may have restarted.
    # Power iterations stop short of the eigenvalue.
    assert 1.0 <= ratio < 1.0 + tolerance


@pytest.mark.parametrize("exponent", [-6, 6])
def test_the_rate_follows_the_unit_of_the_columns(exponent):
    y = DESIGN @ np.arange(D) + SIGNS
    settings = {
        "standardize": False,
        "alpha": 0.0,
        "fit_intercept": False,
        "random_state": 0,
    }
    plain = MiniBatchSGDRegressor(**settings).fit(DESIGN, y)
    scaled = MiniBatchSGDRegressor(**settings).fit(DESIGN * 2.0**exponent, y)
    assert_allclose(scaled.eta0_ * 4.0**exponent, plain.eta0_, rtol=1e-12)
    assert_allclose(scaled.coef_ * 2.0**exponent, plain.coef_, rtol=1e-10)


def test_a_number_for_eta0_makes_the_schedule_time_based():
    X, y = load_iris(return_X_y=True)
    settings = {"eta0": 0.1, "decay": 0.5, "max_iter": 5, "tol": None}
    automatic = MiniBatchSGDClassifier(random_state=0, **settings).fit(X, y)
    named = MiniBatchSGDClassifier(
        learning_rate="time", random_state=0, **settings
    ).fit(X, y)
    assert_allclose(
        automatic.learning_rate_curve_, 0.1 / (1 + 0.5 * np.arange(5)), rtol=1e-15
    )
    assert_array_equal(automatic.coef_, named.coef_)
    assert automatic.eta0_ == 0.1


def test_a_named_schedule_keeps_its_form_with_the_rate_that_is_found():
    X, y = load_iris(return_X_y=True)
    model = MiniBatchSGDClassifier(
        learning_rate="step", epochs_drop=2, max_iter=5, tol=None
    ).fit(X, y)
    assert_allclose(
        model.learning_rate_curve_,
        model.eta0_ * np.array([1, 0.5, 0.5, 0.25, 0.25]),
        rtol=1e-15,
    )


@pytest.mark.parametrize("learning_rate", ["optimal", lambda epoch: 0.01])
def test_a_schedule_without_eta0_standardises_nothing(learning_rate):
    X, y = load_iris(return_X_y=True)
    settings = {"learning_rate": learning_rate, "random_state": 0}
    automatic = MiniBatchSGDClassifier(**settings).fit(X, y)
    given = MiniBatchSGDClassifier(standardize=False, eta0=1.0, **settings).fit(X, y)
    assert_array_equal(automatic.coef_, given.coef_)


# ---------------------------------------------------------------------------
# Standardised columns
# ---------------------------------------------------------------------------


def reference(X, y, weights, settings, n_epochs, batch_size):
    """Mini-batch SGD on standardised columns in NumPy, squared error, several outputs.

    Weights and penalties are those of the standardised columns: L2 of strength
    alpha / variance at the end of a step, L1 with a threshold divided by the deviation.
    """
    fit_intercept = settings.get("fit_intercept", True)
    mean = np.average(X, axis=0, weights=weights)
    variance = np.average((X - mean) ** 2, axis=0, weights=weights)
    Z = (X - mean * fit_intercept) / np.sqrt(variance)
    alpha, share = settings.get("alpha", ALPHA), settings.get("l1_ratio", 0.0)
    if settings["penalty"] is None:
        alpha = 0.0
    eta, mu = settings["eta0"], settings["momentum"]
    lam2 = alpha * (1 - share) / variance
    W = np.zeros((y.shape[1], X.shape[1]))
    position, v = W.copy(), W.copy()
    b = b_v = np.zeros(y.shape[1])
    u = r = 0.0
    for _ in range(n_epochs):
        for start in range(0, len(Z), batch_size):
            rows = slice(start, start + batch_size)
            errors = (Z[rows] @ W.T + b - y[rows]) * weights[rows, None]
            g = errors.T @ Z[rows] / len(errors)
            g = (g + lam2 * W) / (1 + eta * lam2)
            v = mu * v - eta * g
            r = mu * r + eta * alpha * share
            if settings["nesterov"]:
                position = position + mu * v - eta * g
                u = u + mu * r + eta * alpha * share
            else:
                position, u = position + v, u + r
            threshold = u / np.sqrt(variance)
            W = np.sign(position) * np.maximum(abs(position) - threshold, 0.0)
            if fit_intercept:
                b_g = errors.mean(axis=0)
                b_v = mu * b_v - eta * b_g
                b = b + (mu * b_v - eta * b_g if settings["nesterov"] else b_v)
    coef = W / np.sqrt(variance)
    return coef, b - coef @ (mean * fit_intercept)


@pytest.mark.parametrize("rule", RULES, ids=name_of)
@pytest.mark.parametrize(
    "penalty",
    [
        {"penalty": None},
        {"penalty": "l2", "alpha": 10.0},
        {"penalty": "l1", "alpha": 0.3, "l1_ratio": 1.0},
        {"penalty": "elasticnet", "alpha": 0.5, "l1_ratio": 0.4},
    ],
    ids=name_of,
)
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_standardised_columns_are_those_of_a_loop(
    rule, penalty, n_outputs, fit_intercept
):
    rng = np.random.default_rng(0)
    # Deviations of 0.5 to 4, so that without an intercept the means do no harm
    X = rng.normal(size=(90, 6)) * [0.5, 1.0, 2.0, 4.0, 0.7, 1.5] + [1, 2, 3, -2, 0, 1]
    y = X @ rng.normal(size=(6, n_outputs)) + rng.normal(size=(90, n_outputs)) + 5.0
    weights = rng.random(90) + 0.5
    weights /= weights.mean()
    settings = {"eta0": 0.01, "fit_intercept": fit_intercept, **penalty, **rule}
    coef, intercept = reference(X, y, weights, settings, n_epochs=4, batch_size=20)
    model = MiniBatchSGDRegressor(
        standardize=True,
        learning_rate="constant",
        batch_size=20,
        shuffle=False,
        max_iter=4,
        tol=None,
        **settings,
    ).fit(X, y if n_outputs > 1 else y[:, 0], sample_weight=weights)
    assert_allclose(np.atleast_2d(model.coef_), coef, rtol=1e-10, atol=1e-13)
    assert_allclose(model.intercept_, intercept, rtol=1e-10)
    if penalty["penalty"] == "l1" and fit_intercept:
        assert (coef == 0.0).any() and (coef != 0.0).any()


@pytest.mark.parametrize("rule", RULES, ids=name_of)
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
def test_without_a_penalty_it_is_a_fit_on_scaled_columns(load, rule):
    X, y = load(return_X_y=True)
    scaler = StandardScaler().fit(X)
    settings = {
        "penalty": None,
        "eta0": 1e-3,
        "max_iter": 3,
        "tol": None,
        "random_state": 0,
        **rule,
    }
    scaled = MiniBatchSGDClassifier(**settings).fit(scaler.transform(X), y)
    model = MiniBatchSGDClassifier(standardize=True, **settings).fit(X, y)
    coef = scaled.coef_ / scaler.scale_
    intercept = scaled.intercept_ - coef @ scaler.mean_
    assert_allclose(model.coef_, coef, rtol=1e-10, atol=1e-14)
    assert_allclose(model.intercept_, intercept, rtol=1e-10, atol=1e-12)
    assert_array_equal(model.coef_[:, X.std(axis=0) == 0.0], 0.0)


def test_float32_and_threads_agree_with_float64():
    X, y = load_breast_cancer(return_X_y=True)
    settings = {"max_iter": 10, "tol": None, "random_state": 0, "batch_size": 256}
    expected = MiniBatchSGDClassifier(**settings).fit(X, y)
    threads = MiniBatchSGDClassifier(n_jobs=2, **settings).fit(X, y)
    single = MiniBatchSGDClassifier(**settings).fit(X.astype(np.float32), y)
    decisions = expected.decision_function(X)
    assert_allclose(threads.decision_function(X), decisions, rtol=1e-8, atol=1e-8)
    assert single.coef_.dtype == np.float32
    assert_allclose(single.decision_function(X), decisions, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("unit", [1.0, 3e8, 1e18])
@pytest.mark.parametrize("of_sparse", [True, False])
def test_the_rate_of_float32_is_that_of_float64(of_sparse, unit):
    """In float32 the squares of the squared norms would overflow at 4e9."""
    rng = np.random.default_rng(0)
    rows = unit * rng.normal(size=(2000, 5)) * (rng.random((2000, 5)) < 0.5)
    y = rows @ np.arange(5) / unit
    rates = []
    for dtype in (np.float64, np.float32):
        X = csr_array(rows.astype(dtype)) if of_sparse else rows.astype(dtype)
        model = MiniBatchSGDRegressor(random_state=0, standardize=False)
        streamed = MiniBatchSGDRegressor(random_state=0, standardize=False)
        in_chunks = MiniBatchSGDRegressor(random_state=0, standardize=False, max_iter=5)
        with pytest.warns(ConvergenceWarning):
            in_chunks.fit_chunks([(X[:1500], y[:1500]), (X[1500:], y[1500:])])
        assert model.fit(X, y).score(X, y) > 0.99
        streamed.partial_fit(X[:1500], y[:1500]).partial_fit(X[1500:], y[1500:])
        rates.append([model.eta0_, streamed.eta0_, in_chunks.eta0_])
    assert_allclose(rates[1], rates[0], rtol=1e-5)


@pytest.mark.parametrize("of_sparse", [True, False])
def test_rows_too_large_for_a_rate_leave_a_stream_as_it_was(of_sparse):
    make = csr_array if of_sparse else np.asarray
    X, y = np.eye(4), [0, 1, 0, 1]
    model = MiniBatchSGDClassifier(random_state=0, standardize=False)
    model.partial_fit(make(X), y, classes=[0, 1])
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="too large to compute a learning rate"):
        model.partial_fit(make(1e80 * X), y)
    with pytest.raises(ValueError, match="or the weights of its rows, are too large"):
        model.partial_fit(make(X), y, sample_weight=np.full(4, 1e200))
    with pytest.raises(ValueError, match="or train with a number as eta0"):
        clone(model).fit(make(1e80 * X), y)
    assert pickle.dumps(model) == before
    rate = model.eta0_
    # The power iterations go on, so the eigenvalue gets more digits.
    assert_allclose(model.partial_fit(make(X), y).eta0_, rate, rtol=1e-8)


def test_a_sparse_X_is_not_centred():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=r"standardize=True needs a dense X.*MaxAbs"):
        MiniBatchSGDClassifier(standardize=True).fit(csr_array(X), y)


def test_columns_are_learnt_alike_in_chunks_and_as_a_whole():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 3)) * [1e-3, 1.0, 1e6] + [1.0, -50.0, 1e9]
    y, weights = rng.integers(2, size=5000), rng.random(5000)
    model = MiniBatchSGDClassifier(random_state=0)
    for start in range(0, 5000, 700):
        rows = slice(start, start + 700)
        model.partial_fit(X[rows], y[rows], [0, 1], sample_weight=weights[rows])
    mean = np.average(X, axis=0, weights=weights)
    variance = np.average((X - mean) ** 2, axis=0, weights=weights)
    learnt = model._resumption
    assert_allclose(learnt["column_mean"], mean, rtol=1e-12)
    assert_allclose(learnt["column_variance"], variance, rtol=1e-9)
    assert_allclose(learnt["column_weight"], weights.sum(), rtol=1e-12)


# ---------------------------------------------------------------------------
# Cycles
# ---------------------------------------------------------------------------


def lengths_of_cycles(rates):
    """Lengths of the falls in the first rates of the epochs."""
    ends = np.flatnonzero(np.diff(rates) >= 0) + 1
    return np.diff([0, *ends, len(rates)]).tolist()


def test_rates_fall_from_a_peak_to_zero_update_by_update():
    cycles = Cycles(0.8, 1.0, n_updates=30, momentum=0.9, tol=1e-3, n_epochs=1000)
    assert cycles.length == 3
    rates = []
    for _ in range(3):
        rates.append(cycles.rates(None, 4))
        cycles.count_epoch(1.0)
    assert_allclose(np.ravel(rates), 0.8 * (1 - np.arange(12) / 12), rtol=1e-15)


@pytest.mark.parametrize(
    ("n_updates", "momentum", "length"),
    [(10, 0.9, 7), (1, 0.9, 16), (1, 0.0, 16), (20, 0.99, 32), (1000, 0.9, 1)],
)
def test_the_first_cycle_holds_so_many_updates(n_updates, momentum, length):
    cycles = Cycles(1.0, 1.0, n_updates, momentum, tol=1e-3, n_epochs=1000)
    assert cycles.length == length


@pytest.mark.parametrize(
    ("highest", "peak"), [(0.504, 2.0), (0.506, 1.0), (0.524, 1.0), (0.526, 0.5)]
)
def test_the_peak_follows_the_rise(highest, peak):
    # Progress from 1.0 to 0.5; the second cycle rises from 0.5 to `highest`.
    cycles = Cycles(1.0, 64.0, n_updates=100, momentum=0.9, tol=1e-3, n_epochs=1000)
    for objective in (1.2, 0.7, 0.5):
        cycles.count_epoch(objective)
    assert not cycles.is_finished_by(0.5, 0.5, start=1.0)
    assert (cycles.peak, cycles.length) == (1.0, 5)
    for _ in range(5):
        cycles.count_epoch(highest)
    assert not cycles.is_finished_by(0.5, 0.5, start=1.0)
    assert (cycles.peak, cycles.length) == (peak, 8)


@pytest.mark.parametrize(
    ("ends", "finished"),
    [
        ([0.5, 0.4], False),  # never with the second
        ([0.408, 0.4, 0.3975], True),
        ([0.408, 0.4, 0.396], False),
        ([0.41, 0.4, 0.3975], False),
        ([0.408, 0.4, 0.42], True),  # A rise is no gain.
    ],
)
def test_two_cycles_that_gain_little_are_the_end(ends, finished):
    # Progress from 1 to 0.4: 5 tol are 0.003 of it, 15 tol 0.009.
    cycles = Cycles(1.0, 1.0, n_updates=100, momentum=0.9, tol=1e-3, n_epochs=1000)
    *earlier, last = ends
    for end in earlier:
        assert not cycles.is_finished_by(end, end, start=1.0)
    assert cycles.is_finished_by(last, last, start=1.0) == finished


@pytest.mark.parametrize("max_iter", [1, 2, 3, 5, 6, 7, 20, 50])
def test_cycles_end_with_the_budget(max_iter):
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=f"max_iter={max_iter} epochs, before"):
        model = MiniBatchSGDClassifier(max_iter=max_iter, tol=1e-9).fit(X, y)
    assert model.n_iter_ == max_iter
    lengths = lengths_of_cycles(model.learning_rate_curve_)
    assert lengths[0] == (13 if max_iter >= 26 else max_iter)
    last_peak = model.learning_rate_curve_[-lengths[-1]]
    assert_allclose(model.learning_rate_curve_[-1] * lengths[-1], last_peak, rtol=1e-9)


def test_without_tol_there_is_one_fall_over_all_epochs():
    X, y = load_iris(return_X_y=True)
    model = MiniBatchSGDClassifier(max_iter=40, tol=None).fit(X, y)
    assert_allclose(
        model.learning_rate_curve_,
        model.eta0_ * (1 - np.arange(40) / 40),
        rtol=1e-12,
    )


def test_with_validation_a_cycle_s_end_is_kept():
    X, y = load_breast_cancer(return_X_y=True)
    model = MiniBatchSGDClassifier(early_stopping=True, random_state=0).fit(X, y)
    lengths = lengths_of_cycles(model.learning_rate_curve_)
    ends = np.cumsum(lengths) - 1
    scores = np.array(model.validation_scores_)
    assert len(lengths) >= 3
    assert model.best_validation_score_ == scores[ends].max()
    assert len(scores) == model.n_iter_


# ---------------------------------------------------------------------------
# Restarts
# ---------------------------------------------------------------------------

CLASSIFIER_LOSSES = sorted(
    MiniBatchSGDClassifier._parameter_constraints["loss"][0].options
)
REGRESSOR_LOSSES = sorted(
    MiniBatchSGDRegressor._parameter_constraints["loss"][0].options
)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("as_rows", [np.asarray, csr_array])
@pytest.mark.parametrize("learning_rate", ["auto", "constant"])
@pytest.mark.parametrize(
    ("make", "loss"),
    [(MiniBatchSGDClassifier, loss) for loss in CLASSIFIER_LOSSES]
    + [(MiniBatchSGDRegressor, loss) for loss in REGRESSOR_LOSSES],
)
def test_a_rate_that_is_far_too_large_is_quartered(
    make, loss, learning_rate, as_rows, monkeypatch
):
    load = load_breast_cancer if make is MiniBatchSGDClassifier else load_diabetes
    X, y = load(return_X_y=True)
    X = as_rows(scale(X))
    settings = {"learning_rate": learning_rate, "max_iter": 20, "random_state": 0}
    expected = make(loss, **settings).fit(X, y)
    factor_of = _automatic.factor_of
    monkeypatch.setattr(
        _automatic, "factor_of", lambda *args: 4.0**9 * factor_of(*args)
    )
    model = make(loss, **settings).fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_
    assert model.t_ == model.n_iter_ * -(-len(y) // 32)
    # The decisions of the perceptron have no scale: no rate is too large for it.
    if loss == "perceptron":
        return
    quarterings = 9 + math.log(expected.eta0_ / model.eta0_, 4)
    assert_allclose(quarterings, round(quarterings), atol=1e-6)
    assert round(quarterings) >= 6
    if learning_rate == "auto":
        assert model.score(X, y) > expected.score(X, y) - 0.08


def test_what_was_abandoned_leaves_no_trace(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    factor_of = _automatic.factor_of
    rate = MiniBatchSGDClassifier(learning_rate="constant", max_iter=1, tol=None)
    rate = rate.fit(X, y).eta0_
    monkeypatch.setattr(
        _automatic, "factor_of", lambda *args: 4.0**9 * factor_of(*args)
    )
    settings = {"max_iter": 20, "tol": None, "random_state": 0, "penalty": "l1"}
    model = MiniBatchSGDClassifier(average=True, **settings).fit(X, y)
    assert model.eta0_ > rate / 4
    quarterings = round(9 + math.log(rate / model.eta0_, 4))
    assert quarterings > 0
    monkeypatch.setattr(
        _automatic,
        "factor_of",
        lambda *args: 4.0 ** (9 - quarterings) * factor_of(*args),
    )
    straight = MiniBatchSGDClassifier(average=True, **settings).fit(X, y)
    assert_array_equal(model.coef_, straight.coef_)
    assert model.loss_curve_ == straight.loss_curve_


def test_a_loss_that_no_rate_makes_finite_is_an_error():
    y = np.resize([1e200, -1e200], 100)
    with pytest.raises(ValueError, match="diverged in epoch 1"):
        MiniBatchSGDRegressor().fit(np.ones((100, 1)), y)


# ---------------------------------------------------------------------------
# Where fits end
# ---------------------------------------------------------------------------

REAL = {
    "breast cancer": (load_breast_cancer, {}),
    "wine": (load_wine, {}),
    "iris": (load_iris, {}),
    "diabetes": (load_diabetes, {"scaled": False}),
}


def load_real(name, standardised):
    load, options = REAL[name]
    X, y = load(return_X_y=True, **options)
    X = X[:, X.std(axis=0) > 0]
    return (scale(X) if standardised else X), y


def objective(X, y, coef, intercept):
    """Mean loss plus penalty; squared error for numbers, else that of a softmax."""
    decisions = X @ np.atleast_2d(coef).T + intercept
    penalty = ALPHA / 2 * np.sum(np.square(coef))
    if y.dtype.kind == "f":
        return ((decisions[:, 0] - y) ** 2).mean() / 2 + penalty
    if decisions.shape[1] == 1:
        return np.logaddexp(0, np.where(y == 1, -1, 1) * decisions[:, 0]).mean() + (
            penalty
        )
    logarithms = np.log(np.exp(decisions - decisions.max(axis=1)[:, None]).sum(axis=1))
    own = (decisions - decisions.max(axis=1)[:, None])[np.arange(len(y)), y]
    return (logarithms - own).mean() + penalty


def gap_of(model, X, y, best):
    """The missing fraction of the way from weights of 0 to the optimum."""
    zero = objective(X, y, 0.0 * model.coef_, 0.0 * model.intercept_)
    optimum = objective(X, y, best.coef_, best.intercept_)
    return (objective(X, y, model.coef_, model.intercept_) - optimum) / (zero - optimum)


@cache
def optimum_of(name, standardised):
    """A model at the optimum, by a second-order solver."""
    X, y = load_real(name, standardised)
    if y.dtype.kind == "f":
        return Ridge(alpha=ALPHA * len(y), solver="cholesky").fit(X, y)
    solver = LogisticRegression(
        C=1 / (ALPHA * len(y)), solver="newton-cholesky", tol=1e-8, max_iter=1000
    )
    return solver.fit(X, y)


@pytest.mark.parametrize("standardised", [True, False])
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("seed", range(3))
def test_a_fit_ends_within_one_percent_of_the_optimum(name, standardised, seed):
    X, y = load_real(name, standardised)
    make = MiniBatchSGDRegressor if name == "diabetes" else MiniBatchSGDClassifier
    model = make(random_state=seed).fit(X, y)
    assert gap_of(model, X, y, optimum_of(name, standardised)) < 0.01


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 1},
        {"batch_size": 256},
        {"batch_size": "full"},
        {"momentum": 0.0},
        {"momentum": 0.5, "nesterov": False},
        {"momentum": 0.99},
        {"n_jobs": 2},
        {"warm_start": True},
    ],
    ids=name_of,
)
@pytest.mark.parametrize("standardised", [True, False])
@pytest.mark.parametrize("name", ["breast cancer", "wine", "diabetes"])
def test_any_setting_ends_within_one_percent_of_the_optimum(
    name, standardised, settings
):
    X, y = load_real(name, standardised)
    make = MiniBatchSGDRegressor if name == "diabetes" else MiniBatchSGDClassifier
    model = make(random_state=0, **settings).fit(X, y)
    if settings.get("warm_start"):
        model.fit(X, y)
    assert gap_of(model, X, y, optimum_of(name, standardised)) < 0.01


@pytest.mark.parametrize("name", ["breast cancer", "wine", "diabetes"])
def test_sparse_input_ends_within_one_percent_of_the_optimum(name):
    X, y = load_real(name, standardised=True)
    make = MiniBatchSGDRegressor if name == "diabetes" else MiniBatchSGDClassifier
    model = make(random_state=0).fit(csr_array(X), y)
    assert gap_of(model, X, y, optimum_of(name, True)) < 0.01


@pytest.mark.parametrize("batch_size", [1, 32, 256])
def test_a_million_columns_end_within_one_percent_of_the_optimum(batch_size):
    # Rows of 40 non-zeros in columns that become rare by Zipf's law, of length 1 as
    # those of TfidfVectorizer
    rng = np.random.default_rng(0)
    n_rows, n_nonzeros, n_columns = 1000, 40, 2**20
    columns = np.minimum(rng.zipf(1.3, (n_rows, n_nonzeros)), n_columns) - 1
    starts = np.arange(0, columns.size + 1, n_nonzeros)
    values = np.full(columns.size, n_nonzeros**-0.5)
    X = csr_array((values, columns.ravel(), starts), (n_rows, n_columns))
    X.sum_duplicates()
    y = (X @ rng.normal(size=n_columns) > 0).astype(int)
    used = np.unique(X.indices)
    best = LogisticRegression(
        C=1 / (ALPHA * n_rows), solver="newton-cg", tol=1e-8, max_iter=1000
    ).fit(X[:, used], y)
    model = MiniBatchSGDClassifier(batch_size=batch_size, random_state=0).fit(X, y)
    model.coef_ = model.coef_[:, used]  # All others are 0.
    assert gap_of(model, X[:, used], y, best) < 0.01


def test_the_unit_of_the_target_does_not_matter():
    X, y = load_real("diabetes", standardised=False)
    for loss in REGRESSOR_LOSSES:
        # Thresholds are in the unit of y, penalties in that of its square.
        model = MiniBatchSGDRegressor(loss, penalty=None, epsilon=10.0, random_state=0)
        milli = MiniBatchSGDRegressor(loss, penalty=None, epsilon=0.01, random_state=0)
        score = model.fit(X, y).score(X, y)
        assert_allclose(milli.fit(X, y / 1000).score(X, y / 1000), score, rtol=1e-6)
        assert score > 0.48


def test_a_large_mean_of_the_target_does_no_harm():
    X, y = load_real("diabetes", standardised=False)
    model = MiniBatchSGDRegressor(random_state=0).fit(X, y)
    shifted = MiniBatchSGDRegressor(random_state=0).fit(X, y + 1e6)
    assert_allclose(shifted.coef_, model.coef_, rtol=1e-4, atol=1e-6)
    assert shifted.score(X, y + 1e6) > 0.51


def test_zeros_of_l1_outlive_the_cycles():
    X, y = load_real("breast cancer", standardised=True)
    model = MiniBatchSGDClassifier(penalty="l1", alpha=0.02, random_state=0).fit(X, y)
    exact = LogisticRegression(
        penalty="l1", C=1 / (0.02 * len(y)), solver="saga", max_iter=20_000, tol=1e-7
    ).fit(X, y)
    wrong = (model.coef_ == 0.0) != (exact.coef_ == 0.0)
    assert wrong.sum() <= 3


# ---------------------------------------------------------------------------
# Streams
# ---------------------------------------------------------------------------


def stream(model, X, y, n_rows, n_passes=1):
    """Train on chunks of shuffled rows."""
    order = np.random.default_rng(1).permutation(len(y))
    classes = {} if y.dtype.kind == "f" else {"classes": np.unique(y)}
    for _ in range(n_passes):
        for start in range(0, len(y), n_rows):
            rows = order[start : start + n_rows]
            model.partial_fit(X[rows], y[rows], **classes)
    return model


@pytest.mark.parametrize("n_rows", [32, 256, 4096])
@pytest.mark.parametrize("standardised", [True, False])
@pytest.mark.parametrize("name", REAL)
def test_a_stream_gets_somewhere_whatever_its_columns(name, standardised, n_rows):
    X, y = load_real(name, standardised)
    make = MiniBatchSGDRegressor if name == "diabetes" else MiniBatchSGDClassifier
    model = stream(make(random_state=0), X, y, n_rows, n_passes=5)
    assert gap_of(model, X, y, optimum_of(name, standardised)) < 0.25


@pytest.mark.parametrize("name", ["wine", "iris"])
def test_chunks_of_one_row_ruin_nothing(name):
    X, y = load_real(name, standardised=False)
    model = stream(MiniBatchSGDClassifier(random_state=0), X, y, 1, n_passes=5)
    assert gap_of(model, X, y, optimum_of(name, False)) < 1.0


@pytest.mark.parametrize("as_rows", [np.asarray, csr_array])
def test_a_stream_resumes_to_the_same_bits(as_rows):
    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    settings = {"classes": np.arange(10)}
    straight = MiniBatchSGDClassifier(random_state=0)
    pickled = MiniBatchSGDClassifier(random_state=0)
    for start in range(0, 1000, 100):
        rows = slice(start, start + 100)
        straight.partial_fit(as_rows(X[rows]), y[rows], **settings)
        pickled = pickle.loads(pickle.dumps(pickled))
        pickled.partial_fit(as_rows(X[rows]), y[rows], **settings)
    assert_array_equal(pickled.coef_, straight.coef_)
    assert pickled.learning_rate_curve_ == straight.learning_rate_curve_


def test_the_rate_of_a_stream_falls_from_the_smallest_of_all_chunks():
    X, y = load_real("iris", standardised=False)
    X, y = X[11:139], y[11:139]  # four chunks of one full batch each
    model = stream(MiniBatchSGDClassifier(random_state=0), X, y, 32, n_passes=3)
    updates = np.arange(model.t_)
    found = np.array(model.learning_rate_curve_) * np.sqrt(1 + updates / 200)
    assert (np.diff(found) <= 1e-12 * found[1:]).all()
    assert_allclose(model.eta0_, found[-1], rtol=1e-12)


def test_the_weights_of_a_stream_favour_later_updates():
    # Each chunk is one update; share (1 + 3) / (n + 3).
    X, y = load_real("iris", standardised=False)
    model = MiniBatchSGDClassifier(random_state=0)
    mean = 0.0
    for n in range(1, 6):
        rows = slice(30 * (n - 1), 30 * n)
        model.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        last = model._resumption["coef"]
        mean = mean + 4 / (n + 3) * (last - mean)
        assert_allclose(model.coef_, mean, rtol=1e-12)


def test_a_stream_goes_on_after_fit():
    X, y = load_real("breast cancer", standardised=False)
    model = MiniBatchSGDClassifier(random_state=0).fit(X, y)
    stream(model, X, y, 64)
    assert gap_of(model, X, y, optimum_of("breast cancer", False)) < 0.02


def test_the_rate_of_a_stream_is_found_anew_for_other_settings():
    X, y = load_real("iris", standardised=False)
    model = MiniBatchSGDClassifier(random_state=0)
    model.partial_fit(X[::2], y[::2], classes=[0, 1, 2])
    rate = model.eta0_
    model.set_params(alpha=1e4).partial_fit(X[::2], y[::2])
    assert model.eta0_ < 1e-3 * rate
    model.set_params(alpha=ALPHA).partial_fit(X[::2], y[::2])
    assert_allclose(model.eta0_, rate, rtol=1e-12)


@pytest.mark.parametrize("loss", ["huber", "epsilon_insensitive", "squared_error"])
@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("n_rows", [1, 2, 33])
def test_chunks_of_any_size_learn_targets_of_any_unit(loss, unit, n_rows):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 5))
    y = X @ rng.normal(size=5) + 0.1 * rng.normal(size=500)
    model = MiniBatchSGDRegressor(
        loss, epsilon=0.1 * unit, penalty=None, random_state=0
    )
    assert stream(model, X, unit * y, n_rows, n_passes=4).score(X, unit * y) > 0.99


def test_the_first_chunk_with_a_weight_sets_the_intercept():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    y = X.sum(axis=1) + 1e6
    model = MiniBatchSGDRegressor(random_state=0)
    model.partial_fit(X, y, sample_weight=np.zeros(500)).partial_fit(X, y)
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("settings", [{}, {"average": True}, {"penalty": "l1"}])
def test_a_chunk_far_beyond_the_others_ruins_nothing(settings):
    # One row has 1e6 in a column that was between -4 and 4, as a code for "missing".
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3)) + 2.0
    y = (X[:, 0] + 0.5 * X[:, 1] + rng.normal(size=2000) > 3.0).astype(int)
    X[1000, 0] = 1e6
    model = MiniBatchSGDClassifier(random_state=0, **settings)
    for start in range(0, 2000, 50):
        rows = slice(start, start + 50)
        model.partial_fit(X[rows], y[rows], classes=[0, 1])
        constant = np.full(2000, y.mean())
        loss = log_loss(y[: start + 50], model.predict_proba(X[: start + 50])[:, 1])
        assert loss < 1.5 * log_loss(y, constant)


def test_dense_and_sparse_chunks_by_turns_ruin_nothing():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) * [1e3, 1.0, 1e-3] + [0.0, 5.0, 0.0]
    y = X @ [1e-3, 1.0, 1e3]
    model = MiniBatchSGDRegressor(random_state=0)
    for _ in range(20):
        for start in range(0, 500, 100):
            rows = slice(start, start + 50)
            model.partial_fit(X[rows], y[rows])
            rows = slice(start + 50, start + 100)
            model.partial_fit(csr_array(X[rows]), y[rows])
    # The sparse ones, which are not scaled, learn next to nothing.
    assert model.score(X, y) > 0.5


# ---------------------------------------------------------------------------
# Odd columns and batches
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "batch_size"), [(1001, 1000), (129, 128), (513, 32)])
def test_a_last_batch_of_one_row_does_no_harm(n, batch_size):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, 20))
    y = X @ rng.normal(size=20) + 3.0 * rng.normal(size=n)
    model = MiniBatchSGDRegressor(batch_size=batch_size, random_state=0).fit(X, y)
    best = Ridge(ALPHA * n).fit(X, y)
    errors = [((each.predict(X) - y) ** 2).mean() for each in (model, best)]
    assert errors[0] < 1.01 * errors[1]


def test_the_rate_of_the_last_batch_is_smaller_by_its_share():
    # Two updates by the same row, once in a batch of one: b moves by eta * slope each.
    X, y = np.zeros((3, 1)), np.array([0.0, 0.0, 1e6])
    model = MiniBatchSGDRegressor(
        "epsilon_insensitive", epsilon=0.0, penalty=None, batch_size=2, momentum=0.0,
        shuffle=False, max_iter=1, tol=None, standardize=False,
    ).fit(X, y, intercept_init=[-1e6], coef_init=[0.0])  # fmt: skip
    first, last = model.eta0_, model.eta0_ * (1 - 1 / 2) / 2
    assert_allclose(model.intercept_, -1e6 + first + last, rtol=1e-12)


def test_without_an_intercept_a_column_of_ones_is_one():
    X, y = load_real("diabetes", standardised=True)
    ones = np.c_[np.ones(len(X)), X]
    model = MiniBatchSGDRegressor(fit_intercept=False, random_state=0).fit(ones, y)
    assert_allclose(model.coef_[0], y.mean(), rtol=1e-2)
    assert model.score(ones, y) > 0.51


def test_large_weights_of_chunks_make_no_column_constant():
    X, y = load_real("breast cancer", standardised=True)
    model, weighted = (MiniBatchSGDClassifier(random_state=0) for _ in range(2))
    model.partial_fit(X + 100.0, y, classes=[0, 1])
    weighted.partial_fit(X + 100.0, y, classes=[0, 1], sample_weight=np.full(569, 1e9))
    assert (weighted.coef_ != 0.0).all()


@pytest.mark.parametrize("make", [MiniBatchSGDRegressor, MiniBatchSGDClassifier])
@pytest.mark.parametrize("change", ["one long column", "means"])
def test_a_fit_on_raw_sparse_columns_ends_short_with_a_word(make, change):
    X, y = load_real("breast cancer", standardised=True)
    X = X + 1000.0 if change == "means" else X * np.where(np.arange(30) == 0, 1e3, 1.0)
    with pytest.warns(ConvergenceWarning, match="max_iter=200 epochs, before"):
        make(max_iter=200, random_state=0).fit(csr_array(X), y.astype(float))


def test_a_gain_that_is_certain_is_one():
    # Of a parabola: (100 w - 1)^2 / 2 + l2 w^2 / 2 falls from 1 / 2 to nearly 0.
    data = TrainingData.of_numbers(np.full((4, 1), 100.0), np.ones((4, 1)), None)
    coef, intercept = np.zeros((1, 1)), np.zeros(1)
    for l2 in (0.0, 30.0):
        gain = certain_gain(data, SquaredError(), coef, intercept, l2, False)
        assert_allclose(gain, 100.0**2 / (2 * (100.0**2 + l2)), rtol=1e-12)
    # An intercept makes the column one of no variance.
    assert certain_gain(data, SquaredError(), coef, intercept, 0.0, True) == 0.0


def test_robust_losses_find_a_rate_in_spite_of_outliers():
    X, y = load_real("diabetes", standardised=True)
    y[::50] = 1e9
    model = MiniBatchSGDRegressor("huber", epsilon=10.0, random_state=0).fit(X, y)
    kept = y < 1e8
    assert model.score(X[kept], y[kept]) > 0.45
