"""Training data in chunks, which are read again in each pass."""

import inspect
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse, vstack
from sklearn.base import is_classifier

from skmbsgd._columns import learn_blocks, rows_of_part
from skmbsgd._data import TrainingData, rescaled, rows_of_batch, scale_of
from skmbsgd._validation import some_rows

UNSCALED = (1.0, 1.0)
NO_COLUMNS = {"column_mean": None, "column_variance": None, "column_weight": 0.0}


class Source:
    """The chunks as users pass them.

    Parameters
    ----------
    chunks : iterable of tuples, or callable
        A callable is called as ``chunks(epoch)`` and returns the iterable of a pass.
    """

    def __init__(self, chunks):
        self.chunks = chunks
        self.is_iterator = False
        if callable(chunks):
            check_takes_epoch(chunks)
        elif isinstance(chunks, Mapping) or not np.iterable(chunks):
            raise TypeError(
                "chunks must be an iterable of tuples (X, y) or (X, y, sample_weight), "
                "or a function chunks(epoch) that returns one, got "
                f"{type(chunks).__name__}."
            )
        else:
            self.is_iterator = iter(chunks) is chunks

    def open(self, epoch):
        """An iterator over the chunks of a pass: their numbers and their parts."""
        with noted(f"chunks({epoch})" if callable(self.chunks) else "chunks"):
            iterator = iter(
                self.chunks(epoch) if callable(self.chunks) else self.chunks
            )
        for number in count():
            with noted(f"chunk {number} of pass {epoch}"):
                try:
                    chunk = next(iterator)
                except StopIteration:
                    return
            yield number, chunk


def check_takes_epoch(function):
    """Refuse a function that cannot be called with the number of a pass."""
    try:
        inspect.signature(function).bind(0)
    except ValueError:  # no signature is known
        return
    except TypeError as error:
        raise TypeError(
            "The function chunks is called with the number of each pass, chunks(0), "
            f"chunks(1), ...: {error}. Let it take one argument, or wrap it: "
            "lambda epoch: function()."
        ) from None


@contextmanager
def noted(what):
    """Add a note to errors of users' code about where they came from."""
    try:
        yield
    except Exception as error:
        error.add_note(f"fit_chunks got this error from {what}.")
        raise


@contextmanager
def naming(place):
    """Add to the message of an error where in the data it is."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"In {place}, counted from 0: {error}") from error


def parts_of_chunk(chunk):
    """X, y and weights or None."""
    if not isinstance(chunk, (tuple, list)) or len(chunk) not in (2, 3):
        got = type(chunk).__name__
        if isinstance(chunk, (tuple, list)):
            got += f" of length {len(chunk)}"
        raise TypeError(
            f"a chunk must be a tuple (X, y) or (X, y, sample_weight), got {got}."
        )
    X, y, weights = chunk if len(chunk) == 3 else (*chunk, None)
    if y is None:
        raise ValueError("y is missing: a chunk is (X, y), got y=None.")
    return X, y, weights


@dataclass
class FirstPass:
    """What is known about the data once they have been read, as plain numbers.

    Attributes
    ----------
    n_rows, n_batches : int
        Rows and batches of the pass.
    longest, last : int
        Rows of the longest chunk, and of the last one.
    is_weighted : bool
        Whether any weight, rescaled, is not 1.
    given_scale, scale : tuple of two floats
        The divisors that give a mean of 1: that of the sample weights as given, and
        that of their products with the weights of the classes.
    constants : tuple of float
        The best constant decisions.
    constant_loss, zero_loss : float
        Losses of models without features.
    """

    n_rows: int
    n_batches: int
    longest: int
    last: int
    is_weighted: bool = False
    given_scale: tuple[float, float] = UNSCALED
    scale: tuple[float, float] = UNSCALED
    constants: tuple[float, ...] = ()
    constant_loss: float = 0.0
    zero_loss: float = 0.0

    def as_dict(self):
        """The attributes, to be stored."""
        return asdict(self)


class ChunkedData:
    """Chunks in the form that training takes, in place of TrainingData.

    Parameters
    ----------
    estimator : estimator instance
        The one in training, which reads the chunks.
    source : Source
    batch_size : int or "full"
        As in the estimator.

    Attributes
    ----------
    X : ndarray or CSR matrix
        Some rows of the first chunk.
    n_outputs : int or None
        None until the classes are known.
    weighted : bool
        Whether rows have weights, their own or those of their classes.
    columns : dict
        Attributes of a TrainingState: statistics of the columns, as far as known.
    first_pass : FirstPass or None
        None before the chunks have been read once.
    targets : TrainingData or None
        All targets and weights of the first pass, without features. Set to None when
        they are no longer needed.
    """

    rows = None  # All take part.

    def __init__(self, estimator, source, batch_size):
        self.estimator, self.source = estimator, source
        self.batch_size = batch_size
        self.first_pass: Any = None
        self.targets: Any = None
        self.opened: Any = None
        self.weighted = getattr(estimator, "class_weight", None) is not None
        self.has_weights = False
        self.columns = NO_COLUMNS
        self.n_outputs: Any = None

    def look(self, classes=None):
        """Read the first chunk, and learn the columns from it.

        The outputs are known afterwards too, except for a classifier without `classes`.
        """
        estimator = self.estimator
        self.opened = self._open(0)
        number, chunk = next(self.opened)
        with naming(self.place(number, 0)):
            X, y, weights = parts_of_chunk(chunk)
            X, y = estimator._read_X_y(X, y, reset=True)
            weights = estimator._read_weights(weights, X)
        self.looked_at = number, X, y, weights
        self.dtype, self.is_sparse = X.dtype, issparse(X)
        self.X = some_rows(X).copy()
        self.n_rows_of_first = X.shape[0]
        self.has_weights = weights is not None
        self.weighted |= self.has_weights
        if classes is not None or not is_classifier(estimator):
            with naming(self.place(number, 0)):
                estimator._learn_outputs(y, classes)
                self.n_outputs = estimator._make_data(X, y, weights).n_outputs

    def continue_with(self, state, unfinished):
        """Restore what was known about chunks that are read again."""
        self.first_pass = FirstPass(**unfinished["first_pass"])
        self.dtype = state.coef.dtype
        self.n_outputs, n_features = state.coef.shape
        self.is_sparse = unfinished["is_sparse"]
        make = csr_array if self.is_sparse else np.empty
        self.X = make((0, n_features), dtype=self.dtype)
        self.has_weights = unfinished["has_weights"]

    # Reading

    def place(self, number, epoch):
        """The name of a chunk in errors."""
        return f"chunk {number} of pass {epoch}"

    def _open(self, epoch):
        """The chunks of a pass, with their numbers; those without rows are skipped."""
        any_rows = False
        for number, chunk in self.source.open(epoch):
            if not is_empty(chunk):
                any_rows = True
                yield number, chunk
        if not any_rows:
            raise ValueError(
                f"chunks gave no rows in pass {epoch}, counted from 0. Pass a list or "
                "another iterable that restarts each time, or a function "
                "chunks(epoch) that returns a new one in each call."
            )

    def _read(self, epoch):
        """Validated X, y and weights of each chunk of a pass, with its number."""
        opened = self._open(epoch)
        if self.opened is not None:
            opened, self.opened = self.opened, None
            yield vars(self).pop("looked_at")
        for number, chunk in opened:
            with naming(self.place(number, epoch)):
                validated = self._validated(chunk)
            yield number, *validated

    def _validated(self, chunk):
        X, y, weights = parts_of_chunk(chunk)
        if issparse(X) != self.is_sparse:
            kinds = ("dense", "sparse")
            raise ValueError(
                f"X is {kinds[issparse(X)]}, but that of the first chunk is "
                f"{kinds[self.is_sparse]}. Convert all chunks to the same kind, with "
                "scipy.sparse.csr_array(X) or X.toarray()."
            )
        if (weights is not None) != self.has_weights:
            raise ValueError(
                "either all chunks must have a sample_weight or none: this one has "
                f"{'none' if weights is None else 'one'}, but the first has "
                f"{'one' if self.has_weights else 'none'}."
            )
        X, y = self.estimator._read_X_y(X, y, reset=False, dtype=self.dtype)
        return X, y, self.estimator._read_weights(weights, X)

    def read(self, epoch):
        """TrainingData of each chunk of a pass, with its number."""
        survey = None if self.first_pass is not None else Survey(self)
        for number, X, y, weights in self._read(epoch):
            with naming(self.place(number, epoch)):
                data = self._data_of(X, y, weights)
            if survey is not None:
                survey.add(data.y, weights)
            yield number, data
        if survey is not None:
            survey.end()

    def _data_of(self, X, y, weights):
        """The data of a chunk, with weights of mean 1 over the first pass."""
        known = self.first_pass
        if weights is not None and known is not None:
            weights = rescaled(weights, *known.given_scale)
        data = self._data_as_given(X, y, weights)
        data = self.estimator._weigh_classes(data, training_data=self.classes_alone)
        if known is None or not (self.weighted or self.has_weights):
            return data
        # Also if they are 1: a chunk may hold only the class with the largest weight.
        return data.with_weights(rescaled(data.weights(), *known.scale))

    def _data_as_given(self, X, y, weights):
        data = self.estimator._make_data(X, y, weights)
        if data.n_outputs != self.n_outputs:
            raise ValueError(
                f"y has {data.n_outputs} targets, but that of the first chunk has "
                f"{self.n_outputs}."
            )
        return data

    @property
    def classes_alone(self):
        """A row for each class, which gives the class its weight."""
        n_classes = len(getattr(self.estimator, "classes_", ()))
        return TrainingData(np.empty((n_classes, 0)), np.arange(n_classes), None)

    def survey(self, with_columns=False):
        """Read the chunks once, without training, to fill FirstPass.

        With `with_columns`, learn the statistics of the columns in the same pass. If
        there are weights, these must be known before.
        """
        survey = Survey(self)
        rows = self._surveyed(survey)
        if with_columns and not self.weighted:
            columns, n_features = SimpleNamespace(**NO_COLUMNS), self.X.shape[1]
            learn_blocks(columns, recut(rows, rows_of_part(n_features)), n_features)
            self.columns = vars(columns)
        for _ in rows:
            pass
        survey.end()

    def _surveyed(self, survey):
        """X of each chunk, without weights, after adding the chunk to the survey."""
        for number, X, y, weights in self._read(0):
            with naming(self.place(number, 0)):
                if self.n_outputs is None:
                    survey.add_labels(y, weights)
                else:
                    survey.add(self._data_as_given(X, y, None).y, weights)
            yield X, None

    # As TrainingData

    @property
    def n_rows(self):
        return self.first_pass.n_rows

    @property
    def n_rows_at_once(self):
        if self.first_pass is None:
            return self.n_rows_of_first
        return self.first_pass.longest

    def rows_of_batch(self, batch_size):
        return rows_of_batch(batch_size, self.n_rows_at_once)

    def batches(self, batch_size):
        # The last batch of each chunk is taken into account when it is reached.
        return self.first_pass.n_batches, 1.0

    def distributions(self):
        return self.targets.distributions()

    def parts(self, n_rows):
        for _, data in self.read(0):
            yield from data.parts(n_rows)

    def blocks(self, n_rows=None):
        """X and weights (or None) in blocks of `n_rows` rows.

        Blocks cross the ends of chunks, as if all chunks were one.
        """
        chunks = ((data.X, self._weights_in(data)) for _, data in self.read(0))
        return chunks if n_rows is None else recut(chunks, n_rows)

    def blocks_and_sample(self, n_rows, sampled):
        """The same blocks, and a function to call after them.

        It returns X and weights of the sampled rows. `sampled` has their numbers in
        ascending order; None means all rows.
        """
        if sampled is None:
            sampled = np.arange(self.n_rows)
        picked = []

        def chunks():
            first = 0
            for _, data in self.read(0):
                stop = first + data.n_rows
                rows = sampled[(sampled >= first) & (sampled < stop)] - first
                picked.append((data.X[rows], data.weights()[rows]))
                yield data.X, self._weights_in(data)
                first = stop

        def sample():
            rows, weights = zip(*picked, strict=True)
            X = vstack(rows, format="csr") if self.is_sparse else np.concatenate(rows)
            return X, np.concatenate(weights)

        return (chunks() if n_rows is None else recut(chunks(), n_rows)), sample

    def _weights_in(self, data):
        """The weights of a chunk, None if no chunk has any."""
        known = self.first_pass
        return np.ascontiguousarray(data.weights()) if known.is_weighted else None

    def n_batches_of(self, n_rows):
        """Number of batches in a chunk of `n_rows` rows."""
        return 1 if self.batch_size == "full" else -(-n_rows // self.batch_size)


class Survey:
    """Statistics of a pass, collected chunk by chunk.

    Targets are kept until the end of the pass, in 8 bytes each for a regression, and in
    1 byte for up to 256 classes. A weight takes 8 bytes.

    Parameters
    ----------
    data : ChunkedData
        Its `first_pass` and `targets` are set at the end.
    """

    def __init__(self, data):
        self.data = data
        self.lengths, self.targets = [], []
        self.weights, self.labels = [], []

    def add(self, y, weights):
        """Record targets, as in TrainingData, and weights as given."""
        if y.ndim == 1:
            y = y.astype(np.min_scalar_type(len(self.data.estimator.classes_)))
        else:
            y = y.copy()  # Users may write the next chunk over it.
        self.targets.append(y)
        self._add_rows(y, weights)

    def add_labels(self, y, weights):
        """Record labels of classes that are not known yet."""
        labels, codes = self.data.estimator._labels_of(y)
        if self.labels and (labels.dtype.kind in "OSU") != (
            self.labels[0].dtype.kind in "OSU"
        ):
            raise ValueError(
                f"y has labels of type {labels.dtype}, but that of the first chunk has "
                f"labels of type {self.labels[0].dtype}."
            )
        self.labels.append(labels)
        self.targets.append(codes.astype(np.min_scalar_type(len(labels))))
        self._add_rows(y, weights)

    def _add_rows(self, y, weights):
        self.lengths.append(len(y))
        if weights is not None:
            self.weights.append(weights.copy())

    def end(self):
        """Compute the results, and set them in the data."""
        data, lengths = self.data, self.lengths
        if self.labels:
            self._learn_classes()
        data.first_pass = FirstPass(
            n_rows=sum(lengths),
            n_batches=sum(map(data.n_batches_of, lengths)),
            longest=max(lengths),
            last=lengths[-1],
        )
        targets = TrainingData(
            np.empty((sum(lengths), 0)),
            np.concatenate(self.targets),
            SimpleNamespace(n_outputs=data.n_outputs),
            np.concatenate(self.weights) if self.weights else None,
        )
        targets, data.first_pass.given_scale = with_scale(targets)
        targets = data.estimator._weigh_classes(
            targets, training_data=data.classes_alone
        )
        data.targets, data.first_pass.scale = with_scale(targets)
        data.first_pass.is_weighted = data.targets.sample_weight is not None

    def _learn_classes(self):
        estimator = self.data.estimator
        estimator._learn_outputs(np.concatenate(self.labels))
        n_classes = len(estimator.classes_)
        self.data.n_outputs = 1 if n_classes == 2 else n_classes
        self.targets = [
            np.searchsorted(estimator.classes_, labels)[codes].astype(
                np.min_scalar_type(n_classes)
            )
            for labels, codes in zip(self.labels, self.targets, strict=True)
        ]


def with_scale(data):
    """The data with weights of mean 1, and the divisors of the weights."""
    if data.sample_weight is None:
        return data, UNSCALED
    scale = scale_of(data.sample_weight)
    return data.with_weights(rescaled(data.sample_weight, *scale)), scale


def is_empty(chunk):
    """Whether a chunk has no row; False for objects that are not chunks."""
    if not isinstance(chunk, (tuple, list)) or not chunk:
        return False
    X = chunk[0]
    n_rows = X.shape[:1] if hasattr(X, "shape") else (np.size(X),)
    return n_rows == (0,)


def recut(chunks, n_rows):
    """X and weights in blocks of `n_rows` rows, for chunks of any length."""
    pieces: list[tuple] = []
    n_missing = n_rows
    for X, weights in chunks:
        first = 0
        while first < len(X):
            rows = slice(first, first + n_missing)
            piece = X[rows], None if weights is None else weights[rows]
            first += n_missing
            n_missing -= len(piece[0])
            if n_missing == 0:
                yield joined([*pieces, piece])
                pieces, n_missing = [], n_rows
            else:  # Users may write the next chunk over it.
                pieces.append(
                    tuple(part if part is None else part.copy() for part in piece)
                )
    if pieces:
        yield joined(pieces)


def joined(pieces):
    """X and weights of several pieces, concatenated."""
    if len(pieces) == 1:
        return pieces[0]
    X, weights = zip(*pieces, strict=True)
    return np.concatenate(X), None if weights[0] is None else np.concatenate(weights)
