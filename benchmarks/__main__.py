"""Run the comparison: ``python -m benchmarks [section ...] [--quick]``.

Each section writes one piece of the documentation's page on performance.
"""

import argparse
import os
import sys
import time
import warnings
from importlib import import_module

# Before any library that reads it is loaded
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

SECTIONS = [
    "front_page",
    "no_tuning",
    "dense",
    "sparse",
    "streams",
    "quality",
    "scaling",
    "memory",
    "cluster",
]


def main(arguments=None):
    """Run the sections that are asked for."""
    from benchmarks.effort import FULL, QUICK
    from benchmarks.report import Report

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="section",
        help=f"what to run, all by default: {', '.join(SECTIONS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small data and few repeats, for a look"
    )
    parser.add_argument(
        "--output", default="docs/performance", help="folder for the results"
    )
    options = parser.parse_args(arguments)
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown sections: {', '.join(sorted(unknown))}")

    warnings.simplefilter("ignore")
    for name in options.sections or SECTIONS:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        start = time.perf_counter()
        report = Report(options.output, name)
        section = import_module(f"benchmarks.sections.{name}")
        section.run(report, QUICK if options.quick else FULL)
        report.write()
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
