"""Seconds until the objective is close to its optimum."""

import functools
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.objective import find_optimum, gradient_norm, objective
from benchmarks.real_data import REAL_PROBLEMS
from benchmarks.report import circumstances, digits, picture_of_curves, with_spread
from benchmarks.solvers import solvers_for
from benchmarks.timing import interleaved_times, one_core, seconds

LEVELS = [1e-2, 1e-3, 1e-4]
# Numbers of iterations, each about half as many again as the one before
ITERATIONS = sorted({round(2 ** (k / 2)) for k in range(28)})
# Fits longer than this are not repeated.
LONGEST_REPEATED = 3.0


@dataclass
class Curve:
    """The times and objectives of fits with more and more iterations."""

    setting: str
    iterations: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    objectives: list = field(default_factory=list)

    def best(self):
        """The lowest objective."""
        return min(self.objectives, default=np.inf)

    def first_within(self, bound):
        """Position of the first fit whose objective is at most the bound, or None."""
        return next((i for i, J in enumerate(self.objectives) if J <= bound), None)

    def merit(self, bounds):
        """The sort key: levels reached, then the time to the last one, then J."""
        reached = [self.first_within(bound) for bound in bounds]
        reached = [i for i in reached if i is not None]
        spent = self.seconds[reached[-1]] if reached else np.inf
        return -len(reached), spent, self.best()


@dataclass(frozen=True)
class Task:
    """A problem with its objective, and the values of it to reach."""

    problem: object
    alpha: float
    optimum: float
    bounds: list

    @classmethod
    def of(cls, problem, alpha, model):
        """The levels are relative to the optimum, at which the model is."""
        optimum = objective(problem, alpha, model)
        return cls(problem, alpha, optimum, [optimum * (1 + e) for e in LEVELS])

    def fit(self, solver, setting, n_iterations):
        """A fitted model; None if training diverges."""
        parameters = solver.settings[setting]
        model = solver.make(self.problem, self.alpha, n_iterations, **parameters)
        try:
            return model.fit(self.problem.X, self.problem.y)
        except ValueError:  # divergence
            return None


def extend(curve, task, solver, budget):
    """Fit with more and more iterations, to the end or until the time is up.

    Returns the seconds spent.
    """
    spent = 0.0
    for n in ITERATIONS[len(curve.iterations) :]:
        # The next fit will take about half as long again as the last one.
        if curve.seconds and spent + 1.5 * curve.seconds[-1] > budget:
            break
        start = time.perf_counter()
        model = task.fit(solver, curve.setting, n)
        elapsed = time.perf_counter() - start
        spent += elapsed
        if model is None:
            break
        curve.iterations.append(n)
        curve.seconds.append(elapsed)
        curve.objectives.append(objective(task.problem, task.alpha, model))
        if curve.objectives[-1] <= task.bounds[-1] or solver.is_direct:
            break
    return spent


@dataclass
class Outcome:
    """The results of a solver.

    Attributes
    ----------
    solver : Solver
    curve : Curve
        The curve of its best setting.
    seconds_of_search : float
        The time for the whole grid.
    times : dict of arrays
        Seconds of each repeat until each level that was reached.
    """

    solver: object
    curve: Curve
    seconds_of_search: float
    times: dict = field(default_factory=dict)


def search(task, solver, budget):
    """The outcome with the best setting of the grid."""
    spent, curves = 0.0, []
    for done, setting in enumerate(solver.settings):
        curve = Curve(setting)
        share = (budget - spent) / (len(solver.settings) - done)
        spent += extend(curve, task, solver, share)
        curves.append(curve)
    best = min(curves, key=lambda curve: curve.merit(task.bounds))
    if best.iterations and best.best() > task.bounds[-1] and not solver.is_direct:
        spent += extend(best, task, solver, budget)
    return Outcome(solver, best, spent)


def repeat(task, outcomes, repeats):
    """Time the shortest fits that reach the levels, in turn; equal fits once."""
    measurements = {}
    for outcome in outcomes:
        curve = outcome.curve
        for level, bound in zip(LEVELS, task.bounds, strict=True):
            i = curve.first_within(bound)
            if i is None:
                continue
            outcome.times[level] = np.array([curve.seconds[i]])
            if curve.seconds[i] < LONGEST_REPEATED:
                fit = functools.partial(
                    task.fit, outcome.solver, curve.setting, curve.iterations[i]
                )
                measure = functools.partial(seconds, fit)
                measurements[outcome.solver.name, i] = measure
    times = interleaved_times(measurements, repeats)
    for outcome in outcomes:
        for level, bound in zip(LEVELS, task.bounds, strict=True):
            i = outcome.curve.first_within(bound)
            if (outcome.solver.name, i) in times:
                outcome.times[level] = times[outcome.solver.name, i]


def run(report, effort, names=None):
    """Measure, and write the piece."""
    report.paragraph(circumstances(effort))
    victories, rows = [], []
    for name in names or REAL_PROBLEMS:
        source = REAL_PROBLEMS[name]
        if not source.is_available():
            report.paragraph(f"**{source.title}**: {source.package} is not installed.")
            continue
        problem = source.make(effort.cut(source.n_rows, source.values_per_row))
        with one_core():
            model = find_optimum(problem, source.alpha)
            task = Task.of(problem, source.alpha, model)
            outcomes = [
                search(task, solver, effort.seconds_to_search)
                for solver in solvers_for(problem)
            ]
            repeat(task, outcomes, effort.repeats)
        describe(report, source, task, model)
        report.picture(
            picture_of_curves(curves(outcomes, task), "seconds", "J / optimum - 1"),
            f"Distance from the optimum against seconds: {source.title}",
            f"_{name}",
        )
        report.table(
            f"{source.title}: seconds to reach a relative gap of",
            ["solver", "best setting", *map("{:g}".format, LEVELS), "search, s"],
            [table_row(outcome, task) for outcome in outcomes],
        )
        victories += victories_on(source, outcomes)
        rows += measurements(name, outcomes, task)
    report.better_peers(victories)
    header = ["problem", "solver", "setting", "iterations", "seconds", "relative_gap"]
    report.data(header, rows)


def describe(report, source, task, model):
    """The problem, its optimum, and how exactly the optimum is known."""
    n_rows, n_columns = task.problem.X.shape
    norm = gradient_norm(task.problem, task.alpha, model)
    report.paragraph(
        f"**{source.title}**: {n_rows:,} rows, {n_columns:,} columns, alpha = "
        f"{task.alpha:g}. The optimum is {task.optimum:.8g}; the norm of the gradient "
        f"there is {norm:.1e}."
    )


def table_row(outcome, task):
    """Times to the levels, or the gap that was reached instead."""
    n_settings = len(outcome.solver.settings)
    gap = outcome.curve.best() / task.optimum - 1
    cells = [
        with_spread(outcome.times[level], unit=1.0)
        if level in outcome.times
        else f"({gap:.1e} reached)"
        for level in LEVELS
    ]
    search = f"{digits(outcome.seconds_of_search, 2)} ({n_settings} settings)"
    return [
        outcome.solver.name,
        outcome.curve.setting or "—",
        *cells,
        search if n_settings > 1 else "—",
    ]


def curves(outcomes, task):
    """Seconds and distances from the optimum, by solver."""
    return {
        outcome.solver.name: (
            outcome.curve.seconds,
            # Rounding errors can put some slightly below the optimum.
            [max(J / task.optimum - 1, 1e-12) for J in outcome.curve.objectives],
        )
        for outcome in outcomes
    }


def victories_on(source, outcomes):
    """The cases in which another solver was faster, or ours did not reach the level."""
    ours, *others = outcomes
    victories = []
    for other in others:
        for level, times in other.times.items():
            where = f"{source.title}, {level:g}"
            if level not in ours.times:
                ratio = None
            else:
                ratio = np.median(times) / np.median(ours.times[level])
            if ratio is None or ratio < 1:
                strength = other.solver.strength
                victories.append((other.solver.name, strength, where, ratio))
    return victories


def measurements(name, outcomes, task):
    """Rows for Report.data."""
    return [
        [
            name,
            outcome.solver.name,
            outcome.curve.setting,
            n_iterations,
            f"{elapsed:.4g}",
            f"{J / task.optimum - 1:.3e}",
        ]
        for outcome in outcomes
        for n_iterations, elapsed, J in zip(
            outcome.curve.iterations,
            outcome.curve.seconds,
            outcome.curve.objectives,
            strict=True,
        )
    ]
