"""L1 makes zeros: those of the optimum, whatever the noise of the batches.

The data are real, with correlated columns, and other solvers find the optimum:
coordinate descent, SAGA and LIBLINEAR. Mini-batches end close to the optimum, not in
it, so a few columns near the border can differ: at most an eighth of them.
"""

from functools import cache, partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, scale

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

LAYOUTS = {"dense": np.asarray, "CSR": sparse.csr_array}
each_layout = pytest.mark.parametrize("layout", LAYOUTS)
each_momentum = pytest.mark.parametrize(
    "momentum, nesterov",
    [(0.0, False), (0.9, False), (0.9, True)],
    ids=["plain", "momentum", "nesterov"],
)


def with_momentum(estimator, momentum, nesterov):
    """Return a copy whose steps are as long as those without momentum."""
    return clone(estimator).set_params(
        momentum=momentum, nesterov=nesterov, eta0=estimator.eta0 * (1.0 - momentum)
    )


def regressor(alpha, eta0, decay, max_iter, **settings):
    return MiniBatchSGDRegressor(
        penalty="l1",
        alpha=alpha,
        eta0=eta0,
        learning_rate="time",
        decay=decay,
        max_iter=max_iter,
        tol=None,
        random_state=0,
    ).set_params(**settings)


def classifier(alpha, eta0, decay, max_iter, **settings):
    estimator = MiniBatchSGDClassifier(tol=None, random_state=0)
    common = regressor(alpha, eta0, decay, max_iter).get_params()
    del common["loss"]
    common = {name: common[name] for name in common.keys() & estimator.get_params()}
    return estimator.set_params(**common).set_params(**settings)


# The optimum of the same objective


def lasso(X, y, alpha, l1_ratio=1.0, fit_intercept=True):
    """The weights of coordinate descent."""
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, fit_intercept=fit_intercept)
    return model.set_params(tol=1e-9, max_iter=10**6).fit(X, y).coef_


def logistic(X, y, alpha, **settings):
    """The weights of logistic regression with L1, by another solver."""
    model = LogisticRegression(C=1.0 / (alpha * X.shape[0]), tol=1e-8, max_iter=10**6)
    # The penalty has had no name of its own since scikit-learn 1.8.
    named = {"penalty": "l1"} if model.penalty == "l2" else {"l1_ratio": 1.0}
    model.set_params(random_state=0, **named, **settings)
    return model.fit(X, y).coef_


def logistic_without_intercept(X, y, alpha):
    # LIBLINEAR is fast, and penalises intercepts.
    return logistic(X, y, alpha, solver="liblinear", fit_intercept=False)


# Data


def bins_of_ranks(X, n_bins=6):
    """A column of 0 and 1 for each part of the rows, by their rank in a column."""
    ranks = X.argsort(axis=0, kind="stable").argsort(axis=0)
    return OneHotEncoder(sparse_output=False).fit_transform(ranks * n_bins // len(X))


def gaussian():
    """Return X and y that depends on three columns of 50."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 50))
    return X, 3 * X[:, 0] - 2 * X[:, 1] + X[:, 2] + rng.normal(size=1000)


def diabetes():
    """Return the columns of the diabetes data, and their squares and products."""
    X, y = load_diabetes(return_X_y=True)
    X = PolynomialFeatures(include_bias=False).fit_transform(scale(X))
    return scale(X), scale(y)


def breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


def breast_cancer_in_bins():
    X, y = load_breast_cancer(return_X_y=True)
    return bins_of_ranks(X), y


def wine():
    X, y = load_wine(return_X_y=True)
    return scale(X), y


def iris_in_bins():
    X, y = load_iris(return_X_y=True)
    return bins_of_ranks(X), y


def digits():
    """Return images, and a target of 0 and 1 for each digit."""
    X, y = load_digits(return_X_y=True)
    return X / 16.0, np.eye(10)[y]


def digits_odd_or_even():
    X, y = load_digits(return_X_y=True)
    return X / 16.0, y % 2


@cache
def source_texts():
    """Words of parts of source files as CSR, and from which of two packages they are.

    Other versions of the packages make other data, which are much the same.
    """
    parts, labels = [], []
    for label, name in enumerate(["scipy", "sklearn"]):
        root = Path(import_module(name).__file__).parent
        of_package = []
        for file in sorted(root.rglob("*.py")):
            lines = file.read_text(encoding="utf-8", errors="ignore").splitlines()
            of_package += [
                "\n".join(lines[start : start + 40])
                for start in range(0, len(lines) - 39, 40)
            ]
        kept = np.random.default_rng(0).permutation(len(of_package))[:750]
        parts += [of_package[i] for i in kept]
        labels += [label] * len(kept)
    words = TfidfVectorizer(token_pattern=r"[A-Za-z_]\w+", min_df=3, sublinear_tf=True)
    return sparse.csr_array(words.fit_transform(parts)), np.array(labels)


def source_texts_as_numbers():
    X, y = source_texts()
    return X, 2.0 * y - 1.0


# Data, how the optimum is found, our estimator
CASES = {
    "gaussian": (gaussian, lasso, regressor(0.1, 0.03, 0.1, 30)),
    "diabetes": (diabetes, lasso, regressor(0.02, 0.04, 0.02, 300)),
    "diabetes, elastic net": (
        diabetes,
        partial(lasso, l1_ratio=0.5),
        regressor(0.06, 0.04, 0.02, 200, penalty="elasticnet", l1_ratio=0.5),
    ),
    "breast cancer": (
        breast_cancer,
        partial(logistic, solver="saga"),
        classifier(0.02, 0.5, 0.005, 500),
    ),
    "breast cancer in bins": (
        breast_cancer_in_bins,
        logistic_without_intercept,
        classifier(0.005, 1.0, 0.01, 400, fit_intercept=False),
    ),
    "wine": (
        wine,
        partial(logistic, solver="saga"),
        classifier(0.02, 1.0, 0.01, 500),
    ),
    "iris in bins": (
        iris_in_bins,
        partial(logistic, solver="saga"),
        classifier(0.01, 3.0, 0.02, 300),
    ),
    "digits": (digits, lasso, regressor(0.003, 0.1, 0.1, 60)),
    "digits, odd or even": (
        digits_odd_or_even,
        logistic_without_intercept,
        classifier(0.003, 0.3, 0.05, 100, fit_intercept=False),
    ),
    "source texts": (
        source_texts,
        logistic_without_intercept,
        classifier(0.001, 20.0, 0.02, 80, fit_intercept=False),
    ),
    "source texts, squared error": (
        source_texts_as_numbers,
        partial(lasso, fit_intercept=False),
        regressor(0.0015, 3.0, 0.02, 120, fit_intercept=False),
    ),
}


@cache
def problem(name):
    """Return data, the weights of the optimum, and our estimator."""
    data, solve, estimator = CASES[name]
    X, y = data()
    return X, y, solve(X, y, alpha=estimator.alpha), estimator


@each_momentum
@pytest.mark.parametrize(
    "name, layout",
    [
        (name, layout)
        for name in CASES
        for layout in (["CSR"] if name.startswith("source") else LAYOUTS)
    ],
)
def test_the_zeros_are_those_of_the_optimum(name, layout, momentum, nesterov):
    X, y, optimum, estimator = problem(name)
    model = with_momentum(estimator, momentum, nesterov).fit(LAYOUTS[layout](X), y)
    expected = optimum.reshape(model.coef_.shape)
    kept, expected_kept = model.coef_ != 0.0, expected != 0.0
    assert np.sum(kept != expected_kept) <= expected.size / 8
    if name.startswith("source"):
        assert kept.sum() == pytest.approx(expected_kept.sum(), rel=0.15)
    both = kept & expected_kept
    assert_array_equal(np.sign(model.coef_[both]), np.sign(expected[both]))


@pytest.mark.parametrize("name", CASES)
def test_an_optimum_has_zeros_and_others(name):
    # An untrained model would fail this.
    optimum = problem(name)[2]
    n_kept = np.count_nonzero(optimum)
    if name.startswith("source"):
        assert 20 <= n_kept <= optimum.size / 10
    else:
        assert optimum.size / 8 < n_kept or name == "gaussian"
        assert optimum.size / 8 < optimum.size - n_kept


# The noise persists, and columns that do not matter are 0 nevertheless.

GAUSSIAN_ZEROS = np.arange(50) >= 3


@each_layout
@each_momentum
@pytest.mark.parametrize(
    "batch_size, eta0, max_iter, atol",
    [(1, 0.003, 15, 0.1), (32, 0.03, 30, 0.1), ("full", 0.3, 400, 1e-8)],
)
def test_constant_rates_leave_the_zeros_of_the_lasso(
    batch_size, eta0, max_iter, atol, momentum, nesterov, layout
):
    X, y, optimum, estimator = problem("gaussian")
    assert_array_equal(optimum == 0.0, GAUSSIAN_ZEROS)
    estimator = clone(estimator).set_params(learning_rate="constant")
    estimator.set_params(batch_size=batch_size, eta0=eta0, max_iter=max_iter)
    model = with_momentum(estimator, momentum, nesterov).fit(LAYOUTS[layout](X), y)
    assert_array_equal(model.coef_ == 0.0, GAUSSIAN_ZEROS)
    assert_allclose(model.coef_, optimum, rtol=0, atol=atol)


@each_layout
@each_momentum
def test_a_stream_of_chunks_leaves_the_zeros_of_the_lasso(momentum, nesterov, layout):
    X, y, _, estimator = problem("gaussian")
    model = with_momentum(estimator, momentum, nesterov)
    model.set_params(learning_rate="constant")
    for _ in range(10):
        for rows in np.split(np.arange(1000), 10):
            model.partial_fit(LAYOUTS[layout](X[rows]), y[rows])
    assert_array_equal(model.coef_ == 0.0, GAUSSIAN_ZEROS)


@each_layout
@each_momentum
def test_single_precision_leaves_the_zeros_of_the_lasso(momentum, nesterov, layout):
    X, y, optimum, estimator = problem("gaussian")
    model = with_momentum(estimator, momentum, nesterov)
    model.fit(LAYOUTS[layout](X.astype(np.float32)), y)
    assert model.coef_.dtype == np.float32
    assert_array_equal(model.coef_ == 0.0, GAUSSIAN_ZEROS)
    assert_allclose(model.coef_, optimum, rtol=0, atol=0.03)


@each_layout
@each_momentum
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_long_sum_of_steps_does_not_wear_out_the_weight(
    dtype, momentum, nesterov, layout
):
    # Z and u come to 200,000, where float32 knows no steps below 1/64; the weight is
    # their difference, 101 - 100.
    X = np.ones((2000, 1), dtype)
    model = MiniBatchSGDRegressor(
        penalty="l1",
        alpha=100.0,
        learning_rate="constant",
        eta0=0.1 * (1.0 - momentum),
        momentum=momentum,
        nesterov=nesterov,
        fit_intercept=False,
        batch_size=1,
        max_iter=10,
        tol=None,
    ).fit(LAYOUTS[layout](X), np.full(2000, 101.0))
    atol = {np.float32: 3e-4, np.float64: 1e-9}[dtype]
    assert_allclose(model.coef_, [1.0], rtol=0, atol=atol)
