"""Peak memory of a fit beyond its input. Run with ``python -m benchmarks.memory``."""

import resource
import warnings

import numpy as np

from skmbsgd import MiniBatchSGDRegressor

N_ROWS, N_COLUMNS = 875_000, 100


def peak_megabytes():
    """The largest resident size of this process so far (Linux: in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main():
    """Fit on an array of 700 MB in several ways; print by how much the peak rose."""
    warnings.simplefilter("ignore")
    X = np.ones((N_ROWS, N_COLUMNS))
    X[:, 0] = np.linspace(-1.0, 1.0, N_ROWS)
    y = X[:, 0].copy()
    print(f"X: {X.nbytes / 1e6:.0f} MB; order of rows: {4 * N_ROWS / 1e6:.1f} MB")
    for name, settings in [
        ("batch_size=32, shuffled", {}),
        ("batch_size='full'", {"batch_size": "full"}),
        ("early_stopping=True", {"early_stopping": True}),
    ]:
        before = peak_megabytes()
        model = MiniBatchSGDRegressor(
            max_iter=2, tol=None, eta0=1e-4, random_state=0, **settings
        )
        model.fit(X, y)
        print(f"{name:<26} peak + {peak_megabytes() - before:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
