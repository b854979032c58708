"""Seconds per epoch on dense data, as ratios to one pass X @ w and to scikit-learn.

Run with ``python -m benchmarks.dense`` (``--repeats 3`` for a quick look). One thread.
"""

import argparse
import functools
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import SGDClassifier, SGDRegressor
from threadpoolctl import threadpool_limits

from benchmarks.problems import regression_data
from benchmarks.timing import interleaved, seconds, seconds_per_epoch
from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

SETTINGS = {"momentum": 0.9, "nesterov": True, "eta0": 1e-4, "random_state": 0}


@dataclass(frozen=True)
class Shape:
    """Size and type of X."""

    n_rows: int
    n_columns: int
    dtype: str

    def __str__(self):
        return f"{self.n_rows:,} x {self.n_columns} {self.dtype}"

    def regression(self):
        """X of this shape, and a target."""
        X, scores = regression_data(self.n_rows, self.n_columns, self.dtype)
        return X, scores[:, 0]


DOUBLE = Shape(300_000, 100, "float64")
SINGLE = Shape(300_000, 100, "float32")
NARROW = Shape(1_000_000, 20, "float64")
WIDE = Shape(30_000, 1000, "float64")
SHAPES = [DOUBLE, SINGLE, NARROW, WIDE]


# The description of shuffle in the table
ORDERS = {True: "", "blocks": ", blocks", False: ", in order"}


@dataclass(frozen=True)
class Row:
    """A row of the table, with the largest ratios that are allowed."""

    shape: Shape
    batch_size: int = 32
    shuffle: object = True
    to_product: float | None = None
    to_sklearn: float | None = None

    def __str__(self):
        return f"{self.shape}, batch_size={self.batch_size}{ORDERS[self.shuffle]}"


REGRESSIONS = [
    Row(DOUBLE, to_product=1.9, to_sklearn=0.19),
    Row(SINGLE, to_product=1.5, to_sklearn=0.10),
    Row(NARROW, to_product=2.8, to_sklearn=0.17),
    Row(WIDE, to_product=2.0),
    Row(DOUBLE, batch_size=1, to_sklearn=0.40),
    Row(DOUBLE, shuffle="blocks", to_product=1.9, to_sklearn=0.19),
    Row(SINGLE, shuffle="blocks", to_product=1.5, to_sklearn=0.10),
    Row(NARROW, shuffle="blocks", to_product=2.8, to_sklearn=0.17),
    Row(WIDE, shuffle="blocks", to_product=2.0),
    *(Row(shape, shuffle=False, to_product=1.25) for shape in SHAPES),
]


def product_with_vector(X):
    """Measurement of one pass over the data, which any method needs."""
    w = np.ones(X.shape[1], X.dtype)
    return lambda: seconds(lambda: X @ w)


def measure_all(ours, theirs, X, y):
    """Measurements of one pass over the data, and of an epoch of both estimators."""
    return {
        "product": product_with_vector(X),
        "ours": functools.partial(seconds_per_epoch, ours, X, y),
        "sklearn": functools.partial(seconds_per_epoch, theirs, X, y, epochs=(1, 3)),
    }


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
    theirs = functools.partial(
        SGDRegressor, learning_rate="constant", eta0=1e-5, random_state=0
    )
    for row in REGRESSIONS:
        X, y = row.shape.regression()
        ours = functools.partial(
            MiniBatchSGDRegressor,
            batch_size=row.batch_size,
            shuffle=row.shuffle,
            **SETTINGS,
        )
        measurements = measure_all(ours, theirs, X, y)
        report(str(row), measurements, repeats, row.to_product, row.to_sklearn)


def compare_classifications(repeats):
    """Logistic regression of two classes, and softmax against one-vs-all."""
    X, y = DOUBLE.regression()
    sklearn_settings = {"learning_rate": "constant", "eta0": 1e-5, "random_state": 0}
    theirs = functools.partial(SGDClassifier, loss="log_loss", **sklearn_settings)
    ours = functools.partial(MiniBatchSGDClassifier, **SETTINGS)
    for name, data, asked in [
        (f"{DOUBLE}, 2 classes, 32", (X, y > 0), None),
        ("100,000 x 100 float64, 10 classes, 32", ten_classes(), 0.10),
    ]:
        report(name, measure_all(ours, theirs, *data), repeats, None, asked)


def ten_classes():
    """Normal features and the best of ten linear scores."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((100_000, 100))
    return X, (X @ rng.standard_normal((100, 10))).argmax(axis=1)


def compare_batch_sizes(repeats):
    """Nanoseconds per row as the batch grows."""
    X, y = DOUBLE.regression()
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
    print(f"\nbatch_size, nanoseconds per row ({DOUBLE})")
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
