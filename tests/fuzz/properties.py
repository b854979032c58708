"""Properties that must hold for any case. Each draws the other data that it needs."""

import pickle
from contextlib import contextmanager
from copy import deepcopy
from itertools import pairwise

import numpy as np
from cases import (
    SMOOTH_LOSSES,
    as_csr,
    choose,
    damaged,
    damaged_settings,
)

from skmbsgd import MiniBatchSGDClassifier, _threads
from skmbsgd._at_once import IN_TRAINING

HIGHEST_TAME_RATE = 1.0
TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
# A result may differ so many times more than other last digits of the data move it.
LEEWAY = 10.0


def bits_of(estimator):
    """All attributes of an estimator, as bytes."""
    return pickle.dumps(vars(estimator))


def attempt(estimator, method, arguments):
    """Call a method that trains, check what must hold after it; return its error."""
    before = bits_of(estimator)
    attributes = dict(vars(estimator))
    try:
        getattr(estimator, method)(**arguments)
    except (ValueError, TypeError) as error:
        assert vars(estimator).keys() == attributes.keys(), "attributes differ"
        for name, value in attributes.items():
            assert vars(estimator)[name] is value, f"{name} differs after an error"
        assert bits_of(estimator) == before, "the model differs after an error"
        assert str(error), "an error without a message"
        return error
    finally:
        assert not IN_TRAINING, "a mark is left"
    for name in ("coef_", "intercept_", "loss_curve_", "learning_rate_curve_"):
        assert np.isfinite(getattr(estimator, name)).all(), f"{name} is not finite"
    return None


def learnt(estimator):
    """What was learnt, as arrays."""
    return {
        name: np.asarray(getattr(estimator, name))
        for name in ("coef_", "intercept_", "loss_curve_", "learning_rate_curve_", "t_")
    }


def assert_same_bits(estimator, other):
    for name, value in learnt(estimator).items():
        assert value.tobytes() == learnt(other)[name].tobytes(), f"{name}: other bits"


def assert_near(case, estimator, other):
    """Compare, where rounding errors cannot grow."""
    curve = np.array(estimator.loss_curve_)
    sizes = [np.abs(case.X).max()]
    if case.y.dtype.kind == "f":
        sizes.append(np.abs(case.y).max())
    is_tame = (
        case.settings["loss"] in SMOOTH_LOSSES
        and max(estimator.learning_rate_curve_) <= HIGHEST_TAME_RATE
        and curve.max() <= 2 * curve[0]
        and 1e-4 <= min(sizes) <= max(sizes) <= 1e4
    )
    same_way = estimator.learning_rate_curve_ == other.learning_rate_curve_
    if not (is_tame and same_way):
        return
    tolerance = TOLERANCE[estimator.coef_.dtype.name]
    differences = differences_of(estimator, other)
    if max(differences.values()) > tolerance:
        moved = moved_by_rounding(case, estimator)
        for name, difference in differences.items():
            allowed = max(tolerance, LEEWAY * moved[name])
            assert difference <= allowed, f"{name} differs by {difference:.3g}"


def differences_of(estimator, other):
    """By name, how far two results differ, in units of the largest number or of 1."""
    differences, others = {}, learnt(other)
    for name, value in learnt(estimator).items():
        differences[name] = np.inf
        if value.shape == others[name].shape:
            scale = max(1.0, np.abs(value).max())
            differences[name] = np.abs(value - others[name]).max() / scale
    return differences


def moved_by_rounding(case, estimator):
    """How far other last digits of the data move the result of `fit`."""
    rng = np.random.default_rng(0)
    one_digit = np.finfo(estimator.coef_.dtype).eps
    differences = []
    for _ in range(3):
        arguments = case.arguments()
        weight = arguments.get("sample_weight", np.ones(len(case.X)))
        digits = 1.0 + one_digit * rng.normal(size=len(case.X))
        arguments["sample_weight"] = weight * digits
        arguments["X"] = case.X * (1.0 + 2.0 * one_digit)
        differences.append(differences_of(estimator, case.make().fit(**arguments)))
    return {name: max(d[name] for d in differences) for name in differences[0]}


@contextmanager
def teams_of_any_size():
    """Let threads share work that the estimators would give to one thread."""
    names = ("LEAST_SHARE_OF_EPOCH", "LEAST_SHARE_OF_BATCH", "LEAST_ROWS", "cpu_count")
    usual = {name: getattr(_threads, name) for name in names}
    try:
        _threads.LEAST_SHARE_OF_EPOCH = 1e-9
        _threads.LEAST_SHARE_OF_BATCH = 0
        _threads.LEAST_ROWS = {"one output": 1e-3, "several": 1e-3}
        _threads.cpu_count = lambda: 4
        yield
    finally:
        vars(_threads).update(usual)


# ---------------------------------------------------------------------------
# The properties
# ---------------------------------------------------------------------------


def csr_learns_what_dense_learns(rng, case):
    dense, sparse = case.make(), case.make()
    matrix = as_csr(rng, case.X)
    given = pickle.dumps((case.X, matrix.data, matrix.indices, matrix.indptr))
    errors = [
        attempt(dense, "fit", case.arguments()),
        attempt(sparse, "fit", case.arguments(matrix)),
    ]
    assert pickle.dumps((case.X, matrix.data, matrix.indices, matrix.indptr)) == given
    if errors == [None, None]:
        # Blocks are of so many bytes, in either layout other rows.
        if case.settings.get("shuffle") != "blocks":
            assert_near(case, dense, sparse)
        check_predictions(case, dense, matrix)


def check_predictions(case, estimator, matrix):
    """Compare predictions of both layouts, and the names of the classes."""
    predictions = estimator.predict(case.X)
    estimator.predict(matrix)
    assert len(predictions) == len(case.X)
    if case.kind is MiniBatchSGDClassifier:
        assert set(predictions) <= set(estimator.classes_)
        if hasattr(estimator, "predict_proba"):
            probabilities = estimator.predict_proba(case.X)
            decisions = estimator.decision_function(case.X)
            if np.isfinite(decisions).all():
                assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-4)


def threads_learn_what_one_learns(rng, case):
    n_jobs = int(rng.integers(2, 4))
    # Threads that wait for each other on a busy machine take most of the time.
    case.settings["max_iter"] = min(case.settings["max_iter"], 2)
    with teams_of_any_size():
        alone, shared, again = (case.make(n_jobs=n) for n in (1, n_jobs, n_jobs))
        errors = [
            attempt(each, "fit", case.arguments()) for each in (alone, shared, again)
        ]
    assert (errors[1] is None) == (errors[2] is None), "the second fit ends otherwise"
    if errors[1] is None:
        assert_same_bits(shared, again)
    if errors == [None] * 3:
        assert_near(case, alone, shared)


def a_stored_stream_goes_on_in_the_same_bits(rng, case):
    X = as_csr(rng, case.X) if rng.random() < 0.5 else case.X
    case.settings.update(early_stopping=False)
    case.settings.pop("class_weight", None)
    stream, stored, read = case.make(), case.make(), []
    bounds = np.sort(rng.integers(case.X.shape[0] + 1, size=4))
    for start, stop in pairwise(bounds):
        arguments = case.chunk_arguments(slice(start, stop), X)
        error = attempt(stream, "partial_fit", arguments)
        stored = pickle.loads(pickle.dumps(stored))
        stored_error = attempt(stored, "partial_fit", arguments)
        assert (error is None) == (stored_error is None), "one of the streams fails"
        if error is None:
            assert_same_bits(stream, stored)
            read.append((stream.coef_, stream.coef_.copy()))
    for weights, before in read:
        assert np.array_equal(weights, before), "weights that were read have changed"


def damages_are_refused_and_leave_no_trace(rng, case):
    if rng.random() < 0.1:
        # The number of threads can be invalid too, but must not become large.
        attempt(case.make(**damaged_settings(rng)), "fit", case.arguments())
        return
    X = as_csr(rng, case.X) if rng.random() < 0.7 else case.X
    case.settings.update(early_stopping=False)
    case.settings.pop("class_weight", None)
    method = choose(rng, ["fit", "partial_fit"])
    estimator = case.make()
    if attempt(estimator, "partial_fit", case.chunk_arguments(X=X)) is not None:
        return
    undisturbed = deepcopy(estimator)
    arguments = case.arguments(X)
    if method == "fit" and rng.random() < 0.3:
        arguments |= {"X_val": X, "y_val": case.y}
    if method == "fit" and rng.random() < 0.2:
        arguments |= {
            "coef_init": estimator.coef_,
            "intercept_init": estimator.intercept_,
        }
    bad, name = damaged(rng, arguments)
    if name == "X":
        predict_on(estimator, bad["X"])
    if attempt(estimator, method, bad) is None:
        return
    for each in (estimator, undisturbed):
        attempt(each, "partial_fit", case.chunk_arguments(X=X))
    assert_same_bits(estimator, undisturbed)


def predict_on(estimator, X):
    """Predict on data that can be damaged: get numbers, or an error with a message."""
    try:
        estimator.predict(X)
    except (ValueError, TypeError) as error:
        assert str(error), "an error without a message"


PROPERTIES = [
    csr_learns_what_dense_learns,
    threads_learn_what_one_learns,
    a_stored_stream_goes_on_in_the_same_bits,
    damages_are_refused_and_leave_no_trace,
    damages_are_refused_and_leave_no_trace,
]
