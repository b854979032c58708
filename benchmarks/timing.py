"""How the benchmarks measure."""

import time

import numpy as np


def seconds(function):
    """Seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def seconds_per_epoch(make_estimator, X, y, epochs=(1, 6)):
    """(time of the longer fit - time of the shorter one) / difference in epochs.

    Validation of the input and all else that is done once drops out.
    """
    short, long = epochs
    times = [
        seconds(lambda n=n: make_estimator(max_iter=n, tol=None).fit(X, y))
        for n in epochs
    ]
    return (times[1] - times[0]) / (long - short)


def interleaved(measurements, repeats):
    """Run the measurements in turn, and again; medians by name.

    The speed of a shared machine drifts: what is to be compared must be measured
    side by side, over and over.
    """
    times = {name: [] for name in measurements}
    for _ in range(repeats):
        for name, measure in measurements.items():
            times[name].append(measure())
    return {name: float(np.median(values)) for name, values in times.items()}
