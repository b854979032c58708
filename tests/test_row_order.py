"""The orders in which an epoch visits the rows.

The only column of the matrix has the numbers of the rows, and its weight is 1, so the
decisions are the order.
"""

import itertools
from collections import Counter

import numpy as np
import pytest
import reference
from scipy.sparse import csr_array
from scipy.stats import chi2

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor
from skmbsgd._engine.epoch import compute_decisions
from skmbsgd._engine.penalties import Penalty
from skmbsgd._engine.row_order import BlockOrder, RowOrder
from skmbsgd._engine.rows import dense_rows
from skmbsgd._engine.targets import RealTargets
from skmbsgd._state import TrainingState, make_model
from skmbsgd._trainer import seed_of_epoch

# As in row_order.pyx
BYTES_OF_NEIGHBOURS = 2**14
BUCKET_BYTES = 2**19


def rows_in(order, n_samples):
    """Rows whose decisions are their numbers."""
    state = TrainingState.start(np.ones((1, 1)), np.zeros(1), seed=0, averaged=False)
    model = make_model(
        state,
        Penalty(),
        sparse=False,
        momentum=0.0,
        nesterov=False,
        fit_intercept=False,
    )
    X = np.arange(n_samples, dtype=float)[:, np.newaxis]
    return dense_rows(X, order, RealTargets(X.copy()), None, model)


def order_of(rows):
    """The numbers of the rows, in their order."""
    decisions = np.empty((rows.order.n_rows, 1))
    compute_decisions(rows, decisions)
    return decisions[:, 0].astype(int)


def random_rows(n_rows, n_samples):
    """Rows that take part, some left out, and a number for each."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(n_samples)[:n_rows]).astype(np.uint32)
    return rows, rng.standard_normal(n_rows)


ORDERS = {
    "rows": RowOrder,
    "blocks": lambda rows, values: BlockOrder(rows, values, 1000),
    "blocks of one row": lambda rows, values: BlockOrder(
        rows, values, BYTES_OF_NEIGHBOURS
    ),
    "long rows": lambda rows, values: BlockOrder(rows, values, 3 * BUCKET_BYTES),
}


@pytest.mark.parametrize("make_order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("n_rows", [1, 2, 15, 17, 518, 519, 10_000, 70_001])
def test_every_row_comes_once(make_order, n_rows):
    rows, values = random_rows(n_rows, n_rows + 7)
    in_order = rows_in(make_order(rows, values), n_rows + 7)
    orders = []
    for seed in range(3):
        in_order.order.shuffle(seed)
        orders.append(order_of(in_order))
        np.testing.assert_array_equal(np.sort(orders[-1]), rows)
    if n_rows > 15:
        assert len({tuple(order) for order in orders}) == 3
    in_order.order.shuffle(0)
    np.testing.assert_array_equal(order_of(in_order), orders[0])
    in_order.order.shuffle(1)
    np.testing.assert_array_equal(in_order.order.row_numbers(), orders[1])


def test_rows_are_distributed_anew_if_a_bucket_has_no_room():
    n_rows = 2**21
    order = RowOrder(np.arange(n_rows, dtype=np.uint32), np.zeros(n_rows))
    # About one shuffle in 200
    for seed in range(5000):
        order.shuffle(seed)
        if order.n_distributions > seed + 1:
            break
    assert order.n_distributions == seed + 2
    rows = order_of(rows_in(order, n_rows))
    np.testing.assert_array_equal(np.sort(rows), np.arange(n_rows))


@pytest.mark.parametrize("make_order", ORDERS.values(), ids=ORDERS)
def test_all_orders_of_a_few_rows_are_equally_likely(make_order):
    rows = np.arange(5, dtype=np.uint32)
    in_order = rows_in(make_order(rows, np.zeros(5)), 5)
    counts = Counter()
    for seed in np.random.default_rng(0).integers(2**63, size=12_000):
        in_order.order.shuffle(seed)
        counts[tuple(order_of(in_order))] += 1
    expected = 12_000 / 120
    observed = [counts[order] for order in itertools.permutations(range(5))]
    statistic = sum((count - expected) ** 2 / expected for count in observed)
    # Too even would be as suspicious as too uneven.
    assert chi2.ppf(0.001, 119) < statistic < chi2.ppf(0.999, 119)


@pytest.mark.parametrize("make_order", ORDERS.values(), ids=ORDERS)
def test_a_row_may_come_at_any_time(make_order):
    """The mean position of each tenth of the rows is that of a uniform draw."""
    n_rows, n_epochs = 20_000, 200
    rows, values = random_rows(n_rows, n_rows)
    in_order = rows_in(make_order(rows, values), n_rows)
    positions = np.zeros(n_rows)
    for seed in range(n_epochs):
        in_order.order.shuffle(seed)
        positions[order_of(in_order)] += np.arange(n_rows) / n_rows / n_epochs
    # Rows of one block are not independent of each other: 16 of them at most.
    deviation = np.sqrt(1 / 12 / n_epochs / (n_rows / 10 / 16))
    tenths = positions.reshape(10, -1).mean(axis=1)
    np.testing.assert_allclose(tenths, 0.5, atol=4 * deviation)


def test_a_bucket_is_made_of_blocks_of_neighbours():
    n_rows, bytes_of_row = 50_000, 1000
    rows, values = random_rows(n_rows, n_rows)
    order = BlockOrder(rows, values, bytes_of_row)
    in_order = rows_in(order, n_rows)
    block_rows, bucket_rows = order.block_rows, order.bucket_room
    assert block_rows == BYTES_OF_NEIGHBOURS // bytes_of_row
    assert 0.9 * BUCKET_BYTES < bucket_rows * bytes_of_row <= BUCKET_BYTES
    order.shuffle(1)
    blocks = order_of(in_order) // block_rows
    for start in range(0, n_rows, bucket_rows):
        bucket = blocks[start : start + bucket_rows]
        sizes = np.sort(np.unique(bucket, return_counts=True)[1])
        # All blocks are whole but the first and the last, and the one with the last row
        assert np.all(sizes[3:] == block_rows)
        assert len(sizes) <= bucket_rows // block_rows + 3
    # In its bucket the rows of a block lie anywhere: a third of it apart on average.
    place = np.argsort(order_of(in_order))
    distances = np.abs(np.diff(place[:block_rows]))
    assert 0.1 * bucket_rows < distances.mean() < 0.7 * bucket_rows


@pytest.mark.parametrize("n_rows", [550, 1070, 1590, 310_832])
def test_the_last_bucket_is_not_small(n_rows):
    rows, values = random_rows(n_rows, n_rows)
    order = BlockOrder(rows, values, 1000)
    in_order = rows_in(order, n_rows)
    n_blocks = []
    for seed in range(50):
        order.shuffle(seed)
        n_blocks.append(len(np.unique(order_of(in_order)[-32:] // order.block_rows)))
    # 32 rows of 17 blocks or more meet 14.5 of them on average. If the last bucket were
    # what whole ones leave over, they would be from 2 to 4 blocks.
    assert np.mean(n_blocks) > 13


# The estimators


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_an_epoch_in_blocks_is_that_of_the_reference(layout, n_targets):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 300))
    y = X[:, :n_targets] + rng.standard_normal((1500, n_targets))
    weights = rng.uniform(0.5, 2.0, 1500)
    settings = {"eta0": 1e-3, "momentum": 0.9, "nesterov": True, "max_iter": 2}
    model = MiniBatchSGDRegressor(
        shuffle="blocks", random_state=7, tol=None, **settings
    ).fit(layout(X), y.squeeze(), sample_weight=weights)
    # The seeds of the two epochs
    seed = np.random.RandomState(7).randint(np.iinfo(np.int32).max)
    bytes_of_row = 300 * (8 if layout is np.asarray else 12)
    order = BlockOrder(np.arange(1500, dtype=np.uint32), np.zeros(1500), bytes_of_row)
    assert order.bucket_room < 1500
    orders = []
    for epoch in range(2):
        order.shuffle(seed_of_epoch(seed, epoch))
        orders.append(order_of(rows_in(order, 1500)))
    expected = reference.train(
        X,
        y,
        loss="squared_error",
        sample_weight=weights,
        orders=orders,
        **settings,
    )
    scale = np.abs(expected.coef).max()
    np.testing.assert_allclose(
        np.atleast_2d(model.coef_), expected.coef, rtol=0, atol=1e-10 * scale
    )
    np.testing.assert_allclose(
        model.intercept_, expected.intercept, rtol=0, atol=1e-10 * scale
    )


def test_blocks_of_the_rows_that_are_not_held_out():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3000, 200)), rng.standard_normal(3000)
    settings = {"eta0": 1e-3, "max_iter": 2, "tol": None, "random_state": 0}
    model = MiniBatchSGDRegressor(shuffle="blocks", early_stopping=True, **settings)
    model.fit(X, y)
    assert len(model.validation_scores_) == 2
    assert model.t_ == 2 * -(-2700 // 32)


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_rows_sorted_by_class_are_learnt_as_well(layout):
    """One class per block, many blocks per bucket: as good as any order."""
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(3, size=6000))
    X = rng.standard_normal((6000, 300)) + 0.1 * rng.standard_normal((3, 300))[y]
    scores = {
        shuffle: MiniBatchSGDClassifier(
            shuffle=shuffle, eta0=0.1, max_iter=2, tol=None, random_state=0
        )
        .fit(layout(X), y)
        .score(X, y)
        for shuffle in (True, "blocks", False)
    }
    assert scores["blocks"] > scores[True] - 0.02
    assert scores[False] < scores[True] - 0.1


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_blocks_in_a_resumed_stream(layout):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3000, 300)), rng.standard_normal(3000)
    settings = {"shuffle": "blocks", "momentum": 0.9, "random_state": 3, "eta0": 1e-3}
    by_fit = MiniBatchSGDRegressor(max_iter=3, tol=None, **settings).fit(layout(X), y)
    by_parts = MiniBatchSGDRegressor(**settings)
    for _ in range(3):
        by_parts.partial_fit(layout(X), y)
    np.testing.assert_array_equal(by_parts.coef_, by_fit.coef_)
    other = MiniBatchSGDRegressor(max_iter=3, tol=None, **settings)
    other.set_params(shuffle=True).fit(layout(X), y)
    assert not np.array_equal(other.coef_, by_fit.coef_)


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_one_batch_of_all_rows_needs_no_order(layout, n_outputs):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 4)), rng.standard_normal((50, n_outputs))
    settings = {"batch_size": "full", "max_iter": 3, "tol": None, "random_state": 0}
    fits = [
        MiniBatchSGDRegressor(shuffle=shuffle, **settings).fit(layout(X), y)
        for shuffle in (False, "blocks")
    ]
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)


@pytest.mark.parametrize("make_order", [RowOrder, ORDERS["blocks of one row"]])
def test_each_permutation_is_as_likely_as_the_others(make_order):
    # Orders that leave rows in place occur too.
    n_draws = 2400
    drawn = Counter()
    for epoch in range(n_draws):
        # From the same start each time
        in_order = rows_in(make_order(np.arange(4, dtype=np.uint32), np.zeros(4)), 4)
        in_order.order.shuffle(seed_of_epoch(0, epoch))
        drawn[tuple(order_of(in_order))] += 1
    expected = n_draws / 24
    deviation = sum(
        (drawn[order] - expected) ** 2 / expected
        for order in itertools.permutations(range(4))
    )
    assert deviation < chi2.isf(1e-4, 23)
