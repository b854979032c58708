"""River's learning from minibatches."""

import numpy as np

from benchmarks.peers.base import Peer


class River(Peer):
    """river's linear models, by learn_many."""

    name = "river"
    module = "river"
    distribution = "river"
    settings = "``learn_many``: Nesterov momentum 0.9, L2"
    strength = "its products go to BLAS, whose blocks suit large batches"
    tasks = frozenset({"regression", "binary"})

    def prepare(self, problem):
        """Data frames, as river takes them, and a model."""
        import pandas as pd
        from river import linear_model, optim

        X = pd.DataFrame(
            problem.X, columns=[f"x{j}" for j in range(problem.X.shape[1])]
        )
        y = pd.Series(problem.y)
        estimator = (
            linear_model.LinearRegression
            if problem.task == "regression"
            else linear_model.LogisticRegression
        )
        model = estimator(optimizer=optim.NesterovMomentum(1e-4, 0.9), l2=1e-4)
        rng = np.random.default_rng(0)

        def run(n_epochs):
            for _ in range(n_epochs):
                order = rng.permutation(len(X))
                for start in range(0, len(X), problem.batch_size):
                    rows = order[start : start + problem.batch_size]
                    model.learn_many(X.iloc[rows], y.iloc[rows])

        return run
