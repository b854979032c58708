"""Training ends at the optimum of other solvers, and weights have their meaning.

With all rows in one batch and a constant rate there is no noise, and the weights
converge to the last digits. The objectives are those of scikit-learn up to a factor:
`alpha` is that of Lasso and ElasticNet, alpha / n of Ridge and 1 / (n C) of the models
with a C.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone, is_classifier
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.svm import LinearSVC, LinearSVR

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS, N_FEATURES = 90, 8
ALPHA = 0.15

each_momentum = pytest.mark.parametrize(
    "momentum, nesterov",
    [(0.0, False), (0.9, False), (0.9, True)],
    ids=["plain", "momentum", "nesterov"],
)


def regression_data(n_targets=1):
    """Return X of correlated columns, and y that depends on some of them."""
    rng = np.random.default_rng(11)
    X = rng.normal(size=(N_ROWS, N_FEATURES))
    X += 0.5 * X[:, [0]]
    truth = np.zeros((N_FEATURES, n_targets))
    truth[::3] = rng.choice([-1, 1], size=truth[::3].shape) * 1.5
    Y = X @ truth + 2 + rng.normal(size=(N_ROWS, n_targets))
    return X, Y[:, 0] if n_targets == 1 else Y


def class_data(n_classes):
    """Return X, and labels that its columns tell in part."""
    X, Y = regression_data(n_classes)
    noise = np.random.default_rng(12).gumbel(size=Y.shape)
    return X, (Y + 2 * noise).argmax(axis=1)


def full_batch(estimator, **settings):
    """Return the estimator with settings that end in the optimum."""
    estimator.set_params(
        batch_size="full", learning_rate="constant", alpha=ALPHA, eta0=0.2, tol=None
    )
    estimator.set_params(**settings)
    # A weight that was 0 by mistake leaves it late, by as much as its unused penalty
    # has added up.
    return estimator.set_params(max_iter=3000 if estimator.momentum == 0 else 1500)


@each_momentum
@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.3])
def test_l1_ends_at_the_optimum_and_support_of_coordinate_descent(
    l1_ratio, n_targets, momentum, nesterov
):
    X, y = regression_data(n_targets)
    ours = full_batch(MiniBatchSGDRegressor(), momentum=momentum, nesterov=nesterov)
    exact = {"alpha": ALPHA, "tol": 1e-15, "max_iter": 10**5}
    if l1_ratio == 1.0:
        ours.set_params(penalty="l1")
        theirs = Lasso(**exact)
    else:
        ours.set_params(penalty="elasticnet", l1_ratio=l1_ratio)
        theirs = ElasticNet(**exact, l1_ratio=l1_ratio)
    ours.fit(X, y)
    theirs.fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-10)
    assert_allclose(ours.intercept_, np.ravel(theirs.intercept_), rtol=0, atol=1e-10)
    assert_array_equal(ours.coef_ == 0.0, theirs.coef_ == 0.0)
    assert 0 < np.count_nonzero(ours.coef_) < ours.coef_.size


@each_momentum
def test_weighted_l1_ends_at_the_weighted_optimum_of_coordinate_descent(
    momentum, nesterov
):
    X, y = regression_data()
    weights = np.random.default_rng(0).integers(0, 4, N_ROWS) * 10.0
    ours = full_batch(
        MiniBatchSGDRegressor(penalty="l1"), momentum=momentum, nesterov=nesterov
    )
    ours.fit(X, y, sample_weight=weights)
    theirs = Lasso(alpha=ALPHA, tol=1e-15, max_iter=10**5)
    theirs.fit(X, y, sample_weight=weights)
    assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-10)
    assert_array_equal(ours.coef_ == 0.0, theirs.coef_ == 0.0)
    unweighted = Lasso(alpha=ALPHA).fit(X, y)
    assert np.abs(ours.coef_ - unweighted.coef_).max() > 0.05


def test_a_large_alpha_leaves_the_mean_alone():
    X, y = regression_data()
    ours = full_batch(MiniBatchSGDRegressor(penalty="l1", momentum=0.9), alpha=100.0)
    ours.fit(X, y)
    assert_array_equal(ours.coef_, np.zeros(N_FEATURES))
    assert_allclose(ours.intercept_, [y.mean()], rtol=1e-12)


@each_momentum
@pytest.mark.parametrize("n_classes", [2, 4])
def test_l1_classifier_meets_the_conditions_of_an_optimum(
    n_classes, momentum, nesterov
):
    X, y = class_data(n_classes)
    alpha = 0.03
    ours = full_batch(
        MiniBatchSGDClassifier(penalty="l1"),
        alpha=alpha,
        eta0=0.5,
        momentum=momentum,
        nesterov=nesterov,
    )
    ours.fit(X, y)
    decisions = X @ ours.coef_.T + ours.intercept_
    if n_classes == 2:
        decisions = np.hstack([0 * decisions, decisions])
    errors = softmax(decisions, axis=1) - np.eye(n_classes)[y]
    if n_classes == 2:
        errors = errors[:, 1:]
    slopes = errors.T @ X / N_ROWS
    kept = ours.coef_ != 0.0
    assert 0 < np.count_nonzero(kept) < kept.size
    assert_allclose(slopes[kept], -alpha * np.sign(ours.coef_[kept]), atol=1e-12)
    # The slopes of a column sum up to 0 over several classes: some are at the border.
    assert np.abs(slopes[~kept]).max() < alpha + 1e-12
    assert_allclose(errors.mean(axis=0), 0, atol=1e-12)


@each_momentum
@pytest.mark.parametrize("n_targets", [1, 3])
def test_l2_regression_ends_at_the_optimum_of_ridge(n_targets, momentum, nesterov):
    X, y = regression_data(n_targets)
    ours = full_batch(MiniBatchSGDRegressor(), momentum=momentum, nesterov=nesterov)
    ours.fit(X, y)
    theirs = Ridge(alpha=ALPHA * N_ROWS, solver="cholesky").fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-11)
    assert_allclose(ours.intercept_, np.ravel(theirs.intercept_), rtol=1e-11)


@each_momentum
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_log_loss_ends_at_the_optimum_of_logistic_regression(
    n_classes, momentum, nesterov
):
    X, y = class_data(n_classes)
    ours = full_batch(
        MiniBatchSGDClassifier(), alpha=0.02, momentum=momentum, nesterov=nesterov
    )
    ours.set_params(eta0=0.5).fit(X, y)
    theirs = LogisticRegression(
        C=1 / (0.02 * N_ROWS), solver="newton-cg", tol=1e-11, max_iter=1000
    ).fit(X, y)
    assert ours.coef_.shape == theirs.coef_.shape
    assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-8)
    # A shift of all intercepts changes no probability.
    shift = 0 if n_classes == 2 else ours.intercept_.mean() - theirs.intercept_.mean()
    assert_allclose(ours.intercept_ - shift, theirs.intercept_, rtol=0, atol=1e-8)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-8)
    assert_array_equal(ours.predict(X), theirs.predict(X))
    expected = np.log(theirs.predict_proba(X))
    assert_allclose(ours.predict_log_proba(X), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_squared_hinge_ends_at_the_optimum_of_the_support_vector_machine(n_classes):
    X, y = class_data(n_classes)
    ours = full_batch(MiniBatchSGDClassifier("squared_hinge", fit_intercept=False))
    ours.set_params(momentum=0.9, eta0=0.02).fit(X, y)
    theirs = LinearSVC(C=1 / (ALPHA * N_ROWS), fit_intercept=False, tol=1e-12)
    theirs.set_params(max_iter=10**5).fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=5e-8)  # their precision
    assert_array_equal(ours.predict(X), theirs.predict(X))


def test_squared_epsilon_insensitive_ends_at_the_optimum_of_the_machine():
    X, y = regression_data()
    name = "squared_epsilon_insensitive"
    ours = full_batch(MiniBatchSGDRegressor(name, epsilon=0.3, fit_intercept=False))
    ours.set_params(momentum=0.9, eta0=0.02).fit(X, y)
    theirs = LinearSVR(loss=name, epsilon=0.3, fit_intercept=False, tol=1e-12)
    theirs.set_params(C=1 / (ALPHA * N_ROWS), max_iter=10**5).fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=5e-8)  # their precision


@each_momentum
@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_mini_batches_find_a_model_that_fits_every_row(batch_size, momentum, nesterov):
    # Where the loss of each row is 0 at the optimum, no batch leads away from it.
    X, _ = regression_data()
    truth = np.linspace(-2, 2, N_FEATURES)
    model = MiniBatchSGDRegressor(
        penalty=None,
        batch_size=batch_size,
        momentum=momentum,
        nesterov=nesterov,
        eta0=0.05 * (1 - momentum) if batch_size == 1 else 0.1 * (1 - momentum),
        tol=None,
        max_iter=400,
        random_state=0,
    )
    model.fit(X, X @ truth + 3)
    assert_allclose(model.coef_, truth, rtol=0, atol=1e-10)
    assert_allclose(model.intercept_, [3], rtol=0, atol=1e-10)


# What weights mean

WEIGHTED = {
    "squared error": MiniBatchSGDRegressor(),
    # With a rate, as no more than 9 digits of an intercept to start from are sought
    "huber, l1": MiniBatchSGDRegressor("huber", penalty="l1", epsilon=1.0, eta0=0.01),
    "log loss": MiniBatchSGDClassifier(average=True),
    "softmax": MiniBatchSGDClassifier(penalty="elasticnet", nesterov=True),
    "hinge": MiniBatchSGDClassifier("hinge", learning_rate="invscaling"),
    "several hinges": MiniBatchSGDClassifier("squared_hinge", eta0=0.01),
}
each_weighted = pytest.mark.parametrize("name", WEIGHTED)


def weighted_case(name):
    """Return an estimator that takes a few full-batch epochs, and data for it."""
    estimator = clone(WEIGHTED[name])
    if name in ("squared error", "huber, l1"):
        X, y = regression_data()
    else:
        X, y = class_data(3 if name in ("softmax", "several hinges") else 2)
    return estimator.set_params(
        batch_size="full", momentum=0.7, alpha=0.01, max_iter=15, tol=None
    ), (X, y)


def assert_same_training(model, other, rtol=1e-11):
    assert_allclose(model.coef_, other.coef_, rtol=rtol, atol=1e-13)
    assert_allclose(model.intercept_, other.intercept_, rtol=rtol, atol=1e-13)
    assert_allclose(model.loss_curve_, other.loss_curve_, rtol=rtol)


def fitted(estimator, X, y, **arguments):
    """Return a new model with the settings of the estimator."""
    return clone(estimator).fit(X, y, **arguments)


@each_weighted
def test_a_weight_of_k_is_k_copies_of_the_row(name):
    estimator, (X, y) = weighted_case(name)
    copies = np.random.default_rng(1).integers(1, 5, N_ROWS)
    weighted = fitted(estimator, X, y, sample_weight=copies)
    repeated = fitted(estimator, np.repeat(X, copies, axis=0), np.repeat(y, copies))
    assert_same_training(weighted, repeated)
    plain = fitted(estimator, X, y)
    assert np.abs(weighted.coef_ - plain.coef_).max() > 1e-3


@each_weighted
def test_a_weight_of_zero_is_the_absence_of_the_row(name):
    estimator, (X, y) = weighted_case(name)
    present = np.random.default_rng(2).random(N_ROWS) < 0.7
    weighted = fitted(estimator, X, y, sample_weight=present * 5.0)
    assert_same_training(weighted, fitted(estimator, X[present], y[present]))


@each_weighted
def test_the_rate_that_is_found_counts_rows_by_their_weights(name):
    estimator, (X, y) = weighted_case(name)
    estimator.set_params(eta0="auto", max_iter=1)
    copies = np.random.default_rng(1).integers(0, 5, N_ROWS)
    weighted = fitted(estimator, X, y, sample_weight=copies)
    repeated = fitted(estimator, np.repeat(X, copies, axis=0), np.repeat(y, copies))
    assert_allclose(weighted.eta0_, repeated.eta0_, rtol=1e-12)


@each_weighted
@pytest.mark.parametrize("factor", [1e-300, 1e-3, 7.0, 1e300])
def test_the_scale_of_the_weights_does_not_matter_to_fit(name, factor):
    estimator, (X, y) = weighted_case(name)
    weights = np.random.default_rng(3).uniform(0.1, 4.0, N_ROWS)
    estimator.set_params(batch_size=16, shuffle=True, random_state=4)
    model = fitted(estimator, X, y, sample_weight=weights)
    scaled = fitted(estimator, X, y, sample_weight=weights * factor)
    assert_same_training(model, scaled)
    constant = fitted(estimator, X, y, sample_weight=np.full(N_ROWS, factor))
    assert_same_training(constant, fitted(estimator, X, y))


@each_weighted
def test_fit_is_a_stream_of_weights_of_mean_one(name):
    estimator, (X, y) = weighted_case(name)
    estimator.set_params(batch_size=16, shuffle=False, eta0=0.01)
    weights = np.random.default_rng(3).uniform(0.1, 4.0, N_ROWS)
    model = fitted(estimator, X, y, sample_weight=weights)
    stream = clone(estimator)
    classes = {"classes": np.unique(y)} if is_classifier(stream) else {}
    for _ in range(15):
        stream.partial_fit(X, y, sample_weight=weights / weights.mean(), **classes)
    assert_same_training(model, stream)


def test_weights_act_as_by_hand():
    # At z = 0 each row of y = 1, x = 2 has the slope -1 by z: fit takes the mean of the
    # rows present, partial_fit divides the sum of all weights by the rows of the batch.
    X, y = np.full((4, 1), 2.0), np.ones(4)
    settings = {"penalty": None, "eta0": 0.1, "momentum": 0.0, "max_iter": 1}

    def after_one(method, weights):
        model = MiniBatchSGDRegressor(**settings, tol=None)
        getattr(model, method)(X, y, sample_weight=weights)
        return [*model.coef_, *model.intercept_, *model.loss_curve_]

    for weights in (None, [1, 1, 1, 1], [3, 0, 1, 0], [0, 0, 0, 1e-9]):
        assert_allclose(after_one("fit", weights), [0.2, 0.1, 0.5], rtol=1e-14)
    for weights, share in [
        (None, 1),
        ([1, 0, 0, 1], 0.5),
        ([0, 0, 0, 12], 3),
        ([0.5] * 4, 0.5),
    ]:
        assert_allclose(
            after_one("partial_fit", weights),
            np.array([0.2, 0.1, 0.5]) * share,
            rtol=1e-14,
        )


def test_fit_refuses_weights_that_leave_nothing():
    X, y = regression_data()
    with pytest.raises(ValueError, match=r"(?i)weights .*zero"):
        MiniBatchSGDRegressor().fit(X, y, sample_weight=np.zeros(N_ROWS))
