"""What a chunk of a stream moves: the whole model, or the columns that it holds."""

from dataclasses import replace
from typing import Any

import numpy as np

from skmbsgd._engine.csr_stream import CSRChange, CSRStream
from skmbsgd._state import TrainingState, rule_of

MAX_INT32 = np.iinfo(np.int32).max

# What a state has for each column, which the engine keeps in a stream of CSR chunks ...
OF_COLUMNS = {"coef", "velocity", "positions", "average_coef"}
# ... and what belongs to dense chunks that came before, or is for a single chunk.
UNUSED = {"column_mean", "column_variance", "direction"}


class WholeModel:
    """A chunk that moves all of a model.

    Parameters
    ----------
    state : TrainingState
        Moved by the chunk.
    data : TrainingData
    """

    def __init__(self, state, data):
        self.state = state
        self.data = data

    def penalty_of_rest(self, trainer):
        """The penalty of the weights that are no part of the chunk's model."""
        return 0.0


class CSRChunk:
    """A CSR chunk with a model of its columns alone.

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
        Of the columns that the chunk holds.
    data : TrainingData
        With X in these columns.
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
        """A state in arrays of its own."""
        dtype = self.stream.dtype
        positions = self.parts[0]
        stored: dict[str, Any] = {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in self.stored.items()
            if name not in UNUSED
        }
        state = TrainingState(
            coef=positions.astype(dtype, copy=False),
            velocity=np.zeros(positions.shape, dtype),
            **stored,
        )
        if self.stream.has_velocity:
            state.velocity = self.parts[1].astype(dtype, copy=False)
        if self.stream.penalty.has_positions:
            state.positions = positions
            coef = self.stream.penalty.weights(positions, state.threshold[0])
            state.coef = coef.astype(dtype, copy=False)
        if self.stream.averaged:
            state.average_coef = self.parts[-1]
            state.average_coef /= max(1, state.n_averaged)
        return state

    def penalty_of_rest(self, trainer):
        """The penalty of the weights that are no part of the chunk's model."""
        return self.stream.penalty_of_rest(self.columns, self.before, trainer.rates)

    def change(self, trainer, intercept):
        """What is to be added to the stream, given the intercepts to predict with."""
        state = self.state
        if not self.stream.penalty.has_positions:
            self.parts[0] = state.coef
        if self.stream.has_velocity:
            self.parts[1] = state.velocity
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

    def stored_after(self):
        """The rest of the state after the chunk."""
        unused = {name: self.stored[name] for name in UNUSED & self.stored.keys()}
        return {**without_columns(self.state), **unused, "direction": None}


def compressed(X, stream):
    """The columns that a CSR matrix holds, and the matrix in these columns alone."""
    n_nonzeros = X.indptr[-1]
    # Of one type with the numbers, SciPy copies neither.
    indptr = X.indptr.astype(np.int32) if n_nonzeros <= MAX_INT32 else X.indptr
    columns, numbers = stream.number(X.indices[:n_nonzeros])
    shape = X.shape[0], max(1, len(columns))
    if len(columns) == 0:  # A model needs a column.
        columns = np.zeros(1, dtype=np.int64)
    return columns, type(X)((X.data[:n_nonzeros], numbers, indptr), shape=shape)


def without_columns(state):
    """All of a state but what it has for each column."""
    return {
        name: value for name, value in vars(state).items() if name not in OF_COLUMNS
    }


def intercept_shown(stored):
    """The intercepts to predict with."""
    if stored["n_averaged"] == 0:
        return stored["intercept"]
    return stored["average_intercept"].astype(stored["intercept"].dtype)


def begin_csr_stream(state, n_features, penalty, momentum, nesterov):
    """A stream of CSR chunks that goes on from a state, of all columns or of none.

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
    whole = [state.positions if penalty.has_positions else state.coef]
    if stream.has_velocity:
        whole.append(state.velocity)
    if stream.averaged:
        whole.append(state.average_coef * state.n_averaged)
    moving = np.any([part.any(axis=0) for part in whole], axis=0)
    columns = np.flatnonzero(moving)
    parts = np.array([part[:, columns] for part in whole], dtype=np.float64)
    nothing: Any = np.zeros(0)
    stream += CSRChange(
        columns, parts, (0.0, 0.0, 0.0), nothing, -1, state.intercept, state.n_averaged
    )
    return stream


def whole_state(stream, stored):
    """The state of all columns, in arrays of its own."""
    columns = stream.active_columns()
    parts = stream.gather(columns)
    shape, dtype = (stream.n_outputs, stream.n_features), stream.dtype

    def whole(values, dtype):
        array = np.zeros(shape, dtype)
        array[:, columns] = values
        return array

    state = TrainingState(
        coef=whole(
            stream.penalty.weights(parts[0], stored["threshold"][0]), stream.dtype
        ),
        velocity=whole(parts[1] if stream.has_velocity else 0.0, dtype),
        **stored,
    ).copy()
    if stream.penalty.has_positions:
        state.positions = whole(parts[0], np.float64)
    if stream.averaged:
        average = parts[-1] / max(1, state.n_averaged)
        state.average_coef = whole(average, np.float64)
    return state
