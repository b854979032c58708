"""Seconds per epoch on CSR data, as ratios to scikit-learn's SGD without momentum.

Run with ``python -m benchmarks.sparse`` (``--repeats 3`` for a quick look). One thread.
The rows have about 40 non-zeros in columns drawn from Zipf's law, as words are.
"""

import argparse
import functools
import warnings

import numpy as np
from sklearn.linear_model import SGDClassifier
from threadpoolctl import threadpool_limits

from benchmarks.problems import zipf_data
from benchmarks.timing import interleaved, seconds_between_epochs, seconds_per_epoch
from skmbsgd import MiniBatchSGDClassifier

N_ROWS = 100_000
ETA0 = 0.01

NESTEROV = {"momentum": 0.9, "nesterov": True}
# name, parameters, largest ratio allowed
SETTINGS = [
    ("no momentum, L2", {"momentum": 0.0}, 1.1),
    ("Nesterov 0.9, L2, constant rate", NESTEROV, 1.4),
    (
        "Nesterov 0.9, L2, per-update decay",
        {**NESTEROV, "decay": 1e-4, "decay_unit": "update"},
        1.6,
    ),
    ("Nesterov 0.9, L1", {**NESTEROV, "penalty": "l1"}, 1.0),
    ("Nesterov 0.9, elastic net", {**NESTEROV, "penalty": "elasticnet"}, 1.3),
    ("Nesterov 0.9, L2, averaged", {**NESTEROV, "average": True}, 2.0),
]


def ours(**parameters):
    """Measured estimator: log_loss, batches of 32."""
    return functools.partial(
        MiniBatchSGDClassifier, eta0=ETA0, random_state=0, **parameters
    )


def theirs():
    """The estimator that it is compared with."""
    return functools.partial(
        SGDClassifier,
        loss="log_loss",
        learning_rate="constant",
        eta0=ETA0,
        random_state=0,
    )


def compare_settings(repeats):
    """The rows of the table with two classes, and softmax."""
    X, scores = zipf_data(2**20, N_ROWS)
    y = scores > 0
    measurements = {
        name: functools.partial(seconds_per_epoch, ours(**parameters), X, y)
        for name, parameters, _ in SETTINGS
    }
    measurements["sklearn"] = functools.partial(
        seconds_per_epoch, theirs(), X, y, epochs=(1, 4)
    )
    medians = interleaved(measurements, repeats)
    print(f"scikit-learn, L2, no momentum: {medians['sklearn'] * 1e3:.1f} ms per epoch")
    for name, _, asked in SETTINGS:
        print(
            f"{name:<40} {medians[name] * 1e3:8.1f} ms "
            f"{medians[name] / medians['sklearn']:6.2f} ({asked})",
            flush=True,
        )


def compare_softmax(repeats):
    """Ten classes: one pass of softmax against ten passes one-vs-all."""
    X, scores = zipf_data(2**20, N_ROWS)
    y = np.digitize(scores, np.quantile(scores, np.arange(1, 10) / 10))
    medians = interleaved(
        {
            "ours": functools.partial(seconds_per_epoch, ours(**NESTEROV), X, y),
            "sklearn": functools.partial(
                seconds_per_epoch, theirs(), X, y, epochs=(1, 2)
            ),
        },
        repeats,
    )
    print(
        f"{'10-class softmax, Nesterov 0.9, L2':<40} {medians['ours'] * 1e3:8.1f} ms "
        f"{medians['ours'] / medians['sklearn']:6.2f} (0.4 of its ten passes)",
        flush=True,
    )


def compare_with_dense_updates(repeats):
    """The same rows with updates of all coordinates at each step."""
    X, scores = zipf_data(2**20, 320)
    y = scores > 0
    full = functools.partial(seconds_per_epoch, ours(**NESTEROV))
    medians = interleaved(
        {
            "lazy": functools.partial(full, *zipf_data_labels(2**20)),
            "dense": functools.partial(full, X.toarray(), y),
        },
        repeats,
    )
    per_row = medians["dense"] / X.shape[0] / (medians["lazy"] / N_ROWS)
    print(f"{'dense updates of w and v, per row':<40} {per_row:14.0f} times (50)")


def zipf_data_labels(n_columns):
    """The data with two classes."""
    X, scores = zipf_data(n_columns, N_ROWS)
    return X, scores > 0


def compare_columns(repeats):
    """The time of an epoch as the number of columns grows, with the same non-zeros."""
    measurements = {}
    for power in (18, 20, 22, 24):
        X, y = zipf_data_labels(2**power)
        measurements[power] = functools.partial(
            seconds_between_epochs, ours(**NESTEROV), X, y, ETA0
        )
    medians = interleaved(measurements, repeats)
    print("\nlog2(columns), milliseconds per epoch, ratio to 2^18")
    for power, median in medians.items():
        print(f"{power:>6} {median * 1e3:10.1f} {median / medians[18]:8.2f}")


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        compare_settings(repeats)
        compare_softmax(repeats)
        compare_with_dense_updates(repeats)
        compare_columns(repeats)


if __name__ == "__main__":
    main()
