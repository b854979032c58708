"""Training on a Dask cluster on this machine, compared with one process."""

import functools
import pickle
import warnings
from dataclasses import replace

import dask.array as da
import numpy as np
from dask import delayed
from dask.distributed import Client, LocalCluster

from benchmarks.objective import find_optimum, objective
from benchmarks.problems import Problem
from benchmarks.report import circumstances, digits, with_spread
from benchmarks.timing import interleaved_times, seconds_between_epochs
from skmbsgd import MiniBatchSGDClassifier
from skmbsgd.dask import DaskMiniBatchSGDClassifier

ALPHA = 1e-4
N_ROWS, N_COLUMNS = 1_000_000, 100
N_WORKERS, N_PARTITIONS, N_ROUNDS = 2, 8, 8
SHARDS = (1, 2, 4)
N_EPOCHS, EPOCHS_TIMED = 10, 6
RATES = (0.01, 0.03, 0.1)
# For the comparison of numbers of rounds
ROUNDS, ROWS_OF_ROUNDS = (1, 2, 4, 8, 16), 20_000
# A large cluster, which is only calculated
WORKERS, ROWS = 100, 10**10
SETTINGS = {"alpha": ALPHA, "random_state": 0}


def run(report, effort):
    """Measure, and write the piece."""
    n_rows = effort.cut(N_ROWS, N_COLUMNS) // N_PARTITIONS
    problem = whole_problem(n_rows)
    with (
        warnings.catch_warnings(),
        LocalCluster(
            n_workers=N_WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        warnings.simplefilter("ignore")
        X, y = client.persist(in_partitions(n_rows))
        fits = {"one process": (MiniBatchSGDClassifier, problem.X, problem.y)}
        for n in SHARDS:
            make = functools.partial(
                DaskMiniBatchSGDClassifier, n_shards=n, rounds_per_epoch=N_ROUNDS
            )
            fits["1 shard" if n == 1 else f"{n} shards"] = make, X, y
        times = interleaved_times(
            {
                name: functools.partial(seconds_of_epoch, *fit)
                for name, fit in fits.items()
            },
            effort.repeats,
        )
        gaps = {name: best_gap(problem, *fit) for name, fit in fits.items()}
        costs = {n: seconds_of_round(n) for n in SHARDS}
        few, rounds = problem.head(ROWS_OF_ROUNDS), ROUNDS[:: effort.stride]
        by_label = np.argsort(few.y, kind="stable")
        gaps_by_order = {
            "rows in random order": gaps_of_rounds(few, rounds),
            "sorted by label": gaps_of_rounds(
                replace(few, X=few.X[by_label], y=few.y[by_label]), rounds
            ),
        }
    n_bytes = bytes_of_state()
    report.paragraph(circumstances(effort))
    report.table(
        f"{len(problem.y):,} x {N_COLUMNS} in {N_PARTITIONS} partitions, batches of "
        f"32, {N_WORKERS} workers, {N_ROUNDS} rounds an epoch",
        ["", "Seconds per epoch", f"Gap after {N_EPOCHS} epochs", "Traffic of a round"],
        [
            [
                name,
                with_spread(times[name], unit=1.0),
                f"{gaps[name]:.3%}",
                f"{2 * fits[name][0].keywords['n_shards'] * n_bytes / 1e3:.1f} kB"
                if name != "one process"
                else "",
            ]
            for name in fits
        ],
    )
    report.table(
        "What a round costs in addition to training, with a few rows per shard",
        ["shards", "Seconds of a round"],
        [[n, digits(cost, 2)] for n, cost in costs.items()],
    )
    report.table(
        f"Gap with {max(SHARDS)} shards, {len(few.y):,} rows, and all settings found "
        "from the data",
        ["Rounds an epoch", *rounds],
        [
            [order, *(f"{gap:.3%}" for gap in found)]
            for order, found in gaps_by_order.items()
        ],
    )
    report.bullets(
        on_paper(len(problem.y) / np.median(times["one process"]), costs, n_bytes)
    )
    report.data(
        ["solver", "seconds_per_epoch", "gap"],
        [
            [
                "skmbsgd" if name == "one process" else f"Dask, {name}",
                seconds,
                gaps[name],
            ]
            for name in fits
            for seconds in times[name]
        ],
    )


def rows_of_partition(number, n_rows):
    """X and y of two classes that are not linearly separable."""
    rng = np.random.default_rng(number)
    X = rng.standard_normal((n_rows, N_COLUMNS))
    scores = X @ np.cos(np.arange(N_COLUMNS)) / 3
    y = scores + rng.logistic(size=n_rows) > 0
    y[:2] = False, True
    return X, y


def whole_problem(n_rows):
    """All partitions in one."""
    parts = [rows_of_partition(i, n_rows) for i in range(N_PARTITIONS)]
    X, y = map(np.concatenate, zip(*parts, strict=True))
    return Problem(X, y, "binary")


def in_partitions(n_rows):
    """X and y as Dask arrays, which the workers make."""
    parts = [delayed(rows_of_partition, nout=2)(i, n_rows) for i in range(N_PARTITIONS)]
    X, y = zip(*parts, strict=True)
    return [
        da.concatenate([da.from_delayed(x, (n_rows, N_COLUMNS), float) for x in X]),
        da.concatenate([da.from_delayed(labels, (n_rows,), bool) for labels in y]),
    ]


def seconds_of_epoch(make, X, y):
    """Seconds of an epoch, without reading."""
    make = functools.partial(make, **SETTINGS)
    return seconds_between_epochs(make, X, y, 0.01, EPOCHS_TIMED)


def best_gap(problem, make, X, y):
    """The lowest gap that one of RATES reaches."""
    make = functools.partial(make, learning_rate="cosine", tol=None)
    return min(
        gaps_of(
            problem,
            (
                make(eta0=eta0, max_iter=N_EPOCHS, **SETTINGS).fit(X, y)
                for eta0 in RATES
            ),
        )
    )


def gaps_of_rounds(problem, rounds):
    """The gaps with these numbers of rounds in an epoch, and a partition per shard."""
    n_shards, n_rows = max(SHARDS), len(problem.y)
    n_rows_of_shard = -(-n_rows // n_shards)
    X = da.from_array(problem.X, chunks=(n_rows_of_shard, -1))
    y = da.from_array(problem.y, chunks=n_rows_of_shard)
    make = functools.partial(DaskMiniBatchSGDClassifier, n_shards=n_shards, **SETTINGS)
    return gaps_of(problem, (make(rounds_per_epoch=n).fit(X, y) for n in rounds))


def gaps_of(problem, models):
    """The missing fractions of the way from 0 to the optimum."""
    lowest = objective(problem, ALPHA, find_optimum(problem, ALPHA))
    reached = [objective(problem, ALPHA, model) for model in models]
    return [(each - lowest) / (np.log(2.0) - lowest) for each in reached]


def seconds_of_round(n_shards):
    """Seconds of a round with very few rows."""
    rows = 2 * N_ROUNDS * n_shards
    X = np.random.default_rng(0).standard_normal((rows, N_COLUMNS))
    y = np.arange(rows) % 2
    make = functools.partial(
        DaskMiniBatchSGDClassifier,
        n_shards=n_shards,
        rounds_per_epoch=N_ROUNDS,
        batch_size=2,
    )
    chunks = 2 * N_ROUNDS
    data = da.from_array(X, chunks=(chunks, -1)), da.from_array(y, chunks=chunks)
    return seconds_between_epochs(make, *data, 0.01, 2 * EPOCHS_TIMED) / N_ROUNDS


def bytes_of_state():
    """The size of a model of N_COLUMNS columns when it is sent."""
    model = MiniBatchSGDClassifier(eta0=0.01, max_iter=1, tol=None)
    model.fit(np.eye(N_COLUMNS), np.arange(N_COLUMNS) % 2)
    return len(pickle.dumps(model._resume(1, is_sparse=False)))


def on_paper(rows_per_second, costs, n_bytes):
    """The expected times and traffic of a large cluster."""
    per_shard, fixed = np.polyfit(list(costs), list(costs.values()), 1)
    round_ = max(0.0, fixed) + WORKERS * max(0.0, per_shard)
    training = ROWS / WORKERS / rows_per_second
    epoch = training + N_ROUNDS * round_
    gigabytes = ROWS * N_COLUMNS * 8 / WORKERS / 1e9
    traffic = 2 * WORKERS * n_bytes / 1e6
    return [
        f"Calculated, not measured: {WORKERS} workers of this speed with {ROWS:,} rows "
        f"of {N_COLUMNS} columns ({gigabytes:,.0f} GB per worker) would spend "
        f"{training:,.0f} s of an epoch on training and {N_ROUNDS * round_:,.1f} s on "
        "averaging, if the costs above grow linearly with the number of shards. This "
        f"is {ROWS / epoch:,.0f} rows per second.",
        f"A round would send {traffic:,.2f} MB, an epoch {N_ROUNDS * traffic:,.1f} MB. "
        f"With a million columns a round would send {2 * WORKERS * 16e6 / 1e9:,.1f} "
        "GB, half of it to the worker that averages.",
    ]
