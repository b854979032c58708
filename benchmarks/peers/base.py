"""What the benchmarks ask of everything they compare."""

from abc import ABC, abstractmethod
from importlib.metadata import version
from importlib.util import find_spec

from scipy.sparse import issparse


class Peer(ABC):
    """One way to train a linear model by SGD.

    Attributes
    ----------
    name : str
        Its name in the tables.
    module : str
        The module that must be importable.
    distribution : str
        The installed package whose version is noted.
    settings : str
        How it is used, and in what that differs from the rest.
    strength : str
        Why it is faster where it is.
    frugality : str
        Why it needs less memory where it does.
    dense, sparse : bool
        The input that it is measured on.
    tasks : set of {"regression", "binary", "multiclass", "multioutput"}
        What it can learn here.
    has_batches : bool
        Whether it heeds the batch size; else it updates after each row.
    largest_input : int
        The number of values (non-zeros of CSR data) up to which it is fed.
    """

    name: str
    module: str
    distribution: str
    settings: str
    strength: str
    frugality = "it keeps less beside the data"
    dense = True
    sparse = False
    tasks = frozenset({"regression", "binary", "multiclass", "multioutput"})
    has_batches = True
    largest_input = 10**12

    def is_available(self):
        """Whether it is installed."""
        return find_spec(self.module) is not None

    def version(self):
        """The installed version."""
        return version(self.distribution)

    def supports(self, problem):
        """Whether it can learn the problem."""
        takes = self.sparse if issparse(problem.X) else self.dense
        return takes and problem.task in self.tasks

    @abstractmethod
    def prepare(self, problem):
        """Do what is done once, and return a function that trains for n epochs.

        Each call of that function may start anew or train on: only the difference
        between calls of different length counts.
        """
