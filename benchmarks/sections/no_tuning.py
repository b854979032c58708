"""Fits with default parameters: how close to the optimum, and how long they take."""

import time
import warnings
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec

import numpy as np
from matplotlib.figure import Figure
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    LogisticRegression,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.newton import lowest_objective
from benchmarks.objective import objective
from benchmarks.report import COLOURS, circumstances, digits
from benchmarks.tables import TABLES
from benchmarks.timing import one_core
from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

ALPHA = 1e-4  # the default of all of these except LogisticRegression and Ridge
SEEDS = range(3)
KINDS = ("standardised", "raw")
CLOSE = 0.01
PLAIN_SGD = {
    "learning_rate": "constant",
    "eta0": 0.01,
    "momentum": 0.0,
    "nesterov": False,
}


@dataclass(frozen=True)
class Untuned:
    """An estimator without settings.

    Attributes
    ----------
    name : str
    classifier, regressor : callable
        Make the estimator for a seed.
    minimises : bool
        Whether it minimises J with alpha = 1e-4.
    """

    name: str
    classifier: object
    regressor: object
    minimises: bool = True

    def make(self, problem, seed):
        """The estimator for a problem."""
        is_regression = problem.task == "regression"
        return (self.regressor if is_regression else self.classifier)(problem, seed)


def seeded(estimator, **settings):
    """A function that makes the estimator for a problem and a seed."""
    return lambda problem, seed: estimator(random_state=seed, **settings)


class VowpalWabbit:
    """Vowpal Wabbit's estimators, by the names of scikit-learn."""

    def __init__(self, problem, seed):
        from vowpalwabbit.sklearn import VWClassifier, VWMultiClassifier, VWRegressor

        self.task = problem.task
        options = {"random_seed": seed, "quiet": True}
        self.model = {
            "regression": lambda: VWRegressor(**options),
            "binary": lambda: VWClassifier(loss_function="logistic", **options),
            "multiclass": lambda: VWMultiClassifier(
                oaa=problem.n_outputs, loss_function="logistic", **options
            ),
        }[problem.task]()

    def labels(self, y):
        """Labels in the form that it takes."""
        return {
            "regression": lambda: y,
            "binary": lambda: np.where(y, 1, -1),
            "multiclass": lambda: y + 1,
        }[self.task]()

    def fit(self, X, y):
        """One pass, its default."""
        self.model.fit(X, self.labels(y))
        return self

    def score(self, X, y):
        """Accuracy or R2."""
        return self.model.score(X, self.labels(y))


ESTIMATORS = [
    Untuned(
        "skmbsgd",
        seeded(MiniBatchSGDClassifier),
        seeded(MiniBatchSGDRegressor),
    ),
    Untuned(
        "skmbsgd, plain SGD",
        seeded(MiniBatchSGDClassifier, **PLAIN_SGD),
        seeded(MiniBatchSGDRegressor, **PLAIN_SGD),
    ),
    Untuned(
        "scikit-learn SGD",
        seeded(SGDClassifier, loss="log_loss"),
        seeded(SGDRegressor),
    ),
    Untuned(
        "LogisticRegression, Ridge",
        seeded(LogisticRegression),
        seeded(Ridge),
        minimises=False,
    ),
]
if find_spec("vowpalwabbit") is not None:
    ESTIMATORS.append(
        Untuned("Vowpal Wabbit", VowpalWabbit, VowpalWabbit, minimises=False)
    )


@dataclass(frozen=True)
class Run:
    """One fit.

    Attributes
    ----------
    gap : float
        The missing fraction of the way from weights of 0 to the optimum; inf after an
        error, NaN for another objective.
    n_epochs : int
    seconds : float
    score : float
        Accuracy or R2 on rows held out; NaN after an error.
    warned : bool
        Whether there was a ConvergenceWarning.
    """

    table: str
    kind: str
    seed: int
    solver: str
    gap: float
    n_epochs: int
    seconds: float
    score: float
    warned: bool


def tasks(table, seed):
    """The training problem and the held-out rows, standardised and raw."""
    problem = table.load()
    split = train_test_split(
        problem.X,
        problem.y,
        random_state=seed,
        stratify=None if problem.task == "regression" else problem.y,
    )
    X, X_test, y, y_test = split
    varies = X.std(axis=0) > 0.0
    X, X_test = (np.ascontiguousarray(part[:, varies]) for part in (X, X_test))
    scaler = StandardScaler().fit(X)
    yield "standardised", scaler.transform(X), scaler.transform(X_test), y, y_test
    yield "raw", X, X_test, y, y_test


def run_table(table, seed):
    """All solvers on a table."""
    problem = table.load()
    for kind, X, X_test, y, y_test in tasks(table, seed):
        training = replace(problem, X=X, y=y)
        lowest = lowest_objective(training, ALPHA)
        highest = objective(training, ALPHA, Zero(training))
        for solver in ESTIMATORS:
            run = partial(Run, table.name, kind, seed, solver.name)
            started = time.perf_counter()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    model = solver.make(training, seed).fit(X, y)
                except ValueError:
                    yield run(np.inf, 0, np.nan, np.nan, warned=True)
                    continue
            seconds = time.perf_counter() - started
            gap = np.nan
            if solver.minimises:
                J = objective(training, ALPHA, model)
                gap = (J - lowest) / (highest - lowest)
            with np.errstate(all="ignore"):
                score = model.score(X_test, y_test)
            warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
            n_epochs = int(np.max(getattr(model, "n_iter_", None) or 1))
            yield run(gap, n_epochs, seconds, score, warned)


class Zero:
    """The model with all weights 0."""

    def __init__(self, problem):
        self.coef_ = np.zeros((problem.n_outputs, problem.X.shape[1]))
        self.intercept_ = np.zeros(problem.n_outputs)


def run(report, effort, tables=None):
    """Write the section."""
    tables = TABLES[:: effort.stride] if tables is None else tables
    absent = sorted({table.package for table in tables if not table.is_available()})
    tables = [table for table in tables if table.is_available()]
    with one_core():
        runs = [
            run
            for table in tables
            for seed in SEEDS[: effort.repeats]
            for run in run_table(table, seed)
        ]
    report.paragraph(circumstances(effort))
    if absent:
        report.paragraph(f"Without the tables of {', '.join(absent)}.")
    report.picture(picture_of_gaps(runs), "Sorted gaps of all fits, by estimator")
    size = f"{len(tables)} tables, {len(SEEDS[: effort.repeats])} seeds"
    add_tables(report, size, runs)
    report.data(
        list(Run.__dataclass_fields__), [list(vars(run).values()) for run in runs]
    )


def add_tables(report, size, runs):
    """A table for each kind of columns."""
    for kind in KINDS:
        report.table(
            f"{kind.capitalize()} columns, {size}",
            [
                "estimator",
                "within 1%",
                "median gap",
                "worst gap",
                "worse than at the start",
                "gap above 5% without a warning",
                "time",
                "test score",
            ],
            [summary(runs, kind, solver) for solver in ESTIMATORS],
        )


def of(runs, kind, solver):
    """The runs of an estimator."""
    return [r for r in runs if (r.kind, r.solver) == (kind, solver.name)]


def summary(runs, kind, solver):
    """A line of the table."""
    ours = of(runs, kind, ESTIMATORS[0])
    theirs = of(runs, kind, solver)
    gaps = np.array([run.gap for run in theirs])
    ratios = [
        their.seconds / our.seconds
        for our, their in zip(ours, theirs, strict=True)
        if np.isfinite(their.seconds)
    ]
    scores = [np.clip(run.score, -1.0, 1.0) for run in theirs]
    quality = ["—"] * 5
    if solver.minimises:
        quality = [
            f"{np.mean(gaps <= CLOSE):.1%}",
            share(np.median(gaps)),
            share(gaps.max()),
            int(np.sum(gaps > 1.0)),
            sum(run.gap > 0.05 and not run.warned for run in theirs),
        ]
    return [
        solver.name,
        *quality,
        digits(float(np.exp(np.mean(np.log(ratios)))), 3),
        f"{np.nanmean(scores):.3f}",
    ]


def share(gap):
    """A gap in per cent, or as a power of ten if it is large."""
    return f"{gap:.2%}" if gap < 10 else f"{gap:.0e}"


def picture_of_gaps(runs):
    """Sorted gaps: the further to the right and below, the better."""
    figure = Figure(figsize=(9, 4))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        for i, solver in enumerate(ESTIMATORS):
            if not solver.minimises:
                continue
            gaps = np.sort([run.gap for run in of(runs, kind, solver)])
            shares = np.arange(1, len(gaps) + 1) / len(gaps)
            axes.step(
                np.clip(gaps, 1e-5, 1e3),
                100 * shares,
                where="post",
                color=COLOURS[i],
                linewidth=2.5 if i == 0 else 1.2,
                label=solver.name,
            )
        axes.axvline(CLOSE, color="grey", linewidth=1)
        axes.set(xscale="log", xlabel="gap to the optimum", title=f"{kind} columns")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("% of the fits with at most this gap")
    panels[0].legend(fontsize=8, loc="lower right")
    return figure
