"""PyTorch, with one linear layer."""

import numpy as np

from benchmarks.peers.base import Peer


def loss_and_targets(problem, torch):
    """PyTorch's loss for the task, and the targets it takes."""
    if problem.task == "multiclass":
        return torch.nn.CrossEntropyLoss(), torch.from_numpy(problem.y.astype(np.int64))
    targets = torch.from_numpy(problem.output_columns().astype(problem.X.dtype))
    if problem.task == "binary":
        return torch.nn.BCEWithLogitsLoss(), targets
    return torch.nn.MSELoss(), targets


def train(problem, torch, optimizer, decisions, loss, targets):
    """A function that runs epochs over shuffled minibatches."""

    def run(n_epochs):
        for _ in range(n_epochs):
            for rows in torch.randperm(problem.X.shape[0]).split(problem.batch_size):
                optimizer.zero_grad()
                loss(decisions(rows), targets[rows]).backward()
                optimizer.step()

    return run


class PyTorch(Peer):
    """A torch.nn.Linear on dense data."""

    name = "PyTorch"
    module = "torch"
    distribution = "torch"
    settings = "``nn.Linear``, ``optim.SGD``: Nesterov momentum 0.9, L2 by weight decay"
    strength = "its products go to BLAS, whose blocks suit large batches"

    def prepare(self, problem):
        """Tensors that share the data's memory, a layer and an optimizer."""
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)
        X = torch.from_numpy(problem.X)
        layer = torch.nn.Linear(X.shape[1], problem.n_outputs, dtype=X.dtype)
        optimizer = torch.optim.SGD(
            layer.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=1e-4
        )
        return train(
            problem,
            torch,
            optimizer,
            lambda rows: layer(X[rows]),
            *loss_and_targets(problem, torch),
        )


class PyTorchSparse(Peer):
    """The same, with an EmbeddingBag for CSR data.

    A weighted sum of rows of the table of weights is the product of a sparse row with
    them.
    """

    module = "torch"
    distribution = "torch"
    dense = False
    sparse = True
    strength = "a gradient of only the columns that occur is all that it applies"
    frugality = "it keeps no times of update, and without momentum no velocity"

    def __init__(self, sparse_gradients):
        self.sparse_gradients = sparse_gradients
        if sparse_gradients:
            self.name = "PyTorch, sparse gradients"
            self.settings = (
                "``nn.EmbeddingBag(sparse=True)``: no momentum and no penalty, because "
                "its sparse gradients support neither"
            )
        else:
            self.name = "PyTorch, dense updates"
            self.settings = (
                "``nn.EmbeddingBag``: Nesterov momentum 0.9, L2; it moves every "
                "coordinate at every update"
            )

    def prepare(self, problem):
        """Tensors that share the data's memory, a table and an optimizer."""
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)
        X = problem.X
        columns = torch.from_numpy(X.indices.astype(np.int64))
        values = torch.from_numpy(X.data)
        starts = torch.from_numpy(X.indptr.astype(np.int64))
        bag = torch.nn.EmbeddingBag(
            X.shape[1],
            problem.n_outputs,
            mode="sum",
            sparse=self.sparse_gradients,
            include_last_offset=True,
            dtype=values.dtype,
        )
        intercept = torch.nn.Parameter(
            torch.zeros(problem.n_outputs, dtype=bag.weight.dtype)
        )
        settings = (
            {}
            if self.sparse_gradients
            else {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
        )
        optimizer = torch.optim.SGD([bag.weight, intercept], lr=1e-4, **settings)

        def decisions(rows):
            lengths = starts[rows + 1] - starts[rows]
            offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
            shift = torch.repeat_interleave(starts[rows] - offsets[:-1], lengths)
            entries = torch.arange(len(shift)) + shift
            return bag(columns[entries], offsets, values[entries]) + intercept

        return train(
            problem, torch, optimizer, decisions, *loss_and_targets(problem, torch)
        )
