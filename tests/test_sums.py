"""Sums over a batch: as exact as their type allows, for any number of rows.

The first update of a full batch changes weights and intercepts by the sums over all
rows.
Equal rows are the hard case: their rounding errors all have the same sign.
"""

import numpy as np
import pytest

from skmbsgd import MiniBatchSGDRegressor, _threads
from skmbsgd._engine.team import Team

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROW = np.array([0.3, -1.7])
TARGETS = np.array([0.7, -1.1, 2.3])


@pytest.fixture
def team_sizes(monkeypatch):
    """Let two threads share any data; list the teams that are formed."""
    sizes = []

    def form_team(n_threads, bytes_of_buffer):
        sizes.append(n_threads)
        return Team(n_threads, bytes_of_buffer)

    monkeypatch.setattr(_threads, "Team", form_team)
    monkeypatch.setattr(_threads, "cpu_count", lambda: 2)
    monkeypatch.setattr(_threads, "LEAST_SHARE_OF_EPOCH", 1e-9)
    monkeypatch.setattr(_threads, "LEAST_SHARE_OF_BATCH", 0)
    monkeypatch.setattr(_threads, "LEAST_ROWS", {"one output": 1e-3, "several": 1e-3})
    return sizes


def first_steps(X, y, n_jobs, max_iter=1):
    """Weights and intercepts after full batches, from zero with a rate of 1."""
    model = MiniBatchSGDRegressor(
        eta0=1.0,
        learning_rate="constant",
        penalty=None,
        momentum=0.0,
        batch_size="full",
        max_iter=max_iter,
        tol=None,
        n_jobs=n_jobs,
    ).fit(X, y)
    assert model.coef_.dtype == X.dtype
    coef = np.atleast_2d(model.coef_).astype(float)
    return coef, model.intercept_.astype(float), model.loss_curve_


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-9)]
)
def test_a_million_equal_rows_move_as_one(
    dtype, tolerance, n_outputs, n_jobs, team_sizes
):
    row, targets = ROW.astype(dtype), TARGETS[:n_outputs]
    X = np.tile(row, (1_000_000, 1))
    y = np.tile(targets, (1_000_000, 1)).squeeze()
    coef, intercept, losses = first_steps(X, y, n_jobs)
    np.testing.assert_allclose(
        coef, np.outer(targets, row.astype(float)), rtol=tolerance
    )
    np.testing.assert_allclose(intercept, targets, rtol=tolerance)
    np.testing.assert_allclose(losses, np.sum(targets**2) / 2, rtol=1e-9)
    assert team_sizes == [2] * (n_jobs - 1)


# Just below, at and above one part and two parts, and some
@pytest.mark.parametrize("n_rows", [255, 256, 257, 512, 513, 5_000, 50_001])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_random_rows_are_those_of_float64(dtype, n_outputs, n_rows, team_sizes):
    rng = np.random.default_rng(0)
    # The means of X and y are not near 0, where a relative error would say little.
    X = rng.normal(1.0, 0.5, size=(n_rows, 5)).astype(dtype)
    y = rng.normal(1.0, 0.5, size=(n_rows, n_outputs))
    exact = y.T @ X.astype(float) / n_rows
    tolerance = 1e-6 if dtype is np.float32 else 1e-12
    for n_jobs in (1, 2):
        coef, intercept, losses = first_steps(X, y.squeeze(), n_jobs)
        np.testing.assert_allclose(coef, exact, rtol=tolerance)
        np.testing.assert_allclose(intercept, y.mean(axis=0), rtol=tolerance)
        np.testing.assert_allclose(losses, np.mean(np.sum(y**2, axis=1)) / 2)
    assert team_sizes == [2]


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_nothing_is_left_of_one_batch_in_the_next(n_outputs, team_sizes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 5)).astype(np.float32) / 2
    y = rng.normal(1.0, 0.5, size=(3_000, n_outputs))
    coef, intercept = np.zeros((n_outputs, 5)), np.zeros(n_outputs)
    for _ in range(4):
        errors = X.astype(float) @ coef.T + intercept - y
        coef -= errors.T @ X / len(X)
        intercept -= errors.mean(axis=0)
    for n_jobs in (1, 2):
        learnt = first_steps(X, y.squeeze(), n_jobs, max_iter=4)
        np.testing.assert_allclose(learnt[0], coef, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(learnt[1], intercept, rtol=1e-5, atol=1e-6)
    assert team_sizes == [2]
