"""One row per update, no momentum, no shuffling: the weights of scikit-learn's SGD.

Both programs do the same few hundred updates in float64, so they differ only in the
order of summation, by far less than 1e-9 of each weight. If a loss has a kink, no
decision of these data is so close to it that rounding errors decide the side.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import loss_of_best_constant, target_matrix
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.multioutput import MultiOutputRegressor

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

REGRESSION_LOSSES = [
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
]
MARGIN_LOSSES = ["hinge", "modified_huber", "squared_hinge", "perceptron"]
ONE_VS_ALL_LOSSES = MARGIN_LOSSES + REGRESSION_LOSSES
CASES = [
    *(("binary", loss) for loss in ["log_loss", *ONE_VS_ALL_LOSSES]),
    *(("multiclass", loss) for loss in ONE_VS_ALL_LOSSES),
    *(("regression", loss) for loss in REGRESSION_LOSSES),
]
SHARED_SETTINGS = {
    "alpha": 0.05,
    "eta0": 0.02,
    "power_t": 0.3,
    "epsilon": 0.2,
    "max_iter": 4,
    "tol": None,
    "shuffle": False,
}
N_ROWS = 60

each_case = pytest.mark.parametrize("task, loss", CASES)
each_penalty = pytest.mark.parametrize("penalty", [None, "l2"])
each_schedule = pytest.mark.parametrize(
    "learning_rate", ["constant", "invscaling", "optimal"]
)


def data_of(task, dtype=np.float64):
    """Return X, y and weights of mean 1."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(N_ROWS, 5))
    decisions = X @ rng.normal(size=(5, 3)) + rng.normal(size=(N_ROWS, 3)) + 0.5
    weights = rng.uniform(0.2, 2.0, size=N_ROWS)
    y = {
        "regression": decisions[:, 0],
        "binary": np.where(decisions[:, 0] > 0.5, "yes", "no"),
        "multiclass": decisions.argmax(axis=1) * 10,
    }[task]
    return X.astype(dtype), y, weights / weights.mean()


def both(task, loss, **settings):
    """Return our estimator and scikit-learn's, with the same settings."""
    settings = SHARED_SETTINGS | {"loss": loss} | settings
    if settings["learning_rate"] == "optimal":
        settings["alpha"] = 0.5  # with less, its first rates make some losses explode
    if task == "regression":
        ours, theirs = MiniBatchSGDRegressor(), SGDRegressor()
    else:
        ours, theirs = MiniBatchSGDClassifier(), SGDClassifier()
    ours.set_params(batch_size=1, momentum=0.0, **settings)
    return ours, theirs.set_params(**settings)


def assert_same_model(ours, theirs, rtol=1e-9):
    assert ours.coef_.shape == theirs.coef_.shape
    assert_allclose(ours.coef_, theirs.coef_, rtol=rtol)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=rtol)
    assert ours.t_ == theirs.t_ - 1  # scikit-learn counts from 1
    assert np.abs(theirs.coef_).min() > 0  # nothing agrees by being idle


@each_schedule
@each_penalty
@each_case
def test_the_weights_are_those_of_scikit_learn(task, loss, penalty, learning_rate):
    X, y, _ = data_of(task)
    ours, theirs = both(task, loss, penalty=penalty, learning_rate=learning_rate)
    assert_same_model(ours.fit(X, y), theirs.fit(X, y))
    assert_array_equal(ours.predict(X) == y, theirs.predict(X) == y)


# 1 is True; 90 begins in the middle of the second epoch; 1000 is never reached.
@pytest.mark.parametrize("average", [True, 1, 90, 240, 1000])
@each_penalty
@each_case
def test_the_running_means_are_those_of_scikit_learn(task, loss, penalty, average):
    X, y, _ = data_of(task)
    ours, theirs = both(
        task, loss, penalty=penalty, learning_rate="invscaling", average=average
    )
    assert_same_model(ours.fit(X, y), theirs.fit(X, y))


# scikit-learn's L1 is the cumulative penalty of Tsuruoka, Tsujii and Ananiadou (2009).
# Its running means are of weights that lack the last L1 step, and each partial_fit
# forgets the L1 steps so far: both differ from ours and are not compared.
L1_SETTINGS = {"alpha": 0.1, "l1_ratio": 0.6, "epsilon": 0.5, "max_iter": 3}
each_l1_penalty = pytest.mark.parametrize("penalty", ["l1", "elasticnet"])


@each_schedule
@each_l1_penalty
@each_case
def test_the_weights_with_l1_are_those_of_scikit_learn(
    task, loss, penalty, learning_rate
):
    X, y, weights = data_of(task)
    ours, theirs = both(task, loss, penalty=penalty, learning_rate=learning_rate)
    for model in (ours, theirs):
        model.set_params(**L1_SETTINGS)
    if learning_rate == "optimal":
        X = 0.6 * X  # the rates are those of alpha, whatever the features
    ours.fit(X, y, sample_weight=weights)
    theirs.fit(X, y, sample_weight=weights)
    assert ours.coef_.shape == theirs.coef_.shape
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)
    # No weight is nearer than 1e-4 to where it becomes 0.
    assert_array_equal(ours.coef_ == 0.0, theirs.coef_ == 0.0)
    assert ours.coef_.any()


def test_many_of_the_weights_with_l1_are_zero():
    # What the test above compares is a path along zeros, not away from them.
    shares = []
    for task, loss in CASES:
        X, y, _ = data_of(task)
        model, _ = both(task, loss, penalty="l1", learning_rate="constant")
        shares.append(np.mean(model.set_params(**L1_SETTINGS).fit(X, y).coef_ == 0.0))
    assert np.mean(np.array(shares) > 0.0) > 0.7


@pytest.mark.parametrize("fit_intercept", [False, True])
@each_l1_penalty
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_l1_from_given_weights_is_that_of_scikit_learn(task, penalty, fit_intercept):
    X, y, _ = data_of(task)
    n_outputs = 3 if task == "multiclass" else 1
    start = {"coef_init": np.random.default_rng(3).normal(size=(n_outputs, 5))}
    if task == "regression":
        start["coef_init"] = start["coef_init"][0]
    ours, theirs = both(task, "huber", penalty=penalty, learning_rate="constant")
    for model in (ours, theirs):
        model.set_params(**L1_SETTINGS, fit_intercept=fit_intercept)
    ours.fit(X, y, **start)
    theirs.fit(X, y, **start)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)


@each_case
def test_weights_of_mean_one_are_those_of_scikit_learn(task, loss):
    X, y, weights = data_of(task)
    ours, theirs = both(task, loss, learning_rate="constant", average=90)
    ours.fit(X, y, sample_weight=weights)
    assert_same_model(ours, theirs.fit(X, y, sample_weight=weights))


@pytest.mark.parametrize("loss", ["log_loss", *ONE_VS_ALL_LOSSES])
def test_balanced_classes_are_those_of_scikit_learn(loss):
    X, y, _ = data_of("binary")
    X, y = X[np.argsort(y)][:-15], np.sort(y)[:-15]
    # These weights have mean 1 already.
    ours, theirs = both(
        "binary", loss, learning_rate="constant", class_weight="balanced"
    )
    assert_same_model(ours.fit(X, y), theirs.fit(X, y))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_training_from_given_weights_is_that_of_scikit_learn(task):
    X, y, _ = data_of(task)
    n_outputs = 3 if task == "multiclass" else 1
    rng = np.random.default_rng(3)
    start = {
        "coef_init": rng.normal(size=(n_outputs, 5)),
        "intercept_init": rng.normal(size=n_outputs),
    }
    if task == "regression":
        start["coef_init"] = start["coef_init"][0]
    ours, theirs = both(task, "huber", learning_rate="constant")
    assert_same_model(ours.fit(X, y, **start), theirs.fit(X, y, **start))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_training_without_intercept_is_that_of_scikit_learn(task):
    X, y, _ = data_of(task)
    ours, theirs = both(task, "huber", learning_rate="optimal", fit_intercept=False)
    assert_same_model(ours.fit(X, y), theirs.fit(X, y))
    assert not ours.intercept_.any()


# The intercept of scikit-learn's classifier starts anew in each chunk once there are
# running means; its regressor continues with it, as we do.
@each_schedule
@pytest.mark.parametrize(
    "task, average",
    [
        ("binary", False),
        ("multiclass", False),
        ("regression", False),
        ("regression", True),
        ("regression", 25),
    ],
)
def test_a_stream_of_chunks_is_that_of_scikit_learn(task, average, learning_rate):
    X, y, weights = data_of(task)
    weights *= 3  # partial_fit takes them as they are, here and there
    ours, theirs = both(task, "huber", learning_rate=learning_rate, average=average)
    classes = {} if task == "regression" else {"classes": np.unique(y)}
    for rows in np.split(np.arange(N_ROWS), [7, 20, 21, 45]):
        chunk = X[rows], y[rows]
        ours.partial_fit(*chunk, sample_weight=weights[rows], **classes)
        theirs.partial_fit(*chunk, sample_weight=weights[rows], **classes)
        assert_same_model(ours, theirs)


@pytest.mark.parametrize("learning_rate", ["adaptive", "constant", "invscaling"])
@pytest.mark.parametrize(
    "task, loss", [("binary", "log_loss"), ("regression", "huber")]
)
def test_tol_stops_training_when_scikit_learn_does(task, loss, learning_rate):
    # scikit-learn adds the penalty of each update to its objective (before 1.8 none at
    # all), we add that of the last weights: without penalty both are the same.
    X, y, _ = data_of(task)
    ours, theirs = both(
        task,
        loss,
        penalty=None,
        learning_rate=learning_rate,
        eta0=0.05,
        max_iter=400,
        tol=1e-3,
        n_iter_no_change=3,
    )
    # Their tol is absolute.
    classes = None if task == "regression" else np.unique(y)
    Y, s = target_matrix(y, classes), np.ones(N_ROWS)
    unit = loss_of_best_constant(loss, Y, s, ours.epsilon, fit_intercept=True)
    theirs.set_params(tol=1e-3 * unit)
    assert_same_model(ours.fit(X, y), theirs.fit(X, y))
    assert 3 < ours.n_iter_ == theirs.n_iter_ < 400
    if learning_rate == "adaptive":
        # The first rate that is no longer above 1e-6 is the last one.
        rates = sorted(set(ours.learning_rate_curve_), reverse=True)
        assert_allclose(
            rates,
            [0.05, 0.01, 0.002, 4e-4, 8e-5, 1.6e-5, 3.2e-6, 6.4e-7],
            rtol=1e-12,
        )


@pytest.mark.parametrize("learning_rate", ["adaptive", "constant"])
@pytest.mark.parametrize("task, loss", [("binary", "hinge"), ("regression", "huber")])
def test_early_stopping_ends_when_that_of_scikit_learn_does(task, loss, learning_rate):
    # The same rows are held out; only the weights kept are others, the best ones here.
    # With an L2 penalty, scikit-learn scores weights that lack a part of its shrinkage.
    X, y, _ = data_of(task)
    ours, theirs = both(
        task,
        loss,
        penalty=None,
        learning_rate=learning_rate,
        max_iter=400,
        tol=1e-3,
        early_stopping=True,
        validation_fraction=0.25,
        random_state=5,
    )
    ours.set_params(scoring=None)
    ours.fit(X, y)
    theirs.fit(X, y)
    assert 5 < ours.n_iter_ == theirs.n_iter_ < 400


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_several_targets_are_trained_as_one_by_one(loss):
    X, y, _ = data_of("regression")
    Y = np.column_stack([y, 2 - y**2, X[:, 1]])
    ours, theirs = both("regression", loss, learning_rate="invscaling")
    ours.fit(X, Y)
    theirs = MultiOutputRegressor(theirs).fit(X, Y).estimators_
    assert_allclose(ours.coef_, [each.coef_ for each in theirs], rtol=1e-9)
    assert_allclose(ours.intercept_, [each.intercept_[0] for each in theirs], rtol=1e-9)


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@each_case
def test_float32_stays_near_scikit_learn_in_float32(task, loss, penalty):
    X, y, _ = data_of(task, np.float32)
    ours, theirs = both(task, loss, penalty=penalty, learning_rate="constant")
    ours.fit(X, y)
    theirs.fit(X, y)
    assert ours.coef_.dtype == theirs.coef_.dtype == np.float32
    assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-5)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-5)


PROBABILISTIC_CASES = [
    ("binary", "log_loss"),
    ("binary", "modified_huber"),
    ("multiclass", "modified_huber"),
]


@pytest.mark.parametrize("task, loss", PROBABILISTIC_CASES)
def test_probabilities_are_those_of_scikit_learn(task, loss):
    X, y, _ = data_of(task)
    ours, theirs = both(task, loss, learning_rate="constant")
    ours.fit(X, y)
    theirs.fit(X, y)
    # Large and small decisions; some rows rule out every class.
    ours.coef_ = theirs.coef_ = 3 * theirs.coef_
    ours.intercept_ = theirs.intercept_ = theirs.intercept_ - 1.5
    expected = theirs.predict_proba(X)
    assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-12)
    assert_allclose(ours.predict_proba(X), expected, rtol=1e-12, atol=1e-15)
    assert_allclose(ours.predict_proba(X).sum(axis=1), 1, rtol=1e-12)
    with np.errstate(divide="ignore"):
        assert_allclose(
            ours.predict_log_proba(X), np.log(expected), rtol=1e-9, atol=1e-12
        )
    if task == "multiclass":
        ruled_out = (theirs.decision_function(X) <= -1).all(axis=1)
        assert ruled_out.any()
        assert_allclose(ours.predict_proba(X)[ruled_out], 1 / 3, rtol=1e-12)
