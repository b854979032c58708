"""The estimators against the NumPy reference, and the reference against others.

The first half guards `reference.py` itself: scikit-learn, finite differences,
coordinate descent and hand-computed values. The second half draws settings and
data, and compares estimator and reference.
"""

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference import CLASSIFIER_LOSSES, REGRESSOR_LOSSES, train
from scipy import sparse
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, SGDClassifier, SGDRegressor

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

RTOL = {np.float64: 1e-10, np.float32: 1e-4}
# Settings with decisions closer than this to a jump of the gradient are left out,
# because rounding errors would decide on which side they are.
MIN_DISTANCE = {np.float64: 1e-9, np.float32: 1e-4}
FINER = {np.float64: np.longdouble, np.float32: np.float64}

few_examples = settings(max_examples=16)


# ---------------------------------------------------------------------------
# The reference against independent sources
# ---------------------------------------------------------------------------


def small_problem(n_classes, n=20, d=4, seed=0):
    """Data of a regression (0 classes) or classification, and weights."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    if n_classes == 0:
        y = X @ rng.standard_normal(d) + 0.3 * rng.standard_normal(n) + 1
    else:
        y = np.arange(n) % n_classes
        rng.shuffle(y)
    s = rng.uniform(0.2, 2, n)
    return X, y, s / s.mean()


def labels(n_classes):
    """Value of the reference's `classes` for `small_problem`."""
    return None if n_classes == 0 else np.arange(n_classes)


SGD_CASES = (
    [(loss, 0) for loss in REGRESSOR_LOSSES]
    + [(loss, 2) for loss in CLASSIFIER_LOSSES]
    + [(loss, 3) for loss in CLASSIFIER_LOSSES if loss != "log_loss"]
)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "optimal"])
@pytest.mark.parametrize("penalty", [None, "l2", "l1", "elasticnet"])
@pytest.mark.parametrize("loss, n_classes", SGD_CASES)
def test_reference_is_sklearn_sgd_at_batch_size_one(
    loss, n_classes, penalty, learning_rate
):
    X, y, s = small_problem(n_classes, d=8)
    if learning_rate == "optimal":
        X = 0.6 * X  # its rates depend on alpha, not on the features
    params = dict(
        loss=loss,
        penalty=penalty,
        alpha=0.05,
        l1_ratio=0.6,
        learning_rate=learning_rate,
        eta0=0.03,
        power_t=0.3,
        epsilon=0.3,
        max_iter=3,
        tol=None,
    )
    # 30: averaging starts in the middle of the second epoch; 1000: never. With L1,
    # scikit-learn's means are of weights that lack the last L1 step.
    with_l1 = penalty in ("l1", "elasticnet")
    for average in [False] if with_l1 else [False, True, 30, 1000]:
        SGD = SGDClassifier if n_classes else SGDRegressor
        expected = SGD(**params, average=average, shuffle=False)
        expected.fit(X, y, sample_weight=s)
        actual = train(
            X,
            y,
            classes=labels(n_classes),
            **params,
            average=average,
            batch_size=1,
            sample_weight=s,
        )
        assert actual.t == expected.t_ - 1
        scale = max(abs(expected.coef_).max(), abs(expected.intercept_).max())
        assert_allclose(
            actual.coef, np.atleast_2d(expected.coef_), rtol=0, atol=1e-12 * scale
        )
        assert_allclose(
            actual.intercept, expected.intercept_, rtol=0, atol=1e-12 * scale
        )
        if with_l1:
            zeros = np.atleast_2d(expected.coef_ == 0)
            assert_array_equal(actual.coef == 0, zeros)
            assert_array_equal(actual.zero_margin > 0, zeros)
            assert not zeros.all()


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("tol", [1e-4, 1e-2])
@pytest.mark.parametrize("n_classes", [0, 2])
def test_reference_stops_as_sklearn_sgd(learning_rate, tol, n_classes):
    # Without penalty both mean the same by the training objective.
    X, y, _ = small_problem(n_classes)
    params = dict(
        loss="log_loss" if n_classes else "squared_error",
        penalty=None,
        learning_rate=learning_rate,
        eta0=0.05,
        power_t=0.3,
        max_iter=400,
        tol=tol,
        n_iter_no_change=2,
    )
    SGD = SGDClassifier if n_classes else SGDRegressor
    # Their tol is absolute.
    shares = np.bincount(y) / len(y) if n_classes else None
    unit = -shares @ np.log(shares) if n_classes else np.var(y) / 2
    expected = SGD(**{**params, "tol": tol * unit}, shuffle=False).fit(X, y)
    actual = train(X, y, classes=labels(n_classes), **params, batch_size=1)
    assert actual.e == expected.n_iter_
    assert actual.converged
    assert_allclose(actual.coef.ravel(), expected.coef_.ravel(), rtol=1e-12)
    assert_allclose(actual.intercept, expected.intercept_, rtol=1e-12)
    if learning_rate == "adaptive":
        rates = sorted(set(actual.learning_rate_curve), reverse=True)
        assert_allclose(rates, 0.05 / 5.0 ** np.arange(8), rtol=1e-12)


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_gradient_is_the_derivative_of_the_loss(loss, K):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=200)
    Y = np.where(labels[:, None] == np.arange(K), 1.0, -1.0)
    if K == 3:
        assert_array_equal((Y > 0).sum(axis=1), 1)
    Z = 2 * rng.standard_normal((200, K))
    _, gradient = reference.loss_and_gradient(loss, Y, Z, 0.3)
    h = 1e-6
    for k in range(K):
        step = h * np.eye(K)[k]
        after, _ = reference.loss_and_gradient(loss, Y, Z + step, 0.3)
        before, _ = reference.loss_and_gradient(loss, Y, Z - step, 0.3)
        assert_allclose(gradient[:, k], (after - before) / (2 * h), atol=1e-5)


def test_softmax_loss_is_the_negative_log_probability():
    rng = np.random.default_rng(0)
    Z = 3 * rng.standard_normal((20, 4))
    labels = rng.integers(4, size=20)
    Y = reference.target_matrix(labels, np.arange(4))
    value, gradient = reference.loss_and_gradient("log_loss", Y, Z, None)
    expected = -log_softmax(Z, axis=1)[np.arange(20), labels]
    assert_allclose(value, expected, rtol=1e-12)
    assert_allclose(gradient.sum(axis=1), 0, atol=1e-12)


OBJECTIVE_CASES = [
    *((loss, 0) for loss in REGRESSOR_LOSSES),
    *((loss, 2) for loss in CLASSIFIER_LOSSES),
    *((loss, 3) for loss in CLASSIFIER_LOSSES),
]


@pytest.mark.parametrize("loss, n_classes", OBJECTIVE_CASES)
def test_full_batch_step_follows_the_gradient_of_the_objective(loss, n_classes):
    X, y, _ = small_problem(n_classes, n=20, d=3, seed=1)
    rng = np.random.default_rng(2)
    K = n_classes if n_classes > 2 else 1
    w, b = rng.standard_normal((K, 3)), rng.standard_normal(K)
    params = dict(
        loss=loss,
        classes=labels(n_classes),
        alpha=0.1,
        batch_size="full",
        max_iter=1,
        sample_weight=rng.uniform(0.2, 5, len(y)),
    )

    def objective(w, b):
        # A rate of zero leaves the model alone and records its objective.
        model = train(X, y, eta0=0.0, coef_init=w, intercept_init=b, **params)
        return model.loss_curve[0]

    eta = 0.05
    model = train(X, y, eta0=eta, coef_init=w, intercept_init=b, **params)
    h = 1e-6
    for k in range(K):
        for j in range(3):
            step = np.zeros_like(w)
            step[k, j] = h
            slope = (objective(w + step, b) - objective(w - step, b)) / (2 * h)
            assert_allclose(w[k, j] - model.w[k, j], eta * slope, atol=1e-7)
        step = h * np.eye(K)[k]
        slope = (objective(w, b + step) - objective(w, b - step)) / (2 * h)
        assert_allclose(b[k] - model.b[k], eta * slope, atol=1e-7)


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_full_batch_weights_are_repetitions(n_classes):
    X, y, _ = small_problem(n_classes)
    times = np.random.default_rng(3).integers(0, 4, len(y))
    params = dict(
        loss="log_loss" if n_classes else "huber",
        classes=labels(n_classes),
        batch_size="full",
        momentum=0.9,
        max_iter=20,
    )
    weighted = train(X, y, sample_weight=times, **params)
    scaled = train(X, y, sample_weight=7 * times, **params)
    repeated = train(np.repeat(X, times, axis=0), np.repeat(y, times), **params)
    for other in [scaled, repeated]:
        assert_allclose(weighted.coef, other.coef, rtol=1e-10)
        assert_allclose(weighted.intercept, other.intercept, rtol=1e-10)
        assert_allclose(weighted.loss_curve, other.loss_curve, rtol=1e-10)


@pytest.mark.parametrize("nesterov", [False, True])
def test_two_updates_by_hand(nesterov):
    # loss = (z - 1)^2 / 2 at x = 2 without intercept: g = 2 (2 w - 1)
    model = train(
        [[2.0]],
        [1.0],
        loss="squared_error",
        penalty=None,
        fit_intercept=False,
        learning_rate="constant",
        eta0=0.1,
        momentum=0.5,
        nesterov=nesterov,
        max_iter=2,
    )
    # classical: v = 0.2, w = 0.2; g = -1.2, v = 0.1 + 0.12 = 0.22, w = 0.42
    # Nesterov: v = 0.2, w = 0.1 + 0.2 = 0.3; g = -0.8, v = 0.1 + 0.08 = 0.18,
    # w = 0.3 + 0.09 + 0.08 = 0.47
    assert_allclose(model.v, [[0.18 if nesterov else 0.22]], rtol=1e-12)
    assert_allclose(model.w, [[0.47 if nesterov else 0.42]], rtol=1e-12)
    assert_allclose(model.loss_curve, [0.5, 0.08 if nesterov else 0.18], rtol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_two_updates_with_l1_by_hand(nesterov):
    # As above, with lam1 = 0.5: eta * lam1 = 0.05
    model = train(
        [[2.0]],
        [1.0],
        loss="squared_error",
        penalty="l1",
        alpha=0.5,
        fit_intercept=False,
        learning_rate="constant",
        eta0=0.1,
        momentum=0.5,
        nesterov=nesterov,
        max_iter=2,
    )
    # classical: v = 0.2, Z = 0.2, r = 0.05, u = 0.05, w = 0.15; g = -1.4,
    # v = 0.1 + 0.14 = 0.24, Z = 0.44, r = 0.025 + 0.05 = 0.075, u = 0.125, w = 0.315
    # Nesterov: v = 0.2, Z = 0.1 + 0.2 = 0.3, r = 0.05, u = 0.025 + 0.05 = 0.075,
    # w = 0.225; g = -1.1, v = 0.1 + 0.11 = 0.21, Z = 0.3 + 0.105 + 0.11 = 0.515,
    # r = 0.075, u = 0.075 + 0.0375 + 0.05 = 0.1625, w = 0.3525
    v, Z, u, w = 0.24, 0.44, 0.125, 0.315
    if nesterov:
        v, Z, u, w = 0.21, 0.515, 0.1625, 0.3525
    assert_allclose(model.v, [[v]], rtol=1e-12)
    assert_allclose(model.Z, [[Z]], rtol=1e-12)
    assert_allclose([model.u, model.r], [u, 0.075], rtol=1e-12)
    assert_allclose(model.w, [[w]], rtol=1e-12)
    first, second = (0.225, w) if nesterov else (0.15, w)
    # The loss before the update, and the penalty after it
    losses = [0.5 + 0.5 * first, (2 * first - 1) ** 2 / 2 + 0.5 * second]
    assert_allclose(model.loss_curve, losses, rtol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_an_unused_penalty_adds_up_by_hand(nesterov):
    # One target of 1 after four of 0, at x = 1: Z would be 0.1, but u is 0.5 * eta by
    # the number of updates, and the weight stays 0 although one step is 2 * eta * lam1.
    params = dict(
        loss="squared_error",
        penalty="l1",
        alpha=0.5,
        fit_intercept=False,
        learning_rate="constant",
        eta0=0.1,
        nesterov=nesterov,
        batch_size=1,
        max_iter=1,
    )
    model = train([[1.0]] * 5, [0.0, 0.0, 0.0, 0.0, 1.0], **params)
    assert_allclose([model.Z.item(), model.u], [0.1, 0.25], rtol=1e-12)
    assert model.w.item() == 0.0
    model = train([[1.0]] * 5, [1.0, 0.0, 0.0, 0.0, 0.0], **params)
    # The first update leaves 0.1 - 0.05, the second 0.1 - 0.005 - 0.1 < 0.
    assert_allclose([model.Z.item(), model.u], [0.095, 0.25], rtol=1e-12)
    assert model.w.item() == 0.0


def test_steps_of_l2_end_at_its_minimum_by_hand():
    params = dict(
        loss="squared_error",
        penalty="l2",
        alpha=30.0,  # times the rate: 3, which counts as 1
        fit_intercept=False,
        learning_rate="constant",
        momentum=0.5,
        batch_size=1,
        coef_init=[3.0],
    )

    def weights(n, **changes):
        settings = {"eta0": 0.1, "max_iter": n} | changes
        return train([[0.0]], [0.0], **params | settings).w.item()

    assert [weights(n, momentum=0.0) for n in (1, 2)] == [0.0, 0.0]
    # classical: v = -3, w = 0; v = -1.5, w = -1.5; v = -0.75 + 1.5, w = -0.75
    assert_allclose([weights(n) for n in (1, 2, 3)], [0.0, -1.5, -0.75], atol=1e-15)
    # Nesterov: v = -3, w = 3 - 1.5 - 3 = -1.5; v = -1.5 + 1.5, w = -1.5 + 1.5
    assert_allclose([weights(n, nesterov=True) for n in (1, 2)], [-1.5, 0], atol=1e-15)
    assert weights(5, eta0=0.0) == 3.0
    assert weights(1, eta0=0.01, momentum=0.0) == pytest.approx(3 * 0.7, rel=1e-12)


def test_a_stream_keeps_the_dual_state_until_the_penalty_or_a_weight_is_changed():
    X, y, _ = small_problem(0)
    params = dict(loss="squared_error", penalty="l1", alpha=0.1, momentum=0.5)
    params |= dict(batch_size=4, partial=True)
    model = train(X, y, **params)
    Z, u = model.Z, model.u
    # From rest, five updates of one rate: r is 1 - 0.5 ** k of its limit.
    assert_allclose(u, 0.1 * 0.01 * 2 * (5 - (1 - 0.5**5)), rtol=1e-12)
    train(X, y, **params, model=model)
    assert_allclose(model.u, 0.1 * 0.01 * 2 * (10 - (1 - 0.5**10)), rtol=1e-12)

    whole = train(np.vstack([X, X]), np.append(y, y), **params)
    assert_array_equal(model.w, whole.w)
    for changes in ({"alpha": 0.2}, {"penalty": "elasticnet"}, {"model.w": True}):
        if changes.pop("model.w", False):
            model.w = model.w + 1.0
        start, velocity = model.w, model.v
        train(X[:4], y[:4], **params | changes, model=model)
        lam1 = (params | changes)["alpha"] * (0.15 if "penalty" in changes else 1.0)
        assert_allclose([model.u, model.r], 0.01 * lam1, rtol=1e-12)
        # Velocities stay.
        assert_allclose(model.Z - start, model.v, rtol=0, atol=1e-15)
        assert np.abs(model.v - 0.5 * velocity).max() > 0
        assert not np.array_equal(Z, model.Z)


@pytest.mark.parametrize("nesterov", [False, True])
def test_l1_of_next_to_nothing_is_the_plain_rule(nesterov):
    X, y, s = small_problem(3)
    params = dict(
        loss="log_loss",
        classes=np.arange(3),
        momentum=0.9,
        nesterov=nesterov,
        batch_size=7,
        max_iter=5,
        sample_weight=s,
    )
    plain = train(X, y, penalty=None, **params)
    dual = train(X, y, penalty="l1", alpha=1e-14, **params)
    assert_allclose(plain.coef, dual.coef, rtol=1e-10)
    assert_allclose(plain.v, dual.v, rtol=1e-10)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_l1_ends_at_the_optimum_of_coordinate_descent(momentum, nesterov, l1_ratio):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((40, 6))
    y = X @ [2.0, -1.0, 0.0, 0.0, 0.3, 0.0] + 0.1 * rng.standard_normal(40) + 1
    expected = ElasticNet(alpha=0.2, l1_ratio=l1_ratio, tol=1e-13, max_iter=10**5)
    expected.fit(X, y)
    assert 0 < np.count_nonzero(expected.coef_) < 6
    actual = train(
        X,
        y,
        loss="squared_error",
        penalty="elasticnet",
        alpha=0.2,
        l1_ratio=l1_ratio,
        learning_rate="constant",
        eta0=0.2,
        momentum=momentum,
        nesterov=nesterov,
        batch_size="full",
        max_iter=600,
    )
    assert_allclose(actual.coef[0], expected.coef_, atol=1e-8)
    assert_allclose(actual.intercept[0], expected.intercept_, atol=1e-8)
    assert_array_equal(actual.coef[0] == 0, expected.coef_ == 0)


SCHEDULES = [
    # (parameters, e, t, rate), with eta0 = 0.4 and max_iter = 8
    (dict(learning_rate="constant", decay=1.0), 3, 30, 0.4),
    (dict(learning_rate="time"), 3, 30, 0.4),
    (dict(learning_rate="time", decay=0.5), 2, 30, 0.2),
    (dict(learning_rate="time", decay=0.5, decay_unit="update"), 2, 14, 0.05),
    (dict(learning_rate="time", decay="auto"), 20, 30, 0.2),
    (dict(learning_rate="exponential", decay=0.5), 2, 30, 0.4 / math.e),
    (
        dict(learning_rate="exponential", decay=0.1, decay_unit="update"),
        2,
        10,
        0.4 / math.e,
    ),
    (dict(learning_rate="cosine"), 0, 0, 0.4),
    (dict(learning_rate="cosine"), 4, 30, 0.2),
    (dict(learning_rate="cosine"), 2, 30, 0.2 + 0.1 * math.sqrt(2)),
    (dict(learning_rate="step", epochs_drop=3), 1, 30, 0.4),
    (dict(learning_rate="step", epochs_drop=3), 2, 30, 0.2),
    (dict(learning_rate="step", epochs_drop=3, drop=0.1), 5, 30, 0.004),
    # 1 / 0.1 is 10 in floating point, though ten times that 0.1 is more than 1.
    (dict(learning_rate="step", epochs_drop=0.1), 0, 0, 0.4 / 1024),
    (dict(learning_rate="step", epochs_drop=[2, 5]), 1, 30, 0.4),
    (dict(learning_rate="step", epochs_drop=[2, 5]), 2, 30, 0.2),
    (dict(learning_rate="step", epochs_drop=[2, 5]), 5, 30, 0.1),
    (dict(learning_rate="invscaling", power_t=0.5), 2, 15, 0.1),
    (dict(learning_rate="optimal", alpha=0.0625), 0, 0, 2.0),
    (dict(learning_rate="optimal", alpha=0.0625), 3, 24, 0.5),
    (dict(learning_rate=lambda e: 1 / (1 + e)), 3, 30, 0.25),
]


@pytest.mark.parametrize("params, e, t, rate", SCHEDULES)
def test_schedule_by_hand(params, e, t, rate):
    defaults = dict(
        loss="squared_error",
        epsilon=0.1,
        alpha=1e-4,
        eta0=0.4,
        decay=0.0,
        decay_unit="epoch",
        drop=0.5,
        epochs_drop=10,
        power_t=0.25,
        max_iter=8,
    )
    actual = reference.learning_rate_at(e, t, {**defaults, **params})
    assert_allclose(actual, rate, rtol=1e-12)


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("learning_rate", ["time", "cosine", "step", "optimal"])
def test_reference_works_in_float32(n_classes, penalty, learning_rate):
    X, y, s = small_problem(n_classes)
    model = train(
        X.astype(np.float32),
        y,
        loss="log_loss" if n_classes else "huber",
        classes=labels(n_classes),
        penalty=penalty,
        learning_rate=learning_rate,
        alpha=0.1,
        momentum=0.9,
        average=True,
        batch_size=8,
        sample_weight=s,
        max_iter=2,
    )
    for array in [model.w, model.v, model.b, model.c, model.w_mean, model.b_mean]:
        assert array.dtype == np.float32
    assert model.Z.dtype == np.float64


# ---------------------------------------------------------------------------
# The estimators against the reference
# ---------------------------------------------------------------------------


# A few examples of each loss cover all losses; many examples of any loss need not.
each_loss = pytest.mark.parametrize(
    "classifier, loss",
    [(False, loss) for loss in REGRESSOR_LOSSES]
    + [(True, loss) for loss in CLASSIFIER_LOSSES],
)


@st.composite
def problems(
    draw, classifier, loss, dtype=np.float64, learning_rates=None, partial=False
):
    """Settings and data of one training, or of a stream of up to 6 chunks.

    Hypothesis draws what is discrete and a seed; all real numbers come from the
    seed, so that a decision sits exactly on a kink of its loss, or two terms
    cancel exactly, with probability zero.
    """
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
    params = dict(
        loss=loss,
        penalty=draw(st.sampled_from([None, "l2", "l1", "elasticnet"])),
        alpha=10 ** rng.uniform(-4, -0.5),
        l1_ratio=rng.uniform(0.1, 0.9),
        fit_intercept=draw(st.booleans()),
        max_iter=6 if partial else draw(st.integers(1, 6)),
        tol=None,
        batch_size=draw(st.one_of(st.just(1), st.just("full"), st.integers(2, 50))),
        # A larger momentum makes longer steps.
        eta0=rng.uniform(0.01, 0.06) * (1 - momentum),
        momentum=momentum,
        nesterov=draw(st.booleans()),
        epsilon=rng.uniform(0.05, 0.6),
        average=draw(st.one_of(st.booleans(), st.integers(1, 100))),
        **draw_schedule(draw, rng, learning_rates),
    )
    if params["learning_rate"] == "optimal":
        # Its first rate is alpha ** -0.25, whatever the curvature of the loss; long
        # steps make the path chaotic, and no two programs agree on such a path.
        params["alpha"] = rng.uniform(0.5, 1.5)

    d = draw(st.integers(1, 6))
    if classifier:
        n_classes = draw(st.integers(2, 4))
        K, n_min = (1 if n_classes == 2 else n_classes), n_classes
    else:
        n_targets = draw(st.sampled_from([None, 1, 2, 3]))
        K, n_min = n_targets or 1, 1
    n = draw(st.integers(n_min + 1, 40))
    X = (0.7 * rng.standard_normal((n, d))).astype(dtype)

    if classifier:
        names = draw(st.sampled_from([np.arange(4), np.array(list("abcd"))]))
        classes = names[:n_classes]
        # The first rows have every class; the others can have a weight of 0.
        y = classes[np.r_[:n_classes, rng.integers(n_classes, size=n - n_classes)]]
        if draw(st.booleans()):
            values = rng.uniform(0.3, 2, n_classes)
            params["class_weight"] = dict(zip(classes.tolist(), values, strict=True))
        coef_shape = (K, d)
    else:
        classes = None
        Y = X @ rng.standard_normal((d, K)) + rng.standard_normal((n, K))
        y = (Y if n_targets else Y[:, 0]).astype(dtype)
        coef_shape = (K, d) if n_targets else (d,)

    sample_weight = None
    if draw(st.booleans()):
        sample_weight = rng.uniform(0.2, 3, n)
        sample_weight[n_min:] *= rng.random(n - n_min) < 0.8

    init = {}
    if draw(st.booleans()):
        init["coef_init"] = 0.3 * rng.standard_normal(coef_shape)
        if params["fit_intercept"]:
            init["intercept_init"] = 0.3 * rng.standard_normal(K)

    Estimator = MiniBatchSGDClassifier if classifier else MiniBatchSGDRegressor
    return SimpleNamespace(
        params=params,
        estimator=Estimator(**params, shuffle=False),
        X=X,
        y=y,
        classes=classes,
        sample_weight=sample_weight,
        init=init,
        rng=rng,
        coef_shape=coef_shape,
    )


def draw_schedule(draw, rng, learning_rates):
    """Value of `learning_rate` and of the parameters that belong to it."""
    name = draw(
        st.sampled_from(
            learning_rates
            or [
                "time",
                "time",
                "step",
                "constant",
                "exponential",
                "cosine",
                "invscaling",
                "optimal",
                "adaptive",
                "callable",
            ]
        )
    )
    if name == "callable":
        first = rng.uniform(0.001, 0.02)
        return dict(learning_rate=lambda e: first / (1 + e) ** 0.5)
    schedule = dict(learning_rate=name)
    if name in ("time", "exponential"):
        schedule["decay"] = draw(st.sampled_from([rng.uniform(0, 0.5), "auto", 0.0]))
        schedule["decay_unit"] = draw(st.sampled_from(["epoch", "update"]))
    if name == "step":
        schedule["drop"] = rng.uniform(0.2, 0.9)
        schedule["epochs_drop"] = draw(
            st.one_of(
                st.integers(1, 4),
                st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True).map(
                    sorted
                ),
            )
        )
    if name == "invscaling":
        schedule["power_t"] = rng.uniform(0, 1)
    return schedule


def assert_close(actual, expected, rtol, scale):
    """Same shape, and agreement relative to `scale`."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert_allclose(actual, expected, rtol=0, atol=rtol * scale)


def assert_same_model(estimator, model, problem, rtol):
    """Estimator and reference ended in the same place, by the same way."""
    coef = model.coef.reshape(problem.coef_shape)
    assert_close(estimator.coef_, coef, rtol, model.largest)
    assert_close(estimator.intercept_, model.intercept, rtol, model.largest)
    assert estimator.coef_.dtype == estimator.intercept_.dtype == model.w.dtype
    assert estimator.t_ == model.t
    scale = max(map(abs, model.loss_curve))
    assert_close(estimator.loss_curve_, model.loss_curve, rtol, scale)
    assert_allclose(
        estimator.learning_rate_curve_, model.learning_rate_curve, rtol=1e-12
    )
    # A weight that is closer than rounding errors to leaving 0 can be on either side.
    rounding = rtol * max(model.largest, model.u)
    zeros = np.broadcast_to(model.zero_margin > rounding, model.coef.shape)
    assert not estimator.coef_[zeros.reshape(problem.coef_shape)].any()


def train_reference(problem, dtype):
    """The reference's model, if the comparison with it is meaningful."""

    def run(dtype):
        return train(
            problem.X,
            problem.y,
            classes=problem.classes,
            sample_weight=problem.sample_weight,
            **problem.params,
            **problem.init,
            dtype=dtype,
        )

    model = run(dtype)
    assume(model.distance_to_jump > MIN_DISTANCE[dtype])
    # A path that this precision cannot follow says nothing about the estimator.
    exact = run(FINER[dtype])
    error = max(np.abs(model.w - exact.w).max(), np.abs(model.b - exact.b).max())
    assume(error < 0.1 * RTOL[dtype] * model.largest)
    return model


def fit_with_warnings(problem):
    """The fitted estimator, and the categories of what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = problem.estimator.fit(
            problem.X, problem.y, sample_weight=problem.sample_weight, **problem.init
        )
    return estimator, [warning.category for warning in caught]


def check_fit(problem, dtype):
    model = train_reference(problem, dtype)
    estimator, categories = fit_with_warnings(problem)
    assert categories == ([ConvergenceWarning] if model.warns else [])
    assert estimator.n_iter_ == problem.params["max_iter"]
    assert_same_model(estimator, model, problem, RTOL[dtype])


@each_loss
@few_examples
@given(st.data())
def test_fit_float64(classifier, loss, data):
    check_fit(data.draw(problems(classifier, loss, np.float64)), np.float64)


@each_loss
@settings(few_examples, max_examples=10)
@given(st.data())
def test_fit_float32(classifier, loss, data):
    check_fit(data.draw(problems(classifier, loss, np.float32)), np.float32)


@each_loss
@settings(few_examples, max_examples=6)
@given(st.data(), st.integers(5, 60), st.integers(1, 4))
def test_stopping(classifier, loss, data, max_iter, n_iter_no_change):
    learning_rates = ["adaptive", "adaptive", "time", "invscaling"]
    problem = data.draw(problems(classifier, loss, learning_rates=learning_rates))
    problem.params.update(
        max_iter=max_iter,
        tol=10 ** problem.rng.uniform(-3.5, -1),
        n_iter_no_change=n_iter_no_change,
    )
    problem.estimator.set_params(**problem.params)
    model = train_reference(problem, np.float64)
    estimator, categories = fit_with_warnings(problem)
    assert categories == ([ConvergenceWarning] if model.warns else [])
    assert estimator.n_iter_ == model.e
    assert_same_model(estimator, model, problem, RTOL[np.float64])


def check_partial_fit(problem, n_chunks, dtype):
    is_classifier = problem.classes is not None
    estimator, model = problem.estimator, None
    chunks = np.array_split(np.arange(len(problem.y)), min(n_chunks, len(problem.y)))
    for rows in chunks:
        X, y = problem.X[rows], problem.y[rows]
        sample_weight = None
        if problem.sample_weight is not None:
            sample_weight = problem.sample_weight[rows]
            # A chunk in which all weights are 0 is tested elsewhere.
            sample_weight[0] += 0.5
        model = train(
            X,
            y,
            classes=problem.classes,
            sample_weight=sample_weight,
            **problem.params,
            partial=True,
            model=model,
        )
        assume(model.distance_to_jump > MIN_DISTANCE[dtype])
        first = {"classes": problem.classes} if is_classifier and model.e == 1 else {}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            estimator.partial_fit(X, y, sample_weight=sample_weight, **first)
        assert_same_model(estimator, model, problem, RTOL[dtype])


@each_loss
@settings(few_examples, max_examples=10)
@given(st.data(), st.integers(1, 6))
def test_partial_fit_float64(classifier, loss, data, n_chunks):
    problem = data.draw(problems(classifier, loss, np.float64, partial=True))
    check_partial_fit(problem, n_chunks, np.float64)


@each_loss
@settings(few_examples, max_examples=6)
@given(st.data(), st.integers(1, 6))
def test_partial_fit_float32(classifier, loss, data, n_chunks):
    problem = data.draw(problems(classifier, loss, np.float32, partial=True))
    check_partial_fit(problem, n_chunks, np.float32)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize(
    "momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)]
)
def test_a_large_alpha_ends_in_finite_weights(
    momentum, nesterov, penalty, n_classes, layout
):
    # A rate times alpha of 10,000: a step of L2 ends at its minimum, one of L1 at 0.
    X, y, s = small_problem(n_classes, d=6)
    X[:, :4] *= np.random.default_rng(5).random((len(y), 4)) < 0.3
    params = dict(
        loss="log_loss" if n_classes else "squared_error",
        penalty=penalty,
        alpha=1e5,
        l1_ratio=0.3,
        learning_rate="constant",
        eta0=0.1,
        momentum=momentum,
        nesterov=nesterov,
        batch_size=3,
        max_iter=4,
        tol=None,
    )
    init = {"coef_init": np.full((n_classes if n_classes == 3 else 1, 6), 0.5)}
    if n_classes == 0:
        init["coef_init"] = init["coef_init"][0]
    model = train(X, y, classes=labels(n_classes), sample_weight=s, **params, **init)
    Estimator = MiniBatchSGDClassifier if n_classes else MiniBatchSGDRegressor
    estimator = Estimator(**params, shuffle=False)
    estimator.fit(layout(X), y, sample_weight=s, **init)
    assert np.isfinite(estimator.coef_).all()
    coef = model.coef.reshape(estimator.coef_.shape)
    atol = 1e-10 * np.abs(coef).max()
    assert_allclose(estimator.coef_, coef, rtol=0, atol=atol)
    assert_allclose(estimator.intercept_, model.intercept, rtol=1e-10)
    assert_allclose(estimator.loss_curve_, model.loss_curve, rtol=1e-9)
    assert coef.any() == (penalty == "l2")
    assert model.largest < 20


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_rows", [1, 3, 36, 37, 38, 39])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_rows_of_every_width(dtype, rtol, n_rows):
    """The products take up to 64 columns and four rows at a time, then what is left."""
    rng = np.random.default_rng(0)
    for n_features in range(1, 132):
        X = rng.standard_normal((n_rows, n_features)).astype(dtype)
        y = rng.standard_normal(n_rows)
        model = MiniBatchSGDRegressor(
            penalty=None,
            batch_size="full",
            eta0=0.1,
            momentum=0.0,
            max_iter=2,
            tol=None,
        ).fit(X, y)
        coef, intercept = np.zeros(n_features), 0.0
        for _ in range(2):
            residual = X.astype(np.float64) @ coef + intercept - y
            coef = coef - 0.1 * residual @ X / n_rows
            intercept -= 0.1 * residual.mean()
        atol = rtol * np.abs(coef).max()
        assert_allclose(model.coef_, coef, rtol=0, atol=atol)
        assert_allclose(model.intercept_, intercept, rtol=0, atol=rtol)
