"""Models exported to ONNX compute what they compute here, in ONNX Runtime."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import CLASSIFIER_LOSSES
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

onnxruntime = pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")
import skmbsgd.onnx  # noqa: E402, F401

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {
    "eta0": 0.02,
    "momentum": 0.8,
    "max_iter": 20,
    "tol": None,
    "random_state": 0,
}

X = np.random.default_rng(0).normal(size=(200, 5)) * [1.0, 2.0, 0.5, 1.0, 3.0]
Y = X @ np.random.default_rng(1).normal(size=(5, 4)) + 0.5
CLASSES = Y.argmax(axis=1)
LABELS = {
    "2 numbers": np.array([-7, 5])[CLASSES % 2],
    "2 strings": np.array(["no", "yes"])[CLASSES % 2],
    "booleans": CLASSES % 2 == 1,
    "4 numbers": np.array([2, 3, 5, 2**40])[CLASSES],
    "4 strings": np.array(["north", "east", "south", "west"])[CLASSES],
    "4 objects": np.array(["north", "east", "south", "wörld"], dtype=object)[CLASSES],
    "whole floats": CLASSES.astype(float),
}
# Relative where the decisions of float32 are large, absolute for probabilities.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_labels = pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)


def classifier(**settings):
    return MiniBatchSGDClassifier(**SETTINGS | settings)


def regressor(**settings):
    return MiniBatchSGDRegressor(**SETTINGS | settings)


def run(model, X, options=None):
    """Return the outputs of the exported model in ONNX Runtime."""
    exported = skl2onnx.to_onnx(model, X[:1], options=options)
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: X})


def run_classifier(model, X, **options):
    """Return labels and probabilities; these as an array, not as dicts."""
    return run(model, X, {id(model): {"zipmap": False, **options}})


def two_columns(decisions):
    """Return the decisions as ONNX shows them, for two classes as well."""
    if decisions.ndim == 2:
        return decisions
    return np.column_stack([-decisions, decisions])


@each_dtype
@each_labels
@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
def test_labels_and_probabilities_are_the_same(loss, y, dtype):
    X_dtype = X.astype(dtype)
    model = classifier(loss=loss).fit(X_dtype, y)
    labels, probabilities = run_classifier(model, X_dtype)
    assert_array_equal(labels, model.predict(X_dtype))
    assert probabilities.dtype == dtype
    assert_allclose(probabilities, model.predict_proba(X_dtype), **TOLERANCE)
    assert probabilities.std(axis=0).min() > 0.05


@each_dtype
@pytest.mark.parametrize("labels", ["2 strings", "4 numbers"])
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_scores_are_decisions(loss, labels, dtype):
    X_dtype = X.astype(dtype)
    model = classifier(loss=loss, eta0=0.002).fit(X_dtype, LABELS[labels])
    exported_labels, scores = run_classifier(model, X_dtype, raw_scores=True)
    assert_array_equal(exported_labels, model.predict(X_dtype))
    expected = two_columns(model.decision_function(X_dtype))
    assert_allclose(scores, expected, **TOLERANCE)
    if not hasattr(model, "predict_proba"):
        assert_array_equal(run_classifier(model, X_dtype)[1], scores)


@pytest.mark.parametrize("labels", ["2 numbers", "4 numbers"])
@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
def test_labels_follow_the_decisions_where_probabilities_cannot(loss, labels):
    y = LABELS[labels]
    model = classifier(loss=loss).fit(X, y)
    model.coef_ *= 1000.0
    model.intercept_ *= 1000.0
    exported_labels, probabilities = run_classifier(model, X)
    largest = np.sort(probabilities, axis=1)[:, -2:]
    if loss == "modified_huber" and labels == "4 numbers":
        assert np.sum(largest[:, 0] == largest[:, 1]) > 10  # they tie
    assert_array_equal(exported_labels, model.predict(X))
    assert_allclose(probabilities, model.predict_proba(X), **TOLERANCE)


def test_a_row_that_no_class_claims_belongs_to_each_equally():
    model = classifier(loss="modified_huber").fit(X, CLASSES)
    model.intercept_ -= 1000.0
    labels, probabilities = run_classifier(model, X)
    assert_array_equal(model.predict_proba(X), np.full((200, 4), 0.25))
    assert_array_equal(probabilities, np.full((200, 4), 0.25))
    assert_array_equal(labels, (X @ model.coef_.T + model.intercept_).argmax(axis=1))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_labels_beyond_int64_are_refused_and_the_largest_within_are_not(n_classes):
    names = np.arange(2**63 - 4, 2**63, dtype=np.uint64)
    y = names[CLASSES % n_classes]
    model = classifier().fit(X, y)
    labels, _ = run_classifier(model, X)
    assert labels.tolist() == model.predict(X).tolist()  # exact, in Python's numbers
    model = classifier().fit(X, y + np.uint64(4))
    with pytest.raises(ValueError, match=r"(?s)int64 cannot hold.*y\.astype\(str\)"):
        run_classifier(model, X)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes_", [0, 1, 2, 3]),
        ("classes_", None),
        ("classes_", np.arange(3)),
        ("coef_", None),
        ("coef_", np.zeros((4, 2))),
        ("intercept_", None),
        ("intercept_", np.zeros(3)),
    ],
)
def test_attributes_overwritten_by_nonsense_are_named(name, value):
    model = classifier().fit(X, CLASSES)
    setattr(model, name, value)
    with pytest.raises(ValueError, match=name):
        run_classifier(model, X)


def test_a_decision_of_zero_is_the_first_class():
    model = classifier().fit(X, LABELS["2 strings"])
    model.coef_ *= 0.0
    model.intercept_ *= 0.0
    labels, probabilities = run_classifier(model, X)
    assert set(labels) == set(model.predict(X)) == {"no"}
    assert_array_equal(probabilities, np.full((200, 2), 0.5))


@each_dtype
@pytest.mark.parametrize("targets", [Y[:, 0], Y[:, :1], Y], ids=["flat", "1", "4"])
@pytest.mark.parametrize("loss", ["squared_error", "huber", "epsilon_insensitive"])
def test_predictions_are_the_same(loss, targets, dtype):
    X_dtype = X.astype(dtype)
    model = regressor(loss=loss).fit(X_dtype, targets)
    (predictions,) = run(model, X_dtype)
    assert predictions.dtype == dtype
    expected = model.predict(X_dtype).reshape(200, -1)
    assert predictions.shape == expected.shape
    assert_allclose(predictions, expected, **TOLERANCE)


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_whole_numbers_and_booleans_are_read(dtype):
    X_dtype = np.round(X).astype(dtype)
    (predictions,) = run(regressor().fit(X, Y), X_dtype)
    expected = regressor().fit(X, Y).predict(X_dtype.astype(float))
    assert_allclose(predictions, expected, **TOLERANCE)
    model = classifier().fit(X, CLASSES)
    labels, probabilities = run_classifier(model, X_dtype)
    assert_array_equal(labels, model.predict(X_dtype.astype(float)))
    expected = model.predict_proba(X_dtype.astype(float))
    assert_allclose(probabilities, expected, **TOLERANCE)


def test_sparse_coefficients_are_exported_dense():
    model = classifier(penalty="l1", alpha=0.1).fit(X, CLASSES)
    labels, probabilities = run_classifier(model, X)
    sparse_labels, sparse_probabilities = run_classifier(model.sparsify(), X)
    assert_array_equal(sparse_labels, labels)
    assert_array_equal(sparse_probabilities, probabilities)
    model = regressor().fit(X, Y[:, 0])
    assert_array_equal(run(model, X), run(model.sparsify(), X))


def test_probabilities_come_with_their_labels_by_default():
    X_single = X.astype("float32")
    model = classifier().fit(X_single, LABELS["4 strings"])
    _, probabilities = run(model, X_single)
    expected = model.predict_proba(X_single)
    assert list(probabilities[0]) == list(model.classes_)
    values = [list(row.values()) for row in probabilities]
    assert_allclose(values, expected, **TOLERANCE)


def test_classes_can_be_numbered():
    model = classifier().fit(X, LABELS["4 strings"])
    labels, _ = run_classifier(model, X, nocl=True)
    assert_array_equal(model.classes_[labels], model.predict(X))


MACHINERY = {
    "pipeline": make_pipeline(StandardScaler(), classifier(loss="modified_huber")),
    "grid search": GridSearchCV(
        make_pipeline(StandardScaler(), classifier()),
        {"minibatchsgdclassifier__eta0": [0.001, 0.1]},
        cv=3,
    ),
    "calibration": CalibratedClassifierCV(classifier(loss="hinge"), cv=3),
    "one-vs-rest": OneVsRestClassifier(classifier()),
    "bagging": BaggingClassifier(classifier(), n_estimators=3, random_state=0),
    "stacking": StackingClassifier([("one", classifier())], classifier(), cv=3),
}


@each_dtype
@pytest.mark.parametrize("machinery", MACHINERY.values(), ids=MACHINERY)
def test_models_are_exported_as_parts_of_others(machinery, dtype):
    X_dtype = X.astype(dtype)
    machinery.fit(X_dtype, CLASSES)
    labels, probabilities = run_classifier(machinery, X_dtype)
    assert_array_equal(labels, machinery.predict(X_dtype))
    assert_allclose(probabilities, machinery.predict_proba(X_dtype), **TOLERANCE)


@each_dtype
def test_regressors_are_exported_as_parts_of_others(dtype):
    X_dtype = X.astype(dtype)
    for machinery in (
        make_pipeline(StandardScaler(), regressor()),
        MultiOutputRegressor(regressor()),
    ):
        machinery.fit(X_dtype, Y)
        (predictions,) = run(machinery, X_dtype)
        assert_allclose(predictions, machinery.predict(X_dtype), **TOLERANCE)
