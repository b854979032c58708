"""The product that each pass over the data needs at least."""

import numpy as np

from benchmarks.peers.base import Peer


class Product(Peer):
    """X @ w."""

    name = "X @ w"
    module = "scipy"
    distribution = "scipy"
    settings = "one product of the data with a vector, which reads the data once"
    strength = "it is not a training method, but the minimum that each one has to do"
    sparse = True

    def prepare(self, problem):
        """One product for each epoch."""
        w = np.ones(problem.X.shape[1], problem.X.dtype)

        def run(n_epochs):
            for _ in range(n_epochs):
                problem.X @ w

        return run
