"""Training on a Dask cluster: the estimators for data on more than one machine.

They need ``python -m pip install "skmbsgd[dask]"``, here and on the workers. Dask moves
the data, runs the tasks, and runs those of a lost worker anew; this module is the
algorithm, local SGD. The partitions of the data belong to fixed shards. An epoch has
rounds: in each, all shards train on their share of the epoch from common weights and
velocities, which are then averaged by rows.

All randomness comes from the seed, the epoch and the number of the partition. So the
bits depend on `n_shards`, `rounds_per_epoch` and the partitions, not on the workers.
"""

import inspect
import time
import warnings
from copy import copy
from dataclasses import replace
from functools import cached_property, lru_cache
from numbers import Integral
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

try:
    import dask
    import dask.array as da
    from dask.distributed import CancelledError, get_client
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"Training on a cluster needs {error.name}. Install all it takes, here and "
        'on the workers, with: python -m pip install "skmbsgd[dask]"',
        name=error.name,
    ) from error

from skmbsgd._at_once import appears_at_once
from skmbsgd._automatic import (
    derivatives_and_columns,
    gain_of,
    learn_smoothness,
    norms_and_sample,
)
from skmbsgd._chunks import (
    NO_COLUMNS,
    ChunkedData,
    FirstPass,
    Survey,
    is_empty,
    naming,
)
from skmbsgd._classifier import MiniBatchSGDClassifier, available_with_probabilities
from skmbsgd._columns import (
    learn_columns,
    merge_statistics,
    standardization_of,
    statistics_of,
)
from skmbsgd._data import TrainingData, rows_of_batch
from skmbsgd._engine.epoch import begin_epoch, end_epoch
from skmbsgd._engine.row_order import BlockOrder, RowOrder
from skmbsgd._passes import PassTrainer, seed_of_part
from skmbsgd._regressor import MiniBatchSGDRegressor
from skmbsgd._sklearn import (
    Interval,
    StrOptions,
    clone_parametrized,
    safe_indexing,
    with_checked_parameters,
)
from skmbsgd._state import TrainingState, mean_loss
from skmbsgd._validation import SAMPLE_ROWS
from skmbsgd._version import __version__
from skmbsgd._warnings import stack_level_of_caller

__all__ = ["DaskMiniBatchSGDClassifier", "DaskMiniBatchSGDRegressor"]

# How often a task that has failed is run again
RETRIES = 2
# Targets of a regression that come to the client at most; of more a sample does
MAX_TARGETS = 2**20
# With shorter rounds, in seconds, much of the time goes to sending weights.
SHORTEST_ROUND = 0.2
# rounds_per_epoch="auto": more rounds do not help, nor do rounds of fewer batches.
MOST_ROUNDS, FEWEST_BATCHES = 8, 12

# What shards move, and what is averaged
AVERAGED = (
    "coef",
    "intercept",
    "velocity",
    "intercept_velocity",
    "positions",
    "average_coef",
    "average_intercept",
)
OF_RUNNING_MEANS = ("average_coef", "average_intercept")
# Statistics that no update needs
NOT_SENT: dict[str, Any] = {
    "column_mean": None,
    "column_variance": None,
    "direction": None,
}


# What the client knows and does


class ShardedData(ChunkedData):
    """Partitions on the workers of a cluster, as training takes them.

    Parameters
    ----------
    estimator : estimator instance
        The one in training.
    client : distributed.Client
    X, y, sample_weight : Dask array or dataframe
        The last one may be None.

    Attributes
    ----------
    shards : list of list of Partition
        The partitions that have rows, by shards.
    """

    def __init__(self, estimator, client, X, y, sample_weight):
        super().__init__(
            estimator, SimpleNamespace(is_iterator=False), estimator.batch_size
        )
        self.client = client
        self.workers = sorted(client.nthreads())
        self.validated: list[Any] = []
        self.encoded: list[Any] = []
        collections = {"X": X, "y": y, "sample_weight": sample_weight}
        if sample_weight is None:
            del collections["sample_weight"]
        blocks = aligned_blocks(collections)
        parts = [part for parts in zip(*blocks, strict=True) for part in parts]
        futures = client.compute(parts, retries=RETRIES)
        self.given = list(zip(*[iter(futures)] * len(blocks), strict=True))

    def place(self, number, epoch):
        return f"partition {number}"

    # Tasks

    def submit(self, function, *arguments, shard=None):
        """A task of its own, preferably on the worker of a shard."""
        where = {}
        if shard is not None:
            worker = self.workers[shard % len(self.workers)]
            where = {"workers": [worker], "allow_other_workers": True}
        return self.client.submit(
            function, *arguments, pure=False, retries=RETRIES, **where
        )

    def gather(self, futures):
        """Results of tasks, which are cancelled if one of them fails."""
        try:
            return self.client.gather(futures)
        except CancelledError as error:
            raise RuntimeError(
                "The cluster has cancelled the tasks of this training: its client was "
                "closed, or the cluster restarted. Connect a client, and fit anew."
            ) from error
        except BaseException:
            self.cancel(futures)
            raise

    def gather_by_partition(self, futures):
        """The same, noting with an error which partition it came from."""
        try:
            return self.gather(futures)
        except Exception as error:
            failed = [i for i, future in enumerate(futures) if future.status == "error"]
            if failed:
                error.add_note(
                    f"This came from partition {failed[0]} of the data, counted from 0."
                )
            raise

    def cancel(self, futures):
        """Forget tasks, which nobody else knows."""
        if self.client.status == "running":
            self.client.cancel(futures)

    def release(self):
        """Let the workers forget all that was computed here."""
        for futures in self.given:
            for future in futures:
                future.release()  # and not cancel: they may be the user's own
        self.cancel([*self.validated, *self.encoded])

    def map(self, function, *arguments, each=None):
        """Results of ``function(reader, data, *arguments)`` for all partitions.

        `each` is one more argument for each of them.
        """
        context = self.submit(Context, self.for_workers(), arguments)
        more = [() for _ in self.partitions] if each is None else zip(each)
        return self.gather_by_partition(
            [
                self.submit(
                    run_on_partition,
                    function,
                    context,
                    part.encoded,
                    *of_part,
                    shard=part.shard,
                )
                for part, of_part in zip(self.partitions, more, strict=True)
            ]
        )

    # What must be known before training

    def prepare(self, n_shards):
        """Read all partitions, learn what they are, and make shards of them."""
        self.look()
        del self.looked_at
        self.opened = None
        reader = self.submit(Context, self.for_workers())
        self.validated = [
            self.submit(read_partition, reader, number, *parts)
            for number, parts in enumerate(self.given)
        ]
        n_targets = max(1, MAX_TARGETS // len(self.given))
        summaries = self.gather_by_partition(
            [
                self.submit(summarise, reader, number, part, n_targets)
                for number, part in enumerate(self.validated)
            ]
        )
        with_rows = {i: found for i, found in enumerate(summaries) if found is not None}
        self._learn_targets(with_rows)
        self._make_shards(list(with_rows), n_shards)
        encoder = self.submit(Context, self.for_workers())
        for part in self.partitions:
            part.encoded = self.submit(
                encode, encoder, part.number, self.validated[part.number],
                shard=part.shard,
            )  # fmt: skip
        self.encoded = [part.encoded for part in self.partitions]
        for parts in self.given:
            for future in parts:
                future.release()
        self.validated = []

    def _open(self, epoch):
        """Some rows of the first partition that has any."""
        for number, parts in enumerate(self.given):
            chunk = self.gather_by_partition([self.submit(some_rows_of, *parts)])[0]
            if not is_empty(chunk):
                yield number, chunk
        raise ValueError("X has no rows: all of its partitions are empty.")

    def _learn_targets(self, summaries):
        """Learn classes, the weights' mean, and what models without features reach."""
        self.survey_ = survey = Survey(self)
        for number, found in summaries.items():
            with naming(self.place(number, 0)):
                if is_classifier(self.estimator):
                    survey.add_labels(found.targets, found.weights)
                else:
                    survey.add(found.targets, found.weights)
        lengths = np.array([found.n_rows for found in summaries.values()])
        n_targets = sum(survey.lengths)
        survey.end()
        largest, mean = self.first_pass.given_scale
        self.first_pass = replace(
            self.first_pass,
            n_rows=int(lengths.sum()),
            longest=int(lengths.max()),
            last=int(lengths[-1]),
            # That of all rows, and not of so many targets
            given_scale=(largest, mean * n_targets / lengths.sum()),
        )
        self.lengths = lengths

    @cached_property
    def classes_alone(self):
        """A row of each class, with the weight of all that it has."""
        if not is_classifier(self.estimator):
            return TrainingData(np.empty((0, 0)), np.empty(0), None)
        codes, weights = (
            np.concatenate(parts)
            for parts in (self.survey_.targets, self.survey_.weights)
        )
        n_classes = len(self.estimator.classes_)
        totals = np.bincount(codes, weights, n_classes)
        return TrainingData(
            np.empty((n_classes, 0)), np.arange(n_classes), None, totals
        )

    def _make_shards(self, numbers, n_shards):
        """Deal the partitions to shards: the largest first, to the one with fewest."""
        if n_shards is None:
            n_shards = min(len(self.workers), len(numbers))
        if n_shards > len(numbers):
            raise ValueError(
                f"n_shards={n_shards} needs as many partitions that have rows, and X "
                f"has {len(numbers)}: use fewer shards, X.rechunk or X.repartition."
            )
        self.partitions = []
        n_rows = [0] * n_shards
        shard_of = {}
        for i in np.argsort(-self.lengths, kind="stable").tolist():
            shard_of[i] = shard = n_rows.index(min(n_rows))
            n_rows[shard] += int(self.lengths[i])
        for i, number in enumerate(numbers):
            self.partitions.append(Partition(number, int(self.lengths[i]), shard_of[i]))
        self.shards = [
            [part for part in self.partitions if part.shard == shard]
            for shard in range(n_shards)
        ]
        self.n_batches = [
            sum(self.n_batches_of(part.n_rows) for part in shard)
            for shard in self.shards
        ]
        self.first_pass = replace(self.first_pass, n_batches=max(self.n_batches))
        if is_classifier(self.estimator):
            self._warn_of_missing_classes()

    def _warn_of_missing_classes(self):
        classes = self.estimator.classes_
        for shard in range(len(self.shards)):
            present = [
                codes
                for codes, part in zip(
                    self.survey_.targets, self.partitions, strict=True
                )
                if part.shard == shard
            ]
            missing = np.setdiff1d(np.arange(len(classes)), np.concatenate(present))
            if len(missing) > 0:
                warnings.warn(
                    f"Shard {shard} of {len(self.shards)} has no row of the class "
                    f"{classes[missing[0]]!r}: shards that differ so much learn less "
                    "in a round. Shuffle the rows over the partitions, or use fewer "
                    "shards.",
                    UserWarning,
                    stacklevel=stack_level_of_caller(),
                )
                return

    def learn_columns(self):
        """Learn the statistics of the columns."""
        columns, n_features = SimpleNamespace(**NO_COLUMNS), self.X.shape[1]
        merge_statistics(columns, self.map(columns_of), n_features)
        self.columns = vars(columns)

    def norms_and_sample(self, data, sampled, standardized):
        """As the function of this name, of which this takes the place."""
        if sampled is None:
            sampled = np.arange(self.n_rows)
        ends = np.cumsum(self.lengths)
        numbers = [
            sampled[(sampled >= end - length) & (sampled < end)] - (end - length)
            for end, length in zip(ends, self.lengths, strict=True)
        ]
        found = self.map(norms_and_sample_of, standardized, each=numbers)
        sums, samples = zip(*found, strict=True)
        rows, weights = zip(*samples, strict=True)
        X = vstack(rows, format="csr") if self.is_sparse else np.concatenate(rows)
        return sum(sums), (X, np.concatenate(weights))

    # What workers are told

    def for_workers(self):
        """The same without what belongs to the client."""
        twin = object.__new__(ChunkedOnWorker)
        names = ("batch_size", "first_pass", "n_outputs", "has_weights", "dtype")
        names += ("is_sparse",)
        vars(twin).update({name: getattr(self, name) for name in names})
        twin.X = self.X[:0]
        if self.first_pass is not None:
            twin.classes = self.classes_alone
        twin.estimator = self.estimator._reader()
        return twin


class Partition:
    """A partition that has rows.

    Attributes
    ----------
    number : int
        Its place in the collection.
    n_rows, shard : int
    encoded : Future
        What `encode` returns, on a worker.
    """

    encoded: Any = None

    def __init__(self, number, n_rows, shard):
        self.number, self.n_rows, self.shard = number, n_rows, shard


def blocks_of(collection, name):
    """The partitions of a collection, each to be computed."""
    if isinstance(collection, da.Array):
        if collection.ndim == 2:
            collection = collection.rechunk({1: -1})
        return collection.to_delayed().ravel().tolist()
    if dask.is_dask_collection(collection) and hasattr(collection, "to_delayed"):
        return list(collection.to_delayed())
    raise TypeError(
        f"{name} must be an array or a dataframe of Dask, got "
        f"{type(collection).__name__}. Make one with dask.array.from_array, or train "
        "on data in the memory with MiniBatchSGDClassifier or MiniBatchSGDRegressor."
    )


def aligned_blocks(collections):
    """Blocks of collections by their names, all cut as the first one."""
    X = collections["X"]
    blocks = []
    for name, collection in collections.items():
        both_arrays = isinstance(X, da.Array) and isinstance(collection, da.Array)
        if both_arrays and not np.isnan(X.shape[0] + collection.shape[0]):
            if collection.shape[0] != X.shape[0]:
                raise ValueError(
                    f"X has {X.shape[0]} rows, and {name} {collection.shape[0]}."
                )
            collection = collection.rechunk({0: X.chunks[0]})
        blocks.append(blocks_of(collection, name))
        if len(blocks[-1]) != len(blocks[0]):
            raise ValueError(
                f"X has {len(blocks[0])} partitions, and {name} {len(blocks[-1])}: "
                "make them the same with rechunk or repartition."
            )
    return blocks


def check_workers(client):
    """Refuse workers that lack this package, or have another version of it."""
    versions = client.run(
        eval, "__import__('skmbsgd.dask').__version__", on_error="return"
    )
    if not versions:
        raise RuntimeError(
            "The cluster has no worker yet: wait with client.wait_for_workers(1)."
        )
    for worker, version in versions.items():
        if isinstance(version, Exception):
            raise RuntimeError(
                f"The worker {worker} cannot import skmbsgd.dask: {version}. Install "
                'the same version there: python -m pip install "skmbsgd[dask]=='
                f'{__version__}"'
            ) from version
        if version != __version__:
            raise RuntimeError(
                f"The worker {worker} has skmbsgd {version}, and this process "
                f"{__version__}: install the same version."
            )


class ShardTrainer(PassTrainer):
    """Moves the weights of a state by epochs in rounds, on the workers of a cluster.

    Parameters
    ----------
    state, data, ...
        As for PassTrainer; the data are ShardedData, whose `n_rounds` is set.

    Attributes
    ----------
    seconds : list of float
        Of the rounds of each epoch, on average.
    """

    def __init__(self, *arguments, **settings):
        self.seconds = []
        super().__init__(*arguments, **settings)

    def _make_rows(self):
        state, penalty = self.state, self.penalty
        if state.positions is None or state.penalty != (penalty.l2, penalty.l1):
            state.continue_under(penalty)
        self.model = self.make_model(state)
        columns = None
        if self.is_standardized:
            columns = standardization_of(state, self.fit_intercept)
        self.context = self.data.submit(
            Context, self.data.for_workers(), (columns, self._has_cycles)
        )

    def run_epoch(self):
        started = time.perf_counter()
        rates = self._rates_expected()
        after = self.data.gather(self._submit_rounds(rates))
        self._take(after.state)
        self.seconds.append((time.perf_counter() - started) / self.data.n_rounds)
        return self._count_epoch(
            after.loss, rates, self.data.first_pass.n_batches, self.data.n_rows
        )

    def _submit_rounds(self, rates):
        """All tasks of an epoch; the future of the last one."""
        data = self.data
        sent = replace(self.state, **NOT_SENT)
        common = data.submit(Moved, sent, 0.0, 0, data.n_rows)
        remedy = self.schedule.remedy()
        for number in range(data.n_rounds):
            first = part_of(data.first_pass.n_batches, number, data.n_rounds)
            moved = []
            for i, shard in enumerate(data.shards):
                batches = (
                    part_of(data.n_batches[i], n, data.n_rounds)
                    for n in (number, number + 1)
                )
                share = share_of(shard, *batches, data)
                if share:
                    n_batches = sum(each.n_batches for each in share)
                    moved.append(
                        data.submit(
                            run_round,
                            self.context,
                            common,
                            [(each.number, each.first, each.stop) for each in share],
                            GivenRates(rates_of(rates, first, n_batches), remedy),
                            [each.encoded for each in share],
                            shard=i,
                        )
                    )
            common = data.submit(average, self.context, common, moved)
        return common

    def _take(self, moved):
        """Let the state have what the shards have made of it."""
        for name in (*AVERAGED, "threshold"):
            array = getattr(moved, name)
            # What comes from another process may not be written to.
            setattr(self.state, name, None if array is None else np.array(array))
        self.state.n_averaged = moved.n_averaged
        self.model = self.make_model(self.state)
        begin_epoch(self.model, np.zeros(1), 1)
        end_epoch(self.model)  # for the sums that the penalty is made of

    def _end_epoch(self, patience, finished):
        self.publish(self._state_to_keep().copy(), self.history)

    def _objective_now(self):
        return self._objective_of(*self.state.weights())

    def _mean_loss_at(self, coef, intercept):
        data = self.data
        losses = data.map(loss_at, coef, intercept)
        return float(np.average(losses, weights=data.lengths))

    def _certain_gain(self, coef, intercept):
        data = self.data
        sums = data.map(derivatives_at, coef, intercept, data.n_rows)
        sums = [sum(parts) for parts in zip(*sums, strict=True)]
        return gain_of(sums, self.loss, coef, self.penalty.l2, self.fit_intercept)


def part_of(n, number, n_parts):
    """Where part `number` begins if n things are divided into so many parts."""
    return number * n // n_parts


class Share(NamedTuple):
    """Rows of a partition, in the order of the epoch, that belong to a round."""

    number: int
    first: int
    stop: int
    n_batches: int
    encoded: Any


def share_of(shard, first, stop, data):
    """The batches of an epoch from first to before stop, by the shard's partitions."""
    share = []
    begin = 0
    for part in shard:
        batch_size = rows_of_batch(data.batch_size, part.n_rows)
        n_batches = data.n_batches_of(part.n_rows)
        low = max(first - begin, 0)
        high = min(stop - begin, n_batches)
        begin += n_batches
        if low < high:
            rows = low * batch_size, min(high * batch_size, part.n_rows)
            share.append(Share(part.number, *rows, high - low, part.encoded))
    return share


def rates_of(rates, first, n_updates):
    """Those from update `first` on; the last one stays."""
    if len(rates) == 1:
        return rates
    return rates[np.minimum(np.arange(first, first + n_updates), len(rates) - 1)]


class GivenRates:
    """A schedule whose rates are known.

    Parameters
    ----------
    values : ndarray
        A rate for each update of an epoch, or one for all.
    remedy : str
        What makes them smaller.
    """

    parameters: dict[str, Any] = {}

    def __init__(self, values, remedy):
        self.values = values
        self.counts_updates = len(values) > 1
        self.remedy = lambda: remedy

    def __reduce__(self):
        return GivenRates, (self.values, self.remedy())

    def rates(self, state, n_updates, first=0):
        return self.values


# What workers do


class ChunkedOnWorker(ChunkedData):
    """What a worker has to know of the data; see `ShardedData.for_workers`."""

    classes: Any = None

    def place(self, number, epoch):
        return f"partition {number}"

    @property
    def classes_alone(self):
        return self.classes

    def data_of(self, encoded):
        """TrainingData of what `encode` has returned."""
        # What comes from another worker may be aligned to bytes.
        X, y, weights = (
            part if part is None or issparse(part) else aligned(part)
            for part in encoded
        )
        if y.ndim == 2:
            return TrainingData.of_numbers(X, y, weights)
        return TrainingData.of_classes(X, y, len(self.estimator.classes_), weights)

    def make_loss(self):
        return self.estimator._make_loss(self.n_outputs)


def aligned(array):
    """The array, or a copy that the engine can read."""
    return np.require(array, requirements=["C", "ALIGNED"])


class Context(NamedTuple):
    """What many tasks need: the data as workers know them, and other arguments."""

    data: Any
    arguments: Any = ()


class Moved(NamedTuple):
    """What a shard has made of a state in a round, or all of them in several.

    Attributes
    ----------
    state : TrainingState
    loss : float
        The mean over the rows of the round; of several rounds, what they add to the
        mean over all rows of the epoch.
    n_batches, n_rows : int
        Of the round; n_rows of several rounds is that of the epoch.
    """

    state: TrainingState
    loss: float
    n_batches: int
    n_rows: int


def some_rows_of(*parts):
    """Some rows of a partition, evenly spaced."""
    n_rows = parts[0].shape[0]
    rows = np.arange(0, n_rows, max(1, n_rows // SAMPLE_ROWS))
    return tuple(safe_indexing(part, rows) for part in parts)


def read_partition(context, number, *parts):
    """Validated X, y and weights; None for a partition without rows."""
    if is_empty(parts):
        return None
    with naming(context.data.place(number, 0)):
        return context.data._validated(parts)


class Summary(NamedTuple):
    """What the client has to know of a partition.

    Attributes
    ----------
    n_rows : int
    targets : ndarray
        Its labels, each once; or targets of rows.
    weights : ndarray
        What these count for, in the unit of the sample weights.
    """

    n_rows: int
    targets: np.ndarray
    weights: np.ndarray


def summarise(context, number, validated, n_targets):
    """The Summary of a partition, with at most so many targets of rows."""
    if validated is None:
        return None
    data = context.data
    X, y, weights = validated
    n_rows = len(y)
    with naming(data.place(number, 0)):
        if is_classifier(data.estimator):
            targets, codes = data.estimator._labels_of(y)
            return Summary(n_rows, targets, np.bincount(codes, weights).astype(float))
        targets = data._data_as_given(X, y, None).y
    kept = np.arange(0, n_rows, -(-n_rows // n_targets))
    of_all = np.ones(n_rows) if weights is None else weights
    of_kept = of_all[kept]
    if len(kept) < n_rows and of_kept.any():
        of_kept = of_kept * (of_all.sum() / of_kept.sum())
    return Summary(n_rows, targets[kept], of_kept)


def encode(context, number, validated):
    """X, y and weights as TrainingData has them."""
    with naming(context.data.place(number, 0)):
        data = context.data._data_of(*validated)
    return data.X, data.y, data.sample_weight


def run_on_partition(function, context, encoded, *each):
    """``function(reader, data, ...)`` for the TrainingData of a partition."""
    data = context.data.data_of(encoded)
    return function(context.data, data, *context.arguments, *each)


def columns_of(reader, data):
    """What `merge_statistics` takes, of the columns of a partition."""
    columns = SimpleNamespace(**NO_COLUMNS)
    learn_columns(columns, data)
    return columns.column_weight, columns.column_mean, columns.column_variance


def norms_and_sample_of(reader, data, standardized, sampled):
    """What a partition adds to `norms_and_sample`."""
    return norms_and_sample(data, sampled, standardized)


def loss_at(reader, data, coef, intercept):
    """The mean loss over the rows of a partition."""
    return mean_loss(data, reader.make_loss(), coef, intercept)


def derivatives_at(reader, data, coef, intercept, n_rows):
    """What a partition adds to the sums that `gain_of` takes."""
    return derivatives_and_columns(data, reader.make_loss(), coef, intercept, n_rows)


class RoundData:
    """The rows of a shard for a round, as PassTrainer takes data.

    Parameters
    ----------
    data : ChunkedOnWorker
    parts : list of tuple
        Number and TrainingData of each partition, the rows in the order to come.
    """

    targets = None

    def __init__(self, data, parts):
        self.X, self.n_outputs = data.X, data.n_outputs
        self.n_rows_at_once = data.first_pass.longest
        self.parts = parts
        lengths = [part.n_rows for _, part in parts]
        self.first_pass = FirstPass(
            n_rows=sum(lengths),
            n_batches=sum(map(data.n_batches_of, lengths)),
            longest=max(lengths),
            last=lengths[-1],
        )

    def rows_of_batch(self, batch_size):
        return rows_of_batch(batch_size, self.n_rows_at_once)

    def read(self, epoch):
        return self.parts


class RoundTrainer(PassTrainer):
    """Moves a state by the rows of a round, in the order given."""

    _has_cycles = False

    def _count_epoch(self, data_loss, rates, n_batches, n_rows):
        super()._count_epoch(data_loss, rates, n_batches, n_rows)
        self.moved = Moved(self.state, data_loss, n_batches, n_rows)


def run_round(context, common, share, schedule, encoded):
    """What a shard makes of the common state with its share of an epoch.

    Parameters
    ----------
    context : Context
    common : Moved
    share : list of tuple
        Number, first row and stop of each partition, in the order of the epoch.
    schedule : GivenRates
    encoded : list of tuple
        The partitions.
    """
    data, (columns, has_cycles) = context
    state = common.state.copy()
    parts = [
        (number, rows_of_epoch(data, state, number, first, stop, partition))
        for (number, first, stop), partition in zip(share, encoded, strict=True)
    ]
    trainer = data.estimator._assemble_trainer(
        RoundTrainer,
        state,
        RoundData(data, parts),
        data.make_loss(),
        eta0=0.0,
        columns=columns,
        streaming=False,
    )
    trainer.schedule, trainer.shuffle = schedule, False  # The order is made already.
    trainer._has_cycles = has_cycles
    trainer.run_epoch()
    trainer.store()
    return trainer.moved


def rows_of_epoch(data, state, number, first, stop, encoded):
    """Rows of a partition from `first` on in the order of the state's epoch."""
    part = data.data_of(encoded)
    shuffle = data.estimator.shuffle
    if shuffle and data.n_batches_of(part.n_rows) > 1:
        bytes_of_row = part.bytes_of_row if isinstance(shuffle, str) else None
        seed = seed_of_part(state.seed, state.n_epochs, number)
        return part.subset(shuffled(part.n_rows, bytes_of_row, seed)[first:stop])
    return part.subset(np.arange(first, stop))


@lru_cache(maxsize=4)
def shuffled(n_rows, bytes_of_row, seed):
    """Row numbers in random order, by blocks if the bytes of a row are given."""
    rows = np.arange(n_rows, dtype=np.uint32)
    order = (
        RowOrder(rows) if bytes_of_row is None else BlockOrder(rows, None, bytes_of_row)
    )
    order.shuffle(seed)
    return order.row_numbers()


def average(context, common, moved):
    """The common state after a round: means by rows, in the order of the shards."""
    n_rows = sum(each.n_rows for each in moved)
    longest = max(moved, key=lambda each: each.n_batches).state
    state = replace(
        common.state,
        threshold=longest.threshold,
        n_averaged=longest.n_averaged,
        n_samples=common.state.n_samples + n_rows,
        **{name: mean_of(name, moved) for name in AVERAGED},
    )
    if state.positions is not None:
        data, (columns, _) = context
        u = state.threshold[0] if columns is None else state.threshold[0] * columns[1]
        weights = data.estimator._make_penalty().weights(state.positions, u)
        state.coef = weights.astype(state.coef.dtype)
    loss = sum(each.loss * (each.n_rows / common.n_rows) for each in moved)
    return Moved(state, common.loss + loss, 0, common.n_rows)


def mean_of(name, moved):
    """The mean by rows of an array of several states; None if there is none."""
    if name in OF_RUNNING_MEANS:  # Some may not have begun.
        moved = [each for each in moved if each.state.n_averaged > 0] or moved
    if getattr(moved[0].state, name) is None:
        return None
    n_rows = sum(each.n_rows for each in moved)
    mean: Any = 0.0
    for each in moved:
        mean = mean + np.multiply(
            getattr(each.state, name), each.n_rows / n_rows, dtype=np.float64
        )
    return mean.astype(getattr(moved[0].state, name).dtype, copy=False)


# The estimators


def with_parameters_of(parent):
    """Let an ``__init__`` show the parameters of the parent's ahead of its own."""

    def decorate(init):
        parameters = dict(inspect.signature(parent.__init__).parameters)
        parameters.update(inspect.signature(init).parameters)
        del parameters["parameters"]
        init.__signature__ = inspect.Signature(list(parameters.values()))
        return init

    return decorate


OF_SHARDS: dict[str, Any] = {
    "n_shards": [Interval(Integral, 1, None, closed="left"), None],
    "rounds_per_epoch": [
        Interval(Integral, 1, None, closed="left"),
        StrOptions({"auto"}),
    ],
}


class DaskEstimator:
    """What the two estimators add to those they are made from."""

    client: Any
    n_shards_: int
    _local_class: Any

    @property
    def client_(self):
        """The client in use: the parameter, or Dask's current one."""
        if self.client is not None:
            return self.client
        try:
            return get_client()
        except ValueError as error:
            raise ValueError(
                "There is no client of a Dask cluster: make one with "
                "dask.distributed.Client(), or pass it as client."
            ) from error

    @appears_at_once
    @with_checked_parameters
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on the partitions of Dask collections, where they are.

        Parameters
        ----------
        X : Dask array or dataframe of shape (n_samples, n_features)
            Blocks are dense or CSR. Chunk sizes may be unknown.
        y : Dask array, series or dataframe
            Labels or target values, in as many partitions as X.
        sample_weight : Dask array or series, default=None
            Weights >= 0, rescaled to a mean of 1.
        X_val, y_val, sample_weight_val : array-like or Dask collection, default=None
            Validation data, as in `MiniBatchSGDClassifier.fit`. They must fit into the
            memory of the client, where epochs are scored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If X, y or sample_weight are no Dask collections.
        ValueError
            If a parameter or a partition is invalid; the message has its number. Or
            what a partition raises while it is computed, with a note of its number.
        DivergenceError
            If weights or loss become infinite or NaN. After any error, as after an
            interrupt, the estimator is as it was before, and the tasks are cancelled.
        RuntimeError
            If a worker lacks this package, or if the cluster has cancelled the tasks.

        Warns
        -----
        ConvergenceWarning
            As `MiniBatchSGDClassifier.fit` does.
        UserWarning
            If a shard has no row of some class, or if rounds are so short that most
            of the time goes to sending weights.
        """
        self._check_parameters()
        if self.early_stopping and X_val is None:
            raise ValueError(
                "early_stopping=True holds out rows, which is left to you here: pass "
                "validation data as X_val and y_val, or set early_stopping=False."
            )
        client = self.client_
        check_workers(client)
        of_validation = X_val, y_val, sample_weight_val
        if any(map(dask.is_dask_collection, of_validation)):
            of_validation = client.gather(client.compute(of_validation))
        data = ShardedData(self, client, X, y, sample_weight)
        try:
            data.prepare(self.n_shards)
            data.n_rounds = self._n_rounds(data.first_pass.n_batches)
            self.n_shards_ = len(data.shards)
            _, validation = self._set_validation_apart(data, *of_validation, None)
            if self._standardizes(data.X):
                data.learn_columns()
            trainer = self._begin_passes(data, make=ShardTrainer)
            self._forget_validation()
            trainer.publish = self._publish
            self._train_in_passes(trainer, data, validation)
        finally:
            data.release()
        warn_of_short_rounds(trainer)
        return self

    def _n_rounds(self, n_batches):
        """Rounds of an epoch of so many batches."""
        if self.rounds_per_epoch == "auto":
            return min(MOST_ROUNDS, max(1, n_batches // FEWEST_BATCHES))
        return min(self.rounds_per_epoch, n_batches)

    def _learn_smoothness(self, state, data, seen):
        learn_smoothness(state, data, seen, data.norms_and_sample)

    def _reader(self):
        """A plain estimator for the workers, which need no callables of users'."""
        reader = self._local_class(**self._local_parameters()).set_params(
            learning_rate="constant", eta0=1.0, scoring="loss", random_state=None
        )
        for name in ("n_features_in_", "feature_names_in_", "classes_"):
            if hasattr(self, name):
                setattr(reader, name, getattr(self, name))
        if hasattr(self, "_one_dimensional"):
            reader._one_dimensional = self._one_dimensional
        return reader

    def _local_parameters(self):
        names = self._local_class._get_param_names()
        return {name: getattr(self, name) for name in names}

    def to_local(self):
        """The fitted model as a plain estimator.

        Returns
        -------
        model : MiniBatchSGDClassifier or MiniBatchSGDRegressor
            It predicts without Dask, pickles, can be exported, and goes on with
            `partial_fit` from weights, velocities and clocks as they are.
        """
        check_is_fitted(self)
        local = self._local_class(**self._local_parameters())
        parameters = self.get_params(deep=False)
        vars(local).update(
            {
                name: value
                for name, value in vars(self).items()
                if name not in parameters and name != "n_shards_"
            }
        )
        return local

    def _apply(self, method, X):
        """What a method of the plain estimator returns, lazily for a collection."""
        local = self.to_local()
        if not dask.is_dask_collection(X):
            return getattr(local, method)(X)
        nameless = copy(local)
        vars(nameless).pop("feature_names_in_", None)
        like = getattr(nameless, method)(np.zeros((1, self.n_features_in_)))
        run, local = dask.delayed(run_method), dask.delayed(local)
        lengths = X.chunks[0] if isinstance(X, da.Array) else [np.nan] * X.npartitions
        return da.concatenate(
            [
                da.from_delayed(
                    run(local, method, block), (length, *like.shape[1:]), like.dtype
                )
                for block, length in zip(blocks_of(X, "X"), lengths, strict=True)
            ],
            allow_unknown_chunksizes=True,
        )

    def predict(self, X: Any) -> Any:
        """Predictions; lazily, as a Dask array, if X is a Dask collection.

        Parameters
        ----------
        X : Dask array or dataframe, or array-like, of shape (n_samples, n_features)

        Returns
        -------
        y : Dask array or ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        return self._apply("predict", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy or R2, as scikit-learn's estimators have it.

        Parameters
        ----------
        X, y, sample_weight : Dask collections, or all array-like
            The last one may be None.

        Returns
        -------
        score : float
        """
        if not dask.is_dask_collection(X):
            return self.to_local().score(X, y, sample_weight)
        collections = {"X": X, "y": y, "sample_weight": sample_weight}
        if sample_weight is None:
            del collections["sample_weight"]
        run, local = dask.delayed(type(self)._score_part), dask.delayed(self.to_local())
        client = self.client_
        parts = [
            run(local, *parts)
            for parts in zip(*aligned_blocks(collections), strict=True)
        ]
        parts = client.gather(client.compute(parts))
        return self._score_of([part for part in parts if part is not None])

    def __sklearn_clone__(self):
        return clone_parametrized(copy(self)).set_params(client=self.client)

    def __getstate__(self):
        """What a copy is made of: no client, which belongs to its process."""
        return {**super().__getstate__(), "client": None}


def run_method(local, method, X):
    """What a method of an estimator returns; for no rows, too."""
    if X.shape[0] == 0:
        rows = np.zeros((1, local.n_features_in_))
        local = copy(local)
        vars(local).pop("feature_names_in_", None)
        return getattr(local, method)(rows)[:0]
    return getattr(local, method)(X)


def warn_of_short_rounds(trainer):
    """Warn where one process would probably be faster."""
    seconds = float(np.median(trainer.seconds))
    if seconds < SHORTEST_ROUND:
        warnings.warn(
            f"A round of training took {seconds:.2g} s, most of which goes to sending "
            f"weights if it is below {SHORTEST_ROUND} s. Use fewer shards or a smaller "
            "rounds_per_epoch, or train in one process with fit or fit_chunks.",
            UserWarning,
            stacklevel=stack_level_of_caller(),
        )


class DaskMiniBatchSGDClassifier(DaskEstimator, MiniBatchSGDClassifier):
    """:class:`~skmbsgd.MiniBatchSGDClassifier` for data on a Dask cluster.

    Parameters
    ----------
    loss, penalty, alpha, ...
        Those of :class:`~skmbsgd.MiniBatchSGDClassifier`.
    client : distributed.Client, default=None
        The cluster's client. None stands for the current one.
    n_shards : int, default=None
        How many models are trained side by side, at least 1 and at most the number of
        partitions. Another number gives another model. None for one per worker.
    rounds_per_epoch : int or "auto", default=8
        How often in an epoch they are averaged, at least 1; not more often than there
        are batches. "auto" makes 8 rounds, or fewer so that each has 12 batches.

    Attributes
    ----------
    coef_, intercept_, classes_, ...
        As of :class:`~skmbsgd.MiniBatchSGDClassifier`. `t_` counts the updates of the
        longest shard.
    client_ : distributed.Client
        The client in use.
    n_shards_ : int
        The number of shards of the last fit.

    See Also
    --------
    MiniBatchSGDClassifier : The same in one process.

    Notes
    -----
    Training is local SGD: in each round of an epoch, each shard trains on its share
    from common weights and velocities, which are then averaged by rows. The bits
    depend on `n_shards`, `rounds_per_epoch` and the partitions, and not on the workers,
    not even if one is lost. With one shard and one round an epoch is one of
    `fit_chunks`.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skmbsgd.dask import DaskMiniBatchSGDClassifier
    >>> client = Client(processes=False, dashboard_address=None)
    >>> X = da.random.default_rng(0).normal(size=(2000, 3), chunks=(500, 3))
    >>> model = DaskMiniBatchSGDClassifier(n_shards=2, random_state=0)
    >>> model = model.fit(X, X[:, 0] > 0)
    >>> model.score(X, X[:, 0] > 0) > 0.98
    True
    >>> model.to_local().predict([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    array([ True, False])
    >>> client.close()
    """

    _parameter_constraints = {
        **MiniBatchSGDClassifier._parameter_constraints,
        **OF_SHARDS,
    }
    _local_class = MiniBatchSGDClassifier

    @with_parameters_of(MiniBatchSGDClassifier)
    def __init__(
        self,
        loss="log_loss",
        *,
        client=None,
        n_shards=None,
        rounds_per_epoch=8,
        **parameters,
    ):
        super().__init__(loss, **parameters)
        self.client = client
        self.n_shards = n_shards
        self.rounds_per_epoch = rounds_per_epoch

    def decision_function(self, X: Any) -> Any:
        """Decisions; lazily, as a Dask array, if X is a Dask collection."""
        return self._apply("decision_function", X)

    @available_with_probabilities
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes; lazily if X is a Dask collection."""
        return self._apply("predict_proba", X)

    @available_with_probabilities
    def predict_log_proba(self, X: Any) -> Any:
        """Their logarithms; lazily if X is a Dask collection."""
        return self._apply("predict_log_proba", X)

    @staticmethod
    def _score_part(local, X, y, sample_weight=None):
        """The weight of the rows that are predicted well, and of all."""
        if len(y) == 0:
            return None
        weight = len(y) if sample_weight is None else np.sum(sample_weight)
        right = accuracy_score(
            y, local.predict(X), sample_weight=sample_weight, normalize=False
        )
        return float(right), float(weight)

    @staticmethod
    def _score_of(parts):
        right, weight = map(sum, zip(*parts, strict=True))
        return right / weight


class DaskMiniBatchSGDRegressor(DaskEstimator, MiniBatchSGDRegressor):
    """:class:`~skmbsgd.MiniBatchSGDRegressor` for data on a Dask cluster.

    Parameters
    ----------
    loss, penalty, alpha, ...
        Those of :class:`~skmbsgd.MiniBatchSGDRegressor`.
    client, n_shards, rounds_per_epoch
        As of :class:`DaskMiniBatchSGDClassifier`.

    Attributes
    ----------
    coef_, intercept_, ...
        As of :class:`~skmbsgd.MiniBatchSGDRegressor`.
    client_, n_shards_
        As of :class:`DaskMiniBatchSGDClassifier`.

    See Also
    --------
    DaskMiniBatchSGDClassifier : Has the notes on the algorithm.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skmbsgd.dask import DaskMiniBatchSGDRegressor
    >>> client = Client(processes=False, dashboard_address=None)
    >>> X = da.random.default_rng(0).normal(size=(2000, 2), chunks=(500, 2))
    >>> model = DaskMiniBatchSGDRegressor(alpha=0.0, n_shards=2, random_state=0)
    >>> model.fit(X, X @ [1.0, -2.0]).coef_.round(3)
    array([ 1., -2.])
    >>> client.close()
    """

    _parameter_constraints = {
        **MiniBatchSGDRegressor._parameter_constraints,
        **OF_SHARDS,
    }
    _local_class = MiniBatchSGDRegressor

    @with_parameters_of(MiniBatchSGDRegressor)
    def __init__(
        self,
        loss="squared_error",
        *,
        client=None,
        n_shards=None,
        rounds_per_epoch=8,
        **parameters,
    ):
        super().__init__(loss, **parameters)
        self.client = client
        self.n_shards = n_shards
        self.rounds_per_epoch = rounds_per_epoch

    @staticmethod
    def _score_part(local, X, y, sample_weight=None):
        """Statistics of the targets, and the mean of the squared residuals."""
        if len(y) == 0:
            return None
        y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        weights = None if sample_weight is None else np.asarray(sample_weight, float)
        squares = (y - local.predict(X).reshape(y.shape)) ** 2
        return *statistics_of((y, weights)), np.average(squares, 0, weights)

    @staticmethod
    def _score_of(parts):
        weights, _, _, squares = zip(*parts, strict=True)
        total = SimpleNamespace(**NO_COLUMNS)
        merge_statistics(total, [part[:3] for part in parts], len(squares[0]))
        residual = np.average(squares, 0, weights)
        # As r2_score has it for targets that are constant
        scores = 1.0 - np.divide(
            residual,
            total.column_variance,
            out=np.sign(residual),
            where=total.column_variance > 0.0,
        )
        return float(scores.mean())
