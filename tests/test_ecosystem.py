"""The estimators inside tools of other packages, one test for each tool.

The result of each tool is computed a second time by hand: with loops, means and
separate trainings. If both train on the same rows in the same order, they are compared
bit by bit. Otherwise the tolerance covers only the rounding of sums.
"""

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    StratifiedKFold,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {
    "eta0": 0.05,
    "decay": 0.1,
    "momentum": 0.8,
    "max_iter": 5,
    "tol": None,
    "random_state": 0,
}


def classifier(**settings):
    return MiniBatchSGDClassifier(**SETTINGS | settings)


def regressor(**settings):
    return MiniBatchSGDRegressor(**SETTINGS | settings)


@pytest.mark.parametrize("eta0", [100.0, 1e300])
@pytest.mark.parametrize("sparse", [False, True])
def test_candidates_that_diverge_get_the_error_score_of_a_search(eta0, sparse):
    X = np.random.default_rng(0).normal(size=(90, 4))
    y = X @ [1.0, 2.0, -1.0, 0.5]
    search = GridSearchCV(
        regressor(momentum=0.0, max_iter=1000),
        {"eta0": [0.05, eta0]},
        cv=KFold(3),
        error_score=-7.0,
    )
    with pytest.warns(FitFailedWarning, match=r"3 fits failed[\s\S]*DivergenceError"):
        search.fit(csr_array(X) if sparse else X, y)
    splits = [search.cv_results_[f"split{i}_test_score"] for i in range(3)]
    for good, diverged in splits:
        assert diverged == -7.0
        assert good > 0.0
    assert search.best_params_ == {"eta0": 0.05}


def binary_data():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X)[:300], y[:300]


def multiclass_data():
    X, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return StandardScaler().fit_transform(X)[order], y[order]


def assert_same_bits(model, other):
    assert_array_equal(model.coef_, other.coef_, strict=True)
    assert_array_equal(model.intercept_, other.intercept_, strict=True)
    assert model.t_ == other.t_


def log_loss_of(model, X, y):
    """Return the mean of -log(probability of the true class), for y in 0, 1, ..."""
    return -np.log(model.predict_proba(X)[np.arange(len(y)), y]).mean()


# Pipelines and data frames

DIAMETERS = np.linspace(1.0, 9.0, 60) ** 1.5
KINDS = np.array(["elm", "ash", "oak"])[np.arange(60) % 3]
HEIGHTS = 2.0 * np.sqrt(DIAMETERS) + np.where(KINDS == "oak", 3.0, 0.0)

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


def trees(library):
    return FRAMES[library]({"diameter": DIAMETERS, "kind": KINDS})


def standardised_and_dummies():
    """Return by hand what the transformers make of the trees."""
    number = (DIAMETERS - DIAMETERS.mean()) / DIAMETERS.std()
    return np.column_stack([number, KINDS[:, None] == ["ash", "elm", "oak"]])


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("sparse_threshold", [0.0, 1.0], ids=["dense", "CSR"])
def test_a_column_transformer_feeds_numbers_and_categories(library, sparse_threshold):
    transformer = ColumnTransformer(
        [("number", StandardScaler(), ["diameter"]), ("is", OneHotEncoder(), ["kind"])],
        sparse_threshold=sparse_threshold,
    )
    pipeline = make_pipeline(transformer, regressor()).fit(trees(library), HEIGHTS)
    X = standardised_and_dummies()
    by_hand = regressor().fit(X, HEIGHTS)
    assert_allclose(pipeline[-1].coef_, by_hand.coef_, rtol=1e-12)
    predictions = X @ by_hand.coef_ + by_hand.intercept_
    assert_allclose(pipeline.predict(trees(library)), predictions, rtol=1e-12)


@pytest.mark.parametrize("library", FRAMES)
def test_frames_flow_through_a_pipeline_with_their_names(library):
    transformer = ColumnTransformer(
        [
            ("number", StandardScaler(), ["diameter"]),
            ("is", OneHotEncoder(sparse_output=False), ["kind"]),
        ],
    )
    pipeline = make_pipeline(transformer, regressor()).set_output(transform=library)
    pipeline.fit(trees(library), HEIGHTS)
    names = ["number__diameter", "is__kind_ash", "is__kind_elm", "is__kind_oak"]
    assert_array_equal(pipeline[-1].feature_names_in_, names)
    assert_same_bits(pipeline[-1], regressor().fit(standardised_and_dummies(), HEIGHTS))


# Searches and curves


def test_halving_gives_the_better_half_twice_the_epochs():
    X, y = binary_data()
    folds = KFold(3)
    eta0s = [1e-5, 0.003, 0.03, 0.3]
    search = HalvingGridSearchCV(
        classifier(),
        {"eta0": eta0s},
        resource="max_iter",
        min_resources=2,
        max_resources=8,
        factor=2,
        scoring="neg_log_loss",
        cv=folds,
    ).fit(X, y)

    def score(eta0, max_iter):
        return -np.mean(
            [
                log_loss_of(
                    classifier(eta0=eta0, max_iter=max_iter).fit(X[train], y[train]),
                    X[test],
                    y[test],
                )
                for train, test in folds.split(X)
            ]
        )

    first = {eta0: score(eta0, 2) for eta0 in eta0s}
    half = sorted(eta0s, key=first.get)[2:]
    second = {eta0: score(eta0, 4) for eta0 in half}
    best = max(half, key=second.get)
    assert search.n_resources_ == [2, 4, 8]
    results = search.cv_results_
    for n_epochs, scores in ((2, first), (4, second), (8, {best: score(best, 8)})):
        rows = results["n_resources"] == n_epochs
        eta0s = [settings["eta0"] for settings in np.array(results["params"])[rows]]
        assert sorted(eta0s) == sorted(scores)
        expected = [scores[eta0] for eta0 in eta0s]
        assert_allclose(results["mean_test_score"][rows], expected, rtol=1e-12)
    assert search.best_params_ == {"eta0": best, "max_iter": 8}
    assert_same_bits(
        search.best_estimator_, classifier(eta0=best, max_iter=8).fit(X, y)
    )


def test_cross_validation_is_a_loop_over_folds():
    X, y = multiclass_data()
    folds = StratifiedKFold(4)
    results = cross_validate(
        classifier(),
        X,
        y,
        cv=folds,
        scoring=["accuracy", "neg_log_loss"],
        return_train_score=True,
        return_estimator=True,
    )
    for fold, (train, test) in enumerate(folds.split(X, y)):
        model = classifier().fit(X[train], y[train])
        assert_same_bits(results["estimator"][fold], model)
        for part, rows in (("train", train), ("test", test)):
            hits = (X[rows] @ model.coef_.T + model.intercept_).argmax(axis=1)
            accuracy = results[f"{part}_accuracy"][fold]
            assert_allclose(accuracy, np.mean(hits == y[rows]), rtol=1e-12)
            loss = -results[f"{part}_neg_log_loss"][fold]
            assert_allclose(loss, log_loss_of(model, X[rows], y[rows]), rtol=1e-12)


def test_a_learning_curve_trains_on_more_and_more_rows():
    X, y = multiclass_data()
    folds = KFold(3)
    sizes, train_scores, test_scores = learning_curve(
        classifier(), X, y, train_sizes=[20, 50, 100], cv=folds
    )
    assert_array_equal(sizes, [20, 50, 100])
    for fold, (train, test) in enumerate(folds.split(X)):
        for step, size in enumerate(sizes):
            rows = train[:size]
            model = classifier().fit(X[rows], y[rows])
            hits = [np.mean(model.predict(X[part]) == y[part]) for part in (rows, test)]
            scores = train_scores[step, fold], test_scores[step, fold]
            assert_allclose(scores, hits, rtol=1e-12)


def test_an_incremental_learning_curve_is_a_stream():
    X, y = multiclass_data()
    folds = KFold(3)
    _, _, test_scores = learning_curve(
        classifier(),
        X,
        y,
        train_sizes=[20, 50, 100],
        cv=folds,
        exploit_incremental_learning=True,
    )
    for fold, (train, test) in enumerate(folds.split(X)):
        model = classifier()
        for step, chunk in enumerate(np.split(train[:100], [20, 50])):
            model.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2])
            accuracy = np.mean(model.predict(X[test]) == y[test])
            assert_allclose(test_scores[step, fold], accuracy, rtol=1e-12)


# Selection of features


def test_the_selected_features_have_large_weights():
    X, y = multiclass_data()
    importances = np.abs(classifier().fit(X, y).coef_).sum(axis=0)
    selector = SelectFromModel(classifier(), threshold="1.2*mean").fit(X, y)
    support = importances >= 1.2 * importances.mean()
    assert 2 <= support.sum() <= 8
    assert_array_equal(selector.get_support(), support)
    assert_array_equal(selector.transform(X), X[:, support])


def test_with_an_l1_penalty_the_selected_features_are_those_that_are_left():
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    selector = SelectFromModel(
        regressor(penalty="l1", alpha=10.0, batch_size="full", max_iter=100)
    )
    support = selector.fit(X, y).get_support()
    coef = selector.estimator_.coef_
    assert 2 <= support.sum() <= 8
    assert np.all(coef[~support] == 0.0)
    assert np.all(np.abs(coef[support]) > 0.01)


def test_recursive_elimination_drops_the_smallest_weight_each_time():
    X, y = multiclass_data()
    selector = RFE(classifier(), n_features_to_select=9).fit(X, y)
    left = list(range(X.shape[1]))
    ranking = np.ones(X.shape[1], dtype=int)
    for rank in (5, 4, 3, 2):
        squares = (classifier().fit(X[:, left], y).coef_ ** 2).sum(axis=0)
        ranking[left.pop(squares.argmin())] = rank
    assert_array_equal(selector.ranking_, ranking)
    assert_same_bits(selector.estimator_, classifier().fit(X[:, left], y))


# Ensembles and calibration


def test_bagging_in_threads_is_bagging_in_sequence():
    X, y = multiclass_data()
    # In full batches a row drawn twice is a row of weight 2, and the other way round.
    bagging = BaggingClassifier(
        classifier(batch_size="full"), n_estimators=6, max_features=0.7, random_state=0
    )
    with joblib.parallel_config(backend="threading", n_jobs=3):
        threaded = clone(bagging).set_params(n_jobs=3).fit(X, y)
        probabilities = threaded.predict_proba(X)
    sequential = bagging.fit(X, y)
    mean = np.zeros((len(y), 3))
    for member, twin, rows, columns in zip(
        threaded.estimators_,
        sequential.estimators_,
        threaded.estimators_samples_,
        threaded.estimators_features_,
        strict=True,
    ):
        assert_same_bits(member, twin)
        by_hand = clone(member).fit(X[rows][:, columns], y[rows])
        assert_allclose(member.coef_, by_hand.coef_, rtol=1e-10, atol=1e-12)
        mean += by_hand.predict_proba(X[:, columns]) / 6
    assert_allclose(probabilities, mean, rtol=1e-10)


def voters():
    return [
        ("softmax", classifier()),
        ("huber", classifier(loss="modified_huber", eta0=0.005)),
        ("momentum", classifier(momentum=0.0, batch_size=8)),
    ]


def test_soft_votes_are_means_of_probabilities():
    X, y = multiclass_data()
    weights = [2.0, 1.0, 0.5]
    voting = VotingClassifier(voters(), voting="soft", weights=weights).fit(X, y)
    mean = np.average(
        [model.fit(X, y).predict_proba(X) for _, model in voters()],
        axis=0,
        weights=weights,
    )
    assert_allclose(voting.predict_proba(X), mean, rtol=1e-12)
    assert_array_equal(voting.predict(X), mean.argmax(axis=1))


def test_hard_votes_are_counted():
    X, y = multiclass_data()
    half = len(y) // 2
    members = [
        ("hinge", classifier(loss="hinge", max_iter=1, eta0=0.001)),
        ("perceptron", classifier(loss="perceptron", max_iter=1)),
        ("squares", classifier(loss="squared_error", max_iter=1, eta0=0.001)),
    ]
    voting = VotingClassifier(members).fit(X[:half], y[:half])
    votes = np.zeros((len(y), 3))
    for _, model in members:
        labels = clone(model).fit(X[:half], y[:half]).predict(X)
        votes[np.arange(len(y)), labels] += 1
    assert 0 < np.sum(votes.max(axis=1) == 2)  # they do not always agree
    assert_array_equal(voting.predict(X), votes.argmax(axis=1))


def test_a_stack_learns_from_held_out_probabilities():
    X, y = multiclass_data()
    folds = KFold(3)
    stack = StackingClassifier(
        voters()[:2], final_estimator=classifier(eta0=0.2), cv=folds
    ).fit(X, y)
    held_out, fitted = [], []
    for _, model in voters()[:2]:
        probabilities = np.empty((len(y), 3))
        for train, test in folds.split(X):
            member = clone(model).fit(X[train], y[train])
            probabilities[test] = member.predict_proba(X[test])
        held_out.append(probabilities)
        fitted.append(clone(model).fit(X, y).predict_proba(X))
    final = classifier(eta0=0.2).fit(np.hstack(held_out), y)
    assert_same_bits(stack.final_estimator_, final)
    expected = final.predict_proba(np.hstack(fitted))
    assert_allclose(stack.predict_proba(X), expected, rtol=1e-12)


def test_calibration_maps_decisions_to_frequencies():
    X, y = binary_data()
    folds = KFold(3)
    hinge = classifier(loss="hinge")
    calibrated = CalibratedClassifierCV(hinge, method="isotonic", cv=folds).fit(X, y)
    parts = []
    for train, test in folds.split(X):
        model = clone(hinge).fit(X[train], y[train])
        frequencies = IsotonicRegression(out_of_bounds="clip").fit(
            model.decision_function(X[test]), y[test]
        )
        parts.append(frequencies.predict(X @ model.coef_[0] + model.intercept_))
    positive = np.mean(parts, axis=0)
    expected = np.column_stack([1 - positive, positive])
    assert_allclose(calibrated.predict_proba(X), expected, rtol=1e-12, atol=1e-12)


# Several classes and targets as several models


def test_one_versus_rest_is_a_model_for_each_class():
    X, y = multiclass_data()
    ovr = OneVsRestClassifier(classifier()).fit(X, y)
    positive = []
    for label, member in enumerate(ovr.estimators_):
        by_hand = classifier().fit(X, y == label)
        assert_same_bits(member, by_hand)
        decisions = X @ by_hand.coef_[0] + by_hand.intercept_
        positive.append(1 / (1 + np.exp(-decisions)))
    expected = np.transpose(positive / np.sum(positive, axis=0))
    assert_allclose(ovr.predict_proba(X), expected, rtol=1e-10)


@pytest.mark.parametrize("loss", ["hinge", "modified_huber", "squared_hinge"])
def test_one_versus_all_in_one_pass_is_one_versus_rest_in_many(loss):
    X, y = multiclass_data()
    ovr = OneVsRestClassifier(classifier(loss=loss, eta0=0.005)).fit(X, y)
    together = classifier(loss=loss, eta0=0.005).fit(X, y)
    coef = np.vstack([member.coef_ for member in ovr.estimators_])
    assert_allclose(together.coef_, coef, rtol=1e-10, atol=1e-13)
    assert_array_equal(together.predict(X), ovr.predict(X))


def test_many_regressors_are_one_of_many_targets():
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    Y = np.column_stack([y / 100, X[:, 0] - X[:, 1], np.log(y)])
    model = regressor(average=True)
    many = MultiOutputRegressor(model).fit(X, Y)
    for column, member in enumerate(many.estimators_):
        assert_same_bits(member, clone(model).fit(X, Y[:, column]))
    assert_allclose(many.predict(X), model.fit(X, Y).predict(X), rtol=1e-10, atol=1e-12)


def test_streams_of_many_regressors():
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    Y = np.column_stack([y / 100, np.log(y)])
    many = MultiOutputRegressor(regressor())
    by_hand = [regressor(), regressor()]
    for rows in np.array_split(np.arange(len(y)), 4):
        many.partial_fit(X[rows], Y[rows])
        for column, model in enumerate(by_hand):
            model.partial_fit(X[rows], Y[rows, column])
    for member, model in zip(many.estimators_, by_hand, strict=True):
        assert_same_bits(member, model)


# Metadata


def test_a_pipeline_transforms_validation_data_on_their_way():
    X, y = load_breast_cancer(return_X_y=True)
    X_train, y_train, X_val, y_val = X[:400], y[:400], X[400:], y[400:]
    weights = {
        "sample_weight": np.where(y_train == 0, 3.0, 1.0),
        "sample_weight_val": np.linspace(0.1, 2.0, len(y_val)),
    }
    by_hand = classifier(max_iter=8)
    with config_context(enable_metadata_routing=True):
        model = clone(by_hand).set_fit_request(
            X_val=True, y_val=True, sample_weight=True, sample_weight_val=True
        )
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, model, transform_input=["X_val"])
        pipeline.fit(X_train, y_train, X_val=X_val, y_val=y_val, **weights)
    mean, scale = X_train.mean(axis=0), X_train.std(axis=0)
    by_hand.fit(
        (X_train - mean) / scale,
        y_train,
        X_val=(X_val - mean) / scale,
        y_val=y_val,
        **weights,
    )
    assert_allclose(pipeline[-1].coef_, by_hand.coef_, rtol=1e-10)
    assert_allclose(
        pipeline[-1].validation_scores_, by_hand.validation_scores_, rtol=1e-12
    )
    assert len(set(by_hand.validation_scores_)) > 2


def test_weights_reach_the_voters_who_ask_for_them():
    X, y = multiclass_data()
    weights = np.where(y == 0, 5.0, 0.5)
    with config_context(enable_metadata_routing=True):
        asks = classifier().set_fit_request(sample_weight=True)
        does_not = classifier().set_fit_request(sample_weight=False)
        voting = VotingClassifier([("asks", asks), ("does not", does_not)])
        voting.fit(X, y, sample_weight=weights)
    weighted = classifier().fit(X, y, sample_weight=weights)
    assert_same_bits(voting.estimators_[0], weighted)
    assert_same_bits(voting.estimators_[1], classifier().fit(X, y))
    assert np.abs(weighted.coef_ - voting.estimators_[1].coef_).max() > 0.01
