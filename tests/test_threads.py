"""Several threads on one model: the model of one thread, and nothing lost.

The model does not depend on `n_jobs`, up to rounding errors: only the sums over the
rows of a batch are grouped differently. Most tests here make threads share small data,
for which the estimators would use one thread.
"""

import _thread
import itertools
import pickle
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from joblib import parallel_config
from scipy.sparse import csr_matrix
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor, _threads
from skmbsgd._data import TrainingData
from skmbsgd._engine.epoch import run_epoch
from skmbsgd._engine.losses import SquaredError
from skmbsgd._engine.penalties import L1
from skmbsgd._engine.targets import RealTargets
from skmbsgd._engine.team import Team
from skmbsgd._state import TrainingState, make_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_FEATURES = 7
# Rounding errors of some hundred updates, relative to weights and losses of about 1
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-4}


@pytest.fixture
def team_sizes(monkeypatch):
    """Let up to 8 threads share any data; list the teams that are formed."""
    sizes = []

    def form_team(n_threads, bytes_of_buffer):
        sizes.append(n_threads)
        return Team(n_threads, bytes_of_buffer)

    monkeypatch.setattr(_threads, "Team", form_team)
    monkeypatch.setattr(_threads, "cpu_count", lambda: 8)
    # As many threads as there are rows, and no fewer
    monkeypatch.setattr(_threads, "LEAST_SHARE_OF_EPOCH", 1e-9)
    monkeypatch.setattr(_threads, "LEAST_SHARE_OF_BATCH", 0)
    monkeypatch.setattr(_threads, "LEAST_ROWS", {"one output": 1e-3, "several": 1e-3})
    return sizes


def problem(kind, n_outputs=1, n_rows=203, dtype=np.float64):
    """X and y; n_outputs is the number of targets, or of classes if above 1."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES)).astype(dtype)
    scores = X @ rng.normal(size=(N_FEATURES, max(2, n_outputs)))
    if kind is MiniBatchSGDClassifier:
        return X, scores.argmax(axis=1)
    y = scores[:, :n_outputs] + rng.normal(size=(n_rows, n_outputs))
    return X, y[:, 0] if n_outputs == 1 else y


def learnt_numbers(estimator):
    """All that an estimator has learnt, in one array."""
    velocities = estimator._resumption["velocity"]
    curves = estimator.loss_curve_, getattr(estimator, "validation_scores_", [])
    numbers = [estimator.coef_, estimator.intercept_, velocities, *curves]
    return np.concatenate([np.ravel(part) for part in numbers])


def assert_one_thread_learns_the_same(estimator, X, y, sample_weight=None):
    n_jobs = estimator.n_jobs
    shared = learnt_numbers(estimator.fit(X, y, sample_weight=sample_weight))
    estimator.set_params(n_jobs=None).fit(X, y, sample_weight=sample_weight)
    alone = learnt_numbers(estimator)
    tolerance = TOLERANCE[X.dtype.type]
    np.testing.assert_allclose(shared, alone, rtol=tolerance, atol=tolerance)
    estimator.set_params(n_jobs=n_jobs)


VARIANTS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True, "learning_rate": "step", "epochs_drop": 2},
    {"penalty": "l1", "alpha": 1e-2},
    {"penalty": "elasticnet", "alpha": 1e-2, "momentum": 0.9, "nesterov": True},
    {"penalty": None, "fit_intercept": False},
    {"shuffle": False},
    {"shuffle": "blocks"},
    {"average": True, "momentum": 0.5},
    {"average": 300, "learning_rate": "invscaling"},
    {"early_stopping": True, "validation_fraction": 0.3},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("kind", [MiniBatchSGDRegressor, MiniBatchSGDClassifier])
def test_threads_learn_what_one_learns(kind, n_outputs, dtype, variant, team_sizes):
    X, y = problem(kind, n_outputs, dtype=dtype)
    settings = {"max_iter": 6, "tol": None, "random_state": 0, "eta0": 0.02, **variant}
    for n_jobs in (2, 3):
        estimator = kind(n_jobs=n_jobs, **settings)
        assert_one_thread_learns_the_same(estimator, X, y)
        assert_one_thread_learns_the_same(estimator, X, y, np.arange(len(X)) % 4)
    assert team_sizes == [2, 2, 3, 3]


@pytest.mark.parametrize("batch_size", [*range(1, 18), 32, 50, 101, 202, 203, "full"])
def test_batches_of_any_size_are_shared(batch_size, team_sizes):
    X, y = problem(MiniBatchSGDRegressor)
    for n_jobs in (2, 3, 5):
        estimator = MiniBatchSGDRegressor(
            batch_size=batch_size, n_jobs=n_jobs, max_iter=3, tol=None, random_state=0
        )
        assert_one_thread_learns_the_same(estimator, X, y)
    # A new team is formed if training restarts.
    assert list(dict.fromkeys(team_sizes)) == [2, 3, 5]


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "modified_huber"])
def test_long_epochs_of_real_size_are_shared(loss, team_sizes):
    # As many buckets, blocks and prefetched rows as in an epoch of real data
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 30))
    y = X @ rng.normal(size=30) > rng.normal(size=len(X))
    estimator = MiniBatchSGDClassifier(
        loss, n_jobs=2, batch_size=256, momentum=0.9, max_iter=2, tol=None,
        random_state=0,
    )  # fmt: skip
    assert_one_thread_learns_the_same(estimator, X, y)
    assert team_sizes == [2]


# Gradients of one packet, of two, and of 1,000 and a part of one
@pytest.mark.parametrize("n_features", [6, 13, 7003])
def test_a_model_of_any_width_is_exchanged_whole(n_features, team_sizes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, n_features))
    estimator = MiniBatchSGDRegressor(
        n_jobs=2, eta0=1e-5, max_iter=2, tol=None, random_state=0
    )
    assert_one_thread_learns_the_same(estimator, X, X[:, 0] + 1.0)
    assert team_sizes == [2]


def test_all_threads_end_with_the_same_bits():
    X, y = problem(MiniBatchSGDRegressor, 2)
    data = TrainingData.of_numbers(X, y, None)
    coef, intercept = np.zeros((2, N_FEATURES)), np.zeros(2)
    state = TrainingState.start(coef, intercept, seed=0, averaged=True)
    penalty = L1(l2=1e-3, l1=1e-3)
    state.continue_under(penalty)
    make = partial(
        make_model,
        penalty=penalty,
        sparse=False,
        momentum=0.9,
        nesterov=True,
        fit_intercept=True,
    )
    rows = _threads.rows_of_threads(data, state, make, 4, in_blocks=False)
    for seed in range(3):
        rows[0].order.shuffle(seed)
        _threads.run_epoch_in_threads(rows, SquaredError(), np.array([0.01]), 32, 0)
    leader, *others = (of_thread.model for of_thread in rows)
    for model in others:
        for name in (
            "coef",
            "velocity",
            "intercept",
            "intercept_velocity",
            "average_coef",
            "average_intercept",
            "positions",
        ):
            ours, theirs = getattr(leader, name), getattr(model, name)
            assert ours is not theirs
            assert ours.any()
            assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("kind", [MiniBatchSGDRegressor, MiniBatchSGDClassifier])
def test_the_same_number_of_threads_gives_the_same_bits(kind, team_sizes):
    X, y = problem(kind, 3)
    make = partial(kind, n_jobs=3, momentum=0.9, max_iter=5, tol=None, random_state=0)
    first = learnt_numbers(make().fit(X, y))
    for _ in range(20):
        assert learnt_numbers(make().fit(X, y)).tobytes() == first.tobytes()
    assert team_sizes == [3] * 21


def test_a_pickled_stream_ends_in_the_same_bits(team_sizes):
    X, y = problem(MiniBatchSGDRegressor)
    chunks = [(X[rows], y[rows]) for rows in np.split(np.arange(200), 8)]
    settings = {"momentum": 0.9, "average": 60, "random_state": 0, "batch_size": 8}
    alone, shared, copied = (
        MiniBatchSGDRegressor(n_jobs=n_jobs, **settings) for n_jobs in (None, 2, 2)
    )
    for chunk in chunks:
        alone.partial_fit(*chunk)
        shared.partial_fit(*chunk)
        copied = pickle.loads(pickle.dumps(copied)).partial_fit(*chunk)
    assert learnt_numbers(copied).tobytes() == learnt_numbers(shared).tobytes()
    np.testing.assert_allclose(
        learnt_numbers(shared), learnt_numbers(alone), rtol=1e-12, atol=1e-12
    )
    assert team_sizes == [2] * 16


# ---------------------------------------------------------------------------
# How many threads there are
# ---------------------------------------------------------------------------


def n_useful_threads(X, n_outputs, batch_size, n_jobs):
    targets = RealTargets(np.zeros((X.shape[0], n_outputs)))
    batch_size = X.shape[0] if batch_size == "full" else batch_size
    data = TrainingData(X, None, targets)
    return min(_threads.n_useful_threads(data, batch_size), n_jobs)


def test_threads_are_as_many_as_find_work():
    X = np.zeros((40_000, 100))
    single = X.astype(np.float32)
    assert n_useful_threads(X, 1, 51, 2) == 1
    assert n_useful_threads(X, 1, 52, 2) == 2  # 3,000 / (100 + 16) rows each
    assert n_useful_threads(X, 1, 52, 1) == 1
    assert n_useful_threads(X, 1, 1024, 100) == 8  # each waits for all others
    assert n_useful_threads(single, 1, 90, 2) == 1
    assert n_useful_threads(single, 1, 91, 2) == 2
    assert n_useful_threads(X, 10, 127, 2) == 1
    assert n_useful_threads(X, 10, 128, 2) == 2
    assert n_useful_threads(X[:, :10], 1, 230, 2) == 1
    assert n_useful_threads(X[:, :10], 1, 231, 2) == 2
    assert n_useful_threads(np.zeros((2000, 1000)), 1, 32, 4) == 2
    assert n_useful_threads(X[:8000], 1, 1024, 2) == 1  # a short epoch
    assert n_useful_threads(X, 1, "full", 100) == 9
    assert n_useful_threads(csr_matrix(X), 1, 1024, 2) == 1


def test_there_are_never_more_threads_than_processors(team_sizes, monkeypatch):
    X, y = problem(MiniBatchSGDRegressor)
    for n_processors in (1, 2, 3):
        monkeypatch.setattr(_threads, "cpu_count", lambda n=n_processors: n)
        MiniBatchSGDRegressor(n_jobs=5, max_iter=1, tol=None).fit(X, y)
    assert team_sizes == [2, 3]


def test_n_jobs_counts_as_in_joblib(team_sizes):
    X, y = problem(MiniBatchSGDRegressor)
    make = partial(MiniBatchSGDRegressor, max_iter=1, tol=None)
    make().fit(X, y)
    make(n_jobs=1).fit(X, y)
    assert team_sizes == []
    with parallel_config("threading", n_jobs=3):
        make().fit(X, y)
        make(n_jobs=2).fit(X, y)
    assert team_sizes == [3, 2]


def test_fits_of_a_parallel_search_have_one_thread_each(team_sizes):
    X, y = problem(MiniBatchSGDRegressor)
    search = GridSearchCV(
        MiniBatchSGDRegressor(max_iter=2, tol=None), {"eta0": [0.01, 0.02]}, cv=2
    )
    with parallel_config("threading", n_jobs=2):
        search.set_params(refit=False).fit(X, y)
    assert team_sizes == []


# ---------------------------------------------------------------------------
# Faults
# ---------------------------------------------------------------------------


@contextmanager
def failing_fit(error):
    """A fitted estimator whose next fit must fail, and change nothing."""
    X, y = problem(MiniBatchSGDRegressor)
    estimator = MiniBatchSGDRegressor(n_jobs=3, max_iter=5, tol=None, random_state=0)
    learnt = learnt_numbers(estimator.fit(X, y))
    n_threads = _thread._count()
    with pytest.raises(type(error), match=f"^{error}$"):
        yield lambda: estimator.fit(X, y)
    assert learnt_numbers(estimator).tobytes() == learnt.tobytes()
    patience = time.monotonic() + 10.0
    while _thread._count() > n_threads:  # fit does not wait for threads that give up
        assert time.monotonic() < patience
        time.sleep(0.001)


@pytest.mark.usefixtures("team_sizes")
@pytest.mark.parametrize("failing_thread", [0, 1, 2])
def test_a_thread_that_fails_ends_the_fit_of_all(failing_thread, monkeypatch):
    error, calls = MemoryError("for the test"), itertools.count()

    def run_or_fail(rows, *arguments):
        if rows.member.thread == failing_thread and next(calls) == 2:
            raise error
        return run_epoch(rows, *arguments)

    with failing_fit(error) as fit:
        monkeypatch.setattr(_threads, "run_epoch", run_or_fail)
        fit()


@pytest.mark.usefixtures("team_sizes")
@pytest.mark.parametrize("n_started", [0, 1])
def test_a_thread_that_cannot_be_started_ends_the_fit(n_started, monkeypatch):
    error, calls = RuntimeError("can't start new thread"), itertools.count()

    def start_or_fail(function, arguments):
        if next(calls) >= n_started:
            raise error
        return _thread.start_new_thread(function, arguments)

    with failing_fit(error) as fit:
        monkeypatch.setattr(_threads, "start_new_thread", start_or_fail)
        fit()


@pytest.fixture
def interrupts():
    """Make interrupts raise, because background processes may ignore them."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("team_sizes", "interrupts")
@pytest.mark.parametrize("n_epochs", [0, 2])
def test_an_interrupt_is_heard_while_the_others_are_waited_for(n_epochs, monkeypatch):
    calls, may_go_on = itertools.count(), threading.Event()
    waited = []

    def run_late(rows, *arguments):
        if rows.member.thread == 1 and next(calls) == n_epochs:
            _thread.interrupt_main()
            waited.append(may_go_on.wait(10.0))
        return run_epoch(rows, *arguments)

    # The late thread continues after its fit has ended.
    with failing_fit(KeyboardInterrupt()) as fit:
        monkeypatch.setattr(_threads, "run_epoch", run_late)
        try:
            fit()
        finally:
            assert waited == []
            may_go_on.set()


def test_divergence_is_told_by_all_threads_together(team_sizes):
    X, y = problem(MiniBatchSGDRegressor)
    estimator = MiniBatchSGDRegressor(n_jobs=2, eta0=1e100, random_state=0)
    with pytest.raises(ValueError, match="Training diverged in epoch 1"):
        estimator.fit(X, y)
    assert not hasattr(estimator, "coef_")
    assert team_sizes == [2]


@pytest.mark.usefixtures("team_sizes")
@parametrize_with_checks(
    [
        MiniBatchSGDRegressor(n_jobs=2, momentum=0.9),
        MiniBatchSGDClassifier(n_jobs=2, momentum=0.9, nesterov=True),
    ]
)
def test_scikit_learn_finds_no_fault_with_threads(estimator, check):
    check(estimator)
