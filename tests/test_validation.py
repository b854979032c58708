"""Validation data: how they are scored, and whether they are like the training data."""

import operator
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn import config_context
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning
from sklearn.metrics import accuracy_score, log_loss, make_scorer, recall_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor


def a_class_of_one_percent(n_rows, seed):
    """Rows and labels of which the true probabilities are known."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 5))
    probabilities = expit(5 * X[:, 0] - 12.5)
    return X, (rng.random(n_rows) < probabilities).astype(int), probabilities


def test_early_stopping_learns_a_class_of_one_percent():
    X, y, _ = a_class_of_one_percent(20_000, seed=0)
    X_test, y_test, probabilities = a_class_of_one_percent(50_000, seed=1)
    assert 0.005 < y.mean() < 0.015

    def loss(**settings):
        model = MiniBatchSGDClassifier(random_state=0, **settings).fit(X, y)
        scores = getattr(model, "validation_scores_", [])
        assert len(set(scores)) == len(scores)  # no ties
        assert recall_score(y_test, model.predict(X_test)) > 0.3
        return log_loss(y_test, model.predict_proba(X_test))

    # By accuracy, which is 0.99 from the first epoch on, it is 0.059.
    assert loss(early_stopping=True) < 1.1 * loss() < 0.04
    truth = log_loss(y_test, probabilities)
    assert loss(early_stopping=True, eta0=0.3) < 1.3 * truth


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    "loss, pointwise",
    [
        ("hinge", lambda y, z: np.maximum(0, 1 - y * z)),
        ("log_loss", lambda y, z: np.log1p(np.exp(-y * z))),
        ("squared_error", lambda y, z: (y - z) ** 2 / 2),
    ],
)
def test_the_validation_loss_has_all_weights_and_no_penalty(loss, pointwise, layout):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    y = np.where(X[:, 0] + rng.normal(size=90) > 0.7, "yes", "no")
    weights = rng.uniform(0, 3, size=90)
    model = MiniBatchSGDClassifier(
        loss, alpha=0.1, max_iter=1, tol=None, random_state=0, class_weight="balanced"
    )
    model.fit(
        layout(X[:60]),
        y[:60],
        sample_weight=weights[:60],
        X_val=layout(X[60:]),
        y_val=y[60:],
        sample_weight_val=weights[60:],
    )
    # Weights of the classes by their weight in the training data
    totals = {label: weights[:60][y[:60] == label].sum() for label in ("no", "yes")}
    weights_of_loss = weights[60:] / [totals[label] for label in y[60:]]
    decisions = X[60:] @ model.coef_[0] + model.intercept_
    losses = pointwise(np.where(y[60:] == "yes", 1, -1), decisions)
    expected = np.average(losses, weights=weights_of_loss)
    assert_allclose(model.validation_losses_, [expected], rtol=1e-10)
    assert_allclose(model.validation_scores_, [-expected], rtol=1e-10)


def test_held_out_rows_have_the_weights_of_their_classes():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    settings = {"early_stopping": True, "random_state": 0, "max_iter": 3, "tol": None}
    balanced = MiniBatchSGDClassifier(**settings, class_weight="balanced").fit(X, y)
    by_rows = MiniBatchSGDClassifier(**settings)
    by_rows.fit(X, y, sample_weight=compute_sample_weight("balanced", y))
    expected = by_rows.validation_losses_
    assert_allclose(balanced.validation_losses_, expected, rtol=1e-9)


def test_float32_and_many_outputs_have_the_same_loss():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = MiniBatchSGDClassifier(early_stopping=True, max_iter=2, tol=None)
    curves = []
    for dtype in (np.float64, np.float32):
        model.set_params(random_state=0).fit(X.astype(dtype), y)
        curves.append(model.validation_losses_)
    assert_allclose(curves[0], curves[1], rtol=1e-4)


def test_a_scorer_sees_the_data_and_a_model_of_its_own():
    X, y = load_wine(return_X_y=True, as_frame=True)
    X = (X - X.mean()) / X.std()
    y = y.map({0: "Barolo", 1: "Grignolino", 2: "Barbera"})
    weights = np.linspace(0.5, 1.5, len(X))
    seen = []

    def scorer(estimator, X, y, sample_weight):
        seen.append((estimator, X, y, sample_weight))
        return accuracy_score(y, estimator.predict(X), sample_weight=sample_weight)

    # With a rate that does not depend on max_iter
    settings = {"eta0": 0.01, "max_iter": 3, "tol": None, "random_state": 0}
    model = MiniBatchSGDClassifier(scoring=scorer, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the names of the frame's columns too
        model.fit(X, y, X_val=X, y_val=y, sample_weight_val=weights)
    assert len(seen) == 3
    for n_epochs, (estimator, seen_X, seen_y, seen_weights) in enumerate(seen, 1):
        assert_array_equal(seen_X, X)
        assert_array_equal(seen_y, y)
        assert_allclose(seen_weights, weights, rtol=1e-12)  # their mean is 1
        expected = MiniBatchSGDClassifier(**{**settings, "max_iter": n_epochs})
        assert_array_equal(estimator.coef_, expected.fit(X, y).coef_)
        assert estimator.n_iter_ == n_epochs
        assert estimator is not model
    # Training ignores what a scorer does to its model and to its lists.
    assert len(model.loss_curve_) == len(model.validation_scores_) == 3


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_names_of_scorers_and_scorers_are_the_same(layout, early_stopping):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    data = {} if early_stopping else {"X_val": layout(X[400:]), "y_val": y[400:]}
    settings = {"early_stopping": early_stopping, "max_iter": 4, "tol": None}
    curves = []
    for scoring in (None, "accuracy", make_scorer(accuracy_score)):
        model = MiniBatchSGDClassifier(**settings, scoring=scoring, random_state=0)
        curves.append(model.fit(layout(X), y, **data).validation_scores_)
    assert_allclose(curves[1:], [curves[0], curves[0]], rtol=1e-12)


def test_a_metric_is_no_scorer():
    X, y = load_wine(return_X_y=True)
    model = MiniBatchSGDClassifier(scoring=accuracy_score, early_stopping=True)
    with pytest.raises(ValueError, match="scorer"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


def test_a_scorer_with_routed_metadata():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    weights = np.linspace(0.1, 2, len(X))
    settings = {"scoring": "accuracy", "max_iter": 3, "tol": None, "random_state": 0}
    data = {"X_val": X, "y_val": y, "sample_weight_val": weights}
    expected = MiniBatchSGDClassifier(**settings).fit(X, y, **data)
    with config_context(enable_metadata_routing=True):
        model = MiniBatchSGDClassifier(**settings).fit(X, y, **data)
    assert model.validation_scores_ == expected.validation_scores_


# Whether they are like the training data

UNLIKE = "seem.* lack a transformation.*transform_input"


def fit_pipeline(scaler, X, y, **settings):
    X_train, X_val, y_train, y_val = train_test_split(X, y, random_state=0)
    model = MiniBatchSGDClassifier(eta0=0.1, random_state=0)
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(scaler, model, **settings)
        return pipeline.fit(X_train, y_train, X_val=X_val, y_val=y_val)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_digits])
@pytest.mark.parametrize("scaler", [StandardScaler(), RobustScaler(), MinMaxScaler()])
@pytest.mark.filterwarnings("ignore:.*lowest loss on validation data:UserWarning")
def test_a_pipeline_that_leaves_validation_data_as_they_are(load, scaler):
    X, y = load(return_X_y=True)
    with pytest.warns(UserWarning, match=UNLIKE) as caught:
        fit_pipeline(scaler, X, y)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = fit_pipeline(scaler, X, y, transform_input=["X_val"])
    assert max(pipeline[-1].validation_losses_[-1:]) < 0.4


@pytest.mark.parametrize("seed", range(3))
def test_validation_data_on_which_a_constant_is_far_better(seed):
    # Unscaled, most numbers of iris are within the extended ranges of the scaled ones.
    X, y = load_iris(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(X, y, random_state=seed)
    model = MiniBatchSGDClassifier(random_state=0)
    pipeline = Pipeline([("scaler", StandardScaler()), ("model", model)])
    with pytest.warns(ConvergenceWarning, match="lowest loss on validation") as caught:
        pipeline.fit(X_train, y_train, model__X_val=X_val, model__y_val=y_val)
    (warning,) = caught
    assert warning.filename == __file__
    shares = np.bincount(y_train) / len(y_train)
    of_constant = -np.log(shares[y_val]).mean()
    times = min(model.validation_losses_) / of_constant
    assert times > 4
    assert f" is {times:.0f} times that of a constant prediction" in str(
        warning.message
    )
    assert f", {of_constant:.6g}: the model is worse" in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X_val = pipeline["scaler"].transform(X_val)
        pipeline.fit(X_train, y_train, model__X_val=X_val, model__y_val=y_val)
    assert model.best_validation_score_ > -of_constant / 10


@pytest.mark.parametrize("n_validation_rows", [5, 10, 20, 60])
@pytest.mark.parametrize(
    "load", [load_wine, load_breast_cancer, load_digits, load_iris, load_diabetes]
)
def test_small_parts_set_apart_give_no_alarm(load, n_validation_rows):
    X, y = load(return_X_y=True)
    kind = MiniBatchSGDRegressor if load is load_diabetes else MiniBatchSGDClassifier
    for seed in range(5):
        X_train, X_val, y_train, y_val = train_test_split(
            X, y, test_size=n_validation_rows, random_state=seed
        )
        scaler = StandardScaler().fit(X_train)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "Training stopped at max_iter")
            kind(random_state=seed).fit(
                scaler.transform(X_train),
                y_train,
                X_val=scaler.transform(X_val),
                y_val=y_val,
            )


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_sparse_validation_data_are_looked_at_too(layout):
    X, y = load_digits(return_X_y=True)
    scaler = MinMaxScaler().fit(X)
    scaled = sparse.csr_array(scaler.transform(X))
    model = MiniBatchSGDClassifier(max_iter=1, tol=None)
    with pytest.warns(UserWarning, match=UNLIKE):
        model.fit(scaled, y, X_val=layout(X), y_val=y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(scaled[::2], y[::2], X_val=layout(scaled.toarray()), y_val=y)


def heavy_tails(rng):
    return rng.standard_cauchy(size=(2000, 8))


def rare_categories(rng):
    return np.eye(500)[np.minimum(rng.zipf(1.5, 2000), 500) - 1]


def word_counts(rng):
    rows = np.repeat(np.arange(2000), 1 + rng.poisson(30 * rng.pareto(2, size=2000)))
    words = np.minimum(rng.zipf(1.3, len(rows)), 10_000) - 1
    shape = 2000, 10_000
    return sparse.csr_array((np.ones(len(rows)), (rows, words)), shape=shape)


def log_normal(rng):
    return np.exp(3 * rng.normal(size=(2000, 4)))


@pytest.mark.parametrize(
    "kind", [heavy_tails, rare_categories, word_counts, log_normal]
)
@pytest.mark.parametrize("n_training_rows", [20, 50, 1000, 1990])
def test_random_splits_give_no_alarm(kind, n_training_rows):
    rng = np.random.default_rng(n_training_rows)
    X = kind(rng)
    model = MiniBatchSGDRegressor(max_iter=1, tol=None, eta0=0.0, fit_intercept=False)
    for _ in range(10):
        order = rng.permutation(2000)
        rows, other_rows = order[:n_training_rows], order[n_training_rows:]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y = rng.normal(size=2000)
            model.fit(X[rows], y[rows], X_val=X[other_rows], y_val=y[other_rows])


def test_splits_in_the_order_of_time_give_no_alarm():
    rng = np.random.default_rng(0)
    days = np.arange(1000.0)
    walks = rng.normal(size=(1000, 3)).cumsum(axis=0)
    X = np.c_[days, np.exp(days / 300), walks, rng.normal(size=(1000, 2))]
    X = (X - X[:500].mean(axis=0)) / X[:500].std(axis=0)
    model = MiniBatchSGDRegressor(max_iter=1, tol=None, eta0=0.0)
    for n_rows in (500, 800, 950):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ConvergenceWarning)  # It learns nothing.
            model.fit(X[:n_rows], days[:n_rows], X_val=X[n_rows:], y_val=days[n_rows:])


def test_a_frame_gives_the_same_alarm():
    X, y = load_digits(return_X_y=True)
    frame = pd.DataFrame(X).rename(columns=str)
    model = MiniBatchSGDClassifier(max_iter=1, tol=None)
    with pytest.warns(UserWarning, match=UNLIKE):
        model.fit(frame / 16, y, X_val=frame, y_val=y)


@pytest.mark.parametrize("kind", [MiniBatchSGDRegressor, MiniBatchSGDClassifier])
@pytest.mark.parametrize("small, large", [(1e-10, 1e308), (1e-320, 1.0)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_huge_weight_on_a_row_set_apart_is_nothing_to_the_others(kind, small, large):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(float)
    model = kind(early_stopping=True, max_iter=3, tol=None, random_state=0)
    equal = model.fit(X, y).loss_curve_
    n_apart = 0
    for row in range(60):
        weight = np.full(60, small)
        weight[row] = large
        n_apart += model.fit(X, y, sample_weight=weight).loss_curve_ == equal
        assert np.isfinite(model.validation_losses_).all()
    assert n_apart == 6


@pytest.mark.parametrize("scoring", [None, "r2", "d2_absolute_error_score"])
@pytest.mark.filterwarnings("error")
def test_one_row_has_no_score_beside_the_mean(scoring):
    X, y = np.ones((5, 1)), np.arange(5.0)
    model = MiniBatchSGDRegressor(scoring=scoring)
    with pytest.raises(ValueError, match="R2 needs at least two rows"):
        model.fit(X, y, X_val=X[:1], y_val=y[:1])
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("scoring", ["roc_auc", "roc_auc_ovr"])
@pytest.mark.parametrize("action", ["error", "always"])
def test_one_class_has_no_curve(action, scoring, label):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    model = MiniBatchSGDClassifier(scoring=scoring)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        with pytest.raises(ValueError, match="some scores need rows of each class"):
            model.fit(X, y, X_val=X[y == label], y_val=y[y == label])
    assert not caught
    assert not hasattr(model, "coef_")


def test_what_a_scorer_warns_of_is_heard():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    model = MiniBatchSGDClassifier(scoring="recall", eta0=0.1, max_iter=3, tol=None)
    with pytest.warns(UndefinedMetricWarning, match="Recall is ill-defined"):
        model.fit(X, y, X_val=X[y == 0], y_val=np.zeros(np.sum(y == 0), dtype=int))


def test_warnings_of_the_process_are_left_alone():
    """To replace them, even for a moment, can lose those of other threads for good."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    seen = []

    def watching(estimator, X, y):
        seen.append((warnings.showwarning, warnings.filters))
        return 1.0

    model = MiniBatchSGDClassifier(
        scoring=watching, early_stopping=True, eta0=0.1, max_iter=2, tol=None
    )
    of_process = warnings.showwarning, warnings.filters
    model.fit(X, y)
    assert len(seen) == 2
    for functions in seen:
        assert all(map(operator.is_, functions, of_process))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_classes_that_no_weights_can_balance_are_refused():
    X, y = np.ones((4, 1)), [0, 1, 0, 1]
    model = MiniBatchSGDClassifier(class_weight="balanced")
    with pytest.raises(ValueError, match="cannot balance"):
        model.fit(X, y, sample_weight=[1e-320, 1.0, 1e-320, 1.0])
    assert not hasattr(model, "coef_")
