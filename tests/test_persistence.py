"""Models stored and loaded again: the same predictions, and the same next update.

Pickle, copies and clones are tested in test_promises.py. The libraries here have their
own formats.
"""

import pickle

import cloudpickle
import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import issparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

skops_io = pytest.importorskip("skops.io")

SETTINGS = {
    "eta0": 0.05,
    "decay": 0.1,
    "momentum": 0.8,
    "max_iter": 5,
    "tol": None,
    "random_state": 0,
}
CLASSIFIER = "skmbsgd._classifier.MiniBatchSGDClassifier"
REGRESSOR = "skmbsgd._regressor.MiniBatchSGDRegressor"

X = np.random.default_rng(0).normal(size=(90, 4))
Y = X @ np.random.default_rng(1).normal(size=(4, 3)) + 0.5
LABELS = np.array(["a", "b", "c"])[Y.argmax(axis=1)]
WEIGHTS = np.linspace(0.5, 1.5, len(X))


def classifier(**settings):
    return MiniBatchSGDClassifier(**SETTINGS | settings)


def regressor(**settings):
    return MiniBatchSGDRegressor(**SETTINGS | settings)


MODELS = {
    "fitted classifier": lambda: classifier().fit(X, LABELS),
    "fitted regressor": lambda: regressor().fit(X, Y[:, 0]),
    "several targets": lambda: regressor(average=True).fit(X, Y),
    "single precision": lambda: regressor(average=30).fit(X.astype("f"), Y),
    "labels of numbers": lambda: classifier(loss="hinge").fit(X, Y.argmax(axis=1)),
    "labels as objects": lambda: classifier().fit(X, LABELS.astype(object)),
    "weights of classes": lambda: classifier(class_weight={"a": 2.0}).fit(X, LABELS),
    "validation": lambda: classifier().fit(X, LABELS, X_val=X[::2], y_val=LABELS[::2]),
    "adaptive rate": lambda: regressor(
        learning_rate="adaptive", tol=0.1, max_iter=200
    ).fit(X, Y),
    "list of drops": lambda: regressor(learning_rate="step", epochs_drop=[1, 3]).fit(
        X, Y
    ),
    "stream of labels": lambda: classifier(average=True, nesterov=True).partial_fit(
        X, LABELS, classes=["a", "b", "c", "d"], sample_weight=WEIGHTS
    ),
    "stream of numbers": lambda: regressor(penalty="l1").partial_fit(X, Y[:, 0]),
    "stream with zeros": lambda: regressor(penalty="l1", alpha=0.5).partial_fit(X, Y),
    "zeros in single precision": lambda: regressor(
        penalty="elasticnet", alpha=1.0, l1_ratio=0.6, average=True
    ).partial_fit(X.astype("f"), Y),
    "random generator": lambda: classifier(
        random_state=np.random.RandomState(0)
    ).partial_fit(X, LABELS, classes=["a", "b", "c"]),
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def assert_same(value, expected):
    """Compare what an attribute may hold, with all types."""
    assert type(value) is type(expected)
    if isinstance(expected, dict):
        assert list(value) == list(expected)
        for key in expected:
            assert_same(value[key], expected[key])
    elif isinstance(expected, np.random.RandomState):
        assert_same(value.get_state(legacy=False), expected.get_state(legacy=False))
    elif isinstance(expected, np.ndarray):
        assert_array_equal(value, expected, strict=True)
    else:
        assert value == expected


def step_on(model):
    """Train for one more epoch, on the same chunk for all models."""
    if model.__class__ is MiniBatchSGDRegressor:
        return model.partial_fit(X, Y if model.coef_.ndim == 2 else Y[:, 0])
    y = Y.argmax(axis=1) if model.classes_.dtype.kind == "i" else LABELS
    return model.partial_fit(X, y)


@each_model
def test_skops_needs_trust_in_the_estimator_alone(model):
    data = skops_io.dumps(model())
    expected = REGRESSOR if isinstance(model(), MiniBatchSGDRegressor) else CLASSIFIER
    assert skops_io.get_untrusted_types(data=data) == [expected]
    refused = skops_io.exceptions.UntrustedTypesFoundException
    with pytest.raises(refused, match=expected):
        skops_io.loads(data)


@each_model
def test_skops_keeps_everything_and_the_stream_goes_on(model):
    model = model()
    loaded = skops_io.loads(skops_io.dumps(model), trusted=[CLASSIFIER, REGRESSOR])
    assert_same(vars(loaded), vars(model))
    assert_same(vars(step_on(loaded)), vars(step_on(model)))


WAYS = {
    "skops": lambda model: skops_io.loads(
        skops_io.dumps(model), trusted=[CLASSIFIER, REGRESSOR]
    ),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "cloudpickle": lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_unused_l1_penalty_is_stored(way, dtype):
    # A hundred targets of 0 keep a weight at 0 against the ten of 1 that follow, for
    # Z is 10 * eta then, and u is 110 * eta * alpha. A new model would have 0.2.
    ones = np.ones((100, 1), dtype)
    model = regressor(
        penalty="l1",
        alpha=0.5,
        learning_rate="constant",
        momentum=0.0,
        fit_intercept=False,
        batch_size=1,
    ).partial_fit(ones, np.zeros(100))
    model = WAYS[way](model).partial_fit(ones[:10], np.ones(10))
    assert model.coef_.dtype == dtype
    assert model.coef_[0] == 0.0


def test_skops_stores_a_pipeline(tmp_path):
    pipeline = make_pipeline(StandardScaler(), classifier()).fit(X, LABELS)
    skops_io.dump(pipeline, tmp_path / "model.skops")
    assert skops_io.get_untrusted_types(file=tmp_path / "model.skops") == [CLASSIFIER]
    loaded = skops_io.load(tmp_path / "model.skops", trusted=[CLASSIFIER])
    assert_same(loaded.predict_proba(X), pipeline.predict_proba(X))


def test_skops_stores_sparse_coefficients_if_scipy_is_trusted():
    model = classifier(penalty="l1", alpha=0.1).fit(X, LABELS)
    predictions = model.predict(X)
    data = skops_io.dumps(model.sparsify())
    trusted = skops_io.get_untrusted_types(data=data)
    assert set(trusted) <= {CLASSIFIER, "scipy.sparse._csr.csr_matrix"}
    loaded = skops_io.loads(data, trusted=trusted)
    assert issparse(loaded.coef_)
    assert_array_equal(loaded.predict(X), predictions)


@pytest.mark.parametrize("average", [False, True])
def test_joblib_maps_weights_from_a_file_which_streams_leave_alone(tmp_path, average):
    file = tmp_path / "model.joblib"
    model = classifier(average=average).partial_fit(X, LABELS, classes=["a", "b", "c"])
    joblib.dump(model, file)
    mapped = joblib.load(file, mmap_mode="r")
    assert isinstance(mapped.coef_, np.memmap) and not mapped.coef_.flags.writeable
    assert_same(mapped.predict_proba(X), model.predict_proba(X))
    stored = file.read_bytes()
    for one in (mapped, model):
        step_on(one)
    assert_array_equal(mapped.coef_, model.coef_)
    assert_array_equal(mapped.intercept_, model.intercept_)
    assert mapped.t_ == model.t_ > 0
    assert file.read_bytes() == stored


def test_cloudpickle_takes_a_schedule_of_ones_own_along():
    fall = 0.5
    model = regressor(learning_rate=lambda epoch: 0.1 * fall**epoch).partial_fit(X, Y)
    copy = cloudpickle.loads(cloudpickle.dumps(model))
    for one in (model, copy):
        one.partial_fit(X, Y).partial_fit(X, Y)
    assert_same(copy.coef_, model.coef_)
    assert copy.learning_rate_curve_ == [0.1, 0.05, 0.025]
