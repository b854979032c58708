"""Seconds per epoch on dense data, as ratios to one pass X @ w and to scikit-learn.

Run with ``python -m benchmarks.dense`` (``--repeats 3`` for a quick look). One thread.
"""

import argparse
import functools
import warnings

import numpy as np
from sklearn.linear_model import SGDClassifier, SGDRegressor
from threadpoolctl import threadpool_limits

from benchmarks.problems import regression_data
from benchmarks.timing import interleaved, seconds, seconds_per_epoch
from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

SETTINGS = {"momentum": 0.9, "nesterov": True, "eta0": 1e-4, "random_state": 0}

# rows, columns, type, batch_size, shuffle; then the largest ratios to X @ w and to
# scikit-learn that are asked for
REGRESSIONS = [
    (300_000, 100, "float64", 32, True, 1.9, 0.19),
    (300_000, 100, "float32", 32, True, 1.5, 0.10),
    (1_000_000, 20, "float64", 32, True, 2.8, 0.17),
    (30_000, 1000, "float64", 32, True, 2.0, None),
    (300_000, 100, "float64", 1, True, None, 0.40),
    (300_000, 100, "float64", 32, "blocks", 1.9, 0.19),
    (300_000, 100, "float32", 32, "blocks", 1.5, 0.10),
    (1_000_000, 20, "float64", 32, "blocks", 2.8, 0.17),
    (30_000, 1000, "float64", 32, "blocks", 2.0, None),
    (300_000, 100, "float64", 32, False, 1.25, None),
    (300_000, 100, "float32", 32, False, 1.25, None),
    (1_000_000, 20, "float64", 32, False, 1.25, None),
    (30_000, 1000, "float64", 32, False, 1.25, None),
]
# What the rows of the table say of shuffle
ORDERS = {True: "", "blocks": ", blocks", False: ", in order"}


def product_with_vector(X):
    """Measurement of the pass over the data that any method needs."""
    w = np.ones(X.shape[1], X.dtype)
    return lambda: seconds(lambda: X @ w)


def report(name, measurements, repeats, asked_product, asked_sklearn):
    """Print one row of the table."""
    medians = interleaved(measurements, repeats)
    ours, product = medians["ours"], medians["product"]
    to_product = f"{ours / product:6.2f}"
    to_sklearn = f"{ours / medians['sklearn']:6.3f}"
    print(
        f"{name:<48} {ours * 1e3:8.1f} ms {product * 1e3:7.1f} ms "
        f"{to_product} ({asked_product or '-'})  {to_sklearn} ({asked_sklearn or '-'})",
        flush=True,
    )


def compare_regressions(repeats):
    """The regression rows of the table."""
    for row in REGRESSIONS:
        n, d, dtype, batch_size, shuffle, asked_product, asked_sklearn = row
        X, scores = regression_data(n, d, dtype)
        y = scores[:, 0]
        ours = functools.partial(
            MiniBatchSGDRegressor,
            batch_size=batch_size,
            shuffle=shuffle,
            **SETTINGS,
        )
        theirs = functools.partial(
            SGDRegressor, learning_rate="constant", eta0=1e-5, random_state=0
        )
        measurements = {
            "product": product_with_vector(X),
            "ours": lambda X=X, y=y, ours=ours: seconds_per_epoch(ours, X, y),
            "sklearn": lambda X=X, y=y, theirs=theirs: seconds_per_epoch(
                theirs, X, y, epochs=(1, 3)
            ),
        }
        name = f"{n:,} x {d} {dtype}, batch_size={batch_size}{ORDERS[shuffle]}"
        report(name, measurements, repeats, asked_product, asked_sklearn)


def compare_classifications(repeats):
    """Logistic regression of two classes, and softmax against one-vs-all."""
    X, scores = regression_data(300_000, 100, "float64")
    y = scores[:, 0]
    sklearn_settings = {"learning_rate": "constant", "eta0": 1e-5, "random_state": 0}
    theirs = functools.partial(SGDClassifier, loss="log_loss", **sklearn_settings)
    ours = functools.partial(MiniBatchSGDClassifier, **SETTINGS)
    for name, data, asked in [
        ("300,000 x 100 float64, 2 classes, 32", (X, y > 0), None),
        ("100,000 x 100 float64, 10 classes, 32", ten_classes(), 0.10),
    ]:
        measurements = {
            "product": product_with_vector(data[0]),
            "ours": functools.partial(seconds_per_epoch, ours, *data),
            "sklearn": functools.partial(
                seconds_per_epoch, theirs, *data, epochs=(1, 3)
            ),
        }
        report(name, measurements, repeats, None, asked)


def ten_classes():
    """Normal features and the best of ten linear scores."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((100_000, 100))
    return X, (X @ rng.standard_normal((100, 10))).argmax(axis=1)


def compare_batch_sizes(repeats):
    """Nanoseconds per row as the batch grows."""
    X, scores = regression_data(300_000, 100, "float64")
    y = scores[:, 0]
    measurements = {
        batch_size: functools.partial(
            seconds_per_epoch,
            functools.partial(MiniBatchSGDRegressor, batch_size=batch_size, **SETTINGS),
            X,
            y,
        )
        for batch_size in (1, 2, 4, 8, 16, 32, 64, 128, 512, 1024, 4096)
    }
    medians = interleaved(measurements, repeats)
    print("\nbatch_size, nanoseconds per row (300,000 x 100 float64)")
    for batch_size, epoch in medians.items():
        print(f"{batch_size:>10} {epoch / len(X) * 1e9:8.1f}", flush=True)


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    print(f"{'':48} {'epoch':>11} {'X @ w':>10}  ratio (asked)  to sklearn (asked)")
    with threadpool_limits(1):
        compare_regressions(repeats)
        compare_classifications(repeats)
        compare_batch_sizes(repeats)


if __name__ == "__main__":
    main()
