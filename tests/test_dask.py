"""Training on a Dask cluster, with real workers in processes of their own."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from inspect import signature

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

pytest.importorskip("dask.dataframe")
pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd
import pandas as pd
from dask import delayed
from dask.distributed import Client, LocalCluster

import skmbsgd.dask
from skmbsgd import DivergenceError, MiniBatchSGDClassifier, MiniBatchSGDRegressor
from skmbsgd.dask import DaskMiniBatchSGDClassifier, DaskMiniBatchSGDRegressor

# Rounds of tests are short, and shards small.
pytestmark = [
    pytest.mark.filterwarnings("ignore:A round of training took"),
    pytest.mark.filterwarnings("ignore:Sending large graph"),
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


def start_cluster(n_workers):
    return LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
    )


@pytest.fixture(scope="module")
def cluster():
    with start_cluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def _two_workers(client):
    client.wait_for_workers(2)


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
    """Released tasks are forgotten a moment later."""
    for _ in range(200):
        if n_tasks(client) == 0:
            return
        threading.Event().wait(0.05)
    raise AssertionError(f"{n_tasks(client)} tasks are left on the cluster.")


# What does not need a cluster


def test_the_package_does_not_import_dask():
    code = "import sys, skmbsgd; sys.exit('dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_dask_the_error_names_the_extra():
    code = "import sys; sys.modules['dask'] = None; import skmbsgd.dask"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
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
        ("multiclass", {"class_weight": {0: 1.0, 10: 2.0, 20: 0.5}}),
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
    # The sum of the losses is taken in parts.
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
        assert_same_bits(model, other)


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
    settings = {"max_iter": 30, "random_state": 0}
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
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


def test_balanced_classes_are_weighed_by_all_partitions(client):
    X, y = problem("binary")
    order = np.argsort(y)  # most partitions have one class
    X, y = X[order], y[order]
    counts = {label: (y == label).sum() for label in ("no", "yes")}
    weights = {label: N_ROWS / 2 / n for label, n in counts.items()}
    settings = {**SETTINGS, "n_shards": 2}
    with pytest.warns(UserWarning, match="Shard . of 2 has no row of the class"):
        model = DaskMiniBatchSGDClassifier(
            class_weight="balanced", **settings
        ).fit(in_blocks(X, (150, 150)), in_blocks(y, (150, 150)))
        other = DaskMiniBatchSGDClassifier(class_weight=weights, **settings)
        other.fit(in_blocks(X, (150, 150)), in_blocks(y, (150, 150)))
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-10)


def test_l1_leaves_zeros_with_several_shards(client):
    X, y = problem("binary", 1200, n_features=20)
    X[:, 3:] = np.random.default_rng(1).normal(size=(1200, 17))
    lengths = [150] * 8
    settings = {"penalty": "l1", "alpha": 0.05, "n_shards": 2, "max_iter": 30}
    model = DaskMiniBatchSGDClassifier(random_state=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(in_blocks(X, lengths), in_blocks(y, lengths))
    optimum = LogisticRegression(
        C=1 / (1200 * 0.05), l1_ratio=1, penalty="l1", solver="saga", tol=1e-8,
        max_iter=10_000,
    ).fit(X, y)  # fmt: skip
    assert (optimum.coef_ == 0).sum() > 10
    np.testing.assert_array_equal(model.coef_ == 0, optimum.coef_ == 0)
