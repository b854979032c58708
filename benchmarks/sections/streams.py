"""Rows per second of streams, chunk by chunk."""

import numpy as np

from benchmarks.problems import dense_problem, sparse_problem
from benchmarks.report import circumstances, digits
from benchmarks.streams import (
    OurStream,
    RiverStream,
    ScikitLearnStream,
    VowpalWabbitStream,
    chunks_of,
    times_of_calls,
)
from benchmarks.timing import one_core

OURS = OurStream("skmbsgd, eta0=0.01", eta0=0.01)
LEARNERS = [
    OURS,
    OurStream("skmbsgd, eta0='auto'"),
    ScikitLearnStream(),
    RiverStream(),
    VowpalWabbitStream(),
]
THEIRS = ScikitLearnStream.name
CHUNK_SIZES = [1, 32, 256, 1000, 2048, 10_000]
N_CHUNKS = 16
# The number of rows of the largest problem
N_ROWS = 2 * max(CHUNK_SIZES)


def problems(n_rows):
    """Names of streams, and data for them."""
    yield "dense, 20 columns", dense_problem(n_rows, 20, task="binary")
    for power in (16, 18, 20, 22):
        yield f"CSR, 2^{power} columns", sparse_problem(n_rows, 2**power, 100)
    yield (
        "CSR, 2^20 columns, 5 classes",
        sparse_problem(n_rows, 2**20, 100, "multiclass", n_outputs=5),
    )


def run(report, effort, learners=None):
    """Measure, and write the piece."""
    learners = [each for each in learners or LEARNERS if each.is_available()]
    sizes = CHUNK_SIZES[:: effort.stride]
    with one_core():
        medians = {
            (name, size): medians_of(problem, size, learners, effort)
            for name, problem in problems(2 * max(sizes))
            for size in sizes
        }
    report.paragraph(circumstances(effort))
    report.paragraph(
        "A call of ``partial_fit`` per chunk (river: ``learn_many``, Vowpal Wabbit: "
        "``learn`` for each row), log loss, one core. CSR rows hold 100 non-zeros in "
        "columns drawn from Zipf's law. Vowpal Wabbit parses a line of text for each "
        "row; river takes data frames, which are made beforehand."
    )
    names = [each.name for each in learners]
    report.table(
        "Rows per second, in thousands",
        ["stream", "rows of a chunk", *names, f"time, {OURS.name} / {THEIRS}"],
        [
            [
                name,
                f"{size:,}",
                *(thousands(size, times.get(each)) for each in names),
                digits(times[OURS.name] / times[THEIRS], 2),
            ]
            for (name, size), times in medians.items()
        ],
    )
    report.data(
        ["stream", "rows of a chunk", "solver", "median seconds of a call"],
        [
            [name, size, each, times[each]]
            for (name, size), times in medians.items()
            for each in times
        ],
    )


def medians_of(problem, size, learners, effort):
    """Median seconds of a call, by the name of the learner."""
    able = [each for each in learners if each.supports(problem)]
    chunks = chunks_of(problem, size, N_CHUNKS if size < 1000 else 4)
    times = times_of_calls(able, chunks, problem, effort.seconds_each)
    return {name: float(np.median(values)) for name, values in times.items()}


def thousands(n_rows, seconds):
    """Rows per second as text."""
    return "" if seconds is None else digits(n_rows / seconds / 1000.0, 3)
