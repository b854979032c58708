"""What a training run consists of: its data, its state, its stopping rule."""

import math
from _thread import allocate_lock, start_new_thread
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skmbsgd._engine.csr_model import CSRModel
from skmbsgd._engine.csr_rows import CSRRows
from skmbsgd._engine.epoch import compute_decisions, run_epoch
from skmbsgd._engine.models import (
    ClassicalModel,
    NesterovModel,
    ProximalClassicalModel,
    ProximalNesterovModel,
)
from skmbsgd._engine.row_order import BlockOrder, RowOrder
from skmbsgd._engine.rows import (
    ClassTargets,
    RealTargets,
    Targets,
    cost_of_dense_row,
    dense_rows,
)
from skmbsgd._engine.team import Member, Team
from skmbsgd._typing import Method

DECISIONS_PER_PART = 2**17
EPOCHS_OF_A_DRAW = 64
# What each of two threads must have to do for its start and for their rounds to be
# worth it, in an epoch and in a batch: work in units of about a nanosecond, and rows.
# Products of several outputs take less time per weight; to exchange their gradients
# takes as much.
LEAST_SHARE_OF_EPOCH = 500_000
LEAST_SHARE_OF_BATCH = 3_000
LEAST_ROWS = {"one output": 16, "several": 64}

DENSE_MODELS = {  # by: is there an L1 penalty, is the momentum Nesterov's
    (False, False): ClassicalModel,
    (False, True): NesterovModel,
    (True, False): ProximalClassicalModel,
    (True, True): ProximalNesterovModel,
}


def unchanged_on_error(method: Method) -> Method:
    """Make a method give its estimator the attributes back if it fails.

    An interrupt is a failure too. This relies on the habit of this package never to
    write into the arrays of an attribute; lists of the history only grow, and are cut
    back.
    """

    @wraps(method)
    def guarded_method(estimator, *args, **kwargs):
        attributes = vars(estimator).copy()
        lengths = {
            name: len(value)
            for name, value in attributes.items()
            if type(value) is list
        }
        generator: Any = getattr(estimator, "random_state", None)
        draws = isinstance(generator, np.random.RandomState)
        generator_state = generator.get_state() if draws else None
        try:
            return method(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(attributes)
            for name, length in lengths.items():
                del attributes[name][length:]
            if draws:
                generator.set_state(generator_state)
            raise

    return guarded_method  # type: ignore[return-value]


def seed_of_epoch(seed, epoch):
    """The seed of an epoch's row order, a function of the model's seed and the epoch.

    Drawn for many epochs at once: after an epoch NumPy's code has left the cache, and
    to draw a single number takes 0.06 ms.
    """
    draw, place = divmod(epoch, EPOCHS_OF_A_DRAW)
    return seeds_of_epochs(seed, draw)[place]


@lru_cache(maxsize=16)
def seeds_of_epochs(seed, draw):
    """Seeds of EPOCHS_OF_A_DRAW consecutive epochs."""
    sequence = np.random.SeedSequence([seed, draw])
    return sequence.generate_state(EPOCHS_OF_A_DRAW, np.uint64).tolist()


@dataclass
class TrainingState:
    """All that the next update depends on, besides data and parameters.

    Attributes
    ----------
    coef, velocity : ndarray of shape (n_outputs, n_features)
    intercept, intercept_velocity : ndarray of shape (n_outputs,)
    average_coef, average_intercept : ndarray of float64, or None
        Running means over the updates; None without averaging.
    n_averaged : int
        Number of updates in the running means.
    n_epochs, n_updates, n_samples : int
        Clocks: epochs and updates done, samples seen.
    seed : int
        With the number of the epoch, it determines the order of rows.
    adaptive_rate : float or None
        The rate that learning_rate="adaptive" has come down to.
    last_rate : float or None
        Learning rate of the first update of the last epoch.
    """

    coef: np.ndarray
    intercept: np.ndarray
    velocity: np.ndarray
    intercept_velocity: np.ndarray
    seed: int
    average_coef: np.ndarray | None = None
    average_intercept: np.ndarray | None = None
    n_averaged: int = 0
    n_epochs: int = 0
    n_updates: int = 0
    n_samples: int = 0
    adaptive_rate: float | None = None
    last_rate: float | None = None

    @classmethod
    def start(cls, coef, intercept, seed, averaged):
        """State before the first update, at rest at the given weights."""
        state = cls(
            coef=coef,
            intercept=intercept,
            velocity=np.zeros_like(coef),
            intercept_velocity=np.zeros_like(intercept),
            seed=seed,
        )
        if averaged:
            state.begin_average()
        return state

    def begin_average(self):
        """Make room for running means."""
        self.average_coef = np.zeros(self.coef.shape)
        self.average_intercept = np.zeros(self.intercept.shape)
        self.n_averaged = 0

    def end_average(self):
        """Forget the running means."""
        self.average_coef = None
        self.average_intercept = None
        self.n_averaged = 0

    def copy(self):
        """A state that shares no array with this one."""
        arrays: dict[str, Any] = {
            name: value.copy()
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)

    def with_weights_of(self, other):
        """This state's clocks with another state's weights, means and velocities."""
        return replace(
            other,
            n_epochs=self.n_epochs,
            n_updates=self.n_updates,
            n_samples=self.n_samples,
            adaptive_rate=self.adaptive_rate,
            last_rate=self.last_rate,
        )

    def model(self):
        """Weights and intercept to predict with: the running means once there are."""
        if self.n_averaged == 0:
            return self.coef, self.intercept
        averages: Any = self.average_coef, self.average_intercept
        coef, intercept = (average.astype(self.coef.dtype) for average in averages)
        return coef, intercept


@dataclass
class TrainingData:
    """Validated data as the engine takes them.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    y : ndarray
        Class numbers of shape (n_samples,), or numbers of shape
        (n_samples, n_outputs).
    targets : Targets
        The same for the engine.
    sample_weight : ndarray of shape (n_samples,) or None
    rows : ndarray of uint32 or None
        The rows that take part; None for all.
    """

    X: Any
    y: np.ndarray
    targets: Targets
    sample_weight: np.ndarray | None = None
    rows: np.ndarray | None = None

    @classmethod
    def of_numbers(cls, X, y, sample_weight):
        """Data of a regression, y of shape (n_samples, n_outputs)."""
        return cls(X, y, RealTargets(y)).with_weights(sample_weight)

    @classmethod
    def of_classes(cls, X, labels, n_classes, sample_weight):
        """Data of a classification, labels in range(n_classes)."""
        return cls(X, labels, ClassTargets(labels, n_classes)).with_weights(
            sample_weight
        )

    @property
    def n_rows(self):
        """Number of rows that take part."""
        return self.X.shape[0] if self.rows is None else len(self.rows)

    def subset(self, rows):
        """The same data, of which these rows take part."""
        return replace(self, rows=np.asarray(rows, dtype=np.uint32))

    def parts(self, n_rows):
        """The same data in parts of so many rows each."""
        rows = np.arange(self.n_rows) if self.rows is None else self.rows
        for start in range(0, len(rows), n_rows):
            yield self.subset(rows[start : start + n_rows])

    def with_weights(self, sample_weight):
        """The same data with other weights; None where all of them are 1."""
        if sample_weight is not None and np.all(sample_weight == 1.0):
            sample_weight = None
        return replace(self, sample_weight=sample_weight)

    def taken(self, values):
        """The entries of a per-sample array that belong to the rows taking part."""
        return values if self.rows is None or values is None else values[self.rows]

    @property
    def bytes_of_row(self):
        """How much of X there is to read for a row, on average, rounded up."""
        X = self.X
        n_bytes = X.data.nbytes + X.indices.nbytes if issparse(X) else X.nbytes
        return max(1, -(-n_bytes // X.shape[0]))

    def order(self, *, in_blocks=False):
        """An order of the rows, which may be shuffled by blocks."""
        rows = self.rows
        if rows is None:
            rows = np.arange(self.n_rows, dtype=np.uint32)
        single = self.targets.single
        values = None if single is None else self.taken(single)
        if in_blocks:
            return BlockOrder(rows, values, self.bytes_of_row)
        return RowOrder(rows, values)

    def rows_for(self, model, order=None, member=None):
        """The rows in an order, for a model and a member of a team of threads."""
        order = self.order() if order is None else order
        parts = (self.X, order, self.targets, self.sample_weight, model)
        return CSRRows(*parts) if issparse(self.X) else dense_rows(*parts, member)

    def n_useful_threads(self, batch_size, n_jobs):
        """How many of so many threads an epoch is faster with.

        It depends on the shape of the data and the batch alone, so that the same call
        gives the same bits.
        """
        if issparse(self.X):
            return 1
        n_outputs = self.targets.n_outputs
        cost_of_row = cost_of_dense_row(self.X.shape[1], self.X.itemsize, n_outputs)
        least_rows = max(
            LEAST_SHARE_OF_BATCH / cost_of_row,
            LEAST_ROWS["one output" if n_outputs == 1 else "several"],
        )
        # Each of n threads hears of all others: its share must be n / 2 times as large
        # as that of one of two.
        of_batch = int(math.sqrt(2 * batch_size / least_rows))
        of_epoch = int(cost_of_row * self.n_rows / LEAST_SHARE_OF_EPOCH)
        return max(1, min(n_jobs, of_batch, of_epoch))


@dataclass
class Penalty:
    """alpha * ((1 - l1_ratio) / 2 * ||W||_2^2 + l1_ratio * ||W||_1)"""

    l2: float
    l1: float

    @classmethod
    def named(cls, name, alpha, l1_ratio):
        """The penalty by its name in scikit-learn."""
        share = {None: 0.0, "l2": 0.0, "l1": 1.0, "elasticnet": l1_ratio}[name]
        alpha = 0.0 if name is None else alpha
        return cls(l2=alpha * (1.0 - share), l1=alpha * share)

    def value(self, model):
        """The penalty at the weights that a model had when its last epoch ended."""
        total = 0.0
        if self.l2 > 0.0:
            total += 0.5 * self.l2 * model.squared_norm
        if self.l1 > 0.0:
            total += self.l1 * model.absolute_sum
        return total


def make_model(state, penalty, *, sparse, momentum, nesterov, fit_intercept):
    """A model in training with these settings, which moves the arrays of the state."""
    arrays = (
        state.coef,
        state.velocity,
        state.intercept,
        state.intercept_velocity,
        state.average_coef,
        state.average_intercept,
    )
    settings = {
        "momentum": momentum,
        "l2": penalty.l2,
        "l1": penalty.l1,
        "fit_intercept": fit_intercept,
    }
    if sparse:
        return CSRModel(
            *arrays, nesterov=nesterov, n_averaged=state.n_averaged, **settings
        )
    return DENSE_MODELS[penalty.l1 > 0.0, bool(nesterov)](*arrays, **settings)


def rows_of_threads(data, state, make_model, n_threads, *, in_blocks):
    """Rows of the data for each of so many threads that train a model together.

    The first one moves the arrays of the state, the others copies of these.
    """
    order = data.order(in_blocks=in_blocks)
    if n_threads == 1:
        return [data.rows_for(make_model(state), order)]
    models = [make_model(state if i == 0 else state.copy()) for i in range(n_threads)]
    team = Team(n_threads, models[0].gradients.nbytes)
    return [
        data.rows_for(model, order, Member(team, i, model.gradients))
        for i, model in enumerate(models)
    ]


class Follower:
    """An epoch of a thread that follows the one that calls fit.

    Made of the interpreter's own threads and locks: those of threading and of
    concurrent.futures take locks in Python code, in the middle of which an interrupt
    may leave them held for ever, and the latter start no thread any more once the main
    thread has ended.
    """

    def __init__(self, rows, arguments):
        self.rows, self.arguments = rows, arguments
        self.running = allocate_lock()
        self.running.acquire()
        self.loss = self.error = None

    def run(self):
        """Run the epoch, and keep what comes of it."""
        try:
            self.loss = run_epoch(self.rows, *self.arguments)
        except BaseException as error:
            self.error = error
            self.rows.member.team.give_up()
        finally:
            self.running.release()

    def result(self):
        """The loss of its rows, once it has come to the end."""
        self.running.acquire()
        if self.error is not None:
            raise self.error
        return self.loss


def run_epoch_in_threads(rows, *arguments):
    """Have the engine run an epoch, in a thread for each of the `rows`.

    If one of the threads fails or is interrupted, the others leave the epoch by
    themselves; nobody waits for them.
    """
    leader, *others = rows
    followers = [Follower(of_thread, arguments) for of_thread in others]
    try:
        for follower in followers:
            start_new_thread(follower.run, ())
        loss = run_epoch(leader, *arguments)
        return loss + sum(follower.result() for follower in followers)
    except BaseException:
        leader.member.team.give_up()
        raise


def decisions_in_parts(data, coef, intercept):
    """Decisions of consecutive parts of the rows, each (n_part_rows, n_outputs).

    In parts, since decisions of many classes take more memory than their rows. The bits
    are the same for any number of threads.
    """
    parts = data.parts(max(1, DECISIONS_PER_PART // len(coef)))
    if issparse(data.X):
        for part in parts:
            yield part.taken(part.X) @ coef.T + intercept
        return
    model = make_model(
        TrainingState.start(coef, intercept, seed=0, averaged=False),
        Penalty(l2=0.0, l1=0.0),
        sparse=False,
        momentum=0.0,
        nesterov=False,
        fit_intercept=False,
    )
    for part in parts:
        decisions = np.empty((part.n_rows, len(coef)))
        compute_decisions(part.rows_for(model), decisions)
        yield decisions


class Patience:
    """Tells when an objective has stopped falling, as in scikit-learn's SGD.

    An epoch with an objective above ``best - tol`` is one too many once
    ``n_iter_no_change`` of them have come in a row.
    """

    def __init__(self, tol, n_iter_no_change):
        self.tol = -np.inf if tol is None else tol
        self.n_iter_no_change = n_iter_no_change
        self.best = np.inf
        self.n_without_change = 0

    def is_exhausted_by(self, objective):
        """Take one epoch's objective; tell whether it was one too many."""
        if objective > self.best - self.tol:
            self.n_without_change += 1
        else:
            self.n_without_change = 0
        self.best = min(self.best, objective)
        return self.n_without_change >= self.n_iter_no_change

    def renew(self):
        """Begin to count anew."""
        self.n_without_change = 0
