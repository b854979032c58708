"""Seconds per epoch on CSR data."""

from dataclasses import replace

from benchmarks.epochs import (
    STAR,
    compare,
    measurements,
    picture_of_times,
    table_of_ratios,
    victories,
)
from benchmarks.peers import MiniBatchSGD, Product, ScikitLearnSGD, all_peers
from benchmarks.peers.mini_batch_sgd import NESTEROV
from benchmarks.problems import sparse_problem
from benchmarks.report import circumstances, digits, with_spread
from benchmarks.timing import one_core

OURS, THEIRS = MiniBatchSGD.name, ScikitLearnSGD.name
N_ROWS, NON_ZEROS = 100_000, 40
# Logarithms of the number of columns, to base 2
POWERS = [14, 16, 18, 20, 22, 24]
# A fit with 2^24 columns starts with 0.5 GB of memory that the system has to clear. The
# time for this varies by more than a short training takes.
PATIENCE = 3
# The number of columns for comparing settings and for several classes
POWER = 20
N_CLASSES = 10

SETTINGS = {
    "no momentum, L2": {"momentum": 0.0},
    "Nesterov 0.9, L2": NESTEROV,
    "Nesterov 0.9, L2, decay per update": {
        **NESTEROV,
        "decay": 1e-4,
        "decay_unit": "update",
    },
    "Nesterov 0.9, elastic net": {**NESTEROV, "penalty": "elasticnet"},
    "Nesterov 0.9, L2, averaged": {**NESTEROV, "average": True},
}


def run(report, effort, peers=None):
    """Measure, and write the piece."""
    peers = [Product(), *(peers or all_peers())]
    peers = [peer for peer in peers if peer.sparse]
    effort = replace(effort, seconds_each=PATIENCE * effort.seconds_each)
    n_rows = effort.cut(N_ROWS, NON_ZEROS)
    with one_core():
        comparisons = compare_columns(n_rows, peers, effort)
        comparisons.append(compare_classes(n_rows, peers, effort))
        settings = compare_settings(n_rows, effort)
    report.paragraph(circumstances(effort, peers))
    report.paragraph(
        f"{n_rows:,} rows with about {NON_ZEROS} non-zeros each, in columns drawn from "
        "Zipf's law, log loss, batches of 32."
    )
    report.picture(
        picture_of_times(comparisons),
        "Seconds per epoch on CSR data, in units of one product with a vector",
    )
    table_of_ratios(
        report,
        "Seconds per epoch, CSR. skmbsgd in milliseconds, all others relative to it",
        comparisons,
        peers,
        OURS,
    )
    report.paragraph(STAR)
    report.bullets(f"{p.name}: {p.settings}." for p in peers if p.is_available())
    report.table(
        f"What the settings cost, 2^{POWER} columns",
        ["setting", "ms per epoch", f"relative to {THEIRS} (L2, no momentum)"],
        [
            [
                name,
                with_spread(settings.times[name]),
                digits(settings.ratio(name, THEIRS), 2),
            ]
            for name in SETTINGS
        ],
    )
    report.better_peers(victories(comparisons, peers, OURS))
    report.data(*measurements([*comparisons, settings]))


def compare_columns(n_rows, peers, effort):
    """Two classes, in more and more columns."""
    return [
        compare(
            f"2^{power} columns, 2 classes",
            sparse_problem(n_rows, 2**power, NON_ZEROS),
            peers,
            effort,
        )
        for power in POWERS[:: effort.stride]
    ]


def compare_classes(n_rows, peers, effort):
    """A softmax compared with one-vs-all passes."""
    problem = sparse_problem(
        n_rows, 2**POWER, NON_ZEROS, "multiclass", n_outputs=N_CLASSES
    )
    return compare(f"2^{POWER} columns, {N_CLASSES} classes", problem, peers, effort)


def compare_settings(n_rows, effort):
    """Our settings, compared with scikit-learn's SGD."""
    ours = [MiniBatchSGD(name, name, **setting) for name, setting in SETTINGS.items()]
    problem = sparse_problem(n_rows, 2**POWER, NON_ZEROS)
    return compare(
        f"settings, 2^{POWER} columns", problem, [*ours, ScikitLearnSGD()], effort
    )
