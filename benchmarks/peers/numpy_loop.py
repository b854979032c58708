"""The loop over minibatches that one writes by hand."""

import numpy as np
from scipy.special import expit, softmax

from benchmarks.peers.base import Peer


class NumpyLoop(Peer):
    """A loop over minibatches in NumPy."""

    name = "NumPy loop"
    module = "numpy"
    distribution = "numpy"
    settings = "a handwritten loop over mini-batches: Nesterov momentum 0.9, L2"
    strength = "its products go to BLAS, whose blocks suit large batches"

    def prepare(self, problem):
        """One-hot targets of a softmax, and weights to train on."""
        X, batch_size = problem.X, problem.batch_size
        Y = problem.output_columns().astype(X.dtype)
        W = np.zeros((X.shape[1], Y.shape[1]), X.dtype)
        b = np.zeros(Y.shape[1], X.dtype)
        velocity_W, velocity_b = np.zeros_like(W), np.zeros_like(b)
        rng = np.random.default_rng(0)
        link = {"binary": expit, "multiclass": lambda Z: softmax(Z, axis=1)}.get(
            problem.task, lambda Z: Z
        )
        eta, momentum, alpha = (X.dtype.type(value) for value in (1e-4, 0.9, 1e-4))

        def step(parameters, velocity, gradient):
            velocity *= momentum
            velocity -= eta * gradient
            parameters += momentum * velocity - eta * gradient

        def run(n_epochs):
            for _ in range(n_epochs):
                order = rng.permutation(len(X))
                for start in range(0, len(X), batch_size):
                    rows = order[start : start + batch_size]
                    batch = X[rows]
                    errors = (link(batch @ W + b) - Y[rows]) / X.dtype.type(len(rows))
                    step(W, velocity_W, batch.T @ errors + alpha * W)
                    step(b, velocity_b, errors.sum(axis=0))

        return run
