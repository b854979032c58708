"""The plot of the front page: fits without tuning, on real data."""

import functools
import time
import warnings

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from benchmarks.real_data import REAL_PROBLEMS
from benchmarks.report import COLOURS, MARKERS, circumstances, digits
from benchmarks.timing import interleaved_times, one_core
from skmbsgd import MiniBatchSGDClassifier

SOURCE = REAL_PROBLEMS["flights_late"]
ITERATIONS = [1, 2, 4, 8, 16, 32, 64]
# Each function makes an estimator with a maximum number of iterations.
ESTIMATORS = {
    "skmbsgd": functools.partial(MiniBatchSGDClassifier, random_state=0),
    "SGDClassifier": functools.partial(SGDClassifier, loss="log_loss", random_state=0),
    "LogisticRegression": LogisticRegression,
}


def run(report, effort, source=SOURCE):
    """Write the section."""
    if not source.is_available():
        report.paragraph(f"{source.package} is not installed.")
        return
    problem = source.make(effort.cut(source.n_rows, source.values_per_row))
    split = train_test_split(
        problem.X, problem.y, random_state=0, stratify=problem.y, test_size=0.25
    )
    X, X_test, y, y_test = map(np.ascontiguousarray, split)
    fits = {
        (name, settings["max_iter"] if settings else "default"): make(**settings)
        for name, make in ESTIMATORS.items()
        for settings in [*({"max_iter": n} for n in ITERATIONS), {}]
    }
    with one_core(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits that are cut short
        times = interleaved_times(
            {
                key: functools.partial(seconds_of_fit, model, X, y)
                for key, model in fits.items()
            },
            effort.repeats,
        )
    rows = [
        [
            name,
            iterations,
            int(np.max(fits[name, iterations].n_iter_)),
            f"{np.median(seconds):.4g}",
            f"{log_loss(y_test, fits[name, iterations].predict_proba(X_test)):.5f}",
        ]
        for (name, iterations), seconds in times.items()
    ]
    report.picture_in_both_modes(
        functools.partial(picture, rows),
        "Log loss on held-out flights against seconds of fit",
    )
    report.paragraph(
        f"{source.title}: {len(X):,} rows to train on, {len(X_test):,} held out, "
        f"{X.shape[1]} standardised columns. A small point is a fit that ends after 1, "
        "2, 4, ... iterations; the large point is the fit with default parameters "
        "(SGDClassifier with the log loss). "
        f"{circumstances(effort)}"
    )
    report.table(
        "Fits with default parameters",
        ["solver", "seconds", "iterations", "log loss on held-out rows"],
        [
            [name, digits(float(seconds), 2), n_done, loss]
            for name, iterations, n_done, seconds, loss in rows
            if iterations == "default"
        ],
    )
    report.data(["solver", "max_iter", "iterations", "seconds", "log_loss"], rows)


def seconds_of_fit(model, X, y):
    """Seconds of a fit from scratch."""
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def picture(rows):
    """Held-out loss against seconds; the fit with all defaults is marked."""
    figure = Figure(figsize=(7, 2.7), layout="constrained")
    axes = figure.subplots()
    for i, solver in enumerate(ESTIMATORS):
        points = {
            iterations: (float(seconds), float(loss))
            for name, iterations, _, seconds, loss in rows
            if name == solver
        }
        default = points.pop("default")
        # If a fit stops by itself, a larger limit gives the same fit.
        cut_short = [point for point in points.values() if point[0] < 0.95 * default[0]]
        style = {"marker": MARKERS[i], "color": COLOURS[i]}
        axes.plot(*zip(*cut_short, default, strict=True), **style, markersize=4)
        axes.plot(*default, **style, markersize=9, label=solver)
        axes.annotate(
            f"{digits(default[0], 2)} s",
            default,
            xytext=(0, -8),
            textcoords="offset points",
            ha="center",
            va="top",
            color=COLOURS[i],
        )
    axes.set(
        xscale="log",
        xlabel="seconds of fit (one core)",
        ylabel="log loss, held-out flights",
    )
    axes.xaxis.set_major_locator(LogLocator(subs=[1, 2, 5]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.15)  # room for the annotations
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
