"""The interface of everything that the benchmarks compare."""

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
        How it is used, and how this differs from the others.
    strength : str
        Why it is faster in some cases.
    frugality : str
        Why it needs less memory in some cases.
    dense, sparse : bool
        The input that it is measured on.
    tasks : set of {"regression", "binary", "multiclass", "multioutput"}
        What it can learn here.
    has_batches : bool
        Whether it uses the batch size; if not, it updates after each row.
    largest_input : int
        The largest number of values (non-zeros of CSR data) that it gets.
    """

    name: str
    module: str
    distribution: str
    settings: str
    strength: str
    frugality = "it keeps less besides the data"
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
        """Do the work that is done once; return a function that trains for n epochs.

        Each call of that function can start again or continue: only the difference
        between calls of different lengths counts.
        """
