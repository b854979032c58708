"""Vowpal Wabbit, reading its own cache file."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.sparse import csr_array

from benchmarks.peers.base import Peer


class VowpalWabbit(Peer):
    """The learner of Vowpal Wabbit, fed from a file."""

    name = "Vowpal Wabbit"
    module = "vowpalwabbit"
    distribution = "vowpalwabbit"
    settings = (
        "``--sgd``, passes over its cache file: an update after each row, in the order "
        "of the file, L2, no momentum, float32"
    )
    strength = (
        "it reads its cache file in order, unshuffled, and computes in float32 and "
        "without momentum"
    )
    frugality = "it leaves the data in its file"
    sparse = True
    tasks = frozenset({"regression", "binary", "multiclass"})
    has_batches = False
    # Its files are text, which takes many minutes to write and to parse.
    largest_input = 3_000_000

    def prepare(self, problem):
        """Write the data as text, and let it convert them to its cache."""
        from vowpalwabbit import Workspace

        # The folder is removed with the function that is returned.
        folder = TemporaryDirectory(prefix="vowpal-wabbit-")
        data = Path(folder.name, "data.txt")
        write_text(problem, data)
        n_weights = (problem.X.shape[1] + 1) * problem.n_outputs
        options = [
            "--quiet",
            "--sgd",
            "--power_t=0",
            "--learning_rate=1e-5",
            "--l2=1e-4",
            f"--bit_precision={math.ceil(math.log2(n_weights))}",
            f"--cache_file={Path(folder.name, 'cache')}",
            f"--data={data}",
            "--holdout_off",
            *{
                "regression": ["--loss_function=squared"],
                "binary": ["--loss_function=logistic"],
                "multiclass": [
                    "--loss_function=logistic",
                    f"--oaa={problem.n_outputs}",
                ],
            }[problem.task],
        ]

        def run(n_epochs, folder=folder):
            Workspace(arg_list=[*options, f"--passes={n_epochs}"]).finish()

        run(1)
        return run


def write_text(problem, path):
    """Write rows as ``label | column:value column:value ...``."""
    labels = {
        "regression": problem.y,
        "binary": np.where(problem.y, 1, -1),
        "multiclass": problem.y + 1,
    }[problem.task]
    with path.open("w") as file:
        for i, label in enumerate(labels):
            row = csr_array(problem.X[i : i + 1])
            pairs = zip(row.indices.tolist(), row.data.tolist(), strict=True)
            file.write(f"{label} |")
            file.writelines(f" {column}:{value:.7g}" for column, value in pairs)
            file.write("\n")
