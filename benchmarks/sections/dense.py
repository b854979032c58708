"""Seconds per epoch on dense data."""

from benchmarks.epochs import (
    STAR,
    compare,
    measurements,
    picture_of_times,
    table_of_ratios,
    victories,
)
from benchmarks.peers import MiniBatchSGD, Product, all_peers
from benchmarks.problems import dense_problem
from benchmarks.report import circumstances
from benchmarks.timing import one_core

OURS = MiniBatchSGD.name

# rows, columns, type, batch_size, task, outputs
PROBLEMS = [
    (1_000, 100, "float64", 32, "regression", 1),
    (10_000, 100, "float64", 32, "regression", 1),
    (300_000, 100, "float64", 32, "regression", 1),
    (300_000, 100, "float32", 32, "regression", 1),
    (1_000_000, 10, "float64", 32, "regression", 1),
    (1_000_000, 20, "float64", 32, "regression", 1),
    (30_000, 1000, "float64", 32, "regression", 1),
    (5_000, 5000, "float64", 32, "regression", 1),
    (300_000, 100, "float64", 1, "regression", 1),
    (300_000, 100, "float64", 256, "regression", 1),
    (300_000, 100, "float64", 4096, "regression", 1),
    (300_000, 100, "float32", 4096, "regression", 1),
    (300_000, 100, "float64", 32, "binary", 1),
    (100_000, 100, "float64", 32, "multiclass", 10),
    (20_000, 100, "float64", 32, "multiclass", 100),
    (20_000, 100, "float32", 4096, "multiclass", 100),
    (100_000, 100, "float64", 32, "multioutput", 10),
]
TASKS = {
    "regression": "regression",
    "binary": "2 classes",
    "multiclass": "{} classes, softmax",
    "multioutput": "{} targets",
}


def name_of(rows, columns, dtype, batch_size, task, outputs):
    """How the tables call a problem."""
    task = TASKS[task].format(outputs)
    return f"{rows:,} x {columns} {dtype}, {task}, batches of {batch_size}"


def run(report, effort, peers=None):
    """Measure, and write the piece."""
    peers = [Product(), *(peers or all_peers())]
    peers = [peer for peer in peers if peer.dense]
    # Problems may coincide when they are cut.
    cut = dict.fromkeys(
        (effort.cut(rows, columns), columns, *rest)
        for rows, columns, *rest in PROBLEMS[:: effort.stride]
    )
    comparisons = []
    with one_core():
        for rows, columns, dtype, batch_size, task, n_outputs in cut:
            problem = dense_problem(
                rows, columns, dtype, task, n_outputs=n_outputs, batch_size=batch_size
            )
            name = name_of(rows, columns, dtype, batch_size, task, n_outputs)
            comparisons.append(compare(name, problem, peers, effort))
    report.paragraph(circumstances(effort, peers))
    report.picture(
        picture_of_times(comparisons),
        "Seconds per epoch on dense data, in units of one product with a vector",
    )
    table_of_ratios(
        report,
        "Seconds per epoch, dense. skmbsgd in milliseconds, all others relative to it",
        comparisons,
        peers,
        OURS,
    )
    report.paragraph(STAR)
    report.bullets(f"{p.name}: {p.settings}." for p in peers if p.is_available())
    report.better_peers(victories(comparisons, peers, OURS))
    report.data(*measurements(comparisons))
