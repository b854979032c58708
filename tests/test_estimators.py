"""The estimators as users see them: parameters, methods, attributes.

If two trainings must give the same result, they are compared bit by bit: the same
updates on the same rows have the same rounding errors.
"""

import copy
import importlib.util
import inspect
import pickle
import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import (
    accuracy_score,
    check_scoring,
    get_scorer,
    log_loss,
    mean_squared_error,
    r2_score,
)
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
    StratifiedShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor
from skmbsgd._docstrings import with_shared_parts

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS, N_FEATURES = 70, 4
TASKS = ["regression", "several targets", "binary", "multiclass"]
each_task = pytest.mark.parametrize("task", TASKS)

# The settings of most tests: several batches per epoch, the last one smaller, and
# numbers that all differ.
LIVELY = {
    "batch_size": 16,
    "eta0": 0.05,
    "decay": 0.1,
    "momentum": 0.6,
    "nesterov": True,
    "tol": None,
    "max_iter": 6,
    "random_state": 3,
}


def data_of(task, n_rows=N_ROWS, seed=5):
    """Return X and noisy y."""
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(0).normal(size=(N_FEATURES, 3))
    X = rng.normal(size=(n_rows, N_FEATURES))
    Y = X @ truth + 0.8 * rng.normal(size=(n_rows, 3)) + 0.5
    y = {
        "regression": Y[:, 0],
        "several targets": Y,
        "binary": np.where(Y[:, 0] > 0.5, "yes", "no"),
        "multiclass": np.array(["a", "b", "c"])[Y.argmax(axis=1)],
    }[task]
    return X, y


def model_of(task, **settings):
    """Return the task's estimator, unfitted."""
    is_regression = task in ("regression", "several targets")
    estimator = MiniBatchSGDRegressor() if is_regression else MiniBatchSGDClassifier()
    return estimator.set_params(**LIVELY | settings)


def stream(model, X, y, n_calls=1, **arguments):
    """Call partial_fit again and again, with all labels if there are any."""
    if is_classifier(model):
        arguments["classes"] = np.unique(y)
    for _ in range(n_calls):
        model.partial_fit(X, y, **arguments)
    return model


def state_of(model):
    """Return all that a model shows of its training."""
    names = ("coef_", "intercept_", "n_iter_", "t_")
    names += ("loss_curve_", "learning_rate_curve_")
    return {name: getattr(model, name) for name in names}


def assert_same_bits(model, other):
    expected = state_of(other)
    for name, value in state_of(model).items():
        assert_array_equal(value, expected[name], err_msg=name, strict=True)


def assert_unlike(model, other):
    assert np.abs(model.coef_ - other.coef_).max() > 1e-6


# Parameters

DEFAULTS = {
    "penalty": "l2",
    "alpha": 1e-4,
    "l1_ratio": 0.15,
    "fit_intercept": True,
    "max_iter": 1000,
    "tol": 1e-3,
    "batch_size": 32,
    "learning_rate": "auto",
    "eta0": "auto",
    "decay": 0.0,
    "decay_unit": "epoch",
    "drop": 0.5,
    "epochs_drop": 10,
    "standardize": "auto",
    "momentum": 0.9,
    "nesterov": True,
    "shuffle": True,
    "verbose": 0,
    "epsilon": 0.1,
    "n_jobs": None,
    "random_state": None,
    "early_stopping": False,
    "scoring": "loss",
    "validation_fraction": 0.1,
    "n_iter_no_change": 5,
    "warm_start": False,
    "average": False,
}
OWN_DEFAULTS = {
    MiniBatchSGDClassifier: {"loss": "log_loss", "power_t": 0.5, "class_weight": None},
    MiniBatchSGDRegressor: {"loss": "squared_error", "power_t": 0.25},
}
each_class = pytest.mark.parametrize("cls", OWN_DEFAULTS)


@each_class
def test_the_defaults_are_the_documented_ones(cls):
    expected = DEFAULTS | OWN_DEFAULTS[cls]
    assert cls().get_params() == expected
    for name, value in cls().get_params().items():
        assert type(value) is type(expected[name]), name


@each_class
def test_only_the_loss_may_be_passed_by_position(cls):
    parameters = inspect.signature(cls).parameters
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    assert next(iter(kinds)) == "loss"
    assert kinds.pop("loss") is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}
    assert cls("huber").loss == "huber"


@each_class
def test_the_docstring_describes_every_parameter(cls):
    described = inspect.getdoc(cls)
    for name in cls().get_params():
        assert re.search(rf"^{name} : \S", described, re.MULTILINE), name
    assert not re.search("<[A-Z_]+>", described)  # no part is left to be filled in


@pytest.mark.parametrize("compiled", [str, inspect.cleandoc], ids=["3.11", "3.13"])
def test_shared_parts_are_put_in_whatever_the_compiler_does_to_indentation(compiled):
    class Documented:
        __doc__ = compiled(
            """A title.

            Parameters
            ----------
            loss : str
                Their own.
            <WARM_START>
            """
        )

    lines = inspect.getdoc(with_shared_parts(Documented)).splitlines()
    names = [line.split(" : ")[0] for line in lines if " : " in line]
    assert names == ["loss", "warm_start", "average"]
    begin = lines.index("warm_start : bool, default=False")
    assert lines[begin + 1].startswith("    Whether `fit` starts from")


@each_class
def test_the_methods_take_the_documented_arguments(cls):
    fit = inspect.signature(cls.fit).parameters
    validation = ["X_val", "y_val", "sample_weight_val"]
    assert list(fit) == [
        *("self", "X", "y", "coef_init", "intercept_init", "sample_weight"),
        *validation,
    ]
    by_name = [name for name, p in fit.items() if p.kind is p.KEYWORD_ONLY]
    assert by_name == validation
    chunk = ["self", "X", "y", "classes", "sample_weight"]
    if cls is MiniBatchSGDRegressor:
        chunk.remove("classes")
    assert list(inspect.signature(cls.partial_fit).parameters) == chunk


@each_task
def test_a_clone_has_the_settings_and_nothing_else(task):
    X, y = data_of(task)
    settings = {"epochs_drop": [2, 4], "learning_rate": "step", "penalty": "elasticnet"}
    model = model_of(task, **settings).fit(X, y)
    other = clone(model)
    assert other.get_params() == model.get_params()
    assert not any(name.endswith("_") for name in vars(other))
    assert_same_bits(other.fit(X, y), model)


def test_the_tags_tell_classifiers_from_regressors():
    classifier, regressor = MiniBatchSGDClassifier(), MiniBatchSGDRegressor()
    assert is_classifier(classifier) and not is_regressor(classifier)
    assert is_regressor(regressor) and not is_classifier(regressor)
    assert get_tags(regressor).target_tags.multi_output
    assert not get_tags(classifier).target_tags.multi_output
    assert get_tags(classifier).classifier_tags.multi_class
    assert not hasattr(regressor, "decision_function")


# What fit and partial_fit leave behind


@each_task
@pytest.mark.parametrize(
    "batch_size, n_batches", [(1, 70), (16, 5), (35, 2), (70, 1), (500, 1), ("full", 1)]
)
def test_fit_counts_epochs_and_updates(task, batch_size, n_batches):
    X, y = data_of(task)
    model = model_of(task, batch_size=batch_size, eta0=0.005).fit(X, y)
    assert type(model.n_iter_) is int and type(model.t_) is int
    assert model.n_iter_ == 6
    assert model.t_ == 6 * n_batches
    for curve in (model.loss_curve_, model.learning_rate_curve_):
        assert type(curve) is list
        assert len(curve) == 6
        assert all(type(value) is float for value in curve)
    assert not hasattr(model, "validation_scores_")
    assert not hasattr(model, "best_validation_score_")


@each_task
def test_the_learnt_attributes_have_the_documented_shapes(task):
    X, y = data_of(task)
    model = model_of(task).fit(X, y)
    coef_shape, n_outputs = {
        "regression": ((4,), 1),
        "several targets": ((3, 4), 3),
        "binary": ((1, 4), 1),
        "multiclass": ((3, 4), 3),
    }[task]
    assert model.coef_.shape == coef_shape
    assert model.intercept_.shape == (n_outputs,)
    assert model.n_features_in_ == 4
    assert model.predict(X).shape == y.shape
    if is_classifier(model):
        assert_array_equal(model.classes_, np.unique(y))
        shape = (N_ROWS,) if task == "binary" else (N_ROWS, 3)
        assert model.decision_function(X).shape == shape
        assert model.predict_proba(X).shape == (N_ROWS, len(np.unique(y)))
    else:
        assert not hasattr(model, "classes_")


def test_predictions_are_the_decisions_of_the_weights():
    for task in TASKS:
        X, y = data_of(task)
        model = model_of(task).fit(X, y)
        decisions = X @ model.coef_.T + model.intercept_
        if is_classifier(model):
            decisions = decisions.reshape(N_ROWS, -1)
            expected = decisions.argmax(axis=1)
            if task == "binary":
                expected = (decisions[:, 0] > 0).astype(int)
            assert_allclose(
                model.decision_function(X).reshape(N_ROWS, -1), decisions, rtol=1e-12
            )
            assert_array_equal(model.predict(X), model.classes_[expected])
            assert model.score(X, y) == np.mean(model.predict(X) == y)
        else:
            assert_allclose(model.predict(X), decisions, rtol=1e-12)
            residues = ((y - decisions) ** 2).sum(axis=0)
            shares = residues / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
            assert_allclose(model.score(X, y), np.mean(1 - shares), rtol=1e-12)


def test_the_log_loss_gives_the_probabilities_of_its_model():
    X, y = data_of("binary")
    model = model_of("binary").fit(X, y)
    decisions = model.decision_function(X)
    positive = 1 / (1 + np.exp(-decisions))
    assert_allclose(model.predict_proba(X)[:, 1], positive, rtol=1e-12)
    assert_allclose(model.predict_proba(X)[:, 0], 1 - positive, rtol=1e-9)
    X, y = data_of("multiclass")
    model = model_of("multiclass").fit(X, y)
    odds = np.exp(model.decision_function(X))
    expected = odds / odds.sum(axis=1, keepdims=True)
    assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
    assert_allclose(model.predict_log_proba(X), np.log(expected), rtol=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_logarithms_of_vanishing_probabilities_stay_finite(task):
    X, y = data_of(task)
    model = model_of(task).fit(X, y)
    log_proba = model.predict_log_proba(1e5 * X)
    assert np.isfinite(log_proba).all()
    assert log_proba.min() < -1000
    assert model.predict_proba(1e5 * X).min() == 0.0


@pytest.mark.parametrize(
    "loss, given",
    [
        ("log_loss", True),
        ("modified_huber", True),
        ("hinge", False),
        ("squared_hinge", False),
        ("perceptron", False),
        ("squared_error", False),
        ("huber", False),
        ("epsilon_insensitive", False),
        ("squared_epsilon_insensitive", False),
    ],
)
def test_only_two_losses_give_probabilities(loss, given):
    X, y = data_of("binary")
    model = model_of("binary", loss=loss)
    for each in (model, clone(model).fit(X, y)):
        for method in ("predict_proba", "predict_log_proba"):
            assert hasattr(each, method) is given
            if not given:
                with pytest.raises(AttributeError, match=method):
                    getattr(each, method)


@each_task
def test_the_first_loss_is_that_of_the_initial_weights(task):
    # The rate is 0, so these weights are those of all batches.
    X, y = data_of(task)
    K = 1 if task in ("regression", "binary") else 3
    rng = np.random.default_rng(1)
    W, b = rng.normal(size=(K, 4)), rng.normal(size=K)
    Z = X @ W.T + b
    if task == "binary":
        loss = np.log1p(np.exp(np.where(y == "yes", -1, 1) * Z[:, 0]))
    elif task == "multiclass":
        loss = (
            np.log(np.exp(Z).sum(axis=1))
            - Z[np.arange(N_ROWS), np.unique(y, return_inverse=True)[1]]
        )
    else:
        loss = (0.5 * (Z - y.reshape(N_ROWS, K)) ** 2).sum(axis=1)
    penalty = 0.3 * (0.5 * 0.6 * (W**2).sum() + 0.4 * np.abs(W).sum())
    model = model_of(task, eta0=0.0, alpha=0.3, l1_ratio=0.4, penalty="elasticnet")
    coef_init = W[0] if task == "regression" else W
    model.fit(X, y, coef_init=coef_init, intercept_init=b)
    assert_allclose(model.loss_curve_, [loss.mean() + penalty] * 6, rtol=1e-12)
    assert_array_equal(model.coef_, coef_init)
    assert_array_equal(model.intercept_, b)


def test_the_loss_of_an_epoch_is_met_batch_by_batch():
    X, y = data_of("regression")
    model = model_of("regression", shuffle=False, alpha=0.3, max_iter=2).fit(X, y)
    # One chunk of a stream after the other is one batch after the other.
    batches = model_of("regression", decay=0.0, alpha=0.3)
    curve = []
    for epoch in range(2):
        batches.set_params(eta0=0.05 / (1 + 0.1 * epoch))
        losses = []
        for start in range(0, N_ROWS, 16):
            rows = slice(start, start + 16)
            known = batches.predict(X[rows]) if hasattr(batches, "coef_") else 0.0
            losses.extend((known - y[rows]) ** 2 / 2)
            batches.partial_fit(X[rows], y[rows])
        curve.append(np.mean(losses) + 0.15 * (batches.coef_**2).sum())
    assert len(losses) == N_ROWS
    assert_allclose(model.coef_, batches.coef_, rtol=1e-12)
    assert_allclose(model.loss_curve_, curve, rtol=1e-12)


SCHEDULES = [
    {"learning_rate": "time"},
    {"learning_rate": "exponential", "decay_unit": "update", "decay": 0.01},
    {"learning_rate": "cosine"},
    {"learning_rate": "optimal", "alpha": 0.5},
    {"average": True},
    {"average": 100, "penalty": "l1"},
    {"nesterov": False, "penalty": "elasticnet"},
    {"batch_size": "full"},
]


@each_task
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("settings", SCHEDULES, ids=str)
def test_a_chunk_k_times_is_a_fit_of_k_epochs(task, shuffle, settings):
    X, y = data_of(task)
    model = model_of(task, shuffle=shuffle, **settings)
    streamed = stream(clone(model), X, y, n_calls=6)
    assert_same_bits(model.fit(X, y), streamed)


@each_task
@pytest.mark.parametrize("average", [False, True, 200])
def test_a_stream_goes_on_where_fit_ended(task, average):
    X, y = data_of(task)
    longer = model_of(task, average=average, max_iter=7).fit(X, y)
    model = model_of(task, average=average, max_iter=4).fit(X, y)
    assert_unlike(model, longer)
    assert_same_bits(stream(model, X, y, n_calls=3), longer)


@each_task
def test_a_pickled_model_goes_on_as_if_nothing_had_been(task):
    X, y = data_of(task)
    model = stream(model_of(task, average=100), X, y, n_calls=2)
    thawed = pickle.loads(pickle.dumps(model))
    assert_same_bits(stream(thawed, X, y, n_calls=3), stream(model, X, y, n_calls=3))
    assert model.n_iter_ == 5


def test_fit_forgets_what_was_learnt_before():
    X, y = data_of("multiclass")
    fresh = model_of("multiclass").fit(X, y)
    model = model_of("multiclass").fit(X[:, :2], np.where(y == "a", 1, 2))
    assert_same_bits(model.fit(X, y), fresh)
    assert_array_equal(model.classes_, ["a", "b", "c"])


def test_a_chunk_may_lack_classes():
    X, y = data_of("multiclass")
    model = model_of("multiclass").partial_fit(
        X[y == "a"], y[y == "a"], classes=["c", "a", "d", "b"]
    )
    assert_array_equal(model.classes_, ["a", "b", "c", "d"])
    assert model.coef_.shape == (4, 4)
    model.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"not among the classes.*'e'"):
        model.partial_fit(X[:2], ["a", "e"])
    with pytest.raises(ValueError, match="classes"):
        model_of("multiclass").partial_fit(X, y)


@each_task
def test_an_integer_seed_gives_the_same_bits(task):
    X, y = data_of(task)
    model = model_of(task).fit(X, y)
    assert_same_bits(model_of(task).fit(X, y), model)
    assert_same_bits(model.fit(X, y), clone(model).fit(X, y))
    other = model_of(task, random_state=4).fit(X, y)
    assert_unlike(other, model)
    seed = np.random.RandomState(3)
    assert_same_bits(model_of(task, random_state=seed).fit(X, y), model)
    assert_unlike(model_of(task, random_state=seed).fit(X, y), model)


def test_without_a_seed_the_order_is_new_each_time():
    X, y = data_of("regression")
    models = [model_of("regression", random_state=None).fit(X, y) for _ in range(2)]
    assert_unlike(*models)


def test_the_order_of_the_rows_does_not_matter_to_a_single_batch():
    X, y = data_of("regression")
    model = model_of("regression", batch_size="full").fit(X, y)
    for settings in (
        {"batch_size": N_ROWS},
        {"batch_size": 10**9},
        {"batch_size": "full", "random_state": 99},
        {"batch_size": "full", "shuffle": False},
    ):
        assert_same_bits(model_of("regression", **settings).fit(X, y), model)


def test_training_leaves_its_input_alone():
    for task in TASKS:
        X, y = data_of(task)
        weights = np.linspace(1, 2, N_ROWS)
        for array in (X, y, weights):
            array.setflags(write=False)  # writing would be an error
        model = model_of(task).fit(X, y, sample_weight=weights, X_val=X, y_val=y)
        start = model.coef_, model.intercept_
        copies = [array.copy() for array in start]
        model_of(task).fit(X, y, coef_init=start[0], intercept_init=start[1])
        model.partial_fit(X, y, sample_weight=weights)
        for array, old in zip(start, copies, strict=True):
            assert_array_equal(array, old)


# Stopping


@each_task
def test_training_stops_by_its_objective(task):
    X, y = data_of(task)
    settings = {"tol": 5e-3, "n_iter_no_change": 3, "max_iter": 500}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = model_of(task, **settings).fit(X, y)
    if is_classifier(model):
        shares = np.unique(y, return_counts=True)[1] / N_ROWS
        constant = -shares @ np.log(shares)
    else:
        constant = np.var(y, axis=0).sum() / 2
    curve = np.array(model.loss_curve_)
    best_before = np.minimum.accumulate(np.r_[np.inf, curve[:-1]])
    idle = curve > best_before - 5e-3 * constant
    ends_of_three = np.flatnonzero(idle[2:] & idle[1:-1] & idle[:-2]) + 2
    assert model.n_iter_ == ends_of_three[0] + 1 == len(curve)
    assert model.n_iter_ > 4
    assert_same_bits(model, model_of(task, max_iter=model.n_iter_, decay=0.1).fit(X, y))


def test_only_training_cut_short_warns():
    X, y = data_of("regression")
    settings = {"tol": 5e-3, "n_iter_no_change": 3}
    needed = model_of("regression", **settings, max_iter=500).fit(X, y).n_iter_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_of("regression", **settings, max_iter=needed).fit(X, y)
        model_of("regression", tol=None, max_iter=2).fit(X, y)
        model_of("regression", **settings).partial_fit(X, y)
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        model_of("regression", **settings, max_iter=needed - 1).fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_tol_of_zero_asks_for_any_improvement():
    X, y = data_of("regression")
    settings = {"batch_size": "full", "momentum": 0.0, "decay": 0.0, "eta0": 0.3}
    model = model_of("regression", **settings, tol=0.0, max_iter=5000).fit(X, y)
    curve = np.array(model.loss_curve_)
    assert model.n_iter_ < 5000
    assert curve[:-5].min() < curve[-5:].min() < curve[0]
    assert np.all(np.diff(curve[:20]) < 0)


# Validation


def validation_data(task):
    return data_of(task, n_rows=25, seed=6)


NAMED_SCORES = {
    "regression": "neg_mean_absolute_error",
    "several targets": "neg_mean_absolute_error",
    "binary": "roc_auc",
    "multiclass": "neg_log_loss",
}


def callable_score(estimator, X, y, sample_weight=None):
    """Not the same as that of any name; needs all that a fitted estimator has."""
    assert estimator.n_iter_ == len(estimator.loss_curve_)
    return 3.0 - np.square(estimator.coef_).sum() * np.mean(estimator.predict(X) != y)


def loss_of(task, model, X, y, weights=None):
    """The mean loss by scikit-learn's metrics, without the penalty."""
    if task in ("binary", "multiclass"):
        probabilities = model.predict_proba(X)
        labels = model.classes_
        return log_loss(y, probabilities, sample_weight=weights, labels=labels)
    error = mean_squared_error(
        y, model.predict(X), sample_weight=weights, multioutput="raw_values"
    )
    return error.sum() / 2


@each_task
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scoring", ["loss", None, "by name", "callable"])
def test_the_weights_kept_are_those_of_the_best_epoch(task, average, weighted, scoring):
    X, y = data_of(task)
    X_val, y_val = validation_data(task)
    weights = np.linspace(0, 2, len(y_val)) if weighted else None

    def score_of(model):
        if scoring == "loss":
            return -loss_of(task, model, X_val, y_val, weights)
        scorer = check_scoring(model, scoring=model.scoring)
        return scorer(model, X_val, y_val, sample_weight=weights)

    settings = {"eta0": 0.2, "decay": 0.0, "batch_size": 8, "average": average}
    scorings = {"by name": NAMED_SCORES[task], "callable": callable_score}
    settings["scoring"] = scorings.get(scoring, scoring)
    model = model_of(task, max_iter=20, **settings)
    model.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    scores = model.validation_scores_
    assert type(scores) is list and len(scores) == 20 == model.n_iter_
    assert len(model.loss_curve_) == len(model.learning_rate_curve_) == 20
    # Each score is that of a model that stops there.
    for epoch in (0, 7, 19):
        stopped = model_of(task, max_iter=epoch + 1, **settings).fit(X, y)
        assert_allclose(scores[epoch], score_of(stopped), rtol=1e-10)
        loss = loss_of(task, stopped, X_val, y_val, weights)
        assert_allclose(model.validation_losses_[epoch], loss, rtol=1e-10)
    best = 19 - int(np.argmax(scores[::-1]))  # the last one
    if not average and scoring is not None and task != "binary":
        assert best < 19
    stopped = model_of(task, max_iter=best + 1, **settings).fit(X, y)
    assert_array_equal(model.coef_, stopped.coef_)
    assert_array_equal(model.intercept_, stopped.intercept_)
    assert model.best_validation_score_ == max(scores)
    assert_allclose(model.best_validation_score_, score_of(model), rtol=1e-10)


def test_without_scoring_the_score_is_accuracy_or_r2():
    for task in TASKS:
        X, y = data_of(task)
        X_val, y_val = validation_data(task)
        model = model_of(task, max_iter=1, scoring=None)
        model.fit(X, y, X_val=X_val, y_val=y_val)
        metric = accuracy_score if is_classifier(model) else r2_score
        expected = metric(y_val, model.predict(X_val))
        assert_allclose(model.validation_scores_, [expected], rtol=1e-12)


@each_task
def test_early_stopping_is_validation_on_held_out_rows(task):
    X, y = data_of(task)
    weights = np.random.default_rng(0).uniform(0.1, 5, N_ROWS)
    splitter = ShuffleSplit
    if task in ("binary", "multiclass"):
        splitter = StratifiedShuffleSplit
    [(rows, held_out)] = splitter(1, test_size=0.3, random_state=3).split(X, y)
    rows.sort()  # without shuffling the rows keep their order
    settings = {"max_iter": 15, "shuffle": False}
    model = model_of(task, early_stopping=True, validation_fraction=0.3, **settings)
    model.fit(X, y, sample_weight=weights)
    expected = model_of(task, **settings).fit(
        X[rows],
        y[rows],
        sample_weight=weights[rows],
        X_val=X[held_out],
        y_val=y[held_out],
        sample_weight_val=weights[held_out],
    )
    assert model.t_ == 15 * -(-len(rows) // 16)
    assert len(model.validation_scores_) == 15
    assert_allclose(model.validation_scores_, expected.validation_scores_, rtol=1e-12)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-10)
    assert_allclose(model.intercept_, expected.intercept_, rtol=1e-10)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-10)


def loss_of_constant(y):
    """Half the variance of numbers, the entropy of classes."""
    if y.dtype.kind == "f":
        return y.var(axis=0).sum() / 2
    shares = np.unique(y, return_counts=True)[1] / len(y)
    return -(shares * np.log(shares)).sum()


@each_task
@pytest.mark.parametrize("scoring", ["loss", None])
def test_training_stops_by_its_validation_score(task, scoring):
    X, y = data_of(task)
    X_val, y_val = validation_data(task)
    # A loss is measured in units of that of a constant, a score as it is.
    tol = 1e-2 * (loss_of_constant(y) if scoring == "loss" else 1.0)
    settings = {"tol": 1e-2, "n_iter_no_change": 4, "max_iter": 200, "scoring": scoring}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = model_of(task, **settings).fit(X, y, X_val=X_val, y_val=y_val)
    scores = np.array(model.validation_scores_)
    best_before = np.maximum.accumulate(np.r_[-np.inf, scores[:-1]])
    idle = scores < best_before + tol
    runs = [idle[end - 4 : end].all() for end in range(4, len(idle) + 1)]
    assert runs.index(True) == len(runs) - 1  # the first four in a row are the last
    assert model.n_iter_ == len(scores) < 200


def test_given_validation_data_leave_all_rows_to_training():
    X, y = data_of("regression")
    X_val, y_val = validation_data("regression")
    model = model_of("regression", early_stopping=True, batch_size=1, scoring=None)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    assert model.t_ == 6 * N_ROWS
    assert_allclose(model.best_validation_score_, model.score(X_val, y_val), rtol=1e-12)


def test_training_without_validation_shows_no_old_scores():
    X, y = data_of("regression")
    model = model_of("regression").fit(X, y, X_val=X, y_val=y)
    assert hasattr(model, "validation_scores_")
    model.fit(X, y)
    assert not hasattr(model, "validation_scores_")
    assert not hasattr(model, "validation_losses_")
    assert not hasattr(model, "best_validation_score_")


def test_validation_data_that_do_not_fit_are_refused():
    X, y = data_of("binary")
    X_val, y_val = validation_data("binary")
    model = model_of("binary")
    for arguments, message in [
        ({"X_val": X_val}, "y_val"),
        ({"y_val": y_val}, "X_val"),
        ({"sample_weight_val": np.ones(25)}, "X_val"),
        ({"X_val": X_val[:, :2], "y_val": y_val}, "2 features"),
        ({"X_val": X_val, "y_val": y_val[:-1]}, "inconsistent"),
        ({"X_val": X_val, "y_val": np.full(25, "maybe")}, "maybe"),
        (
            {"X_val": X_val, "y_val": y_val, "sample_weight_val": -np.ones(25)},
            "egative",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, **arguments)
    assert not hasattr(model, "coef_")


def test_a_stream_has_no_rows_to_hold_out():
    X, y = data_of("regression")
    with pytest.raises(ValueError, match="early_stopping"):
        model_of("regression", early_stopping=True).partial_fit(X, y)


# Initial weights


@each_task
def test_warm_start_goes_on_from_the_weights_at_rest(task):
    X, y = data_of(task)
    model = model_of(task, warm_start=True).fit(X, y)
    expected = model_of(task, max_iter=2).fit(
        X, y, coef_init=model.coef_, intercept_init=model.intercept_
    )
    model.set_params(max_iter=2).fit(X, y)
    assert_same_bits(model, expected)  # clocks and histories restart
    assert model.n_iter_ == 2
    cold = model.set_params(warm_start=False).fit(X, y)
    assert_same_bits(cold, model_of(task, max_iter=2).fit(X, y))
    assert_unlike(cold, expected)


def test_given_weights_win_over_warm_start():
    X, y = data_of("regression")
    start = {"coef_init": np.arange(4.0), "intercept_init": [2.0]}
    model = model_of("regression", warm_start=True).fit(X, y).fit(X, y, **start)
    assert_same_bits(model, model_of("regression").fit(X, y, **start))


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_the_weights_of_a_single_output_may_have_one_dimension_less(task):
    X, y = data_of(task)
    coef = np.arange(4.0)
    expected = model_of(task).fit(X, y, coef_init=[coef], intercept_init=[0.5])
    for coef_init, intercept_init in [(coef, [0.5]), ([coef], 0.5), (coef, 0.5)]:
        model = model_of(task).fit(
            X, y, coef_init=coef_init, intercept_init=intercept_init
        )
        assert_same_bits(model, expected)


@each_task
def test_initial_weights_of_a_wrong_shape_are_refused(task):
    X, y = data_of(task)
    for name, value in [
        ("coef_init", np.zeros(5)),
        ("coef_init", np.zeros((2, 4))),
        ("coef_init", np.full((3, 4), np.nan)),
        ("intercept_init", np.zeros(2)),
        ("intercept_init", [np.inf] * 3),
    ]:
        with pytest.raises(ValueError, match=name):
            model_of(task).fit(X, y, **{name: value})


@each_task
def test_without_intercept_it_stays_where_it_began(task):
    X, y = data_of(task)
    model = model_of(task, fit_intercept=False).fit(X, y)
    assert not model.intercept_.any()
    start = np.full(model.intercept_.shape, 0.25)
    model.fit(X, y, intercept_init=start)
    assert_array_equal(model.intercept_, start)


# Averages


def ramp(**settings):
    """Return an estimator whose intercept after update t = 1, 2, ... is t.

    The loss is |y - z| with y far above; a batch has 4 rows, an epoch 2 batches.
    """
    return MiniBatchSGDRegressor(
        "epsilon_insensitive",
        epsilon=0.0,
        penalty=None,
        batch_size=4,
        eta0=1.0,
        momentum=0.0,
        max_iter=2,
        tol=None,
    ).set_params(**settings)


RAMP_DATA = np.zeros((8, 1)), np.full(8, 1000.0)


@pytest.mark.parametrize(
    "average, expected",
    [
        (False, 4),
        (True, (1 + 2 + 3 + 4) / 4),
        (1, (1 + 2 + 3 + 4) / 4),
        (4, (1 + 2 + 3 + 4) / 4),
        (5, (2 + 3 + 4) / 3),
        (8, (2 + 3 + 4) / 3),
        (9, (3 + 4) / 2),
        (16, 4),
        (17, 4),
    ],
)
def test_an_average_begins_with_the_update_that_reaches_its_sample(average, expected):
    X, y = RAMP_DATA
    assert_allclose(ramp(average=average).fit(X, y).intercept_, expected, rtol=1e-14)
    streamed = ramp(average=average).partial_fit(X, y).partial_fit(X, y)
    assert_allclose(streamed.intercept_, expected, rtol=1e-14)


def test_an_average_can_begin_in_mid_stream():
    X, y = RAMP_DATA
    model = ramp().partial_fit(X, y).set_params(average=True).partial_fit(X, y)
    assert_allclose(model.intercept_, (3 + 4) / 2, rtol=1e-14)


@each_task
@pytest.mark.parametrize("average", [True, 100])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("edited", ["coef_", "intercept_", "coef_ in place"])
def test_an_averaged_stream_goes_on_from_weights_set_between_calls(
    task, average, penalty, edited
):
    X, y = data_of(task)
    settings = {"momentum": 0.0, "penalty": penalty, "batch_size": "full"}
    model = stream(model_of(task, average=average, **settings), X, y, n_calls=3)
    if edited == "coef_ in place":
        model.coef_[..., 0] = 0.25
    else:
        setattr(model, edited, getattr(model, edited) + 0.25)
    # One without means, of which these are taken here: a call is one update.
    other = stream(model_of(task, **settings), X, y, n_calls=3)
    other.coef_, other.intercept_ = model.coef_.copy(), model.intercept_.copy()
    coefs, intercepts = [], []
    for _ in range(4):
        stream(model, X, y)
        stream(other, X, y)
        coefs.append(other.coef_)
        intercepts.append(other.intercept_)
        assert_allclose(model.coef_, np.mean(coefs, axis=0), rtol=1e-11, atol=1e-14)
        assert_allclose(model.intercept_, np.mean(intercepts, axis=0), rtol=1e-11)


def test_the_means_start_anew_with_the_weights_that_were_set():
    X, y = np.zeros((8, 1)), np.full(8, 1e4)
    model = ramp(average=True).partial_fit(X, y).partial_fit(X, y)
    assert_allclose(model.intercept_, [2.5], rtol=1e-14)  # the mean of 1, 2, 3, 4
    model.intercept_ = np.array([100.0])
    model.partial_fit(X, y)
    assert_allclose(model.intercept_, [101.5], rtol=1e-14)
    model.partial_fit(X, y)
    assert_allclose(model.intercept_, [102.5], rtol=1e-14)


@each_task
def test_an_averaged_stream_whose_weights_are_not_changed_keeps_its_bits(task):
    X, y = data_of(task)
    model = stream(model_of(task, average=True), X, y, n_calls=4)
    other = model_of(task, average=True)
    for _ in range(4):
        stream(other, X, y)
        # The same numbers in other arrays
        other.coef_ = other.coef_.astype(np.float64).tolist()
        other.intercept_ = other.intercept_.copy()
    other.coef_ = np.array(other.coef_)
    assert_array_equal(model.coef_, other.coef_)
    assert_array_equal(model.intercept_, other.intercept_)
    for name, value in model._resumption.items():
        assert_array_equal(value, other._resumption[name], err_msg=name)


def test_an_average_can_end_in_mid_stream():
    X, y = RAMP_DATA
    model = ramp(average=True).partial_fit(X, y)
    assert_allclose(model.intercept_, (1 + 2) / 2, rtol=1e-14)
    model.set_params(average=False).partial_fit(X, y)
    assert_allclose(model.intercept_, 4, rtol=1e-14)


# Class weights


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_multiply_the_weights_of_their_rows(task, weighted):
    X, y = data_of(task)
    classes = np.unique(y)
    class_weight = dict(zip(classes.tolist(), [0.2, 3.0, 1.5], strict=False))
    given = np.random.default_rng(0).uniform(0.5, 2, N_ROWS) if weighted else None
    explicit = np.array([class_weight[label] for label in y.tolist()])
    if weighted:
        explicit *= given
    model = model_of(task, class_weight=class_weight).fit(X, y, sample_weight=given)
    expected = model_of(task).fit(X, y, sample_weight=explicit)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-11)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-11)
    assert_unlike(model, model_of(task).fit(X, y, sample_weight=given))

    chunk = stream(model_of(task, class_weight=class_weight), X, y, sample_weight=given)
    expected = stream(model_of(task), X, y, sample_weight=explicit)
    assert_allclose(chunk.coef_, expected.coef_, rtol=1e-11)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_balanced_classes_weigh_the_same_in_total(task):
    X, y = data_of(task)
    rows = np.flatnonzero((y != np.unique(y)[0]) | (np.arange(N_ROWS) % 3 == 0))
    X, y = X[rows], y[rows]
    explicit = np.empty(len(y))
    for label in np.unique(y):
        explicit[y == label] = 1 / np.sum(y == label)
    model = model_of(task, class_weight="balanced").fit(X, y)
    expected = model_of(task).fit(X, y, sample_weight=explicit)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-11)
    assert_unlike(model, model_of(task).fit(X, y))


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_balancing_counts_the_weights_of_the_rows(task):
    X, y = data_of(task)
    copies = np.random.default_rng(0).integers(0, 4, N_ROWS)
    model = model_of(task, class_weight="balanced", batch_size="full")
    repeated = clone(model).fit(np.repeat(X, copies, axis=0), np.repeat(y, copies))
    model.fit(X, y, sample_weight=copies)
    assert_allclose(model.coef_, repeated.coef_, rtol=1e-10)
    assert_allclose(model.intercept_, repeated.intercept_, rtol=1e-10)


def test_balancing_bears_a_class_without_weight():
    X, y = data_of("multiclass")
    weights = np.where(y == "b", 0.0, 1.0)
    explicit = np.where(y == "a", 1 / np.sum(y == "a"), 1 / np.sum(y == "c")) * weights
    model = model_of("multiclass", class_weight="balanced")
    model.fit(X, y, sample_weight=weights)
    expected = model_of("multiclass").fit(X, y, sample_weight=explicit)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-11)


def test_a_class_left_out_of_the_dict_weighs_one():
    X, y = data_of("multiclass")
    model = model_of("multiclass", class_weight={"b": 4.0}).fit(X, y)
    full = {"a": 1.0, "b": 4.0, "c": 1.0}
    assert_same_bits(model, model_of("multiclass", class_weight=full).fit(X, y))


def test_class_weights_that_make_no_sense_are_refused():
    X, y = data_of("binary")
    for class_weight in ({"yes": -1.0}, {"yes": np.nan}, {"yes": np.inf}, {"yes": "1"}):
        with pytest.raises(ValueError, match="class_weight of class 'yes'"):
            model_of("binary", class_weight=class_weight).fit(X, y)
    with pytest.raises(ValueError, match="class_weight"):
        model_of("binary", class_weight={"maybe": 1.0}).fit(X, y)
    with pytest.raises(ValueError, match="balanced"):
        stream(model_of("binary", class_weight="balanced"), X, y)
    with pytest.raises(ValueError, match="zero"):
        model_of("binary", class_weight={"yes": 0, "no": 0}).fit(X, y)


# Precision


@each_task
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_float32_is_kept_from_input_to_prediction(task, average, penalty):
    X, y = data_of(task)
    model = model_of(task, average=average, penalty=penalty)
    double = clone(model).fit(X, y)
    X = X.astype(np.float32)
    model.fit(X, y)
    streamed = stream(clone(model), X, y, n_calls=6)
    assert_same_bits(model, streamed)
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    if is_classifier(model):
        assert model.decision_function(X).dtype == np.float32
        assert model.predict_proba(X).dtype == np.float32
    else:
        assert model.predict(X).dtype == np.float32
    assert_allclose(model.coef_, double.coef_, rtol=0, atol=2e-6)
    assert double.coef_.dtype == double.intercept_.dtype == np.float64


def test_a_stream_stays_in_the_precision_of_its_first_chunk():
    X, y = data_of("regression")
    single = X.astype(np.float32)
    model = model_of("regression").partial_fit(single, y).partial_fit(X, y)
    expected = model_of("regression").partial_fit(single, y).partial_fit(single, y)
    assert model.coef_.dtype == np.float32
    assert_same_bits(model, expected)
    model = model_of("regression").partial_fit(X, y).partial_fit(single, y)
    assert model.coef_.dtype == np.float64
    assert model.fit(single, y).coef_.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.longdouble])
def test_other_numbers_are_read_as_float64(dtype):
    X = (np.random.default_rng(0).random((40, 3)) * 3).astype(dtype)
    y = X @ np.array([1.0, 2.0, 3.0])
    model = model_of("regression").fit(X, y)
    expected = model_of("regression").fit(X.astype(np.float64), y)
    assert model.coef_.dtype == np.float64
    assert_same_bits(model, expected)


# Sparse coefficients


@each_task
def test_sparse_coefficients_predict_the_same(task):
    X, y = data_of(task)
    model = model_of(task, penalty="l1", alpha=0.2, max_iter=300).fit(X, y)
    coef, predicted = model.coef_, model.predict(X)
    assert 0 < np.count_nonzero(coef) < coef.size
    assert model.sparsify() is model
    assert model.sparsify() is model
    assert issparse(model.coef_)
    assert model.coef_.nnz == np.count_nonzero(coef)
    assert model.predict(X).shape == predicted.shape
    if is_classifier(model):
        assert_array_equal(model.predict(X), predicted)
        assert model.decision_function(X).ndim == (1 if task == "binary" else 2)
    else:
        assert_allclose(model.predict(X), predicted, rtol=1e-12)
    with pytest.raises(ValueError, match="densify"):
        model.partial_fit(X, y)
    assert model.densify() is model
    assert_array_equal(model.coef_, coef, strict=True)
    expected = model_of(task, penalty="l1", alpha=0.2, max_iter=300).fit(X, y)
    assert_same_bits(stream(model, X, y), stream(expected, X, y))


@each_task
def test_warm_start_reads_sparse_coefficients(task):
    X, y = data_of(task)
    dense = model_of(task, penalty="l1", alpha=0.2, warm_start=True).fit(X, y)
    sparse = clone(dense).fit(X, y).sparsify()
    assert_same_bits(sparse.fit(X, y), dense.fit(X, y))


# Targets


def test_a_single_target_may_be_a_column():
    X, y = data_of("regression")
    model = model_of("regression").fit(X, y)
    column = model_of("regression").fit(X, y[:, None])
    assert column.coef_.shape == (1, 4)
    assert column.predict(X).shape == (N_ROWS, 1)
    assert_array_equal(column.coef_[0], model.coef_)
    assert_array_equal(column.predict(X)[:, 0], model.predict(X))


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_several_targets_are_learnt_as_if_alone(loss):
    X, Y = data_of("several targets")
    model = model_of("several targets", loss=loss, penalty="l1").fit(X, Y)
    alone = [model_of("regression", loss=loss, penalty="l1").fit(X, y) for y in Y.T]
    assert_allclose(model.coef_, [each.coef_ for each in alone], rtol=1e-11)
    total = np.sum([each.loss_curve_ for each in alone], axis=0)
    assert_allclose(model.loss_curve_, total, rtol=1e-11)


def test_a_chunk_with_other_targets_is_refused():
    X, Y = data_of("several targets")
    model = model_of("several targets").partial_fit(X, Y)
    for y in (Y[:, :2], Y[:, 0]):
        with pytest.raises(ValueError, match="target"):
            model.partial_fit(X, y)
    assert model.n_iter_ == 1


def test_labels_may_be_of_any_kind():
    X, y = data_of("binary")
    expected = model_of("binary").fit(X, y)
    for labels in ([False, True], [-1, 1], [3.0, 7.0], [10**6, 10**9]):
        other = np.array(labels)[(y == "yes").astype(int)]
        model = model_of("binary").fit(X, other)
        assert_same_bits(model, expected)
        assert_array_equal(
            model.predict(X),
            np.array(labels)[(expected.predict(X) == "yes").astype(int)],
            strict=True,
        )


def test_a_model_not_yet_fitted_says_so():
    X, _ = data_of("binary")
    for method in ("predict", "decision_function", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(MiniBatchSGDClassifier(), method)(X)
    with pytest.raises(NotFittedError):
        MiniBatchSGDRegressor().predict(X)
    for method in ("sparsify", "densify"):
        with pytest.raises(NotFittedError):
            getattr(MiniBatchSGDRegressor(), method)()


@each_task
def test_divergence_is_an_error_that_changes_nothing(task):
    X, y = data_of(task)
    model = model_of(task, loss="squared_error").fit(X, y)
    untouched = copy.deepcopy(model)
    model.set_params(eta0=1e6, max_iter=500)
    with pytest.raises(ValueError, match=r"diverged in epoch \d+.*eta0"):
        model.fit(X, y)
    assert_same_bits(model, untouched)
    with pytest.raises(ValueError, match=r"diverged in epoch \d+.*eta0"):
        for _ in range(500):
            before = copy.deepcopy(model)
            model.partial_fit(X, y)
    assert_same_bits(model, before)
    for each in (model, before):
        each.set_params(eta0=0.0).partial_fit(X, y)
    assert_same_bits(model, before)


# Names of features


def test_names_of_features_are_remembered_and_checked():
    pandas = pytest.importorskip("pandas")
    X, y = data_of("regression")
    frame = pandas.DataFrame(X, columns=["b", "a", "d", "c"])
    model = model_of("regression").fit(frame, y)
    assert_array_equal(model.feature_names_in_, ["b", "a", "d", "c"])
    assert_same_bits(model, model_of("regression").fit(X, y))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["a", "b", "c", "d"]])
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame.rename(columns={"a": "z"}), y)
    with pytest.raises(ValueError, match="feature names"):
        model.fit(frame, y, X_val=frame.rename(columns={"a": "z"}), y_val=y)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert_allclose(model.predict(X), model.predict(frame), rtol=1e-12)
    assert not hasattr(model.fit(X, y), "feature_names_in_")


# Reports


def test_verbose_prints_a_line_per_epoch(capsys):
    X, y = data_of("regression")
    model = model_of("regression", verbose=1, max_iter=3).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines, start=1):
        assert line.startswith(f"Epoch {number},")
        assert f"{model.learning_rate_curve_[number - 1]:.6g}" in line
        assert f"{model.loss_curve_[number - 1]:.6g}" in line
        assert "validation" not in line
        assert re.search(r", \d+\.\d{3} s$", line)
    model.fit(X, y, X_val=X, y_val=y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for score, line in zip(model.validation_scores_, lines, strict=True):
        assert re.search(rf", validation score {score:.6g}, \d+\.\d{{3}} s$", line)


def test_without_verbose_nothing_is_printed(capsys):
    X, y = data_of("regression")
    model_of("regression").fit(X, y, X_val=X, y_val=y).partial_fit(X, y)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


# Together with other estimators


@pytest.mark.parametrize("kind", [MiniBatchSGDRegressor, MiniBatchSGDClassifier])
def test_callbacks_can_be_set_where_scikit_learn_has_them(kind):
    supported = importlib.util.find_spec("sklearn.callback") is not None
    assert hasattr(kind(), "set_callbacks") == supported


def grid_data():
    X, y = load_breast_cancer(return_X_y=True)
    return X[::2], y[::2]


def test_a_grid_over_eta0_and_decay_needs_no_other_setting():
    X, y = grid_data()
    pipeline = make_pipeline(
        StandardScaler(), MiniBatchSGDClassifier(max_iter=4, tol=None, random_state=0)
    )
    name = "minibatchsgdclassifier"
    grid = {f"{name}__eta0": [1e-4, 0.1], f"{name}__decay": [0.0, 100.0, "auto"]}
    search = GridSearchCV(pipeline, grid, cv=KFold(3)).fit(X, y)
    expected = [
        cross_val_score(
            clone(pipeline).set_params(**settings), X, y, cv=KFold(3)
        ).mean()
        for settings in search.cv_results_["params"]
    ]
    assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-12)
    assert len(set(expected)) > 2
    assert search.best_params_[f"{name}__eta0"] == 0.1
    assert search.best_score_ == max(search.cv_results_["mean_test_score"]) > 0.95
    best = clone(pipeline).set_params(**search.best_params_).fit(X, y)
    assert_same_bits(search.best_estimator_[-1], best[-1])


def test_weights_are_routed_through_a_search_and_a_pipeline():
    X, y = grid_data()
    weights = np.where(y == 0, 20.0, 0.05)
    folds = KFold(3)
    with config_context(enable_metadata_routing=True):
        model = MiniBatchSGDClassifier(max_iter=4, tol=None, random_state=0)
        model.set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        search = GridSearchCV(
            make_pipeline(scaler, model),
            {"minibatchsgdclassifier__eta0": [0.001, 0.1]},
            scoring=get_scorer("accuracy").set_score_request(sample_weight=True),
            cv=folds,
        )
        search.fit(X, y, sample_weight=weights)
    # The same by hand, without any routing
    scores = []
    for eta0 in (0.001, 0.1):
        parts = []
        for train, test in folds.split(X):
            scaler = StandardScaler().fit(X[train])
            by_hand = MiniBatchSGDClassifier(
                eta0=eta0, max_iter=4, tol=None, random_state=0
            ).fit(scaler.transform(X[train]), y[train], sample_weight=weights[train])
            hits = by_hand.predict(scaler.transform(X[test])) == y[test]
            parts.append(np.average(hits, weights=weights[test]))
        scores.append(np.mean(parts))
    assert_allclose(search.cv_results_["mean_test_score"], scores, rtol=1e-12)
    eta0 = search.best_params_["minibatchsgdclassifier__eta0"]
    by_hand = MiniBatchSGDClassifier(eta0=eta0, max_iter=4, tol=None, random_state=0)
    Xt = StandardScaler().fit_transform(X)
    by_hand.fit(Xt, y, sample_weight=weights)
    assert_same_bits(search.best_estimator_[-1], by_hand)
    assert_unlike(by_hand, clone(by_hand).fit(Xt, y))


def test_weights_not_asked_for_are_not_routed():
    X, y = grid_data()
    weights = np.where(y == 0, 20.0, 0.05)
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = MiniBatchSGDClassifier(max_iter=2, tol=None, random_state=0)
        model.set_fit_request(sample_weight=False).set_score_request(
            sample_weight=False
        )
        pipeline = make_pipeline(scaler, model)
        with pytest.raises(TypeError, match="sample_weight"):
            pipeline.fit(X, y, sample_weight=weights)
        model.set_fit_request(sample_weight=True)
        pipeline.fit(X, y, sample_weight=weights)
    expected = clone(model).fit(scaler.transform(X), y, sample_weight=weights)
    assert_same_bits(model, expected)


def test_weights_of_chunks_can_be_requested():
    with config_context(enable_metadata_routing=True):
        for cls in OWN_DEFAULTS:
            model = cls().set_partial_fit_request(sample_weight=True)
            requests = model.get_metadata_routing().partial_fit.requests
            assert requests["sample_weight"] is True
            requests = model.get_metadata_routing().fit.requests
            assert {"X_val", "y_val", "sample_weight_val", "coef_init"} <= set(requests)
