"""Promises: reproducible bit for bit, nothing lost or changed, always interruptible.

- The same inputs and integer ``random_state`` give the same model bit for bit, for any
  number of BLAS threads, and whatever else runs in the process.
- A stream that continues from a copy (pickle, joblib, copy, deepcopy) ends with the
  same model bit for bit.
- An interrupt takes effect soon, and leaves the estimator as it was.
- Inputs are neither written nor copied. Other threads run meanwhile.
"""

import copy
import io
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor
from skmbsgd._engine.csr_stream import CSRStream
from skmbsgd._engine.stored_stream import arrays_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# 0.2 s are promised. The bound does not measure speed. It distinguishes an interrupt
# that is noticed from one that waits for the end of an epoch, even on a busy machine.
SOON = 5.0  # seconds


def bits(estimator):
    """Return all that an estimator has learnt, as bytes."""
    learnt = {
        name: value
        for name, value in vars(estimator).items()
        if name.endswith("_") or name.startswith("_")
    }
    return flat_bits(learnt)


def flat_bits(value):
    if isinstance(value, CSRStream):
        value = arrays_of(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str.encode() + repr(value.shape).encode() + value.tobytes()
    if isinstance(value, dict):
        return b"".join(key.encode() + flat_bits(value[key]) for key in sorted(value))
    if isinstance(value, list | tuple):
        return b"".join(flat_bits(item) for item in value)
    return repr(value).encode()


def problem(kind, n_rows=120, n_features=5, n_outputs=1, dtype=np.float64, seed=0):
    """Return X and y; n_outputs is the number of targets, or of classes if above 1.

    With "sparse" for n_outputs, X is a CSR matrix, 20 entries to a row, and y has one
    output.
    """
    rng = np.random.default_rng(seed)
    if n_outputs == "sparse":
        columns = np.arange(0, n_features, n_features // 20, dtype=np.int32)[:20]
        columns = columns + rng.integers(n_features // 20, size=(n_rows, 1), dtype="i4")
        parts = rng.random(columns.size, dtype), columns.ravel()
        pointers = np.arange(0, columns.size + 1, 20, dtype=np.int32)
        X = csr_matrix((*parts, pointers), shape=(n_rows, n_features))
        return X, rng.normal(size=n_rows)
    X = rng.normal(size=(n_rows, n_features)).astype(dtype)
    if kind is MiniBatchSGDRegressor:
        y = rng.normal(size=n_rows if n_outputs == 1 else (n_rows, n_outputs))
    else:
        y = rng.permutation(np.arange(n_rows) % max(2, n_outputs))
    return X, y


KINDS = [MiniBatchSGDRegressor, MiniBatchSGDClassifier]
each_kind = pytest.mark.parametrize("kind", KINDS)


# ---------------------------------------------------------------------------
# The same bits
# ---------------------------------------------------------------------------

SIZES = {
    "n_features": [1, 7, 100, 1000, 5000, 20000],
    "n_outputs": [1, 3, 40],
    "batch_size": [1, 32, 1000, "full"],
}


def rows_of(n_features, n_outputs, batch_size):
    """Return a number of rows that keeps a case small; batches of 1000 in two."""
    affordable = 1_000_000 // (n_features * n_outputs)
    return min(max(affordable, 70), 1100 if batch_size == 1000 else 200)


@pytest.mark.parametrize("n_features", SIZES["n_features"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@each_kind
def test_the_number_of_blas_threads_does_not_change_a_bit(kind, dtype, n_features):
    for n_outputs, batch_size in itertools.product(
        SIZES["n_outputs"], SIZES["batch_size"]
    ):
        n_rows = rows_of(n_features, n_outputs, batch_size)
        if kind is MiniBatchSGDClassifier and n_rows < 3 * n_outputs:
            continue  # the classes are too many to be stratified
        X, y = problem(kind, n_rows, n_features, n_outputs, dtype)
        estimator = kind(
            batch_size=batch_size,
            eta0=0.01 / n_features,
            momentum=0.9,
            early_stopping=True,
            validation_fraction=0.4,
            max_iter=1,
            tol=None,
            random_state=0,
        )
        results = []
        for n_threads in (1, 2):
            with threadpool_limits(n_threads, user_api="blas"):
                results.append(bits(clone(estimator).fit(X, y)))
        assert results[0] == results[1], (n_outputs, batch_size)


def run_apart(code, **environment):
    """Return what code printed that ran in a process with other variables."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout


def test_the_threads_a_process_starts_with_do_not_change_a_bit():
    code = """
        import hashlib, warnings
        import numpy as np
        from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

        warnings.simplefilter("ignore")
        rng = np.random.default_rng(0)
        digest = hashlib.sha256()
        for n_features in (100, 5000):
            for n_outputs in (1, 40):
                X = rng.normal(size=(150, n_features))
                for model, y in (
                    (MiniBatchSGDRegressor, rng.normal(size=(150, n_outputs))),
                    (MiniBatchSGDClassifier, np.arange(150) % (n_outputs + 1)),
                ):
                    model = model(eta0=1e-5, max_iter=1, random_state=0, momentum=0.9)
                    model.fit(X, y, X_val=X, y_val=y)
                    digest.update(model.coef_.tobytes() + model.intercept_.tobytes())
                    digest.update(np.array(model.validation_scores_).tobytes())
        print(digest.hexdigest())
    """
    digests = set()
    for n in "12":
        threads = {
            "OPENBLAS_NUM_THREADS": n,
            "OMP_NUM_THREADS": n,
            "MKL_NUM_THREADS": n,
        }
        digests.add(run_apart(code, **threads))
    assert len(digests) == 1


@each_kind
def test_a_second_fit_gives_the_same_bits(kind):
    X, y = problem(kind)
    estimator = kind(random_state=0, momentum=0.9, average=True, max_iter=5, tol=None)
    first = bits(estimator.fit(X, y))
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    assert bits(estimator.fit(X, y)) == first
    assert bits(clone(estimator).fit(X, y)) == first
    assert bits(clone(estimator).set_params(random_state=1).fit(X, y)) != first


@each_kind
def test_where_an_array_lies_in_memory_does_not_change_a_bit(kind):
    X, y = problem(kind, n_features=33)
    estimator = kind(random_state=0, max_iter=3, tol=None)
    expected = bits(estimator.fit(X, y))
    for offset in (1, 4, 8, 24, 40):  # some of them not even aligned
        memory = bytearray(X.nbytes + offset)
        memory[offset:] = X.tobytes()
        moved = np.frombuffer(memory, dtype=X.dtype, offset=offset).reshape(X.shape)
        assert bits(clone(estimator).fit(moved, y)) == expected


@pytest.mark.parametrize("early_stopping", [False, True])
def test_without_shuffling_rows_are_visited_in_their_order(early_stopping):
    # With this rate the weight is a mean in which a target counts half as much as the
    # one after it; about 1 of 10 rows is held out.
    X, y = np.ones((200, 1)), np.arange(200.0)
    for seed in range(5):
        estimator = MiniBatchSGDRegressor(
            shuffle=False,
            early_stopping=early_stopping,
            batch_size=1,
            eta0=0.5,
            penalty=None,
            fit_intercept=False,
            max_iter=1,
            random_state=seed,
        )
        assert estimator.fit(X, y).coef_[0] > 190


def test_an_instance_of_random_state_is_drawn_from_anew_by_each_fit():
    X, y = problem(MiniBatchSGDRegressor)
    settings = {"max_iter": 3, "tol": None}
    state = np.random.RandomState(0)
    estimator = MiniBatchSGDRegressor(random_state=state, **settings)
    first, second = bits(estimator.fit(X, y)), bits(estimator.fit(X, y))
    assert first != second
    again = MiniBatchSGDRegressor(random_state=np.random.RandomState(0), **settings)
    assert bits(again.fit(X, y)) == first
    assert bits(again.fit(X, y)) == second


@each_kind
def test_fits_side_by_side_in_threads_give_the_bits_of_fits_alone(kind):
    tasks = [
        (kind(random_state=seed, momentum=0.9, batch_size=batch_size, max_iter=10),
         problem(kind, 2000, 20, n_outputs, dtype, seed))
        for seed, (batch_size, n_outputs, dtype) in enumerate(
            itertools.product([1, 32, "full"], [1, 3], [np.float32, np.float64])
        )
    ]  # fmt: skip
    alone = [bits(clone(estimator).fit(*data)) for estimator, data in tasks]
    together = joblib.Parallel(n_jobs=4, prefer="threads")(
        joblib.delayed(lambda estimator, data: bits(estimator.fit(*data)))(*task)
        for task in tasks
    )
    assert together == alone


# ---------------------------------------------------------------------------
# Streams that are stored and continued
# ---------------------------------------------------------------------------


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


COPIERS = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "joblib": through_joblib,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
STREAMS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "Nesterov momentum": {"momentum": 0.9, "nesterov": True},
    "L1": {"penalty": "l1", "alpha": 0.01},
    "L1 and Nesterov": {"penalty": "l1", "alpha": 0.01, "momentum": 0.9}
    | {"nesterov": True},
    "elastic net": {"penalty": "elasticnet", "alpha": 0.01, "momentum": 0.5},
    "L1 with zeros": {"penalty": "l1", "alpha": 0.05, "momentum": 0.5},
    "averaging and L1": {"average": True, "penalty": "l1", "alpha": 0.05},
    "averaging": {"average": True, "momentum": 0.9},
    "averaging that starts later": {"average": 100, "momentum": 0.9},
    "no shuffling": {"shuffle": False, "momentum": 0.9},
    "shuffled blocks": {"shuffle": "blocks", "momentum": 0.9},
    "full batches": {"batch_size": "full", "momentum": 0.9},
    "single rows": {"batch_size": 1},
    "no intercept": {"fit_intercept": False},
    "time": {"learning_rate": "time", "decay": 0.1},
    "time by update": {"learning_rate": "time", "decay": 0.1, "decay_unit": "update"},
    "automatic decay": {"learning_rate": "time", "decay": "auto", "max_iter": 6},
    "step": {"learning_rate": "step", "epochs_drop": 2},
    "steps": {"learning_rate": "step", "epochs_drop": [1, 3]},
    "constant": {"learning_rate": "constant"},
    "exponential": {"learning_rate": "exponential", "decay": 0.3},
    "cosine": {"learning_rate": "cosine", "max_iter": 6},
    "invscaling": {"learning_rate": "invscaling"},
    "optimal": {"learning_rate": "optimal", "alpha": 0.1},
    "adaptive": {"learning_rate": "adaptive"},
    "callable": {"learning_rate": np.random.default_rng(0).uniform(size=9).__getitem__},
    "NumPy's RandomState": {"random_state": np.random.RandomState(0)},
}


@each_kind
@pytest.mark.parametrize("copied", COPIERS.values(), ids=COPIERS.keys())
def test_a_copy_and_its_original_learn_apart(kind, copied):
    X, y = problem(kind)
    original = kind(random_state=0, momentum=0.9, average=True)
    original.fit(X, y, X_val=X, y_val=y)
    before = bits(original)
    other = copied(original)
    assert bits(other) == before
    other.partial_fit(X, y)
    assert bits(original) == before
    after = bits(other)
    original.partial_fit(X[:60], y[:60]).partial_fit(X, y)
    assert bits(other) == after


def chunks_of(kind, dtype=np.float64):
    return [problem(kind, 30, 4, 3, dtype, seed) for seed in range(7)]


def learn(estimator, chunks):
    """Call partial_fit for each chunk."""
    for X, y in chunks:
        first = isinstance(estimator, MiniBatchSGDClassifier)
        classes = {"classes": [0, 1, 2]} if first else {}
        estimator.partial_fit(X, y, **classes)
    return estimator


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("data", ["dense", "CSR"])
@each_kind
def test_a_stream_taken_up_from_a_copy_ends_in_the_same_bits(kind, data, stream):
    settings = {"batch_size": 8, "random_state": 0} | STREAMS[stream]
    chunks = chunks_of(kind, np.float32 if stream in ("plain", "L1") else np.float64)
    if data == "CSR":
        chunks = [(csr_matrix(np.maximum(X, 0.0)), y) for X, y in chunks]
    # Copies of the settings, since a RandomState is drawn from
    whole = bits(learn(kind(**copy.deepcopy(settings)), chunks))
    for name, copied in COPIERS.items():
        estimator = copied(kind(**copy.deepcopy(settings)))
        for first in (0, 1, 3):
            estimator = copied(learn(estimator, chunks[first : 2 * first + 1]))
        assert bits(estimator) == whole, name


@each_kind
def test_a_stream_continued_after_fit_survives_a_copy_too(kind):
    chunks = chunks_of(kind)
    settings = {"early_stopping": True, "momentum": 0.9, "average": 5, "max_iter": 5}
    estimator = kind(**settings, random_state=0).fit(*problem(kind, 200, 4, 3))
    estimator.set_params(early_stopping=False)
    resumed = pickle.loads(pickle.dumps(estimator))
    assert bits(learn(resumed, chunks)) == bits(learn(estimator, chunks))


@each_kind
@pytest.mark.parametrize("copier", COPIERS)
def test_what_a_copy_learns_stays_unknown_to_the_original(kind, copier):
    chunks = chunks_of(kind)
    estimator = learn(kind(momentum=0.9, average=True, random_state=0), chunks[:2])
    before = bits(estimator)
    learn(COPIERS[copier](estimator), chunks[2:])
    assert bits(estimator) == before


@each_kind
def test_a_clone_forgets_what_was_learnt(kind):
    estimator = learn(kind(momentum=0.9, random_state=0), chunks_of(kind))
    fresh = clone(estimator)
    assert set(vars(fresh)) == set(fresh.get_params())
    assert bits(learn(fresh, chunks_of(kind))) == bits(estimator)


@each_kind
@pytest.mark.parametrize("average", [False, True])
def test_weights_handed_out_earlier_stay_as_they_were(kind, average):
    chunks = chunks_of(kind)
    estimator = learn(kind(momentum=0.9, average=average), chunks[:2])
    coef, intercept = estimator.coef_, estimator.intercept_
    before = coef.tobytes(), intercept.tobytes()
    learn(estimator, chunks[2:])
    assert (coef.tobytes(), intercept.tobytes()) == before
    estimator.fit(*chunks[0])
    assert (coef.tobytes(), intercept.tobytes()) == before


@each_kind
def test_a_subclass_with_parameters_of_its_own_streams_and_copies_too(kind):
    class Rescaled(kind):
        """One more parameter, and a method that calls the parent's."""

        def __init__(self, scale=2.0, eta0=0.01, momentum=0.5, random_state=None):
            super().__init__(eta0=eta0, momentum=momentum, random_state=random_state)
            self.scale = scale

        @classmethod
        def _get_param_names(cls):
            return sorted({*kind._get_param_names(), "scale"})

        def partial_fit(self, X, y, **others):
            return super().partial_fit(X * self.scale, y, **others)

    chunks = chunks_of(kind)
    estimator = learn(Rescaled(random_state=0), chunks)
    doubled = [(2.0 * X, y) for X, y in chunks]
    plain = learn(kind(eta0=0.01, momentum=0.5, random_state=0), doubled)
    assert bits(estimator) == bits(plain)
    assert bits(learn(copy.deepcopy(estimator), chunks)) == bits(learn(plain, doubled))


# ---------------------------------------------------------------------------
# Settings that change between chunks
# ---------------------------------------------------------------------------

# With an automatic rate, a stream shows means of its weights by default.
OF_LAST_WEIGHTS = {"eta0": 0.01, "random_state": 0}


@each_kind
def test_averaging_switched_off_shows_the_weights_themselves(kind):
    chunks = chunks_of(kind)
    averaged = learn(kind(average=True, **OF_LAST_WEIGHTS), chunks[:3])
    plain = learn(kind(**OF_LAST_WEIGHTS), chunks)
    # Averaging has no effect on the updates.
    learn(averaged.set_params(average=False), chunks[3:])
    np.testing.assert_array_equal(averaged.coef_, plain.coef_)
    np.testing.assert_array_equal(averaged.intercept_, plain.intercept_)


@each_kind
def test_averaging_that_is_put_off_shows_the_weights_meanwhile(kind):
    chunks = chunks_of(kind)
    averaged = learn(kind(average=True, **OF_LAST_WEIGHTS), chunks[:3])
    plain = learn(kind(**OF_LAST_WEIGHTS), chunks)
    learn(averaged.set_params(average=10**9), chunks[3:])
    np.testing.assert_array_equal(averaged.coef_, plain.coef_)


@each_kind
def test_averaging_switched_on_begins_with_the_next_update(kind):
    chunks = chunks_of(kind)
    settings = {"batch_size": "full", **OF_LAST_WEIGHTS}
    plain = kind(**settings)
    path = [learn(plain, [chunk]).coef_ for chunk in chunks]
    averaged = learn(kind(**settings), chunks[:3])
    learn(averaged.set_params(average=True), chunks[3:])
    np.testing.assert_allclose(averaged.coef_, np.mean(path[3:], axis=0), rtol=1e-12)


# With L1, the sums Z of all gradient steps and u of all L1 steps are part of the state.
# In one column of ones and single rows they can be followed by hand: after five targets
# of 0, Z and the weight are 0 and u is 5 * 0.1 * 0.5 = 0.25.


def stream_with_l1(layout, **settings):
    """Return a model whose weight is 0 with an unused penalty of 0.25."""
    defaults = {
        "penalty": "l1",
        "alpha": 0.5,
        "learning_rate": "constant",
        "eta0": 0.1,
        "momentum": 0.0,
        "nesterov": False,
        "fit_intercept": False,
        "batch_size": 1,
        "shuffle": False,
    }
    model = MiniBatchSGDRegressor(**defaults | settings)
    return model.partial_fit(layout(np.ones((5, 1))), np.zeros(5))


each_layout = pytest.mark.parametrize("layout", [np.asarray, csr_matrix])
each_precision = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def weight_after_a_one(model, layout, n_rows=1):
    """Return the weight after targets of 1, each of which gives a step of 0.1 at 0."""
    model.partial_fit(layout(np.ones((n_rows, 1))), np.ones(n_rows))
    return model.coef_[0]


@each_layout
def test_an_unused_l1_penalty_outlives_the_chunk(layout):
    # Z = 0.1, 0.2, 0.3, 0.4 and u = 0.30, 0.35, 0.40, 0.45: the weight stays at 0.
    model = stream_with_l1(layout)
    assert [weight_after_a_one(model, layout) for _ in range(4)] == [0.0] * 4
    # Z = 0.5 is u; then 0.6 - 0.55, and 0.695 - 0.6.
    weight_after_a_one(model, layout)
    weights = [weight_after_a_one(model, layout) for _ in range(2)]
    np.testing.assert_allclose(weights, [0.05, 0.095], rtol=1e-12)


@each_layout
@pytest.mark.parametrize(
    "changes",
    [
        {"l1_ratio": 0.9},  # which belongs to the elastic net
        {"momentum": 0.9},
        {"batch_size": 2},
        {"average": True},
        {"eta0": 0.01},
        {"loss": "huber", "epsilon": 1.0},
    ],
)
def test_changes_of_other_settings_keep_the_unused_l1_penalty(changes, layout):
    model = stream_with_l1(layout).set_params(**changes)
    assert weight_after_a_one(model, layout) == 0.0


@each_layout
@pytest.mark.parametrize(
    ("changes", "weight"),
    [
        ({"alpha": 0.4}, 0.1 - 0.04),
        ({"penalty": "elasticnet", "l1_ratio": 0.6}, 0.1 - 0.03),
        ({"penalty": "l2"}, 0.1),
        ({"penalty": None}, 0.1),
    ],
)
def test_another_penalty_begins_at_the_weights(changes, weight, layout):
    model = stream_with_l1(layout).set_params(**changes)
    actual = weight_after_a_one(model, layout)
    np.testing.assert_allclose(actual, weight, rtol=1e-12)


@each_layout
def test_a_penalty_left_and_taken_up_again_begins_at_the_weights(layout):
    model = stream_with_l1(layout)
    model.set_params(alpha=0.3).set_params(alpha=0.5)  # no call between the two
    assert weight_after_a_one(model, layout) == 0.0
    model = stream_with_l1(layout).set_params(penalty="l2", eta0=0.0)
    assert weight_after_a_one(model, layout) == 0.0
    model.set_params(penalty="l1", eta0=0.1)
    np.testing.assert_allclose(
        weight_after_a_one(model, layout), 0.1 - 0.05, rtol=1e-12
    )


@each_layout
def test_another_penalty_keeps_the_velocities(layout):
    # v = 0.1 after the first target of 1, from rest at Z = 0 and u = 0. Then alpha is
    # 0.2: Z = 0, for that is the weight, v = 0.05 + 0.1 and u = 0.02.
    model = stream_with_l1(layout, momentum=0.5)
    assert weight_after_a_one(model, layout) == 0.0
    model.set_params(alpha=0.2)
    np.testing.assert_allclose(
        weight_after_a_one(model, layout), 0.15 - 0.02, rtol=1e-12
    )


@each_layout
@each_precision
@pytest.mark.parametrize("in_place", [False, True])
def test_with_l1_weights_overwritten_by_hand_are_a_new_beginning(
    in_place, dtype, layout
):
    model = stream_with_l1(lambda X: layout(X.astype(dtype)))
    model.intercept_[:] = 0.0  # no change, and not of the weights
    assert weight_after_a_one(model, layout) == 0.0
    if in_place:
        model.coef_[0] = 0.2
    else:
        model.coef_ = np.array([0.2])
    # Z = 0.2 + 0.1 * 0.8 and u = 0.05
    weight = weight_after_a_one(model, layout)
    np.testing.assert_allclose(weight, 0.23, rtol=10 * np.finfo(dtype).eps)


@each_layout
def test_with_l1_a_warm_start_begins_at_the_weights(layout):
    model = stream_with_l1(layout, warm_start=True, max_iter=1, tol=None)
    model.fit(layout(np.ones((1, 1))), np.ones(1))
    np.testing.assert_allclose(model.coef_, [0.1 - 0.05], rtol=1e-12)
    model.fit(layout(np.ones((1, 1))), np.ones(1))
    np.testing.assert_allclose(model.coef_, [0.05 + 0.095 - 0.05], rtol=1e-12)


@each_layout
def test_with_l1_a_stream_goes_on_where_fit_ended(layout):
    model = stream_with_l1(layout, max_iter=1, tol=None)
    model.fit(layout(np.ones((5, 1))), np.zeros(5))
    assert weight_after_a_one(model, layout, n_rows=4) == 0.0
    model.fit(layout(np.ones((5, 1))), np.ones(5))
    # Five steps of 0.1 * (1 - w) - 0.05 towards 0.5
    np.testing.assert_allclose(model.coef_, [0.5 - 0.5 * 0.9**5], rtol=1e-12)


@each_layout
def test_with_l1_a_stream_goes_on_from_the_epoch_that_validation_chose(layout):
    X, y = problem(MiniBatchSGDRegressor, 60, 5)
    settings = {"penalty": "l1", "alpha": 0.1, "momentum": 0.5, "shuffle": False}
    settings |= {"eta0": 0.02, "learning_rate": "constant", "tol": None}
    chosen = MiniBatchSGDRegressor(**settings, max_iter=6)
    # The validation targets are reversed: the more is learnt, the worse the score.
    chosen.fit(layout(X), y, X_val=layout(-X), y_val=y)
    best = 1 + int(np.argmax(chosen.validation_scores_))
    assert best < 6
    shorter = MiniBatchSGDRegressor(**settings, max_iter=best).fit(layout(X), y)
    for _ in range(3):
        assert chosen.coef_.any()
        np.testing.assert_array_equal(chosen.coef_, shorter.coef_)
        chosen.partial_fit(layout(X), y)
        shorter.partial_fit(layout(X), y)


def test_a_stream_may_change_its_loss_and_everything_else():
    changes = [
        {"loss": "hinge"},
        {"momentum": 0.9},
        {"nesterov": True},
        {"penalty": "l1"},
        {"batch_size": "full"},
        {"loss": "modified_huber", "batch_size": 1},
        {"average": True},
        {"momentum": 0.0, "nesterov": False},
        {"learning_rate": "adaptive"},
        {"learning_rate": "optimal", "penalty": "elasticnet"},
        {"learning_rate": "step", "epochs_drop": [3, 4]},
        {"loss": "log_loss", "average": 500, "penalty": None},
        {"shuffle": False, "fit_intercept": False, "random_state": 3},
    ]
    chunks = chunks_of(MiniBatchSGDClassifier)
    estimator = learn(MiniBatchSGDClassifier(random_state=0, batch_size=7), chunks[:1])
    for n, change in enumerate(changes):
        n_updates = estimator.t_
        learn(estimator.set_params(**change), [chunks[n % len(chunks)]])
        size = {"full": 30}.get(estimator.batch_size, estimator.batch_size)
        assert estimator.t_ == n_updates + -(-30 // size)
        assert estimator.n_iter_ == n + 2 == len(estimator.loss_curve_)
        assert estimator.coef_.shape == (3, 4)
        assert np.isfinite(estimator.coef_).all()
    assert estimator.predict_proba(chunks[0][0]).shape == (30, 3)


# ---------------------------------------------------------------------------
# Interrupts
# ---------------------------------------------------------------------------

INTERRUPTED = """
    import pickle, signal, sys, warnings
    import numpy as np
    from skmbsgd import MiniBatchSGDClassifier

    # Shells make their background processes ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("ignore")
    X = np.random.default_rng(0).random((200_000, 20))
    y = np.arange(len(X)) % 1000
    model = MiniBatchSGDClassifier(random_state=0).partial_fit(
        X[:5000], y[:5000], classes=np.arange(1000)
    )
    for line in sys.stdin:
        batch_size, method = line.split()
        model.batch_size = batch_size if batch_size == "full" else int(batch_size)
        before = pickle.dumps(vars(model))
        try:
            print("begins", flush=True)
            getattr(model, method)(X, y)
        except KeyboardInterrupt:
            print("heard", pickle.dumps(vars(model)) == before, flush=True)
        else:
            print("ended by itself", flush=True)
"""


def test_an_interrupt_from_the_keyboard_is_heard_in_the_middle_of_an_epoch():
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            for task in ("1 fit", "1 partial_fit", "full fit", "full partial_fit"):
                print(task, file=process.stdin, flush=True)
                assert process.stdout.readline() == "begins\n"
                time.sleep(0.4)  # an epoch takes several seconds
                sent = time.monotonic()
                process.send_signal(signal.SIGINT)
                answer = process.stdout.readline()
                latency = time.monotonic() - sent
                assert answer == "heard True\n", task
                assert latency < SOON, task
        finally:
            process.stdin.close()
            process.kill()


needs_timer = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="the platform has no interval timer"
)


@pytest.fixture
def alarm():
    """Set a handler of a timer: alarm(handler, first=seconds, interval=seconds)."""
    previous = signal.getsignal(signal.SIGALRM)

    def start(handler, first, interval=0.0):
        signal.signal(signal.SIGALRM, lambda number, frame: handler())
        signal.setitimer(signal.ITIMER_REAL, first, interval)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, previous)


def assert_never_deaf(times):
    """Assert that no gap between alarms is most of an epoch of about a second.

    The times are processor times, so other processes do not matter.
    """
    times = list(times)  # the alarm may still go off
    assert max(np.diff(times)) < max(0.5 * (times[-1] - times[0]), 0.2)


LONG_TASKS = {
    "full batches": (MiniBatchSGDRegressor(batch_size="full"), 500_000, 20, 1),
    "full batches, two threads": (
        MiniBatchSGDRegressor(batch_size="full", n_jobs=2),
        500_000,
        20,
        1,
    ),
    "two threads": (MiniBatchSGDRegressor(batch_size=1024, n_jobs=2), 500_000, 20, 1),
    "single rows": (MiniBatchSGDRegressor(batch_size=1), 300_000, 20, 1),
    "one column": (MiniBatchSGDRegressor(batch_size=1), 1_000_000, 1, 1),
    "one column, blocks": (
        MiniBatchSGDRegressor(batch_size=1024, shuffle="blocks"),
        10_000_000,
        1,
        1,
    ),
    "many columns": (MiniBatchSGDRegressor(batch_size=1, eta0=1e-9), 1000, 20_000, 1),
    "averages and L1": (
        MiniBatchSGDRegressor(
            batch_size=1, penalty="l1", nesterov=True, momentum=0.5, average=True
        ),
        300_000,
        20,
        1,
    ),
    "many classes": (MiniBatchSGDClassifier(), 30_000, 20, 500),
    "CSR": (MiniBatchSGDRegressor(batch_size=1), 200_000, 1000, "sparse"),
    "CSR, full batches": (
        MiniBatchSGDRegressor(batch_size="full"),
        200_000,
        1000,
        "sparse",
    ),
    "CSR, averages and L1": (
        MiniBatchSGDRegressor(penalty="l1", nesterov=True, momentum=0.5, average=True),
        100_000,
        1000,
        "sparse",
    ),
    "many targets": (MiniBatchSGDRegressor(eta0=1e-6), 4000, 200, 1000),
}


@needs_timer
@pytest.mark.parametrize("task", LONG_TASKS)
def test_signals_are_heard_all_through_an_epoch(task, alarm):
    estimator, *sizes = LONG_TASKS[task]
    X, y = problem(type(estimator), *sizes)
    estimator = clone(estimator).set_params(max_iter=1, tol=None)
    times = [time.thread_time()]
    alarm(lambda: times.append(time.thread_time()), first=0.005, interval=0.005)
    estimator.fit(X, y)
    times.append(time.thread_time())
    assert_never_deaf(times)


@needs_timer
def test_signals_are_heard_while_the_validation_score_is_computed(alarm):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10_000, 1000))
    W = np.zeros((1000, 1000))
    y = np.zeros((10_000, 1000))
    y[:, 0] = X[:, 0]
    estimator = MiniBatchSGDRegressor(max_iter=1, eta0=0.0, tol=None)
    times = [time.thread_time()]
    alarm(lambda: times.append(time.thread_time()), first=0.005, interval=0.005)
    estimator.fit(X[:2], y[:2], coef_init=W, X_val=X, y_val=y)
    times.append(time.thread_time())
    assert_never_deaf(times)


@needs_timer
def test_signals_are_heard_within_a_batch_of_long_sparse_rows(alarm):
    rng = np.random.default_rng(0)
    X, y = csr_matrix(rng.normal(size=(32, 5000))), rng.normal(size=(32, 1000))
    estimator = MiniBatchSGDRegressor(max_iter=1, eta0=1e-6, tol=None)
    times = [time.thread_time()]
    alarm(lambda: times.append(time.thread_time()), first=0.005, interval=0.005)
    estimator.fit(X, y)
    times.append(time.thread_time())
    assert_never_deaf(times)


class Interrupted(BaseException):
    """An error that only the test catches."""


def raise_interrupted():
    raise Interrupted


@needs_timer
@each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "at_interrupt",
    [{"batch_size": 1}, {"batch_size": "full"}, {"batch_size": 1024, "n_jobs": 2}],
    ids=str,
)
def test_a_stream_goes_on_after_an_interrupt_as_if_it_had_not_been(
    kind, method, at_interrupt, alarm
):
    chunks = chunks_of(kind)
    settings = {"momentum": 0.9, "average": True, "random_state": 0}
    estimator = learn(kind(**settings), chunks[:3])
    before = bits(estimator)
    # An epoch takes several times as long as the alarm waits, even on fast machines.
    X, y = problem(kind, 1_000_000, 4, 3)

    def pause(epoch):
        # The alarm goes off at a random place of the epoch that follows.
        alarm(raise_interrupted, first=0.001)
        return 0.01

    estimator.set_params(max_iter=3, tol=None, **at_interrupt)
    estimator.set_params(learning_rate=pause)
    with pytest.raises(Interrupted):
        getattr(estimator, method)(X, y)
    assert bits(estimator) == before

    estimator.set_params(**kind(**settings).get_params())
    expected = learn(kind(**settings), chunks)
    assert bits(learn(estimator, chunks[3:])) == bits(expected)


@needs_timer
def test_interrupts_at_any_moment_never_leave_a_fit_waiting_for_its_threads():
    # This runs in its own process, because a fit that hangs can only be killed.
    printed = run_apart(
        """
        import faulthandler, signal, warnings
        import numpy as np
        from skmbsgd import MiniBatchSGDRegressor

        faulthandler.dump_traceback_later(100, exit=True)
        warnings.simplefilter("ignore")

        class Interrupted(BaseException):
            pass

        def interrupt(number, frame):
            raise Interrupted

        signal.signal(signal.SIGALRM, interrupt)
        rng = np.random.default_rng(0)
        X = rng.normal(size=(20_000, 100))
        estimator = MiniBatchSGDRegressor(
            batch_size=1024, n_jobs=2, max_iter=4, tol=None, random_state=0
        )
        expected = estimator.fit(X, X[:, 0]).coef_
        n_interrupts = 0
        while n_interrupts < 400:
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0003, 0.012))
                estimator.fit(X, X[:, 0])
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            except Interrupted:
                n_interrupts += 1
        assert np.array_equal(estimator.fit(X, X[:, 0]).coef_, expected)
        print(n_interrupts)
        """
    )
    assert printed.strip() == "400"


def test_a_thread_may_train_on_with_others_when_the_main_thread_has_ended():
    printed = run_apart(
        """
        import threading, warnings
        import numpy as np
        from skmbsgd import MiniBatchSGDRegressor

        warnings.simplefilter("ignore")
        X = np.random.default_rng(0).normal(size=(20_000, 100))

        def train():
            main = threading.main_thread()
            main.join()
            estimator = MiniBatchSGDRegressor(batch_size=1024, n_jobs=2, max_iter=20)
            estimator.fit(X, X[:, 0])
            print(f"{estimator.score(X, X[:, 0]):.2f}")

        threading.Thread(target=train).start()
        """
    )
    assert printed.strip() == "1.00"


@needs_timer
def test_a_signal_handler_may_use_the_estimator_in_training(alarm):
    X, y = problem(MiniBatchSGDRegressor, 200_000, 4)
    estimator = MiniBatchSGDRegressor(
        batch_size=1, max_iter=3, tol=None, random_state=0
    )
    expected = bits(clone(estimator).fit(X, y))
    predictions = []
    estimator.fit(X[:100], y[:100])
    alarm(lambda: predictions.append(estimator.predict(X[:5])), 0.01, 0.01)
    assert bits(estimator.fit(X, y)) == expected
    assert len(predictions) > 0


# ---------------------------------------------------------------------------
# Other threads
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", ["full batches", "two threads", "single rows", "many classes", "CSR"]
)
def test_other_threads_run_all_through_an_epoch(task):
    estimator, *sizes = LONG_TASKS[task]
    X, y = problem(type(estimator), *sizes)
    estimator = clone(estimator).set_params(max_iter=1, tol=None)
    times = []
    ready, done = threading.Event(), threading.Event()

    def run():
        ready.set()
        while not done.wait(0.002):
            times.append(time.process_time())

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    started = time.process_time()
    estimator.fit(X, y)
    ended = time.process_time()
    done.set()
    thread.join()
    times = [started, *(t for t in times if started < t < ended), ended]
    assert_never_deaf(times)


@each_kind
def test_data_that_another_thread_changes_meanwhile_do_no_harm(kind):
    X, y = problem(kind, 20_000, 10, 3)
    y = y.astype(float) if kind is MiniBatchSGDRegressor else y
    done = threading.Event()

    def scribble():
        rng = np.random.default_rng(0)
        while not done.is_set():
            X[rng.integers(len(X), size=100)] = rng.choice(
                [0.0, 1e300, np.nan, -np.inf]
            )
            if kind is MiniBatchSGDClassifier:
                y[rng.integers(len(y), size=100)] = rng.integers(-(2**62), 2**62)

    estimator = kind(max_iter=20, tol=None, random_state=0)
    fitted = bits(estimator)
    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        estimator.fit(X, y)
    except ValueError:
        assert bits(estimator) == fitted
    else:
        assert np.isfinite(estimator.coef_).all()
    finally:
        done.set()
        thread.join()


# ---------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------


def read_only(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


@each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"average": True},
        {"shuffle": False},
        {"shuffle": "blocks"},
        {"batch_size": "full"},
        {"max_iter": 1},
    ],
    ids=["default", "averaged", "in order", "in blocks", "full batches", "one epoch"],
)
def test_inputs_are_not_written_to(kind, method, dtype, settings):
    X, y = problem(kind, 60, 4, 3, dtype)
    rng = np.random.default_rng(1)
    arguments = {"X": X, "y": y, "sample_weight": rng.uniform(size=60)}
    if method == "fit":
        arguments |= {
            "coef_init": rng.normal(size=(3, 4)).astype(dtype),
            "intercept_init": rng.normal(size=3).astype(dtype),
            "X_val": X.copy(),
            "y_val": y.copy(),
            "sample_weight_val": rng.uniform(size=60),
        }
    elif kind is MiniBatchSGDClassifier:
        arguments["classes"] = np.arange(3)
    before = {name: array.tobytes() for name, array in arguments.items()}

    estimator = kind(random_state=0, tol=None, **{"max_iter": 3} | settings)
    getattr(estimator, method)(**arguments)
    assert {name: array.tobytes() for name, array in arguments.items()} == before
    for array in arguments.values():
        assert not np.shares_memory(array, estimator.coef_)
        assert not np.shares_memory(array, estimator.intercept_)

    frozen = {name: read_only(array) for name, array in arguments.items()}
    other = clone(estimator)
    getattr(other, method)(**frozen)
    assert bits(other) == bits(estimator)


@each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_csr_matrix_is_not_written_to(kind, method):
    X, y = problem(kind, 60, 4, 3)
    X = csr_matrix(np.maximum(X, 0.0))
    for row in range(len(y)):  # neither sorted nor sorted in place
        entries = slice(*X.indptr[row : row + 2])
        X.indices[entries] = X.indices[entries][::-1].copy()
        X.data[entries] = X.data[entries][::-1].copy()
    X.has_sorted_indices = False
    parts = X.data, X.indices, X.indptr
    before = [part.tobytes() for part in parts]
    for part in parts:
        part.flags.writeable = False
    estimator = kind(random_state=0)
    classes = method == "partial_fit" and kind is MiniBatchSGDClassifier
    getattr(estimator, method)(X, y, **{"classes": [0, 1, 2]} if classes else {})
    assert [part.tobytes() for part in parts] == before
    assert X.data is parts[0] and X.indices is parts[1] and X.indptr is parts[2]


@each_kind
def test_a_warm_start_does_not_write_to_the_weights_it_starts_from(kind):
    X, y = problem(kind, 60, 4, 3)
    estimator = kind(warm_start=True, max_iter=3, tol=None, random_state=0).fit(X, y)
    coef, before = estimator.coef_, estimator.coef_.tobytes()
    estimator.fit(X, y)
    assert coef.tobytes() == before
    assert estimator.coef_.tobytes() != before


# ---------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------

MEMORY_TASKS = {
    "by default": ({}, {}),
    "full batches": ({"batch_size": "full"}, {}),
    "single rows": ({"batch_size": 1}, {}),
    "two threads": ({"batch_size": 1024, "n_jobs": 2}, {}),
    "averaging": ({"average": True}, {}),
    "early stopping": ({"early_stopping": True}, {}),
    "validation data": ({}, {"X_val": "X", "y_val": "y"}),
    "validation data and weights": (
        {},
        {"X_val": "X", "y_val": "y", "sample_weight": "w", "sample_weight_val": "w"},
    ),
}


def peak_beyond_inputs(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("task", MEMORY_TASKS)
@pytest.mark.parametrize(
    ("storage", "dtype"),
    [("array", np.float64), ("array", np.float32), ("memory map", np.float64)],
)
@each_kind
def test_training_does_not_copy_the_data(kind, dtype, storage, task, tmp_path):
    X, y = problem(kind, 30_000, 60, 3, dtype)
    if storage == "memory map":
        X.tofile(tmp_path / "X")
        X = np.memmap(tmp_path / "X", dtype=dtype, mode="r", shape=X.shape)
    settings, extra = MEMORY_TASKS[task]
    arrays = {"X": X, "y": y, "w": np.linspace(0.5, 1.5, len(X))}
    extra = {name: arrays[array] for name, array in extra.items()}
    estimator = kind(max_iter=1, tol=None, random_state=0, **settings)
    methods = [estimator.fit]
    if not extra and not estimator.early_stopping:
        methods.append(estimator.partial_fit)
    for method in methods:
        peak = peak_beyond_inputs(lambda method=method: method(X, y, **extra))
        # The order of rows, the labels, the targets and the weights are O(n) numbers.
        assert peak < 90 * len(X) + 1e6, method.__name__


@each_kind
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float16])
def test_small_numbers_are_copied_in_single_precision(kind, dtype):
    X, y = problem(kind, 30_000, 60, 3)
    X = (X > 0).astype(dtype)
    estimator = kind(max_iter=1, tol=None, random_state=0)
    for call in (
        lambda: estimator.fit(X, y),
        lambda: estimator.fit(X, y, X_val=X[:100], y_val=y[:100]),
        lambda: estimator.partial_fit(X, y),
        lambda: estimator.predict(X),
    ):
        assert peak_beyond_inputs(call) < 4 * X.size + 90 * len(X) + 1e6
    estimator.fit(X.astype(np.float64), y)
    peak = peak_beyond_inputs(lambda: estimator.predict(X))
    assert peak < 8 * X.size + 90 * len(X) + 1e6


@pytest.mark.parametrize("settings", [{}, {"average": True}, {"early_stopping": True}])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_training_does_not_copy_a_csr_matrix(dtype, settings):
    X, y = problem(MiniBatchSGDRegressor, 100_000, 5000, "sparse")
    size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes  # in float64
    X = X.astype(dtype)
    estimator = MiniBatchSGDRegressor(max_iter=1, tol=None, **settings)
    assert peak_beyond_inputs(lambda: estimator.fit(X, y)) < size / 3


def test_validation_with_many_classes_takes_memory_in_proportion_to_the_rows():
    X, y = problem(MiniBatchSGDClassifier, 40_000, 5, 100)
    estimator = MiniBatchSGDClassifier(max_iter=1, tol=None)
    peak = peak_beyond_inputs(lambda: estimator.fit(X, y, X_val=X, y_val=y))
    assert peak < 100 * len(X) + 1e6  # a decision per row and class is 800 * len(X)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc/self/status"
)
def test_the_process_does_not_grow_by_a_copy_of_the_data():
    # Unlike the tests above, this one sees what compiled code allocates by itself.
    printed = run_apart(
        """
        import json, warnings
        import numpy as np
        from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

        def peak():
            with open("/proc/self/status") as lines:
                return next(int(line.split()[1]) for line in lines if "VmHWM" in line)

        warnings.simplefilter("ignore")
        X = np.random.default_rng(0).random((40_000, 250))
        growth = {}
        for model, y in [
            (MiniBatchSGDRegressor(), X[:, 0].copy()),
            (MiniBatchSGDClassifier(), (X[:, 0] > 0.5).astype(int)),
        ]:
            model.set_params(max_iter=1, tol=None).fit(X[:1000], y[:1000])
            for settings in (
                {"average": True}, {"batch_size": "full", "early_stopping": True},
            ):
                before = peak()
                model.set_params(**settings).fit(X, y, sample_weight=X[:, 1])
                growth[f"{type(model).__name__} {settings}"] = peak() - before
        print(json.dumps({"size": X.nbytes // 1024, "growth": growth}))
        """
    )
    measured = json.loads(printed)
    for task, growth in measured["growth"].items():
        assert growth < measured["size"] / 3, task


# Largest peak of a call, in units of coef_: weights, velocities and gradients of a fit;
# in a stream the weights and velocities, those of a chunk once more, and coef_ if it
# cannot be the weights themselves.
WIDE = {
    ("fit", 0.9): 3.5,
    ("fit", 0.0): 1.9,
    ("partial_fit", 0.9): 3.5,
    ("partial_fit", 0.0): 1.9,
}


@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="needs Linux's peak of memory"
)
@pytest.mark.parametrize(("method", "momentum"), WIDE)
def test_wide_models_of_csr_input_are_hardly_copied(method, momentum):
    printed = run_apart(
        f"""
        import re
        import numpy as np
        from scipy.sparse import csr_array
        from skmbsgd import MiniBatchSGDClassifier

        N_COLUMNS, N_CLASSES, N_NONZEROS = 2**18, 50, 100

        def memory(name):
            with open("/proc/self/status") as status:
                return 1024 * int(re.search(name + "[^0-9]*([0-9]+)", status.read())[1])

        def rows(n):
            rng = np.random.default_rng(n)
            columns = rng.integers(0, N_COLUMNS, n * N_NONZEROS, np.int32)
            starts = np.arange(0, n * N_NONZEROS + 1, N_NONZEROS, np.int32)
            X = csr_array(
                (rng.random(len(columns)), columns, starts), (n, N_COLUMNS))
            return X, rng.integers(0, N_CLASSES, n)

        def train(model, X, y):
            if {method!r} == "fit":
                model.fit(X, y)
            else:
                model.partial_fit(X, y, classes=np.arange(N_CLASSES))
            model.coef_

        settings = dict(eta0=0.1, momentum={momentum}, nesterov=False, max_iter=2,
                        tol=None)
        n = 5000 if {method!r} == "fit" else 1000  # all columns, or a third of them
        chunks = [rows(n + i) for i in range(1 if {method!r} == "fit" else 10)]
        train(MiniBatchSGDClassifier(**settings), *rows(60))  # loads all code
        model = MiniBatchSGDClassifier(**settings)
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")
        before = memory("VmRSS")
        for X, y in chunks:
            train(model, X, y)
        grown = memory("VmHWM") - before
        print(grown / model.coef_.nbytes)
        """
    )
    assert float(printed) < WIDE[method, momentum]
