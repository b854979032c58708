"""Chunks of arrays and memory maps, and the warning that recommends them."""

import mmap
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import check_consistent_length, check_random_state, check_scalar

from skmbsgd._sklearn import safe_indexing
from skmbsgd._typing import MatrixLike
from skmbsgd._warnings import stack_level_of_caller

LIMITS = {"": "{}/memory.max", "memory": "memory{}/memory.limit_in_bytes"}


class RowChunks:
    """What `row_chunks` returns: chunks of rows, in a new order at each pass.

    ``chunks(epoch)`` gives the chunks of a pass, always in the same order.
    ``iter(chunks)`` gives those of the next pass, starting with pass 0. ``len(chunks)``
    is their number.
    """

    def __init__(self, parts, n_samples, n_rows, seed):
        self.parts = parts
        self.starts = np.arange(0, n_samples, n_rows)
        self.n_rows = n_rows
        self.seed = seed
        self.n_passes = 0

    def __len__(self) -> int:
        return len(self.starts)

    def __call__(self, epoch: int) -> Iterator[tuple]:
        order = np.random.default_rng([self.seed, epoch]).permutation(self.starts)
        for start in order.tolist():
            rows = slice(start, start + self.n_rows)
            yield tuple(rows_in_memory(part, rows) for part in self.parts)

    def __iter__(self) -> Iterator[tuple]:
        self.n_passes += 1
        return self(self.n_passes - 1)


def row_chunks(
    X: MatrixLike,
    y: ArrayLike,
    n_rows: int = 65536,
    random_state: int | np.random.RandomState | None = None,
    *,
    sample_weight: ArrayLike | None = None,
) -> RowChunks:
    """Cut an array or a memory map into chunks of rows, for ``fit_chunks``.

    A chunk consists of consecutive rows, and the chunks come in a new random order in
    each pass. So each pass reads a file once, in long stretches, while `fit` would read
    it row by row. At most two chunks are in memory at a time: the one in training, and
    the next one.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        A memory map, for example from ``numpy.load(path, mmap_mode="r")``, is read
        chunk by chunk. Slices of other arrays are not copied.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels or target values.
    n_rows : int, default=65536
        Rows of a chunk, at least 1; the last chunk may be smaller. A chunk must fit
        into memory: with 65,536 rows and 100 columns of float64 it has 52 MB.
    random_state : int, RandomState instance or None, default=None
        Determines the order of the chunks. With an int, an interrupted training can be
        resumed in another process, bit for bit.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights >= 0. If given, the chunks include them.

    Returns
    -------
    chunks : RowChunks
        An object that can be iterated any number of times, and called with the number
        of a pass. Its items are tuples (X, y) or (X, y, sample_weight).

    Raises
    ------
    ValueError
        If the lengths differ, or if `n_rows` is less than 1.

    See Also
    --------
    MiniBatchSGDClassifier.fit_chunks : Trains on them.

    Examples
    --------
    >>> import numpy as np
    >>> from skmbsgd import row_chunks
    >>> X, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    >>> chunks = row_chunks(X, y, n_rows=2, random_state=2)
    >>> len(chunks)
    3
    >>> [y.tolist() for X, y in chunks]
    [[4], [2, 3], [0, 1]]
    >>> [y.tolist() for X, y in chunks]
    [[4], [0, 1], [2, 3]]
    """
    check_scalar(n_rows, "n_rows", Integral, min_val=1)
    parts: list[Any] = [X, y]
    if sample_weight is not None:
        parts.append(sample_weight)
    check_consistent_length(*parts)
    parts = [part.tocsr() if issparse(part) else part for part in parts]
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    first: Any = parts[0]
    n_samples = first.shape[0] if hasattr(first, "shape") else len(first)
    return RowChunks(parts, n_samples, int(n_rows), seed)


def rows_in_memory(values, rows):
    """A slice of values, read into memory if they are on a disk."""
    part = safe_indexing(values, rows)
    file = file_of(part)
    if file is None:
        return part
    with read_in_sequence(file, part):
        return np.array(part)


def file_of(array):
    """The mapped file that holds the numbers of an array; None if there is none."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


@contextmanager
def read_in_sequence(file, array):
    """Ask the operating system to read ahead, and to drop what was read, if it can."""
    if not (hasattr(mmap, "MADV_SEQUENTIAL") and array.flags.c_contiguous):
        yield
        return
    first = array.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data
    pages = first // mmap.PAGESIZE * mmap.PAGESIZE, first % mmap.PAGESIZE + array.nbytes
    file.madvise(mmap.MADV_SEQUENTIAL, *pages)
    try:
        yield
    finally:
        file.madvise(mmap.MADV_NORMAL, *pages)


def warn_of_scattered_reads(X):
    """Warn of a memory map that is too large to read its rows in random order."""
    if file_of(X.data if issparse(X) else X) is None:
        return
    n_bytes = X.data.nbytes + X.indices.nbytes if issparse(X) else X.nbytes
    free = free_memory()
    if free is not None and n_bytes > free:
        warnings.warn(
            f"X is a memory map of {n_bytes / 1e6:,.0f} MB, but only "
            f"{free / 1e6:,.0f} MB of memory are free. In random order its rows are "
            "read from the disk one by one in each epoch, which is slow. Train on "
            "slices instead, with fit_chunks(row_chunks(X, y)) and row_chunks from "
            "skmbsgd, or set shuffle=False.",
            UserWarning,
            stacklevel=stack_level_of_caller(),
        )


def free_memory():
    """The bytes of memory that are free or can be freed; None if that is unknown."""
    return min([*of_machine(), *of_control_groups()], default=None)


def of_machine():
    """The free memory that the operating system reports, if it does."""
    with suppress(OSError, ValueError, AttributeError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return [int(line.split()[1]) * 1024]
    with suppress(OSError, ValueError, AttributeError):
        return [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return []


def of_control_groups():
    """The memory limits of a container, in versions 2 and 1 of Linux control groups."""
    limits = []
    with suppress(OSError, ValueError):  # A group without a limit has "max".
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kind, group = line.split(":", 2)
            if kind in LIMITS:
                path = "/sys/fs/cgroup/" + LIMITS[kind].format(group)
                limits.append(int(Path(path).read_text()))
    return limits
