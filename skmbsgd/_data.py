"""Validated arrays, and which of their rows take part."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skmbsgd._engine.csr_rows import CSRRows
from skmbsgd._engine.row_order import BlockOrder, RowOrder
from skmbsgd._engine.rows import dense_rows
from skmbsgd._engine.targets import ClassTargets, RealTargets, Targets


@dataclass
class TrainingData:
    """Validated data in the form that the engine takes.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    y : ndarray
        Class numbers of shape (n_samples,), or numbers of shape
        (n_samples, n_outputs).
    targets : Targets
        The same for the engine.
    sample_weight : ndarray of shape (n_samples,) or None
    rows : ndarray of uint32 or None
        The rows that take part; None for all.
    """

    X: Any
    y: np.ndarray
    targets: Targets
    sample_weight: np.ndarray | None = None
    rows: np.ndarray | None = None

    @classmethod
    def of_numbers(cls, X, y, sample_weight):
        """Data of a regression, y of shape (n_samples, n_outputs)."""
        return cls(X, y, RealTargets(y)).with_weights(sample_weight)

    @classmethod
    def of_classes(cls, X, labels, n_classes, sample_weight):
        """Data of a classification, labels in range(n_classes)."""
        return cls(X, labels, ClassTargets(labels, n_classes)).with_weights(
            sample_weight
        )

    @property
    def n_rows(self):
        """Number of rows that take part."""
        return self.X.shape[0] if self.rows is None else len(self.rows)

    @property
    def n_outputs(self):
        """Number of decisions for each row."""
        return self.targets.n_outputs

    def subset(self, rows):
        """The same data with only these rows taking part."""
        return replace(self, rows=np.asarray(rows, dtype=np.uint32))

    def parts(self, n_rows):
        """The same data in parts of `n_rows` rows each."""
        rows = np.arange(self.n_rows) if self.rows is None else self.rows
        for start in range(0, len(rows), n_rows):
            yield self.subset(rows[start : start + n_rows])

    def select(self, values):
        """The entries of a per-sample array that belong to the rows taking part."""
        return values if self.rows is None or values is None else values[self.rows]

    def target_matrix(self):
        """Targets of the rows taking part, a column per output; classes as -1 and 1."""
        y = self.select(self.y)
        if y.ndim == 2:
            return y
        first = 1 if self.n_outputs == 1 else 0  # two classes share one output
        classes = np.arange(first, first + self.n_outputs)
        return np.where(y[:, None] == classes, 1.0, -1.0)

    def weights(self):
        """Weights of the rows taking part."""
        if self.sample_weight is None:
            return np.broadcast_to(1.0, self.n_rows)  # takes no memory
        return self.select(self.sample_weight)

    def distributions(self):
        """For each output, its targets and their weights."""
        y, weights = self.select(self.y), self.weights()
        if y.ndim == 2:
            if self.sample_weight is not None:
                present = weights > 0.0
                y, weights = y[present], weights[present]
            for targets in y.T:
                yield np.ascontiguousarray(targets), weights
            return
        n_classes = max(2, self.n_outputs)
        totals = np.bincount(y, weights, n_classes)
        for positive in totals[1:] if self.n_outputs == 1 else totals:
            negative = totals.sum() - positive
            yield np.array([-1.0, 1.0]), np.array([negative, positive])

    def with_weights(self, sample_weight):
        """The same data with other weights, which are None if all are 1."""
        if sample_weight is None and self.sample_weight is None:
            return self
        if sample_weight is not None and np.all(sample_weight == 1.0):
            sample_weight = None
        return replace(self, sample_weight=sample_weight)

    def with_weights_of_mean_one(self):
        """The same data, weights rescaled to a mean of 1 over the rows taking part."""
        if self.sample_weight is None:
            return self
        weights = self.select(self.sample_weight)
        # In this unit the weights of other rows may overflow.
        of_all = np.ones(len(self.sample_weight))
        of_all[... if self.rows is None else self.rows] = rescaled(
            weights, *scale_of(weights)
        )
        return self.with_weights(of_all)

    @property
    def n_rows_at_once(self):
        """Number of rows that are in memory at the same time: all of them."""
        return self.n_rows

    def rows_of_batch(self, batch_size):
        """The number of rows of a batch, `batch_size` as in the estimators."""
        return rows_of_batch(batch_size, self.n_rows)

    def batches(self, batch_size):
        """The number of batches, and the relative size of the last one."""
        n_rows = self.rows_of_batch(batch_size)
        return -(-self.n_rows // n_rows), ((self.n_rows - 1) % n_rows + 1) / n_rows

    def blocks(self, n_rows=None):
        """X and weights (or None) in blocks of `n_rows` rows, or all at once."""
        if n_rows is None:
            yield self.select(self.X), self.select(self.sample_weight)
            return
        for start in range(0, self.n_rows, n_rows):
            rows: Any = slice(start, start + n_rows)
            if self.rows is not None:
                rows = self.rows[rows]
            weights = self.sample_weight
            yield self.X[rows], None if weights is None else weights[rows]

    def blocks_and_sample(self, n_rows, sampled):
        """The same blocks, and a function to call after them.

        It returns X and weights of the sampled rows. `sampled` has their numbers among
        the rows taking part, in ascending order; None means all rows.
        """

        def sample():
            part = self
            if sampled is not None:
                part = self.subset(
                    sampled if self.rows is None else np.sort(self.rows[sampled])
                )
            return part.select(part.X), part.weights()

        return self.blocks(n_rows), sample

    @property
    def bytes_of_row(self):
        """The average number of bytes of X to read for a row, rounded up."""
        X = self.X
        n_bytes = X.data.nbytes + X.indices.nbytes if issparse(X) else X.nbytes
        return max(1, -(-n_bytes // X.shape[0]))

    def order(self, *, in_blocks=False):
        """An order of the rows, which can be shuffled by blocks."""
        rows = self.rows
        if rows is None:
            rows = np.arange(self.n_rows, dtype=np.uint32)
        values = self.select(self.targets.single)
        if in_blocks:
            return BlockOrder(rows, values, self.bytes_of_row)
        return RowOrder(rows, values)

    @property
    def is_sparse(self):
        """Whether X is a CSR matrix."""
        return issparse(self.X)

    def rows_for(self, model, order=None, member=None):
        """The rows in an order, for a model and a member of a team of threads."""
        order = self.order() if order is None else order
        parts = (self.X, order, self.targets, self.sample_weight, model)
        return CSRRows(*parts) if issparse(self.X) else dense_rows(*parts, member)


def rows_of_batch(batch_size, n_rows):
    """The number of rows of a batch, if `n_rows` are available."""
    return n_rows if batch_size == "full" else min(batch_size, n_rows)


def scale_of(weights):
    """The two numbers by which `rescaled` gives the weights a mean of 1."""
    largest = weights.max()
    if largest == 0.0:
        raise ValueError(
            "All sample weights of the training rows or of the validation rows are "
            "zero, as given or multiplied by the class weights: no sample is left."
        )
    return float(largest), float((weights / largest).mean())


def rescaled(weights, largest, mean):
    """The weights in another unit, in two steps so that no sum overflows."""
    return weights / largest / mean
