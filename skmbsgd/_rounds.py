"""The work of a worker on a cluster: reading partitions, training rounds, averaging.

Nothing here depends on the cluster. All randomness comes from the seed, the epoch and
the number of the partition, and sums are taken in the order of partitions and shards.
So the results do not depend on the workers, bit for bit.
"""

from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier

from skmbsgd._automatic import derivatives_and_columns, norms_and_sample
from skmbsgd._chunks import NO_COLUMNS, ChunkedData, FirstPass, is_empty, naming
from skmbsgd._columns import learn_columns
from skmbsgd._data import TrainingData, rows_of_batch
from skmbsgd._engine.row_order import BlockOrder, RowOrder
from skmbsgd._passes import PassTrainer, seed_of_part
from skmbsgd._sklearn import safe_indexing
from skmbsgd._state import TrainingState, mean_loss
from skmbsgd._validation import SAMPLE_ROWS

# The arrays that shards change and that are averaged; the last two are running means.
AVERAGED = ("coef", "intercept", "velocity", "intercept_velocity", "positions")
RUNNING_MEANS = ("average_coef", "average_intercept")


class Partitions(ChunkedData):
    """Chunks that are partitions of a collection.

    Attributes
    ----------
    weights_of_classes : ndarray or None
        The total weight of the rows of each class.
    """

    weights_of_classes: Any = None

    def place(self, number, epoch):
        return f"partition {number}"

    @property
    def classes_alone(self):
        return replace(super().classes_alone, sample_weight=self.weights_of_classes)

    def for_workers(self):
        """A copy for workers, which use it to read partitions."""
        twin = object.__new__(Partitions)
        names = ("batch_size", "first_pass", "n_outputs", "weighted", "has_weights")
        for name in (*names, "dtype", "is_sparse", "weights_of_classes"):
            setattr(twin, name, getattr(self, name))
        twin.X, twin.estimator = self.X[:0], self.estimator._reader()
        return twin

    def data_of(self, encoded):
        """TrainingData of an encoded partition."""
        # Arrays from another worker may lack the alignment of their type.
        X, y, weights = (
            part
            if part is None or issparse(part)
            else np.require(part, requirements=["C", "ALIGNED"])
            for part in encoded
        )
        if y.ndim == 2:
            return TrainingData.of_numbers(X, y, weights)
        n_classes = len(self.estimator.classes_)
        return TrainingData.of_classes(X, y, n_classes, weights)

    def make_loss(self):
        """The loss of the estimator."""
        return self.estimator._make_loss(self.n_outputs)


class Context(NamedTuple):
    """The arguments that many tasks share: Partitions for workers, and others."""

    data: Partitions
    arguments: tuple = ()


# Partitions


def some_rows_of(*parts):
    """Some rows of X, y and weights, evenly spaced."""
    n_rows = parts[0].shape[0]
    rows = np.arange(0, n_rows, max(1, n_rows // SAMPLE_ROWS))
    return tuple(
        safe_indexing(part.tocsr() if issparse(part) else part, rows) for part in parts
    )


def read_partition(context, number, *parts):
    """Validated X, y and weights; None for a partition without rows."""
    if is_empty(parts):
        return None
    with naming(context.data.place(number, 0)):
        return context.data._validated(parts)


class Summary(NamedTuple):
    """What training needs to know about a partition beforehand.

    Attributes
    ----------
    n_rows : int
    targets : ndarray
        Its distinct labels, or targets of some of the rows.
    weights : ndarray
        Their weights, like sample weights.
    """

    n_rows: int
    targets: np.ndarray
    weights: np.ndarray


def summarise(context, number, validated, n_targets):
    """The Summary of a partition, with the targets of at most `n_targets` rows."""
    if validated is None:
        return None
    X, y, weights = validated
    n_rows, data = len(y), context.data
    with naming(data.place(number, 0)):
        if is_classifier(data.estimator):
            labels, codes = data.estimator._labels_of(y)
            return Summary(n_rows, labels, np.bincount(codes, weights).astype(float))
        targets = data._data_as_given(X, y, None).y
    kept = np.arange(0, n_rows, -(-n_rows // n_targets))
    weights = np.ones(n_rows) if weights is None else weights
    of_kept = weights[kept]
    if len(kept) < n_rows and of_kept.any():
        of_kept = of_kept * (weights.sum() / of_kept.sum())
    return Summary(n_rows, targets[kept], of_kept)


def encode(context, number, validated):
    """X, y and weights of a partition in the form of TrainingData."""
    with naming(context.data.place(number, 0)):
        data = context.data._data_of(*validated)
    return data.X, data.y, data.sample_weight


def run_on_partition(function, context, encoded, *each):
    """``function(partitions, data, ...)`` for the TrainingData of a partition."""
    data = context.data.data_of(encoded)
    return function(context.data, data, *context.arguments, *each)


def columns_of(partitions, data):
    """The statistics of a partition for `merge_statistics`."""
    columns = SimpleNamespace(**NO_COLUMNS)
    learn_columns(columns, data)
    return columns.column_weight, columns.column_mean, columns.column_variance


def norms_and_sample_of(partitions, data, standardized, sampled):
    """The part of a partition in `norms_and_sample`."""
    return norms_and_sample(data, sampled, standardized)


def loss_of(partitions, data, coef, intercept):
    """The mean loss over the rows of a partition."""
    return mean_loss(data, partitions.make_loss(), coef, intercept)


def derivatives_of(partitions, data, coef, intercept, n_rows):
    """The part of a partition in the sums for `gain_of`."""
    loss = partitions.make_loss()
    return derivatives_and_columns(data, loss, coef, intercept, n_rows)


# Rounds


class Moved(NamedTuple):
    """A state after rounds of training.

    Attributes
    ----------
    state : TrainingState
    loss : float
        The mean loss over the rows of a shard in a round, or the part of all rounds so
        far in the mean over the epoch.
    n_rows : int
        Rows of the shard in the round, or of the epoch.
    n_batches : int, default=0
        Batches of the shard in the round.
    """

    state: TrainingState
    loss: float
    n_rows: int
    n_batches: int = 0


class GivenRates:
    """A schedule whose rates are known.

    Parameters
    ----------
    values : ndarray
        A rate for each update, or one for all.
    what_helps : str
        A change of settings that makes them smaller, for messages.
    """

    parameters: dict[str, Any] = {}

    def __init__(self, values, what_helps):
        self.values, self.what_helps = values, what_helps
        self.counts_updates = len(values) > 1

    def rates(self, state, n_updates, first=0):
        return self.values

    def remedy(self):
        return self.what_helps


class RoundData:
    """The rows of a shard for a round, in the form that PassTrainer takes.

    Parameters
    ----------
    partitions : Partitions
    parts : list of tuple
        Number and TrainingData of each partition, with the rows in training order.
    """

    targets = None

    def __init__(self, partitions, parts):
        self.X, self.n_outputs = partitions.X, partitions.n_outputs
        self.n_rows_at_once = partitions.first_pass.longest
        self.parts = parts
        lengths = [data.n_rows for _, data in parts]
        n_batches = sum(map(partitions.n_batches_of, lengths))
        self.first_pass = FirstPass(
            sum(lengths), n_batches, max(lengths), last=lengths[-1]
        )

    def rows_of_batch(self, batch_size):
        return rows_of_batch(batch_size, self.n_rows_at_once)

    def read(self, epoch):
        return self.parts


class RoundTrainer(PassTrainer):
    """Trains a state on the rows of a round, in the given order."""

    _has_cycles = False

    def _count_epoch(self, data_loss, rates, n_batches, n_rows):
        super()._count_epoch(data_loss, rates, n_batches, n_rows)
        self.moved = Moved(self.state, data_loss, n_rows, n_batches)


def run_round(context, common, share, schedule, encoded):
    """Train the common state on a shard's share of an epoch.

    Parameters
    ----------
    context : Context
        The arguments are `columns` as for Trainer, and whether the rate of a small last
        batch is reduced, as in cycles.
    common : Moved
    share : list of tuple
        Number, first row and stop of each partition, in the order of the epoch.
    schedule : GivenRates
    encoded : list of tuple
        The partitions.

    Returns
    -------
    moved : Moved
    """
    partitions, (columns, has_cycles) = context
    state = common.state.copy()
    parts = [
        (number, rows_of_epoch(partitions, part, state, number, first, stop))
        for (number, first, stop), part in zip(share, encoded, strict=True)
    ]
    trainer = partitions.estimator._assemble_trainer(
        RoundTrainer,
        state,
        RoundData(partitions, parts),
        partitions.make_loss(),
        eta0=0.0,
        columns=columns,
        streaming=False,
    )
    trainer.schedule, trainer.shuffle = schedule, False  # The rows are in order.
    trainer._has_cycles = has_cycles
    trainer.run_epoch()
    trainer.store()
    return trainer.moved


def rows_of_epoch(partitions, encoded, state, number, first, stop):
    """Rows of a partition from `first` on, in the order of the state's epoch."""
    data, shuffle = partitions.data_of(encoded), partitions.estimator.shuffle
    if not (shuffle and partitions.n_batches_of(data.n_rows) > 1):
        return data.subset(np.arange(first, stop))
    bytes_of_row = data.bytes_of_row if isinstance(shuffle, str) else None
    seed = seed_of_part(state.seed, state.n_epochs, number)
    return data.subset(shuffled(data.n_rows, bytes_of_row, seed)[first:stop])


@lru_cache(maxsize=4)  # The next round continues with the same order.
def shuffled(n_rows, bytes_of_row, seed):
    """Row numbers in random order, by blocks if the bytes of a row are given."""
    rows = np.arange(n_rows, dtype=np.uint32)
    if bytes_of_row is None:
        order = RowOrder(rows)
    else:
        order = BlockOrder(rows, None, bytes_of_row)
    order.shuffle(seed)
    return order.row_numbers()


def average(context, common, moved):
    """The common state after a round: means weighted by rows, in the order of shards.

    The threshold of L1 and the clock of updates are those of the longest shard.
    """
    state = average_of_states(common.state, moved)
    partitions, (columns, _) = context
    if state.positions is not None:
        u = state.threshold[0] if columns is None else state.threshold[0] * columns[1]
        weights = partitions.estimator._make_penalty().weights(state.positions, u)
        state.coef = weights.astype(state.coef.dtype)
    loss = sum(each.loss * (each.n_rows / common.n_rows) for each in moved)
    return Moved(state, common.loss + loss, common.n_rows)


def average_of_states(before, moved):
    """The state before a round, with the averages of the shards."""
    longest = max(moved, key=lambda each: each.n_batches).state
    # Running means may have begun in some of the shards.
    averaging = [each for each in moved if each.state.n_averaged > 0]
    return replace(
        before,
        threshold=longest.threshold,
        n_averaged=max(each.state.n_averaged for each in moved),
        n_samples=before.n_samples + sum(each.n_rows for each in moved),
        **{name: mean_of(name, moved) for name in AVERAGED},
        **{name: mean_of(name, averaging or moved) for name in RUNNING_MEANS},
    )


def mean_of(name, moved):
    """The mean of an array over several states, weighted by rows; None without one."""
    first = getattr(moved[0].state, name)
    if first is None:
        return None
    n_rows = sum(each.n_rows for each in moved)
    mean: Any = 0.0
    for each in moved:
        share = each.n_rows / n_rows
        mean = mean + np.multiply(getattr(each.state, name), share, dtype=np.float64)
    return mean.astype(first.dtype, copy=False)
