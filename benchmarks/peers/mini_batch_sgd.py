"""This package."""

from benchmarks.peers.base import Peer
from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor, __version__

NESTEROV = {"momentum": 0.9, "nesterov": True}


class MiniBatchSGD(Peer):
    """Our two estimators."""

    name = "skmbsgd"
    module = "skmbsgd"
    distribution = "skmbsgd"
    settings = "Nesterov momentum 0.9, L2"
    strength = ""
    sparse = True

    def __init__(self, name=None, settings=None, **parameters):
        self.name = name or self.name
        self.settings = settings or self.settings
        self.parameters = parameters or NESTEROV

    def version(self):
        """The version that was imported, installed or not."""
        return __version__

    def prepare(self, problem):
        """Fits with ``max_iter``."""
        is_regression = problem.task in ("regression", "multioutput")
        estimator = MiniBatchSGDRegressor if is_regression else MiniBatchSGDClassifier

        def run(n_epochs):
            estimator(
                batch_size=problem.batch_size,
                eta0=1e-4,
                max_iter=n_epochs,
                tol=None,
                random_state=0,
                **self.parameters,
            ).fit(problem.X, problem.y)

        return run
