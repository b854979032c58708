"""Time to only read the rows of X in random order, compared with X @ w and an epoch.

Run with ``python -m benchmarks.floor`` (``--repeats 3`` for a quick look), on Linux or
macOS, with a C compiler. It uses one thread. The time is about the minimum for an epoch
that reads the rows in place, one after the other in any order.
"""

import argparse
import ctypes
import functools
import os
import shlex
import subprocess
import sysconfig
import tempfile
import warnings
from pathlib import Path

import numpy as np

from benchmarks.dense import SETTINGS, SHAPES, product_with_vector
from benchmarks.timing import interleaved, one_core, seconds, seconds_per_epoch
from skmbsgd import MiniBatchSGDRegressor

SOURCE = Path(__file__).with_name("floor.c")


def compiled_readers():
    """The functions of floor.c."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "floor.so"
        options = ["-O3", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
        subprocess.run([*shlex.split(compiler), *options], check=True)
        readers = ctypes.CDLL(str(library))
    readers.read_rows.restype = readers.read_rows_in_order.restype = ctypes.c_double
    return readers


def compare(name, X, y, readers, repeats):
    """Print a row of the table."""
    if X.strides[0] % 8 or X.ctypes.data % 8:
        raise ValueError("Rows must have a multiple of 8 bytes, and begin at one.")
    order = np.random.default_rng(0).permutation(len(X)).astype(np.uint32)
    shape = ctypes.c_ssize_t(len(X)), ctypes.c_ssize_t(X.strides[0])
    start, places = ctypes.c_void_p(X.ctypes.data), ctypes.c_void_p(order.ctypes.data)
    epoch = functools.partial(MiniBatchSGDRegressor, **SETTINGS)
    medians = interleaved(
        {
            "product": product_with_vector(X),
            "in order": lambda: seconds(
                lambda: readers.read_rows_in_order(start, *shape)
            ),
            "random": lambda: seconds(lambda: readers.read_rows(start, places, *shape)),
            "epoch": lambda: seconds_per_epoch(epoch, X, y),
        },
        repeats,
    )
    product, *others = medians.values()
    print(
        f"{name:<24}{product / len(X) * 1e9:8.1f}"
        + "".join(f"{t / len(X) * 1e9:10.1f} {t / product:5.2f}" for t in others),
        flush=True,
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    readers = compiled_readers()
    print("Nanoseconds per row, and as ratios to X @ w")
    print(f"{'':24}{'X @ w':>8}{'in order':>16}{'random':>16}{'an epoch':>16}")
    with one_core():
        for shape in SHAPES:
            compare(str(shape), *shape.regression(), readers, repeats)


if __name__ == "__main__":
    main()
