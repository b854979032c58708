"""partial_fit: one epoch on a chunk of a stream, from the present state."""

import numpy as np
from sklearn.utils import check_random_state

from skmbsgd._automatic import RECENCY_IN_STREAMS, initial_direction
from skmbsgd._state import rule_name
from skmbsgd._stored import streamed_in
from skmbsgd._stream import (
    CSRChunk,
    WholeModel,
    begin_csr_stream,
    intercept_shown,
    is_as_shown,
    without_columns,
)


def partial_fit(estimator, X, y, sample_weight, classes=None):
    """Train for one epoch on a chunk, from the present state.

    Call this in methods with `appears_at_once`.
    """
    estimator._check_parameters()
    if estimator.early_stopping:
        raise ValueError(
            "early_stopping=True needs all the data: use it with fit, and "
            "early_stopping=False with partial_fit."
        )
    resumed = estimator._is_trained()
    X, y, weights = estimator._read(X, y, sample_weight, classes, reset=not resumed)
    data = estimator._weigh_classes(estimator._make_data(X, y, weights), streaming=True)
    if not resumed:
        estimator._forget_validation()
        estimator.loss_curve_, estimator.learning_rate_curve_ = [], []
    chunk = (csr_chunk if data.is_sparse else dense_chunk)(estimator, data)
    trainer = estimator._make_trainer(chunk.state, chunk.data, streaming=True)
    weighted = data.sample_weight is None or data.sample_weight.any()
    objective = trainer.run_chunk() if weighted else trainer.skip_epoch()
    objective += chunk.penalty_of_rest(trainer)
    trainer.store()
    chunk.publish(estimator, trainer)
    estimator._growth = (
        (estimator.loss_curve_, [objective]),
        (estimator.learning_rate_curve_, [chunk.state.last_rate]),
    )


def dense_chunk(estimator, data):
    """A chunk that changes all weights."""
    return WholeModel(state_for(estimator, data), data)


def csr_chunk(estimator, data):
    """A chunk that changes only the weights of its own columns."""
    stream, _ = streamed_in(vars(estimator))
    penalty = estimator._make_penalty()
    if agrees(stream, estimator, penalty, data):
        stream.discard_copy()  # It may be large, and can be made again.
        chunk = CSRChunk(stream, estimator._resumption, data)
        start_from_constants(chunk.state, estimator, data)
    else:
        state = state_for(estimator, data)
        state.continue_under(penalty)
        if estimator._finds_rate:
            estimator._seek_rate(state, data.X, is_standardized=False)
        stream = begin_csr_stream(
            state, data.X.shape[1], penalty, estimator.momentum, estimator.nesterov
        )
        chunk = CSRChunk(stream, without_columns(state), data)
    if estimator._finds_rate:
        # It must not depend on the column numbers within the chunk.
        chunk.state.direction = initial_direction(chunk.columns)
    return chunk


def agrees(stream, estimator, penalty, data):
    """Whether a stream agrees with the settings and attributes of its estimator."""
    return (
        stream is not None
        and "coef_" not in vars(estimator)
        and is_as_shown(stream)
        and np.array_equal(estimator.intercept_, intercept_shown(estimator._resumption))
        and stream.n_outputs == data.n_outputs
        and (stream.penalty.l1, stream.penalty.l2) == (penalty.l1, penalty.l2)
        and stream.rule.momentum == estimator.momentum
        and stream.rule.name == rule_name(estimator.nesterov)
        and stream.averaged == bool(estimator.average)
        # All velocities end where the rate was found for standardised columns.
        and not (estimator._finds_rate and is_for_standardized(estimator._resumption))
        # Means that have begun too early for `average` begin again.
        and (
            stream.n_averaged == 0
            or estimator._resumption["n_samples"] >= estimator.average
        )
    )


def is_for_standardized(stored):
    """Whether the rate of a stored state was found for standardised columns."""
    settings = stored.get("rate_settings")
    return settings is not None and bool(settings[3])


def state_for(estimator, data):
    """The state after the last chunk or before the first, with the means asked for."""
    if estimator._is_trained():
        # A stream of CSR chunks only reads the arrays with an entry per column.
        state = estimator._resume(
            data.n_outputs, data.is_sparse, to_read=data.is_sparse
        )
        start_from_constants(state, estimator, data)
    else:
        state = estimator._initial_state(
            data,
            check_random_state(estimator.random_state),
            intercept_init=estimator._constants_to_start_from(data),
            # A stream of CSR chunks starts without arrays of all columns.
            n_columns=0 if data.is_sparse else None,
        )
    begin_or_end_average(state, estimator, data)
    return state


def start_from_constants(state, estimator, data):
    """Start the intercepts as in a first chunk if no row has had a weight yet."""
    if state.n_samples == 0:
        constants = estimator._constants_to_start_from(data)
        if constants is not None:
            state.intercept[:] = constants


def begin_or_end_average(state, estimator, data):
    """Begin or end the running means of a stream, as the parameters say."""
    automatic = (
        estimator._finds_rate
        and estimator.learning_rate == "auto"
        and not data.is_sparse
    )
    recency = 0.0 if estimator.average else RECENCY_IN_STREAMS
    if not (estimator.average or automatic):
        state.end_average()
    elif (
        state.average_coef is None
        or state.recency != recency
        or state.n_samples < int(estimator.average)
    ):
        state.begin_average(recency)
