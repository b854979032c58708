"""How the time grows with the problem, and how much a second thread helps."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from joblib import parallel_config
from matplotlib.figure import Figure
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from benchmarks.epochs import compare, measurements
from benchmarks.peers import MiniBatchSGD, Product, ScikitLearnSGD
from benchmarks.problems import dense_problem, sparse_problem
from benchmarks.report import COLOURS, MARKERS, circumstances, digits, with_spread
from benchmarks.timing import interleaved_times, one_core, seconds
from skmbsgd import MiniBatchSGDClassifier


@dataclass(frozen=True)
class Axis:
    """A size that grows while everything else is fixed.

    Attributes
    ----------
    name, fixed : str
        What grows, and what is fixed.
    sizes : tuple of int
    make : callable (size) -> Problem
    """

    name: str
    fixed: str
    sizes: tuple
    make: Callable


AXES = [
    Axis(
        "n_samples",
        "20 features, batches of 32",
        (10**3, 10**4, 10**5, 10**6),
        lambda n: dense_problem(n, 20),
    ),
    Axis(
        "n_features",
        "10,000 rows, batches of 32",
        (10, 30, 100, 300, 1000, 3000),
        lambda n: dense_problem(10_000, n),
    ),
    Axis(
        "non-zeros per row",
        "20,000 rows, 2^20 columns, batches of 32",
        (5, 10, 20, 40, 80, 160),
        lambda n: sparse_problem(20_000, 2**20, n),
    ),
    Axis(
        "batch_size",
        "100,000 rows, 100 features",
        (1, 4, 16, 64, 256, 1024, 4096),
        lambda n: dense_problem(100_000, 100, batch_size=n),
    ),
    Axis(
        "n_outputs",
        "20,000 rows, 100 features, softmax, batches of 32",
        (2, 5, 10, 30, 100),
        lambda n: dense_problem(20_000, 100, task="multiclass", n_outputs=n),
    ),
]

PLOTS_IN_LINE = 3
GRID = {"eta0": [0.001, 0.003, 0.01, 0.03]}
N_FOLDS, N_ROWS, N_COLUMNS, N_EPOCHS = 2, 100_000, 50, 20


def run(report, effort, axes=AXES):
    """Measure, and write the piece."""
    peers = [MiniBatchSGD(), ScikitLearnSGD(), Product()]
    results = {}
    with one_core():
        for axis in axes:
            sizes = axis.sizes[:: effort.stride]
            sizes = [size for size in sizes if fits(axis, size, effort)]
            results[axis] = {
                size: compare(f"{axis.name} = {size}", axis.make(size), peers, effort)
                for size in sizes
            }
    threads = compare_threads(effort)
    report.paragraph(circumstances(effort))
    report.table(
        "Exponents p of seconds per epoch ~ size^p, fitted over all sizes",
        ["what grows", "from", "to", "what is fixed", *(peer.name for peer in peers)],
        [
            [
                axis.name,
                f"{min(by_size):,}",
                f"{max(by_size):,}",
                axis.fixed,
                *(exponent_cell(by_size, peer.name) for peer in peers),
            ]
            for axis, by_size in results.items()
        ],
    )
    report.picture(picture(results, peers), "Seconds per epoch as the problem grows")
    n_rows = effort.cut(N_ROWS, N_COLUMNS)
    report.table(
        f"A grid search over {len(GRID['eta0'])} rates with {N_FOLDS} folds of "
        f"{n_rows:,} x {N_COLUMNS} and {N_EPOCHS} epochs, with one and two workers",
        ["estimator", "workers", "1, seconds", "2, seconds", "times as fast"],
        [
            [
                *name,
                with_spread(times[1], unit=1.0),
                with_spread(times[2], unit=1.0),
                digits(np.median(times[1] / times[2]), 3),
            ]
            for name, times in threads.items()
        ],
    )
    report.data(
        *measurements([row for rows in results.values() for row in rows.values()])
    )


def fits(axis, size, effort):
    """Whether the problem stays below the largest input."""
    if axis.name == "n_samples":
        return size * 20 <= effort.largest_input
    if axis.name == "n_features":
        return size * 10_000 <= effort.largest_input
    return True


def exponent(sizes, times):
    """Slope of the straight line through the logarithms, by least squares."""
    return np.polyfit(np.log(sizes), np.log(times), 1)[0]


def exponent_cell(by_size, name):
    """The exponent of a peer, if it was measured at all sizes."""
    measured = [size for size, row in by_size.items() if name in row.times]
    times = [by_size[size].median(name) for size in measured]
    if len(measured) < 2 or min(times) <= 0:
        return "—"
    return f"{exponent(measured, times):.2f}"


def picture(results, peers):
    """Time against size, one plot for each axis."""
    n_lines = -(-len(results) // PLOTS_IN_LINE)
    figure = Figure(figsize=(11, 3.4 * n_lines), layout="constrained")
    plots = figure.subplots(n_lines, PLOTS_IN_LINE, squeeze=False).ravel()
    for unused in plots[len(results) :]:
        unused.remove()
    # The last line can have fewer plots.
    for axes, (axis, by_size) in zip(plots, results.items(), strict=False):
        for i, peer in enumerate(peers):
            sizes = [size for size, row in by_size.items() if peer.name in row.times]
            axes.plot(
                sizes,
                [by_size[size].median(peer.name) for size in sizes],
                marker=MARKERS[i],
                color=COLOURS[i],
                label=peer.name,
            )
        axes.set(xscale="log", yscale="log", xlabel=axis.name)
        axes.set_title(axis.fixed, fontsize=9)
        axes.grid(alpha=0.3)
        axes.set_ylabel("seconds per epoch")
    plots[0].legend()
    return figure


def compare_threads(effort):
    """Seconds of a grid search by (estimator, kind of workers) and their number."""
    problem = dense_problem(effort.cut(N_ROWS, N_COLUMNS), N_COLUMNS, task="binary")
    settings = {"max_iter": N_EPOCHS, "tol": None, "random_state": 0}
    estimators = {
        "MiniBatchSGDClassifier": MiniBatchSGDClassifier(
            momentum=0.9, nesterov=True, **settings
        ),
        "SGDClassifier": SGDClassifier(
            loss="log_loss", learning_rate="constant", eta0=0.01, **settings
        ),
    }
    measures = {
        (name, kind, n_jobs): functools.partial(
            seconds_of_search, estimator, problem, backend, n_jobs
        )
        for name, estimator in estimators.items()
        for kind, backend in [("threads", "threading"), ("processes", "loky")]
        for n_jobs in (1, 2)
    }
    with threadpool_limits(1):
        for measure in measures.values():
            measure()  # Processes are started once.
        times = interleaved_times(measures, effort.repeats)
    return {
        (name, kind): {n: times[name, kind, n] for n in (1, 2)}
        for name, kind, _ in measures
    }


def seconds_of_search(estimator, problem, backend, n_jobs):
    """Time of one grid search."""
    search = GridSearchCV(estimator, GRID, cv=N_FOLDS, refit=False, n_jobs=n_jobs)
    with parallel_config(backend):
        return seconds(lambda: search.fit(problem.X, problem.y))
