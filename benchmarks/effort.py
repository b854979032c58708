"""How thoroughly a run measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """The limits of a run.

    Attributes
    ----------
    name : str
    repeats : int
        Interleaved repeats of each measurement.
    seconds_each : float
        Seconds for one measurement; there are `repeats` of them.
    seconds_to_search : float
        Seconds for a solver's grid of settings on one problem.
    largest_input : int
        Larger problems are cut to this many values by leaving out rows.
    stride : int
        Step with which lists of problems are gone through.
    """

    name: str
    repeats: int
    seconds_each: float
    seconds_to_search: float
    largest_input: int
    stride: int = 1

    def cut(self, n_rows, values_per_row):
        """The number of rows within the largest input."""
        return int(max(min(n_rows, self.largest_input // values_per_row), 1))


FULL = Effort(
    "full",
    repeats=5,
    seconds_each=0.5,
    seconds_to_search=6.0,
    largest_input=100_000_000,
)
QUICK = Effort(
    "quick",
    repeats=3,
    seconds_each=0.1,
    seconds_to_search=0.8,
    largest_input=1_000_000,
    stride=3,
)
