"""The problems to learn: made-up data of any shape, and real data."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array, issparse


@dataclass(frozen=True)
class Problem:
    """Data and the task to learn from them.

    Attributes
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
    y : array of shape (n_samples,) or (n_samples, n_outputs)
        Real numbers, booleans ("binary"), or classes 0, 1, ... ("multiclass").
    task : {"regression", "binary", "multiclass", "multioutput"}
    n_outputs : int
        Columns of the decision function.
    batch_size : int
    """

    X: object
    y: np.ndarray
    task: str
    n_outputs: int = 1
    batch_size: int = 32

    @property
    def size(self):
        """The number of values, which are the non-zeros of a CSR matrix."""
        return self.X.nnz if issparse(self.X) else self.X.size

    def head(self, n_rows):
        """The problem with only the first rows."""
        if n_rows >= self.X.shape[0]:
            return self
        y = self.y[:n_rows].copy()
        if self.task == "multiclass":
            y = with_every_class(y, self.n_outputs)
        return replace(self, X=self.X[:n_rows], y=y)

    def output_columns(self):
        """The targets with one column for each output, one-hot for classes."""
        if self.task == "multiclass":
            return np.eye(self.n_outputs, dtype=np.float32)[self.y]
        return self.y.reshape(len(self.y), -1)


def regression_data(n_rows, n_columns, dtype, n_targets=1):
    """Normal features, linear targets."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_columns), dtype=np.float32).astype(dtype)
    scores = X @ rng.standard_normal((n_columns, n_targets)).astype(dtype)
    return X, scores.astype(np.float64)


def zipf_data(n_columns, n_rows, non_zeros=40):
    """CSR matrix whose columns follow Zipf's law, in no order; scores of each row."""
    rng = np.random.default_rng(0)
    probabilities = 1.0 / np.arange(1, n_columns + 1)
    cumulated = np.cumsum(probabilities / probabilities.sum())
    draws = np.searchsorted(cumulated, rng.random(n_rows * non_zeros))
    columns = rng.permutation(n_columns)[np.minimum(draws, n_columns - 1)]
    values = rng.standard_normal(len(columns))
    indptr = np.arange(0, len(columns) + 1, non_zeros)
    # scikit-learn's SGD accepts only indices of 32 bits.
    indices, indptr = columns.astype(np.int32), indptr.astype(np.int32)
    X = csr_array((values, indices, indptr), shape=(n_rows, n_columns))
    X.sum_duplicates()
    return X, X @ rng.standard_normal((n_columns, 1))[:, 0]


def dense_problem(n_rows, n_columns, dtype="float64", task="regression", **settings):
    """Normal features; targets, or classes, that are determined by linear scores."""
    X, scores = regression_data(n_rows, n_columns, dtype, settings.get("n_outputs", 1))
    match task:
        case "regression":
            y = scores[:, 0]
        case "multioutput":
            y = scores
        case "binary":
            y = scores[:, 0] > 0
        case "multiclass":
            y = with_every_class(scores.argmax(axis=1), scores.shape[1])
    return Problem(X, y, task, **settings)


def sparse_problem(n_rows, n_columns, non_zeros=40, task="binary", **settings):
    """Rows like those of texts; classes that are determined by linear scores."""
    X, scores = zipf_data(n_columns, n_rows, non_zeros)
    n_outputs = settings.get("n_outputs", 1)
    if task == "binary":
        y = scores > 0
    else:
        levels = np.arange(1, n_outputs) / n_outputs
        y = with_every_class(
            np.digitize(scores, np.quantile(scores, levels)), n_outputs
        )
    return Problem(X, y, task, **settings)


def with_every_class(y, n_classes):
    """The labels, changed in the first rows so that no class is missing."""
    y[:n_classes] = np.arange(n_classes)
    return y
