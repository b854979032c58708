"""Seconds per epoch of one thread and of two that train one model together.

Run with ``python -m benchmarks.threads`` (``--repeats 3`` for a quick look), on two or
more idle cores. X @ w has one thread.
"""

import argparse
import functools
import warnings

from threadpoolctl import threadpool_limits

from benchmarks.dense import (
    ORDERS,
    SETTINGS,
    SHAPES,
    product_with_vector,
    ten_classes,
)
from benchmarks.timing import interleaved, seconds_per_epoch
from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

BATCH_SIZES = (32, 128, 256, 1024, 4096, "full")
BATCH_SIZES_OF_OTHER_ORDERS = (32, 128, 1024)


def compare(name, kind, X, y, repeats, batch_sizes=BATCH_SIZES, shuffle=True):
    """Print a row for each batch size."""
    for batch_size in batch_sizes:
        measurements = {
            n_jobs: functools.partial(
                seconds_per_epoch,
                functools.partial(
                    kind,
                    batch_size=batch_size,
                    shuffle=shuffle,
                    n_jobs=n_jobs,
                    **SETTINGS,
                ),
                X,
                y,
                epochs=(1, 11),
            )
            for n_jobs in (1, 2)
        }
        medians = interleaved(
            {"product": product_with_vector(X), **measurements}, repeats
        )
        one, two, product = medians[1], medians[2], medians["product"]
        print(
            f"{name + ORDERS[shuffle]:<34}{batch_size:>6} "
            f"{one * 1e3:8.1f} ms {two * 1e3:8.1f} ms {one / two:8.2f} "
            f"{one / product:8.2f} {two / product:8.2f}",
            flush=True,
        )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    print(
        f"{'':34}{'batch':>6} {'1 thread':>11} {'2 threads':>11} {'faster':>8} "
        f"{'1 to X @ w':>8} {'2 to X @ w':>8}"
    )
    with threadpool_limits(1):
        for shape in SHAPES:
            data = MiniBatchSGDRegressor, *shape.regression()
            compare(str(shape), *data, repeats)
            for shuffle in ("blocks", False):
                compare(
                    str(shape), *data, repeats, BATCH_SIZES_OF_OTHER_ORDERS, shuffle
                )
        name = "100,000 x 100, 10 classes"
        compare(name, MiniBatchSGDClassifier, *ten_classes(), repeats)


if __name__ == "__main__":
    main()
