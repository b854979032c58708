"""The work of the client: partitions on a cluster, and epochs of rounds over them."""

import time
import warnings
from dataclasses import replace
from threading import Lock
from types import SimpleNamespace
from typing import Any, NamedTuple
from weakref import WeakSet

import dask
import dask.array as da
import numpy as np
from dask.distributed import CancelledError
from scipy.sparse import vstack

from skmbsgd._automatic import gain_of
from skmbsgd._chunks import NO_COLUMNS, Survey, is_empty, naming
from skmbsgd._columns import merge_statistics, standardization_of
from skmbsgd._data import rows_of_batch
from skmbsgd._engine.epoch import begin_epoch, end_epoch
from skmbsgd._passes import PassTrainer
from skmbsgd._rounds import (
    AVERAGED,
    RUNNING_MEANS,
    Context,
    GivenRates,
    Moved,
    Partitions,
    average,
    columns_of,
    derivatives_of,
    encode,
    loss_of,
    norms_and_sample_of,
    read_partition,
    run_on_partition,
    run_round,
    some_rows_of,
    summarise,
)
from skmbsgd._version import __version__
from skmbsgd._warnings import stack_level_of_caller

# How often a failed task is repeated
RETRIES = 2
# The largest number of regression targets that the client loads; if there are more, it
# loads a sample
MAX_TARGETS = 2**20
# Each epoch sends the weights of all features. Dask would warn if there are many.
LARGE_TASKS = {"distributed.admin.large-graph-warning-threshold": "1TB"}
SUBMITTING = Lock()  # Two threads would restore the setting in the wrong order.
LOST = (
    "The tasks of this training are lost: its client was closed, or the cluster "
    "was restarted. Connect a client, and start again with fit."
)
# Statistics that no update needs
NOT_SENT: dict[str, Any] = dict.fromkeys(
    ["column_mean", "column_variance", "direction"]
)


class Partition(NamedTuple):
    """A partition with rows: its number in the collection, its size, its shard."""

    number: int
    n_rows: int
    shard: int


class ShardedData(Partitions):
    """Partitions on the workers of a cluster, in the form that training takes.

    Parameters
    ----------
    estimator : estimator instance
        The one in training.
    client : distributed.Client
    X, y, sample_weight : Dask array or dataframe
        The last one may be None.

    Attributes
    ----------
    partitions : list of Partition
        Those that have rows.
    shards : list of list of Partition
    n_batches : list of int
        Batches of each shard in an epoch.
    encoded : dict of Future
        The results of `encode`, by the number of the partition.
    codes : list of ndarray
        The classes in each of `partitions`.
    """

    codes: Any = None

    def __init__(self, estimator, client, X, y, sample_weight):
        source = SimpleNamespace(is_iterator=False)
        super().__init__(estimator, source, estimator.batch_size)
        self.client = client
        self.workers = sorted(client.nthreads())
        self.tasks: WeakSet[Any] = WeakSet()
        self.encoded: dict[int, Any] = {}
        chunks = chunks_of(X, y, sample_weight)
        parts = [part for chunk in chunks for part in chunk]
        futures = iter(client.compute(parts, retries=RETRIES))
        self.given = list(zip(*[futures] * len(chunks[0]), strict=True))

    # Tasks

    def submit(self, function, *arguments, shard=None):
        """Submit a task, preferably to the worker of a shard."""
        if self.client.status != "running":
            raise RuntimeError(LOST)
        where = {}
        if shard is not None:
            worker = self.workers[shard % len(self.workers)]
            where = {"workers": [worker], "allow_other_workers": True}
        with SUBMITTING, dask.config.set(LARGE_TASKS):
            task = self.client.submit(
                function, *arguments, pure=False, retries=RETRIES, **where
            )
        self.tasks.add(task)
        return task

    def gather(self, futures, numbers=()):
        """Results of a list of tasks.

        If the numbers of partitions are given, a note to an error has the number.
        """
        try:
            return self.client.gather(futures)
        except CancelledError as error:
            raise RuntimeError(LOST) from error
        except Exception as error:
            failed = [future.status == "error" for future in futures]
            if True in failed and numbers:
                number = numbers[failed.index(True)]
                error.add_note(f"This came from partition {number}, counted from 0.")
            raise

    def forget_given(self):
        """Release the collections without cancelling, because users may own them."""
        for future in (future for chunk in self.given for future in chunk):
            future.release()

    def release(self):
        """Have the cluster forget all of this training, including running tasks."""
        self.forget_given()
        tasks = list(self.tasks)
        if self.client.status == "running":
            # Cancelling finished tasks can break the connection to the scheduler.
            self.client.cancel([task for task in tasks if not task.done()])
        for task in tasks:
            task.release()

    def map(self, function, *arguments, each=None):
        """Results of ``function(partitions, data, *arguments)``, one per partition.

        `each` has one more argument for each partition.
        """
        context = self.submit(Context, self.for_workers(), arguments)
        each = [()] * len(self.partitions) if each is None else zip(each)
        tasks = [
            self.submit(
                run_on_partition,
                function,
                context,
                self.encoded[part.number],
                *argument,
                shard=part.shard,
            )
            for part, argument in zip(self.partitions, each, strict=True)
        ]
        return self.gather(tasks, [part.number for part in self.partitions])

    # What must be known before training

    def prepare(self, n_shards):
        """Read all partitions, learn their properties, and divide them into shards."""
        self.look()
        del self.looked_at, self.opened
        numbers = range(len(self.given))
        reader = self.submit(Context, self.for_workers())
        validated = [
            self.submit(read_partition, reader, number, *self.given[number])
            for number in numbers
        ]
        n_targets = max(1, MAX_TARGETS // len(validated))
        tasks = [
            self.submit(summarise, reader, number, validated[number], n_targets)
            for number in numbers
        ]
        summaries = dict(zip(numbers, self.gather(tasks, numbers), strict=True))
        summaries = {i: found for i, found in summaries.items() if found is not None}
        self._learn_targets(summaries)
        self._make_shards(summaries, n_shards)
        encoder = self.submit(Context, self.for_workers())
        for number, _, shard in self.partitions:
            self.encoded[number] = self.submit(
                encode, encoder, number, validated[number], shard=shard
            )
        self.forget_given()

    def _open(self, epoch):
        """Some rows of the first partition that has any."""
        for number, parts in enumerate(self.given):
            chunk = self.gather([self.submit(some_rows_of, *parts)], [number])[0]
            if not is_empty(chunk):
                yield number, chunk
        raise ValueError("X has no rows: all of its partitions are empty.")

    def _learn_targets(self, summaries):
        """Learn the classes, the mean weight, and the loss of the best constant."""
        survey = SurveyOfSummaries(self)
        for number, found in summaries.items():
            with naming(self.place(number, 0)):
                add = survey.add_labels if self.n_outputs is None else survey.add
                add(found.targets, found.weights)
        self.lengths = np.array([found.n_rows for found in summaries.values()])
        with np.errstate(over="ignore"):
            total = sum(found.weights.sum() for found in summaries.values())
        if not np.isfinite(total):
            raise ValueError(
                "sample_weight has a sum that is too large for float64. Divide it by a "
                "power of ten: only the ratios matter."
            )
        survey.end()

    def _make_shards(self, numbers, n_shards):
        """Assign partitions, the largest first, each to the shard with fewest rows."""
        n_shards = n_shards or min(len(self.workers), len(numbers))
        if n_shards > len(numbers):
            raise ValueError(
                f"n_shards={n_shards} needs as many partitions with rows, but X has "
                f"{len(numbers)}. Use fewer shards, or X.rechunk or X.repartition."
            )
        n_rows, shard_of = [0] * n_shards, [0] * len(numbers)
        for i in np.argsort(-self.lengths, kind="stable").tolist():
            shard_of[i] = n_rows.index(min(n_rows))
            n_rows[shard_of[i]] += int(self.lengths[i])
        self.partitions = list(map(Partition, numbers, self.lengths.tolist(), shard_of))
        self.shards = [
            [part for part in self.partitions if part.shard == shard]
            for shard in range(n_shards)
        ]
        self.n_batches = [
            sum(self.n_batches_of(part.n_rows) for part in shard)
            for shard in self.shards
        ]
        self.first_pass = replace(self.first_pass, n_batches=max(self.n_batches))

    def warn_of_missing_classes(self):
        """Warn if a shard lacks a class."""
        for shard in range(len(self.shards)):
            present = [
                codes
                for codes, part in zip(self.codes, self.partitions, strict=True)
                if part.shard == shard
            ]
            numbers = np.arange(len(self.estimator.classes_))
            missing = np.setdiff1d(numbers, np.concatenate(present))
            if len(missing) > 0:
                name = self.estimator.classes_[missing].tolist()[0]
                warnings.warn(
                    f"Shard {shard} of {len(self.shards)} has no row of the class "
                    f"{name!r}. Shards that differ so much learn less in a round. "
                    "Shuffle the rows over the partitions, or use fewer shards.",
                    UserWarning,
                    stacklevel=stack_level_of_caller(),
                )
                return

    def learn_columns(self):
        """Learn the statistics of the columns."""
        columns = SimpleNamespace(**NO_COLUMNS)
        merge_statistics(columns, self.map(columns_of), self.X.shape[1])
        self.columns = vars(columns)

    def norms_and_sample(self, data, sampled, standardized):
        """Replaces the function of this name."""
        if sampled is None:
            sampled = np.arange(self.n_rows)
        ends = np.cumsum(self.lengths)
        sampled = np.split(sampled, np.searchsorted(sampled, ends[:-1]))
        firsts = ends - self.lengths
        each = [rows - first for rows, first in zip(sampled, firsts, strict=True)]
        found = self.map(norms_and_sample_of, standardized, each=each)
        sums, samples = zip(*found, strict=True)
        rows, weights = zip(*samples, strict=True)
        X = vstack(rows, format="csr") if self.is_sparse else np.concatenate(rows)
        return sum(sums), (X, np.concatenate(weights))


class SurveyOfSummaries(Survey):
    """Statistics of all partitions, collected from their summaries."""

    def _learn_classes(self):
        super()._learn_classes()
        n_classes = len(self.data.estimator.classes_)
        codes, weights = np.concatenate(self.targets), np.concatenate(self.weights)
        self.data.weights_of_classes = np.bincount(codes, weights, n_classes)
        self.data.codes = self.targets

    def end(self):
        super().end()
        data, n_targets = self.data, sum(self.lengths)
        largest, mean = data.first_pass.given_scale
        data.first_pass = replace(
            data.first_pass,
            n_rows=int(data.lengths.sum()),
            longest=int(data.lengths.max()),
            last=int(data.lengths[-1]),
            # This must be the mean over the rows, not over the summarised targets.
            given_scale=(largest, mean * n_targets / data.lengths.sum()),
        )


class ShardTrainer(PassTrainer):
    """Trains the weights of a state in epochs of rounds, on the workers of a cluster.

    Parameters
    ----------
    state, data, ...
        As for PassTrainer; the data are ShardedData.

    Attributes
    ----------
    n_rounds : int
        Rounds of an epoch; to be set before `train`.
    publish : callable
        ``publish(state, history)`` is called after each epoch; to be set as well.
    seconds : list of float
        The duration of a round, for each epoch.
    """

    n_rounds = 1

    def __init__(self, *arguments, **settings):
        self.seconds = []
        super().__init__(*arguments, **settings)

    def _make_rows(self):
        super()._make_rows()
        columns = None
        if self.is_standardized:
            columns = standardization_of(self.state, self.fit_intercept)
        self.context = self.data.submit(
            Context, self.data.for_workers(), (columns, self._has_cycles)
        )

    def run_epoch(self):
        started = time.perf_counter()
        rates = self._rates_expected()
        known = self.data.first_pass
        (after,) = self.data.gather([self._submit_rounds(rates)])
        self._take(after.state)
        self.seconds.append((time.perf_counter() - started) / self.n_rounds)
        return self._count_epoch(after.loss, rates, known.n_batches, known.n_rows)

    def _submit_rounds(self, rates):
        """Submit all tasks of an epoch; return the future of the last one."""
        data, n_rounds = self.data, self.n_rounds
        state = replace(self.state, **NOT_SENT)
        common = data.submit(Moved, state, 0.0, data.n_rows)
        what_helps = self.schedule.remedy()
        for number in range(n_rounds):
            clock, _ = part_of(max(data.n_batches), number, n_rounds)
            moved = []
            for i, shard in enumerate(data.shards):
                first, stop = part_of(data.n_batches[i], number, n_rounds)
                if first == stop:
                    continue
                share = share_of(shard, first, stop, data)
                schedule = GivenRates(rates_of(rates, clock, stop - first), what_helps)
                encoded = [data.encoded[number] for number, _, _ in share]
                moved.append(
                    data.submit(
                        run_round,
                        self.context,
                        common,
                        share,
                        schedule,
                        encoded,
                        shard=i,
                    )
                )
            common = data.submit(average, self.context, common, moved)
        return common

    def _take(self, moved):
        """Update the state with the results of the shards."""
        for name in (*AVERAGED, *RUNNING_MEANS, "threshold"):
            array = getattr(moved, name)
            # Arrays from another process may be read-only.
            setattr(self.state, name, None if array is None else np.array(array))
        self.state.n_averaged = moved.n_averaged
        self.model = self.make_model(self.state)
        begin_epoch(self.model, np.zeros(1), 1)
        end_epoch(self.model)  # computes the sums for the penalty

    def _end_epoch(self, patience, finished):
        self.publish(self._state_to_keep().copy(), self.history)

    def _objective_now(self):
        return self._objective_of(*self.state.weights())

    def _mean_loss_at(self, coef, intercept):
        losses = self.data.map(loss_of, coef, intercept)
        return float(np.average(losses, weights=self.data.lengths))

    def _certain_gain(self, coef, intercept):
        found = self.data.map(derivatives_of, coef, intercept, self.data.n_rows)
        sums = [sum(parts) for parts in zip(*found, strict=True)]
        return gain_of(sums, self.loss, coef, self.penalty.l2, self.fit_intercept)


def part_of(n, number, n_parts):
    """Beginning and end of a part, if n things are divided into `n_parts` parts."""
    return number * n // n_parts, (number + 1) * n // n_parts


def share_of(shard, first, stop, data):
    """Batches `first` to `stop` - 1 of a shard's epoch, by partition.

    Returns
    -------
    share : list of tuple
        Number of a partition, first row and stop in the order of the epoch.
    """
    share, n_before = [], 0
    for number, n_rows, _ in shard:
        batch_size = rows_of_batch(data.batch_size, n_rows)
        n_batches = data.n_batches_of(n_rows)
        low, high = max(first - n_before, 0), min(stop - n_before, n_batches)
        if low < high:
            share.append((number, low * batch_size, min(high * batch_size, n_rows)))
        n_before += n_batches
    return share


def rates_of(rates, first, n_updates):
    """The rates of `n_updates` updates from `first` on; the last one is repeated."""
    if len(rates) == 1:
        return rates
    return rates[np.minimum(np.arange(first, first + n_updates), len(rates) - 1)]


# Collections


def chunks_of(X, y, sample_weight):
    """The partitions of collections, to be computed: lists of X, y and weights."""
    blocks = [blocks_of(X, "X")]
    for name, part in (("y", y), ("sample_weight", sample_weight)):
        if part is None and name == "sample_weight":
            continue
        if isinstance(X, da.Array) and isinstance(part, da.Array):
            part = cut_alike(part, name, X)
        blocks.append(blocks_of(part, name))
        if len(blocks[-1]) != len(blocks[0]):
            raise ValueError(
                f"X has {len(blocks[0])} partitions, but {name} has "
                f"{len(blocks[-1])}. Use rechunk or repartition to make them equal."
            )
    return list(zip(*blocks, strict=True))


def cut_alike(part, name, X):
    """An array in blocks of the same lengths as those of X, if these are known."""
    lengths = X.shape[0], part.shape[0]
    if np.isnan(lengths).any():
        return part
    if lengths[0] != lengths[1]:
        raise ValueError(f"X has {lengths[0]} rows, but {name} has {lengths[1]}.")
    return part.rechunk({0: X.chunks[0]})


def blocks_of(collection, name):
    """The partitions of a collection, to be computed."""
    if isinstance(collection, da.Array):
        whole_rows = collection.rechunk({1: -1}) if collection.ndim == 2 else collection
        return whole_rows.to_delayed().ravel().tolist()
    if dask.is_dask_collection(collection) and hasattr(collection, "to_delayed"):
        return list(collection.to_delayed())
    raise TypeError(
        f"{name} must be a Dask array or dataframe, got "
        f"{type(collection).__name__}. Make one with dask.array.from_array, or train "
        "on data in memory with MiniBatchSGDClassifier or MiniBatchSGDRegressor."
    )


def check_workers(client):
    """Refuse workers that lack this package, or have another version of it."""
    version_there = "__import__('skmbsgd.dask').__version__"
    versions = client.run(eval, version_there, on_error="return")
    if not versions:
        raise RuntimeError(
            "The cluster has no worker yet. Wait with client.wait_for_workers(1)."
        )
    for worker, version in versions.items():
        # A worker that has just been lost, with an OSError, needs nothing.
        if version != __version__ and not isinstance(version, OSError):
            raise RuntimeError(
                f"The worker {worker} cannot train: it needs skmbsgd {__version__} and "
                f"its dependencies, but it has {version!r}. Install them there with: "
                f'python -m pip install "skmbsgd[dask]=={__version__}"'
            )
