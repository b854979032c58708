"""Streams as arrays and numbers, which any format can store."""

import copyreg

import numpy as np

from skmbsgd._engine.csr_stream cimport CSRStream
from skmbsgd._engine.penalties cimport Penalty
from skmbsgd._engine.records cimport CLOCK
from skmbsgd._engine.rules cimport Rule

from skmbsgd._engine.penalties import L1


def arrays_of(CSRStream stream):
    """The whole stream as a dict of arrays and numbers."""
    columns = stream.active_columns()
    factors = np.empty(0)
    if stream.lends_weights:
        # Then threads that read change nothing while this is copied.
        stream.bring_all_up_to_date(stream.now())
        factors = stream.factors_array[: stream.n_chunks + 1].copy()
    return {
        "shape": (stream.n_outputs, stream.n_features),
        "dtype": stream.dtype.str,
        "averaged": bool(stream.averaged),
        "window_size": stream.window.size,
        "momentum": stream.rule.momentum,
        "rule": stream.rule.name,
        "l1": stream.penalty.l1,
        "l2": stream.penalty.l2,
        "columns": columns,
        "clocks": stream.records.view()[columns, CLOCK],
        "numbers": stream.view_of_numbers()[columns],
        "factors": factors,
        "rates": stream.rates_array[: stream.window.now].copy(),
        "first_threshold": np.array(stream.first_threshold),
        "first_averaged": stream.window.first_averaged,
        "has_begun_to_average": bool(stream.has_begun_to_average),
        "squares": np.array([
            stream.squares.zz, stream.squares.zv, stream.squares.vv,
            stream.largest_squares,
        ]),
        "intercept": stream.intercept,
        "n_averaged": stream.n_averaged,
    }


def stream_of(stored):
    """A stream from the result of `arrays_of`.

    Raises
    ------
    ValueError
        If it is damaged so that the engine could not go on.
    """
    try:
        if not has_valid_settings(stored):
            raise damage()
        l1, l2 = stored["l1"], stored["l2"]
        stream = CSRStream(
            Rule(stored["rule"], stored["momentum"]),
            L1(l1, l2) if l1 > 0.0 else Penalty(l2),
            stored["shape"], stored["dtype"], stored["averaged"],
            stored["first_threshold"], stored["window_size"])
        restore(stream, stored)
    except (KeyError, TypeError, OverflowError) as error:
        raise damage() from error
    return stream


def has_valid_settings(stored):
    """Whether a stream can have these settings."""
    return (
        min(*stored["shape"], stored["window_size"]) >= 1
        and np.dtype(stored["dtype"]) in (np.float32, np.float64)
        and 0.0 <= stored["momentum"] < 1.0
        and 0.0 <= stored["l1"] < np.inf
        and 0.0 <= stored["l2"] < np.inf
    )


def restore(CSRStream stream, stored):
    """Set what a new stream does not have yet."""
    cdef double rate
    columns, factors = stored["columns"], stored["factors"]
    rates, begun = stored["rates"], stored["has_begun_to_average"]
    n_updates, n_chunks = len(rates), max(0, len(factors) - 1)
    numbers = stream.view_of_numbers()
    if not (
        n_chunks <= n_updates <= stream.window.size
        and are_within(rates, 0.0, np.inf)
        and (stream.averaged or not begun)
        and (len(factors) > 0) == stream.lends_weights
        and are_within(factors, 0.0, 1.0)
        and len(np.unique(columns)) == len(columns)
        and are_within(columns, 0, stream.n_features - 1)
        and are_within(
            stored["clocks"], 1, 1 + (n_chunks if stream.lends_weights else n_updates))
        and np.shape(stored["numbers"]) == (len(columns), numbers.shape[1])
        and np.shape(stored["intercept"]) == (stream.n_outputs,)
    ):
        raise damage()
    stream.records.begin(columns, is_sorted=False)
    stream.records.view()[columns, CLOCK] = stored["clocks"]
    numbers[columns] = stored["numbers"]
    stream.has_begun_to_average = begun
    if stream.has_begun_to_average:
        stream.window.average_from(stored["first_averaged"])
    for rate in rates:
        stream.append(rate)
    if stream.lends_weights:
        stream.n_chunks = n_chunks
        stream.factors_array[: n_chunks + 1] = factors
    squares = stored["squares"]
    stream.squares.zz, stream.squares.zv, stream.squares.vv = squares[:3]
    stream.largest_squares = squares[3]
    stream.intercept, stream.n_averaged = stored["intercept"], stored["n_averaged"]


def damage():
    return ValueError("What was stored of a stream is damaged.")


def are_within(numbers, least, most):
    """Whether all of the numbers are in this range."""
    return np.array_equal(np.clip(numbers, least, most), numbers)


copyreg.pickle(CSRStream, lambda stream: (stream_of, (arrays_of(stream),)))
