"""Streams of CSR chunks: only a chunk's columns are updated at once, without effect.

The results are compared with those of dense chunks, which change all weights at each
update. Between chunks anything can happen: reading, editing, other settings, copies,
dense chunks in between.
"""

import copy
import pickle
import sys
import threading
import tracemalloc
from contextlib import contextmanager
from functools import partial
from weakref import finalize

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from settings import PLAIN_SGD

from skmbsgd import (
    DivergenceError,
    MiniBatchSGDClassifier,
    MiniBatchSGDRegressor,
    _stream,
)
from skmbsgd._engine.csr_model import MANY_OUTPUTS
from skmbsgd._engine.csr_stream import CSRStream

N_FEATURES = 40
CLASSES = [0, 1, 2]
# Dense and CSR differ by rounding, which nothing here amplifies.
RTOL = 1e-9

KINDS = {
    "regressor": partial(MiniBatchSGDRegressor, **PLAIN_SGD),
    "two targets": partial(MiniBatchSGDRegressor, **PLAIN_SGD),
    "many targets": partial(MiniBatchSGDRegressor, **PLAIN_SGD),
    "three classes": partial(MiniBatchSGDClassifier, **PLAIN_SGD),
}
N_TARGETS = {"two targets": 2, "many targets": MANY_OUTPUTS}
each_kind = pytest.mark.parametrize("kind", KINDS)
PENALTIES = (None, "l2", "l1", "elasticnet")
each_penalty = pytest.mark.parametrize("penalty", PENALTIES)


def make(kind, **params):
    settings = {"eta0": 0.02, "alpha": 0.01, "batch_size": 4, "random_state": 0}
    return KINDS[kind](**{**settings, **params})


def chunk_of(kind, rng, n_rows=10, dtype=np.float64):
    """Dense rows with numbers in a few columns, and targets."""
    columns = rng.choice(N_FEATURES, 6, replace=False)
    X = np.zeros((n_rows, N_FEATURES), dtype)
    X[:, columns] = rng.normal(size=(n_rows, 6)) * (rng.random((n_rows, 6)) < 0.7)
    if kind == "three classes":
        return X, rng.integers(3, size=n_rows)
    shape = (n_rows, N_TARGETS[kind]) if kind in N_TARGETS else n_rows
    return X, rng.normal(size=shape)


def learn(model, X, y):
    known = {"classes": CLASSES} if isinstance(model, MiniBatchSGDClassifier) else {}
    return model.partial_fit(X, y, **known)


def stream(model, kind, n_chunks=12, seed=0, between=lambda model: model):
    rng = np.random.default_rng(seed)
    for _ in range(n_chunks):
        X, y = chunk_of(kind, rng)
        model = between(learn(model, sparse.csr_array(X), y))
    return model


def decisions(model, X):
    name = "decision_function" if hasattr(model, "decision_function") else "predict"
    return getattr(model, name)(X)


def assert_same_model(actual, expected, rtol=RTOL):
    for name in ("coef_", "intercept_", "loss_curve_"):
        desired = np.asarray(getattr(expected, name))
        scale = np.abs(desired).max(initial=0.0)
        assert_allclose(
            getattr(actual, name), desired, rtol=rtol, atol=rtol * scale, err_msg=name
        )
    assert (actual.n_iter_, actual.t_) == (expected.n_iter_, expected.t_)


def assert_same_bits(actual, expected):
    for name in ("coef_", "intercept_", "loss_curve_", "learning_rate_curve_"):
        assert_array_equal(getattr(actual, name), getattr(expected, name), name)


@pytest.fixture(params=[3, 1024], ids="window of {}".format)
def window(request, monkeypatch):
    size = request.param
    monkeypatch.setattr(_stream, "CSRStream", partial(CSRStream, window_size=size))
    return size


# ---------------------------------------------------------------------------
# Anything between chunks
# ---------------------------------------------------------------------------


SETTINGS = [
    {"momentum": 0.0},
    {"momentum": 0.9},
    {"momentum": 0.6, "nesterov": True},
    {"penalty": "l1", "alpha": 0.02},
    {"penalty": "l2", "alpha": 0.1},
    {"penalty": "elasticnet", "alpha": 0.05, "l1_ratio": 0.3},
    {"penalty": None},
    {"average": True},
    {"average": False},
    {"average": 70},
    {"batch_size": 3},
    {"learning_rate": "invscaling"},
    {"eta0": 0.005},
]


ACTIONS = {
    "chunk": 0.5,
    "dense chunk": 0.08,
    "settings": 0.14,
    "weights": 0.07,
    "intercept": 0.07,
    "in place": 0.07,
    "copy": 0.07,
}


def act(kind, models, rng):
    """Do the same to a stream of CSR chunks and to one of dense chunks."""
    of_csr, of_dense = models
    action = rng.choice(
        [
            "chunk",
            "dense chunk",
            "settings",
            "weights",
            "intercept",
            "in place",
            "copy",
        ],
        p=[0.5, 0.08, 0.14, 0.07, 0.07, 0.07, 0.07],
    )
    X, y = chunk_of(kind, rng)
    if action == "chunk":
        layout = rng.choice([sparse.csr_array, sparse.csr_matrix])
        return learn(of_csr, layout(X), y), learn(of_dense, X, y)
    if action == "dense chunk":
        return learn(of_csr, X, y), learn(of_dense, X, y)
    if action == "copy":
        return pickle.loads(pickle.dumps(of_csr)), of_dense
    settings = SETTINGS[rng.integers(len(SETTINGS))]
    number, column = rng.normal(), rng.integers(N_FEATURES)
    for model in models:
        if action == "settings":
            model.set_params(**settings)
        elif action == "weights":
            random = np.random.default_rng(int(1e6 * abs(number)))
            model.coef_ = np.where(random.random(model.coef_.shape) < 0.5, 0.0, 1.0)
        elif action == "intercept":
            model.intercept_ = model.intercept_ + number
        elif action == "in place":
            model.coef_[..., column] = number
            model.intercept_[0] = number
    return models


@pytest.mark.usefixtures("window")
@each_kind
@pytest.mark.parametrize("seed", range(8))
def test_a_stream_is_that_of_dense_chunks_whatever_happens_between(kind, seed):
    rng = np.random.default_rng(seed)
    penalty = PENALTIES[seed % 4]
    models = [make(kind, penalty=penalty, momentum=0.3 * (seed % 3)) for _ in range(2)]
    X, y = chunk_of(kind, rng)
    models = learn(models[0], sparse.csr_array(X), y), learn(models[1], X, y)
    for _ in range(40):
        models = act(kind, models, rng)
        if rng.random() < 0.3:
            assert_same_model(*models)
        if rng.random() < 0.3:
            X, _ = chunk_of(kind, rng)
            expected = decisions(models[1], X)
            actual = decisions(models[0], sparse.csr_array(X))
            scale = np.abs(expected).max()
            assert_allclose(actual, expected, rtol=RTOL, atol=RTOL * scale)
    assert_same_model(*models)


def looked_at(model):
    """Read all attributes and predictions."""
    X = sparse.csr_array(np.eye(N_FEATURES))
    decisions(model, X)
    decisions(model, X.toarray())
    model.coef_.sum()
    copy.deepcopy(model)
    pickle.dumps(model)
    return model


@pytest.mark.usefixtures("window")
@each_kind
@each_penalty
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_who_looks_changes_no_bit(kind, penalty, average, momentum):
    settings = {"penalty": penalty, "momentum": momentum, "average": average}
    undisturbed = stream(make(kind, **settings), kind)
    assert_same_bits(
        stream(make(kind, **settings), kind, between=looked_at), undisturbed
    )
    for copied in (copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        model = stream(make(kind, **settings), kind, between=copied)
        assert_same_bits(model, undisturbed)


@each_kind
def test_a_copy_leaves_its_original_alone_and_learns_by_itself(kind):
    model = stream(make(kind, momentum=0.9), kind, n_chunks=3)
    twin = pickle.loads(pickle.dumps(model))
    before = model.coef_.copy()
    stream(twin, kind, n_chunks=2, seed=1)
    assert_array_equal(model.coef_, before)
    expected = stream(make(kind, momentum=0.9), kind, n_chunks=3)
    assert_same_bits(
        stream(model, kind, n_chunks=2, seed=1), stream(expected, kind, 2, seed=1)
    )


@each_kind
@pytest.mark.parametrize("part", [np.s_[...], np.s_[..., 1]], ids=["all", "a part"])
def test_weights_that_were_read_stay_as_they_were(kind, part):
    kept = []

    def keep(model):
        kept.append((model.coef_[part], model.coef_[part].copy()))
        return model

    undisturbed = stream(make(kind, momentum=0.0), kind)
    assert_same_bits(stream(make(kind, momentum=0.0), kind, between=keep), undisturbed)
    for weights, before in kept:
        assert_array_equal(weights, before)


@each_kind
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(
    "edit",
    [
        lambda coef: coef[..., ::-1],  # other columns, the same numbers
        lambda coef: -coef,
        lambda coef: np.where(coef == 0.0, 0.5, coef),
    ],
    ids=["exchange", "sign", "columns that no chunk has had"],
)
def test_weights_edited_in_place_are_weights_that_were_set(kind, momentum, edit):
    in_place = stream(make(kind, momentum=momentum), kind, n_chunks=3)
    by_setting = copy.deepcopy(in_place)
    in_place.coef_[...] = edit(in_place.coef_.copy())
    by_setting.coef_ = np.ascontiguousarray(edit(by_setting.coef_.copy()))
    stream(in_place, kind, n_chunks=3, seed=1)
    stream(by_setting, kind, n_chunks=3, seed=1)
    assert_same_model(in_place, by_setting)


@each_kind
def test_a_chunk_that_fails_leaves_the_weights_with_who_has_them(kind):
    model = stream(make(kind), kind, n_chunks=3)
    coef = model.coef_
    X, y = chunk_of(kind, np.random.default_rng(0))
    with pytest.raises(ValueError, match="Training diverged"):
        learn(model.set_params(eta0=1e300), sparse.csr_array(X), y)
    assert np.shares_memory(model.coef_, coef)
    coef[..., 0] = 3.0
    learn(model.set_params(eta0=1e-9), sparse.csr_array(np.zeros_like(X)), y)
    assert_allclose(model.coef_[..., 0], 3.0, rtol=1e-6)


@each_kind
def test_an_edited_array_that_was_shown_is_stored(kind):
    model = stream(make(kind), kind, n_chunks=3)
    model.coef_[..., 0] = 7.0
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.coef_[..., 0], model.coef_[..., 0])
    assert np.all(loaded.coef_[..., 0] == 7.0)


@pytest.mark.usefixtures("window")
@each_penalty
def test_a_stream_goes_on_from_a_fit(penalty):
    rng = np.random.default_rng(0)
    X, y = chunk_of("regressor", rng, n_rows=50)
    settings = {"penalty": penalty, "momentum": 0.9, "max_iter": 3, "tol": None}
    of_csr = make("regressor", **settings).fit(sparse.csr_array(X), y)
    of_dense = make("regressor", **settings).fit(X, y)
    for _ in range(5):
        X, y = chunk_of("regressor", rng)
        learn(of_csr, sparse.csr_array(X), y)
        learn(of_dense, X, y)
    assert_same_model(of_csr, of_dense)


@pytest.mark.parametrize("average", [False, True])
def test_penalty_of_small_weights_is_not_lost_beside_large_ones_that_have_gone(average):
    models = make("regressor", average=average), make("regressor", average=average)
    models = [model.set_params(eta0=0.5) for model in models]
    for column, target in [(0, 1.0), (1, 1e12), *[(1, 0.0)] * 60]:
        X = np.zeros((1, N_FEATURES))
        X[0, column] = 1.0
        learn(models[0], sparse.csr_array(X), [target])
        learn(models[1], X, [target])
    penalties = [model.loss_curve_[-1] for model in models]
    assert_allclose(penalties[0], penalties[1], rtol=RTOL)
    assert_same_model(*models)


def test_all_velocities_end_where_the_rate_was_found_for_standardized_columns():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, N_FEATURES)), rng.normal(size=20)
    half = np.where(np.arange(N_FEATURES) < N_FEATURES // 2, X, 0.0)
    models = []
    for goes_on in (True, False):
        model = make("regressor", momentum=0.9, eta0="auto")
        learn(model.set_params(standardize="auto"), X, y)
        learn(model.set_params(eta0=0.02), sparse.csr_array(X), y)
        model.set_params(eta0="auto")
        if not goes_on:
            model.sparsify().densify()
        models.append(learn(model, sparse.csr_array(half), y))
    assert_same_model(*models)


# ---------------------------------------------------------------------------
# Chunks of any kind
# ---------------------------------------------------------------------------


def with_unsorted_duplicates(X):
    """The same matrix with each entry in two halves, from right to left."""
    rows, columns = np.nonzero(X)
    order = np.lexsort((-columns, rows))
    rows, columns = rows[order], columns[order]
    values = np.repeat(X[rows, columns] / 2.0, 2)
    indptr = np.concatenate([[0], np.cumsum(2 * np.count_nonzero(X, axis=1))])
    return sparse.csr_array((values, np.repeat(columns, 2), indptr), X.shape)


def with_long_indices(X):
    matrix = sparse.csr_array(X)
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


def with_indices(dtype):
    """Indices of a type that SciPy does not make, apart in the memory."""

    def change(X):
        matrix = sparse.csr_array(X)
        matrix.indices = np.repeat(matrix.indices.astype(dtype), 2)[::2]
        return matrix

    return change


def with_more_than_it_tells(X):
    """A matrix whose arrays continue after its last entry."""
    matrix = sparse.csr_array(X)
    matrix.data = np.append(matrix.data, [1e9])
    matrix.indices = np.append(matrix.indices, matrix.indices.dtype.type(0))
    return matrix


LAYOUTS = {
    "unsorted, with duplicates": with_unsorted_duplicates,
    "64-bit indices": with_long_indices,
    "indices apart": with_indices(np.int32),
    "unsigned indices": with_indices(np.uint32),
    "big-endian indices": with_indices(">i4"),
    "unused entries": with_more_than_it_tells,
    "CSC": sparse.csc_array,
    "COO": sparse.coo_array,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_sparse_layout_is_the_same_chunk(layout):
    rng = np.random.default_rng(0)
    models = make("regressor", momentum=0.9), make("regressor", momentum=0.9)
    for _ in range(6):
        X, y = chunk_of("regressor", rng)
        learn(models[0], LAYOUTS[layout](X), y)
        learn(models[1], X, y)
    assert_same_model(*models)


@each_kind
@each_penalty
def test_chunks_without_entries_or_weights_pass_the_time(kind, penalty):
    rng = np.random.default_rng(0)
    settings = {"penalty": penalty, "momentum": 0.9}
    of_csr, of_dense = make(kind, **settings), make(kind, **settings)
    for weight in (0.0, 1.0, 0.0, 1.0, None):
        X, y = chunk_of(kind, rng)
        if weight is None:
            X[:] = 0.0
        weights = None if weight is None else np.full(len(y), weight)
        classes = {"classes": CLASSES} if kind == "three classes" else {}
        of_csr.partial_fit(sparse.csr_array(X), y, sample_weight=weights, **classes)
        of_dense.partial_fit(X, y, sample_weight=weights, **classes)
    assert_same_model(of_csr, of_dense)


@each_penalty
def test_single_precision_is_that_of_dense_chunks(penalty):
    rng = np.random.default_rng(0)
    settings = {"penalty": penalty, "momentum": 0.9}
    of_csr, of_dense = make("regressor", **settings), make("regressor", **settings)
    for _ in range(30):
        X, y = chunk_of("regressor", rng, dtype=np.float32)
        learn(of_csr, sparse.csr_array(X), y)
        learn(of_dense, X, y)
    assert of_csr.coef_.dtype == np.float32
    # Rounding to single precision, 30 times
    assert_same_model(of_csr, of_dense, rtol=30 * np.finfo(np.float32).eps)


def test_a_chunk_that_fails_leaves_no_trace():
    rng = np.random.default_rng(0)
    model = stream(make("regressor", momentum=0.9), "regressor", n_chunks=4)
    other = stream(make("regressor", momentum=0.9), "regressor", n_chunks=4)
    X, y = chunk_of("regressor", rng)
    for bad in (X * 1e200, X * 1e12):
        with pytest.raises(DivergenceError):
            learn(model, sparse.csr_array(bad), y)
    with pytest.raises(ValueError, match="NaN"):
        learn(model, sparse.csr_array(X), np.full(len(y), np.nan))
    assert_same_bits(model, other)
    learn(model, sparse.csr_array(X), y)
    learn(other, sparse.csr_array(X), y)
    assert_same_bits(model, other)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("columns", lambda columns: columns - columns.min() - 1),
        ("columns", lambda columns: columns + N_FEATURES),
        ("columns", np.zeros_like),
        ("clocks", np.zeros_like),
        ("clocks", lambda clocks: clocks + 1e6),
        ("rates", lambda rates: np.ones(2000)),
        ("window_size", lambda size: 0),
        ("window_size", lambda size: None),
        ("shape", lambda shape: (1, 0)),
        ("shape", lambda shape: 3),
        ("dtype", lambda dtype: "<i8"),
        ("momentum", lambda momentum: 1.5),
        ("momentum", lambda momentum: "much"),
        ("l2", lambda l2: np.nan),
        ("rates", lambda rates: rates * np.nan),
        ("rates", lambda rates: rates[:0]),
        ("numbers", lambda numbers: numbers[:, :0]),
        ("intercept", lambda intercept: None),
        ("has_begun_to_average", lambda begun: True),
        ("factors", lambda factors: np.ones(1 if len(factors) == 0 else 0)),
        ("factors", lambda factors: np.full(max(1, len(factors)), 2.0)),
    ],
)
@pytest.mark.parametrize("kind", ["regressor", "many targets"])
def test_what_is_stored_is_not_trusted(name, damage, kind):
    model = stream(make(kind), kind, n_chunks=30)
    state = model.__getstate__()
    arrays = state["_streamed"]
    damaged = {**state, "_streamed": {**arrays, name: damage(arrays[name])}}
    with pytest.raises(ValueError, match="damaged"):
        make(kind).__setstate__(damaged)
    missing = {key: value for key, value in arrays.items() if key != name}
    with pytest.raises(ValueError, match="damaged"):
        make(kind).__setstate__({**state, "_streamed": missing})


@each_kind
def test_a_stream_of_other_columns_is_refused(kind):
    model = stream(make(kind), kind, n_chunks=2)
    columns = np.arange(N_FEATURES - 1)
    other = make(kind)
    X, y = chunk_of(kind, np.random.default_rng(0))
    learn(other, sparse.csr_array(X[:, columns]), y)
    model._streamed = other._streamed
    with pytest.raises(ValueError, match=r"n_features_in_ is .* but _streamed"):
        learn(model, sparse.csr_array(X), y)


def test_a_changed_number_of_features_is_no_way_out_of_the_arrays():
    model = stream(make("regressor"), "regressor", n_chunks=2)
    model.n_features_in_ = 10**6
    X = sparse.csr_array(([1.0], ([0], [10**6 - 1])), shape=(1, 10**6))
    for call in (model.predict, lambda X: model.partial_fit(X, [1.0])):
        with pytest.raises(ValueError):
            call(X)


# ---------------------------------------------------------------------------
# What a chunk costs
# ---------------------------------------------------------------------------


def peak_of(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["regressor", "three classes"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_memory_of_a_call_does_not_depend_on_the_number_of_columns(kind, momentum):
    peaks = []
    for n_features in (2**12, 2**21):
        rng = np.random.default_rng(0)
        X = sparse.csr_array(
            (rng.normal(size=320), (np.repeat(range(32), 10), rng.choice(2**12, 320))),
            shape=(32, n_features),
        )
        y = rng.integers(3, size=32)
        model = make(kind, momentum=momentum)
        for _ in range(2):
            learn(model, X, y)
        peaks.append(
            [
                peak_of(lambda model=model, X=X, y=y: learn(model, X, y)),
                peak_of(lambda model=model, X=X: decisions(model, X)),
            ]
        )
    # A bit for each column of the larger model would be 262 kB.
    assert np.max(peaks) < 2**17
    assert_allclose(peaks[1], peaks[0], rtol=0.1)


def test_predictions_for_a_few_sparse_rows_copy_no_weights():
    X = sparse.random(6, 20_000, density=0.001, format="csr", random_state=0)
    y = np.arange(6) % 3
    model = make("three classes", max_iter=2, tol=None).fit(X, y)
    assert peak_of(lambda: model.predict(X)) < model.coef_.nbytes / 4
    expected = X @ model.coef_.T + model.intercept_
    assert_array_equal(model.decision_function(X), expected)


def test_without_momentum_no_velocities_are_stored():
    X = sparse.random(6, 5_000, density=0.1, format="csr", random_state=0)
    y = np.arange(6) % 3
    for layout in (X, X.toarray()):
        fitted = make("three classes", max_iter=2, tol=None).fit(layout, y)
        for model in (fitted, pickle.loads(pickle.dumps(fitted))):
            assert len(pickle.dumps(model)) < 1.1 * model.coef_.nbytes


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_after_sparsify_nothing_dense_is_stored(layout):
    X = np.zeros((30, 20_000))
    X[:, :5] = np.random.default_rng(0).normal(size=(30, 5))
    y = X[:, 0] - X[:, 1]
    model = make("regressor", momentum=0.9, max_iter=2, tol=None).fit(layout(X), y)
    other = copy.deepcopy(model)
    model.sparsify()
    assert len(pickle.dumps(model)) < 10_000
    assert_allclose(model.predict(X), other.predict(X), rtol=1e-12)
    model.densify()
    assert_same_bits(learn(model, layout(X), y), learn(other, layout(X), y))


# ---------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------


@contextmanager
def readers(read, done):
    """Two threads that read until they are told that it is done."""
    threads = [threading.Thread(target=read) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        sys.setswitchinterval(interval)
        done.set()
        for thread in threads:
            thread.join()


def test_readers_see_the_model_before_or_after_a_chunk():
    # Column 0 is a second intercept, and makes its updates: a model between two updates
    # would show the one without the other.
    rng = np.random.default_rng(0)
    model = make("regressor", penalty=None, momentum=0.9)
    rows = sparse.csr_array(([1.0], ([1], [0])), shape=(2, N_FEATURES))
    wrong, done = [], threading.Event()

    def read():
        while not done.is_set():
            without, with_both = model.predict(rows)
            # They differ by rounding.
            if abs(with_both - 2.0 * without) > 1e-9:
                wrong.append((without, with_both))

    chunks = [chunk_of("regressor", rng, n_rows=40) for _ in range(8)]
    for X, _ in chunks:
        X[:, 0] = 1.0
    learn(model, sparse.csr_array(chunks[0][0]), chunks[0][1])
    with readers(read, done):
        for _ in range(10):
            for X, y in chunks:
                learn(model, sparse.csr_array(X), y)
    assert wrong == []
    assert_allclose(model.coef_[0], model.intercept_[0], rtol=1e-9)


@pytest.mark.parametrize("kind", ["regressor", "many targets"])
def test_readers_beside_a_stream_find_only_what_it_was(kind):
    chunks = [chunk_of(kind, np.random.default_rng(i)) for i in range(20)] * 5
    chunks = [(sparse.csr_array(X), y) for X, y in chunks]
    model, states = make(kind, momentum=0.0), []
    for X, y in chunks:
        states.append(learn(model, X, y).coef_.tobytes())
    model, done, wrong, n_read = make(kind, momentum=0.0), threading.Event(), [], [0]
    learn(model, *chunks[0])

    def read():
        while not done.is_set():
            held = model.coef_
            found = [held.tobytes(), pickle.loads(pickle.dumps(model)).coef_.tobytes()]
            decisions(model, np.eye(N_FEATURES))
            wrong.extend({*found, held.tobytes()} - known)
            n_read[0] += 1

    known = set(states)
    with readers(read, done):
        for X, y in chunks[1:]:
            learn(model, X, y)
    assert wrong == []
    assert n_read[0] > 0
    assert model.coef_.tobytes() == states[-1]


def test_weights_edited_during_a_call_count_from_then_on():
    def edit(epoch):
        if epoch == 2:
            model.coef_[...] = 3.0
        return 0.01

    model = make("many targets", momentum=0.0, alpha=1.0, learning_rate=edit)
    stream(model, "many targets", n_chunks=3)
    X = sparse.csr_array(np.zeros((4, N_FEATURES)))
    learn(model, X, np.zeros((4, MANY_OUTPUTS)))
    assert np.median(model.coef_) > 2.5  # not the columns of the chunk of that call
    penalty = np.sum(model.coef_**2) / 2.0
    assert_allclose(model.loss_curve_[-1], penalty, rtol=1e-3)


def test_weights_exchanged_during_a_call_leave_the_right_penalty():
    def exchange(epoch):
        if epoch == 1:
            model.coef_[:, [0, 5]] = model.coef_[:, [5, 0]]
        return 1e-12

    model = make("many targets", momentum=0.0, alpha=1.0, learning_rate=exchange)
    X, y = np.eye(N_FEATURES), np.zeros((N_FEATURES, MANY_OUTPUTS))
    learn(model, sparse.csr_array(X), y)
    model.coef_ = np.zeros(model.coef_.shape)
    model.coef_[:, 5], model.coef_[:, 0] = 1024.0, 1.0
    for _ in range(2):
        learn(model, sparse.csr_array(X[:1]), y[:1])
    penalty = np.sum(model.coef_**2) / 2.0
    data = np.sum(model.coef_[:, 0] ** 2) / 2.0
    assert_allclose(model.loss_curve_[-1], penalty + data, rtol=1e-6)


@each_kind
def test_nothing_is_released_while_a_chunk_appears(kind):
    model = stream(make(kind), kind, n_chunks=2)
    X, y = chunk_of(kind, np.random.default_rng(0))
    seen = []

    class Rate:
        def __call__(self, epoch):
            array = model.coef_
            finalize(array if array.base is None else array.base, look)
            return 0.01

    def look():
        seen.append((model.n_iter_, model.coef_.copy()))

    states = {model.n_iter_: model.coef_.copy()}
    for _ in range(3):
        learn(model.set_params(learning_rate=Rate()), sparse.csr_array(X), y)
        states[model.n_iter_] = model.coef_.copy()
    assert len(seen) > 0
    for n_iter, coef in seen:
        assert_array_equal(coef, states[n_iter])
