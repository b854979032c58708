"""Training on a Dask cluster, with real workers in their own processes."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from inspect import signature
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.model_selection import GridSearchCV

pytest.importorskip("dask.dataframe")
pytest.importorskip("distributed")

import dask
import dask.array as da
import dask.dataframe as dd
import pandas as pd
import reference
from dask import delayed
from dask.distributed import Client, LocalCluster

import skmbsgd._base
import skmbsgd._shards
import skmbsgd.dask
from skmbsgd import DivergenceError, MiniBatchSGDClassifier, MiniBatchSGDRegressor
from skmbsgd._automatic import initial_rate
from skmbsgd.dask import DaskMiniBatchSGDClassifier, DaskMiniBatchSGDRegressor

# Rounds of tests are short, and shards small.
pytestmark = [
    pytest.mark.filterwarnings("ignore:A round of training took"),
    pytest.mark.filterwarnings("ignore:Port"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

LENGTHS = (70, 45, 100, 85)
N_ROWS = sum(LENGTHS)
SETTINGS = {
    "learning_rate": "time",
    "eta0": 0.05,
    "decay": 0.1,
    "batch_size": 8,
    "max_iter": 4,
    "tol": None,
    "random_state": 0,
}
# Few rounds, for tests that are about something else
TWO_SHARDS = {**SETTINGS, "n_shards": 2, "rounds_per_epoch": 2}


def start_cluster(n_workers):
    return LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
    )


@pytest.fixture(scope="module")
def cluster():
    # 15 seconds after each loss of a worker, the cluster would give up for ever a
    # worker that is just restarting: on a busy machine, or after a second loss.
    never = {"distributed.deploy.lost-worker-timeout": "1 day"}
    with dask.config.set(never), start_cluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def _two_workers(client):
    client.wait_for_workers(2, timeout=120)


def problem(task, n_rows=N_ROWS, n_features=4, seed=0):
    """X and y, learnable with some noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    scores = X @ rng.normal(size=(n_features, 3)) + 0.3 * rng.normal(size=(n_rows, 3))
    y = {
        "binary": lambda: np.where(scores[:, 0] > 0, "yes", "no"),
        "multiclass": lambda: scores.argmax(axis=1) * 10,
        "regression": lambda: scores[:, 0],
        "multioutput": lambda: scores,
    }[task]()
    return X, y


def in_blocks(array, lengths=LENGTHS):
    """A Dask array with blocks of these lengths."""
    ends = np.cumsum(lengths)
    if hasattr(array, "indptr"):
        blocks = [
            da.from_delayed(delayed(array[end - n : end]), (n, array.shape[1]), float)
            for end, n in zip(ends, lengths, strict=True)
        ]
        return da.concatenate(blocks)
    return da.from_array(array, chunks=(tuple(lengths), *array.shape[1:]))


def chunks(X, y, *weights, lengths=LENGTHS):
    """The same blocks for fit_chunks."""
    ends = np.cumsum(lengths)
    return [
        tuple(part[end - n : end] for part in (X, y, *weights))
        for end, n in zip(ends, lengths, strict=True)
    ]


def estimators(task):
    """The Dask estimator and the plain one."""
    if task in ("binary", "multiclass"):
        return DaskMiniBatchSGDClassifier, MiniBatchSGDClassifier
    return DaskMiniBatchSGDRegressor, MiniBatchSGDRegressor


def assert_same_bits(model, other):
    np.testing.assert_array_equal(model.coef_, other.coef_)
    np.testing.assert_array_equal(model.intercept_, other.intercept_)
    assert model.loss_curve_ == other.loss_curve_
    assert (model.n_iter_, model.t_) == (other.n_iter_, other.t_)


def n_tasks(client):
    """The number of tasks that the scheduler knows."""
    return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))


def wait_until_no_tasks(client):
    """Wait until the scheduler has forgotten released tasks."""
    for _ in range(200):
        # The traceback of an error is part of a reference cycle.
        gc.collect()
        if n_tasks(client) == 0:
            return
        threading.Event().wait(0.05)
    raise AssertionError(f"{n_tasks(client)} tasks are left on the cluster.")


# What does not need a cluster


def test_the_package_does_without_dask_and_names_the_extra():
    code = (
        "import sys, skmbsgd; assert 'dask' not in sys.modules; "
        "sys.modules['dask'] = None; import skmbsgd.dask"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert "AssertionError" not in run.stderr
    assert 'pip install "skmbsgd[dask]"' in run.stderr


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_parameters_are_those_of_the_plain_estimator_and_three(task):
    ours, plain = estimators(task)
    names = [*signature(plain).parameters, "client", "n_shards", "rounds_per_epoch"]
    assert list(signature(ours).parameters) == names
    defaults = {**plain().get_params(), "client": None, "n_shards": None}
    assert ours().get_params() == {**defaults, "rounds_per_epoch": 8}
    model = ours("huber" if task == "regression" else "hinge", alpha=0.5, n_shards=3)
    assert model.loss in ("huber", "hinge")
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(
    "setting", [{"n_shards": 0}, {"rounds_per_epoch": 0.5}, {"alpha": -1}]
)
def test_parameters_are_checked(client, setting):
    X, y = map(in_blocks, problem("binary"))
    (name,) = setting
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        DaskMiniBatchSGDClassifier(**setting).fit(X, y)


def test_clones_share_the_client_and_copies_lose_it(client):
    model = DaskMiniBatchSGDClassifier(client=client, alpha=0.5)
    assert clone(model).client is client
    assert clone(model).alpha == 0.5
    assert pickle.loads(pickle.dumps(model)).client is None
    assert model.client is model.client_ is client
    assert DaskMiniBatchSGDClassifier().client_ is client


# The same numbers as in one process


@pytest.mark.parametrize("n_rounds", [1, 3])
@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("binary", {}),
        ("binary", {"penalty": "l1", "alpha": 0.01}),
        ("binary", {"average": True, "decay_unit": "update"}),
        ("binary", {"average": 500, "nesterov": False}),
        ("binary", {"batch_size": "full", "momentum": 0.0}),
        ("binary", {"shuffle": False, "learning_rate": "adaptive", "tol": 0.1}),
        ("multiclass", {"loss": "hinge", "shuffle": "blocks"}),
        ("regression", {"penalty": "elasticnet", "loss": "huber"}),
        ("multioutput", {"fit_intercept": False}),
    ],
)
def test_one_shard_has_the_bits_of_fit_chunks(client, task, settings, n_rounds):
    X, y = problem(task)
    ours, plain = estimators(task)
    settings = {**SETTINGS, **settings}
    model = ours(n_shards=1, rounds_per_epoch=n_rounds, **settings)
    model.fit(in_blocks(X), in_blocks(y))
    other = plain(**settings).fit_chunks(chunks(X, y))
    if n_rounds == 1:
        assert_same_bits(model, other)
    # The losses are summed in parts.
    np.testing.assert_array_equal(model.coef_, other.coef_)
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-14)
    assert model.learning_rate_curve_ == other.learning_rate_curve_


def test_one_shard_of_sparse_blocks_has_the_bits_of_fit_chunks(client):
    X, y = problem("binary", n_features=30)
    X = csr_array(np.where(abs(X) > 1.2, X, 0.0))
    for settings in ({}, {"penalty": "l1"}, {"learning_rate": "optimal"}):
        settings = {**SETTINGS, **settings}
        model = DaskMiniBatchSGDClassifier(n_shards=1, rounds_per_epoch=1, **settings)
        model.fit(in_blocks(X), in_blocks(y))
        other = MiniBatchSGDClassifier(**settings).fit_chunks(chunks(X, y))
        np.testing.assert_array_equal(model.coef_, other.coef_)
        np.testing.assert_array_equal(model.intercept_, other.intercept_)
        np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-14)


def test_float32_stays_float32(client):
    X, y = problem("regression")
    X = X.astype(np.float32)
    model = DaskMiniBatchSGDRegressor(n_shards=1, rounds_per_epoch=1, **SETTINGS)
    model.fit(in_blocks(X), in_blocks(y))
    assert model.coef_.dtype == np.float32
    other = MiniBatchSGDRegressor(**SETTINGS).fit_chunks(chunks(X, y))
    assert_same_bits(model, other)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "multioutput"])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_found_from_the_data_is_that_of_fit_chunks(client, task, weighted):
    X, y = problem(task)
    X = X * [1.0, 100.0, 0.01, 1.0] + [0.0, 5.0, 1.0, 0.0]
    weights = [np.random.default_rng(1).random(N_ROWS) * 7] if weighted else []
    ours, plain = estimators(task)
    settings = {"max_iter": 12, "random_state": 0}
    model = ours(n_shards=1, rounds_per_epoch=1, **settings)
    model.fit(in_blocks(X), in_blocks(y), *map(in_blocks, weights))
    other = plain(**settings).fit_chunks(chunks(X, y, *weights))
    np.testing.assert_allclose(model.eta0_, other.eta0_, rtol=1e-12)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-10)


def test_sparse_columns_of_any_scale_go_on_as_in_fit_chunks(client):
    X, y = problem("binary", n_features=10)
    X = csr_array(np.where(abs(X) > 1.0, X, 0.0) * np.logspace(-2, 2, 10))
    settings = {"max_iter": 30, "random_state": 0}
    model = DaskMiniBatchSGDClassifier(n_shards=1, rounds_per_epoch=1, **settings)
    other = MiniBatchSGDClassifier(**settings)
    model.fit(in_blocks(X), in_blocks(y))
    other.fit_chunks(chunks(X, y))
    assert model.n_iter_ == other.n_iter_
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-9)


@pytest.mark.parametrize("penalty", ["l2", None])
@pytest.mark.parametrize("task", ["binary", "multioutput"])
def test_a_batch_per_round_is_a_batch_of_all_shards(client, penalty, task):
    n_shards, n_batches, batch_size = 3, 5, 8
    length = n_batches * batch_size
    X, y = problem(task, n_shards * length)
    ours, plain = estimators(task)
    settings = {**SETTINGS, "shuffle": False, "penalty": penalty, "alpha": 0.01}
    model = ours(n_shards=n_shards, rounds_per_epoch=n_batches, **settings)
    lengths = [length] * n_shards
    model.fit(in_blocks(X, lengths), in_blocks(y, lengths))
    # Batch i of all shards, one after the other
    rows = np.arange(len(X)).reshape(n_shards, n_batches, batch_size)
    rows = rows.transpose(1, 0, 2).ravel()
    settings["batch_size"] *= n_shards
    other = plain(**settings).fit(X[rows], y[rows])
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=1e-10)
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-10)
    assert model.t_ == other.t_


def local_sgd(X, y, lengths, n_rounds, batch_size, **settings):
    """Local SGD in NumPy, with a shard for each partition.

    The result is a state, whose weights are averaged by rows after each round.
    """
    max_iter = settings["max_iter"]
    common = reference.new_model(1, X.shape[1], X.dtype, None, None)
    ends, n_batches = np.cumsum(lengths), [-(-n // batch_size) for n in lengths]
    names = ("w", "b", "v", "c", "w_mean", "b_mean", "Z")
    for epoch in range(max_iter):
        for number in range(n_rounds):
            shards, weights = [], []
            for end, n_rows, n in zip(ends, lengths, n_batches, strict=True):
                first, stop = number * n // n_rounds, (number + 1) * n // n_rounds
                first, stop = first * batch_size, min(stop * batch_size, n_rows)
                rows = slice(end - n_rows + first, end - n_rows + stop)
                shards.append(
                    reference.train(
                        X[rows], y[rows], batch_size=batch_size, partial=True,
                        model=deepcopy(common), **settings,
                    )
                )  # fmt: skip
                weights.append(stop - first)
            common = deepcopy(max(shards, key=lambda shard: shard.t))
            for name in names if common.penalty[0] > 0 else names[:-1]:
                states = [getattr(shard, name) for shard in shards]
                setattr(common, name, np.average(states, axis=0, weights=weights))
            if common.penalty[0] > 0:
                common.w = reference.soft_threshold(common.Z, common.u)
            common.w_of_Z, common.e = common.w.copy(), epoch
        common.e = epoch + 1
    return common


@pytest.mark.parametrize(
    "settings",
    [
        {"penalty": "l2"},
        {"penalty": "elasticnet", "l1_ratio": 0.5},
        {"penalty": "l1", "alpha": 0.5},
        {"penalty": "l2", "average": True},
        {"penalty": "l2", "decay_unit": "update"},
    ],
)
def test_rounds_of_unequal_shards_are_those_of_numpy(client, settings):
    lengths = (40, 100, 75)
    X, y = problem("regression", sum(lengths), n_features=10)
    settings = {
        **SETTINGS, "alpha": 0.1, "momentum": 0.9, "nesterov": True,
        "decay": 0.01, **settings,
    }  # fmt: skip
    model = DaskMiniBatchSGDRegressor(
        n_shards=3, rounds_per_epoch=2, shuffle=False, **settings
    )
    model.fit(in_blocks(X, lengths), in_blocks(y, lengths))
    del settings["random_state"]
    expected = local_sgd(X, y, lengths, 2, loss="squared_error", **settings)
    np.testing.assert_allclose(model.coef_, expected.coef[0], rtol=1e-10)
    np.testing.assert_allclose(model.intercept_, expected.intercept, rtol=1e-10)
    if settings["penalty"] == "l1":
        assert 0 < (model.coef_ == 0).sum() < 10
    assert model.t_ == expected.t


def test_weights_of_classes_are_those_of_fit_chunks(client):
    X, y = problem("multiclass")
    settings = {**SETTINGS, "class_weight": {0: 1.0, 10: 2.0, 20: 0.5}}
    model = DaskMiniBatchSGDClassifier(n_shards=1, rounds_per_epoch=1, **settings)
    model.fit(in_blocks(X), in_blocks(y))
    other = MiniBatchSGDClassifier(**settings).fit_chunks(chunks(X, y))
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-12)


def test_a_sample_of_targets_leaves_the_weights_exact(client, monkeypatch):
    X, y = problem("regression")
    weights = np.random.default_rng(1).random(N_ROWS) * 7
    settings = {**SETTINGS, "n_shards": 1, "rounds_per_epoch": 1}
    blocks = [in_blocks(part) for part in (X, y, weights)]
    model = DaskMiniBatchSGDRegressor(**settings).fit(*blocks)
    monkeypatch.setattr(skmbsgd._shards, "MAX_TARGETS", 40)
    other = DaskMiniBatchSGDRegressor(**settings).fit(*blocks)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-12)
    settings["eta0"] = "auto"
    found = DaskMiniBatchSGDRegressor(**settings).fit(*blocks)
    np.testing.assert_allclose(found.intercept_, model.intercept_, atol=0.1)


def test_partitions_are_dealt_to_shards_by_their_rows(client):
    X, y = map(in_blocks, problem("binary"))
    models = [
        DaskMiniBatchSGDClassifier(n_shards=n, **SETTINGS).fit(X, y) for n in (None, 2)
    ]
    assert models[0].n_shards_ == 2  # one for each worker
    assert_same_bits(*models)
    # 100 and 45 rows, 85 and 70: 13 + 6 and 11 + 9 batches of 8
    assert models[0].t_ == 20 * SETTINGS["max_iter"]


def test_balanced_classes_are_weighed_by_all_partitions(client):
    X, y = problem("binary")
    order = np.argsort(y)  # most partitions have one class
    X, y = X[order], y[order]
    counts = {label: (y == label).sum() for label in ("no", "yes")}
    weights = {label: N_ROWS / 2 / n for label, n in counts.items()}
    settings = TWO_SHARDS
    with pytest.warns(UserWarning, match="Shard . of 2 has no row of the class"):
        model = DaskMiniBatchSGDClassifier(class_weight="balanced", **settings).fit(
            in_blocks(X, (150, 150)), in_blocks(y, (150, 150))
        )
        other = DaskMiniBatchSGDClassifier(class_weight=weights, **settings)
        other.fit(in_blocks(X, (150, 150)), in_blocks(y, (150, 150)))
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-10)


def test_l1_leaves_zeros_with_several_shards(client):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 20))
    y = X[:, :3] @ [1.0, -2.0, 0.5] + rng.normal(size=1200)
    lengths = [150] * 8
    settings = {"penalty": "l1", "alpha": 0.1, "n_shards": 2, "max_iter": 20}
    model = DaskMiniBatchSGDRegressor(random_state=0, rounds_per_epoch=4, **settings)
    model.fit(in_blocks(X, lengths), in_blocks(y, lengths))
    optimum = Lasso(alpha=0.1, tol=1e-10).fit(X, y)
    assert (optimum.coef_ == 0).sum() > 10
    np.testing.assert_array_equal(model.coef_ == 0, optimum.coef_ == 0)
    np.testing.assert_allclose(model.coef_, optimum.coef_, atol=0.01)


# How close to the optimum


def logistic_objective(X, y, alpha, coef, intercept):
    z = X @ coef + intercept
    losses = np.logaddexp(0.0, np.where(y, -z, z))
    return losses.mean() + alpha / 2 * coef @ coef


@pytest.mark.parametrize("order", ["random", "by label"])
@pytest.mark.parametrize("conditioning", ["good", "bad"])
def test_eight_rounds_an_epoch_come_near_the_optimum(client, conditioning, order):
    alpha, n_rows, n_shards = 1e-4, 6000, 2
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 20))
    if conditioning == "bad":  # eigenvalues from 9 to 0.0009
        rotation, _ = np.linalg.qr(rng.normal(size=(20, 20)))
        X = X * np.logspace(0, -2, 20) @ rotation * 3
    size = 4 if conditioning == "bad" else 1
    y = X @ rng.normal(scale=size, size=20) + rng.logistic(size=n_rows) > 0
    if order == "by label":
        sorted_rows = np.argsort(y, kind="stable")
        X, y = X[sorted_rows], y[sorted_rows]
    best = LogisticRegression(
        C=1 / (n_rows * alpha), solver="newton-cholesky", tol=1e-10
    ).fit(X, y)
    lowest = logistic_objective(X, y, alpha, best.coef_[0], best.intercept_)

    def gap(model):
        coef, intercept = np.ravel(model.coef_), model.intercept_
        reached = logistic_objective(X, y, alpha, coef, intercept)
        return (reached - lowest) / (np.log(2.0) - lowest)

    settings = {
        "alpha": alpha, "max_iter": 10, "learning_rate": "cosine",
        "eta0": 0.5 if conditioning == "bad" else 0.05,
    }  # fmt: skip

    def fit(n_rounds):
        model = DaskMiniBatchSGDClassifier(
            n_shards=n_shards, rounds_per_epoch=n_rounds, random_state=0, tol=None,
            **settings,
        )  # fmt: skip
        lengths = [n_rows // n_shards] * n_shards  # a partition for each shard
        return model.fit(in_blocks(X, lengths), in_blocks(y, lengths))

    assert gap(fit(8)) < 0.01
    if order == "by label":  # the case that needs rounds
        assert 0.01 < gap(fit(1)) < 0.04
        # Models of shards that are averaged only at the end
        settings.update(loss="log_loss", momentum=0.9, nesterov=True)
        shards = [
            reference.train(*shard, classes=[False, True], **settings)
            for shard in zip(np.split(X, n_shards), np.split(y, n_shards), strict=True)
        ]
        averaged = SimpleNamespace(
            coef_=np.mean([shard.coef for shard in shards], axis=0),
            intercept_=np.mean([shard.intercept for shard in shards], axis=0),
        )
        assert 0.08 < gap(averaged) < 0.34


# The same model bit for bit, whatever happens to the workers


def shuffled_problem():
    X, y = problem("binary")
    settings = {**SETTINGS, "n_shards": 3, "rounds_per_epoch": 2, "max_iter": 6}
    return in_blocks(X), in_blocks(y), settings


@pytest.fixture(scope="module")
def undisturbed(client):
    """A fit of two workers that stay."""
    X, y, settings = shuffled_problem()
    return DaskMiniBatchSGDClassifier(**settings).fit(X, y)


def kill_a_worker(client):
    """Kill a process; the cluster will start another."""
    pids = client.run(os.getpid)
    os.kill(min(pids.values()), signal.SIGKILL)


def test_one_worker_has_the_same_bits_as_two(undisturbed):
    X, y, settings = shuffled_problem()
    with start_cluster(1) as cluster, Client(cluster, set_as_default=False) as client:
        model = DaskMiniBatchSGDClassifier(client=client, **settings).fit(X, y)
    assert model.n_shards_ == undisturbed.n_shards_ == 3
    assert_same_bits(model, undisturbed)


def test_a_worker_killed_in_mid_fit_changes_no_bit(client, undisturbed):
    X, y, settings = shuffled_problem()
    epochs = []

    def learning_rate(epoch):
        epochs.append(epoch)
        if epoch == 3:
            kill_a_worker(client)
        return 0.05 / (1 + 0.1 * epoch)

    settings["learning_rate"] = learning_rate
    model = DaskMiniBatchSGDClassifier(**settings).fit(X, y)
    assert 3 in epochs
    assert_same_bits(model, undisturbed)


def test_a_worker_killed_within_a_round_changes_no_bit(client, undisturbed):
    X, y, settings = shuffled_problem()
    victims, tasks = [], []

    def learning_rate(epoch):
        if epoch == 2:
            victims.append(min(client.run(os.getpid).values()))
            # Runs among the tasks of the epoch
            kill = (os.kill, victims[0], signal.SIGKILL)
            tasks.append(client.submit(*kill, pure=False))
        return 0.05 / (1 + 0.1 * epoch)

    settings["learning_rate"] = learning_rate
    model = DaskMiniBatchSGDClassifier(**settings).fit(X, y)
    assert_same_bits(model, undisturbed)
    client.wait_for_workers(2, timeout=120)
    assert victims[0] not in client.run(os.getpid).values()


def test_a_worker_killed_while_it_reads_changes_no_bit(client, undisturbed, tmp_path):
    X, y, settings = shuffled_problem()

    def die_once(block, block_info=None):
        marker = tmp_path / "dead"
        if block_info[0]["chunk-location"] == (1, 0) and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    X = X.map_blocks(die_once, dtype=X.dtype, meta=np.empty((0, 0)))
    model = DaskMiniBatchSGDClassifier(**settings).fit(X, y)
    assert (tmp_path / "dead").exists()
    assert_same_bits(model, undisturbed)


def test_two_fits_at_a_time_have_the_bits_of_each_alone(client, undisturbed):
    X, y, settings = shuffled_problem()
    models = [DaskMiniBatchSGDClassifier(client=client, **settings) for _ in range(2)]
    models[1].set_params(alpha=0.1)
    with ThreadPoolExecutor(2) as pool:
        fits = [pool.submit(model.fit, X, y) for model in models]
    for fit in fits:
        fit.result()  # raises its error
    alone = DaskMiniBatchSGDClassifier(**{**settings, "alpha": 0.1}).fit(X, y)
    assert_same_bits(models[0], undisturbed)
    assert_same_bits(models[1], alone)


def test_persisted_data_are_the_users_and_stay(client, undisturbed):
    X, y, settings = shuffled_problem()
    X, y = client.persist([X, y])
    model = DaskMiniBatchSGDClassifier(**settings).fit(X, y)
    assert_same_bits(model, undisturbed)
    assert_same_bits(model.fit(X, y), undisturbed)
    assert X.sum().compute() == pytest.approx(X.compute().sum(), rel=1e-12)


# Errors


def assert_as_before(model, attributes):
    assert vars(model).keys() == attributes.keys()
    for name, value in attributes.items():
        assert vars(model)[name] is value


@pytest.fixture
def fitted(client):
    """A model, and its attributes."""
    X, y, settings = shuffled_problem()
    model = DaskMiniBatchSGDClassifier(**settings).fit(X, y)
    del X, y
    return model, vars(model).copy()


def with_fault(X, number, fault):
    """X with a partition that a function changes."""

    def change(block, block_info=None):
        is_it = block_info[0]["chunk-location"][0] == number
        return fault(block) if is_it else block

    return X.map_blocks(change, dtype=X.dtype, meta=np.empty((0, 0)))


def raise_os_error(block):
    raise OSError("the disk is broken")


def put_nan(block):
    return np.where(np.arange(len(block))[:, None] == 3, np.nan, block)


def test_a_partition_that_raises_is_named(client, fitted):
    model, before = fitted
    X, y = map(in_blocks, problem("binary"))
    for number in (0, 2):
        with pytest.raises(OSError, match="the disk is broken") as error:
            model.fit(with_fault(X, number, raise_os_error), y)
        assert f"from partition {number}, counted" in error.value.__notes__[0]
    assert_as_before(model, before)
    del error
    wait_until_no_tasks(client)


def test_a_partition_that_raises_once_is_read_again(client, undisturbed, tmp_path):
    X, y, settings = shuffled_problem()

    def raise_once(block):
        try:
            (tmp_path / "raised").touch(exist_ok=False)
        except FileExistsError:
            return block
        raise OSError("the network is down")

    model = DaskMiniBatchSGDClassifier(**settings)
    assert_same_bits(model.fit(with_fault(X, 1, raise_once), y), undisturbed)
    assert (tmp_path / "raised").exists()


def test_a_partition_that_is_invalid_is_named(client, fitted):
    model, before = fitted
    X, y = map(in_blocks, problem("binary"))
    with pytest.raises(ValueError, match=r"In partition 2, counted from 0: .* NaN"):
        model.fit(with_fault(X, 2, put_nan), y)
    with pytest.raises(ValueError, match=r"In partition 1, .* \[44, 45\]"):
        model.fit(with_fault(X, 1, lambda block: block[1:]), y)
    with pytest.raises(ValueError, match=r"In partition 3, .* features"):
        model.fit(with_fault(X, 3, lambda block: block[:, 1:]), y)
    with pytest.raises(ValueError, match=r"In partition 1, .* dense"):
        model.fit(with_fault(X, 1, csr_array), y)
    assert_as_before(model, before)


def test_collections_that_do_not_fit_are_refused(client, fitted):
    model, before = fitted
    X, y = problem("binary")
    with pytest.raises(TypeError, match="X must be a Dask array or dataframe"):
        model.fit(X, y)
    with pytest.raises(TypeError, match="y must be a Dask array or dataframe"):
        model.fit(in_blocks(X), y)
    with pytest.raises(ValueError, match="X has 300 rows, but y has 299"):
        model.fit(in_blocks(X), da.from_array(y[1:]))
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=3)
    with pytest.raises(ValueError, match="X has 3 partitions, but y has 4"):
        model.fit(frame, in_blocks(y))
    with pytest.raises(ValueError, match="n_shards=5 needs as many partitions"):
        clone(model).set_params(n_shards=5).fit(in_blocks(X), in_blocks(y))
    with pytest.raises(ValueError, match="at least 2 classes"):
        model.fit(in_blocks(X), in_blocks(np.zeros(N_ROWS)))
    with pytest.raises(ValueError, match="Pass validation data as X_val and y_val"):
        clone(model).set_params(early_stopping=True).fit(in_blocks(X), in_blocks(y))
    assert_as_before(model, before)


def test_weights_that_are_of_no_use_are_refused(client, fitted):
    model, before = fitted
    X, y = map(in_blocks, problem("binary"))
    for weight, message in [
        (0.0, "All sample weights"),
        (1e308, "too large for float64"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, in_blocks(np.full(N_ROWS, weight)))
    with pytest.raises(ValueError, match=r"In partition 2, .* Negative values"):
        weights = np.ones(N_ROWS)
        weights[150] = -1.0
        model.fit(X, y, in_blocks(weights))
    assert_as_before(model, before)


def test_sparse_blocks_of_any_format_are_read(client):
    X, y = problem("binary")
    X = in_blocks(csr_array(X))
    model = DaskMiniBatchSGDClassifier(**TWO_SHARDS).fit(X, in_blocks(y))
    for format in ("coo", "csc"):
        blocks = [delayed(block.asformat)(format) for block in X.to_delayed().ravel()]
        other = da.concatenate(
            [
                da.from_delayed(block, (n, 4), float)
                for block, n in zip(blocks, LENGTHS, strict=True)
            ]
        )
        assert_same_bits(clone(model).fit(other, in_blocks(y)), model)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_empty_partitions_are_passed_over(client, task):
    X, y = problem(task)
    settings = {**TWO_SHARDS, "shuffle": False}
    ours, _ = estimators(task)
    model = ours(**settings).fit(in_blocks(X), in_blocks(y))
    lengths = (0, 70, 45, 0, 0, 100, 85, 0)
    other = ours(**settings).fit(in_blocks(X, lengths), in_blocks(y, lengths))
    assert_same_bits(model, other)
    nothing = in_blocks(X[:0], (0, 0)), in_blocks(y[:0], (0, 0))
    with pytest.raises(ValueError, match="all of its partitions are empty"):
        model.fit(*nothing)
    assert other.predict(in_blocks(X, lengths)).compute().shape == (N_ROWS,)
    assert other.score(in_blocks(X, lengths), in_blocks(y, lengths)) == pytest.approx(
        other.to_local().score(X, y), rel=1e-12
    )


def test_unknown_lengths_make_no_difference(client, undisturbed):
    X, y, settings = shuffled_problem()
    everything = X[:, 0] < np.inf
    unknown = X[everything], y[everything]
    assert np.isnan(unknown[0].shape[0])
    model = DaskMiniBatchSGDClassifier(**settings).fit(*unknown)
    assert_same_bits(model, undisturbed)
    labels = model.predict(unknown[0])
    np.testing.assert_array_equal(labels.compute(), model.predict(X).compute())


def test_columns_in_several_blocks_are_put_together(client, undisturbed):
    X, y, settings = shuffled_problem()
    model = DaskMiniBatchSGDClassifier(**settings)
    assert_same_bits(model.fit(X.rechunk({1: 3}), y), undisturbed)
    assert_same_bits(model.fit(X, y.rechunk(100)), undisturbed)


def test_unaligned_blocks_are_read(client, undisturbed):
    X, y, settings = shuffled_problem()

    def unaligned(block):
        memory = np.empty(block.nbytes + 1, dtype=np.uint8)
        array = memory[1:].view(block.dtype).reshape(block.shape)
        array[...] = block
        return array

    assert not unaligned(np.zeros((2, 3))).flags.aligned
    X = X.map_blocks(unaligned, dtype=X.dtype, meta=np.empty((0, 0)))
    assert_same_bits(DaskMiniBatchSGDClassifier(**settings).fit(X, y), undisturbed)


def test_a_worker_without_the_package_is_named(client, fitted):
    model, before = fitted
    X, y, _ = shuffled_problem()
    worker = min(client.nthreads())
    hide = "__import__('sys').modules.__setitem__('skmbsgd.dask', None)"
    client.run(eval, hide, workers=[worker])
    try:
        with pytest.raises(RuntimeError, match=f"The worker {worker} cannot train"):
            model.fit(X, y)
    finally:
        show = "__import__('sys').modules.pop('skmbsgd.dask')"
        client.run(eval, show, workers=[worker])
    assert_as_before(model, before)


def test_a_cluster_without_workers_is_told(fitted):
    model, _ = fitted
    X, y, _ = shuffled_problem()
    with start_cluster(0) as cluster, Client(cluster, set_as_default=False) as client:
        other = clone(model).set_params(client=client)
        with pytest.raises(RuntimeError, match="no worker yet"):
            other.fit(X, y)


def test_an_interrupt_leaves_model_and_cluster_as_they_were(client, fitted):
    model, before = fitted
    X, y, _ = shuffled_problem()

    def learning_rate(epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return 0.1

    model.learning_rate = learning_rate
    before["learning_rate"] = learning_rate
    with pytest.raises(KeyboardInterrupt) as error:
        model.fit(X, y)
    assert_as_before(model, before)
    del error
    wait_until_no_tasks(client)


def test_a_client_that_is_lost_leaves_the_model_as_it_was(cluster, client, fitted):
    model, _ = fitted
    X, y, settings = shuffled_problem()
    lost = Client(cluster, set_as_default=False)

    def learning_rate(epoch):
        if epoch == 2:
            lost.close()
        return 0.1

    other = DaskMiniBatchSGDClassifier(
        **{**settings, "client": lost, "learning_rate": learning_rate}
    )
    with pytest.raises(RuntimeError, match="client was closed"):
        other.fit(X, y)
    assert not hasattr(other, "coef_")
    model.fit(X, y)  # The cluster still works.


def test_divergence_is_an_error(client, fitted):
    model, before = fitted
    X, y, _ = shuffled_problem()
    model.set_params(loss="squared_error", eta0=1e10)
    before.update(loss="squared_error", eta0=1e10)
    with pytest.raises(DivergenceError, match=r"Training diverged in epoch .*eta0=1"):
        model.fit(X, y)
    assert_as_before(model, before)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_training_that_diverges_begins_anew_as_in_fit_chunks(client, monkeypatch, loss):
    def too_bold(*arguments):
        return 1e5 * initial_rate(*arguments)

    monkeypatch.setattr(skmbsgd._base, "initial_rate", too_bold)
    X, y = problem("binary")
    settings = {"loss": loss, "random_state": 0, "max_iter": 6}
    model = DaskMiniBatchSGDClassifier(n_shards=1, rounds_per_epoch=1, **settings)
    model.fit(in_blocks(X), in_blocks(y))
    other = MiniBatchSGDClassifier(**settings).fit_chunks(chunks(X, y))
    assert min(model.loss_curve_) < 2.0  # so the rate is a different one
    np.testing.assert_allclose(model.eta0_, other.eta0_, rtol=1e-12)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-7)


def test_dask_collections_lead_from_the_plain_estimators(client):
    X, y = map(in_blocks, problem("binary"))
    frame = dd.from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), npartitions=1)
    for arguments in [(X, y), (np.zeros((2, 1)), y), (frame, frame["a"])]:
        with pytest.raises(TypeError, match="DaskMiniBatchSGDRegressor"):
            MiniBatchSGDRegressor().fit(*arguments)
        with pytest.raises(TypeError, match="DaskMiniBatchSGDClassifier"):
            MiniBatchSGDClassifier().fit(*arguments)
        with pytest.raises(TypeError, match="DaskMiniBatchSGDClassifier"):
            MiniBatchSGDClassifier().partial_fit(*arguments, classes=["no", "yes"])


# Learnt attributes and their use


def test_dataframes_keep_the_names_of_their_columns(client):
    X, y = problem("regression")
    pandas_X = pd.DataFrame(X, columns=list("abcd"))
    frame = dd.from_pandas(pandas_X, npartitions=4)
    targets = dd.from_pandas(pd.Series(y, name="y"), npartitions=4)
    model = DaskMiniBatchSGDRegressor(**TWO_SHARDS).fit(frame, targets)
    assert model.feature_names_in_.tolist() == list("abcd")
    predictions = model.predict(frame)
    assert isinstance(predictions, da.Array)
    local = model.to_local()
    np.testing.assert_allclose(
        predictions.compute(), local.predict(pandas_X), rtol=1e-12, atol=1e-12
    )
    score = model.score(frame, targets)
    assert score == pytest.approx(local.score(pandas_X, y), rel=1e-12)

    def renamed(part, partition_info=None):
        return (
            part.rename(columns={"a": "z"}) if partition_info["number"] == 2 else part
        )

    frame = frame.map_partitions(renamed, meta=frame._meta, enforce_metadata=False)
    with pytest.raises(ValueError, match=r"In partition 2, .* feature names"):
        model.fit(frame, targets)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_predictions_are_lazy(client, task):
    X, y = problem(task)
    blocks = in_blocks(X)
    model = DaskMiniBatchSGDClassifier(**TWO_SHARDS)
    model.fit(blocks, in_blocks(y))
    local = model.to_local()
    methods = ("predict", "decision_function", "predict_proba", "predict_log_proba")
    for method in methods:
        lazy, expected = getattr(model, method)(blocks), getattr(local, method)(X)
        assert isinstance(lazy, da.Array)
        assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
        assert lazy.chunks[0] == LENGTHS
        if method == "predict":
            np.testing.assert_array_equal(lazy.compute(), expected)
        else:
            np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-11, atol=1e-13)
        np.testing.assert_array_equal(getattr(model, method)(X), expected)
    assert not hasattr(model.set_params(loss="hinge"), "predict_proba")


@pytest.mark.parametrize("task", ["multiclass", "regression", "multioutput"])
@pytest.mark.parametrize("weighted", [False, True])
def test_score_is_that_of_the_local_model(client, task, weighted):
    X, y = problem(task)
    weights = [np.random.default_rng(1).random(N_ROWS)] if weighted else []
    ours, _ = estimators(task)
    model = ours(**TWO_SHARDS).fit(in_blocks(X), in_blocks(y))
    expected = model.to_local().score(X, y, *weights)
    score = model.score(in_blocks(X), in_blocks(y), *map(in_blocks, weights))
    assert score == pytest.approx(expected, rel=1e-12)
    assert model.score(X, y, *weights) == expected


def test_the_local_model_goes_on(client):
    X, y = problem("binary")
    settings = {**SETTINGS, "n_shards": 1, "rounds_per_epoch": 1}
    model = DaskMiniBatchSGDClassifier(**settings).fit(in_blocks(X), in_blocks(y))
    plain = MiniBatchSGDClassifier(**SETTINGS).fit_chunks(chunks(X, y))
    local = pickle.loads(pickle.dumps(model.to_local()))
    assert type(local) is MiniBatchSGDClassifier
    np.testing.assert_array_equal(local.predict(X), plain.predict(X))
    assert_same_bits(local.partial_fit(X, y), plain.partial_fit(X, y))
    assert_same_bits(model.partial_fit(X, y), plain)


def test_the_local_model_is_exported(client):
    pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    import skl2onnx

    import skmbsgd.onnx  # noqa: F401

    X, y = problem("multiclass")
    model = DaskMiniBatchSGDClassifier(**TWO_SHARDS)
    local = model.fit(in_blocks(X), in_blocks(y)).to_local()
    exported = skl2onnx.to_onnx(local, X[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    np.testing.assert_array_equal(session.run(None, {"X": X})[0], local.predict(X))


def test_validation_data_choose_the_epoch_as_in_fit_chunks(client):
    X, y = problem("binary")
    settings = {**SETTINGS, "early_stopping": True, "tol": 1e-3, "max_iter": 30}
    model = DaskMiniBatchSGDClassifier(n_shards=1, rounds_per_epoch=1, **settings)
    weights = np.random.default_rng(1).random(60)
    validation = {"X_val": X[:60], "y_val": y[:60], "sample_weight_val": weights}
    other = MiniBatchSGDClassifier(**settings).fit_chunks(chunks(X, y), **validation)
    in_dask = {
        name: da.from_array(part, chunks=30) for name, part in validation.items()
    }
    model.fit(in_blocks(X), in_blocks(y), **in_dask)
    assert_same_bits(model, other)
    assert model.validation_scores_ == other.validation_scores_
    model.fit(in_blocks(X), in_blocks(y), **validation)
    assert model.validation_scores_ == other.validation_scores_


def test_warm_start_goes_on_from_the_weights(client):
    X, y = problem("binary")
    settings = {**SETTINGS, "warm_start": True}
    model = DaskMiniBatchSGDClassifier(n_shards=1, rounds_per_epoch=1, **settings)
    other = MiniBatchSGDClassifier(**settings)
    for _ in range(2):
        model.fit(in_blocks(X), in_blocks(y))
        other.fit_chunks(chunks(X, y))
        assert_same_bits(model, other)


def test_a_line_comes_with_each_epoch(client, capsys):
    X, y = map(in_blocks, problem("binary"))
    DaskMiniBatchSGDClassifier(verbose=1, **TWO_SHARDS).fit(X, y)
    assert capsys.readouterr().out.count("objective") == 4


class Stop:
    """Stops after three epochs, and records what it gets."""

    def __init__(self):
        self.models = []

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name != "epoch":
            return False
        self.models.append(fitted_estimator.to_local())
        return len(self.models) == 3

    def teardown(self, estimator, context):
        pass


def test_callbacks_see_each_epoch_and_may_end_training(client):
    pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")
    X, y = map(in_blocks, problem("binary"))
    stop = Stop()
    model = DaskMiniBatchSGDClassifier(**TWO_SHARDS).set_callbacks(stop)
    model.fit(X, y)
    assert [len(each.loss_curve_) for each in stop.models] == [1, 2, 3]
    assert_same_bits(model, stop.models[-1])


def test_grid_searches_run_on_the_cluster(client):
    X, y = problem("binary")
    search = GridSearchCV(MiniBatchSGDClassifier(**SETTINGS), {"alpha": [1e-4, 1.0]})
    expected = clone(search).fit(X, y).cv_results_["mean_test_score"]
    with joblib.parallel_config("dask", scatter=[X, y]):
        search.fit(X, y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], expected)


def test_short_rounds_are_warned_of(client, monkeypatch):
    X, y, settings = shuffled_problem()
    model = DaskMiniBatchSGDClassifier(**settings)

    def warnings_of_fit(shortest):
        monkeypatch.setattr(skmbsgd.dask, "SHORTEST_ROUND", shortest)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, y)
        # Threads of Dask and the garbage collector may warn at any time.
        return [
            str(each.message)
            for each in caught
            if each.filename == __file__ and issubclass(each.category, UserWarning)
        ]

    (message,) = warnings_of_fit(shortest=np.inf)
    assert message.startswith("A round of training took")
    assert warnings_of_fit(shortest=0.0) == []


def test_there_are_no_more_rounds_than_batches(client):
    X, y = map(in_blocks, problem("binary"))
    settings = {**TWO_SHARDS, "batch_size": 50, "max_iter": 2}
    # 2 + 1 batches in the shard of 100 and 45 rows, 2 + 2 in the one of 85 and 70
    models = [
        DaskMiniBatchSGDClassifier(**{**settings, "rounds_per_epoch": n}).fit(X, y)
        for n in (4, 50)
    ]
    assert_same_bits(*models)
    assert models[0].t_ == 4 * settings["max_iter"]
