"""Try random cases for a time: python tests/fuzz SECONDS [--seed N] [--case N]

The cases run in another process, which can crash or hang. Then a new process continues
after the case that caused it. Each case depends only on the seed and its number. --case
runs a single case in this process. The exit status is 1 if anything was found.
"""

import argparse
import faulthandler
import os
import select
import subprocess
import sys
import time
import traceback
import warnings

import numpy as np
from cases import choose, draw_case
from properties import PROPERTIES

from skmbsgd._engine import csr_model

LONGEST_CASE = 120.0  # seconds
MANY_OUTPUTS = csr_model.MANY_OUTPUTS


def run_case(seed, number):
    """Run a case; return whether nothing was found."""
    rng = np.random.default_rng([seed, number])
    with np.errstate(all="ignore"):
        case = draw_case(rng)
    check = choose(rng, PROPERTIES)
    # Models of CSR input have two layouts, of which few outputs usually get one.
    csr_model.MANY_OUTPUTS = choose(rng, [2, MANY_OUTPUTS])
    settings = dict(case.settings)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(rng, case)
    except Exception:
        print(f"\nFOUND by --seed {seed} --case {number}: {check.__name__}")
        print(f"  {case.kind.__name__} {settings}, X {case.X.dtype} {case.X.shape}")
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        return False
    return True


def run_cases(seed, first):
    """Run cases without end; print after each its number and whether it passed."""
    faulthandler.enable()
    number = first
    while True:
        is_well = run_case(seed, number)
        print(f"{number} {int(is_well)}", file=sys.stderr, flush=True)
        number += 1


def lines_of(stream, until):
    """Lines as they come, until the end, a deadline, or a silence (a case hangs)."""
    rest = b""
    while time.monotonic() < until:
        if not select.select([stream], [], [], LONGEST_CASE)[0]:
            yield f"No case has ended for {LONGEST_CASE:.0f} s."
            return
        new = os.read(stream.fileno(), 2**16)
        if not new:
            return
        *lines, rest = (rest + new).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)


def watch(seed, first, until):
    """Run cases until a deadline or a crash; return the next case and the findings."""
    command = [sys.executable, __file__.removesuffix("/__main__.py")]
    command += ["0", "--seed", str(seed), "--first", str(first)]
    number, n_found, words = first, 0, []
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        for line in lines_of(process.stderr, until):
            try:
                last, is_well = map(int, line.split())
            except ValueError:  # the output of a crash
                words.append(line)
                continue
            number, n_found = last + 1, n_found + (1 - is_well)
        if words or time.monotonic() < until:
            process.kill()
            print(f"\nFOUND by --seed {seed} --case {number}: the process died")
            print("\n".join(words)[-6000:], flush=True)
            return number + 1, n_found + 1
        process.kill()
    return number, n_found


def main():
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="the only case to run")
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        return 0 if run_case(options.seed, options.case) else 1
    if options.first is not None:
        run_cases(options.seed, options.first)
    number = n_found = 0
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        number, n_new = watch(options.seed, number, until)
        n_found += n_new
    print(f"{number} cases with seed {options.seed}, {n_found} findings")
    return 1 if n_found else 0


if __name__ == "__main__":
    sys.exit(main())
