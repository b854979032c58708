"""Checks of sparse matrices, before compiled code follows their indices."""

import numpy as np
from scipy.sparse import issparse


def check_indices(X):
    """Refuse a sparse X whose parts contradict each other.

    Compiled code, SciPy's as well as ours, follows the indices without looking, and
    would read and write outside its arrays.
    """
    if not issparse(X) or X.ndim != 2:
        return
    if X.format == "csr":
        check_compressed(X, *X.shape)
    elif X.format == "csc":
        check_compressed(X, *X.shape[::-1])
    elif X.format == "bsr":
        X.check_format(full_check=True)
    elif X.format == "coo":
        check_same_length(X.row, X.col, X.data)
        check_range(X.row, X.shape[0])
        check_range(X.col, X.shape[1])
    elif X.format == "lil":
        check_same_length(X.rows, X.data)
        for columns, values in zip(X.rows, X.data, strict=True):
            check_same_length(columns, values)
    elif X.format == "dia":
        check_same_length(X.offsets, X.data)


def check_same_length(*arrays):
    """Refuse arrays of different lengths."""
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"The sparse X is malformed: its arrays differ in length, {lengths}."
        )


def check_compressed(X, n_vectors, n_indices):
    """The checks of `check_indices` for CSR, and for CSC with rows as indices."""
    indices, indptr = np.asarray(X.indices), np.asarray(X.indptr)
    for array in (X.data, indices, indptr):
        if array.ndim != 1 or (array is not X.data and array.dtype.kind not in "iu"):
            raise ValueError(
                "The sparse X is malformed: data, indices and indptr must have 1 "
                "dimension, the last two of integers."
            )
    check_same_length(indices, X.data)
    if (
        len(indptr) != n_vectors + 1
        or indptr[0] != 0
        or indptr[-1] > len(indices)
        or np.any(indptr[1:] < indptr[:-1])
    ):
        raise ValueError(
            "The sparse X is malformed: its indptr must begin with 0, never fall, end "
            f"within the data and have {n_vectors + 1} entries."
        )
    check_range(indices[: indptr[-1]], n_indices)


def check_range(indices, n):
    """Refuse indices outside of range(n)."""
    if len(indices) > 0 and (indices.min() < 0 or indices.max() >= n):
        raise ValueError(
            "The sparse X is malformed: it has indices outside of [0, "
            f"{n}): from {indices.min()} to {indices.max()}."
        )
