"""Peak memory of training, beyond the input."""

import gc
import re
import resource
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.peers import all_peers
from benchmarks.problems import dense_problem, sparse_problem
from benchmarks.report import circumstances, digits

MAKERS = {
    "dense": lambda n_rows: dense_problem(n_rows, 100),
    "CSR": lambda n_rows: sparse_problem(n_rows, 2**20),
}
ROWS = {"dense": 300_000, "CSR": 100_000}
# Settings that load the code of the libraries, and leave no large arrays behind
SMALL = {
    "dense": lambda: dense_problem(1000, 10),
    "CSR": lambda: sparse_problem(1000, 100, 5),
}
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def run(report, effort, peers=None):
    """Measure, and write the piece."""
    peers = [peer for peer in peers or all_peers() if peer.is_available()]
    share = min(1.0, effort.largest_input / (300_000 * 100))
    titles, results = {}, {}
    for kind, make in list(MAKERS.items())[:: effort.stride]:
        n_rows = int(ROWS[kind] * share)
        titles[kind] = title(kind, make(n_rows).X)
        for peer in peers:
            if peer.supports(SMALL[kind]()):
                result = in_new_process(measure, peer, kind, n_rows)
                results[peer.name, kind] = result / 1e6
    report.paragraph(circumstances(effort, peers))
    report.paragraph(
        "Each package is measured in its own process, after a training on few rows "
        "that loads all libraries. The numbers are the peak during one epoch in "
        "batches of 32, minus the memory in use before."
    )
    report.table(
        "Peak memory beyond the input, megabytes",
        ["", *titles.values()],
        [
            [peer.name, *(cell(results, peer, kind) for kind in titles)]
            for peer in peers
        ],
    )
    report.paragraph("\\* measured on fewer rows, because its files are slow to write.")
    report.better_peers(
        victories(results, peers), "Where another package needs less", "memory"
    )
    report.data(
        ["peer", "data", "peak_MB"],
        [[*key, f"{value:.2f}"] for key, value in results.items()],
    )


def title(kind, X):
    """Shape and size of the input."""
    parts = [X.data, X.indices, X.indptr] if kind == "CSR" else [X]
    megabytes = sum(part.nbytes for part in parts) / 1e6
    return f"{kind} {X.shape[0]:,} x {X.shape[1]:,} ({digits(megabytes)} MB)"


def cell(results, peer, kind):
    """Megabytes; a star for fewer rows."""
    if (peer.name, kind) not in results:
        return "—"
    star = " \\*" if peer.largest_input < 10**7 else ""
    return f"{results[peer.name, kind]:.1f}{star}"


def victories(results, peers):
    """The cases in which a peer needs less by more than the noise, for better_peers."""
    ours, *others = peers
    return [
        (
            peer.name,
            peer.frugality,
            kind,
            results[peer.name, kind] / results[ours.name, kind],
        )
        for peer in others
        for kind in MAKERS
        if (peer.name, kind) in results
        and results[peer.name, kind] < 0.95 * results[ours.name, kind]
    ]


def in_new_process(function, *arguments):
    """Result of a function called in a fresh interpreter."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(peer, kind, n_rows):
    """The largest rise of memory in one epoch, in bytes."""
    warnings.simplefilter("ignore")
    problem = MAKERS[kind](n_rows)
    problem = problem.head(int(peer.largest_input / (problem.size / n_rows)))
    peer.prepare(SMALL[kind]())(1)
    gc.collect()
    before = start_peak()
    peer.prepare(problem)(1)
    return max(peak() - before, 0)


def start_peak():
    """Reset the peak, if the system can; return the memory in use now."""
    try:
        CLEAR.write_text("5")
    except OSError:
        pass
    return peak()


def peak():
    """The largest resident size in bytes.

    Not by getrusage on Linux, which counts in the parent's, from before this program
    was loaded into the process.
    """
    if STATUS.exists():
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())[1])
    in_kilobytes = sys.platform != "darwin"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1024 if in_kilobytes else 1
    )
