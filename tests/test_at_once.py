"""Estimators that threads share: models change all at once, and one call trains them.

What a reader sees is compared with copies made before and after the call. The moments
are not random: a reader looks at each of them, or a function that the call needs is the
reader.
"""

import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.utils.validation
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone

import skmbsgd._base
from skmbsgd import (
    DivergenceError,
    MiniBatchSGDClassifier,
    MiniBatchSGDRegressor,
    TrainingCurveDisplay,
)
from skmbsgd._at_once import IN_TRAINING
from skmbsgd._base import BaseMiniBatchSGD

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = {"regressor": MiniBatchSGDRegressor, "classifier": MiniBatchSGDClassifier}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_method = pytest.mark.parametrize("method", ["fit", "partial_fit"])

X = np.random.default_rng(0).normal(size=(30, 3))
Y = {"regressor": X @ [1.0, -2.0, 3.0], "classifier": np.arange(30) % 3}
# Nothing of the first model fits the second: another width, names, other outputs.
X_NEXT = np.random.default_rng(1).normal(size=(30, 4))
Y_NEXT = {"regressor": X_NEXT[:, :2], "classifier": np.arange(30) % 5 + 10}
OURS = os.path.dirname(skmbsgd.__file__)
WATCHED = (OURS, sklearn.utils.validation.__file__)


def trained(kind, **settings):
    """Return an estimator in mid-stream."""
    usual = {"eta0": 0.01, "learning_rate": "constant", "momentum": 0.5}
    usual |= {"max_iter": 3, "tol": None, "random_state": 0}
    estimator = KINDS[kind](**usual | settings)
    return train(train(estimator, kind, "fit"), kind, "partial_fit")


def train(estimator, kind, method, **changes):
    return getattr(estimator, method)(**{"X": X, "y": Y[kind], **changes})


def seen(estimator):
    """Return all learnt attributes, as they would be stored now, and predictions."""
    learnt = copy.copy(estimator).__getstate__()
    learnt = {name: learnt[name] for name in sorted(learnt) if name.endswith("_")}
    width = estimator.n_features_in_
    return repr(learnt), estimator.predict(np.ones((2, width))).tobytes()


def what_a_reader_sees(estimator, call):
    """Return what a reader sees at each call and each return of a function.

    These are the moments at which CPython lets other threads run.
    """
    views = []

    def profile(frame, event, argument):
        if frame.f_code.co_filename.startswith(WATCHED):
            views.append(seen(estimator))

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return views


# ---------------------------------------------------------------------------
# Readers
# ---------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("change", ["partial_fit", "fit", "other data", "validation"])
def test_readers_see_the_model_before_or_after_a_call(kind, change):
    estimator = trained(kind)
    before = seen(estimator)
    calls = {
        "partial_fit": lambda: train(estimator, kind, "partial_fit"),
        "fit": lambda: train(estimator, kind, "fit"),
        "other data": lambda: estimator.fit(X_NEXT, Y_NEXT[kind]),
        "validation": lambda: estimator.fit(
            X_NEXT, Y_NEXT[kind], X_val=X_NEXT, y_val=Y_NEXT[kind]
        ),
    }
    views = what_a_reader_sees(estimator, calls[change])
    after = seen(estimator)
    assert before != after
    assert len(views) > 100
    assert set(views) <= {before, after}
    assert views == sorted(views, key=lambda view: view == after)


@each_kind
@each_method
def test_readers_of_a_call_that_fails_see_the_model_all_the_time(kind, method):
    estimator = trained(kind)
    before = seen(estimator)

    def fail():
        with pytest.raises(DivergenceError):
            train(estimator, kind, method, X=1e200 * X)

    views = what_a_reader_sees(estimator.set_params(eta0=1e200), fail)
    assert len(views) > 100
    assert set(views) == {before}


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_a_prediction_uses_one_model_whatever_happens_meanwhile(method, monkeypatch):
    estimator = trained("classifier")
    expected = getattr(estimator, method)(X)
    multiply = skmbsgd._base.safe_sparse_dot

    def multiply_and_train(*args, **kwargs):
        estimator.fit(X_NEXT, Y_NEXT["classifier"])
        return multiply(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(skmbsgd._base, "safe_sparse_dot", multiply_and_train)
        assert_array_equal(getattr(estimator, method)(X), expected)
    assert getattr(estimator, method)(X_NEXT).max() != expected.max()


def test_a_regression_uses_one_model_whatever_happens_meanwhile(monkeypatch):
    estimator = trained("regressor")
    expected = estimator.predict(X)
    multiply = skmbsgd._base.safe_sparse_dot

    def multiply_and_train(*args, **kwargs):
        estimator.partial_fit(X, Y["regressor"] + 100.0)
        return multiply(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(skmbsgd._base, "safe_sparse_dot", multiply_and_train)
        assert_array_equal(estimator.predict(X), expected)
    assert np.abs(estimator.predict(X) - expected).min() > 0.0


@each_kind
@pytest.mark.parametrize("before", [np.asarray, csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("after", [np.asarray, csr_array], ids=["dense", "CSR"])
def test_weights_are_read_of_one_model_whatever_happens_meanwhile(kind, before, after):
    """In the middle of reading coef_, between any two lines, another call ends."""
    known = {"classes": [0, 1, 2]} if kind == "classifier" else {}
    estimator = KINDS[kind](eta0=0.01, random_state=0)
    estimator.partial_fit(before(X), Y[kind], **known)
    getter = BaseMiniBatchSGD.coef_.fget.__code__
    n_lines = 0
    while True:
        reader = pickle.loads(pickle.dumps(estimator))
        expected = reader.coef_.copy()
        lines_left = n_lines

        def at_line(frame, event, argument, reader=reader):
            nonlocal lines_left
            if event == "line":
                lines_left -= 1
                if lines_left == 0:
                    sys.settrace(None)
                    train(reader, kind, "partial_fit", X=after(X))
            return at_line

        sys.settrace(
            lambda frame, event, argument: at_line if frame.f_code is getter else None
        )
        try:
            coef = reader.coef_
        finally:
            sys.settrace(None)
        assert lines_left != 0 or reader.n_iter_ == 2
        assert any(map(np.array_equal, [coef] * 2, [expected, reader.coef_]))
        if lines_left > 0:  # That was after the last line.
            break
        n_lines += 1
    assert n_lines >= 3


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, "pickle", "picture"])
def test_a_copy_is_of_one_moment_whatever_happens_meanwhile(copier):
    if copier == "pickle":

        def copier(estimator):
            return pickle.loads(pickle.dumps(estimator))

    if copier == "picture":
        pytest.importorskip("matplotlib")
        copier = TrainingCurveDisplay.from_estimator

    class Curve(list):
        is_new = True

        def __iter__(self):  # as the curve is copied
            if Curve.is_new:
                Curve.is_new = False
                train(estimator, "regressor", "partial_fit")
            return super().__iter__()

    estimator = trained("regressor")
    estimator.learning_rate_curve_ = Curve(estimator.learning_rate_curve_)
    learnt = vars(copier(estimator))
    curves = [value for name, value in learnt.items() if "_curve" in name]
    assert not Curve.is_new
    assert {len(curve) for curve in curves} == {learnt.get("n_iter_", 5)}


# ---------------------------------------------------------------------------
# One call at a time
# ---------------------------------------------------------------------------


def in_another_thread(function):
    """Call a function in another thread; return what it returned or raised."""
    outcome = []

    def run():
        try:
            outcome.append(function())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


def in_this_thread(function):
    try:
        return function()
    except Exception as error:
        return error


SECOND_CALLS = {
    "fit": lambda estimator, kind: train(estimator, kind, "fit"),
    "partial_fit": lambda estimator, kind: train(estimator, kind, "partial_fit"),
    "fit_chunks": lambda estimator, kind: estimator.fit_chunks([(X, Y[kind])]),
    "resume": lambda estimator, kind: estimator.fit_chunks([], resume=True),
    "sparsify": lambda estimator, kind: estimator.sparsify(),
    "densify": lambda estimator, kind: estimator.densify(),
}


@each_kind
@each_method
@pytest.mark.parametrize("second", SECOND_CALLS)
@pytest.mark.parametrize("run", [in_this_thread, in_another_thread])
def test_a_second_call_in_training_is_refused(kind, method, second, run):
    holder = SimpleNamespace(outcomes=[])

    def rate(epoch):
        if holder.outcomes == []:
            outcome = run(lambda: SECOND_CALLS[second](holder.estimator, kind))
            holder.outcomes.append(outcome)
        return 0.01

    estimator = holder.estimator = trained(kind).set_params(learning_rate=rate)
    undisturbed = copy.deepcopy(estimator).set_params(learning_rate=lambda epoch: 0.01)
    train(estimator, kind, method)
    (error,) = holder.outcomes
    assert isinstance(error, RuntimeError)
    assert "already being trained" in str(error) and "clone" in str(error)
    assert seen(estimator) == seen(train(undisturbed, kind, method))
    assert not IN_TRAINING
    # The next calls reach the callbacks again.
    train(train(estimator, kind, "partial_fit"), kind, "fit")


@each_kind
@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, clone, "pickle"])
def test_a_copy_made_in_training_may_train(kind, copier):
    if copier == "pickle":

        def copier(estimator):
            estimator.learning_rate = "constant"
            return pickle.loads(pickle.dumps(estimator))

    holder = SimpleNamespace(scores=[])

    def rate(epoch):
        other = copier(holder.estimator).set_params(learning_rate="constant")
        holder.scores.append(train(other, kind, "fit").score(X, Y[kind]))
        return 0.01

    holder.estimator = trained(kind).set_params(learning_rate=rate)
    train(holder.estimator, kind, "fit")
    expected = train(clone(trained(kind)), kind, "fit").score(X, Y[kind])
    assert holder.scores == [expected] * 3


@each_kind
def test_a_callback_cannot_train_the_estimator_that_it_is_called_with(kind):
    pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")

    class Trainer:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            train(estimator, kind, "fit")

        def teardown(self, estimator, context):
            pass

    estimator = trained(kind)
    before = seen(estimator)
    with pytest.raises(RuntimeError, match="already being trained"):
        train(estimator.set_callbacks(Trainer()), kind, "fit")
    assert seen(estimator) == before
    assert not IN_TRAINING


def test_parameters_set_during_a_call_stay():
    holder = SimpleNamespace()

    def rate(epoch):
        holder.estimator.set_params(eta0=0.5, learning_rate="constant")
        return 0.01

    holder.estimator = trained("regressor").set_params(learning_rate=rate)
    undisturbed = copy.deepcopy(holder.estimator)
    undisturbed.set_params(learning_rate=lambda epoch: 0.01)
    train(holder.estimator, "regressor", "fit")
    assert (holder.estimator.eta0, holder.estimator.learning_rate) == (0.5, "constant")
    assert seen(holder.estimator) == seen(train(undisturbed, "regressor", "fit"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_fork_in_the_middle_of_training_may_train():
    code = """
        import os
        import numpy as np
        from skmbsgd import MiniBatchSGDRegressor

        def rate(epoch):
            if epoch == 0 and os.fork() == 0:
                estimator.set_params(learning_rate="constant").fit(X, X[:, 0])
                os._exit(7)
            return 0.01

        X = np.random.default_rng(0).normal(size=(30, 3))
        estimator = MiniBatchSGDRegressor(learning_rate=rate, max_iter=2, tol=None)
        estimator.fit(X, X[:, 0])
        print(os.waitstatus_to_exitcode(os.wait()[1]))
        """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.stdout == "7\n", process.stderr


# ---------------------------------------------------------------------------
# Interrupts
# ---------------------------------------------------------------------------


class Interrupt(BaseException):
    """An error that only the test catches."""


def interrupt_after(n_calls):
    """Raise an error after `n_calls` functions have returned to this package.

    Returns a function that ends this, and that returns whether the error was raised.
    """
    n_left = n_calls

    def profile(frame, event, argument):
        nonlocal n_left
        caller = frame if event == "c_return" else frame.f_back
        if event not in ("c_return", "return") or caller is None:
            return
        if caller.f_code.co_filename.startswith(OURS):
            n_left -= 1
            if n_left == 0:
                sys.setprofile(None)
                raise Interrupt

    def end():
        sys.setprofile(None)
        return n_left <= 0

    sys.setprofile(profile)
    return end


# An error that is raised while a generator is closed reaches nobody.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@each_kind
@each_method
def test_an_interrupt_after_whichever_call_leaves_the_model_and_no_mark(kind, method):
    # CPython checks for signals when a function has returned.
    estimator = trained(kind, random_state=np.random.RandomState(0), max_iter=1)
    n_calls, was_raised = 0, True
    while was_raised:
        before = seen(estimator)
        draws = str(estimator.random_state.get_state())
        n_calls += 1
        end = interrupt_after(n_calls)
        try:
            train(estimator, kind, method)
            was_raised = end()
        except Interrupt:
            end()
            assert seen(estimator) == before
            assert str(estimator.random_state.get_state()) == draws
        assert not IN_TRAINING
    assert n_calls > 100
