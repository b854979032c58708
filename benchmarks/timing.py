"""How the benchmarks measure."""

import contextlib
import math
import os
import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

# A difference of two times must be at least this long, in seconds, to exceed the noise.
SHORTEST_DIFFERENCE = 0.8
MOST_EPOCHS = 1000
FEWEST_ROWS = 100


def seconds(function):
    """Seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def seconds_per_epoch(make_estimator, X, y, epochs=(1, 6)):
    """(time of the longer fit - time of the shorter one) / difference in epochs.

    Validation of the input, and everything else that is done once, cancels out.
    """
    return difference_per_epoch(
        lambda n: make_estimator(max_iter=n, tol=None).fit(X, y), epochs
    )


def difference_per_epoch(run, epochs):
    """(time of the longer run - time of the shorter one) / difference in epochs.

    There is a first run that is not timed. The system may have to allocate memory for
    it, which can take longer than the training, and reuses it for the other two.
    """
    short, long = epochs
    run(short)
    times = [seconds(lambda n=n: run(n)) for n in epochs]
    return (times[1] - times[0]) / (long - short)


def seconds_between_epochs(make_estimator, X, y, rate, n_epochs=40):
    """Median time from the beginning of an epoch to that of the next, within one fit.

    The estimator gets a constant learning rate, as a function that records the time.
    For a model of many columns the system has to allocate and clear memory. This takes
    as long as many epochs, and varies so much that the difference of two fits mainly
    shows this.
    """
    beginnings = []

    def learning_rate(epoch):
        beginnings.append(time.perf_counter())
        return rate

    settings = {"learning_rate": learning_rate, "max_iter": n_epochs, "tol": None}
    make_estimator(**settings).fit(X, y)
    return float(np.median(np.diff(beginnings)))


def interleaved_times(measurements, repeats):
    """Run the measurements alternately, several times; return their results by name.

    The speed of a shared machine drifts, so measurements that are compared must be
    interleaved and repeated.
    """
    times = {name: [] for name in measurements}
    for _ in range(repeats):
        for name, measure in measurements.items():
            times[name].append(measure())
    return {name: np.array(values) for name, values in times.items()}


def interleaved(measurements, repeats):
    """Medians of interleaved measurements, by name."""
    times = interleaved_times(measurements, repeats)
    return {name: float(np.median(values)) for name, values in times.items()}


@contextlib.contextmanager
def one_core():
    """Keep the process on one core, and its libraries to one thread.

    This also limits libraries that have no setting for the number of threads.
    """
    if not hasattr(os, "sched_setaffinity"):  # Linux only
        with threadpool_limits(1):
            yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        with threadpool_limits(1):
            yield
    finally:
        os.sched_setaffinity(0, cores)


@dataclass(frozen=True)
class Plan:
    """How a peer is measured on a problem within a budget of seconds."""

    run: object
    epochs: tuple
    scale: float

    def seconds_per_epoch(self):
        """One measurement, scaled to all rows."""
        return self.scale * difference_per_epoch(self.run, self.epochs)


def plan_measurement(peer, problem, seconds_each):
    """Epochs, and rows if all would take too long, for measurements of some seconds.

    Short runs, first on few rows and then on more, show how long a run takes.
    """
    n_rows = problem.X.shape[0]
    most_rows = min(n_rows, int(peer.largest_input / (problem.size / n_rows)))
    rows = min(most_rows, max(FEWEST_ROWS, 4 * problem.batch_size))
    run = peer.prepare(problem.head(rows))
    run(1)
    while rows < most_rows and seconds(lambda run=run: run(3)) < seconds_each / 10:
        rows = min(most_rows, 8 * rows)
        run = peer.prepare(problem.head(rows))
        run(1)
    # A difference of short runs can be close to 0, or negative.
    epoch = max(difference_per_epoch(run, (1, 3)), 1e-6)

    # A measurement needs at least a run of one epoch and a run of two.
    affordable = min(most_rows, int(seconds_each / 3 / epoch * rows))
    if affordable > rows:
        epoch *= affordable / rows
        rows = affordable if affordable == most_rows else round_down(affordable)
        run = peer.prepare(problem.head(rows))
    if 6 * epoch > seconds_each:
        epochs = (1, 2)
    else:
        epochs = (1, 1 + enough_epochs(run, seconds_each))
    return Plan(run, epochs, n_rows / rows)


def enough_epochs(run, seconds_each):
    """Enough epochs to exceed the noise, within the time limit."""
    shortest = min(SHORTEST_DIFFERENCE, seconds_each / 2)
    n_epochs = 5
    while n_epochs < MOST_EPOCHS:
        epoch = difference_per_epoch(run, (1, 1 + n_epochs))
        if n_epochs * epoch >= shortest:
            return max(1, min(n_epochs, int(seconds_each / epoch) - 2))
        n_epochs *= 3
    return MOST_EPOCHS


def round_down(number):
    """The number, with one digit that is not 0."""
    power = 10 ** math.floor(math.log10(number))
    return int(number // power * power)
