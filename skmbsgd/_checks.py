"""Checks of input that scikit-learn does not have."""

import inspect
import math
from collections.abc import Iterator, Mapping, Set
from numbers import Number, Real

import numpy as np
from scipy.sparse import issparse


def check_indices(X):
    """Refuse a sparse X whose parts contradict each other.

    Compiled code, of SciPy and of this package, uses the indices unchecked, and would
    read and write outside its arrays.
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


def check_is_local(*collections):
    """Refuse Dask collections, which would silently be loaded into memory."""
    for collection in collections:
        if type(collection).__module__.startswith(("dask.", "dask_expr.")):
            raise TypeError(
                f"{type(collection).__name__} is a Dask collection, which would be "
                "loaded as a whole into the memory of this process. Train on its "
                "partitions on the cluster, with fit of DaskMiniBatchSGDClassifier or "
                "DaskMiniBatchSGDRegressor from skmbsgd.dask, or pass "
                "collection.compute()."
            )


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
                "dimension, and the last two must hold integers."
            )
    check_same_length(indices, X.data)
    if (
        len(indptr) != n_vectors + 1
        or indptr[0] != 0
        or indptr[-1] > len(indices)
        or np.any(indptr[1:] < indptr[:-1])
    ):
        raise ValueError(
            "The sparse X is malformed: its indptr must begin with 0, must not "
            f"decrease, must end within the data and have {n_vectors + 1} entries."
        )
    check_range(indices[: indptr[-1]], n_indices)


def check_range(indices, n):
    """Refuse indices outside of range(n)."""
    if len(indices) > 0 and (indices.min() < 0 or indices.max() >= n):
        raise ValueError(
            "The sparse X is malformed: it has indices outside of [0, "
            f"{n}): from {indices.min()} to {indices.max()}."
        )


def float_types_for(X):
    """Types to which X is converted: the first one, if X has neither.

    The first one is float32 if it holds the numbers exactly, such as those of images
    and one-hot codes. A copy in float64 would take up to eight times their memory.
    """
    dtypes = [X.dtype] if hasattr(X, "dtype") else [*getattr(X, "dtypes", ())]
    if (
        dtypes
        and all(isinstance(dtype, np.dtype) for dtype in dtypes)
        and all(np.can_cast(dtype, np.float32) for dtype in set(dtypes))
    ):
        return [np.float32, np.float64]
    return [np.float64, np.float32]


def check_labels(labels, name):
    """Refuse labels of objects for which scikit-learn has no helpful message."""
    labels = np.asarray(labels)
    if labels.dtype != object or labels.ndim == 0 or labels.size == 0:
        return
    n_missing = sum(map(is_missing, labels.flat))
    if n_missing > 0:
        raise ValueError(
            f"{name} has missing values (None, NaN or NA): {n_missing} of "
            f"{labels.size} labels. Remove their rows, or give them a label of their "
            "own."
        )
    first = labels.flat[0]
    if isinstance(first, (Number, np.generic)):
        kind = type(first).__name__
        raise ValueError(
            f"{name} holds labels of type {kind} as Python objects (dtype object): "
            f"Unknown label type. Convert them, for example with .astype({kind!r})."
        )


def is_missing(label):
    """Whether a label is None, NaN, NaT or pandas.NA."""
    try:
        return label is None or bool(label != label)
    except TypeError:  # pandas.NA is neither equal to itself nor different.
        return True
    except ValueError:  # an array
        return False


def read_numbers(values, name):
    """Learnt numbers, which users may have changed, as an array or sparse matrix."""
    try:
        array = values if issparse(values) else np.asarray(values)
    except (ValueError, OverflowError) as error:  # lists of different lengths
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be an array of numbers, got {values!r}.")
    return array


def are_epochs(epochs_drop):
    """Whether this is a number > 0, or a sequence of numbers >= 0."""
    if np.iterable(epochs_drop):
        return not isinstance(epochs_drop, (Mapping, Set, Iterator, bytes)) and all(
            map(is_finite_and_not_negative, epochs_drop)
        )
    # scikit-learn accepts a 0-d array as a sequence, without checking its range.
    number = np.asarray(epochs_drop).item()
    return is_finite_and_not_negative(number) and number != 0


def takes_one_argument(function):
    """Whether a function can be called with one argument, or has no signature."""
    try:
        inspect.signature(function).bind(0)
    except TypeError:
        return False
    except ValueError:  # Some functions written in C have no signature.
        return True
    return True


def is_finite_and_not_negative(value):
    """Whether the value is a number in [0, inf) that float64 can hold."""
    if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
        return False
    return fits_float64(value) and float(value) >= 0


def fits_float64(value):
    """Whether a number is finite and remains so as a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
