"""fit_chunks: equality with fit bit for bit, passes as epochs, and resumed training."""

import copy
import math
import pickle
import signal
import subprocess
import sys
import textwrap
import warnings
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from test_at_once import Interrupt, interrupt_after, seen, what_a_reader_sees

import skmbsgd
from skmbsgd import (
    DivergenceError,
    MiniBatchSGDClassifier,
    MiniBatchSGDRegressor,
    row_chunks,
)
from skmbsgd._at_once import IN_TRAINING
from skmbsgd._engine.csr_model import MANY_OUTPUTS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
N = 330  # rows, the last batch being a small one
X = RNG.normal(size=(N, 7)) * [1, 1, 1, 20, 1, 1, 0] + [0, 5, 0, 0, 0, 0, 1]
X_SPARSE = X * (RNG.uniform(size=X.shape) < 0.4)
Y = X @ RNG.normal(size=7) / 10 + RNG.normal(size=N)
TARGETS = {
    "regressor": Y,
    "two targets": np.column_stack([Y, X[:, 0]]),
    "two classes": np.where(Y > np.median(Y), "yes", "no"),
    "classes": np.digitize(Y, np.quantile(Y, [0.3, 0.6])),
}
WEIGHTS = RNG.uniform(0.0, 3.0, size=N)
CLASS_WEIGHTS = {"two classes": {"yes": 0.7, "no": 2.0}, "classes": {0: 1, 1: 2, 2: 0}}
MULTIPLES = 64, 96, 128, 42  # of a batch of 32, and the rest
SCHEDULES = {
    "auto": {},
    "constant": {"learning_rate": "constant", "eta0": 1e-3},
    "step": {"learning_rate": "step", "eta0": 1e-3, "epochs_drop": 3},
    "cosine": {"learning_rate": "cosine", "eta0": 1e-3},
    "exponential": {"learning_rate": "exponential", "eta0": 1e-3, "decay": 0.1},
    "time by update": {
        "learning_rate": "time",
        "eta0": 1e-3,
        "decay": 0.1,
        "decay_unit": "update",
    },
    "invscaling": {"learning_rate": "invscaling", "eta0": 2e-3},
    "optimal": {"learning_rate": "optimal", "alpha": 100.0},
    "adaptive": {"learning_rate": "adaptive", "eta0": 1e-3, "tol": 0.05},
    "callable": {"learning_rate": lambda epoch: 1e-3 * 0.9**epoch},
    "found, constant": {"learning_rate": "constant"},
}
CONSTANT = {**SCHEDULES["constant"], "tol": None, "max_iter": 3, "random_state": 0}


def cut(*arrays, lengths=MULTIPLES):
    """The arrays, cut into chunks of these lengths; None is left out."""
    stops = np.cumsum(lengths)
    return [
        tuple(a[stop - n : stop] for a in arrays if a is not None)
        for n, stop in zip(lengths, stops, strict=True)
    ]


def estimator_for(target, **settings):
    classifies = "class" in target
    cls = MiniBatchSGDClassifier if classifies else MiniBatchSGDRegressor
    return cls(**{"random_state": 0, "max_iter": 12, "alpha": 1e-3, **settings})


def matrix(sparse, dtype):
    return csr_array(X_SPARSE.astype(dtype)) if sparse else X.astype(dtype)


def assert_same_model(model, expected, *, and_next=True):
    """Compare all that is learnt bit for bit, now and after one more update."""
    learnt, of_expected = (
        {name: value for name, value in vars(m).items() if name.endswith("_")}
        for m in (model, expected)
    )
    assert learnt.keys() == of_expected.keys()
    for name, value in of_expected.items():
        assert_array_equal(learnt[name], value, strict=True, err_msg=name)
    if and_next:
        rows = np.arange(24).reshape(4, 6)
        models = [copy.deepcopy(m) for m in (model, expected)]
        for each in models:
            Z = np.resize(rows, (4, each.n_features_in_)).astype(each.coef_.dtype) / 50
            target = each.predict(Z)
            each.set_params(early_stopping=False).partial_fit(Z, target)
        assert_same_model(*models, and_next=False)


# ---------------------------------------------------------------------------
# The bits of fit
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_without_shuffling_the_model_has_the_bits_of_fit(
    schedule, sparse, dtype, weighted
):
    data = matrix(sparse, dtype)
    number = 0
    for penalty in ("l2", "l1", "elasticnet"):
        for average in (False, True, 100):
            target = list(TARGETS)[number % len(TARGETS)]
            number += 1
            settings = {"penalty": penalty, "average": average, "shuffle": False}
            settings |= SCHEDULES[schedule]
            if weighted and target in CLASS_WEIGHTS:
                settings["class_weight"] = CLASS_WEIGHTS[target]
            model = estimator_for(target, **settings)
            weights = WEIGHTS if weighted else None
            y = TARGETS[target]
            expected = clone(model).fit(data, y, sample_weight=weights)
            model.fit_chunks(cut(data, y, weights))
            assert_same_model(model, expected)


@pytest.mark.parametrize("eta0", [0.1, "auto"])
def test_a_chunk_of_the_heaviest_class_alone_has_the_weights_of_fit(eta0):
    labels = np.repeat([0, 1], 8)
    settings = {"class_weight": {0: 2.0, 1: 0.5}, "batch_size": 4, "shuffle": False}
    model = MiniBatchSGDClassifier(
        learning_rate="constant", eta0=eta0, max_iter=2, tol=None, **settings
    )
    expected = clone(model).fit(X[:16], labels)
    model.fit_chunks([(X[:8], labels[:8]), (X[8:16], labels[8:])])
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.intercept_, expected.intercept_)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_rate_is_found_in_the_bits_of_fit_where_rows_are_sampled(sparse, weighted):
    # More rows than are sampled, and than columns are learnt from at a time
    n_rows = 5003
    data = np.random.default_rng(1).normal(size=(n_rows, 30))
    y = np.round(data @ np.arange(30.0))
    weights = np.random.default_rng(2).uniform(size=n_rows) if weighted else None
    data = csr_array(data * (data > 0.5)) if sparse else data.astype("f")
    model = MiniBatchSGDRegressor(loss="huber", shuffle=False, max_iter=4)
    model.set_params(random_state=3)
    expected = clone(model).fit(data, y, sample_weight=weights)
    for lengths in ([4800, 32, 171], [96] * 52 + [11], [32, 4971]):
        model.fit_chunks(cut(data, y, weights, lengths=lengths))
        assert_same_model(model, expected)


@pytest.mark.parametrize("sparse", [False, True])
def test_validation_weights_and_stops_as_in_fit(sparse):
    data, y = matrix(sparse, np.float64), TARGETS["classes"]
    model = estimator_for("classes", shuffle=False, scoring="accuracy", max_iter=40)
    model.set_params(class_weight=CLASS_WEIGHTS["classes"], tol=0.05)
    apart = {"X_val": data[:90], "y_val": y[:90], "sample_weight_val": WEIGHTS[:90]}
    for settings in ({}, CONSTANT | {"tol": 0.05, "max_iter": 40}):
        model.set_params(**settings)
        expected = clone(model).fit(data, y, **apart)
        assert settings == {} or expected.n_iter_ < 40
        model.fit_chunks(cut(data, y), **apart)
        assert_same_model(model, expected)


def test_a_single_chunk_is_shuffled_as_in_fit():
    for settings in ({}, {"shuffle": "blocks"}, SCHEDULES["invscaling"]):
        model = estimator_for("regressor", **settings)
        expected = clone(model).fit(X, Y)
        assert_same_model(model.fit_chunks([(X, Y)]), expected)


def test_a_warm_start_goes_on_from_the_weights_as_in_fit():
    begun = estimator_for("regressor", shuffle=False, warm_start=True).fit(X, Y + 3.0)
    for settings in ({}, CONSTANT):
        model = copy.deepcopy(begun).set_params(**settings)
        expected = copy.deepcopy(model).fit(X, Y)
        assert_same_model(model.fit_chunks(cut(X, Y)), expected)


def test_a_rate_that_is_too_large_begins_anew_as_in_fit():
    # A loss of unbounded curvature under a rate for targets of another size
    y = np.where(np.arange(N) % 10 == 0, 1e4, 1e-4) * np.sign(Y)
    model = estimator_for("regressor", loss="squared_error", shuffle=False)
    model.set_params(standardize=False, momentum=0.99, batch_size=1, max_iter=8)
    expected = clone(model).fit(X * 1e3, y)
    assert_same_model(model.fit_chunks(cut(X * 1e3, y)), expected)


def test_a_csr_window_goes_on_across_chunks(monkeypatch):
    # With windows of 8 updates, of which there are 11 in a pass
    make = skmbsgd._state.csr_model
    data = matrix(True, np.float32)
    for schedule in ("invscaling", "auto", "constant"):
        model = estimator_for("classes", shuffle=False, penalty="elasticnet")
        model.set_params(average=True, **SCHEDULES[schedule])
        with monkeypatch.context() as patch:
            patch.setattr(
                skmbsgd._state, "csr_model", lambda *args: make(*args, window_size=8)
            )
            expected = clone(model).fit(data, TARGETS["classes"])
            model.fit_chunks(cut(data, TARGETS["classes"]))
        assert_same_model(model, expected)


# ---------------------------------------------------------------------------
# Batches, passes, clocks
# ---------------------------------------------------------------------------


def test_batches_do_not_cross_the_ends_of_chunks():
    lengths = 10, 1, 7, 4
    data, y = X[:22, :2], Y[:22]
    model = MiniBatchSGDRegressor(
        learning_rate="constant", eta0=0.01, momentum=0.0, nesterov=False, alpha=0.0,
        batch_size=4, shuffle=False, tol=None, max_iter=2,
    ).fit_chunks(cut(data, y, lengths=lengths))  # fmt: skip
    w, b, objectives = np.zeros(2), 0.0, []
    for _ in range(2):
        total = 0.0
        for Z, z in cut(data, y, lengths=lengths):
            for first in range(0, len(z), 4):
                rows = slice(first, first + 4)
                error = Z[rows] @ w + b - z[rows]
                total += (error**2 / 2).sum()
                w = w - 0.01 * error @ Z[rows] / len(error)
                b -= 0.01 * error.mean()
        objectives.append(total / len(y))
    assert_allclose(model.coef_, w, rtol=1e-13)
    assert_allclose(model.intercept_, b, rtol=1e-13)
    assert_allclose(model.loss_curve_, objectives, rtol=1e-13)
    assert (model.n_iter_, model.t_) == (2, 2 * (3 + 1 + 2 + 1))


def test_a_pass_is_an_epoch_of_the_schedule_where_a_chunk_of_a_stream_is_one():
    digits, labels = load_digits(return_X_y=True)
    split = train_test_split(digits / 16, labels, random_state=0)
    data, X_test, y, y_test = split
    settings = {"learning_rate": "cosine", "eta0": 0.1, "max_iter": 20, "tol": None}
    model = MiniBatchSGDClassifier(random_state=0, **settings)
    chunks = cut(data, y, lengths=[32] * 42 + [3])
    stream = clone(model)
    for chunk in chunks[:20]:
        stream.partial_fit(*chunk, classes=np.arange(10))
    assert stream.learning_rate_curve_[-1] < 0.001  # after half of the rows, once
    model.fit_chunks(chunks)
    rates = 0.1 * (1 + np.cos(np.pi * np.arange(20) / 20)) / 2
    assert_allclose(model.learning_rate_curve_, rates, rtol=1e-13)
    assert model.t_ == 20 * 43
    assert model.score(X_test, y_test) > stream.score(X_test, y_test) + 0.02


def test_rows_are_shuffled_within_chunks_in_an_order_of_chunk_and_epoch():
    # Weights are 2^-k after batches of one row: the order is read off the gradients.
    data = np.eye(6)
    y = np.ones(6)
    orders = []

    def rate(epoch):
        return 0.5

    for max_iter in (1, 2):
        model = MiniBatchSGDRegressor(
            learning_rate=rate, momentum=0.0, nesterov=False, alpha=0.0, batch_size=1,
            max_iter=max_iter, tol=None, random_state=3,
        )  # fmt: skip
        chunks = [(data, y), (data, y)]
        orders.append(model.fit_chunks(chunks).intercept_.item())
        assert orders[-1] == clone(model).fit_chunks(chunks).intercept_.item()
        assert orders[-1] != clone(model).fit_chunks([(data, y)] * 3).intercept_.item()
    assert orders[0] != orders[1]


def count_passes(model, chunks, **arguments):
    """How often the chunks were begun, and the numbers that were asked for."""
    epochs = []

    def counted(epoch):
        epochs.append(epoch)
        return chunks

    model.fit_chunks(counted, **arguments)
    return epochs


def test_chunks_are_read_beforehand_only_if_something_must_be_known():
    labels = TARGETS["classes"]
    fixed = {**CONSTANT, "tol": 1e-9}
    regressor = MiniBatchSGDRegressor(**fixed)
    assert count_passes(regressor, cut(X, Y)) == [0, 1, 2]
    assert count_passes(regressor, cut(X, Y, WEIGHTS)) == [0, 0, 1, 2]
    classifier = MiniBatchSGDClassifier(**fixed)
    assert count_passes(classifier, cut(X, labels), classes=[0, 1, 2]) == [0, 1, 2]
    assert count_passes(classifier, cut(X, labels)) == [0, 0, 1, 2]
    # Columns and targets in one pass, the initial rate in another, an objective at the
    # end of the cycle
    automatic = MiniBatchSGDRegressor(max_iter=3, tol=None)
    assert count_passes(automatic, cut(X, Y)) == [0, 0, 0, 1, 2, 0]
    sparse = cut(csr_array(X_SPARSE), Y)
    assert count_passes(automatic, sparse)[:5] == [0, 0, 0, 1, 2]


def test_passes_may_differ():
    # A pass with more, longer or fewer chunks than the first one
    lengths = [(64, 266), (64, 96, 128, 42), (330,), (1, 328, 1), (100,)]
    for sparse in (False, True):
        data = matrix(sparse, np.float64)
        for schedule in SCHEDULES:
            for average in (False, True, 500):
                model = estimator_for("regressor", average=average, tol=None)
                model.set_params(penalty="elasticnet", max_iter=5)
                model.set_params(**SCHEDULES[schedule])
                model.fit_chunks(lambda e: cut(data, Y, lengths=lengths[e]))  # noqa: B023
                assert np.isfinite(model.coef_).all()
                n_rows = [sum(of_pass) for of_pass in lengths]
                assert model._resumption["n_samples"] == sum(n_rows)


@pytest.mark.parametrize("average", [False, 500])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize("schedule", ["constant", "invscaling", "auto"])
def test_sparse_rows_of_any_passes_train_as_dense_ones(schedule, penalty, average):
    """What was expected of a pass and comes otherwise leaves the numbers what they are.

    Dense models expect nothing.
    """
    lengths = [(64, 266), (64, 96, 128, 42), (330,), (1, 328, 1), (100, 200)]
    models = []
    for data in (X_SPARSE, csr_array(X_SPARSE)):
        model = estimator_for("regressor", average=average, tol=None, max_iter=5)
        model.set_params(penalty=penalty, shuffle=False, standardize=False)
        model.set_params(**SCHEDULES[schedule])
        model.fit_chunks(lambda e, data=data: cut(data, Y, lengths=lengths[e]))
        models.append(model)
    dense, sparse = models
    assert_allclose(sparse.coef_, dense.coef_, rtol=1e-9, atol=1e-12)
    assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-10)


def test_a_loader_of_a_length_a_list_and_functions_are_alike():
    chunks = cut(X, Y)

    class Loader:
        def __len__(self):
            return len(chunks)

        def __iter__(self):
            return iter([list(chunk) for chunk in chunks])

    def generate(epoch):
        yield from chunks

    expected = MiniBatchSGDRegressor(**CONSTANT).fit_chunks(chunks)
    for given in (Loader(), generate, lambda epoch: chunks, tuple(chunks)):
        assert_same_model(MiniBatchSGDRegressor(**CONSTANT).fit_chunks(given), expected)


def test_a_buffer_may_be_written_over_for_each_chunk():
    def generate(epoch):
        buffer, targets, weights = np.empty((64, 7)), np.empty(64), np.empty(64)
        for Z, z, w in cut(X, Y, WEIGHTS, lengths=(64, 64, 50, 64, 64, 24)):
            buffer[: len(z)], targets[: len(z)], weights[: len(z)] = Z, z, w
            yield buffer[: len(z)], targets[: len(z)], weights[: len(z)]

    lengths = 64, 64, 50, 64, 64, 24
    for settings in ({}, CONSTANT, {"standardize": True, **CONSTANT}):
        model = estimator_for("regressor", **settings)
        expected = clone(model).fit_chunks(cut(X, Y, WEIGHTS, lengths=lengths))
        assert_same_model(model.fit_chunks(generate), expected)


def test_the_precision_is_that_of_the_first_chunk():
    chunks = cut(X, Y)
    for first, others in ((np.float32, np.float64), (np.float64, np.float32)):
        mixed = [
            (Z.astype(others if number else first), z)
            for number, (Z, z) in enumerate(chunks)
        ]
        assert estimator_for("regressor").fit_chunks(mixed).coef_.dtype == first


def test_chunks_without_rows_of_one_row_and_of_one_class_will_do():
    empty = X[:0], TARGETS["classes"][:0]
    chunks = cut(X, TARGETS["classes"])
    expected = estimator_for("classes", shuffle=False).fit_chunks(chunks)
    model = clone(expected).fit_chunks([empty, chunks[0], empty, *chunks[1:], empty])
    assert_same_model(model, expected)
    order = np.argsort(TARGETS["classes"], kind="stable")
    rows = X[order], TARGETS["classes"][order]
    ones = clone(expected).fit_chunks(cut(*rows, lengths=[1] * N))
    assert_array_equal(ones.classes_, [0, 1, 2])
    assert ones.t_ == ones.n_iter_ * N
    # Of small chunks the rates are small: as good a model as from larger ones
    assert (
        ones.score(X, TARGETS["classes"]) > expected.score(X, TARGETS["classes"]) - 0.1
    )


def test_a_full_batch_is_a_chunk():
    model = estimator_for("regressor", batch_size="full", **CONSTANT)
    model.fit_chunks(cut(X, Y))
    assert model.t_ == 3 * 4
    with_lengths = estimator_for("regressor", batch_size=200, shuffle=False, **CONSTANT)
    with_lengths.fit_chunks(cut(X, Y))
    assert_same_model(
        model.set_params(shuffle=False).fit_chunks(cut(X, Y)), with_lengths
    )


def test_weights_of_a_chunk_may_be_zero_and_their_unit_does_not_matter():
    weights = WEIGHTS.copy()
    weights[64:160] = 0.0
    model = estimator_for("regressor")
    expected = clone(model).fit_chunks(cut(X, Y, weights))
    model.fit_chunks(cut(X, Y, 2.0**40 * weights))
    assert_same_model(model, expected)


def test_frames_keep_the_names_of_their_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdefg"))
    model = MiniBatchSGDRegressor(**CONSTANT).fit_chunks(cut(frame, Y))
    assert_array_equal(model.feature_names_in_, list("abcdefg"))
    renamed = [*cut(frame, Y), (frame.rename(columns={"a": "z"}), Y)]
    with pytest.raises(ValueError, match=r"In chunk 4 of pass 0.*feature names"):
        model.fit_chunks(renamed)


def test_threads_share_the_batches_of_a_chunk():
    rows, y = np.tile(X, (40, 12)), np.tile(Y, 40)
    model = MiniBatchSGDRegressor(
        batch_size=2048, n_jobs=2, shuffle=False, **CONSTANT
    ).set_params(eta0=1e-5)
    lengths = 4096, 6144, 2960
    expected = (
        clone(model).set_params(n_jobs=1).fit_chunks(cut(rows, y, lengths=lengths))
    )
    model.fit_chunks(cut(rows, y, lengths=lengths))
    assert_allclose(model.coef_, expected.coef_, rtol=1e-10)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-10)


# ---------------------------------------------------------------------------
# Messages
# ---------------------------------------------------------------------------


def messages(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


def test_it_warns_as_fit_does():
    for settings, data in (
        ({"max_iter": 2}, X),  # cut short
        ({"eta0": 0.4, "learning_rate": "constant", "max_iter": 3}, X[:, :1]),
        ({"learning_rate": "constant", "eta0": 4e-3, "max_iter": 5, "tol": None}, X),
    ):
        model = estimator_for("regressor", shuffle=False, **settings)
        expected = messages(lambda: clone(model).fit(data, Y))  # noqa: B023
        said = messages(lambda: model.fit_chunks(cut(data, Y)))  # noqa: B023
        assert said == expected
    assert "worse than a constant" in expected[0]


def test_it_warns_of_validation_data_that_lack_a_transformation():
    model = MiniBatchSGDRegressor(**CONSTANT)
    said = messages(lambda: model.fit_chunks(cut(X, Y), X_val=X * 1e3, y_val=Y))
    assert "lack a transformation" in said[0]


def test_verbose_prints_a_line_per_pass(capsys):
    MiniBatchSGDRegressor(verbose=1, **CONSTANT).fit_chunks(cut(X, Y))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["Epoch 1", "Epoch 2", "Epoch 3"]


def test_callbacks_hear_of_passes_and_may_end_them():
    pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")
    heard = []

    class Listener:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(
            self, estimator, context, *, fitted_estimator=None, X=None, y=None
        ):
            heard.append((context.task_name, fitted_estimator.n_iter_, X, y))
            assert "_callback_fit_ctx" not in vars(model)
            return model.n_iter_ == 2

        def teardown(self, estimator, context):
            pass

    model = MiniBatchSGDRegressor(**CONSTANT).set_callbacks(Listener())
    model.fit_chunks(cut(X, Y))
    assert heard == [
        ("epoch", 1, None, None),
        ("epoch", 2, None, None),
        ("fit", 2, None, None),
    ]
    # A training that ended in this way can be resumed.
    expected = MiniBatchSGDRegressor(**CONSTANT).fit_chunks(cut(X, Y))
    model.set_callbacks().fit_chunks(cut(X, Y), resume=True)
    assert_same_model(model, expected)


def chunk_with(**changes):
    """Four good chunks and another one."""
    bad = {"X": X, "y": Y, **changes}
    return [*cut(X, Y), tuple(bad.values())]


X_NAN = X.copy()
X_NAN[3, 2] = np.nan
BAD_CHUNKS = {
    "NaN": (chunk_with(X=X_NAN), ValueError, "contains NaN"),
    "width": (chunk_with(X=X[:, :3]), ValueError, "X has 3 features, but .* 7"),
    "lengths": (chunk_with(y=Y[:-1]), ValueError, r"\[330, 329\]"),
    "targets": (chunk_with(y=TARGETS["two targets"]), ValueError, "2 targets"),
    "weights": (chunk_with(w=WEIGHTS), ValueError, "all chunks must have a"),
    "sparse": (
        chunk_with(X=csr_array(X)),
        ValueError,
        "X is sparse.*first chunk is dense",
    ),
    "no y": (chunk_with(y=None), ValueError, "y is missing"),
    "X alone": ([*cut(X, Y), (X,)], TypeError, "got tuple of length 1"),
    "array": ([*cut(X, Y), X], TypeError, "got ndarray"),
    "dict": ([*cut(X, Y), {"X": X, "y": Y}], TypeError, "got dict"),
    "five": ([*cut(X, Y), (X, Y, Y, Y, Y)], TypeError, "got tuple of length 5"),
}


@pytest.mark.parametrize("settings", [{}, CONSTANT], ids=["found", "fixed"])
@pytest.mark.parametrize("case", BAD_CHUNKS)
def test_a_bad_chunk_is_named_and_the_estimator_stays_unfitted(case, settings):
    chunks, kind, what = BAD_CHUNKS[case]
    model = MiniBatchSGDRegressor(**settings)
    before = vars(model).copy()
    with pytest.raises(kind, match=f"In chunk 4 of pass 0, counted from 0: .*{what}"):
        model.fit_chunks(chunks)
    assert vars(model) == before


def test_bad_labels_are_named():
    labels = TARGETS["classes"]
    chunks = [*cut(X, labels), (X, labels + 1)]
    model = MiniBatchSGDClassifier(**CONSTANT)
    with pytest.raises(ValueError, match=r"chunk 4 of pass 0.*not among .*\[3\]"):
        model.fit_chunks(chunks, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"chunk 4 of pass 0.*labels of type <U"):
        model.fit_chunks([*cut(X, labels), (X, labels.astype(str))])
    with pytest.raises(ValueError, match=r"chunk 0 of pass 0.*Unknown label type"):
        model.fit_chunks(cut(X, Y))
    with pytest.raises(ValueError, match="at least 2 classes, got 1 class"):
        model.fit_chunks(cut(X, np.zeros(N)))
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit_chunks(cut(X, labels), classes=np.array([0, "a"], dtype=object))
    model.fit_chunks(cut(X, labels)).set_params(max_iter=4)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.fit_chunks(cut(X, labels), classes=[0, 1], resume=True)
    model.fit_chunks(cut(X, labels), classes=[0, 1, 2], resume=True)

    def later(epoch):
        return chunks if epoch == 1 else chunks[:-1]

    with pytest.raises(ValueError, match=r"chunk 4 of pass 1.*not among"):
        model.fit_chunks(later)
    assert model.n_iter_ == 1


@pytest.mark.parametrize(
    ("chunks", "kind", "what"),
    [
        (None, TypeError, "must be an iterable of tuples"),
        ({"X": X, "y": Y}, TypeError, "must be an iterable of tuples.* got dict"),
        ((X, Y), TypeError, "In chunk 0 .* got ndarray"),
        ([], ValueError, "no rows in pass 0"),
        ([(X[:0], Y[:0])], ValueError, "no rows in pass 0"),
        (lambda: cut(X, Y), TypeError, r"chunks\(0\), chunks\(1\).* one argument"),
        (lambda epoch: cut(X, Y)[epoch * 4 :], ValueError, "no rows in pass 1"),
        (lambda epoch: 3, TypeError, "not iterable"),
    ],
)
def test_what_is_no_chunks_is_refused(chunks, kind, what):
    with pytest.raises(kind, match=what):
        MiniBatchSGDRegressor(**CONSTANT).fit_chunks(chunks)


def test_an_iterator_will_do_for_one_pass_that_needs_no_other():
    once = {**CONSTANT, "max_iter": 1}
    for sparse in (False, True):
        data = matrix(sparse, np.float64)
        for settings in (once, once | SCHEDULES["invscaling"] | {"average": 50}):
            model = estimator_for("classes", **settings)
            expected = clone(model).fit_chunks(cut(data, TARGETS["classes"]))
            model.fit_chunks(iter(cut(data, TARGETS["classes"])), classes=[0, 1, 2])
            assert_allclose(model.coef_, expected.coef_, rtol=1e-12)
    for change, data, what in (
        ({"max_iter": 2}, cut(X, Y), "max_iter=2 needs more passes .set max_iter=1"),
        ({"eta0": "auto"}, cut(X, Y), "eta0='auto' reads them beforehand"),
        ({"standardize": True}, cut(X, Y), "standardize=True reads"),
        ({}, cut(X, Y, WEIGHTS), "weights are rescaled to a mean of 1"),
    ):
        model = MiniBatchSGDRegressor(**{**once, **change})
        with pytest.raises(ValueError, match=f"read once only.*{what}.* a list"):
            model.fit_chunks(chunk for chunk in data)
        assert not hasattr(model, "coef_")
    with pytest.raises(ValueError, match="pass classes"):
        estimator_for("classes", **once).fit_chunks(iter(cut(X, TARGETS["classes"])))
    # Nothing is read from it before the error.
    chunks = iter(cut(X, Y))
    with pytest.raises(ValueError, match="read once only"):
        MiniBatchSGDRegressor().fit_chunks(chunks)
    assert len(list(chunks)) == 4


def test_settings_that_need_all_the_data_are_refused():
    chunks = cut(X, TARGETS["classes"])
    with pytest.raises(ValueError, match="X_val and y_val"):
        MiniBatchSGDClassifier(early_stopping=True).fit_chunks(chunks)
    with pytest.raises(ValueError, match=r"class_weight='balanced'.* pass a dict"):
        MiniBatchSGDClassifier(class_weight="balanced").fit_chunks(chunks)
    with pytest.raises(ValueError, match="standardize=True needs a dense X"):
        MiniBatchSGDRegressor(standardize=True).fit_chunks(cut(csr_array(X), Y))
    with pytest.raises(ValueError, match=r"All sample weights .* are zero"):
        MiniBatchSGDRegressor().fit_chunks(cut(X, Y, 0 * WEIGHTS))
    with pytest.raises(ValueError, match="X_val and y_val belong together"):
        MiniBatchSGDRegressor().fit_chunks(cut(X, Y), X_val=X)
    with pytest.raises(ValueError, match="'max_iter' parameter"):
        MiniBatchSGDRegressor(max_iter=0).fit_chunks(cut(X, Y))
    model = MiniBatchSGDClassifier(early_stopping=True, max_iter=3)
    model.fit_chunks(chunks, X_val=X, y_val=TARGETS["classes"])
    assert len(model.validation_scores_) == 3


def test_an_error_of_the_chunks_says_where_it_came_from():
    def generate(epoch):
        yield from cut(X, Y)[:2]
        if epoch == 1:
            raise OSError("the disk is gone")

    model = MiniBatchSGDRegressor(**CONSTANT)
    with pytest.raises(OSError, match="the disk is gone") as caught:
        model.fit_chunks(generate)
    assert caught.value.__notes__ == [
        "fit_chunks got this error from chunk 2 of pass 1."
    ]
    assert model.n_iter_ == 1


# ---------------------------------------------------------------------------
# What becomes visible, and when
# ---------------------------------------------------------------------------


def test_readers_see_the_ends_of_passes_and_nothing_between():
    chunks, y = cut(X, TARGETS["two classes"]), TARGETS["two classes"]
    settings = {**CONSTANT, "max_iter": 4}
    for arguments in ({}, {"X_val": X[::2], "y_val": y[::2]}):
        ends = [
            seen(MiniBatchSGDClassifier(**settings | {"max_iter": n}).fit_chunks(
                chunks, **arguments
            ))
            for n in range(1, 5)
        ]  # fmt: skip
        model = MiniBatchSGDClassifier(**settings).fit(X[:, :2], y == "no")
        views = what_a_reader_sees(
            model,
            lambda: model.fit_chunks(chunks, **arguments),  # noqa: B023
        )
        changes = [views[0], *(b for a, b in pairwise(views) if a != b)]
        assert changes[1:] == ends
        assert len(views) > 100


def test_an_error_or_interrupt_leaves_the_end_of_the_last_pass():
    def generate(epoch):
        yield from cut(X, Y)[:3]
        if epoch == 2:
            raise Interrupt
        yield cut(X, Y)[3]

    model = MiniBatchSGDRegressor(**CONSTANT)
    with pytest.raises(Interrupt):
        model.fit_chunks(generate)
    expected = MiniBatchSGDRegressor(**{**CONSTANT, "max_iter": 2})
    assert_same_model(model, expected.fit_chunks(cut(X, Y)))
    assert len(model.loss_curve_) == model.n_iter_ == 2


# An error that is raised while a generator is closed reaches nobody.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_after_whichever_call_leaves_the_end_of_a_pass():
    begun = MiniBatchSGDRegressor(**CONSTANT | {"max_iter": 2}).fit(X, -Y)
    chunks = cut(X, Y)
    last = copy.deepcopy(begun).fit_chunks(chunks)
    first = copy.deepcopy(begun).set_params(max_iter=1).fit_chunks(chunks)
    ends = [seen(model) for model in (begun, first, last)]
    found, n_calls, was_raised = set(), 1, True
    while was_raised:
        model = copy.deepcopy(begun)
        end = interrupt_after(n_calls)
        n_calls += 7
        try:
            model.fit_chunks(chunks)
            was_raised = end()
        except Interrupt:
            end()
        found.add(ends.index(seen(model)))
        assert not IN_TRAINING
        if ends.index(seen(model)) == 1:
            assert_same_model(model.fit_chunks(chunks, resume=True), last)
    assert found == {0, 1, 2}
    assert n_calls > 500


def test_divergence_in_a_later_pass_leaves_the_end_of_the_one_before():
    rates = {0: 1e-3, 1: 1e-3, 2: 1e200}
    model = MiniBatchSGDRegressor(
        learning_rate=rates.get, max_iter=3, tol=None, random_state=0
    )
    with pytest.raises(DivergenceError, match="in epoch 3"):
        model.fit_chunks(cut(X, Y))
    assert model.n_iter_ == 2
    assert np.isfinite(model.coef_).all()


def test_parameters_set_during_training_stay():
    def generate(epoch):
        if epoch == 1:
            model.set_params(verbose=7)
        return cut(X, Y)

    model = MiniBatchSGDRegressor(**CONSTANT)
    model.fit_chunks(generate)
    assert (model.verbose, model.n_iter_) == (7, 3)


def test_a_generator_draws_once():
    generator = np.random.RandomState(0)
    model = MiniBatchSGDRegressor(**CONSTANT | {"random_state": generator})

    states = []
    for n_good in (0, 1):
        passes = [cut(X, Y)] * n_good + [[(X_NAN, Y)]]
        with pytest.raises(ValueError, match="NaN"):
            model.fit_chunks(passes.__getitem__)
        states.append(str(generator.get_state()))
    assert states[0] == str(np.random.RandomState(0).get_state()) != states[1]


# ---------------------------------------------------------------------------
# Resuming
# ---------------------------------------------------------------------------


class Failing:
    """Chunks that fail in a training pass, after two of them, until they are repaired.

    `n_passes` is the number of calls that succeed.
    """

    def __init__(self, chunks, n_passes):
        self.chunks, self.n_left = chunks, n_passes

    def __call__(self, epoch):
        self.n_left -= 1
        yield from self.chunks[:2]
        if self.n_left < 0:
            raise OSError
        yield from self.chunks[2:]

    def repair(self):
        self.n_left = 10**9


def interrupted(model, chunks, n_passes, **arguments):
    """The model after an error, and the chunks, which no longer fail."""
    failing = Failing(chunks, n_passes)
    with pytest.raises(OSError):
        model.fit_chunks(failing, **arguments)
    failing.repair()
    return model, failing


RESUMED = {
    "fixed": SCHEDULES["step"],
    "adaptive": SCHEDULES["adaptive"] | {"max_iter": 40},
    "by update": SCHEDULES["invscaling"],
    "cycles": {"max_iter": 25},
    "one cycle": {"tol": None, "max_iter": 9},
    "patience": SCHEDULES["constant"] | {"tol": 0.02, "max_iter": 40},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("schedule", RESUMED)
def test_a_resumed_training_ends_in_the_bits_of_a_straight_one(schedule, sparse, dtype):
    data = matrix(sparse, dtype)
    for number in range(6):
        target = list(TARGETS)[number % len(TARGETS)]
        y, weights = TARGETS[target], WEIGHTS if number % 3 else None
        apart = {"X_val": data[:60], "y_val": y[:60]} if number % 2 else {}
        chunks = cut(data, y, weights)
        model = estimator_for(
            target,
            penalty=("l2", "l1", "elasticnet")[number // 2],
            average=(False, True, 700)[number % 3],
            **RESUMED[schedule],
        )
        expected = clone(model)
        n_reads = len(count_passes(expected, chunks, **apart))
        again, failing = interrupted(clone(model), chunks, n_reads // 2, **apart)
        n_done = again.n_iter_
        assert 0 < n_done < expected.n_iter_
        again = pickle.loads(pickle.dumps(again))
        # Another error, after one more pass or none
        failing.n_left = 1
        with pytest.raises(OSError):
            again.fit_chunks(failing, resume=True, **apart)
        assert again.n_iter_ in (n_done, n_done + 1)
        failing.repair()
        again.fit_chunks(failing, resume=True, **apart)
        assert_same_model(again, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("validated", [False, True])
def test_a_resumed_training_of_many_outputs_is_the_straight_one(validated, momentum):
    # Their weights lie in memory in another order, in which they are trained.
    data = matrix(True, np.float64)
    targets = np.outer(Y, np.linspace(-1.0, 2.0, MANY_OUTPUTS))
    apart = {"X_val": data[:60], "y_val": targets[:60]} if validated else {}
    settings = SCHEDULES["constant"] | {"tol": None, "max_iter": 6}
    model = estimator_for("number", momentum=momentum, **settings)
    chunks = cut(data, targets)
    expected = clone(model).fit_chunks(chunks, **apart)
    again, chunks = interrupted(model, chunks, 3, **apart)
    again = pickle.loads(pickle.dumps(again))
    again.fit_chunks(chunks, resume=True, **apart)
    assert_same_model(again, expected, and_next=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [False, True])
def test_more_passes_are_a_larger_max_iter(sparse, dtype):
    data = matrix(sparse, dtype)
    for change in ({}, {"average": True}, {"standardize": not sparse}):
        settings = {**CONSTANT, "penalty": "l1", **change}
        model = MiniBatchSGDRegressor(**settings).fit_chunks(cut(data, Y))
        model.set_params(max_iter=8).fit_chunks(cut(data, Y), resume=True)
        straight = MiniBatchSGDRegressor(**settings | {"max_iter": 8})
        straight.fit_chunks(cut(data, Y))
        if sparse and (dtype == np.float32 or change == {"average": True}):
            assert_allclose(model.coef_, straight.coef_, rtol=1e-5, atol=1e-7)
            assert not model._unfinished["lost_by_store"]
        else:
            assert_same_model(model, straight)


def test_parameters_hold_for_the_passes_to_come():
    model, chunks = interrupted(MiniBatchSGDRegressor(**CONSTANT), cut(X, Y), 1)
    model.set_params(eta0=5e-4).fit_chunks(chunks, resume=True)
    assert model.learning_rate_curve_ == [1e-3, 5e-4, 5e-4]
    for name, value in (("batch_size", 7), ("average", 3), ("eta0", "auto")):
        model, chunks = interrupted(MiniBatchSGDRegressor(**CONSTANT), cut(X, Y), 1)
        before = seen(model)
        model.set_params(**{name: value})
        with pytest.raises(ValueError, match=f"To resume, {name}.* must still be"):
            model.fit_chunks(chunks, resume=True)
        assert seen(model) == before
        model.set_params(
            **{name: CONSTANT.get(name, {"batch_size": 32}.get(name, False))}
        )
        assert model.fit_chunks(chunks, resume=True).n_iter_ == 3


def test_a_warm_start_and_a_guard_are_resumed():
    begun = MiniBatchSGDRegressor(max_iter=9, warm_start=True, random_state=0)
    begun.fit(X, Y + 2.0)
    expected = copy.deepcopy(begun).fit_chunks(cut(X, Y))
    model, chunks = interrupted(copy.deepcopy(begun), cut(X, Y), 6)
    assert 0 < model.n_iter_ < expected.n_iter_
    model = pickle.loads(pickle.dumps(model))
    assert_same_model(model.fit_chunks(chunks, resume=True), expected)


def test_where_there_is_nothing_to_resume_it_says_so():
    chunks = cut(X, Y)
    nothing = "There is nothing to resume: no fit_chunks was interrupted"
    model = MiniBatchSGDRegressor(**CONSTANT)
    done = MiniBatchSGDRegressor(max_iter=50, random_state=0).fit_chunks(chunks)
    for unable in (model, clone(model).fit(X, Y), done):
        with pytest.raises(ValueError, match=nothing):
            unable.fit_chunks(chunks, resume=True)
    finished = clone(model).fit_chunks(chunks)
    with pytest.raises(ValueError, match="3 passes are done, and max_iter=3"):
        finished.fit_chunks(chunks, resume=True)
    for train in (
        lambda m: m.partial_fit(X, Y),
        lambda m: m.fit(X, Y),
        lambda m: setattr(m, "coef_", m.coef_ + 1.0),
        lambda m: setattr(m, "intercept_", m.intercept_ + 1.0),
    ):
        model, again = interrupted(clone(model), chunks, 1)
        train(model)
        before = seen(model)
        with pytest.raises(
            ValueError, match=r"nothing to resume|not the one that fit_ch"
        ):
            model.fit_chunks(again, resume=True)
        assert seen(model) == before
    model, again = interrupted(clone(model), chunks, 1)
    with pytest.raises(ValueError, match="Training has begun without validation data"):
        model.fit_chunks(again, resume=True, X_val=X, y_val=Y)
    with pytest.raises(ValueError, match="2 passes left"):
        model.fit_chunks(iter(chunks), resume=True)
    with pytest.raises(ValueError, match="X has 2 features"):
        model.fit_chunks(cut(X[:, :2], Y), resume=True)
    assert model.n_iter_ == 1
    assert not hasattr(clone(model), "_unfinished")


@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_damaged_is_not_resumed(sparse):
    data = matrix(sparse, np.float32)
    apart = {"X_val": data[:60], "y_val": Y[:60]}
    model = estimator_for("regressor", max_iter=9)
    model, chunks = interrupted(model, cut(data, Y), 4, **apart)
    good, before = model._unfinished, seen(model)

    def assert_refused(damaged, what=""):
        model._unfinished = damaged
        with pytest.raises(ValueError, match=f"damaged: .*{what}"):
            model.fit_chunks(chunks, resume=True, **apart)
        assert seen(model) == before

    assert_refused([good], "it is of type list")
    for name, part in good.items():
        assert_refused({**good, name: "damaged"}, name)
        assert_refused({key: good[key] for key in good if key != name}, "entries")
        if isinstance(part, dict):
            assert_refused({**good, name: {**part, "unknown": 1}})
    for other in (math.nan, math.inf, None, np.zeros((2, 7)), -1.0):
        assert_refused({**good, "eta0": other}, "eta0")
    for other in (np.array(["a"]), np.full(1, None), np.full(1, math.inf)):
        for key in ("coef", "intercept"):
            assert_refused({**good, "guard": {**good["guard"], key: other}}, key)
    for name in good.keys() - {"state"}:
        part = good[name]
        for key in part if isinstance(part, dict) else ():
            left = {other: part[other] for other in part if other != key}
            assert_refused({**good, name: left}, "entries")
            if name not in ("lost_by_store", "settings"):
                for other in (None, "damaged", math.nan, 10**400, np.zeros(0), {}):
                    assert_refused({**good, name: {**part, key: other}}, key)
    for key in good["state"]:
        for other in ("damaged", math.nan, [None], np.zeros((2, 1, 1)), {}):
            assert_refused({**good, "state": {**good["state"], key: other}}, key)
    of_fewer = {**good["state"], "coef": good["state"]["coef"][:, 1:]}
    assert_refused({**good, "state": of_fewer}, "coef is not of shape")
    too_late = {**good["cycles"], "epoch": good["cycles"]["length"] + 1}
    assert_refused({**good, "cycles": too_late}, "in cycles, epoch is")
    for name, array in good["lost_by_store"].items():
        for other in (array[:-1], array[None], array.astype("i1"), None, [1, 2]):
            lost = {**good["lost_by_store"], name: other}
            assert_refused({**good, "lost_by_store": lost})
    if sparse:
        lost = good["lost_by_store"]
        for columns in (lost["columns"][::-1], lost["columns"] + 1):
            damaged = {**lost, "columns": columns}
            assert_refused({**good, "lost_by_store": damaged}, "do not increase")


@pytest.mark.parametrize("curve", [None, 3, "abc", [None] * 4, (1.0,) * 4, [1.0] * 3])
@pytest.mark.parametrize(
    "name",
    ["loss_curve_", "learning_rate_curve_", "validation_scores_", "validation_losses_"],
)
def test_curves_that_passes_cannot_continue_are_named(name, curve):
    apart = {"X_val": X[:60], "y_val": Y[:60]}
    model = estimator_for("regressor", max_iter=9)
    model, chunks = interrupted(model, cut(X, Y), 4, **apart)
    setattr(model, name, curve)
    before = seen(model)
    with pytest.raises(ValueError, match=f"{name}.* must be"):
        model.fit_chunks(chunks, resume=True, **apart)
    assert seen(model) == before


def test_nan_in_the_losses_on_validation_data_is_no_damage():
    """As long as the score is finite."""
    settings = {"eta0": 0.5, "alpha": 0.0, "max_iter": 6, "tol": None}
    model = MiniBatchSGDClassifier(scoring="accuracy", random_state=0, **settings)
    X_val, y = X[:60].copy(), (Y > 0).astype(int)
    X_val[:5] = 1.7e308 * np.sign(X_val[:5])
    apart = {"X_val": X_val, "y_val": y[:60]}
    expected = clone(model).fit_chunks(cut(X, y), **apart)
    assert np.isnan(expected.validation_losses_).all()
    model, chunks = interrupted(model, cut(X, y), 3, **apart)
    model.fit_chunks(chunks, resume=True, **apart)
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.validation_losses_, expected.validation_losses_)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("tol", [1e-4, None])
@pytest.mark.parametrize("max_iter", [1, 2, 5, 7])
def test_cycles_that_ended_at_max_iter_are_followed_by_another(max_iter, tol, sparse):
    chunks = cut(matrix(sparse, np.float64), Y)
    model = MiniBatchSGDRegressor(max_iter=max_iter, tol=tol, random_state=0)
    model.fit_chunks(chunks)
    model = pickle.loads(pickle.dumps(model))
    objective, peak = model.loss_curve_[-1], model.learning_rate_curve_[0]
    # All other epochs are one more cycle, whose peak may be half of the one before.
    model.set_params(max_iter=2 * max_iter, tol=None).fit_chunks(chunks, resume=True)
    assert model.n_iter_ == len(model.loss_curve_) == 2 * max_iter
    rates = np.array(model.learning_rate_curve_[max_iter:])
    falling = 1.0 - np.arange(max_iter) / max_iter
    assert_allclose(rates, rates[0] * falling, rtol=1e-12)
    assert rates[0] in (peak / 2.0, peak)
    assert model.loss_curve_[-1] <= 1.001 * objective


def test_training_with_given_rates_is_resumed():
    model = MiniBatchSGDRegressor(learning_rate=lambda epoch: 0.001, random_state=0)
    model.set_params(max_iter=9, tol=None, batch_size=np.int64(16))
    expected = clone(model).fit_chunks(cut(X, Y))
    model, chunks = interrupted(model, cut(X, Y), 4)
    assert_same_model(model.fit_chunks(chunks, resume=True), expected)


def test_what_is_unfinished_is_plain_and_can_be_stored_anywhere():
    skops_io = pytest.importorskip("skops.io")
    for sparse in (False, True):
        data = matrix(sparse, np.float32)
        model = estimator_for("classes", average=True, max_iter=20)
        apart = {"X_val": data[:60], "y_val": TARGETS["classes"][:60]}
        expected = clone(model).fit_chunks(cut(data, TARGETS["classes"]), **apart)
        model, chunks = interrupted(model, cut(data, TARGETS["classes"]), 5, **apart)
        stored = skops_io.dumps(model)
        trusted = ["skmbsgd._classifier.MiniBatchSGDClassifier"]
        assert skops_io.get_untrusted_types(data=stored) == trusted
        model = skops_io.loads(stored, trusted=trusted)
        assert_same_model(model.fit_chunks(chunks, resume=True, **apart), expected)


KILLED = """
    import os, pickle, signal, sys
    import numpy as np
    from scipy.sparse import csr_array
    from skmbsgd import MiniBatchSGDRegressor, row_chunks

    case, path, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    y = X @ rng.normal(size=6) + rng.normal(size=300)
    settings, validation = {"max_iter": 20, "random_state": 0}, {}
    if case == "fixed":
        settings |= {"learning_rate": "step", "eta0": 0.01, "epochs_drop": 4}
    if case == "validation":
        validation = {"X_val": X[:50], "y_val": y[:50]}
    if case == "csr":
        X = csr_array(X * (rng.uniform(size=X.shape) < 0.5)).astype(np.float32)
        settings |= {"penalty": "l1", "alpha": 0.01, "average": True}
    of_rows = row_chunks(X, y, n_rows=64, random_state=0)

    def chunks(epoch):
        for number, chunk in enumerate(of_rows(epoch)):
            # Between two passes, what has been learnt is stored; then, in the middle...
            if epoch > 0 and number == 0:
                pickle.dump(model, open(path, "wb"))
            if epoch == kill_at and number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield chunk

    resume = os.path.exists(path)
    model = MiniBatchSGDRegressor(**settings)
    if resume:
        model = pickle.load(open(path, "rb"))
    model.fit_chunks(chunks, resume=resume, **validation)
    learnt = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    print(model.n_iter_, learnt)
    print(model.coef_.tobytes(), model.intercept_.tobytes())
"""


@pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="the platform has no SIGKILL"
)
def test_a_killed_process_is_resumed_by_another_to_the_same_bits(tmp_path):
    def start(case, name, kill_at):
        code = textwrap.dedent(KILLED)
        return subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                code,
                case,
                tmp_path / name,
                kill_at,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    cases = "fixed", "cycles", "validation", "csr"
    straight = [start(case, "straight " + case, "-1") for case in cases]
    killed = [start(case, case, "4") for case in cases]
    ends = [process.communicate(timeout=300) for process in straight]
    for process in killed:
        _, error = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, error
    resumed = [start(case, case, "-1") for case in cases]
    for process, (expected, error) in zip(resumed, ends, strict=True):
        assert process.communicate(timeout=300)[0] == expected != "", error


# ---------------------------------------------------------------------------
# After fit_chunks
# ---------------------------------------------------------------------------


def test_a_fitted_estimator_goes_on_as_after_fit():
    model = estimator_for("classes", shuffle=False).fit_chunks(
        cut(X, TARGETS["classes"])
    )
    expected = clone(model).fit(X, TARGETS["classes"])
    for each in (model, expected):
        each.partial_fit(X[:50], TARGETS["classes"][:50])
        each.partial_fit(csr_array(X[50:90]), TARGETS["classes"][50:90])
    assert_same_model(model, expected)
    assert not hasattr(model, "_unfinished")
    with pytest.raises(ValueError, match="nothing to resume"):
        model.fit_chunks(cut(X, TARGETS["classes"]), resume=True)


def test_row_chunks_train_as_well_as_fit():
    model = estimator_for("classes", max_iter=60)
    expected = clone(model).fit(X, TARGETS["classes"])
    chunks = row_chunks(X, TARGETS["classes"], n_rows=50, random_state=0)
    model.fit_chunks(chunks)
    labels = TARGETS["classes"]
    assert abs(model.score(X, labels) - expected.score(X, labels)) < 0.03
