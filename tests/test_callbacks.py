"""scikit-learn's callbacks: what they get, and that they do not affect training.

The state after epoch k must equal that of a separate fit with `max_iter=k` bit for bit.
"""

import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor
from skmbsgd._trainer import Guard

pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")
from sklearn.callback import ProgressBar, ScoringMonitor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS, N_EPOCHS = 90, 6
KINDS = {"regressor": MiniBatchSGDRegressor, "classifier": MiniBatchSGDClassifier}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_layout = pytest.mark.parametrize("layout", [np.array, csr_array])

SETTINGS = {
    "plain": {},
    "momentum": {"momentum": 0.9, "penalty": "l1", "alpha": 0.01},
    "zeros": {"penalty": "l1", "alpha": 0.1, "momentum": 0.5, "nesterov": True},
    "averaged": {"average": True, "momentum": 0.5, "nesterov": True},
    "averaged later": {"average": 200},
    "adaptive": {"learning_rate": "adaptive", "tol": 0.2, "n_iter_no_change": 1},
}
each_setting = pytest.mark.parametrize("setting", SETTINGS)


def data_of(kind, layout=np.array):
    """Return X and y with noise: three targets, or four classes with names."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 5)) * (rng.random((N_ROWS, 5)) < 0.7)
    targets = X @ rng.normal(size=(5, 3)) + rng.normal(size=(N_ROWS, 3))
    if kind == "regressor":
        return layout(X), targets
    classes = (targets[:, 0] > 0) + 2 * (targets[:, 1] > 0)
    return layout(X), np.array(["north", "east", "south", "west"])[classes]


def make(kind, **settings):
    defaults = {"eta0": 0.05, "tol": None, "max_iter": N_EPOCHS, "random_state": 3}
    return KINDS[kind](**{**defaults, "batch_size": 8, **settings})


def score_of(kind, y, predictions, sample_weight=None):
    score = r2_score if kind == "regressor" else accuracy_score
    return score(y, predictions, sample_weight=sample_weight)


def assert_same_bits(model, other, X, y):
    """Compare what was learnt, directly and after one more update."""
    for name in ("coef_", "intercept_", "loss_curve_", "learning_rate_curve_"):
        assert_array_equal(getattr(model, name), getattr(other, name))
    assert (model.n_iter_, model.t_) == (other.n_iter_, other.t_)
    assert_array_equal(model.predict(X), other.predict(X))
    model = clone_of_fitted(model).set_params(early_stopping=False).partial_fit(X, y)
    other = clone_of_fitted(other).set_params(early_stopping=False).partial_fit(X, y)
    assert_array_equal(model.coef_, other.coef_)
    assert_array_equal(model.intercept_, other.intercept_)


def clone_of_fitted(model):
    copied = clone(model).set_callbacks()
    learnt = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    vars(copied).update(learnt, loss_curve_=[], learning_rate_curve_=[])
    for name in ("_resumption", "_one_dimensional"):
        if hasattr(model, name):
            setattr(copied, name, getattr(model, name))
    return copied


class Recorder:
    """Record the arguments of the hooks."""

    def __init__(self):
        self.calls = []

    def setup(self, estimator, context):
        self.note("setup", context)

    def on_fit_task_begin(
        self, estimator, context, *, X, y, metadata, fitted_estimator
    ):
        self.note("begin", context, X, y, metadata, fitted_estimator)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.note("end", context, X, y, metadata, fitted_estimator)

    def teardown(self, estimator, context):
        self.note("teardown", context)

    def note(self, hook, context, *arguments):
        self.calls.append((hook, context, *arguments))

    def of_epochs(self, hook):
        """The arguments of one hook, epoch by epoch."""
        return [
            arguments
            for called, context, *arguments in self.calls
            if called == hook and context.task_name == "epoch"
        ]

    def models(self, hook):
        return [model for *_, model in self.of_epochs(hook)]


class Stop:
    """Stop after `n_epochs` epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id + 1 == self.n_epochs

    def teardown(self, estimator, context):
        pass


# ---------------------------------------------------------------------------
# What callbacks get
# ---------------------------------------------------------------------------


@each_kind
def test_a_fit_is_a_task_with_an_epoch_as_each_subtask(kind):
    recorder = Recorder()
    X, y = data_of(kind)
    make(kind, max_iter=3).set_callbacks(recorder).fit(X, y)
    epochs = [(hook, "epoch", i) for i in range(3) for hook in ("begin", "end")]
    fit = [(hook, "fit", 0) for hook in ("setup", "begin", "end", "teardown")]
    assert [
        (hook, context.task_name, context.task_id)
        for hook, context, *_ in recorder.calls
    ] == [*fit[:2], *epochs, *fit[2:]]
    for _, context, *_ in recorder.calls:
        assert context.max_subtasks == (3 if context.task_name == "fit" else 0)
        assert context.estimator_name == KINDS[kind].__name__


@each_kind
@each_layout
def test_hooks_get_the_data_of_the_fit(kind, layout):
    X, y = data_of(kind, layout)
    weights = np.linspace(1.0, 2.0, N_ROWS)
    recorder = Recorder()
    model = make(kind).set_callbacks(recorder)
    model.fit(X, y, sample_weight=weights)
    seen = [arguments[:3] for _, _, *arguments in recorder.calls if arguments]
    assert len(seen) == 2 + 2 * N_EPOCHS
    for seen_X, seen_y, metadata in seen:
        if layout is np.array:
            assert seen_X is X
        else:
            assert_array_equal(seen_X.toarray(), X.toarray())
        assert_array_equal(seen_y, y)
        assert metadata.keys() == {"sample_weight"}
        assert_array_equal(metadata["sample_weight"], weights)
    recorder.calls.clear()
    model.fit(X, y)
    assert all(metadata is None for _, _, metadata, _ in recorder.of_epochs("end"))


@each_kind
@each_layout
@each_setting
def test_the_model_of_each_epoch_has_the_bits_of_a_fit_that_ends_there(
    kind, layout, setting
):
    # All models are kept until the end: training must not write into any of them.
    X, y = data_of(kind, layout)
    recorder = Recorder()
    make(kind, **SETTINGS[setting]).set_callbacks(recorder).fit(X, y)
    before, after = recorder.models("begin"), recorder.models("end")
    assert len(before) == len(after) == N_EPOCHS
    for n_epochs in range(1, N_EPOCHS + 1):
        shorter = make(kind, **{**SETTINGS[setting], "max_iter": n_epochs}).fit(X, y)
        assert_same_bits(after[n_epochs - 1], shorter, X, y)
        if n_epochs < N_EPOCHS:
            assert_same_bits(before[n_epochs], shorter, X, y)


@each_kind
@each_layout
@pytest.mark.parametrize("setting", ["momentum", "zeros", "averaged"])
def test_the_model_of_an_epoch_goes_on_by_partial_fit_as_the_fit_did(
    kind, layout, setting
):
    X, y = data_of(kind, layout)
    recorder = Recorder()
    settings = SETTINGS[setting]
    model = make(kind, **settings).set_callbacks(recorder).fit(X, y)
    if setting == "zeros":
        share = np.mean(model.coef_ == 0.0)
        assert 0.0 < share < 1.0
    for n_epochs, epoch in enumerate(recorder.models("end"), start=1):
        for _ in range(N_EPOCHS - n_epochs):
            epoch.partial_fit(X, y)
        assert_allclose(epoch.coef_, model.coef_, rtol=1e-9, atol=1e-12)
        assert_allclose(epoch.intercept_, model.intercept_, rtol=1e-9, atol=1e-12)


@each_kind
@each_layout
@pytest.mark.parametrize("n_columns_before", [2, 5])
def test_the_model_of_an_epoch_has_nothing_of_a_stream_before(
    kind, layout, n_columns_before
):
    X, y = data_of(kind, layout)
    models = []
    for streamed in (False, True):
        model, recorder = make(kind), Recorder()
        if streamed:
            known = {} if kind == "regressor" else {"classes": np.unique(y)}
            model.partial_fit(csr_array(X)[:, :n_columns_before], y, **known)
        model.set_callbacks(recorder).fit(X, y)
        models.append(recorder.models("end"))
    assert len(models[1]) == N_EPOCHS
    for expected, epoch in zip(*models, strict=True):
        assert_array_equal(epoch.predict(X), expected.predict(X))
        copied = pickle.loads(pickle.dumps(epoch))
        for model in (expected, epoch, copied):
            model.partial_fit(X, y)
        assert_array_equal(epoch.coef_, expected.coef_)
        assert_array_equal(copied.coef_, expected.coef_)
        sparse = epoch.sparsify().predict(X), expected.sparsify().predict(X)
        assert_array_equal(*sparse)


@each_kind
def test_before_the_first_epoch_the_model_is_the_initial_one(kind):
    X, y = data_of(kind)
    n_outputs = 3 if kind == "regressor" else 4
    coef, intercept = np.ones((n_outputs, 5)), np.arange(n_outputs)
    recorder = Recorder()
    model = make(kind).set_callbacks(recorder)
    model.fit(X, y, coef_init=coef, intercept_init=intercept)
    first = recorder.models("begin")[0]
    assert_array_equal(first.coef_, coef)
    assert_array_equal(first.intercept_, intercept)
    assert (first.n_iter_, first.t_, first.loss_curve_) == (0, 0, [])
    assert len(first.predict(X)) == N_ROWS


@each_kind
@each_layout
@pytest.mark.parametrize("setting", ["plain", "averaged"])
def test_with_validation_data_the_model_of_an_epoch_has_its_current_weights(
    kind, layout, setting
):
    X, y = data_of(kind, layout)
    # The validation targets are reversed: the more is learnt, the worse the score.
    X_val, y_val = -X[60:], y[60:]
    X, y = X[:60], y[:60]
    recorder = Recorder()
    settings = SETTINGS[setting]
    model = make(kind, **settings, scoring=None).set_callbacks(recorder)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    scores = model.validation_scores_
    assert np.argmax(scores) < N_EPOCHS - 1
    for n_epochs, epoch in enumerate(recorder.models("end"), start=1):
        shorter = make(kind, **{**settings, "max_iter": n_epochs}).fit(X, y)
        assert_same_bits(epoch, shorter, X, y)
        assert epoch.validation_scores_ == scores[:n_epochs]
        # Scores sum in different orders: a few units in the last place
        assert epoch.score(X_val, y_val) == pytest.approx(scores[n_epochs - 1], 1e-12)


@each_kind
@each_layout
def test_with_early_stopping_hooks_get_the_rows_of_training_alone(kind, layout):
    X, y = data_of(kind, layout)
    weights = np.arange(1.0, N_ROWS + 1)
    recorder = Recorder()
    model = make(kind, early_stopping=True, validation_fraction=0.3, scoring=None)
    model.set_callbacks(recorder).fit(X, y, sample_weight=weights)
    for seen_X, seen_y, metadata, epoch in recorder.of_epochs("end"):
        rows = metadata["sample_weight"].astype(int) - 1  # each row has its own weight
        held_out = np.setdiff1d(np.arange(N_ROWS), rows)
        assert len(held_out) == 27
        assert_array_equal(csr_array(seen_X).toarray(), csr_array(X[rows]).toarray())
        assert_array_equal(seen_y, y[rows])
        score = score_of(
            kind, y[held_out], epoch.predict(X[held_out]), weights[held_out]
        )
        assert score == pytest.approx(epoch.validation_scores_[-1], rel=1e-12)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_frame_keeps_its_names(frame, early_stopping):
    X, y = data_of("classifier")
    X = frame({f"column {j}": X[:, j] for j in range(X.shape[1])})
    recorder, monitor = Recorder(), ScoringMonitor(scoring="accuracy")
    model = make("classifier", early_stopping=early_stopping)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "X does not have valid feature names"
        model.set_callbacks(recorder, monitor).fit(X, y)
    for seen_X, *_ in recorder.of_epochs("end"):
        assert type(seen_X) is frame
        assert list(seen_X.columns) == list(X.columns)
        assert len(seen_X) == (N_ROWS - 9 if early_stopping else N_ROWS)


@each_kind
def test_partial_fit_calls_no_callback(kind):
    X, y = data_of(kind)
    recorder = Recorder()
    model = make(kind).set_callbacks(recorder)
    classes = {} if kind == "regressor" else {"classes": np.unique(y)}
    model.partial_fit(X, y, **classes).partial_fit(X, y)
    assert recorder.calls == []


class Checkpoint(Recorder):
    """Store the model after each epoch, and hold a file open, as for a log."""

    def __init__(self, folder, store):
        super().__init__()
        self.folder, self.store = folder, store
        self.log = open(folder / "log", "w")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "epoch":
            name = f"{context.task_id}.pickle"
            (self.folder / name).write_bytes(self.store(fitted_estimator))

    def teardown(self, estimator, context):
        self.log.close()


@each_kind
@pytest.mark.parametrize("in_search", [False, True])
def test_a_callback_may_store_the_model_of_each_epoch(kind, in_search, tmp_path):
    X, y = data_of(kind)
    model = make(kind).set_callbacks(Checkpoint(tmp_path, pickle.dumps))
    # ProgressBar has a thread, and is passed on by the search.
    search = make_pipeline(StandardScaler(), model)
    if in_search:
        pytest.importorskip("rich")
        search.set_callbacks(ProgressBar())
    fitted = search.fit(X, y) if in_search else model.fit(X, y)
    scaled = StandardScaler().fit_transform(X) if in_search else X
    assert fitted is (search if in_search else model)
    for n_epochs in range(1, N_EPOCHS + 1):
        stored = pickle.loads((tmp_path / f"{n_epochs - 1}.pickle").read_bytes())
        shorter = make(kind, max_iter=n_epochs).fit(scaled, y)
        assert_same_bits(stored, shorter, scaled, y)
        assert not [name for name in vars(stored) if "callback" in name]


@each_kind
def test_the_callbacks_of_an_estimator_are_pickled_with_it(kind):
    X, y = data_of(kind)
    model = make(kind).set_callbacks(Stop(2)).fit(X, y)
    assert pickle.loads(pickle.dumps(model)).fit(X, y).n_iter_ == 2


# ---------------------------------------------------------------------------
# Training is the same as without callbacks
# ---------------------------------------------------------------------------


class Meddler(Recorder):
    """Train each model that it gets, and write into the attributes of the model."""

    def note(self, hook, context, *arguments):
        if arguments and (model := arguments[-1]) is not None:
            X, y = arguments[:2]
            if context.task_name == "epoch":
                model.set_params(early_stopping=False).partial_fit(X, y)
                model.coef_[:] = np.nan
                model.loss_curve_.append(np.nan)


@each_kind
@each_layout
@each_setting
@pytest.mark.parametrize("early_stopping", [False, True])
def test_callbacks_do_not_disturb_training(kind, layout, setting, early_stopping):
    X, y = data_of(kind, layout)
    model = make(kind, **SETTINGS[setting], early_stopping=early_stopping)
    undisturbed = clone(model).fit(X, y)
    model.set_callbacks(Meddler()).fit(X, y)
    assert_same_bits(model, undisturbed, X, y)
    assert model.__dict__.keys() - undisturbed.__dict__.keys() == {"_skl_callbacks"}


# ---------------------------------------------------------------------------
# A callback stops training
# ---------------------------------------------------------------------------


@each_kind
@each_layout
@each_setting
def test_a_stop_leaves_a_finished_estimator_and_no_warning(kind, layout, setting):
    X, y = data_of(kind, layout)
    # The tolerance is never met, so a run to max_iter would warn.
    settings = {"tol": 1e-300, **SETTINGS[setting]}
    model = make(kind, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_callbacks(Stop(4)).fit(X, y)
    assert model.n_iter_ == 4
    shorter = make(kind, **{**settings, "max_iter": 4}).fit(X, y)
    assert_same_bits(model, shorter, X, y)
    assert model.__dict__.keys() - shorter.__dict__.keys() == {"_skl_callbacks"}


@each_kind
@pytest.mark.parametrize("n_epochs", [1, N_EPOCHS])
def test_a_stop_at_the_first_and_at_the_last_epoch(kind, n_epochs):
    X, y = data_of(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make(kind, tol=1e-300).set_callbacks(Stop(n_epochs)).fit(X, y)
    assert model.n_iter_ == n_epochs


@each_kind
def test_a_stop_with_validation_data_keeps_the_best_epoch_so_far(kind):
    X, y = data_of(kind)
    data = {"X": X[:60], "y": y[:60], "X_val": X[60:], "y_val": y[60:]}
    settings = {"eta0": 0.5, "momentum": 0.0, "random_state": 0}
    stopped = make(kind, **settings).set_callbacks(Stop(4)).fit(**data)
    shorter = make(kind, **settings, max_iter=4).fit(**data)
    assert np.argmax(shorter.validation_scores_) < 3
    assert stopped.validation_scores_ == shorter.validation_scores_
    assert stopped.best_validation_score_ == shorter.best_validation_score_
    assert_same_bits(stopped, shorter, X, y)


@each_kind
def test_callbacks_hear_of_all_epochs_of_training_that_begins_anew(kind, monkeypatch):
    accepts, objectives = Guard.accepts, []

    def refuse_the_third_epoch(guard, objective, *arguments):
        objectives.append(objective)
        return len(objectives) != 3 and accepts(guard, objective, *arguments)

    monkeypatch.setattr(Guard, "accepts", refuse_the_third_epoch)
    stop = Stop(3 + N_EPOCHS)
    model = make(kind, eta0="auto").set_callbacks(stop, ProgressBar())
    model.fit(*data_of(kind))
    assert len(objectives) == 3 + N_EPOCHS
    assert model.loss_curve_ == objectives[3:]


def test_a_run_that_is_not_stopped_warns_all_the_same():
    X, y = data_of("regressor")
    model = make("regressor", tol=1e-300).set_callbacks(Stop(N_EPOCHS + 1))
    with pytest.warns(ConvergenceWarning, match="max_iter=6") as caught:
        model.fit(X, y)
    assert caught[0].filename == __file__


def test_a_stop_in_a_pipeline_ends_the_last_step_alone():
    X, y = data_of("classifier")
    model = make("classifier").set_callbacks(Stop(2))
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    shorter = make("classifier", max_iter=2).fit(StandardScaler().fit_transform(X), y)
    assert_array_equal(pipeline[-1].coef_, shorter.coef_)


# ---------------------------------------------------------------------------
# A callback fails
# ---------------------------------------------------------------------------


class Failing(Recorder):
    """Raise an error at the given call, counted from 0."""

    def __init__(self, at, error):
        super().__init__()
        self.at, self.error = at, error

    def note(self, hook, context, *arguments):
        super().note(hook, context)
        if len(self.calls) == self.at + 1:
            raise self.error


N_CALLS = 4 + 2 * 3  # setup, begin, end and teardown, and begin and end of each epoch


@each_kind
@pytest.mark.parametrize("stage", ["unfitted", "fitted"])
@pytest.mark.parametrize("at", range(N_CALLS))
@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt("mine")])
def test_a_failure_leaves_the_estimator_as_it_was(kind, stage, at, error):
    X, y = data_of(kind)
    model = make(kind, max_iter=3, random_state=np.random.RandomState(0))
    if stage == "fitted":
        model.fit(X, y)
    undisturbed = clone(model).set_params(random_state=np.random.RandomState(0))
    if stage == "fitted":
        undisturbed.fit(X, y)
    failing = Failing(at, error)
    model.set_callbacks(failing)
    attributes = dict(vars(model))
    histories = [list(value) for value in attributes.values() if type(value) is list]
    with pytest.raises(type(error), match="mine"):
        model.fit(X, y)
    assert len(failing.calls) == min(at + 2, N_CALLS)
    assert failing.calls[-1][0] == "teardown"
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[name] is value for name, value in attributes.items())
    assert histories == [v for v in vars(model).values() if type(v) is list]
    assert_same_bits(model.set_callbacks().fit(X, y), undisturbed.fit(X, y), X, y)


def lasting_threads():
    """The threads that would prevent Python from exiting."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


@pytest.mark.parametrize("at", range(N_CALLS))
def test_a_failure_ends_the_progress_bar(at):
    pytest.importorskip("rich")
    X, y = data_of("regressor")
    model = make("regressor", max_iter=3)
    model.set_callbacks(ProgressBar(), Failing(at, KeyboardInterrupt("mine")))
    threads = lasting_threads()
    with pytest.raises(KeyboardInterrupt, match="mine"):
        model.fit(X, y)
    assert lasting_threads() == threads


def test_a_failure_in_training_tears_the_callbacks_down():
    X, y = data_of("regressor")
    recorder = Recorder()
    model = make("regressor", eta0=1e200).set_callbacks(recorder)
    with pytest.raises(ValueError, match="diverged"):
        model.fit(X, y)
    assert recorder.calls[-1][0] == "teardown"
    assert not hasattr(model, "coef_")


# ---------------------------------------------------------------------------
# scikit-learn's own callbacks
# ---------------------------------------------------------------------------


def scores_of_refits(kind, X, y, n_epochs, X_scored=None, y_scored=None, **settings):
    """The scores of fits with max_iter=1, 2, ..."""
    X_scored, y_scored = (X, y) if X_scored is None else (X_scored, y_scored)
    models = (make(kind, **settings, max_iter=k + 1) for k in range(n_epochs))
    return [
        score_of(kind, y_scored, model.fit(X, y).predict(X_scored)) for model in models
    ]


def scores_by_run(monitor, name):
    """The scores of the epochs, by the path to the task of their fit."""
    runs = {}
    for row in monitor.get_logs().data:
        if row["task_name"] == "epoch":
            runs.setdefault(row["parent_task_id_path"], []).append(row[name])
    return runs


SCORING = {"regressor": "r2", "classifier": "accuracy"}


@each_kind
@each_layout
@each_setting
def test_scoring_monitor_records_the_scores_of_refits(kind, layout, setting):
    X, y = data_of(kind, layout)
    monitor = ScoringMonitor(scoring=SCORING[kind])
    model = make(kind, **SETTINGS[setting]).set_callbacks(monitor).fit(X, y)
    expected = scores_of_refits(kind, X, y, N_EPOCHS, **SETTINGS[setting])
    assert scores_by_run(monitor, SCORING[kind]) == {(0,): expected}
    whole = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
    assert [row[SCORING[kind]] for row in whole] == [model.score(X, y)]


@each_kind
def test_scoring_monitor_weighs_the_rows(kind):
    X, y = data_of(kind)
    weights = np.random.default_rng(1).integers(0, 4, N_ROWS)
    monitor = ScoringMonitor(scoring=SCORING[kind])
    make(kind).set_callbacks(monitor).fit(X, y, sample_weight=weights)
    shorter = (
        make(kind, max_iter=k + 1).fit(X, y, sample_weight=weights)
        for k in range(N_EPOCHS)
    )
    expected = [score_of(kind, y, model.predict(X), weights) for model in shorter]
    assert scores_by_run(monitor, SCORING[kind]) == {(0,): expected}


@each_kind
@each_layout
def test_scoring_monitor_in_a_pipeline(kind, layout):
    X, y = data_of(kind, layout)
    monitor = ScoringMonitor(scoring=SCORING[kind])
    scaler = StandardScaler(with_mean=False)
    pipeline = make_pipeline(scaler, make(kind).set_callbacks(monitor)).fit(X, y)
    scaled = clone(scaler).fit_transform(X)
    expected = scores_of_refits(kind, scaled, y, N_EPOCHS)
    assert scores_by_run(monitor, SCORING[kind]) == {(0, 1): expected}
    assert expected[-1] == pipeline.score(X, y)


@each_kind
@each_layout
@pytest.mark.parametrize("average", [False, True])
def test_scoring_monitor_in_a_grid_search_over_two_processes(kind, layout, average):
    X, y = data_of(kind, layout)
    monitor = ScoringMonitor(scoring=SCORING[kind])
    scaler = StandardScaler(with_mean=False)
    model = make(kind, average=average).set_callbacks(monitor)
    rates, splits = [0.01, 0.1], list(KFold(2).split(X))
    search = GridSearchCV(
        make_pipeline(scaler, model),
        {f"{KINDS[kind].__name__.lower()}__eta0": rates},
        cv=splits,
        n_jobs=2,
    ).fit(X, y)
    best_rate = next(iter(search.best_params_.values()))
    parts = [(rate, train) for rate in rates for train, _ in splits]
    paths = [(0, 0, number, 1) for number in range(4)]
    runs = dict(zip(paths, parts, strict=True))
    runs[0, 1, 1] = best_rate, np.arange(N_ROWS)  # the last fit, of all rows
    recorded = scores_by_run(monitor, SCORING[kind])
    assert recorded.keys() == runs.keys()
    for path, (rate, rows) in runs.items():
        scaled = clone(scaler).fit_transform(X[rows])
        settings = {"average": average, "eta0": rate}
        assert recorded[path] == scores_of_refits(
            kind, scaled, y[rows], N_EPOCHS, **settings
        )


@each_kind
@each_layout
def test_scoring_monitor_with_early_stopping(kind, layout):
    X, y = data_of(kind, layout)
    recorder, monitor = Recorder(), ScoringMonitor(scoring=SCORING[kind])
    model = make(kind, early_stopping=True, average=True)
    model.set_callbacks(recorder, monitor).fit(X, y)
    # The same rows in the same order from the same seed, which the split draws first
    rows_X, rows_y, _, _ = recorder.of_epochs("end")[0]
    (recorded,) = scores_by_run(monitor, SCORING[kind]).values()
    expected = [
        score_of(kind, rows_y, epoch.predict(rows_X))
        for epoch in recorder.models("end")
    ]
    assert recorded == expected
    # On the last epoch's weights, of a run that ends with the best epoch's
    best = int(np.argmax(model.validation_scores_))
    assert_array_equal(recorder.models("end")[best].coef_, model.coef_)


def bars(output):
    """The bars drawn, by their titles with indents."""
    lines = [line for line in output.splitlines() if " - " in line]
    assert all("100%" in line for line in lines)
    return [line.split("━")[0].rstrip() for line in lines]


@pytest.fixture
def wide_terminal(monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "200")  # for whole titles


@each_kind
@each_layout
@pytest.mark.parametrize("settings", [{}, {"early_stopping": True, "average": True}])
def test_progress_bar_alone(kind, layout, settings, capsys, wide_terminal):
    X, y = data_of(kind, layout)
    make(kind, **settings).set_callbacks(ProgressBar()).fit(X, y)
    assert bars(capsys.readouterr().out) == [f"{KINDS[kind].__name__} - fit"]


@each_kind
@each_layout
def test_progress_bar_in_a_pipeline(kind, layout, capsys, wide_terminal):
    X, y = data_of(kind, layout)
    pipeline = make_pipeline(StandardScaler(with_mean=False), make(kind))
    pipeline.set_callbacks(ProgressBar()).fit(X, y)
    assert bars(capsys.readouterr().out) == [
        "Pipeline - fit",
        "  Pipeline - fit-transform-standardscaler | StandardScaler - fit #0",
        f"  Pipeline - fit-final-estimator | {KINDS[kind].__name__} - fit #1",
    ]


@each_kind
@each_layout
def test_progress_bar_in_a_grid_search_over_two_processes(
    kind, layout, capsys, wide_terminal
):
    X, y = data_of(kind, layout)
    name = KINDS[kind].__name__
    search = GridSearchCV(make(kind), {"eta0": [0.01, 0.1]}, cv=KFold(2), n_jobs=2)
    search.set_callbacks(ProgressBar()).fit(X, y)
    first, second, *candidates, last = bars(capsys.readouterr().out)
    assert first == "GridSearchCV - fit"
    assert second == "  GridSearchCV - search #0"
    title = f"    GridSearchCV - candidate-split-evaluation | {name} - fit"
    assert sorted(candidates) == [f"{title} #{number}" for number in range(4)]
    assert last == f"  GridSearchCV - refit-with-best-params | {name} - fit #1"
