"""What a chunk of a stream changes: the whole model, or only the chunk's columns."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skmbsgd._engine.column_numbers import number_columns
from skmbsgd._engine.csr_model import order_of_weights
from skmbsgd._engine.csr_stream import CSRStream
from skmbsgd._state import TrainingState, rule_of, untouched_zeros

WEIGHTS_AT_ONCE = 2**20
MAX_INT32 = np.iinfo(np.int32).max

# The parts of a state with an entry per column, which the engine keeps in a stream of
# CSR chunks ...
OF_COLUMNS = {"coef", "velocity", "positions", "average_coef"}
# ... and the parts that belong to earlier dense chunks, or to a single chunk
UNUSED = {"column_mean", "column_variance", "direction"}


@dataclass(frozen=True, slots=True)
class CSRChange:
    """The changes that a chunk makes to the weights of a stream.

    The attributes are explained in `CSRStream.__iadd__`.
    """

    columns: np.ndarray
    parts: np.ndarray
    before: tuple[float, float, float]
    rates: np.ndarray
    first_averaged: int
    intercept: np.ndarray
    n_averaged: int


class WholeModel:
    """A chunk that changes the whole model.

    Parameters
    ----------
    state : TrainingState
        Changed by the chunk.
    data : TrainingData
    """

    def __init__(self, state, data):
        self.state = state
        self.data = data

    def penalty_of_rest(self, trainer):
        """The penalty of the weights that are no part of the chunk's model."""
        return 0.0

    def publish(self, estimator, trainer):
        """Set the learnt attributes of the estimator."""
        estimator._publish(self.state)


class CSRChunk:
    """A CSR chunk with a model of only its columns.

    Parameters
    ----------
    stream : CSRStream
    stored : dict
        The rest of the state before the chunk.
    data : TrainingData
        All rows take part.

    Attributes
    ----------
    state : TrainingState
        The state of the columns that the chunk has.
    data : TrainingData
        The data with X in these columns.
    """

    def __init__(self, stream, stored, data):
        self.stream = stream
        self.stored = stored
        self.columns, X = compressed(data.X, stream)
        self.data = replace(data, X=X)
        self.parts = stream.gather(self.columns)
        self.before = stream.squares_of(self.parts)
        self.state = self._state_of_parts()

    def _state_of_parts(self):
        """A state in new arrays."""
        dtype = self.stream.dtype
        parts = self.parts.transpose(0, 2, 1)
        positions = parts[0]
        used = self.stored.keys() - UNUSED
        stored = arrays_copied({name: self.stored[name] for name in used})
        state = TrainingState(
            coef=positions.astype(dtype, copy=False),
            velocity=untouched_zeros(positions, dtype),
            **stored,
        )
        if self.stream.has_velocity:
            state.velocity = parts[1].astype(dtype, copy=False)
        if self.stream.penalty.has_positions:
            state.positions = positions
            coef = self.stream.penalty.weights(positions, state.threshold[0])
            state.coef = coef.astype(dtype, copy=False)
        if self.stream.averaged:
            state.average_coef = parts[-1]
            state.average_coef /= max(1, state.n_averaged)
        return state

    def penalty_of_rest(self, trainer):
        """The penalty of the weights that are no part of the chunk's model."""
        return self.stream.penalty_of_rest(self.columns, self.before, trainer.rates)

    def change(self, trainer, intercept):
        """The change to add to the stream, given the intercepts to predict with."""
        state = self.state
        if not self.stream.penalty.has_positions:
            self.parts[0] = state.coef.T
        if self.stream.has_velocity:
            self.parts[1] = state.velocity.T
        if self.stream.averaged:
            self.parts[-1] *= max(1, state.n_averaged)
        return CSRChange(
            self.columns,
            self.parts,
            self.before,
            trainer.rates,
            trainer.first_averaged_batch,
            intercept,
            state.n_averaged,
        )

    def publish(self, estimator, trainer):
        """Set the learnt attributes, and the change of the stream that is to come."""
        intercept = self.state.weights()[1]
        estimator._publish_stream(self.stream, intercept, self.state)
        estimator._resumption = self.stored_after()
        estimator._change = self.stream, self.change(trainer, intercept)

    def stored_after(self):
        """The rest of the state after the chunk."""
        unused = {name: self.stored[name] for name in UNUSED & self.stored.keys()}
        return {**without_columns(self.state), **unused, "direction": None}


def compressed(X, stream):
    """The columns that a CSR matrix has, and the matrix with only these columns."""
    n_nonzeros = X.indptr[-1]
    # If both have the type of the numbers, SciPy copies neither.
    indptr = X.indptr.astype(np.int32) if n_nonzeros <= MAX_INT32 else X.indptr
    columns, numbers = number_columns(stream, X.indices[:n_nonzeros])
    shape = X.shape[0], max(1, len(columns))
    if len(columns) == 0:  # A model needs a column.
        columns = np.zeros(1, dtype=np.int64)
    return columns, type(X)((X.data[:n_nonzeros], numbers, indptr), shape=shape)


def without_columns(state):
    """A state without the parts that have an entry per column."""
    return {
        name: value for name, value in vars(state).items() if name not in OF_COLUMNS
    }


def intercept_shown(stored):
    """The intercepts to predict with."""
    if stored["n_averaged"] == 0:
        return stored["intercept"]
    return stored["average_intercept"].astype(stored["intercept"].dtype)


def begin_csr_stream(state, n_features, penalty, momentum, nesterov):
    """A stream of CSR chunks that continues from a state, of all columns or of none.

    Returns
    -------
    stream : CSRStream
    """
    stream = CSRStream(
        rule_of(momentum, nesterov),
        penalty,
        (len(state.coef), n_features),
        state.coef.dtype,
        state.average_coef is not None,
        state.threshold,
    )
    # With the factors that make sums of the means
    whole = [(state.positions if penalty.has_positions else state.coef, 1.0)]
    if stream.has_velocity:
        whole.append((state.velocity, 1.0))
    if stream.averaged:
        whole.append((state.average_coef, state.n_averaged))
    moving = np.any([part.any(axis=0) for part, _ in whole], axis=0)
    nothing: Any = np.zeros(0)
    for columns in blocks_of(np.flatnonzero(moving), stream):
        parts = np.array([factor * part[:, columns].T for part, factor in whole])
        stream += CSRChange(
            columns,
            parts.astype(np.float64, copy=False),
            (0.0, 0.0, 0.0),
            nothing,
            -1,
            state.intercept,
            state.n_averaged,
        )
    return stream


def is_as_shown(stream):
    """Whether the weights that readers have got since the last chunk are unchanged."""
    if stream.lends_weights:
        return not stream.has_been_read or stream.is_as_lent()
    shown = stream.shown
    if shown is None:
        return True
    for columns in blocks_of(np.arange(stream.n_features), stream):
        part = shown[:, columns[0] : columns[-1] + 1]
        if not np.array_equal(stream.weights_of(columns)[0], part):
            return False
    return True


def whole_state(stream, stored):
    """The state of all columns, in new arrays."""

    def zeros(dtype):
        shape = stream.n_outputs, stream.n_features
        return np.zeros(shape, dtype, order_of_weights(stream.n_outputs, True))

    dtype = stream.dtype
    state: Any = TrainingState(
        coef=zeros(dtype), velocity=zeros(dtype), **arrays_copied(stored)
    )
    if stream.penalty.has_positions:
        state.positions = zeros(np.float64)
    if stream.averaged:
        state.average_coef = zeros(np.float64)
    for columns in blocks_of(stream.active_columns(), stream):
        parts = stream.gather(columns).transpose(0, 2, 1)
        state.coef[:, columns] = stream.penalty.weights(parts[0], state.threshold[0])
        if stream.has_velocity:
            state.velocity[:, columns] = parts[1]
        if stream.penalty.has_positions:
            state.positions[:, columns] = parts[0]
        if stream.averaged:
            state.average_coef[:, columns] = parts[-1] / max(1, state.n_averaged)
    return state


def blocks_of(columns, stream):
    """The columns in blocks, at least one, whose weights take little memory."""
    n_blocks = -(-len(columns) * stream.n_outputs // WEIGHTS_AT_ONCE)
    return np.array_split(columns, max(1, n_blocks))


def arrays_copied(stored, order="C", but=()):
    """A dict whose arrays are copies, except those of some names."""
    return {
        name: value.copy(order)
        if isinstance(value, np.ndarray) and name not in but
        else value
        for name, value in stored.items()
    }
