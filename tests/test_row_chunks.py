"""row_chunks: order, slices, what is read of a file; the warning that recommends it."""

import itertools
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csr_array

import skmbsgd._row_chunks
from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor, row_chunks

X = np.arange(46.0).reshape(23, 2)
Y = np.arange(23)


def test_all_rows_come_once_in_stretches_and_in_an_order_of_each_pass():
    chunks = row_chunks(X, Y, n_rows=5, random_state=0)
    assert len(chunks) == 5
    orders = []
    for _ in range(20):
        seen = list(chunks)
        for Z, z in seen:
            assert_array_equal(Z, X[z])
            assert_array_equal(np.diff(z), 1)
            assert z[0] % 5 == 0
        assert sorted(len(z) for _, z in seen) == [3, 5, 5, 5, 5]
        assert_array_equal(np.sort(np.concatenate([z for _, z in seen])), Y)
        orders.append(tuple(int(z[0]) for _, z in seen))
    assert len(set(orders)) > 10
    # Each position gets each chunk.
    assert {order[0] for order in orders} == {0, 5, 10, 15, 20}
    # The order is that of the number of the pass, for as long as nobody iterates too.
    again = pickle.loads(pickle.dumps(row_chunks(X, Y, n_rows=5, random_state=0)))
    for epoch in (7, 0, 19):
        assert tuple(int(z[0]) for _, z in again(epoch)) == orders[epoch]
    other = row_chunks(X, Y, n_rows=5, random_state=1)
    assert [tuple(int(z[0]) for _, z in other) for _ in range(20)] != orders


def test_arrays_are_not_copied_and_weights_come_along():
    weights = np.linspace(0.0, 1.0, 23)
    for Z, z, w in row_chunks(X, Y, 5, sample_weight=weights):
        assert np.shares_memory(Z, X)
        assert np.shares_memory(z, Y)
        assert_array_equal(w, weights[z])
    (chunk,) = row_chunks(X, Y)
    assert len(chunk) == 2
    assert len(chunk[1]) == 23


@pytest.mark.parametrize(
    "make", [csr_array, coo_array, np.asfortranarray, np.ndarray.tolist]
)
def test_matrices_and_lists_are_cut(make):
    for Z, z in row_chunks(make(X), Y.tolist(), 4):
        Z = Z.toarray() if hasattr(Z, "toarray") else np.asarray(Z)
        assert_array_equal(Z, X[z])


def test_frames_are_cut():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for frame in (pd.DataFrame(X, columns=["a", "b"]), pl.DataFrame(X, ["a", "b"])):
        for Z, z in row_chunks(frame, pd.Series(Y), 4):
            assert list(Z.columns) == ["a", "b"]
            assert_array_equal(np.asarray(Z), X[np.asarray(z)])


@pytest.mark.parametrize(
    ("arguments", "kind", "what"),
    [
        ({"y": Y[:-1]}, ValueError, "inconsistent numbers of samples"),
        ({"sample_weight": [1.0]}, ValueError, "inconsistent numbers of samples"),
        ({"n_rows": 0}, ValueError, "n_rows == 0, must be >= 1"),
        ({"n_rows": 2.5}, TypeError, "n_rows must be an instance of int"),
        ({"random_state": "no"}, ValueError, "cannot be used to seed"),
    ],
)
def test_bad_arguments_are_refused(arguments, kind, what):
    with pytest.raises(kind, match=what):
        row_chunks(**{"X": X, "y": Y, **arguments})


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_memory_map_is_read_slice_by_slice(tmp_path, order):
    class Watched(np.memmap):
        """Counts what is taken from it."""

        n_read = 0

        def __getitem__(self, rows):
            rows, *_ = rows if isinstance(rows, tuple) else (rows,)
            assert isinstance(rows, slice)
            Watched.n_read += len(range(*rows.indices(len(self))))
            return np.memmap.__getitem__(self, rows).view(np.memmap)

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 4))
    mapped = Watched(tmp_path / "X", np.float64, "w+", shape=rows.shape, order=order)
    np.copyto(mapped, rows)
    y = rows @ [1.0, 2.0, 3.0, 4.0]
    for Z, _ in row_chunks(mapped, y, 300):
        assert type(Z) is np.ndarray
        assert Z.base is None
    settings = {"max_iter": 3, "tol": None, "random_state": 0}
    for given, n_passes in (({"eta0": 0.01}, 3), ({}, 3 + 2 + 1)):
        Watched.n_read = 0
        model = MiniBatchSGDRegressor(**settings, **given)
        model.fit_chunks(row_chunks(mapped, y, 300, random_state=0))
        # The end of a cycle may read once more, to check whether more can be gained.
        assert Watched.n_read in (n_passes * 2000, (n_passes + 1) * 2000)
        expected = MiniBatchSGDRegressor(**settings, **given)
        expected.fit_chunks(row_chunks(rows, y, 300, random_state=0))
        assert_array_equal(model.coef_, expected.coef_)


LIMITED = """
    import os, sys
    import numpy as np
    from skmbsgd import MiniBatchSGDRegressor, row_chunks

    path, group, limit = sys.argv[1:]
    # Joined once all code has been loaded, which takes memory of its own
    MiniBatchSGDRegressor(max_iter=3).fit_chunks([(np.eye(9), np.arange(9))])
    with open(os.path.join(group, limit), "w") as file:
        file.write(str(100_000_000))
    with open(os.path.join(group, "cgroup.procs"), "w") as file:
        file.write(str(os.getpid()))

    def n_bytes_read():
        with open("/proc/self/io") as file:
            return int(dict(line.split(": ") for line in file)["read_bytes"])

    X = np.load(path, mmap_mode="r")
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    y = np.arange(len(X)) % 7
    before = n_bytes_read()
    model = MiniBatchSGDRegressor(eta0=1e-4, learning_rate="constant", max_iter=1)
    model.fit_chunks(row_chunks(X, y, n_rows=4096, random_state=0))
    first = n_bytes_read() - before
    model.set_params(max_iter=3).fit_chunks(row_chunks(X, y, 4096, 0), resume=True)
    print(first / X.nbytes, (n_bytes_read() - before) / X.nbytes)
"""


def limited_group(name):
    """A new Linux control group with a memory limit, and the file of the limit."""
    for folder, limit in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max"),
    ):
        group = os.path.join(folder, name)
        try:
            os.mkdir(group)
        except OSError:
            continue
        if os.path.exists(os.path.join(group, limit)):
            return group, limit
        os.rmdir(group)
    return None


def test_a_process_of_little_memory_reads_a_file_once_in_a_pass(tmp_path):
    made = limited_group(f"test_row_chunks_{os.getpid()}")
    if made is None:
        pytest.skip("no control group with a memory limit can be created")
    path = tmp_path / "X.npy"
    np.save(path, np.random.default_rng(0).normal(size=(80_000, 100)))  # 64 MB
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(LIMITED)]
    try:
        process = subprocess.run(
            [*command, path, *made], capture_output=True, text=True, timeout=300
        )
    finally:
        os.rmdir(made[0])
    assert process.returncode == 0, process.stderr
    first, of_three = map(float, process.stdout.split())
    if first < 0.5:
        pytest.skip("the file system does not count what is read")
    # Some code that was evicted from memory is read again.
    assert first < 1.5
    assert of_three < 3.5


def test_the_recipe_for_parquet_runs(tmp_path):
    """The example of the page "Data larger than memory" that is not a doctest."""
    pytest.importorskip("pyarrow.parquet")
    page = Path(__file__).parents[1] / "docs/user_guide/larger_than_memory.rst"
    if not page.exists():
        pytest.skip("the documentation is missing")
    _, code = page.read_text().split(".. code-block:: python\n")
    lines = itertools.takewhile(lambda line: not line[:1].strip(), code.split("\n"))
    code = textwrap.dedent("\n".join(lines))
    rows = np.random.default_rng(0).normal(size=(2000, 10))
    columns = [f"x{number}" for number in range(10)]
    frame = pytest.importorskip("pandas").DataFrame(rows, columns=columns)
    frame["y"] = rows @ np.arange(10.0)
    frame.to_parquet(tmp_path / "data.parquet", row_group_size=300)
    names = {"folder": tmp_path, "columns": columns}
    names["MiniBatchSGDRegressor"] = MiniBatchSGDRegressor
    exec(code, names)
    assert_allclose(names["model"].coef_, np.arange(10.0), atol=0.01)


# ---------------------------------------------------------------------------
# The warning of fit
# ---------------------------------------------------------------------------


def messages(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(warning.filename == __file__ for warning in caught)
    return [str(w.message) for w in caught if w.category is UserWarning]


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(300, 4)))
    return np.load(tmp_path / "X.npy", mmap_mode="r")


def test_fit_warns_of_a_map_that_is_larger_than_the_free_memory(mapped, monkeypatch):
    model = MiniBatchSGDClassifier(max_iter=2, random_state=0)
    y = np.arange(300) % 2
    assert messages(lambda: model.fit(mapped, y)) == []
    monkeypatch.setattr(skmbsgd._row_chunks, "free_memory", lambda: 9599)
    for shuffle in (True, "blocks"):
        model.set_params(shuffle=shuffle)
        (said,) = messages(lambda: model.fit(mapped, y))
        assert "row_chunks" in said
        assert "fit_chunks" in said
    (said,) = messages(lambda: model.fit(np.asarray(mapped), y))
    # No warning if rows are read in order, are not a map, or if memory is sufficient
    assert messages(lambda: model.fit(np.array(mapped), y)) == []
    assert messages(lambda: model.fit(mapped.astype("f"), y)) == []
    assert messages(lambda: model.fit(row_chunks(mapped, y)(0).__next__()[0], y)) == []
    assert messages(lambda: model.set_params(batch_size="full").fit(mapped, y)) == []
    model.set_params(batch_size=32, shuffle=False)
    assert messages(lambda: model.fit(mapped, y)) == []
    model.set_params(shuffle=True)
    for free in (9600, None):
        monkeypatch.setattr(skmbsgd._row_chunks, "free_memory", lambda free=free: free)
        assert messages(lambda: model.fit(mapped, y)) == []


def test_the_free_memory_is_no_more_than_the_machine_and_the_group_have(monkeypatch):
    free = skmbsgd._row_chunks.free_memory()
    assert free is None or 0 < free < 2**50
    monkeypatch.setattr(skmbsgd._row_chunks, "of_machine", lambda: [5])
    for groups, expected in (([], 5), ([7], 5), ([3, 9], 3)):
        monkeypatch.setattr(
            skmbsgd._row_chunks, "of_control_groups", lambda groups=groups: groups
        )
        assert skmbsgd._row_chunks.free_memory() == expected
